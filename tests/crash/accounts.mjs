// SPDX-License-Identifier: Apache-2.0
//
// Guests: users that come with some rows, are dropped, and are brought back or erased, while everything else
// goes on. In half of the folders the grace period is 30 days: what is dropped is refused, what is restored has
// exactly its rows. In the others it is none: a dropped guest is erased, and at the end of the folder no
// file holds a text of theirs.

import fs from 'node:fs';
import path from 'node:path';
import { login } from '../e2e/lib/client.mjs';
import { isRefused, pause, send } from './request.mjs';

const PASSWORD = 'pw-of-a-guest-1';
const TABLES = ['crash.items', 'crash.brief'];
const STREAM = 'crash.events';
const ROWS = 4; // of a guest in each table; one of them is deleted
const LOOKED_AT = 6; // the newest, after each crash
const ERASE_LIMIT_MS = Number(process.env.CRASH_ERASE_LIMIT_S ?? 30) * 1000;

/** What may be so after a crash; the first is what was acknowledged last. */
const AFTER = { there: ['there'], gone: ['gone'], leaving: ['there', 'gone'], returning: ['gone', 'there'] };

export class Accounts {
  /** folder gives the server of the moment and watches the requests. */
  constructor(folder, random, isErasing) {
    Object.assign(this, { folder, random, isErasing });
    this.guests = []; // {name, canary, client, state, tags: Map of table to tag}
    this.wrong = [];
    this.count = 0;
  }

  get clients() {
    return this.guests.map((guest) => guest.client);
  }

  async run(stop) {
    while (!stop.now) {
      await pause(20 + this.random.below(400));
      if (stop.now) return;
      const guest = this.guests.at(-1);
      if (guest?.state === 'there') await this.ask(guest, 'leaving', `DROP USER '${guest.name}'`, 'gone', stop);
      else if (guest?.state === 'gone' && !this.isErasing && this.random.below(3)) {
        await this.ask(guest, 'returning', `ALTER USER '${guest.name}' RESTORE`, 'there', stop);
      } else if (!guest || AFTER[guest.state].length === 1) {
        await this.invite(stop);
      }
      const last = this.guests.at(-1);
      if (last && AFTER[last.state].length === 1 && !stop.now && !this.folder.current.ended) await this.judge(last);
    }
  }

  /** Changes the state of a guest; it stays in between when there is no answer. */
  async ask(guest, between, sql, next, stop) {
    const before = guest.state;
    guest.state = between;
    const answer = await send(this.folder.root, sql, stop);
    if (!answer) return;
    guest.state = answer.status === 200 ? next : before;
    if (answer.status !== 200 && !isRefused(answer, stop)) this.wrong.push(`${answer.status} ${answer.text.slice(0, 200)} for ${sql}`);
  }

  /** A new guest with its rows; one that did not come whole is forgotten. */
  async invite(stop) {
    const name = `guest${++this.count}`;
    const { folder } = this;
    if ((await send(folder.root, `CREATE USER '${name}' WITH PASSWORD '${PASSWORD}' ROLE user`, stop))?.status !== 200) return;
    const client = await login(folder.current, name, PASSWORD).catch(() => null);
    if (!client) return;
    folder.watch.observe(client);
    const guest = { name, client, canary: `canary${this.random.below(2 ** 31)}of${name}`, tag: folder.ledger.nextTag(), state: 'there' };
    for (const table of [...TABLES, STREAM]) {
      const values = Array.from({ length: ROWS }, (_, i) => `(${i + 1}, ${guest.tag}, '${guest.canary} k${i + 1}')`);
      for (const sql of [`INSERT INTO ${table} (id, n, body) VALUES ${values.join(', ')}`, `DELETE FROM ${table} WHERE id = ${ROWS}`]) {
        if ((await send(client, sql, stop))?.status !== 200) return;
      }
    }
    this.guests.push(guest);
  }

  /** Compares what the guest may do and see with its state. Its own loose rows may be lost in a cut. */
  async judge(guest, isCut = guest.lost) {
    guest.lost ||= isCut;
    const { folder } = this;
    const client = await login(folder.current, guest.name, PASSWORD).catch((error) => (/: 401 /.test(error.message) ? guest.client : null));
    if (!client) return; // no server, or a busy one
    if (client !== guest.client) guest.client = folder.watch.observe(client); // a drop ends the tokens of before
    const found = [];
    for (const table of [...TABLES, STREAM]) {
      const answer = await guest.client.raw(`SELECT id, n, body FROM ${table} ORDER BY id`).catch(() => null);
      if (!answer || answer.status >= 500 || answer.status === 429) return;
      found.push(answer);
    }
    const isThere = found.every((answer) => answer.status === 200);
    if (!isThere && found.some((answer) => answer.status !== 401)) {
      this.wrong.push(`user ${guest.name}: ${found.map((answer) => answer.status)}: ${found.at(-1).text.slice(0, 200)}`);
      return;
    }
    const state = isThere ? 'there' : 'gone';
    if (!AFTER[guest.state].includes(state)) {
      this.wrong.push(`user ${guest.name} is ${state}, was ${guest.state}`);
    }
    guest.state = state;
    if (isThere) this.wrong.push(...found.flatMap((answer, i) => rowsDiffer(guest, i, answer.json.results[0].rows)));
  }

  /** After a restart. */
  async check(isCut) {
    for (const guest of this.guests) guest.lost ||= isCut;
    for (const guest of this.guests.slice(-LOOKED_AT)) await this.judge(guest);
    return this.wrong.splice(0);
  }

  /** What is left of those who must be erased. */
  remains(dir) {
    return this.isErasing ? this.guests.filter((guest) => guest.state === 'gone').flatMap((guest) => leftOf(guest, dir)) : [];
  }

  /** Waits until all who are gone are erased, one after the other. Returns what is left of them. */
  async untilErased(dir) {
    let deadline = 0;
    for (let fewest = Infinity; ;) {
      const wrong = this.remains(dir);
      if (wrong.length < fewest) deadline = Date.now() + ERASE_LIMIT_MS;
      fewest = Math.min(fewest, wrong.length);
      if (wrong.length === 0 || Date.now() > deadline) return wrong;
      await pause(20);
    }
  }
}

function rowsDiffer({ name, canary, tag, lost }, i, rows) {
  const table = [...TABLES, STREAM][i];
  const wrong = [];
  const there = new Set(rows.map(([id]) => Number(id)));
  for (const [id, n, body] of rows) {
    if (!body.startsWith(`${canary} `)) wrong.push(`user ${name}, ${table}: a row of another: ${body.slice(0, 40)}`);
    else if (Number(n) !== tag || body !== `${canary} k${id}`) wrong.push(`user ${name}, ${table}: row ${id} is ${n} '${body}'`);
    if (Number(id) === ROWS && !(lost && table === STREAM)) wrong.push(`user ${name}, ${table}: row ${id} was deleted and is back`);
  }
  if (there.size < rows.length) wrong.push(`user ${name}, ${table}: rows are doubled`);
  for (let id = 1; id < ROWS; id++) {
    if (!there.has(id) && !(lost && table === STREAM)) wrong.push(`user ${name}, ${table}: row ${id} is lost`);
  }
  return wrong;
}

/** The files that hold a text of one who was erased, and the folders that are theirs. */
function leftOf({ name, canary }, dir) {
  const folders = ['storage/user', 'exports'].map((part) => path.join(dir, part, name)).filter((one) => fs.existsSync(one));
  return [...folders, ...holding(dir, canary)].map((one) => `user ${name} was erased and is still in ${path.relative(dir, one)}`);
}

/** The files below dir that hold the text; the server may be removing some meanwhile. */
function holding(dir, text) {
  const unlessGone = (read, otherwise) => {
    try {
      return read();
    } catch (error) {
      if (error.code === 'ENOENT') return otherwise;
      throw error;
    }
  };
  return unlessGone(() => fs.readdirSync(dir, { withFileTypes: true }), []).flatMap((entry) => {
    const full = path.join(dir, entry.name);
    if (entry.isDirectory()) return holding(full, text);
    return entry.isFile() && unlessGone(() => fs.readFileSync(full).includes(text), false) ? [full] : [];
  });
}
