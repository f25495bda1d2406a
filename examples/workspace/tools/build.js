'use strict';
/**
 * Builds a project: one bundle of its sources and a manifest that names the digests of what it was built upon, so
 * that a build against missing or stale outputs of another project shows. `build.config.json` may ask for more.
 */
const fs = require('node:fs');
const path = require('node:path');
const { main, readJson, workspaceRoot } = require('./lib/task');
const output = require('./lib/output');

const { release } = require('./release.json');

function bundle(root, minify) {
  const sources = output
    .listFiles(`${root}/src`)
    .filter((file) => !file.endsWith('.test.js'));
  const parts = sources.map((file) => {
    const text = output.read(file).toString('utf8');
    return minify ? text.replace(/\n\s*/g, '\n') : `// ${file}\n${text}`;
  });
  return `/* ${root} ${release} */\n${parts.join('\n')}`;
}

function digestsOfDependencies(root) {
  const file = path.join(workspaceRoot, root, 'project.json');
  const { implicitDependencies = [] } = readJson(file);
  const entries = implicitDependencies.map((name) => {
    const bundled = output.read(`dist/libs/${name}/index.js`);
    return [name, output.sha256(bundled)];
  });
  return Object.fromEntries(entries);
}

function writeExtras(root, dist, config) {
  for (const [name, target] of Object.entries(config.links ?? {}))
    output.link(`${dist}/${name}`, target);
  for (const name of config.emptyFolders ?? [])
    fs.mkdirSync(path.join(workspaceRoot, dist, name), { recursive: true });
  for (const [name, size] of Object.entries(config.binaries ?? {}))
    output.write(`${dist}/${name}`, output.noise(`${root}/${name}`, size));
  for (const name of config.executables ?? [])
    output.write(
      `${dist}/${name}`,
      "#!/usr/bin/env node\nrequire('../index.js');\n",
      0o755,
    );
}

main(({ project, root, args }) => {
  const dist = `dist/${root}`;
  const config = readJson(
    path.join(workspaceRoot, root, 'build.config.json'),
    {},
  );
  const dependencies = digestsOfDependencies(root);
  const minify = args.includes('--minify');
  const code = bundle(root, minify);
  fs.rmSync(path.join(workspaceRoot, dist), { recursive: true, force: true });
  output.write(`${dist}/index.js`, code);
  if (minify) output.writeJson(`${dist}/index.js.map`, { version: 3, root });
  writeExtras(root, dist, config);
  output.writeJson(`${dist}/manifest.json`, {
    project,
    release,
    arguments: args,
    digest: output.sha256(code),
    dependencies,
  });
});
