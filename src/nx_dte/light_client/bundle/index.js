'use strict';
/**
 * What Nx's loader asks of a light client. Nothing here may do work at load time: every `nx` command requires it.
 */
const { command, completeCiRun, nothingToDo, startCiRun } = require('./commands');
const { record } = require('./record');
const { startAgent } = require('./agent');
const { setSearchPaths } = require('./nx-internals');
const { nxCloudTasksRunner } = require('./tasks-runner');
const { getRemoteCache } = require('./remote-cache');

module.exports = {
  commands: {
    'start-ci-run': command('start-ci-run', startCiRun),
    record: command('record', record),
    'start-agent': command('start-agent', startAgent),
    'stop-all-agents': command('stop-all-agents', completeCiRun('stop-all-agents')),
    'complete-ci-run': command('complete-ci-run', completeCiRun('complete-ci-run')),
    'fix-ci': nothingToDo('fix-ci', 'self-healing belongs to Nx Cloud'),
    'upload-agent-metrics': nothingToDo('upload-agent-metrics', 'the coordinator measures agents itself'),
    cleanup: nothingToDo('cleanup', 'nothing is left behind'),
  },
  configureLightClientRequire: () => setSearchPaths,
  nxCloudTasksRunner,
  getRemoteCache,
};
