'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const { ExecutorPool } = require('../../src/nx_dte/light_client/bundle/executor-pool.js');
const { processInfo } = require('../../src/nx_dte/light_client/bundle/process-tree.js');

/** Speaks the executor's lines, and does what the task's name says. */
const FAKE_EXECUTOR = `
const net = require('node:net'), readline = require('node:readline'), { spawn } = require('node:child_process');
const agent = new net.Socket({ fd: 3 });
const send = (m) => agent.write(JSON.stringify(m) + '\\n');
agent.on('close', () => process.exit(0));
if (process.env.FAKE_START === 'crash') process.exit(3);
readline.createInterface({ input: agent }).on('line', (line) => {
  const { lease_id: leaseId, task_id: task } = JSON.parse(line);
  if (task === 'ok') send({ leaseId, result: { pid: process.pid } });
  if (task === 'bad') send({ leaseId, failed: 'no such task' });
  if (task === 'crash') process.kill(process.pid, 'SIGKILL');
  if (task === 'hang') console.log('sleeper', spawn('sleep', ['300'], { stdio: 'ignore' }).pid);
});
send({ ready: true });
`;

/** @param {import('node:test').TestContext} t @param {{tasksPerChild?: number, env?: Record<string, string>}} [options] */
function makePool(t, { tasksPerChild, env = {} } = {}) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'nx-dte-test-'));
  fs.writeFileSync(path.join(folder, 'executor.js'), FAKE_EXECUTOR);
  const pool = new ExecutorPool({}, folder, folder, { ...process.env, ...env }, tasksPerChild);
  t.after(() => {
    pool.close();
    fs.rmSync(folder, { recursive: true });
  });
  return pool;
}
let number = 0;
/** @param {string} task @returns {any} */
const lease = (task) => ({ lease_id: `lease-${number++}`, task_id: task });
/** @param {() => boolean} holds */
async function until(holds) {
  for (const end = Date.now() + 10_000; !holds(); await new Promise((resolve) => setTimeout(resolve, 10))) {
    assert.ok(Date.now() < end, 'it did not come about in 10 s');
  }
}

test('tasks run in one child, and a failed one only fails itself', async (t) => {
  const pool = makePool(t);
  const [a, b] = await Promise.all([pool.run(lease('ok')), pool.run(lease('ok'))]);
  assert.equal(a.pid, b.pid);
  await assert.rejects(pool.run(lease('bad')), /no such task/);
  assert.equal((await pool.run(lease('ok'))).pid, a.pid);
});

test('the child is replaced after so many tasks, and nothing is lost meanwhile', async (t) => {
  const pool = makePool(t, { tasksPerChild: 2 });
  const results = await Promise.all(Array.from({ length: 7 }, () => pool.run(lease('ok'))));
  const counts = new Map();
  for (const { pid } of results) counts.set(pid, (counts.get(pid) ?? 0) + 1);
  assert.deepEqual([...counts.values()], [2, 2, 2, 1]);
});

test('a crash gives every task of the child one more try; the second is the task’s failure', async (t) => {
  const pool = makePool(t);
  await pool.ready;
  const crashing = pool.run(lease('crash'));
  await assert.rejects(crashing, /ended twice in mid-task \(SIGKILL\)/);
  assert.ok((await pool.run(lease('ok'))).pid, 'the pool goes on');
});

test('a child that cannot start is told at once, not waited for', async (t) => {
  const pool = makePool(t, { env: { FAKE_START: 'crash' } });
  const waiting = pool.run(lease('ok'));
  await assert.rejects(pool.ready, /could not start \(code 3\)/);
  await assert.rejects(waiting, /could not start/);
});

test('forgetting the last task of a child ends it with everything it started', async (t) => {
  const pool = makePool(t);
  await pool.ready;
  const hanging = lease('hang');
  pool.run(hanging).catch(() => {});
  const { pid } = /** @type {{pid: number}} */ (/** @type {any} */ (pool).child.process);
  const children = () => fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  await until(() => children() !== '');
  const sleeper = Number(children());
  pool.forget(hanging.lease_id);
  await until(() => processInfo(pid) === null && processInfo(sleeper) === null);
  assert.ok((await pool.run(lease('ok'))).pid);
});
