// SPDX-License-Identifier: Apache-2.0
//
// What a person who was promised to be erased relies on: nothing of theirs is in any file of the data folder, nobody takes their
// place, nothing brings them back, and nobody else loses anything.

import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { login, loginRoot, newUser, post } from './lib/client.mjs';
import { Live } from './lib/live.mjs';
import { check, equal, matches, run, test } from './lib/runner.mjs';
import { startServer } from './lib/server.mjs';

const CANARY = 'canary-9e41c7';

/** The files below a folder that hold the text. */
function holding(dir, text) {
  return fs.readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
    const full = path.join(dir, entry.name);
    if (entry.isDirectory()) return holding(full, text);
    try {
      return entry.isFile() && fs.readFileSync(full).includes(text) ? [full] : [];
    } catch (error) {
      if (error.code === 'ENOENT') return []; /* it has just gone */
      throw error;
    }
  });
}

/** The state of a job once it has ended. */
async function ended(root, where) {
  for (;;) {
    const [job] = await root.rows(`SELECT job_id, status, message FROM system.jobs WHERE ${where}`);
    if (job && !['queued', 'running'].includes(job.status)) return job;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function ofMessage(message) {
  return `job_id = '${/Job ID: (\S+)/.exec(message)[1]}'`;
}

test('an erased user: no file holds a text of theirs, the token, the subscription and the name are dead, a backup does not bring them back', async () => {
  const server = await startServer({ settings: '[user_management]\ndeletion_grace_period_days = 0\n' });
  const root = await loginRoot(server);
  await root.run('CREATE NAMESPACE app');
  for (const table of ['t', 'dropped', 'altered']) await root.run(`CREATE USER TABLE app.${table} (id BIGINT PRIMARY KEY, v TEXT)`);
  await root.run('CREATE STREAM TABLE app.s (id BIGINT, v TEXT) WITH (TTL_SECONDS = 3600)');
  const eve = await newUser(root, 'eve');
  const other = await newUser(root, 'other');
  await root.run(`ALTER USER eve SET EMAIL '${CANARY}@example.org'`);
  for (const table of ['t', 'dropped', 'altered']) {
    for (const client of [eve, other]) {
      const text = client === eve ? CANARY : 'of the other';
      await client.run(`INSERT INTO app.${table} VALUES (1, '${text} 1'), (2, '${text} 2'), (3, '${text} 3')`);
    }
    await root.run(`STORAGE FLUSH TABLE app.${table}`);
    await eve.run(`UPDATE app.${table} SET v = '${CANARY} again' WHERE id = 1`);
    await eve.run(`DELETE FROM app.${table} WHERE id = 2`);
    await eve.run(`INSERT INTO app.${table} VALUES (4, '${CANARY} hot')`);
  }
  await eve.run(`INSERT INTO app.s VALUES (1, '${CANARY} event')`);
  await root.run('ALTER TABLE app.altered DROP COLUMN v');
  await root.run('DROP TABLE app.dropped');
  equal((await ended(root, ofMessage((await eve.run('EXPORT USER DATA')).message))).status, 'completed', 'the export');
  equal((await ended(root, ofMessage((await root.run("BACKUP DATABASE app TO 'before'")).message))).status, 'completed', 'the backup');
  const live = await Live.open(server, { token: eve.token });
  await live.subscribed('s', 'SELECT * FROM app.t', {});
  check(holding(server.dir, CANARY).length > 3, 'the text is in some files before');
  await root.run('DROP USER eve');
  equal((await eve.raw('SELECT 1')).status, 401, 'the token of a dropped user');
  const job = await ended(root, "job_type = 'user_cleanup'");
  equal(job.status, 'completed', job.message);
  equal(holding(server.dir, CANARY), [], 'files that hold it, the server running');
  check(!fs.existsSync(path.join(server.dir, 'exports', 'eve')), 'exports');
  equal((await live.ended).code, 1008, 'the subscription');
  equal((await eve.raw('SELECT * FROM app.t')).status, 401, 'the token of an erased user');
  matches((await root.error("CREATE USER eve WITH PASSWORD 'pw-of-user-123' ROLE user")).message, /already exists/, 'the name again');
  matches((await root.error('ALTER USER eve RESTORE')).message, /erased/, 'RESTORE');
  equal((await root.error("EXECUTE AS USER 'eve' (SELECT * FROM app.t)")).status, 400, 'in the name of eve');
  equal((await post(server, '/v1/api/auth/login', { user: 'eve', password: 'pw-of-user-123' })).status, 401, 'login');
  equal((await other.rows('SELECT id FROM app.t ORDER BY id')).map((row) => Number(row.id)), [1, 2, 3], 'rows of the other');
  equal((await ended(root, ofMessage((await root.run("RESTORE DATABASE back FROM 'before'")).message))).status, 'completed', 'the restore');
  equal(holding(server.dir, CANARY), [], 'files that hold it after the restore of a backup from before');
  equal((await other.rows('SELECT id FROM back.t ORDER BY id')).map((row) => Number(row.id)), [1, 2, 3], 'restored rows of the other');
  await server.stop();
  equal(holding(server.dir, CANARY), [], 'files that hold it, the server stopped');
  await server.start();
  equal((await (await login(server, 'other', 'pw-of-user-123')).rows('SELECT id FROM app.t ORDER BY id')).length, 3, 'rows of the other after a restart');
  equal(holding(server.dir, CANARY), [], 'files that hold it after a restart');
  await server.stop();
});

/** Begins a download that reads nothing yet; `rest()` reads on: {bytes, length, isWhole}. */
function begin(server, target, headers) {
  return new Promise((resolve, reject) => {
    http.get({ host: '127.0.0.1', port: server.port, path: target, headers, agent: false }, (response) => {
      let bytes = 0;
      response.pause();
      const over = new Promise((ended) => {
        response.on('data', (chunk) => { bytes += chunk.length; });
        response.once('close', () => ended({ bytes, length: Number(response.headers['content-length']), isWhole: response.complete }));
        response.on('error', () => {});
      });
      response.pause();
      resolve({ status: response.statusCode, rest: () => (response.resume(), over) });
    }).once('error', reject);
  });
}

// A client that reads slowly would be sent what is hidden, and what is erased, for as long as it likes.
test('a download that has begun is cut when its user is dropped, and when the administrator who fetches it is', async () => {
  const server = await startServer();
  const root = await loginRoot(server);
  await root.run('CREATE NAMESPACE app');
  await root.run('CREATE USER TABLE app.t (id BIGINT PRIMARY KEY, v TEXT)');
  const eve = await newUser(root, 'eve');
  const boss = await newUser(root, 'boss', 'dba');
  for (let id = 0; id < 40; id++) { // more than the buffers of a connection hold
    await eve.run(`INSERT INTO app.t VALUES (${id}, '${crypto.randomBytes(750000).toString('base64')}')`);
  }
  const job = await ended(root, ofMessage((await eve.run('EXPORT USER DATA')).message));
  const target = `/v1/exports/eve/${job.job_id}`;
  const whole = await (await begin(server, target, eve.bearer)).rest();
  check(whole.isWhole && whole.bytes === whole.length, `read to its end: ${JSON.stringify(whole)}`);
  const byBoss = await begin(server, target, boss.bearer);
  const mine = await begin(server, target, eve.bearer);
  await root.run('DROP USER boss');
  const cut = await byBoss.rest();
  check(!cut.isWhole && cut.bytes < cut.length, `of an administrator who is gone: ${JSON.stringify(cut)}`);
  await root.run('DROP USER eve');
  const gone = await mine.rest();
  check(!gone.isWhole && gone.bytes < gone.length, `of a user who is gone: ${JSON.stringify(gone)}`);
  await server.stop();
});

// The rights of a request are those of its beginning; its statements may take longer than its user is there.
test('a request goes no further once its user is dropped or has a lower role', async () => {
  const server = await startServer();
  const root = await loginRoot(server);
  await root.run('CREATE NAMESPACE app');
  await root.run('CREATE USER TABLE app.t (id BIGINT PRIMARY KEY, v TEXT)');
  const boss = await newUser(root, 'boss', 'dba');
  const eve = await newUser(root, 'eve');
  for (const client of [boss, eve]) await client.run(`INSERT INTO app.t VALUES (1, '${CANARY}')`);
  const lost = /^Statement 2 failed: .*the user was dropped, or has a lower role by now/;
  for (const [first, next, why] of [
    ['DROP USER eve', "EXECUTE AS USER 'eve' (SELECT * FROM app.t)", /^Statement 2 failed: Not found: User 'eve' not found/],
    ['ALTER USER boss SET ROLE user', 'SELECT * FROM system.users', lost], ['ALTER USER boss SET ROLE dba', 'SELECT 1']]) {
    const client = next === 'SELECT 1' ? root : boss;
    const answer = await client.raw(`${first}; ${next}`);
    if (client === root) equal(answer.status, 200, answer.text);
    else {
      matches(answer.json.error?.message ?? answer.text, why, next);
      check(!answer.text.includes(CANARY) && !answer.text.includes('root'), answer.text);
    }
  }
  const again = await login(server, 'boss', 'pw-of-dba-123');
  const answer = await again.raw('DROP USER boss; SELECT * FROM app.t');
  equal([answer.status, answer.json.error?.code], [403, 'PERMISSION_DENIED'], answer.text);
  check(!answer.text.includes(CANARY), answer.text);
  await server.stop();
});

run('erase', { independent: true });
