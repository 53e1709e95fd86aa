// SPDX-License-Identifier: Apache-2.0
//
// One data folder through many crashes: its tables and users, who writes and who follows, and everything
// that must hold when its server is back.

import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { loginRoot, newUser } from '../e2e/lib/client.mjs';
import { BINARY, ROOT_PASSWORD, Server, freePort, temporaryFolder } from '../e2e/lib/server.mjs';
import { Accounts } from './accounts.mjs';
import { Subscriber } from './follower.mjs';
import { Definer, keeper, subscriber, ticker } from './load.mjs';
import { Ledger, Model, TickModel } from './model.mjs';
import { pause } from './request.mjs';
import { Alterer, Shape } from './shape.mjs';
import { Vault } from './vault.mjs';
import { Watch } from './watch.mjs';
import { Target, Writer } from './writer.mjs';

const USERS = [['Ann', 'user'], ['ann', 'service'], ['bob.', 'user']];
const PAGE = 2000;
const NEWEST = 20;
const FENCE_KEY = 0;
const STREAM_FENCE_KEYS = 900000000;
const TICKS_TTL_S = 2;
const WINDOW_S = 3; // of the feed, in folders where it is short
const WRITABLE_LIMIT_MS = 30000;
const COLUMNS = '(id BIGINT PRIMARY KEY, n INT NOT NULL, body TEXT NOT NULL)';
const TABLES = [
  `USER TABLE crash.items ${COLUMNS} WITH (FLUSH_POLICY = 'rows:300')`,
  `USER TABLE crash.brief ${COLUMNS} WITH (FLUSH_POLICY = 'rows:100')`,
  `USER TABLE crash.loose ${COLUMNS} WITH (DURABILITY = 'async')`,
  `SHARED TABLE crash.shared ${COLUMNS} WITH (ACCESS_LEVEL = 'PUBLIC')`,
  `USER TABLE vault.t ${COLUMNS} WITH (FLUSH_POLICY = 'rows:100')`,
  `USER TABLE vault.more ${COLUMNS}`, // empty: it comes and goes with the other
  `STREAM TABLE crash.events ${COLUMNS} WITH (TTL_SECONDS = 600)`,
  `STREAM TABLE crash.ticks ${COLUMNS} WITH (TTL_SECONDS = ${TICKS_TTL_S})`,
];
const KEPT = ['crash.items', 'crash.brief', 'crash.loose', 'crash.shared'];

export class Folder {
  constructor(random) {
    this.random = random;
    this.home = temporaryFolder('crash');
    this.dir = path.join(this.home, 'data');
    this.settings = path.join(this.home, 'test.toml');
    this.windowMs = random.below(2) ? WINDOW_S * 1000 : null;
    const isDrawn = random.below(2) === 1;
    const isErasing = process.env.CRASH_ERASING ? process.env.CRASH_ERASING === '1' : isDrawn;
    fs.writeFileSync(this.settings, `[auth]\nbcrypt_cost = 4\n[flush]\ncheck_interval_seconds = 1\n${
      this.windowMs ? `[retention]\nfeed_window_seconds = ${WINDOW_S}\n` : ''}${
      isErasing ? '[user_management]\ndeletion_grace_period_days = 0\n' : ''}`);
    this.ledger = new Ledger();
    this.accounts = new Accounts(this, random.split(), isErasing);
    this.shape = new Shape('crash.items');
    this.partitions = [];
    this.writers = [];
    this.round = 0;
    this.readyMsMax = 0;
    this.isCut = false; // power was lost since the last look
    this.isOver = false; // no server may start any more
    this.watch = new Watch();
  }

  get command() {
    const args = process.env.CRASH_ARGS ? process.env.CRASH_ARGS.split(' ') : [];
    return { binary: process.env.CRASH_BINARY || BINARY, args };
  }

  /** A server on the folder; `faults` is the environment of the disk-fault library, if any. */
  server(faults = {}) {
    if (this.isOver) throw new Error('this folder has failed');
    const { binary, args } = this.command;
    const server = new Server({
      home: this.home, dir: this.dir, port: this.port, binary, args: [...args, this.settings],
      env: { KALAMDB_ROOT_PASSWORD: ROOT_PASSWORD, ...faults },
    });
    this.current = server;
    for (const client of [...this.clients ?? [], ...this.accounts.clients]) client.server = server;
    return server;
  }

  async start(faults) {
    this.watch.goes('a start');
    const server = await this.server(faults).start();
    this.readyMsMax = Math.max(this.readyMsMax, server.readyMs);
    return server;
  }

  async create() {
    this.port = await freePort();
    const server = await this.start();
    this.root = this.watch.observe(await loginRoot(server));
    await this.root.results('CREATE NAMESPACE crash; CREATE NAMESPACE vault');
    for (const table of TABLES) await this.root.run(`CREATE ${table}`);
    const shared = this.partition(this.root, 'crash.shared', 'of-all');
    this.writers.push(new Writer(this.root, this.ledger, [new Target('crash.shared', shared.model, 0)], this.random.split()));
    for (const [name, role] of USERS) {
      this.addUser(this.watch.observe(await newUser(this.root, name, role)), role, shared);
    }
    this.clients = [...new Set(this.partitions.map((p) => p.client))];
    const kept = this.clients.slice(1, 3).map((client) => { // Ann and ann
      const { model } = this.partition(client, 'vault.t', `of-${client.user}`);
      return new Writer(client, this.ledger, [new Target('vault.t', model, 0, { isOwned: true })], this.random.split());
    });
    this.vault = new Vault(this, this.random.split(), kept);
    this.definer = new Definer(this.root, this.ledger, this.random.split());
    this.alterer = new Alterer(this.root, this.shape, this.random.split());
    await this.writeFences();
    await this.joinAll();
    await this.drop();
    const end = await server.stop();
    if (end.code !== 0) throw new Error(`the first stop failed:\n${server.output}`);
  }

  partition(client, table, canary, more = {}) {
    const name = `${client.user} ${table}`;
    const isTicks = table === 'crash.ticks';
    const isStream = isTicks || table === 'crash.events';
    const model = isTicks ? new TickModel(name, canary, TICKS_TTL_S * 1000) : new Model(name, canary, more);
    const partition = { client, table, model, isStream, isTicks, followers: [] };
    this.partitions.push(partition);
    this.follow(partition, client, { isLoose: isStream || more.loose });
    return partition;
  }

  /** A subscriber of all its rows, of those `where` says, or with features. */
  follow(partition, client, options = {}) {
    const { table, model, isTicks } = partition;
    const columns = options.isStar === false ? 'id, n, body' : '*';
    const follower = new Subscriber(`f${partition.followers.length} of ${client.user} ${table}`,
      `SELECT ${columns} FROM ${table}${options.where ?? ''}`, client, {
        canary: model.canary, windowMs: this.windowMs, ttlMs: isTicks ? model.ttlMs : null,
        shape: model.shape ?? null, ...options,
      });
    partition.followers.push(follower);
  }

  addUser(client, role, shared) {
    const { ledger, random } = this;
    const canary = `of-${client.user}`;
    const items = this.partition(client, 'crash.items', canary, { shape: this.shape });
    const brief = this.partition(client, 'crash.brief', canary);
    const loose = this.partition(client, 'crash.loose', canary, { loose: true });
    const events = this.partition(client, 'crash.events', canary, { loose: true });
    this.partition(client, 'crash.ticks', canary);
    const isEven = { where: ' WHERE n % 2 = 0', matches: (row) => Number(row.n) % 2 === 0 };
    this.follow(items, client, { features: ['schema'] });
    this.follow(items, client, { ...isEven, isStar: false });
    this.follow(brief, client, { features: ['replay'] });
    if (role === 'user') this.follow(shared, client, isEven);
    const mixed = [new Target('crash.items', items.model, 2), new Target('crash.brief', brief.model, 0, { isOwned: true })];
    if (role === 'service') mixed.push(new Target('crash.shared', shared.model, 1));
    const single = [
      new Target('crash.items', items.model, 0), new Target('crash.items', items.model, 1),
      new Target('crash.loose', loose.model, 0, { isOwned: true }),
      new Target('crash.events', events.model, 0, { isStream: true }),
    ];
    this.writers.push(new Writer(client, ledger, mixed, random.split(), { transactions: true }),
      ...single.map((target) => new Writer(client, ledger, [target], random.split())));
  }

  get followers() {
    return this.partitions.flatMap((partition) => partition.followers);
  }

  /** All rows of a partition, with numbers for numbers. */
  async rowsOf({ client, table }) {
    const rows = [];
    for (let last = -1; ;) {
      const result = await client.run(`SELECT * FROM ${table} WHERE id > ${last} ORDER BY id ASC LIMIT ${PAGE}`);
      const names = result.schema.map((column) => column.name);
      for (const cells of result.rows) {
        rows.push(Object.fromEntries(names.map((name, i) => [name, isNumber(name) ? numberOf(cells[i]) : cells[i]])));
      }
      if (table === 'crash.items') this.names = names;
      if (result.rows.length < PAGE) return rows;
      last = rows[rows.length - 1].id;
    }
  }

  /** Everything that must hold after a restart, before anybody writes. Returns what is wrong. */
  async verify() {
    this.watch.goes('the look at all rows');
    const wrong = [...await this.definer.check(), ...await this.accounts.check(this.isCut), ...await this.vault.check()];
    const durable = this.isCut ? this.ledger.syncedUpTo : Infinity;
    await Promise.all(this.partitions.map(async (partition) => {
      const beganMs = Date.now();
      partition.read = await this.rowsOf(partition);
      if (partition.isTicks) wrong.push(...partition.model.look(partition.read, beganMs, Date.now(), durable));
    }));
    wrong.push(...this.shape.settle(this.names));
    const kept = this.partitions.filter((partition) => !partition.isTicks);
    wrong.push(...this.ledger.settle(new Map(kept.map(({ model, read }) => [model, read])), this.isCut));
    await Promise.all(kept.map(async (partition) => wrong.push(...await this.verifyReads(partition))));
    for (const one of [...this.writers, ...this.vault.writers, this.definer, this.alterer]) wrong.push(...one.wrong.splice(0));
    this.isCut = false;
    return wrong;
  }

  /** The other ways to read give the same. */
  async verifyReads({ client, model, table, read }) {
    const wrong = [];
    const [{ c }] = await client.rows(`SELECT COUNT(*) AS c FROM ${table}`);
    if (Number(c) !== read.length) wrong.push(`${model.name}: COUNT(*) is ${c}, read ${read.length}`);
    const keys = [...model.rows.keys()];
    for (let i = 0; i < 5 && keys.length; i++) {
      const isDead = i > 2 && model.deaths.length > 0;
      const key = isDead ? this.random.pick(model.deaths) : this.random.pick(keys) + this.random.below(2);
      const byKey = await client.rows(`SELECT n FROM ${table} WHERE id = ${key}`);
      const want = model.rows.get(key);
      if (byKey.length !== (want ? 1 : 0) || (want && byKey[0].n !== want.n)) {
        wrong.push(`${model.name}: key ${key} reads ${JSON.stringify(byKey)}, known ${JSON.stringify(want?.n)}`);
      }
    }
    const newest = (await client.rows(`SELECT id, _seq FROM ${table} ORDER BY _seq DESC LIMIT ${NEWEST}`)).map((row) => `${row.id}@${row._seq}`);
    const known = read.map(({ id, _seq }) => ({ id, _seq: BigInt(_seq) })).sort((a, b) => (a._seq < b._seq ? 1 : -1));
    const want = known.slice(0, NEWEST).map((row) => `${row.id}@${row._seq}`);
    if (newest.join() !== want.join()) wrong.push(`${model.name}: the newest are ${newest}, by key they were ${want}`);
    return wrong;
  }

  /** One more row in every partition, or another state of one: what every subscriber must get next. */
  async writeFences() {
    this.round++;
    await Promise.all(this.partitions.map(async (partition) => {
      const { client, model, table, isStream, isTicks } = partition;
      let tag = this.ledger.nextTag();
      if (tag % 2) tag = this.ledger.nextTag(); // even: what filters ask for
      const key = isStream ? STREAM_FENCE_KEYS + this.round : FENCE_KEY;
      const row = { n: tag, body: `${model.canary} fence`, x: {} };
      if (isTicks) model.sent.set(key, { sentMs: Date.now(), acknowledged: 0 });
      const known = isTicks ? null : model.rows.get(key);
      if (known) row.x = known.x;
      const effect = isTicks ? null : this.ledger.begin(new Map([[model, new Map([[key, row]])]]));
      await client.run(known ? `UPDATE ${table} SET n = ${tag} WHERE id = ${key}` :
        `INSERT INTO ${table} (id, n, body) VALUES (${key}, ${tag}, '${row.body}')`);
      if (effect) this.ledger.acknowledged(effect);
      partition.fence = { key: String(key), tag };
    }));
  }

  async joinAll() {
    await Promise.all(this.followers.map((follower) => follower.join(this.current, { batch_size: 1 + this.random.below(300) })));
  }

  /** Resumes every subscriber while nobody writes: each must get exactly what it missed. */
  async verifyResume() {
    this.watch.goes('the resuming of all subscribers');
    const wrong = [];
    await this.joinAll();
    for (const partition of this.partitions) {
      if (partition.isTicks) continue; // some expire in between
      const paged = partition.followers.filter((follower) => !follower.isReplay || follower.from === null);
      for (const follower of paged) wrong.push(...missed(partition, follower));
    }
    await this.writeFences();
    await Promise.all(this.partitions.map(async (partition) => {
      const { fence, followers } = partition;
      await Promise.all(followers.map((follower) => follower
        .until((f) => Number(f.rows.get(fence.key)?.n) === fence.tag, `fence ${fence.tag}`)
        .catch((error) => wrong.push(error.message))));
      if (!partition.isTicks) {
        const rows = await this.rowsOf(partition);
        for (const follower of followers) wrong.push(...copyDiffers(follower, rows));
      }
    }));
    wrong.push(...this.violations());
    return wrong;
  }

  violations() {
    return this.followers.flatMap((follower) => follower.violations.splice(0));
  }

  load(stop) {
    // What does not sync may lose its end when the disk fails, and go on from there: a history with a hole.
    const ticks = this.partitions.filter((partition) => partition.isTicks && !stop.diskFails);
    const writers = this.writers.filter((writer) => !stop.diskFails || !writer.targets[0].model.history);
    return Promise.all([
      ...writers.map((writer) => writer.run(stop)),
      ...this.followers.map((follower) => subscriber(this.current, follower, this.random.split(), stop)),
      ...ticks.map(({ client, table, model }) => ticker(client, table, model, this.ledger, stop)),
      this.definer.run(stop),
      this.accounts.run(stop),
      this.vault.run(stop),
      this.alterer.run(stop),
      keeper(this.root, KEPT, this.random.split(), stop),
      keeper(this.root, KEPT, this.random.split(), stop),
    ]);
  }

  /** Ends when writes are taken. */
  async untilWritable() {
    this.watch.goes('the wait until writes are taken');
    const deadline = Date.now() + WRITABLE_LIMIT_MS;
    for (;;) {
      const answer = await this.root.raw('CREATE NAMESPACE IF NOT EXISTS probe; DROP NAMESPACE probe');
      if (answer.status === 200) return;
      if (Date.now() > deadline) throw new Error(`writes are not taken again: ${answer.text}`);
      await pause(20);
    }
  }

  /** The server is gone, or about to go. */
  async drop() {
    for (const follower of this.followers) follower.isStale = true;
    await Promise.all(this.followers.map(({ live }) => live?.drop()));
  }

  /** Where it stands, for a report. */
  tell(withStacks = false) {
    return this.watch.tell(this.current, this.followers, withStacks);
  }

  /** What the server's own check of the folder finds; no server may run. */
  check() {
    const { binary, args } = this.command;
    const { status, stdout, stderr } = spawnSync(binary, [...args, '--verify', this.dir], { encoding: 'utf8', timeout: 60000 });
    if (status === 0) return [];
    return [`--verify ends with ${status}`, ...`${stdout}${stderr}`.split('\n').filter((line) => /PROBLEM|rror/.test(line))];
  }
}

function isNumber(name) {
  return name !== 'body' && name !== '_seq' && name !== '_deleted';
}

/** What a subscriber that resumed was given, beside what is newer than its cursor. */
function missed({ read, model }, follower) {
  const wrong = [];
  const newer = read.filter((row) => follower.matches(row) && (follower.from === null || BigInt(row._seq) > BigInt(follower.from)));
  const lost = newer.filter((row) => !follower.pageKeys.has(String(row.id)));
  const where = `${follower.id}: resume from ${follower.from}`;
  if (lost.length) wrong.push(`${where} missed ${lost.length} rows: ${lost.slice(0, 5).map((row) => row.id)}`);
  if (follower.pageKeys.size > newer.length) wrong.push(`${where} gave ${follower.pageKeys.size} rows, ${newer.length} are newer`);
  for (const row of newer) {
    const copy = follower.rows.get(String(row.id));
    if (!copy || !follower.isStar) continue;
    for (const { name } of model.shape?.columns ?? []) {
      if (copy[name] === undefined || numberOf(copy[name]) === row[name]) continue;
      wrong.push(`${follower.id}: row ${row.id} came with ${name} = ${copy[name]}, the table has ${row[name]}`);
    }
  }
  return wrong;
}

function numberOf(value) {
  return value === null ? null : Number(value);
}

function copyDiffers(follower, rows) {
  const wrong = [];
  const there = rows.filter((row) => follower.matches(row));
  for (const row of there) {
    const copy = follower.rows.get(String(row.id));
    if (!copy) wrong.push(`${follower.id}: the subscriber never got row ${row.id} (seq ${row._seq})`);
    else if (Number(copy.n) !== row.n || copy._seq !== row._seq) {
      wrong.push(`${follower.id}: the subscriber has row ${row.id} n=${copy.n} seq ${copy._seq}, the table n=${
        row.n} seq ${row._seq}`);
    }
  }
  const ghosts = follower.rows.size - there.length;
  if (ghosts > 0) wrong.push(`${follower.id}: the subscriber keeps ${ghosts} rows that are gone`);
  return wrong;
}
