'use strict';
/** Lines of ours in a job log. Synchronous, because Nx ends the process as soon as a command's promise resolves. */
const fs = require('node:fs');

/** @param {1 | 2} descriptor @param {string | Buffer} text */
function write(descriptor, text) {
  for (let rest = Buffer.from(/** @type {string} */ (text)); rest.length > 0; ) {
    try {
      rest = rest.subarray(fs.writeSync(descriptor, rest));
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EAGAIN') return; // the reader is gone: nobody to tell
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5); // a full pipe: wait for the reader
    }
  }
}
const log = {
  /** @param {string} message */ info: (message) => write(1, `[nx-dte] ${message}\n`),
  /** @param {string} message */ warn: (message) => write(2, `[nx-dte] WARNING: ${message}\n`),
  /** @param {string} message */ error: (message) => write(2, `[nx-dte] ERROR: ${message}\n`),
  write,
};
module.exports = { log };
