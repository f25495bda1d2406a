'use strict';
/**
 * The cache Nx asks after its local one. What it serves is decided by the coordinator; what a distributed task leaves
 * is stored by the coordinator when it accepts the report, so `store` uploads only what was run without distribution.
 * Nothing here may throw: in Nx 20 an error of the cache turns a green task red.
 */
const fs = require('node:fs');
const path = require('node:path');
const { Coordinator, id } = require('./coordinator');
const { readEnvironment } = require('./environment');
const { CoordinatorError, CoordinatorUnreachable } = require('./http');
const { log } = require('./log');
const { internals } = require('./nx-internals');

/**
 * Shared by every copy of the bundle in a process: in a long-lived agent Nx's loader may load a newer one.
 * `isAway`: the coordinator was waited for once and did not answer; nobody waits for it a second time.
 * `entries`: hash → artifact id, or null for a known miss; a hash not in it is asked for.
 * @typedef {{entries: Map<string, string | null>, runId: string | null, storedByCoordinator: boolean, isAway: boolean, warned: boolean}} Shared
 * @returns {Shared}
 */
function shared() {
  const key = Symbol.for('nx-dte.remote-cache');
  const place = /** @type {any} */ (globalThis);
  place[key] ??= { entries: new Map(), runId: null, storedByCoordinator: false, isAway: false, warned: false };
  return place[key];
}

/** @param {string} what @param {unknown} error */
function warnOnce(what, error) {
  if (error instanceof CoordinatorUnreachable) shared().isAway = true;
  if (shared().warned) return;
  shared().warned = true;
  log.warn(`${what}: ${/** @type {Error} */ (error).message} The cache is left out; the result stays right.`);
}

function getRemoteCache() {
  const coordinator = new Coordinator(readEnvironment(internals('readNxJson').readNxJson() ?? {}));
  /** @param {string} hash @param {string} cacheDirectory */
  async function retrieve(hash, cacheDirectory) {
    try {
      const { entries, runId, isAway } = shared();
      if (isAway) return null;
      const known = entries.get(hash);
      const artifactId = known === undefined ? (await coordinator.lookup([hash], runId))[hash]?.artifact_id : known;
      if (!artifactId) return null;
      const outputsPath = path.join(cacheDirectory, hash);
      await fs.promises.mkdir(outputsPath, { recursive: true });
      const { terminalOutput, code, size } = await coordinator.restore(artifactId, outputsPath);
      return { outputsPath, terminalOutput, code, size };
    } catch (error) {
      warnOnce('remote cache', error);
      return null;
    }
  }
  /** @param {string} hash @param {string} cacheDirectory @param {string} terminalOutput @param {number} code */
  async function store(hash, cacheDirectory, terminalOutput, code) {
    const { storedByCoordinator, runId, isAway } = shared();
    if (storedByCoordinator || code !== 0) return true;
    if (isAway) return false;
    try {
      const root = path.join(cacheDirectory, hash);
      const paths = fs.existsSync(root) ? fs.readdirSync(root) : [];
      const headers = runId ? { 'nx-dte-ci-run': runId } : {};
      await coordinator.uploadOutputs(`/cache/${id(hash)}`, { root, paths, terminalOutput, code }, headers);
      return true;
    } catch (error) {
      const expected = error instanceof CoordinatorError && error.code === 'token_read_only';
      if (!expected) warnOnce('remote cache', error);
      return false;
    }
  }
  return { retrieve, store };
}

module.exports = { getRemoteCache, shared };
