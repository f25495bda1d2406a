'use strict';
/**
 * The frame every script of this workspace runs in: who am I, how long do I take, was I told to fail.
 *
 * A project's `faults.json` maps a target to what should go wrong with it:
 *   { "build": { "exitCode": 3, "message": "…" } }   fail after writing the outputs
 *   { "build": { "exitCode": 3, "early": true } }    fail before writing them
 *   { "test": { "seconds": 30 } }                    take that long (NX_DTE_EXAMPLE_PACE does not shorten it)
 *   { "test": { "failOnce": "/some/file" } }         fail only if that file does not exist yet, and create it
 */
const fs = require('node:fs');
const path = require('node:path');

const workspaceRoot = path.resolve(__dirname, '../..');

function readJson(file, fallback) {
  if (fallback !== undefined && !fs.existsSync(file)) return fallback;
  return JSON.parse(fs.readFileSync(file, 'utf8'));
}

/** The seconds this task takes: its own, else its target's default. `e2e-ci--a.spec.js` counts as `e2e-ci`. */
function secondsOf(project, target) {
  const paces = readJson(path.join(__dirname, '../pace.json'));
  const ofTarget = paces[target.split('--')[0]] ?? {};
  const seconds = ofTarget[project] ?? ofTarget.default ?? 0.5;
  return seconds * Number(process.env.NX_DTE_EXAMPLE_PACE ?? '1');
}

function sleep(seconds) {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}

/** Whether the fault applies now; a `failOnce` fault is used up by the first task that meets it. */
function isFaulty(fault) {
  if (fault.failOnce === undefined) return fault.exitCode !== undefined;
  if (fs.existsSync(fault.failOnce)) return false;
  fs.writeFileSync(fault.failOnce, 'used\n');
  return true;
}

/**
 * Nx 20 listens until a command's process has ended, not until its output has: on a busy machine it misses what was
 * printed just before. So nothing is.
 */
function outputIsRead() {
  return sleep(0.1);
}

function fail(fault) {
  console.error(fault.message ?? 'told to fail by faults.json');
  process.exitCode = fault.exitCode ?? 1;
}

/**
 * Runs one task's body between its delay and its fault.
 *
 * @param {(task: {project: string, target: string, root: string, args: string[]}) => unknown} body
 */
async function runTask(body) {
  const [root, ...args] = process.argv.slice(2);
  const project = readJson(path.join(workspaceRoot, root, 'project.json')).name;
  const target = process.env.NX_TASK_TARGET_TARGET ?? 'unknown';
  const faults = readJson(path.join(workspaceRoot, root, 'faults.json'), {});
  const fault = faults[target] ?? {};
  console.log(`${project}:${target} works in ${root}`);
  if (args.length > 0) console.log(`arguments: ${args.join(' ')}`);
  await sleep(fault.seconds ?? secondsOf(project, target));
  const faulty = isFaulty(fault);
  if (faulty && fault.early) {
    fail(fault);
    return outputIsRead();
  }
  await body({ project, target, root, args });
  if (faulty) fail(fault);
  await outputIsRead();
}

function main(body) {
  runTask(body).catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}

module.exports = { main, readJson, sleep, workspaceRoot };
