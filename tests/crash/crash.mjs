// SPDX-License-Identifier: Apache-2.0
//
// The crash checker: a mixed load of several users, the server killed or its power cut at a random moment
// or just after a statement of some kind was sent, a restart on what is left, and the proof that nothing
// acknowledged is lost (README.md says what that means for whom). A folder lives on through many crashes.
//
// Each folder, and each crash of it, draws from a generator of its own, so one folder's choices can be repeated.

import fs from 'node:fs';
import path from 'node:path';
import { ROOT, cleanUp, removeFolder } from '../e2e/lib/server.mjs';
import * as fault from './fault.mjs';
import { Folder } from './folder.mjs';
import { Random } from './model.mjs';
import { pause } from './request.mjs';

const number = (name, otherwise) => Number(process.env[name] ?? otherwise);
const KILLS = number('CRASH_KILLS', 3);
const CUTS = number('CRASH_CUTS', 3);
const FAILS = number('CRASH_FAILS', 1);
const SEED = number('CRASH_SEED', Math.floor(Math.random() * 2 ** 31));
const LOAD_MS_MAX = number('CRASH_LOAD_MS', 700);
const ONLY_FOLDER = number('CRASH_FOLDER', -1);
const ROUNDS_OF_A_FOLDER = 20;
const KEPT_MAX = 3;
const CUT_MS_MORE = 300; // so that most reach the file operation they wait for
const FAILING_MS_MAX = 2000;
/** What a crash may wait for; the empty word: nothing. */
const MOMENTS = ['', '', '', '', 'BEGIN', 'ALTER', 'STORAGE FLUSH', 'STORAGE COMPACT', 'TRUNCATE', 'DROP', 'CREATE'];
const BUILD = process.env.BUILD || path.join(ROOT, 'build');

/** What is counted of the requests. */
const COUNTED = ['BEGIN', 'ALTER', 'TRUNCATE', 'STORAGE FLUSH', 'STORAGE COMPACT', 'CREATE', 'DROP'];

const counts = new Map(COUNTED.map((word) => [word, 0]));
const totals = { passed: 0, failed: 0, atOperation: 0, failing: 0, requests: 0, readyMsMax: 0, kept: 0 };

/** The end of a load: `saw` is told of each request, and `moment` ends with the one that is waited for. */
function scene(word) {
  const stop = { now: false };
  stop.moment = new Promise((resolve) => {
    stop.saw = (sql) => {
      const counted = COUNTED.find((one) => sql.startsWith(one));
      if (counted) counts.set(counted, counts.get(counted) + 1);
      if (stop.isWaiting && sql.startsWith(word)) resolve();
    };
  });
  return stop;
}

async function crash(folder, kind) {
  if (kind === 'kill') await folder.current.kill();
  else if (await fault.cut(folder.current, folder.home, folder.dir)) totals.atOperation++;
  folder.isCut ||= kind === 'cut';
}

/** Waits for a while, or for the end of the server. */
function within(ms, server) {
  return Promise.race([pause(ms), server.exited]);
}

async function workUntilCrash(folder, kind, random) {
  const { current: server } = folder;
  const word = random.pick(MOMENTS);
  const stop = scene(word);
  if (kind === 'cut') fault.arm(folder.home);
  const working = folder.load(stop);
  await within(5 + random.below(LOAD_MS_MAX) + (kind === 'cut' ? CUT_MS_MORE : 0), server);
  if (word) {
    stop.isWaiting = true;
    await Promise.race([stop.moment, within(LOAD_MS_MAX, server)]);
    await within(random.below(8), server);
  }
  await crash(folder, kind);
  stop.now = true;
  await working;
}

/** Loads until the disk has refused the calls it was to refuse, and looks at the same server once it writes again. */
async function workOnFailingDisk(folder, last, random) {
  const stop = scene('');
  stop.diskFails = true;
  fault.arm(folder.home);
  const working = folder.load(stop);
  await within(random.below(LOAD_MS_MAX), folder.current);
  const deadline = Date.now() + FAILING_MS_MAX;
  while (!fault.isOver(folder.home, last) && Date.now() < deadline && !folder.current.ended) await pause(20);
  const wrong = [];
  folder.isCut = true; // what does not sync may have lost its end
  if (fault.isOver(folder.home, last)) {
    totals.failing++;
    stop.now = true;
    await working;
    await folder.untilWritable();
    wrong.push(...folder.violations(), ...await folder.verify());
    await folder.drop();
    if (wrong.length === 0) wrong.push(...await folder.verifyResume());
  }
  if (folder.current.ended) wrong.push(`the server ended by itself: ${JSON.stringify(folder.current.ended)}`);
  await folder.current.kill();
  stop.now = true;
  await working;
  return wrong;
}

/** One life of the server: start, check what the last crash left, load, crash. */
async function life(folder, kind, random) {
  if (random.below(10) === 0 && !folder.isCut) { // a start mends what a cut has torn, --verify does not
    const wrong = folder.check();
    if (wrong.length) return wrong;
  }
  const atStart = kind !== 'fail' && random.below(8) === 0;
  const { faults, last } = kind === 'cut' ? { faults: fault.environment(folder.home, folder.dir, random, atStart) } :
    kind === 'fail' ? fault.failing(folder.home, folder.dir, random) : { faults: {} };
  if (atStart) { // a crash while it starts
    const server = folder.server(faults);
    await server.spawn();
    await within(random.below(120), server);
    await crash(folder, kind);
    return [];
  }
  await folder.start(faults);
  const wrong = await folder.verify();
  if (wrong.length === 0) wrong.push(...await folder.verifyResume());
  if (wrong.length) await folder.current.kill();
  else if (kind === 'fail') wrong.push(...await workOnFailingDisk(folder, last, random));
  else await workUntilCrash(folder, kind, random);
  await folder.drop();
  return [...wrong, ...folder.violations()];
}

/** The last look: what the last crash left, a clean stop, and the server's own check of the folder. */
async function lastLook(folder) {
  await folder.start();
  const wrong = await folder.verify();
  if (wrong.length === 0) wrong.push(...await folder.verifyResume());
  await folder.drop();
  const end = await folder.current.stop();
  if (end.code !== 0) wrong.push(`the stop ended with ${JSON.stringify(end)}`);
  return [...wrong, ...folder.check()];
}

function report(label, wrong, folder, index) {
  console.log(`NOT OK  ${label}; to repeat its folder: CRASH_SEED=${SEED} CRASH_KILLS=${KILLS} CRASH_CUTS=${CUTS} CRASH_FAILS=${
    FAILS} CRASH_FOLDER=${index}`);
  for (const text of wrong.slice(0, 20)) console.log(`        ${text}`);
  if (totals.kept++ < KEPT_MAX && !process.env.CRASH_BINARY) {
    const kept = path.join(BUILD, `crash-${SEED}-${label.replaceAll(' ', '-')}`);
    fs.cpSync(folder.home, kept, { recursive: true });
    console.log(`        the folder is kept in ${kept}`);
  }
  const said = folder.current?.output.trim();
  if (said) console.log(`        the server's last lines:\n${said.split('\n').slice(-8).map((l) => `          ${l}`).join('\n')}`);
}

/** One folder through its crashes; it ends with the first that goes wrong. */
async function liveThrough(kinds, index) {
  const folder = new Folder(new Random(SEED * 7919 + index));
  let label = `set-up of folder ${index}`;
  const step = async (what, act) => {
    label = what;
    const wrong = await act();
    if (wrong.length) throw Object.assign(new Error(label), { wrong });
    totals.passed++;
  };
  try {
    await folder.create();
    for (const [i, kind] of kinds.entries()) {
      const random = new Random(SEED * 104729 + index * 1000 + i);
      await step(`crash ${index * ROUNDS_OF_A_FOLDER + i} ${kind}`, () => life(folder, kind, random));
    }
    await step(`look after folder ${index}`, () => lastLook(folder));
  } catch (error) {
    await folder.drop().catch(() => {});
    await folder.current?.kill();
    totals.failed++;
    report(label, error.wrong ?? [error.stack], folder, index);
  }
  await folder.current?.kill();
  totals.requests += folder.ledger.statements;
  totals.readyMsMax = Math.max(totals.readyMsMax, folder.readyMsMax);
  removeFolder(folder.home);
  console.log(`# folder ${index}: ${totals.passed} passed, ${totals.failed} failed so far`);
}

function shuffledKinds(kills, cuts, fails) {
  const random = new Random(SEED);
  const kinds = [...Array(kills).fill('kill'), ...Array(cuts).fill('cut'), ...Array(fails).fill('fail')];
  for (let i = kinds.length - 1; i > 0; i--) {
    const k = random.below(i + 1);
    [kinds[i], kinds[k]] = [kinds[k], kinds[i]];
  }
  return kinds;
}

async function main() {
  const [cuts, fails] = fault.available() ? [CUTS, FAILS] : [0, 0];
  if (cuts + fails < CUTS + FAILS) {
    totals.failed++; // asked for and not to be had
    console.log(`# crash: ${fault.missing()}`);
  }
  console.log(`# crash: seed ${SEED}, ${KILLS} kills, ${cuts} power cuts, ${fails} failing disks`);
  const kinds = shuffledKinds(KILLS, cuts, fails);
  for (let first = 0; first < kinds.length; first += ROUNDS_OF_A_FOLDER) {
    const index = first / ROUNDS_OF_A_FOLDER;
    if (ONLY_FOLDER < 0 || ONLY_FOLDER === index) await liveThrough(kinds.slice(first, first + ROUNDS_OF_A_FOLDER), index);
  }
  await cleanUp();
  console.log(`# crash: ${totals.requests} requests, of them ${
    [...counts].map(([word, count]) => `${count} ${word}`).join(', ')}; ${
    totals.atOperation} cuts in a file operation, ${totals.failing} disks that came back; slowest start ${
    totals.readyMsMax.toFixed(0)} ms`);
  console.log(`${totals.passed} passed, ${totals.failed} failed`);
  process.exit(totals.failed ? 1 : 0);
}

main().catch(async (error) => {
  console.log(error.stack);
  await cleanUp();
  console.log('0 passed, 1 failed');
  process.exit(1);
});
