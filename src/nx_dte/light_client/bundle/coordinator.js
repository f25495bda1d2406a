'use strict';
/** The coordinator's API as calls, one each; see docs/protocol.md for the fields. Returns the answers as they are. */
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { CoordinatorUnreachable, HttpClient, sleep } = require('./http');
const { MAX_TERMINAL_OUTPUT_BYTES, packArchive, unpackArchive } = require('./archive');

const API = '/api/v1';
const id = encodeURIComponent;

/** A terminal output that no archive takes keeps its end, where a failing task says why. @param {string} text */
function tail(text) {
  if (Buffer.byteLength(text) <= MAX_TERMINAL_OUTPUT_BYTES) return text;
  const kept = Buffer.from(text)
    .subarray(-MAX_TERMINAL_OUTPUT_BYTES / 2)
    .toString('utf8');
  return `[nx-dte] the beginning of this output was left out: it is longer than ${MAX_TERMINAL_OUTPUT_BYTES} bytes\n${kept}`;
}

class Coordinator {
  /** @param {import('./environment').Environment} environment @param {string} [uploads] folder for archives on their way out */
  constructor(environment, uploads = os.tmpdir()) {
    this.environment = environment;
    this.uploads = uploads;
    this.http = new HttpClient(environment);
  }

  // --- the main job -------------------------------------------------------------------------------------------------
  /** @param {object} run */
  openRun(run) {
    return this.http.json('POST', `${API}/ci-runs`, run);
  }
  /** @param {number} [patienceS] @returns {Promise<any>} the newest attempt of this pipeline's run, or null */
  async findRun(patienceS) {
    const { ciId, environment } = this.environment;
    const url = `${API}/ci-runs?ci_id=${id(ciId)}&environment=${id(environment)}`;
    const answer = await this.http.json('GET', url, undefined, { timeoutS: 10, patienceS });
    return answer.ci_run;
  }
  /** @param {string} runId @param {string | null} jobId */
  ping(runId, jobId) {
    const options = { timeoutS: 10, patienceS: 0 };
    return this.http.json('POST', `${API}/ci-runs/${id(runId)}/ping`, { job_id: jobId }, options);
  }
  /** @param {string} runId @param {string | null} jobId @param {string} reason */
  mainLeft(runId, jobId, reason) {
    return this.http.json('POST', `${API}/ci-runs/${id(runId)}/main-left`, { job_id: jobId, reason });
  }
  /** @param {string} runId @param {string} reason */
  completeRun(runId, reason) {
    return this.http.json('POST', `${API}/ci-runs/${id(runId)}/complete`, { reason });
  }
  /** @param {string} runId @param {object} record */
  addRecord(runId, record) {
    return this.http.json('POST', `${API}/ci-runs/${id(runId)}/records`, record, { patienceS: 10 });
  }
  /** @param {string} runId @param {object} invocation */
  submit(runId, invocation) {
    return this.http.json('POST', `${API}/ci-runs/${id(runId)}/invocations`, invocation, { timeoutS: 60 });
  }
  /** @param {string} invocationId @param {string} reason */
  cancel(invocationId, reason) {
    const options = { timeoutS: 5, patienceS: 0 };
    return this.http.json('POST', `${API}/invocations/${id(invocationId)}/cancel`, { reason }, options);
  }
  /** @param {string} runId @param {{after: number, waitS: number, invocationId?: string, agentId?: string, kinds?: string, patienceS?: number}} query */
  events(runId, { after, waitS, patienceS, invocationId, agentId, kinds }) {
    const filters = { invocation_id: invocationId, agent_id: agentId, kinds };
    const filter = Object.entries(filters)
      .map(([name, value]) => (value ? `&${name}=${id(value)}` : ''))
      .join('');
    const url = `${API}/ci-runs/${id(runId)}/events?after=${after}&wait_s=${waitS}&limit=1000${filter}`;
    return this.http.json('GET', url, undefined, { waitS, patienceS });
  }

  // --- agents -------------------------------------------------------------------------------------------------------
  /** @param {object} agent @param {number} waitS */
  join(agent, waitS) {
    return this.http.json('POST', `${API}/agents`, { ...agent, wait_s: waitS }, { waitS, patienceS: 0 });
  }
  /** @param {string} agentId @param {string[]} holding @param {number} waitS */
  claim(agentId, holding, waitS) {
    const body = { slots: null, holding, wait_s: waitS };
    return this.http.json('POST', `${API}/agents/${id(agentId)}/claim`, body, { waitS, patienceS: 0 });
  }
  /** @param {string} agentId @param {string[]} holding */
  heartbeat(agentId, holding) {
    const options = { timeoutS: 10, patienceS: 0 };
    return this.http.json('POST', `${API}/agents/${id(agentId)}/heartbeat`, { holding }, options);
  }
  /** @param {string} agentId @param {object[]} reports */
  report(agentId, reports) {
    return this.http.json('POST', `${API}/agents/${id(agentId)}/reports`, { reports, claim: null }, { patienceS: 0 });
  }
  /** @param {string} agentId @param {string} reason @param {string | null} message @param {number} patienceS */
  leave(agentId, reason, message, patienceS) {
    return this.http.json(
      'POST',
      `${API}/agents/${id(agentId)}/leave`,
      { reason, message },
      { timeoutS: 5, patienceS },
    );
  }
  /** @param {string} invocationId */
  payload(invocationId) {
    return this.http.json('GET', `${API}/invocations/${id(invocationId)}/payload`, undefined, { timeoutS: 60 });
  }

  // --- artifacts and cache ------------------------------------------------------------------------------------------
  /** @param {string[]} hashes @param {string | null} runId @returns {Promise<Record<string, {artifact_id: string}>>} */
  async lookup(hashes, runId) {
    if (hashes.length === 0) return {};
    const answer = await this.http.json('POST', `${API}/cache/lookup`, { hashes, ci_run_id: runId });
    return answer.entries;
  }
  /**
   * Packs outputs and uploads them, without ever holding them in memory.
   * @param {string} target path below the API @param {{root: string, paths: string[], terminalOutput: string, code: number}} content
   * @param {import('node:http').OutgoingHttpHeaders} [headers]
   */
  async uploadOutputs(target, content, headers) {
    const folder = await fs.promises.mkdtemp(path.join(this.uploads, 'nx-dte-upload-'));
    try {
      const terminalOutput = tail(content.terminalOutput);
      const archive = await packArchive({ ...content, terminalOutput, file: path.join(folder, 'artifact.tar.gz') });
      return { ...(await this.http.upload(API + target, archive, headers)), files: archive.files };
    } finally {
      await fs.promises.rm(folder, { recursive: true, force: true });
    }
  }
  /** @param {string} artifactId @param {string} destination @param {string} [stagingRoot] on the same filesystem */
  async restore(artifactId, destination, stagingRoot) {
    for (let failed = 0; ; failed++) {
      try {
        const stream = await this.http.download(`${API}/artifacts/${id(artifactId)}`);
        return await unpackArchive({ stream, digest: `sha256:${artifactId}`, destination, stagingRoot });
      } catch (error) {
        const { code, message } = /** @type {any} */ (error);
        const isCut = ['truncated', 'interrupted'].includes(code);
        if (isCut && failed >= 5) throw new CoordinatorUnreachable(this.environment.baseUrl, message);
        if (!isCut && !(code === 'digest_mismatch' && failed < 3)) throw error; // anything else is final
        await sleep(200 * failed);
      }
    }
  }
}

/** @typedef {Coordinator} Api the class as a type, for other files */
module.exports = { Coordinator, id };
