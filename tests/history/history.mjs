// SPDX-License-Identifier: Apache-2.0
//
// The history checker: rounds of some seconds, each with a server, a seed and a history of its own. What the round has
// recorded is then checked as a whole (check.mjs). A round that goes wrong prints its seed, what is wrong in the fewest
// words and the requests concerned, and keeps its folder with the history.

import fs from 'node:fs';
import path from 'node:path';
import { ROOT, cleanUp } from '../e2e/lib/server.mjs';
import { Random } from '../crash/model.mjs';
import { pause } from '../crash/request.mjs';
import { limited } from '../crash/watch.mjs';
import { check } from './check.mjs';
import { QUERIES } from './live.mjs';
import { WORKERS, work } from './load.mjs';
import { tell } from './tell.mjs';
import { makeTrouble } from './trouble.mjs';
import { Reader } from './witness.mjs';
import { World } from './world.mjs';

const number = (name, otherwise) => Number(process.env[name] ?? otherwise);
const SEED = number('HISTORY_SEED', Math.floor(Math.random() * 2 ** 31));
const SECONDS = number('HISTORY_SECONDS', 6);
const ROUND_SECONDS = number('HISTORY_ROUND_SECONDS', 20);
const KILLS_PER_ROUND_MAX = 4;
const STEP_LIMIT_MS = number('HISTORY_STEP_LIMIT_S', 240) * 1000;
const KEPT_MAX = 3;
const RECORD_FILE = process.env.HISTORY_RECORD; // where the first history goes
const BUILD = process.env.BUILD || path.join(ROOT, 'build');
/** Who reads what beside the witnesses, each query at least once. */
const READERS = [
  ['alice', 'a'],
  ['bob', 'a'],
  ['alice', 'b'],
  ['alice', 's'],
  ['carol', 'r'],
  ['carol', 'door'],
  ['alice', 'door'],
  ['boss', 's'],
  ['carol', 'a'],
  ['carol', 'door'],
  ['dora', 'a'],
  ['vera', 's'],
  ['alice', 'e'],
  ['bob', 'a'],
  ['alice', 'a'],
  ['alice', 'a'],
  ['vera', 's'],
  ['dora', 'e'],
];

const totals = { passed: 0, failed: 0, kept: 0, seed: 0 };

function startReaders(world, random) {
  const names = Object.keys(QUERIES);
  return READERS.map(
    ([user, table], i) => new Reader(world, user, table, names[(i + world.seed) % names.length], random.split(), random.below(2) === 0),
  );
}

/** The load of a round, with its restarts. */
async function load(world, seconds) {
  const random = world.random.split();
  const readers = startReaders(world, random);
  const running = readers.map((reader) => reader.run());
  const working = [...WORKERS.map((worker) => work(world, random.split(), worker)), ...makeTrouble(world, random)];
  const restarts = 1 + random.below(KILLS_PER_ROUND_MAX);
  for (let i = 0; i <= restarts; i++) {
    await pause((seconds * 1000) / (restarts + 1));
    if (i < restarts) await world.restart(random.below(4) ? 'kill' : 'stop');
  }
  world.isOver = true;
  await Promise.all(working);
  await world.finish(readers);
  for (const reader of readers) {
    reader.isStopped = true;
    reader.stop();
  }
  await Promise.all(running);
  await world.close();
}

function keep(world, lines) {
  const kept = path.join(BUILD, `history-${world.seed}`);
  if (totals.kept++ >= KEPT_MAX) return;
  fs.rmSync(kept, { recursive: true, force: true });
  fs.cpSync(world.server.home, kept, { recursive: true });
  fs.writeFileSync(path.join(kept, 'history.json'), JSON.stringify(world.history));
  fs.writeFileSync(path.join(kept, 'violations.txt'), lines.join('\n'));
  fs.writeFileSync(path.join(kept, 'server.log'), world.server.output);
  console.log(`        the folder, with history.json and violations.txt, is kept in ${kept}`);
}

function verdict(world, violations, figures) {
  const counts = [...(world.counts ?? [])].map(([name, count]) => `${count} ${name}`).join(', ');
  console.log(
    `# round ${world.seed}: ${Object.entries(figures)
      .map(([name, count]) => `${count} ${name}`)
      .join(', ')}; ${counts}`,
  );
  if (violations.length === 0) {
    console.log(`ok      history ${world.seed}`);
    totals.passed++;
    return;
  }
  totals.failed++;
  const repeat = `HISTORY_SEED=${world.seed} HISTORY_SECONDS=${Math.min(SECONDS, ROUND_SECONDS)}`;
  console.log(`NOT OK  history: ${violations.length} violations; to repeat the choices: ${repeat}`);
  const lines = tell(violations, world.history);
  console.log(lines.map((line) => `        ${line}`).join('\n'));
  keep(world, lines);
}

async function round(seed, seconds) {
  const world = new World(seed);
  totals.seed = seed;
  let result = { violations: [], figures: {} };
  try {
    await limited(
      async () => {
        await world.open();
        await load(world, seconds);
      },
      STEP_LIMIT_MS + seconds * 1000,
      () => [world.server?.output.slice(-2000) ?? 'no server'],
    );
    const text = JSON.stringify(world.history);
    if (RECORD_FILE && !fs.existsSync(RECORD_FILE)) fs.writeFileSync(RECORD_FILE, text);
    result = check(JSON.parse(text)); // as it would be kept
  } catch (error) {
    result.violations.push({ rule: 'the round broke off', text: [error.stack, ...(error.wrong ?? [])].join('\n'), ids: [] });
    world.isOver = true;
    await world.server?.kill().catch(() => {});
  }
  result.violations.unshift(...world.unexpected.map((text) => ({ rule: 'unexpected', text, ids: [] })));
  verdict(world, result.violations, result.figures);
  world.remove();
}

async function main() {
  console.log(`# history: seed ${SEED}, ${SECONDS} seconds of load in rounds of ${ROUND_SECONDS}`);
  const random = new Random(SEED);
  for (let left = SECONDS, seed = SEED; left > 0; left -= ROUND_SECONDS, seed = random.below(2 ** 31)) {
    await round(seed, Math.min(left, ROUND_SECONDS));
  }
  await cleanUp();
  console.log(`${totals.passed} passed, ${totals.failed} failed`);
  process.exit(totals.failed ? 1 : 0);
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.prependListener(signal, () => console.log(`NOT OK  history: ${signal} ended the round of seed ${totals.seed}`));
}
main().catch(async (error) => {
  console.log(error.stack);
  await cleanUp();
  console.log(`${totals.passed} passed, ${totals.failed + 1} failed`);
  process.exit(1);
});
