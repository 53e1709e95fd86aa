// SPDX-License-Identifier: Apache-2.0
//
// What an operator relies on while long work runs: system.jobs tells how far it is, also to who follows it, KILL JOB ends work of every
// kind and leaves nothing half done, and a job that was cut by a crash is not taken for one that ended.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { login, loginRoot, newUser } from './lib/client.mjs';
import { Live } from './lib/live.mjs';
import { check, equal, matches, run, test } from './lib/runner.mjs';
import { BINARY, startServer } from './lib/server.mjs';

const USERS = 10; // more than a flush works on at once, so that KILL finds some that it has not begun
const SLOW = { settings: '[storage]\nbackground_bytes_per_second = 1000000\n[flush]\nwait_ms = 0\n' };

/** Random rows of some users, which do not compress: 200 KB each. */
async function fill(root) {
  await root.run('CREATE NAMESPACE j');
  await root.run('CREATE USER TABLE j.t (id BIGINT PRIMARY KEY, v TEXT)');
  const users = [];
  for (let i = 0; i < USERS; i++) {
    users.push(await newUser(root, `u${i}`));
    const rows = Array.from({ length: 3000 }, (_, id) => `(${id}, '${Math.random()}${Math.random()}${Math.random()}')`);
    await users[i].run(`INSERT INTO j.t VALUES ${rows.join(',')}`);
  }
  return users;
}

async function start(client, sql) {
  return /Job ID: (\S+)/.exec((await client.run(sql)).message)[1];
}

async function jobOf(root, id) {
  return (await root.rows(`SELECT status, message FROM system.jobs WHERE job_id = '${id}'`))[0];
}

/** The job once it is in one of these states. */
async function until(root, id, ...states) {
  for (;;) {
    const job = await jobOf(root, id);
    if (states.includes(job.status)) return job;
  }
}

const ENDED = ['completed', 'failed', 'cancelled'];

test('who follows system.jobs is told that a job runs and how far it is, before it ends', async () => {
  const server = await startServer(SLOW);
  const root = await loginRoot(server);
  const [user] = await fill(root);
  const live = await Live.open(server, { token: root.token });
  await live.subscribed('jobs', 'SELECT job_id, status, message FROM system.jobs');
  const told = async (id, pattern) => {
    for (;;) {
      const message = await live.next((m) => m.subscription_id === 'jobs' && m.rows?.[0]?.job_id === id, `${pattern} of ${id}`);
      const row = message.rows[0];
      check(!ENDED.includes(row.status), `it ended before it told ${pattern}: ${JSON.stringify(row)}`);
      if (row.status === 'running' && pattern.test(row.message ?? '')) return;
    }
  };
  const flush = await start(root, 'STORAGE FLUSH TABLE j.t');
  await told(flush, /Flushed \d+ row\(s\) of \d+ partition\(s\) so far/);
  equal((await until(root, flush, ...ENDED)).status, 'completed', 'the flush');
  const whole = await start(root, "BACKUP DATABASE TO 'all'");
  await told(whole, /Copied \d+ segment\(s\), \d+ bytes so far/);
  equal((await until(root, whole, ...ENDED)).status, 'completed', 'the backup');
  const one = await start(root, "BACKUP DATABASE j TO 'one'");
  await told(one, /Copied \d+ row\(s\) of 1 table\(s\) so far/);
  equal((await until(root, one, ...ENDED)).status, 'completed', 'the backup of the namespace');
  const restore = await start(root, "RESTORE DATABASE k FROM 'one'");
  await told(restore, /(Checking the backup|Restored \d+ row\(s\) so far)/);
  equal((await until(root, restore, ...ENDED)).status, 'completed', 'the restore');
  equal((await user.rows('SELECT count(*) AS n FROM k.t'))[0].n, '3000', 'what was restored');
  await server.stop();
});

test('KILL JOB ends every kind of job, running and queued, and leaves nothing half done; an ended one is said to have ended', async () => {
  const server = await startServer(SLOW);
  const root = await loginRoot(server);
  const users = await fill(root);
  const isKilled = async (id) => {
    await root.raw(`KILL JOB '${id}'`);
    const { status } = await until(root, id, ...ENDED);
    matches((await root.error(`KILL JOB '${id}'`)).message, new RegExp(`has ended already: it is ${status}`), 'a second KILL');
    if (status !== 'cancelled') equal(status, 'completed', `${id} was done before the KILL came`);
    return status === 'cancelled';
  };
  /** Starts one, and another one should it be done before the KILL comes, until one is killed; its number. */
  const kill = async (client, sql, again = async () => {}) => {
    for (let i = 0; ; i++) {
      const id = await start(client, sql(i));
      await until(root, id, 'running', ...ENDED);
      if (await isKilled(id)) return i;
      await again();
    }
  };
  await kill(root, () => 'STORAGE FLUSH TABLE j.t', async () => {
    for (const user of users) await user.run('UPDATE j.t SET v = v');
  });
  await until(root, await start(root, 'STORAGE FLUSH TABLE j.t'), 'completed');
  await kill(root, (i) => `BACKUP DATABASE TO 'k1-${i}'`);
  await kill(users[0], () => 'EXPORT USER DATA');
  let running, queued;
  do {
    if (running) await until(root, running, ...ENDED);
    running = await start(users[0], 'EXPORT USER DATA');
    queued = await start(users[1], 'EXPORT USER DATA');
  } while ((await jobOf(root, queued)).status !== 'queued' || !(await isKilled(queued)));
  await isKilled(running);
  await kill(root, (i) => `BACKUP DATABASE j TO 'k2-${i}'`);
  await until(root, await start(root, "BACKUP DATABASE j TO 'good'"), 'completed');
  const restore = await kill(root, (i) => `RESTORE DATABASE k${i} FROM 'good'`);
  equal((await root.raw(`SELECT * FROM k${restore}.t`)).status, 400, 'nothing of the restore is there');
  await until(root, await start(root, "RESTORE DATABASE k FROM 'good'"), 'completed');
  equal((await users[2].rows('SELECT count(*) AS n FROM k.t'))[0].n, '3000', 'the next one does it');
  for (const sql of ["KILL JOB 'FL-000000000000'", "KILL JOB 'x'"]) matches((await root.error(sql)).message, /not found/, sql);
  equal((await users[0].raw(`KILL JOB '${queued}'`)).status, 403, 'by a user');
  await server.stop();
  matches(execFileSync(BINARY, ['--verify', server.dir], { encoding: 'utf8' }), /OK +everything agrees/, '--verify');
});

test('a crash in the middle: a flush goes on, a backup has failed and says so, neither runs twice', async () => {
  const server = await startServer(SLOW);
  let root = await loginRoot(server);
  await fill(root);
  const flush = await start(root, 'STORAGE FLUSH TABLE j.t');
  const backup = await start(root, "BACKUP DATABASE TO 'cut'");
  await until(root, flush, 'running');
  await until(root, backup, 'running');
  await server.kill();
  await server.start();
  root = await loginRoot(server);
  matches(Object.values(await until(root, backup, ...ENDED)).join(), /failed,.*the server stopped before it was complete/, 'the backup');
  equal((await until(root, flush, ...ENDED)).status, 'completed', 'the flush');
  const [{ n }] = await root.rows("SELECT count(*) AS n FROM system.jobs WHERE job_type IN ('flush', 'backup')");
  equal(n, '2', 'jobs');
  const [stats] = await root.rows('SHOW STATS FOR TABLE j.t');
  equal([stats.logical_rows, stats.flushed_segments], [String(USERS * 3000), String(USERS)], 'each partition once');
  await server.stop();
});

/** One user with 3 MB in one segment, of whose rows one has died: what STORAGE COMPACT rewrites, for seconds at the speed of SLOW. */
async function fillToCompact(root) {
  await root.run('CREATE NAMESPACE c');
  await root.run('CREATE USER TABLE c.t (id BIGINT PRIMARY KEY, v TEXT)');
  const user = await newUser(root, 'carl');
  const noise = () => Array.from({ length: 10 }, () => Math.random()).join('');
  for (let from = 0; from < 15000; from += 3000) {
    await user.run(`INSERT INTO c.t VALUES ${Array.from({ length: 3000 }, (_, i) => `(${from + i}, '${noise()}')`).join(',')}`);
  }
  await until(root, await start(root, 'STORAGE FLUSH TABLE c.t'), 'completed');
  await user.run('DELETE FROM c.t WHERE id = 7');
  return user;
}

/** All rows but the dead one are there, the same as ever; returns how many dead ones segments still hold. */
async function deadRows(root, user) {
  const [sum] = await user.rows('SELECT count(*) AS n, sum(id) AS ids, count(DISTINCT v) AS texts FROM c.t');
  equal([sum.n, sum.ids, sum.texts].map(Number), [14999, (14999 * 15000) / 2 - 7, 14999], 'rows');
  const [stats] = await root.rows('SHOW STATS FOR TABLE c.t');
  return Number(stats.dead_rows);
}

test('KILL JOB and kill -9 in the middle of a compaction: no row is lost, and its work is done later', async () => {
  const server = await startServer(SLOW);
  let root = await loginRoot(server);
  let user = await fillToCompact(root);
  const killed = await start(root, 'STORAGE COMPACT TABLE c.t');
  await until(root, killed, 'running');
  await root.run(`KILL JOB '${killed}'`);
  equal((await until(root, killed, ...ENDED)).status, 'cancelled', 'the killed one');
  equal(await deadRows(root, user), 1, 'dead rows in segments after KILL JOB');
  const cut = await start(root, 'STORAGE COMPACT TABLE c.t');
  await until(root, cut, 'running');
  await server.kill();
  await server.start();
  root = await loginRoot(server);
  user = await login(server, 'carl', 'pw-of-user-123');
  equal((await until(root, cut, ...ENDED)).status, 'completed', 'the one that was cut goes on by itself');
  equal(await deadRows(root, user), 0, 'dead rows in segments after it');
  await server.stop();
  matches(execFileSync(BINARY, ['--verify', server.dir], { encoding: 'utf8' }), /OK +everything agrees/, '--verify');
});

/** A dropped user whose erasure waits: a backup is copying their segment. Returns the ids of both. */
async function startErasure(root) {
  const backup = await start(root, `BACKUP DATABASE TO 'b${Math.random()}'`);
  await until(root, backup, 'running');
  await root.run('DROP USER carl');
  return { backup, erasure: await runningErasure(root) };
}

async function runningErasure(root) {
  for (;;) {
    const [job] = await root.rows("SELECT job_id, status FROM system.jobs WHERE job_type = 'user_cleanup' ORDER BY created_at DESC LIMIT 1");
    // A job that runs may not have begun yet; the first thing that an erasure forgets are the credentials.
    const [user] = await root.rows("SELECT password_hash FROM system.users WHERE user_id = 'carl'");
    if (job?.status === 'running' && user.password_hash === null) return job.job_id;
    check(!ENDED.includes(job?.status), 'it ended while a backup still copies');
  }
}

/** After a start: the erasure that it began has ended well. */
async function erased(root, but) {
  for (;;) {
    const jobs = await root.rows(`SELECT status, message FROM system.jobs WHERE job_type = 'user_cleanup' AND job_id <> '${but}'`);
    if (jobs.some((job) => job.status === 'completed')) return;
    check(!jobs.some((job) => job.status === 'failed'), `erasure: ${JSON.stringify(jobs)}`);
  }
}

for (const way of ['KILL JOB', 'kill -9']) {
  test(`${way} in the middle of an erasure: nobody else loses a row, and the next start erases the rest`, async () => {
    const server = await startServer({ settings: `${SLOW.settings}[user_management]\ndeletion_grace_period_days = 0\n` });
    let root = await loginRoot(server);
    await fillToCompact(root);
    const other = await newUser(root, 'other');
    await other.run("INSERT INTO c.t VALUES (1, 'of the other')");
    await until(root, await start(root, 'STORAGE FLUSH TABLE c.t'), 'completed');
    const { backup, erasure } = await startErasure(root);
    if (way === 'KILL JOB') {
      await root.run(`KILL JOB '${erasure}'`);
      equal((await until(root, erasure, ...ENDED)).status, 'cancelled', 'the killed one');
      equal((await jobOf(root, backup)).status, 'running', 'what it waited for: it was killed in the middle');
      matches((await root.error('ALTER USER carl RESTORE')).message, /eras/, 'RESTORE after an erasure began');
      await server.stop();
    } else {
      await server.kill();
    }
    await server.start();
    root = await loginRoot(server);
    await erased(root, erasure);
    if (way === 'kill -9') matches(Object.values(await jobOf(root, erasure)).join(), /failed,.*a new job goes on/, 'the cut one');
    check(!fs.existsSync(path.join(server.dir, 'storage', 'user', 'carl')), 'the folder of the erased user');
    const again = await login(server, 'other', 'pw-of-user-123');
    equal(await again.rows('SELECT id, v FROM c.t'), [{ id: '1', v: 'of the other' }], 'the row of the other');
    await server.stop();
    matches(execFileSync(BINARY, ['--verify', server.dir], { encoding: 'utf8' }), /OK +everything agrees/, '--verify');
  });
}

test('SIGTERM while a statement waits for a job that takes longer than a stop may: the job is left to the next start', async () => {
  const server = await startServer({ settings: `[storage]
background_bytes_per_second = 600000
[flush]
wait_ms = 600000
[shutdown.flush]
timeout = 1
` });
  let root = await loginRoot(server);
  await fillToCompact(root);
  const waits = root.raw('STORAGE COMPACT TABLE c.t').catch((error) => error);
  const compaction = async () => (await root.rows("SELECT job_id, status, finished_at FROM system.jobs WHERE job_type = 'compact'"))[0];
  while ((await compaction())?.status !== 'running');
  equal((await server.stop()).code, 0, 'the end');
  await waits;
  const stoppedAt = Date.now();
  await server.start();
  root = await loginRoot(server);
  const { job_id: id } = await compaction();
  equal((await until(root, id, ...ENDED)).status, 'completed', 'after the next start');
  const finishedAt = Number((await compaction()).finished_at) / 1000;
  check(finishedAt >= stoppedAt, `the stop has waited for the job: it ended at ${finishedAt}, the server at ${stoppedAt}`);
  equal(await deadRows(root, await login(server, 'carl', 'pw-of-user-123')), 0, 'dead rows in segments');
  await server.stop();
});

run('jobs', { independent: true });
