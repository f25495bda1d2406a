'use strict';
/**
 * Unpacks an artifact that somebody else may have made: nothing reaches the workspace before the last byte is read,
 * the digest verified and every entry accepted. Staged files have numbers for names, so no name acts on disk early.
 */
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { pipeline } = require('node:stream/promises');
const zlib = require('node:zlib');
const { discard, publish } = require('./archive-publish.js');
const rules = require('./archive-rules.js');
const { ArchiveError, readTar } = require('./tar.js');

/** @typedef {import('./tar.js').Entry} Entry */
/** @typedef {import('./archive-publish.js').Item} Item */

const DEFAULT_MAX_BYTES = 16 * 1024 ** 3;
const MAX_ENTRIES = 1_000_000;
const MAX_TEXT_BYTES = new Map([
  ['terminal-output', rules.MAX_TERMINAL_OUTPUT_BYTES],
  ['code', 16],
]);

/** Takes an archive's entries: files' bytes into the staging directory, everything else into memory. */
class Stage {
  /** Workspace path → item, parents before children. @type {Map<string, Item>} */
  items = new Map();
  /** @type {Map<string, string>} */
  texts = new Map();

  /** @param {string} staging @param {string} destination */
  constructor(staging, destination) {
    this.staging = staging;
    this.destination = destination;
  }

  /** @param {Entry} entry */
  async take(entry) {
    const name = entry.type === 'directory' ? entry.name.replace(/\/$/, '') : entry.name;
    rules.checkName(name);
    if (name.startsWith('outputs/')) await this.#takeOutput(name.slice('outputs/'.length), entry);
    else if (entry.type === 'file' && MAX_TEXT_BYTES.has(name)) await this.#takeText(name, entry);
    else if (name !== 'outputs' || entry.type !== 'directory') {
      throw new ArchiveError('unsafe_path', `${rules.shown(name)} has no place in a task's artifact`);
    }
  }

  /** @param {string} name @param {Entry} entry */
  async #takeText(name, { size, body }) {
    if (size > (MAX_TEXT_BYTES.get(name) ?? 0)) throw new ArchiveError('too_large', `${name} has ${size} bytes`);
    if (this.texts.has(name)) throw new ArchiveError('duplicate', `${name} is there twice`);
    const pieces = [];
    for await (const piece of body) pieces.push(piece);
    this.texts.set(name, Buffer.concat(pieces).toString());
  }

  /** @param {string} name @param {Entry} entry */
  async #takeOutput(name, entry) {
    for (let slash = name.indexOf('/'); slash !== -1; slash = name.indexOf('/', slash + 1)) {
      const parent = name.slice(0, slash);
      const item = this.items.get(parent) ?? { type: 'directory', mode: null };
      this.items.set(parent, item);
      if (item.type === 'directory') continue;
      throw new ArchiveError('unsafe_path', `${rules.shown(name)} goes through ${rules.shown(parent)}, a ${item.type}`);
    }
    const earlier = this.items.get(name);
    const isOnlyParent = earlier?.type === 'directory' && earlier.mode === null && entry.type === 'directory';
    if (earlier && !isOnlyParent) throw new ArchiveError('duplicate', `${rules.shown(name)} is there twice`);
    if (this.items.size >= MAX_ENTRIES) throw new ArchiveError('too_large', `more than ${MAX_ENTRIES} entries`);
    this.items.set(name, await this.#item(entry));
  }

  /** @param {Entry} entry @returns {Promise<Item>} */
  async #item(entry) {
    const mode = entry.mode & 0o1777; // never setuid or setgid: the bytes come from another machine
    if (entry.type === 'directory') return { type: 'directory', mode };
    if (entry.type === 'symlink') return { type: 'symlink', target: this.#linkTarget(entry) };
    const staged = path.join(this.staging, `file-${this.items.size}`);
    if (entry.type === 'file') await writeFile(staged, mode, entry.body);
    else {
      const twin = this.items.get(entry.target.replace(/^outputs\//, ''));
      if (twin?.type !== 'file' || !entry.target.startsWith('outputs/')) {
        throw new ArchiveError('unsafe_link', `${rules.shown(entry.name)} is a hard link to no file of the archive`);
      }
      fs.linkSync(twin.staged, staged);
    }
    return { type: 'file', staged };
  }

  /** An absolute target inside the packer's workspace means the same place in this one. @param {Entry} entry */
  #linkTarget({ target, records }) {
    const root = records.get(rules.ROOT_RECORD);
    const isInside = root !== undefined && rules.rootOf(target, [root]) !== undefined;
    return isInside ? path.join(this.destination, target.slice(root.length)) : target;
  }
}

/** @param {string} place @param {number} mode @param {AsyncIterable<Buffer>} body */
async function writeFile(place, mode, body) {
  const fd = fs.openSync(place, 'wx', 0o600);
  try {
    for await (const piece of body) {
      for (let at = 0; at < piece.length; ) at += fs.writeSync(fd, piece, at);
    }
    fs.fchmodSync(fd, mode);
  } finally {
    fs.closeSync(fd);
  }
}

/** @param {unknown} error */
function asArchiveError(error) {
  if (error instanceof ArchiveError) return error;
  const { code, syscall = '', message } = /** @type {NodeJS.ErrnoException} */ (error);
  if (code === 'Z_BUF_ERROR') return new ArchiveError('truncated', 'the archive ends too early', error);
  if (String(code).startsWith('Z_'))
    return new ArchiveError('bad_gzip', `the archive is not sound gzip: ${message}`, error);
  if (syscall && syscall !== 'read') return new ArchiveError('io_failed', `cannot unpack: ${message}`, error);
  return new ArchiveError('interrupted', `the archive's stream broke off: ${message}`, error);
}

/** @param {import('node:stream').Readable} stream @param {string} digest @param {number} maxBytes @param {Stage} stage @param {AbortSignal} [signal] */
async function readInto(stream, digest, maxBytes, stage, signal) {
  const hash = createHash('sha256');
  let left = maxBytes;
  const limited = rules.tap((chunk) => {
    left -= chunk.length;
    if (left < 0) throw new ArchiveError('too_large', `the archive unpacks to more than ${maxBytes} bytes`);
  });
  const hashed = rules.tap((chunk) => hash.update(chunk));
  /** @param {AsyncIterable<Buffer>} source */
  const staged = async (source) => {
    for await (const entry of readTar(source)) await stage.take(entry);
  };
  await pipeline(stream, hashed, zlib.createGunzip({ chunkSize: 64 * 1024 }), limited, staged, { signal });
  const found = `sha256:${hash.digest('hex')}`;
  if (found !== digest) throw new ArchiveError('digest_mismatch', `the archive has digest ${found}, not ${digest}`);
  return maxBytes - left;
}

/** @param {Stage} stage */
function resultOf({ items, texts }) {
  const terminalOutput = texts.get('terminal-output');
  const code = texts.get('code') ?? '';
  if (terminalOutput === undefined || !/^-?\d{1,10}$/.test(code)) {
    throw new ArchiveError('incomplete', 'the archive lacks the terminal output or a decimal exit code');
  }
  const files = [...items].filter(([, item]) => item.type !== 'directory' || item.mode !== null).map(([name]) => name);
  return { terminalOutput, code: Number(code), files };
}

/**
 * Unpacks into the workspace root `destination`; `files` names what is there now, directories of
 * the archive too; `size` is the unpacked tar's. On any error the workspace
 * is as before. `stagingRoot` (default: beside the destination) must be on the same filesystem. `maxBytes` limits the
 * unpacked tar.
 * @param {{stream: import('node:stream').Readable, digest: string, destination: string, stagingRoot?: string,
 *   maxBytes?: number, signal?: AbortSignal}} request
 */
async function unpackArchive({ stream, digest, destination, stagingRoot, maxBytes = DEFAULT_MAX_BYTES, signal }) {
  const root = path.resolve(destination);
  let staging = '';
  try {
    staging = fs.mkdtempSync(path.join(stagingRoot ?? path.dirname(root), '.nx-dte-unpack-'));
    const stage = new Stage(staging, root);
    const size = await readInto(stream, digest, maxBytes, stage, signal);
    const result = resultOf(stage);
    publish(stage.items, root, staging);
    return { ...result, size };
  } catch (error) {
    stream.destroy();
    throw asArchiveError(error);
  } finally {
    if (staging) await discard(staging);
  }
}

module.exports = { unpackArchive };
