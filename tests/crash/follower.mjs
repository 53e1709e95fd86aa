// SPDX-License-Identifier: Apache-2.0
//
// The follower of tests/e2e, with what a subscriber must hold here beside it: no row of another, each
// commit at one place of what arrives, no row after its time, the columns that were announced, and an
// error only where the documentation has one:
//   NOT_FOUND       after an ALTER that ends it (docs/websocket.md, "What ends a subscription");
//   CURSOR_TOO_OLD  on a loose table once after an unclean stop (docs/decisions/0004), and with a cursor that has
//                   left a short feed window.

import { Follower } from '../e2e/lib/follow.mjs';
import { Live } from '../e2e/lib/live.mjs';
import { seqTimeMs } from './model.mjs';

export class Subscriber extends Follower {
  /** options: canary, matches (row → does its filter hold), features, shape, isStar, isLoose, ttlMs, windowMs. */
  constructor(id, sql, client, options) {
    super(id, sql);
    this.client = client;
    Object.assign(this, { features: [], matches: () => true, shape: null, isStar: true, isLoose: false, ttlMs: null }, options);
    this.isReplay = this.features.includes('replay');
    this.isStale = false; // an unclean stop since it last joined
    this.joiningMs = 0; // since when it has been subscribing
    this.onRow = (row) => this.judge(row);
  }

  /** Subscribes, again where the subscription was ended by something that may end it. */
  async join(server, options) {
    this.joiningMs = Date.now();
    try {
      await this.joinAtLast(server, options);
    } finally {
      this.joiningMs = 0;
    }
  }

  async joinAtLast(server, options) {
    for (;;) {
      const live = await Live.open(server, { token: this.client.token,
        protocol: { serialization: 'json', compression: 'gzip', features: this.features } });
      this.over = null;
      this.ended = new Promise((resolve) => {
        this.end = resolve;
      });
      this.known = this.shape && { ...this.shape.answered };
      this.tags = new Set();
      this.lastTag = null;
      this.joinedMs = Date.now();
      const isFirst = this.cursor === null;
      try {
        await this.attach(live, options);
        this.isStale = false;
        return;
      } catch (error) {
        await live.drop();
        if (!this.over) throw error;
        if (this.over === 'CURSOR_TOO_OLD' || (isFirst && this.isReplay)) this.forget();
      }
    }
  }

  forget() {
    this.rows.clear();
    this.cursor = null;
    this.seen = null;
  }

  take(message) {
    if (message.type === 'subscription_ack' || message.type === 'schema') {
      this.announced = new Set(message.schema.map((column) => column.name).filter((name) => name !== '_seq' && name !== '_deleted'));
      if (this.isReplay && this.from !== null && message.type === 'subscription_ack') {
        this.caughtUpTo = BigInt(this.from); // from here on it is as if it had never been away
        this.ready();
      }
    }
    if (this.over) this.violate(`a message after ${this.over}: ${message.type}`);
    if (message.type === 'error' && this.mayEnd(message.code)) {
      this.over = message.code;
      this.refused(new Error(message.code));
      this.end();
      return;
    }
    super.take(message);
  }

  mayEnd(code) {
    if (code === 'CURSOR_TOO_OLD' && this.from !== null) {
      const ageMs = Date.now() - seqTimeMs(this.cursor);
      return (this.isLoose && this.isStale) || (this.windowMs !== null && ageMs >= this.windowMs);
    }
    if (code !== 'NOT_FOUND' || !this.shape) return false;
    const { sent } = this.shape;
    const seesNew = this.isStar && !this.features.includes('schema');
    return sent.other > this.known.other || (seesNew && sent.add > this.known.add);
  }

  takePage(message) {
    for (const row of message.rows) {
      if (this.ttlMs !== null && seqTimeMs(row._seq) + this.ttlMs < this.joinedMs) this.violate(`row ${row.id} of a page has expired`);
      this.judgeColumns(row);
    }
    super.takePage(message);
  }

  takeChange(message) {
    if (message.change_type !== 'delete') {
      const [row] = message.rows;
      this.judgeColumns(row);
      if (!this.matches(row)) this.violate(`${message.change_type} of row ${row.id}, which is not in its filter`);
    }
    super.takeChange(message);
    if (message.change_type !== 'delete') this.judgePlace(message.rows[0]);
  }

  judge(row) {
    if (row.body !== undefined && !row.body.startsWith(`${this.canary} `)) this.violate(`a row of another: ${row.body.slice(0, 40)}`);
  }

  judgeColumns(row) {
    const names = Object.keys(row).filter((name) => name !== '_seq' && name !== '_deleted');
    if (names.length !== this.announced.size || names.some((name) => !this.announced.has(name))) {
      this.violate(`row ${row.id} has the columns ${names}, announced were ${[...this.announced]}`);
    }
  }

  /** All rows of a commit come together. */
  judgePlace(row) {
    if (row.n === this.lastTag) return;
    if (this.tags.has(row.n)) this.violate(`commit ${row.n} comes in two places, row ${row.id}`);
    this.tags.add(row.n);
    this.lastTag = row.n;
  }
}
