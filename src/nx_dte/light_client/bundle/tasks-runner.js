'use strict';
/** Nx's entry for every `nx run | run-many | affected`: distributes it, or says why not and lets Nx run it here. */
const { randomUUID } = require('node:crypto');
const { Coordinator } = require('./coordinator');
const { readEnvironment } = require('./environment');
const { CoordinatorError, CoordinatorUnreachable } = require('./http');
const { InvocationFollower } = require('./invocation-follower');
const { InvocationPlan } = require('./invocation-plan');
const { log } = require('./log');
const { internals, probe } = require('./nx-internals');
const { shared } = require('./remote-cache');

/** @param {any[]} tasks @param {any} options @param {any} context @returns {Promise<Record<string, string>>} */
async function nxCloudTasksRunner(tasks, options, context) {
  const environment = readEnvironment(options);
  if (environment.problems.length > 0) throw new Error(environment.problems.join(' '));
  const run = await openRun(environment, options, context);
  if (!run) return internals('defaultTasksRunner').defaultTasksRunner(tasks, options, context);
  probe();
  const coordinator = new Coordinator(environment);
  const plan = new InvocationPlan(coordinator, run, options, context);
  const follower = new InvocationFollower(plan);
  await options.lifeCycle.startCommand(plan.parallel, plan.parallel);
  try {
    return await distribute(plan, follower);
  } finally {
    await options.lifeCycle.endCommand();
  }
}

/** @param {import('./invocation-plan').Plan} plan @param {import('./invocation-follower').Follower} follower */
async function distribute(plan, follower) {
  shared().storedByCoordinator = true;
  try {
    await plan.applyHits((task, hit) => follower.showHit(task, hit));
    await plan.shareLocalHits();
    const invocation = await plan.coordinator.submit(plan.run.ci_run_id, plan.toWire(randomUUID()));
    return await follower.follow(invocation);
  } catch (error) {
    if (!(error instanceof CoordinatorUnreachable) && !(error instanceof CoordinatorError)) throw error;
    shared().isAway = error instanceof CoordinatorUnreachable;
    return follower.finishHere(error.message);
  }
}

/**
 * The open CI run this command belongs to, or null: then it runs here, as plain Nx would.
 * @param {import('./environment').Environment} environment @param {any} options @param {any} context
 * @returns {Promise<any>}
 */
async function openRun(environment, options, context) {
  const { agents, useAgents, dte } = { ...context.nxArgs, ...options };
  const isAsked = agents === true || useAgents === true || dte === true;
  if (environment.noCloud || environment.insideAgent || !environment.ciId) return null;
  if (agents === false || useAgents === false || dte === false || environment.distributionOff) return null;
  if (!environment.baseUrl || !environment.token) return null;
  if (Object.values(context.taskGraph.tasks).some((/** @type {any} */ task) => task.continuous)) {
    return here('it has continuous tasks, which are not distributed yet');
  }
  try {
    const run = await new Coordinator(environment).findRun();
    if (!run) return here(`no CI run is open for ${environment.ciId} (nx-cloud start-ci-run opens it)`);
    shared().runId = run.ci_run_id;
    if (run.state !== 'open')
      return here(`CI run ${run.ci_run_id} is ${run.state}${run.reason ? ` (${run.reason})` : ''}`);
    return run.distribute_by_default || isAsked ? run : null;
  } catch (error) {
    shared().isAway = error instanceof CoordinatorUnreachable;
    return here(/** @type {Error} */ (error).message, true);
  }
}

/** @param {string} why @param {boolean} [isLoud] @returns {null} */
function here(why, isLoud = false) {
  (isLoud ? log.warn : log.info)(`this command runs here, not on agents: ${why.replace(/\.$/, '')}.`);
  return null;
}

module.exports = { nxCloudTasksRunner };
