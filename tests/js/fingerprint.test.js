'use strict';
const assert = require('node:assert/strict');
const { test } = require('node:test');
const { fingerprint, firstDifference } = require('../../src/nx_dte/light_client/bundle/fingerprint.js');

/** @param {string} workspaceRoot */
const workspace = (workspaceRoot = '/builds/main') => ({
  workspaceRoot,
  nxJson: { namedInputs: { default: ['{projectRoot}/**/*', 'shared'], shared: ['{workspaceRoot}/tools/**'] } },
  projectGraph: {
    nodes: {
      ui: {
        data: {
          namedInputs: /** @type {Record<string, any[]>} */ ({}),
          targets: /** @type {Record<string, any>} */ ({
            build: {
              executor: 'nx:run-commands',
              cache: true,
              dependsOn: ['^build'],
              inputs: ['default', '^default', { env: 'MODE' }, { runtime: `cat ${workspaceRoot}/version` }],
              outputs: ['{workspaceRoot}/dist/ui'],
            },
            test: { executor: 'nx:run-script', options: { script: 'test' } },
          }),
        },
      },
    },
  },
});
/** @param {Record<string, string[]>} outputs of each task */
const graph = (outputs = { 'ui:build': ['dist/ui'], 'ui:test': [] }) => ({
  tasks: Object.fromEntries(
    Object.entries(outputs).map(([id, each]) => {
      const [project, target] = id.split(':');
      return [id, { id, target: { project, target }, overrides: {}, outputs: each }];
    }),
  ),
});
/** @param {any} task */
const sameOutputs = ({ outputs }) => outputs;
/** As it travels. @param {any} value */
const sent = (value) => JSON.parse(JSON.stringify(value));
/** @param {(mine: ReturnType<typeof workspace>) => void} change @param {(task: any) => string[]} [outputsOf] */
function compare(change, outputsOf = sameOutputs) {
  const taskGraph = graph();
  const payload = sent({ taskGraph, fingerprint: fingerprint(taskGraph, workspace()) });
  const mine = workspace('/builds/agent');
  change(mine);
  return firstDifference(payload, mine, outputsOf);
}

/** Repeatable disorder. @param {number} seed */
const dice = (seed) => () => {
  seed = (seed * 1103515245 + 12345) % 2 ** 31;
  return seed / 2 ** 31;
};
/** @template T @param {T[]} list @param {() => number} roll @returns {T[]} */
const disordered = (list, roll) =>
  list
    .map((value) => ({ value, at: roll() }))
    .sort((a, b) => a.at - b.at)
    .map(({ value }) => value);
/** The same value with every object's keys, and every list, in another order. @param {any} value @param {() => number} roll @returns {any} */
function shuffled(value, roll) {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return disordered(value, roll).map((each) => shuffled(each, roll));
  return Object.fromEntries(disordered(Object.entries(value), roll).map(([key, each]) => [key, shuffled(each, roll)]));
}

test('another checkout of the same workspace is the same, wherever it lies', () => {
  assert.equal(
    compare(() => {}),
    null,
  );
});

test('the order of keys and lists says nothing', () => {
  for (let seed = 0; seed < 200; seed++) {
    const roll = dice(seed);
    const difference = compare((mine) => {
      mine.projectGraph = shuffled(mine.projectGraph, roll);
      mine.nxJson = shuffled(mine.nxJson, roll);
    });
    assert.equal(difference, null, `seed ${seed}`);
  }
});

test('an unset field is the same as a missing one, and options are nobody’s business', () => {
  const difference = compare((mine) => {
    const { targets } = mine.projectGraph.nodes.ui.data;
    targets.test = { ...targets.test, cache: undefined, options: { cwd: mine.workspaceRoot } };
  });
  assert.equal(difference, null);
});

test('what Nx rewrites in place while it makes a task graph says nothing', () => {
  const entry = (/** @type {object} */ who) => ({ target: 'codegen', params: 'forward', ...who });
  const [main, mine] = [workspace('/builds/main'), workspace('/builds/agent')];
  main.projectGraph.nodes.ui.data.targets.build.dependsOn = [
    entry({ projects: ['ui'] }),
    entry({ dependencies: true }),
  ];
  mine.projectGraph.nodes.ui.data.targets.build.dependsOn = [
    entry({ projects: 'self' }),
    entry({ projects: 'dependencies' }),
  ];
  const taskGraph = graph();
  const payload = sent({ taskGraph, fingerprint: fingerprint(taskGraph, main) });
  assert.equal(firstDifference(payload, mine, sameOutputs), null);
  mine.projectGraph.nodes.ui.data.targets.build.dependsOn = [entry({}), entry({ target: 'other' })];
  assert.match(firstDifference(payload, mine, sameOutputs) ?? '', /dependsOn differs/);
});

test('a list differs by what is in it, and only that is shown', () => {
  const difference = compare((mine) => {
    mine.projectGraph.nodes.ui.data.targets.build.dependsOn = ['^build', 'codegen'];
  });
  assert.equal(difference, 'ui:build: dependsOn differs: main has [], this agent has ["codegen"]');
});

test('outputs are compared as each side’s Nx resolves them', () => {
  const difference = compare(
    () => {},
    ({ id, outputs }) => (id === 'ui:build' ? ['build/ui'] : outputs),
  );
  assert.equal(difference, 'ui:build: outputs differ: main has ["dist/ui"], this agent has ["build/ui"]');
});

test('named inputs count by what they stand for, through names of names and for dependencies', () => {
  const renamed = compare((mine) => {
    const { build } = mine.projectGraph.nodes.ui.data.targets;
    build.inputs = ['all', '^default', ...build.inputs.slice(2)];
    Object.assign(mine.nxJson.namedInputs, { all: ['default'] });
  });
  assert.equal(renamed, null);
  const changed = compare((mine) => {
    mine.nxJson.namedInputs.shared = ['{workspaceRoot}/scripts/**'];
  });
  assert.match(changed ?? '', /^ui:build: inputs differ: main has \["\^\{workspaceRoot\}\/tools\/\*\*",/);
  const own = compare((mine) => {
    mine.projectGraph.nodes.ui.data.namedInputs = { default: ['{projectRoot}/src/**'] };
  });
  assert.match(own ?? '', /inputs differ/);
});

test('named inputs that name each other end', () => {
  const loop = compare((mine) => {
    mine.nxJson.namedInputs.shared = ['default'];
  });
  assert.match(loop ?? '', /inputs differ/);
});

test('the first difference in the order of ids is named', () => {
  const difference = compare((mine) => {
    const { targets } = mine.projectGraph.nodes.ui.data;
    targets.test.cache = true;
    targets.build.executor = 'other:build';
  });
  assert.equal(difference, 'ui:build: executor differs: main has "nx:run-commands", this agent has "other:build"');
});

test('a missing project or target is a difference', () => {
  const noTarget = compare((mine) => void delete mine.projectGraph.nodes.ui.data.targets.test);
  assert.equal(noTarget, 'ui:test: main has it, this agent\'s workspace has no target "test"');
  const noProject = compare((mine) => void delete (/** @type {any} */ (mine.projectGraph.nodes).ui));
  assert.equal(noProject, 'ui:build: main has it, this agent\'s workspace has no project "ui"');
});

test('a root that is part of another path is not taken for it', () => {
  for (const [ofMain, ofAgent] of /** @type {const} */ ([
    ['/app', '/builds/x'],
    ['/builds/x', '/app'],
  ])) {
    const [main, mine] = [workspace(ofMain), workspace(ofAgent)];
    for (const { projectGraph } of [main, mine])
      projectGraph.nodes.ui.data.targets.build.inputs.push('/opt/app', '/application', '/builds/xy');
    const taskGraph = graph();
    const payload = sent({ taskGraph, fingerprint: fingerprint(taskGraph, main) });
    assert.equal(firstDifference(payload, mine, sameOutputs), null);
  }
});

test('a payload of an older main is not judged', () => {
  assert.equal(firstDifference({ taskGraph: graph() }, workspace(), sameOutputs), null);
});

test('ten thousand alike targets travel as one', () => {
  const targets = Object.fromEntries(Array.from({ length: 10_000 }, (_, number) => [`t${number}`, {}]));
  const big = workspace();
  big.projectGraph.nodes.ui.data.targets = Object.fromEntries(
    Object.keys(targets).map((name) => [name, { executor: 'x', inputs: ['default'] }]),
  );
  const taskGraph = graph(Object.fromEntries(Object.keys(targets).map((name) => [`ui:${name}`, []])));
  const mark = fingerprint(taskGraph, big);
  assert.equal(mark.shapes.length, 1);
  assert.ok(JSON.stringify(mark).length < 200_000);
});
