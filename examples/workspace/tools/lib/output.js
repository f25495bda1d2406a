'use strict';
/** Writes outputs whose bytes depend on their inputs and on nothing else: no time, no path, no random number. */
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { workspaceRoot } = require('./task');

function sha256(content) {
  return crypto.createHash('sha256').update(content).digest('hex');
}

/** Writes `relative` (to the workspace) afresh, and says so in the task's output. */
function write(relative, content, mode = 0o644) {
  const file = path.join(workspaceRoot, relative);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.rmSync(file, { force: true });
  fs.writeFileSync(file, content);
  fs.chmodSync(file, mode);
  console.log(`wrote ${relative} (${Buffer.byteLength(content)} bytes)`);
}

function writeJson(relative, value) {
  write(relative, `${JSON.stringify(value, null, 2)}\n`);
}

function link(relative, target) {
  const file = path.join(workspaceRoot, relative);
  fs.rmSync(file, { force: true });
  fs.symlinkSync(target, file);
}

/** Bytes that do not compress, the same for the same seed. */
function noise(seed, size) {
  const blocks = [];
  for (let index = 0; index * 32 < size; index += 1) {
    blocks.push(
      crypto.createHash('sha256').update(`${seed}/${index}`).digest(),
    );
  }
  return Buffer.concat(blocks).subarray(0, size);
}

/** Files below `relative`, sorted, with forward slashes. */
function listFiles(relative) {
  const folder = path.join(workspaceRoot, relative);
  return fs
    .readdirSync(folder, { withFileTypes: true })
    .flatMap((entry) => {
      const inside = path.posix.join(relative, entry.name);
      return entry.isDirectory() ? listFiles(inside) : [inside];
    })
    .sort();
}

function read(relative) {
  return fs.readFileSync(path.join(workspaceRoot, relative));
}

module.exports = { link, listFiles, noise, read, sha256, write, writeJson };
