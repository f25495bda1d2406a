'use strict';
/** The one door to the network: JSON, uploads and downloads to the coordinator, with the only retry loop there is. */
const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const { pipeline } = require('node:stream');
const zlib = require('node:zlib');
const { log } = require('./log');

const PROTOCOL = '1';
const GZIP_FROM_BYTES = 16 * 1024;
/** 500 and 507: the coordinator is unwell, or its database's disk is full. It may be well again in a minute. */
const TRANSIENT = new Set([429, 500, 502, 503, 504, 507]);
const NO_SPACE = 507;
const NOT_FOUND = 404;
/** Other bytes arrived than were sent. Nobody's fault but the way's, so they are sent again, a few times. */
const DAMAGED = new Set(['digest_mismatch', 'upload_cut']);
const SEND_AGAIN = 3;
const SAY_AFTER_MS = 3000;
/** NX_CLOUD_NO_TIMEOUTS means a slow network; without any deadline a coordinator that hangs would hang everybody. */
const NO_TIMEOUTS_FACTOR = 10;

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
/** No (usable) answer: connection refused, cut, timed out, or a 5xx of the coordinator or a proxy. Safe to try again. */
class CoordinatorUnreachable extends Error {
  /** @param {string} url @param {string} reason @param {string} [advice] what to do next */
  constructor(url, reason, advice = 'Check NX_CLOUD_API and that it is running.') {
    super(`The coordinator at ${url} cannot be reached (${reason}). ${advice}`);
    this.name = 'CoordinatorUnreachable';
  }
}

/** @param {number} ms @returns {Promise<void>} */
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
/** Milliseconds by a clock that nobody sets: what deadlines are measured with. */
const uptime = () => performance.now();

class HttpClient {
  /** @param {{baseUrl: string, token: string, retries: number, patienceS: number, noTimeouts: boolean}} environment */
  constructor({ baseUrl, token, retries, patienceS, noTimeouts }) {
    this.baseUrl = baseUrl;
    this.token = token;
    this.retries = retries;
    this.patienceS = patienceS;
    this.noTimeouts = noTimeouts;
    this.isAway = false;
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
      return this.parse(await this.readBody(response));
    });
  }

  /**
   * Uploads a file; its digest and size are known, so the coordinator can refuse anything else.
   * @param {string} path @param {{file: string, digest: string, size: number}} archive
   * @param {http.OutgoingHttpHeaders} [headers]
   */
  async upload(path, { file, digest, size }, headers = {}) {
    const all = { ...headers, 'content-length': size, 'content-type': 'application/gzip', 'nx-dte-digest': digest };
    const attempt = async () => {
      const response = await this.request('PUT', path, all, 60_000, (out) => {
        pipeline(fs.createReadStream(file), out, () => {}); // `out` tells how it ended
      });
      return this.parse(await this.readBody(response));
    };
    return this.retrying(this.patienceS, attempt, { mayTakeLong: true });
  }

  /** The body as a stream; whoever reads it checks the digest and asks again. @param {string} path */
  async download(path) {
    return this.retrying(this.patienceS, () => this.request('GET', path, {}, 60_000, (out) => out.end()));
  }

  /**
   * @template T @param {number} patienceS @param {() => Promise<T>} attempt
   * @param {{mayTakeLong?: boolean}} [options] one attempt may outlast all patience, which begins with its failure then
   * @returns {Promise<T>}
   */
  async retrying(patienceS, attempt, { mayTakeLong = false } = {}) {
    let startedAt = uptime();
    for (let failed = 0; ; failed++) {
      try {
        const answer = await attempt();
        this.isAway = false;
        return answer;
      } catch (error) {
        const { code, message } = /** @type {any} */ (error);
        const mayPass = error instanceof CoordinatorUnreachable || (DAMAGED.has(code) && failed < SEND_AGAIN);
        if (failed === 0 && mayTakeLong) startedAt = uptime();
        const lostMs = uptime() - startedAt;
        if (!mayPass || failed >= this.retries || lostMs >= patienceS * 1000) throw error;
        if (lostMs > SAY_AFTER_MS && !this.isAway) log.info(`${message} Trying again for ${patienceS} s.`);
        this.isAway ||= lostMs > SAY_AFTER_MS;
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
    const timeout = this.noTimeouts ? idleMs * NO_TIMEOUTS_FACTOR : idleMs;
    return new Promise((resolve, reject) => {
      const out = this.transport.request(this.baseUrl + path, {
        method,
        agent: this.connections,
        timeout,
        headers: { authorization: this.token, 'nx-dte-protocol': PROTOCOL, ...headers },
      });
      out.setNoDelay(true);
      out.on('timeout', () => out.destroy(new Error(`no answer for ${timeout / 1000} s`)));
      out.on('error', (error) => reject(new CoordinatorUnreachable(this.baseUrl, error.message)));
      out.on('response', (response) => {
        if (response.statusCode === 200) return resolve(response);
        const refused = this.refusal(response, method === 'PUT').then(reject, reject);
        refused.then(() => out.writableFinished || out.destroy()); // refused in mid-upload: the rest stays here
      });
      send(out);
    });
  }

  /** @param {http.IncomingMessage} response @returns {Promise<string>} */
  async readBody(response) {
    try {
      const chunks = [];
      for await (const chunk of response) chunks.push(chunk);
      return Buffer.concat(chunks).toString('utf8');
    } catch (error) {
      throw new CoordinatorUnreachable(this.baseUrl, `answer cut off: ${String(error)}`);
    }
  }

  /** @param {string} text */
  parse(text) {
    try {
      return JSON.parse(text || 'null');
    } catch {
      throw new CoordinatorUnreachable(this.baseUrl, `no JSON: ${text.slice(0, 200)}`);
    }
  }

  /** @param {http.IncomingMessage} response @param {boolean} isUpload then "no space" is about these bytes @returns {Promise<Error>} */
  async refusal(response, isUpload) {
    const status = response.statusCode ?? 0;
    const text = await this.readBody(response);
    const { code, message, next } = errorIn(text);
    // A 404 that is not in our words is a proxy's that has no coordinator behind it now.
    const isTransient = TRANSIENT.has(status) || (status === NOT_FOUND && !message);
    const isFinal = !isTransient || (isUpload && status === NO_SPACE);
    if (!isFinal) {
      const said = message ?? text.trim().slice(0, 200);
      const reason = said ? `HTTP ${status}: ${said}` : `HTTP ${status}`;
      return new CoordinatorUnreachable(this.baseUrl, reason, next && sentence(next));
    }
    if (message) return new CoordinatorError(status, code, withNext(message, next));
    return new CoordinatorError(
      status,
      'unexpected_answer',
      `HTTP ${status} from ${this.baseUrl}: ${text.slice(0, 200)}`,
    );
  }
}

/** @param {string} text @returns {{code: string, message?: string, next?: string}} nothing in it when it is not our words */
function errorIn(text) {
  try {
    return JSON.parse(text).error ?? {};
  } catch {
    return { code: '' };
  }
}

/** @param {string} text */
const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1).replace(/\.$/, '')}.`;

/** What happened and what to do, once: a message whose last words say it themselves gets no more. @param {string} message @param {string} [next] */
function withNext(message, next = '') {
  const verb = /^\w+/.exec(next)?.[0].toLowerCase();
  const lastClause = /[^.;:]*\.?$/.exec(message)?.[0].toLowerCase() ?? '';
  if (!verb || lastClause.split(/\W+/).includes(verb)) return message;
  return `${message.replace(/\.$/, '')}. ${sentence(next)}`;
}

module.exports = { HttpClient, CoordinatorError, CoordinatorUnreachable, DAMAGED, sleep, uptime };
