// SPDX-License-Identifier: Apache-2.0
//
// The test runner: named tests, run one after the other, each with a time limit. A suite prints one
// line a test and one closing line, and leaves its counts in $KALAMDB_TEST_COUNTS for tests/e2e/run.
// What a test left running is cleaned by the folder and process lists of server.mjs.

import fs from 'node:fs';
import util from 'node:util';
import { cleanUp } from './server.mjs';

const tests = [];
const TEST_LIMIT_MS = Number(process.env.KALAMDB_TEST_LIMIT_MS || 120000);

export function test(name, fn, options = {}) {
  tests.push({ name, fn, limitMs: options.limitMs || TEST_LIMIT_MS });
}

/** Ends the running test as skipped; the reason is printed. */
export class Skip extends Error {}
export function skip(reason) {
  throw new Skip(reason);
}

export function check(condition, what) {
  if (!condition) throw new Error(`not true: ${what}`);
}

export function equal(got, want, what) {
  if (!util.isDeepStrictEqual(got, want)) {
    throw new Error(`${what}\n  got  ${show(got)}\n  want ${show(want)}`);
  }
}

export function matches(text, pattern, what) {
  if (typeof text !== 'string' || !pattern.test(text)) {
    throw new Error(`${what}\n  got  ${show(text)}\n  want ${pattern}`);
  }
}

function show(value) {
  const text = util.inspect(value, { depth: 6, breakLength: 160, maxStringLength: 600 });
  return text.length > 3000 ? `${text.slice(0, 3000)} … (${text.length} characters)` : text;
}

/** A test that hangs fails at its limit; the ones after it still run. */
async function bounded(promise, ms) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no end within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Runs the tests and ends the process. The first test of a suite sets it up: without it the others
 * count as failed and are not run (unless `independent`). $KALAMDB_TEST_ONLY, a pattern, keeps the
 * first test and those it matches.
 */
export async function run(suite, { independent = false } = {}) {
  const only = process.env.KALAMDB_TEST_ONLY ? new RegExp(process.env.KALAMDB_TEST_ONLY) : null;
  const chosen = tests.filter(({ name }, i) => !only || only.test(name) || (i === 0 && !independent));
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const startedAt = Date.now();
  for (const { name, fn, limitMs } of chosen) {
    const testStartedAt = Date.now();
    try {
      await bounded(fn(), limitMs);
      counts.passed++;
      console.log(`ok      ${suite}: ${name} (${Date.now() - testStartedAt} ms)`);
    } catch (error) {
      if (error instanceof Skip) {
        counts.skipped++;
        console.log(`skip    ${suite}: ${name}: ${error.message}`);
        continue;
      }
      counts.failed++;
      console.log(`NOT OK  ${suite}: ${name}\n${indent(error.stack || String(error))}`);
      if (independent || counts.passed > 0) continue;
      counts.failed = chosen.length;
      console.log(`        ${suite}: the other ${chosen.length - 1} tests need this one`);
      break;
    }
  }
  await cleanUp();
  if (process.env.KALAMDB_TEST_COUNTS) {
    fs.appendFileSync(process.env.KALAMDB_TEST_COUNTS,
      `${counts.passed} ${counts.failed} ${counts.skipped}\n`);
  }
  console.log(`# ${suite}: ${counts.passed} of ${counts.passed + counts.failed} passed, ` +
    `${counts.skipped} skipped, ${((Date.now() - startedAt) / 1000).toFixed(1)} s`);
  process.exit(counts.failed ? 1 : 0);
}

function indent(text) {
  return text.split('\n').map((line) => `        ${line}`).join('\n');
}
