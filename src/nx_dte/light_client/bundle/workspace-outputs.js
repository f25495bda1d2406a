'use strict';
/**
 * Puts the outputs of other machines' tasks into this checkout so that it looks as if they had run here: what the task
 * wrote is there, what it took away is gone, and nothing else is touched. Keyed by the declared outputs, not by the
 * task: an earlier invocation may have filled the same folder with another configuration.
 */
const fs = require('node:fs');
const path = require('node:path');

class WorkspaceOutputs {
  /**
   * @param {{restore: (artifactId: string, destination: string, stagingRoot: string) => Promise<{files: string[], terminalOutput: string, code: number}>}} coordinator
   * @param {string} root @param {string | null} journal file that outlives this process (an agent's executor is recycled,
   * each command of main is a process of its own)
   */
  constructor(coordinator, root, journal) {
    this.coordinator = coordinator;
    this.root = root;
    this.journal = journal;
    /** @type {Map<string, {artifactId: string, files: string[]}>} */
    this.present = new Map();
    /** @type {Map<string, Promise<unknown>>} */
    this.busy = new Map();
    if (journal && fs.existsSync(journal)) {
      for (const line of fs.readFileSync(journal, 'utf8').split('\n').filter(Boolean)) {
        const { key, artifactId, files } = JSON.parse(line);
        this.present.set(key, { artifactId, files });
      }
    }
  }

  /** @param {string[]} outputs */
  static key(outputs) {
    return [...outputs].sort().join('\n');
  }

  /** Restores unless this very artifact is there already. @param {string[]} outputs @param {string} artifactId */
  ensure(outputs, artifactId) {
    return this.inTurn(outputs, async (key) => {
      if (this.present.get(key)?.artifactId !== artifactId) await this.replace(key, artifactId);
    });
  }

  /** @param {string[]} outputs @param {string} artifactId */
  restore(outputs, artifactId) {
    return this.inTurn(outputs, (key) => this.replace(key, artifactId));
  }

  /** One change at a time for one set of outputs. @template T @param {string[]} outputs @param {(key: string) => Promise<T>} change */
  inTurn(outputs, change) {
    const key = WorkspaceOutputs.key(outputs);
    const before = this.busy.get(key) ?? Promise.resolve();
    const work = before.catch(() => {}).then(() => change(key));
    this.busy.set(key, work);
    return work;
  }

  /** @param {string} key @param {string} artifactId */
  async replace(key, artifactId) {
    const staging = path.join(this.root, '.nx'); // beside the workspace may not be writable, or another filesystem
    fs.mkdirSync(staging, { recursive: true });
    const restored = await this.coordinator.restore(artifactId, this.root, staging);
    this.removeStale(this.present.get(key)?.files ?? [], restored.files);
    this.remember(key, artifactId, restored.files);
    return restored;
  }

  /** A task has just written its outputs here. @param {string[]} outputs @param {string} artifactId @param {string[]} files */
  note(outputs, artifactId, files) {
    this.remember(WorkspaceOutputs.key(outputs), artifactId, files);
  }

  /** @param {string} key @param {string} artifactId @param {string[]} files */
  remember(key, artifactId, files) {
    this.present.set(key, { artifactId, files });
    if (!this.journal) return;
    fs.mkdirSync(path.dirname(this.journal), { recursive: true });
    fs.appendFileSync(this.journal, `${JSON.stringify({ key, artifactId, files })}\n`);
  }

  /** @param {string[]} before @param {string[]} now both with directories, as paths below the root */
  removeStale(before, now) {
    const kept = new Set(now);
    // Longest first, so that a folder is empty by the time its turn comes; one with other files in it stays.
    for (const file of before.filter((each) => !kept.has(each)).sort((a, b) => b.length - a.length)) {
      const place = path.join(this.root, file);
      try {
        if (fs.lstatSync(place).isDirectory()) fs.rmdirSync(place);
        else fs.unlinkSync(place);
      } catch {
        // already gone, or a folder that others use
      }
    }
  }
}

module.exports = { WorkspaceOutputs };
