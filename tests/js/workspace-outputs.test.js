'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const { WorkspaceOutputs } = require('../../src/nx_dte/light_client/bundle/workspace-outputs.js');

/** Artifacts as name → files; restoring writes them. @param {Record<string, Record<string, string>>} artifacts */
const fakeCoordinator = (artifacts) => ({
  /** @type {string[]} */
  restored: [],
  /** @param {string} artifactId @param {string} destination */
  async restore(artifactId, destination) {
    this.restored.push(artifactId);
    const files = artifacts[artifactId] ?? {};
    const folders = new Set();
    for (const [file, content] of Object.entries(files)) {
      const place = path.join(destination, file);
      fs.mkdirSync(path.dirname(place), { recursive: true });
      fs.writeFileSync(place, content);
      for (let up = path.dirname(file); up !== '.'; up = path.dirname(up)) folders.add(up);
    }
    return { files: [...folders, ...Object.keys(files)], terminalOutput: '', code: 0 };
  },
});

/** @param {import('node:test').TestContext} t @param {Record<string, Record<string, string>>} artifacts */
function setUp(t, artifacts) {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'nx-dte-test-'));
  t.after(() => fs.rmSync(root, { recursive: true }));
  const coordinator = fakeCoordinator(artifacts);
  const journal = path.join(root, '.nx', 'outputs.jsonl');
  return { root, coordinator, journal, outputs: new WorkspaceOutputs(coordinator, root, journal) };
}
/** @param {string} root @param {string} file */
const read = (root, file) =>
  fs.existsSync(path.join(root, file)) ? fs.readFileSync(path.join(root, file), 'utf8') : null;

test('the same artifact is restored once, also when many ask at the same time', async (t) => {
  const { coordinator, outputs } = setUp(t, { a1: { 'dist/a/x': '1' } });
  await Promise.all([1, 2, 3].map(() => outputs.ensure(['dist/a'], 'a1')));
  await outputs.ensure(['dist/a'], 'a1');
  assert.deepEqual(coordinator.restored, ['a1']);
});

test('what an earlier invocation left and this one does not have is gone; others’ files stay', async (t) => {
  const { root, outputs } = setUp(t, {
    dev: { 'dist/a/dev/x.js': 'dev', 'dist/a/both.js': 'dev' },
    prod: { 'dist/a/both.js': 'prod' },
  });
  await outputs.ensure(['dist/a'], 'dev');
  fs.writeFileSync(path.join(root, 'dist/a/of-another-task'), 'kept');
  await outputs.ensure(['dist/a'], 'prod');
  assert.equal(read(root, 'dist/a/both.js'), 'prod');
  assert.equal(fs.existsSync(path.join(root, 'dist/a/dev')), false);
  assert.equal(read(root, 'dist/a/of-another-task'), 'kept');
});

test('a process that follows reads from the journal what is there', async (t) => {
  const { root, coordinator, journal, outputs } = setUp(t, {
    a1: { 'dist/a/x': '1', 'dist/a/y': '1' },
    a2: { 'dist/a/x': '2' },
  });
  await outputs.ensure(['dist/a'], 'a1');
  const next = new WorkspaceOutputs(coordinator, root, journal);
  await next.ensure(['dist/a'], 'a1');
  assert.deepEqual(coordinator.restored, ['a1']);
  await next.ensure(['dist/a'], 'a2');
  assert.equal(read(root, 'dist/a/x'), '2');
  assert.equal(read(root, 'dist/a/y'), null);
});

test('a failed restore is not remembered as done', async (t) => {
  const { coordinator, outputs } = setUp(t, { a1: { 'dist/a/x': '1' } });
  const restore = coordinator.restore;
  coordinator.restore = async () => {
    throw new Error('cut');
  };
  await assert.rejects(outputs.ensure(['dist/a'], 'a1'), /cut/);
  coordinator.restore = restore;
  await outputs.ensure(['dist/a'], 'a1');
  assert.deepEqual(coordinator.restored, ['a1']);
});
