'use strict';
/** Artifacts: one archive holds a task's outputs, terminal output and exit code. */
const { packArchive } = require('./archive-pack.js');
const { MAX_TERMINAL_OUTPUT_BYTES } = require('./archive-rules.js');
const { unpackArchive } = require('./archive-unpack.js');
const { ArchiveError } = require('./tar.js');

module.exports = { ArchiveError, MAX_TERMINAL_OUTPUT_BYTES, packArchive, unpackArchive };
