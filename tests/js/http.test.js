'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const zlib = require('node:zlib');
const { test } = require('node:test');
const {
  HttpClient,
  CoordinatorError,
  CoordinatorUnreachable,
} = require('../../src/nx_dte/light_client/bundle/http.js');

/**
 * A real server on loopback that answers what the test says.
 * @param {import('node:test').TestContext} t @param {http.RequestListener} answer
 */
async function serve(t, answer) {
  const server = http.createServer(answer);
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  t.after(() => server.close());
  t.after(() => server.closeAllConnections());
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  return `http://127.0.0.1:${port}`;
}
/** @param {string} baseUrl */
const clientOf = (baseUrl, retries = 0) =>
  new HttpClient({ baseUrl, token: 'secret', retries, patienceS: 10, noTimeouts: false });
/** @param {http.IncomingMessage} request */
async function bodyOf(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test('sends token and protocol version, and reads JSON', async (t) => {
  const url = await serve(t, (request, response) => response.end(JSON.stringify(request.headers)));
  const headers = await clientOf(url).json('GET', '/x');
  assert.equal(headers.authorization, 'secret');
  assert.equal(headers['nx-dte-protocol'], '1');
});

test('a large body is compressed, a small one is not', async (t) => {
  const url = await serve(t, async (request, response) => {
    const raw = await bodyOf(request);
    const encoding = request.headers['content-encoding'];
    const text = encoding === 'gzip' ? zlib.gunzipSync(raw) : raw;
    response.end(JSON.stringify({ encoding: encoding ?? null, size: JSON.parse(text.toString()).x.length }));
  });
  assert.deepEqual(await clientOf(url).json('POST', '/', { x: 'a'.repeat(50_000) }), {
    encoding: 'gzip',
    size: 50_000,
  });
  assert.deepEqual(await clientOf(url).json('POST', '/', { x: 'a' }), { encoding: null, size: 1 });
});

test('a refusal keeps its code and says what to do next', async (t) => {
  const error = { code: 'ci_run_closed', message: 'CI run 7 is finished.', next: 'Start a new pipeline.' };
  let calls = 0;
  const url = await serve(t, (_, response) => {
    calls++;
    response.writeHead(409).end(JSON.stringify({ error }));
  });
  await assert.rejects(clientOf(url, 5).json('POST', '/', {}), (/** @type {any} */ thrown) => {
    assert.ok(thrown instanceof CoordinatorError);
    assert.equal(thrown.code, 'ci_run_closed');
    assert.equal(thrown.message, 'CI run 7 is finished. Start a new pipeline.');
    return true;
  });
  assert.equal(calls, 1, 'a refusal is final');
});

for (const [message, next, whole] of /** @type {const} */ ([
  ['CI run 7 is finished', 'start a new CI run', 'CI run 7 is finished. Start a new CI run.'],
  [
    'you speak 2, I speak 1; update the coordinator',
    'update the older side',
    'you speak 2, I speak 1; update the coordinator',
  ],
  ['cannot update it: it is gone', 'update the older side', 'cannot update it: it is gone. Update the older side.'],
  ['it is so', '', 'it is so'],
])) {
  test(`what to do next is said once: ${whole}`, async (t) => {
    const error = { code: 'x', message, next };
    const url = await serve(t, (_, response) => response.writeHead(426).end(JSON.stringify({ error })));
    await assert.rejects(clientOf(url).json('GET', '/'), { name: 'CoordinatorError', message: whole });
  });
}

test('a coordinator whose disk is full is asked again, and quoted', async (t) => {
  const error = { code: 'no_space', message: 'the database has no space left', next: 'free space on the coordinator' };
  let calls = 0;
  const url = await serve(t, (_, response) => {
    calls++;
    response.writeHead(507).end(JSON.stringify({ error }));
  });
  await assert.rejects(clientOf(url, 1).json('POST', '/', {}), {
    name: 'CoordinatorUnreachable',
    message: `The coordinator at ${url} cannot be reached (HTTP 507: the database has no space left). Free space on the coordinator.`,
  });
  assert.equal(calls, 2);
});

test('an answer that is no JSON at all is no answer', async (t) => {
  const url = await serve(t, (_, response) => response.end('<html>Welcome to the airport'));
  await assert.rejects(clientOf(url).json('GET', '/'), CoordinatorUnreachable);
});

test('an answer that is no JSON of ours is shown, shortened', async (t) => {
  const url = await serve(t, (_, response) => response.writeHead(403).end(`<html>${'x'.repeat(5000)}`));
  await assert.rejects(clientOf(url).json('GET', '/'), /HTTP 403 from .*<html>x{194}$/);
});

test('503 and cut connections are tried again, as often as allowed', async (t) => {
  let calls = 0;
  const url = await serve(t, (request, response) => {
    calls++;
    if (calls === 1) return void response.writeHead(503).end();
    if (calls === 2) return void request.socket.destroy();
    response.end('{"ok": true}');
  });
  assert.deepEqual(await clientOf(url, 2).json('GET', '/'), { ok: true });
  assert.equal(calls, 3);
  calls = 0;
  await assert.rejects(clientOf(url, 0).json('GET', '/'), CoordinatorUnreachable);
  assert.equal(calls, 1);
});

test('patience is a time: through a restart, and not longer', async (t) => {
  let calls = 0;
  const startedAt = Date.now();
  const url = await serve(t, (_, response) => {
    calls++;
    if (Date.now() - startedAt < 1000) return void response.writeHead(503).end();
    response.end('{}');
  });
  await assert.rejects(clientOf(url, 1000).json('GET', '/', undefined, { patienceS: 0.3 }), CoordinatorUnreachable);
  assert.ok(calls > 1 && Date.now() - startedAt < 1000);
  assert.deepEqual(await clientOf(url, 1000).json('GET', '/', undefined, { patienceS: 10 }), {});
});

test('a silent server is given up on', async (t) => {
  const url = await serve(t, () => {});
  const slow = new HttpClient({ baseUrl: url, token: 'secret', retries: 0, patienceS: 0, noTimeouts: true });
  await assert.rejects(slow.json('GET', '/', undefined, { timeoutS: 0.02 }), /no answer for 0.2 s/);
  await assert.rejects(clientOf(url).json('GET', '/', undefined, { timeoutS: 0.2 }), /no answer for 0.2 s/);
});

test('a 404 that is not in our words is a proxy without a coordinator, and asked again', async (t) => {
  const error = { code: 'not_found', message: 'there is no agent 7', next: '' };
  let calls = 0;
  const url = await serve(t, (_, response) => {
    if (++calls <= 2) return void response.writeHead(404).end('404 page not found\n');
    response.writeHead(404).end(JSON.stringify({ error }));
  });
  await assert.rejects(clientOf(url, 0).json('GET', '/'), {
    name: 'CoordinatorUnreachable',
    message: /\(HTTP 404: 404 page not found\)/,
  });
  await assert.rejects(clientOf(url, 5).json('GET', '/'), { name: 'CoordinatorError', code: 'not_found' });
  assert.equal(calls, 3, 'in our words it is final');
});

test('who waits for a coordinator that is away says so, once', async (t) => {
  /** @type {string[]} */
  const said = [];
  const { writeSync } = fs;
  t.mock.method(fs, 'writeSync', (/** @type {any[]} */ ...call) => {
    if (!String(call[1]).startsWith('[nx-dte]')) return Reflect.apply(writeSync, fs, call);
    said.push(String(call[1]));
    return call[1].length;
  });
  let calls = 0;
  const url = await serve(t, (_, response) => void (++calls < 4 ? response.writeHead(503).end() : response.end('{}')));
  const hasWaited = performance.now.bind(performance);
  t.mock.method(performance, 'now', () => hasWaited() + calls * 2000);
  await clientOf(url, 100).json('GET', '/', undefined, { patienceS: 100 });
  assert.equal(calls, 4);
  assert.deepEqual(said, [
    `[nx-dte] The coordinator at ${url} cannot be reached (HTTP 503). Check NX_CLOUD_API and that it is running. Trying again for 100 s.\n`,
  ]);
});

test('nobody listening is told with the address', async () => {
  await assert.rejects(
    clientOf('http://127.0.0.1:1').json('GET', '/'),
    /coordinator at http:\/\/127.0.0.1:1 cannot be reached/,
  );
});

test('an upload sends the file with its digest and size, also a second time', async (t) => {
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'nx-dte-test-')), 'a');
  t.after(() => fs.rmSync(path.dirname(file), { recursive: true }));
  fs.writeFileSync(file, Buffer.alloc(300_000, 7));
  let calls = 0;
  const url = await serve(t, async (request, response) => {
    const { length } = await bodyOf(request);
    if (++calls === 1) return void response.writeHead(502).end();
    const { 'nx-dte-digest': digest, 'content-length': size } = request.headers;
    response.end(JSON.stringify({ length, digest, size }));
  });
  const answer = await clientOf(url, 1).upload('/artifact', { file, digest: 'sha256:00', size: 300_000 });
  assert.deepEqual(answer, { length: 300_000, digest: 'sha256:00', size: '300000' });
});

/** @param {import('node:test').TestContext} t */
function aSmallFile(t) {
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'nx-dte-test-')), 'a');
  t.after(() => fs.rmSync(path.dirname(file), { recursive: true }));
  fs.writeFileSync(file, 'archive');
  return { file, digest: 'sha256:00', size: 7 };
}

for (const code of ['digest_mismatch', 'upload_cut']) {
  test(`an upload that was spoilt on its way (${code}) is sent again, a few times`, async (t) => {
    const refusal = JSON.stringify({ error: { code, message: 'other bytes arrived', next: 'upload it again' } });
    let calls = 0;
    let spoilt = 2;
    const url = await serve(t, async (request, response) => {
      const body = await bodyOf(request);
      if (++calls <= spoilt) return void response.writeHead(400).end(refusal);
      response.end(JSON.stringify({ body: String(body) }));
    });
    const archive = aSmallFile(t);
    assert.deepEqual(await clientOf(url, 100).upload('/', archive), { body: 'archive' });
    assert.equal(calls, 3);
    spoilt = Number.POSITIVE_INFINITY;
    calls = 0;
    await assert.rejects(clientOf(url, 100).upload('/', archive), { name: 'CoordinatorError', code });
    assert.equal(calls, 4, 'a way that always spoils is no way');
  });
}

test('an upload that took long and failed has all its patience still before it', async (t) => {
  let calls = 0;
  const url = await serve(t, async (request, response) => {
    await bodyOf(request);
    response.writeHead(++calls === 1 ? 502 : 200).end('{"ok": true}');
  });
  const clock = performance.now.bind(performance);
  t.mock.method(performance, 'now', () => clock() + calls * 60_000); // the first attempt takes a minute
  assert.deepEqual(await clientOf(url, 1).upload('/', aSmallFile(t)), { ok: true });
});

for (const status of [413, 507]) {
  test(`an upload refused with ${status} ends there: once, and without sending the rest`, async (t) => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'nx-dte-test-'));
    t.after(() => fs.rmSync(folder, { recursive: true }));
    const file = path.join(folder, 'big');
    const size = 128 * 1024 * 1024;
    fs.closeSync(fs.openSync(file, 'w'));
    fs.truncateSync(file, size);
    const body = JSON.stringify({ error: { code: 'x', message: 'larger than 1000 bytes', next: '' } });
    let calls = 0;
    let received = 0;
    /** @type {(server: net.Server) => void} */
    let ready = () => {};
    /** @type {Promise<net.Server>} */
    const listening = new Promise((resolve) => {
      ready = resolve;
    });
    /** @type {Promise<void>} */
    const over = new Promise((resolve) => {
      // Answers at once and takes in whatever comes, as uvicorn does.
      const server = net.createServer((socket) => {
        calls++;
        socket.once('data', () => {
          socket.write(`HTTP/1.1 ${status} No\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
        });
        socket.on('data', (chunk) => {
          received += chunk.length;
          if (received > size) socket.destroy();
        });
        socket.on('error', () => {});
        socket.on('close', () => resolve());
      });
      server.listen(0, '127.0.0.1', () => ready(server));
      t.after(() => server.close());
    });
    const { port } = /** @type {import('node:net').AddressInfo} */ ((await listening).address());
    const url = `http://127.0.0.1:${port}`;
    await assert.rejects(clientOf(url, 5).upload('/', { file, digest: 'sha256:00', size }), {
      name: 'CoordinatorError',
      status,
      message: 'larger than 1000 bytes',
    });
    await over;
    assert.equal(calls, 1);
    assert.ok(received < size / 2, `${received} bytes were sent`);
  });
}
