// SPDX-License-Identifier: Apache-2.0
//
// One server with its users and tables, and the history that is recorded of it. Every request goes through here, so
// that each has its ticks: two requests are in order when one was answered before the other was sent.

import { exchange } from '../e2e/lib/raw.mjs';
import { login, loginRoot, newUser } from '../e2e/lib/client.mjs';
import { removeFolder, startServer } from '../e2e/lib/server.mjs';
import { Random } from '../crash/model.mjs';
import { pause } from '../crash/request.mjs';
import { OPERATIONS } from './operation.mjs';
import { FENCE_GROUP, TABLES, USERS, WITNESSES, partitionOf } from './tables.mjs';
import { Witness } from './witness.mjs';

const SETTINGS =
  '[retention]\nfeed_window_seconds = 3600\n[flush]\ncheck_interval_seconds = 1\ndefault_row_limit = 60\n[datafusion]\nmax_concurrent = 2\n';
const END_LIMIT_MS = 60000;
const RETRY_MS = 20;
const FIRST_FENCE = 900; // keys of the last rows of all

/** What may be refused, and then nothing was done. `rights`: only of users and tables whose rights change. */
const REFUSALS = [
  /^409 .*Conflict: /,
  /^503 /,
  /^429 /,
  /Already exists: Primary key/,
  /^400 .*cancelled/i,
  /ran longer than its limit|exceeded \d/,
];
const RIGHTS = [/^401 /, /^403 /, /User 'dora' not found/, /EXECUTE AS USER/, /door/];
const UNSTEADY = new Set(['dora', 'vera', 'erin']);

export class World {
  constructor(seed) {
    this.seed = seed;
    this.random = new Random(seed);
    this.tick = 0;
    this.isOver = false;
    this.up = Promise.resolve(); // while the server is being started again: until it is up
    this.doorway = Promise.resolve(); // the end of the change of access levels that runs
    this.clients = new Map();
    this.unexpected = [];
    this.history = { seed, transactions: [], subscriptions: [], denials: [], openings: [], unsteady: [...UNSTEADY], partitions: {} };
    this.copies = 0;
    this.keys = 0;
  }

  async open() {
    this.server = await startServer({ settings: SETTINGS });
    this.root = await loginRoot(this.server);
    for (const [name, role] of Object.entries(USERS)) this.clients.set(name, await newUser(this.root, name, role));
    await this.root.run('CREATE NAMESPACE h');
    for (const sql of Object.values(TABLES)) await this.root.run(sql);
    this.witnesses = WITNESSES.map(([user, table]) => new Witness(this, user, table));
    for (const witness of this.witnesses) {
      this.history.partitions[witness.partition] = witness;
      await witness.attach();
    }
  }

  async close() {
    for (const witness of this.witnesses ?? []) await witness.end();
    await this.server?.kill();
  }

  remove() {
    if (this.server) removeFolder(this.server.home);
  }

  complain(text) {
    this.unexpected.push(text);
  }

  /** A token of before may be void; null when the user may not log in. */
  async renew(user) {
    const client = await login(this.server, user, `pw-of-${USERS[user]}-123`).catch(() => null);
    if (client) this.clients.set(user, client);
    return client;
  }

  /** Kills or stops the server and starts it again. */
  async restart(kind) {
    await this.doorway; // the witness of that table needs a cursor after its opening
    let go;
    this.up = new Promise((resolve) => {
      go = resolve;
    });
    const end = kind === 'kill' ? await this.server.kill() : await this.server.stop();
    if (kind === 'kill' ? end.signal !== 'SIGKILL' : end.code !== 0) this.complain(`the server ended by itself: ${JSON.stringify(end)}`);
    await this.server.start();
    go();
  }

  /** An administrator's statement, sent until it is answered with success: {sent, answered} of the last try, first: when it was first sent. */
  async insist(sql) {
    const first = ++this.tick;
    for (let isRepeated = false; ; isRepeated = true) {
      await this.up;
      const sent = ++this.tick;
      const answer = await this.root.raw(sql).catch(() => null);
      if (answer?.status === 200 || (answer?.status === 400 && isRepeated)) return { first, sent, answered: ++this.tick };
      await pause(RETRY_MS);
    }
  }

  /** Sends operations as one request and records it. options: isTransaction, isRolledBack, cutAfterMs. */
  async request(user, drawn, options = {}) {
    const t = this.begin(user, drawn, options);
    const client = this.clients.get(user);
    if (options.cutAfterMs !== undefined) {
      const body = JSON.stringify({ sql: t.sql });
      await exchange(
        this.server,
        `POST /v1/api/sql HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${client.token}\r\n` +
          `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
        { limitMs: options.cutAfterMs },
      );
      return t;
    }
    const answer = await client.raw(t.sql).catch(() => null);
    if (!answer) return t;
    t.answered = ++this.tick;
    if (answer.status === 200) this.accept(t, answer.json.results, options);
    else this.refuse(t, answer);
    if (answer.status === 401) await this.renew(user);
    return t;
  }

  begin(user, drawn, { isTransaction = false, isRolledBack = false }) {
    const id = `T${this.history.transactions.length + 1}`;
    const operations = drawn.map((o, i) => ({ ...o, token: `${id}.${i}`, ...(o.name === 'copy' ? { offset: 1000 * ++this.copies } : {}) }));
    const texts = operations.map((o) => (o.as ? `EXECUTE AS USER '${o.as}' (${OPERATIONS[o.name].sql(o)})` : OPERATIONS[o.name].sql(o)));
    const as = operations.find((o) => o.as)?.as ?? null;
    const sql = isTransaction ? ['BEGIN', ...texts, isRolledBack ? 'ROLLBACK' : 'COMMIT'].join('; ') : texts[0];
    const t = {
      id,
      user,
      as,
      isTransaction,
      sql,
      operations,
      sent: ++this.tick,
      answered: null,
      outcome: 'unknown',
      answers: null,
      refusal: null,
    };
    this.history.transactions.push(t);
    return t;
  }

  accept(t, results, { isRolledBack = false }) {
    const own = t.isTransaction ? results.slice(1, -1) : results;
    const stranger = own.find(({ as_user: as }, i) => as !== (t.operations[i]?.as ?? t.user));
    if (stranger || own.length !== t.operations.length) {
      this.complain(`${t.id} [${t.sql}] was answered ${JSON.stringify(own).slice(0, 500)}`);
    }
    t.outcome = isRolledBack ? 'refused' : 'ok';
    t.answers = own.map((result, i) =>
      OPERATIONS[t.operations[i].name].isRead ? { rows: result.rows.map((row) => row.map(String)) } : { count: result.row_count },
    );
  }

  refuse(t, answer) {
    const message = `${answer.status} ${answer.json?.error?.message ?? answer.text.slice(0, 300)}`;
    const mayChange = UNSTEADY.has(t.user) || UNSTEADY.has(t.as) || t.operations.some(({ table }) => table === 'door');
    const isKnown = REFUSALS.some((known) => known.test(message)) || (mayChange && RIGHTS.some((known) => known.test(message)));
    t.outcome = answer.json?.error?.code === 'OUTCOME_UNKNOWN' ? 'unknown' : 'refused';
    t.refusal = { status: answer.status, message, isKnown, isExisting: /Already exists/.test(message), isConflict: answer.status === 409 };
  }

  /** An operation on the partition of a user; `more`: key, group, other (a table). */
  operation(name, table, user, { other = null, ...more } = {}) {
    return { name, table, partition: partitionOf(table, user), other, otherPartition: other && partitionOf(other, user), ...more };
  }

  /** A last row in every partition; when its witness has it, it has all. Then the tables as they are. */
  async finish(readers) {
    await this.insist("ALTER USER 'vera' SET ROLE service");
    await Promise.all([...UNSTEADY].map((user) => this.renew(user)));
    for (const [i, witness] of this.witnesses.entries()) {
      const { user, table, partition } = witness;
      const fence = this.operation('insert', table, user, { key: String(FIRST_FENCE + i), group: FENCE_GROUP });
      const t = await this.request(user, [fence]);
      if (t.outcome !== 'ok') this.complain(`the last row of ${partition} was refused: ${t.refusal?.message}`);
      const mine = readers.filter((reader) => reader.partition === partition);
      for (const one of [witness, ...mine]) {
        if (!(await one.sees(fence.key, t.operations[0].token, END_LIMIT_MS))) {
          this.complain(`${one.id} does not get the last row of ${partition}`);
        }
      }
      const rows = await this.clients.get(user).rows(`SELECT id, g, v, n, _seq FROM h.${table}`);
      witness.rows = rows.map(({ id, v, n, _seq }) => ({ key: String(id), v, n: String(n), seq: _seq }));
    }
  }
}
