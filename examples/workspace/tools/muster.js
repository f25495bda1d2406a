'use strict';
/**
 * On an agent: ends once NX_DTE_EXAMPLE_AGENTS (3) agents have joined this CI run, or fails after 90 seconds.
 * Anywhere else it ends at once. It prints the same either way, since a task's output must not tell where it ran.
 */
const { main, sleep } = require('./lib/task');

const DEADLINE_S = 90;

async function countAgents() {
  const query = new URLSearchParams({
    ci_id: process.env.NX_CI_EXECUTION_ID ?? process.env.CI_PIPELINE_ID ?? '',
    environment: process.env.NX_CI_EXECUTION_ENV ?? '',
  });
  const base = process.env.NX_CLOUD_API.replace(/\/+$/, '');
  const response = await fetch(`${base}/api/v1/ci-runs?${query}`, {
    headers: { authorization: process.env.NX_CLOUD_ACCESS_TOKEN ?? '' },
  });
  if (!response.ok) throw new Error(`coordinator answers ${response.status}`);
  const { ci_run: ciRun } = await response.json();
  return ciRun?.agents_joined ?? 0;
}

async function waitForAgents(wanted) {
  const deadline = Date.now() + DEADLINE_S * 1000;
  let joined = 0;
  while ((joined = await countAgents()) < wanted) {
    if (Date.now() > deadline) {
      throw new Error(
        `${joined} of ${wanted} agents joined in ${DEADLINE_S} s`,
      );
    }
    await sleep(0.25);
  }
}

main(async () => {
  const onAgent = process.env.NX_CLOUD_API && process.env.NX_DTE_AGENT_ID;
  if (onAgent) {
    await waitForAgents(Number(process.env.NX_DTE_EXAMPLE_AGENTS ?? '3'));
  }
  console.log('all present');
});
