'use strict';
/** What the archive tests share: temporary workspaces, snapshots of trees, hand-made archives. */
const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { Readable } = require('node:stream');
const zlib = require('node:zlib');
const { ArchiveError, packArchive, unpackArchive } = require('../../src/nx_dte/light_client/bundle/archive.js');
const { END_OF_ARCHIVE, encodeHeader, padding } = require('../../src/nx_dte/light_client/bundle/tar.js');

/** @typedef {{name: string, type?: 'file' | 'directory' | 'symlink' | 'hardlink', mode?: number, target?: string, body?: string | Buffer, records?: Map<string, string>}} Crafted */

/** A directory that goes away with the test. @param {import('node:test').TestContext} t */
function scratch(t) {
  const directory = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'nx-dte-archive-')));
  t.after(() => {
    execFileSync('chmod', ['-R', 'u+rwX', directory]); // tests leave directories that are closed to their owner
    fs.rmSync(directory, { recursive: true, force: true });
  });
  return directory;
}

/** For the rest of the test, file permissions count even if the tests run as root. @param {import('node:test').TestContext} t @param {string} base */
function becomeUnprivileged(t, base) {
  if (process.getuid?.() !== 0) return;
  const nobody = 65534;
  execFileSync('chown', ['-R', String(nobody), base]);
  process.seteuid?.(nobody);
  t.after(() => process.seteuid?.(0));
}

/** Makes `files` below `root`: text is a file, `->x` a link to x, null a directory. @param {string} root @param {Record<string, string | null>} files */
function plant(root, files) {
  fs.mkdirSync(root, { recursive: true });
  for (const [name, content] of Object.entries(files)) {
    const place = path.join(root, name);
    fs.mkdirSync(path.dirname(place), { recursive: true });
    if (content === null) fs.mkdirSync(place);
    else if (content.startsWith('->')) fs.symlinkSync(content.slice(2), place);
    else fs.writeFileSync(place, content);
  }
  return root;
}

/** Path → kind, mode and content of everything below `root`. @param {string} root */
function snapshot(root) {
  /** @type {Record<string, string>} */
  const found = {};
  /** @param {string} name */
  const visit = (name) => {
    const place = path.join(root, name);
    const stats = fs.lstatSync(place);
    const mode = (stats.mode & 0o7777).toString(8);
    if (stats.isSymbolicLink()) found[name] = `link ${fs.readlinkSync(place)}`;
    else if (stats.isDirectory()) {
      if (name) found[name] = `directory ${mode}`;
      for (const child of fs.readdirSync(place)) visit(path.join(name, child));
    } else if (stats.isFile()) {
      found[name] = `file ${mode} ${stats.size} ${createHash('sha256').update(fs.readFileSync(place)).digest('hex')}`;
    } else found[name] = 'other';
  };
  visit('');
  return found;
}

/** @param {Buffer} bytes */
const digestOf = (bytes) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** @param {Crafted} entry */
function tarEntry({ name, type = 'file', mode = 0o644, target, body = '', records }) {
  const bytes = Buffer.from(body);
  const header = encodeHeader({ name, type, mode, size: bytes.length, target, records });
  return Buffer.concat([header, bytes, padding(bytes.length)]);
}

/** The two entries every artifact has. @type {Crafted[]} */
const FRAME = [
  { name: 'terminal-output', body: 'printed' },
  { name: 'code', body: '0' },
];

/** An uncompressed artifact with `entries` after the usual two. @param {Crafted[]} entries */
function craftTar(entries) {
  return Buffer.concat([...[...FRAME, ...entries].map(tarEntry), END_OF_ARCHIVE]);
}

/** @param {Crafted[]} entries */
const craft = (entries) => zlib.gzipSync(craftTar(entries));

/** Unpacks bytes that arrive in pieces of `step`. @param {Buffer} bytes @param {string} destination @param {object} [more] @param {number} [step] */
function unpackBytes(bytes, destination, more = {}, step = 1000) {
  const pieces = Array.from({ length: Math.ceil(bytes.length / step) }, (_, i) =>
    bytes.subarray(i * step, (i + 1) * step),
  );
  return unpackArchive({ stream: Readable.from(pieces), digest: digestOf(bytes), destination, ...more });
}

/** Unpacking must fail with `code` and leave everything at and around the workspace as it was. @param {string} base @param {Promise<unknown>} unpacking @param {Record<string, string>} before @param {string} code */
async function assertRefused(base, unpacking, before, code) {
  const error = await unpacking.then(
    () => assert.fail('accepted'),
    (reason) => reason,
  );
  assert.ok(error instanceof ArchiveError, String(error.stack));
  assert.equal(error.code, code, error.message);
  assert.deepEqual(snapshot(base), before);
  return error;
}

/** Packs a whole workspace's `paths`. @param {string} root @param {string[]} paths @param {string} file */
const pack = (root, paths, file) => packArchive({ root, paths, terminalOutput: 'ünïcode ✓\n', code: 3, file });

module.exports = {
  becomeUnprivileged,
  assertRefused,
  craft,
  craftTar,
  digestOf,
  pack,
  plant,
  scratch,
  snapshot,
  tarEntry,
  unpackBytes,
};
