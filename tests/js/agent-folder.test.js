'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const { makeFolder, sweep } = require('../../src/nx_dte/light_client/bundle/agent-folder.js');

const HOUR_MS = 3600 * 1000;

test('what nobody touched for a day goes, and nothing else', (t) => {
  const parent = fs.mkdtempSync(path.join(os.tmpdir(), 'nx-dte-test-'));
  t.after(() => fs.rmSync(parent, { recursive: true }));
  const now = Date.now();
  /** @param {string} name @param {number} hours */
  const make = (name, hours) => {
    const folder = path.join(parent, name);
    fs.mkdirSync(path.join(folder, 'inside'), { recursive: true });
    const at = new Date(now - hours * HOUR_MS);
    fs.utimesSync(folder, at, at);
  };
  for (const name of ['nx-dte-agent-abcdef', 'nx-dte-upload-abcdef', 'nx-dte-stage-abcdef', 'nx-dte-agent-x']) {
    make(name, 25);
  }
  make('nx-dte-agent-fresh1', 23);
  make('elsewhere', 25);
  fs.symlinkSync(path.join(parent, 'elsewhere'), path.join(parent, 'nx-dte-agent-linked'));
  fs.lutimesSync(path.join(parent, 'nx-dte-agent-linked'), new Date(0), new Date(0));
  make('nx-dte-agent-others', 25);
  if (process.getuid?.() === 0) {
    const folder = path.join(parent, 'nx-dte-agent-others');
    fs.chownSync(folder, 65534, 65534);
  } else fs.rmSync(path.join(parent, 'nx-dte-agent-others'), { recursive: true });

  sweep(parent, now);

  const left = fs.readdirSync(parent).filter((name) => name !== 'nx-dte-agent-others');
  assert.deepEqual(left.sort(), [
    'elsewhere',
    'nx-dte-agent-fresh1',
    'nx-dte-agent-linked',
    'nx-dte-agent-x',
    'nx-dte-stage-abcdef',
  ]);
  const hasOthers = fs.existsSync(path.join(parent, 'nx-dte-agent-others'));
  assert.equal(hasOthers, process.getuid?.() === 0, 'another user’s folder stays');
});

test('a new agent makes a folder that a sweep knows', (t) => {
  const folder = makeFolder();
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  sweep(path.dirname(folder), Date.now() + 23 * HOUR_MS - 1000);
  assert.ok(fs.existsSync(folder));
});
