'use strict';
const assert = require('node:assert/strict');
const { spawn, execFileSync } = require('node:child_process');
const path = require('node:path');
const { test } = require('node:test');
const { isAlive, jobShell, processInfo } = require('../../src/nx_dte/light_client/bundle/process-tree.js');

const MODULE = path.resolve(__dirname, '../../src/nx_dte/light_client/bundle/process-tree.js');

/** A fake /proc: pid → name, parent, group. @param {Record<number, [string, number, number]>} table */
const proc = (table) => (/** @type {number} */ pid) => {
  const row = table[pid];
  return row ? { pid, name: row[0], parent: row[1], group: row[2], startedAt: '1' } : null;
};

test('the group leader is the job’s shell, through yarn and nested shells (shell executor)', () => {
  const tree = proc({
    10: ['gitlab-runner', 1, 10],
    20: ['bash', 10, 20],
    21: ['bash', 20, 20],
    22: ['node', 21, 20],
    23: ['sh', 22, 20],
    24: ['node', 23, 20],
  });
  assert.equal(jobShell(24, tree)?.pid, 20);
});

test('in a container the shell may be process 1', () => {
  const tree = proc({ 1: ['bash', 0, 1], 7: ['bash', 1, 1], 8: ['node', 7, 1], 9: ['sh', 8, 1], 11: ['node', 9, 1] });
  assert.equal(jobShell(11, tree)?.pid, 1);
});

test('with job control each command leads its own group: the shell above node is taken', () => {
  const tree = proc({
    5: ['sshd', 1, 5],
    6: ['bash', 5, 6],
    30: ['node', 6, 30],
    31: ['sh', 30, 30],
    32: ['node', 31, 30],
  });
  assert.equal(jobShell(32, tree)?.pid, 6);
});

test('no shell at all: the nearest process outside node is taken', () => {
  const tree = proc({ 5: ['python3', 1, 5], 30: ['node', 5, 30], 32: ['node', 30, 30] });
  assert.equal(jobShell(32, tree)?.pid, 5);
});

test('a real bash -c script is found from a node below sh', () => {
  const print = `const s = require(${JSON.stringify(MODULE)}).jobShell(); console.log(s.name, s.pid)`;
  const script = `echo $$; sh -c '"$NODE" -e "$PRINT"; true'; true`;
  const output = execFileSync('setsid', ['--wait', 'bash', '-c', script], {
    encoding: 'utf8',
    env: { ...process.env, NODE: process.execPath, PRINT: print },
  });
  const [pid, found] = output.trim().split('\n');
  assert.equal(found, `bash ${pid}`);
});

test('a process is dead once ended, even before its parent has waited for it', async () => {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' });
  const info = processInfo(/** @type {number} */ (child.pid));
  assert.ok(info && isAlive(info));
  assert.ok(!isAlive({ ...info, startedAt: '0' }), 'the same pid with another start time is somebody else');
  const ended = new Promise((resolve) => child.on('exit', resolve));
  child.kill('SIGKILL');
  await ended;
  assert.ok(!isAlive(info));
});
