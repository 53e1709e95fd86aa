// SPDX-License-Identifier: Apache-2.0
//
// Writers with keys of their own: single statements of one and many rows, and transactions over all
// tables a writer has. Everything ends by itself when the server dies; what was sent and what came back
// is in the ledger.

import { isRefused, pause, send } from './request.mjs';

const ROWS_MAX = 20; // of one statement
const STATEMENTS_MAX = 5; // of one transaction
const KEYS_OF_A_WRITER = 1000000;
const NEWEST = 300; // keys that are updated and deleted
const FILLERS = ['', 'x'.repeat(50), 'y'.repeat(700), 'z'.repeat(5000)];

/** The keys of one writer in one partition. isOwned: nobody else writes there, so it may be truncated. */
export class Target {
  constructor(table, model, number, { isOwned = false, isStream = false } = {}) {
    Object.assign(this, { table, model, isOwned, isStream });
    this.first = number * KEYS_OF_A_WRITER + 1;
    this.nextKey = this.first;
  }
}

/** A request as it is composed: what it will have done, seen by its own later statements. */
class Draft {
  constructor(tag) {
    this.tag = tag;
    this.parts = new Map();
    this.columns = []; // {column, epoch}: named in it, and may be gone when it arrives
    this.statements = []; // {sql, rows} or {sql, count}
  }

  get({ model }, key) {
    const part = this.parts.get(model);
    return part?.has(key) ? part.get(key) ?? undefined : model.rows.get(key);
  }

  set({ model }, key, row) {
    if (!this.parts.has(model)) this.parts.set(model, new Map());
    this.parts.get(model).set(key, row);
  }

  keys({ model }) {
    const part = this.parts.get(model) ?? new Map();
    const kept = [...model.rows.keys()].filter((key) => !part.has(key));
    return [...kept, ...[...part].filter(([, row]) => row).map(([key]) => key)];
  }

  add(sql, rows) {
    this.statements.push({ sql, rows });
  }
}

export class Writer {
  constructor(client, ledger, targets, random, { transactions = false } = {}) {
    Object.assign(this, { client, ledger, targets, random, transactions });
    this.wrong = [];
  }

  /** Live keys of this writer, the newest few hundred at most. */
  mine(draft, target) {
    const keys = [];
    for (let key = Math.max(target.first, target.nextKey - NEWEST); key < target.nextKey; key++) {
      if (draft.get(target, key)) keys.push(key);
    }
    return keys;
  }

  row(draft, { model }, key) {
    return { n: draft.tag, body: `${model.canary} k${key} v${draft.tag} ${this.random.pick(FILLERS)}`, x: {} };
  }

  /** Now and then a value for one of the columns that come and go; it stands in the draft. */
  extra(draft, { model }) {
    const extra = model.shape && this.random.below(3) === 0 ? model.shape.value(this.random) : null;
    if (extra) draft.columns.push(extra);
    return extra;
  }

  insert(draft, target) {
    const extra = this.extra(draft, target);
    const values = [];
    const count = this.random.below(3) === 0 ? 1 + this.random.below(ROWS_MAX) : 1;
    for (let i = 0; i < count; i++) {
      // Now and then a key that was deleted, else a new one.
      const old = target.nextKey - 1 - this.random.below(50);
      const again = !target.isStream && old >= target.first && !draft.get(target, old);
      const key = again && this.random.below(4) === 0 ? old : target.nextKey++;
      const row = this.row(draft, target, key);
      if (extra) row.x[extra.column.identity] = extra.value;
      draft.set(target, key, row);
      values.push(`(${key}, ${row.n}, '${row.body}'${extra ? `, ${extra.value}` : ''})`);
    }
    const names = `id, n, body${extra ? `, ${extra.column.name}` : ''}`;
    draft.add(`INSERT INTO ${target.table} (${names}) VALUES ${values.join(', ')}`, values.length);
  }

  update(draft, target, keys) {
    const extra = this.extra(draft, target);
    const some = this.random.below(2) ? [this.random.pick(keys)] : this.some(keys);
    const set = some.length === 1 ? `, body = '${this.row(draft, target, some[0]).body}'` : '';
    let changed = 0; // an UPDATE that leaves a row as it is does not count it
    for (const key of some) {
      const { n, body, x } = draft.get(target, key);
      const row = { n: draft.tag, body: set ? set.slice(10, -1) : body, x: { ...x } };
      if (extra) row.x[extra.column.identity] = extra.value;
      if (n !== row.n || body !== row.body || (extra && !extra.column.holds(x, extra.value))) changed++;
      draft.set(target, key, row);
    }
    const where = some.length === 1 ? `id = ${some[0]}` : `id IN (${some.join(', ')})`;
    const also = extra ? `, ${extra.column.name} = ${extra.value}` : '';
    draft.add(`UPDATE ${target.table} SET n = ${draft.tag}${set}${also} WHERE ${where}`, changed);
  }

  delete(draft, target, keys) {
    const one = this.random.below(2) ? [this.random.pick(keys)] : null;
    const some = one ?? this.some(keys);
    const [low, high] = [some[0], some[some.length - 1]];
    const range = keys.filter((key) => key >= low && key <= high);
    for (const key of range) draft.set(target, key, null);
    const where = range.length === 1 || target.isStream ? `id IN (${range.join(', ')})` : `id >= ${low} AND id <= ${high}`;
    draft.add(`DELETE FROM ${target.table} WHERE ${one ? `id = ${low}` : where}`, range.length);
  }

  truncate(draft, target) {
    const keys = draft.keys(target);
    for (const key of keys) draft.set(target, key, null);
    draft.add(`TRUNCATE TABLE ${target.table}`, keys.length);
  }

  /** A transaction reads what it has written. */
  count(draft, target) {
    draft.statements.push({ sql: `SELECT COUNT(*) AS c FROM ${target.table}`, count: draft.keys(target).length });
  }

  some(keys) {
    const at = this.random.below(keys.length);
    return keys.slice(at, at + 1 + this.random.below(ROWS_MAX / 2));
  }

  statement(draft, target) {
    const keys = this.mine(draft, target);
    const dice = this.random.below(100);
    if (target.isOwned && dice < 3) this.truncate(draft, target);
    else if (keys.length === 0 || dice < 50) this.insert(draft, target);
    else if (dice < 77 && !target.isStream) this.update(draft, target, keys);
    else this.delete(draft, target, keys);
  }

  /** Ends the draft with a statement that is refused, its last row's key being taken; false if none is. */
  refuse(draft, target) {
    const keys = target.isStream ? [] : this.mine(draft, target);
    if (keys.length === 0) return false;
    const body = `${target.model.canary} refused`;
    draft.add(`INSERT INTO ${target.table} (id, n, body) VALUES (${target.nextKey++}, 0, '${body}'), (${
      this.random.pick(keys)}, 0, '${body}')`, 0);
    return true;
  }

  /** The next request: {sql, parts, expects, mustFail}. */
  compose() {
    const draft = new Draft(this.ledger.nextTag());
    if (!this.transactions || this.random.below(3) === 0) {
      const target = this.random.pick(this.targets);
      const mustFail = this.random.below(30) === 0 && this.refuse(draft, target);
      if (!mustFail) this.statement(draft, target);
      return this.request(draft, draft.statements, mustFail, mustFail);
    }
    draft.add('BEGIN', 0);
    for (let i = 1 + this.random.below(STATEMENTS_MAX); i > 0; i--) {
      const target = this.random.pick(this.targets);
      this.statement(draft, target);
      if (target.isOwned && this.random.below(4) === 0) this.count(draft, target);
    }
    const mustFail = this.random.below(8) === 0 && this.refuse(draft, this.random.pick(this.targets));
    const isVoid = this.random.below(8) === 0;
    draft.add(isVoid ? 'ROLLBACK' : 'COMMIT', 0);
    return this.request(draft, draft.statements, mustFail, mustFail || isVoid);
  }

  request(draft, statements, mustFail, isVoid) {
    return {
      sql: statements.map(({ sql }) => sql).join('; '),
      parts: isVoid ? new Map() : draft.parts, columns: draft.columns, expects: statements, mustFail,
    };
  }

  /** Writes until the server is gone or `stop.now` is set. */
  async run(stop) {
    while (!stop.now && await this.step(stop));
  }

  /** One request. False if nobody answers, or the answer is wrong. */
  async step(stop) {
    const request = this.compose();
    const effect = this.ledger.begin(request.parts);
    for (const { column } of request.columns) column.users++;
    const answer = await send(this.client, request.sql, stop);
    for (const { column } of request.columns) column.users--;
    if (!answer) return false; // the effect stays unanswered
    if (answer.status === 200) {
      this.ledger.acknowledged(effect);
      this.judge(request, answer.json.results);
      return true;
    }
    this.ledger.refused(effect);
    const mayMiss = request.columns.some(({ column, epoch }) => column.isLeaving || column.epoch !== epoch);
    if (stop.diskFails) await pause(5);
    if (isRefused(answer, stop) || (answer.status === 400 && (request.mustFail || mayMiss))) return true;
    this.wrong.push(`${this.client.user}: ${answer.status} ${answer.text.slice(0, 300)} for ${request.sql.slice(0, 300)}`);
    return false;
  }

  judge({ sql, expects, mustFail }, results) {
    if (mustFail) this.wrong.push(`${this.client.user}: a duplicate key was accepted: ${sql.slice(-300)}`);
    expects.forEach(({ sql: one, rows, count }, i) => {
      const got = count === undefined ? results[i].row_count : Number(results[i].rows[0][0]);
      if (got === (count ?? rows)) return;
      const before = expects.slice(0, i).map((each) => shortened(each.sql)).join('; ');
      this.wrong.push(`${this.client.user}: ${count === undefined ? 'row_count' : 'COUNT(*)'} ${got}, not ${count ?? rows}: ${
        shortened(one)}, after ${before}`);
    });
  }
}

function shortened(sql) {
  return sql.replaceAll(/([xyz])\1{9,}/g, '$1…').slice(0, 300);
}
