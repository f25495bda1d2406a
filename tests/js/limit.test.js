'use strict';
const assert = require('node:assert/strict');
const { test } = require('node:test');
const { limit } = require('../../src/nx_dte/light_client/bundle/limit.js');

test('never more than allowed at once, all done, in order, also when one fails', async () => {
  const inTurn = limit(3);
  let running = 0;
  let most = 0;
  /** @type {number[]} */
  const started = [];
  const works = Array.from({ length: 20 }, (_, index) =>
    inTurn(async () => {
      started.push(index);
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running--;
      if (index === 5) throw new Error('five');
      return index;
    }),
  );
  const results = await Promise.allSettled(works);
  assert.equal(most, 3);
  assert.deepEqual(
    started,
    [...started].sort((a, b) => a - b),
  );
  assert.deepEqual(
    results.map((each) => each.status === 'fulfilled'),
    Array.from({ length: 20 }, (_, index) => index !== 5),
  );
});
