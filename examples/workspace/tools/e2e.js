'use strict';
/** Runs one end-to-end file against the built application it names, and writes a result file. */
const path = require('node:path');
const { main, workspaceRoot } = require('./lib/task');
const output = require('./lib/output');

main(({ root, args }) => {
  const [spec, application] = args;
  const manifest = JSON.parse(output.read(`dist/${application}/manifest.json`));
  const bundled = output.read(`dist/${application}/index.js`);
  if (output.sha256(bundled) !== manifest.digest) {
    throw new Error(`${application} is not the bundle its manifest names`);
  }
  const { steps } = require(path.join(workspaceRoot, root, 'src', spec));
  for (const step of steps) console.log(`✔ ${step}`);
  output.writeJson(`test-results/${root}/${spec}.json`, {
    spec,
    steps: steps.length,
    digest: manifest.digest,
    served: output.listFiles(`dist/${application}`),
  });
});
