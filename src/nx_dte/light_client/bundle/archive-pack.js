'use strict';
/** Packs a task's outputs, terminal output and exit code into one gzip tar. Equal trees give equal bytes. */
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { pipeline } = require('node:stream/promises');
const zlib = require('node:zlib');
const rules = require('./archive-rules.js');
const { ArchiveError, END_OF_ARCHIVE, encodeHeader, padding } = require('./tar.js');

const CHUNK = 128 * 1024;
const OPEN_FLAGS = fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK;

/** Joins small pieces, so that compressing costs one step a chunk, not one a header. @param {Iterable<Buffer>} pieces */
function* inChunks(pieces) {
  /** @type {Buffer[]} */
  let held = [];
  let size = 0;
  for (const piece of pieces) {
    held.push(piece);
    size += piece.length;
    if (size < CHUNK) continue;
    yield Buffer.concat(held);
    held = [];
    size = 0;
  }
  yield Buffer.concat(held);
}

/** @param {string} name @param {string} content */
function* textEntry(name, content) {
  const bytes = Buffer.from(content);
  yield encodeHeader({ name, type: 'file', mode: 0o644, size: bytes.length });
  yield bytes;
  yield padding(bytes.length);
}

/** @param {string} place @param {string} name */
function* fileEntry(place, name) {
  const fd = fs.openSync(place, OPEN_FLAGS);
  try {
    const { size, mode } = fs.fstatSync(fd);
    yield encodeHeader({ name: `outputs/${name}`, type: 'file', mode: mode & 0o7777, size });
    for (let left = size; left > 0; ) {
      const buffer = Buffer.allocUnsafe(Math.min(left, CHUNK));
      const count = fs.readSync(fd, buffer);
      if (count === 0) throw new ArchiveError('changed', `${rules.shown(name)} shrank while it was packed`);
      left -= count;
      yield buffer.subarray(0, count);
    }
    const hasMore = fs.readSync(fd, Buffer.alloc(1)) > 0;
    if (hasMore) throw new ArchiveError('changed', `${rules.shown(name)} grew while it was packed`);
    yield padding(size);
  } finally {
    fs.closeSync(fd);
  }
}

/** @param {string} place @param {string} name @param {string[]} roots */
function linkEntry(place, name, roots) {
  const target = fs.readlinkSync(place);
  rules.checkLink(name, path.dirname(place), target, roots);
  const root = rules.rootOf(target, roots);
  const records = new Map(root === undefined ? [] : [[rules.ROOT_RECORD, root]]);
  return encodeHeader({ name: `outputs/${name}`, type: 'symlink', mode: 0o777, target, records });
}

/**
 * Entries of all at and below `given`, each once, parents first; their names are added to `packed`.
 * @param {string} root @param {string[]} given @param {string[]} packed
 */
function* treeEntries(root, given, packed) {
  const roots = [root, fs.realpathSync(root)];
  const seen = new Set();
  const waiting = [...given].sort().reverse();
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (seen.has(name)) continue;
    seen.add(name);
    const place = path.join(root, name);
    const stats = rules.lstat(place);
    if (stats) packed.push(name);
    if (stats?.isDirectory()) {
      yield encodeHeader({ name: `outputs/${name}/`, type: 'directory', mode: stats.mode & 0o7777 });
      for (const child of fs.readdirSync(place).sort().reverse()) waiting.push(`${name}/${child}`);
    } else if (stats?.isSymbolicLink()) yield linkEntry(place, name, roots);
    else if (stats?.isFile()) yield* fileEntry(place, name);
    else if (stats) throw new ArchiveError('unsupported_type', `${rules.shown(name)} is no file, directory or link`);
    else if (!given.includes(name)) throw new ArchiveError('changed', `${rules.shown(name)} vanished or is not UTF-8`);
  }
}

/** @param {{root: string, names: string[], packed: string[], terminalOutput: string, code: number}} content */
function* archiveEntries({ root, names, packed, terminalOutput, code }) {
  yield* textEntry('terminal-output', terminalOutput);
  yield* textEntry('code', String(code));
  yield* treeEntries(root, names, packed);
  yield END_OF_ARCHIVE;
}

/**
 * Writes the archive to `file`, which is removed again on failure. Paths are relative to `root`; missing ones are
 * ignored, as Nx does. A link is packed as a link, though the way to a given path may lead through one. A link that
 * unpacking would refuse is refused here, where the task ran. `files` names what went in, directories too.
 * @param {{root: string, paths: string[], terminalOutput: string, code: number, file: string}} request
 */
async function packArchive({ root, paths, terminalOutput, code, file }) {
  const names = paths.map((each) => path.posix.normalize(each).replace(/\/+$/, ''));
  names.forEach(rules.checkName);
  if (Buffer.byteLength(terminalOutput) > rules.MAX_TERMINAL_OUTPUT_BYTES) {
    throw new ArchiveError('too_large', 'the terminal output has more than 64 MiB');
  }
  /** @type {string[]} */
  const packed = [];
  const hash = createHash('sha256');
  let size = 0;
  const measured = rules.tap((chunk) => {
    hash.update(chunk);
    size += chunk.length;
  });
  try {
    const entries = archiveEntries({ root: path.resolve(root), names, packed, terminalOutput, code });
    const gzip = zlib.createGzip({ level: 1, chunkSize: CHUNK });
    await pipeline(inChunks(entries), gzip, measured, fs.createWriteStream(file, { mode: 0o600 }));
  } catch (error) {
    await fs.promises.rm(file, { force: true });
    if (error instanceof ArchiveError) throw error;
    throw new ArchiveError('io_failed', `cannot pack the outputs: ${/** @type {Error} */ (error).message}`, error);
  }
  return { file, digest: `sha256:${hash.digest('hex')}`, size, files: packed };
}

module.exports = { packArchive };
