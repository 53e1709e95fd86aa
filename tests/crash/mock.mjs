// SPDX-License-Identifier: Apache-2.0
//
// A stand-in for the server, for selftest.mjs only: it knows just the statements the crash load sends,
// keeps its rows in one log file, and can be told (MOCK_BUG) to break each promise the checker checks,
// so that the checker is seen to notice.

import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { serveLive } from './mock_live.mjs';
import { writeParquet } from './mock_parquet.mjs';

const BUG = process.env.MOCK_BUG || '';
if (process.argv.includes('--verify')) process.exit(BUG === 'verify' ? 1 : 0);
const dir = process.env.KALAMDB_DATA_DIR;
const isErasing = process.argv.some((arg) => arg.endsWith('.toml') && /deletion_grace_period_days = 0/.test(fs.readFileSync(arg, 'utf8')));
fs.mkdirSync(dir, { recursive: true });
const logFile = path.join(dir, 'log');
const EPOCH_MS = Date.UTC(2024, 0, 1);

const tables = new Map(); // name -> {kind, isLoose, ttlMs, columns: [{name, identity, initial}]}
const dropped = new Set(); // users
const backups = new Map(); // name -> [user, key, row, seq] of vault.t
const partitions = new Map(); // table|user -> {rows: Map, feed: [{seq, key, row, old}]}
let lastSeq = 0n;
let identity = 0;
let commits = 0;
let requests = 0;
let recovered = 0;
let exported = 0;
let keptEnd = null; // where the log must end again, after a call that the disk refused
let delayed = null; // the second half of a transaction, for a bug

function partition(name) {
  if (!partitions.has(name)) partitions.set(name, { name, rows: new Map(), feed: [] });
  return partitions.get(name);
}

/** One record of the log, in memory. Returns the changes by partition. */
function apply(record) {
  const changes = [];
  for (const table of record.create ?? []) tables.set(table, { ...record.table, columns: [] });
  for (const table of record.drop ?? []) {
    tables.delete(table);
    for (const name of partitions.keys()) if (BUG !== 'stale-table' && name.startsWith(`${table}|`)) partitions.delete(name);
  }
  if (record.alter) alter(record);
  if (record.backup) backups.set(record.backup, record.rows);
  if (record.dropUser) dropped.add(record.dropUser);
  if (record.restoreUser) dropped.delete(record.restoreUser);
  for (const [name, key, row, seqText] of record.changes ?? []) {
    const p = partition(name);
    const seq = BigInt(seqText);
    const old = p.rows.get(key);
    const version = row && { ...row, id: key, seq };
    if (version) p.rows.set(key, version);
    else p.rows.delete(key);
    if (seq > lastSeq) lastSeq = seq;
    p.feed.push({ seq, key, row: version, old });
    changes.push({ partition: name, ...p.feed[p.feed.length - 1] });
  }
  return changes;
}

/** Nothing of those who are dropped stays, in memory or in the file. What the disk refuses is done with the next, or at a start. */
function erase() {
  if (!isErasing || dropped.size === 0 || BUG === 'unerased') return;
  const users = [...dropped];
  for (const name of partitions.keys()) if (users.some((user) => name.endsWith(`|${user}`))) partitions.delete(name);
  try {
    heal();
    const lines = fs.readFileSync(logFile, 'utf8').split('\n');
    rewrite(lines.filter((line) => line && !users.some((user) => line.includes(`|${user}"`))));
  } catch (error) {
    if (!isOfDisk(error)) throw error;
  }
  if (BUG === 'unerased-folder') fs.mkdirSync(path.join(dir, 'storage/user', users.at(-1)), { recursive: true });
}

/** Another log takes the place of the old one. */
function rewrite(lines) {
  const fresh = `${logFile}.new`;
  fs.writeFileSync(fresh, lines.map((line) => `${line}\n`).join(''));
  const next = fs.openSync(fresh, 'a');
  fs.fsyncSync(next);
  fs.renameSync(fresh, logFile);
  if (log !== null) fs.closeSync(log);
  log = next;
  syncFolder();
}

function syncFolder() {
  const folder = fs.openSync(dir, 'r');
  try {
    fs.fsyncSync(folder);
  } finally {
    fs.closeSync(folder);
  }
}

function alter({ alter: name, change }) {
  const table = tables.get(name);
  const column = table.columns.find((one) => one.name === change.name);
  const initial = BUG === 'lost-default' ? null : change.initial;
  if (change.kind === 'ADD') table.columns.push({ name: change.name, identity: ++identity, initial });
  if (change.kind === 'DROP') table.columns = table.columns.filter((one) => one !== column);
  if (change.kind === 'RENAME') column.name = change.to;
}

/** What was not synced when the power was cut may be torn; the log ends before it. */
function recover() {
  let lines = fs.readFileSync(logFile, 'utf8').split('\n');
  lines.pop();
  const torn = lines.findIndex((line) => !isWhole(line));
  if (torn >= 0) lines = lines.slice(0, torn);
  if (BUG === 'lose') lines.splice(Math.max(0, lines.length - 3));
  if (BUG === 'refuse-start' && lines.length > 80) process.exit(3);
  const isLooseTable = (line) => /"crash\.(loose|events|ticks)\|/.test(line);
  const isKept = (line, i) => !(BUG === 'loose-hole' && isLooseTable(line) && i % 7 === 0) &&
    !(BUG === 'loose-tail' && isLooseTable(line) && i > lines.length - 40) &&
    !(BUG === 'undrop-user' && /"dropUser"/.test(line)) && !(BUG === 'drop-again' && /"restoreUser"/.test(line)) &&
    !(BUG === 'undrop-copy' && /"drop":\["copy/.test(line)) &&
    !(BUG === 'alter-lost' && /"alter"/.test(line) && i > lines.length - 60) &&
    !(BUG === 'half-after' && /"isSecond":true/.test(line));
  lines = lines.filter(isKept);
  rewrite(lines.filter((line) => {
    const record = JSON.parse(line);
    const isKnown = !isForgotten(record);
    if (isKnown) apply(record);
    return isKnown;
  }));
}

/** Single changes that a start forgets, for bugs. */
function isForgotten({ changes }) {
  if (changes?.length !== 1 || ++recovered % 3) return false;
  const [[name, key, row]] = changes;
  const isThere = partition(name).rows.has(key);
  return isThere && BUG === (row ? 'old-update' : 'undelete');
}

function isWhole(line) {
  try {
    return Boolean(JSON.parse(line));
  } catch {
    return false;
  }
}

let log = null;
if (fs.existsSync(logFile)) recover();
else rewrite([]);
erase();
lastSeq = (lastSeq > clockSeq() ? lastSeq : clockSeq()) + 1000n;
const startSeq = lastSeq; // cursors of loose tables before it are too old

function clockSeq() {
  return BigInt(Date.now() - EPOCH_MS) << 22n;
}

function nextSeq() {
  lastSeq = lastSeq + 1n > clockSeq() ? lastSeq + 1n : clockSeq();
  return String(lastSeq);
}

function isOfDisk(error) {
  return error.code === 'EIO' || error.code === 'ENOSPC';
}

/** What was refused is not there. */
function heal() {
  if (keptEnd === null) return;
  if (BUG === 'stuck') throw Object.assign(new Error('as before'), { code: 'EIO' });
  fs.ftruncateSync(log, keptEnd);
  keptEnd = null;
}

/** Takes back what was refused in part. Who cannot tell does not say that nothing was done. */
function refuse(error) {
  try {
    heal();
  } catch {
    error.isUnknown = true;
  }
  throw error;
}

/** Appends a record, or throws. */
function store(record, isLoose) {
  heal();
  keptEnd = fs.fstatSync(log).size;
  try {
    for (let rest = Buffer.from(`${JSON.stringify(record, plain)}\n`); rest.length;) rest = rest.subarray(fs.writeSync(log, rest));
    if (BUG !== 'nosync' && !isLoose) fs.fsyncSync(log);
  } catch (error) {
    if (BUG !== 'deaf') refuse(error);
    heal();
  }
  keptEnd = null;
}

/** changes: [partition, key, row or null]; one commit. */
function commit(changes, isTransaction = false) {
  commits++;
  let kept = BUG === 'half' && changes.length > 1 && commits % 5 === 0 ? changes.slice(1) : changes;
  if (BUG === 'two-places' && isTransaction && kept.length > 2 && !delayed) {
    delayed = kept.slice(2);
    kept = kept.slice(0, 2);
  }
  if (BUG === 'half-after' && kept.length > 3) {
    write(kept.slice(0, 2), false);
    write(kept.slice(2), true);
  } else {
    write(kept, false);
  }
  if (delayed && !isTransaction) {
    const late = delayed;
    delayed = null;
    write(late, false);
  }
}

function write(changes, isSecond) {
  const record = { changes: changes.map(([name, key, row]) => [name, key, row, nextSeq()]), isSecond };
  const isLoose = changes.every(([name]) => tables.get(name.split('|')[0]).isLoose);
  if (!(BUG === 'unsynced' && commits % 40 > 20)) store(record, isLoose);
  live.publish(apply(record), commits);
}

/** Rows that were deleted, of a partition. */
function deletedOf({ rows, feed }) {
  return feed.filter(({ key, row, old }) => !row && old && !rows.has(key)).map(({ old }) => old);
}

/** Backups of vault.t and what is made of them: a record, empty for a job that fails; undefined for other statements. */
function keep(sql) {
  const [, verb, name] = /^(BACKUP|RESTORE) .*'(\w+)'$/.exec(sql) ?? [];
  if (/^DROP NAMESPACE copy/.test(sql)) return { drop: BUG === 'drop-half' ? ['copy.t'] : ['copy.t', 'copy.more'] };
  if (verb === 'BACKUP') {
    const parts = [...partitions.values()].filter((p) => p.name.startsWith('vault.t|'));
    const rowsOf = (p) => [...p.rows.values(), ...(BUG === 'restore-deleted' ? deletedOf(p) : [])];
    return { backup: name, rows: parts.flatMap((p) => rowsOf(p).map((row) => [p.name.split('|')[1], row.id, row, String(row.seq)])) };
  }
  if (!verb) return undefined;
  if (!backups.has(name) || BUG === 'backup-broken') return {};
  const rows = backups.get(name).slice(BUG === 'restore-half' ? 1 : 0);
  const owner = (user) => (BUG === 'restore-mixed' ? 'Ann' : user);
  return { create: ['copy.t', 'copy.more'], table: { kind: 'USER', isLoose: false, ttlMs: null },
    changes: rows.map(([user, key, row, seq]) => [`copy.t|${owner(user)}`, key, row, BUG === 'restore-reseq' ? nextSeq() : seq]) };
}

/** Writes a file for each table in which the user has rows. Returns the name of the job. */
function exportRows(user) {
  const job = `E-${Date.now()}-${++exported}`;
  const home = path.join(dir, 'exports', user, job);
  fs.mkdirSync(home, { recursive: true });
  for (const p of [...partitions.values()].filter(({ name }) => name.endsWith(`|${user}`))) {
    const table = p.name.split('|')[0];
    const rows = [...p.rows.values()].slice(BUG === 'export-short' ? 1 : 0);
    if (BUG === 'export-deleted') rows.push(...deletedOf(p));
    if (BUG === 'export-other') rows.push(...[...partitions.values()].filter((other) => other !== p && other.name.startsWith(`${table}|`))
      .flatMap((other) => [...other.rows.values()]).slice(0, 1));
    if (rows.length) writeParquet(path.join(home, `${table}.parquet`), rows);
  }
  return job;
}

const answer = (count, word) => ({ row_count: count, message: `${word} ${count} row(s)` });

/** A statement that defines something; undefined if it does not. */
function define(sql, table, user) {
  if (/^DROP NAMESPACE probe/.test(sql)) store({}, false);
  if (/^EXPORT/.test(sql)) return { row_count: 0, message: `Job ID: ${exportRows(user)}` };
  if (/^STORAGE COMPACT/.test(sql) && BUG === 'undelete-compact') undelete(sql);
  if (/^(DROP NAMESPACE probe|CREATE (NAMESPACE|USER ')|STORAGE)/.test(sql)) return answer(0, 'Done');
  const created = /^CREATE (USER|SHARED|STREAM) TABLE/.exec(sql);
  const [, verb, name] = /^(ALTER|DROP) USER '(\w+)'/.exec(sql) ?? [];
  let record = keep(sql);
  if (record) {
    store(record, false);
    apply(record);
    return { row_count: 0, message: `Job ID: J-${Object.keys(record).length}` };
  }
  if (verb) {
    record = verb === 'DROP' ? { dropUser: name } : { restoreUser: name };
    if (verb === 'ALTER' && BUG === 'restore-short') live.publish(apply({ changes: [[`crash.brief|${name}`, 1, null, nextSeq()]] }), commits);
  } else if (created) {
    const ttl = /TTL_SECONDS = (\d+)/.exec(sql)?.[1];
    const isLoose = /async/.test(sql) || Boolean(ttl);
    record = { create: [table], table: { kind: created[1], isLoose, ttlMs: ttl ? ttl * 1000 : null } };
  } else if (/^DROP TABLE/.test(sql)) {
    if (BUG === 'undrop') return answer(0, 'Dropped');
    record = { drop: [table] };
  } else if (/^ALTER/.test(sql)) {
    const [, kind, name, rest] = /TABLE [\w.]+ (ADD|DROP|RENAME|MODIFY) COLUMN (\w+) ?(.*)/.exec(sql);
    const initial = Number(/DEFAULT (\d+)/.exec(rest)?.[1] ?? NaN);
    record = { alter: table, change: { kind, name, to: /TO (\w+)/.exec(rest)?.[1], initial: initial >= 0 ? initial : null } };
  }
  if (!record) return undefined;
  store(record, false);
  apply(record);
  if (record.dropUser) erase();
  if (record.alter && BUG !== 'silent-alter') live.altered(table, record.change.kind);
  return answer(0, 'Defined');
}

/** A compaction lets some rows come back that were deleted. */
function undelete(sql) {
  const [, name = 'crash.'] = /TABLE (\S+)/.exec(sql) ?? [];
  const changes = [...partitions.values()].filter((p) => p.name.startsWith(name))
    .flatMap((p) => deletedOf(p).slice(-3).map((row) => [p.name, row.id, row, String(row.seq)]));
  store({ changes }, false);
  apply({ changes });
}

/** Runs a statement against the rows and what the transaction has staged: Map of partition to Map of key to row. */
function run(sql, user, staged) {
  if (/job_id =/.test(sql)) return { schema: [{ name: 'status' }, { name: 'message' }], rows: [[/J-0/.test(sql) ? 'failed' : 'completed', '']], row_count: 1 };
  const name = /(?:FROM|INTO|UPDATE|TABLE(?: IF EXISTS)?|NAMESPACE) ([\w.']+)/.exec(sql)?.[1];
  const defined = define(sql, name, user);
  if (defined) return defined;
  const table = tables.get(name);
  if (!table) throw new Error(`Table not found: ${name}`);
  const place = table.kind === 'SHARED' ? `${name}|` : `${name}|${user}`;
  if (!staged.has(place)) staged.set(place, new Map());
  const mine = staged.get(place);
  const expired = clockSeq() - (BigInt(table.ttlMs ?? 0) << (BUG === 'expires-early' ? 20n : 22n));
  const isCount = /^SELECT COUNT/.test(sql);
  const rows = new Map([...partition(place).rows, ...(isCount && BUG === 'blind' ? [] : mine)]);
  if ((isCount && BUG === 'leak-count') || (/ WHERE id = /.test(sql) && BUG === 'leak-key')) addOthers(rows, name);
  for (const [key, row] of rows) {
    if (row === null || (table.ttlMs && row.seq < expired && BUG !== 'expired')) rows.delete(key);
  }
  if (/^SELECT/.test(sql)) return select(sql, table, name, rows);
  if (/^INSERT/.test(sql)) return insert(sql, table, rows, mine);
  const keys = /^TRUNCATE/.test(sql) ? [...rows.keys()] : matching(sql, rows);
  if (!/^UPDATE/.test(sql)) {
    for (const key of BUG === 'truncate' && /^TRUNCATE/.test(sql) ? keys.slice(1) : keys) mine.set(key, null);
    return answer(keys.length, 'Deleted');
  }
  const [, set] = / SET (.*) WHERE/.exec(sql);
  let changed = 0;
  for (const key of keys) {
    const row = updated(rows.get(key), set, table);
    if (JSON.stringify(row, plain) === JSON.stringify(rows.get(key), plain)) continue;
    changed++;
    mine.set(key, row);
  }
  return answer(changed, 'Updated');
}

/** Rows of other users, where there is none with the key. */
function addOthers(rows, table) {
  for (const p of partitions.values()) {
    if (!p.name.startsWith(`${table}|`)) continue;
    for (const [key, row] of p.rows) if (!rows.has(key)) rows.set(key, row);
  }
}

/** Without the seq of the version before. */
function plain(key, value) {
  return key === 'seq' ? undefined : value;
}

function columnOf(table, name) {
  const column = table.columns.find((one) => one.name === name);
  if (!column) throw new Error(`Column '${name}' does not exist`);
  return column;
}

function insert(sql, table, rows, mine) {
  const extra = /\(id, n, body, (\w+)\)/.exec(sql)?.[1];
  const column = extra && columnOf(table, extra);
  let count = 0;
  for (const [, key, n, body, value] of sql.matchAll(/\((\d+), (\d+), '([^']*)'(?:, (\d+))?\)/g)) {
    if (rows.has(Number(key)) && BUG !== 'duplicate') throw new Error('Already exists');
    mine.set(Number(key), { id: Number(key), n: Number(n), body, x: column ? { [column.identity]: Number(value) } : {} });
    count++;
  }
  return answer(count, 'Inserted');
}

function updated(row, set, table) {
  const next = { ...row, n: Number(/n = (\d+)/.exec(set)[1]), body: /body = '([^']*)'/.exec(set)?.[1] ?? row.body, x: { ...row.x } };
  const extra = /(x\d) = (\d+)/.exec(set);
  if (!extra) return next;
  const column = columnOf(table, extra[1]);
  if ((row.x[column.identity] ?? column.initial) !== Number(extra[2])) next.x[column.identity] = Number(extra[2]);
  return next;
}

function select(sql, table, name, rows) {
  const wanted = /^SELECT (.*) FROM/.exec(sql)[1];
  if (wanted.startsWith('COUNT')) return { schema: [{ name: 'c' }], rows: [[String(rows.size)]], row_count: 1 };
  const isNewest = /ORDER BY _seq DESC/.test(sql);
  const order = isNewest ? (a, b) => (rows.get(a).seq < rows.get(b).seq ? 1 : -1) : (a, b) => a - b;
  let keys = matching(sql, rows).sort(order).slice(BUG === 'hidden-newest' && isNewest ? 1 : 0, Number(/LIMIT (\d+)/.exec(sql)?.[1] ?? 100000));
  if (BUG === 'twice' && keys.length > 20) keys = [...keys, keys[5]].sort((a, b) => a - b);
  const shown = keys.map((key) => live.shown(rows.get(key), table));
  if (BUG === 'leak-rest' && shown.length > 30) shown[9].body = 'of-another k1';
  if (BUG === 'reseq' && shown.length > 30) shown[9]._seq = shown[8]._seq;
  const names = wanted === '*' ? live.namesOf(table) : wanted.split(', ');
  const cells = shown.map((row) => names.map((one) => row[one]));
  return { schema: names.map((one) => ({ name: one })), rows: cells, row_count: cells.length };
}

function matching(sql, rows) {
  const number = (pattern) => Number(pattern.exec(sql)?.[1]);
  const list = /id IN \(([\d, ]+)\)/.exec(sql)?.[1].split(', ').map(Number);
  const tests = [
    [/id = (\d+)/, (key, n) => key === n], [/id > (-?\d+)/, (key, n) => key > n],
    [/id >= (\d+)/, (key, n) => key >= n], [/id <= (\d+)/, (key, n) => key <= n],
  ].filter(([pattern]) => pattern.test(sql));
  return [...rows.keys()].filter((key) =>
    (!list || list.includes(key)) && tests.every(([pattern, holds]) => holds(key, number(pattern))));
}

/** The statements of one request; BEGIN … COMMIT is one commit. */
function runAll(sql, user) {
  const staged = new Map();
  const texts = sql.split('; ');
  const results = texts.map((text) => /^(BEGIN|COMMIT|ROLLBACK)/.test(text) ? answer(0, text) : run(text, user, staged));
  const isVoid = texts[texts.length - 1] === 'ROLLBACK' && BUG !== 'rollback';
  const changes = [...staged].flatMap(([place, rows]) => [...rows].map(([key, row]) => [place, key, row]))
    .filter(([place, key, row]) => row || partition(place).rows.has(key));
  if (changes.length && !isVoid) commit(changes, texts.length > 1);
  return results;
}

const server = http.createServer((request, response) => {
  let text = '';
  request.on('data', (chunk) => {
    text += chunk;
  });
  request.on('end', () => {
    const reply = (status, value) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    if (request.url === '/health') return reply(200, { status: 'healthy' });
    requests++;
    if (BUG === 'abort' && requests > 150) process.exit(134);
    if (BUG === 'hang' && requests > 150) return undefined;
    const body = JSON.parse(text);
    if (request.url === '/v1/api/auth/login' && dropped.has(body.user)) return reply(401, {});
    if (request.url === '/v1/api/auth/login') return reply(200, { access_token: body.user });
    const user = request.headers.authorization.slice(7);
    if (dropped.has(user) && BUG !== 'old-token') return reply(401, { status: 'error', results: [], took: 0, error: { code: 'UNAUTHORIZED', message: 'gone' } });
    try {
      return reply(200, { status: 'success', results: runAll(body.sql, user), took: 0 });
    } catch (error) {
      const refusal = isOfDisk(error) ? [507, 'DISK_FULL'] : [400, 'SQL_EXECUTION_ERROR'];
      const [status, code] = error.isUnknown ? [500, 'OUTCOME_UNKNOWN'] : refusal;
      return reply(status, { status: 'error', results: [], took: 0, error: { code, message: error.message } });
    }
  });
});

const live = serveLive(server, { BUG, tables, partition, startSeq, partitions, lastSeq: () => lastSeq });
process.on('SIGTERM', () => process.exit(0));
server.keepAliveTimeout = 0; // a slow client finds its connection open
server.listen(Number(process.env.KALAMDB_SERVER_PORT), '127.0.0.1');
