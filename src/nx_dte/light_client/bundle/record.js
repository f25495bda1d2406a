'use strict';
/** `record [--] <command>`: runs any command, shows it as it is, and keeps what it printed and how it ended. */
const { spawn } = require('node:child_process');
const { randomUUID } = require('node:crypto');
const os = require('node:os');
const path = require('node:path');
const { connect, ExitWith } = require('./commands');
const { log } = require('./log');
const { internals } = require('./nx-internals');

const KEEP_BYTES = 4 * 1024 * 1024; // the tail: where a failing command says why

/** @param {string[]} argv */
function commandLine(argv) {
  // yarn 1 takes the `--` away (with a warning), npm and pnpm leave it: both ways are the same command.
  const words = argv[0] === '--' ? argv.slice(1) : argv;
  if (words.length === 0) throw new ExitWith(1, 'no command. Use: nx-cloud record -- <command>');
  return words;
}

/** @param {string[]} words @returns {Promise<{code: number, terminalOutput: string}>} */
function runCommand(words) {
  const { workspaceRoot } = internals('workspaceRoot');
  const bin = path.join(workspaceRoot, 'node_modules', '.bin');
  const env = { ...process.env, PATH: `${bin}${path.delimiter}${process.env.PATH}` };
  /** @type {import('node:child_process').SpawnOptions} */
  const options = { env, stdio: ['inherit', 'pipe', 'pipe'] };
  const [program = '', ...args] = words;
  // One word with spaces is a line for the shell; several words are taken as they are, so nothing is quoted twice.
  const shell = words.length === 1 && /\s/.test(program);
  const child = spawn(program, args, { ...options, shell });
  /** @type {Buffer[]} */
  const kept = [];
  let size = 0;
  /** @param {1 | 2} descriptor */
  const tee = (descriptor) => (/** @type {Buffer} */ chunk) => {
    log.write(descriptor, chunk);
    kept.push(chunk);
    size += chunk.length;
    while (size - (kept[0]?.length ?? 0) > KEEP_BYTES) size -= kept.shift()?.length ?? 0;
  };
  child.stdout?.on('data', tee(1));
  child.stderr?.on('data', tee(2));
  const forward = (/** @type {NodeJS.Signals} */ signal) => child.kill(signal);
  process.on('SIGTERM', forward).on('SIGINT', forward);
  return new Promise((resolve) => {
    child.on('error', (error) => {
      const missing = /** @type {any} */ (error).code === 'ENOENT';
      log.error(`record: ${program}: ${missing ? 'command not found' : error.message}`);
      resolve({ code: missing ? 127 : 126, terminalOutput: String(error) });
    });
    // Not 'close' alone: a server that the command left behind would hold the pipes, and the job, for ever.
    child.on('exit', () => setTimeout(() => child.stdout?.destroy() && child.stderr?.destroy(), 1000).unref());
    child.on('close', (code, signal) => {
      const signalled = 128 + (signal ? os.constants.signals[signal] : 0);
      resolve({ code: code ?? signalled, terminalOutput: Buffer.concat(kept).toString('utf8') });
    });
  });
}

/** @param {import('./environment').Environment} environment @returns {Promise<number>} the command's own exit code */
async function record(environment) {
  const words = commandLine(process.argv.slice(3));
  const startedAt = new Date();
  const { code, terminalOutput } = await runCommand(words);
  try {
    if (environment.noCloud || environment.insideAgent || !environment.ciId) return code;
    const coordinator = connect(environment);
    const run = await coordinator.findRun(5);
    if (!run) {
      log.info('not recorded: there is no CI run yet (nx-cloud start-ci-run opens it).');
      return code;
    }
    await coordinator.addRecord(run.ci_run_id, {
      record_key: randomUUID(),
      command: words.join(' ').slice(0, 4000),
      code,
      terminal_output: terminalOutput,
      started_at: startedAt.toISOString(),
      ended_at: new Date().toISOString(),
    });
  } catch (error) {
    // Recording is for reading later; it must never change how the command ended.
    log.warn(`not recorded: ${/** @type {Error} */ (error).message}`);
  }
  return code;
}

module.exports = { record, commandLine };
