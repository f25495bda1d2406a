'use strict';
/** What an archive may hold: entry names and link targets. Shared by packing and unpacking. */
const fs = require('node:fs');
const path = require('node:path');
const { ArchiveError } = require('./tar.js');

const MAX_TERMINAL_OUTPUT_BYTES = 64 * 1024 * 1024;
/** No kernel takes a longer path. */
const MAX_NAME_LENGTH = 4096;
/** Vendor pax key: the packer's workspace root, where a link's absolute target lies below it. */
const ROOT_RECORD = 'NX-DTE.root';

/** @param {string} name */
const shown = (name) => JSON.stringify(name.length > 300 ? `${name.slice(0, 300)}…` : name);

/** The one of `roots` that holds `place`. @param {string} place @param {string[]} roots */
const rootOf = (place, roots) => roots.find((root) => place === root || place.startsWith(root.replace(/\/?$/, '/')));

/** @param {string} name */
function checkName(name) {
  const isShort = name.length <= MAX_NAME_LENGTH;
  const isPlain = isShort && name.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
  const isForbidden = /^(outputs\/)?\.git(\/|$)/i.test(name); // git runs what stands in it; no task's outputs are there
  if (!isPlain || isForbidden || name.includes('\0') || (path.sep === '\\' && /[\\:]/.test(name))) {
    throw new ArchiveError('unsafe_path', `${shown(name)} is not a plain path below the workspace root, outside .git`);
  }
}

/**
 * Refuses a symlink that leads out of the workspace.
 *
 * A relative target is resolved from the link's real directory. An absolute target inside the workspace is kept,
 * since plain Nx keeps it and it can do no more than a relative one; any other makes what a later task reads depend
 * on the machine. `..` after a name is refused: that name may be a link by then, and `..` starts where it leads.
 * So no chain of accepted links gets out.
 * @param {string} name @param {string} directory @param {string} target @param {string[]} roots
 */
function checkLink(name, directory, target, roots) {
  const climb = path.isAbsolute(target) ? '' : (/^(\.{0,2}\/+)*(\.\.$)?/.exec(target)?.[0] ?? '');
  const turnsBack = target.slice(climb.length).split('/').includes('..');
  const isInside = rootOf(path.resolve(directory, target), roots) !== undefined;
  if (target === '' || target.includes('\0') || turnsBack || !isInside) {
    throw new ArchiveError('unsafe_link', `${shown(name)} links to ${shown(target)}, which may leave the workspace`);
  }
}

/** @param {string} place */
function lstat(place) {
  try {
    return fs.lstatSync(place, { throwIfNoEntry: false }) ?? null;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ENOTDIR') return null;
    throw error;
  }
}

/** A pipeline stage that shows every chunk to `see`. @param {(chunk: Buffer) => void} see */
function tap(see) {
  /** @param {AsyncIterable<Buffer>} source */
  return async function* (source) {
    for await (const chunk of source) {
      see(chunk);
      yield chunk;
    }
  };
}

module.exports = { MAX_TERMINAL_OUTPUT_BYTES, ROOT_RECORD, checkLink, checkName, lstat, rootOf, shown, tap };
