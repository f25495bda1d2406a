'use strict';
const assert = require('node:assert/strict');
const { test } = require('node:test');
const { CoordinatorUnreachable } = require('../../src/nx_dte/light_client/bundle/http.js');
const { InvocationFollower } = require('../../src/nx_dte/light_client/bundle/invocation-follower.js');

/**
 * A follower of a coordinator that answers what the test says, and how long each answer took.
 * @param {import('node:test').TestContext} t @param {({takesS: number, answer?: any})[]} answers
 */
function follow(t, answers) {
  let uptimeS = 0;
  t.mock.method(performance, 'now', () => uptimeS * 1000);
  /** @type {number[]} */
  const waits = [];
  const events = async (/** @type {string} */ _run, /** @type {{waitS: number}} */ { waitS }) => {
    waits.push(waitS);
    const { takesS, answer } = answers.shift() ?? assert.fail('asked more often than it should');
    uptimeS += takesS;
    if (answer) return answer;
    throw new CoordinatorUnreachable('http://coordinator.test', `no answer for ${takesS} s`);
  };
  const follower = Object.assign(Object.create(InvocationFollower.prototype), {
    coordinator: { events },
    environment: { coordinatorLostS: 60, joinTimeoutS: 300 },
    lastSignAt: 0,
    plan: { run: { ci_run_id: 'run' } },
    sequence: 7,
  });
  return { follower, waits };
}

test('one that hangs is lost since it should have answered, not since that was noticed', async (t) => {
  const { follower, waits } = follow(t, [{ takesS: 50 }, { takesS: 30 }, { takesS: 30 }]);
  assert.equal(await follower.poll(), null);
  assert.deepEqual(waits, [20, 0, 0], 'once it is away it is only asked whether it is back');
});

test('one that refuses is lost since it did', async (t) => {
  const { follower } = follow(t, [{ takesS: 19 }, { takesS: 59 }, { takesS: 2 }]);
  assert.equal(await follower.poll(), null);
});

test('who was frozen itself asks once more before it goes on alone', async (t) => {
  const answer = { sequence: 9, events: [] };
  const { follower } = follow(t, [{ takesS: 3600 }, { takesS: 0, answer }]);
  assert.equal(await follower.poll(), answer);
  assert.equal(follower.sequence, 9);
});

test('main does not sleep through the moment at which it is to begin itself', async (t) => {
  const answer = { sequence: 9, events: [] };
  const { follower, waits } = follow(t, [
    { takesS: 20, answer },
    { takesS: 5, answer },
    { takesS: 1, answer },
  ]);
  follower.environment.joinTimeoutS = 25;
  for (let times = 0; times < 3; times++) await follower.poll();
  assert.deepEqual(waits, [20, 5, 1]);
});

test('main that has begun itself waits as long as it may', async (t) => {
  const { follower, waits } = follow(t, [{ takesS: 0, answer: { sequence: 9, events: [] } }]);
  follower.environment.joinTimeoutS = 0;
  follower.ownAgent = {};
  await follower.poll();
  assert.deepEqual(waits, [20]);
});
