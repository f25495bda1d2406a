'use strict';
/**
 * Everything of Nx that is not public API, each named once. Nx moves its internals within a major, so every one is
 * probed before work starts and a missing one is an error that names the Nx version, not a crash in mid-run.
 */
/** @type {any} */
const everywhere = globalThis;
everywhere['nx-dte.search'] ??= {};
/**
 * Of the process, not of this copy of the bundle: an agent's executor and Nx's loader may have loaded one each.
 * @type {{paths?: string[]}}
 */
const search = everywhere['nx-dte.search'];
const getSearchPaths = () => search.paths ?? [process.cwd()];

/** @type {Record<string, string>} what is imported → the module it lives in (Nx 20 to 24) */
const NEEDED = {
  defaultTasksRunner: 'nx/src/tasks-runner/default-tasks-runner',
  getCache: 'nx/src/tasks-runner/cache',
  CompositeLifeCycle: 'nx/src/tasks-runner/life-cycle',
  getRunnerOptions: 'nx/src/tasks-runner/run-command',
  getTaskSpecificEnv: 'nx/src/tasks-runner/task-env',
  hashTask: 'nx/src/hasher/hash-task',
  getTaskDetails: 'nx/src/hasher/hash-task',
  getOutputsForTargetAndConfiguration: 'nx/src/tasks-runner/utils',
  createTaskHasher: 'nx/src/hasher/create-task-hasher',
  createProjectGraphAsync: 'nx/src/project-graph/project-graph',
  readNxJson: 'nx/src/config/nx-json',
  loadRootEnvFiles: 'nx/src/utils/dotenv',
  workspaceRoot: 'nx/src/utils/workspace-root',
  expandOutputs: 'nx/src/native',
};

/** @param {string} request */
const load = (request) => require(require.resolve(request, { paths: getSearchPaths() }));

/** Called by Nx's loader with the node_modules folders from the nx package up to nx.json. @param {string[]} paths */
function setSearchPaths(paths) {
  search.paths = paths;
}

/** @returns {string} */
const nxVersion = () => load('nx/package.json').version;

/**
 * @param {...string} names keys of NEEDED
 * @returns {any} the internals by name
 */
function internals(...names) {
  return Object.fromEntries(
    names.map((name) => {
      let value;
      try {
        value = load(/** @type {string} */ (NEEDED[name]))[name];
      } catch (error) {
        if (/** @type {any} */ (error).code !== 'MODULE_NOT_FOUND') throw error;
      }
      if (value === undefined) {
        throw new Error(
          `nx-dte does not know Nx ${nxVersion()}: "${name}" is not in ${NEEDED[name]}. ` +
            'Update the coordinator, use a supported Nx, or run without distribution (NX_NO_CLOUD=true).',
        );
      }
      return [name, value];
    }),
  );
}

/** Fails early, before any task, when this Nx lacks something we need. @returns {any} all internals by name */
const probe = () => internals(...Object.keys(NEEDED));

module.exports = { setSearchPaths, getSearchPaths, internals, nxVersion, probe, NEEDED };
