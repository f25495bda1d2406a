'use strict';
/** Whatever the bytes say: an end, an ArchiveError or success, nothing outside the workspace, no staging left. */
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');
const zlib = require('node:zlib');
const { ArchiveError } = require('../../src/nx_dte/light_client/bundle/archive.js');
const { craft, craftTar, plant, scratch, snapshot, unpackBytes } = require('./archive-support.js');

/** Mulberry32: small, seeded, good enough. @param {number} seed */
function generator(seed) {
  let state = seed;
  /** @param {number} below */
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** Where the kernel would end up, as far as the path exists. @param {string} place */
function resolved(place) {
  try {
    return fs.realpathSync(place);
  } catch {
    const target = fs.readlinkSync(place);
    const parent = fs.realpathSync(path.dirname(place));
    return path.resolve(parent, target);
  }
}

/** @param {string} workspace */
function assertLinksStayInside(workspace) {
  for (const [name, kind] of Object.entries(snapshot(workspace))) {
    if (!kind.startsWith('link ')) continue;
    const end = resolved(path.join(workspace, name));
    assert.ok(end === workspace || end.startsWith(`${workspace}/`), `${name} ${kind} ends at ${end}`);
  }
}

/** Unpacks hostile bytes and checks what always holds. @param {string} base @param {string} workspace @param {Buffer} bytes */
async function survive(base, workspace, bytes) {
  const before = snapshot(workspace);
  try {
    await unpackBytes(bytes, workspace, { maxBytes: 1024 * 1024 }, 997);
  } catch (error) {
    assert.ok(error instanceof ArchiveError, String(/** @type {Error} */ (error).stack));
    assert.deepEqual(snapshot(workspace), before);
    return error.code;
  }
  assertLinksStayInside(workspace);
  assert.deepEqual(fs.readdirSync(base).sort(), ['outside', 'workspace']);
  assert.deepEqual(fs.readdirSync(path.join(base, 'outside')), ['precious.txt']);
  return 'accepted';
}

/** @param {import('node:test').TestContext} t */
function setting(t) {
  const base = scratch(t);
  plant(base, { 'outside/precious.txt': 'precious' });
  return { base, workspace: plant(path.join(base, 'workspace'), {}) };
}

const SAMPLE = [
  { name: 'outputs/dist/', type: /** @type {const} */ ('directory'), mode: 0o755 },
  { name: 'outputs/dist/a.txt', body: 'a'.repeat(700) },
  { name: `outputs/dist/${'n'.repeat(150)}`, body: 'long' },
  { name: 'outputs/dist/link', type: /** @type {const} */ ('symlink'), target: 'a.txt' },
  { name: 'outputs/dist/hard', type: /** @type {const} */ ('hardlink'), target: 'outputs/dist/a.txt' },
];

for (const kind of ['tar', 'gzip']) {
  test(`random changes to the ${kind} bytes`, { timeout: 120_000 }, async (t) => {
    const { base, workspace } = setting(t);
    const random = generator(20_240_229);
    /** @type {Set<string>} */
    const outcomes = new Set();
    for (let round = 0; round < 300; round += 1) {
      const bytes = Buffer.from(kind === 'tar' ? craftTar(SAMPLE) : craft(SAMPLE));
      for (let flips = 1 + random(3); flips > 0; flips -= 1) bytes[random(bytes.length)] = random(256);
      const cut = random(10) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes;
      outcomes.add(await survive(base, workspace, kind === 'tar' ? zlib.gzipSync(cut) : cut));
    }
    const expected = kind === 'tar' ? ['accepted', 'bad_header', 'truncated'] : ['bad_gzip', 'truncated'];
    for (const outcome of expected) assert.ok(outcomes.has(outcome), `${outcome} never happened`);
  });
}

test('random entries of hostile names and links, one archive after another', { timeout: 120_000 }, async (t) => {
  const random = generator(7);
  /** @template T @param {T[]} from @returns {T} */
  const pick = (from) => /** @type {T} */ (from[random(from.length)]);
  const parts = ['a', 'b', 'c', 'd', 'a', 'b', 'c', '..', '.', ''];
  const random_path = () => Array.from({ length: 1 + random(4) }, () => pick(parts)).join('/');
  const plain_path = () => Array.from({ length: 1 + random(3) }, () => pick(['a', 'b', 'c', 'd'])).join('/');
  const entry = () => {
    const type = pick(/** @type {const} */ (['file', 'directory', 'symlink', 'symlink', 'hardlink']).slice());
    const name = `outputs/${random(12) === 0 ? random_path() : plain_path()}`;
    const target = type === 'hardlink' ? `outputs/${plain_path()}` : `${'../'.repeat(random(4))}${random_path()}`;
    return { name, type, mode: 0o755, target: /link/.test(type) ? target : '', body: type === 'file' ? name : '' };
  };
  let accepted = 0;
  for (let trial = 0; trial < 60; trial += 1) {
    await t.test(`workspace ${trial}`, async (each) => {
      const { base, workspace } = setting(each);
      for (let round = 0; round < 12; round += 1) {
        const entries = Array.from({ length: 1 + random(4) }, entry);
        if ((await survive(base, workspace, craft(entries))) === 'accepted') accepted += 1;
      }
    });
  }
  assert.ok(accepted > 100, `only ${accepted} archives were accepted`);
});
