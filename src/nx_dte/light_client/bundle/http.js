'use strict';
/** The one door to the network: JSON, uploads and downloads to the coordinator, with the only retry loop there is. */
const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const zlib = require('node:zlib');

const PROTOCOL = '1';
const GZIP_FROM_BYTES = 16 * 1024;
const TRANSIENT = new Set([429, 502, 503, 504]);

/** The coordinator answered, and said no. `code` is stable, `message` says what to do next. */
class CoordinatorError extends Error {
  /** @param {number} status @param {string} code @param {string} message */
  constructor(status, code, message) {
    super(message);
    this.name = 'CoordinatorError';
    this.status = status;
    this.code = code;
  }
}
/** No (usable) answer: connection refused, cut, timed out, or a proxy's 502–504. Safe to try again. */
class CoordinatorUnreachable extends Error {
  /** @param {string} url @param {string} reason */
  constructor(url, reason) {
    super(`The coordinator at ${url} cannot be reached (${reason}). Check NX_CLOUD_API and that it is running.`);
    this.name = 'CoordinatorUnreachable';
  }
}

/** @param {number} ms @returns {Promise<void>} */
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

class HttpClient {
  /** @param {{baseUrl: string, token: string, retries: number, patienceS: number, noTimeouts: boolean}} environment */
  constructor({ baseUrl, token, retries, patienceS, noTimeouts }) {
    this.baseUrl = baseUrl;
    this.token = token;
    this.retries = retries;
    this.patienceS = patienceS;
    this.noTimeouts = noTimeouts;
    this.transport = baseUrl.startsWith('https:') ? https : http;
    this.connections = new this.transport.Agent({ keepAlive: true, maxSockets: 32 });
  }

  /**
   * One JSON call. Every call of the protocol may be repeated, so a lost answer is simply asked for again.
   * @param {string} method @param {string} path @param {unknown} [body]
   * @param {{waitS?: number, timeoutS?: number, patienceS?: number}} [options] waitS: how long the server may hold the
   * call; patienceS: how long it is tried again, 0 = once
   * @returns {Promise<any>}
   */
  async json(method, path, body, { waitS = 0, timeoutS = 30, patienceS = this.patienceS } = {}) {
    /** @type {Buffer | undefined} */
    let payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    /** @type {http.OutgoingHttpHeaders} */
    const headers = payload ? { 'content-type': 'application/json' } : {};
    if (payload && payload.length > GZIP_FROM_BYTES) {
      payload = zlib.gzipSync(payload, { level: 1 });
      headers['content-encoding'] = 'gzip';
    }
    return this.retrying(patienceS, async () => {
      const response = await this.request(method, path, headers, (waitS + timeoutS) * 1000, (out) => out.end(payload));
      return JSON.parse((await readBody(response)).toString('utf8') || 'null');
    });
  }

  /**
   * Uploads a file; its digest and size are known, so the coordinator can refuse anything else.
   * @param {string} path @param {{file: string, digest: string, size: number}} archive
   * @param {http.OutgoingHttpHeaders} [headers]
   */
  async upload(path, { file, digest, size }, headers = {}) {
    const all = { ...headers, 'content-length': size, 'content-type': 'application/gzip', 'nx-dte-digest': digest };
    return this.retrying(this.patienceS, async () => {
      const response = await this.request('PUT', path, all, 60_000, (out) => {
        const source = fs.createReadStream(file);
        source.on('error', (error) => out.destroy(error)).pipe(out);
      });
      return JSON.parse((await readBody(response)).toString('utf8'));
    });
  }

  /** The body as a stream; whoever reads it checks the digest and asks again. @param {string} path */
  async download(path) {
    return this.retrying(this.patienceS, () => this.request('GET', path, {}, 60_000, (out) => out.end()));
  }

  /** @template T @param {number} patienceS @param {() => Promise<T>} attempt @returns {Promise<T>} */
  async retrying(patienceS, attempt) {
    const giveUpAt = Date.now() + patienceS * 1000;
    for (let failed = 0; ; failed++) {
      try {
        return await attempt();
      } catch (error) {
        if (!(error instanceof CoordinatorUnreachable) || failed >= this.retries || Date.now() >= giveUpAt) throw error;
        await sleep(Math.min(5000, 200 * 2 ** failed) * (0.5 + Math.random() / 2));
      }
    }
  }

  /**
   * @param {string} method @param {string} path @param {http.OutgoingHttpHeaders} headers
   * @param {number} idleMs how long the connection may stay silent
   * @param {(out: http.ClientRequest) => void} send
   * @returns {Promise<http.IncomingMessage>}
   */
  request(method, path, headers, idleMs, send) {
    return new Promise((resolve, reject) => {
      const out = this.transport.request(this.baseUrl + path, {
        method,
        agent: this.connections,
        timeout: this.noTimeouts ? 0 : idleMs,
        headers: { authorization: this.token, 'nx-dte-protocol': PROTOCOL, ...headers },
      });
      out.setNoDelay(true);
      out.on('timeout', () => out.destroy(new Error(`no answer for ${idleMs / 1000} s`)));
      out.on('error', (error) => reject(new CoordinatorUnreachable(this.baseUrl, error.message)));
      out.on('response', (response) => {
        if (response.statusCode === 200) resolve(response);
        else refusal(response, this.baseUrl).then(reject, reject);
      });
      send(out);
    });
  }
}

/** @param {http.IncomingMessage} response @returns {Promise<Buffer>} */
async function readBody(response) {
  try {
    const chunks = [];
    for await (const chunk of response) chunks.push(chunk);
    return Buffer.concat(chunks);
  } catch (error) {
    throw new CoordinatorUnreachable('NX_CLOUD_API', `answer cut off: ${String(error)}`);
  }
}

/** @param {http.IncomingMessage} response @param {string} baseUrl @returns {Promise<Error>} */
async function refusal(response, baseUrl) {
  const status = response.statusCode ?? 0;
  const text = (await readBody(response)).toString('utf8');
  if (TRANSIENT.has(status)) return new CoordinatorUnreachable(baseUrl, `HTTP ${status}`);
  try {
    const { code, message, next } = JSON.parse(text).error;
    return new CoordinatorError(status, code, next ? `${message} ${next}` : message);
  } catch {
    return new CoordinatorError(status, 'unexpected_answer', `HTTP ${status} from ${baseUrl}: ${text.slice(0, 200)}`);
  }
}

module.exports = { HttpClient, CoordinatorError, CoordinatorUnreachable, sleep };
