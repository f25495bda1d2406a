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
let config;
readline.createInterface({ input: agent }).on('line', (line) => {
  if (!config) {
    config = JSON.parse(line);
    if (process.env.FAKE_START !== 'hang') send({ ready: true });
    return;
  }
  const { lease_id: leaseId, task_id: task } = JSON.parse(line);
  if (task === 'ok') send({ leaseId, result: { pid: process.pid } });
  if (task === 'bad') send({ leaseId, failed: 'no such task', kind: 'task' });
  if (task === 'away') send({ leaseId, failed: 'no coordinator', kind: 'away' });
  if (task === 'crash') process.kill(process.pid, 'SIGKILL');
  if (task.startsWith('away:')) {
    const [, target] = task.split(':');
    const env = { ...process.env, NX_TASK_TARGET_PROJECT: 'away', NX_TASK_TARGET_TARGET: target };
    const started = spawn('sh', ['-c', 'env -i sleep 300 & wait'], { detached: true, stdio: 'ignore', env });
    require('node:fs').writeFileSync(process.env.FAKE_PIDS + target, String(started.pid));
  }
  if (task === 'hang') console.log('sleeper', spawn('sleep', ['300'], { stdio: 'ignore' }).pid);
});
`;

/** @param {import('node:test').TestContext} t @param {{tasksPerChild?: number, readyWithinMs?: number, env?: Record<string, string>}} [options] */
function makePool(t, { env = {}, ...limits } = {}) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'nx-dte-test-'));
  fs.writeFileSync(path.join(folder, 'executor.js'), FAKE_EXECUTOR);
  const pool = new ExecutorPool({ token: 'secret' }, folder, { ...process.env, ...env }, limits);
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
  await assert.rejects(pool.run(lease('bad')), { message: 'no such task', kind: 'task' });
  await assert.rejects(pool.run(lease('away')), { message: 'no coordinator', kind: 'away' });
  assert.equal((await pool.run(lease('ok'))).pid, a.pid);
});

/** How many of the tasks each child ran. @param {{pid: number}[]} results */
const shares = (results) => {
  const counts = new Map();
  for (const { pid } of results) counts.set(pid, (counts.get(pid) ?? 0) + 1);
  return [...counts.values()];
};

test('an idle child is replaced after so many tasks', async (t) => {
  const pool = makePool(t, { tasksPerChild: 2 });
  const results = [];
  for (let count = 0; count < 5; count++) results.push(await pool.run(lease('ok')));
  assert.deepEqual(shares(results), [2, 2, 1]);
});

test('a child that is never idle is drained in the end, and nothing is lost meanwhile', async (t) => {
  const pool = makePool(t, { tasksPerChild: 2 });
  const results = await Promise.all(Array.from({ length: 23 }, () => pool.run(lease('ok'))));
  assert.deepEqual(shares(results), [10, 10, 3]);
});

test('a crash gives every task of the child one more try; the second is the task’s failure', async (t) => {
  const pool = makePool(t);
  await pool.ready;
  const crashing = pool.run(lease('crash'));
  await assert.rejects(crashing, /ended twice in mid-task \(SIGKILL\)/);
  assert.ok((await pool.run(lease('ok'))).pid, 'the pool goes on');
});

for (const [how, limits] of /** @type {const} */ ([
  ['crash', {}],
  ['hang', { readyWithinMs: 50 }],
])) {
  test(`children that ${how} at their start are given up, with every task that waits`, async (t) => {
    const pool = makePool(t, { env: { FAKE_START: how }, ...limits });
    const waiting = assert.rejects(pool.run(lease('ok')), /could not start, 3 times in a row/);
    await assert.rejects(pool.broken, /could not start, 3 times in a row/);
    await waiting;
    await assert.rejects(pool.run(lease('ok')), /ending/);
  });
}

test('a crash ends what the tasks had started', async (t) => {
  const pool = makePool(t);
  await pool.ready;
  pool.run(lease('hang')).catch(() => {});
  const { pid } = /** @type {{pid: number}} */ (/** @type {any} */ (pool).child.process);
  const children = () => fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  await until(() => children() !== '');
  const sleeper = Number(children());
  process.kill(pid, 'SIGKILL');
  await until(() => processInfo(sleeper) === null);
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

/** The session a fake task has made for itself, and the process in it that has no environment. @param {string} file */
async function escaped(file) {
  await until(() => fs.existsSync(file) && fs.readFileSync(file, 'utf8') !== '');
  const leader = Number(fs.readFileSync(file, 'utf8'));
  const children = () => fs.readFileSync(`/proc/${leader}/task/${leader}/children`, 'utf8').trim();
  await until(() => children() !== '');
  return [leader, Number(children())];
}
const areGone = (/** @type {number[]} */ pids) => pids.every((pid) => processInfo(pid) === null);

test('a task taken back is ended in whatever session it runs, and its neighbour runs on', async (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'nx-dte-test-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  const pool = makePool(t, { env: { FAKE_PIDS: `${folder}/`, NX_DTE_AGENT_ID: `test-${process.pid}` } });
  await pool.ready;
  const [hung, neighbour] = [lease('away:hung'), lease('away:fine')];
  for (const each of [hung, neighbour]) pool.run(each).catch(() => {});
  const [ofHung, ofNeighbour] = [await escaped(`${folder}/hung`), await escaped(`${folder}/fine`)];
  const { pid } = /** @type {any} */ (pool).child.process;

  pool.forget(hung.lease_id);

  await until(() => areGone(ofHung));
  assert.ok(ofNeighbour.every((each) => processInfo(each) !== null));
  assert.equal((await pool.run(lease('ok'))).pid, pid, 'its executor has other work to end first');

  pool.forget(neighbour.lease_id);

  await until(() => areGone([pid, ...ofNeighbour]));
  assert.notEqual((await pool.run(lease('ok'))).pid, pid, 'then comes a fresh one');
});

test('a crash ends its tasks in their sessions too, before they get their second try', async (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'nx-dte-test-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  const pool = makePool(t, { env: { FAKE_PIDS: `${folder}/`, NX_DTE_AGENT_ID: `test-${process.pid}` } });
  await pool.ready;
  pool.run(lease('away:hung')).catch(() => {});
  const first = await escaped(`${folder}/hung`);
  process.kill(/** @type {any} */ (pool).child.process.pid, 'SIGKILL');
  await until(() => areGone(first));
});
