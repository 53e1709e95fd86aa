// SPDX-License-Identifier: Apache-2.0
//
// What an operator relies on when a disk goes wrong: --verify, and damage that stays where it is.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { parquetReadObjects } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { login, loginRoot, newUser } from './lib/client.mjs';
import { Live } from './lib/live.mjs';
import { check, equal, matches, run, skip, test } from './lib/runner.mjs';
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
    for (const sql of ['SELECT SUM(id) AS n FROM keep.t', "SELECT id FROM keep.t WHERE v = 'text 3'"]) {
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

// The reason must reach who asked, and nothing of the server's folders may.
test('a user is told which segment of theirs is damaged, and nothing of the folders of the server', async () => {
  const server = await startServer();
  const root = await loginRoot(server);
  await fill(root);
  const una = await newUser(root, 'una');
  await una.run("INSERT INTO keep.t VALUES (1, 'mine')");
  await root.run('STORAGE FLUSH TABLE keep.t');
  const [mine] = segments(server.dir).filter((file) => file.includes('/una/'));
  await server.stop();
  fs.truncateSync(mine, 10);
  await server.start();
  const again = await login(server, 'una', 'pw-of-user-123');
  const text = 'segment user/una/keep/t/batch-0.parquet is damaged; an administrator may have it in a backup';
  const error = await again.error('SELECT SUM(id) AS n FROM keep.t');
  equal(error.code, 'DATA_CORRUPT', 'code');
  check(error.message.endsWith(text), `message: ${error.message}`);
  check(!error.message.includes(server.dir), 'no path of the server');
  await server.stop();
});

/** The state of a job once it has ended. */
async function ended(root, message) {
  const id = /Job ID: (\S+)/.exec(message)[1];
  for (;;) {
    const [job] = await root.rows(`SELECT job_type, status, message FROM system.jobs WHERE job_id = '${id}'`);
    if (!['queued', 'running'].includes(job.status)) return { id, ...job };
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// STORAGE COMPACT waits for its job, SHOW EXPORT shows one: both would hand on what the job says to administrators.
test('who is no administrator learns from a job that failed that it did, and nothing of the folders of the server', async () => {
  const server = await startServer();
  const root = await loginRoot(server);
  await fill(root);
  const una = await newUser(root, 'una');
  const worker = await newUser(root, 'worker', 'service');
  await una.run("INSERT INTO keep.t VALUES (1, 'mine')");
  fs.mkdirSync(path.join(server.dir, 'exports'), { recursive: true });
  fs.writeFileSync(path.join(server.dir, 'exports', 'una'), 'where her folder would be');
  equal((await ended(root, (await una.run('EXPORT USER DATA')).message)).status, 'failed', 'the job');
  const [shown] = await una.rows('SHOW EXPORT');
  equal(shown.status, 'failed', 'what una is shown');
  matches(shown.message, /^The export failed/, 'the sentence');
  check(!JSON.stringify(shown).includes(server.dir), `a path of the server: ${shown.message}`);
  const broken = segments(server.dir).find((file) => file.includes('/keep/t/'));
  const whole = fs.readFileSync(broken);
  for (const damage of [damages.truncated, damages.deleted]) {
    fs.writeFileSync(broken, whole);
    damage(broken);
    const told = await worker.error('STORAGE COMPACT TABLE keep.t');
    equal(told.code, 'DATA_CORRUPT', `the code for a service: ${told.message}`);
    check(!told.message.includes(server.dir), `a path of the server: ${told.message}`);
    const full = await root.error('STORAGE COMPACT TABLE keep.t');
    equal(full.code, 'DATA_CORRUPT', `the code for an administrator: ${full.message}`);
    matches(full.message, /Job CO-[0-9a-f]{12} failed: .*batch-\d+\.parquet/, 'what an administrator is told');
  }
  await server.stop();
});

test('BACKUP DATABASE while clients write, --restore: the same rows, and old cursors are told so', async () => {
  const server = await startServer();
  const root = await loginRoot(server);
  const home = temporaryFolder('backup');
  await fill(root);
  const backup = path.join(server.home, 'backups', 'b1');
  let writing = true;
  const writer = (async () => {
    for (let i = 0; writing; i++) await root.run(`INSERT INTO keep.t VALUES (${10000 + i}, 'written meanwhile')`);
  })();
  const job = await ended(root, (await root.run("BACKUP DATABASE TO 'b1'")).message);
  writing = false;
  await writer;
  equal([job.job_type, job.status], ['backup', 'completed'], `the job: ${job.message}`);
  matches(job.id, /^BK-[0-9a-f]{12}$/, 'job id');
  await root.run("INSERT INTO keep.t VALUES (9999, 'after the backup')");
  const live = await Live.open(server, { token: root.token });
  await live.subscribed('s', 'SELECT * FROM keep.t', {});
  const [{ seq }] = await root.rows('SELECT MAX(_seq) AS seq FROM keep.t');
  live.close();
  fs.symlinkSync(home, path.join(server.home, 'backups', 'link'));
  const refused = ['/etc/kalamdb', '../x', 'a/b', '', 'link', path.join(server.dir, 'b'), path.join(home, 'b'), '/tmp/../etc/b', `${backup}/x`];
  for (const to of [backup, ...refused]) {
    const answer = await root.raw(`BACKUP DATABASE TO '${to}'`);
    equal(answer.status, 400, `a backup to ${to}: ${answer.text}`);
  }
  matches((await root.error("RESTORE DATABASE FROM 'b1'")).message, /kalamdb-server --restore/, 'RESTORE');
  for (const to of refused) equal((await root.raw(`RESTORE DATABASE copy FROM '${to}'`)).status, 400, `a restore from ${to}`);
  const whole = await ended(root, (await root.run("RESTORE DATABASE copy FROM 'b1'")).message);
  matches([whole.status, whole.message].join(), /failed,.*backup of a whole server/, 'a whole backup as a namespace');
  await server.stop();
  equal(program('--verify', backup).code, 0, 'the backup verifies');
  const restored = path.join(home, 'restored');
  const done = program('--restore', backup, restored);
  equal(done.code, 0, done.out);
  equal(program('--restore', backup, restored).code, 1, 'a restore over a restore');
  const second = await startServer({ dir: restored });
  const again = await loginRoot(second);
  const [own] = await again.rows("SELECT status, message FROM system.jobs WHERE job_type = 'backup'");
  equal(own.status, 'completed', `the backup that made it: ${own.message}`);
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

test('BACKUP and RESTORE DATABASE <namespace>: back under its name or another, for administrators, cursors told', async () => {
  const server = await startServer();
  const root = await loginRoot(server);
  await fill(root);
  const user = await newUser(root, 'plain');
  const service = await newUser(root, 'svc', 'service');
  await user.run("INSERT INTO keep.t VALUES (1, 'of plain')");
  await root.run('CREATE SHARED TABLE keep.shared (id BIGINT PRIMARY KEY, v TEXT)');
  await root.run("INSERT INTO keep.shared VALUES (1, 'all see it')");
  await root.run("CREATE STREAM TABLE keep.s (id BIGINT, v TEXT) WITH (TTL_SECONDS = 3600)");
  await user.run("INSERT INTO keep.s VALUES (1, 'event')");
  for (const client of [user, service]) {
    equal((await client.error("BACKUP DATABASE keep TO 'mine'")).status, 403, 'a backup by others');
    equal((await client.error("RESTORE DATABASE mine FROM 'n1'")).status, 403, 'a restore by others');
  }
  const state = async (client, space) => [
    await client.rows(`SELECT id, v, _seq FROM ${space}.t ORDER BY id`), await client.rows(`SELECT id, v, _seq FROM ${space}.other ORDER BY id`),
    await root.rows(`SELECT id, v, _seq FROM ${space}.shared`), await client.rows(`SELECT id, v, _seq FROM ${space}.s`)];
  const [mine, theirs] = [await state(root, 'keep'), await state(user, 'keep')];
  const job = await ended(root, (await root.run("BACKUP DATABASE keep TO 'n1'")).message);
  equal([job.job_type, job.status], ['backup', 'completed'], job.message);
  matches((await root.error("BACKUP DATABASE nothing TO 'n2'")).message, /not found/, 'no such namespace');
  await root.run("INSERT INTO keep.t VALUES (9999, 'after the backup')");
  const [{ seq }] = await root.rows('SELECT MAX(_seq) AS seq FROM keep.t');
  matches((await root.error("RESTORE DATABASE keep FROM 'n1'")).message, /'keep' has tables/, 'a restore over tables');
  // Told at once: who asks and does not look at system.jobs would believe that there is a backup.
  matches((await root.error("BACKUP DATABASE keep TO 'n1'")).message, /backups\/n1 is not empty/, 'a backup over another');
  matches((await root.error("BACKUP DATABASE TO 'n1'")).message, /backups\/n1 is not empty/, 'the whole server over another');
  matches((await root.error("RESTORE DATABASE copy FROM 'never'")).message, /There is no backup .*backups\/never$/, 'a restore of nothing');
  fs.mkdirSync(path.join(server.home, 'backups', 'bare'));
  matches((await root.error("RESTORE DATABASE copy FROM 'bare'")).message, /no complete backup/, 'a restore of a folder that is no backup');
  const copied = await ended(root, (await root.run("RESTORE DATABASE copy FROM 'n1'")).message);
  equal([copied.job_type, copied.status], ['restore', 'completed'], copied.message);
  matches(copied.id, /^RS-[0-9a-f]{12}$/, 'job id');
  equal([await state(root, 'copy'), await state(user, 'copy')], [mine, theirs], 'the copy, seqs and all');
  await root.run('DROP NAMESPACE keep CASCADE');
  equal((await ended(root, (await root.run("RESTORE DATABASE keep FROM 'n1'")).message)).status, 'completed', 'back under its name');
  equal([await state(root, 'keep'), await state(user, 'keep')], [mine, theirs], 'what is back');
  const live = await Live.open(server, { token: root.token });
  await live.send({ type: 'subscribe', subscription: { id: 's', sql: 'SELECT * FROM keep.t', options: { from: Number(seq) } } });
  equal((await live.next((message) => message.type === 'error')).code, 'CURSOR_TOO_OLD', 'a cursor from before');
  live.close();
  await server.stop();
  equal(program('--verify', server.dir).code, 0, 'the folder verifies');
  const backup = path.join(server.home, 'backups', 'n1');
  const done = program('--restore', backup, path.join(server.home, 'as-server'));
  equal(done.code, 1, 'a namespace as a server');
  matches(done.out, /backup of a namespace/, 'and why');
  const file = files(backup).find((name) => name.endsWith('rows'));
  const bytes = fs.readFileSync(file);
  bytes[bytes.length >> 1] ^= 1;
  fs.writeFileSync(file, bytes);
  await server.start();
  const again = await loginRoot(server);
  equal([await state(again, 'keep'), await state(again, 'copy')], [mine, mine], 'after a restart');
  const damaged = await ended(again, (await again.run("RESTORE DATABASE bad FROM 'n1'")).message);
  matches([damaged.status, damaged.message].join(), /failed,.*checksum/, 'a damaged backup');
  equal((await again.error('SELECT * FROM bad.t')).status, 400, 'nothing of it is there');
  await server.stop();
});

test('--verify of a backup: any byte that changed in any file of it, a file that is gone, and one that was never completed', async () => {
  const server = await startServer();
  const root = await loginRoot(server);
  await fill(root);
  equal((await ended(root, (await root.run("BACKUP DATABASE TO 'all'")).message)).status, 'completed', 'the server');
  equal((await ended(root, (await root.run("BACKUP DATABASE keep TO 'one'")).message)).status, 'completed', 'the namespace');
  await server.stop();
  for (const name of ['all', 'one']) {
    const backup = path.join(server.home, 'backups', name);
    const sound = program('--verify', backup);
    equal(sound.code, 0, sound.out);
    matches(sound.out, /^backup +of a (server|namespace) as of commit \d+, \d+ files/m, 'what it is');
    for (const file of files(backup)) {
      const bytes = fs.readFileSync(file);
      if (bytes.length === 0) continue;
      const changed = Buffer.from(bytes);
      changed[changed.length >> 1] ^= 1;
      fs.writeFileSync(file, changed);
      const found = program('--verify', backup);
      equal(found.code, 1, `a byte of ${file}: ${found.out}`);
      check(found.out.includes(path.basename(file)), `it is named: ${found.out}`);
      fs.rmSync(file);
      if (!file.endsWith('BACKUP')) equal(program('--verify', backup).code, 1, `${file} is gone`);
      else if (name === 'one') matches(program('--verify', backup).out, /no data folder/, 'a namespace without its list');
      fs.writeFileSync(file, bytes);
    }
    equal(program('--verify', backup).code, 0, 'repaired');
  }
  const all = path.join(server.home, 'backups', 'all');
  matches(program('--restore', all, path.join(all, 'x')).out, /lies in the backup/, 'a restore into itself');
  equal(program('--verify', all).code, 0, 'it is as it was');
  matches(program('--verify').out, /a folder is missing after --verify/, 'no folder');
});

test('RESTORE DATABASE makes no namespace that CREATE NAMESPACE would refuse, BACKUP takes none that holds nothing', async () => {
  const server = await startServer();
  const root = await loginRoot(server);
  await fill(root);
  await ended(root, (await root.run("BACKUP DATABASE keep TO 'n'")).message);
  for (const name of ['admin', 'system', 'information_schema', '"a b"', '"_x"', '"select"', `"${'x'.repeat(65)}"`]) {
    const answer = await root.raw(`RESTORE DATABASE ${name} FROM 'n'`);
    equal(answer.status, 400, `a restore into ${name}: ${answer.text}`);
  }
  equal((await root.raw("BACKUP DATABASE system TO 'sys'")).status, 400, 'a backup of system');
  const spaces = (await root.rows('SHOW NAMESPACES')).map((row) => row.name ?? row.namespace_id);
  check(!spaces.includes('admin') && !spaces.includes('a b'), `none was made: ${spaces}`);
  equal((await ended(root, (await root.run("RESTORE DATABASE \"default\" FROM 'n'")).message)).status, 'completed', 'one that exists');
  await server.stop();
});

test('a deleted row stays deleted through flush, compaction, restart, backup + restore, export', async () => {
  const server = await startServer();
  const root = await loginRoot(server);
  await root.run('CREATE NAMESPACE gone');
  await root.run('CREATE USER TABLE gone.t (id BIGINT PRIMARY KEY, v TEXT)');
  const kept = [];
  const at = [];
  /** Rows i and i + 1: the first one is deleted `where` it says, the second one stays. */
  const row = async (i, del) => {
    await root.run(`INSERT INTO gone.t VALUES (${i}, 'dead ${i}'), (${i + 1}, 'alive ${i + 1}')`);
    kept.push(i + 1);
    at.push([i, del]);
  };
  const remove = async (when) => {
    for (const [i, del] of at) if (del === when) await root.run(`DELETE FROM gone.t WHERE id = ${i}`);
  };
  const holds = async (client, space, when) => {
    for (const order of ['ORDER BY id', 'ORDER BY _seq']) {
      const rows = await client.rows(`SELECT id, v FROM ${space}.t ${order}`);
      equal(rows.map((r) => Number(r.id)).sort((a, b) => a - b), kept, `${when}, ${order}`);
      check(rows.every((r) => r.v.startsWith('alive')), `${when}: ${JSON.stringify(rows)}`);
    }
    equal((await client.rows(`SELECT COUNT(*) AS n FROM ${space}.t`))[0].n, String(kept.length), `${when}, counted`);
    for (const [i] of at) equal(await client.rows(`SELECT id FROM ${space}.t WHERE id = ${i}`), [], `${when}, by key`);
  };
  await row(10, 'hot');
  await row(20, 'cold');
  await remove('hot');
  await root.run('STORAGE FLUSH TABLE gone.t');
  await row(30, 'hot too');
  await remove('cold');
  await remove('hot too');
  await holds(root, 'gone', 'deleted hot and cold');
  await root.run('STORAGE FLUSH TABLE gone.t');
  await holds(root, 'gone', 'flushed');
  await ended(root, (await root.run("BACKUP DATABASE gone TO 'before'")).message);
  await ended(root, (await root.run("BACKUP DATABASE TO 'all'")).message);
  await server.stop();
  await server.start();
  let client = await loginRoot(server);
  await holds(client, 'gone', 'restarted');
  equal((await ended(client, (await client.run("RESTORE DATABASE again FROM 'before'")).message)).status, 'completed', 'restore');
  await holds(client, 'again', 'restored');
  for (const space of ['gone', 'again']) {
    await ended(client, (await client.run(`STORAGE COMPACT TABLE ${space}.t`)).message);
    await holds(client, space, 'compacted');
    await client.run(`STORAGE FLUSH TABLE ${space}.t`);
    await holds(client, space, 'compacted and flushed');
  }
  await ended(client, (await client.run("BACKUP DATABASE gone TO 'after'")).message);
  equal((await ended(client, (await client.run("RESTORE DATABASE third FROM 'after'")).message)).status, 'completed', 'restore of what was compacted');
  await holds(client, 'third', 'restored after compaction');
  const job = await ended(client, (await client.run('EXPORT USER DATA')).message);
  const entries = unzip((await download(server, `/v1/exports/root/${job.id}`, client.token)).body);
  for (const space of ['gone', 'again', 'third']) {
    const file = entries[`${space}.t.parquet`];
    const rows = await parquetReadObjects({ file: file.buffer.slice(file.byteOffset, file.byteOffset + file.length), compressors });
    equal(rows.map((r) => Number(r.id)).sort((a, b) => a - b), kept, `exported ${space}`);
  }
  await server.stop();
  await server.start();
  client = await loginRoot(server);
  for (const space of ['gone', 'again', 'third']) await holds(client, space, 'restarted at last');
  await server.stop();
  const restored = path.join(server.home, 'restored');
  equal(program('--restore', path.join(server.home, 'backups', 'all'), restored).code, 0, 'restore of the whole');
  const second = await startServer({ dir: restored });
  await holds(await loginRoot(second), 'gone', 'restored whole');
  await second.stop();
  equal(program('--verify', server.dir).code, 0, 'the folder verifies');
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
  equal(manifest.files.map((file) => [file.file, file.rows]), [['keep.t.parquet', 100], ['keep.other.parquet', 50]], 'rows');
  for (const file of manifest.files) equal(fs.statSync(path.join(folder, file.file)).size, file.bytes, `size of ${file.file}`);
  const schema = JSON.parse(fs.readFileSync(path.join(folder, 'schema.json'), 'utf8'));
  equal(schema.tables.map((table) => `${table.namespace}.${table.table}`), ['keep.t', 'keep.other'], 'tables');
  const shown = await root.rows('SHOW EXPORT');
  equal(shown.map((row) => [row.job_id, row.status]), [[job.id, 'completed']], 'SHOW EXPORT');
  matches((await root.run('EXPORT USER DATA')).message, new RegExp(job.id), 'a second one that day is the first');
  equal((await other.rows('SHOW EXPORT')).length, 0, 'exports of the other');
  await server.stop();
});

/** GET as bytes: {status, headers, body, json}. */
function download(server, target, token) {
  return new Promise((resolve, reject) => {
    const headers = token ? { authorization: `Bearer ${token}` } : {};
    http.get({ host: '127.0.0.1', port: server.port, path: target, headers, agent: false }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.once('error', reject);
      response.once('end', () => {
        const body = Buffer.concat(chunks);
        let json;
        try {
          json = JSON.parse(body.toString('utf8'));
        } catch { /* the archive */ }
        resolve({ status: response.statusCode, headers: response.headers, body, json });
      });
    }).once('error', reject);
  });
}

function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

/** The entries of a zip by name, as its central directory says; every checksum is compared. */
function unzip(bytes) {
  const end = bytes.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'));
  const entries = {};
  let at = bytes.readUInt32LE(end + 16);
  for (let i = bytes.readUInt16LE(end + 10); i > 0; i--) {
    equal(bytes.readUInt32LE(at), 0x02014b50, 'a central entry');
    const [size, name] = [bytes.readUInt32LE(at + 24), bytes.readUInt16LE(at + 28)];
    const local = bytes.readUInt32LE(at + 42);
    const start = local + 30 + bytes.readUInt16LE(local + 26) + bytes.readUInt16LE(local + 28);
    const content = bytes.subarray(start, start + size);
    equal(bytes.readUInt16LE(at + 10), 0, 'stored, not deflated');
    equal(crc32(content), bytes.readUInt32LE(at + 16), 'checksum');
    entries[bytes.toString('utf8', at + 46, at + 46 + name)] = content;
    at += 46 + name + bytes.readUInt16LE(at + 30) + bytes.readUInt16LE(at + 32);
  }
  return entries;
}

test('the archive of an export: what the folder holds, for its owner and administrators and nobody else', async () => {
  const server = await startServer();
  const root = await loginRoot(server);
  await fill(root);
  const anna = await newUser(root, 'anna ä b');
  const other = await newUser(root, 'other');
  const dba = await newUser(root, 'the-dba', 'dba');
  const noise = () => Array.from({ length: 40 }, () => Math.random().toString(36).slice(2)).join('');
  for (let from = 0; from < 3000; from += 1000) { /* several pieces */
    await anna.run(`INSERT INTO keep.t VALUES ${Array.from({ length: 1000 }, (_, i) => `(${from + i}, '${noise()}')`).join(',')}`);
  }
  await root.run('STORAGE FLUSH TABLE keep.t');
  await anna.run('DELETE FROM keep.t WHERE id < 10');
  await anna.run("INSERT INTO keep.t VALUES (5000, 'hot')");
  const job = await ended(root, (await anna.run('EXPORT USER DATA')).message);
  equal(job.status, 'completed', job.message);
  const [shown] = await anna.rows('SHOW EXPORT');
  equal(shown.download_url, `/v1/exports/anna%20%C3%A4%20b/${job.id}`, 'download_url');
  const got = await download(server, shown.download_url, anna.token);
  equal([got.status, got.headers['content-type']], [200, 'application/zip'], 'the answer');
  equal(Number(got.headers['content-length']), got.body.length, 'its length');
  check(got.body.length > 3 * 256 * 1024, `an archive of ${got.body.length} bytes is one piece`);
  const entries = unzip(got.body);
  equal(Object.keys(entries).sort(), ['keep.t.parquet', 'manifest.json', 'schema.json'], 'entries');
  const file = entries['keep.t.parquet'];
  const bytes = file.buffer.slice(file.byteOffset, file.byteOffset + file.length);
  const rows = await parquetReadObjects({ file: bytes, compressors });
  equal([rows.length, Number(rows[0].id), Number(rows.at(-1).id)], [2991, 10, 5000], 'rows');
  const manifest = JSON.parse(entries['manifest.json']);
  equal([manifest.user_id, manifest.files[0].bytes], ['anna ä b', file.length], 'manifest');
  for (const admin of [root, dba]) {
    const same = await download(server, shown.download_url, admin.token);
    check(same.status === 200 && same.body.equals(got.body), `${admin.user}: ${same.status}`);
  }
  const unknown = shown.download_url.replace(job.id, 'UE-000000000000');
  const refusals = [
    [shown.download_url, undefined, 401], [shown.download_url, 'x.y.z', 401], [shown.download_url, other.token, 404],
    [unknown, anna.token, 404], [unknown, root.token, 404], [`/v1/exports/nobody/${job.id}`, other.token, 404],
    [`/v1/exports/other/${job.id}`, other.token, 404], [`/v1/exports/other/..%2Fanna`, other.token, 404],
    [`/v1/exports/other/../x`, other.token, 404], ['/v1/exports/other', other.token, 404], ['/v1/exports/', other.token, 404],
    [`${shown.download_url}/`, anna.token, 404], [`${shown.download_url}.zip`, anna.token, 404],
  ];
  const bodies = new Set();
  for (const [target, token, status] of refusals) {
    const answer = await download(server, target, token);
    equal(answer.status, status, `${target}: ${answer.body}`);
    equal(answer.json.status, 'error', `${target}: ${answer.body}`);
    if (status === 404) bodies.add(JSON.stringify(answer.json.error));
  }
  equal(bodies.size, 1, `one answer to all that is not there: ${[...bodies]}`);
  await root.run("DROP USER 'anna ä b'");
  equal((await download(server, shown.download_url, anna.token)).status, 401, 'a dropped user');
  equal((await download(server, shown.download_url, root.token)).status, 404, 'what a dropped user has is hidden');
  await root.run("ALTER USER 'anna ä b' RESTORE");
  equal((await download(server, shown.download_url, root.token)).status, 200, 'restored');
  await server.stop();
});

test('a client that leaves in the middle of a download leaves nothing behind', async () => {
  const server = await startServer();
  const root = await loginRoot(server);
  await fill(root);
  const noise = () => Array.from({ length: 80 }, () => Math.random().toString(36).slice(2)).join('');
  for (let from = 1000; from < 9000; from += 1000) {
    await root.run(`INSERT INTO keep.t VALUES ${Array.from({ length: 1000 }, (_, i) => `(${from + i}, '${noise()}')`).join(',')}`);
  }
  const job = await ended(root, (await root.run('EXPORT USER DATA')).message);
  const target = `/v1/exports/root/${job.id}`;
  const files = () => fs.readdirSync(`/proc/${server.pid}/fd`).filter((fd) => {
    try {
      return fs.readlinkSync(`/proc/${server.pid}/fd/${fd}`).endsWith('.zip');
    } catch {
      return false;
    }
  }).length;
  await new Promise((resolve, reject) => {
    const request = http.get({ host: '127.0.0.1', port: server.port, path: target, headers: root.bearer, agent: false }, (response) => {
      response.once('data', () => {
        response.pause();
        check(files() === 1, 'the archive is open while it is sent');
        response.destroy();
        resolve();
      });
    }).once('error', reject);
    request.setTimeout(20000, () => request.destroy(new Error('no answer')));
  });
  while (files() > 0) await root.run('SELECT 1');
  equal((await download(server, target, root.token)).status, 200, 'the next one gets it');
  await server.stop();
});

test('what a crash left of an export is gone after the next start, and old exports expire', async () => {
  const server = await startServer();
  const root = await loginRoot(server);
  await fill(root);
  const job = await ended(root, (await root.run('EXPORT USER DATA')).message);
  await server.stop();
  const folder = path.join(server.dir, 'exports', 'root');
  const stage = path.join(server.dir, 'storage', 'export', 'UE-1');
  for (const name of [path.join(folder, 'UE-1.part'), stage]) fs.mkdirSync(name, { recursive: true });
  for (const name of [path.join(folder, 'UE-1.part', 'a'), path.join(folder, 'UE-2.zip.part'), path.join(folder, 'UE-3.zip'), path.join(stage, 'b')]) fs.writeFileSync(name, 'x');
  await server.start();
  const again = await loginRoot(server);
  while (fs.existsSync(path.join(folder, 'UE-3.zip'))) await again.run('SELECT 1');
  equal(fs.readdirSync(folder).sort(), [job.id, `${job.id}.zip`], 'what is left');
  check(!fs.existsSync(stage), 'the staging folder');
  equal((await download(server, `/v1/exports/root/${job.id}`, again.token)).status, 200, 'a whole one stays');
  await server.stop();
  const old = new Date(Date.now() - 8 * 24 * 3600 * 1000);
  for (const name of [job.id, `${job.id}.zip`]) fs.utimesSync(path.join(folder, name), old, old);
  await server.start();
  const later = await loginRoot(server);
  while (fs.existsSync(folder)) await later.run('SELECT 1');
  equal((await download(server, `/v1/exports/root/${job.id}`, later.token)).status, 404, 'an old one');
  equal((await later.rows('SHOW EXPORT'))[0].download_url, null, 'its URL');
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

test('a manifest.json that is gone or was changed is as it should be after the next start, and files that no manifest names are gone', async () => {
  const server = await startServer();
  const root = await loginRoot(server);
  await fill(root);
  const folder = path.dirname(segments(server.dir).find((file) => file.includes('/keep/t/')));
  const manifest = path.join(folder, 'manifest.json');
  const whole = (text) => JSON.stringify({ ...JSON.parse(text), updated_at: 0 });
  const text = fs.readFileSync(manifest, 'utf8');
  const right = (now) => {
    try {
      return whole(now()) === whole(text);
    } catch {
      return false;
    }
  };
  for (const change of [() => fs.rmSync(manifest), () => fs.writeFileSync(manifest, text.replace('batch-0', 'batch-9')), () => fs.writeFileSync(manifest, ''),
    () => fs.truncateSync(manifest, 40)]) {
    await server.stop();
    change();
    fs.writeFileSync(path.join(folder, 'batch-77.parquet'), 'left over');
    await server.start();
    const again = await loginRoot(server);
    while (!right(() => fs.readFileSync(manifest, 'utf8')) || fs.existsSync(path.join(folder, 'batch-77.parquet'))) await again.run('SELECT 1');
  }
  const before = fs.statSync(manifest).mtimeMs;
  await server.stop();
  fs.writeFileSync(path.join(folder, 'batch-77.parquet'), 'left over');
  await server.start();
  while (fs.existsSync(path.join(folder, 'batch-77.parquet'))) await (await loginRoot(server)).run('SELECT 1');
  await server.stop();
  equal(fs.statSync(manifest).mtimeMs, before, 'one that is right is left alone');
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
  const nothing = path.join(server.dir, 'nothing');
  const gone = program('--verify', nothing);
  equal([gone.code, gone.out.split(nothing).length], [1, 2], `a folder that is not there is named, and once: ${gone.out}`);
});

// A snapshot, or the disk of another machine, is mounted so that nothing can be changed.
test('--verify of a data folder on a disk that cannot be written', async () => {
  const mounted = (dir, ...command) => ['-rm', 'sh', '-c', 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"', dir, ...command];
  const server = await startServer();
  await fill(await loginRoot(server));
  await server.stop();
  try {
    execFileSync('unshare', mounted(server.dir, 'true'), { stdio: 'ignore' });
  } catch {
    skip('nothing may be mounted here');
  }
  const out = execFileSync('unshare', mounted(server.dir, BINARY, '--verify', server.dir), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  matches(out, /OK +everything agrees/, 'the summary');
});

test('--verify names what lies around and does not count it as damage; the next start puts it right', async () => {
  const server = await startServer();
  const root = await loginRoot(server);
  await fill(root);
  await server.stop();
  const storage = path.join(server.dir, 'storage');
  const folder = path.join(storage, 'user', 'root', 'keep', 't');
  const clean = program('--verify', server.dir);
  check(!/NOTE/.test(clean.out), `a folder as the server left it:\n${clean.out}`);
  const strays = ['batch-77.parquet', 'batch-3.parquet.tmp', 'notes.txt'];
  for (const name of strays) fs.writeFileSync(path.join(folder, name), 'x');
  const empty = path.join(storage, 'user', 'nobody', 'keep', 't');
  const gone = path.join(storage, 'shared', 'keep', 'gone');
  for (const unknown of [empty, gone]) fs.mkdirSync(unknown, { recursive: true });
  fs.writeFileSync(path.join(gone, 'batch-0.parquet'), 'x');
  fs.appendFileSync(path.join(folder, 'manifest.json'), ' ');
  fs.rmSync(path.join(storage, 'user', 'root', 'keep', 'other', 'manifest.json'));
  const noted = program('--verify', server.dir);
  equal(noted.code, 0, `exit code:\n${noted.out}`);
  const notes = [
    /NOTE +user\/root\/keep\/t\/batch-77\.parquet: no manifest names this file; the next start removes it/,
    /NOTE +user\/root\/keep\/t\/batch-3\.parquet\.tmp: a temporary file/,
    /NOTE +user\/root\/keep\/t\/notes\.txt: nothing of ours/,
    /NOTE +user\/root\/keep\/t\/manifest\.json: it is not what the catalog says; the next start writes it/,
    /NOTE +user\/root\/keep\/other\/manifest\.json: it is missing/,
    /NOTE +user\/nobody\/keep\/t: a folder of no user/,
    /NOTE +shared\/keep\/gone: a folder of no table/,
    /notes +7, none of them damage/,
    /OK +everything agrees/,
  ];
  for (const note of notes) matches(noted.out, note, 'a note');
  for (const name of strays) check(fs.existsSync(path.join(folder, name)), `${name} was removed by --verify`);
  const segment = fs.readFileSync(path.join(folder, 'batch-0.parquet'));
  fs.rmSync(path.join(folder, 'batch-0.parquet'));
  const damaged = program('--verify', server.dir);
  equal(damaged.code, 1, `exit code with damage:\n${damaged.out}`);
  matches(damaged.out, /notes +7/, 'notes beside damage');
  fs.writeFileSync(path.join(folder, 'batch-0.parquet'), segment);
  await server.start();
  while (fs.existsSync(path.join(folder, 'batch-77.parquet')) || fs.readFileSync(path.join(folder, 'manifest.json'), 'utf8').endsWith(' ')
    || !fs.existsSync(path.join(storage, 'user', 'root', 'keep', 'other', 'manifest.json')))
    await (await loginRoot(server)).run('SELECT 1');
  await server.stop();
  check(!fs.existsSync(empty), 'an empty folder of nobody was left');
  check(fs.existsSync(path.join(gone, 'batch-0.parquet')), 'a file in a folder of no table was removed');
  matches(program('--verify', server.dir).out, /notes +2/, 'after a start: what is not ours');
});

run('keep', { independent: true });
