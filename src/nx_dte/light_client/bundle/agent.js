'use strict';
/**
 * `start-agent`: joins the CI run, claims tasks, keeps their leases alive and reports how they ended. It never runs Nx
 * itself (executor.js does, in a child), so however busy Nx is, heartbeats go out. Main becomes an agent too when no
 * other can run its tasks.
 */
const { randomUUID } = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { makeFolder, touchFolder } = require('./agent-folder');
const { connect, EXIT, ExitWith, requireCiId } = require('./commands');
const { currentCommit } = require('./environment');
const { parseFlags } = require('./flags');
const { ExecutorPool } = require('./executor-pool');
const { CoordinatorError, CoordinatorUnreachable, sleep, uptime } = require('./http');
const { log } = require('./log');
const { getSearchPaths, nxVersion, probe } = require('./nx-internals');

const WAIT_S = 20;
/** @type {Record<string, import('./flags').Kind>} */
const START_AGENT_FLAGS = { verbose: 'ignored-switch', targets: 'ignored-text' };
const WHAT_NEXT =
  'Check that this job checks out the commit of its pipeline, changes nothing before start-agent, and sets what main sets.';
/** The coordinator will never take this client: another token or version is needed. */
const REFUSALS = new Set([401, 403, 426]);
/** @type {Record<string, string>} */
const ENDED = { succeeded: 'done', failed: 'FAILED', not_stored: 'NOT STORED, main runs it' };

/** There is a CI run, opened with the other kind of token: this agent waits for one that it may work for. @param {any} answer */
const isOfOtherAccess = (answer) => answer.reason === 'token_access_differs' && Boolean(answer.message);

class Agent {
  /** @param {import('./coordinator').Api} coordinator @param {{isMain: boolean}} role */
  constructor(coordinator, { isMain }) {
    this.coordinator = coordinator;
    this.environment = coordinator.environment;
    this.isMain = isMain;
    this.key = randomUUID();
    this.agentId = '';
    this.heartbeatS = 5;
    /** @type {Map<string, any>} */
    this.holding = new Map();
    this.stopped = false;
    /** Resolves with the answer of a heartbeat that says so. @type {Promise<any>} */
    this.toldToLeave = new Promise((resolve) => {
      this.tellToLeave = resolve;
    });
    /** Resolves when this workspace turns out not to be main's, or this machine not to be able to work. @type {Promise<any>} */
    this.unfit = new Promise((resolve) => {
      this.tellUnfit = resolve;
    });
    this.folder = makeFolder();
    // A copy: in half an hour Nx's loader may replace the bundle this process was loaded from.
    const bundle = path.join(this.folder, 'bundle');
    fs.cpSync(__dirname, bundle, { recursive: true });
    const config = {
      environment: this.environment,
      searchPaths: getSearchPaths(),
      journal: path.join(this.folder, 'outputs.jsonl'),
    };
    const env = { NX_LOAD_DOT_ENV_FILES: 'true', ...process.env, NX_DTE_AGENT_ID: this.key, NX_CLI_SET: 'true' };
    // Off on CI anyway, unless somebody asks for it; an agent's checkout changes under a daemon's feet.
    const hasDaemon = process.env.NX_DAEMON === 'true' || !(process.env.CI || process.env.GITLAB_CI);
    this.pool = new ExecutorPool(config, bundle, hasDaemon ? { ...env, NX_DAEMON: 'false' } : env);
  }

  /** Waits for main. @returns {Promise<any>} the coordinator's decision: joined, leave or refused; wait = gave up */
  async join() {
    const { ciId, environment, agentName: name, agentInstance: instance, agentType: type, jobId } = this.environment;
    const { agentTimeoutS } = this.environment;
    const job = { ci_id: ciId, environment, job_id: jobId, commit: currentCommit(), nx_version: nxVersion() };
    const identity = { ...job, agent_key: this.key, name, instance, type, is_main: this.isMain };
    const startedAt = uptime();
    let nextWordAt = startedAt;
    const waitedS = () => (uptime() - startedAt) / 1000;
    for (;;) {
      const answer = await this.patiently((waitS) => {
        const leftS = Math.max(0, agentTimeoutS - waitedS());
        return this.coordinator.join(identity, Math.min(waitS, leftS));
      });
      if (answer.decision !== 'wait') {
        this.agentId = answer.agent_id;
        this.runId = answer.ci_run_id ?? this.runId;
        this.heartbeatS = answer.heartbeat_s ?? this.heartbeatS;
        return answer;
      }
      if (waitedS() >= agentTimeoutS) return answer;
      if (uptime() >= nextWordAt) {
        nextWordAt = uptime() + 60_000;
        log.info(
          `waiting for the main job of ${ciId} (${Math.round(waitedS())} s; gives up after ${agentTimeoutS} s) …`,
        );
        if (isOfOtherAccess(answer)) log.warn(answer.message);
      }
    }
  }

  /** Asks again while the coordinator is away, for as long as an agent may. @template T @param {(waitS: number) => Promise<T>} call @returns {Promise<T>} */
  async patiently(call) {
    const startedAt = uptime();
    for (let failed = 1; ; failed++, await sleep(1000)) {
      try {
        return await call(failed > 1 ? 0 : WAIT_S); // once away, it is only asked whether it is back
      } catch (error) {
        if (!(error instanceof CoordinatorUnreachable) || this.stopped) throw error;
        const lostS = (uptime() - startedAt) / 1000 - WAIT_S;
        // Never on the first failure: this process may have been frozen, not the coordinator.
        if (failed > 1 && lostS > this.environment.coordinatorLostS) {
          throw new ExitWith(
            EXIT.coordinatorLost,
            `lost the coordinator for more than ${this.environment.coordinatorLostS} s, leaving. ${/** @type {Error} */ (error).message}`,
          );
        }
      }
    }
  }

  /** For NX_DTE_MIRROR: whether the run this agent worked for ended badly, or is sure to. @returns {Promise<boolean>} */
  async hasMainFailed() {
    const run = this.runId && (await this.coordinator.findRun().catch(() => null));
    return Boolean(run) && run.ci_run_id === this.runId && (run.outcome === 'failed' || run.has_failed === true);
  }

  /**
   * Claims and runs until told to leave. Given up as silent (frozen, cut off), it is taken back at its next word, and told
   * which of its leases are others' by now.
   * @returns {Promise<{reason: string, message: string}>}
   */
  async serve() {
    log.info(`${this.environment.agentName} joined CI run ${this.runId} as agent ${this.agentId}.`);
    const heartbeats = setInterval(() => this.heartbeat(), this.heartbeatS * 1000);
    try {
      const early = await Promise.race([this.pool.ready, this.pool.broken, this.toldToLeave]);
      if (early) return early;
      for (;;) {
        const claim = this.patiently((waitS) => this.coordinator.claim(this.agentId, [...this.holding.keys()], waitS));
        const claimed = await Promise.race([claim, this.pool.broken, this.unfit]);
        if (claimed.isUnfit) return claimed;
        for (const lease of claimed.leases)
          this.start({ ...lease, agent_id: this.agentId, run_id: this.runId, sequence: claimed.sequence });
        if (claimed.state === 'leave' || this.stopped) {
          await Promise.all([...this.holding.values()].map((work) => work.ended));
          return claimed;
        }
      }
    } finally {
      clearInterval(heartbeats);
    }
  }

  async heartbeat() {
    touchFolder(this.folder);
    try {
      const answer = await this.coordinator.heartbeat(this.agentId, [...this.holding.keys()]);
      for (const leaseId of answer.revoked) this.drop(leaseId);
      if (answer.state === 'leave') this.tellToLeave?.(answer);
    } catch {
      // The next one follows at once; the lease outlives several lost heartbeats, and claims have the deadline.
    }
  }

  /** @param {any} lease */
  start(lease) {
    if (this.holding.has(lease.lease_id)) return;
    log.info(`start: ${lease.task_id}${lease.attempt > 1 ? ` (attempt ${lease.attempt})` : ''}`);
    /** @type {any} */
    const work = { dropped: false, taskId: lease.task_id };
    const givenUp = new Promise((resolve) => {
      work.giveUp = resolve;
    });
    this.holding.set(lease.lease_id, work);
    work.ended = Promise.race([this.runAndReport(lease, work), givenUp]).finally(() =>
      this.holding.delete(lease.lease_id),
    );
  }

  /** @param {any} lease @param {{dropped: boolean}} work */
  async runAndReport(lease, work) {
    const result = await this.outcomeOf(lease, work);
    if (!result || work.dropped || this.stopped) return;
    try {
      const report = { lease_id: lease.lease_id, attempt: lease.attempt, ...result };
      const { results } = await this.patiently(() => this.coordinator.report(this.agentId, [report]));
      if (!results[0].accepted) log.warn(`the report of ${lease.task_id} was refused: ${results[0].reason}`);
      else log.info(`${ENDED[result.outcome]}: ${lease.task_id} (${result.nx_status})`);
    } catch (error) {
      log.error(`${lease.task_id} could not be reported: ${/** @type {Error} */ (error).message}`);
    }
  }

  /** @param {any} lease @param {{dropped: boolean}} work @returns {Promise<any>} the report's fields, or null: nothing to report */
  async outcomeOf(lease, work) {
    const startedAt = new Date().toISOString();
    try {
      const result = await this.pool.run(lease);
      if (result.message) log.warn(`${lease.task_id}: its outputs were not stored: ${result.message}`);
      return result;
    } catch (error) {
      const { kind, message: whole } = /** @type {any} */ (error);
      const why = whole.slice(0, 4000);
      if (kind === 'mismatch' || kind === 'host') {
        this.tellUnfit?.({ isUnfit: true, reason: kind, message: why });
        return null;
      }
      if (kind !== 'task') {
        // Not reported and no longer held: the coordinator gives the task to whoever can run it.
        if (!work.dropped && !this.stopped) log.warn(`${lease.task_id} is left to another agent: ${why}`);
        return null;
      }
      const message = `${lease.task_id} could not be run: ${why}`;
      if (!work.dropped) log.error(message);
      const times = { started_at: startedAt, ended_at: new Date().toISOString() };
      return {
        outcome: 'failed',
        code: 1,
        hash: lease.hash,
        nx_status: 'failure',
        artifact_id: null,
        message,
        ...times,
      };
    }
  }

  /** @param {string} leaseId */
  drop(leaseId) {
    const work = this.holding.get(leaseId);
    if (!work || work.dropped) return;
    work.dropped = true;
    log.warn(`${work.taskId} was taken back from this agent; what runs of it is ended.`);
    this.pool.forget(leaseId);
    work.giveUp();
  }

  /** @param {string} reason @param {{message?: string | null, patienceS?: number}} [goodbye] */
  async leave(reason, { message = null, patienceS = 2 } = {}) {
    this.stopped = true;
    if (this.agentId) await this.coordinator.leave(this.agentId, reason, message, patienceS).catch(() => {});
    this.close();
  }

  close() {
    this.stopped = true;
    this.pool.close();
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

/** @param {Agent} agent */
function leaveOnSignal(agent) {
  for (const signal of /** @type {const} */ (['SIGTERM', 'SIGINT', 'SIGHUP'])) {
    process.once(signal, async () => {
      log.info(`${signal}: leaving; what is not finished goes back to the queue.`);
      await agent.leave('interrupted', { patienceS: 0 });
      process.exit(128 + os.constants.signals[signal]);
    });
  }
}

/** @param {import('./environment').Environment} environment @returns {Promise<number>} */
async function startAgent(environment) {
  const { ignored } = parseFlags('start-agent', process.argv.slice(3), START_AGENT_FLAGS);
  if (ignored.length > 0) log.info(`ignored, they have no meaning here: ${ignored.join(', ')}`);
  if (environment.noCloud) {
    log.info('NX_NO_CLOUD=true: nothing is distributed, this agent has nothing to do.');
    return 0;
  }
  probe();
  requireCiId(environment);
  const mirror = (/** @type {number} */ code, /** @type {number} */ bare) =>
    environment.mirrorExitCodes ? code : bare;
  const agent = new Agent(connect(environment), { isMain: false });
  leaveOnSignal(agent);
  try {
    const joined = await agent.join();
    if (joined.decision === 'refused') throw new ExitWith(mirror(EXIT.refused, 1), joined.message);
    if (joined.decision === 'wait') {
      const none = `no main job opened a CI run for ${environment.ciId}. Does it run \`nx-cloud start-ci-run\`, in this pipeline?`;
      const why = isOfOtherAccess(joined) ? joined.message : none;
      throw new ExitWith(mirror(EXIT.gaveUp, 0), `gave up after ${environment.agentTimeoutS} s: ${why}`);
    }
    const end = joined.decision === 'joined' ? await agent.serve() : joined;
    if (end.reason === 'mismatch') {
      await agent.leave('mismatch', { message: end.message });
      const why = `this agent's workspace is not main's, so it runs none of its tasks. ${end.message}. ${WHAT_NEXT}`;
      throw new ExitWith(mirror(EXIT.refused, 1), why);
    }
    if (end.reason === 'host') {
      const why = `this machine cannot run tasks: ${end.message}`;
      await agent.leave('other', { message: why });
      throw new ExitWith(mirror(EXIT.gaveUp, 0), `${why}. Make room on it, or let the job run elsewhere.`);
    }
    log.info(`leaving: ${end.message || end.reason}`);
    await agent.leave(end.reason);
    return environment.mirrorExitCodes && (await agent.hasMainFailed()) ? EXIT.mainFailed : 0;
  } catch (error) {
    if (!agent.stopped) await agent.leave('other', { patienceS: 0 });
    if (error instanceof ExitWith && error.code === EXIT.coordinatorLost) error.code = mirror(error.code, 0);
    if (error instanceof CoordinatorError && REFUSALS.has(error.status)) {
      throw new ExitWith(mirror(EXIT.refused, 1), error.message);
    }
    if (error instanceof CoordinatorError && error.code === 'not_found') {
      const why = `the coordinator has forgotten this agent, so its data was lost or restored from a backup; leaving.`;
      throw new ExitWith(mirror(EXIT.coordinatorLost, 0), `${why} ${error.message}`);
    }
    throw error;
  }
}

/** @typedef {Agent} AgentSide the class as a type, for other files */
module.exports = { Agent, startAgent };
