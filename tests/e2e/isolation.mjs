// SPDX-License-Identifier: Apache-2.0
//
// Nothing is shown to the wrong user: a server seen by somebody who tries. Alice's rows, a SHARED table of
// services and one of administrators hold a canary; mallory, a plain user, says whatever might bring it out.
// No answer may hold the canary, nor a word of the inside (DuckDB's functions and errors, paths), and what
// mallory owns must still be there.

import path from 'node:path';
import { Client, loginRoot, newUser, post, request, signToken } from './lib/client.mjs';
import { Live } from './lib/live.mjs';
import { check, equal, matches, run, test } from './lib/runner.mjs';
import { startServer } from './lib/server.mjs';

const CANARY = 'c4n4ry';
const INSIDE = /duckdb|binder error|catalog error|parser error|read_parquet|batch-\d|\.parquet|hot\(|dead\(|rocksdb|\/storage\//i;
let server;
let root;
let alice;
let mallory;
let service;
let dba;

test('server, five roles, tables in both tiers', async () => {
  server = await startServer();
  root = await loginRoot(server);
  alice = await newUser(root, 'alice');
  mallory = await newUser(root, 'mallory');
  service = await newUser(root, 'svc', 'service');
  dba = await newUser(root, 'dbadmin', 'dba');
  await root.run('CREATE NAMESPACE iso');
  await root.run('CREATE USER TABLE iso.notes (id BIGINT PRIMARY KEY, body TEXT, n INT, writer TEXT DEFAULT CURRENT_USER())');
  await root.run("CREATE STREAM TABLE iso.events (id BIGINT, body TEXT) WITH (TTL_SECONDS = 3600)");
  await root.run('CREATE SHARED TABLE iso.vault (id BIGINT PRIMARY KEY, body TEXT)');
  await root.run("CREATE SHARED TABLE iso.admins (id BIGINT PRIMARY KEY, body TEXT) WITH (ACCESS_LEVEL = 'DBA')");
  await root.run("CREATE SHARED TABLE iso.board (id BIGINT PRIMARY KEY, owner TEXT, body TEXT) WITH (ACCESS_LEVEL = 'PUBLIC')");
  for (const first of [1, 11]) {
    for (let id = first; id < first + 5; id++) {
      await alice.run(`INSERT INTO iso.notes (id, body, n) VALUES (${id}, '${CANARY} note', ${id})`);
      await alice.run(`INSERT INTO iso.events VALUES (${id}, '${CANARY} event')`);
      await root.run(`INSERT INTO iso.vault VALUES (${id}, '${CANARY} vault')`);
      await root.run(`INSERT INTO iso.admins VALUES (${id}, '${CANARY} admins')`);
    }
    await mallory.run(`INSERT INTO iso.notes (id, body, n) VALUES (${first}, 'mine', 0)`);
    if (first === 1) await root.run('STORAGE FLUSH ALL IN iso');
  }
  await alice.run('DELETE FROM iso.notes WHERE id = 2');
  await root.run("INSERT INTO iso.board VALUES (1, 'alice', 'for all'), (2, 'mallory', 'for all')");
});

test('whoever owns the canary sees it: the attacks below could', async () => {
  equal((await alice.rows(`SELECT id FROM iso.notes WHERE body LIKE '%${CANARY}%'`)).length, 9, 'alice');
  equal((await alice.rows('SELECT id FROM iso.events')).length, 10, 'alice, events');
  equal((await service.rows(`SELECT id FROM iso.vault WHERE body LIKE '%${CANARY}%'`)).length, 10, 'service');
  equal((await dba.rows('SELECT id FROM iso.admins')).length, 10, 'dba');
});

/** Sends it as `who`: whatever comes back holds no canary and nothing of the inside. */
async function attack(sql, params, extra, who = mallory) {
  const answer = await who.raw(sql, params, extra);
  check(!answer.text.includes(CANARY), `${sql}\n  shows ${answer.text.slice(0, 600)}`);
  check(answer.status < 500 || answer.json?.error?.code === 'OUT_OF_MEMORY', `${sql}\n  ${answer.status} ${answer.text.slice(0, 600)}`);
  const shown = answer.text.replaceAll(JSON.stringify(sql).slice(1, -1), '');
  check(answer.json?.status !== 'error' || !INSIDE.test(answer.json.error.message.replaceAll(sql, '')) || sql.match(INSIDE),
    `${sql}\n  tells of the inside: ${shown.slice(0, 600)}`);
  return answer;
}

test('reading what is not one\'s own', async () => {
  const file = path.join(server.dir, 'storage/user/alice/iso/notes/batch-0.parquet');
  const files = [file, `${server.dir}/storage/**/*.parquet`, 'storage/user/alice/iso/notes/batch-0.parquet', '/etc/passwd'];
  const names = [...files, 'hot', 'dead', 'hot(1, 0)', 'duckdb_tables', 'duckdb_views()', 'sqlite_master', 'pg_catalog.pg_tables', 'pg_tables',
    'information_schema.schemata', 't0', 'w0', 'main.notes', 'memory.main.notes', 'iso.notes__seq'];
  const quoted = (name) => `"${name.replaceAll('"', '""')}"`;
  for (const name of names) {
    for (const from of [quoted(name), `'${name}'`, name]) await attack(`SELECT * FROM ${from}`);
    const q = quoted(name);
    // A WITH name out of its scope must not be left for DuckDB to find.
    await attack(`WITH a AS (SELECT * FROM ${q}), ${q} AS (SELECT 1 AS x) SELECT * FROM a`);
    await attack(`WITH ${q} AS (SELECT * FROM ${q}) SELECT * FROM ${q}`);
    await attack(`SELECT * FROM (WITH ${q} AS (SELECT 1 AS x) SELECT * FROM ${q}) q, ${q}`);
    await attack(`SELECT (WITH ${q} AS (SELECT 1 AS x) SELECT x FROM ${q}) FROM ${q}`);
    await attack(`SELECT * FROM ${q} UNION ALL (WITH ${q} AS (SELECT 1 AS x) SELECT * FROM ${q})`);
    await attack(`WITH x AS (WITH ${q} AS (SELECT 1 AS y) SELECT * FROM ${q}) SELECT * FROM x JOIN ${q} ON TRUE`);
  }
  for (const call of ['hot(1, 0)', 'hot(2, 0)', 'alive(1, 0, 1)', 'alive_at(1, 0, 0, 1)', `read_parquet('${file}')`, `read_text('${file}')`, `read_blob('${file}')`, `glob('${server.dir}/**')`,
    `parquet_scan('${file}')`, `parquet_metadata('${file}')`, "query('SELECT 1')", "query_table('notes')", 'duckdb_settings()', 'duckdb_secrets()', 'pragma_version()',
    "sniff_csv('/etc/passwd')", "read_csv('/etc/passwd')", "read_json('/etc/passwd')", 'range(10)', 'generate_series(1, 3)', "json_execute_serialized_sql('{}')", 'unnest([1])']) {
    await attack(`SELECT * FROM ${call}`);
    await attack(`SELECT ${call}`);
    await attack(`SELECT ${call} FROM iso.notes`);
    await attack(`SELECT id FROM iso.notes WHERE body = ${call}`);
  }
  for (const column of ['filename', 'file_row_number', 'file_index', 'rowid', '_commit_seq', '__seq', 'user_id', '_user', 'partition', 'notes', 't0', 't0.body', 'c0', '"t0"."body"',
    'COLUMNS(*)', "COLUMNS('.*')", '* EXCLUDE (id)', 'notes.*.body', 'iso.notes.body.x', 'struct_pack(a := 1)', 'getvariable(\'x\')', "current_setting('secret_directory')", 'version()',
    'current_database()', 'current_schemas(true)', 'getenv(\'HOME\')', 'txid_current()', 'currval(\'s\')', "nextval('s')", 'random()', "which_secret('a','b')"]) {
    await attack(`SELECT ${column} FROM iso.notes`);
    await attack(`SELECT ${column}, count(*) OVER () FROM iso.notes`);
    await attack(`SELECT n.id FROM iso.notes n JOIN iso.notes m ON n.id = m.id ORDER BY ${column}`);
  }
});

test('tables of services and of administrators: by no way round', async () => {
  for (const table of ['iso.vault', 'iso.admins', '"iso"."vault"', 'ISO.VAULT', '`iso`.`admins`']) {
    for (const sql of [`SELECT * FROM ${table}`, `SELECT count(*) FROM ${table}`, `SELECT body FROM ${table} WHERE id = 1`, `SELECT n.id FROM iso.notes n JOIN ${table} v ON n.id = v.id`,
      `SELECT n.id FROM iso.notes n WHERE EXISTS (SELECT 1 FROM ${table} v WHERE v.id = n.id)`, `SELECT id FROM iso.notes WHERE body IN (SELECT body FROM ${table})`,
      `SELECT (SELECT max(body) FROM ${table})`, `WITH v AS (SELECT * FROM ${table}) SELECT * FROM v`, `SELECT 1 UNION ALL SELECT count(*) FROM ${table}`,
      `SELECT * FROM (SELECT * FROM ${table} LIMIT 0) x`, `INSERT INTO iso.notes (id, body) SELECT id + 100, body FROM ${table}`,
      `UPDATE iso.notes SET body = (SELECT min(body) FROM ${table}) WHERE id = 1`, `DELETE FROM iso.notes WHERE EXISTS (SELECT 1 FROM ${table})`,
      `INSERT INTO ${table} VALUES (99, 'x')`, `UPDATE ${table} SET body = 'x' WHERE id = 1`, `DELETE FROM ${table} WHERE id = 1`, `TRUNCATE ${table}`, `DROP TABLE ${table}`,
      `ALTER TABLE ${table} SET ACCESS LEVEL PUBLIC`, `ALTER TABLE ${table} ADD COLUMN x INT`, `SHOW STATS FOR TABLE ${table}`, `SUBSCRIBE TO ${table}`, `SUBSCRIBE TO SELECT * FROM ${table}`,
      `STORAGE FLUSH TABLE ${table}`, `EXPLAIN SELECT * FROM ${table}`, `EXECUTE AS USER 'svc' (SELECT * FROM ${table})`, `EXECUTE AS USER 'mallory' (SELECT * FROM ${table})`,
      `BEGIN; SELECT * FROM ${table}; COMMIT`, `BEGIN; INSERT INTO ${table} VALUES (98, 'x'); COMMIT`]) {
      const answer = await attack(sql);
      check(answer.json?.status === 'error', `${sql}\n  was answered: ${answer.text.slice(0, 300)}`);
    }
  }
  for (const sql of ['SELECT * FROM iso.admins', 'SELECT count(*) FROM iso.admins a JOIN iso.vault v ON a.id = v.id', "INSERT INTO iso.admins VALUES (99, 'x')",
    'ALTER TABLE iso.admins SET ACCESS LEVEL PUBLIC', "EXECUTE AS USER 'dbadmin' (SELECT * FROM iso.admins)", "EXECUTE AS USER 'root' (SELECT * FROM iso.admins)",
    "EXECUTE AS USER 'alice' (SELECT * FROM iso.vault)", 'SHOW STATS FOR TABLE iso.admins', "ALTER USER 'svc' SET ROLE dba", "EXECUTE AS USER 'alice' (ALTER USER 'alice' SET PASSWORD 'x')"]) {
    const answer = await attack(sql, undefined, undefined, service);
    check(answer.json?.status === 'error', `${sql}\n  was answered: ${answer.text.slice(0, 300)}`);
  }
  equal((await service.rows('SELECT count(*) AS n FROM iso.vault'))[0].n, '10', 'nothing was written');
  equal((await dba.rows('SELECT count(*) AS n FROM iso.admins'))[0].n, '10', 'nothing was written');
});

test('being somebody else: EXECUTE AS USER, system tables, names', async () => {
  for (const who of ['alice', 'svc', 'root', 'dbadmin', 'nobody', 'ALICE', 'Mallory', ' mallory', '', 'x'.repeat(300), '../alice', "al''ice"]) {
    const answer = await attack(`EXECUTE AS USER '${who}' (SELECT * FROM iso.notes)`);
    check(answer.json?.status === 'error', `as ${who}: ${answer.text.slice(0, 300)}`);
  }
  equal((await mallory.rows("EXECUTE AS USER 'mallory' (SELECT id FROM iso.notes)")).length, 2, 'as oneself');
  for (const view of ['users', 'jobs', 'live', 'settings', 'stats', 'tables', 'schemas', 'table_schemas', 'columns', 'namespaces', 'transactions', 'storages', 'manifest', 'audit_log', 'topics', 'cluster']) {
    for (const sql of [`SELECT * FROM system.${view}`, `SELECT * FROM "SYSTEM"."${view}"`, `SELECT count(*) FROM system.${view}`, `SELECT 1 FROM iso.notes WHERE EXISTS (SELECT 1 FROM system.${view})`,
      `INSERT INTO iso.notes (id, n) SELECT 500, count(*) FROM system.${view}`, `SUBSCRIBE TO system.${view}`, `DELETE FROM system.${view} WHERE 1 = 1`]) {
      const answer = await attack(sql);
      check(answer.json?.status === 'error', `${sql}\n  was answered: ${answer.text.slice(0, 300)}`);
    }
    const answer = await attack(`SELECT * FROM ${view}`, undefined, { namespace_id: 'system' });
    check(answer.json?.status === 'error', `${view} through namespace_id: ${answer.text.slice(0, 300)}`);
  }
  for (const sql of ["CREATE USER eve WITH PASSWORD 'x-long-enough' ROLE dba", "ALTER USER 'mallory' SET ROLE dba", "ALTER USER 'alice' SET PASSWORD 'x'", "DROP USER 'alice'", "ALTER USER 'alice' RESTORE",
    'KILL JOB \'x\'', "BACKUP DATABASE TO '/tmp/x'", "RESTORE DATABASE FROM '/tmp/x'", 'STORAGE CHECK', 'EXPLAIN SELECT 1', 'CREATE NAMESPACE evil', 'DROP NAMESPACE iso CASCADE',
    'CREATE SHARED TABLE iso.notes2 (id BIGINT PRIMARY KEY)', 'CREATE USER TABLE system.users (id BIGINT PRIMARY KEY)', 'CREATE USER TABLE information_schema.tables (id BIGINT PRIMARY KEY)']) {
    const answer = await attack(sql);
    check(answer.json?.status === 'error', `${sql}\n  was answered: ${answer.text.slice(0, 300)}`);
  }
  equal((await mallory.rows('SELECT CURRENT_USER() AS u, CURRENT_ROLE() AS r'))[0], { u: 'mallory', r: 'user' }, 'who mallory is');
});

test('figures count one\'s own rows only', async () => {
  const mine = '2';
  for (const sql of ['SELECT count(*) AS n FROM iso.notes', 'SELECT count(id) AS n FROM iso.notes', 'SELECT count(*) AS n FROM (SELECT id FROM iso.notes) x',
    'SELECT count(*) AS n FROM iso.notes WHERE TRUE', 'SELECT count(DISTINCT id) AS n FROM iso.notes', 'SELECT count(*) AS n FROM iso.notes a JOIN iso.notes b ON a.id = b.id',
    'SELECT count(*) AS n FROM iso.notes WHERE id >= 0', 'SELECT count(*) AS n FROM iso.notes WHERE _seq > 0']) {
    equal((await mallory.rows(sql))[0].n, mine, sql);
  }
  equal((await mallory.rows('SELECT count(*) AS n FROM iso.events'))[0].n, '0', 'events');
  const stats = (await mallory.rows('SHOW STATS FOR TABLE iso.notes'))[0];
  equal(String(stats.logical_rows), mine, 'SHOW STATS');
  const manifest = await attack('SHOW MANIFEST');
  check(!manifest.text.includes('alice') && !manifest.text.includes('vault') && !manifest.text.includes('admins'), `SHOW MANIFEST: ${manifest.text.slice(0, 600)}`);
  const listed = await attack('SHOW EXPORT');
  check(!listed.text.includes('alice'), `SHOW EXPORT: ${listed.text.slice(0, 300)}`);
});

test('the same text by different users and roles: a cached plan holds nothing of the first', async () => {
  const sql = 'SELECT id, body, CURRENT_USER() AS u, CURRENT_ROLE() AS r FROM iso.notes WHERE writer = CURRENT_USER() AND id = $1';
  for (let i = 0; i < 4; i++) {
    for (const [who, name, body] of [[alice, 'alice', `${CANARY} note`], [mallory, 'mallory', 'mine']]) {
      equal(await who.rows(sql, [1]), [{ id: '1', body, u: name, r: 'user' }], `${name}, round ${i}`);
    }
    equal((await service.rows('SELECT id FROM iso.vault')).length, 10, 'service');
    equal((await mallory.error('SELECT id FROM iso.vault')).code, 'PERMISSION_DENIED', 'the same text by mallory');
    equal((await service.rows("EXECUTE AS USER 'alice' (SELECT id FROM iso.notes)")).length, 9, 'service as alice');
    check((await attack("EXECUTE AS USER 'alice' (SELECT id FROM iso.notes)")).json.status === 'error', 'mallory as alice');
  }
  const cold = 'SELECT max(body) AS b, CURRENT_USER() AS u FROM iso.notes';
  for (let i = 0; i < 3; i++) {
    equal(await mallory.rows(cold), [{ b: 'mine', u: 'mallory' }], 'through DuckDB');
    equal((await alice.rows(cold))[0].u, 'alice', 'through DuckDB');
  }
});

test('errors say what mallory wrote, not what others have', async () => {
  for (const sql of ['SELECT CAST(body AS INT) FROM iso.notes', 'SELECT CAST(max(body) AS INT) FROM iso.notes', 'SELECT body::UUID FROM iso.notes',
    'SELECT a.body FROM iso.notes a, iso.notes b WHERE a.id = (SELECT id FROM iso.notes)', 'UPDATE iso.notes SET n = body WHERE id = 1', 'SELECT sum(n) + 9223372036854775807 FROM iso.notes',
    "SELECT json_extract(body, '$.a') FROM iso.notes", "SELECT regexp_matches(body, '(') FROM iso.notes", "SELECT date_trunc('x', NOW())", "SELECT strftime(NOW(), '%Q')", 'SELECT repeat(body, 100000000) FROM iso.notes',
    'SELECT * FROM iso.board WHERE CAST(body AS INT) = 1', 'INSERT INTO iso.board SELECT * FROM iso.board']) {
    await attack(sql);
  }
  // A key that only alice has is free for mallory: no error may tell that it exists elsewhere.
  await mallory.run("INSERT INTO iso.notes (id, body) VALUES (4, 'free')");
  await mallory.run('DELETE FROM iso.notes WHERE id = 4');
});

test('ALTER TABLE tells a user nothing of what other users have', async () => {
  await root.run('CREATE USER TABLE iso.empty (id BIGINT PRIMARY KEY, a INT, b INT)');
  await alice.run('INSERT INTO iso.empty (id, a) VALUES (1, 1)'); // mallory has no row
  for (const action of ['ALTER COLUMN a SET NOT NULL', 'ALTER COLUMN b SET NOT NULL', 'ADD COLUMN c INT NOT NULL', 'MODIFY COLUMN a BIGINT NOT NULL']) {
    const answer = await attack(`ALTER TABLE iso.empty ${action}`);
    equal(answer.json?.error?.code, 'PERMISSION_DENIED', `${action}: ${answer.text.slice(0, 300)}`);
  }
  matches((await service.run('ALTER TABLE iso.empty ALTER COLUMN a SET NOT NULL')).message, /altered successfully/, 'by a service');
});

/** What arrives for a subscription until the fence row does. */
async function until(live, id, fence) {
  const seen = [];
  for (;;) {
    const message = await live.next((m) => m.subscription_id === id, `changes of ${id}`);
    seen.push(message);
    if (JSON.stringify(message).includes(fence)) return seen;
  }
}

test('live: one\'s own partition, whatever the text; a filter on CURRENT_USER() is the subscriber\'s', async () => {
  const mine = await Live.open(server, { token: mallory.token });
  const hers = await Live.open(server, { token: alice.token });
  const byOwner = 'SELECT * FROM iso.board WHERE owner = CURRENT_USER()';
  equal((await mine.subscribed('notes', 'SELECT * FROM iso.notes', { last_rows: 100 })).rows.map((r) => r.body), ['mine', 'mine'], 'first rows');
  equal((await hers.subscribed('board', byOwner, { last_rows: 100 })).rows.map((r) => r.owner), ['alice'], 'alice on the board');
  equal((await mine.subscribed('board', byOwner, { last_rows: 100 })).rows.map((r) => r.owner), ['mallory'], 'mallory on the board');
  await mine.subscribed('events', 'SELECT * FROM iso.events', { last_rows: 100 });
  await alice.run(`INSERT INTO iso.notes (id, body) VALUES (50, '${CANARY} live'); UPDATE iso.notes SET body = '${CANARY} again' WHERE id = 50; DELETE FROM iso.notes WHERE id = 50`);
  await alice.run(`INSERT INTO iso.events VALUES (50, '${CANARY} live')`);
  await root.run(`INSERT INTO iso.board VALUES (3, 'alice', '${CANARY} board')`);
  await root.run("INSERT INTO iso.board VALUES (4, 'mallory', 'fence-board')");
  await mallory.run("INSERT INTO iso.notes (id, body) VALUES (51, 'fence-notes')");
  await mallory.run("INSERT INTO iso.events VALUES (51, 'fence-events')");
  for (const id of ['notes', 'board', 'events']) {
    const seen = await until(mine, id, `fence-${id}`);
    equal(seen.length, 1, `changes of ${id}: ${JSON.stringify(seen).slice(0, 400)}`);
  }
  await mallory.run('DELETE FROM iso.notes WHERE id = 51');
  // A cursor out of alice's partition reads mallory's own feed from there.
  const cursor = (await alice.rows('SELECT min(_seq) AS s FROM iso.notes'))[0].s;
  for (const options of [{ from: cursor }, { from: '1' }, { last_rows: 1000 }]) {
    mine.subscribe('from', 'SELECT * FROM iso.notes', options);
    for (let ended = false; !ended;) {
      const message = await mine.next((m) => m.subscription_id === 'from', 'pages');
      check(!message.frame.text.includes(CANARY), `from ${JSON.stringify(options)}: ${message.frame.text.slice(0, 300)}`);
      ended = message.type === 'error' || message.batch_control?.has_more === false;
    }
  }
  for (const sql of ['SELECT * FROM iso.vault', 'SELECT * FROM iso.admins', 'SELECT * FROM system.users', 'SELECT * FROM "iso"."VAULT"', "EXECUTE AS USER 'alice' (SELECT * FROM iso.notes)",
    'SELECT * FROM iso.notes WHERE EXISTS (SELECT 1 FROM iso.vault)', 'SELECT body FROM iso.notes UNION SELECT body FROM iso.vault', 'SELECT * FROM iso.notes, iso.vault',
    'SUBSCRIBE TO iso.vault', 'WITH notes AS (SELECT * FROM iso.vault) SELECT * FROM notes']) {
    mine.subscribe('bad', sql, { last_rows: 10 });
    const message = await mine.expect('error', 'bad');
    check(!message.frame.text.includes(CANARY), sql);
  }
  await mine.close();
  await hers.close();
});

test('live: a right that is taken away ends what it gave', async () => {
  await root.run("CREATE SHARED TABLE iso.news (id BIGINT PRIMARY KEY, body TEXT) WITH (ACCESS_LEVEL = 'PUBLIC')");
  const live = await Live.open(server, { token: mallory.token });
  await live.subscribed('news', 'SELECT * FROM iso.news', { last_rows: 10 });
  await root.run('ALTER TABLE iso.news SET ACCESS LEVEL PRIVATE');
  await root.run(`INSERT INTO iso.news VALUES (1, '${CANARY} news')`);
  const message = await live.next((m) => m.subscription_id === 'news', 'the end of the subscription');
  equal(message.type, 'error', `instead: ${message.frame.text.slice(0, 300)}`);
  check(live.inbox.every((m) => !m.frame.text.includes(CANARY)), 'nothing after it');
  await live.close();

  const temp = await newUser(root, 'temp', 'service');
  const socket = await Live.open(server, { token: temp.token });
  await socket.subscribed('vault', 'SELECT * FROM iso.vault', {});
  await root.run("ALTER USER 'temp' SET ROLE user");
  await root.run(`INSERT INTO iso.vault VALUES (60, '${CANARY} after')`);
  await socket.ended;
  check(socket.inbox.every((m) => !m.frame.text.includes(CANARY)), `after the role has changed: ${JSON.stringify(socket.inbox).slice(0, 300)}`);
  equal((await temp.error('SELECT 1')).status, 401, 'a token with the role of before');
  await root.run('DELETE FROM iso.vault WHERE id = 60');
});

test('exports are for their user: by no path', async () => {
  await alice.run('EXPORT USER DATA');
  let url;
  while (!url) {
    url = (await alice.rows('SHOW EXPORT')).find((row) => row.status === 'completed')?.download_url;
    if (!url) await new Promise((resolve) => setTimeout(resolve, 25));
  }
  const job = url.split('/').at(-1);
  const get = (target, who) => request(server, 'GET', target, { headers: who ? who.bearer : {} });
  equal((await get(url, alice)).status, 200, 'by alice');
  equal((await get(url)).status, 401, 'by nobody');
  for (const target of [url, url.replace('alice', 'ALICE'), url.replace('alice', '%61lice'), `/v1/exports/mallory/${job}`, `/v1/exports/mallory/../alice/${job}`, `/v1/exports/mallory/..%2Falice%2F${job}`,
    `/v1/exports/mallory/%2e%2e/alice/${job}`, `/v1/exports//${job}`, `/v1/exports/alice%00mallory/${job}`, `/v1/exports/mallory/${job}%2F..%2F..%2F..%2Fserver.toml`, `${url}?user=mallory`, `${url}/`, `/${url}`,
    '/v1/exports/alice/', '/v1/exports/alice', '/v1/exports/', `/v1/exports/root/${job}`]) {
    const answer = await get(target, mallory);
    check(answer.status === 404 || answer.status === 400, `${target}: ${answer.status} ${answer.text.slice(0, 200)}`);
  }
  equal((await get(url, await newUser(root, 'other'))).text, (await get(url.replace(job, 'UE-nothing'), mallory)).text.replace('UE-nothing', job), 'what is not there reads as what is not mine');
});

/** Login as a client would: both tokens. */
async function tokensOf(user, password) {
  const answer = await post(server, '/v1/api/auth/login', { user, password });
  return { status: answer.status, ...answer.json };
}

/** Where a token gets one: SQL, me, refresh, a socket, a stream of events. */
async function whereItWorks({ access_token: access, refresh_token: refresh }) {
  const bearer = (token) => ({ headers: { authorization: `Bearer ${token}` } });
  const works = [];
  if ((await new Client(server, 'x', access).raw('SELECT 1')).status !== 401) works.push('sql');
  if ((await request(server, 'GET', '/v1/api/auth/me', bearer(access))).status !== 401) works.push('me');
  if ((await request(server, 'POST', '/v1/api/auth/refresh', bearer(refresh))).status !== 401) works.push('refresh');
  if ((await request(server, 'GET', '/v1/api/live?sql=', bearer(access))).status !== 401) works.push('live');
  if ((await request(server, 'GET', '/v1/exports/carl/x', bearer(access))).status !== 401) works.push('export');
  const socket = await Live.open(server, {});
  socket.send({ type: 'authenticate', method: 'jwt', token: access, protocol: { serialization: 'json', compression: 'none' } });
  if ((await socket.next()).type !== 'auth_error') works.push('socket');
  await socket.close();
  return works;
}

const EVERYWHERE = ['sql', 'me', 'refresh', 'live', 'export', 'socket'];

test('a new password ends what the old one gave: tokens of both kinds, sockets, over a restart; and nobody else\'s', async () => {
  let password = 'first-of-carl-1';
  await newUser(root, 'carl', 'user', password);
  await newUser(root, 'carla', 'user', password);
  const others = await tokensOf('carla', password);
  const otherSocket = await Live.open(server, { token: others.access_token });
  const changes = [
    ['by carl', async (tokens) => new Client(server, 'carl', tokens.access_token).run(`ALTER USER 'carl' SET PASSWORD '${password}'`), /password/],
    ['by an administrator', async () => root.run(`ALTER USER 'carl' SET PASSWORD '${password}'`), /password/],
    ['to the same one', async () => root.run(`ALTER USER 'carl' SET PASSWORD '${password}'`), /password/],
    ['dropped and restored', async () => {
      await root.run("DROP USER 'carl'");
      await root.run("ALTER USER 'carl' RESTORE");
    }, /dropped/],
    ['another role and back', async () => {
      await root.run("ALTER USER 'carl' SET ROLE service");
      await root.run("ALTER USER 'carl' SET ROLE user");
    }, /role/],
  ];
  const old = [];
  for (const [what, change, reason] of changes) {
    const tokens = await tokensOf('carl', password);
    equal(await whereItWorks(tokens), EVERYWHERE, `before: ${what}`);
    const socket = await Live.open(server, { token: tokens.access_token });
    await socket.subscribed('notes', 'SELECT * FROM iso.notes', {});
    if (what === 'by carl') password = 'second-of-carl-2';
    await change(tokens);
    equal(await whereItWorks(tokens), [], what);
    equal((await socket.expect('error', 'notes')).code, 'UNAUTHORIZED', `${what}: its subscription`);
    const end = await socket.ended;
    check(end.code === 1008 && reason.test(end.reason), `${what}: ${JSON.stringify(end)}`);
    old.push(tokens);
  }
  equal((await tokensOf('carl', 'first-of-carl-1')).status, 401, 'the old password');
  await root.run("ALTER USER 'carl' SET EMAIL 'carl@example.org'"); // no credential
  const last = await tokensOf('carl', password);
  await root.run("ALTER USER 'carl' SET EMAIL 'c@example.org'");
  equal(await whereItWorks(last), EVERYWHERE, 'after another address');
  equal(await whereItWorks(others), EVERYWHERE, 'of carla');
  equal(otherSocket.closed, null, 'the socket of carla');
  await otherSocket.close();
  await server.kill();
  await server.start();
  for (const tokens of old) equal(await whereItWorks(tokens), [], 'after a restart');
  equal(await whereItWorks(last), EVERYWHERE, 'the newest, after a restart');
});

test('a login that races with a new password gives nothing that outlives it', async () => {
  await newUser(root, 'dora', 'user', 'password-of-dora-0');
  for (let round = 0; round < 40; round++) {
    const before = `password-of-dora-${round}`;
    const logins = [tokensOf('dora', before), tokensOf('dora', before)];
    await root.run(`ALTER USER 'dora' SET PASSWORD 'password-of-dora-${round + 1}'`);
    logins.push(tokensOf('dora', before));
    for (const tokens of await Promise.all(logins)) {
      if (tokens.status === 200) equal((await new Client(server, 'dora', tokens.access_token).raw('SELECT 1')).status, 401, `round ${round}`);
    }
    await root.run(`ALTER USER 'dora' SET PASSWORD '${before}'`);
    await root.run(`ALTER USER 'dora' SET PASSWORD 'password-of-dora-${round + 1}'`);
  }
});

run('isolation');
