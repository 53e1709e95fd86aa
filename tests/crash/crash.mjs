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
import { limited } from './watch.mjs';

const number = (name, otherwise) => Number(process.env[name] ?? otherwise);
const KILLS = number('CRASH_KILLS', 3);
const CUTS = number('CRASH_CUTS', 3);
const FAILS = number('CRASH_FAILS', 1);
const SEED = number('CRASH_SEED', Math.floor(Math.random() * 2 ** 31));
const LOAD_MS_MAX = number('CRASH_LOAD_MS', 700);
const ONLY_FOLDER = number('CRASH_FOLDER', -1);
/** How long one life, with start, checks and load, may take on a busy machine; then it hangs. */
const STEP_LIMIT_MS = number('CRASH_STEP_LIMIT_S', 150) * 1000;
const DROP_LIMIT_MS = 5000;
const ROUNDS_OF_A_FOLDER = 20;
const KEPT_MAX = 3;
const LINES_MAX = 200;
const CUT_MS_MORE = 300; // so that most reach the file operation they wait for
const FAILING_MS_MAX = 2000;
/** What a crash may wait for; the empty word: nothing. */
const MOMENTS = ['', '', '', '', 'BEGIN', 'ALTER', 'STORAGE FLUSH', 'STORAGE COMPACT', 'TRUNCATE', 'DROP', 'CREATE',
  'DROP USER', 'ALTER USER', 'BACKUP', 'RESTORE', 'EXPORT'];
const BUILD = process.env.BUILD || path.join(ROOT, 'build');

/** What is counted of the requests. */
const COUNTED = ['DROP USER', 'ALTER USER', 'BEGIN', 'ALTER', 'TRUNCATE', 'STORAGE FLUSH', 'STORAGE COMPACT', 'CREATE', 'BACKUP', 'RESTORE', 'EXPORT', 'DROP'];

const counts = new Map(COUNTED.map((word) => [word, 0]));
const totals = { passed: 0, failed: 0, atOperation: 0, failing: 0, requests: 0, readyMsMax: 0, kept: 0 };
const current = { label: 'the set-up', folder: null, index: -1 };

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

/** Returns what is wrong: only the crash may end the server. */
async function crash(folder, kind) {
  folder.watch.goes(`the ${kind}`);
  folder.isCut ||= kind === 'cut';
  if (kind === 'kill') {
    const end = await folder.current.kill();
    return end.signal === 'SIGKILL' ? [] : [`the server ended by itself: ${JSON.stringify(end)}`];
  }
  if (await fault.cut(folder.current, folder.home, folder.dir)) totals.atOperation++;
  return [];
}

/** Waits for a while, or for the end of the server. */
function within(ms, server) {
  return Promise.race([pause(ms), server.exited]);
}

async function workUntilCrash(folder, kind, random) {
  const { current: server } = folder;
  const word = random.pick(MOMENTS);
  const stop = scene(word);
  folder.watch.goes(word ? `the load up to ${word}` : 'the load');
  if (kind === 'cut') fault.arm(folder.home);
  const working = folder.load(stop);
  await within(5 + random.below(LOAD_MS_MAX) + (kind === 'cut' ? CUT_MS_MORE : 0), server);
  if (word) {
    stop.isWaiting = true;
    await Promise.race([stop.moment, within(LOAD_MS_MAX, server)]);
    await within(random.below(8), server);
  }
  const wrong = await crash(folder, kind);
  stop.now = true;
  folder.watch.goes('the end of the load');
  await working;
  return wrong;
}

/** Loads until the disk has refused the calls it was to refuse, and looks at the same server once it writes again. */
async function workOnFailingDisk(folder, last, random) {
  const stop = scene('');
  stop.diskFails = true;
  folder.watch.goes('the load on a failing disk');
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
    folder.watch.goes('the end of the load on a failing disk');
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
    folder.watch.goes('a start that is cut off');
    await server.spawn();
    await within(random.below(120), server);
    return crash(folder, kind);
  }
  await folder.start(faults);
  const wrong = await folder.verify();
  if (wrong.length === 0) wrong.push(...await folder.verifyResume());
  if (wrong.length) await folder.current.kill();
  else if (kind === 'fail') wrong.push(...await workOnFailingDisk(folder, last, random));
  else wrong.push(...await workUntilCrash(folder, kind, random));
  await folder.drop();
  return [...wrong, ...folder.violations()];
}

/** The last look: what the last crash left, a clean stop, and the server's own check of the folder. */
async function lastLook(folder) {
  await folder.start();
  const wrong = await folder.verify();
  if (wrong.length === 0) wrong.push(...await folder.verifyResume());
  await folder.drop();
  folder.watch.goes('the erasing of users');
  if (wrong.length === 0) wrong.push(...await folder.accounts.untilErased(folder.dir));
  folder.watch.goes('a clean stop');
  const end = await folder.current.stop();
  if (end.code !== 0) wrong.push(`the stop ended with ${JSON.stringify(end)}`);
  return [...wrong, ...folder.accounts.remains(folder.dir), ...folder.check()];
}

function report(label, wrong, folder, index) {
  console.log(`NOT OK  ${label}; to repeat its folder: CRASH_SEED=${SEED} CRASH_KILLS=${KILLS} CRASH_CUTS=${CUTS} CRASH_FAILS=${
    FAILS} CRASH_FOLDER=${index}`);
  for (const text of wrong.slice(0, LINES_MAX)) console.log(`        ${text}`);
  if (totals.kept++ < KEPT_MAX && !process.env.CRASH_BINARY) {
    const kept = path.join(BUILD, `crash-${SEED}-${label.replaceAll(' ', '-')}`);
    fs.cpSync(folder.home, kept, { recursive: true });
    console.log(`        the folder is kept in ${kept}`);
  }
  tellLastLines(folder);
}

function tellLastLines(folder) {
  const said = folder?.current?.output.trim();
  if (said) console.log(`        the server's last lines:\n${said.split('\n').slice(-8).map((l) => `          ${l}`).join('\n')}`);
}

/** One folder through its crashes; it ends with the first that goes wrong. */
async function liveThrough(kinds, index) {
  const folder = new Folder(new Random(SEED * 7919 + index));
  Object.assign(current, { label: `set-up of folder ${index}`, folder, index });
  const step = async (what, act) => {
    current.label = what;
    const wrong = await limited(act, STEP_LIMIT_MS, () => folder.tell(true));
    if (wrong.length) throw Object.assign(new Error(what), { wrong });
    totals.passed++;
  };
  try {
    await limited(() => folder.create(), STEP_LIMIT_MS, () => folder.tell(true));
    for (const [i, kind] of kinds.entries()) {
      const random = new Random(SEED * 104729 + index * 1000 + i);
      await step(`crash ${index * ROUNDS_OF_A_FOLDER + i} ${kind}`, () => life(folder, kind, random));
    }
    await step(`look after folder ${index}`, () => lastLook(folder));
  } catch (error) {
    totals.failed++;
    folder.isOver = true; // what hangs starts no server any more
    await folder.current?.kill().catch((late) => console.log(late.message));
    await limited(() => folder.drop(), DROP_LIMIT_MS, () => []).catch(() => {});
    report(current.label, error.wrong ?? [error.stack, ...folder.tell()], folder, index);
  }
  await folder.current?.kill();
  totals.requests += folder.ledger.statements;
  totals.readyMsMax = Math.max(totals.readyMsMax, folder.readyMsMax);
  removeFolder(folder.home);
  console.log(`# folder ${index}: ${totals.passed} passed, ${totals.failed} failed so far`);
}

/** Told to end: says where it stood. The listeners that stop the servers come after this. */
function interrupted(signal) {
  console.log(`NOT OK  ${current.label}: ${signal} ended the run; seed ${SEED}, folder ${current.index}`);
  for (const line of current.folder?.tell() ?? []) console.log(`        ${line}`);
  tellLastLines(current.folder);
  console.log(`${totals.passed} passed, ${totals.failed + 1} failed`);
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

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.prependListener(signal, interrupted);
main().catch(async (error) => {
  console.log(error.stack);
  await cleanUp();
  console.log(`${totals.passed} passed, ${totals.failed + 1} failed`);
  process.exit(1);
});
