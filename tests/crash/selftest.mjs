// SPDX-License-Identifier: Apache-2.0
//
// Tests the checker: with a stand-in server that keeps every promise it must find nothing, with one that
// breaks a promise it must say so. A checker that never complains proves nothing. First each rule of
// the models by itself (with `rules` as argument nothing else: a blink), then through whole runs (with the
// names of bugs as arguments only those).

import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import * as fault from './fault.mjs';
import { Ledger, Model, TickModel } from './model.mjs';
import { Shape } from './shape.mjs';
import { exportDiffers } from './vault.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const totals = { passed: 0, failed: 0 };
const HEARD_MAX = 120;

function verdict(good, what, output = '') {
  console.log(`${good ? 'ok     ' : 'NOT OK '} crash self-test: ${what}`);
  if (!good || process.env.CRASH_VERBOSE) console.log(output);
  totals[good ? 'passed' : 'failed']++;
}

/** What of the output answers to the complaint. */
function heard(complaint, output) {
  const line = output.split('\n').find((one) => complaint.test(one)) ?? output.match(complaint)?.[0] ?? '';
  return line.trim().slice(0, HEARD_MAX);
}

/* ---- the rules ---- */

const row = (n, body = 'c k') => ({ n, body, x: {} });
const read = (id, n, seq, more = {}) => ({ id, n, body: 'c k', _seq: String(seq), ...more });

/** Tells what is wrong after `steps` on two tables and a loose one, when `rows` are read of each. */
function settled(steps, rows, { isCut = false } = {}) {
  const ledger = new Ledger();
  const models = { a: new Model('a', 'c'), b: new Model('b', 'c'), loose: new Model('loose', 'c', { loose: true }) };
  for (const [answer, changes] of steps) {
    const effect = ledger.begin(new Map(Object.entries(changes)
      .map(([name, part]) => [models[name], new Map(Object.entries(part).map(([key, value]) => [Number(key), value]))])));
    if (answer === 'ok') ledger.acknowledged(effect);
    if (answer === 'refused') ledger.refused(effect);
  }
  return ledger.settle(new Map(Object.entries(models).map(([name, model]) => [model, rows[name] ?? []])), isCut).join('; ');
}

const two = { a: { 1: row(1) }, b: { 1: row(1) } }; // a transaction over two tables
const loose = (n) => ({ loose: { [n]: row(n) } });
const RULES = [
  ['an unanswered transaction is there', [['none', two]], { a: [read(1, 1, 5)], b: [read(1, 1, 6)] }, null],
  ['an unanswered transaction is not there', [['none', two]], {}, null],
  ['half of an unanswered transaction', [['none', two]], { a: [read(1, 1, 5)] }, /half applied/],
  ['half of an acknowledged transaction', [['ok', two]], { a: [read(1, 1, 5)] }, /b: .* is lost/],
  ['a refused one is there', [['refused', two]], { a: [read(1, 1, 5)], b: [read(1, 1, 6)] }, /never written/],
  ['a row comes back', [['ok', two], ['ok', { a: { 1: null } }]], { a: [read(1, 1, 5)], b: [read(1, 1, 6)] }, /a: .* was deleted/],
  ['an update is undone', [['ok', two], ['ok', { a: { 1: row(2) } }]], { a: [read(1, 1, 5)], b: [read(1, 1, 6)] }, /acknowledged was n=2/],
  ['a row twice', [['ok', { a: { 1: row(1) } }]], { a: [read(1, 1, 5), read(1, 1, 6)] }, /twice/],
  ['a row of another', [['ok', { a: { 1: row(1) } }]], { a: [read(1, 1, 5, { body: 'd k' })] }, /of another/],
  ['a seq twice', [['ok', two]], { a: [read(1, 1, 5)], b: [read(1, 1, 5)] }, /have the seq/],
  ['a commit around another', [['ok', two], ['ok', { a: { 2: row(2) } }]], { a: [read(1, 1, 5), read(2, 2, 6)], b: [read(1, 1, 7)] }, /two places/],
  ['loose: the end is lost in a cut', [['ok', loose(1)], ['ok', loose(2)]], { loose: [read(1, 1, 5)] }, null, { isCut: true }],
  ['loose: the end is lost in a kill', [['ok', loose(1)], ['ok', loose(2)]], { loose: [read(1, 1, 5)] }, /of 2 loose requests 2 .* ends after 1/],
  ['loose: what a sync covered is lost', [['ok', loose(1)], ['ok', two]], { a: [read(1, 1, 5)], b: [read(1, 1, 6)] }, /1 are on disk/, { isCut: true }],
  ['loose: sent before the sync was answered', [['ok', two], ['ok', loose(2)]], { a: [read(1, 1, 5)], b: [read(1, 1, 6)] }, null, { isCut: true }],
  ['loose: a hole', [['ok', loose(1)], ['ok', loose(2)]], { loose: [read(2, 2, 5)] }, /no prefix/, { isCut: true }],
  ['loose: refused and there', [['refused', loose(1)]], { loose: [read(1, 1, 5)] }, /no prefix/, { isCut: true }],
];

function testRules() {
  for (const [what, steps, rows, complaint, options] of RULES) {
    const wrong = settled(steps, rows, options);
    verdict(complaint ? complaint.test(wrong) : wrong === '', `rule: ${what}`, wrong);
  }
  testTicks();
  testShape();
  testExports();
}

function testExports() {
  const mine = (id) => ({ id: BigInt(id), n: id, body: `c k${id}` });
  const rows = [1, 2].map((id) => JSON.stringify([String(id), id, `c k${id}`, '77']));
  const differs = (found) => exportDiffers('e', 'c', found, rows).join('; ');
  verdict(differs([mine(2), mine(1)]) === '', 'rule: an export is right');
  verdict(/1 are missing/.test(differs([mine(1)])), 'rule: an export lacks a row');
  verdict(/1 are doubled/.test(differs([mine(1), mine(2), mine(2)])), 'rule: an export has a row twice');
  verdict(/1 are more/.test(differs([mine(1), mine(2), mine(3)])), 'rule: an export has a row that was deleted');
  verdict(/row 3 is of another/.test(differs([mine(1), mine(2), { id: 3n, n: 3, body: 'd k3' }])), 'rule: an export has a row of another');
}

function testTicks() {
  const model = new TickModel('t', 'c', 1000);
  const now = Date.now();
  const seqAt = (ms) => (BigInt(ms - Date.UTC(2024, 0, 1)) << 22n) + 1n;
  for (const key of [1, 2, 3]) model.sent.set(key, { sentMs: now, acknowledged: key });
  const look = (rows, at, durable) => model.look(rows, at, at, durable).join('; ');
  const tick = (id) => read(id, 1, seqAt(now));
  verdict(look([tick(1), tick(2), tick(2)], now, 3) === 't: stream row 2 is doubled', 'rule: a stream row is doubled; a loose one may be lost');
  verdict(/row 3 was gone/.test(look([tick(1), tick(2), tick(3)], now, 3)), 'rule: a stream row comes back');
  verdict(/row 1 has expired/.test(look([tick(1)], now + 1500, 3)), 'rule: a stream row outlives its time');
  model.sent.set(4, { sentMs: now, acknowledged: 4 });
  verdict(/row 4 is lost before/.test(look([], now + 500, Infinity)), 'rule: a stream row is lost before its time');
}

function testShape() {
  const shape = new Shape('t');
  const column = { identity: 1, name: 'x0', initial: 5, of: () => 5, holds: (x, value) => value === 5 };
  const fixed = ['id', 'n', 'body', '_seq', '_deleted'];
  const settle = (pending, names) => {
    shape.columns = pending?.kind === 'add' ? [] : [column];
    shape.pending = pending;
    return shape.settle([...fixed, ...names]).join('; ');
  };
  verdict(settle(null, []) === 't: column x0 was added and is lost', 'rule: a column is lost');
  verdict(/x1 was dropped or renamed and is back/.test(settle(null, ['x0', 'x1'])), 'rule: a column comes back');
  verdict(settle({ kind: 'add', column }, ['x0']) === '' && shape.columns.length === 1, 'rule: an unanswered ADD happened');
  verdict(settle({ kind: 'drop', column }, []) === '' && shape.columns.length === 0, 'rule: an unanswered DROP happened');
  verdict(settle({ kind: 'drop', column }, ['x0']) === '' && shape.columns.length === 1, 'rule: an unanswered DROP did not happen');
  verdict(/x0 is null, acknowledged was 5/.test(shape.differs({ x0: null }, row(1))), 'rule: a default is lost');
  verdict(settle({ kind: 'rename', column, name: 'x7' }, ['x7']) === '' && column.name === 'x7', 'rule: an unanswered RENAME happened');
}

/* ---- whole runs ---- */

const LOSS = /is lost|was dropped and is back|was created|acknowledged was|deleted or never|half applied|on disk/;
const CASES = {
  '': null,
  'lose': LOSS,
  'old-update': /row \d+ is n=\d+ .*acknowledged was/,
  'undelete': /is there but was deleted/,
  'undelete-compact': /is there but was deleted/,
  'unsynced': LOSS,
  'half': /half applied|is lost|acknowledged was|deleted or never|on disk/,
  'half-after': /half applied|is lost|acknowledged was|deleted or never|on disk/,
  'two-places': /two places/,
  'rollback': /deleted or never|acknowledged was/,
  'truncate': /deleted or never|row_count|half applied|loose requests|COUNT/,
  'loose-hole': /loose requests/,
  'loose-tail': /loose requests|before its time/,
  'blind': /COUNT\(\*\) \d+, not/,
  'duplicate': /a duplicate key was accepted/,
  'gap': /never got|keeps|of unknown row|has row|of known row|waited/,
  'half-live': /never got|keeps|of unknown row|has row|of known row|waited/,
  'double': /seq \d+ after|of known row|of unknown row/,
  'disorder': /seq \d+ after/,
  'leak': /a row of another/,
  'leak-page': /a row of another/,
  'leak-delete': /a row of another/,
  'leak-rest': /is of another/,
  'leak-count': /COUNT\(\*\) is \d+, read|COUNT\(\*\) \d+, not/,
  'leak-key': /key \d+ reads \[\{.*known undefined/,
  'twice': /there twice/,
  'reseq': /have the seq/,
  'expired': /has expired and is shown|is back/,
  'expires-early': /is lost before its time/,
  'expired-live': /of a page has expired/,
  'resume-short': /missed|never got|has row/,
  'resume-again': /at or below the cursor/,
  'cursor-ahead': /(page row|delete of) \d+: seq \d+ after/,
  'resume-deletes': /rows that are gone|of known row/,
  'replay-gap': /never got|keeps|of unknown row|has row|of known row/,
  'too-old': /CURSOR_TOO_OLD/,
  'unfiltered': /not in its filter|rows, \d+ are newer/,
  'stays': /keeps|has row|of known row/,
  'alter-lost': /was added and is lost|dropped or renamed and is back/,
  'lost-default': /column x\d is null|row_count/,
  'silent-alter': /announced were/,
  'wrong-end': /error SUBSCRIPTION_FAILED/,
  'undrop': /was dropped and is back|rows of a table that was dropped|was created and filled/,
  'stale-table': /rows of a table that was dropped|was created and filled/,
  'undrop-user': /user guest\d+ is there, was/,
  'old-token': /user guest\d+ is there, was gone/,
  'drop-again': /user guest\d+ is gone, was/,
  'restore-short': /row 1 is lost/,
  'unerased': /was erased and is still in log/,
  'unerased-folder': /was erased and is still in storage\/user\/guest/,
  'drop-half': /half of the restored namespace/,
  'restore-half': /restored rows of .*: [1-9]\d* are missing/,
  'restore-mixed': /restored rows of Ann: \d+ are missing, [1-9]\d* are more/,
  'restore-deleted': /restored rows of .*: 0 are missing, [1-9]\d* are more/,
  'restore-reseq': /restored rows of .*: [1-9]\d* are missing, [1-9]\d* are more/,
  'backup-broken': /the restore of b\d+ failed/,
  'undrop-copy': /restored namespace is there, was none|restored rows of/,
  'export-short': /the export of .*: 1 are missing/,
  'export-deleted': /the export of .*: 0 are missing, [1-9]\d* are more/,
  'export-other': /the export of .* is of another/,
  'hidden-newest': /the newest are/,
  'refuse-start': /did not start|ended by itself/,
  'abort': /ended by itself|ended with {"code":134/,
  'hang': /not done after[^]*no answer for/,
  'verify': /--verify ends with 1/,
  'nosync': LOSS, // only a power cut can tell
  'deaf': LOSS, // only a disk that refuses calls can tell this one and the next
  'stuck': /writes are not taken again/,
};

const SEED = 7;

/** A bug that waits for its moment may need another, longer run, of another kind of folder: a busy machine does little in each. */
const LOADS_MS = [250, 1000, 3000, 6000];

/** Bugs of what takes several steps, one after the other: users who come and go, backups, exports. */
const SLOW = /user|drop-|old-token|erased|restore-|backup-|copy|export-/;
const SLOW_LOADS_MS = [2000, 4000, 8000];

/** Crashes that are not kills, for bugs that only they can show. A right server meets them all. */
const OTHER_CRASHES = { '': ['6', '8'], nosync: ['6', '0'], deaf: ['0', '30'], stuck: ['0', '30'] };

/** Bugs that only folders which erase dropped users can show (CRASH_ERASING), or only the others. */
const ERASING = { 'undrop-user': '0', 'old-token': '0', 'drop-again': '0', 'restore-short': '0', 'unerased': '1', 'unerased-folder': '1' };

function runWith(bug, [cuts, fails], loadMs, seed) {
  const { stdout, stderr, status } = spawnSync(process.execPath, [path.join(here, 'crash.mjs')], {
    encoding: 'utf8', timeout: 300000,
    env: { ...process.env, CRASH_BINARY: process.execPath, CRASH_ARGS: path.join(here, 'mock.mjs'), MOCK_BUG: bug,
      CRASH_KILLS: '10', CRASH_CUTS: cuts, CRASH_FAILS: fails, CRASH_SEED: String(seed), CRASH_LOAD_MS: String(loadMs),
      ...(bug in ERASING ? { CRASH_ERASING: ERASING[bug] } : {}),
      ...(bug.startsWith('unerased') ? { CRASH_ERASE_LIMIT_S: '3' } : {}),
      ...(bug === 'hang' ? { CRASH_STEP_LIMIT_S: '5' } : {}) },
  });
  return { status, output: `${stdout}${stderr}` };
}

function testRuns(only) {
  for (const [bug, complaint] of Object.entries(CASES)) {
    if (only.length && !only.includes(bug)) continue;
    const others = fault.available() ? OTHER_CRASHES[bug] : null;
    if (!others && bug in OTHER_CRASHES && complaint) continue;
    let run;
    for (const [i, loadMs] of (SLOW.test(bug) ? SLOW_LOADS_MS : LOADS_MS).entries()) {
      run = runWith(bug, others ?? ['0', '0'], loadMs, SEED + i);
      if (run.status !== 0 || !complaint) break;
    }
    const isRight = complaint ? run.status === 1 && complaint.test(run.output) : run.status === 0;
    verdict(isRight, complaint ? `${bug}: ${heard(complaint, run.output)}` : 'a right server', run.output);
  }
}

testRules();
const asked = process.argv.slice(2);
if (asked[0] !== 'rules') testRuns(asked);
console.log(`${totals.passed} passed, ${totals.failed} failed`);
process.exit(totals.failed ? 1 : 0);
