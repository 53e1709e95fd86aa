// SPDX-License-Identifier: Apache-2.0
//
// Live queries as server-sent events: what curl -N and EventSource see. The reader here follows the
// standard's rules (an event counts once its blank line has come), so a cut in the middle of one is a cut
// before it.

import http from 'node:http';
import net from 'node:net';
import { Client, loginRoot, newUser, request, signToken } from './lib/client.mjs';
import { WAIT_LIMIT_MS } from './lib/live.mjs';
import { check, equal, matches, run, test } from './lib/runner.mjs';
import { startServer } from './lib/server.mjs';

const SQL = 'SELECT id, v FROM sse.t';

/** The reader of one answer: events wait in `inbox`, comments in `comments`. */
class Stream {
  static async open(client, params, headers = {}) {
    const stream = new Stream();
    const query = new URLSearchParams(params);
    stream.abort = new AbortController();
    stream.response = await fetch(`http://127.0.0.1:${client.server.port}/v1/api/live?${query}`, {
      headers: { ...client.bearer, ...headers }, signal: stream.abort.signal,
    });
    if (stream.response.status !== 200) {
      stream.body = await stream.response.json();
      return stream;
    }
    stream.done = stream.read();
    return stream;
  }

  constructor() {
    this.inbox = [];
    this.comments = [];
    this.lastEventId = null;
    this.ended = null; // 'whole' or 'cut'
    this.wake = () => {};
  }

  async read() {
    const decoder = new TextDecoder();
    let text = '';
    try {
      for await (const chunk of this.response.body) {
        text += decoder.decode(chunk, { stream: true });
        for (let at; (at = text.indexOf('\n\n')) >= 0; text = text.slice(at + 2)) this.take(text.slice(0, at));
        this.wake();
      }
      this.ended = 'whole';
    } catch {
      this.ended = 'cut';
    }
    this.wake();
  }

  take(block) {
    const event = {};
    for (const line of block.split('\n')) {
      if (line.startsWith(':')) this.comments.push(line);
      else event[line.slice(0, line.indexOf(':'))] = line.slice(line.indexOf(':') + 2);
    }
    if (event.retry !== undefined) this.retry = event.retry;
    if (event.data === undefined) return;
    if (event.id !== undefined) this.lastEventId = event.id;
    this.inbox.push({ event: event.event, id: event.id, data: JSON.parse(event.data) });
  }

  /** The next event, or null when the answer has ended. */
  async next(what = 'an event') {
    const deadline = Date.now() + WAIT_LIMIT_MS;
    while (!this.inbox.length && !this.ended) {
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`waited ${WAIT_LIMIT_MS} ms for ${what}`);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, left);
        this.wake = () => (clearTimeout(timer), resolve());
      });
    }
    return this.inbox.shift() ?? null;
  }

  async expect(type) {
    const event = await this.next(type);
    if (event?.event !== type) throw new Error(`wanted ${type}, got ${JSON.stringify(event)}`);
    equal(event.data.type, type, 'the type in the data');
    return event;
  }

  close() {
    this.abort.abort();
    return this.done;
  }
}

/** A copy of the rows, kept by events alone. */
class Copy {
  constructor() {
    this.rows = new Map();
    this.seen = [];
  }

  take({ event, id, data }) {
    if (event === 'initial_data_batch') for (const row of data.rows) this.rows.set(row.id, row.v);
    if (event !== 'change') return;
    const row = (data.change_type === 'delete' ? data.old_values : data.rows)[0];
    equal(id, row._seq, 'the id of a change is its seq');
    this.seen.push(`${data.change_type} ${row.id}`);
    if (this.seqs === undefined) this.seqs = new Set();
    check(!this.seqs.has(id), `change ${id} came twice`);
    this.seqs.add(id);
    const known = this.rows.has(row.id);
    check(data.change_type === 'insert' ? !known : known, `${data.change_type} of ${row.id}, known: ${known}`);
    if (data.change_type === 'delete') this.rows.delete(row.id);
    else this.rows.set(row.id, row.v);
  }

  /** Takes events until the row `id` is there. */
  async until(stream, id) {
    while (!this.rows.has(id)) {
      const event = await stream.next(`row ${id}`);
      check(event, `the answer ended before row ${id}`);
      this.take(event);
    }
  }

  async equals(client, sql = SQL) {
    const rows = await client.rows(sql);
    const sort = (list) => list.sort((a, b) => Number(a[0]) - Number(b[0]));
    equal(sort([...this.rows]), sort(rows.map((row) => [row.id, row.v])), 'copy and table');
  }
}

let server;
let root;
let alice;

test('set-up', async () => {
  server = await startServer();
  root = await loginRoot(server);
  await root.run('CREATE NAMESPACE sse');
  alice = await newUser(root, 'alice');
  await root.run('CREATE USER TABLE sse.t (id BIGINT PRIMARY KEY, v TEXT)');
});

test('first rows in pages, then changes; an id only where resuming is exact', async () => {
  for (let i = 1; i <= 25; i++) await alice.run(`INSERT INTO sse.t VALUES (${i}, 'v${i}')`);
  const stream = await Stream.open(alice, { sql: SQL, batch_size: 10 });
  matches(stream.response.headers.get('content-type'), /^text\/event-stream$/, 'content type');
  equal(stream.response.headers.get('cache-control'), 'no-store', 'cache');
  equal(stream.response.headers.get('x-accel-buffering'), 'no', 'proxies');
  const ack = await stream.expect('subscription_ack');
  equal(ack.id, undefined, 'the acknowledgement is no cursor');
  equal(ack.data.schema.map((c) => c.name), ['id', 'v'], 'schema');
  const copy = new Copy();
  for (let page = 0; page < 3; page++) {
    const event = await stream.expect('initial_data_batch');
    equal(event.data.rows.length, page < 2 ? 10 : 5, 'rows of the page');
    equal(event.id, page < 2 ? undefined : event.data.batch_control.last_seq, 'id of the page');
    copy.take(event);
  }
  await alice.run("UPDATE sse.t SET v = 'new\nline' WHERE id = 3");
  await alice.run('DELETE FROM sse.t WHERE id = 4');
  await alice.run("INSERT INTO sse.t VALUES (26, NULL)");
  await copy.until(stream, '26');
  equal(copy.seen, ['update 3', 'delete 4', 'insert 26'], 'changes');
  await copy.equals(alice);
  await stream.close();
});

test('Last-Event-ID resumes: every change, none twice, deletes too', async () => {
  const first = await Stream.open(alice, { sql: SQL });
  const copy = new Copy();
  await first.expect('subscription_ack');
  copy.take(await first.expect('initial_data_batch'));
  await alice.run("INSERT INTO sse.t VALUES (30, 'a')");
  await copy.until(first, '30');
  await first.close();
  await alice.run('DELETE FROM sse.t WHERE id = 30');
  await alice.run("INSERT INTO sse.t VALUES (31, 'a'), (32, 'b')");
  await alice.run("UPDATE sse.t SET v = 'c' WHERE id = 31");
  await alice.run('DELETE FROM sse.t WHERE id = 32');
  // The header is newer than `from`, as when a browser comes back to the same URL.
  const second = await Stream.open(alice, { sql: SQL, from: '0' }, { 'last-event-id': first.lastEventId });
  equal((await second.expect('subscription_ack')).id, first.lastEventId, 'the cursor it resumed from');
  copy.seen = [];
  await alice.run("INSERT INTO sse.t VALUES (33, 'end')");
  await copy.until(second, '33');
  equal(copy.seen, ['delete 30', 'insert 31', 'insert 32', 'update 31', 'delete 32', 'insert 33'], 'changes');
  await copy.equals(alice);
  await second.close();
  const third = await Stream.open(alice, { sql: SQL, from: second.lastEventId });
  await third.expect('subscription_ack');
  await alice.run('DELETE FROM sse.t WHERE id = 33');
  equal((await third.expect('change')).data.change_type, 'delete', '`from` resumes as well');
  await third.close();
});

test('last_rows, a filter with parameters', async () => {
  const stream = await Stream.open(alice, {
    sql: `${SQL} WHERE id > $1 AND v <> $2`, params: '[100, "no"]', last_rows: 2,
  });
  await stream.expect('subscription_ack');
  equal((await stream.expect('initial_data_batch')).data.rows, [], 'no rows match');
  await alice.run("INSERT INTO sse.t VALUES (99, 'x'), (101, 'no'), (102, 'yes')");
  equal((await stream.expect('change')).data.rows[0].id, '102', 'the only one that matches');
  // The same text with other values is another query.
  const other = await Stream.open(alice, { sql: `${SQL} WHERE id > $1 AND v <> $2`, params: '[101, "yes"]' });
  await other.expect('subscription_ack');
  equal((await other.expect('initial_data_batch')).data.rows, [], 'other values');
  await stream.close();
  await other.close();
});

test('what is refused before it begins is an ordinary HTTP error', async () => {
  const refused = async (params, status, code, headers) => {
    const stream = await Stream.open(alice, params, headers);
    equal([stream.response.status, stream.body?.error?.code ?? stream.body?.error], [status, code],
      JSON.stringify(params));
    matches(stream.response.headers.get('content-type'), /^application\/json/, 'content type');
    return stream.body;
  };
  await refused({ sql: SQL }, 401, 'INVALID_CREDENTIALS', { authorization: 'Bearer nonsense' });
  const query = new URLSearchParams({ sql: SQL, access_token: alice.token });
  equal((await request(server, 'GET', `/v1/api/live?${query}`)).status, 401, 'a token in the URL');
  await refused({ sql: 'SELEC * FROM sse.t' }, 400, 'INVALID_SQL');
  await refused({ sql: 'SELECT count(*) FROM sse.t' }, 400, 'INVALID_SQL');
  await refused({ sql: `${SQL} WHERE id = $1` }, 400, 'INVALID_SQL');
  await refused({ sql: `${SQL} WHERE id = $1`, params: '[1' }, 400, 'INVALID_INPUT');
  await refused({ sql: `${SQL} WHERE id = $1`, params: '{}' }, 400, 'INVALID_INPUT');
  await refused({}, 400, 'INVALID_INPUT');
  await refused({ sql: SQL, last_rows: '-1' }, 400, 'INVALID_INPUT');
  await refused({ sql: SQL, from: 'yesterday' }, 400, 'INVALID_INPUT');
  await refused({ sql: SQL }, 400, 'INVALID_INPUT', { 'last-event-id': '99999999999999999999' });
  await refused({ sql: SQL, from: '9223372036854775807' }, 400, 'CURSOR_TOO_NEW');
  await refused({ sql: 'SELECT * FROM sse.none' }, 404, 'NOT_FOUND');
  await refused({ sql: 'SELECT * FROM system.jobs' }, 403, 'UNAUTHORIZED');
  const post = await request(server, 'POST', '/v1/api/live', { headers: alice.bearer, body: '{}' });
  equal(post.status, 405, 'POST');
  const head = await request(server, 'HEAD', `/v1/api/live?sql=${encodeURIComponent(SQL)}`, { headers: alice.bearer });
  equal(head.status, 405, 'HEAD');
  const [{ n }] = await root.rows('SELECT COUNT(*) AS n FROM system.live');
  equal(n, '0', 'nothing is left behind');
});

test('a token that ends is the end of its stream, as of a socket', async () => {
  const stream = await Stream.open(new Client(server, 'alice', signToken('alice', -55)), { sql: SQL });
  await stream.expect('subscription_ack');
  await stream.expect('initial_data_batch');
  const last = await stream.expect('error');
  equal([last.id, last.data.subscription_id, last.data.code], [undefined, 'live', 'TOKEN_EXPIRED'], 'the last event');
  await stream.done;
  equal([stream.ended, stream.comments], ['whole', []], 'the end');
});

test('a cursor older than the feed window is 410, which no browser tries again', async () => {
  const other = await startServer({ settings: '[retention]\nfeed_window_seconds = 1\n[flush]\ncheck_interval_seconds = 1\n' });
  const admin = await loginRoot(other);
  await admin.run('CREATE NAMESPACE sse');
  await admin.run('CREATE USER TABLE sse.t (id BIGINT PRIMARY KEY, v TEXT)');
  const first = await Stream.open(admin, { sql: SQL });
  await first.expect('subscription_ack');
  const from = (await first.expect('initial_data_batch')).id;
  for (let i = 0; ; i++) {
    await admin.run(`INSERT INTO sse.t VALUES (${i}, 'c')`);
    await admin.run(`DELETE FROM sse.t WHERE id = ${i}`);
    const stream = await Stream.open(admin, { sql: SQL, from });
    if (stream.body) {
      equal([stream.response.status, stream.body.error.code], [410, 'CURSOR_TOO_OLD'], 'the answer');
      break;
    }
    await stream.close();
    check(i < 400, 'the window moves on');
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  await other.stop();
});

test('pages of other origins may read it', async () => {
  const stream = await Stream.open(alice, { sql: SQL }, { origin: 'http://app.example' });
  equal(stream.response.headers.get('access-control-allow-origin'), 'http://app.example', 'CORS');
  await stream.close();
});

/** Waits until system.live has `count` rows. */
async function subscriptions(count) {
  const deadline = Date.now() + WAIT_LIMIT_MS;
  for (;;) {
    const [{ n }] = await root.rows('SELECT COUNT(*) AS n FROM system.live');
    if (n === String(count)) return;
    check(Date.now() < deadline, `system.live has ${n} rows, not ${count}`);
  }
}

test('a client that leaves is forgotten, wherever it was', async () => {
  for (let i = 0; i < 20; i++) {
    const socket = net.connect(server.port, '127.0.0.1');
    await new Promise((resolve) => socket.once('connect', resolve));
    socket.write(`GET /v1/api/live?sql=${encodeURIComponent(SQL)} HTTP/1.1\r\nHost: x\r\n` +
      `Authorization: Bearer ${alice.token}\r\n\r\n`);
    if (i % 2) await new Promise((resolve) => socket.once('data', resolve));
    if (i % 3) socket.destroy();
    else socket.end();
  }
  await subscriptions(0);
});

test('a dropped table is an event of its own, then the end', async () => {
  await root.run('CREATE USER TABLE sse.gone (id BIGINT PRIMARY KEY, v TEXT)');
  const stream = await Stream.open(alice, { sql: 'SELECT * FROM sse.gone' });
  await stream.expect('subscription_ack');
  await stream.expect('initial_data_batch');
  await root.run('DROP TABLE sse.gone');
  const error = await stream.expect('error');
  equal([error.data.code, error.id], ['NOT_FOUND', undefined], 'the error has no id');
  equal(await stream.next(), null, 'the end');
  equal(stream.ended, 'whole', 'a proper end');
});

test('many streams of one query share each event, and each gets all of them', async () => {
  const streams = [];
  for (let i = 0; i < 20; i++) {
    const stream = await Stream.open(alice, { sql: `${SQL} WHERE v LIKE 'shared%'` });
    await stream.expect('subscription_ack');
    await stream.expect('initial_data_batch');
    streams.push(stream);
  }
  for (let i = 0; i < 50; i++) await alice.run(`INSERT INTO sse.t VALUES (${8000 + i}, 'shared ${i}')`);
  for (const stream of streams) {
    for (let i = 0; i < 50; i++) {
      const { id, data } = await stream.expect('change');
      equal([id, data.rows[0].v], [data.rows[0]._seq, `shared ${i}`], 'the event');
    }
    await stream.close();
  }
  await subscriptions(0);
});

test('two on one connection: the second waits for the first, as HTTP has it', async () => {
  const socket = net.connect(server.port, '127.0.0.1');
  let text = '';
  let wake = () => {};
  socket.on('data', (chunk) => {
    text += chunk;
    wake();
  });
  const until = async (pattern) => {
    while (!pattern.test(text)) await new Promise((resolve) => (wake = resolve));
  };
  await root.run('CREATE USER TABLE sse.p (id BIGINT PRIMARY KEY, v TEXT)');
  const ask = (sql) => `GET /v1/api/live?sql=${encodeURIComponent(sql)} HTTP/1.1\r\nHost: x\r\n` +
    `Authorization: Bearer ${alice.token}\r\n\r\n`;
  socket.write(ask('SELECT * FROM sse.p') + ask(`${SQL} WHERE id = 7777`));
  await until(/initial_data_batch/);
  await subscriptions(2);
  await alice.run("INSERT INTO sse.t VALUES (7777, 'held')");
  check(!/7777/.test(text), 'the second is held');
  await root.run('DROP TABLE sse.p');
  await until(/"id":"7777"/);
  socket.destroy();
  await subscriptions(0);
});

test('a client that stops reading loses nothing and delays nobody', async () => {
  await root.run('CREATE USER TABLE sse.big (id BIGINT PRIMARY KEY, v TEXT)');
  const agent = new http.Agent();
  const query = new URLSearchParams({ sql: 'SELECT * FROM sse.big' });
  const response = await new Promise((resolve, reject) => {
    http.get({ host: '127.0.0.1', port: server.port, path: `/v1/api/live?${query}`, agent, headers: alice.bearer },
      resolve).once('error', reject);
  });
  await new Promise((resolve) => response.once('data', resolve));
  response.pause();
  const reader = await Stream.open(alice, { sql: 'SELECT * FROM sse.big' });
  const copy = new Copy();
  const wide = 'x'.repeat(4000);
  for (let i = 0; i < 40; i++) {
    const rows = Array.from({ length: 100 }, (_, k) => `(${i * 100 + k}, '${wide}')`);
    await alice.run(`INSERT INTO sse.big VALUES ${rows.join(',')}`);
  }
  await copy.until(reader, '3999');
  await reader.close();
  let text = '';
  const ids = [];
  response.on('data', (chunk) => {
    text += chunk;
    for (let at; (at = text.indexOf('\n\n')) >= 0; text = text.slice(at + 2)) {
      const id = /"rows":\[\{"id":"(\d+)"/.exec(text.slice(0, at));
      if (id && /^event: change/m.test(text.slice(0, at))) ids.push(Number(id[1]));
    }
    if (ids.length === 4000) response.emit('all');
  });
  const all = new Promise((resolve) => response.once('all', resolve));
  response.resume();
  await all;
  equal(ids, Array.from({ length: 4000 }, (_, i) => i), 'every row once, in order');
  agent.destroy();
  response.destroy();
});

test('kill -9 and Last-Event-ID: what was committed meanwhile, exactly once', async () => {
  const copy = new Copy();
  const first = await Stream.open(alice, { sql: SQL });
  await first.expect('subscription_ack');
  copy.take(await first.expect('initial_data_batch'));
  for (let i = 1000; i < 1050; i++) await alice.run(`INSERT INTO sse.t VALUES (${i}, 'x')`);
  await copy.until(first, '1020'); // the rest is not taken: it will come again
  await server.kill();
  await first.done;
  equal(first.ended, 'cut', 'how it ended');
  await server.start();
  await alice.run('DELETE FROM sse.t WHERE id = 1010');
  await alice.run('DELETE FROM sse.t WHERE id = 1040');
  const from = [...copy.seqs].at(-1);
  const second = await Stream.open(alice, { sql: SQL }, { 'last-event-id': from });
  await second.expect('subscription_ack');
  await alice.run("INSERT INTO sse.t VALUES (2000, 'end')");
  copy.seen = [];
  await copy.until(second, '2000');
  const missed = Array.from({ length: 29 }, (_, i) => `insert ${1021 + i}`);
  equal(copy.seen, [...missed, 'delete 1010', 'delete 1040', 'insert 2000'], 'changes');
  await copy.equals(alice);
  await second.close();
});

test('a user who gets another role, or is dropped: an event that says so, then the end; to come back is 401', async () => {
  for (const [change, says] of [['ALTER USER eve1 SET ROLE service', 'another role'], ['DROP USER eve2', 'was dropped']]) {
    const eve = await newUser(root, change.match(/eve./)[0]);
    const stream = await Stream.open(eve, { sql: SQL });
    await stream.expect('subscription_ack');
    await stream.expect('initial_data_batch');
    await root.run(change);
    const last = await stream.expect('error');
    equal([last.data.code, last.data.message.includes(says)], ['UNAUTHORIZED', true], 'the last event');
    await stream.done;
    equal(stream.ended, 'whole', 'the end');
    const again = await Stream.open(eve, { sql: SQL });
    equal(again.response.status, 401, 'the same token again');
  }
});

test('features: a cursor that is no good is answered with first rows in place; new columns are told', async () => {
  await root.run('CREATE SHARED TABLE sse.f (id BIGINT PRIMARY KEY, v TEXT)');
  await root.run("INSERT INTO sse.f VALUES (1, 'a')");
  const stream = await Stream.open(root, { sql: 'SELECT * FROM sse.f', features: 'schema,resnapshot,later', from: '9000000000000000000' });
  await stream.expect('subscription_ack');
  const told = await stream.expect('resnapshot');
  equal([told.id, told.data.code], [undefined, 'CURSOR_TOO_NEW'], 'resnapshot');
  const page = await stream.expect('initial_data_batch');
  equal(page.data.rows.map((r) => r.id), ['1'], 'first rows');
  check(page.id, 'from here a resume is exact');
  await root.run("ALTER TABLE sse.f ADD COLUMN w TEXT DEFAULT 'old'");
  const schema = await stream.expect('schema');
  equal(schema.data.schema[2].fill, 'old', 'what the rows before read in it');
  await stream.close();
});

test('when the server stops, streams end whole, with an event that says why', async () => {
  const stream = await Stream.open(alice, { sql: SQL });
  await stream.expect('subscription_ack');
  await stream.expect('initial_data_batch');
  const end = await server.stop();
  equal([end.code, end.signal], [0, null], 'exit');
  equal((await stream.expect('error')).data.code, 'SHUTTING_DOWN', 'the last event');
  equal(await stream.next(), null, 'nothing after it');
  equal([stream.ended, stream.comments, stream.retry], ['whole', [], '2000'], 'the end');
});

test('a silent stream is kept alive by a comment', async () => {
  await server.start();
  const stream = await Stream.open(alice, { sql: `${SQL} WHERE id = -1` });
  await stream.expect('subscription_ack');
  await stream.expect('initial_data_batch');
  const deadline = Date.now() + WAIT_LIMIT_MS;
  while (!stream.comments.length && Date.now() < deadline) {
    await new Promise((resolve) => {
      setTimeout(resolve, 1000);
      stream.wake = resolve;
    });
  }
  equal(stream.comments[0], ': ping', 'a comment');
  await stream.close();
  await server.stop();
});

run('stream');
