// SPDX-License-Identifier: Apache-2.0
//
// Tests the checker: with a stand-in server that keeps every promise it must find nothing, with one that
// breaks a promise it must say so. A checker that never complains proves nothing.

import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import * as fault from './fault.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const LOSS = /is lost|was dropped and is back|was created|acknowledged was|deleted or never|half applied/;
const CASES = {
  '': null,
  'lose': LOSS,
  'unsynced': /is lost|acknowledged was|deleted or never|was created|dropped/,
  'half': /half applied|is lost|row_count|acknowledged was|deleted or never/,
  'gap': /never got|keeps|of unknown row|has row|of known row|waited/,
  'double': /seq \d+ after|of known row|of unknown row/,
  'leak': /a row of another/,
  'resume-short': /missed|never got|has row/,
  'resume-deletes': /rows that are gone|of known row/,
  'undrop': /was dropped and is back/,
  'refuse-start': /did not start/,
  'nosync': LOSS, // only a power cut can tell
};

let passed = 0;
let failed = 0;
for (const [bug, complaint] of Object.entries(CASES)) {
  const cuts = (bug === '' || bug === 'nosync') && fault.available() ? '6' : '0';
  if (bug === 'nosync' && cuts === '0') continue;
  const { stdout, stderr, status } = spawnSync(process.execPath, [path.join(here, 'crash.mjs')], {
    encoding: 'utf8', timeout: 120000,
    env: { ...process.env, CRASH_BINARY: process.execPath, CRASH_ARGS: path.join(here, 'mock.mjs'), MOCK_BUG: bug,
      CRASH_KILLS: bug ? '6' : '10', CRASH_CUTS: cuts, CRASH_SEED: '7', CRASH_LOAD_MS: '200' },
  });
  const good = complaint ? status === 1 && complaint.test(stdout) : status === 0;
  console.log(`${good ? 'ok     ' : 'NOT OK '} crash self-test: ${bug || 'a right server'}`);
  if (!good || process.env.CRASH_VERBOSE) console.log(`${stdout}${stderr}`);
  if (good) passed++;
  else failed++;
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
