// SPDX-License-Identifier: Apache-2.0
//
// Power cuts and refused calls by the preloaded disk-fault library (tests/fault): the one place that knows its settings.
// The library remembers what was synced; at the cut it writes a folder that holds just what the disk
// would hold, and that folder takes the place of the data folder. A cut comes at a random file operation
// of the server, perhaps on files of one kind, or at a random moment if that is not reached; of the unsynced bytes nothing, a part, a
// part with a torn last block, or all survives.

import fs from 'node:fs';
import path from 'node:path';
import { ROOT } from '../e2e/lib/server.mjs';

const LIBRARY = path.join(process.env.BUILD || path.join(ROOT, 'build'), 'tests/libfault.so');
const CUT_STATUS = 137;

/** What the operation is on that a cut or a refusal comes at, and up to which one of these; the empty text: any file. */
const PLACES = [
  ['', 300], ['', 300], ['', 300], ['.log', 150], ['.parquet', 15], ['manifest.json', 10], ['MANIFEST', 8], ['.sst', 12],
];
const START_CALLS = 150; // of a server that starts

const callsFile = (home) => path.join(home, 'calls');
const armFile = (home) => path.join(home, 'armed');
const afterFolder = (home) => path.join(home, 'after');

export function available() {
  return fs.existsSync(LIBRARY);
}

export function missing() {
  return `${LIBRARY} is missing`;
}

/** The environment of a server whose power is to be cut; `atStart`: perhaps before it is ready. */
export function environment(home, dir, random, atStart) {
  fs.mkdirSync(dir, { recursive: true });
  fs.rmSync(armFile(home), { force: true });
  fs.rmSync(afterFolder(home), { recursive: true, force: true });
  const [only, calls] = atStart ? ['', START_CALLS] : random.pick(PLACES);
  return {
    LD_PRELOAD: LIBRARY,
    KALAM_FAULT_DIR: dir,
    KALAM_FAULT_AFTER: afterFolder(home),
    KALAM_FAULT_KEEP: random.pick(['none', 'prefix', 'torn', 'all']),
    KALAM_FAULT_SEED: String(1 + random.below(1000000)),
    KALAM_FAULT_MODE: random.below(4) ? 'cut' : 'count',
    KALAM_FAULT_AT: String(1 + random.below(calls)),
    ...(only ? { KALAM_FAULT_PATH: only } : {}),
    ...(atStart ? {} : { KALAM_FAULT_ARM: armFile(home) }),
  };
}

/** The environment of a server whose disk refuses some calls once it is armed, and then takes them again; and `last`,
 * the number of the last such call. */
export function failing(home, dir, random) {
  const [only, calls] = random.pick(PLACES);
  const at = 1 + random.below(calls);
  const times = random.pick([1, 1, 2, 5, 30]);
  for (const file of [armFile(home), callsFile(home)]) fs.rmSync(file, { force: true });
  const faults = {
    LD_PRELOAD: LIBRARY,
    KALAM_FAULT_DIR: dir,
    KALAM_FAULT_LOG: callsFile(home),
    KALAM_FAULT_MODE: random.pick(['fail', 'fail', 'short']),
    KALAM_FAULT_ERRNO: random.pick(['EIO', 'ENOSPC']),
    KALAM_FAULT_AT: String(at),
    KALAM_FAULT_TIMES: String(times),
    KALAM_FAULT_ARM: armFile(home),
    ...(only ? { KALAM_FAULT_PATH: only } : {}),
  };
  return { faults, last: at + times - 1 };
}

/** Whether the call of this number has been: no more are refused. */
export function isOver(home, last) {
  return fs.existsSync(callsFile(home)) && fs.readFileSync(callsFile(home), 'utf8').split('\n').length > last;
}

/** From here on file operations count. */
export function arm(home) {
  fs.writeFileSync(armFile(home), '');
}

/** Cuts the power unless it is cut already, and puts what the disk holds in place of the data folder.
 * True if it was cut at a file operation. */
export async function cut(server, home, dir) {
  const atOperation = Boolean(server.ended);
  const end = await server.signal('SIGUSR2');
  const after = afterFolder(home);
  if (end.signal === 'SIGUSR2' && !fs.existsSync(after)) return false; // before the library was even there
  if (end.code !== CUT_STATUS) {
    throw new Error(`the server ended with ${JSON.stringify(end)}, not by the cut:\n${server.output}`);
  }
  fs.rmSync(dir, { recursive: true, force: true });
  fs.renameSync(after, dir);
  return atOperation;
}
