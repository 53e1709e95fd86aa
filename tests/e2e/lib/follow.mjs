// SPDX-License-Identifier: Apache-2.0
//
// A client that keeps a copy of a query's rows by subscription alone, over any number of
// connections, and checks the promise of the feed while it does: every change after the cursor,
// exactly once, in order. What breaks it is collected in `violations`:
//   - a first-rows page out of seq order, or with a row at or below the cursor resumed from, or that of a page before it;
//   - a live change whose seq does not rise, an insert of a known row, a change of an unknown one;
//   - after a resume, pages and deletes that are not in one seq order, or a row of a page deleted again.
// Every prefix of what was sent is safe to resume from (docs/decisions/0005), so the cursor is always the
// highest seq seen: the hardest client there is.

import { WAIT_LIMIT_MS, maxSeq, seqOf } from './live.mjs';

export class Follower {
  constructor(id, sql, { key = 'id', onRow = null } = {}) {
    this.id = id;
    this.sql = sql;
    this.key = key;
    this.onRow = onRow; // sees every row that arrives, for checks of the caller
    this.rows = new Map();
    this.cursor = null; // what a resume starts from
    this.seen = null;   // the highest seq that arrived
    this.violations = [];
    this.events = 0;
    this.watchers = [];
  }

  /** Subscribes on an authenticated connection, from the cursor if there is one; ends when ready. */
  async attach(live, firstOptions = {}) {
    this.live = live;
    this.from = this.cursor;
    this.pageKeys = new Set();
    this.loadedLast = this.from === null ? null : BigInt(this.from);
    this.deletedKeys = new Set();
    this.caughtUpTo = null;
    this.lastLive = 0n;
    this.failure = null;
    const ready = new Promise((resolve, reject) => {
      this.ready = resolve;
      this.refused = reject;
    });
    live.ended.then(() => this.refused(new Error('the socket closed before the first rows')));
    live.listeners.set(this.id, (message) => this.take(message));
    live.subscribe(this.id, this.sql,
      this.from === null ? firstOptions : { ...firstOptions, from: this.from });
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`${this.id}: not ready in time`)), WAIT_LIMIT_MS);
    });
    await Promise.race([ready, late]).finally(() => clearTimeout(timer));
  }

  take(message) {
    if (message.type === 'initial_data_batch') this.takePage(message);
    else if (message.type === 'change') this.takeChange(message);
    else if (message.type === 'error') {
      this.violate(`error ${message.code}: ${message.message}`);
      this.refused(new Error(`${this.id}: ${message.code}: ${message.message}`));
    }
    for (const watcher of [...this.watchers]) watcher();
  }

  takePage(message) {
    for (const row of message.rows) {
      const key = row[this.key];
      if (this.from !== null && BigInt(row._seq) <= BigInt(this.from)) {
        this.violate(`page row ${key} has seq ${row._seq}, at or below the cursor ${this.from}`);
      }
      if (this.pageKeys.has(key)) this.violate(`row ${key} is in the pages twice`);
      this.checkOrder(`page row ${key}`, BigInt(row._seq));
      this.pageKeys.add(key);
      this.onRow?.(row);
      this.rows.set(key, row);
      this.seen = maxSeq(this.seen, row._seq);
    }
    const control = message.batch_control;
    this.seen = maxSeq(this.seen, control.last_seq_id);
    this.cursor = this.seen;
    this.loadedLast = BigInt(maxSeq(this.loadedLast, control.last_seq_id) ?? 0); // a cursor: what follows is newer
    if (!control.has_more) {
      this.caughtUpTo = BigInt(this.seen ?? 0);
      this.ready();
    }
  }

  takeChange(message) {
    const kind = message.change_type;
    const row = (kind === 'delete' ? message.old_values : message.rows)[0];
    const key = row[this.key];
    const seq = BigInt(seqOf(message));
    this.events++;
    this.onRow?.(row);
    if (this.caughtUpTo === null) {
      // The deletes of a resume stand between its pages: keys the client never had are allowed.
      if (kind !== 'delete' || this.from === null) this.violate(`${kind} of ${key} among the first rows`);
      if (this.pageKeys.has(key)) this.violate(`row ${key} is in the pages and then deleted`);
      if (this.deletedKeys.has(key)) this.violate(`row ${key} is deleted twice`);
      this.checkOrder(`delete of ${key}`, seq);
      this.deletedKeys.add(key);
    } else {
      if (seq <= this.caughtUpTo) this.violate(`${kind} of ${key} at ${seq}, inside the snapshot`);
      if (seq <= this.lastLive) this.violate(`${kind} of ${key}: seq ${seq} after ${this.lastLive}`);
      if (kind === 'insert' && this.rows.has(key)) this.violate(`insert of known row ${key}`);
      if (kind !== 'insert' && !this.rows.has(key)) this.violate(`${kind} of unknown row ${key}`);
      this.lastLive = seq;
    }
    if (kind === 'delete') this.rows.delete(key);
    else this.rows.set(key, row);
    this.seen = maxSeq(this.seen, String(seq));
    this.cursor = this.seen;
  }

  /** Pages and the deletes between them come in one seq order. */
  checkOrder(what, seq) {
    if (this.loadedLast !== null && seq <= this.loadedLast) {
      this.violate(`${what}: seq ${seq} after ${this.loadedLast}`);
    }
    this.loadedLast = seq;
  }

  violate(text) {
    if (this.violations.length < 20) this.violations.push(`${this.id}: ${text}`);
  }

  /** Waits until `test(this)` holds. */
  until(test, what, limitMs = WAIT_LIMIT_MS) {
    if (test(this)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const done = (end, value) => {
        clearTimeout(timer);
        this.watchers.splice(this.watchers.indexOf(watcher), 1);
        end(value);
      };
      const watcher = () => test(this) && done(resolve);
      const timer = setTimeout(
        () => done(reject, new Error(`${this.id}: waited ${limitMs} ms for ${what}; ${
          this.rows.size} rows, cursor ${this.cursor}, ${this.violations.join('; ')}`)), limitMs);
      this.watchers.push(watcher);
      this.live.ended.then(() => {
        if (this.watchers.includes(watcher)) {
          done(reject, new Error(`${this.id}: the socket closed while waiting for ${what}`));
        }
      });
    });
  }
}
