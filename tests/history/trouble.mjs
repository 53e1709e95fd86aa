// SPDX-License-Identifier: Apache-2.0
//
// What happens to the tables and users while the load runs: columns that come, go, are renamed and widened, flushes and
// compactions, tables that come and go beside; an access level, a user and a role that change, each of them with a time in which
// something is surely denied.

import { pause } from '../crash/request.mjs';
import { FENCE_GROUP, TABLES } from './tables.mjs';

const ADDED = ["TEXT DEFAULT 'q'", 'INT', 'BIGINT NOT NULL DEFAULT 7', 'TIMESTAMP DEFAULT NOW()'];
const PAUSE_MS_MAX = 150;
const EXTRA_COLUMNS_MAX = 6;
const SECRET_KEY = 500;
const OPENED_KEY = 600;
const FENCE_LIMIT_MS = 30000;

/** Draws one statement about a table, or null when it does not fit. extra: its columns beside those of the start. */
const ACTIONS = {
  flush: ({ table }) => `STORAGE FLUSH TABLE h.${table}`,
  flushAgain: ({ table }) => `STORAGE FLUSH TABLE h.${table}`,
  flushAll: () => 'STORAGE FLUSH ALL IN h',
  compact: ({ table }) => `STORAGE COMPACT TABLE h.${table}`,
  policy: ({ table, random }) => `ALTER TABLE h.${table} SET (FLUSH_POLICY = 'rows:${20 + random.below(300)}')`,
  window: ({ table, random }) => `ALTER TABLE h.${table} SET (FEED_WINDOW_SECONDS = ${random.pick([0, 3000, 4000])})`,
  add: ({ table, random, extra, name }) => {
    if (extra.length >= EXTRA_COLUMNS_MAX) return null;
    extra.push(name);
    return `ALTER TABLE h.${table} ADD COLUMN ${name} ${random.pick(ADDED)}`;
  },
  drop: ({ table, random, extra }) =>
    extra.length ? `ALTER TABLE h.${table} DROP COLUMN ${extra.splice(random.below(extra.length), 1)[0]}` : null,
  rename: ({ table, random, extra, name }) => {
    if (!extra.length) return null;
    const [before] = extra.splice(random.below(extra.length), 1, name);
    return `ALTER TABLE h.${table} RENAME COLUMN ${before} TO ${name}`;
  },
  widen: ({ table, random, widened }) => {
    if (table === 'door' || widened.has(table) || random.below(3)) return null; // it would end the witness of door, perhaps at an opening
    widened.add(table);
    return `ALTER TABLE h.${table} MODIFY COLUMN n BIGINT`;
  },
  notNull: ({ table, random }) => `ALTER TABLE h.${table} ALTER COLUMN v ${random.pick(['SET', 'DROP'])} NOT NULL`,
  beside: ({ random }) =>
    random.below(2) ? 'CREATE TABLE IF NOT EXISTS h.beside (id BIGINT PRIMARY KEY, v TEXT)' : 'DROP TABLE IF EXISTS h.beside',
  look: ({ table, random }) =>
    random.pick([
      'SELECT * FROM system.live',
      'SHOW MANIFEST',
      'SELECT * FROM system.jobs',
      `SHOW STATS FOR TABLE h.${table}`,
      'STORAGE CHECK local EXTENDED',
    ]),
};

/** Statements about tables, any of which may be refused. */
async function alter(world, random) {
  const extras = new Map(Object.keys(TABLES).map((table) => [table, []]));
  const widened = new Set();
  for (let count = 0; !world.isOver; count++) {
    await world.up;
    const table = random.pick(Object.keys(TABLES).filter((name) => name !== 'e'));
    const action = random.pick(Object.keys(ACTIONS));
    const sql = ACTIONS[action]({ table, random, widened, extra: extras.get(table), name: `x${count}` });
    if (!sql) continue;
    const answer = await world.root.raw(sql).catch(() => null);
    world.counts.set(action, (world.counts.get(action) ?? 0) + Number(answer?.status === 200));
    if (answer?.status >= 500 && answer.status !== 503) world.complain(`${sql}: ${answer.text.slice(0, 300)}`);
    await pause(random.below(PAUSE_MS_MAX));
  }
}

/** The table `door` is closed to users, holds something that they must never see, and is opened without it. */
async function turnDoor(world, random) {
  const witness = world.witnesses.find(({ partition }) => partition === 'door');
  for (let turn = 0; !world.isOver; turn++) {
    await world.up;
    let leave;
    world.doorway = new Promise((resolve) => {
      leave = resolve;
    });
    const closed = await world.insist('ALTER TABLE h.door SET ACCESS LEVEL PRIVATE');
    const secret = { key: String(SECRET_KEY + turn), group: '0' };
    await untilDone(world, 'boss', 'door', 'insert', secret);
    if (random.below(3) === 0) await world.root.raw('STORAGE FLUSH TABLE h.door').catch(() => null);
    await pause(random.below(60));
    await untilDone(world, 'boss', 'door', 'delete', secret);
    await witness.sees(secret.key, null, FENCE_LIMIT_MS); // a witness that lags behind an opening is told that its cursor is too old
    const opened = await world.insist('ALTER TABLE h.door SET ACCESS LEVEL PUBLIC');
    world.history.denials.push({ user: 'carol', partition: 'door', from: closed.answered, to: opened.first, isHidden: true });
    world.history.openings.push({ partition: 'door', sent: opened.sent, answered: opened.answered });
    const t = await untilDone(world, 'boss', 'door', 'insert', { key: String(OPENED_KEY + turn), group: FENCE_GROUP });
    if (!(await witness.sees(t.operations[0].key, t.operations[0].token, FENCE_LIMIT_MS))) {
      world.complain('the witness of door does not see its opening');
    }
    world.counts.set('opened', turn + 1);
    leave();
    await pause(50 + random.below(600));
  }
}

/** One statement, again until it is done. */
async function untilDone(world, user, table, name, more) {
  for (;;) {
    const t = await world.request(user, [world.operation(name, table, user, more)]);
    if (t.outcome === 'ok' || t.refusal?.isExisting) return t;
    await world.up;
  }
}

async function dropAndRestore(world, random) {
  for (let turn = 0; !world.isOver; turn++) {
    await pause(100 + random.below(500));
    const gone = await world.insist("DROP USER 'dora'");
    await pause(random.below(300));
    const back = await world.insist("ALTER USER 'dora' RESTORE");
    world.history.denials.push({ user: 'dora', partition: null, from: gone.answered, to: back.first });
    world.counts.set('restored', turn + 1);
    await world.renew('dora');
  }
}

async function changeRole(world, random) {
  for (let turn = 0; !world.isOver; turn++) {
    await pause(100 + random.below(500));
    const lost = await world.insist("ALTER USER 'vera' SET ROLE user");
    await world.renew('vera');
    await pause(random.below(300));
    const back = await world.insist("ALTER USER 'vera' SET ROLE service");
    world.history.denials.push({ user: 'vera', partition: 's', from: lost.answered, to: back.first });
    world.counts.set('roles', turn + 1);
    await world.renew('vera');
  }
}

/** erin is a dba for a while, and has something then that those who act for her at other times must never see. */
async function promote(world, random) {
  for (let turn = 0; !world.isOver; turn++) {
    await pause(50 + random.below(400));
    const lost = await world.insist("ALTER USER 'erin' SET ROLE dba");
    await world.renew('erin');
    const secret = { key: String(SECRET_KEY + turn), group: '0' };
    await untilDone(world, 'erin', 'a', 'insert', secret);
    await pause(random.below(60));
    await untilDone(world, 'erin', 'a', 'delete', secret);
    const back = await world.insist("ALTER USER 'erin' SET ROLE user");
    world.history.denials.push({ user: 'svc', partition: 'a/erin', from: lost.answered, to: back.first, isHidden: true });
    world.counts.set('promoted', turn + 1);
    await world.renew('erin');
  }
}

/** All of it until the end of the round. */
export function makeTrouble(world, random) {
  world.counts = new Map();
  return [
    alter(world, random.split()),
    alter(world, random.split()),
    turnDoor(world, random.split()),
    dropAndRestore(world, random.split()),
    changeRole(world, random.split()),
    promote(world, random.split()),
  ];
}
