// SPDX-License-Identifier: Apache-2.0
//
// The quick start, as a new user does it: the acceptance test of the whole server. The tests are the
// steps of one story on one data folder, in order; each needs those before it.

import fs from 'node:fs';
import path from 'node:path';
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { login, newUser, post, request } from './lib/client.mjs';
import { Follower } from './lib/follow.mjs';
import { Live, maxSeq } from './lib/live.mjs';
import { check, equal, matches, run, test } from './lib/runner.mjs';
import { Server } from './lib/server.mjs';

const PASSWORD = 'kalamdb123';
const HISTORY = 'SELECT * FROM chat.messages WHERE conversation_id = 1 ORDER BY created_at ASC';
const LIVE_MESSAGES = 'SELECT * FROM chat.messages WHERE conversation_id = 1';
const LIVE_TYPING = 'SELECT * FROM chat.typing_events WHERE conversation_id = 1';

const server = new Server();
let alice;
let bob;
let live;
const id = {}; // content -> primary key, of alice's messages

async function messageIds() {
  for (const row of await alice.rows(`${LIVE_MESSAGES} LIMIT 500`)) id[row.content] = row.id;
}

function coldFolder(user) {
  return path.join(server.dir, 'storage/user', user, 'chat/messages');
}

async function flush(table) {
  const result = await alice.run(`STORAGE FLUSH TABLE ${table}`);
  const started = /^Storage flush started for table '([^']+)'\. Job ID: (FL-[0-9a-f]{12})$/;
  matches(result.message, started, 'the answer to STORAGE FLUSH TABLE');
  const [, named, job] = started.exec(result.message);
  equal(named, table, 'the table named by the answer');
  for (;;) {
    const [row] = await alice.rows(
      `SELECT job_id, job_type, status FROM system.jobs WHERE job_id = '${job}'`);
    check(row, `system.jobs shows ${job}`);
    if (row.status === 'completed') {
      equal(row.job_type, 'flush', 'job_type');
      return job;
    }
    check(!['failed', 'cancelled'].includes(row.status), `${job} is ${row.status}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** Every row of a query, whatever limit the server puts on one answer. */
async function allRows(client, columns, table, where) {
  const rows = [];
  let last = '-1';
  for (;;) {
    const page = await client.rows(
      `SELECT ${columns} FROM ${table} WHERE ${where} AND id > ${last} ORDER BY id ASC LIMIT 500`);
    rows.push(...page);
    if (page.length < 500) return rows;
    last = page[page.length - 1].id;
  }
}

test('starts on an empty folder with nothing set', async () => {
  await server.start();
  const health = await request(server, 'GET', '/health');
  equal(health.status, 200, 'GET /health');
  equal(health.json.status, 'healthy', 'its status');
});

test('first-run set-up and login', async () => {
  const before = await request(server, 'GET', '/v1/api/auth/status');
  equal([before.status, before.json.needs_setup], [200, true], 'status of a new folder');
  const empty = await post(server, '/v1/api/auth/login', { user: 'root', password: '' });
  equal([empty.status, empty.json.error], [428, 'setup_required'], 'root has no password yet');
  const setup = await post(server, '/v1/api/auth/setup',
    { user: 'alice', password: PASSWORD, root_password: PASSWORD, email: null });
  equal([setup.status, setup.json.user?.id, setup.json.user?.role], [200, 'alice', 'dba'], 'setup');
  const after = await request(server, 'GET', '/v1/api/auth/status');
  equal(after.json.needs_setup, false, 'status after it');
  const again = await post(server, '/v1/api/auth/setup',
    { user: 'mallory', password: PASSWORD, root_password: PASSWORD });
  equal([again.status, again.json.error], [409, 'already_configured'], 'a second setup');
  alice = await login(server, 'alice', PASSWORD);
});

test('namespace and tables of the chat example', async () => {
  const created = await alice.run('CREATE NAMESPACE chat');
  equal(created.message, "Namespace 'chat' created successfully", 'CREATE NAMESPACE');
  await alice.run(`CREATE TABLE chat.conversations (
      id BIGINT PRIMARY KEY DEFAULT SNOWFLAKE_ID(),
      title TEXT NOT NULL,
      created_at TIMESTAMP DEFAULT NOW()
    ) WITH (TYPE = 'USER', FLUSH_POLICY = 'rows:1000')`);
  await alice.run(`CREATE USER TABLE chat.messages (
      id BIGINT PRIMARY KEY DEFAULT SNOWFLAKE_ID(),
      conversation_id BIGINT NOT NULL,
      role_id TEXT NOT NULL,
      content TEXT NOT NULL,
      created_at TIMESTAMP DEFAULT NOW()
    ) WITH (FLUSH_POLICY = 'rows:1000');`);
  await alice.run(`CREATE STREAM TABLE chat.typing_events (
      id BIGINT PRIMARY KEY DEFAULT SNOWFLAKE_ID(),
      conversation_id BIGINT NOT NULL,
      user_id TEXT NOT NULL,
      event_type TEXT NOT NULL,
      created_at TIMESTAMP DEFAULT NOW()
    ) WITH (TTL_SECONDS = 30)`);
});

test('inserts: one row, several rows, $1 parameters', async () => {
  const one = await alice.run(
    "INSERT INTO chat.messages (conversation_id, role_id, content) VALUES (1, 'user', 'one')");
  equal([one.row_count, one.message], [1, 'Inserted 1 row(s)'], 'one row');
  const several = await alice.run(`INSERT INTO chat.messages (conversation_id, role_id, content) VALUES
    (1, 'assistant', 'two'), (1, 'user', 'three'), (2, 'user', 'elsewhere')`);
  equal([several.row_count, several.message], [3, 'Inserted 3 row(s)'], 'several rows');
  const bound = await alice.run(
    'INSERT INTO chat.messages (conversation_id, role_id, content) VALUES ($1, $2, $3)',
    [1, 'user', "four: it's \u00e9\u4f60\ud83d\ude00 \"quoted\""]);
  equal(bound.row_count, 1, 'with parameters');
  await alice.run("INSERT INTO chat.conversations (id, title) VALUES (1, 'First')");
});

test('SELECT gives them back in order, typed as on the wire', async () => {
  const result = await alice.run(HISTORY);
  equal(result.schema.map((c) => [c.name, c.data_type]), [
    ['id', 'BigInt'], ['conversation_id', 'BigInt'], ['role_id', 'Text'], ['content', 'Text'],
    ['created_at', 'Timestamp'], ['_seq', 'BigInt'], ['_deleted', 'Boolean']], 'schema');
  const rows = await alice.rows(HISTORY);
  equal(rows.map((r) => r.content),
    ['one', 'two', 'three', "four: it's \u00e9\u4f60\ud83d\ude00 \"quoted\""], 'contents');
  for (const row of rows) {
    matches(row.id, /^\d+$/, 'BIGINT is a decimal string');
    equal([row.conversation_id, row._deleted], ['1', false], 'the other cells');
    check(Math.abs(row.created_at / 1000 - Date.now()) < 600000, 'created_at is now, in microseconds');
  }
  equal(result.as_user, 'alice', 'as_user');
});

test('POST /api/v1/query is an alias', async () => {
  const alias = await alice.raw(HISTORY, undefined, {}, '/api/v1/query');
  const real = await alice.raw(HISTORY);
  equal(alias.json.results, real.json.results, 'the same results');
});

test('subscribe: ack, first rows, then every insert, update and delete', async () => {
  live = await Live.open(server, { token: alice.token });
  const { ack, rows } = await live.subscribed('messages', LIVE_MESSAGES, { last_rows: 20 });
  equal(ack.total_rows, rows.length, 'total_rows');
  equal(ack.schema.map((c) => c.name),
    ['id', 'conversation_id', 'role_id', 'content', 'created_at', '_seq', '_deleted'], 'schema');
  const sqlRows = await alice.rows(`${LIVE_MESSAGES} ORDER BY _seq ASC`);
  equal(rows, sqlRows, 'first rows are those of the SELECT, in seq order');

  await alice.run(
    "INSERT INTO chat.messages (conversation_id, role_id, content) VALUES (1, 'user', 'five'), (2, 'user', 'no'), (1, 'user', 'six')");
  const five = await live.expectChange('insert', 'messages');
  equal(five.rows[0].content, 'five', 'first insert');
  const six = await live.expectChange('insert', 'messages');
  equal(six.rows[0].content, 'six', 'second insert; conversation 2 is not seen');
  await messageIds();

  await alice.run(`UPDATE chat.messages SET content = 'FIVE' WHERE id = ${id.five}`);
  const update = await live.expectChange('update', 'messages');
  equal([update.rows[0].id, update.rows[0].content], [id.five, 'FIVE'], 'update: new row');
  equal(update.old_values[0].content, 'five', 'update: old value');
  await alice.run(`DELETE FROM chat.messages WHERE id = ${id.six}`);
  const gone = await live.expectChange('delete', 'messages');
  equal(gone.old_values[0].id, id.six, 'delete');
  equal(gone.rows, undefined, 'a delete has no rows');
});

test('the same on the stream table', async () => {
  await alice.run("INSERT INTO chat.typing_events (conversation_id, user_id, event_type) VALUES (1, 'alice', 'before')");
  const { rows } = await live.subscribed('typing', LIVE_TYPING, { last_rows: 20 });
  equal(rows.map((r) => r.event_type), ['before'], 'first rows');
  await alice.run("INSERT INTO chat.typing_events (conversation_id, user_id, event_type) VALUES (1, 'alice', 'typing')");
  const change = await live.expectChange('insert', 'typing');
  equal(change.rows[0].event_type, 'typing', 'insert');
  const read = await alice.rows(`${LIVE_TYPING} ORDER BY created_at ASC`);
  equal(read.map((r) => r.event_type), ['before', 'typing'], 'SELECT');
});

test('a second user sees only their own rows, live and at rest', async () => {
  bob = await newUser(alice, 'bob', 'user', PASSWORD);
  equal(await bob.rows(HISTORY), [], 'at rest, before');
  const bobLive = await Live.open(server, { token: bob.token });
  const first = await bobLive.subscribed('b', LIVE_MESSAGES, { last_rows: 20 });
  equal(first.rows, [], 'first rows');
  await alice.run("INSERT INTO chat.messages (conversation_id, role_id, content) VALUES (1, 'user', 'for alice')");
  await bob.run("INSERT INTO chat.messages (conversation_id, role_id, content) VALUES (1, 'user', 'for bob')");
  equal((await bobLive.expectChange('insert', 'b')).rows[0].content, 'for bob', "bob's first event");
  equal((await live.expectChange('insert', 'messages')).rows[0].content, 'for alice', "alice's");
  await alice.run("INSERT INTO chat.messages (conversation_id, role_id, content) VALUES (1, 'user', 'fence')");
  equal((await live.expectChange('insert', 'messages')).rows[0].content, 'fence', 'no event of bob');
  equal((await bob.rows(HISTORY)).map((r) => r.content), ['for bob'], "bob's rows");
  check((await alice.rows(HISTORY)).every((r) => r.content !== 'for bob'), "alice's rows");
  // An id of alice's row is as good as none at all to bob.
  const [theirs] = await alice.rows(LIVE_MESSAGES);
  equal(await bob.rows(`SELECT * FROM chat.messages WHERE id = ${theirs.id}`), [], 'by key');
  equal((await bob.run(`DELETE FROM chat.messages WHERE id = ${theirs.id}`)).row_count, 0, 'DELETE');
  equal((await bob.run(`UPDATE chat.messages SET content = 'x' WHERE id = ${theirs.id}`)).row_count, 0,
    'UPDATE');
  await bobLive.close();
});

test('STORAGE FLUSH writes Parquet that another reader understands, and a manifest', async () => {
  const before = await alice.rows(HISTORY);
  const everything = await alice.rows('SELECT * FROM chat.messages ORDER BY _seq ASC LIMIT 1000');
  await flush('chat.messages');
  const file = path.join(coldFolder('alice'), 'batch-0.parquet');
  const rows = await parquetReadObjects({ file: await asyncBufferFromFile(file), compressors });
  equal(rows.map((r) => [String(r.id), String(r.conversation_id), r.role_id, r.content, String(r._seq)]),
    everything.map((r) => [r.id, r.conversation_id, r.role_id, r.content, r._seq]),
    'batch-0.parquet, read by hyparquet, in seq order');
  check(rows.every((r) => r.created_at instanceof Date), 'TIMESTAMP is a timestamp in Parquet');
  const text = fs.readFileSync(path.join(coldFolder('alice'), 'manifest.json'), 'utf8');
  const manifest = JSON.parse(text);
  equal([manifest.table_id, manifest.user_id],
    [{ namespace_id: 'chat', table_name: 'messages' }, 'alice'], 'manifest: whose it is');
  equal(manifest.segments.map((s) => [s.path, s.row_count, s.status]),
    [['batch-0.parquet', everything.length, 'committed']], 'manifest: segments');
  equal(manifest.segments[0].size_bytes, fs.statSync(file).size, 'manifest: size_bytes');
  equal([/"min_seq":\s*"?(\d+)/.exec(text)[1], /"max_seq":\s*"?(\d+)/.exec(text)[1]],
    [everything[0]._seq, everything[everything.length - 1]._seq], 'manifest: seq range');
  equal(fs.readdirSync(coldFolder('alice')).sort(), ['batch-0.parquet', 'manifest.json'],
    'nothing else in the folder');
  equal(await alice.rows(HISTORY), before, 'the same SELECT from the cold tier');
  equal((await bob.rows(HISTORY)).map((r) => r.content), ['for bob'], "bob's, flushed too");
  const bobs = await parquetReadObjects({
    file: await asyncBufferFromFile(path.join(coldFolder('bob'), 'batch-0.parquet')), compressors });
  equal(bobs.map((r) => r.content), ['for bob'], "bob's file holds bob's rows");
});

test('a flush with nothing to do says so', async () => {
  const idle = await alice.run('STORAGE FLUSH TABLE chat.messages');
  equal(idle.message, "Storage flush skipped: no pending writes for table 'chat.messages'", 'answer');
});

let expected;
test('one SELECT over both tiers; UPDATE and DELETE of flushed rows hold', async () => {
  const cold = await alice.rows(HISTORY);
  await messageIds();
  await alice.run("INSERT INTO chat.messages (conversation_id, role_id, content) VALUES (1, 'user', 'seven'), (1, 'user', 'eight')");
  const both = await alice.rows(HISTORY);
  equal(both.map((r) => r.content), [...cold.map((r) => r.content), 'seven', 'eight'], 'both tiers');
  equal(both.slice(0, cold.length), cold, 'the cold part is unchanged');
  for (const content of ['seven', 'eight']) {
    equal((await live.expectChange('insert', 'messages')).rows[0].content, content, 'live');
  }
  equal((await alice.run(`UPDATE chat.messages SET content = 'TWO' WHERE id = ${id.two}`)).message,
    'Updated 1 row(s)', 'UPDATE of a flushed row');
  const update = await live.expectChange('update', 'messages');
  equal([update.rows[0].content, update.old_values[0].content], ['TWO', 'two'], 'live');
  equal((await alice.run(`DELETE FROM chat.messages WHERE id = ${id.three}`)).message,
    'Deleted 1 row(s)', 'DELETE of a flushed row');
  equal((await live.expectChange('delete', 'messages')).old_values[0].id, id.three, 'live');
  expected = both.filter((r) => r.content !== 'three')
    .map((r) => (r.content === 'two' ? 'TWO' : r.content));
  equal((await alice.rows(HISTORY)).map((r) => r.content), expected, 'SELECT');
  const again = await alice.error(
    `INSERT INTO chat.messages (id, conversation_id, role_id, content) VALUES (${id.one}, 1, 'u', 'x')`);
  matches(again.message, /Primary key violation: value '\d+' already exists in column 'id'/,
    'a flushed key is still taken');
});

test('they hold after another flush and after a restart', async () => {
  await flush('chat.messages');
  equal((await alice.rows(HISTORY)).map((r) => r.content), expected, 'after the flush');
  check(fs.existsSync(path.join(coldFolder('alice'), 'batch-1.parquet')), 'batch-1.parquet');
  const rows = await alice.rows(HISTORY);
  equal((await server.stop()).code, 0, 'SIGTERM');
  equal((await live.ended).code, 1001, 'close code of a stopping server');
  await server.start();
  equal(await alice.rows(HISTORY), rows, 'after the restart');
  equal((await bob.rows(HISTORY)).map((r) => r.content), ['for bob'], "bob's rows");
});

test('resume from a cursor: exactly what was missed, updates and deletes included', async () => {
  await alice.run("INSERT INTO chat.messages (conversation_id, role_id, content) VALUES (1, 'user', 'hot a'), (1, 'user', 'hot b')");
  live = await Live.open(server, { token: alice.token });
  const { rows, cursor: first } = await live.subscribed('r', LIVE_MESSAGES, {});
  const cursor = maxSeq(first, rows[rows.length - 1]._seq);
  await live.drop();
  await messageIds();
  await alice.run("INSERT INTO chat.messages (conversation_id, role_id, content) VALUES (1, 'user', 'missed'), (2, 'user', 'other')");
  await alice.run("INSERT INTO chat.messages (id, conversation_id, role_id, content) VALUES (77, 1, 'user', 'came and went')");
  await alice.run('DELETE FROM chat.messages WHERE id = 77');
  await alice.run(`UPDATE chat.messages SET content = 'ONE' WHERE id = ${id.one}`);
  await alice.run(`UPDATE chat.messages SET content = 'HOT A' WHERE id = ${id['hot a']}`);
  await alice.run(`DELETE FROM chat.messages WHERE id = ${id.TWO}`);
  await alice.run(`DELETE FROM chat.messages WHERE id = ${id['hot b']}`);
  await alice.run(`UPDATE chat.messages SET conversation_id = 2 WHERE id = ${id.seven}`);

  live = await Live.open(server, { token: alice.token });
  const missed = await live.subscribed('r', LIVE_MESSAGES, { from: cursor });
  equal(missed.rows.map((r) => r.content), ['missed', 'ONE', 'HOT A'],
    'the newest state of every row changed, in seq order');
  const deleted = missed.deletes.map((row) => row.id);
  equal(deleted.filter((key) => key !== '77').sort(), [id.TWO, id['hot b'], id.seven].sort(),
    'the rows deleted, or no longer in the filter');
  await alice.run("INSERT INTO chat.messages (conversation_id, role_id, content) VALUES (1, 'user', 'fence')");
  equal((await live.expectChange('insert', 'r')).rows[0].content, 'fence', 'then live');
  await live.close();
});

test('kill -9 in a stream of inserts: every acknowledged row once; the subscription loses nothing', async () => {
  const sql = 'SELECT * FROM chat.messages WHERE conversation_id = 9';
  const follower = new Follower('k', sql);
  live = await Live.open(server, { token: alice.token });
  await follower.attach(live, {});
  const acknowledged = new Set();
  const deleting = new Set();
  const gone = new Set();
  let sent = 0;
  const writer = async (base) => {
    for (let i = 0; ; i++) {
      const key = base + i;
      try {
        sent++;
        await alice.run(`INSERT INTO chat.messages (id, conversation_id, role_id, content) VALUES (${key}, 9, 'user', 'm${key}')`);
        acknowledged.add(String(key));
        if (i % 10 !== 9) continue;
        await alice.run(`UPDATE chat.messages SET content = 'changed' WHERE id = ${key}`);
        deleting.add(String(key - 1)); // its outcome is unknown until it is answered
        await alice.run(`DELETE FROM chat.messages WHERE id = ${key - 1}`);
        gone.add(String(key - 1));
      } catch {
        return;
      }
      if (acknowledged.size > 400) server.kill();
    }
  };
  await Promise.all([100000, 200000, 300000, 400000].map(writer));
  await server.exited;
  await live.ended;
  await server.start();
  const rows = await allRows(alice, 'id, content, _seq', 'chat.messages', 'conversation_id = 9');
  const keys = rows.map((r) => r.id);
  equal(new Set(keys).size, keys.length, 'no row is there twice');
  const lost = [...acknowledged].filter((key) => !keys.includes(key) && !deleting.has(key));
  equal(lost, [], 'no acknowledged row is lost');
  equal(keys.filter((key) => gone.has(key)), [], 'no acknowledged delete is undone');
  check(keys.length <= sent, 'no more rows than were sent');

  const from = follower.cursor;
  live = await Live.open(server, { token: alice.token });
  await follower.attach(live);
  equal([...follower.pageKeys].sort(),
    rows.filter((r) => BigInt(r._seq) > BigInt(from)).map((r) => r.id).sort(),
    'the resumed subscription gets the rows after its cursor and no other');
  await alice.run("INSERT INTO chat.messages (id, conversation_id, role_id, content) VALUES (1, 9, 'user', 'fence')");
  await follower.until((f) => f.rows.has('1'), 'the fence');
  equal(follower.violations, [], 'the feed was gap-free, without doubles, in order');
  equal([...follower.rows.keys()].sort(), [...keys, '1'].sort(), 'its copy equals the table');
  await live.close();
});

test('a stop after all this is clean', async () => {
  equal((await server.stop()).code, 0, 'exit code');
});

run('quickstart');

