'use strict';
/**
 * Starts the executor child, feeds it leases, and replaces it: before it leaks (Nx 20 to 23 hold memory per task), and
 * after a crash (its tasks get one more try in a fresh child; a second crash is the task's own failure).
 */
const { spawn } = require('node:child_process');
const path = require('node:path');
const readline = require('node:readline');
const { endTasks } = require('./process-tree');

/** From so many tasks on a child is replaced when it is idle; from HARD times as many on it gets no more until it is. */
const TASKS_PER_CHILD = 200;
const HARD = 5;
const STARTS_IN_A_ROW = 3;
/** A project graph takes seconds, of a huge workspace a minute. */
const READY_WITHIN_MS = 120_000;

/** @typedef {import('./executor').Lease} Lease */
/** @typedef {{lease: Lease, crashes: number, resolve: (result: any) => void, reject: (error: Error) => void}} Work */
/** @typedef {{process: import('node:child_process').ChildProcess, channel: import('node:net').Socket, ready: boolean, taken: number, works: Map<string, Work>, deadline?: NodeJS.Timeout}} Child */

class ExecutorPool {
  /**
   * @param {object} config see Executor; with a token in it, so it goes through the pipe and into no file
   * @param {string} bundle folder with executor.js @param {NodeJS.ProcessEnv} env with NX_DTE_AGENT_ID, by which its tasks' processes are known
   * @param {{tasksPerChild?: number, readyWithinMs?: number}} [limits]
   */
  constructor(config, bundle, env, { tasksPerChild = TASKS_PER_CHILD, readyWithinMs = READY_WITHIN_MS } = {}) {
    this.config = config;
    this.tasksPerChild = tasksPerChild;
    this.readyWithinMs = readyWithinMs;
    this.script = path.join(bundle, 'executor.js');
    this.env = env;
    this.key = env.NX_DTE_AGENT_ID ?? '';
    this.failedStarts = 0;
    /** @type {Work[]} */
    this.queue = [];
    this.closed = false;
    /** Resolves when the first child can run tasks. @type {Promise<void>} */
    this.ready = new Promise((resolve) => {
      this.isReady = resolve;
    });
    /** Rejects when no child can be started any more. @type {Promise<never>} */
    this.broken = new Promise((_, reject) => {
      this.giveUp = reject;
    });
    this.broken.catch(() => {}); // whoever waits for it hears of it
    /** @type {Child} */
    this.child = this.start();
  }

  /** @returns {Child} */
  start() {
    // A group of its own: everything its tasks started can be ended with it.
    const spawned = spawn(process.execPath, [this.script], {
      detached: true,
      env: this.env,
      stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
    });
    const channel = /** @type {import('node:net').Socket} */ (spawned.stdio[3]);
    /** @type {Child} */
    const child = { process: spawned, channel, ready: false, taken: 0, works: new Map() };
    channel.on('error', () => {}); // 'exit' follows
    channel.write(`${JSON.stringify(this.config)}\n`);
    child.deadline = setTimeout(() => this.end(child), this.readyWithinMs);
    const lines = readline.createInterface({ input: channel });
    lines.on('line', (line) => this.hear(child, JSON.parse(line)));
    lines.on('error', () => {}); // the channel's, passed on

    spawned.on('error', () => {}); // 'exit' follows
    spawned.on('exit', (code, signal) => this.buried(child, signal ?? `code ${code}`));
    return child;
  }

  /** @param {Lease} lease @returns {Promise<any>} the report's fields */
  run(lease) {
    if (this.closed) return Promise.reject(new Error('this agent is ending'));
    return new Promise((resolve, reject) => {
      this.queue.push({ lease, crashes: 0, resolve, reject });
      this.feed();
    });
  }

  feed() {
    if (this.closed || !this.child.ready) return;
    const { taken, works } = this.child;
    if (taken >= this.tasksPerChild && works.size === 0) {
      this.replace(); // two executors must not share a checkout, so only when nothing runs
      return;
    }
    while (this.child.taken < HARD * this.tasksPerChild) {
      const work = this.queue.shift();
      if (!work) return;
      this.child.taken++;
      this.child.works.set(work.lease.lease_id, work);
      this.child.channel.write(`${JSON.stringify(work.lease)}\n`);
    }
  }

  /** @param {Child} child @param {any} message */
  hear(child, message) {
    if (message.ready) {
      child.ready = true;
      this.failedStarts = 0;
      clearTimeout(child.deadline);
      this.isReady?.();
    }
    const work = child.works.get(message.leaseId);
    child.works.delete(message.leaseId);
    if (work && message.result) work.resolve(message.result);
    else if (work) work.reject(Object.assign(new Error(message.failed), { kind: message.kind }));
    this.feed();
  }

  /** @param {Child} child @param {string} how */
  buried(child, how) {
    clearTimeout(child.deadline);
    this.end(child); // what its tasks started would go on beside their next attempt
    if (this.closed || child !== this.child) return;
    const again = [...child.works.values()].filter((work) => {
      if (work.crashes++ < 1) return true;
      const error = new Error(`the process running it ended twice in mid-task (${how}): out of memory, perhaps?`);
      work.reject(Object.assign(error, { kind: 'task' }));
      return false;
    });
    this.queue.unshift(...again);
    if (!child.ready && ++this.failedStarts >= STARTS_IN_A_ROW) this.break(how);
    else this.child = this.start();
  }

  /** @param {string} how */
  break(how) {
    const why = `the process that runs Nx could not start, ${this.failedStarts} times in a row (${how})`;
    const error = new Error(`${why}; what it printed stands above`);
    this.closed = true;
    for (const work of this.queue.splice(0)) work.reject(error);
    this.giveUp?.(error);
  }

  /**
   * Nobody wants this task any more: everything it started is ended, and the child too, at once or as soon as nothing
   * else runs in it.
   * @param {string} leaseId
   */
  forget(leaseId) {
    this.queue = this.queue.filter((work) => work.lease.lease_id !== leaseId);
    const { works, taken } = this.child;
    const work = works.get(leaseId);
    if (!work || this.closed) return;
    works.delete(leaseId);
    this.child.taken = Math.max(taken, this.tasksPerChild);
    if (works.size === 0) this.replace();
    endTasks(this.key, [work.lease.task_id]);
  }

  replace() {
    const old = this.child;
    this.child = this.start();
    this.end(old);
  }

  /** Ends it and everything its tasks started. @param {Child} child */
  end(child) {
    clearTimeout(child.deadline);
    try {
      process.kill(-(/** @type {number} */ (child.process.pid)), 'SIGKILL');
    } catch {
      // it has ended by itself
    }
    const works = [...child.works.values()];
    endTasks(this.key, new Set(works.map((work) => work.lease.task_id)));
  }

  close() {
    this.closed = true;
    this.end(this.child);
  }
}

module.exports = { ExecutorPool };
