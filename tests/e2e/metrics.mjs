// SPDX-License-Identifier: Apache-2.0
//
// What a monitoring system relies on: /metrics is well-formed, its figures are true, they tell of every part of the server, and they
// name nobody.

import net from 'node:net';
import { loginRoot, newUser, request } from './lib/client.mjs';
import { Live } from './lib/live.mjs';
import { check, equal, matches, run, test } from './lib/runner.mjs';
import { startServer } from './lib/server.mjs';

const FAR = { 'x-forwarded-for': '10.9.8.7' };

/** Reads the text exposition format as strictly as its specification says: {name or name{labels}: value}. */
function parse(text) {
  const types = new Map();
  const values = {};
  let current = null;
  check(text.endsWith('\n'), 'the last line ends');
  for (const line of text.slice(0, -1).split('\n')) {
    const head = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line);
    if (head?.[1] === 'HELP') {
      check(!types.has(head[2]), `${head[2]} comes once`);
      current = head[2];
      types.set(current, null);
      continue;
    }
    if (head) {
      equal([head[2], types.get(head[2])], [current, null], `TYPE follows HELP: ${line}`);
      matches(head[3], /^(counter|gauge)$/, line);
      types.set(current, head[3]);
      continue;
    }
    const sample = /^([a-zA-Z_][a-zA-Z0-9_]*)(\{[a-z_]+="[^"\\\n]*"(?:,[a-z_]+="[^"\\\n]*")*\})? (\d+(?:\.\d+)?)$/.exec(line);
    check(sample, `a sample: ${line}`);
    equal(sample[1], current, 'samples stand below their TYPE');
    const key = sample[1] + (sample[2] ?? '');
    check(!(key in values), `${key} comes once`);
    values[key] = Number(sample[3]);
  }
  for (const [name, type] of types) {
    matches(name, /^kalamdb_[a-z0-9_]+$/, 'a name');
    equal(name.endsWith('_total'), type === 'counter', `${name} is a ${type}`);
    check(!/(micro|milli|nano)second|_ms|_us|kilobyte|_mb/.test(name), `${name} is in a base unit`);
  }
  return { values, types, text };
}

async function scrape(server) {
  const answer = await request(server, 'GET', '/metrics');
  equal([answer.status, answer.headers['content-type']], [200, 'text/plain; version=0.0.4'], 'the answer');
  return parse(answer.text);
}

test('the figures are those of what was done, counters never fall, and nobody is named', async () => {
  const server = await startServer();
  const root = await loginRoot(server);
  const user = await newUser(root, 'canary-user');
  const other = await newUser(root, 'canary-other');
  await root.run('CREATE NAMESPACE canaryspace');
  await root.run('CREATE USER TABLE canaryspace.canarytable (id BIGINT PRIMARY KEY, v TEXT)');
  await root.run('CREATE SHARED TABLE canaryspace.shared (id BIGINT PRIMARY KEY, v TEXT)');
  const first = await scrape(server);
  for (const name of ['partitions', 'segments', 'flushes_total', 'compactions_total', 'hot_stall_seconds_total']) {
    equal(first.values[`kalamdb_${name}`], 0, `${name} of a new server`);
  }
  for (const client of [user, other]) {
    for (const from of [0, 100]) {
      const rows = Array.from({ length: 50 }, (_, i) => `(${from + i}, 'canarytext')`).join(',');
      await client.run(`INSERT INTO canaryspace.canarytable VALUES ${rows}`);
      await root.run('STORAGE FLUSH TABLE canaryspace.canarytable');
    }
  }
  await root.run("INSERT INTO canaryspace.shared VALUES (1, 'hot')");
  const live = await Live.open(server, { token: user.token });
  await live.subscribed('s', 'SELECT * FROM canaryspace.canarytable', {});
  const second = await scrape(server);
  const grown = (name) => second.values[`kalamdb_${name}`] - first.values[`kalamdb_${name}`];
  equal(second.values.kalamdb_partitions, 3, 'partitions');
  equal(second.values.kalamdb_flush_rows_total, 200, 'rows that were flushed');
  const [stats] = await root.rows('SHOW STATS FOR TABLE canaryspace.canarytable');
  equal(String(second.values.kalamdb_segments), stats.flushed_segments, 'segments');
  equal(second.values.kalamdb_segment_rows, 200, 'their rows');
  check(second.values.kalamdb_segment_bytes > 0, 'their bytes');
  check(second.values.kalamdb_flushes_total >= 4, 'flushes');
  check(second.values.kalamdb_flush_seconds_total > 0, 'their time');
  equal(second.values.kalamdb_flush_failures_total, 0, 'failures');
  check(grown('commit_rows_total') >= 201 && grown('commits_total') >= 5 && grown('syncs_total') >= 5, 'commits');
  check(grown('sync_seconds_total') > 0, 'their time');
  equal(second.values.kalamdb_subscriptions, 1, 'subscriptions');
  check(grown('feed_versions') >= 201, 'the feed has grown');
  check(second.values.kalamdb_feed_bytes > 0 && second.values.kalamdb_resident_bytes > 1e6, 'bytes');
  equal(second.values['kalamdb_jobs_ended_total{type="flush",status="completed"}'], 4, 'jobs');
  await user.run('DELETE FROM canaryspace.canarytable WHERE id < 10');
  await root.run('STORAGE COMPACT TABLE canaryspace.canarytable');
  await root.run("BACKUP DATABASE TO 'whole'");
  while ((await scrape(server)).values['kalamdb_jobs_ended_total{type="backup",status="completed"}'] === 0);
  await root.run("RESTORE DATABASE nowhere FROM 'whole'"); // a namespace is not restored from the backup of a server
  let third;
  do third = await scrape(server);
  while (third.values['kalamdb_jobs_ended_total{type="restore",status="failed"}'] === 0);
  check(third.values.kalamdb_compactions_total >= 1, 'compactions');
  equal(third.values.kalamdb_compaction_dropped_rows_total, 10, 'rows that they dropped');
  equal(third.values.kalamdb_segment_rows, 190, 'rows that are left');
  equal(third.values['kalamdb_jobs_ended_total{type="compact",status="completed"}'], 1, 'the job');
  for (const [name, type] of second.types) {
    if (type !== 'counter') continue;
    for (const key of Object.keys(second.values)) {
      if (key === name || key.startsWith(`${name}{`)) check(third.values[key] >= second.values[key], `${key} falls`);
    }
  }
  check(!third.text.toLowerCase().includes('canary'), 'names');
  live.close();
  await server.stop();
});

test('every part of the server has its figures', async () => {
  const server = await startServer();
  const { types } = await scrape(server);
  for (const part of ['commits_total', 'sync_seconds_total', 'commit_queue_depth', 'worker_queue_depth', 'partitions', 'segments', 'flushes_total',
    'compactions_total', 'feed_bytes', 'hot_stall_seconds_total', 'hot_write_stopped', 'hot_delayed_write_bytes_per_second', 'resident_bytes', 'hot_cache_bytes',
    'hot_memtable_bytes', 'hot_cuts_total', 'hot_cut_bytes_total', 'jobs', 'jobs_ended_total', 'subscriptions', 'read_only']) {
    check(types.has(`kalamdb_${part}`), part);
  }
  await server.stop();
});

test('metrics are for this machine and for administrators, also just after a start', async () => {
  const server = await startServer();
  const root = await loginRoot(server);
  const others = [await newUser(root, 'u'), await newUser(root, 's', 'service')];
  const dba = await newUser(root, 'd', 'dba');
  const get = async (headers) => (await request(server, 'GET', '/metrics', { headers })).status;
  for (let round = 0; round < 2; round++) {
    for (const admin of [root, dba]) equal(await get({ ...FAR, ...admin.bearer }), 200, `far, ${admin.user}`);
    for (const client of others) equal(await get({ ...FAR, ...client.bearer }), 403, `far, ${client.user}`);
    equal(await get(FAR), 403, 'far, without a token');
    equal(await get({ ...FAR, authorization: 'Bearer x.y.z' }), 403, 'far, a bad token');
    equal(await get({}), 200, 'this machine');
    await server.stop();
    await server.start();
  }
  await root.run('DROP USER d');
  equal(await get({ ...FAR, ...dba.bearer }), 403, 'a dropped administrator');
  await server.stop();
});

/** A server with one worker, and a statement that has it for as long as somebody waits for the answer. */
async function busyServer() {
  const server = await startServer({ settings: `[performance]
worker_max_blocking_threads = 1
[execution]
handler_timeout_seconds = 86400
[shutdown.flush]
timeout = 1
` });
  const root = await loginRoot(server);
  await root.run('CREATE NAMESPACE busy');
  await root.run('CREATE SHARED TABLE busy.t (id BIGINT PRIMARY KEY)');
  await root.run(`INSERT INTO busy.t VALUES ${Array.from({ length: 5000 }, (_, i) => `(${i})`).join(',')}`);
  return { server, root, endless: 'SELECT sum(a.id * b.id + c.id * d.id) AS n FROM busy.t a, busy.t b, busy.t c, busy.t d' };
}

test('every worker is busy: metrics answer nevertheless and say so, and SIGTERM ends what runs when its time is over', async () => {
  const { server, root, endless } = await busyServer();
  const statements = [1, 2].map(() => root.raw(endless).catch((error) => error));
  while ((await scrape(server)).values.kalamdb_worker_queue_depth < 1); // one runs, the other waits behind it
  equal((await server.stop()).code, 0, 'the end');
  for (const answer of await Promise.all(statements)) {
    check(answer instanceof Error || answer.status === 503, `a statement that was cut: ${answer.status} ${answer.text}`);
  }
});

test('a client that leaves a SELECT has its worker until the statement timeout', async () => {
  const { server, root, endless } = await busyServer();
  const body = JSON.stringify({ sql: endless });
  for (const leave of ['destroy', 'resetAndDestroy']) {
    const sockets = [1, 2].map(() => net.connect(server.port, '127.0.0.1'));
    for (const socket of sockets) {
      socket.write('POST /v1/api/sql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n' +
        `Authorization: ${root.bearer.authorization}\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    }
    while ((await scrape(server)).values.kalamdb_worker_queue_depth < 1); // one runs, the other waits behind it
    for (const socket of sockets) socket[leave]();
    equal(await root.rows('SELECT count(*) AS n FROM busy.t a JOIN busy.t b ON a.id = b.id'), [{ n: '5000' }], `after ${leave}`);
  }
  await server.stop();
});

run('metrics', { independent: true });
