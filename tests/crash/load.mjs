// SPDX-License-Identifier: Apache-2.0
//
// The mixed load: writers with keys of their own, tables that come and go, flushes, subscribers that
// drop off and resume. Everything ends by itself when the server dies; what was acknowledged is in the
// models.

import { Live } from '../e2e/lib/live.mjs';
import { Random } from './model.mjs';

const ROWS_MAX = 20; // of one statement
const KEYS_OF_A_WRITER = 1000000;
const FILLERS = ['', 'x'.repeat(50), 'y'.repeat(700), 'z'.repeat(5000)];

/** Answers that say "nothing was done, ask again". */
const RETRY = new Set([409, 429, 503]);

export class Writer {
  constructor(client, model, table, number, seed) {
    this.client = client;
    this.model = model;
    this.table = table;
    this.first = number * KEYS_OF_A_WRITER + 1;
    this.nextKey = this.first;
    this.random = new Random(seed);
    this.wrong = [];
  }

  /** Live keys of this writer, the newest few hundred at most. */
  mine() {
    const keys = [];
    for (let key = Math.max(this.first, this.nextKey - 300); key < this.nextKey; key++) {
      if (this.model.rows.has(key)) keys.push(key);
    }
    return keys;
  }

  row(key, n) {
    return { n, body: `${this.model.canary} k${key} v${n} ${this.random.pick(FILLERS)}` };
  }

  insertStatement() {
    const effect = new Map();
    const count = this.random.below(3) === 0 ? 1 + this.random.below(ROWS_MAX) : 1;
    for (let i = 0; i < count; i++) {
      // Now and then a key that was deleted, else a new one.
      const old = this.nextKey - 1 - this.random.below(50);
      const again = old >= this.first && !this.model.rows.has(old) && !effect.has(old);
      const key = again && this.random.below(4) === 0 ? old : this.nextKey++;
      effect.set(key, this.row(key, 0));
    }
    const values = [...effect].map(([key, row]) => `(${key}, ${row.n}, '${row.body}')`);
    return { effect, rows: count, sql: `INSERT INTO ${this.table} (id, n, body) VALUES ${values.join(', ')}` };
  }

  updateStatement(keys) {
    const effect = new Map();
    if (this.random.below(2)) {
      const key = this.random.pick(keys);
      const row = this.row(key, this.model.rows.get(key).n + 1);
      effect.set(key, row);
      return { effect, rows: 1, sql: `UPDATE ${this.table} SET n = ${row.n}, body = '${row.body}' WHERE id = ${key}` };
    }
    for (const key of this.some(keys)) {
      const row = this.model.rows.get(key);
      effect.set(key, { n: row.n + 1, body: row.body });
    }
    return { effect, rows: effect.size, sql: `UPDATE ${this.table} SET n = n + 1 WHERE id IN (${[...effect.keys()].join(', ')})` };
  }

  deleteStatement(keys) {
    if (this.random.below(2)) {
      const key = this.random.pick(keys);
      return { effect: new Map([[key, null]]), rows: 1, sql: `DELETE FROM ${this.table} WHERE id = ${key}` };
    }
    const some = this.some(keys);
    const [low, high] = [some[0], some[some.length - 1]];
    const range = keys.filter((key) => key >= low && key <= high);
    return { effect: new Map(range.map((key) => [key, null])), rows: range.length,
      sql: `DELETE FROM ${this.table} WHERE id >= ${low} AND id <= ${high}` };
  }

  /** Refused as a whole: its last row's key is taken. */
  refusedStatement(keys) {
    const taken = this.random.pick(keys);
    return { effect: new Map(), rows: 0, refused: true, sql: `INSERT INTO ${this.table} (id, n, body) VALUES (${
      this.nextKey++}, 0, '${this.model.canary} refused'), (${taken}, 0, '${this.model.canary} refused')` };
  }

  some(keys) {
    const at = this.random.below(keys.length);
    return keys.slice(at, at + 1 + this.random.below(ROWS_MAX / 2));
  }

  statement() {
    const keys = this.mine();
    const dice = this.random.below(100);
    if (keys.length === 0 || dice < 50) return this.insertStatement();
    if (dice < 77) return this.updateStatement(keys);
    if (dice < 97) return this.deleteStatement(keys);
    return this.refusedStatement(keys);
  }

  /** Writes until the server is gone or `stop.now` is set. */
  async run(stop) {
    while (!stop.now) {
      const { effect, rows, sql, refused } = this.statement();
      this.model.begin(effect);
      let answer;
      try {
        answer = await this.client.raw(sql);
      } catch {
        return; // no answer: the effect stays unanswered
      }
      if (answer.status === 200) {
        this.model.acknowledged(effect);
        const got = answer.json.results[0].row_count;
        if (refused) this.wrong.push(`${this.model.name}: a duplicate key was accepted: ${sql.slice(0, 120)}`);
        else if (got !== rows) this.wrong.push(`${this.model.name}: row_count ${got}, not ${rows}: ${sql.slice(0, 160)}`);
      } else if (answer.json?.error?.code === 'OUTCOME_UNKNOWN') {
        return;
      } else if (answer.status === 400 && refused || RETRY.has(answer.status)) {
        this.model.refused(effect);
      } else {
        this.model.refused(effect);
        this.wrong.push(`${this.model.name}: ${answer.status} ${answer.text.slice(0, 300)} for ${sql.slice(0, 160)}`);
        return;
      }
    }
  }
}

/** Creates and drops tables; what was acknowledged must be so after the crash. */
export class Definer {
  constructor(client, seed) {
    this.client = client;
    this.random = new Random(seed);
    this.number = 0;
    this.state = new Map(); // table -> 'there' | 'gone' | 'unknown'
    this.wrong = [];
  }

  async run(stop) {
    while (!stop.now) {
      const there = [...this.state].filter(([, state]) => state === 'there').map(([name]) => name);
      const drop = there.length > 3 || (there.length > 0 && this.random.below(3) === 0);
      const name = drop ? this.random.pick(there) : `crash.d${this.number++}`;
      const steps = drop ? [`DROP TABLE ${name}`] :
        [`CREATE USER TABLE ${name} (id BIGINT PRIMARY KEY, body TEXT)`, `INSERT INTO ${name} VALUES (1, 'made')`];
      this.state.set(name, 'unknown');
      for (const sql of steps) {
        let answer;
        try {
          answer = await this.client.raw(sql);
        } catch {
          return;
        }
        if (answer.status !== 200 && !RETRY.has(answer.status)) {
          this.wrong.push(`${answer.status} ${answer.text.slice(0, 200)} for ${sql}`);
        }
        if (answer.status !== 200) return;
      }
      this.state.set(name, drop ? 'gone' : 'there');
    }
  }

  /** After a restart. */
  async check() {
    const wrong = [];
    for (const [name, state] of this.state) {
      const answer = await this.client.raw(`SELECT id FROM ${name}`);
      const found = answer.status === 200;
      if (state === 'there' && (!found || answer.json.results[0].rows.length !== 1)) {
        wrong.push(`table ${name} was created and filled, now: ${answer.text.slice(0, 200)}`);
      }
      if (state === 'gone' && found) wrong.push(`table ${name} was dropped and is back`);
      if (found && state !== 'there') await this.client.raw(`DROP TABLE IF EXISTS ${name}`);
      if (state !== 'there') this.state.delete(name);
    }
    return wrong;
  }
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Appends to the stream table; its rows may be lost in a crash, but are never doubled. */
export async function streamWriter(client, counter, canary, stop) {
  while (!stop.now) {
    try {
      await client.raw(`INSERT INTO crash.events (id, body) VALUES (${counter.next++}, '${canary} event')`);
    } catch {
      return;
    }
  }
}

/** Flushes one of the tables, again and again, at random moments. */
export async function flusher(client, tables, random, stop) {
  while (!stop.now) {
    await pause(10 + random.below(150));
    try {
      await client.raw(`STORAGE FLUSH TABLE ${random.pick(tables)}`);
    } catch {
      return;
    }
  }
}

/** Keeps a follower attached; drops its connection now and then and resumes. */
export async function subscriber(server, client, follower, random, stop) {
  while (!stop.now) {
    await pause(20 + random.below(200));
    if (stop.now || random.below(3) === 0) continue;
    try {
      await follower.live.drop();
      await pause(random.below(200)); // away, while others write; perhaps until after the crash
      if (stop.now || server.ended) return;
      await follower.attach(await Live.open(server, { token: client.token }), { batch_size: 1 + random.below(200) });
    } catch (error) {
      // The server's end is one reason for this; any other is a fault.
      await Promise.race([server.exited, new Promise((resolve) => setTimeout(resolve, 1000))]);
      if (!server.ended) follower.violate(`resume failed: ${error.message}`);
      return;
    }
  }
}
