// SPDX-License-Identifier: Apache-2.0
//
// Starts and stops real servers, each on a free port with its own temporary data folder. Invariants:
//   1. whatever ends this process, its servers are killed (by pid) and its folders removed;
//   2. a server's output is kept and shown when it does not start;
//   3. restart() uses the same folder and port, as a client would find it.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = path.dirname(fileURLToPath(import.meta.url));
export const ROOT = path.resolve(HERE, '../../..');
export const BINARY = process.env.KALAM_SERVER || path.join(ROOT, 'build/bin/kalamdb-server');
export const ROOT_PASSWORD = 'kalamdb-e2e-root-7';
export const JWT_SECRET = 'e2e-suite-secret-that-is-48-characters-long-0000';
/** Built with a sanitizer: figures of memory and time say nothing. */
export const SANITIZED = Boolean(process.env.KALAM_SANITIZED);
const START_LIMIT_MS = 50000;
const OUTPUT_BYTES_MAX = 1 << 20;

const running = new Set();
const folders = new Set();

export function temporaryFolder(name) {
  const base = process.env.KALAMDB_TEST_DIR || os.tmpdir();
  fs.mkdirSync(base, { recursive: true });
  const dir = fs.mkdtempSync(path.join(base, `kalamdb-${name}-`));
  folders.add(dir);
  return dir;
}

export function removeFolder(dir) {
  fs.rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
  folders.delete(dir);
}

function isFree(port) {
  return new Promise((resolve) => {
    const probe = net.createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}

/** A port that no client's end of a connection takes before the server has it, or while it is away. */
export async function freePort() {
  for (;;) {
    const port = 10000 + Math.floor(Math.random() * 20000);
    if (await isFree(port)) return port;
  }
}

function killNow() {
  for (const server of running) {
    try {
      process.kill(server.pid, 'SIGKILL');
    } catch { /* it has ended */ }
  }
}

/** Kills every server of this process and removes its folders. */
export async function cleanUp() {
  const ends = [...running].map((server) => server.exited);
  killNow();
  await Promise.all(ends);
  if (process.env.KALAMDB_TEST_KEEP) {
    for (const dir of folders) console.log(`# kept ${dir}`);
    return;
  }
  for (const dir of folders) removeFolder(dir);
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => cleanUp().then(() => process.exit(130)));
}
process.on('exit', killNow);

export class Server {
  /** options: dir (data folder), port, env, args, cwd, wrap (command put before the binary). */
  constructor(options = {}) {
    this.options = options;
    this.home = options.home || temporaryFolder('server');
    this.dir = options.dir || path.join(this.home, 'data');
    this.port = options.port || 0;
    this.output = '';
    this.agent = new http.Agent({ keepAlive: true, maxSockets: 256 });
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  get pid() {
    return this.child.pid;
  }

  /** Starts the process without waiting for it to be ready. */
  async spawn() {
    if (!this.port) this.port = await freePort();
    const env = { ...process.env };
    for (const key of Object.keys(env)) if (key.startsWith('KALAMDB_')) delete env[key];
    Object.assign(env, {
      KALAMDB_SERVER_HOST: '127.0.0.1',
      KALAMDB_SERVER_PORT: String(this.port),
      KALAMDB_DATA_DIR: this.dir,
      KALAMDB_JWT_SECRET: JWT_SECRET,
      KALAMDB_RATE_LIMIT_AUTH_REQUESTS_PER_IP_PER_SEC: '100000',
      // A client that waits for a slow server, or works through what it sent, may be silent for long.
      KALAMDB_WEBSOCKET_CLIENT_TIMEOUT_SECS: '600',
    }, this.options.env);
    for (const key of Object.keys(env)) if (env[key] === undefined) delete env[key];
    this.output = '';
    this.spawnedAt = process.hrtime.bigint();
    this.child = spawn(this.options.binary || BINARY, this.options.args || [], {
      cwd: this.home, env, stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.add(this);
    const keep = (chunk) => {
      this.output = (this.output + chunk).slice(-OUTPUT_BYTES_MAX);
    };
    this.child.stdout.on('data', keep);
    this.child.stderr.on('data', keep);
    this.ended = null;
    this.exited = new Promise((resolve) => {
      this.child.once('error', (error) => {
        this.ended = { code: null, signal: null, error };
        running.delete(this);
        resolve(this.ended);
      });
      this.child.once('close', (code, signal) => {
        this.ended = { code, signal };
        running.delete(this);
        resolve(this.ended);
      });
    });
    return this;
  }

  async start() {
    await this.spawn();
    const deadline = Date.now() + START_LIMIT_MS;
    for (;;) {
      if (this.ended) {
        throw new Error(`the server did not start (${JSON.stringify(this.ended)}${
          this.ended.error || ''}):\n${this.output}`);
      }
      if (await this.healthy()) break;
      if (Date.now() > deadline) throw new Error(`the server is not ready:\n${this.output}`);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    this.readyMs = Number(process.hrtime.bigint() - this.spawnedAt) / 1e6;
    return this;
  }

  healthy() {
    return new Promise((resolve) => {
      const request = http.get(`${this.url}/health`, { agent: false }, (response) => {
        response.resume();
        response.once('end', () => resolve(response.statusCode === 200));
        response.once('error', () => resolve(false));
      });
      request.setTimeout(2000, () => request.destroy());
      request.once('error', () => resolve(false));
    });
  }

  /** Sends a signal and waits for the end; returns {code, signal}. */
  async signal(name, limitMs = 50000) {
    if (this.ended) return this.ended;
    try {
      process.kill(this.pid, name);
    } catch { /* it has just ended by itself */ }
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(
        `the server did not end within ${limitMs} ms of ${name}:\n${this.output}`)), limitMs);
    });
    try {
      return await Promise.race([this.exited, late]);
    } finally {
      clearTimeout(timer);
      this.agent.destroy();
      this.agent = new http.Agent({ keepAlive: true, maxSockets: 256 });
    }
  }

  kill() {
    return this.signal('SIGKILL');
  }

  stop() {
    return this.signal('SIGTERM');
  }

  /** {rss_kb, cpu_ticks} from /proc. */
  usage() {
    const status = fs.readFileSync(`/proc/${this.pid}/status`, 'utf8');
    const stat = fs.readFileSync(`/proc/${this.pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return {
      rss_kb: Number(/VmRSS:\s+(\d+)/.exec(status)[1]),
      cpu_ticks: Number(fields[11]) + Number(fields[12]),
    };
  }
}

/**
 * A server with a root password, so that root can log in at once, and with cheap password hashes,
 * since suites create many users. options.settings adds to the settings file that says so,
 * options.args replaces it.
 */
export async function startServer(options = {}) {
  const server = new Server({
    ...options, env: { KALAMDB_ROOT_PASSWORD: ROOT_PASSWORD, ...options.env },
  });
  if (!options.args) {
    const file = path.join(server.home, 'test.toml');
    fs.writeFileSync(file, `[auth]\nbcrypt_cost = 4\n${options.settings ?? ''}`);
    server.options.args = [file];
  }
  return server.start();
}
