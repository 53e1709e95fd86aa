// SPDX-License-Identifier: Apache-2.0
//
// A table whose columns change while it is used. The columns beyond id, n and body are known here by an
// identity that outlives renames; rows keep values by it. A row that has no value of its own in a column
// has the column's default, whether it was written before the column was added or after.

import { isRefused, pause, send } from './request.mjs';

const NAMES = ['x0', 'x1', 'x2', 'x3', 'x4', 'x5', 'x6', 'x7'];
const COLUMNS_MAX = 4;
const WIDER = { SMALLINT: 'INT', INT: 'BIGINT' };
const VALUES = { SMALLINT: 30000, INT: 2000000000, BIGINT: 2 ** 45 };
const FIXED = new Set(['id', 'n', 'body', '_seq', '_deleted']);

class Column {
  constructor(identity, name, type, initial) {
    Object.assign(this, { identity, name, type, initial });
    this.isLeaving = false; // a DROP or RENAME of it is out
    this.epoch = 0; // rises when one is sent and when it is answered
    this.users = 0; // statements that are out and name it
  }

  of(x) {
    return this.identity in x ? x[this.identity] : this.initial;
  }

  holds(x, value) {
    return this.of(x) === value;
  }
}

export class Shape {
  constructor(table) {
    this.table = table;
    this.columns = [];
    this.pending = null; // the ALTER that is out: {kind, column, name, type}
    this.sent = { add: 0, other: 0 };
    this.answered = { add: 0, other: 0 };
    this.next = 1;
    this.last = new Map(); // name -> the column that had it last
  }

  /** What a row read shows of the columns, and a row known should have; a text that says what differs. */
  differs(got, want) {
    for (const column of this.columns) {
      if (!column.holds(want.x, got[column.name])) {
        return `column ${column.name} is ${got[column.name]}, acknowledged was ${column.of(want.x)}`;
      }
    }
    return null;
  }

  /** A column to write to and a value for it, or null. */
  value(random) {
    const usable = this.columns.filter((column) => !column.isLeaving);
    if (usable.length === 0) return null;
    const column = random.pick(usable);
    return { column, epoch: column.epoch, value: random.below(VALUES[column.type]) };
  }

  apply({ kind, column, name, type }) {
    if (kind === 'add') {
      this.columns.push(column);
      this.last.set(column.name, column);
    }
    if (kind === 'drop') this.columns = this.columns.filter((other) => other !== column);
    if (kind === 'rename') {
      column.name = name;
      this.last.set(name, column);
    }
    if (kind === 'widen') column.type = type;
  }

  /** After a restart: the ALTER that got no answer has happened or not; all others stand. */
  settle(names) {
    const found = new Set(names.filter((name) => !FIXED.has(name)));
    const { kind, column, name } = this.pending ?? {};
    const happened = kind === 'add' ? found.has(column.name) : kind === 'drop' ? !found.has(column.name) :
      kind === 'rename' ? found.has(name) : false; // a widening is asked for again
    if (happened) this.apply(this.pending);
    this.pending = null;
    for (const one of this.columns) one.isLeaving = false;
    const known = new Set(this.columns.map((one) => one.name));
    return [
      ...[...known].filter((one) => !found.has(one)).map((one) => `${this.table}: column ${one} was added and is lost`),
      ...[...found].filter((one) => !known.has(one)).map((one) => `${this.table}: column ${one} was dropped or renamed and is back`),
    ];
  }
}

/** Alters the table, one statement at a time. */
export class Alterer {
  constructor(client, shape, random) {
    this.client = client;
    this.shape = shape;
    this.random = random;
    this.wrong = [];
  }

  /** The next ALTER; null when every name may still be meant by somebody. */
  choose() {
    const { shape, random } = this;
    // A name is free once nobody has a statement out that means the column which had it last.
    const taken = new Set(shape.columns.map((column) => column.name));
    const free = NAMES.filter((name) => !taken.has(name) && !shape.last.get(name)?.users);
    const dice = random.below(10);
    if (free.length === 0) return null;
    if (shape.columns.length === 0 || (dice < 4 && shape.columns.length < COLUMNS_MAX)) {
      const type = random.pick(['SMALLINT', 'INT']);
      const initial = random.below(2) ? random.below(1000) : null;
      const column = new Column(shape.next++, random.pick(free), type, initial);
      return { kind: 'add', column, sql: `ADD COLUMN ${column.name} ${type}${initial === null ? '' : ` DEFAULT ${initial}`}` };
    }
    const column = random.pick(shape.columns);
    const type = WIDER[column.type];
    if (dice < 6 && type) return { kind: 'widen', column, type, sql: `MODIFY COLUMN ${column.name} ${type}` };
    if (dice < 8) {
      const name = random.pick(free);
      return { kind: 'rename', column, name, sql: `RENAME COLUMN ${column.name} TO ${name}` };
    }
    return { kind: 'drop', column, sql: `DROP COLUMN ${column.name}` };
  }

  async run(stop) {
    const { shape } = this;
    while (!stop.now) {
      await pause(10 + this.random.below(120));
      if (stop.now) return;
      const change = this.choose();
      if (!change) continue;
      const group = change.kind === 'add' ? 'add' : 'other';
      shape.pending = change;
      shape.sent[group]++;
      if (change.kind === 'drop' || change.kind === 'rename') this.leave(change.column, true);
      const answer = await send(this.client, `ALTER TABLE ${shape.table} ${change.sql}`, stop);
      if (!answer) return;
      shape.pending = null;
      shape.answered[group]++;
      if (answer.status === 200) shape.apply(change);
      else if (!isRefused(answer, stop)) this.wrong.push(`${answer.status} ${answer.text.slice(0, 200)} for ALTER ${change.sql}`);
      this.leave(change.column, false);
    }
  }

  /** Statements that name the column meanwhile may be refused. */
  leave(column, isLeaving) {
    column.isLeaving = isLeaving;
    column.epoch++;
  }
}
