// SPDX-License-Identifier: Apache-2.0
//
// A stand-in for the server, for selftest.mjs only: it knows just the statements the crash load sends,
// keeps its rows in one log file, and can be told (MOCK_BUG) to break each promise the checker checks,
// so that the checker is seen to notice.

import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { createRequire } from 'node:module';

const require = createRequire(new URL('../e2e/package.json', import.meta.url));
const { WebSocketServer } = require('ws');

const BUG = process.env.MOCK_BUG || '';
const dir = process.env.KALAMDB_DATA_DIR;
fs.mkdirSync(dir, { recursive: true });
const logFile = path.join(dir, 'log');

const partitions = new Map(); // table|user -> {rows: Map, feed: [{seq, key, row, old}]}
const tables = new Set();
let lastSeq = 1000000;
let commits = 0;
const subscriptions = new Set();

function partition(name) {
  if (!partitions.has(name)) partitions.set(name, { rows: new Map(), feed: [] });
  return partitions.get(name);
}

function apply(record) {
  if (record.create) tables.add(record.create);
  if (record.drop) {
    tables.delete(record.drop);
    for (const name of partitions.keys()) if (name.startsWith(`${record.drop}|`)) partitions.delete(name);
  }
  const changes = [];
  for (const [key, row] of record.changes ?? []) {
    const p = partition(record.partition);
    const seq = ++lastSeq;
    const old = p.rows.get(key);
    const version = row && { id: String(key), ...row, _seq: String(seq), _deleted: false };
    if (version) p.rows.set(key, version);
    else p.rows.delete(key);
    const change = { seq, key, row: version, old };
    p.feed.push(change);
    changes.push(change);
  }
  return changes;
}

/** What was not synced when the power was cut may be torn; the log ends before it. */
if (fs.existsSync(logFile)) {
  let lines = fs.readFileSync(logFile, 'utf8').split('\n');
  lines.pop();
  const torn = lines.findIndex((line) => !whole(line));
  if (torn >= 0) lines = lines.slice(0, torn);
  if (BUG === 'lose') lines.splice(Math.max(0, lines.length - 3));
  if (BUG === 'refuse-start' && lines.length > 20) process.exit(3);
  for (const line of lines) apply(JSON.parse(line));
  fs.truncateSync(logFile, Buffer.byteLength(lines.map((line) => `${line}\n`).join('')));
}
const log = fs.openSync(logFile, 'a');
fs.fsyncSync(log);
fs.fsyncSync(fs.openSync(dir, 'r'));

function whole(line) {
  try {
    return Boolean(JSON.parse(line));
  } catch {
    return false;
  }
}

function store(record) {
  fs.writeSync(log, `${JSON.stringify(record)}\n`);
  if (BUG !== 'nosync') fs.fsyncSync(log);
}

function commit(record) {
  commits++;
  const stored = BUG === 'half' && record.changes?.length > 1 ? { ...record, changes: record.changes.slice(1) } : record;
  if (!(BUG === 'unsynced' && commits % 40 > 20)) store(stored);
  for (const change of apply(stored)) {
    for (const subscription of subscriptions) {
      if (subscription.partition !== record.partition && BUG !== 'leak') continue;
      if (BUG === 'gap' && commits % 15 === 0) continue;
      subscription.send(change);
      if (BUG === 'double' && commits % 15 === 0) subscription.send(change);
    }
  }
}

function run(sql, user) {
  const table = /(?:FROM|INTO|UPDATE|TABLE(?: IF EXISTS)?|NAMESPACE) ([\w.]+)/.exec(sql)?.[1];
  const name = table === 'crash.shared' ? `${table}|` : `${table}|${user}`;
  const done = (n, word) => ({ row_count: n, message: `${word} ${n} row(s)`, as_user: user });
  if (/^CREATE (NAMESPACE|USER ')/.test(sql)) return done(0, 'Created');
  if (/^CREATE/.test(sql)) {
    commit({ create: table });
    return done(0, 'Created');
  }
  if (/^DROP TABLE/.test(sql)) {
    if (BUG !== 'undrop') commit({ drop: table });
    return done(0, 'Dropped');
  }
  if (/^STORAGE FLUSH/.test(sql)) return done(0, 'Flushed');
  if (!tables.has(table)) throw new Error(`Table not found: ${table}`);
  const p = partition(name);
  if (/^INSERT/.test(sql)) {
    const changes = [...sql.matchAll(/\((\d+), (?:(\d+), )?'([^']*)'\)/g)]
      .map(([, key, n, body]) => [Number(key), { n: Number(n ?? 0), body }]);
    if (table !== 'crash.events' && changes.some(([key]) => p.rows.has(key))) throw new Error('Already exists');
    commit({ partition: name, changes });
    return done(changes.length, 'Inserted');
  }
  if (/^SELECT COUNT/.test(sql)) return { schema: [{ name: 'c' }], rows: [[String(p.rows.size)]], row_count: 1 };
  const keys = matching(sql, p);
  if (/^UPDATE/.test(sql)) {
    const set = /n = (\d+)(?:, body = '([^']*)')? WHERE/.exec(sql);
    commit({ partition: name, changes: keys.map((key) => {
      const { n, body } = p.rows.get(key);
      return [key, { n: set ? Number(set[1]) : n + 1, body: set?.[2] ?? body }];
    }) });
    return done(keys.length, 'Updated');
  }
  if (/^DELETE/.test(sql)) {
    commit({ partition: name, changes: keys.map((key) => [key, null]) });
    return done(keys.length, 'Deleted');
  }
  const columns = /^SELECT (.*) FROM/.exec(sql)[1].split(', ');
  const rows = keys.sort((a, b) => a - b).slice(0, Number(/LIMIT (\d+)/.exec(sql)?.[1] ?? 1000))
    .map((key) => columns.map((column) => p.rows.get(key)[column]));
  return { schema: columns.map((column) => ({ name: column })), rows, row_count: rows.length };
}

function matching(sql, p) {
  const number = (pattern) => Number(pattern.exec(sql)?.[1]);
  const list = /id IN \(([\d, ]+)\)/.exec(sql)?.[1].split(', ').map(Number);
  const tests = [
    [/id = (\d+)/, (key, n) => key === n], [/id > (-?\d+)/, (key, n) => key > n],
    [/id >= (\d+)/, (key, n) => key >= n], [/id <= (\d+)/, (key, n) => key <= n],
  ].filter(([pattern]) => pattern.test(sql));
  return [...p.rows.keys()].filter((key) =>
    (!list || list.includes(key)) && tests.every(([pattern, holds]) => holds(key, number(pattern))));
}

const server = http.createServer((request, response) => {
  let text = '';
  request.on('data', (chunk) => {
    text += chunk;
  });
  request.on('end', () => {
    const answer = (status, value) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    if (request.url === '/health') return answer(200, { status: 'healthy' });
    const body = JSON.parse(text);
    if (request.url === '/v1/api/auth/login') return answer(200, { access_token: body.user });
    try {
      const user = request.headers.authorization.slice(7);
      return answer(200, { status: 'success', results: [run(body.sql, user)], took: 0 });
    } catch (error) {
      return answer(400, { status: 'error', results: [], took: 0, error: { code: 'SQL_EXECUTION_ERROR', message: error.message } });
    }
  });
});

new WebSocketServer({ server, path: '/v1/ws' }).on('connection', (socket) => {
  let user;
  const mine = new Set();
  const send = (text) => socket.send(text.replace(/"last_seq_id":"(\d+)"/, '"last_seq_id":$1'));
  socket.on('message', (data) => {
    const message = JSON.parse(data);
    if (message.type === 'authenticate') {
      user = message.token;
      send(JSON.stringify({ type: 'auth_success', user, role: 'user', protocol: message.protocol }));
    }
    if (message.type !== 'subscribe') return;
    const { id, sql, options } = message.subscription;
    const table = /FROM ([\w.]+)/.exec(sql)[1];
    const name = table === 'crash.shared' ? `${table}|` : `${table}|${user}`;
    subscribe(send, mine, name, id, options ?? {});
  });
  socket.on('close', () => {
    for (const subscription of mine) subscriptions.delete(subscription);
  });
});

function subscribe(send, mine, name, id, options) {
  const p = partition(name);
  const from = options.from ?? 0;
  const size = options.batch_size ?? 1000;
  const rows = [...p.rows.values()].filter((row) => Number(row._seq) > from)
    .sort((a, b) => Number(a._seq) - Number(b._seq));
  if (BUG === 'resume-short' && from) rows.splice(0, 1);
  send(JSON.stringify({ type: 'subscription_ack', subscription_id: id, total_rows: 0, schema: [],
    batch_control: { batch_num: 0, has_more: false, status: 'ready', last_seq_id: String(lastSeq) } }));
  const pages = Math.max(1, Math.ceil(rows.length / size));
  for (let i = 0; i < pages; i++) {
    const part = rows.slice(i * size, (i + 1) * size);
    const hasMore = i < pages - 1;
    send(JSON.stringify({ type: 'initial_data_batch', subscription_id: id, rows: part, batch_control: {
      batch_num: i, has_more: hasMore, status: hasMore ? 'loading' : 'ready',
      last_seq_id: String(hasMore ? part[part.length - 1]._seq : lastSeq) } }));
  }
  const change = ({ seq, row, old }) => send(JSON.stringify({ type: 'change', subscription_id: id,
    change_type: row ? (old ? 'update' : 'insert') : 'delete',
    ...(row ? { rows: [row] } : {}), ...(old ? { old_values: [{ ...old, _seq: row ? old._seq : String(seq) }] } : {}) }));
  if (from && BUG !== 'resume-deletes') {
    const last = new Map();
    for (const entry of p.feed) if (entry.seq > from) last.set(entry.key, entry);
    for (const entry of last.values()) {
      if (!entry.row) change({ seq: entry.seq, row: null, old: entry.old ?? {} });
    }
  }
  const subscription = { partition: name, send: change };
  mine.add(subscription);
  subscriptions.add(subscription);
}

process.on('SIGTERM', () => process.exit(0));
server.listen(Number(process.env.KALAMDB_SERVER_PORT), '127.0.0.1');
