'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const internals = require('../../src/nx_dte/light_client/bundle/nx-internals.js');
// There is no Nx here whose version could be told.
Object.assign(internals, { nxVersion: () => '20.8.4' });
const { Agent } = require('../../src/nx_dte/light_client/bundle/agent.js');

test('an agent whose main does not come gives up when its time is over, not a long answer later', async (t) => {
  let uptimeS = 0;
  t.mock.method(performance, 'now', () => uptimeS * 1000);
  /** @type {number[]} */
  const waits = [];
  const join = async (/** @type {any} */ _identity, /** @type {number} */ waitS) => {
    waits.push(waitS);
    uptimeS += waitS;
    return { decision: 'wait' };
  };
  const agent = Object.assign(Object.create(Agent.prototype), {
    coordinator: { join },
    environment: { ciId: '7', agentTimeoutS: 45.5, coordinatorLostS: 60 },
  });
  assert.equal((await agent.join()).decision, 'wait');
  assert.deepEqual(waits, [20, 20, 5.5]);
});

test('an agent says why it waits beside a CI run that was opened with the other kind of token', async (t) => {
  let uptimeS = 0;
  t.mock.method(performance, 'now', () => uptimeS * 1000);
  /** @type {string[]} */
  const said = [];
  t.mock.method(fs, 'writeSync', (/** @type {number} */ _descriptor, /** @type {Buffer} */ text) => {
    said.push(text.toString());
    return text.length;
  });
  const join = async (/** @type {any} */ _identity, /** @type {number} */ waitS) => {
    uptimeS += waitS;
    return { decision: 'wait', reason: 'token_access_differs', message: 'Give both the same token.' };
  };
  const agent = Object.assign(Object.create(Agent.prototype), {
    coordinator: { join },
    environment: { ciId: '7', agentTimeoutS: 45, coordinatorLostS: 60 },
  });
  await agent.join();
  t.mock.restoreAll();
  assert.match(said.join(''), /WARNING: Give both the same token/);
});
