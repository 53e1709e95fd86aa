// SPDX-License-Identifier: Apache-2.0
//
// Statements with a meaning: for each its SQL, and what it must answer and change on given rows. Every table has
// the columns id (the key), g (a small group), v (a text of tokens, one for each write of the row) and n (a count of writes).
// A token `T17.2` names the transaction and its statement, so that every value tells who wrote it.
//
// A row is {g, v, n, seq} of strings, its seq missing while it is not committed; rows are a Map of key to row.

/** Stands for the provisional _seq of a row that the transaction itself has written. */
export const ANY = Symbol('any _seq');
const TEXT_MAX = 80;
const FIRST_COPY = 1000; // keys from here on are copies made by INSERT … SELECT
const COLUMNS = 'id, v, n, _seq';

/** What a transaction sees: the rows of one snapshot, and on top of them what it has written. */
export class Sight {
  /** rowsOf: partition → rows of the snapshot, which are not changed. */
  constructor(rowsOf) {
    this.rowsOf = rowsOf;
    this.partitions = new Map();
    this.writes = new Map(); // "partition|key" → {partition, key, row or null}
    this.reads = new Map(); // the same, of rows that were read
  }

  rows(partition) {
    if (!this.partitions.has(partition)) this.partitions.set(partition, new Map(this.rowsOf(partition)));
    return this.partitions.get(partition);
  }

  read(partition, key) {
    this.reads.set(`${partition}|${key}`, { partition, key });
  }

  write(partition, key, row) {
    if (row) this.rows(partition).set(key, row);
    else this.rows(partition).delete(key);
    this.writes.set(`${partition}|${key}`, { partition, key, row });
  }

  hasWritten(partition) {
    return [...this.writes.values()].some((write) => write.partition === partition);
  }
}

const number = (text) => BigInt(text);
const sign = (x, y) => (x < y ? -1 : Number(x > y));
const shown = (key, row) => [key, row.v, row.n, row.seq ?? ANY];
const appended = (row, o) => ({ ...row, seq: undefined, v: `${row.v},${o.token}`.slice(-TEXT_MAX) });

/** The rows that `wants` accepts, each of them read. */
function matching(sight, partition, wants) {
  const found = [...sight.rows(partition)].filter(([key, row]) => wants(row, key));
  for (const [key] of found) sight.read(partition, key);
  return found;
}

/** Writes what `change` makes of each row that is found (null: it goes); how many there were. */
function rewrite(sight, partition, found, change) {
  for (const [key, row] of found) sight.write(partition, key, change(row));
  return found.length;
}

function byKey(sight, o) {
  const row = sight.rows(o.partition).get(o.key);
  if (row) sight.read(o.partition, o.key);
  return row ? [[o.key, row]] : [];
}

const byGroup = (sight, o) => matching(sight, o.partition, (row) => row.g === o.group);
const all = (sight, partition) => matching(sight, partition, () => true);

function summary(rows) {
  const texts = rows.map(([, row]) => row.v).sort();
  return [rows[0][1].g, String(rows.length), String(rows.reduce((sum, [, row]) => sum + number(row.n), 0n)), texts[0], texts.at(-1)];
}

/** Reads answer with rows of cells: `cells(sight, operation)`. isUnordered: in any order. */
const READS = {
  key: {
    sql: (o) => `SELECT ${COLUMNS} FROM h.${o.table} WHERE id = ${o.key}`,
    cells: (sight, o) => byKey(sight, o).map((pair) => shown(...pair)),
  },
  scan: {
    isUnordered: true,
    sql: (o) => `SELECT ${COLUMNS} FROM h.${o.table}`,
    cells: (sight, o) => all(sight, o.partition).map((pair) => shown(...pair)),
  },
  group: {
    isUnordered: true,
    sql: (o) => `SELECT ${COLUMNS} FROM h.${o.table} WHERE g = ${o.group}`,
    cells: (sight, o) => byGroup(sight, o).map((pair) => shown(...pair)),
  },
  count: { sql: (o) => `SELECT count(*) FROM h.${o.table}`, cells: (sight, o) => [[String(all(sight, o.partition).length)]] },
  countGroup: {
    sql: (o) => `SELECT count(*) FROM h.${o.table} WHERE g = ${o.group}`,
    cells: (sight, o) => [[String(byGroup(sight, o).length)]],
  },
  newest: {
    isBySeq: true,
    sql: (o) => `SELECT ${COLUMNS} FROM h.${o.table} ORDER BY _seq DESC LIMIT 5`,
    cells: (sight, o) =>
      [...sight.rows(o.partition)]
        .sort(([, x], [, y]) => sign(number(y.seq ?? 0), number(x.seq ?? 0)))
        .slice(0, 5)
        .map((pair) => shown(...pair)),
  },
  top: {
    sql: (o) => `SELECT id, v, n FROM h.${o.table} ORDER BY n DESC, id LIMIT 4`,
    cells: (sight, o) =>
      [...sight.rows(o.partition)]
        .sort(([a, x], [b, y]) => sign(number(y.n), number(x.n)) || sign(number(a), number(b)))
        .slice(0, 4)
        .map(([key, row]) => [key, row.v, row.n]),
  },
  summary: {
    sql: (o) => `SELECT g, count(*), sum(n), min(v), max(v) FROM h.${o.table} GROUP BY g ORDER BY g`,
    cells: (sight, o) => {
      const rows = all(sight, o.partition);
      const groups = [...new Set(rows.map(([, row]) => row.g))].sort((x, y) => x - y);
      return groups.map((g) => summary(rows.filter(([, row]) => row.g === g)));
    },
  },
  join: {
    isOfTwo: true,
    sql: (o) => `SELECT x.id, x.v, y.v, y.n FROM h.${o.table} x JOIN h.${o.other} y ON x.id = y.id ORDER BY x.id`,
    cells: (sight, o) => {
      const other = sight.rows(o.otherPartition);
      const both = matching(sight, o.partition, (row, key) => other.has(key)).sort(([a], [b]) => sign(number(a), number(b)));
      for (const [key] of both) sight.read(o.otherPartition, key);
      return both.map(([key, row]) => [key, row.v, other.get(key).v, other.get(key).n]);
    },
  },
};

/** Writes answer with how many rows they changed, or EXISTS: `count(sight, operation)`. */
export const EXISTS = 'exists';
const WRITES = {
  insert: {
    sql: (o) => `INSERT INTO h.${o.table} (id, g, v, n) VALUES (${o.key}, ${o.group}, '${o.token}', 1)`,
    count: (sight, o) => {
      if (sight.rows(o.partition).has(o.key)) return EXISTS;
      sight.write(o.partition, o.key, { g: o.group, v: o.token, n: '1' });
      return 1;
    },
  },
  append: {
    sql: (o) => `UPDATE h.${o.table} SET v = right(v || ',${o.token}', ${TEXT_MAX}), n = n + 1 WHERE id = ${o.key}`,
    count: (sight, o) => rewrite(sight, o.partition, byKey(sight, o), (row) => ({ ...appended(row, o), n: String(number(row.n) + 1n) })),
  },
  set: {
    sql: (o) => `UPDATE h.${o.table} SET v = '${o.token}', g = ${o.group} WHERE id = ${o.key}`,
    count: (sight, o) => rewrite(sight, o.partition, byKey(sight, o), (row) => ({ v: o.token, g: o.group, n: row.n })),
  },
  appendGroup: {
    sql: (o) => `UPDATE h.${o.table} SET v = right(v || ',${o.token}', ${TEXT_MAX}) WHERE g = ${o.group}`,
    count: (sight, o) => rewrite(sight, o.partition, byGroup(sight, o), (row) => appended(row, o)),
  },
  setToCount: {
    isOfTwo: true,
    sql: (o) => `UPDATE h.${o.table} SET v = '${o.token}', n = (SELECT count(*) FROM h.${o.other}) WHERE id = ${o.key}`,
    count: (sight, o) => {
      const size = all(sight, o.otherPartition).length;
      return rewrite(sight, o.partition, byKey(sight, o), (row) => ({ v: o.token, g: row.g, n: String(size) }));
    },
  },
  copy: {
    isOfTwo: true,
    sql: (o) =>
      `INSERT INTO h.${o.table} (id, g, v, n) SELECT id + ${o.offset}, g, '${o.token}', n FROM h.${o.other} ` +
      `WHERE g = ${o.group} AND id < ${FIRST_COPY}`,
    count: (sight, o) => {
      const found = matching(sight, o.otherPartition, (row, key) => row.g === o.group && Number(key) < FIRST_COPY);
      for (const [key, row] of found) sight.write(o.partition, String(Number(key) + o.offset), { g: row.g, v: o.token, n: row.n });
      return found.length;
    },
  },
  delete: {
    isDelete: true,
    sql: (o) => `DELETE FROM h.${o.table} WHERE id = ${o.key}`,
    count: (sight, o) => rewrite(sight, o.partition, byKey(sight, o), () => null),
  },
  deleteCopies: {
    isDelete: true,
    sql: (o) => `DELETE FROM h.${o.table} WHERE id > ${FIRST_COPY}`,
    count: (sight, o) =>
      rewrite(
        sight,
        o.partition,
        matching(sight, o.partition, (row, key) => Number(key) > FIRST_COPY),
        () => null,
      ),
  },
  truncate: {
    isDelete: true,
    sql: (o) => `TRUNCATE TABLE h.${o.table}`,
    count: (sight, o) => rewrite(sight, o.partition, all(sight, o.partition), () => null),
  },
};
for (const read of Object.values(READS)) read.isRead = true;

export const OPERATIONS = { ...READS, ...WRITES };
export const READ_NAMES = Object.keys(READS);
export const WRITE_NAMES = Object.keys(WRITES).filter((name) => !WRITES[name].isDelete);
export const DELETE_NAMES = Object.keys(WRITES).filter((name) => WRITES[name].isDelete);

const isEqual = (got, want) => got.length === want.length && got.every((cell, i) => want[i] === ANY || cell === want[i]);
const inKeyOrder = (rows) => [...rows].sort(([x], [y]) => sign(x, y));

/** Runs one statement on what is seen: {rows}, or {count}. */
export function perform(sight, o) {
  const kind = OPERATIONS[o.name];
  return kind.isRead
    ? { rows: kind.cells(sight, o), isAnyOrder: Boolean(kind.isBySeq && sight.hasWritten(o.partition)) }
    : { count: kind.count(sight, o) };
}

/** What the answer and the performed statement differ in, {got, want}, or null. */
export function difference(o, answer, performed) {
  if (performed.count !== undefined) {
    const text = (count) => (count === EXISTS ? 'a refusal, the key exists' : `${count} rows`);
    return answer.count === performed.count ? null : { got: text(answer.count), want: text(performed.count) };
  }
  if (performed.isAnyOrder) return null; // where rows stand that are not committed is not said
  const isSorted = !OPERATIONS[o.name].isUnordered;
  const [got, want] = isSorted ? [answer.rows, performed.rows] : [inKeyOrder(answer.rows), inKeyOrder(performed.rows)];
  const at = got.findIndex((row, i) => !want[i] || !isEqual(row, want[i]));
  if (at < 0 && got.length === want.length) return null;
  return rowDifference(got, want, at < 0 ? got.length : at);
}

/** The first row that differs, told by its key where only one side has it. */
function rowDifference(got, want, at) {
  const text = (row) => (row ? `(${row.map((cell) => (cell === ANY ? '…' : cell)).join(', ')})` : 'no row');
  const [mine, theirs] = [got[at], want[at]];
  if (mine && theirs && mine.length > 3 && mine[0] !== theirs[0]) {
    const isMissing = !got.some((row) => row[0] === theirs[0]);
    return isMissing ? { got: 'no row', want: text(theirs) } : { got: text(mine), want: 'no row' };
  }
  return { got: text(mine), want: text(theirs) };
}
