// SPDX-License-Identifier: Apache-2.0
//
// What runs beside the writers: tables that come and go, rows that expire, flushes and compactions,
// subscribers that drop off and resume.

import { isRefused, pause, send } from './request.mjs';

/** Creates and drops tables, the same few names; what was acknowledged must be so after the crash. */
export class Definer {
  constructor(client, ledger, random) {
    Object.assign(this, { client, ledger, random });
    this.state = new Map(); // table -> {state: 'there' | 'gone' | 'unknown', life}
    this.wrong = [];
  }

  async run(stop) {
    while (!stop.now) {
      const name = `crash.d${this.random.below(6)}`;
      const life = this.ledger.nextTag();
      const drop = this.state.get(name)?.state === 'there';
      const steps = drop ? [`DROP TABLE ${name}`] :
        [`CREATE USER TABLE ${name} (id BIGINT PRIMARY KEY, n INT, body TEXT)`,
          `INSERT INTO ${name} (id, n, body) VALUES (${life}, ${life}, 'made')`];
      this.state.set(name, { state: 'unknown', life: drop ? this.state.get(name).life : life });
      for (const sql of steps) {
        const answer = await send(this.client, sql, stop);
        if (!answer) return;
        if (answer.status !== 200 && !isRefused(answer, stop)) {
          this.wrong.push(`${answer.status} ${answer.text.slice(0, 200)} for ${sql}`);
        }
        if (answer.status !== 200) return;
      }
      this.state.set(name, { state: drop ? 'gone' : 'there', life });
    }
  }

  /** After a restart; a table of which nobody knows is dropped. */
  async check() {
    const wrong = [];
    for (const [name, { state, life }] of this.state) {
      const answer = await this.client.raw(`SELECT id FROM ${name}`);
      const found = answer.status === 200;
      const ids = found ? answer.json.results[0].rows.map(([id]) => Number(id)) : [];
      if (state === 'there' && (!found || ids.length !== 1)) {
        wrong.push(`table ${name} was created and filled, now: ${answer.text.slice(0, 200)}`);
      }
      if (state === 'gone' && found) wrong.push(`table ${name} was dropped and is back`);
      if (ids.some((id) => id !== life)) wrong.push(`table ${name} has rows of a table that was dropped: ${ids.slice(0, 5)}`);
      if (found && state !== 'there') await this.client.raw(`DROP TABLE IF EXISTS ${name}`);
      if (state !== 'there') this.state.delete(name);
    }
    return wrong;
  }
}

/** Appends rows that expire. */
export async function ticker(client, table, model, ledger, stop) {
  while (!stop.now) {
    const key = model.nextKey++;
    const row = { sentMs: Date.now(), acknowledged: 0 };
    model.sent.set(key, row);
    const values = `(${key}, ${ledger.nextTag()}, '${model.canary} tick')`;
    const answer = await send(client, `INSERT INTO ${table} (id, n, body) VALUES ${values}`, stop);
    if (!answer) return;
    if (answer.status === 200) row.acknowledged = ++ledger.clock;
    await pause(2);
  }
}

/** Flushes and compacts, again and again, at random moments. */
export async function keeper(client, tables, random, stop) {
  while (!stop.now) {
    await pause(10 + random.below(150));
    const word = random.below(3) ? 'FLUSH' : 'COMPACT';
    const what = random.below(6) ? `TABLE ${random.pick(tables)}` : 'ALL IN crash';
    if (!stop.now && !await send(client, `STORAGE ${word} ${what}`, stop)) return;
  }
}

/** Keeps a follower attached; drops its connection now and then and resumes. */
export async function subscriber(server, follower, random, stop) {
  while (!stop.now) {
    await Promise.race([pause(20 + random.below(200)), follower.ended]);
    if (stop.now || (!follower.over && random.below(3) === 0)) continue;
    try {
      await follower.live.drop();
      if (!follower.over) await pause(random.below(200)); // away, while others write; perhaps until after the crash
      if (stop.now || server.ended) return;
      await follower.join(server, { batch_size: 1 + random.below(200) });
    } catch (error) {
      // The server's end is one reason for this; any other is a fault.
      await Promise.race([server.exited, pause(10000)]);
      if (!server.ended) follower.violate(`resume failed: ${error.message}`);
      return;
    }
  }
}
