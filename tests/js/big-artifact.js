'use strict';
/**
 * How much memory a gibibyte costs the light client: packs it, sends it, takes it back and restores it, each for itself.
 * Prints {packed, sent, restored}: by how many bytes the process grew at most. Run by tests/acceptance/test_big_outputs.py,
 * because it takes its time.
 */
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { pipeline } = require('node:stream/promises');
const zlib = require('node:zlib');
const { packArchive } = require('../../src/nx_dte/light_client/bundle/archive.js');
const { Coordinator } = require('../../src/nx_dte/light_client/bundle/coordinator.js');
const { encodeHeader, END_OF_ARCHIVE, padding } = require('../../src/nx_dte/light_client/bundle/tar.js');

const [folder = '', sizeText = ''] = process.argv.slice(2);
const SIZE = Number(sizeText);
const CHUNK = Buffer.alloc(64 * 1024, 'nx-dte ');

/** Takes in whatever is sent, and answers a GET with `file`: no HTTP server, so that its memory is not what is measured. @param {string} file */
async function serve(file) {
  const server = net.createServer((socket) => {
    let head = '';
    let left = -1;
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      let body = chunk.length;
      if (left < 0) {
        head += chunk.toString('latin1');
        const end = head.indexOf('\r\n\r\n');
        if (end < 0) return;
        left = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
        body = head.length - end - 4;
      }
      left -= body;
      if (left > 0) return;
      if (!head.startsWith('GET'))
        return void socket.end('HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}');
      socket.write(`HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: ${fs.statSync(file).size}\r\n\r\n`);
      pipeline(fs.createReadStream(file), socket).catch(() => {});
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  return server;
}

/** An archive that really has that many bytes: nothing in it is compressed. @param {string} file @param {number} size */
async function makeArchive(file, size) {
  function* entries() {
    for (const [name, text] of [
      ['terminal-output', 'made\n'],
      ['code', '0'],
    ]) {
      const bytes = Buffer.from(text ?? '');
      yield encodeHeader({ name: name ?? '', type: 'file', mode: 0o644, size: bytes.length });
      yield bytes;
      yield padding(bytes.length);
    }
    yield encodeHeader({ name: 'outputs/big', type: 'file', mode: 0o644, size });
    for (let left = size; left > 0; left -= CHUNK.length) yield CHUNK;
    yield END_OF_ARCHIVE;
  }
  const hash = createHash('sha256');
  /** @param {AsyncIterable<Buffer>} source */
  async function* hashed(source) {
    for await (const chunk of source) {
      hash.update(chunk);
      yield chunk;
    }
  }
  await pipeline(entries(), zlib.createGzip({ level: 0 }), hashed, fs.createWriteStream(file));
  return hash.digest('hex');
}

/** @param {string} field @returns {number} bytes */
const memory = (field) =>
  Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(fs.readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;

/** @param {() => Promise<unknown>} work @returns {Promise<number>} */
async function growth(work) {
  fs.writeFileSync('/proc/self/clear_refs', '5'); // the high-water mark starts anew
  const before = memory('VmRSS');
  await work();
  return memory('VmHWM') - before;
}

async function main() {
  const sparse = path.join(folder, 'big');
  fs.writeFileSync(sparse, '');
  const archive = path.join(folder, 'archive');
  const server = await serve(archive);
  const { port } = /** @type {net.AddressInfo} */ (server.address());
  const limits = { patienceS: 0, retries: 0, noTimeouts: false, coordinatorLostS: 0 };
  const environment = /** @type {any} */ ({ baseUrl: `http://127.0.0.1:${port}`, token: 'x', ...limits });
  const coordinator = new Coordinator(environment);
  const file = path.join(folder, 'packed');
  /** @param {number} size */
  const steps = async (size) => {
    fs.truncateSync(sparse, size);
    const id = await makeArchive(archive, size);
    const content = { root: folder, paths: ['big'], terminalOutput: '', code: 0, file };
    const packed = await growth(() => packArchive(content));
    const sent = await growth(() => coordinator.http.upload('/artifact', { file: sparse, digest: 'sha256:0', size }));
    const workspace = path.join(folder, `workspace-${size}`);
    fs.mkdirSync(workspace);
    const restored = await growth(() => coordinator.restore(id, workspace));
    const isWhole = fs.statSync(path.join(workspace, 'big')).size === size;
    return { packed, sent, restored, isWhole };
  };
  await steps(8 * 1024 * 1024); // what any first use costs is no growth
  console.log(JSON.stringify(await steps(SIZE)));
  server.close();
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
