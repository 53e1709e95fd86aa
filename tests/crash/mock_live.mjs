// SPDX-License-Identifier: Apache-2.0
//
// The live half of the stand-in of mock.mjs: subscriptions of the two kinds of query that the load asks,
// first rows, resume with and without `replay`, changes, and the bugs that MOCK_BUG asks for.

import { createRequire } from 'node:module';

const require = createRequire(new URL('../e2e/package.json', import.meta.url));
const { WebSocketServer } = require('ws');

export function serveLive(server, { BUG, tables, partition, partitions, startSeq, lastSeq }) {
  const subscriptions = new Set();

  const namesOf = (table) => ['id', 'n', 'body', ...table.columns.map((column) => column.name), '_seq', '_deleted'];
  const shown = (row, table, isStar = true) => ({
    id: String(row.id), n: row.n, body: row.body,
    ...(isStar ? Object.fromEntries(table.columns.map(({ name, identity, initial }) => [name, row.x[identity] ?? initial])) : {}),
    _seq: String(row.seq), _deleted: false,
  });

  function publish(changes, commits) {
    const isTurned = BUG === 'disorder' && commits % 10 === 0;
    (isTurned ? [...changes].reverse() : changes).forEach((change, i) => {
      for (const subscription of [...subscriptions]) {
        const isLeak = BUG === 'leak' || (BUG === 'leak-delete' && !change.row && change.partition.startsWith(`${subscription.table}|`));
        if (subscription.place !== change.partition && !isLeak) continue;
        if (BUG === 'gap' && commits % 15 === 0) continue;
        if (BUG === 'half-live' && i > 0 && commits % 10 === 0) continue;
        subscription.change(change);
        if (BUG === 'double' && commits % 15 === 0) subscription.change(change);
      }
    });
  }

  function altered(name, kind) {
    for (const subscription of [...subscriptions]) {
      if (subscription.table === name) subscription.altered(kind);
    }
  }

  class Subscription {
    constructor(send, user, features, { id, sql, options }) {
      this.table = /FROM ([\w.]+)/.exec(sql)[1];
      this.isStar = /SELECT \*/.test(sql);
      const isFiltered = /n % 2 = 0/.test(sql) && BUG !== 'unfiltered';
      this.matches = (row) => Boolean(row) && (!isFiltered || row.n % 2 === 0);
      this.place = tables.get(this.table).kind === 'SHARED' ? `${this.table}|` : `${this.table}|${user}`;
      this.features = features;
      this.send = (message) => send(JSON.stringify({ ...message, subscription_id: id }));
      this.options = options ?? {};
    }

    schema() {
      const names = namesOf(tables.get(this.table));
      return (this.isStar ? names : names.filter((name) => !/^x/.test(name))).map((name) => ({ name }));
    }

    show(row) {
      return shown(row, tables.get(this.table), this.isStar);
    }

    change({ seq, row, old }) {
      const [was, is] = [this.matches(old), this.matches(row)];
      if (!was && !is) return;
      if (!is && BUG === 'stays' && row) return;
      const kind = is ? (was ? 'update' : 'insert') : 'delete';
      this.send({ type: 'change', change_type: kind, ...(is ? { rows: [this.show(row)] } : {}),
        ...(was ? { old_values: [{ ...this.show(old), ...(is ? {} : { _seq: String(seq) }) }] } : {}) });
    }

    altered(kind) {
      if (kind === 'ADD' && !this.isStar) return;
      if (kind === 'ADD' && this.features.includes('schema')) {
        this.send({ type: 'schema', schema: this.schema() });
        return;
      }
      this.send({ type: 'error', code: BUG === 'wrong-end' ? 'SUBSCRIPTION_FAILED' : 'NOT_FOUND', message: 'altered' });
      subscriptions.delete(this);
    }

    page(rows, number, hasMore) {
      const last = hasMore && BUG !== 'cursor-ahead' ? rows[rows.length - 1].seq : lastSeq();
      this.send({ type: 'initial_data_batch', rows: rows.map((row) => this.show(row)),
        batch_control: { batch_num: number, has_more: hasMore, status: hasMore ? 'loading' : 'ready', last_seq_id: String(last) } });
    }

    start() {
      const p = partition(this.place);
      const from = this.options.from === undefined ? 0n : BigInt(this.options.from);
      const isTooOld = from && (BUG === 'too-old' || (tables.get(this.table).isLoose && from < startSeq));
      if (isTooOld) {
        this.send({ type: 'error', code: 'CURSOR_TOO_OLD', message: 'too old' });
        return;
      }
      this.send({ type: 'subscription_ack', total_rows: 0, schema: this.schema(),
        batch_control: { batch_num: 0, has_more: false, status: 'ready', last_seq_id: String(lastSeq()) } });
      subscriptions.add(this);
      if (from && this.features.includes('replay')) {
        for (const entry of p.feed) if (entry.seq > from && !(BUG === 'replay-gap' && entry.seq % 5n === 0n)) this.change(entry);
        return;
      }
      this.sendFirst(p, from);
    }

    /** A row of the table that another user has, newer than `from`. */
    ofAnother(from) {
      const others = [...partitions.values()].filter(({ name }) => name !== this.place && name.startsWith(`${this.table}|`));
      return others.flatMap(({ rows }) => [...rows.values()]).filter((row) => row.seq > from).slice(0, 1).map((row) => ({ seq: row.seq, row }));
    }

    /** Pages and the deletes of a resume, in one order. */
    sendFirst(p, from) {
      const { ttlMs } = tables.get(this.table);
      const due = BigInt(Date.now() - Date.UTC(2024, 0, 1) - (ttlMs ?? 0)) << 22n;
      const items = [...p.rows.values()]
        .filter((row) => (row.seq > from || (BUG === 'resume-again' && row.seq === from)) && this.matches(row) && (!ttlMs || row.seq >= due || BUG === 'expired-live'))
        .map((row) => ({ seq: row.seq, row }));
      if (BUG === 'resume-short' && from) items.splice(0, 1);
      if (BUG === 'leak-page') items.push(...this.ofAnother(from));
      if (from && BUG !== 'resume-deletes') {
        const isThere = new Map();
        for (const { seq, key, row, old } of p.feed) {
          if (seq <= from || isThere.has(key)) continue;
          if (!this.matches(old)) isThere.set(key, false);
          else if (!this.matches(row)) {
            isThere.set(key, false);
            items.push({ seq, death: { seq, row, old } });
          }
        }
      }
      items.sort((a, b) => (a.seq < b.seq ? -1 : 1));
      let page = [];
      let number = 0;
      for (const { row, death } of items) {
        if (page.length && (death || page.length === (this.options.batch_size ?? 1000))) {
          this.page(page, number++, true);
          page = [];
        }
        if (death) this.change(death);
        else page.push(row);
      }
      this.page(page, number, false);
    }
  }

  new WebSocketServer({ server, path: '/v1/ws' }).on('connection', (socket) => {
    let user;
    let features = [];
    const mine = new Set();
    const send = (text) => socket.send(text.replace(/"last_seq_id":"(\d+)"/, '"last_seq_id":$1'));
    socket.on('message', (data) => {
      const message = JSON.parse(data.toString().replace(/"from":(\d+)/, '"from":"$1"'));
      if (message.type === 'authenticate') {
        user = message.token;
        features = message.protocol.features;
        send(JSON.stringify({ type: 'auth_success', user, role: 'user', protocol: message.protocol }));
      }
      if (message.type !== 'subscribe') return;
      const subscription = new Subscription(send, user, features, message.subscription);
      mine.add(subscription);
      subscription.start();
    });
    socket.on('close', () => {
      for (const subscription of mine) subscriptions.delete(subscription);
    });
  });

  return { publish, altered, shown, namesOf };
}
