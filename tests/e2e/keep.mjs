// SPDX-License-Identifier: Apache-2.0
//
// What an operator relies on when a disk goes wrong: --verify, and damage that stays where it is.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { loginRoot, newUser } from './lib/client.mjs';
import { Live } from './lib/live.mjs';
import { check, equal, matches, run, test } from './lib/runner.mjs';
import { BINARY, startServer, temporaryFolder } from './lib/server.mjs';

/** Runs the server program; returns {code, out}. */
function program(...args) {
  try {
    return { code: 0, out: execFileSync(BINARY, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }) };
  } catch (error) {
    return { code: error.status, out: `${error.stdout}${error.stderr}` };
  }
}

/** All files below a folder, by relative path. */
function files(dir) {
  return fs.readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
    const full = path.join(dir, entry.name);
    return entry.isDirectory() ? files(full) : [full];
  });
}

function segments(dir) {
  return files(path.join(dir, 'storage')).filter((name) => name.endsWith('.parquet')).sort();
}

/** Two segments of 50 rows and one hot row in keep.t, one segment in keep.other. */
async function fill(root) {
  await root.run('CREATE NAMESPACE keep');
  for (const table of ['t', 'other']) await root.run(`CREATE USER TABLE keep.${table} (id BIGINT PRIMARY KEY, v TEXT)`);
  const values = (from) => Array.from({ length: 50 }, (_, i) => `(${from + i}, 'text ${from + i}')`).join(',');
  for (const from of [0, 100]) {
    await root.run(`INSERT INTO keep.t VALUES ${values(from)}`);
    await root.run('STORAGE FLUSH TABLE keep.t');
  }
  await root.run(`INSERT INTO keep.other VALUES ${values(0)}`);
  await root.run('STORAGE FLUSH TABLE keep.other');
  await root.run("INSERT INTO keep.t VALUES (500, 'hot')");
  await root.run("UPDATE keep.t SET v = 'changed' WHERE id = 7");
  await root.run('DELETE FROM keep.t WHERE id = 8');
}

async function fails(promise, pattern) {
  try {
    await promise;
  } catch (error) {
    matches(error.message, pattern, 'the failure');
    return;
  }
  throw new Error('it should have failed');
}

const damages = {
  deleted: (file) => fs.rmSync(file),
  truncated: (file) => fs.truncateSync(file, fs.statSync(file).size - 10),
  'changed in one byte': (file) => {
    const bytes = fs.readFileSync(file);
    bytes[Math.floor(bytes.length / 4)] ^= 0x10;
    fs.writeFileSync(file, bytes);
  },
};

for (const [name, damage] of Object.entries(damages)) {
  test(`a segment that is ${name} fails the queries that need it, by name, and nothing else`, async () => {
    const server = await startServer();
    const root = await loginRoot(server);
    await fill(root);
    const mine = segments(server.dir).filter((file) => file.includes('/keep/t/'));
    equal(mine.length, 2, 'segments of keep.t');
    const whole = fs.readFileSync(mine[0]);
    equal((await root.rows('SELECT COUNT(*) AS n FROM keep.t'))[0].n, '100', 'rows before');
    damage(mine[0]);
    for (const sql of ['SELECT COUNT(*) AS n FROM keep.t', "SELECT id FROM keep.t WHERE v = 'text 3'"]) {
      await fails(root.run(sql), /segment user\/root\/keep\/t\/batch-0\.parquet is (missing|damaged)/);
    }
    equal((await root.rows('SELECT v FROM keep.t WHERE id = 500'))[0].v, 'hot', 'a hot row');
    equal((await root.rows('SELECT v FROM keep.t WHERE id = 120'))[0].v, 'text 120', 'a row of the other segment');
    equal((await root.rows('SELECT COUNT(*) AS n FROM keep.other'))[0].n, '50', 'another table');
    await root.run("INSERT INTO keep.t VALUES (501, 'hot too')");
    await root.run('STORAGE FLUSH TABLE keep.t');
    equal((await root.rows('SELECT v FROM keep.t WHERE id = 501'))[0].v, 'hot too', 'a row flushed since');
    await server.stop();
    const found = program('--verify', server.dir);
    equal(found.code, 1, `exit code of --verify:\n${found.out}`);
    matches(found.out, /PROBLEM .*keep\.t.*batch-0\.parquet/, 'what it found');
    fs.writeFileSync(mine[0], whole);
    const sound = program('--verify', server.dir);
    equal(sound.code, 0, `exit code of --verify after repair:\n${sound.out}`);
    await server.start();
    equal((await root.rows('SELECT COUNT(*) AS n FROM keep.t'))[0].n, '101', 'rows after repair');
    await server.stop();
  });
}

/** The state of a job once it has ended. */
async function ended(root, message) {
  const id = /Job ID: (\S+)/.exec(message)[1];
  for (;;) {
    const [job] = await root.rows(`SELECT job_type, status, message FROM system.jobs WHERE job_id = '${id}'`);
    if (!['queued', 'running'].includes(job.status)) return { id, ...job };
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('BACKUP DATABASE while clients write, --restore: the same rows, and old cursors are told so', async () => {
  const server = await startServer();
  const root = await loginRoot(server);
  const home = temporaryFolder('backup');
  await fill(root);
  const backup = path.join(home, 'b1');
  let writing = true;
  const writer = (async () => {
    for (let i = 0; writing; i++) await root.run(`INSERT INTO keep.t VALUES (${10000 + i}, 'written meanwhile')`);
  })();
  const job = await ended(root, (await root.run(`BACKUP DATABASE TO '${backup}'`)).message);
  writing = false;
  await writer;
  equal([job.job_type, job.status], ['backup', 'completed'], `the job: ${job.message}`);
  matches(job.id, /^BK-[0-9a-f]{12}$/, 'job id');
  await root.run("INSERT INTO keep.t VALUES (9999, 'after the backup')");
  const live = await Live.open(server, { token: root.token });
  await live.subscribed('s', 'SELECT * FROM keep.t', {});
  const [{ seq }] = await root.rows('SELECT MAX(_seq) AS seq FROM keep.t');
  live.close();
  for (const to of [backup, '/etc/kalamdb', 'relative', path.join(server.dir, 'b'), '/tmp/../etc/b']) {
    const answer = await root.raw(`BACKUP DATABASE TO '${to}'`);
    if (to === backup) {
      const again = await ended(root, answer.json.results[0].message);
      equal(again.status, 'failed', 'a second backup into the folder');
    } else {
      equal(answer.status, 400, `a backup to ${to}: ${answer.text}`);
    }
  }
  matches((await root.error(`RESTORE DATABASE FROM '${backup}'`)).message, /kalamdb-server --restore/, 'RESTORE');
  await server.stop();
  equal(program('--verify', backup).code, 0, 'the backup verifies');
  const restored = path.join(home, 'restored');
  const done = program('--restore', backup, restored);
  equal(done.code, 0, done.out);
  equal(program('--restore', backup, restored).code, 1, 'a restore over a restore');
  const second = await startServer({ dir: restored });
  const again = await loginRoot(second);
  equal((await again.rows('SELECT v FROM keep.t WHERE id = 7'))[0].v, 'changed', 'an updated row');
  equal((await again.rows('SELECT COUNT(*) AS n FROM keep.t WHERE id < 1000'))[0].n, '100', 'rows');
  equal((await again.rows('SELECT id FROM keep.t WHERE id = 8 OR id = 9999')).length, 0, 'deleted, and later rows');
  const resumed = await Live.open(second, { token: again.token });
  await resumed.send({ type: 'subscribe', subscription: { id: 's', sql: 'SELECT * FROM keep.t', options: { from: Number(seq) } } });
  const error = await resumed.next((message) => message.type === 'error');
  equal(error.code, 'CURSOR_TOO_OLD', JSON.stringify(error));
  resumed.close();
  await second.stop();
});

test('EXPORT USER DATA: a folder with the live rows of both tiers, of the user who asks and nobody else', async () => {
  const server = await startServer();
  const root = await loginRoot(server);
  await fill(root);
  const other = await newUser(root, 'other');
  await other.run("INSERT INTO keep.t VALUES (1, 'of the other')");
  const job = await ended(root, (await root.run('EXPORT USER DATA')).message);
  equal([job.job_type, job.status], ['user_export', 'completed'], job.message);
  matches(job.id, /^UE-[0-9a-f]{12}$/, 'job id');
  const folder = path.join(server.dir, 'exports', 'root', job.id);
  equal(fs.readdirSync(folder).sort(), ['keep.other.parquet', 'keep.t.parquet', 'manifest.json', 'schema.json'], 'files');
  const manifest = JSON.parse(fs.readFileSync(path.join(folder, 'manifest.json'), 'utf8'));
  equal(manifest.files.map((file) => [file.file, file.rows]), [['keep.other.parquet', 50], ['keep.t.parquet', 100]], 'rows');
  for (const file of manifest.files) equal(fs.statSync(path.join(folder, file.file)).size, file.bytes, `size of ${file.file}`);
  const schema = JSON.parse(fs.readFileSync(path.join(folder, 'schema.json'), 'utf8'));
  equal(schema.tables.map((table) => `${table.namespace}.${table.table}`), ['keep.other', 'keep.t'], 'tables');
  const shown = await root.rows('SHOW EXPORT');
  equal(shown.map((row) => [row.job_id, row.status]), [[job.id, 'completed']], 'SHOW EXPORT');
  matches((await root.run('EXPORT USER DATA')).message, new RegExp(job.id), 'a second one that day is the first');
  equal((await other.rows('SHOW EXPORT')).length, 0, 'exports of the other');
  await server.stop();
});

test('STORAGE CHECK says healthy, or what is wrong', async () => {
  const server = await startServer();
  const root = await loginRoot(server);
  await fill(root);
  const [plain] = await root.rows('STORAGE CHECK local');
  equal([plain.storage_id, plain.status, plain.writable, plain.total_bytes, plain.error],
    ['local', 'healthy', true, null, null], JSON.stringify(plain));
  const [extended] = await root.rows('STORAGE CHECK local EXTENDED');
  check(Number(extended.used_bytes) > 0 && Number(extended.total_bytes) > 0, JSON.stringify(extended));
  damages.truncated(segments(server.dir)[0]);
  const [damaged] = await root.rows('STORAGE CHECK');
  equal(damaged.status, 'degraded', 'status');
  matches(damaged.error, /batch-0\.parquet/, 'the error');
  matches((await root.error("STORAGE CHECK elsewhere")).message, /not found/, 'another storage');
  await server.stop();
});

test('--verify: a running server keeps its folder; no folder, no luck; nothing is changed', async () => {
  const server = await startServer();
  const root = await loginRoot(server);
  await fill(root);
  matches(program('--verify', server.dir).out, /another server is using/, 'a folder in use');
  await server.stop();
  const list = () => files(server.dir).map((file) => `${file} ${fs.statSync(file).mtimeMs}`).sort();
  const before = list();
  const { code, out } = program('--verify', server.dir);
  equal(code, 0, out);
  matches(out, /OK +everything agrees/, 'the summary');
  equal(list(), before, 'files');
  equal(program('--verify', path.join(server.dir, 'nothing')).code, 1, 'a folder that is not there');
});

run('keep', { independent: true });
