'use strict';
const assert = require('node:assert/strict');
const { test } = require('node:test');
const { readEnvironment } = require('../../src/nx_dte/light_client/bundle/environment.js');

/** @param {import('node:test').TestContext} t @param {Record<string, string>} variables */
function environmentWith(t, variables) {
  const before = { ...process.env };
  for (const name of Object.keys(process.env)) if (/^(NX_|CI|GITLAB)/.test(name)) delete process.env[name];
  Object.assign(process.env, variables);
  t.after(() => {
    for (const name of Object.keys(process.env)) delete process.env[name];
    Object.assign(process.env, before);
  });
  return readEnvironment();
}

test('times have defaults, and no task has a timeout unless somebody sets one', (t) => {
  const { problems, taskTimeoutS, joinTimeoutS, coordinatorLostS } = environmentWith(t, { NX_DTE_TASK_TIMEOUT: ' ' });
  assert.deepEqual(
    { problems, taskTimeoutS, joinTimeoutS, coordinatorLostS },
    { problems: [], taskTimeoutS: null, joinTimeoutS: 300, coordinatorLostS: 60 },
  );
});

test('what is set counts', (t) => {
  const { problems, taskTimeoutS, joinTimeoutS } = environmentWith(t, {
    NX_DTE_TASK_TIMEOUT: '90.5',
    NX_DTE_JOIN_TIMEOUT: '0',
  });
  assert.deepEqual({ problems, taskTimeoutS, joinTimeoutS }, { problems: [], taskTimeoutS: 90.5, joinTimeoutS: 0 });
});

for (const value of ['0', '-5', '10m', 'NaN', 'Infinity', '1e3', '604801']) {
  test(`a task timeout of ${value} is a problem that names the variable`, (t) => {
    const { problems } = environmentWith(t, { NX_DTE_TASK_TIMEOUT: value });
    assert.deepEqual(problems, [
      `NX_DTE_TASK_TIMEOUT="${value}" is not a number of seconds above 0 and up to 604800. Correct or unset it.`,
    ]);
  });
}
