'use strict';
/** An agent's temporary folder, and what agents that were killed left of theirs on this host. */
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const OURS = /^nx-dte-(agent|upload)-\w{6}$/;
const LEFT_OVER_MS = 24 * 3600 * 1000;

/** @returns {string} a new folder of this agent's own */
function makeFolder() {
  sweep(os.tmpdir(), Date.now());
  return fs.mkdtempSync(path.join(os.tmpdir(), 'nx-dte-agent-'));
}

/** Says that its agent lives; see `sweep`. @param {string} folder */
function touchFolder(folder) {
  fs.utimes(folder, new Date(), new Date(), () => {}); // gone: the agent is about to end
}

/** Removes this user's folders that nobody has touched for a day. @param {string} parent @param {number} now */
function sweep(parent, now) {
  for (const name of fs.readdirSync(parent).filter((each) => OURS.test(each))) {
    const place = path.join(parent, name);
    try {
      const stats = fs.lstatSync(place);
      const isOurs = stats.isDirectory() && stats.uid === process.getuid?.();
      if (isOurs && now - stats.mtimeMs > LEFT_OVER_MS) fs.rmSync(place, { recursive: true, force: true });
    } catch {
      // another agent was quicker, or it cannot be removed: it harms nothing
    }
  }
}

module.exports = { makeFolder, touchFolder, sweep };
