// SPDX-License-Identifier: Apache-2.0
//
// A database of a few lines that keeps every promise, since it does one request after the other, and records the
// history that a server with the same requests would leave. The self-test plants violations into it.

import { EXISTS, OPERATIONS, Sight, perform } from './operation.mjs';
import { QUERIES } from './live.mjs';
import { partitionOf } from './tables.mjs';

export class Mock {
  constructor() {
    this.tick = 0;
    this.seq = 1000;
    this.state = new Map(); // partition → Map of key to row
    this.open = []; // subscriptions
    this.history = { seed: 0, transactions: [], subscriptions: [], denials: [], openings: [], unsteady: ['dora'], partitions: {} };
  }

  rows(partition) {
    if (!this.state.has(partition)) {
      this.state.set(partition, new Map());
      this.history.partitions[partition] = { events: [], rows: [] };
    }
    return this.state.get(partition);
  }

  /** words: statements like "append a 3", of a name, a table and a key. options: as, isRolledBack. */
  request(user, words, { as = null, isRolledBack = false } = {}) {
    const { transactions } = this.history;
    const id = `T${transactions.length + 1}`;
    const operations = words.map((text, i) => {
      const [name, table, key = '1', other = null] = text.split(' ');
      const partition = partitionOf(table, as ?? user);
      return {
        name,
        table,
        partition,
        key,
        group: '2',
        other,
        otherPartition: other && partitionOf(other, as ?? user),
        token: `${id}.${i}`,
        offset: 1000 * transactions.length,
      };
    });
    const t = {
      id,
      user,
      as,
      isTransaction: words.length > 1,
      sql: operations.map((o) => OPERATIONS[o.name].sql(o)).join('; '),
      operations,
      sent: ++this.tick,
      answered: null,
      outcome: isRolledBack ? 'refused' : 'ok',
      answers: [],
      refusal: null,
    };
    transactions.push(t);
    const sight = new Sight((partition) => this.rows(partition));
    for (const o of operations) {
      const { rows, count } = perform(sight, o);
      t.answers.push(rows ? { rows: rows.map((row) => row.map((cell) => (typeof cell === 'symbol' ? '0' : cell))) } : { count });
      if (count === EXISTS) {
        Object.assign(t, { outcome: 'refused', answers: null, refusal: { message: 'Already exists', isKnown: true, isExisting: true } });
      }
      if (count === EXISTS) break;
    }
    if (t.outcome === 'ok') for (const write of sight.writes.values()) this.change(write);
    t.answered = ++this.tick;
    return t;
  }

  change({ partition, key, row }) {
    const rows = this.rows(partition);
    const old = rows.get(key) ?? null;
    if (!old && !row) return;
    const seq = String(++this.seq);
    const stands = row && { ...row, seq };
    const kinds = { insert: !old, delete: !row };
    const event = {
      kind: Object.keys(kinds).find((kind) => kinds[kind]) ?? 'update',
      key,
      seq,
      row: stands,
      old: old && { v: old.v, seq: row ? old.seq : seq },
    };
    this.history.partitions[partition].events.push(event);
    if (row) rows.set(key, stands);
    else rows.delete(key);
    for (const s of this.open.filter((one) => one.partition === partition)) this.deliver(s, event, old);
  }

  deliver(s, event, old) {
    const { holds } = QUERIES[s.query];
    const [was, is] = [old && holds(old, event.key), event.row && holds(event.row, event.key)];
    const told = {
      delete: { ...event, kind: 'delete', row: null, old: { ...old, seq: event.seq } },
      insert: { ...event, kind: 'insert', old: null },
      update: event,
    };
    const entered = was ? 'update' : 'insert';
    const kind = is ? entered : 'delete';
    if (was || is) s.changes.push(told[kind]);
  }

  /** A fresh subscription; it goes on to the end. */
  subscribe(user, table, query = 'all') {
    const s = this.begin(user, table, query, null);
    s.first = [...this.rows(s.partition)]
      .filter(([key, row]) => QUERIES[query].holds(row, key))
      .sort(([, x], [, y]) => x.seq - y.seq)
      .map(([key, row]) => ({ key, row }));
    return s;
  }

  /** One resumed from a seq: with replay, or with the rows that changed and those that are gone. */
  resume(user, table, from, isReplay) {
    const s = this.begin(user, table, 'all', from, isReplay);
    const since = this.history.partitions[s.partition].events.filter((event) => BigInt(event.seq) > BigInt(from));
    if (isReplay) s.changes = since;
    else {
      const last = [...new Map(since.map((event) => [event.key, event])).values()];
      s.first = since
        .filter((event) => last.includes(event))
        .map((event) => (event.row ? { key: event.key, row: event.row } : { gone: event }));
    }
    return s;
  }

  begin(user, table, query, from, isReplay = false) {
    const s = {
      id: `L${this.open.length + 1}`,
      user,
      partition: partitionOf(table, user),
      query,
      isReplay,
      from,
      lastRows: null,
      sent: ++this.tick,
      closed: null,
      first: [],
      readySeq: isReplay ? null : String(this.seq),
      changes: [],
      code: null,
    };
    this.rows(s.partition);
    this.open.push(s);
    this.history.subscriptions.push(s);
    return s;
  }

  /** The history, as one that was kept. */
  finish() {
    for (const s of this.open) s.closed = ++this.tick;
    for (const [partition, rows] of this.state) {
      this.history.partitions[partition].rows = [...rows].map(([key, { v, n, seq }]) => ({ key, v, n, seq }));
    }
    return JSON.parse(JSON.stringify(this.history));
  }
}
