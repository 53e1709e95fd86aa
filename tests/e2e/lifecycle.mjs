// SPDX-License-Identifier: Apache-2.0
//
// Start, idle and stop: what an operator sees. Times are printed, not judged; of what an idle server
// uses, memory (60 MB) and the absence of a busy loop are.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { loginRoot, request } from './lib/client.mjs';
import { Live } from './lib/live.mjs';
import { check, equal, matches, run, skip, test } from './lib/runner.mjs';
import { ROOT_PASSWORD, SANITIZED, Server, freePort, startServer, temporaryFolder } from './lib/server.mjs';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const IDLE_RSS_KB_MAX = 60 * 1024;
const IDLE_SECONDS = 2;

/** Starts a server that must refuse; returns {code, output}. */
async function refused(options) {
  const server = new Server({ env: { KALAMDB_ROOT_PASSWORD: ROOT_PASSWORD }, ...options });
  await server.spawn();
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, 50000, null);
  });
  const end = await Promise.race([server.exited, late]);
  clearTimeout(timer);
  if (!end) {
    await server.kill();
    throw new Error(`it should have refused, but runs:\n${server.output}`);
  }
  check(end.code !== 0 && end.signal === null, `it ended with ${JSON.stringify(end)}:\n${server.output}`);
  return { code: end.code, output: server.output };
}

test('the default data folder ./data, and one behind a symbolic link, flush and read back like any other', async () => {
  const home = temporaryFolder('linked');
  fs.mkdirSync(path.join(home, 'real'));
  fs.symlinkSync(path.join(home, 'real'), path.join(home, 'link'));
  for (const folder of [undefined, path.join(home, 'link')]) {
    const server = await startServer({ env: { KALAMDB_DATA_DIR: folder, KALAMDB_ROOT_PASSWORD: ROOT_PASSWORD } });
    const root = await loginRoot(server);
    await root.run('CREATE NAMESPACE rel');
    await root.run('CREATE USER TABLE rel.t (id BIGINT PRIMARY KEY, v TEXT)');
    await root.run("INSERT INTO rel.t VALUES (1, 'a')");
    matches((await root.run('STORAGE FLUSH TABLE rel.t')).message, /^Storage flush started/, 'flush');
    equal((await root.rows("SELECT status FROM system.jobs WHERE job_type = 'flush'")), [{ status: 'completed' }], 'job');
    equal((await root.rows('SELECT id, v FROM rel.t WHERE v = \'a\'')), [{ id: '1', v: 'a' }], 'from the cold tier');
    await server.stop();
  }
});

test('ready on an empty folder; an idle server is small and does nothing', async () => {
  if (SANITIZED) skip('a sanitizer takes memory and time');
  const server = await startServer({ args: [], env: { KALAMDB_ROOT_PASSWORD: undefined } });
  const ticks = Number(process.env.CLK_TCK || 100);
  const before = server.usage();
  await new Promise((resolve) => setTimeout(resolve, IDLE_SECONDS * 1000));
  const after = server.usage();
  const cpu = (after.cpu_ticks - before.cpu_ticks) / ticks / IDLE_SECONDS;
  console.log(`#       ready after ${server.readyMs.toFixed(0)} ms, idle ${(after.rss_kb / 1024).toFixed(1)} MB RSS, ${(cpu * 100).toFixed(1)} % CPU`);
  check(after.rss_kb < IDLE_RSS_KB_MAX, `RSS ${after.rss_kb} KB is under ${IDLE_RSS_KB_MAX} KB`);
  check(cpu < 0.2, `no busy loop: ${(cpu * 100).toFixed(1)} % of a core`);
  await server.stop();
});

test('it says where it listens', async () => {
  const server = await startServer();
  check(server.output.includes('127.0.0.1') && server.output.includes(String(server.port)),
    `the output names address and port:\n${server.output}`);
  await server.stop();
});

test('SIGTERM: running requests are answered, sockets told, exit code 0, data kept', async () => {
  const server = await startServer();
  const root = await loginRoot(server);
  await root.run('CREATE NAMESPACE life');
  await root.run('CREATE USER TABLE life.t (id BIGINT PRIMARY KEY, v TEXT)');
  const live = await Live.open(server, { token: root.token });
  await live.subscribed('s', 'SELECT * FROM life.t', {});
  let acknowledged = 0;
  let cut = 0;
  const writer = async (base) => {
    for (let i = 0; i < 5000; i++) {
      try {
        const answer = await root.raw(`INSERT INTO life.t VALUES (${base + i}, 'x')`);
        if (answer.status === 200) acknowledged++;
        else if (answer.status !== 503) throw new Error(`${answer.status} ${answer.text}`);
        else return;
      } catch (error) {
        // Refused or closed between two requests is fine; an answer cut in the middle is not.
        if (/cut off/.test(error.message)) cut++;
        if (!/ECONN|socket hang up|EPIPE|cut off/.test(`${error.code} ${error.message}`)) throw error;
        return;
      }
      if (acknowledged === 200) server.stop();
    }
  };
  await Promise.all([0, 10000, 20000, 30000].map(writer));
  const end = await server.exited;
  equal([end.code, end.signal], [0, null], `exit; output:\n${server.output.slice(-1500)}`);
  equal(cut, 0, 'answers cut in the middle');
  equal(await live.ended, { code: 1001, reason: 'Server shutting down' }, 'close of the WebSocket');
  await server.start();
  const [{ n }] = await root.rows('SELECT COUNT(*) AS n FROM life.t');
  check(Number(n) >= acknowledged, `${n} rows, ${acknowledged} acknowledged`);
  check(Number(n) <= acknowledged + 4, 'and at most one more a writer');
  await server.stop();
});

test('SIGINT ends it like SIGTERM; two of them do not hurt', async () => {
  const server = await startServer();
  server.signal('SIGINT');
  const end = await server.signal('SIGINT');
  equal(end.signal === null || end.signal === 'SIGINT', true, 'ended');
});

test('a second signal while writes wait for their commits: the end is at once, and still whole', async () => {
  const server = await startServer();
  const root = await loginRoot(server);
  await root.run('CREATE NAMESPACE two');
  await root.run('CREATE SHARED TABLE two.t (id BIGINT PRIMARY KEY, v TEXT)');
  let acknowledged = 0;
  for (let round = 0; round < 5; round++) {
    let stopped = false;
    const writer = async (base) => {
      for (let i = 0; !stopped; i++) {
        try {
          const answer = await root.raw(`INSERT INTO two.t VALUES (${base + i}, '${'x'.repeat(1000)}')`);
          if (answer.status === 200) acknowledged++;
        } catch { /* the connection was cut, as it may be */ }
        if (i === 20 && base % 64000000 === 0) {
          server.signal('SIGTERM');
          server.signal('SIGINT'); // two of one kind may arrive as one
        }
      }
    };
    const writers = [...Array(64).keys()].map((k) => writer((round * 64 + k) * 1000000));
    const end = await server.exited;
    stopped = true;
    await Promise.all(writers);
    equal([end.code, end.signal], [0, null], `exit; output:\n${server.output.slice(-3000)}`);
    await server.start();
    const [{ n }] = await root.rows('SELECT COUNT(*) AS n FROM two.t');
    check(Number(n) >= acknowledged, `${n} rows, ${acknowledged} acknowledged`);
  }
  await server.stop();
});

test('the JWT secret of a first start is kept, readable by its owner only', async () => {
  const server = await startServer({ env: { KALAMDB_JWT_SECRET: undefined } });
  const root = await loginRoot(server);
  await server.stop();
  await server.start();
  equal((await request(server, 'GET', '/v1/api/auth/me', { headers: root.bearer })).status, 200,
    'a token of before the restart is still good');
  for (const name of fs.readdirSync(server.dir)) {
    if (!/secret|jwt/i.test(name)) continue;
    equal(fs.statSync(path.join(server.dir, name)).mode & 0o077, 0, `mode of ${name}`);
  }
  await server.stop();
});

test('no file or folder of the data is open to other users of the machine', async () => {
  const server = await startServer();
  const root = await loginRoot(server);
  await root.run('CREATE NAMESPACE m; CREATE USER TABLE m.t (id INT PRIMARY KEY); INSERT INTO m.t VALUES (1)');
  await root.run('STORAGE FLUSH TABLE m.t');
  const open = [];
  let segments = 0;
  const look = (dir) => fs.readdirSync(dir, { withFileTypes: true }).forEach((entry) => {
    const full = path.join(dir, entry.name);
    segments += entry.name.endsWith('.parquet');
    if (fs.statSync(full).mode & 0o077) open.push(full);
    if (entry.isDirectory()) look(full);
  });
  for (const entry of fs.readdirSync(server.dir, { withFileTypes: true })) {
    if (entry.isDirectory()) look(path.join(server.dir, entry.name));
  }
  equal(segments, 1, 'segments');
  equal(open, [], 'open to others');
  await server.stop();
});

test('a second server on the same folder refuses with a sentence; the first goes on', async () => {
  const first = await startServer();
  const { output } = await refused({ dir: first.dir });
  matches(output, /in use|another server|already|locked/i, 'the sentence');
  check(output.includes(first.dir) || output.includes(path.basename(first.dir)), `names the folder:\n${output}`);
  equal((await request(first, 'GET', '/health')).status, 200, 'the first');
  const root = await loginRoot(first);
  equal((await root.raw('CREATE NAMESPACE still')).status, 200, 'and it writes');
  await first.kill();
  await first.start(); // the lock of a killed server is no lock
  await first.stop();
});

test('a busy port is named, with the way round it', async () => {
  const holder = net.createServer();
  const port = await freePort();
  await new Promise((resolve) => holder.listen(port, '127.0.0.1', resolve));
  const { output } = await refused({ port });
  await new Promise((resolve) => holder.close(resolve));
  check(output.includes(String(port)), `names the port:\n${output}`);
  matches(output, /KALAMDB_SERVER_PORT|server\.port|port =/, 'the way round it');
});

test('a folder of another format version is refused with a sentence, unchanged', async () => {
  const server = await startServer();
  const root = await loginRoot(server);
  await root.run('CREATE NAMESPACE kept');
  await server.stop();
  const tool = path.join(server.home, 'set-format');
  execFileSync(process.env.CC || 'cc', ['-o', tool, path.join(HERE, 'set-format.c'), '-lrocksdb']);
  execFileSync(tool, [server.dir, '9999']);
  const { output } = await refused({ dir: server.dir });
  matches(output, /format/i, 'the sentence');
  matches(output, /9999/, 'names what it found');
  execFileSync(tool, [server.dir, '1']);
  await server.start();
  matches((await root.error('CREATE NAMESPACE kept')).message, /already exists/, 'nothing was changed');
  await server.stop();
});

test('settings: a file as argument, the environment over it, typing errors refused', async () => {
  const home = temporaryFolder('settings');
  const file = path.join(home, 'my.toml');
  const port = await freePort();
  fs.writeFileSync(file, `[server]\nport = ${port}\n[storage]\ndata_path = "${home}/elsewhere"\n`);
  const server = await startServer({ home, args: [file], port, env: {
    KALAMDB_SERVER_PORT: undefined, KALAMDB_DATA_DIR: undefined } });
  check(fs.existsSync(path.join(home, 'elsewhere')), 'data_path of the file');
  await server.stop();
  const other = await startServer({ home, args: [file], dir: path.join(home, 'third') });
  check(other.port !== port && fs.existsSync(path.join(home, 'third')), 'the environment wins');
  await other.stop();
  fs.writeFileSync(file, '[server]\nprot = 8080\n');
  const wrong = await refused({ home, args: [file] });
  matches(wrong.output, /prot/, 'names the key');
  matches(wrong.output, /port/, 'suggests the right one');
  fs.writeFileSync(file, '[server\nport = 1');
  matches((await refused({ home, args: [file] })).output, /my\.toml/, 'a file that is no TOML');
  fs.writeFileSync(file, '[server]\nport = 99999999\n');
  const range = await refused({ home, args: [file], env: { KALAMDB_SERVER_PORT: undefined } });
  matches(range.output, /port/, 'a value out of range');
  matches((await refused({ home, args: [path.join(home, 'missing.toml')] })).output, /missing\.toml/, 'no such file');
  fs.writeFileSync(file, '[manifest_cache]\nmax_entries = 5\n');
  const old = await startServer({ home, args: [file], dir: path.join(home, 'fourth') });
  matches(old.output, /manifest_cache/, 'a key of the original that means nothing here: one warning');
  await old.stop();
});

test('killed and started over and over: always ready again', async () => {
  const server = await startServer();
  for (let i = 0; i < 5; i++) {
    await server.kill();
    await server.start();
  }
  // Also when it is killed before it is ready.
  for (const ms of [0, 5, 20, 50]) {
    await server.kill();
    await server.spawn();
    await new Promise((resolve) => setTimeout(resolve, ms));
  }
  await server.kill();
  await server.start();
  await loginRoot(server);
  await server.stop();
});

run('lifecycle', { independent: true });
