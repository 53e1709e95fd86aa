// SPDX-License-Identifier: Apache-2.0
//
// What those who write events rely on: what has expired is gone, at once, for everybody, and nothing brings it back: no longer TTL, no
// restart, no resume.

import { execFileSync } from 'node:child_process';
import { loginRoot, newUser } from './lib/client.mjs';
import { Live } from './lib/live.mjs';
import { check, equal, matches, run, test } from './lib/runner.mjs';
import { BINARY, startServer } from './lib/server.mjs';

/** Waits until the user sees no event, by every way of reading. */
async function untilGone(user) {
  for (;;) {
    const [{ n }] = await user.rows('SELECT count(*) AS n FROM ex.e');
    const rows = await user.rows('SELECT id FROM ex.e ORDER BY v');
    check(rows.length <= Number(n), `a later read shows more: ${rows.length} after ${n}`);
    if (rows.length === 0) return;
  }
}

test('a longer TTL brings no expired event back, a shorter one takes events away at once', async () => {
  const server = await startServer();
  let root = await loginRoot(server);
  await root.run('CREATE NAMESPACE ex');
  await root.run('CREATE STREAM TABLE ex.e (id BIGINT, v TEXT) WITH (TTL_SECONDS = 1)');
  const user = await newUser(root, 'u');
  await user.run("INSERT INTO ex.e VALUES (1, 'old'), (1, 'old too'), (NULL, 'without a key')");
  await untilGone(user);
  await root.run('ALTER TABLE ex.e SET (TTL_SECONDS = 3600)');
  equal(await user.rows('SELECT id FROM ex.e'), [], 'after the TTL became longer');
  equal((await user.run('DELETE FROM ex.e WHERE id = 1')).row_count, 0, 'nothing is there to delete');
  await user.run("INSERT INTO ex.e VALUES (2, 'lives')");
  const live = await Live.open(server, { token: user.token });
  equal((await live.subscribed('s', 'SELECT id FROM ex.e')).rows.map((row) => row.id), ['2'], 'first rows');
  await live.close();
  await server.kill();
  await server.start();
  root = await loginRoot(server);
  equal((await user.rows('SELECT id FROM ex.e')).map((row) => row.id), ['2'], 'after a restart');
  await root.run('ALTER TABLE ex.e SET (TTL_SECONDS = 1)');
  await untilGone(user);
  await root.run('ALTER TABLE ex.e SET (TTL_SECONDS = 7200)');
  equal(await user.rows('SELECT id FROM ex.e'), [], 'once more');
  await user.run("INSERT INTO ex.e VALUES (3, 'lives')");
  const job = (await root.run("BACKUP DATABASE ex TO 'b'")).message;
  while ((await root.rows(`SELECT status FROM system.jobs WHERE job_id = '${/Job ID: (\S+)/.exec(job)[1]}'`))[0].status !== 'completed');
  await root.run("RESTORE DATABASE again FROM 'b'");
  while ((await root.raw('SHOW TABLES IN again')).status !== 200 || (await root.rows('SHOW TABLES IN again')).length === 0);
  equal((await user.rows('SELECT id FROM again.e')).map((row) => row.id), ['3'], 'after backup and restore');
  await server.stop();
  matches(execFileSync(BINARY, ['--verify', server.dir], { encoding: 'utf8' }), /OK +everything agrees/, '--verify');
});

test('a subscription across the moment of expiry: no message of it, none before or after is lost, a resume leaves the expired out', async () => {
  const server = await startServer();
  const root = await loginRoot(server);
  await root.run('CREATE NAMESPACE ex');
  await root.run('CREATE STREAM TABLE ex.e (id BIGINT, v TEXT) WITH (TTL_SECONDS = 5)'); // time to be told of all that is done
  const user = await newUser(root, 'u');
  const live = await Live.open(server, { token: user.token });
  const { cursor } = await live.subscribed('s', 'SELECT id, v FROM ex.e');
  await user.run("INSERT INTO ex.e VALUES (1, 'a'), (2, 'b')");
  await user.run('DELETE FROM ex.e WHERE id = 2');
  for (const [kind, id] of [['insert', '1'], ['insert', '2'], ['delete', '2']]) {
    const message = await live.expectChange(kind, 's');
    equal((message.rows ?? message.old_values)[0].id, id, kind);
  }
  await untilGone(user);
  await root.run('ALTER TABLE ex.e SET (TTL_SECONDS = 3600)'); // what comes now lives until the end
  await user.run("INSERT INTO ex.e VALUES (3, 'c')");
  equal((await live.expectChange('insert', 's')).rows[0].id, '3', 'the next message is the next event');
  const resumed = await Live.open(server, { token: user.token });
  const { rows, deletes } = await resumed.subscribed('r', 'SELECT id, v FROM ex.e', { from: cursor });
  equal([rows.map((row) => row.id), deletes], [['3'], []], 'a resume');
  await server.stop();
});

run('expire', { independent: true });
