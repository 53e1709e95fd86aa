// SPDX-License-Identifier: Apache-2.0
//
// The crash checker: a mixed load of several users, the server killed or its power cut at a random
// moment, a restart on what is left, and the proof that nothing acknowledged is lost, nothing is
// doubled, what was not answered is there whole or not at all, a resumed subscription gets exactly what
// it missed, nobody sees another's rows, and no start fails. The folder lives on through many crashes.

import fs from 'node:fs';
import path from 'node:path';
import { loginRoot, newUser } from '../e2e/lib/client.mjs';
import { Follower } from '../e2e/lib/follow.mjs';
import { Live } from '../e2e/lib/live.mjs';
import { BINARY, ROOT, ROOT_PASSWORD, Server, cleanUp, removeFolder, temporaryFolder } from '../e2e/lib/server.mjs';
import * as fault from './fault.mjs';
import { Definer, Writer, flusher, streamWriter, subscriber } from './load.mjs';
import { Model, Random } from './model.mjs';

const KILLS = Number(process.env.CRASH_KILLS ?? 3);
const CUTS = Number(process.env.CRASH_CUTS ?? 3);
const SEED = Number(process.env.CRASH_SEED ?? Math.floor(Math.random() * 2 ** 31));
const LOAD_MS_MAX = Number(process.env.CRASH_LOAD_MS ?? 700);
const USERS = ['Ann', 'ann', 'bob.'];
const WRITERS_OF_A_USER = 2;
const ROUNDS_OF_A_FOLDER = 20;
const FENCE_KEY = 0;

const random = new Random(SEED);

/** One data folder, its users and what is known of each partition. */
class Folder {
  constructor() {
    this.home = temporaryFolder('crash');
    this.dir = path.join(this.home, 'data');
    this.settings = path.join(this.home, 'test.toml');
    fs.writeFileSync(this.settings, '[auth]\nbcrypt_cost = 4\n');
    this.round = 0;
    this.partitions = [];
    this.streamCounter = { next: 1 };
  }

  /** A server on the folder; `faults` is the environment of the disk-fault library, if any. */
  server(faults = {}) {
    const server = new Server({
      home: this.home, dir: this.dir, port: this.port, binary: process.env.CRASH_BINARY || BINARY,
      args: process.env.CRASH_ARGS ? process.env.CRASH_ARGS.split(' ') : [this.settings],
      env: { KALAMDB_ROOT_PASSWORD: ROOT_PASSWORD, ...faults },
    });
    this.current = server;
    for (const client of this.clients ?? []) client.server = server;
    return server;
  }

  async create() {
    const server = await this.server().start();
    this.port = server.port;
    this.root = await loginRoot(server);
    await this.root.run('CREATE NAMESPACE crash');
    const columns = '(id BIGINT PRIMARY KEY, n INT NOT NULL, body TEXT NOT NULL)';
    await this.root.run(`CREATE USER TABLE crash.items ${columns}`);
    await this.root.run(`CREATE SHARED TABLE crash.shared ${columns}`);
    await this.root.run('CREATE STREAM TABLE crash.events (id BIGINT, body TEXT) WITH (TTL_SECONDS = 600)');
    for (const name of USERS) await this.add(await newUser(this.root, name), `of-${name}`, 'crash.items');
    await this.add(this.root, 'of-all', 'crash.shared');
    this.clients = [...new Set(this.partitions.map((p) => p.client))];
    this.definer = new Definer(this.root, random.below(2 ** 31));
    await this.writeFences();
    await this.attachAll();
    await this.drop();
    if ((await server.stop()).code !== 0) throw new Error(`the first stop failed:\n${server.output}`);
  }

  async add(client, canary, table) {
    const model = new Model(`${client.user} ${table}`, canary);
    const follower = new Follower(`f-${canary}`, `SELECT * FROM ${table}`, {
      onRow: (row) => {
        if (row.body !== undefined && !row.body.startsWith(`${canary} `)) follower.violate(`a row of another: ${row.body.slice(0, 40)}`);
      },
    });
    const count = table === 'crash.items' ? WRITERS_OF_A_USER : 1;
    const writers = Array.from({ length: count }, (_, i) => new Writer(client, model, table, i, random.below(2 ** 31)));
    this.partitions.push({ client, model, follower, writers, table });
  }

  async rowsOf({ client, table }) {
    const rows = [];
    for (let last = -1; ;) {
      const page = await client.rows(`SELECT id, n, body, _seq FROM ${table} WHERE id > ${last} ORDER BY id ASC LIMIT 500`);
      rows.push(...page);
      if (page.length < 500) return rows;
      last = page[page.length - 1].id;
    }
  }

  /** Everything that must hold after a restart, before anybody writes. Returns what is wrong. */
  async verify() {
    const wrong = await this.definer.check();
    await Promise.all(this.partitions.map(async (partition) => {
      const { client, model, table, writers } = partition;
      partition.read = await this.rowsOf(partition);
      wrong.push(...model.settle(partition.read));
      for (const writer of writers) wrong.push(...writer.wrong.splice(0));
      const [{ c }] = await client.rows(`SELECT COUNT(*) AS c FROM ${table}`);
      if (Number(c) !== partition.read.length) wrong.push(`${model.name}: COUNT(*) is ${c}, read ${partition.read.length}`);
      for (let i = 0; i < 5; i++) {
        const key = writers[0].first + random.below(Math.max(1, writers[0].nextKey - writers[0].first));
        const byKey = await client.rows(`SELECT n FROM ${table} WHERE id = ${key}`);
        const want = model.rows.get(key);
        if (byKey.length !== (want ? 1 : 0) || (want && byKey[0].n !== want.n)) {
          wrong.push(`${model.name}: key ${key} reads ${JSON.stringify(byKey)}, known ${JSON.stringify(want?.n)}`);
        }
      }
      if (table === 'crash.items') wrong.push(...await this.verifyStream(partition));
    }));
    wrong.push(...this.definer.wrong.splice(0));
    return wrong;
  }

  async verifyStream({ client, model }) {
    const rows = await client.rows('SELECT id, body FROM crash.events LIMIT 1000');
    const wrong = rows.filter((row) => !row.body.startsWith(`${model.canary} `)).map((row) => `a stream row of another: ${row.body}`);
    if (new Set(rows.map((row) => row.id)).size !== rows.length) wrong.push('a stream row is doubled');
    return wrong.map((text) => `${model.name}: ${text}`);
  }

  async writeFences() {
    this.round++;
    await Promise.all(this.partitions.map(async ({ client, model, table }) => {
      const row = { n: this.round, body: `${model.canary} fence` };
      const sql = model.rows.has(FENCE_KEY) ? `UPDATE ${table} SET n = ${row.n} WHERE id = ${FENCE_KEY}` :
        `INSERT INTO ${table} (id, n, body) VALUES (${FENCE_KEY}, ${row.n}, '${row.body}')`;
      const effect = model.begin(new Map([[FENCE_KEY, row]]));
      await client.run(sql);
      model.acknowledged(effect);
    }));
  }

  async attachAll() {
    await Promise.all(this.partitions.map(async ({ client, follower }) => {
      await follower.attach(await Live.open(this.current, { token: client.token }), { batch_size: 1 + random.below(300) });
    }));
  }

  /** Resumes every subscriber while nobody writes: each must get exactly what it missed. */
  async verifyResume() {
    const wrong = [];
    await this.attachAll();
    for (const { follower, read, model } of this.partitions) {
      const missed = read.filter((row) => follower.from === null || BigInt(row._seq) > BigInt(follower.from)).map((row) => row.id);
      const got = follower.pageKeys;
      const lost = missed.filter((key) => !got.has(key));
      if (lost.length) wrong.push(`${model.name}: resume from ${follower.from} missed ${lost.length} rows: ${lost.slice(0, 5)}`);
      if (got.size > missed.length) wrong.push(`${model.name}: resume from ${follower.from} gave ${got.size} rows, ${missed.length} are newer`);
    }
    await this.writeFences();
    await Promise.all(this.partitions.map(async (partition) => {
      const { follower, model } = partition;
      await follower.until((f) => f.rows.get(String(FENCE_KEY))?.n === this.round, `fence ${this.round}`)
        .catch((error) => wrong.push(error.message));
      wrong.push(...follower.violations.splice(0));
      wrong.push(...copyDiffers(follower, await this.rowsOf(partition), model.name));
    }));
    return wrong;
  }

  async load(stop) {
    const clients = this.partitions.filter((p) => p.table === 'crash.items').map((p) => p);
    return Promise.all([
      ...this.partitions.flatMap((p) => p.writers.map((writer) => writer.run(stop))),
      ...this.partitions.map((p) => subscriber(this.current, p.client, p.follower, random, stop)),
      ...clients.map((p) => streamWriter(p.client, this.streamCounter, p.model.canary, stop)),
      this.definer.run(stop),
      flusher(this.root, ['crash.items', 'crash.shared'], random, stop),
    ]);
  }

  async drop() {
    await Promise.all(this.partitions.map(({ follower }) => follower.live?.drop()));
  }
}

function copyDiffers(follower, rows, name) {
  const wrong = [];
  for (const row of rows) {
    const copy = follower.rows.get(row.id);
    if (!copy) wrong.push(`${name}: the subscriber never got row ${row.id} (seq ${row._seq})`);
    else if (copy.n !== row.n || copy._seq !== row._seq) {
      wrong.push(`${name}: the subscriber has row ${row.id} n=${copy.n} seq ${copy._seq}, the table n=${row.n} seq ${row._seq}`);
    }
  }
  if (follower.rows.size > rows.length) wrong.push(`${name}: the subscriber keeps ${follower.rows.size - rows.length} rows that are gone`);
  return wrong;
}

async function crash(folder, kind) {
  if (kind === 'cut') await fault.cut(folder.current, folder.home, folder.dir);
  else await folder.current.kill();
}

/** Waits for a while, or for the end of the server. */
function within(ms, server) {
  return Promise.race([new Promise((resolve) => setTimeout(resolve, ms)), server.exited]);
}

/** One life of the server: start, check what the last crash left, load, crash. */
async function life(folder, kind) {
  const atStart = random.below(8) === 0;
  const faults = kind === 'cut' ? fault.environment(folder.home, folder.dir, random, atStart) : {};
  const server = folder.server(faults);
  if (atStart) { // a crash while it starts
    await server.spawn();
    await within(random.below(120), server);
    await crash(folder, kind);
    return [];
  }
  await server.start();
  const wrong = await folder.verify();
  if (wrong.length === 0) wrong.push(...await folder.verifyResume());
  if (wrong.length === 0) {
    const stop = { now: false };
    if (kind === 'cut') fault.arm(folder.home);
    const working = folder.load(stop);
    await within(5 + random.below(LOAD_MS_MAX), server);
    await crash(folder, kind);
    stop.now = true;
    await working;
  } else {
    await server.kill();
  }
  await folder.drop();
  return wrong;
}

/** The last look: what the last crash left, and a clean stop. */
async function lastLook(folder) {
  const server = await folder.server().start();
  const wrong = await folder.verify();
  if (wrong.length === 0) wrong.push(...await folder.verifyResume());
  await folder.drop();
  const end = await server.stop();
  if (end.code !== 0) wrong.push(`the stop ended with ${JSON.stringify(end)}`);
  return wrong;
}

function report(label, wrong, folder) {
  console.log(`NOT OK  ${label}, seed ${SEED}`);
  for (const text of wrong.slice(0, 20)) console.log(`        ${text}`);
  if (process.env.CRASH_KEEP) {
    const kept = path.join(ROOT, 'build', `crash-${SEED}-${label.replaceAll(' ', '-')}`);
    fs.cpSync(folder.home, kept, { recursive: true });
    console.log(`        the folder is kept in ${kept}`);
  }
  const said = folder.current?.output.trim();
  if (said) console.log(`        the server's last lines:\n${said.split('\n').slice(-8).map((l) => `          ${l}`).join('\n')}`);
}

async function main() {
  const cuts = CUTS > 0 && !fault.available() ? 0 : CUTS;
  const kinds = [...Array(KILLS).fill('kill'), ...Array(cuts).fill('cut')];
  for (let i = kinds.length - 1; i > 0; i--) {
    const k = random.below(i + 1);
    [kinds[i], kinds[k]] = [kinds[k], kinds[i]];
  }
  console.log(`# crash: seed ${SEED}, ${KILLS} kills, ${cuts} power cuts${cuts < CUTS ? ` (${fault.missing()})` : ''}`);
  let passed = 0;
  let failed = cuts < CUTS ? 1 : 0; // power cuts that are asked for and not to be had
  let statements = 0;
  let folder = null;
  const finish = async () => {
    if (!folder) return;
    statements += folder.partitions.reduce((sum, p) => sum + p.model.statements, 0);
    await folder.current?.kill();
    removeFolder(folder.home);
    folder = null;
  };
  const step = async (label, act) => {
    let wrong;
    try {
      wrong = await act();
    } catch (error) {
      wrong = [error.stack];
    }
    if (wrong.length === 0) passed++;
    else {
      failed++;
      report(label, wrong, folder);
      await folder.drop().catch(() => {});
      await finish();
    }
  };
  for (let i = 0; i < kinds.length; i++) {
    if (!folder) {
      folder = new Folder();
      try {
        await folder.create();
      } catch (error) {
        failed++;
        report(`set-up before crash ${i}`, [error.stack], folder);
        break;
      }
    }
    await step(`crash ${i} ${kinds[i]}`, () => life(folder, kinds[i]));
    const last = i === kinds.length - 1 || (i + 1) % ROUNDS_OF_A_FOLDER === 0;
    if (folder && last) await step(`look after crash ${i}`, () => lastLook(folder));
    if (last) await finish();
  }
  await finish();
  await cleanUp();
  console.log(`# crash: ${statements} statements in flight or acknowledged`);
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed ? 1 : 0);
}

main().catch(async (error) => {
  console.log(error.stack);
  await cleanUp();
  console.log('0 passed, 1 failed');
  process.exit(1);
});
