// SPDX-License-Identifier: Apache-2.0
//
// Many subscribers at once, for correctness alone (make bench measures): one that reads a byte now
// and then costs the others nothing and the server little memory, and a crowd that was cut off and
// comes back all together misses nothing and sees nothing twice.

import net from 'node:net';
import { Live } from './lib/live.mjs';
import { loginRoot, newUser } from './lib/client.mjs';
import { frame, upgrade } from './lib/raw.mjs';
import { check, equal, run, test } from './lib/runner.mjs';
import { SANITIZED, startServer } from './lib/server.mjs';

const HEALTHY = 40;
const CHANGES = 20000;
const ROWS_A_STATEMENT = 500;
const SOCKETS = 100;
const SUBSCRIPTIONS = 20; // of each socket
const MEMORY_KB_MAX = 200 * 1024; // growth: far above the queues, far below what is not read

let server;
let root;
let anna;

test('server, a user, tables', async () => {
  server = await startServer();
  root = await loginRoot(server);
  anna = await newUser(root, 'anna');
  await root.run('CREATE NAMESPACE scale');
  for (const name of ['flow', 'crowd']) {
    await root.run(`CREATE SHARED TABLE scale.${name} (id BIGINT PRIMARY KEY, v TEXT)
      WITH (ACCESS_LEVEL = 'PUBLIC')`);
  }
});

function insert(table, from, to, text) {
  const values = [];
  for (let id = from; id <= to; id++) values.push(`(${id}, '${text}')`);
  return root.run(`INSERT INTO scale.${table} (id, v) VALUES ${values.join(', ')}`);
}

async function openMany(count, token) {
  const all = [];
  for (let i = 0; i < count; i += 50) { // a backlog of connections is not what is tested
    const some = Array.from({ length: Math.min(50, count - i) },
      () => Live.open(server, { token, compress: false }));
    all.push(...await Promise.all(some));
  }
  return all;
}

/** Takes inserts of ids rising from 1: {ready, done}, done with the last. */
function followInOrder(live, sql, last) {
  let subscribed;
  const ready = new Promise((resolve) => { subscribed = resolve; });
  const done = new Promise((resolve, reject) => {
    let next = 1;
    live.listeners.set('f', (message) => {
      if (message.type === 'subscription_ack') {
        subscribed();
      } else if (message.change_type !== 'insert' || Number(message.rows[0].id) !== next) {
        reject(new Error(`wanted insert of ${next}, got ${JSON.stringify(message).slice(0, 300)}`));
      } else if (next++ === last) {
        resolve();
      }
    });
    live.ended.then(() => reject(new Error(`closed at ${next}`)));
  });
  live.subscribe('f', sql, null);
  return { ready, done };
}

/** A socket that has subscribed and reads only when it is told to. */
async function slowReader(token, sql) {
  const socket = net.connect(server.port, '127.0.0.1');
  const text = (value) => frame(JSON.stringify(value));
  let seen = '';
  const until = (word) => new Promise((resolve, reject) => {
    const look = (chunk) => {
      seen += chunk.toString('latin1');
      if (!seen.includes(word)) return;
      socket.off('data', look);
      resolve();
    };
    socket.on('data', look);
    socket.once('close', () => reject(new Error(`closed before ${word}`)));
  });
  socket.on('error', () => {});
  socket.write(upgrade('?compress=false'));
  socket.write(text({ type: 'authenticate', method: 'jwt', token,
    protocol: { serialization: 'json', compression: 'none' } }));
  await until('auth_success');
  socket.write(text({ type: 'subscribe', subscription: { id: 'slow', sql, options: {} } }));
  await until('"has_more":false');
  socket.pause();
  return { socket, skip: Buffer.from(seen.slice(seen.lastIndexOf('"has_more":false')), 'latin1') };
}

/** Reads on at full speed until row `last`; the ids of all changes, in order. */
function readOn({ socket, skip }, last) {
  return new Promise((resolve, reject) => {
    const ids = [];
    let rest = skip.toString('latin1');
    const take = (chunk) => {
      rest += chunk.toString('latin1');
      const pattern = /"change_type":"insert","rows":\[\{"id":"(\d+)"/g;
      let end = 0;
      for (let m; (m = pattern.exec(rest)); end = pattern.lastIndex) ids.push(Number(m[1]));
      rest = rest.slice(Math.max(end, rest.length - 200));
      if (ids.at(-1) === last) resolve(ids);
    };
    socket.on('data', take);
    socket.once('close', () => reject(new Error(`closed after ${ids.length} changes`)));
    socket.resume();
  });
}

test('a reader that stops costs the others nothing, memory stays bounded, and it catches up', async () => {
  const sql = 'SELECT id, v FROM scale.flow';
  const healthy = await openMany(HEALTHY, anna.token);
  const slow = await slowReader(anna.token, sql);
  const followers = healthy.map((live) => followInOrder(live, sql, CHANGES));
  await Promise.all(followers.map(({ ready }) => ready));
  const before = server.usage().rss_kb;
  const padding = 'x'.repeat(400); // 10 MB in all: more than any socket buffer takes
  const written = (async () => {
    for (let id = 1; id <= CHANGES; id += ROWS_A_STATEMENT) {
      await insert('flow', id, id + ROWS_A_STATEMENT - 1, padding);
    }
  })();
  await Promise.all([written, ...followers.map(({ done }) => done)]);
  const grown = server.usage().rss_kb - before;
  check(SANITIZED || grown < MEMORY_KB_MAX, `the server grew by ${grown} kB`);
  const ids = await readOn(slow, CHANGES);
  equal(ids.length, CHANGES, 'changes to the slow reader');
  check(ids.every((id, i) => id === i + 1), 'they are in order');
  slow.socket.destroy();
  for (const live of healthy) await live.drop();
});

/** Resumes `SUBSCRIPTIONS` from a cursor; what each saw once it has seen the row `last`. */
async function resume(live, cursor, last) {
  const seen = Array.from({ length: SUBSCRIPTIONS }, () => ({ rows: [], gone: [] }));
  let open = SUBSCRIPTIONS;
  await new Promise((resolve, reject) => {
    seen.forEach((mine, i) => {
      live.listeners.set(`r${i}`, (message) => {
        if (message.type === 'error') reject(new Error(JSON.stringify(message)));
        for (const row of message.rows ?? []) mine.rows.push(Number(row.id));
        if (message.change_type === 'delete') mine.gone.push(Number(message.old_values[0].id));
        if (message.rows?.some((row) => Number(row.id) === last) && --open === 0) resolve();
      });
      live.subscribe(`r${i}`, 'SELECT id, v FROM scale.crowd', { from: cursor });
    });
    live.ended.then(() => reject(new Error('the socket closed')));
  });
  return seen;
}

test('thousands of subscriptions resume at once: each sees what changed, once', async () => {
  await insert('crowd', 1, 100, 'first');
  const before = await openMany(SOCKETS, anna.token);
  const { cursor } = await before[0].subscribed('c', 'SELECT id, v FROM scale.crowd', {});
  await Promise.all(before.slice(1).map((live) =>
    live.subscribed('c', 'SELECT id, v FROM scale.crowd', { last_rows: 1 })));
  await Promise.all(before.map((live) => live.drop()));
  await insert('crowd', 101, 150, 'second');
  await root.run("UPDATE scale.crowd SET v = 'changed' WHERE id <= 20");
  await root.run('DELETE FROM scale.crowd WHERE id > 20 AND id <= 40');

  const writer = insert('crowd', 151, 200, 'meanwhile').then(() => insert('crowd', 999, 999, 'last'));
  const back = await openMany(SOCKETS, anna.token);
  const all = await Promise.all(back.map((live) => resume(live, cursor, 999)));
  await writer;
  const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
  const want = { rows: [...range(1, 20), ...range(101, 200), 999], gone: range(21, 40) };
  for (const [i, subscriptions] of all.entries()) {
    for (const { rows, gone } of subscriptions) {
      const sorted = (list) => [...list].sort((a, b) => a - b);
      equal({ rows: sorted(rows), gone: sorted(gone) }, want, `socket ${i}`);
    }
  }
  for (const live of back) await live.drop();
});

test('the server is as healthy as before', async () => {
  equal(await root.rows('SELECT COUNT(*) AS n FROM scale.flow'), [{ n: String(CHANGES) }], 'rows');
  equal((await server.stop()).code, 0, 'exit code');
});

run('scale');
