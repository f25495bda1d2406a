'use strict';
/** A hostile, damaged or interrupted archive changes nothing; a sound one replaces what is in its way. */
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { Readable } = require('node:stream');
const test = require('node:test');
const zlib = require('node:zlib');
const { MAX_TERMINAL_OUTPUT_BYTES, unpackArchive } = require('../../src/nx_dte/light_client/bundle/archive.js');
const { END_OF_ARCHIVE, encodeHeader } = require('../../src/nx_dte/light_client/bundle/tar.js');
const {
  assertRefused,
  becomeUnprivileged,
  craft,
  craftTar,
  digestOf,
  plant,
  scratch,
  snapshot,
  tarEntry,
  unpackBytes,
} = require('./archive-support.js');

/** @typedef {import('./archive-support.js').Crafted} Crafted */

/** A workspace with something to lose, beside something it must not touch. @param {import('node:test').TestContext} t */
function setting(t) {
  const base = scratch(t);
  const workspace = plant(path.join(base, 'workspace'), { 'dist/old.txt': 'old', 'apps/main.js': 'main' });
  plant(base, { 'outside/precious.txt': 'precious' });
  return { base, workspace, before: snapshot(base) };
}

/** @type {(name: string, target: string) => Crafted} */
const symlink = (name, target) => ({ name: `outputs/${name}`, type: 'symlink', target });
/** @type {(name: string, body?: string) => Crafted} */
const file = (name, body = 'new') => ({ name: `outputs/${name}`, body });

/** @type {Record<string, [string, Crafted[]]>} */
const HOSTILE = {
  'an absolute path': ['unsafe_path', [{ name: '/tmp/x' }]],
  'an absolute path under outputs': ['unsafe_path', [file('/etc/x')]],
  'a .. at the start': ['unsafe_path', [{ name: '../x' }]],
  'a .. inside': ['unsafe_path', [file('dist/../../x')]],
  'a .. at the end': ['unsafe_path', [file('dist/..')]],
  'a . part': ['unsafe_path', [file('./x')]],
  'an empty part': ['unsafe_path', [file('dist//x')]],
  'an empty name': ['unsafe_path', [{ name: '' }]],
  'only outputs/ as a file': ['unsafe_path', [{ name: 'outputs/' }]],
  'a NUL in a pax name': ['unsafe_path', [{ name: 'short', records: new Map([['path', 'outputs/a\0b']]) }]],
  'an emptied pax name': ['unsafe_path', [{ name: 'outputs/a', records: new Map([['path', '']]) }]],
  'an unknown root': ['unsafe_path', [{ name: 'elsewhere/x' }]],
  'a name every object has': ['unsafe_path', [{ name: 'constructor' }]],
  'a path of half a million parts': ['unsafe_path', [file(`${'a/'.repeat(500_000)}a`)]],
  'an unknown file': ['unsafe_path', [{ name: 'outputs2' }]],
  'a file in the terminal output': ['unsafe_path', [{ name: 'terminal-output/x' }]],
  'outputs as a link': ['unsafe_path', [{ name: 'outputs', type: 'symlink', target: 'x' }]],
  'code as a link': ['unsafe_path', [{ name: 'code', type: 'symlink', target: 'x' }]],
  'an absolute link': ['unsafe_link', [symlink('dist/a', '/etc/passwd')]],
  'a link one level too high': ['unsafe_link', [symlink('dist/a', '../../outside')]],
  'a link to beside the workspace': ['unsafe_link', [symlink('a', '../workspace-2')]],
  'a link that turns back': ['unsafe_link', [symlink('a', 'dist/../x')]],
  'a link that turns back after a dot': ['unsafe_link', [symlink('a', './dist/..')]],
  'a link to nothing': ['unsafe_link', [symlink('a', '')]],
  'a NUL in a link': ['unsafe_link', [{ ...symlink('a', 'x'), records: new Map([['linkpath', 'x\0y']]) }]],
  'links that climb together': [
    'unsafe_link',
    [file('top/x'), symlink('a/b/c', '../../top'), symlink('climb', 'a/b/c/../..')],
  ],
  'a link rebased from /': [
    'unsafe_link',
    [{ ...symlink('a', '/../../etc'), records: new Map([['NX-DTE.root', '/']]) }],
  ],
  'a path through a link': ['unsafe_path', [symlink('dist/a', '../apps'), file('dist/a/x')]],
  'a path through a file': ['unsafe_path', [file('dist/a'), file('dist/a/x')]],
  'a hard link outside': ['unsafe_link', [{ name: 'outputs/a', type: 'hardlink', target: '/etc/passwd' }]],
  'a hard link to the code': ['unsafe_link', [{ name: 'outputs/a', type: 'hardlink', target: 'code' }]],
  'a hard link without its root': ['unsafe_link', [file('a'), { name: 'outputs/b', type: 'hardlink', target: 'a' }]],
  'a hard link through ..': [
    'unsafe_link',
    [file('a'), { name: 'outputs/b', type: 'hardlink', target: 'outputs/x/../a' }],
  ],
  'a hard link to a link': [
    'unsafe_link',
    [symlink('a', 'b'), { name: 'outputs/c', type: 'hardlink', target: 'outputs/a' }],
  ],
  'a file twice': ['duplicate', [file('a'), file('a')]],
  'a directory twice': [
    'duplicate',
    [
      { name: 'outputs/a/', type: 'directory' },
      { name: 'outputs/a/', type: 'directory' },
    ],
  ],
  'a link over a directory': ['duplicate', [file('a/b'), symlink('a', 'dist')]],
  'a second code': ['duplicate', [{ name: 'code', body: '0' }]],
  'a link with bytes': ['bad_header', [{ ...symlink('a', 'dist'), body: 'x' }]],
  'a negative pax size': ['bad_header', [{ ...file('a'), records: new Map([['size', '-1']]) }]],
  'a senseless pax size': ['bad_header', [{ ...file('a'), records: new Map([['size', 'many']]) }]],
  'a sparse file': ['unsupported_type', [{ ...file('a'), records: new Map([['GNU.sparse.major', '1']]) }]],
};

for (const [what, [code, entries]] of Object.entries(HOSTILE)) {
  test(`refused: ${what}`, async (t) => {
    const { base, workspace, before } = setting(t);
    await assertRefused(base, unpackBytes(craft([file('dist/first'), ...entries]), workspace), before, code);
  });
}

/** Rewrites the header of an entry and corrects its checksum. @param {Buffer} entry @param {(header: Buffer) => void} edit */
function edited(entry, edit) {
  const header = Buffer.from(entry);
  edit(header);
  header.write('        ', 148);
  header.write(
    `${header
      .subarray(0, 512)
      .reduce((sum, byte) => sum + byte)
      .toString(8)
      .padStart(6, '0')}\0`,
    148,
  );
  return header;
}

const sound = tarEntry(file('a', 'body'));
const frame = craftTar([]).subarray(0, -END_OF_ARCHIVE.length);
/** @param {string} body */
const pax = (body) => edited(tarEntry({ name: 'p', body }), (header) => header.write('x', 156));
/** @type {Record<string, [string, Buffer[]]>} */
const MALFORMED = {
  ...Object.fromEntries(
    ['3', '4', '6', 'g', 'S', 'Z'].map((flag) => [
      `type ${flag}`,
      ['unsupported_type', [edited(sound, (header) => header.write(flag, 156)), END_OF_ARCHIVE]],
    ]),
  ),
  'a wrong checksum': ['bad_header', [Buffer.from(sound).fill('9', 100, 101), END_OF_ARCHIVE]],
  'no magic': ['bad_header', [edited(sound, (header) => header.fill(0, 257, 265)), END_OF_ARCHIVE]],
  'a size that is no number': ['bad_header', [edited(sound, (header) => header.write('12x', 124)), END_OF_ARCHIVE]],
  'a negative binary size': ['bad_header', [edited(sound, (header) => header.fill(0xff, 124, 136)), END_OF_ARCHIVE]],
  'a huge binary size': ['bad_header', [edited(sound, (header) => header.fill(0x80, 124, 136)), END_OF_ARCHIVE]],
  'a name that is not UTF-8': ['bad_header', [edited(sound, (header) => header.fill(0xff, 8, 9)), END_OF_ARCHIVE]],
  'a pax record without length': ['bad_header', [pax('path=x\n'), sound, END_OF_ARCHIVE]],
  'a pax record too long': ['bad_header', [pax('99 path=x\n'), sound, END_OF_ARCHIVE]],
  'a pax record too short': ['bad_header', [pax('3 path=x\n'), sound, END_OF_ARCHIVE]],
  'a pax record without end': ['bad_header', [pax('9 path=xy'), sound, END_OF_ARCHIVE]],
  'a huge pax header': ['too_large', [pax('x'.repeat(1024 * 1024 + 1)), sound, END_OF_ARCHIVE]],
  'no end mark': ['truncated', [sound]],
  'half an end mark': ['truncated', [sound, END_OF_ARCHIVE.subarray(512)]],
  'a cut entry': ['truncated', [sound.subarray(0, 700)]],
  'a cut header': ['truncated', [sound.subarray(0, 100)]],
  'an entry after the end mark': ['bad_header', [sound, END_OF_ARCHIVE, sound]],
  'an entry inside the end mark': ['bad_header', [sound, END_OF_ARCHIVE.subarray(512), sound, END_OF_ARCHIVE]],
};

for (const [what, [code, parts]] of Object.entries(MALFORMED)) {
  test(`refused: ${what}`, async (t) => {
    const { base, workspace, before } = setting(t);
    const bytes = zlib.gzipSync(Buffer.concat([frame, ...parts]));
    await assertRefused(base, unpackBytes(bytes, workspace), before, code);
  });
}

test('refused: no terminal output, no code, a code that is no number', async (t) => {
  const { base, workspace, before } = setting(t);
  const output = tarEntry({ name: 'terminal-output' });
  for (const parts of [
    [output],
    [tarEntry({ name: 'code', body: '0' })],
    [output, tarEntry({ name: 'code', body: '1e3' })],
  ]) {
    const bytes = zlib.gzipSync(Buffer.concat([...parts, END_OF_ARCHIVE]));
    await assertRefused(base, unpackBytes(bytes, workspace), before, 'incomplete');
  }
});

test('refused: more bytes than allowed, declared or real', async (t) => {
  const { base, workspace, before } = setting(t);
  const bytes = craft([file('a', 'x'.repeat(100_000))]);
  await assertRefused(base, unpackBytes(bytes, workspace, { maxBytes: 100_000 }), before, 'too_large');
  const output = { name: 'terminal-output', type: /** @type {const} */ ('file'), mode: 0o644 };
  const chatty = Buffer.concat([encodeHeader({ ...output, size: MAX_TERMINAL_OUTPUT_BYTES + 1 }), Buffer.alloc(512)]);
  await assertRefused(base, unpackBytes(zlib.gzipSync(chatty), workspace), before, 'too_large');
  assert.deepEqual((await unpackBytes(bytes, workspace, { maxBytes: 110_000 })).files, ['a']);
});

test('refused: another digest, damaged gzip, a cut, broken or aborted stream', async (t) => {
  const { base, workspace, before } = setting(t);
  const bytes = craft([file('dist/a', 'x'.repeat(5000))]);
  const digest = digestOf(bytes);
  const wrong = { digest: digestOf(Buffer.from('other')) };
  await assertRefused(base, unpackBytes(bytes, workspace, wrong), before, 'digest_mismatch');
  await assertRefused(base, unpackBytes(bytes.subarray(0, -20), workspace, { digest }), before, 'truncated');
  await assertRefused(base, unpackBytes(Buffer.alloc(0), workspace, { digest }), before, 'truncated');
  await assertRefused(base, unpackBytes(Buffer.from('<html>'), workspace, { digest }), before, 'bad_gzip');

  const breakages = [
    Object.assign(new Error('socket hang up'), { code: 'ECONNRESET', syscall: 'read' }),
    new DOMException('socket hang up', 'AbortError'), // its code is a number
    new TypeError('socket hang up'),
  ];
  for (const breakage of breakages) {
    const body = async function* () {
      yield bytes.subarray(0, 100);
      throw breakage;
    };
    const breaking = unpackArchive({ stream: Readable.from(body()), digest, destination: workspace });
    const broken = await assertRefused(base, breaking, before, 'interrupted');
    assert.match(broken.message, /socket hang up/);
  }

  const silent = new Readable({ read() {} });
  silent.push(bytes.subarray(0, 100));
  const abort = new AbortController();
  const waiting = unpackArchive({ stream: silent, digest, destination: workspace, signal: abort.signal });
  abort.abort();
  await assertRefused(base, waiting, before, 'interrupted');
  assert.ok(silent.destroyed);
});

test('bytes after the gzip end are refused, zero bytes are covered by the digest', async (t) => {
  const { base, workspace, before } = setting(t);
  const bytes = craft([file('a')]);
  const digest = digestOf(bytes);
  const garbage = Buffer.concat([bytes, Buffer.from('trailing')]);
  for (const step of [1, 10_000]) {
    await assertRefused(base, unpackBytes(garbage, workspace, {}, step), before, 'bad_gzip');
  }
  const zeros = Buffer.concat([bytes, Buffer.alloc(100)]);
  await assertRefused(base, unpackBytes(zeros, workspace, { digest }), before, 'digest_mismatch');
});

test('a staging root that is missing is reported', async (t) => {
  const { base, workspace, before } = setting(t);
  const more = { stagingRoot: path.join(base, 'missing') };
  await assertRefused(base, unpackBytes(craft([file('a')]), workspace, more), before, 'io_failed');
});

test('a link in the workspace that leads outside is never written through', async (t) => {
  const { base, workspace } = setting(t);
  fs.symlinkSync('../outside', path.join(workspace, 'escape'));
  fs.symlinkSync(path.join(base, 'outside'), path.join(workspace, 'dist/escape'));
  const before = snapshot(base);
  for (const entries of [
    [file('escape/x')],
    [file('dist/a'), file('dist/escape/deep/x')],
    [symlink('escape/x', 'y')],
  ]) {
    await assertRefused(base, unpackBytes(craft(entries), workspace), before, 'unsafe_path');
  }
  await unpackBytes(craft([{ name: 'outputs/escape/', type: 'directory', mode: 0o755 }, file('escape/x')]), workspace);
  assert.ok(fs.lstatSync(path.join(workspace, 'escape')).isDirectory(), 'a directory of the archive replaces the link');
  assert.deepEqual(fs.readdirSync(path.join(base, 'outside')), ['precious.txt']);
});

test('a link in the workspace that stays inside is followed, and counts for where links lead', async (t) => {
  const { base, workspace } = setting(t);
  plant(workspace, { shallow: null, 'dist/deep/er': '->../../shallow' });
  await unpackBytes(craft([file('dist/deep/er/x'), symlink('dist/deep/er/ok', '../apps')]), workspace);
  assert.equal(fs.readFileSync(path.join(workspace, 'shallow/x'), 'utf8'), 'new');
  const before = snapshot(base);
  const climbing = craft([symlink('dist/deep/er/up', '../../../apps')]);
  await assertRefused(base, unpackBytes(climbing, workspace), before, 'unsafe_link');
});

test('files, directories and links replace one another', async (t) => {
  const { workspace } = setting(t);
  plant(workspace, {
    'out/was-file': 'f',
    'out/was-dir/kept/x': 'x',
    'out/was-link': '->was-dir',
    'out/dangling': '->nowhere',
    out2: 'f',
  });
  const entries = [
    file('out/was-file/now/x'),
    file('out/was-dir'),
    file('out/was-link'),
    file('out/dangling/x'),
    { ...symlink('out2', 'out') },
    file('dist/added'),
  ];
  await unpackBytes(craft(entries), workspace);
  const after = snapshot(workspace);
  assert.match(after['out/was-file/now/x'] ?? '', /^file/);
  assert.match(after['out/was-dir'] ?? '', /^file/);
  assert.match(after['out/was-link'] ?? '', /^file/);
  assert.match(after['out/dangling/x'] ?? '', /^file/);
  assert.equal(after.out2, 'link out');
  assert.match(after['dist/old.txt'] ?? '', /^file/, 'directories are merged');
});

test('directories closed to their owner are merged, replaced and cleared away', async (t) => {
  const { base, workspace } = setting(t);
  plant(workspace, { 'dist/merged/x': 'x', 'dist/replaced/closed/x': 'x', 'dist/moved/x': 'x' });
  for (const closed of ['dist/merged', 'dist/replaced/closed', 'dist/moved']) {
    fs.chmodSync(path.join(workspace, closed), 0o555);
  }
  becomeUnprivileged(t, base);
  /** @type {(name: string, mode: number) => Crafted} */
  const directory = (name, mode) => ({ name: `outputs/${name}/`, type: 'directory', mode });
  const entries = [directory('dist/merged', 0o511), file('dist/merged/x'), file('dist/replaced'), file('dist/moved')];
  const before = snapshot(base);
  const failing = unpackBytes(craft([...entries, file('n'.repeat(256))]), workspace);
  await assertRefused(base, failing, before, 'io_failed');
  await unpackBytes(craft(entries), workspace);
  const after = snapshot(workspace);
  assert.equal(after['dist/merged'], 'directory 511');
  assert.match(after['dist/replaced'] ?? '', /^file/);
  assert.match(after['dist/moved'] ?? '', /^file/);
  assert.deepEqual(fs.readdirSync(base).sort(), ['outside', 'workspace']);
});

test('a failure while moving into place takes every change back', async (t) => {
  const { base, workspace } = setting(t);
  plant(workspace, { 'dist/dir/x': 'x', 'dist/link': '->old.txt', odd: '->dist' });
  fs.chmodSync(path.join(workspace, 'dist'), 0o750);
  const before = snapshot(base);
  const entries = [
    { name: 'outputs/dist/', type: /** @type {const} */ ('directory'), mode: 0o700 },
    file('dist/old.txt'),
    file('dist/dir'),
    symlink('dist/link', 'dir'),
    file('dist/fresh/deep/x'),
    { name: 'outputs/odd/', type: /** @type {const} */ ('directory'), mode: 0o555 },
    file('n'.repeat(256)), // no filesystem takes this name
  ];
  const error = await assertRefused(base, unpackBytes(craft(entries), workspace), before, 'io_failed');
  assert.match(error.message, /ENAMETOOLONG/);
});

test('many archives unpack at once into the same directories', async (t) => {
  const { base, workspace } = setting(t);
  const archives = Array.from({ length: 30 }, (_, i) =>
    craft([file(`dist/shared/${i}/x`, `${i}`), file(`dist/shared/f${i}`)]),
  );
  await Promise.all(archives.map((bytes) => unpackBytes(bytes, workspace)));
  const shared = fs.readdirSync(path.join(workspace, 'dist/shared'));
  assert.equal(shared.length, 60);
  assert.equal(fs.readFileSync(path.join(workspace, 'dist/shared/29/x'), 'utf8'), '29');
  assert.deepEqual(fs.readdirSync(base).sort(), ['outside', 'workspace']);
});
