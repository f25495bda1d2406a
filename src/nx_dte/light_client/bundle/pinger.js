'use strict';
/**
 * The process that `start-ci-run` leaves behind: it pings while the job's shell lives and tells the coordinator when
 * it has ended, however it ended. It holds none of the job's streams (GitLab would wait for them) and leads a session
 * of its own, so a signal to the job's process group leaves it the second it needs to say so.
 */
const { spawn } = require('node:child_process');
const { Coordinator } = require('./coordinator');
const { CoordinatorError, sleep, uptime } = require('./http');
const { jobShell, isAlive } = require('./process-tree');

const LONGEST_JOB_MS = 7 * 24 * 3600 * 1000;
const OVER = new Set(['finished', 'abandoned']);

/** @param {import('./environment').Environment} environment @param {string} runId @param {string | null} jobId @param {number} pingS */
function startPinger(environment, runId, jobId, pingS) {
  const shell = jobShell();
  if (!shell) return null;
  const config = Buffer.from(JSON.stringify({ environment, runId, jobId, pingS, shell })).toString('base64');
  const child = spawn(process.execPath, [__filename], {
    detached: true,
    stdio: 'ignore',
    cwd: '/',
    env: { ...process.env, NX_DTE_PINGER: config },
  });
  child.unref();
  return shell;
}

/** @param {string} config */
async function run(config) {
  const { environment, runId, jobId, pingS, shell } = JSON.parse(Buffer.from(config, 'base64').toString('utf8'));
  const coordinator = new Coordinator({ ...environment, patienceS: 60 });
  const endBy = uptime() + LONGEST_JOB_MS;
  let nextPing = 0;
  while (isAlive(shell) && uptime() < endBy) {
    if (uptime() >= nextPing) {
      nextPing = uptime() + pingS * 1000;
      // Not awaited: a coordinator that hangs must not keep us from seeing the shell end.
      coordinator.ping(runId, jobId).then(
        (answer) => OVER.has(answer.state) && process.exit(0),
        (error) => error instanceof CoordinatorError && error.status === 404 && process.exit(0),
      );
    }
    await sleep(500);
  }
  await coordinator.mainLeft(runId, jobId, `the job's shell (pid ${shell.pid}) ended`);
}

if (require.main === module && process.env.NX_DTE_PINGER) {
  const config = process.env.NX_DTE_PINGER;
  run(config).then(
    () => process.exit(0),
    () => process.exit(1),
  );
}

module.exports = { startPinger };
