// SPDX-License-Identifier: Apache-2.0
//
// The rules for subscriptions. One is {id, user, partition, query, from, isReplay, lastRows, sent, closed, first, readySeq, changes, code}:
// `first` is what came before it was ready, {row} of pages and {gone} of a resume, `changes` what came after.
//   1. first rows are the rows of one snapshot, the end of a commit, in _seq order or the order asked for; that
//      snapshot has all that was answered before the subscription was asked for;
//   2. a resume brings the newest state of every row that changed since, and every row that left; with `replay`: each change;
//   3. then every change that touches the filter, once, in order, as insert, update or delete, with the values of that moment;
//   4. nothing of another partition, ever.

import { tokensOf } from './feed.mjs';

/** What readers ask for; `holds`: whether a row is in the filter. */
export const QUERIES = {
  all: { sql: (table) => `SELECT id, g, v, n FROM h.${table}`, holds: () => true },
  star: { sql: (table) => `SELECT * FROM h.${table}`, holds: () => true },
  group: { sql: (table) => `SELECT id, g, v, n FROM h.${table} WHERE g = 2`, holds: (row) => row.g === '2' },
  even: { sql: (table) => `SELECT * FROM h.${table} WHERE n % 2 = 0`, holds: (row) => BigInt(row.n) % 2n === 0n },
  low: { sql: (table) => `SELECT id, v, n, g FROM h.${table} WHERE id < 6`, holds: (row, key) => Number(key) < 6 },
  ordered: { isOrdered: true, sql: (table) => `SELECT id, g, v, n FROM h.${table} ORDER BY n DESC, id`, holds: () => true },
  like: { sql: (table) => `SELECT id, g, v, n FROM h.${table} WHERE v LIKE '%3.%'`, holds: (row) => row.v.includes('3.') },
};

const compare = (x, y) => (x < y ? -1 : Number(x > y));
const bySeq = ([, x], [, y]) => compare(BigInt(x.seq), BigInt(y.seq));
const byCount = ([a, x], [b, y]) => compare(BigInt(y.n), BigInt(x.n)) || compare(BigInt(a), BigInt(b));
const textOf = (key, row) => `row ${key} (${row.v}, n=${row.n}, _seq ${row.seq})`;

export function checkSubscriptions(checker) {
  checker.figures.subscriptions = checker.history.subscriptions.length;
  checker.figures.delivered = 0;
  for (const s of checker.history.subscriptions) {
    checker.figures.delivered += s.first.length + s.changes.length;
    const found = leak(checker, s) ?? firstRows(checker, s) ?? resumed(checker, s) ?? changes(checker, s);
    if (!found) continue;
    const { rule, text, ids = [], at } = found;
    checker.violate(rule, `${s.id} of ${s.user}: ${text}`, { ids: [s.id, ...ids], at });
  }
}

/** Every value that a subscription was sent: {key, v}. */
export function valuesOf(s) {
  const events = [...s.first.map(({ gone }) => gone).filter(Boolean), ...s.changes];
  return [...s.first.filter(({ row }) => row), ...events].flatMap(({ key, row, old }) =>
    [row, old].filter((one) => one?.v !== undefined).map(({ v }) => ({ key, v })),
  );
}

function leak(checker, s) {
  for (const { key, v } of valuesOf(s)) {
    for (const token of tokensOf(v)) {
      const writer = checker.transactions.get(token.split('.')[0]);
      const wrote = writer?.operations.find((o) => o.token === token);
      if (!wrote) return { rule: 'a value of nobody', text: `row ${key} has ${token}, which no request wrote` };
      if (wrote.partition !== s.partition) {
        return { rule: 'a leaked row', ids: [writer.id], text: `row ${key} has ${token}, which was written to ${wrote.partition}` };
      }
    }
  }
  return null;
}

const holds = (s, key, row) => Boolean(row) && QUERIES[s.query].holds(row, key);

function firstRows(checker, s) {
  if (s.from !== null || !s.readySeq) return null;
  const { feed } = checker;
  const place = feed.placeOf(s.readySeq);
  if (feed.isInsideCommit(place)) {
    return {
      rule: 'a torn snapshot',
      at: place,
      text: `its first rows show ${s.readySeq}, inside ${checker.idAt(place)}`,
      ids: [checker.idAt(place)],
    };
  }
  let want = [...feed.rowsAt(s.partition, place)].filter(([key, row]) => holds(s, key, row)).sort(bySeq);
  if (s.lastRows) want = want.slice(-s.lastRows);
  if (QUERIES[s.query].isOrdered) want.sort(byCount);
  const found = listsDiffer(
    s.first.map(({ key, row }) => (row ? textOf(key, row) : `a deletion of row ${key}`)),
    want.map((pair) => textOf(...pair)),
  );
  if (found) return { rule: 'wrong first rows', at: place, text: `at ${s.readySeq} ${found}` };
  const due = checker.bounds.before(s.sent);
  const missed = feed.events.slice(place + 1, due + 1).findIndex((event) => event.partition === s.partition);
  if (missed < 0) return null;
  const id = checker.idAt(place + 1 + missed);
  return {
    rule: 'stale first rows',
    at: place + 1 + missed,
    ids: [id],
    text: `its first rows show ${s.readySeq}, before ${id}, which had been answered`,
  };
}

/** A resume without replay. */
function resumed(checker, s) {
  if (s.from === null || s.isReplay || !s.readySeq) return null;
  const { feed } = checker;
  const [since, place] = [feed.placeOf(s.from), feed.placeOf(s.readySeq)];
  const [before, after] = [feed.rowsAt(s.partition, since), feed.rowsAt(s.partition, place)];
  const changed = (key) => feed.changedBetween(s.partition, key, since, place + 1) >= 0;
  const want = [...after].filter(([key, row]) => holds(s, key, row) && changed(key)).sort(bySeq);
  const found = listsDiffer(
    s.first.filter(({ row }) => row).map(({ key, row }) => textOf(key, row)),
    want.map((pair) => textOf(...pair)),
  );
  if (found) return { rule: 'a wrong resume', at: place, text: `up to ${s.readySeq} ${found}` };
  const gone = new Set(s.first.filter((one) => one.gone).map((one) => one.gone.key));
  const missed = [...before].find(([key, row]) => holds(s, key, row) && !holds(s, key, after.get(key)) && !gone.has(key));
  return missed ? { rule: 'a gap', at: place, text: `the deletion of ${textOf(...missed)} up to ${s.readySeq} is missing` } : null;
}

function listsDiffer(got, want) {
  const at = want.findIndex((text, i) => got[i] !== text);
  const i = at < 0 ? want.length : at;
  return at < 0 && got.length === want.length ? null : `number ${i} is ${got[i] ?? 'missing'}, due was ${want[i] ?? 'none'}`;
}

function changes(checker, s) {
  const start = s.from !== null && s.isReplay ? s.from : s.readySeq;
  if (!start || s.changes.length === 0) return null;
  const got = s.changes.map(({ kind, key, seq, row, old }) => ({
    seq: BigInt(seq),
    text: `${kind} of row ${key} at ${seq}: ${(row ?? old).v}`,
  }));
  for (let i = 1; i < got.length; i++) {
    if (got[i].seq === got[i - 1].seq) return { rule: 'a change twice', text: got[i].text };
    if (got[i].seq < got[i - 1].seq) {
      return {
        rule: got.slice(0, i).some(({ text }) => text === got[i].text) ? 'a change twice' : 'disorder',
        text: `${got[i].text} comes after ${got[i - 1].seq}`,
      };
    }
  }
  const want = dueChanges(checker.feed, s, BigInt(start), got.at(-1).seq);
  const at = got.findIndex(({ text }, i) => text !== want[i]?.text);
  if (at < 0 && got.length === want.length) return null;
  const i = at < 0 ? got.length : at;
  if (!got[i] || want[i]?.seq < got[i].seq) {
    return { rule: 'a gap', at: want[i].at, text: `${want[i].text} is missing`, ids: [checker.idAt(want[i].at)] };
  }
  return { rule: 'a wrong change', at: want[i]?.at, text: `${got[i].text}; due was ${want[i]?.text ?? 'nothing'}` };
}

/** The changes that touch the filter, after one seq and up to another. */
function dueChanges(feed, s, after, last) {
  const due = [];
  feed.events.forEach(({ partition, key, number, row, seq }, at) => {
    if (partition !== s.partition || number <= after || number > last) return;
    const before = feed.rowAt(partition, key, at - 1);
    const [was, is] = [holds(s, key, before), holds(s, key, row)];
    const left = was ? 'delete' : null;
    const entered = was ? 'update' : 'insert';
    const kind = is ? entered : left;
    if (kind) due.push({ at, seq: number, text: `${kind} of row ${key} at ${seq}: ${(is ? row : before).v}` });
  });
  return due;
}
