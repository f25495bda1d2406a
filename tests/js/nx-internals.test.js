'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const internals = require('../../src/nx_dte/light_client/bundle/nx-internals.js');

/** An `nx` package that has everything but what is named. @param {import('node:test').TestContext} t @param {string} missing */
function fakeNx(t, missing) {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'nx-dte-test-'));
  t.after(() => fs.rmSync(root, { recursive: true }));
  /** @type {Record<string, string[]>} */
  const modules = { 'nx/package.json': [] };
  for (const [name, module] of Object.entries(internals.NEEDED)) {
    modules[`${module}.js`] ??= [];
    if (name !== missing) modules[`${module}.js`]?.push(`exports.${name} = '${name}';`);
  }
  for (const [module, lines] of Object.entries(modules)) {
    const file = path.join(root, 'node_modules', module);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, module.endsWith('.json') ? '{"name": "nx", "version": "99.1.2"}' : lines.join('\n'));
  }
  internals.setSearchPaths([path.join(root, 'node_modules')]);
}

test('a complete nx passes the probe', (t) => {
  fakeNx(t, 'nothing');
  internals.probe();
  assert.equal(internals.nxVersion(), '99.1.2');
  assert.deepEqual(internals.internals('getCache'), { getCache: 'getCache' });
});

for (const name of Object.keys(internals.NEEDED)) {
  test(`an nx without ${name} is refused by its version, before any task`, (t) => {
    fakeNx(t, name);
    assert.throws(internals.probe, (/** @type {Error} */ error) => {
      assert.match(error.message, /does not know Nx 99\.1\.2/);
      assert.ok(error.message.includes(`"${name}"`) && error.message.includes('NX_NO_CLOUD=true'));
      return true;
    });
  });
}
