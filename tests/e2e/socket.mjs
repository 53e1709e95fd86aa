// SPDX-License-Identifier: Apache-2.0
//
// The WebSocket protocol as clients of the original know it, and the promises of the feed: pages
// pushed without being asked for, rows entering and leaving a filter, resume by cursor, nothing lost
// however slow the client.

import { Live, maxSeq, seqOf } from './lib/live.mjs';
import { Follower } from './lib/follow.mjs';
import { loginRoot, newUser, signToken } from './lib/client.mjs';
import { check, equal, matches, run, test } from './lib/runner.mjs';
import { startServer } from './lib/server.mjs';

let server;
let root;
let anna;
let live; // an authenticated connection most tests share

/** Creates ws.<name> (id, v, n) for one test and returns its qualified name. */
async function table(name, columns = 'id BIGINT PRIMARY KEY, v TEXT, n INT') {
  await anna.run(`CREATE USER TABLE ws.${name} (${columns})`);
  return `ws.${name}`;
}

/** Inserts rows (id, v, n) from..to, `perStatement` at a time. */
async function fill(name, from, to, { perStatement = 500, text = (i) => `v${i}` } = {}) {
  for (let i = from; i <= to; i += perStatement) {
    const values = [];
    for (let k = i; k < i + perStatement && k <= to; k++) values.push(`(${k}, '${text(k)}', ${k})`);
    await anna.run(`INSERT INTO ${name} (id, v, n) VALUES ${values.join(', ')}`);
  }
}

test('server, a user, a connection', async () => {
  server = await startServer();
  root = await loginRoot(server);
  anna = await newUser(root, 'anna');
  await root.run('CREATE NAMESPACE ws');
  live = await Live.open(server, { token: anna.token });
});

// ---- authentication ----------------------------------------------------------------------------

test('authenticate: the answer, in-band and by header, and again', async () => {
  const want = { type: 'auth_success', user: 'anna', role: 'user',
    protocol: { serialization: 'json', compression: 'gzip' } };
  const inBand = await Live.open(server);
  equal(await inBand.authenticate(anna.token), want, 'in-band');
  equal(await inBand.authenticate(anna.token), want, 'a second time');
  await inBand.close();
  const header = await Live.open(server, { headers: anna.bearer });
  const answer = await header.expect('auth_success');
  equal([answer.user, answer.role], ['anna', 'user'], 'by header, unprompted');
  await header.close();
});

test('a wrong token: auth_error, then close 1008', async () => {
  for (const token of ['nonsense', `${anna.token}x`, '']) {
    const socket = await Live.open(server);
    socket.send({ type: 'authenticate', method: 'jwt', token,
      protocol: { serialization: 'json', compression: 'gzip' } });
    equal(await socket.expect('auth_error'), { type: 'auth_error', message: 'Invalid credentials' }, 'auth_error');
    equal(await socket.ended, { code: 1008, reason: 'Authentication failed' }, 'close');
  }
});

test('a token that ends: a warning where announced, then close 1008; a new one in band keeps all', async () => {
  const protocol = { serialization: 'json', compression: 'gzip', features: ['token_expiring', 'unknown'] };
  const renewing = await Live.open(server);
  const ending = await Live.open(server);
  const name = await table('renewed');
  equal((await renewing.authenticate(signToken('anna', -30), protocol)).protocol.features,
    ['token_expiring'], 'features');
  await ending.authenticate(signToken('anna', -55)); // good for five seconds more
  check((await renewing.expect('token_expiring')).expires_at < Date.now(), 'expires_at');
  await renewing.subscribed('kept', `SELECT * FROM ${name}`);
  renewing.send({ type: 'authenticate', method: 'jwt', token: root.token, protocol });
  matches((await renewing.expect('auth_error')).message, /another user/, 'not for another user');
  await renewing.authenticate(signToken('anna', 3600), protocol);
  equal(await ending.ended, { code: 1008, reason: 'Token expired' }, 'close');
  await anna.run(`INSERT INTO ${name} VALUES (1, 'a', 1)`);
  equal((await renewing.expect('change', 'kept')).change_type, 'insert', 'still live');
  await renewing.close();
});

test('KILL LIVE QUERY: error KILLED, and only that one', async () => {
  const socket = await Live.open(server, { token: anna.token });
  const name = await table('killed');
  await socket.subscribed('k-1', `SELECT * FROM ${name}`);
  await socket.subscribed('k-2', `SELECT * FROM ${name}`);
  const rows = await root.rows("SELECT live_id, sent_bytes FROM system.live WHERE subscription_id = 'k-1'");
  await anna.run(`KILL LIVE QUERY '${rows[0].live_id ?? rows[0][0]}'`);
  equal((await socket.expect('error', 'k-1')).code, 'KILLED', 'error');
  await anna.run(`INSERT INTO ${name} VALUES (1, 'a', 1)`);
  await socket.expect('change', 'k-2');
  await socket.close();
});

test('a user who is dropped: error for each subscription, then close 1008', async () => {
  const ben = await newUser(root, 'ben');
  const socket = await Live.open(server, { token: ben.token });
  await anna.run('CREATE USER TABLE ws.dropped (id BIGINT PRIMARY KEY)');
  await socket.subscribed('d', 'SELECT * FROM ws.dropped');
  await root.run("DROP USER 'ben'");
  equal((await socket.expect('error', 'd')).code, 'UNAUTHORIZED', 'error');
  equal(await socket.ended, { code: 1008, reason: 'The user was dropped' }, 'close');
});

test('system tables are live for administrators: first rows, then what changes; anybody else is refused', async () => {
  const socket = await Live.open(server, { token: root.token });
  const { rows } = await socket.subscribed('users', "SELECT * FROM system.users WHERE user_id LIKE 'watched%'");
  equal(rows, [], 'first rows');
  await root.run("CREATE USER 'watched' WITH PASSWORD 'pw-of-user-123' ROLE user");
  const insert = await socket.expect('change', 'users');
  const [{ user_id: id, role, password_hash: hash }] = insert.rows;
  equal([insert.change_type, id, role, hash], ['insert', 'watched', 'user', '***'], 'a user, without its password');
  const told = await root.rows("SUBSCRIBE TO system.users");
  equal(told[0].ws_url, '/v1/ws', 'SUBSCRIBE TO says where');
  await socket.subscribed('jobs', "SELECT * FROM system.jobs WHERE job_type = 'flush' AND status = 'completed'", { last_rows: 0 });
  await root.run('CREATE SHARED TABLE ws.flushed (id BIGINT PRIMARY KEY)');
  await root.run('INSERT INTO ws.flushed VALUES (1)');
  await root.run('STORAGE FLUSH TABLE ws.flushed');
  equal((await socket.expect('change', 'jobs')).rows[0].status, 'completed', 'a job');
  await socket.close();
  live.subscribe('refused', 'SELECT * FROM system.users', {});
  equal((await live.expect('error', 'refused')).code, 'UNAUTHORIZED', 'a user');
});

test('no authenticate within the time: auth_error, then close 1008', async () => {
  const socket = await Live.open(server);
  matches((await socket.expect('auth_error')).message,
    /^Authentication timeout - no auth message received within 3 seconds$/, 'auth_error');
  equal(await socket.ended, { code: 1008, reason: 'Authentication timeout' }, 'close');
});

test('authenticate without protocol, unknown types and broken JSON close with 1011', async () => {
  const texts = [
    `{"type":"authenticate","method":"jwt","token":"${anna.token}"}`,
    '{"type":"dance"}', '{"no":"type"}', '{"type":', 'hello', '[]', '""', '',
  ];
  for (const text of texts) {
    const socket = await Live.open(server);
    socket.sendText(text);
    const end = await socket.ended;
    equal(end.code, 1011, `close code after ${text}`);
    check(end.reason.length > 0 && Buffer.byteLength(end.reason) <= 123, `a reason after ${text}`);
  }
});

test('before authentication: subscribe is an error, the rest is ignored', async () => {
  const socket = await Live.open(server);
  socket.send({ type: 'unsubscribe', subscription_id: 'x' });
  socket.send({ type: 'next_batch', subscription_id: 'x', last_seq_id: null });
  socket.send({ type: 'ping' });
  socket.subscribe('early', 'SELECT * FROM ws.none', {});
  equal(await socket.next(), { type: 'error', subscription_id: 'subscribe', code: 'AUTH_REQUIRED',
    message: 'Authentication required before subscribing' }, 'error');
  await socket.authenticate(anna.token);
  await socket.close();
});

// ---- subscribe ---------------------------------------------------------------------------------

test('ack and first page: their fields', async () => {
  const t = await table('ack');
  await fill(t, 1, 3);
  live.subscribe('ack', `SELECT * FROM ${t}`, { last_rows: 2 });
  const ack = await live.expect('subscription_ack', 'ack');
  equal(Object.keys(ack).sort(), ['batch_control', 'schema', 'subscription_id', 'total_rows', 'type'], 'ack keys');
  equal(ack.total_rows, 2, 'total_rows: exact where it is known');
  equal(ack.schema[0], { name: 'id', data_type: 'BigInt', index: 0, flags: ['pk', 'nn', 'uq'] }, 'schema');
  equal(ack.schema.map((c) => c.name), ['id', 'v', 'n', '_seq', '_deleted'], 'columns of *');
  const page = await live.expect('initial_data_batch', 'ack');
  equal(Object.keys(page).sort(), ['batch_control', 'rows', 'subscription_id', 'type'], 'page keys');
  equal(page.rows.map((r) => r.id), ['2', '3'], 'the newest two, ascending');
  equal(Object.keys(page.rows[0]).sort(), ['_deleted', '_seq', 'id', 'n', 'v'], 'row keys');
  const control = page.batch_control;
  equal([control.batch_num, control.has_more, control.status], [0, false, 'ready'], 'batch_control');
  matches(page.frame.text, /"last_seq_id":\s*\d+[,}]/, 'last_seq_id is a number on the wire');
  check(BigInt(control.last_seq_id) >= BigInt(page.rows[1]._seq), 'last_seq_id covers the rows');
});

test('no options: no first rows, only changes', async () => {
  const t = await table('nooptions');
  await fill(t, 1, 3);
  const { ack } = await live.subscribed('noopt', `SELECT * FROM ${t}`, null);
  equal([ack.batch_control.has_more, ack.batch_control.status], [false, 'ready'], 'ack');
  await fill(t, 4, 4);
  equal((await live.expectChange('insert', 'noopt')).rows[0].id, '4', 'the next message is a change');
});

test('pages are pushed without next_batch; a next_batch for one is ignored', async () => {
  const t = await table('pages');
  await fill(t, 1, 2500);
  live.subscribe('pages', `SELECT * FROM ${t}`, { batch_size: 1000 });
  await live.expect('subscription_ack', 'pages');
  const statuses = [];
  const ids = [];
  let last = 0n;
  for (let num = 0; ; num++) {
    const { rows, batch_control: control } = await live.expect('initial_data_batch', 'pages');
    equal(control.batch_num, num, 'batch_num');
    statuses.push([rows.length, control.status, control.has_more]);
    for (const row of rows) {
      check(BigInt(row._seq) > last, 'pages are in seq order');
      last = BigInt(row._seq);
      ids.push(Number(row.id));
    }
    if (!control.has_more) break;
    live.sendText(`{"type":"next_batch","subscription_id":"pages","last_seq_id":${control.last_seq_id}}`);
  }
  equal(statuses, [[1000, 'loading', true], [1000, 'loading_batch', true], [500, 'ready', false]], 'pages');
  equal(new Set(ids).size, 2500, 'every row once');
  await fill(t, 2501, 2501);
  equal((await live.expectChange('insert', 'pages')).rows[0].id, '2501', 'then live');
});

test('gzip: frames of 512 bytes and more, unless compress=false', async () => {
  const t = await table('gzip');
  await fill(t, 1, 100);
  const zipped = await live.subscribed('gz', `SELECT * FROM ${t}`, {});
  check(zipped.pages[0].frame.gzip, 'a large page comes gzipped in a binary frame');
  check(zipped.pages[0].frame.wireBytes < zipped.pages[0].frame.text.length, 'and is smaller');
  await fill(t, 101, 101);
  const small = await live.expectChange('insert', 'gz');
  check(!small.frame.binary, 'a small message is a text frame');
  const plain = await Live.open(server, { token: anna.token, compress: false });
  const page = (await plain.subscribed('gz', `SELECT * FROM ${t}`, {})).pages[0];
  check(!page.frame.binary && page.frame.wireBytes > 512, 'compress=false: text frames only');
  await plain.close();
});

test('what cannot run live is refused with the reason', async () => {
  const t = await table('refused');
  const cases = [
    [`SELECT * FROM ${t} ORDER BY id LIMIT 1`, 'INVALID_SQL'], [`SELECT * FROM ${t} LIMIT 1`, 'INVALID_SQL'],
    [`SELECT DISTINCT v FROM ${t}`, 'INVALID_SQL'], [`SELECT v FROM ${t} GROUP BY v`, 'INVALID_SQL'],
    [`SELECT * FROM ${t} a JOIN ${t} b ON a.id = b.id`, 'INVALID_SQL'],
    [`SELECT * FROM ${t} WHERE id IN (SELECT id FROM ${t})`, 'INVALID_SQL'],
    [`SELECT id, _seq FROM ${t}`, 'INVALID_SQL'], ['SELECT * FROM refused', 'INVALID_SQL'],
    [`DELETE FROM ${t} WHERE id = 1`, 'INVALID_SQL'], ['nonsense', 'INVALID_SQL'], ['', 'INVALID_SQL'],
    ['SELECT * FROM ws.missing', 'NOT_FOUND'],
  ];
  for (const [sql, code] of cases) {
    live.subscribe('no', sql, {});
    const error = await live.expect('error', 'no');
    equal(error.code, code, sql);
    check(error.message.length > 0, sql);
  }
  live.subscribe('', `SELECT * FROM ${t}`, {});
  const empty = await live.next();
  equal([empty.type, empty.subscription_id, empty.code, empty.message],
    ['error', 'invalid_subscription', 'INVALID_SUBSCRIPTION_ID', 'Subscription ID cannot be empty'], 'empty id');
  await root.run('CREATE SHARED TABLE ws.closed (id BIGINT PRIMARY KEY)');
  live.subscribe('closed', 'SELECT * FROM ws.closed', {});
  equal((await live.expect('error', 'closed')).code, 'UNAUTHORIZED', 'a private SHARED table');
});

test('messages that are refused without closing', async () => {
  const t = await table('kept');
  const socket = await Live.open(server, { token: anna.token });
  socket.sendText(JSON.stringify({ type: 'ping', filler: 'x'.repeat(1 << 20) }));
  equal((await socket.expect('error')).code, 'MESSAGE_TOO_LARGE', 'more than 1 MiB');
  socket.socket.send(Buffer.from([1, 2, 3]), { binary: true });
  equal((await socket.expect('error')).code, 'UNSUPPORTED_DATA', 'a binary frame');
  equal((await socket.subscribed('after', `SELECT * FROM ${t}`, {})).rows, [], 'it goes on');
  await socket.close();
});

test('ping (message) has no answer, ping (frame) has a pong, fragments are joined', async () => {
  const t = await table('ping');
  const socket = await Live.open(server, { token: anna.token });
  for (let i = 0; i < 5; i++) socket.send({ type: 'ping' });
  const pong = new Promise((resolve) => socket.socket.once('pong', resolve));
  socket.socket.ping('abc');
  equal((await pong).toString(), 'abc', 'pong');
  const text = JSON.stringify({ type: 'subscribe',
    subscription: { id: 'frag', sql: `SELECT * FROM ${t}`, options: {} } });
  socket.socket.send(text.slice(0, 10), { fin: false });
  socket.socket.send(text.slice(10, 40), { fin: false });
  socket.socket.ping();
  socket.socket.send(text.slice(40), { fin: true });
  equal((await socket.next()).type, 'subscription_ack', 'the next message, after pings and fragments');
  await socket.close();
});

test('unsubscribe: no answer, no more changes; the same id again replaces', async () => {
  const t = await table('unsub');
  await live.subscribed('u1', `SELECT * FROM ${t}`, {});
  await live.subscribed('u2', `SELECT * FROM ${t}`, {});
  live.send({ type: 'unsubscribe', subscription_id: 'u1' });
  live.send({ type: 'unsubscribe', subscription_id: 'never existed' });
  const { rows } = await live.subscribed('u2', `SELECT * FROM ${t} WHERE n > 10`, {});
  equal(rows, [], 'a subscribe of a known id is acknowledged anew');
  await anna.run(`INSERT INTO ${t} VALUES (1, 'a', 1)`);
  await anna.run(`INSERT INTO ${t} VALUES (2, 'b', 11)`);
  equal((await live.expectChange('insert', 'u2')).rows[0].id, '2', 'the new filter counts, one event');
  await live.subscribed('u3', `SELECT * FROM ${t}`, {});
  equal(live.inbox.filter((m) => m.subscription_id.startsWith('u')), [], 'nothing more for u1 and u2');
});

// ---- changes -----------------------------------------------------------------------------------

test('a multi-row INSERT is one message a row, in order', async () => {
  const t = await table('multi');
  await live.subscribed('multi', `SELECT * FROM ${t}`, {});
  await fill(t, 1, 5);
  for (let i = 1; i <= 5; i++) {
    const change = await live.expectChange('insert', 'multi');
    equal([change.rows.length, change.rows[0].id], [1, String(i)], 'one row');
    equal(change.old_values, undefined, 'no old_values');
    equal(Object.keys(change.rows[0]).sort(), ['_deleted', '_seq', 'id', 'n', 'v'], 'row keys of *');
  }
});

test('an update carries all projected columns, NULLs too; old_values what was', async () => {
  const t = await table('updates');
  await fill(t, 1, 1);
  await live.subscribed('upd', `SELECT id, v FROM ${t}`, {});
  await anna.run(`UPDATE ${t} SET v = NULL WHERE id = 1`);
  const change = await live.expectChange('update', 'upd');
  equal([change.rows[0].id, change.rows[0].v, 'v' in change.rows[0]], ['1', null, true], 'rows');
  equal(Object.keys(change.rows[0]).sort(), ['_seq', 'id', 'v'], 'projected columns only');
  equal([change.old_values[0].id, change.old_values[0].v], ['1', 'v1'], 'old_values');
  await anna.run(`DELETE FROM ${t} WHERE id = 1`);
  const gone = await live.expectChange('delete', 'upd');
  equal([gone.rows, gone.old_values[0].id], [undefined, '1'], 'delete');
  check(BigInt(seqOf(gone)) > BigInt(seqOf(change)), 'its _seq is the new version');
});

test('entering a filter is insert, leaving is delete, staying is update', async () => {
  const t = await table('filter');
  await fill(t, 1, 4);
  const { rows } = await live.subscribed('f', `SELECT * FROM ${t} WHERE n >= 3`, {});
  equal(rows.map((r) => r.id), ['3', '4'], 'first rows');
  await anna.run(`UPDATE ${t} SET n = 30 WHERE id = 1`);
  equal((await live.expectChange('insert', 'f')).rows[0].id, '1', 'enters');
  await anna.run(`UPDATE ${t} SET n = 31 WHERE id = 1`);
  const stays = await live.expectChange('update', 'f');
  equal([stays.rows[0].n, stays.old_values[0].n], [31, 30], 'stays');
  await anna.run(`UPDATE ${t} SET n = 0 WHERE id = 3`);
  const leaves = await live.expectChange('delete', 'f');
  equal(leaves.old_values[0].id, '3', 'leaves');
  check(BigInt(seqOf(leaves)) > BigInt(seqOf(stays)), 'its _seq is the new version, so a cursor passes it');
  await anna.run(`DELETE FROM ${t} WHERE id = 2`); // outside: no event
  await anna.run(`DELETE FROM ${t} WHERE id = 4`);
  equal((await live.expectChange('delete', 'f')).old_values[0].id, '4', 'a delete inside the filter');
});

test('live filters: the whole expression language', async () => {
  const t = await table('expr', 'id BIGINT PRIMARY KEY, v TEXT, n INT, big BIGINT');
  const filters = {
    in: "v IN ('a', 'c')", between: 'n BETWEEN 2 AND 3', isnull: 'n IS NULL', like: "v LIKE '%c'",
    not: "NOT (n = 1 OR v = 'b')", arithmetic: 'n % 2 = 1', text: "v > 'b'", big: 'big = 9007199254740993',
    function: "upper(v) = 'A'",
  };
  for (const [name, filter] of Object.entries(filters)) {
    await live.subscribed(`x-${name}`, `SELECT * FROM ${t} WHERE ${filter}`, {});
  }
  await anna.run(`INSERT INTO ${t} VALUES (1, 'a', 1, 9007199254740992), (2, 'b', 2, 9007199254740993), (3, 'c', 3, 0), (4, 'd', NULL, NULL)`);
  const want = { in: ['1', '3'], between: ['2', '3'], isnull: ['4'], like: ['3'], not: ['3'],
    arithmetic: ['1', '3'], text: ['3', '4'], big: ['2'], function: ['1'] };
  for (const [name, ids] of Object.entries(want)) {
    const got = [];
    for (const _ of ids) got.push((await live.expectChange('insert', `x-${name}`)).rows[0].id);
    equal(got, ids, filters[name]);
    const rest = (await anna.rows(`SELECT id FROM ${t} WHERE ${filters[name]} ORDER BY id ASC`)).map((r) => r.id);
    equal(rest, ids, `the same by SELECT: ${filters[name]}`);
  }
});

// ---- resume ------------------------------------------------------------------------------------

test('from: exclusive, as number, as string, as from_seq_id; stronger than last_rows', async () => {
  const t = await table('resumed');
  await fill(t, 1, 5, { perStatement: 1 });
  const rows = await anna.rows(`SELECT id, _seq FROM ${t} ORDER BY _seq ASC`);
  const from = rows[2]._seq;
  const sql = `SELECT * FROM ${t}`;
  equal((await live.subscribed('n', sql, { from })).rows.map((r) => r.id), ['4', '5'], 'number');
  equal((await live.subscribed('s', sql, { from }, true)).rows.map((r) => r.id), ['4', '5'], 'string');
  equal((await live.subscribed('l', sql, { from, last_rows: 1 })).rows.map((r) => r.id), ['4', '5'], 'with last_rows');
  live.sendText(`{"type":"subscribe","subscription":{"id":"a","sql":"${sql}","options":{"from_seq_id":${from}}}}`);
  await live.expect('subscription_ack', 'a');
  equal((await live.expect('initial_data_batch', 'a')).rows.map((r) => r.id), ['4', '5'], 'from_seq_id');
  const all = await live.subscribed('e', sql, { from: rows[4]._seq });
  equal(all.rows, [], 'from the newest: nothing');
});

test('resume: pages and the deletes between them, each key in exactly one of the two', async () => {
  const t = await table('resume');
  await fill(t, 1, 600);
  const first = await live.subscribed('r', `SELECT * FROM ${t}`, {});
  const cursor = maxSeq(first.cursor, ...first.rows.map((r) => r._seq));
  live.send({ type: 'unsubscribe', subscription_id: 'r' });
  await anna.run(`UPDATE ${t} SET v = 'changed' WHERE id <= 250`);
  await anna.run(`DELETE FROM ${t} WHERE id > 200 AND id <= 300`);
  await anna.run(`UPDATE ${t} SET v = 'twice' WHERE id <= 10`);
  const again = await live.subscribed('r', `SELECT * FROM ${t}`, { from: cursor, batch_size: 64 });
  check(again.pages.every((p) => p.rows.length <= 64), 'page sizes');
  equal(again.rows.map((r) => Number(r.id)).sort((a, b) => a - b), Array.from({ length: 200 }, (_, i) => i + 1), 'changed rows');
  check(again.rows.filter((r) => r.v === 'twice').length === 10, 'in their newest state');
  const deleted = again.deletes.map((row) => Number(row.id));
  equal(deleted.sort((a, b) => a - b), Array.from({ length: 100 }, (_, i) => i + 201), 'deleted rows');
  await anna.run(`INSERT INTO ${t} VALUES (9999, 'fence', 0)`);
  equal((await live.expectChange('insert', 'r')).rows[0].id, '9999', 'then live');
});

test('a cursor after the newest commit is refused', async () => {
  const t = await table('future');
  live.subscribe('new', `SELECT * FROM ${t}`, { from: '9000000000000000000' });
  equal((await live.expect('error', 'new')).code, 'CURSOR_TOO_NEW', 'code');
});

test('a malformed from is refused', async () => {
  const t = await table('malformed');
  for (const from of ['-1', '"abc"', '1.5', '99999999999999999999', 'true']) {
    const socket = await Live.open(server, { token: anna.token });
    socket.sendText(`{"type":"subscribe","subscription":{"id":"m","sql":"SELECT * FROM ${t}","options":{"from":${from}}}}`);
    const first = await Promise.race([socket.next().catch(() => null), socket.ended.then(() => null)]);
    check(first === null ? socket.closed.code === 1011 : first.type === 'error', `from ${from}: ${JSON.stringify(first)}`);
    await socket.close();
  }
  equal((await anna.raw(`SELECT id FROM ${t}`)).status, 200, 'the server goes on');
});

test('a cursor below what the feed still has is told so: a stream after an unclean stop', async () => {
  // Stream rows are not synced: after a crash a client may hold a cursor of rows that are gone, so the
  // feed starts anew. This is the one way to a feed low without waiting out the feed window.
  const other = await startServer();
  const admin = await loginRoot(other);
  await admin.run('CREATE NAMESPACE ws');
  await admin.run('CREATE STREAM TABLE ws.s (id BIGINT, v TEXT) WITH (TTL_SECONDS = 600)');
  let socket = await Live.open(other, { token: admin.token });
  await socket.subscribed('s', 'SELECT * FROM ws.s', {});
  await admin.run("INSERT INTO ws.s VALUES (1, 'a')");
  const cursor = seqOf(await socket.expectChange('insert', 's'));
  await other.kill();
  await other.start();
  socket = await Live.open(other, { token: admin.token });
  socket.subscribe('s', 'SELECT * FROM ws.s', { from: cursor });
  equal((await socket.expect('error', 's')).code, 'CURSOR_TOO_OLD', 'code');
  await admin.run("INSERT INTO ws.s VALUES (2, 'b')");
  await socket.subscribed('again', 'SELECT * FROM ws.s', { last_rows: 1 });
  equal(socket.inbox, [], 'the refused subscription has ended');
  await socket.close();
  await other.stop();
});

test('a cursor older than the feed window is told so', async () => {
  const other = await startServer({ settings: '[retention]\nfeed_window_seconds = 1\n[flush]\ncheck_interval_seconds = 1\n' });
  const admin = await loginRoot(other);
  await admin.run('CREATE NAMESPACE ws');
  await admin.run('CREATE USER TABLE ws.old (id BIGINT PRIMARY KEY, v TEXT)');
  const socket = await Live.open(other, { token: admin.token });
  await admin.run("INSERT INTO ws.old VALUES (1, 'a')");
  const { cursor } = await socket.subscribed('first', 'SELECT * FROM ws.old', {});
  // Changes the cursor has not seen, and which the window then leaves behind.
  await admin.run("UPDATE ws.old SET v = 'b' WHERE id = 1");
  await admin.run('DELETE FROM ws.old WHERE id = 1');
  for (let i = 0; ; i++) {
    await admin.run(`INSERT INTO ws.old VALUES (${100 + i}, 'c')`);
    socket.subscribe(`o${i}`, 'SELECT * FROM ws.old', { from: cursor });
    const answer = await socket.next((m) => m.subscription_id === `o${i}`);
    if (answer.type === 'error') {
      equal(answer.code, 'CURSOR_TOO_OLD', 'code');
      break;
    }
    check(i < 400, 'the window moves on');
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  await socket.close();
  await other.stop();
});

// ---- nothing is lost ---------------------------------------------------------------------------

test('changes committed while the first rows load arrive once, in order', async () => {
  const t = await table('race');
  await fill(t, 1, 3000);
  const socket = await Live.open(server, { token: anna.token });
  const follower = new Follower('race', `SELECT * FROM ${t}`);
  const writing = (async () => {
    for (let i = 0; i < 300; i++) {
      await anna.run(`UPDATE ${t} SET v = 'u${i}' WHERE id = ${1 + (i * 37) % 3000}`);
      if (i % 5 === 0) await anna.run(`DELETE FROM ${t} WHERE id = ${2 + (i * 53) % 2990}`);
      if (i % 7 === 0) await anna.run(`INSERT INTO ${t} VALUES (${10000 + i}, 'new', 0)`);
    }
    await anna.run(`INSERT INTO ${t} VALUES (99999, 'fence', 0)`);
  })();
  await follower.attach(socket, { batch_size: 100 });
  await writing;
  await follower.until((f) => f.rows.has('99999'), 'the fence');
  equal(follower.violations, [], 'the feed');
  await sameAsTable(follower, t);
  await socket.close();
});

test('a client that does not read for long misses nothing and holds up nobody', async () => {
  const t = await table('slow');
  const socket = await Live.open(server, { token: anna.token, compress: false });
  const follower = new Follower('slow', `SELECT * FROM ${t}`);
  await follower.attach(socket, {});
  socket.socket.pause();
  const text = (i) => `${i} ${'x'.repeat(2000)}`;
  await fill(t, 1, 6000, { perStatement: 100, text });
  await anna.run(`DELETE FROM ${t} WHERE id > 5000`);
  await anna.run(`UPDATE ${t} SET v = 'short' WHERE id <= 1000`);
  const other = await live.subscribed('quick', `SELECT * FROM ${t} WHERE id > 100000`, {});
  equal(other.rows, [], 'another connection is served meanwhile');
  await anna.run(`INSERT INTO ${t} VALUES (100001, 'fence', 0)`);
  equal((await live.expectChange('insert', 'quick')).rows[0].v, 'fence', 'and gets its change');
  socket.socket.resume();
  await follower.until((f) => f.rows.has('100001'), 'the fence');
  equal(follower.violations, [], 'the feed');
  equal(follower.events, 6000 + 1000 + 1000 + 1, 'every change, one by one');
  await sameAsTable(follower, t);
  await socket.close();
});

async function sameAsTable(follower, t) {
  const rows = [];
  for (let last = '-1'; ;) {
    const page = await anna.rows(`SELECT * FROM ${t} WHERE id > ${last} ORDER BY id ASC LIMIT 500`);
    rows.push(...page);
    if (page.length < 500) break;
    last = page[page.length - 1].id;
  }
  const copy = [...follower.rows.values()].sort((a, b) => Number(a.id) - Number(b.id));
  equal(copy.length, rows.length, 'rows in the copy');
  rows.forEach((row, i) => equal(copy[i], row, `row ${row.id}`));
}

test('a hundred subscriptions on one connection', async () => {
  const t = await table('many');
  const socket = await Live.open(server, { token: anna.token });
  for (let i = 0; i < 100; i++) socket.subscribe(`m${i}`, `SELECT * FROM ${t} WHERE n = ${i}`, {});
  for (let i = 0; i < 100; i++) {
    await socket.expect('subscription_ack', `m${i}`);
    await socket.expect('initial_data_batch', `m${i}`);
  }
  await fill(t, 0, 99);
  for (let i = 0; i < 100; i++) {
    equal((await socket.expectChange('insert', `m${i}`)).rows[0].n, i, `subscription ${i}`);
  }
  equal(socket.inbox, [], 'and nothing else');
  await socket.close();
});

test('an idle client is closed with 1000 Heartbeat timeout; one that pings is kept', async () => {
  const short = await startServer({ env: { KALAMDB_WEBSOCKET_CLIENT_TIMEOUT_SECS: '5',
    KALAMDB_WEBSOCKET_HEARTBEAT_INTERVAL_SECS: '1' } });
  const admin = await loginRoot(short);
  const silent = await Live.open(short, { token: admin.token });
  const pinging = await Live.open(short, { token: admin.token });
  const timer = setInterval(() => pinging.send({ type: 'ping' }), 300);
  equal(await silent.ended, { code: 1000, reason: 'Heartbeat timeout' }, 'the silent one');
  clearInterval(timer);
  equal(pinging.closed, null, 'the other is open');
  await short.stop();
});

test('a client that pinged while the server stood still is not taken for silent', async () => {
  const short = await startServer({ env: { KALAMDB_WEBSOCKET_CLIENT_TIMEOUT_SECS: '3',
    KALAMDB_WEBSOCKET_HEARTBEAT_INTERVAL_SECS: '1' } });
  const pinging = await Live.open(short, { token: (await loginRoot(short)).token });
  process.kill(short.pid, 'SIGSTOP');
  const timer = setInterval(() => pinging.send({ type: 'ping' }), 100);
  await new Promise((resolve) => { setTimeout(resolve, 5000); });
  process.kill(short.pid, 'SIGCONT');
  for (let i = 0; i < 10; i++) await loginRoot(short);
  clearInterval(timer);
  equal(pinging.closed, null, 'it is open');
  await short.stop();
});

test('the connection that all tests shared is still open', async () => {
  equal(live.closed, null, 'closed');
  await live.close();
  equal((await server.stop()).code, 0, 'exit code');
});

run('socket');
