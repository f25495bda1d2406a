'use strict';
/**
 * Main's side of a distributed command: follows the coordinator's events, brings every result home (files, local
 * cache, log) and tells Nx's life cycle what plain Nx would have told it. Ends on its own machine what agents cannot.
 */
const { constants } = require('node:os');
const fs = require('node:fs');
const path = require('node:path');
const { Agent } = require('./agent');
const { CoordinatorUnreachable, sleep, uptime } = require('./http');
const { recordHash } = require('./invocation-plan');
const { limit } = require('./limit');
const { log } = require('./log');
const { internals } = require('./nx-internals');
const { WorkspaceOutputs } = require('./workspace-outputs');

const WAIT_S = 20;
const RESTORES_AT_ONCE = 6;
const NAMED_AT_MOST = 10;
const NOT_STORED = 'their outputs, or those of tasks they depend on, could not be stored on the coordinator';
const SAID_ALOUD = new Set('task_requeued task_slow agent_lost agent_left agent_joined ci_run_stopping'.split(' '));

class InvocationFollower {
  /** @param {import('./invocation-plan').Plan} plan */
  constructor(plan) {
    this.plan = plan;
    this.coordinator = plan.coordinator;
    this.environment = plan.coordinator.environment;
    this.lifeCycle = plan.options.lifeCycle;
    this.nx = internals('workspaceRoot', 'getTaskDetails', 'defaultTasksRunner');
    const data = process.env.NX_WORKSPACE_DATA_DIRECTORY ?? path.join(this.nx.workspaceRoot, '.nx', 'workspace-data');
    const journal = path.join(data, `nx-dte-${plan.run.ci_run_id}.jsonl`);
    this.outputs = new WorkspaceOutputs(this.coordinator, this.nx.workspaceRoot, journal);
    /** What Nx gets back. @type {Record<string, string>} */
    this.statuses = {};
    /** task id → the group (line of output) it occupies. @type {Map<string, number>} */
    this.groups = new Map();
    this.inTurn = limit(RESTORES_AT_ONCE);
    /** @type {Set<Promise<void>>} */
    this.settling = new Set();
    /** @type {Error | null} */
    this.fault = null;
    /** @type {import('./agent').AgentSide | null} main as an agent, when no other can run its tasks */
    this.ownAgent = null;
    /** Why main itself must finish what is left, once it must. */
    this.whyAlone = '';
    this.invocationId = '';
    this.isOver = false;
    this.sequence = 0;
    this.notStored = 0;
    this.lastSignAt = uptime(); // of any agent that could run our tasks
    this.lastEndAt = uptime(); // of any task
    this.lastWord = ''; // of the coordinator about this command
  }

  /** @param {any} task @param {import('./invocation-plan').Hit} hit */
  async showHit(task, hit) {
    task.startTime = Date.now();
    await this.start(task);
    task.endTime = Date.now();
    await this.end(task, hit.status, 0, hit.terminalOutput, true);
  }

  /** @param {{invocation_id: string, sequence: number}} invocation @returns {Promise<Record<string, string>>} */
  async follow(invocation) {
    this.invocationId = invocation.invocation_id;
    this.sequence = invocation.sequence;
    const forgetSignals = this.cancelOnSignal();
    try {
      for (let isRead = false; !isRead; ) {
        const answer = await this.poll();
        if (answer === null) {
          return await this.finishHere(`the coordinator is lost for more than ${this.environment.coordinatorLostS} s`);
        }
        for (const event of answer.events) await this.hear(event);
        this.isOver = answer.invocation.state !== 'running';
        isRead = this.isOver && answer.events.length === 0;
        if (this.whyAlone && !this.isOver && answer.events.length === 0) return await this.finishHere(this.whyAlone);
        this.joinIn(answer.invocation);
      }
      await this.settled();
      const unfinished = [...this.plan.tasks.keys()].filter((taskId) => !(taskId in this.statuses));
      if (unfinished.length === 0) return this.statuses;
      return await this.finishHere(this.notStored > 0 ? NOT_STORED : this.lastWord);
    } finally {
      forgetSignals();
      await this.ownAgent?.leave('no_more_work', { patienceS: 0 });
    }
  }

  /** @returns {Promise<any>} null: the coordinator is lost for good */
  async poll() {
    const query = { after: this.sequence, invocationId: this.invocationId, patienceS: 0 };
    for (let failed = 0, lostAt = 0; ; failed++, await sleep(1000)) {
      // Not beyond the moment at which main would begin itself; a second at least, or it would ask without end.
      const joinsInS = this.ownAgent ? WAIT_S : this.environment.joinTimeoutS - (uptime() - this.lastSignAt) / 1000;
      const waitS = this.isOver || failed > 0 ? 0 : Math.min(WAIT_S, Math.max(1, joinsInS));
      const dueAt = uptime() + waitS * 1000;
      try {
        const answer = await this.coordinator.events(this.plan.run.ci_run_id, { ...query, waitS });
        if (failed > 0) log.info('the coordinator is back.');
        this.sequence = Math.max(this.sequence, answer.sequence);
        return answer;
      } catch (error) {
        if (!(error instanceof CoordinatorUnreachable)) throw error;
        const { coordinatorLostS } = this.environment;
        if (failed === 0) {
          lostAt = Math.min(uptime(), dueAt); // one that hangs is lost since it should have answered
          log.warn(`${error.message} Trying again for ${coordinatorLostS} s, then this job goes on alone.`);
          // Never given up on the first failure: this process may have been frozen, not the coordinator.
        } else if (uptime() - lostAt > coordinatorLostS * 1000) return null;
      }
      if (this.fault) throw this.fault;
    }
  }

  /** @param {any} event */
  async hear(event) {
    if (this.fault) throw this.fault;
    if (SAID_ALOUD.has(event.kind) && event.message) log.info(event.message);
    if (event.kind === 'invocation_finished') this.lastWord = event.message.replace(/\.$/, '');
    const task = this.plan.tasks.get(event.task_id)?.task;
    if (!task || this.plan.hits.has(task.id)) return;
    if (event.kind === 'task_leased') await this.start(task);
    if (event.kind !== 'task_finished') return;
    this.lastEndAt = uptime();
    if (event.reason === 'not_stored' && event.message) {
      if (this.notStored++ < NAMED_AT_MOST) log.warn(event.message);
    }
    const settling = this.inTurn(() => this.bringHome(task, event)).catch((error) => {
      this.fault ??= error;
    });
    this.settling.add(settling);
    settling.finally(() => this.settling.delete(settling));
  }

  async settled() {
    await Promise.all(this.settling);
    if (this.fault) throw this.fault;
  }

  /** @param {any} task @param {any} event */
  async bringHome(task, event) {
    const { outcome, code, nx_status: nxStatus, hash, artifact, cacheable, started_at, ended_at } = event.result;
    if (outcome === 'skipped') this.statuses[task.id] = 'skipped';
    if (outcome === 'skipped' || outcome === 'cancelled') return;
    await this.start(task);
    if (hash && hash !== task.hash) {
      task.hash = hash;
      recordHash(this.nx, task);
    }
    task.startTime = started_at ? Date.parse(started_at) : Date.now();
    task.endTime = ended_at ? Date.parse(ended_at) : Date.now();
    const isGood = outcome === 'succeeded';
    let terminalOutput = artifact ? '' : `${event.message ?? ''}\n`;
    if (artifact && event.agent_id !== this.ownAgent?.agentId) {
      const restored = await this.outputs.restore(task.outputs, artifact.artifact_id);
      terminalOutput = restored.terminalOutput;
      if (isGood && cacheable && !this.plan.skipNxCache) await this.keep(task, terminalOutput);
    } else if (artifact) {
      terminalOutput = (await this.restoredElsewhere(artifact.artifact_id)).terminalOutput;
    }
    const isPrinted = !(isGood && this.plan.tasks.get(task.id)?.isNoop);
    await this.end(task, isGood ? nxStatus : 'failure', isGood ? 0 : code || 1, terminalOutput, isPrinted);
  }

  /** Into Nx's local cache, as if it had run here: the next command of this job finds it. @param {any} task @param {string} terminalOutput */
  async keep(task, terminalOutput) {
    try {
      await this.plan.cache.put(task, terminalOutput, task.outputs, 0);
    } catch (error) {
      log.warn(`${task.id} was not put into the local cache: ${/** @type {Error} */ (error).message}`);
    }
  }

  /** Main ran it itself as an agent: its files are here, only its log is read. @param {string} artifactId */
  async restoredElsewhere(artifactId) {
    const folder = fs.mkdtempSync(path.join(require('node:os').tmpdir(), 'nx-dte-'));
    try {
      return await this.coordinator.restore(artifactId, folder);
    } finally {
      fs.rmSync(folder, { recursive: true, force: true });
    }
  }

  /** @param {any} task */
  async start(task) {
    if (this.groups.has(task.id)) return;
    const used = new Set(this.groups.values());
    let groupId = 0;
    while (used.has(groupId)) groupId++;
    this.groups.set(task.id, groupId);
    await this.lifeCycle.scheduleTask?.(task);
    await this.lifeCycle.startTasks([task], { groupId });
  }

  /** @param {any} task @param {string} status @param {number} code @param {string} terminalOutput @param {boolean} isPrinted */
  async end(task, status, code, terminalOutput, isPrinted) {
    const groupId = this.groups.get(task.id) ?? 0;
    this.groups.set(task.id, -1); // its line is free
    if (isPrinted) this.lifeCycle.printTaskTerminalOutput(task, status, terminalOutput);
    const { startTime, endTime } = task;
    await this.lifeCycle.endTasks([{ task, status, code, terminalOutput, startTime, endTime }], { groupId });
    this.statuses[task.id] = status;
  }

  /** Nothing may wait without a deadline: no agent → main works itself; no end at all → an error. @param {any} invocation */
  joinIn(invocation) {
    const now = uptime();
    const { joinTimeoutS, mainTimeoutS } = this.environment;
    if (invocation.agents_live > 0) this.lastSignAt = now;
    if (now - this.lastEndAt > mainTimeoutS * 1000) {
      this.coordinator.cancel(this.invocationId, 'main_timeout').catch(() => {});
      throw new Error(
        `no task of this command ended for ${mainTimeoutS} s (NX_CLOUD_ORCHESTRATOR_TIMEOUT_MS): giving up`,
      );
    }
    if (this.ownAgent || invocation.state !== 'running' || now - this.lastSignAt < joinTimeoutS * 1000) return;
    log.warn(
      `no agent could run this command's tasks for ${joinTimeoutS} s (NX_DTE_JOIN_TIMEOUT): this job runs them itself. Are the agents' jobs queued for want of a runner?`,
    );
    this.work();
  }

  /** Main as an agent. When it cannot be one, or one no longer, it runs what is left without the coordinator. */
  async work() {
    const agent = new Agent(this.coordinator, { isMain: true });
    this.ownAgent = agent;
    try {
      const joined = await agent.join();
      const end = joined.decision === 'joined' ? await agent.serve() : joined;
      this.whyAlone ||= `this job's own agent was told to leave: ${end.message || end.reason}`;
    } catch (error) {
      this.whyAlone ||= `this job's own agent ended: ${/** @type {Error} */ (error).message}`;
    }
  }

  /** Runs here what has no result yet, loudly. @param {string} why @returns {Promise<Record<string, string>>} */
  async finishHere(why) {
    await Promise.all(this.settling);
    this.ownAgent?.close();
    const isTold = this.takeBack();
    const { tasks, options, context } = this.plan;
    const isBad = (/** @type {string} */ taskId) => ['failure', 'skipped'].includes(this.statuses[taskId] ?? '');
    for (const [taskId, { dependencies }] of tasks) {
      if (!(taskId in this.statuses) && dependencies.some(isBad)) this.statuses[taskId] = 'skipped';
    }
    const rest = [...tasks].filter(([taskId]) => !(taskId in this.statuses));
    log.warn(`${rest.length} of ${tasks.size} tasks run in this job instead of on agents: ${why}`);
    const dependencies = Object.fromEntries(
      rest.map(([taskId, planned]) => [taskId, planned.dependencies.filter((each) => !(each in this.statuses))]),
    );
    const taskGraph = {
      ...context.taskGraph,
      tasks: Object.fromEntries(rest.map(([taskId, { task }]) => [taskId, task])),
      dependencies,
      continuousDependencies: Object.fromEntries(rest.map(([taskId]) => [taskId, []])),
      roots: rest.map(([taskId]) => taskId).filter((taskId) => dependencies[taskId]?.length === 0),
    };
    // Hashes of `dependentTasksOutputFiles` need the finished dependencies too, which this graph leaves out.
    const whole = (/** @type {string} */ method) => ({
      value: (/** @type {any} */ task, /** @type {any} */ _graph, /** @type {any[]} */ ...more) =>
        context.hasher[method](task, context.taskGraph, ...more),
    });
    const hasher = Object.create(context.hasher, { hashTask: whole('hashTask'), hashTasks: whole('hashTasks') });
    // Its start and end were told already, or will be by our caller.
    const lifeCycle = Object.create(this.lifeCycle, {
      startCommand: { value: async () => {} },
      endCommand: { value: async () => {} },
    });
    const results = await this.nx.defaultTasksRunner(
      rest.map(([, { task }]) => task),
      { ...options, lifeCycle },
      { ...context, taskGraph, hasher },
    );
    // It may be back by now, and would take a command that is still open when main ends for one that broke off.
    if (!(await isTold)) await this.takeBack();
    return Object.assign(this.statuses, results);
  }

  /** @returns {Promise<boolean>} whether the coordinator knows now that main does the rest */
  async takeBack() {
    if (!this.invocationId) return true;
    return this.coordinator.cancel(this.invocationId, 'taken_back').then(
      () => true,
      () => false,
    );
  }

  cancelOnSignal() {
    /** @param {NodeJS.Signals} signal */
    const cancel = async (signal) => {
      log.warn(`${signal}: this command ends; its unfinished tasks are taken back.`);
      const deadline = sleep(3000);
      await Promise.race([this.coordinator.cancel(this.invocationId, 'main_interrupted').catch(() => {}), deadline]);
      this.ownAgent?.close();
      process.exit(128 + constants.signals[signal]);
    };
    const signals = /** @type {const} */ (['SIGTERM', 'SIGINT', 'SIGHUP']);
    for (const signal of signals) process.once(signal, cancel);
    return () => {
      for (const signal of signals) process.removeListener(signal, cancel);
    };
  }
}

/** @typedef {InvocationFollower} Follower the class as a type, for other files */
module.exports = { InvocationFollower };
