// SPDX-License-Identifier: Apache-2.0
//
// HTTP as clients of the original know it: envelopes, key order, cells, error codes and texts, tokens.
// The WebSocket side is in socket.mjs.

import crypto from 'node:crypto';
import net from 'node:net';
import { Client, loginRoot, login, newUser, post, request } from './lib/client.mjs';
import { Live } from './lib/live.mjs';
import { check, equal, matches, run, test } from './lib/runner.mjs';
import { startServer } from './lib/server.mjs';

const SECRET = 'protocol-suite-secret-that-is-long-enough-0001';
const PASSWORD = 'pw-of-user-123';
let server;
let root;
let anna;

/** A token made by hand: what is not given is as the server makes it. */
function token(claims = {}, { secret = SECRET, header = { alg: 'HS256', typ: 'JWT' } } = {}) {
  const now = Math.floor(Date.now() / 1000);
  const all = { sub: 'anna', iss: 'kalamdb', exp: now + 3600, iat: now - 10, email: null,
    role: 'user', token_type: 'access', ...claims };
  for (const key of Object.keys(all)) if (all[key] === undefined) delete all[key];
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const body = `${part(header)}.${part(all)}`;
  const signature = header.alg === 'none' ? '' :
    crypto.createHmac('sha256', secret).update(body).digest('base64url');
  return `${body}.${signature}`;
}

test('server, root and a user', async () => {
  server = await startServer({ env: { KALAMDB_JWT_SECRET: SECRET } });
  root = await loginRoot(server);
  anna = await newUser(root, 'anna', 'user', PASSWORD);
  await root.run('CREATE NAMESPACE app');
  await anna.run('CREATE USER TABLE app.t (id BIGINT PRIMARY KEY, v TEXT)');
});

// ---- routes ------------------------------------------------------------------------------------

test('health: keys and their order, on both routes', async () => {
  for (const route of ['/health', '/v1/api/healthcheck']) {
    const answer = await request(server, 'GET', route);
    equal(answer.status, 200, route);
    matches(answer.text, /^\{"status":"healthy","version":"[^"]+","api_version":"v1","build_date":"[^"]*"\}$/, route);
    matches(answer.headers['content-type'], /^application\/json/, 'content type');
  }
});

test('unknown routes are 404, wrong methods 405, both JSON', async () => {
  const unknown = await request(server, 'GET', '/v1/api/nothing');
  equal(unknown.status, 404, 'unknown route');
  check(unknown.json, 'a JSON body');
  const method = await request(server, 'GET', '/v1/api/sql');
  equal(method.status, 405, 'GET of the SQL route');
});

test('pipelined and chunked requests on one connection are answered in order', async () => {
  const body = JSON.stringify({ sql: "INSERT INTO app.t VALUES (900, 'chunked')" });
  const chunks = [body.slice(0, 7), body.slice(7)]
    .map((c) => `${c.length.toString(16)}\r\n${c}\r\n`).join('');
  const auth = `Authorization: Bearer ${anna.token}\r\n`;
  const select = JSON.stringify({ sql: 'SELECT v FROM app.t WHERE id = 900' });
  const text = await exchange(
    'GET /health HTTP/1.1\r\nHost: x\r\n\r\n' +
    `POST /v1/api/sql HTTP/1.1\r\nHost: x\r\n${auth}Transfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n` +
    `POST /v1/api/sql HTTP/1.1\r\nHost: x\r\n${auth}Connection: close\r\nContent-Length: ${select.length}\r\n\r\n${select}`);
  const order = [text.indexOf('"healthy"'), text.indexOf('Inserted 1 row(s)'), text.indexOf('[["chunked"]]')];
  check(order[0] > 0 && order[0] < order[1] && order[1] < order[2], `three answers in order: ${text}`);
});

function exchange(bytes) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(server.port, '127.0.0.1', () => socket.write(bytes));
    let text = '';
    socket.setTimeout(50000, () => socket.destroy(new Error(`no end: ${text}`)));
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.once('error', reject);
    socket.once('close', () => resolve(text));
  });
}

// ---- tokens and accounts -----------------------------------------------------------------------

test('login: shape, cookies, the alias username', async () => {
  const answer = await post(server, '/v1/api/auth/login', { user: 'anna', password: PASSWORD });
  equal(answer.status, 200, 'status');
  equal(Object.keys(answer.json).sort(), ['access_token', 'admin_ui_access', 'expires_at',
    'refresh_expires_at', 'refresh_token', 'user'], 'keys');
  const { user } = answer.json;
  equal([user.id, user.role, user.email, answer.json.admin_ui_access], ['anna', 'user', null, false], 'user');
  for (const time of [user.created_at, user.updated_at, answer.json.expires_at, answer.json.refresh_expires_at]) {
    matches(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)$/, 'RFC 3339');
  }
  const cookies = answer.headers['set-cookie'].join('\n');
  matches(cookies, /kalamdb_auth=[^;]+;.*HttpOnly/i, 'kalamdb_auth');
  matches(cookies, /kalamdb_refresh=[^;]+;.*HttpOnly/i, 'kalamdb_refresh');
  const claims = JSON.parse(Buffer.from(answer.json.access_token.split('.')[1], 'base64url'));
  equal([claims.sub, claims.iss, claims.role, claims.token_type], ['anna', 'kalamdb', 'user', 'access'], 'claims');
  const alias = await post(server, '/v1/api/auth/login', { username: 'anna', password: PASSWORD });
  equal(alias.status, 200, 'username is an alias of user');
});

test('login: what is refused', async () => {
  const wrong = await post(server, '/v1/api/auth/login', { user: 'anna', password: 'wrong-password' });
  equal([wrong.status, wrong.json.error], [401, 'unauthorized'], 'wrong password');
  matches(wrong.json.message, /Invalid credentials/, 'its message');
  const nobody = await post(server, '/v1/api/auth/login', { user: 'nobody', password: 'wrong-password' });
  equal([nobody.status, nobody.json], [401, wrong.json], 'an unknown user answers the same');
  const odd = await post(server, '/v1/api/auth/login', { user: 'anna', password: PASSWORD, extra: 1 });
  equal(odd.status, 400, 'unknown fields are refused');
  const long = await post(server, '/v1/api/auth/login', { user: 'a'.repeat(129), password: 'x' });
  check(long.status === 400 || long.status === 401, `a user of 129 bytes: ${long.status}`);
  const missing = await post(server, '/v1/api/auth/login', { user: 'anna' });
  equal(missing.status, 400, 'no password');
});

test('five wrong passwords lock the account, also for the right one', async () => {
  await newUser(root, 'locked', 'user', PASSWORD);
  let last;
  for (let i = 0; i < 6; i++) {
    last = await post(server, '/v1/api/auth/login', { user: 'locked', password: 'wrong-password' });
  }
  equal([last.status, last.json.error], [401, 'account_locked'], 'the sixth attempt');
  matches(last.json.message, /\d+ minute\(s\)/, 'its message');
  const right = await post(server, '/v1/api/auth/login', { user: 'locked', password: PASSWORD });
  equal([right.status, right.json.error], [401, 'account_locked'], 'with the right password');
});

test('refresh: by Bearer and by cookie, with a refresh token only', async () => {
  const first = (await post(server, '/v1/api/auth/login', { user: 'anna', password: PASSWORD })).json;
  const byBearer = await request(server, 'POST', '/v1/api/auth/refresh',
    { headers: { authorization: `Bearer ${first.refresh_token}` } });
  equal([byBearer.status, byBearer.json.user?.id], [200, 'anna'], 'Bearer');
  equal((await new Client(server, 'anna', byBearer.json.access_token).raw('SELECT id FROM app.t LIMIT 1')).status, 200,
    'the new access token works');
  const byCookie = await request(server, 'POST', '/v1/api/auth/refresh',
    { headers: { cookie: `other=1; kalamdb_refresh=${first.refresh_token}` } });
  equal(byCookie.status, 200, 'cookie');
  const access = await request(server, 'POST', '/v1/api/auth/refresh',
    { headers: { authorization: `Bearer ${first.access_token}` } });
  equal(access.status, 401, 'an access token is refused');
  const none = await request(server, 'POST', '/v1/api/auth/refresh');
  equal(none.status, 401, 'nothing is refused');
});

test('me: by Bearer and by cookie', async () => {
  for (const headers of [anna.bearer, { cookie: `kalamdb_auth=${anna.token}` }]) {
    const me = await request(server, 'GET', '/v1/api/auth/me', { headers });
    equal([me.status, me.json.user?.id, me.json.user?.role, me.json.admin_ui_access],
      [200, 'anna', 'user', false], 'me');
  }
  equal((await request(server, 'GET', '/v1/api/auth/me')).status, 401, 'without a token');
  const admin = await request(server, 'GET', '/v1/api/auth/me', { headers: root.bearer });
  equal([admin.json.user?.role, admin.json.admin_ui_access], ['system', true], 'root');
});

test('no token, a wrong one, Basic: the 401 body of the SQL route', async () => {
  const body = /^\{"status":"error","error":\{"code":"([A-Z_]+)","message":"([^"]*)"\},"results":\[\],"took":[\d.]+\}$/;
  const none = await post(server, '/v1/api/sql', { sql: 'SELECT id FROM app.t LIMIT 1' });
  equal(none.status, 401, 'no header');
  matches(none.text, body, 'its body');
  equal([none.json.error.code, none.json.error.message], ['MISSING_AUTHORIZATION', 'Authentication required'], 'no header');
  const bad = {
    'nonsense': 'Bearer nonsense',
    'empty': 'Bearer ',
    'Basic': `Basic ${Buffer.from(`anna:${PASSWORD}`).toString('base64')}`,
    'wrong secret': `Bearer ${token({}, { secret: 'another secret that is long enough 12345' })}`,
    'alg none': `Bearer ${token({}, { header: { alg: 'none', typ: 'JWT' } })}`,
    'alg HS384 label': `Bearer ${token({}, { header: { alg: 'HS384', typ: 'JWT' } })}`,
    'wrong issuer': `Bearer ${token({ iss: 'elsewhere' })}`,
    'no issuer': `Bearer ${token({ iss: undefined })}`,
    'no expiry': `Bearer ${token({ exp: undefined })}`,
    'no token_type': `Bearer ${token({ token_type: undefined })}`,
    'a refresh token': `Bearer ${token({ token_type: 'refresh' })}`,
    'unknown user': `Bearer ${token({ sub: 'nobody' })}`,
    'a role that is not theirs': `Bearer ${token({ role: 'system' })}`,
    'issued in the future': `Bearer ${token({ iat: Math.floor(Date.now() / 1000) + 3600 })}`,
  };
  for (const [what, authorization] of Object.entries(bad)) {
    const answer = await post(server, '/v1/api/sql', { sql: 'SELECT id FROM app.t LIMIT 1' }, { authorization });
    equal([answer.status, answer.json?.error?.code], [401, 'INVALID_CREDENTIALS'], what);
    equal(answer.json.error.message, 'Invalid credentials', what);
  }
  const expired = await post(server, '/v1/api/sql', { sql: 'SELECT id FROM app.t LIMIT 1' },
    { authorization: `Bearer ${token({ exp: Math.floor(Date.now() / 1000) - 3600 })}` });
  equal([expired.status, expired.json.error.code], [401, 'TOKEN_EXPIRED'], 'expired');
  equal((await new Client(server, 'anna', token()).raw('SELECT id FROM app.t LIMIT 1')).status, 200,
    'a token made by the rules works');
});

// Programs that sign with the secret itself know no `credentials_at`: a user's first change locked them out for good.
test('a token of another program: refused when a change of the user is younger than it, good when it is not', async () => {
  const now = () => Math.floor(Date.now() / 1000);
  const first = await newUser(root, 'outside', 'user', PASSWORD);
  const status = async (claims) => (await new Client(server, 'outside', token({ sub: 'outside', ...claims })).raw('SELECT 1')).status;
  equal(await status({ iat: 1 }), 200, 'before any change');
  const before = now() - 10;
  await root.run(`ALTER USER 'outside' SET PASSWORD '${PASSWORD}-2'`);
  equal(await status({ iat: before }), 401, 'of before the new password');
  equal((await first.raw('SELECT 1')).status, 401, 'that of a login of before');
  equal(await status({ iat: now() + 2 }), 200, 'of after it');
  equal(await status({ iat: now() + 2, credentials_at: 0 }), 401, 'of after it, with credentials of before');
  const socket = await Live.open(server, { token: token({ sub: 'outside', iat: now() + 2 }) });
  await socket.subscribed('all', 'SELECT * FROM app.t', {});
  await root.run("ALTER USER 'outside' SET ROLE service");
  equal((await socket.ended).code, 1008, 'its socket ends with the next change');
  equal(await status({ iat: now() + 2 }), 401, 'another role than the stored one');
  equal(await status({ iat: now() + 2, role: 'service' }), 200, 'the new role');
});

test('logout answers and clears the cookies', async () => {
  const out = await request(server, 'POST', '/v1/api/auth/logout');
  equal([out.status, out.json], [200, { message: 'Logged out successfully' }], 'logout');
});

// ---- envelopes ---------------------------------------------------------------------------------

test('success envelopes: keys in order, took with at most three decimals, as_user', async () => {
  const insert = await anna.raw("INSERT INTO app.t (id, v) VALUES ($1, $2)", [1, 'x']);
  matches(insert.text, /^\{"status":"success","results":\[\{"row_count":1,"message":"Inserted 1 row\(s\)","as_user":"anna"\}\],"took":\d+(\.\d{1,3})?\}$/, 'INSERT');
  const select = await anna.raw('SELECT id, v FROM app.t WHERE id = 1');
  matches(select.text, /^\{"status":"success","results":\[\{"schema":\[\{"name":"id","data_type":"BigInt","index":0,"flags":\["pk","nn","uq"\]\},\{"name":"v","data_type":"Text","index":1\}\],"rows":\[\["1","x"\]\],"row_count":1,"as_user":"anna"\}\],"took":\d+(\.\d{1,3})?,"error":null\}$/, 'SELECT');
  const none = await anna.raw('SELECT id, v FROM app.t WHERE id = 99');
  equal([none.json.results[0].rows, none.json.results[0].row_count, none.json.results[0].schema.length],
    [[], 0, 2], 'an empty result has schema and rows');
  equal((await anna.run('UPDATE app.t SET v = \'y\' WHERE id = 1')).message, 'Updated 1 row(s)', 'UPDATE');
  equal((await anna.run('DELETE FROM app.t WHERE id = 1')).message, 'Deleted 1 row(s)', 'DELETE');
});

test('error envelope: keys in order; details for admins only', async () => {
  const mine = await anna.raw('SELECT nope FROM app.t');
  equal(mine.status, 400, 'status');
  matches(mine.text, /^\{"status":"error","results":\[\],"took":\d+(\.\d{1,3})?,"error":\{"code":"SQL_EXECUTION_ERROR","message":"Statement 1 failed: [^"]*"(,"line":\d+,"column":\d+)?\}\}$/, 'a user');
  const admins = await root.raw('SELECT nope FROM app.t');
  equal(admins.json.error.details, 'SELECT nope FROM app.t', 'an admin gets the SQL text');
});

test('requests that are no statement', async () => {
  const cases = [
    [{ sql: '' }, 'EMPTY_SQL', /No SQL statements provided/],
    [{ sql: ' ;; -- nothing\n /* at all */ ; ' }, 'EMPTY_SQL', /No SQL statements provided/],
    [{ sql: "SELECT 'open" }, 'BATCH_PARSE_ERROR', /Failed to parse SQL batch/],
    [{ sql: 'SELECT 1 /* open' }, 'BATCH_PARSE_ERROR', /Failed to parse SQL batch/],
    [{ sql: 'SELECT 1; SELECT $1', params: [1] }, 'PARAMS_WITH_BATCH', /./],
    [{ sql: 'SELECT $1, $2', params: [1, [2]] }, 'INVALID_PARAMETER', /Parameter \$2 invalid: Array parameters not yet supported/],
    [{ sql: 'SELECT $1', params: [{}] }, 'INVALID_PARAMETER', /Parameter \$1 invalid/],
    [{ sql: 'FROBNICATE everything' }, 'INVALID_SQL', /./],
    [{ sql: 'SELEC 1' }, 'INVALID_SQL', /./],
    [{ sql: 'VACUUM' }, 'INVALID_SQL', /Unsupported statement type: VACUUM/],
    [{ sql: 'SHOW USERS' }, 'INVALID_SQL', /Unsupported statement type: SHOW USERS/],
    [{ sql: 'BEGIN; BEGIN' }, 'SQL_EXECUTION_ERROR', /^Statement 2 failed: Conflict: request owner 'sql-req-/], // not 409: no retry helps
    [{ sql: `SELECT '${'x'.repeat(1048576)}'` }, 'INVALID_SQL', /SQL query too long: \d+ bytes \(maximum 1048576 bytes\)/],
    [{}, 'INVALID_INPUT', /Invalid JSON payload: /],
    [{ sql: 1 }, 'INVALID_INPUT', /Invalid JSON payload: /],
    [{ sql: "SELECT '\0'" }, 'INVALID_INPUT', /: a text cannot hold \\u0000 \(line 1, column /],
    [{ sql: 'SELECT 1', params: 'x' }, 'INVALID_INPUT', /Invalid JSON payload: /],
  ];
  for (const [body, code, message] of cases) {
    const answer = await post(server, '/v1/api/sql', body, root.bearer);
    const what = JSON.stringify(body).slice(0, 80);
    equal([answer.status, answer.json?.status, answer.json?.error?.code], [400, 'error', code], what);
    matches(answer.json.error.message, message, what);
  }
  const ignored = await post(server, '/v1/api/sql', { sql: 'SELECT id FROM app.t', more: [1], params: null }, anna.bearer);
  equal(ignored.status, 200, 'unknown fields are ignored, null params are none');
});

test('SHOW TABLES, SHOW STATS: the columns that clients read, and figures that add up', async () => {
  await root.results('CREATE NAMESPACE shown; CREATE USER TABLE shown.notes (id INT PRIMARY KEY, body TEXT) WITH (FEED_WINDOW_HOURS = 2); CREATE SHARED TABLE shown.board (id INT PRIMARY KEY); ALTER TABLE shown.board ADD COLUMN n INT');
  const tables = await anna.rows('SHOW TABLES IN shown');
  equal(tables.map((t) => [t.table_id, t.namespace_id, t.table_name, t.table_type, t.schema_version, t.is_latest]),
    [['shown:board', 'shown', 'board', 'shared', 2, true], ['shown:notes', 'shown', 'notes', 'user', 1, true]], 'one row for each table');
  equal(JSON.parse(tables[0].columns).map((c) => [c.column_name, c.data_type, c.is_nullable, c.is_primary_key]),
    [['id', 'Int', false, true], ['n', 'Int', true, false]], 'columns as JSON');
  equal(JSON.parse(tables[1].options).feed_window_seconds, 7200, 'options as JSON');
  equal((await anna.rows('SHOW TABLES')).filter((t) => t.namespace_id === 'shown').length, 2, 'without IN');
  const stats = async (who) => {
    const [s] = await who.rows('SHOW STATS FOR TABLE shown.notes');
    return ['logical_rows', 'flushed_segments', 'partitions', 'hot_rows', 'cold_rows', 'dead_rows'].map((c) => Number(s[c]));
  };
  await anna.run("INSERT INTO shown.notes VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')");
  equal(await stats(anna), [4, 0, 1, 4, 0, 0], 'hot');
  await root.run('STORAGE FLUSH TABLE shown.notes');
  equal(await stats(anna), [4, 1, 1, 0, 4, 0], 'cold');
  await anna.results("INSERT INTO shown.notes VALUES (5, 'e'); DELETE FROM shown.notes WHERE id = 1; UPDATE shown.notes SET body = 'B' WHERE id = 2");
  equal(await stats(anna), [4, 1, 1, 2, 2, 2], 'both, and two that died');
  await root.run("INSERT INTO shown.notes VALUES (1, 'of root')");
  equal(await stats(anna), [4, 1, 1, 2, 2, 2], 'nothing of another user');
  equal(await stats(root), [5, 1, 2, 3, 2, 2], 'an administrator counts all');
  await root.run('STORAGE COMPACT TABLE shown.notes');
  equal((await stats(root)).slice(0, 5), [5, 1, 2, 3, 2], 'compacted');
});

test('several statements: one after the other, not atomic; a bad one aborts before the first', async () => {
  const two = await anna.results("SELECT id FROM app.t WHERE id = 10; SELECT v FROM app.t WHERE id = 10;");
  equal(two.map((r) => r.schema[0].name), ['id', 'v'], 'one result a SELECT, in order');
  const late = await anna.raw("INSERT INTO app.t VALUES (10, 'a'); INSERT INTO app.t VALUES (10, 'b'); INSERT INTO app.t VALUES (11, 'c')");
  equal([late.status, late.json.results], [400, []], 'the second fails');
  matches(late.json.error.message, /^Statement 2 failed: Already exists: Primary key violation: value '10' already exists in column 'id'$/, 'message');
  equal((await anna.rows('SELECT id FROM app.t WHERE id >= 10 AND id <= 11')).map((r) => r.id), ['10'], 'the first stays, the third never ran');
  const early = await anna.raw("INSERT INTO app.t VALUES (12, 'a'); FROBNICATE");
  equal([early.status, early.json.error.code], [400, 'INVALID_SQL'], 'an unknown statement');
  equal(await anna.rows('SELECT id FROM app.t WHERE id = 12'), [], 'nothing ran');
  const sums = await anna.results("INSERT INTO app.t VALUES (13, 'a'); INSERT INTO app.t VALUES (14, 'b'); SELECT id FROM app.t WHERE id = 13");
  equal(sums.filter((r) => /^Inserted/.test(r.message ?? '')).reduce((n, r) => n + r.row_count, 0), 2, 'rows inserted');
  equal(sums.filter((r) => r.rows).map((r) => r.rows), [[['13']]], 'the SELECT');
});

test('transactions: messages with one id, own writes, all or nothing, the texts of refusals', async () => {
  await root.run("CREATE SHARED TABLE app.shared_sum (id INT PRIMARY KEY, n INT); INSERT INTO app.shared_sum VALUES (1, 1)");
  const done = await root.results("BEGIN; INSERT INTO app.t VALUES (40, 'a'); UPDATE app.t SET v = 'b' WHERE id = 40; " +
    'SELECT v FROM app.t WHERE id = 40; UPDATE app.shared_sum SET n = 2 WHERE id = 1; COMMIT');
  const ids = done.map((r) => /^Transaction (started|committed) \(([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12})\)$/.exec(r.message ?? '')).filter(Boolean);
  equal(ids.map((m) => m[1]), ['started', 'committed'], 'messages');
  equal(ids[0][2], ids[1][2], 'one id');
  equal(done.filter((r) => r.rows).map((r) => r.rows), [[['b']]], 'its own write');
  equal((await root.rows('SELECT n FROM app.shared_sum')).map((r) => Number(r.n)), [2], 'the other table');
  const back = await root.results("START TRANSACTION; DELETE FROM app.t WHERE id = 40; ROLLBACK");
  matches(back.at(-1).message, /^Transaction rolled back \(/, 'rollback');
  const failed = await root.raw("BEGIN; UPDATE app.shared_sum SET n = 3 WHERE id = 1; INSERT INTO app.t VALUES (40, 'x'); COMMIT");
  equal([failed.status, failed.json.results], [400, []], 'an error inside');
  matches(failed.json.error.message, /^Statement 3 failed: Already exists: /, 'names its statement');
  const open = await root.raw('BEGIN; UPDATE app.shared_sum SET n = 3 WHERE id = 1');
  equal([open.status, open.json.error.message], [400, 'Request completed with an open explicit transaction; rolled back automatically'], 'left open');
  const nested = await root.raw('BEGIN; BEGIN');
  matches(nested.json.error.message, /^Statement 2 failed: Conflict: request owner 'sql-req-.*' already has an active transaction '.*'$/, 'nested');
  const definition = await root.raw('BEGIN; DROP TABLE app.shared_sum; COMMIT');
  matches(definition.json.error.message, /^Statement 2 failed: Invalid operation: DROP TABLE is not allowed inside a transaction/, 'a definition');
  equal((await root.rows('SELECT n FROM app.shared_sum')).map((r) => Number(r.n)), [2], 'nothing of these happened');
  matches((await root.results('TRUNCATE TABLE app.shared_sum'))[0].message, /^Truncated 1 row\(s\)$/, 'TRUNCATE');
  await root.run('DELETE FROM app.t WHERE id = 40');
});

test('namespace_id is the default namespace', async () => {
  equal((await anna.rows('SELECT id FROM t WHERE id = 13', undefined, { namespace_id: 'app' })).length, 1, 'unqualified');
  const missing = await anna.error('SELECT id FROM t WHERE id = 13');
  equal([missing.status, missing.code], [400, 'SQL_EXECUTION_ERROR'], 'without it');
});

// ---- cells and parameters ----------------------------------------------------------------------

test('every type: its cell, its schema name, through text and through parameters', async () => {
  await anna.run(`CREATE USER TABLE app.types (id BIGINT PRIMARY KEY, b BOOLEAN, s SMALLINT, i INT, f FLOAT,
    d DOUBLE, t TEXT, ts TIMESTAMP, j JSON, u UUID, y BYTES)`);
  const uuid = '0189f3a0-7b1c-7def-8123-456789abcdef';
  await anna.run(`INSERT INTO app.types (id, b, s, i, f, d, t, ts, j, u) VALUES
    (9223372036854775807, true, -32768, 2147483647, 1.5, -0.1, 'it''s', '2026-05-04 03:02:01.000007', '{"a": [1, 2]}', '${uuid.toUpperCase()}')`);
  await anna.run('INSERT INTO app.types (id, b, s, i, f, d, t, ts, j, u) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)',
    ['-9223372036854775808', false, 32767, -2147483648, 0.25, 1e300, '', '2026-05-04T03:02:01.000007Z', '[]', uuid]);
  await anna.run('INSERT INTO app.types (id) VALUES (0)');
  const result = await anna.run('SELECT * FROM app.types ORDER BY id ASC');
  equal(result.schema.map((c) => c.data_type), ['BigInt', 'Boolean', 'SmallInt', 'Int', 'Float', 'Double',
    'Text', 'Timestamp', 'Json', 'Uuid', 'Bytes', 'BigInt', 'Boolean'], 'data types');
  const micros = Date.UTC(2026, 4, 4, 3, 2, 1) * 1000 + 7;
  const cells = result.rows.map((row) => row.slice(0, 11));
  equal(cells[0], ['-9223372036854775808', false, 32767, -2147483648, 0.25, 1e300, '', micros, '[]', uuid, null], 'parameters');
  equal(cells[1], ['0', ...Array(10).fill(null)], 'NULLs');
  equal(cells[2].filter((_, i) => i !== 8), ['9223372036854775807', true, -32768, 2147483647, 1.5, -0.1, "it's", micros, uuid, null], 'literals');
  equal(JSON.parse(cells[2][8]), { a: [1, 2] }, 'JSON is text');
});

test('counting is a string of digits', async () => {
  const [row] = await anna.rows('SELECT COUNT(*) AS n FROM app.types');
  equal(row.n, '3', 'COUNT(*)');
});

test('parameters: count and size', async () => {
  const few = await anna.error('INSERT INTO app.t (id, v) VALUES ($1, $2)', [1]);
  check(few.status === 400 && ['SQL_EXECUTION_ERROR', 'INVALID_PARAMETER'].includes(few.code), `too few: ${few.code}`);
  matches(few.message, /Parameter/, 'too few');
  const many = await anna.error('SELECT v FROM app.t WHERE id = $1', Array(51).fill(1));
  equal(many.status, 400, '51 parameters');
  const nil = await anna.run('INSERT INTO app.t (id, v) VALUES ($1, $2)', [20, null]);
  equal(nil.row_count, 1, 'null binds');
  const exact = await anna.run('INSERT INTO app.t (id, v) VALUES ($1, $2)', ['9007199254740993', 'big']);
  equal(exact.row_count, 1, 'a BIGINT as text');
  equal((await anna.rows("SELECT id FROM app.t WHERE v = 'big'"))[0].id, '9007199254740993', 'is exact');
});

test('a BIGINT sent as a JSON number beyond 2^53 stays exact', async () => {
  const answer = await request(server, 'POST', '/v1/api/sql', {
    headers: { 'content-type': 'application/json', ...anna.bearer },
    body: '{"sql":"INSERT INTO app.t (id, v) VALUES ($1, \'num\')","params":[9007199254740995]}' });
  equal(answer.status, 200, answer.text);
  equal((await anna.rows("SELECT id FROM app.t WHERE v = 'num'"))[0].id, '9007199254740995', 'id');
});

// ---- statements that are refused ---------------------------------------------------------------

test('constraint errors: codes and texts clients match on', async () => {
  await anna.run('CREATE USER TABLE app.c (id BIGINT PRIMARY KEY, n TEXT NOT NULL, k INT)');
  await anna.run("INSERT INTO app.c VALUES (1, 'a', 1)");
  const cases = [
    ["INSERT INTO app.c VALUES (1, 'b', 1)", /Already exists: Primary key violation: value '1' already exists in column 'id'/],
    ["INSERT INTO app.c VALUES (2, 'b', 1), (2, 'c', 1)", /Primary key violation: value '2' appears multiple times in the insert batch for column 'id'/],
    ['INSERT INTO app.c (id, n) VALUES (3, NULL)', /NOT NULL constraint violation: column 'n' cannot be NULL/],
    ['INSERT INTO app.c (id) VALUES (3)', /NOT NULL constraint violation: column 'n'/],
    ["INSERT INTO app.c (id, n, z) VALUES (3, 'x', 1)", /Column 'z' does not exist/],
    ["INSERT INTO app.c (id, n) VALUES ('abc', 'x')", /./],
    ["INSERT INTO app.c (id, n, k) VALUES (3, 'x', 3000000000)", /./],
    ["INSERT INTO app.c (id, n) VALUES (3, 'x', 4)", /./],
    ["UPDATE app.c SET n = 'x'", /UPDATE requires a WHERE clause/],
    ["UPDATE app.c SET id = 5 WHERE id = 1", /UPDATE cannot modify primary key column 'id'/],
    ["UPDATE app.c SET n = NULL WHERE id = 1", /NOT NULL/],
    ['DELETE FROM app.c', /DELETE requires a WHERE clause/],
    ['SELECT id FROM app.missing', /Statement 1 failed|SQL statement failed/],
    ['SELECT id FROM missing.t', /Statement 1 failed|SQL statement failed/],
  ];
  for (const [sql, message] of cases) {
    const error = await anna.error(sql);
    equal(error.status, 400, sql);
    if (message.source !== '.') equal(error.code, 'SQL_EXECUTION_ERROR', sql);
    matches(error.message, message, sql);
  }
  equal((await anna.rows('SELECT id, n, k FROM app.c')), [{ id: '1', n: 'a', k: 1 }], 'nothing was written');
  await anna.run('DELETE FROM app.c WHERE id = 1');
  equal((await anna.run("INSERT INTO app.c VALUES (1, 'again', 2)")).row_count, 1, 'a deleted key is free');
});

test('STREAM tables: INSERT appends, UPDATE is refused, flush is refused', async () => {
  await root.run('CREATE STREAM TABLE app.s (id BIGINT PRIMARY KEY, v TEXT) WITH (TTL_SECONDS = 60)');
  await anna.run("INSERT INTO app.s VALUES (1, 'a')");
  await anna.run("INSERT INTO app.s VALUES (1, 'b')");
  equal((await anna.rows('SELECT v FROM app.s ORDER BY v ASC')).map((r) => r.v), ['a', 'b'], 'both are there');
  matches((await anna.error("UPDATE app.s SET v = 'c' WHERE id = 1")).message, /UPDATE not supported for STREAM tables/, 'UPDATE');
  matches((await root.error('STORAGE FLUSH TABLE app.s')).message, /STORAGE FLUSH TABLE is not supported for STREAM tables/, 'flush');
  await anna.run('DELETE FROM app.s WHERE id = 1');
  equal(await anna.rows('SELECT v FROM app.s'), [], 'DELETE removes all rows of the key');
});

test('definitions: messages and refusals', async () => {
  equal((await root.run('CREATE NAMESPACE IF NOT EXISTS app')).message, "Namespace 'app' already exists", 'IF NOT EXISTS');
  const cases = [
    ['CREATE NAMESPACE app', /Already exists: Namespace 'app' already exists/],
    ['CREATE NAMESPACE kalamdb', /Namespace 'kalamdb' is reserved and cannot be used/],
    [`CREATE NAMESPACE ${'n'.repeat(65)}`, /Name is too long|too long/],
    ['CREATE NAMESPACE _x', /Name cannot start with underscore/],
    ['CREATE USER TABLE app.t (id BIGINT PRIMARY KEY)', /Table app\.t already exists/],
    ['CREATE USER TABLE app.n1 (id BIGINT)', /[Uu]ser tables require a PRIMARY KEY column/i],
    ['CREATE USER TABLE app.n2 (id BIGINT PRIMARY KEY, ID TEXT)', /Duplicate column name/],
    ['CREATE USER TABLE app.n3 (id BIGINT PRIMARY KEY, _seq BIGINT)', /reserved/],
    ['CREATE USER TABLE app.n4 (id BIGINT PRIMARY KEY, x INTERVAL)', /[Uu]nsupported/],
    ['CREATE STREAM TABLE app.n5 (id BIGINT)', /STREAM tables must specify 'TTL_SECONDS'/],
    ['CREATE USER TABLE app.n6 (id BIGINT PRIMARY KEY) WITH (TTL_SECONDS = 5)', /TTL_SECONDS is only supported for STREAM tables/],
    ["CREATE USER TABLE app.n7 (id BIGINT PRIMARY KEY) WITH (FLUSH_POLICY = 'rows:0')", /./],
    ["CREATE USER TABLE app.n8 (id BIGINT PRIMARY KEY) WITH (FLUSH_POLICY = 'rows:1000000')", /Row limit must be less than 1,000,000/],
    ['CREATE USER TABLE app.n9 (id BIGINT PRIMARY KEY) WITH (COLOUR = 1)', /Unknown table option 'COLOUR'/i],
    ["CREATE USER TABLE app.n10 (id BIGINT PRIMARY KEY) WITH (TYPE = 'SHARED')", /Conflicting table type/],
    ['CREATE USER TABLE nowhere.t (id BIGINT PRIMARY KEY)', /Namespace 'nowhere' does not exist/],
    ['DROP TABLE app.nothing', /./],
  ];
  for (const [sql, message] of cases) {
    const error = await root.error(sql);
    equal(error.status, 400, sql);
    matches(error.message, message, sql);
  }
  equal((await root.results('CREATE USER TABLE IF NOT EXISTS app.t (id BIGINT PRIMARY KEY)')).length, 1, 'IF NOT EXISTS');
  await root.run('CREATE USER TABLE app.gone (id BIGINT PRIMARY KEY)');
  await root.run('DROP TABLE app.gone');
  equal((await root.error('SELECT id FROM app.gone')).status, 400, 'a dropped table');
  await root.run('DROP TABLE IF EXISTS app.gone');
});

test('a table dropped and made again is empty', async () => {
  await anna.run('CREATE USER TABLE app.re (id BIGINT PRIMARY KEY)');
  await anna.run('INSERT INTO app.re VALUES (1)');
  await root.run('DROP TABLE app.re');
  await anna.run('CREATE USER TABLE app.re (id BIGINT PRIMARY KEY, extra TEXT)');
  equal(await anna.rows('SELECT id FROM app.re'), [], 'rows');
  equal((await anna.run('INSERT INTO app.re (id) VALUES (1)')).row_count, 1, 'its key is free');
});

test('what a plain user may not do is 403', async () => {
  await root.run('CREATE SHARED TABLE app.closed (id BIGINT PRIMARY KEY)');
  const cases = [
    ['CREATE NAMESPACE mine', /Admin privileges \(DBA or System role\) required for namespace operations/],
    ['DROP NAMESPACE app', /Admin privileges/],
    ['CREATE SHARED TABLE app.sh (id BIGINT PRIMARY KEY)', /Insufficient privileges to create/i],
    ['DROP TABLE app.t', /Insufficient privileges to drop this table/],
    ['STORAGE FLUSH TABLE app.t', /STORAGE FLUSH TABLE requires Service, DBA, or System role/],
    ["CREATE USER eve WITH PASSWORD 'long-enough-1' ROLE system", /./],
    ['SELECT * FROM app.closed', /./],
    ["INSERT INTO app.closed VALUES (1)", /./],
    ['SELECT * FROM system.users', /./],
  ];
  for (const [sql, message] of cases) {
    const error = await anna.error(sql);
    equal([error.status, error.code], [403, 'PERMISSION_DENIED'], sql);
    matches(error.message, message, sql);
  }
});

test('system tables: readable by an admin, never writable', async () => {
  const names = (await root.rows('SELECT name FROM system.namespaces LIMIT 100')).map((r) => r.name);
  check(names.includes('app'), `system.namespaces: ${names}`);
  const users = await root.rows('SELECT user_id, role FROM system.users');
  check(users.some((u) => u.user_id === 'anna' && u.role === 'user'), 'system.users');
  await root.rows('SELECT job_id, status FROM system.jobs');
  matches((await root.error("INSERT INTO system.users (user_id) VALUES ('x')")).message, /[Cc]annot .*system/, 'INSERT');
});

test('users: duplicate, unknown role', async () => {
  equal((await root.run("CREATE USER kim WITH PASSWORD 'long-enough-1' ROLE service")).message, "User 'kim' created", 'CREATE USER');
  matches((await root.error("CREATE USER kim WITH PASSWORD 'long-enough-1' ROLE user")).message, /User 'kim' already exists/, 'twice');
  matches((await root.error("CREATE USER lee WITH PASSWORD 'long-enough-1' ROLE boss")).message, /Invalid role 'boss'/, 'role');
  await login(server, 'kim', 'long-enough-1');
});

test('SELECT without ORDER BY comes by primary key; expressions, LIMIT', async () => {
  await anna.run('CREATE USER TABLE app.o (id BIGINT PRIMARY KEY, n INT)');
  await anna.run('INSERT INTO app.o VALUES (3, 1), (1, 2), (2, NULL)');
  equal((await anna.rows('SELECT id FROM app.o')).map((r) => r.id), ['1', '2', '3'], 'implicit order');
  equal((await anna.rows('SELECT id FROM app.o ORDER BY n ASC')).map((r) => r.id), ['3', '1', '2'], 'NULLs last');
  equal((await anna.rows('SELECT id, n + 1 AS m FROM app.o WHERE n BETWEEN 1 AND 2 ORDER BY m DESC LIMIT 1')), [{ id: '1', m: '3' }], 'expression');
  equal((await anna.rows("SELECT id FROM app.o WHERE id IN (1, 3) AND n IS NOT NULL AND id <> 1")).map((r) => r.id), ['3'], 'filter');
  equal((await anna.run('UPDATE app.o SET n = n + 10 WHERE n IS NOT NULL')).row_count, 2, 'UPDATE by expression');
  equal((await anna.rows('SELECT id, n FROM app.o')).map((r) => r.n), [12, null, 11], 'result');
});

run('protocol');
