'use strict';
/**
 * Starts the executor child, feeds it leases, and replaces it: before it leaks (Nx 20 to 23 hold memory per task), and
 * after a crash (its tasks get one more try in a fresh child; a second crash is the task's own failure).
 */
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const readline = require('node:readline');

const TASKS_PER_CHILD = 200;

/** @typedef {import('./executor').Lease} Lease */
/** @typedef {{lease: Lease, crashes: number, resolve: (result: any) => void, reject: (error: Error) => void}} Work */
/** @typedef {{process: import('node:child_process').ChildProcess, channel: import('node:net').Socket, ready: boolean, taken: number, works: Map<string, Work>}} Child */

class ExecutorPool {
  /**
   * @param {object} config see Executor @param {string} bundle folder with executor.js
   * @param {string} folder of this agent's own @param {NodeJS.ProcessEnv} env @param {number} [tasksPerChild]
   */
  constructor(config, bundle, folder, env, tasksPerChild = TASKS_PER_CHILD) {
    this.tasksPerChild = tasksPerChild;
    this.configFile = path.join(folder, 'executor.json');
    fs.writeFileSync(this.configFile, JSON.stringify(config), { mode: 0o600 });
    this.script = path.join(bundle, 'executor.js');
    this.env = { ...env, NX_DTE_EXECUTOR: this.configFile };
    /** @type {Work[]} */
    this.queue = [];
    this.closed = false;
    /** Settles when the first child can run tasks; rejects when it never will. @type {Promise<void>} */
    this.ready = new Promise((resolve, reject) => {
      this.settle = { resolve, reject };
    });
    this.ready.catch(() => {}); // whoever waits for it hears of it
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
    readline.createInterface({ input: channel }).on('line', (line) => this.hear(child, JSON.parse(line)));
    spawned.on('error', () => {}); // 'exit' follows
    spawned.on('exit', (code, signal) => this.buried(child, signal ?? `code ${code}`));
    return child;
  }

  /** @param {Lease} lease @returns {Promise<any>} the report's fields */
  run(lease) {
    return new Promise((resolve, reject) => {
      this.queue.push({ lease, crashes: 0, resolve, reject });
      this.feed();
    });
  }

  feed() {
    if (this.closed || !this.child.ready) return;
    if (this.child.taken >= this.tasksPerChild) {
      if (this.child.works.size > 0) return; // drained first: two executors must not share a checkout
      this.replace();
      return;
    }
    while (this.child.taken < this.tasksPerChild) {
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
      this.settle?.resolve();
    }
    const work = child.works.get(message.leaseId);
    child.works.delete(message.leaseId);
    if (work && message.result) work.resolve(message.result);
    else if (work) work.reject(new Error(message.failed));
    this.feed();
  }

  /** @param {Child} child @param {string} how */
  buried(child, how) {
    if (this.closed || child !== this.child) return;
    const wasReady = child.ready;
    const again = [...child.works.values()].filter((work) => {
      if (work.crashes++ < 1) return true;
      work.reject(new Error(`the process running it ended twice in mid-task (${how}): out of memory, perhaps?`));
      return false;
    });
    if (!wasReady) {
      const error = new Error(`the process that runs Nx could not start (${how}); its error stands above`);
      for (const work of [...again, ...this.queue]) work.reject(error);
      this.queue = [];
      this.closed = true;
      this.settle?.reject(error);
      return;
    }
    this.queue.unshift(...again);
    this.child = this.start();
  }

  /** Nobody wants this task any more; once a child runs nothing else, it is ended with all its tasks. @param {string} leaseId */
  forget(leaseId) {
    this.queue = this.queue.filter((work) => work.lease.lease_id !== leaseId);
    if (!this.child.works.delete(leaseId) || this.child.works.size > 0 || this.closed) return;
    this.replace();
  }

  replace() {
    const old = this.child;
    this.child = this.start();
    this.end(old);
  }

  /** @param {Child} child */
  end(child) {
    try {
      process.kill(-(/** @type {number} */ (child.process.pid)), 'SIGKILL');
    } catch {
      // it has ended by itself
    }
  }

  close() {
    this.closed = true;
    this.end(this.child);
  }
}

module.exports = { ExecutorPool };
