// SPDX-License-Identifier: Apache-2.0
//
// bench/restart.mjs: how long a server with a million hot rows (BENCH_ROWS) takes from its start to the
// line that says where it listens, after kill -9 (its log is full, nothing was written out) and after a
// clean stop, beside the same on an empty folder. The rows are one user's, then those of a thousand users.
// bench/run calls it with the folder to work in; it fails only if a row is missing.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { loginRoot } from '../tests/e2e/lib/client.mjs';
import { ROOT_PASSWORD, Server, cleanUp } from '../tests/e2e/lib/server.mjs';

const ROWS = Number(process.env.BENCH_ROWS ?? 1000000);
const STARTS = Number(process.env.BENCH_STARTS ?? 5);
const USERS_MANY = 1000;
const ROWS_OF_A_STATEMENT = 5000;
const TEXT = 'the quick brown fox jumps over the lazy dog and comes back to tell';

const home = fs.mkdtempSync(path.join(process.argv[2], 'restart-'));
const settings = path.join(home, 'bench.toml');
fs.writeFileSync(settings, '[auth]\nbcrypt_cost = 4\n[flush]\ndefault_row_limit = 10000000\n');

function newServer(name) {
  return new Server({ home, dir: path.join(home, name), args: [settings],
    env: { KALAMDB_ROOT_PASSWORD: ROOT_PASSWORD, KALAMDB_LOG_LEVEL: 'warn' } });
}

/** Milliseconds to the ready line, and of processor time until then: that is the figure of a busy machine, too. */
async function start(server) {
  await server.spawn();
  const begun = process.hrtime.bigint();
  await new Promise((resolve, reject) => {
    server.child.stdout.on('data', () => server.output.includes('listens on') && resolve());
    server.exited.then(() => reject(new Error(`the server did not start:\n${server.output}`)));
  });
  const ms = Number(process.hrtime.bigint() - begun) / 1e6;
  return { ms, cpuMs: server.usage().cpu_ticks * 10 };
}

/** Several starts, each after `end` of what ran, and with the folder as it was then. */
async function series(server, end) {
  const all = [];
  const copy = `${server.dir}-ended`;
  await server[end]();
  fs.cpSync(server.dir, copy, { recursive: true });
  for (let i = 0; i < STARTS; i++) {
    await server.kill();
    fs.rmSync(server.dir, { recursive: true });
    fs.cpSync(copy, server.dir, { recursive: true });
    execFileSync('sync', ['-f', server.dir]); // else the server's first sync waits for the copy
    all.push(await start(server));
  }
  fs.rmSync(copy, { recursive: true });
  return all;
}

async function load(server, users) {
  const root = await loginRoot(server);
  await root.run('CREATE NAMESPACE b');
  await root.run('CREATE USER TABLE b.t (id BIGINT PRIMARY KEY, n INT, body TEXT)');
  const each = ROWS / users;
  for (let user = 0; user < users; user++) {
    if (users > 1) await root.run(`CREATE USER 'u${user}' WITH PASSWORD 'pw-of-user-123' ROLE user`);
    for (let first = 0; first < each; first += ROWS_OF_A_STATEMENT) {
      const values = Array.from({ length: Math.min(ROWS_OF_A_STATEMENT, each - first) },
        (_, i) => `(${first + i}, ${i % 100}, '${TEXT} ${first + i}')`);
      const insert = `INSERT INTO b.t VALUES ${values.join(', ')}`;
      await root.run(users > 1 ? `EXECUTE AS USER 'u${user}' (${insert})` : insert);
    }
  }
}

async function count(server, users) {
  const root = await loginRoot(server);
  let rows = 0;
  for (let user = 0; user < users; user++) {
    const sql = 'SELECT COUNT(*) AS c FROM b.t';
    const [{ c }] = await root.rows(users > 1 ? `EXECUTE AS USER 'u${user}' (${sql})` : sql);
    rows += Number(c);
  }
  if (rows !== ROWS) throw new Error(`${ROWS} rows were written, ${rows} are there`);
}

function bytesOf(dir, pattern) {
  return fs.readdirSync(dir).filter((name) => pattern.test(name))
    .reduce((sum, name) => sum + fs.statSync(path.join(dir, name)).size, 0);
}

/** Prints best and worst, the best's ratio to `base`; returns the best. */
function line(what, starts, base) {
  const all = starts.map(({ ms }) => ms);
  const best = Math.min(...all);
  const cpu = Math.min(...starts.map(({ cpuMs }) => cpuMs));
  console.log(`${what.padEnd(60)} best ${best.toFixed(0).padStart(5)} ms  worst ${Math.max(...all).toFixed(0).padStart(5)} ms  cpu ${
    cpu.toFixed(0).padStart(4)} ms  ${(best / (base ?? best)).toFixed(1).padStart(5)} x`);
  return best;
}

async function measure() {
  const empty = newServer('empty');
  await start(empty);
  const base = line('start on an empty folder', await series(empty, 'stop'));
  await empty.stop();
  for (const users of [1, USERS_MANY]) {
    const server = newServer(`of-${users}`);
    await start(server);
    await load(server, users);
    const log = bytesOf(path.join(server.dir, 'rocksdb'), /\.log$/) / 1e6;
    const rows = `${ROWS} hot rows of ${users} user${users > 1 ? 's' : ''}`;
    line(`${rows}, kill -9 with ${log.toFixed(0)} MB of log`, await series(server, 'kill'), base);
    await count(server, users);
    line(`${rows}, clean stop`, await series(server, 'stop'), base);
    await server.stop();
  }
}

try {
  await measure();
} finally {
  await cleanUp();
  fs.rmSync(home, { recursive: true, force: true });
}
