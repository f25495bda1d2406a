'use strict';
/**
 * What the surroundings say: Nx Cloud's own variables, GitLab's predefined ones and nx.json, read in one place.
 * Names and their order follow Nx's loader and its documentation, so a workspace that knew Nx Cloud needs no change.
 */
const os = require('node:os');
const { execFileSync } = require('node:child_process');

/** @typedef {{accessToken?: string, nxCloudAccessToken?: string, url?: string, nxCloudUrl?: string}} CloudOptions */

const env = process.env;
const SECONDS = { unit: 'seconds' };
const isCi = () => Boolean((env.CI && env.CI !== 'false') || env.GITLAB_CI);
/** @param {CloudOptions} [options] */
function readEnvironment(options = {}) {
  /** Nothing is run with a value that cannot be what somebody meant. @type {string[]} */
  const problems = [];
  /** @template F @param {string} name @param {F} fallback @param {{unit: string, least?: number, most?: number}} kind @returns {number | F} */
  const number = (name, fallback, { unit, least = 0, most = Infinity }) => {
    const text = env[name]?.trim();
    if (!text) return fallback;
    if (/^\d+(\.\d+)?$/.test(text) && Number(text) >= least && Number(text) <= most) return Number(text);
    const range = least > 0 ? ` above 0 and up to ${most}` : '';
    problems.push(`${name}="${env[name]}" is not a number of ${unit}${range}. Correct or unset it.`);
    return fallback;
  };
  const coordinatorLostS = number('NX_DTE_COORDINATOR_LOST_S', 60, SECONDS);
  const baseUrl = env.NX_CLOUD_API || env.NRWL_API || options.url || options.nxCloudUrl || '';
  return {
    baseUrl: baseUrl.replace(/\/+$/, ''),
    token:
      env.NX_CLOUD_AUTH_TOKEN || env.NX_CLOUD_ACCESS_TOKEN || options.accessToken || options.nxCloudAccessToken || '',
    ciId: env.NX_CI_EXECUTION_ID || env.NX_RUN_GROUP || env.CI_PIPELINE_ID || '',
    environment: env.NX_CI_EXECUTION_ENV || env.NX_CLOUD_ENV_NAME || '',
    jobId: env.CI_JOB_ID || null,
    branch: env.NX_BRANCH || env.CI_MERGE_REQUEST_IID || env.CI_COMMIT_REF_NAME || null,
    agentName: env.NX_AGENT_NAME || env.CI_JOB_NAME || os.hostname(),
    agentInstance: env.NX_AGENT_INSTANCE_NAME || null,
    agentType: env.NX_AGENT_LAUNCH_TEMPLATE || null,
    /** Set in every process an agent starts: a nested `nx` must run its tasks itself. */
    insideAgent: Boolean(env.NX_DTE_AGENT_ID),
    noCloud: env.NX_NO_CLOUD === 'true',
    distributionOff: env.NX_CLOUD_DISTRIBUTED_EXECUTION === 'false',
    stopAgentsOnFailure: env.NX_CLOUD_DISTRIBUTED_EXECUTION_STOP_AGENTS_ON_FAILURE !== 'false',
    agentTimeoutS: number('NX_CLOUD_AGENT_TIMEOUT_MS', 3_600_000, { unit: 'milliseconds' }) / 1000,
    mainTimeoutS: number('NX_CLOUD_ORCHESTRATOR_TIMEOUT_MS', 3_600_000, { unit: 'milliseconds' }) / 1000,
    joinTimeoutS: number('NX_DTE_JOIN_TIMEOUT', 300, SECONDS),
    /** A task that an agent holds for longer has failed; null: it may take as long as it takes. */
    taskTimeoutS: number('NX_DTE_TASK_TIMEOUT', null, { ...SECONDS, least: 0.001, most: 604_800 }),
    coordinatorLostS,
    /** How long a call is tried again while the coordinator is away: through a restart on CI, hardly at a desk. */
    patienceS: isCi() ? coordinatorLostS : 5,
    /** Nx Cloud's own limit, where somebody sets it; JSON (for the pinger) has no Infinity. */
    retries: number('NX_CLOUD_NUMBER_OF_RETRIES', Number.MAX_SAFE_INTEGER, { unit: 'retries' }),
    noTimeouts: env.NX_CLOUD_NO_TIMEOUTS === 'true',
    mirrorExitCodes: env.NX_DTE_MIRROR === '1',
    problems,
  };
}
/** @typedef {ReturnType<typeof readEnvironment>} Environment */

/** The commit this checkout stands on; null when neither GitLab nor git can say. */
function currentCommit() {
  if (env.CI_COMMIT_SHA) return env.CI_COMMIT_SHA;
  try {
    return execFileSync('git', ['rev-parse', 'HEAD'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return null;
  }
}

module.exports = { readEnvironment, currentCommit };
