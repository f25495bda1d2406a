'use strict';
const assert = require('node:assert/strict');
const { test } = require('node:test');
const { parseFlags, UsageError } = require('../../src/nx_dte/light_client/bundle/flags.js');

/** @type {Record<string, import('../../src/nx_dte/light_client/bundle/flags.js').Kind>} */
const KNOWN = {
  'distribute-on': 'text',
  after: 'list',
  strict: 'switch',
  rules: 'ignored-text',
  debug: 'ignored-switch',
};
/** @param {...string} argv */
const parse = (...argv) => parseFlags('start', argv, KNOWN);

test('a value may follow after = or as the next word', () => {
  assert.equal(parse('--distribute-on=manual').values['distribute-on'], 'manual');
  assert.equal(parse('--distribute-on', 'manual').values['distribute-on'], 'manual');
  assert.equal(parse('--distribute-on=a=b').values['distribute-on'], 'a=b');
});

test('a list is split at commas, without empty items', () => {
  assert.deepEqual(parse('--after=e2e-ci, build:production,').values.after, ['e2e-ci', 'build:production']);
});

test('a switch is on alone, off as --no-…, and takes true, false, 1 or 0', () => {
  assert.equal(parse('--strict').values.strict, true);
  assert.equal(parse('--no-strict').values.strict, false);
  assert.equal(parse('--strict=false').values.strict, false);
  assert.equal(parse('--strict', 'false').values.strict, false);
  assert.equal(parse('--strict', '--debug').values.strict, true);
  assert.equal(parse('--strict=0').values.strict, false);
  assert.throws(() => parse('--strict=perhaps'), /--strict is true or false, not "perhaps"/);
});

test('what means nothing here is named as ignored, with its value', () => {
  const { values, ignored } = parse('--rules', 'file.yaml', '--no-debug', '--after=x');
  assert.deepEqual(ignored, ['--rules', '--no-debug']);
  assert.deepEqual(values, { after: ['x'] });
});

test('an unknown flag, a bare word and a missing value are errors that say what to write', () => {
  assert.throws(
    () => parse('--stop-agents'),
    (/** @type {Error} */ error) => {
      assert.ok(error instanceof UsageError);
      assert.match(error.message, /start: unknown argument "--stop-agents"\. It takes: --distribute-on, --after/);
      return true;
    },
  );
  assert.throws(() => parse('manual'), UsageError);
  assert.throws(() => parse('--distribute-on'), /--distribute-on needs a value/);
  assert.throws(() => parse('--constructor'), UsageError);
});
