'use strict';
/**
 * Same code on both sides: what main's Nx makes of the targets it wants run, for an agent to compare with what its own
 * Nx makes of them. Equal commits and Nx versions are the coordinator's to check; this finds what changed a checkout or a
 * plugin's mind since. No file hashes (Nx's task hash has them) and no options (they may name this machine).
 */

/** @typedef {{shapes: string[], of: Record<string, number>}} Fingerprint few targets differ in more than outputs, which the task graph has */
/** @typedef {{projectGraph: any, nxJson: any, workspaceRoot: string}} Workspace */
const FIELDS = ['cache', 'dependsOn', 'executor', 'inputs', 'parallelism'];
const LISTS = ['dependsOn', 'inputs', 'outputs'];
const MAX_SHOWN = 300;

/** Keys sorted, the checkout's own place replaced. @param {any} value @param {RegExp | null} root @returns {any} */
function plain(value, root) {
  if (typeof value === 'string') return root ? value.replace(root, '{workspaceRoot}') : value;
  if (Array.isArray(value)) return value.map((each) => plain(each, root));
  if (value === null || typeof value !== 'object') return value ?? null;
  const keys = Object.keys(value).filter((key) => value[key] !== undefined);
  return Object.fromEntries(keys.sort().map((key) => [key, plain(value[key], root)]));
}

/** The order of a list says nothing: plugins that read folders give another one on another disk. @param {any} list */
const sorted = (list) =>
  Array.isArray(list) ? [...list].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)) : list;

/** Named inputs by what they stand for. @param {any[]} inputs @param {Record<string, any[]>} named @param {string[]} [inside] @returns {any[]} */
function expanded(inputs, named, inside = []) {
  return inputs.flatMap((input) => {
    const [, caret = '', name = ''] = (typeof input === 'string' && /^(\^?)(.*)$/s.exec(input)) || [];
    const definition = Object.hasOwn(named, name) && !inside.includes(name) ? named[name] : undefined;
    if (!definition) return [input];
    const meant = expanded(definition, named, [...inside, name]);
    return caret ? meant.map((each) => (typeof each === 'string' ? `^${each}` : { dependencies: each })) : meant;
  });
}

/** @param {string} workspaceRoot a whole path, not the beginning of a longer name nor the end of a longer path */
function rootPattern(workspaceRoot) {
  if (workspaceRoot.length < 2) return null;
  return new RegExp(`(?<![\\w.-])${workspaceRoot.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}(?![\\w.-])`, 'g');
}

/** @param {any} target a task's @param {Workspace} workspace @param {RegExp | null} root @returns {Record<string, any> | string} or why there is none */
function shapeOf({ project, target }, { projectGraph, nxJson }, root) {
  const data = projectGraph.nodes[project]?.data;
  if (!data) return `no project "${project}"`;
  const config = data.targets?.[target];
  if (!config) return `no target "${target}"`;
  const named = { ...nxJson?.namedInputs, ...data.namedInputs };
  // Nx rewrites an entry's `projects` and `dependencies` in place while it makes a task graph, as only main did. Who needs
  // whom is in main's task graph anyway.
  const dependsOn = config.dependsOn?.map((/** @type {any} */ each) =>
    typeof each === 'string' ? each : { ...each, projects: undefined, dependencies: undefined },
  );
  const shape = { ...config, dependsOn, inputs: config.inputs && expanded(config.inputs, named) };
  return Object.fromEntries(
    FIELDS.map((field) => {
      const value = plain(shape[field], root);
      return [field, LISTS.includes(field) ? sorted(value) : value];
    }),
  );
}

/** Main's side; sent with the task graph. @param {any} taskGraph @param {Workspace} workspace @returns {Fingerprint} */
function fingerprint(taskGraph, workspace) {
  const root = rootPattern(workspace.workspaceRoot);
  /** @type {Map<string, number>} */
  const shapes = new Map();
  /** @type {Record<string, number>} */
  const of = {};
  for (const [taskId, task] of Object.entries(taskGraph.tasks)) {
    const shape = JSON.stringify(shapeOf(task.target, workspace, root));
    const index = shapes.get(shape) ?? shapes.size;
    shapes.set(shape, index);
    of[taskId] = index;
  }
  return { shapes: [...shapes.keys()], of };
}

/** @param {any} mine @param {any} theirs what of a value is not the other's */
function shown(mine, theirs) {
  if (mine === null) return 'none';
  const common =
    Array.isArray(mine) && Array.isArray(theirs) ? new Set(theirs.map((each) => JSON.stringify(each))) : null;
  const text = JSON.stringify(
    common ? mine.filter((/** @type {any} */ each) => !common.has(JSON.stringify(each))) : mine,
  );
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}

/**
 * An agent's side: the first difference in the order of task ids, in words, or null.
 * @param {{taskGraph: any, fingerprint?: Fingerprint}} payload @param {Workspace} workspace
 * @param {(task: any) => string[]} outputsOf what this agent's Nx takes for a task's outputs
 * @returns {string | null}
 */
function firstDifference({ taskGraph, fingerprint: theirs }, workspace, outputsOf) {
  if (!theirs) return null; // a main job whose bundle is older than this one
  const root = rootPattern(workspace.workspaceRoot);
  for (const taskId of Object.keys(theirs.of).sort()) {
    const task = taskGraph.tasks[taskId];
    const mine = shapeOf(task.target, workspace, root);
    const main = JSON.parse(theirs.shapes[theirs.of[taskId] ?? -1] ?? 'null');
    if (main === null || typeof main === 'string') continue; // main's Nx knows this target only by its task graph
    if (typeof mine === 'string') return `${taskId}: main has it, this agent's workspace has ${mine}`;
    main.outputs = sorted(plain(task.outputs, root));
    mine.outputs = sorted(plain(outputsOf(task), root));
    const field = [...FIELDS, 'outputs']
      .sort()
      .find((each) => JSON.stringify(main[each]) !== JSON.stringify(mine[each]));
    if (!field) continue;
    const [ofMain, ofMine] = [shown(main[field], mine[field]), shown(mine[field], main[field])];
    return `${taskId}: ${field} differ${field.endsWith('s') ? '' : 's'}: main has ${ofMain}, this agent has ${ofMine}`;
  }
  return null;
}

module.exports = { fingerprint, firstDifference };
