'use strict';
/** Turns what Nx hands the runner into what is submitted: cache hits are applied here, the rest is for agents. */
const fs = require('node:fs');
const { id } = require('./coordinator');
const { fingerprint } = require('./fingerprint');
const { limit } = require('./limit');
const { internals } = require('./nx-internals');
const { shared } = require('./remote-cache');

/** @typedef {{status: string, outputsPath: string, terminalOutput: string, remote: boolean, artifactId: string | null}} Hit */
/** @typedef {{task: any, dependencies: string[], isCacheable: boolean, isNoop: boolean}} Planned */

/** Dependencies are ids up to Nx 23 and objects from 24 on. @param {any} edge @returns {string} */
const edgeId = (edge) => (typeof edge === 'string' ? edge : edge.id);

/** As Nx's own runner reads `--parallel`. @param {any} options @returns {number} */
function parallelOf(options) {
  const { parallel } = options;
  if (parallel === false || parallel === 'false') return 1;
  if (parallel === true || parallel === 'true' || parallel === undefined || parallel === '') {
    return Number(options.maxParallel || 3);
  }
  return Math.max(1, Number(parallel));
}

class InvocationPlan {
  /** @param {import('./coordinator').Api} coordinator @param {any} run @param {any} options @param {any} context */
  constructor(coordinator, run, options, context) {
    this.coordinator = coordinator;
    this.run = run;
    this.options = options;
    this.context = context;
    this.nx = internals('getCache', 'hashTask', 'getTaskDetails', 'getTaskSpecificEnv', 'workspaceRoot');
    this.parallel = parallelOf(options);
    this.skipNxCache = Boolean(options.skipNxCache ?? context.nxArgs?.skipNxCache);
    this.cache = this.nx.getCache(options);
    /** @type {Map<string, Planned>} in dependency order */
    this.tasks = this.inOrder();
    /** @type {Map<string, Hit>} */
    this.hits = new Map();
  }

  /** @returns {Map<string, Planned>} */
  inOrder() {
    const { taskGraph, projectGraph } = this.context;
    const ordered = new Map();
    const open = Object.keys(taskGraph.tasks).map((taskId) => ({ taskId, seen: false }));
    for (let top = open.pop(); top; top = open.pop()) {
      if (ordered.has(top.taskId)) continue;
      const task = taskGraph.tasks[top.taskId];
      const dependencies = (taskGraph.dependencies[top.taskId] ?? []).map(edgeId);
      if (!top.seen) {
        open.push({ taskId: top.taskId, seen: true });
        for (const taskId of dependencies) if (!ordered.has(taskId)) open.push({ taskId, seen: false });
        continue;
      }
      const target = projectGraph.nodes[task.target.project]?.data.targets?.[task.target.target];
      const isNoop = target?.executor === 'nx:noop';
      ordered.set(top.taskId, { task, dependencies, isNoop, isCacheable: this.isCacheable(task) });
    }
    return ordered;
  }

  /** Nx's rule; its own function moves between modules, and `task.cache` decides wherever it is set. @param {any} task */
  isCacheable(task) {
    const { target } = task.target;
    const isLongRunning =
      (task.overrides?.watch && task.overrides.watch !== 'false') ||
      /[:-]watch$/.test(target) ||
      ['serve', 'dev', 'start'].includes(target) ||
      task.continuous;
    if (isLongRunning) return false;
    return Boolean(
      task.cache ?? (this.options.cacheableOperations ?? this.options.cacheableTargets ?? []).includes(target),
    );
  }

  /**
   * Finds and applies cache hits. A hit counts only if all its dependencies are hits: else a dependent would be done
   * while its dependency still runs, and nobody could restore what lies between.
   * @param {(task: any, hit: Hit) => Promise<void>} onHit
   */
  async applyHits(onHit) {
    if (this.skipNxCache) return;
    await this.cache.init?.();
    const cacheable = [...this.tasks.values()].filter(({ task, isCacheable }) => isCacheable && task.hash);
    const hashes = cacheable.map(({ task }) => task.hash);
    const found = this.options.skipRemoteCache ? {} : await this.coordinator.lookup(hashes, this.run.ci_run_id);
    for (const hash of hashes) shared().entries.set(hash, found[hash]?.artifact_id ?? null);
    const inTurn = limit(6);
    /** @type {Map<string, Promise<boolean>>} */
    const isHit = new Map();
    for (const [taskId, planned] of this.tasks) {
      const before = planned.dependencies.map((dependency) => isHit.get(dependency));
      isHit.set(
        taskId,
        Promise.all(before).then(async (all) => {
          if (!planned.isCacheable || !all.every(Boolean)) return false;
          const hit = await inTurn(() => this.lookUp(planned.task));
          if (!hit) return false;
          this.hits.set(taskId, hit);
          await onHit(planned.task, hit);
          return true;
        }),
      );
    }
    // All settled first: a hit that is still being shown must not be run again by whoever hears of the failure.
    const settled = await Promise.allSettled(isHit.values());
    for (const each of settled) if (each.status === 'rejected') throw each.reason;
  }

  /** @param {any} task @returns {Promise<Hit | null>} */
  async lookUp(task) {
    if (!task.hash) await this.hashLate(task);
    const found = await this.cache.get(task);
    if (found?.code !== 0) return null;
    const isKept = !found.remote && (task.outputs.length === 0 || (await this.isUntouched(task)));
    if (!isKept && task.outputs.length > 0) await this.cache.copyFilesFromCache(task.hash, found, task.outputs);
    const status = found.remote ? 'remote-cache' : isKept ? 'local-cache-kept-existing' : 'local-cache';
    const { outputsPath, terminalOutput, remote } = found;
    return { status, outputsPath, terminalOutput, remote, artifactId: shared().entries.get(task.hash) ?? null };
  }

  /** @param {any} task */
  async isUntouched(task) {
    const { daemon } = this.context;
    return Boolean(daemon?.enabled?.()) && daemon.outputsHashesMatch(task.outputs, task.hash);
  }

  /** Inputs that are outputs of others: those are on disk now, all of them being hits. @param {any} task */
  async hashLate(task) {
    const { projectGraph, taskGraph, hasher } = this.context;
    const env = this.nx.getTaskSpecificEnv(task, projectGraph);
    await this.nx.hashTask(hasher, projectGraph, taskGraph, task, env, null);
    recordHash(this.nx, task);
    const found = this.options.skipRemoteCache ? {} : await this.coordinator.lookup([task.hash], this.run.ci_run_id);
    shared().entries.set(task.hash, found[task.hash]?.artifact_id ?? null);
  }

  /** Hits of main's own cache which agents will need, because a task they run depends on them, are uploaded. */
  async shareLocalHits() {
    const needed = new Set();
    for (const [taskId, { dependencies }] of [...this.tasks].reverse()) {
      if (!this.hits.has(taskId) || needed.has(taskId)) for (const each of dependencies) needed.add(each);
    }
    const inTurn = limit(4);
    await Promise.all(
      [...needed].map((taskId) =>
        inTurn(async () => {
          const hit = this.hits.get(taskId);
          const task = this.tasks.get(taskId)?.task;
          if (!hit || hit.artifactId || task.outputs.length === 0) return;
          const { outputsPath: root, terminalOutput } = hit;
          const content = { root, paths: fs.readdirSync(root), terminalOutput, code: 0 };
          const target = `/ci-runs/${id(this.run.ci_run_id)}/artifacts`;
          hit.artifactId = (await this.coordinator.uploadOutputs(target, content)).artifact_id;
        }),
      ),
    );
  }

  /** @param {string} invocationKey */
  toWire(invocationKey) {
    const { nxArgs, taskGraph, projectGraph, nxJson } = this.context;
    const { workspaceRoot } = this.nx;
    const tasks = [...this.tasks.values()].map(({ task, dependencies, isCacheable, isNoop }) => {
      const hit = this.hits.get(task.id);
      return {
        task_id: task.id,
        ...task.target,
        configuration: task.target.configuration ?? null,
        hash: task.hash ?? null,
        cacheable: isCacheable,
        parallelism: task.parallelism !== false,
        noop: isNoop,
        outputs: task.outputs,
        dependencies,
        hit: hit ? { artifact_id: hit.artifactId, nx_status: hit.status } : null,
      };
    });
    // hashDetails is most of the graph's size and no agent needs it.
    const lean = Object.fromEntries(
      Object.entries(taskGraph.tasks).map(([taskId, task]) => [taskId, { ...task, hashDetails: undefined }]),
    );
    const { captureStderr, verbose } = { ...nxArgs, ...this.options };
    return {
      invocation_key: invocationKey,
      command: `nx ${process.argv.slice(2).join(' ')}`.slice(0, 4000),
      targets: nxArgs?.targets ?? [...new Set(tasks.map((task) => task.target))],
      configuration: nxArgs?.configuration ?? null,
      parallel: this.parallel,
      nx_bail: Boolean(this.options.nxBail ?? nxArgs?.nxBail),
      skip_nx_cache: this.skipNxCache,
      task_timeout_s: this.coordinator.environment.taskTimeoutS,
      tasks,
      payload: JSON.stringify({
        taskGraph: { ...taskGraph, tasks: lean },
        options: { skipNxCache: this.skipNxCache, captureStderr, verbose },
        entries: Object.fromEntries(this.skipNxCache ? [] : shared().entries),
        fingerprint: fingerprint(taskGraph, { projectGraph, nxJson, workspaceRoot }),
      }),
    };
  }
}

/** Nx's cache table refers to this row; Nx writes it only for hashes it computed itself. @param {any} nx @param {any} task */
function recordHash(nx, task) {
  const { project, target, configuration } = task.target;
  nx.getTaskDetails()?.recordTaskDetails?.([{ hash: task.hash, project, target, configuration }]);
}

/** @typedef {InvocationPlan} Plan the class as a type, for other files */
module.exports = { InvocationPlan, recordHash };
