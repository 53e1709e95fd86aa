// SPDX-License-Identifier: Apache-2.0
//
// Who follows the tables. A Witness has the whole feed of one partition, from before its first row, over restarts: what
// it records is what everything else is compared with. A Reader is any other subscriber: one query, many sessions, each of
// some length, fresh or from its cursor, that may be cut off or may not read for a while. They record and judge nothing.

import { Live, maxSeq } from '../e2e/lib/live.mjs';
import { pause } from '../crash/request.mjs';
import { QUERIES } from './live.mjs';
import { FENCE_GROUP, partitionOf } from './tables.mjs';

const AGAIN_MS = 30;
const PING_MS = 2000;
const LENGTHS_MS = [50, 400, 3000];
const POLL_MS = 10;

const rowOf = (row) => row && { g: String(row.g), v: row.v, n: String(row.n), seq: row._seq };
const oldOf = (row) => row && { v: row.v, seq: row._seq };

function eventOf(message) {
  const [row, old] = [message.rows?.[0], message.old_values?.[0]];
  const { id, _seq } = row ?? old;
  return { kind: message.change_type, key: String(id), seq: _seq, row: rowOf(row) ?? null, old: oldOf(old) ?? null };
}

async function connect(world, user, features) {
  await world.up;
  const live = await Live.open(world.server, {
    token: world.clients.get(user).token,
    protocol: { serialization: 'json', compression: 'gzip', features },
  });
  const timer = setInterval(() => live.closed ?? live.send({ type: 'ping' }), PING_MS);
  live.ended.then(() => clearInterval(timer));
  return live;
}

async function until(test, limitMs) {
  const deadline = Date.now() + limitMs;
  while (!test() && Date.now() < deadline) await pause(POLL_MS);
  return test();
}

export class Witness {
  constructor(world, user, table) {
    Object.assign(this, { world, user, table, partition: partitionOf(table, user), id: `the witness of ${partitionOf(table, user)}` });
    this.events = [];
    this.rows = [];
    this.cursor = null;
    this.isEnded = false;
  }

  /** Only what it has recorded. */
  toJSON() {
    return { events: this.events, rows: this.rows };
  }

  async attach() {
    while (!this.isEnded) {
      try {
        this.live = await connect(this.world, this.user, ['replay', 'schema']);
        await new Promise((resolve) => {
          this.ready = resolve;
          this.live.ended.then(resolve);
          this.live.listeners.set('w', (message) => this.take(message));
          this.live.subscribe('w', QUERIES.all.sql(this.table), this.cursor === null ? {} : { from: this.cursor });
        });
        this.live.ended.then(() => pause(AGAIN_MS)).then(() => this.attach());
        return;
      } catch {
        await pause(AGAIN_MS);
        if (!this.isEnded) await this.world.renew(this.user);
      }
    }
  }

  take(message) {
    if (message.type === 'change') {
      const event = eventOf(message);
      this.events.push(event);
      this.cursor = event.seq;
    } else if (message.type === 'initial_data_batch') {
      if (message.rows.length) this.world.complain(`${this.id} began with rows`);
      this.cursor = String(message.batch_control.last_seq_id);
      this.ready();
    } else if (message.type === 'subscription_ack') {
      if (this.cursor !== null) this.ready();
    } else if (message.code === 'NOT_FOUND' || message.code === 'UNAUTHORIZED') {
      // a wider column; a user who was dropped
      this.live.drop();
    } else if (message.type !== 'schema') {
      this.world.complain(`${this.id}, cursor ${this.cursor}: ${JSON.stringify(message).slice(0, 300)}`);
    }
  }

  /** Waits for a row with this token alone; for the row's deletion when it is null. */
  sees(key, token, limitMs) {
    return until(() => this.events.some((event) => event.key === key && (event.row?.v ?? null) === token), limitMs);
  }

  async end() {
    this.isEnded = true;
    await this.live?.drop();
  }
}

export class Reader {
  constructor(world, user, table, query, random, isReplay) {
    Object.assign(this, { world, user, table, query, random, isReplay, partition: partitionOf(table, user) });
    this.id = `a reader of ${this.partition} (${query}, ${user})`;
    this.session = null;
    this.cursor = null;
    this.stopping = new Promise((resolve) => {
      this.stop = resolve;
    });
  }

  /** To the end of the round, and then until the last row is there. */
  async run() {
    while (!this.isStopped) {
      try {
        const live = await connect(this.world, this.user, [
          'schema',
          ...(this.isReplay ? ['replay'] : []),
          ...(this.random.below(3) ? [] : ['resnapshot']),
        ]);
        await this.follow(live);
        this.close(null);
        this.session = null;
        await live.drop();
      } catch {
        await pause(AGAIN_MS);
        if (!this.isStopped) await this.world.renew(this.user);
      }
    }
  }

  async follow(live) {
    const { random, world } = this;
    const from = this.cursor !== null && random.below(4) ? this.cursor : null;
    const lastRows = from === null && random.below(3) === 0 ? 1 + random.below(12) : null;
    const options = { batch_size: 1 + random.below(10), ...(from === null ? {} : { from }), ...(lastRows ? { last_rows: lastRows } : {}) };
    this.begin(from, lastRows, ++world.tick);
    const over = new Promise((resolve) => {
      live.ended.then(resolve);
      live.listeners.set('r', (message) => this.take(message) || resolve());
    });
    live.subscribe('r', QUERIES[this.query].sql(this.table), options);
    await Promise.race([over, this.stopping, pause(20 + random.below(random.pick(LENGTHS_MS)))]);
    if (random.below(7) === 0) {
      // it does not read for a while
      live.socket.pause();
      await pause(random.below(1500));
      live.socket.resume();
      await Promise.race([over, pause(random.below(300))]);
    }
    if (world.isOver) await Promise.race([over, this.stopping]); // the last session stays for the last row
  }

  begin(from, lastRows, sent) {
    const { subscriptions } = this.world.history;
    this.session = {
      id: `L${subscriptions.length + 1}`,
      user: this.user,
      partition: this.partition,
      query: this.query,
      isReplay: this.isReplay,
      from,
      lastRows,
      sent,
      closed: null,
      isReady: false,
      first: [],
      readySeq: null,
      changes: [],
      code: null,
    };
    subscriptions.push(this.session);
  }

  close(code) {
    if (this.session.closed !== null) return;
    this.session.closed = ++this.world.tick;
    this.session.code = code;
    if (code === 'CURSOR_TOO_OLD') this.cursor = null;
  }

  /** Returns whether it goes on. */
  take(message) {
    const { session } = this;
    if (!session || session.closed !== null) return true;
    if (message.type === 'subscription_ack') session.isReady = session.from !== null && this.isReplay;
    else if (message.type === 'initial_data_batch') this.takePage(session, message);
    else if (message.type === 'change') this.takeChange(session, eventOf(message));
    else if (message.type === 'resnapshot' || message.type === 'error') this.close(message.code);
    if (message.type === 'resnapshot') this.begin(null, session.lastRows, session.sent); // as if it had been asked for so
    return message.type !== 'error';
  }

  takePage(session, { rows, batch_control: control }) {
    session.first.push(...rows.map((row) => ({ key: String(row.id), row: rowOf(row) })));
    if (!QUERIES[this.query].isOrdered && rows.length) this.cursor = maxSeq(this.cursor, rows.at(-1)._seq);
    if (control.has_more) return;
    session.readySeq = String(control.last_seq_id);
    session.isReady = true;
    this.cursor = maxSeq(this.cursor, session.readySeq);
  }

  takeChange(session, event) {
    if (session.isReady) session.changes.push(event);
    else session.first.push({ gone: event });
    this.cursor = maxSeq(this.cursor, event.seq);
  }

  /** Whether the last row has come, where the filter lets it through. */
  sees(key, token, limitMs) {
    const isMeant = QUERIES[this.query].holds({ g: FENCE_GROUP, v: token, n: '1' }, key);
    const has = ({ first, changes }) => first.some((one) => one.key === key) || changes.some((one) => one.key === key);
    return isMeant ? until(() => this.session && has(this.session), limitMs) : true;
  }
}
