// SPDX-License-Identifier: Apache-2.0
//
// A disk that is bad for a while under a running server: full, read-only, or failing to sync. Writes are refused with a code and
// reads go on; once the disk is well, writes go on without a restart, and who follows a table has missed nothing and got
// nothing twice. The disk fails by the preloaded library of tests/fault, for as long as a file exists.

import fs from 'node:fs';
import path from 'node:path';
import { login, loginRoot, newUser, post, request } from './lib/client.mjs';
import { Live } from './lib/live.mjs';
import { check, equal, matches, run, skip, test } from './lib/runner.mjs';
import { ROOT, SANITIZED, startServer, temporaryFolder } from './lib/server.mjs';

const LIBRARY = path.join(process.env.BUILD || path.join(ROOT, 'build'), 'tests/libfault.so');
const CALLS = 'open,write,fsync,rename,unlink,link,truncate,allocate,mkdir,rmdir';

class Outage {
  static async start(errno, calls = CALLS) {
    if (SANITIZED) skip('the fault library is for plain builds');
    check(fs.existsSync(LIBRARY), `${LIBRARY} is there`);
    const outage = new Outage();
    const home = temporaryFolder('outage');
    outage.file = path.join(home, 'bad');
    outage.server = await startServer({
      home,
      env: {
        LD_PRELOAD: LIBRARY,
        KALAM_FAULT_DIR: path.join(home, 'data'),
        KALAM_FAULT_MODE: 'fail',
        KALAM_FAULT_ERRNO: errno,
        KALAM_FAULT_OPS: calls,
        KALAM_FAULT_AT: '1',
        KALAM_FAULT_TIMES: '0',
        KALAM_FAULT_DURING: outage.file,
      },
    });
    outage.root = await loginRoot(outage.server);
    await outage.root.run('CREATE NAMESPACE bad');
    await outage.root.run('CREATE USER TABLE bad.t (id BIGINT PRIMARY KEY, v TEXT)');
    await outage.root.run('CREATE SHARED TABLE bad.s (id BIGINT PRIMARY KEY, v TEXT)');
    outage.user = await newUser(outage.root, 'ute');
    outage.refusal = errno === 'ENOSPC' ? 'DISK_FULL' : 'STORAGE_ERROR';
    outage.tries = 0;
    outage.rows = new Map(); // what is acknowledged
    outage.changes = [];
    return outage;
  }

  begin() {
    fs.writeFileSync(this.file, '');
  }

  end() {
    fs.rmSync(this.file);
  }

  async put(id, v) {
    await this.user.run(`INSERT INTO bad.t VALUES (${id}, '${v}')`);
    this.rows.set(String(id), v);
  }

  /** Follows the table: every change that arrives, in order. */
  async follow() {
    this.live = await Live.open(this.server, { token: this.user.token });
    const { cursor } = await this.live.subscribed('f', 'SELECT id, v FROM bad.t');
    this.cursor = cursor;
    this.live.listeners.set('f', (message) => this.changes.push(message));
  }

  /**
   * Makes the disk bad under a write that is given to the log. Should the server have met it before, by work of its own, the
   * write is refused as one that is certainly not there; then the disk gets well, and the same write is tried again.
   */
  async unknown(client, sql) {
    for (;;) {
      this.begin();
      const error = await client.error(sql);
      if (error.code === 'OUTCOME_UNKNOWN') return;
      equal(error.code, this.refusal, `refused, not failed: ${error.message}`);
      this.end();
      await this.until(`INSERT INTO bad.s VALUES (${this.tries++}, 'again')`, [this.refusal], this.root);
    }
  }

  /** Repeats a statement until it is done; every refusal before has one of the codes. */
  async until(sql, codes, client = this.user) {
    for (;;) {
      const answer = await client.raw(sql);
      if (answer.status === 200) return;
      check(codes.includes(answer.json?.error?.code), `refused with ${answer.text.slice(0, 300)}`);
    }
  }

  stored() {
    return this.user.rows('SELECT id, v FROM bad.t ORDER BY id');
  }

  /** What was followed: each change once, in order, and together the rows that are stored. */
  async checkFollowed() {
    const stored = await this.stored();
    const last = stored.at(-1).id;
    while (!this.changes.some((m) => m.rows?.[0]?.id === last)) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    const kinds = this.changes.map((m) => `${m.type} ${m.change_type}`);
    check(kinds.every((kind) => kind === 'change insert'), `only inserts: ${kinds}`);
    const seqs = this.changes.map((m) => BigInt(m.rows[0]._seq));
    check(seqs.every((seq, i) => i === 0 || seq > seqs[i - 1]), `seqs rise: ${seqs}`);
    equal(this.changes.map((m) => m.rows[0].id), stored.map((row) => row.id), 'each row once, in order');
    const resumed = await Live.open(this.server, { token: this.user.token });
    const middle = String(seqs[3]);
    const { rows } = await resumed.subscribed('r', 'SELECT id, v FROM bad.t', { from: middle });
    equal(rows.map((row) => row.id), stored.slice(4).map((row) => row.id), 'a resume from the middle');
    await resumed.close();
  }
}

for (const [what, errno, code] of [
  ['full', 'ENOSPC', 'DISK_FULL'], ['read-only', 'EROFS', 'STORAGE_ERROR'], ['broken', 'EIO', 'STORAGE_ERROR']]) {
  test(`a disk that is ${what} for a while: refused with ${code}, reads go on, then writes, nothing lost or doubled`, async () => {
    const o = await Outage.start(errno);
    await o.follow();
    for (let i = 1; i <= 10; i++) await o.put(i, 'before');
    await o.unknown(o.user, "INSERT INTO bad.t VALUES (11, 'unknown')");
    const refused = await o.user.error("INSERT INTO bad.t VALUES (12, 'refused')");
    equal(refused.code, code, 'the next');
    equal((await o.root.error('CREATE NAMESPACE refused')).code, code, 'a definition');
    for (let i = 0; i < 50; i++) equal((await o.user.error("INSERT INTO bad.t VALUES (12, 'refused')")).code, code, 'again');
    const lines = o.server.output.split('\n').filter((line) => line.includes('"a request failed"')).length;
    check(lines > 0 && lines < 20, `the log tells of refusals, and not of each: ${lines} lines`);
    equal((await request(o.server, 'GET', '/health')).status, 503, 'health');
    equal((await o.root.error("BACKUP DATABASE bad TO 'refused'")).code, code, 'a job');
    const [job] = await o.root.rows("SELECT status, message FROM system.jobs WHERE job_type = 'backup'");
    equal(job.status, 'failed', 'the job');
    matches(job.message, /writes are refused/, 'why it failed');
    const newcomer = await login(o.server, 'ute', 'pw-of-user-123');
    equal((await newcomer.rows('SELECT id FROM bad.t')).length, 10, 'who logs in now reads too');
    equal((await post(o.server, '/v1/api/auth/login', { user: 'ute', password: 'wrong-one-1' })).status, 401, 'a wrong password');
    equal((await o.stored()).length, 10, 'reads, native');
    equal((await o.user.rows('SELECT count(*) AS n, max(v) AS v FROM bad.t GROUP BY v HAVING count(*) > 1')).length, 1,
      'reads, DuckDB');
    const late = await Live.open(o.server, { token: o.user.token });
    equal((await late.subscribed('l', 'SELECT id FROM bad.t')).rows.length, 10, 'a new subscription');
    o.end();
    await o.until("INSERT INTO bad.t VALUES (13, 'after')", [code]);
    equal((await request(o.server, 'GET', '/health')).status, 200, 'health');
    for (let i = 14; i <= 20; i++) await o.put(i, 'after');
    await o.root.run('CREATE NAMESPACE taken');
    const stored = await o.stored();
    for (const id of o.rows.keys()) check(stored.some((row) => row.id === id), `row ${id}`);
    check(!stored.some((row) => row.v === 'refused'), 'what was refused is not there');
    await o.checkFollowed();
    equal((await late.next((m) => m.subscription_id === 'l', 'a change')).rows[0].id, stored[10].id, 'the late one goes on');
    await o.server.stop();
    const again = await startServer({ home: o.server.home, dir: o.server.dir });
    o.user.server = again;
    equal(await o.stored(), stored, 'after a restart');
    await again.stop();
  });
}

test('a sync that fails: what it covered is there, was told to nobody as done, and comes once to who follows', async () => {
  const o = await Outage.start('EIO', 'fsync');
  await o.follow();
  for (let i = 1; i <= 5; i++) await o.put(i, 'before');
  await o.unknown(o.user, "INSERT INTO bad.t VALUES (6, 'unknown')");
  equal((await o.stored()).length, 5, 'nobody sees it before it is durable');
  o.end();
  await o.until("INSERT INTO bad.t VALUES (7, 'after')", ['STORAGE_ERROR']);
  equal((await o.stored()).map((row) => row.v), [...Array(5).fill('before'), 'unknown', 'after'], 'rows');
  await o.checkFollowed();
  await o.unknown(o.root, 'CREATE SHARED TABLE bad.unknown (id BIGINT PRIMARY KEY)');
  o.end();
  await o.until("INSERT INTO bad.t VALUES (8, 'after')", ['STORAGE_ERROR']);
  await o.root.run('INSERT INTO bad.unknown VALUES (1)');
  matches((await o.root.error('CREATE SHARED TABLE bad.unknown (id BIGINT PRIMARY KEY)')).message, /exists/, 'it is known');
  await o.unknown(o.root, "DROP USER 'ute'");
  o.end();
  equal((await o.live.ended).code, 1008, 'its connection ends');
  await o.server.stop();
});

test('statements that read for long do not keep writes from going on for ever, nor are they broken off', async () => {
  const o = await Outage.start('ENOSPC');
  for (let i = 1; i <= 200; i++) await o.put(i, 'x');
  await o.unknown(o.user, "INSERT INTO bad.t VALUES (1000, 'unknown')");
  let stop = false;
  const reader = async () => {
    while (!stop) {
      const rows = await o.user.rows('SELECT count(*) AS n FROM bad.t a, bad.t b, bad.t c WHERE a.v = b.v AND b.v = c.v');
      check(Number(rows[0].n) >= 8000000, `${rows[0].n} rows`);
    }
  };
  const readers = [reader(), reader()];
  o.end();
  await o.until("INSERT INTO bad.t VALUES (1001, 'after')", ['DISK_FULL']);
  stop = true;
  await Promise.all(readers);
  await o.server.stop();
});

/** How often the server has synced. */
async function syncs(o) {
  const answer = await request(o.server, 'GET', '/metrics', { headers: o.root.bearer });
  return Number(/^kalamdb_syncs_total (\d+)$/m.exec(answer.text)[1]);
}

test('a disk that loses what was not synced: clients of an async table are told, those of others go on', async () => {
  const o = await Outage.start('EIO');
  await o.root.run('CREATE STREAM TABLE bad.e (id BIGINT, v TEXT) WITH (TTL_SECONDS = 3600)');
  const folder = path.join(o.server.dir, 'rocksdb');
  const log = path.join(folder, fs.readdirSync(folder).filter((name) => name.endsWith('.log')).sort().at(-1));
  await o.follow();
  await o.put(1, 'before');
  await o.live.subscribed('e', 'SELECT id, v FROM bad.e');
  let id = 10;
  let events = 0;
  for (let before = -1; before !== await syncs(o);) { // until events lie behind the last sync
    await o.put(id++, 'before');
    before = await syncs(o);
    o.bytes = fs.statSync(log).size;
    for (let i = 0; i < 3; i++) {
      await o.user.run(`INSERT INTO bad.e VALUES (${id}, 'lost')`);
      equal((await o.live.expectChange('insert', 'e')).rows[0].id, String(id++), 'an event');
      events++;
    }
  }
  o.begin(); // whatever fails first: a second try would find the events synced
  const first = (await o.user.error("INSERT INTO bad.t VALUES (1000, 'unknown')")).code;
  check(['OUTCOME_UNKNOWN', 'STORAGE_ERROR'].includes(first), `the first: ${first}`);
  fs.truncateSync(log, o.bytes);
  o.end();
  await o.until("INSERT INTO bad.t VALUES (1001, 'after')", ['STORAGE_ERROR']);
  equal((await o.live.expect('error', 'e')).code, 'CURSOR_TOO_OLD', 'the events');
  const rows = await o.user.rows("SELECT v FROM bad.e WHERE v = 'lost'");
  equal(rows.length, events - 3, 'those of the last round are gone');
  await o.user.run("INSERT INTO bad.e VALUES (1, 'next')");
  await o.put(1002, 'after');
  await o.live.subscribed('again', "SELECT id FROM bad.e WHERE v = 'next'");
  await o.checkFollowed();
  matches(o.server.output, /commits of async tables are lost/, 'the log says so');
  await o.server.stop();
});

run('outage', { independent: true });
