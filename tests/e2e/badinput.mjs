// SPDX-License-Identifier: Apache-2.0
//
// Bad input of every kind: each is a coded error or a closed connection, and the server goes on. After
// every test the same process must still answer a correct request of another client.

import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { login, loginRoot, newUser, post, request } from './lib/client.mjs';
import { Live } from './lib/live.mjs';
import { exchange, frame, socketEnd, statusOf, upgrade } from './lib/raw.mjs';
import { check, equal, matches, run, test as plainTest } from './lib/runner.mjs';
import { SANITIZED, startServer } from './lib/server.mjs';

let server;
let root;
let anna;

async function goesOn() {
  equal(server.ended, null, `the server ended:\n${server.output.slice(-2000)}`);
  const answer = await anna.raw('SELECT v FROM bad.t WHERE id = 1');
  equal([answer.status, answer.json?.results?.[0]?.rows], [200, [['kept']]], 'the server goes on');
}

function test(name, fn) {
  plainTest(name, async () => {
    await fn();
    await goesOn();
  });
}

function sqlBytes(body, headers = {}) {
  return request(server, 'POST', '/v1/api/sql', {
    headers: { 'content-type': 'application/json', ...anna.bearer, ...headers }, body });
}

test('server and a user', async () => {
  server = await startServer();
  root = await loginRoot(server);
  anna = await newUser(root, 'anna');
  await root.run('CREATE NAMESPACE bad');
  await anna.run('CREATE USER TABLE bad.t (id BIGINT PRIMARY KEY, v TEXT NOT NULL, n INT)');
  await anna.run("INSERT INTO bad.t VALUES (1, 'kept', 1)");
});

// ---- bodies ------------------------------------------------------------------------------------

test('malformed JSON', async () => {
  const bodies = ['', '{', '}', '[]', '"sql"', 'null', '{"sql":}', '{"sql":"x"', "{'sql':'x'}", '{"sql":"x"}}',
    '{"sql":"\\ud800"}', '{"sql":"a\\u0000b"}', '{"sql":"x","params":[1e999]}', '{"sql":"x","params":[,]}',
    '{"sql":NaN}', '\ufeff{"sql":"x"}', `{"sql":"x","params":${'['.repeat(100000)}`,
    `{"a":${'{"a":'.repeat(5000)}1${'}'.repeat(5000)},"sql":"SELECT id FROM bad.t"}`];
  for (const body of bodies) {
    const answer = await sqlBytes(body);
    const what = body.slice(0, 60);
    equal(answer.status, 400, what);
    check(answer.json?.error?.code, `a coded error for ${what}`);
  }
});

test('bytes that are not UTF-8', async () => {
  const bad = [[0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe4, 0xbd], [0x80]];
  for (const bytes of bad) {
    for (const [before, after] of [['{"sql":"SELECT \'', '\'"}'], ['{"sql":"SELECT 1 -- ', '"}'], ['{"', '":1}']]) {
      const answer = await sqlBytes(Buffer.concat([Buffer.from(before), Buffer.from(bytes), Buffer.from(after)]));
      equal(answer.status, 400, `${before}${Buffer.from(bytes).toString('hex')}`);
      check(answer.json?.error?.code, 'a coded error');
      // The answer itself must be UTF-8, whatever it quotes.
      check(!answer.text.includes('\ufffd'), 'the answer is valid UTF-8');
    }
  }
});

test('bodies of 10 MB and more', async () => {
  const large = await sqlBytes(JSON.stringify({ sql: `SELECT '${'x'.repeat(9 << 20)}'` }));
  equal([large.status, large.json?.error?.code], [400, 'INVALID_SQL'], 'SQL text of 9 MB');
  const filler = await sqlBytes(JSON.stringify({ sql: 'SELECT id FROM bad.t WHERE id = 1', filler: 'x'.repeat(9 << 20) }));
  equal(filler.status, 200, '9 MB in a field that is ignored');
  const parameter = await sqlBytes(JSON.stringify({ sql: 'SELECT id FROM bad.t WHERE v = $1', params: ['x'.repeat(1 << 20)] }));
  equal(parameter.status, 400, 'a parameter of 1 MB');
  // Announced too large: refused by its length, before a byte of it is read.
  const announced = await exchange(server, `POST /v1/api/sql HTTP/1.1\r\nHost: x\r\nContent-Length: ${11 << 20}\r\n\r\n`);
  equal(statusOf(announced.text), 413, 'Content-Length of 11 MB');
  matches(announced.text, /"error":"BODY_TOO_LARGE"|"code":"BODY_TOO_LARGE"/, 'its body');
  const huge = await exchange(server, 'POST /v1/api/sql HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n');
  check([400, 413].includes(statusOf(huge.text)), `a length beyond 64 bits: ${huge.text.slice(0, 60)}`);
  // Not announced: chunks that never end.
  const chunk = `100000\r\n${'x'.repeat(1 << 20)}\r\n`;
  const endless = await exchange(server, 'POST /v1/api/sql HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n' + chunk.repeat(12));
  check(statusOf(endless.text) === 413 || endless.how === 'reset', `12 MB in chunks: ${endless.text.slice(0, 60)} ${endless.how}`);
});

// A tree of a JSON text takes a hundred times its bytes, and the time of a network thread.
test('millions of values in one text are refused before a tree is made of them', async () => {
  const flat = '[],'.repeat(3 << 20).slice(0, -1);
  const body = `{"sql":"SELECT id FROM bad.t","a":[${flat}]}`;
  const keys = `{"sql":"SELECT id FROM bad.t"${',"":0'.repeat(2000000)}}`;
  const before = server.usage().rss_kb;
  const get = (params) => request(server, 'GET', `/v1/api/live?${new URLSearchParams(params)}`, { headers: anna.bearer });
  for (const [what, answer, status, code] of [
    ['sql', await sqlBytes(body), 400, 'INVALID_INPUT'],
    ['sql, keys', await sqlBytes(keys), 400, 'INVALID_INPUT'],
    ['sql without a good token', await sqlBytes(body, { authorization: 'Bearer x' }), 401, 'INVALID_CREDENTIALS'],
    ['broken JSON without a good token', await sqlBytes('{', { authorization: 'Bearer x' }), 401, 'INVALID_CREDENTIALS'],
    ['params of 50 in a text of commas', await get({ sql: 'SELECT * FROM bad.t', params: `[${'1,'.repeat(1100)}1]` }), 400, 'INVALID_INPUT'],
  ]) equal([answer.status, answer.json?.error?.code], [status, code], `${what}: ${answer.text.slice(0, 200)}`);
  const login_ = await request(server, 'POST', '/v1/api/auth/login', { body });
  equal([login_.status, login_.json.error], [400, 'invalid_request'], 'login');
  const live = await Live.open(server, {});
  live.sendText(`{"type":"ping","a":[${'[],'.repeat(300000)}1]}`);
  equal((await live.ended).code, 1011, 'a message');
  const grown = server.usage().rss_kb - before;
  check(SANITIZED || grown < 128 * 1024, `${grown} KB more`);
  // As many as anybody needs.
  equal((await sqlBytes(JSON.stringify({ sql: 'SELECT id FROM bad.t', a: Array(900).fill(','.repeat(3000)) }))).status, 200, '900 values, commas in texts');
});

// The limit is on the request, not on what a column may hold: documents are texts in it.
test('a JSON document of many values, or a deep one, goes in as a parameter and as a literal, and comes back', async () => {
  await anna.run('CREATE USER TABLE bad.documents (id BIGINT PRIMARY KEY, j JSON)');
  const documents = [
    JSON.stringify(Array.from({ length: 5000 }, (_, i) => ({ i, s: `a,"[{${i}` }))),
    `${'['.repeat(64)}1${']'.repeat(64)}`,
    JSON.stringify({ long: 'x'.repeat(500 * 1024) }),
  ];
  for (const [i, document] of documents.entries()) {
    await anna.run('INSERT INTO bad.documents VALUES ($1, $2)', [2 * i, document]);
    await anna.run(`INSERT INTO bad.documents VALUES (${2 * i + 1}, '${document}')`);
  }
  const rows = await anna.rows('SELECT j FROM bad.documents ORDER BY id');
  for (const [i, { j }] of rows.entries()) equal(typeof j === 'string' ? JSON.parse(j) : j, JSON.parse(documents[i >> 1]), `document ${i}`);
  equal(rows.length, 6, 'rows');
});

test('HTTP that is no HTTP', async () => {
  const refused = {
    'garbage': '\x00\x01\x02\xff\xfe garbage\r\n\r\n',
    'TLS hello': Buffer.from('1603010200010001fc0303', 'hex'),
    'bare CR in a header': 'GET /health HTTP/1.1\r\nHost: x\r\nA: b\rC: d\r\n\r\n',
    'folded header': 'GET /health HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n',
    'two lengths': 'POST /v1/api/sql HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx',
    'length and chunked': 'POST /v1/api/sql HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'negative length': 'POST /v1/api/sql HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n',
    'bad chunk': 'POST /v1/api/sql HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
    'header of 1 MB': `GET /health HTTP/1.1\r\nHost: x\r\nA: ${'b'.repeat(1 << 20)}\r\n\r\n`,
    'target of 1 MB': `GET /${'a'.repeat(1 << 20)} HTTP/1.1\r\nHost: x\r\n\r\n`,
    '10,000 headers': `GET /health HTTP/1.1\r\nHost: x\r\n${'A: b\r\n'.repeat(10000)}\r\n`,
    'space before the colon': 'GET /health HTTP/1.1\r\nHost : x\r\n\r\n',
    'HTTP/9.9': 'GET /health HTTP/9.9\r\nHost: x\r\n\r\n',
  };
  for (const [what, bytes] of Object.entries(refused)) {
    const { text, how } = await exchange(server, Buffer.from(bytes, typeof bytes === 'string' ? 'latin1' : undefined));
    const status = statusOf(text);
    check((status >= 400 && status < 600) || (text === '' && how !== 'open'), `${what}: ${status} ${how}`);
    check(how !== 'open', `${what}: the connection is closed`);
  }
});

test('half-open and abandoned connections', async () => {
  const sockets = [];
  const starts = ['', 'GET', 'GET /health HTTP/1.1\r\nHost:', `POST /v1/api/sql HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${anna.token}\r\nContent-Length: 100\r\n\r\n{"sql":`, upgrade().slice(0, 40)];
  for (let i = 0; i < 100; i++) {
    const socket = net.connect(server.port, '127.0.0.1', () => socket.write(starts[i % starts.length]));
    socket.on('error', () => {});
    sockets.push(socket);
  }
  await goesOn();
  sockets.forEach((socket, i) => (i % 2 ? socket.resetAndDestroy?.() ?? socket.destroy() : socket.destroy()));
  // A client that sends its request and closes its side still gets the answer.
  const half = await exchange(server, 'GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', { end: true });
  check([200, 0].includes(statusOf(half.text)), 'half-closed');
  // Clients that leave while their statement runs.
  for (let i = 0; i < 30; i++) {
    const body = JSON.stringify({ sql: 'SELECT COUNT(*) FROM bad.t' });
    const socket = net.connect(server.port, '127.0.0.1', () => {
      socket.end(`POST /v1/api/sql HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${anna.token}\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      socket.destroy();
    });
    socket.on('error', () => {});
  }
});

// ---- SQL ---------------------------------------------------------------------------------------

test('SQL that is wrong in many ways', async () => {
  const statements = [
    'SELECT', 'SELECT *', 'SELECT * FROM', 'SELECT * FROM bad.', 'SELECT * FROM .t', 'SELECT * FROM bad.t WHERE',
    'SELECT * FROM bad.t WHERE id =', 'SELECT * FROM bad.t WHERE id = = 1', 'SELECT nope FROM bad.t',
    'SELECT * FROM bad.missing', 'SELECT * FROM missing.t', 'SELECT * FROM bad.t ORDER BY nope', 'SELECT nofunc(id) FROM bad.t',
    'INSERT INTO bad.t', 'INSERT INTO bad.t VALUES', 'INSERT INTO bad.t VALUES ()', 'INSERT INTO bad.t VALUES (2)',
    "INSERT INTO bad.t VALUES (2, 'x', 1, 2)", "INSERT INTO bad.t (id, id, v) VALUES (2, 3, 'x')", "INSERT INTO bad.t (id, v) VALUES ('x', 'y')",
    "INSERT INTO bad.t (id, v) VALUES (99999999999999999999, 'y')", "INSERT INTO bad.t (id, v, n) VALUES (2, 'y', 'many')", "INSERT INTO bad.t (id, v, n) VALUES (2, 'y', 2147483648)",
    "INSERT INTO bad.t (v) VALUES ('no key')", "INSERT INTO bad.t (id) VALUES (2)", "INSERT INTO bad.t (id, v) VALUES (2, NULL)", "INSERT INTO bad.t (id, v) VALUES (1, 'again')",
    "INSERT INTO bad.missing VALUES (1)", "INSERT INTO bad.t (id, v) VALUES (2, $1)", 'UPDATE bad.t SET WHERE id = 1', "UPDATE bad.t SET nope = 1 WHERE id = 1",
    "UPDATE bad.t SET n = 'x' WHERE id = 1", 'UPDATE bad.t SET v = NULL WHERE id = 1', 'DELETE bad.t', 'DELETE FROM bad.t WHERE', 'DELETE FROM bad.t WHERE nope = 1',
    'CREATE TABLE', 'CREATE USER TABLE bad.x', 'CREATE USER TABLE bad.x ()', 'CREATE USER TABLE bad.x (id NOSUCHTYPE PRIMARY KEY)', 'CREATE USER TABLE bad.x (id BIGINT PRIMARY KEY, id TEXT)',
    'STORAGE', 'STORAGE FLUSH', 'STORAGE FLUSH TABLE', 'STORAGE FLUSH TABLE bad.missing', 'CREATE USER', 'CREATE USER x', 'DROP', ';SELECT', 'SELECT "unterminated', "SELECT E'\\'",
    'SELECT * FROM read_parquet(\'/etc/passwd\')', "SELECT * FROM '/etc/passwd'", 'SELECT * FROM glob(\'/*\')', "COPY bad.t TO '/tmp/x'", "ATTACH '/tmp/x.db'", 'PRAGMA database_list', "INSTALL httpfs", "SET threads = 1", "CALL pragma_version()",
    "SELECT * FROM duckdb_tables()", "SELECT getenv('HOME')", `SELECT ${'('.repeat(100000)}`, `SELECT id FROM bad.t WHERE ${'NOT '.repeat(100000)} true`, `SELECT id FROM bad.t WHERE id = ${'-'.repeat(1001)}1 +`, `SELECT ${'1+'.repeat(100000)}`,
    `SELECT ${'a'.repeat(100000)} FROM bad.t`, `SELECT id FROM bad.t WHERE id IN (${'nope,'.repeat(10000)}1)`, '\u0000', '\u202eSELECT', 'SELECT \u00a0 id FROM', `SELECT 'x' FROM ${'a.'.repeat(1000)}b`,
  ];
  for (const sql of statements) {
    const answer = await anna.raw(sql);
    const what = JSON.stringify(sql.slice(0, 90));
    check([400, 403].includes(answer.status), `${what}: ${answer.status} ${answer.text.slice(0, 200)}`);
    equal(answer.json?.status, 'error', what);
    matches(answer.json.error.code, /^[A-Z_]+$/, what);
    check(answer.json.error.message.length > 0 && answer.json.error.message.length < 4096, `a message of sane size: ${what}`);
    check(!/duckdb|rocksdb|jansson|\.c:\d+/i.test(answer.json.error.message), `no inside shows: ${answer.json.error.message}`);
  }
  equal(await anna.rows('SELECT id FROM bad.t'), [{ id: '1' }], 'nothing was written');
});

test('the same statements before and after an error on one connection', async () => {
  for (let i = 0; i < 20; i++) {
    equal((await anna.raw('SELEKT')).status, 400, 'bad');
    equal((await anna.raw('SELECT id FROM bad.t')).status, 200, 'good');
  }
});

// ---- users -------------------------------------------------------------------------------------

test('odd user ids: refused, or isolated from one another', async () => {
  const names = ['.', '..', ' ', 'a b', 'Anna', 'ANNA', 'anna ', ' anna', 'a/b', 'a\\b', '../anna', 'a%2Fb', '%2e', 'a.', 'a~b', '~', 'con', 'nul.txt',
    '\u00e4nna', 'a\u0308nna', '\ud83d\ude00', "o'brien", 'a"b', '-rf', '*', 'x'.repeat(128), `${'x'.repeat(127)}y`, 'x'.repeat(300), '\u4f60'.repeat(100), '', 'manifest.json', 'user=1', 'a\nb', 'a\tb'];
  const clients = [];
  for (const name of names) {
    const quoted = name.replaceAll("'", "''");
    const created = await root.raw(`CREATE USER '${quoted}' WITH PASSWORD 'long-enough-1' ROLE user`);
    if (created.status !== 200) {
      equal(created.status, 400, JSON.stringify(name));
      matches(created.json.error.code, /^[A-Z_]+$/, JSON.stringify(name));
      continue;
    }
    const client = await login(server, name, 'long-enough-1');
    await client.run('INSERT INTO bad.t (id, v) VALUES ($1, $2)', [1, `of <${name}>`]);
    clients.push([name, client]);
  }
  const names300 = clients.filter(([name]) => Buffer.byteLength(name) >= 300);
  equal(names300.map(([name]) => name.length), [], '300 bytes are refused');
  check(clients.some(([name]) => name === 'Anna'), 'upper case is an id of its own');
  const read = async (when) => {
    for (const [name, client] of clients) {
      equal((await client.rows('SELECT v FROM bad.t')).map((r) => r.v), [`of <${name}>`], `${JSON.stringify(name)} ${when}`);
    }
    equal((await anna.rows('SELECT v FROM bad.t')).map((r) => r.v), ['kept'], `anna ${when}`);
  };
  await read('hot');
  await root.run('STORAGE FLUSH TABLE bad.t');
  await read('flushed');
  const base = path.join(server.dir, 'storage/user');
  const folders = fs.readdirSync(base).filter((f) => fs.existsSync(path.join(base, f, 'bad/t/batch-0.parquet')));
  equal(folders.length, clients.length + 1, 'one folder a user');
  equal(new Set(folders.map((f) => f.toLowerCase().normalize('NFC'))).size, folders.length, 'also where case and normal form do not count');
  equal(fs.readdirSync(server.dir).filter((f) => /parquet|^bad$/.test(f)), [], 'nothing beside storage/');
});

// ---- WebSocket ---------------------------------------------------------------------------------

test('upgrades that are none', async () => {
  const bad = [
    upgrade().replace('Sec-WebSocket-Version: 13', 'Sec-WebSocket-Version: 8'),
    upgrade().replace(/Sec-WebSocket-Key: [^\r]+\r\n/, ''),
    upgrade().replace(/Sec-WebSocket-Key: [^\r]+/, 'Sec-WebSocket-Key: short'),
    upgrade().replace('Upgrade: websocket', 'Upgrade: h2c'),
    upgrade().replace('GET ', 'POST '),
    'GET /v1/ws HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
  ];
  for (const bytes of bad) {
    const { text } = await exchange(server, bytes, { isAll: statusOf });
    const status = statusOf(text);
    check(status >= 400 && status < 500, `${status} for ${bytes.slice(0, 200)}`);
  }
});

test('frames that break RFC 6455 close with 1002, 1007 or 1009', async () => {
  const big = Buffer.alloc(126, 97);
  const cases = {
    'not masked': [frame('{"type":"ping"}', { mask: false }), [1002]],
    'reserved bit': [frame('x', { rsv: 4 }), [1002]],
    'reserved opcode': [frame('x', { opcode: 3 }), [1002]],
    'reserved control opcode': [frame('x', { opcode: 11 }), [1002]],
    'control frame of 126 bytes': [frame(big, { opcode: 9 }), [1002]],
    'fragmented control frame': [frame('x', { opcode: 9, fin: 0 }), [1002]],
    'continuation of nothing': [frame('x', { opcode: 0 }), [1002]],
    'text inside fragments': [Buffer.concat([frame('{"a":', { fin: 0 }), frame('x')]), [1002]],
    'text that is not UTF-8': [frame(Buffer.from([0xff, 0xfe])), [1007, 1011]],
    'length with the top bit': [frame('', { length: 2n ** 63n }), [1002, 1009]],
    'length of a terabyte': [frame('', { length: 2n ** 40n }), [1009, 1002]],
    'close with one byte': [frame('x', { opcode: 8 }), [1002]],
    'close with code 1005': [frame(Buffer.from([0x03, 0xed]), { opcode: 8 }), [1002]],
    'close reason not UTF-8': [frame(Buffer.from([0x03, 0xe8, 0xff]), { opcode: 8 }), [1007, 1002]],
  };
  for (const [what, [bytes, codes]] of Object.entries(cases)) {
    const end = await socketEnd(server, [bytes]);
    check(end.upgraded, `${what}: upgraded`);
    check(codes.includes(end.code) || end.code === null && end.how !== 'open', `${what}: ${JSON.stringify(end)}`);
  }
});

test('a WebSocket that sends garbage, nothing, or fragments without end', async () => {
  let seed = 12345;
  const random = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) / 0x7fffffff;
  for (let i = 0; i < 40; i++) {
    const bytes = Buffer.from(Array.from({ length: 1 + Math.floor(random() * 300) }, () => Math.floor(random() * 256)));
    await socketEnd(server, [bytes], { limitMs: 150, end: true });
  }
  const silent = await Live.open(server);
  equal((await silent.ended).code, 1008, 'one that sends nothing');
  const fragment = Buffer.alloc(64 * 1024, 97);
  const pieces = [frame(fragment, { fin: 0 })];
  for (let i = 0; i < 40; i++) pieces.push(frame(fragment, { opcode: 0, fin: 0 }));
  const endless = await socketEnd(server, pieces, { limitMs: 9000 });
  check(endless.how !== 'open', 'fragments beyond 1 MiB, never authenticated: closed');
});

// A request hidden behind another one: whoever reads the first by other rules than a proxy before us runs
// the second. Each of these is refused before any second answer, and ends the connection.
test('requests that could be read in two ways carry no second one', async () => {
  const insert = JSON.stringify({ sql: "INSERT INTO bad.t VALUES (666, 'smuggled', NULL)" });
  const hidden = `POST /v1/api/sql HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${anna.token}\r\nContent-Length: ${insert.length}\r\n\r\n${insert}`;
  const post_ = (headers, body = '') => `POST /health HTTP/1.1\r\nHost: x\r\n${headers}\r\n\r\n${body}`;
  const chunked = (body) => post_('Transfer-Encoding: chunked', body);
  const cases = {
    'CL.TE': post_('Content-Length: 6\r\nTransfer-Encoding: chunked', '0\r\n\r\n'),
    'TE.CL': post_('Transfer-Encoding: chunked\r\nContent-Length: 4', '5c\r\n'),
    'TE.TE': post_('Transfer-Encoding: chunked\r\nTransfer-Encoding: identity', '0\r\n\r\n'),
    'two chunked': post_('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', '0\r\n\r\n'),
    'chunked, identity': post_('Transfer-Encoding: chunked, identity', '0\r\n\r\n'),
    'identity, chunked': post_('Transfer-Encoding: identity, chunked', '0\r\n\r\n'),
    'xchunked': post_('Transfer-Encoding: xchunked', '0\r\n\r\n'),
    'chunked;q=1': post_('Transfer-Encoding: chunked;q=1', '0\r\n\r\n'),
    'quoted': post_('Transfer-Encoding: "chunked"', '0\r\n\r\n'),
    'empty encoding': post_('Transfer-Encoding:', '0\r\n\r\n'),
    'vertical tab': post_('Transfer-Encoding: \x0bchunked', '0\r\n\r\n'),
    'space before the colon': post_('Transfer-Encoding : chunked', '0\r\n\r\n'),
    'tab before the colon': post_('Content-Length\t: 0'),
    'folded encoding': post_('Transfer-Encoding:\r\n chunked', '0\r\n\r\n'),
    'encoding in a folded header': post_('A: b\r\n Transfer-Encoding: chunked', '0\r\n\r\n'),
    'encoding after a bare LF': post_('A: b\nTransfer-Encoding: chunked', '0\r\n\r\n'),
    'encoding after a bare CR': post_('A: b\rTransfer-Encoding: chunked', '0\r\n\r\n'),
    'encoding of HTTP/1.0': 'POST /health HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'a NUL in a header': post_('A: b\x00\r\nContent-Length: 0'),
    'lengths in a list': post_('Content-Length: 0, 0'),
    'the same length twice': post_('Content-Length: 0\r\nContent-Length: 0'),
    'plus': post_('Content-Length: +0'),
    'hexadecimal': post_('Content-Length: 0x0'),
    'two numbers': post_('Content-Length: 0 0'),
    'no number': post_('Content-Length:'),
    '20 digits': post_('Content-Length: 18446744073709551616'),
    'two hosts': post_('Host: y\r\nContent-Length: 0'),
    'no host': 'POST /health HTTP/1.1\r\nContent-Length: 0\r\n\r\n',
    'LF after the request line': 'GET /health HTTP/1.1\nHost: x\r\n\r\n',
    'LF instead of CRLF': 'GET /health HTTP/1.1\nHost: x\n\n',
    'a folded first header': 'GET /health HTTP/1.1\r\n Host: x\r\n\r\n',
    'an empty name': 'GET /health HTTP/1.1\r\n: x\r\nHost: x\r\n\r\n',
    'a line without colon': 'GET /health HTTP/1.1\r\nHost: x\r\nabc\r\n\r\n',
    'chunk of 2^64': chunked('10000000000000000\r\n'),
    'chunk of 2^36': chunked('1000000000\r\n'),
    'negative chunk': chunked('-1\r\n'),
    'chunk 0x0': chunked('0x0\r\n\r\n'),
    'space before a size': chunked(' 0\r\n\r\n'),
    'no size': chunked(';a=b\r\n\r\n'),
    'size ended by LF': chunked('0\n\r\n'),
    'LF in an extension': chunked('0;a\n0\r\n\r\n'),
    'CR in an extension': chunked('0;a\rb\r\n\r\n'),
    'an endless extension': chunked(`0;${'a'.repeat(5000)}\r\n\r\n`),
    'data longer than its size': chunked('1\r\nab\r\n0\r\n\r\n'),
    'data without CRLF': chunked('1\r\na0\r\n\r\n'),
    'a folded trailer': chunked('0\r\nA: b\r\n c\r\n\r\n'),
    'endless trailers': chunked(`0\r\n${'A: b\r\n'.repeat(2000)}\r\n`),
    'trailers ended by LF': chunked('0\r\nA: b\n\r\n'),
  };
  for (const [what, first] of Object.entries(cases)) {
    const { text, how } = await exchange(server, Buffer.from(first + hidden, 'latin1'));
    const answers = text.match(/HTTP\/1\.[01] \d{3}/g) ?? [];
    check(answers.length <= 1, `${what}: ${answers.length} answers: ${text.slice(0, 300)}`);
    check(answers.length === 0 || statusOf(text) >= 400, `${what}: ${text.slice(0, 200)}`);
    check(how !== 'open', `${what}: the connection is closed`);
  }
  equal((await anna.rows('SELECT id FROM bad.t WHERE id = 666')), [], 'nothing was smuggled');
  // The same request behind one that leaves no doubt is run: the test above could have seen it.
  const both = (text) => text.match(/HTTP\/1\.1 200/g)?.length === 2;
  const plain = await exchange(server, `GET /health HTTP/1.1\r\nHost: x\r\n\r\n${hidden}`, { isAll: both });
  check(both(plain.text), `two answers: ${plain.text.slice(0, 400)}`);
  await anna.run('DELETE FROM bad.t WHERE id = 666');
});

/** Sends for ever and never reads, until the server has stopped taking it or `bytesMax` are sent. */
function flood(socket, bytes, bytesMax) {
  return new Promise((resolve) => {
    let sent = 0;
    const go = () => {
      while (sent < bytesMax) {
        sent += bytes.length;
        if (!socket.write(bytes)) {
          stalled = setTimeout(() => resolve(sent), 1000);
          return;
        }
      }
      resolve(sent);
    };
    let stalled;
    socket.on('drain', () => {
      clearTimeout(stalled);
      go();
    });
    socket.on('close', () => resolve(sent));
    go();
  });
}

test('a client that asks and asks and never reads: the server stops listening to it', async () => {
  const login_ = frame(JSON.stringify({ type: 'authenticate', method: 'jwt', token: anna.token, protocol: { serialization: 'json', compression: 'none' } }));
  const bad = frame(JSON.stringify({ type: 'subscribe', subscription: { id: 'x'.repeat(200), sql: 'nonsense '.repeat(20), options: {} } }));
  const again = frame(JSON.stringify({ type: 'subscribe', subscription: { id: 'x', sql: 'SELECT * FROM bad.t', options: {} } }));
  const kinds = { pings: frame('p'.repeat(125), { opcode: 9 }), 'subscriptions that are refused': bad, 'the same subscription again': again, 'the same token again': login_, 'binary messages': frame('b', { opcode: 2 }) };
  const before = server.usage().rss_kb;
  for (const [what, one] of Object.entries(kinds)) {
    const socket = net.connect(server.port, '127.0.0.1');
    socket.on('error', () => {});
    await new Promise((resolve) => socket.once('connect', resolve));
    socket.pause();
    socket.write(Buffer.concat([Buffer.from(upgrade()), login_]));
    await flood(socket, Buffer.concat(Array(Math.ceil(64 * 1024 / one.length)).fill(one)), 64 << 20);
    await goesOn();
    socket.destroy();
    const grown = server.usage().rss_kb - before;
    check(SANITIZED || grown < 64 * 1024, `${what}: ${grown} KB more`);
  }
});

test('subscriptions with odd fields', async () => {
  const bodies = [
    '{"type":"subscribe"}', '{"type":"subscribe","subscription":null}', '{"type":"subscribe","subscription":{"id":1,"sql":"x"}}',
    '{"type":"subscribe","subscription":{"id":"x"}}', '{"type":"subscribe","subscription":{"id":"x","sql":"SELECT * FROM bad.t","options":{"batch_size":-1}}}',
    '{"type":"subscribe","subscription":{"id":"x","sql":"SELECT * FROM bad.t","options":{"batch_size":0}}}',
    '{"type":"subscribe","subscription":{"id":"x","sql":"SELECT * FROM bad.t","options":{"last_rows":"many"}}}',
    '{"type":"subscribe","subscription":{"id":"x","sql":"SELECT * FROM bad.t","options":[]}}',
    `{"type":"subscribe","subscription":{"id":"${'i'.repeat(300)}","sql":"SELECT * FROM bad.t","options":{}}}`,
    `{"type":"subscribe","subscription":{"id":"x","sql":"SELECT * FROM bad.t WHERE ${'('.repeat(50000)}","options":{}}}`,
    '{"type":"unsubscribe"}', '{"type":"next_batch","subscription_id":"x","last_seq_id":"abc"}', '{"type":"authenticate"}',
  ];
  for (const body of bodies) {
    const socket = await Live.open(server, { token: anna.token });
    socket.sendText(body);
    socket.send({ type: 'subscribe', subscription: { id: 'after', sql: 'SELECT * FROM bad.t WHERE id = 1', options: {} } });
    const after = await Promise.race([socket.ended, socket.next((m) => m.subscription_id === 'after').catch(() => socket.closed)]);
    check(after.type === 'subscription_ack' || after.code === 1011, `${body.slice(0, 90)}: ${JSON.stringify(after)}`);
    await socket.close();
  }
});

test('tokens of other kinds, on HTTP and WebSocket', async () => {
  for (const authorization of ['Bearer', 'Bearer ', `bearer${anna.token}`, `Bearer ${anna.token}.x`, `Bearer ${'a'.repeat(8000)}`, `Bearer ${anna.token.split('.').slice(0, 2).join('.')}.`, 'Digest x', 'Bearer \u00e9']) {
    const answer = await post(server, '/v1/api/sql', { sql: 'SELECT id FROM bad.t' }, { authorization: Buffer.from(authorization).toString('latin1') });
    equal(answer.status, 401, authorization.slice(0, 60));
    check(answer.json?.error?.code, 'a coded error');
  }
  const answer = await request(server, 'GET', '/v1/ws', { headers: { authorization: 'Bearer nonsense' } });
  check(answer.status >= 400 && answer.status < 500, 'the WebSocket route without an upgrade');
});

plainTest('it is the same process, and it still stops cleanly', async () => {
  equal((await server.stop()).code, 0, 'exit code');
});

run('badinput');
