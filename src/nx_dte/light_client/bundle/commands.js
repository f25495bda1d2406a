'use strict';
/** The `nx-cloud …` commands of the main job (agents: agent.js; record: record.js). Each ends the process by itself. */
const { Coordinator } = require('./coordinator');
const { readEnvironment, currentCommit } = require('./environment');
const { parseFlags, UsageError } = require('./flags');
const { CoordinatorError, CoordinatorUnreachable } = require('./http');
const { log } = require('./log');
const { internals, nxVersion, probe } = require('./nx-internals');
const { startPinger } = require('./pinger');

/** @type {Record<string, import('./flags').Kind>} */
const START_FLAGS = {
  'distribute-on': 'text',
  'stop-agents-after': 'list',
  'stop-agents-on-failure': 'switch',
  'require-explicit-completion': 'switch',
  'use-dte-by-default': 'switch',
  'assignment-rules': 'ignored-text',
  'with-env-vars': 'ignored-text',
  'fix-tasks': 'ignored-text',
  'auto-apply-fixes': 'ignored-text',
  'agent-count': 'ignored-text',
  force: 'ignored-switch',
  distribution: 'ignored-switch',
  verbose: 'ignored-switch',
};

/**
 * With NX_DTE_MIRROR=1 an agent says by its exit code how it ended. Without, every orderly end is a 0: an agent job that
 * is red because its main never came, or because main had to go on alone, would make a good pipeline red.
 */
const EXIT = { coordinatorLost: 75, gaveUp: 76, mainFailed: 77, refused: 78 };

class ExitWith extends Error {
  /** @param {number} code @param {string} message */
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/**
 * Runs a command's body, says what went wrong in one line, and leaves: with 1, unless the body says otherwise.
 * @param {string} name @param {(environment: import('./environment').Environment) => Promise<number | void>} body
 */
const command = (name, body) => async () => {
  try {
    const environment = readEnvironment(internals('readNxJson').readNxJson() ?? {});
    const { problems, mirrorExitCodes } = environment;
    if (problems.length > 0) throw new ExitWith(mirrorExitCodes ? EXIT.refused : 1, problems.join(' '));
    process.exit((await body(environment)) ?? 0);
  } catch (error) {
    const known = [ExitWith, UsageError, CoordinatorError, CoordinatorUnreachable].some(
      (type) => error instanceof type,
    );
    const message = /** @type {any} */ (error).message;
    log.error(`${name}: ${known ? message : /** @type {any} */ (error).stack}`);
    process.exit(error instanceof ExitWith ? error.code : 1);
  }
};

/** @param {import('./environment').Environment} environment @returns {import('./coordinator').Api} */
function connect(environment) {
  if (!environment.baseUrl) throw new ExitWith(1, 'NX_CLOUD_API is not set. Set it to the coordinator’s address.');
  if (!environment.token)
    throw new ExitWith(1, 'no token. Set NX_CLOUD_ACCESS_TOKEN (a CI/CD variable of the project).');
  return new Coordinator(environment);
}

/** @param {import('./environment').Environment} environment */
function requireCiId(environment) {
  if (environment.ciId) return;
  throw new ExitWith(1, 'no id for this CI run. On GitLab CI_PIPELINE_ID gives it; elsewhere set NX_CI_EXECUTION_ID.');
}

/** @param {import('./environment').Environment} environment */
async function startCiRun(environment) {
  const { values, ignored } = parseFlags('start-ci-run', process.argv.slice(3), START_FLAGS);
  if (ignored.length > 0) log.info(`ignored, they have no meaning here: ${ignored.join(', ')}`);
  const distributeOn = values['distribute-on'] ?? 'manual';
  if (distributeOn !== 'manual') {
    throw new UsageError(
      `start-ci-run: --distribute-on="${distributeOn}": only "manual" is supported; the pipeline starts its agents as jobs.`,
    );
  }
  if (environment.noCloud) return log.info('NX_NO_CLOUD=true: nothing is distributed.');
  probe();
  requireCiId(environment);
  const jobId = environment.jobId ?? `local-${process.pid}-${Date.now()}`;
  const run = await connect(environment).openRun({
    ci_id: environment.ciId,
    environment: environment.environment,
    job_id: jobId,
    branch: environment.branch,
    commit: currentCommit(),
    nx_version: nxVersion(),
    distribute_on: distributeOn,
    stop_agents_after: values['stop-agents-after'] ?? [],
    stop_agents_on_failure: values['stop-agents-on-failure'] ?? environment.stopAgentsOnFailure,
    require_explicit_completion: values['require-explicit-completion'] ?? false,
    use_dte_by_default: values['use-dte-by-default'] ?? true,
  });
  log.info(`CI run ${run.ci_run_id} (${environment.ciId}, attempt ${run.attempt}) is ${run.state}.`);
  const shell = startPinger(environment, run.ci_run_id, jobId, run.main_ping_s);
  if (!shell)
    log.warn('the job’s shell was not found: end the job with `nx-cloud complete-ci-run`, or its end is noticed late.');
}

/** @param {string} name */
const completeCiRun = (name) => async (/** @type {import('./environment').Environment} */ environment) => {
  if (environment.noCloud) return;
  requireCiId(environment);
  const coordinator = connect(environment);
  try {
    const run = await coordinator.findRun();
    if (!run) return log.info(`there is no CI run for ${environment.ciId}: nothing to complete.`);
    const { state } = await coordinator.completeRun(run.ci_run_id, name);
    log.info(`CI run ${run.ci_run_id} is ${state}; its agents leave.`);
  } catch (error) {
    // No reason to make a good pipeline red: agents leave a coordinator that is lost by themselves.
    if (!(error instanceof CoordinatorUnreachable)) throw error;
    log.warn(
      `${name}: ${error.message} The CI run was not completed; its agents leave when they lose the coordinator.`,
    );
  }
};

/** @param {string} name @param {string} why */
const nothingToDo = (name, why) => command(name, async () => log.info(`${name}: nothing to do here (${why}).`));

module.exports = { command, connect, requireCiId, startCiRun, completeCiRun, nothingToDo, EXIT, ExitWith };
