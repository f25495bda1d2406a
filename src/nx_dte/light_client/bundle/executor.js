'use strict';
/**
 * The child process of an agent in which Nx runs tasks. It may be busy, leak or crash: claims and heartbeats are its
 * parent's. They talk in lines of JSON over file descriptor 3: the configuration, then leases in; {ready}, {leaseId, result}
 * or {leaseId, failed, kind} out. Not over Node's IPC, since Nx passes every message it sees there on to the processes of its tasks, and back.
 */
const net = require('node:net');
const path = require('node:path');
const readline = require('node:readline');
const { ArchiveError } = require('./archive');
const { Coordinator, id } = require('./coordinator');
const { firstDifference } = require('./fingerprint');
const { CoordinatorError, DAMAGED } = require('./http');
const { log } = require('./log');
const { internals, probe, setSearchPaths } = require('./nx-internals');
const { endTasks } = require('./process-tree');
const { shared } = require('./remote-cache');
const { WorkspaceOutputs } = require('./workspace-outputs');

/** @typedef {{lease_id: string, agent_id: string, run_id: string, invocation_id: string, task_id: string, attempt: number, hash: string | null, sequence: number}} Lease */
/** @typedef {{status: string, code: number, terminalOutput: string, startTime: number, endTime: number}} TaskEnd */

/**
 * `task`: it cannot be run, or what it left cannot be kept, and trying elsewhere would not help. `mismatch`: this workspace is
 * not main's. `host`: this machine cannot work. All else that goes wrong here (no coordinator, a lost download) is not the
 * task's doing: its lease goes back.
 * @param {'task' | 'mismatch' | 'host'} kind @param {string} message
 */
const fault = (kind, message) => Object.assign(new Error(message), { kind });
/** A full or broken disk, no memory, no descriptors: the next task would fare no better. */
const HOST_FAULTS = new Set('ENOSPC EDQUOT EROFS EIO ENOMEM EMFILE ENFILE'.split(' '));
/** @param {any} error of any step, perhaps wrapped in an ArchiveError */
const isHostFault = (error) => HOST_FAULTS.has(error?.code) || HOST_FAULTS.has(error?.cause?.code);

class Executor {
  /** @param {{environment: any, journal: string}} config */
  constructor({ environment, journal }) {
    this.nx = probe();
    // Beside the journal: the agent's folder, which goes with the agent even if this process is killed in mid-upload.
    this.coordinator = new Coordinator(environment, path.dirname(journal));
    this.outputs = new WorkspaceOutputs(this.coordinator, this.nx.workspaceRoot, journal);
    /** @type {Map<string, Promise<any>>} */
    this.payloads = new Map();
    /** Newest result of each task of each invocation, and of each set of outputs. @type {Map<string, any>} */
    this.results = new Map();
    /** @type {Map<string, any>} */
    this.newestOf = new Map();
    this.sequence = 0;
    this.catchingUp = Promise.resolve();
  }

  async prepare() {
    this.projectGraph = await this.nx.createProjectGraphAsync({ exitOnError: false });
    this.nxJson = this.nx.readNxJson();
    this.runnerOptions = this.nx.getRunnerOptions('default', this.nxJson, {}, true);
    this.hasher = this.nx.createTaskHasher(this.projectGraph, this.nxJson, this.runnerOptions);
  }

  /** @param {Lease} lease */
  async run(lease) {
    shared().runId = lease.run_id;
    const [payload] = await Promise.all([this.payload(lease.invocation_id), this.catchUp(lease)]);
    const task = { ...payload.taskGraph.tasks[lease.task_id] };
    await this.restoreDependencies(lease, payload.taskGraph, task);
    task.hash = lease.hash ?? task.hash;
    const end = await this.hashAndExecute(task, payload);
    const kept = await this.keep(lease, task, end);
    return {
      outcome: end.code === 0 ? 'succeeded' : 'failed',
      code: end.code,
      hash: task.hash,
      nx_status: end.status,
      ...kept,
      started_at: new Date(end.startTime).toISOString(),
      ended_at: new Date(end.endTime).toISOString(),
    };
  }

  /** @param {any} task @param {any} payload @returns {Promise<TaskEnd>} */
  async hashAndExecute(task, payload) {
    try {
      await this.hash(task, payload.taskGraph);
      return await this.execute(task, payload);
    } catch (error) {
      throw isHostFault(error) ? error : fault('task', /** @type {Error} */ (error).message);
    }
  }

  /** @param {string} invocationId @returns {Promise<any>} */
  payload(invocationId) {
    let payload = this.payloads.get(invocationId);
    if (!payload) {
      payload = this.coordinator.payload(invocationId).then((fetched) => {
        this.compare(fetched);
        for (const [hash, artifactId] of Object.entries(fetched.entries)) shared().entries.set(hash, artifactId);
        return fetched;
      });
      payload.catch(() => this.payloads.delete(invocationId));
      this.payloads.set(invocationId, payload);
    }
    return payload;
  }

  /** @param {any} payload */
  compare(payload) {
    const { workspaceRoot, getOutputsForTargetAndConfiguration: outputsOf } = this.nx;
    const { projectGraph, nxJson } = this;
    const difference = firstDifference(payload, { projectGraph, nxJson, workspaceRoot }, ({ target, overrides }) =>
      outputsOf(target, overrides, projectGraph?.nodes[target.project]),
    );
    if (difference) throw fault('mismatch', difference);
  }

  /** Reads the run's results up to the one this lease was granted after. @param {Lease} lease */
  catchUp({ run_id: runId, agent_id: agentId, sequence }) {
    const work = this.catchingUp
      .catch(() => {})
      .then(async () => {
        while (this.sequence < sequence) {
          const query = { after: this.sequence, waitS: 0, kinds: 'task_finished', agentId };
          const answer = await this.coordinator.events(runId, query);
          for (const event of answer.events) {
            if (!event.result?.artifact) continue;
            this.results.set(`${event.invocation_id} ${event.task_id}`, event.result);
            this.newestOf.set(WorkspaceOutputs.key(event.result.outputs), event.result);
          }
          if (answer.sequence <= this.sequence) break;
          this.sequence = answer.sequence;
        }
      });
    this.catchingUp = work;
    return work;
  }

  /**
   * The whole closure, since plain Nx would have all of it on disk; and the task's own outputs as main has them now.
   * @param {Lease} lease @param {any} graph @param {any} task
   */
  async restoreDependencies(lease, graph, task) {
    const closure = new Set();
    const open = [task.id];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      for (const edge of graph.dependencies[next] ?? []) {
        const dependency = typeof edge === 'string' ? edge : edge.id;
        if (!closure.has(dependency)) open.push(dependency);
        closure.add(dependency);
      }
    }
    const wanted = [...closure].map((each) => this.results.get(`${lease.invocation_id} ${each}`)).filter(Boolean);
    const own = this.newestOf.get(WorkspaceOutputs.key(task.outputs));
    await Promise.all(
      [...wanted, ...(own ? [own] : [])]
        .filter((result) => result.outputs.length > 0)
        .map((result) => this.outputs.ensure(result.outputs, result.artifact.artifact_id)),
    );
  }

  /** @param {any} task @param {any} graph */
  async hash(task, graph) {
    const { hashTask, getTaskSpecificEnv, getTaskDetails } = this.nx;
    if (!task.hash) {
      const env = getTaskSpecificEnv(task, this.projectGraph);
      await hashTask(this.hasher, this.projectGraph, graph, task, env, null);
    }
    // Nx's cache table refers to this row: without it storing a result fails.
    const { project, target, configuration } = task.target;
    getTaskDetails()?.recordTaskDetails?.([{ hash: task.hash, project, target, configuration }]);
  }

  /**
   * Nx merges a configuration's options into the target it was given: here, where one process runs many tasks, the next
   * task of that target would run with them. So each task gets a copy of its project to spoil.
   * @param {any} task
   */
  graphFor(task) {
    const { nodes } = this.projectGraph;
    const { project } = task.target;
    return { ...this.projectGraph, nodes: { ...nodes, [project]: structuredClone(nodes[project]) } };
  }

  /** Nx's own runner on a graph of one. @param {any} task @param {any} payload @returns {Promise<TaskEnd>} */
  async execute(task, payload) {
    const { skipNxCache, captureStderr, verbose } = payload.options;
    process.env.NX_VERBOSE_LOGGING = String(Boolean(verbose)); // as Nx sets it on main, for this task
    const taskGraph = {
      ...payload.taskGraph,
      tasks: { [task.id]: task },
      dependencies: { [task.id]: [] },
      continuousDependencies: { [task.id]: [] },
      roots: [task.id],
    };
    /** @type {TaskEnd | undefined} */
    let end;
    let printed = '';
    const collector = {
      /** @param {any} _task @param {string} _status @param {string} output */
      printTaskTerminalOutput: (_task, _status, output) => {
        printed = output;
      },
      /** @param {any[]} results */
      endTasks: ([result]) => {
        const { startTime = Date.now(), endTime = Date.now() } = result.task;
        const { status, code, terminalOutput } = result;
        end = { status, code, startTime, endTime, terminalOutput: terminalOutput ?? printed };
      },
    };
    const lifeCycle = new this.nx.CompositeLifeCycle([collector]);
    const style = 'static';
    const nxArgs = { skipNxCache, outputStyle: style, specifiedOutputStyle: style, resolvedOutputStyle: style };
    await this.nx.defaultTasksRunner(
      [task],
      { ...this.runnerOptions, parallel: 1, skipNxCache, captureStderr, lifeCycle },
      {
        projectGraph: this.graphFor(task),
        nxJson: this.nxJson,
        taskGraph,
        hasher: this.hasher,
        daemon: undefined,
        initiatingProject: null,
        initiatingTasks: [task],
        nxArgs,
        hashingDeferredTaskIds: new Set(),
      },
    );
    if (!end) throw new Error(`Nx returned without a result for ${task.id}`);
    return end;
  }

  /** What it left goes to the coordinator. @param {Lease} lease @param {any} task @param {TaskEnd} end @returns {Promise<object>} fields of the report */
  async keep(lease, task, end) {
    const root = this.nx.workspaceRoot;
    const paths = task.outputs.length > 0 ? this.nx.expandOutputs(root, task.outputs) : [];
    const content = { root, paths, terminalOutput: end.terminalOutput, code: end.code };
    try {
      const uploaded = await this.coordinator.uploadOutputs(`/leases/${id(lease.lease_id)}/artifact`, content);
      if (task.outputs.length > 0) this.outputs.note(task.outputs, uploaded.artifact_id, uploaded.files);
      return { artifact_id: uploaded.artifact_id };
    } catch (error) {
      return notStored(/** @type {any} */ (error));
    } finally {
      log.write(1, `\n[nx-dte] output of ${task.id}:\n${end.terminalOutput.replace(/\n*$/, '\n')}`);
    }
  }
}

/**
 * No space for these outputs, or a way that spoils them again and again, is nobody's fault: main runs the task itself.
 * Outputs that no archive may hold, or that the coordinator finds unsafe, are the task's.
 * @param {any} error
 */
function notStored(error) {
  const isRefused = error instanceof CoordinatorError;
  if (isRefused && ([413, 507].includes(error.status) || DAMAGED.has(error.code))) {
    return { outcome: 'not_stored', artifact_id: null, message: error.message.slice(0, 4000) };
  }
  const isUnfit = error instanceof ArchiveError && error.code !== 'io_failed';
  if (isUnfit || (isRefused && error.status === 400)) {
    throw fault('task', `its outputs cannot be kept: ${error.message}`);
  }
  throw error;
}

/** Nx 20 and 21 leave listeners behind with every task. @param {Record<string, Function[]>} known */
function removeNewListeners(known) {
  for (const [event, listeners] of Object.entries(known)) {
    for (const listener of process.listeners(/** @type {any} */ (event))) {
      if (!listeners.includes(listener)) process.removeListener(event, /** @type {any} */ (listener));
    }
  }
}

/** @param {any} config @returns {Promise<Executor>} */
async function prepareExecutor(config) {
  process.setMaxListeners(0);
  setSearchPaths(config.searchPaths);
  internals('loadRootEnvFiles').loadRootEnvFiles(); // before anything of Nx that reads them when it is loaded
  shared().storedByCoordinator = true;
  const executor = new Executor(config);
  await executor.prepare();
  return executor;
}

async function main() {
  const agent = new net.Socket({ fd: 3 });
  const send = (/** @type {object} */ message) => void agent.write(`${JSON.stringify(message)}\n`);
  agent.on('error', () => {}); // 'close' follows
  /** @type {Set<string>} */
  const running = new Set();
  agent.on('close', () => {
    endTasks(process.env.NX_DTE_AGENT_ID ?? '', running); // the agent is gone, and so are its leases
    process.kill(-process.pid, 'SIGKILL');
  });
  const lines = readline.createInterface({ input: agent });
  const config = await new Promise((resolve) => lines.once('line', (line) => resolve(JSON.parse(line))));
  const executor = await prepareExecutor(config);
  const known = Object.fromEntries(
    ['exit', 'SIGINT', 'SIGTERM', 'SIGHUP'].map((event) => [event, process.listeners(/** @type {any} */ (event))]),
  );
  lines.on('line', async (line) => {
    /** @type {Lease} */
    const lease = JSON.parse(line);
    running.add(lease.task_id);
    try {
      send({ leaseId: lease.lease_id, result: await executor.run(lease) });
    } catch (error) {
      const { message, kind = isHostFault(error) ? 'host' : undefined } = /** @type {any} */ (error);
      send({ leaseId: lease.lease_id, failed: message, kind });
    }
    running.delete(lease.task_id);
    if (running.size === 0) removeNewListeners(known);
  });
  send({ ready: true });
}

if (require.main === module) {
  main().catch((error) => {
    log.error(`this agent cannot run tasks: ${error.stack}`);
    process.exit(1);
  });
}
