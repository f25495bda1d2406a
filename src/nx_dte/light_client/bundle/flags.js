'use strict';
/** Parses `--flag value`, `--flag=value`, `--flag`, `--no-flag` against a table of what a command knows. */

/**
 * @typedef {'text' | 'list' | 'switch' | 'ignored-text' | 'ignored-switch'} Kind
 * `ignored-*`: Nx Cloud's, means nothing here; named in one line, so nobody believes it had an effect.
 */

class UsageError extends Error {}

/**
 * @param {string} command @param {string[]} argv @param {Record<string, Kind>} known
 * @returns {{values: Record<string, any>, ignored: string[]}}
 */
function parseFlags(command, argv, known) {
  /** @type {Record<string, any>} */
  const values = {};
  /** @type {string[]} */
  const ignored = [];
  const rest = [...argv];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const [, negated, name, , inline] = /^--(no-)?([a-z][a-z-]*)(=(.*))?$/s.exec(word) ?? [];
    const kind = name && Object.hasOwn(known, name) ? known[name] : undefined;
    if (!name || !kind) {
      const names = Object.keys(known).map((each) => `--${each}`);
      throw new UsageError(`${command}: unknown argument "${word}". It takes: ${names.join(', ') || 'no arguments'}.`);
    }
    const isSwitch = kind.endsWith('switch');
    const follows = rest[0] !== undefined && (isSwitch ? /^(true|false)$/.test(rest[0]) : !rest[0].startsWith('--'));
    const value = inline ?? (follows ? rest.shift() : undefined);
    if (kind.startsWith('ignored')) ignored.push(word.replace(/=.*/s, ''));
    else if (isSwitch) values[name] = switchValue(command, name, value, Boolean(negated));
    else if (value === undefined || negated) throw new UsageError(`${command}: --${name} needs a value.`);
    else values[name] = kind === 'list' ? splitList(value) : value;
  }
  return { values, ignored };
}

/** @param {string} command @param {string} name @param {string | undefined} value @param {boolean} negated */
function switchValue(command, name, value, negated) {
  if (value === undefined) return !negated;
  if (value === 'true' || value === '1') return !negated;
  if (value === 'false' || value === '0') return negated;
  throw new UsageError(`${command}: --${name} is true or false, not "${value}".`);
}

/** @param {string} text */
const splitList = (text) =>
  text
    .split(',')
    .map((item) => item.trim())
    .filter(Boolean);

module.exports = { parseFlags, UsageError };
