'use strict';
/**
 * Moves an unpacked archive into the workspace, all of it or nothing: every check comes before the first change,
 * and every change is kept with its undoing. Synchronous (renames, no copying), so that restores which run at once
 * never see each other half done.
 */
const fs = require('node:fs');
const path = require('node:path');
const rules = require('./archive-rules.js');
const { ArchiveError } = require('./tar.js');

/** A directory without mode is only on the way to another item. */
/** @typedef {{type: 'file', staged: string} | {type: 'symlink', target: string} | {type: 'directory', mode: number | null}} Item */
/** @typedef {{place: string, action: 'create' | 'merge' | 'replace'}} Plan */

/**
 * A directory the archive names replaces a link, as plain Nx leaves it. One only on the way is followed, if it stays
 * in the workspace.
 * @param {string} name @param {string} place @param {boolean} isNamed @param {string} root @returns {Plan}
 */
function planDirectory(name, place, isNamed, root) {
  const there = rules.lstat(place);
  if (!there) return { place, action: 'create' };
  if (there.isDirectory()) return { place, action: 'merge' };
  const isFollowed = there.isSymbolicLink() && !isNamed && fs.existsSync(place);
  const real = isFollowed ? fs.realpathSync(place) : place;
  if (rules.rootOf(real, [root]) === undefined) {
    throw new ArchiveError('unsafe_path', `${rules.shown(name)} in the workspace is a link that leads out of it`);
  }
  return isFollowed && fs.statSync(real).isDirectory()
    ? { place: real, action: 'merge' }
    : { place, action: 'replace' };
}

/** Where each item goes, through no link. @param {Map<string, Item>} items @param {string} root @param {string} given */
function planAll(items, root, given) {
  /** @type {Map<string, Plan>} */
  const plans = new Map([['.', { place: root, action: 'merge' }]]);
  for (const [name, item] of items) {
    const parent = /** @type {Plan} */ (plans.get(path.posix.dirname(name)));
    const place = path.join(parent.place, path.posix.basename(name));
    if (item.type === 'symlink') rules.checkLink(name, parent.place, item.target, [root, given]);
    const mayExist = item.type === 'directory' && parent.action === 'merge';
    plans.set(name, mayExist ? planDirectory(name, place, item.mode !== null, root) : { place, action: 'create' });
  }
  return plans;
}

/** Changes to the workspace, each kept with its undoing. */
class Changes {
  /** @type {(() => void)[]} */
  #undoings = [];

  /** @param {string} trash takes what is replaced */
  constructor(trash) {
    this.trash = trash;
  }

  /** @param {() => void} change @param {() => void} undoing */
  make(change, undoing) {
    change();
    this.#undoings.push(undoing);
  }

  /** @param {string} from @param {string} to */
  move(from, to) {
    const change = () => fs.renameSync(from, to);
    this.make(change, () => fs.renameSync(to, from));
  }

  /** @param {string} place @param {(old: number) => number} wanted */
  chmod(place, wanted) {
    const old = fs.lstatSync(place).mode & 0o7777;
    const change = () => fs.chmodSync(place, wanted(old));
    if (wanted(old) !== old) this.make(change, () => fs.chmodSync(place, old));
  }

  /** A directory closed to its owner can be neither moved nor filled. @param {string} place */
  open(place) {
    this.chmod(place, (old) => old | 0o700);
  }

  /** Moves what is at `place` out of the way. @param {string} place */
  clear(place) {
    const there = rules.lstat(place);
    if (there?.isDirectory()) this.open(place);
    if (there) this.move(place, path.join(this.trash, `replaced-${this.#undoings.length}`));
  }

  undoAll() {
    for (const undo of this.#undoings.reverse()) {
      try {
        undo();
      } catch {} // what led here is the error to report; undo as much as possible
    }
  }
}

/** @param {Map<string, Item>} items @param {Map<string, Plan>} plans @param {Changes} changes */
function placeAll(items, plans, changes) {
  /** @type {[string, number][]} */
  const modes = [];
  for (const [name, item] of items) {
    const { place, action } = /** @type {Plan} */ (plans.get(name));
    const remove = () => fs.unlinkSync(place);
    if (item.type !== 'directory' || action === 'replace') changes.clear(place);
    if (item.type === 'file') changes.move(item.staged, place);
    else if (item.type === 'symlink') changes.make(() => fs.symlinkSync(item.target, place), remove);
    else {
      const make = () => fs.mkdirSync(place);
      if (!rules.lstat(place)?.isDirectory()) changes.make(make, () => fs.rmdirSync(place));
      if (item.mode === null) continue;
      changes.open(place);
      modes.push([place, item.mode]);
    }
  }
  // Last and deepest first: a directory may end up closed to its owner.
  for (const [place, mode] of modes.reverse()) changes.chmod(place, () => mode);
}

/**
 * @param {Map<string, Item>} items workspace path → item, parents before children
 * @param {string} destination @param {string} staging a directory on the same filesystem
 */
function publish(items, destination, staging) {
  const plans = planAll(items, fs.realpathSync(destination), destination);
  const changes = new Changes(staging);
  try {
    placeAll(items, plans, changes);
  } catch (error) {
    changes.undoAll();
    throw error;
  }
}

/** Removes a staging directory as far as possible; what is left of it harms nothing. @param {string} directory */
async function discard(directory) {
  const remove = () => fs.promises.rm(directory, { recursive: true, force: true });
  await remove()
    .catch(() => {
      openAll(directory);
      return remove();
    })
    .catch(() => {});
}

/** @param {string} directory */
function openAll(directory) {
  fs.chmodSync(directory, 0o700);
  for (const child of fs.readdirSync(directory, { withFileTypes: true })) {
    if (child.isDirectory()) openAll(path.join(directory, child.name));
  }
}

module.exports = { discard, publish };
