'use strict';
/**
 * Processes, as /proc shows them: the job's shell, and what a task started.
 *
 * The job's shell is found from inside `yarn nx-cloud …`. GitLab Runner feeds a job's script to one bash which leads the
 * process group of everything it starts (shell and docker executor alike), so the group leader is that shell. Where it
 * is not (an interactive shell gives each command its own group), the nearest shell outside the node processes is.
 */
const fs = require('node:fs');

const SHELLS = new Set(['sh', 'bash', 'dash', 'ash', 'zsh', 'ksh', 'busybox']);

/**
 * @typedef {{pid: number, name: string, parent: number, group: number, startedAt: string}} ProcessInfo
 * startedAt: in clock ticks since boot; with the pid it names a process for good (pids are used again).
 */

/** Reads /proc/<pid>/stat (proc(5): fields 1, 2, 4, 5, 22). @param {number} pid @returns {ProcessInfo | null} */
function processInfo(pid) {
  try {
    const text = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    const end = text.lastIndexOf(')'); // the name may itself hold spaces and brackets
    const fields = text.slice(end + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return null; // ended, only not yet waited for
    const name = text.slice(text.indexOf('(') + 1, end);
    return { pid, name, parent: Number(fields[1]), group: Number(fields[2]), startedAt: fields[19] ?? '' };
  } catch {
    return null;
  }
}

/** @param {number} pid @param {(pid: number) => ProcessInfo | null} read @returns {ProcessInfo[]} nearest first */
function ancestors(pid, read) {
  const found = [];
  for (let info = read(pid); info && info.parent > 0 && found.length < 64; found.push(info)) {
    info = read(info.parent);
    if (!info) break;
  }
  return found;
}

/**
 * @param {number} [pid] @param {(pid: number) => ProcessInfo | null} [read]
 * @returns {ProcessInfo | null} null where there is no /proc
 */
function jobShell(pid = process.pid, read = processInfo) {
  const self = read(pid);
  const line = ancestors(pid, read);
  const leader = line.find((ancestor) => ancestor.pid === self?.group);
  if (leader && SHELLS.has(leader.name)) return leader;
  const lastNode = line.map((ancestor) => /^(node|yarn|npm|npx|pnpm|MainThread)/.test(ancestor.name)).lastIndexOf(true);
  const outside = line.slice(lastNode + 1);
  return outside.find((ancestor) => SHELLS.has(ancestor.name)) ?? outside[0] ?? null;
}

/** @param {ProcessInfo} known */
const isAlive = (known) => processInfo(known.pid)?.startedAt === known.startedAt;

/** @param {number} pid @returns {Map<string, string>} as it was when the program started */
function environmentOf(pid) {
  try {
    const pairs = fs.readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
    return new Map(pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]));
  } catch {
    return new Map(); // gone, or somebody else's
  }
}

/**
 * What an agent's tasks started, in whatever session it is by now: Nx names the task in the environment of each process
 * it starts, and the agent's key is inherited too. Whatever those started belongs to it, with any environment.
 * @param {string} agentKey @param {Iterable<string>} taskIds @returns {Set<number>}
 */
function processesOfTasks(agentKey, taskIds) {
  const wanted = new Set(taskIds);
  /** @type {Set<number>} */
  const found = new Set();
  if (wanted.size === 0) return found;
  /** @type {Map<number, number>} */
  const parents = new Map();
  for (const pid of fs.existsSync('/proc') ? fs.readdirSync('/proc').map(Number).filter(Boolean) : []) {
    const info = pid === process.pid ? null : processInfo(pid);
    if (!info) continue;
    parents.set(pid, info.parent);
    const env = environmentOf(pid);
    const task = ['PROJECT', 'TARGET', 'CONFIGURATION'].map((part) => env.get(`NX_TASK_TARGET_${part}`));
    if (env.get('NX_DTE_AGENT_ID') === agentKey && wanted.has(task.filter(Boolean).join(':'))) found.add(pid);
  }
  for (let before = -1; before < found.size; ) {
    before = found.size;
    for (const [pid, parent] of parents) if (found.has(parent)) found.add(pid);
  }
  return found;
}

/** Several rounds, since one that is being looked for may start another. @param {string} agentKey @param {Iterable<string>} taskIds */
function endTasks(agentKey, taskIds) {
  for (let round = 0; round < 5; round++) {
    const found = processesOfTasks(agentKey, taskIds);
    if (found.size === 0) return;
    for (const pid of found) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // it has just ended by itself
      }
    }
  }
}

module.exports = { processInfo, jobShell, isAlive, endTasks };
