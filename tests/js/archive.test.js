'use strict';
/** Artifacts survive the way through an archive unchanged, other tools agree on the format, and packing is honest. */
const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');
const { setImmediate: nextTurn } = require('node:timers/promises');
const {
  MAX_TERMINAL_OUTPUT_BYTES,
  packArchive,
  unpackArchive,
} = require('../../src/nx_dte/light_client/bundle/archive.js');
const { digestOf, pack, plant, scratch, snapshot, unpackBytes } = require('./archive-support.js');

const LONG_PART = 'l'.repeat(120);
const DEEP = `dist/${LONG_PART}/${LONG_PART}/${LONG_PART}/deep.txt`;
const UNICODE = 'dist/ünï/日本語 😀.txt';

/** A tree with everything that has to survive. @param {string} root */
function plantEverything(root) {
  plant(root, {
    'dist/plain.txt': 'plain',
    'dist/empty.txt': '',
    'dist/block.txt': 'b'.repeat(512),
    'dist/run.sh': '#!/bin/sh\n',
    'dist/secret': 'x',
    'dist/sticky': 'x',
    'dist/hollow': null,
    'dist/closed/inside.txt': 'in',
    'dist/link': '->plain.txt',
    'dist/closed/up': '->../../coverage',
    'dist/dangling': '->./not/there',
    [`dist/${'h'.repeat(95)}`]: 'exactly 100',
    [`dist/to-${'h'.repeat(95)}`]: `->${'h'.repeat(95)}`,
    'dist/long-link': `->${LONG_PART}/${LONG_PART}/${LONG_PART}/deep.txt`,
    [DEEP]: 'deep',
    [UNICODE]: 'snowman ☃',
    'coverage/lcov.info': 'TN:',
    'report.xml': '<xml/>',
    'unrelated.txt': 'stays at home',
  });
  fs.chmodSync(path.join(root, 'dist/run.sh'), 0o755);
  fs.chmodSync(path.join(root, 'dist/secret'), 0o400);
  fs.chmodSync(path.join(root, 'dist/sticky'), 0o1644);
  fs.chmodSync(path.join(root, 'dist/hollow'), 0o711);
  fs.chmodSync(path.join(root, 'dist/closed'), 0o555);
  return root;
}

const PATHS = ['dist', 'coverage/lcov.info', 'report.xml', 'missing', 'report.xml/below', 'dist/plain.txt'];

/** @param {string} root */
function expectedOutputs(root) {
  const all = snapshot(root);
  delete all['unrelated.txt'];
  return all;
}

test('outputs, terminal output and code come back as they were', async (t) => {
  const base = scratch(t);
  const origin = plantEverything(path.join(base, 'origin'));
  const destination = plant(path.join(base, 'clone'), {});
  const packed = await pack(origin, PATHS, path.join(base, 'a.tgz'));
  const bytes = fs.readFileSync(packed.file);
  assert.equal(packed.digest, digestOf(bytes));
  assert.equal(packed.size, bytes.length);
  for (const step of [1, 511, 100_000]) {
    const result = await unpackBytes(bytes, destination, {}, step);
    assert.equal(result.terminalOutput, 'ünïcode ✓\n');
    assert.equal(result.code, 3);
    assert.ok(result.files.includes(UNICODE) && result.files.includes(DEEP) && result.files.includes('dist/link'));
    assert.ok(result.files.includes('dist/hollow'), 'directories of the archive are named too');
    assert.deepEqual([...packed.files].sort(), [...result.files].sort());
    assert.deepEqual(snapshot(destination), expectedOutputs(origin)); // the 2nd and 3rd time over the 1st
  }
  assert.deepEqual(fs.readdirSync(base).sort(), ['a.tgz', 'clone', 'origin']);
});

test('equal trees give equal bytes, whatever their times and the order of paths', async (t) => {
  const base = scratch(t);
  const one = plantEverything(path.join(base, 'one'));
  const two = plantEverything(path.join(base, 'two'));
  fs.utimesSync(path.join(two, 'dist/plain.txt'), 1, 1);
  const first = await pack(one, PATHS, path.join(base, '1.tgz'));
  const second = await pack(
    two,
    [...PATHS].reverse().map((each) => `./${each}/`),
    path.join(base, '2.tgz'),
  );
  assert.equal(first.digest, second.digest);
});

test('setuid and setgid bits are packed and never unpacked', async (t) => {
  const base = scratch(t);
  const origin = plant(path.join(base, 'origin'), { 'dist/tool': 'x' });
  fs.chmodSync(path.join(origin, 'dist/tool'), 0o6755);
  const { file } = await pack(origin, ['dist'], path.join(base, 'a.tgz'));
  const listing = execFileSync('tar', ['-tvzf', file], { encoding: 'utf8' });
  assert.match(listing, /-rwsr-sr-x .*outputs\/dist\/tool/);
  const destination = plant(path.join(base, 'clone'), {});
  await unpackBytes(fs.readFileSync(file), destination);
  assert.match(snapshot(destination)['dist/tool'] ?? '', /^file 755 /);
});

test('GNU tar and Python read what is packed', async (t) => {
  const base = scratch(t);
  const origin = plantEverything(path.join(base, 'origin'));
  const { file } = await pack(origin, PATHS, path.join(base, 'a.tgz'));
  const readers = {
    gnu: ['tar', '-xpzf', file, '-C'],
    python: ['python3', '-c', 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])', file],
  };
  for (const [reader, [command, ...args]] of Object.entries(readers)) {
    const target = plant(path.join(base, reader), {});
    execFileSync(/** @type {string} */ (command), [...args, target], { stdio: ['ignore', 'pipe', 'pipe'] });
    assert.deepEqual(snapshot(path.join(target, 'outputs')), expectedOutputs(origin), reader);
    assert.equal(fs.readFileSync(path.join(target, 'terminal-output'), 'utf8'), 'ünïcode ✓\n');
    assert.equal(fs.readFileSync(path.join(target, 'code'), 'utf8'), '3');
  }
});

const PYTHON_MAKER = `
import sys, tarfile
with tarfile.open(sys.argv[2], "w:gz", format=getattr(tarfile, sys.argv[1])) as tar:
    for name in ("code", "terminal-output", "outputs"):
        tar.add(sys.argv[3] + "/" + name, name)
`;
const MAKERS = {
  'GNU tar, gnu format': ['tar', '--format=gnu'],
  'GNU tar, pax format': ['tar', '--format=posix'],
  'Python, pax format': ['python3', '-c', PYTHON_MAKER, 'PAX_FORMAT'],
  'Python, gnu format': ['python3', '-c', PYTHON_MAKER, 'GNU_FORMAT'],
};

for (const [maker, [command, ...args]] of Object.entries(MAKERS)) {
  test(`an archive made by ${maker} is unpacked`, async (t) => {
    const base = scratch(t);
    const source = plantEverything(path.join(base, 'made/outputs'));
    fs.linkSync(path.join(source, 'dist/plain.txt'), path.join(source, 'dist/twin.txt'));
    plant(path.join(base, 'made'), { code: '0', 'terminal-output': 'hello' });
    const file = path.join(base, 'a.tgz');
    const tail =
      command === 'tar'
        ? ['-czf', file, '-C', path.join(base, 'made'), 'code', 'terminal-output', 'outputs']
        : [file, path.join(base, 'made')];
    execFileSync(/** @type {string} */ (command), [...args, ...tail]);
    const destination = plant(path.join(base, 'clone'), {});
    const result = await unpackBytes(fs.readFileSync(file), destination);
    assert.equal(result.terminalOutput, 'hello');
    assert.deepEqual(snapshot(destination), snapshot(source));
  });
}

test('a prefixed ustar name is unpacked', async (t) => {
  const base = scratch(t);
  const part = 'p'.repeat(80);
  const source = plant(path.join(base, 'made'), { code: '0', 'terminal-output': '', [`outputs/${part}/${part}`]: 'x' });
  const file = path.join(base, 'a.tgz');
  execFileSync('tar', ['--format=ustar', '-czf', file, '-C', source, 'code', 'terminal-output', 'outputs']);
  const destination = plant(path.join(base, 'clone'), {});
  assert.deepEqual((await unpackBytes(fs.readFileSync(file), destination)).files, [part, `${part}/${part}`]);
});

test('a large file passes through little memory', async (t) => {
  const base = scratch(t);
  const origin = plant(path.join(base, 'origin'), { 'dist/big': '' });
  fs.truncateSync(path.join(origin, 'dist/big'), 400 * 1024 * 1024);
  const destination = plant(path.join(base, 'clone'), {});
  const before = process.memoryUsage.rss();
  let most = before;
  const sampling = setInterval(() => {
    most = Math.max(most, process.memoryUsage.rss());
  }, 2);
  t.after(() => clearInterval(sampling));
  const { file, digest } = await pack(origin, ['dist'], path.join(base, 'a.tgz'));
  await unpackArchive({ stream: fs.createReadStream(file), digest, destination });
  assert.equal(fs.statSync(path.join(destination, 'dist/big')).size, 400 * 1024 * 1024);
  assert.ok(most - before < 64 * 1024 * 1024, `grew by ${most - before} bytes`);
});

test('an absolute link into the workspace leads into the new workspace', async (t) => {
  const base = scratch(t);
  const origin = path.join(base, 'origin');
  plant(origin, { 'dist/a.txt': 'a', 'dist/link': `->${origin}/dist/a.txt`, 'dist/root': `->${origin}` });
  const { file } = await pack(origin, ['dist'], path.join(base, 'a.tgz'));
  const destination = plant(path.join(base, 'clone'), {});
  await unpackBytes(fs.readFileSync(file), destination);
  assert.equal(fs.readlinkSync(path.join(destination, 'dist/link')), `${destination}/dist/a.txt`);
  assert.equal(fs.readFileSync(path.join(destination, 'dist/link'), 'utf8'), 'a');
  assert.equal(path.resolve(fs.readlinkSync(path.join(destination, 'dist/root'))), destination);
});

test('packing refuses what unpacking would refuse, and leaves no file', async (t) => {
  const base = scratch(t);
  const origin = plant(path.join(base, 'origin'), {
    'out/link': '->../../elsewhere',
    'abs/link': '->/etc',
    'ok/a': 'a',
  });
  execFileSync('mkfifo', [path.join(origin, 'fifo')]);
  const file = path.join(base, 'a.tgz');
  const cases = {
    out: 'unsafe_link',
    abs: 'unsafe_link',
    fifo: 'unsupported_type',
    '../x': 'unsafe_path',
    '/etc': 'unsafe_path',
    '.': 'unsafe_path',
  };
  for (const [each, code] of Object.entries(cases)) {
    await assert.rejects(pack(origin, ['ok', each], file), { name: 'ArchiveError', code }, each);
    assert.ok(!fs.existsSync(file), each);
  }
  const terminalOutput = 'x'.repeat(MAX_TERMINAL_OUTPUT_BYTES + 1);
  await assert.rejects(packArchive({ root: origin, paths: [], terminalOutput, code: 0, file }), { code: 'too_large' });
  await assert.rejects(pack(origin, ['ok'], path.join(base, 'no/such/a.tgz')), { code: 'io_failed' });
});

for (const [change, size] of Object.entries({ shrinks: 10, grows: 40_000_000 })) {
  test(`a file that ${change} while it is packed is an error`, async (t) => {
    const base = scratch(t);
    const origin = plant(path.join(base, 'origin'), { 'dist/a': '' });
    const changing = path.join(origin, 'dist/a');
    fs.truncateSync(changing, 30_000_000);
    const file = path.join(base, 'a.tgz');
    const packing = pack(origin, ['dist'], file);
    const failed = assert.rejects(packing, { code: 'changed', message: /"dist\/a" (shrank|grew)/ });
    while (!fs.existsSync(file) || fs.statSync(file).size === 0) await nextTurn();
    fs.truncateSync(changing, size);
    await failed;
    assert.ok(!fs.existsSync(file));
  });
}
