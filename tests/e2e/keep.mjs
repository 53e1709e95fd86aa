// SPDX-License-Identifier: Apache-2.0
//
// What an operator relies on when a disk goes wrong: --verify, and damage that stays where it is.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { loginRoot } from './lib/client.mjs';
import { check, equal, matches, run, test } from './lib/runner.mjs';
import { BINARY, startServer } from './lib/server.mjs';

/** Runs the server program; returns {code, out}. */
function program(...args) {
  try {
    return { code: 0, out: execFileSync(BINARY, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }) };
  } catch (error) {
    return { code: error.status, out: `${error.stdout}${error.stderr}` };
  }
}

/** All files below a folder, by relative path. */
function files(dir) {
  return fs.readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
    const full = path.join(dir, entry.name);
    return entry.isDirectory() ? files(full) : [full];
  });
}

function segments(dir) {
  return files(path.join(dir, 'storage')).filter((name) => name.endsWith('.parquet')).sort();
}

/** Two segments of 50 rows and one hot row in keep.t, one segment in keep.other. */
async function fill(root) {
  await root.run('CREATE NAMESPACE keep');
  for (const table of ['t', 'other']) await root.run(`CREATE USER TABLE keep.${table} (id BIGINT PRIMARY KEY, v TEXT)`);
  const values = (from) => Array.from({ length: 50 }, (_, i) => `(${from + i}, 'text ${from + i}')`).join(',');
  for (const from of [0, 100]) {
    await root.run(`INSERT INTO keep.t VALUES ${values(from)}`);
    await root.run('STORAGE FLUSH TABLE keep.t');
  }
  await root.run(`INSERT INTO keep.other VALUES ${values(0)}`);
  await root.run('STORAGE FLUSH TABLE keep.other');
  await root.run("INSERT INTO keep.t VALUES (500, 'hot')");
  await root.run("UPDATE keep.t SET v = 'changed' WHERE id = 7");
  await root.run('DELETE FROM keep.t WHERE id = 8');
}

async function fails(promise, pattern) {
  try {
    await promise;
  } catch (error) {
    matches(error.message, pattern, 'the failure');
    return;
  }
  throw new Error('it should have failed');
}

const damages = {
  deleted: (file) => fs.rmSync(file),
  truncated: (file) => fs.truncateSync(file, fs.statSync(file).size - 10),
  'changed in one byte': (file) => {
    const bytes = fs.readFileSync(file);
    bytes[Math.floor(bytes.length / 4)] ^= 0x10;
    fs.writeFileSync(file, bytes);
  },
};

for (const [name, damage] of Object.entries(damages)) {
  test(`a segment that is ${name} fails the queries that need it, by name, and nothing else`, async () => {
    const server = await startServer();
    const root = await loginRoot(server);
    await fill(root);
    const mine = segments(server.dir).filter((file) => file.includes('/keep/t/'));
    equal(mine.length, 2, 'segments of keep.t');
    const whole = fs.readFileSync(mine[0]);
    equal((await root.rows('SELECT COUNT(*) AS n FROM keep.t'))[0].n, '100', 'rows before');
    damage(mine[0]);
    for (const sql of ['SELECT COUNT(*) AS n FROM keep.t', "SELECT id FROM keep.t WHERE v = 'text 3'"]) {
      await fails(root.run(sql), /segment user\/root\/keep\/t\/batch-0\.parquet is (missing|damaged)/);
    }
    equal((await root.rows('SELECT v FROM keep.t WHERE id = 500'))[0].v, 'hot', 'a hot row');
    equal((await root.rows('SELECT v FROM keep.t WHERE id = 120'))[0].v, 'text 120', 'a row of the other segment');
    equal((await root.rows('SELECT COUNT(*) AS n FROM keep.other'))[0].n, '50', 'another table');
    await root.run("INSERT INTO keep.t VALUES (501, 'hot too')");
    await root.run('STORAGE FLUSH TABLE keep.t');
    equal((await root.rows('SELECT v FROM keep.t WHERE id = 501'))[0].v, 'hot too', 'a row flushed since');
    await server.stop();
    const found = program('--verify', server.dir);
    equal(found.code, 1, `exit code of --verify:\n${found.out}`);
    matches(found.out, /PROBLEM .*keep\.t.*batch-0\.parquet/, 'what it found');
    fs.writeFileSync(mine[0], whole);
    const sound = program('--verify', server.dir);
    equal(sound.code, 0, `exit code of --verify after repair:\n${sound.out}`);
    await server.start();
    equal((await root.rows('SELECT COUNT(*) AS n FROM keep.t'))[0].n, '101', 'rows after repair');
    await server.stop();
  });
}

test('--verify: a running server keeps its folder; no folder, no luck; nothing is changed', async () => {
  const server = await startServer();
  const root = await loginRoot(server);
  await fill(root);
  matches(program('--verify', server.dir).out, /another server is using/, 'a folder in use');
  await server.stop();
  const list = () => files(server.dir).map((file) => `${file} ${fs.statSync(file).mtimeMs}`).sort();
  const before = list();
  const { code, out } = program('--verify', server.dir);
  equal(code, 0, out);
  matches(out, /OK +everything agrees/, 'the summary');
  equal(list(), before, 'files');
  equal(program('--verify', path.join(server.dir, 'nothing')).code, 1, 'a folder that is not there');
});

run('keep', { independent: true });
