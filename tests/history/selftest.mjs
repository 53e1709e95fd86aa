// SPDX-License-Identifier: Apache-2.0
//
// Tests the checker: in the history of a database that keeps every promise it must find nothing; with one violation planted
// into it (plant.mjs), that one. A checker that never complains proves nothing. With a file as argument, the
// history of a round that was kept, it does the same to that, as far as the violations fit in.

import fs from 'node:fs';
import { check } from './check.mjs';
import { Mock } from './mock.mjs';
import { plantAll } from './plant.mjs';

const totals = { passed: 0, failed: 0 };

function verdict(good, what, output = '') {
  console.log(`${good ? 'ok     ' : 'NOT OK '} history self-test: ${what}`);
  if (!good) console.log(output);
  totals[good ? 'passed' : 'failed']++;
}

/** A short history with a place for each violation. */
function scene() {
  const mock = new Mock();
  mock.request('alice', ['insert a 1', 'insert s 1', 'insert a 2']);
  mock.request('bob', ['insert a 1']);
  mock.subscribe('alice', 'a');
  mock.subscribe('bob', 'a', 'group');
  const { seq: middle } = mock;
  mock.request('alice', ['append a 1', 'append s 1']);
  mock.request('bob', ['append s 1']);
  mock.request('alice', ['append a 1', 'append a 2']);
  mock.request('alice', ['append a 1'], { isRolledBack: true });
  mock.request('alice', ['append s 1', 'append s 1', 'scan s', 'join a 1 s']);
  mock.request('svc', ['append a 1', 'summary a'], { as: 'alice' });
  mock.request('alice', ['append a 1']);
  mock.request('alice', ['append a 1']);
  mock.request('alice', ['key a 1', 'key a 1', 'count a', 'newest a', 'top s', 'countGroup a', 'group a']);
  mock.request('alice', ['insert a 1']);
  mock.request('alice', ['insert a 3']);
  mock.request('alice', ['delete a 2', 'setToCount a 1 s']);
  mock.resume('alice', 'a', String(middle), false);
  mock.resume('alice', 'a', String(middle), true);
  mock.request('alice', ['copy b 1 a', 'set a 3', 'appendGroup a']);
  mock.request('alice', ['deleteCopies b', 'insert b 1', 'truncate b', 'count b', 'insert b 5']);
  mock.request('alice', ['append a 3']);
  mock.subscribe('alice', 'a');
  return mock.finish();
}

const [file] = process.argv.slice(2);
const history = file ? JSON.parse(fs.readFileSync(file, 'utf8')) : scene();
const { violations, figures } = check(history);
verdict(
  violations.length === 0 && figures.changes > 0,
  'a good history',
  violations.map(({ rule, text }) => `${rule}: ${text}`).join('\n'),
);
for (const { what, isPlanted, isFound, told } of plantAll(history)) {
  if (isPlanted || !file) verdict(isFound, what, isPlanted ? `was told as ${told || 'nothing'}` : 'found no place');
}
console.log(`${totals.passed} passed, ${totals.failed} failed`);
process.exit(totals.failed ? 1 : 0);
