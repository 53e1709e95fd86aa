// SPDX-License-Identifier: Apache-2.0
//
// Power cuts by the preloaded disk-fault library (tests/fault): the one place that knows its settings.

import fs from 'node:fs';
import path from 'node:path';
import { ROOT } from '../e2e/lib/server.mjs';

const LIBRARY = path.join(process.env.BUILD || path.join(ROOT, 'build'), 'tests/libfault.so');

export function available() {
  return fs.existsSync(LIBRARY);
}

export function missing() {
  return `${path.relative(process.cwd(), LIBRARY)} is missing`;
}

export function environment(home, dir) {
  return { LD_PRELOAD: LIBRARY, FAULT_DIR: dir };
}

export async function cut(server) {
  await server.kill();
}
