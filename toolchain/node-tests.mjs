// Runs tests/js with each Node given: the light client must work on Node 18 as on newer ones.
// Node 18's test runner takes no glob, so files are listed here.
// usage: node node-tests.mjs NODE...
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const directory = 'tests/js';
const files = readdirSync(directory, { recursive: true })
  .map(String)
  .filter((name) => name.endsWith('.test.js') || name.endsWith('.test.cjs') || name.endsWith('.test.mjs'))
  .map((name) => join(directory, name))
  .sort();
if (files.length === 0) {
  console.error(`no tests in ${directory}`);
  process.exit(1);
}

for (const node of process.argv.slice(2)) {
  const version = spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout?.trim();
  console.log(`node:test on ${version} (${files.length} files)`);
  const { status } = spawnSync(node, ['--test', ...files], { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
