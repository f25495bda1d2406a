'use strict';
/**
 * The tar format and nothing else. Written: POSIX ustar, with a pax header where a field does not fit. Read: the
 * same, plus GNU tar's long-name headers. What an entry may be called or may do, archive-rules.js decides.
 */

const BLOCK = 512;
const MAX_METADATA_BYTES = 1024 * 1024;
const MAX_OCTAL_SIZE = 0o77777777777;
const END_OF_ARCHIVE = Buffer.alloc(2 * BLOCK);

/** @typedef {'file' | 'directory' | 'symlink' | 'hardlink'} EntryType */
/** @typedef {{name: string, type: EntryType, mode: number, size: number, target: string}} Fields */
/** @typedef {Fields & {records: Map<string, string>, body: AsyncIterable<Buffer>}} Entry */

/** @type {Record<string, EntryType>} */
const TYPES = { 0: 'file', '\0': 'file', 1: 'hardlink', 2: 'symlink', 5: 'directory' };
const FLAGS = { file: '0', hardlink: '1', symlink: '2', directory: '5' };

/** Everything the archive code throws: `code` is for programs, `message` names the entry for people. */
class ArchiveError extends Error {
  /** @param {string} code @param {string} message @param {unknown} [cause] */
  constructor(code, message, cause) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'ArchiveError';
    this.code = code;
  }
}

/** Zero bytes that fill an entry of `size` bytes up to whole blocks. @param {number} size */
const padding = (size) => Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);

/** The checksum field itself counts as spaces. @param {Buffer} block */
function checksum(block) {
  let sum = 8 * 0x20;
  for (const [at, byte] of block.entries()) sum += at >= 148 && at < 156 ? 0 : byte;
  return sum;
}

/** @param {string} name @param {string} flag @param {number} mode @param {number} size @param {string} target */
function ustarHeader(name, flag, mode, size, target) {
  const block = Buffer.alloc(BLOCK);
  /** @type {(value: number, at: number, digits: number) => number} */
  const octal = (value, at, digits) => block.write(value.toString(8).padStart(digits, '0'), at);
  Buffer.from(name).copy(block, 0, 0, 100);
  octal(mode, 100, 7);
  octal(0, 108, 7); // owner, group and time are fixed: equal trees must give equal bytes
  octal(0, 116, 7);
  octal(size > MAX_OCTAL_SIZE ? 0 : size, 124, 11);
  octal(0, 136, 11);
  block.write(flag, 156);
  Buffer.from(target).copy(block, 157, 0, 100);
  block.write('ustar\u000000', 257);
  octal(checksum(block), 148, 6);
  block[155] = 0x20;
  return block;
}

/** One `length key=value` line; the length counts itself. @param {[string, string]} record */
function paxLine([key, value]) {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest;
  while (String(length).length + rest !== length) length = String(length).length + rest;
  return `${length} ${key}=${value}\n`;
}

/** @param {Partial<Fields> & Pick<Fields, 'name' | 'type' | 'mode'> & {records?: Map<string, string>}} entry */
function encodeHeader({ name, type, mode, size = 0, target = '', records }) {
  const pax = new Map(records);
  /** @param {string} text */
  const fits = (text) => text.length <= 100 && /^[ -~]*$/.test(text);
  if (!fits(name)) pax.set('path', name);
  if (!fits(target)) pax.set('linkpath', target);
  if (size > MAX_OCTAL_SIZE) pax.set('size', String(size));
  const header = ustarHeader(name, FLAGS[type], mode, size, target);
  if (pax.size === 0) return header;
  const body = Buffer.from([...pax].map(paxLine).join(''));
  return Buffer.concat([ustarHeader('PaxHeader', 'x', 0o644, body.length, ''), body, padding(body.length), header]);
}

/** @param {Buffer} bytes */
function text(bytes) {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new ArchiveError('bad_header', `${JSON.stringify(bytes.toString('latin1'))} in a header is not UTF-8`);
  }
}

/** A field's text, up to its first NUL. @param {Buffer} block @param {number} from @param {number} to */
function field(block, from, to) {
  const end = block.subarray(from, to).indexOf(0);
  return text(block.subarray(from, end === -1 ? to : from + end));
}

/** Octal, or GNU's base-256 for large numbers. @param {Buffer} block @param {number} from @param {number} to */
function number(block, from, to) {
  if (block[from] === 0x80) return block.subarray(from + 1, to).reduce((sum, byte) => sum * 256 + byte, 0);
  const digits = block
    .toString('latin1', from, to)
    .replace(/[\0 ]+$/, '')
    .trimStart();
  if (!/^[0-7]+$/.test(digits)) throw new ArchiveError('bad_header', 'a header field holds no valid number');
  return Number.parseInt(digits, 8);
}

/** @param {Buffer} body @returns {[string, string][]} */
function parsePax(body) {
  /** @type {[string, string][]} */
  const records = [];
  for (let at = 0; at < body.length; ) {
    const [, digits = '', key = ''] = /^([1-9]\d{0,6}) ([^=\n]+)=/.exec(body.toString('latin1', at, at + 300)) ?? [];
    const value = at + digits.length + key.length + 2;
    const end = at + Number(digits);
    if (!key || end <= value || body[end - 1] !== 0x0a)
      throw new ArchiveError('bad_header', 'a pax header is malformed');
    records.push([key, text(body.subarray(value, end - 1))]);
    at = end;
  }
  return records;
}

/** Cuts a stream of chunks into pieces of wanted sizes. */
class Cutter {
  /** @type {Buffer} */
  #held = Buffer.alloc(0);

  /** @param {AsyncIterable<Buffer>} chunks */
  constructor(chunks) {
    this.chunks = chunks[Symbol.asyncIterator]();
  }

  /** The next bytes, at most `limit`; null at the end. @param {number} limit */
  async next(limit) {
    while (this.#held.length === 0) {
      const { done, value } = await this.chunks.next();
      if (done) return null;
      this.#held = value;
    }
    const piece = this.#held.subarray(0, limit);
    this.#held = this.#held.subarray(piece.length);
    return piece;
  }

  /** @param {number} size */
  async *pieces(size) {
    for (let left = size; left > 0; ) {
      const piece = await this.next(left);
      if (!piece) throw new ArchiveError('truncated', 'the archive ends before its end mark');
      left -= piece.length;
      yield piece;
    }
  }

  /** @param {number} size */
  async whole(size) {
    const pieces = [];
    for await (const piece of this.pieces(size)) pieces.push(piece);
    return Buffer.concat(pieces);
  }
}

/** @param {Buffer} block @param {string} flag @param {number} ownSize @param {Map<string, string>} records @returns {Fields} */
function parseFields(block, flag, ownSize, records) {
  const prefix = block[262] === 0 ? field(block, 345, 500) : ''; // GNU headers keep other things there
  const name = records.get('path') ?? (prefix && `${prefix}/`) + field(block, 0, 100);
  const type = TYPES[flag];
  const isSparse = [...records.keys()].some((key) => key.startsWith('GNU.sparse'));
  if (!type || isSparse)
    throw new ArchiveError('unsupported_type', `${JSON.stringify(name)} is no file, directory or link`);
  const size = Number(records.get('size') ?? ownSize);
  if (!Number.isSafeInteger(size) || size < 0 || (type !== 'file' && size > 0)) {
    throw new ArchiveError('bad_header', `${JSON.stringify(name)} has the impossible size ${size}`);
  }
  return {
    name,
    type,
    mode: number(block, 100, 108),
    size,
    target: records.get('linkpath') ?? field(block, 157, 257),
  };
}

/** The entries of a tar. The reader of an entry reads its `body` to the end. @param {AsyncIterable<Buffer>} chunks */
async function* readTar(chunks) {
  const cutter = new Cutter(chunks);
  let records = new Map();
  let block = await cutter.whole(BLOCK);
  for (; block.some((byte) => byte !== 0); block = await cutter.whole(BLOCK)) {
    if (block.toString('latin1', 257, 262) !== 'ustar' || number(block, 148, 156) !== checksum(block)) {
      throw new ArchiveError('bad_header', 'an entry header has a wrong checksum or magic');
    }
    const flag = String.fromCharCode(block[156] ?? 0);
    let size = number(block, 124, 136);
    if ('xLK'.includes(flag)) {
      if (size > MAX_METADATA_BYTES) throw new ArchiveError('too_large', `a metadata header has ${size} bytes`);
      const body = await cutter.whole(size);
      const added = flag === 'x' ? parsePax(body) : [[flag === 'L' ? 'path' : 'linkpath', field(body, 0, size)]];
      for (const [key, value] of added) records.set(key, value);
    } else {
      const fields = parseFields(block, flag, size, records);
      size = fields.size;
      yield { ...fields, records, body: cutter.pieces(size) };
      records = new Map();
    }
    await cutter.whole(padding(size).length);
  }
  await cutter.whole(BLOCK); // the end mark is two zero blocks; more zeros may fill up the last record
  for (let piece = await cutter.next(BLOCK); piece; piece = await cutter.next(BLOCK)) {
    if (piece.some((byte) => byte !== 0)) throw new ArchiveError('bad_header', 'something follows the end mark');
  }
}

module.exports = { ArchiveError, END_OF_ARCHIVE, encodeHeader, padding, readTar };
