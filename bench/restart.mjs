// SPDX-License-Identifier: Apache-2.0
//
// bench/restart.mjs: how long a server with a million hot rows (BENCH_ROWS) takes from its start to the
// line that says where it listens, after kill -9 (its log is full, nothing was written out) and after a
// clean stop, beside the same on an empty folder. The rows are one user's, then those of a thousand users.
// bench/run calls it with the folder to work in; it fails only if a row is missing.

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

/** Milliseconds to the ready line. */
async function start(server) {
  await server.spawn();
  const begun = process.hrtime.bigint();
  await new Promise((resolve, reject) => {
    server.child.stdout.on('data', () => server.output.includes('listens on') && resolve());
    server.exited.then(() => reject(new Error(`the server did not start:\n${server.output}`)));
  });
  return Number(process.hrtime.bigint() - begun) / 1e6;
}

/** [best, worst] of several starts, each after `end` of what ran. */
async function series(server, end) {
  const all = [];
  for (let i = 0; i < STARTS; i++) {
    await server[end]();
    all.push(await start(server));
  }
  return [Math.min(...all), Math.max(...all)];
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

function line(what, [best, worst], base) {
  console.log(`${what.padEnd(58)} best ${best.toFixed(0).padStart(5)} ms   worst ${
    worst.toFixed(0).padStart(5)} ms   ${(best / base).toFixed(1).padStart(5)} x`);
}

async function measure() {
  const empty = newServer('empty');
  await start(empty);
  const base = await series(empty, 'stop');
  await empty.stop();
  line('start on an empty folder', base, base[0]);
  for (const users of [1, USERS_MANY]) {
    const server = newServer(`of-${users}`);
    await start(server);
    await load(server, users);
    const log = bytesOf(path.join(server.dir, 'rocksdb'), /\.log$/) / 1e6;
    await server.kill();
    const first = await start(server);
    await count(server, users);
    const rows = `${ROWS} hot rows of ${users} user${users > 1 ? 's' : ''}`;
    line(`${rows}, kill -9 with ${log.toFixed(0)} MB of log`, [first, first], base[0]);
    line(`${rows}, kill -9 again`, await series(server, 'kill'), base[0]);
    line(`${rows}, clean stop`, await series(server, 'stop'), base[0]);
    await server.stop();
  }
}

try {
  await measure();
} finally {
  await cleanUp();
  fs.rmSync(home, { recursive: true, force: true });
}
