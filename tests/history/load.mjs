// SPDX-License-Identifier: Apache-2.0
//
// The load: users who send single statements and transactions over several tables and partitions on few keys, so that they
// meet; what was refused for a conflict is tried again.

import { DELETE_NAMES, OPERATIONS, READ_NAMES, WRITE_NAMES } from './operation.mjs';
import { pause } from '../crash/request.mjs';

const KEYS = 16;
const GROUPS = 4;
const TRIES = 3;
const STATEMENTS_MAX = 6;
const CUT_MS_MAX = 4;
const FIRST_EVENT = 100000; // keys of a stream are never used again
const ONE_TABLE = { join: 'scan', setToCount: 'set', copy: 'append' }; // what is done where there is no second table

const OFTEN = ['insert', 'insert', 'append', 'append']; // so that tables are not empty, and writers meet

/** Who works on what, each on a connection; `reads`: tables that they only read; `as`: whom they are in most statements, and where. */
export const WORKERS = [
  { user: 'alice', tables: ['a', 'b', 's', 'r', 'door'] },
  { user: 'alice', tables: ['a', 'b', 's'] },
  { user: 'alice', tables: ['a', 's', 'e'] },
  { user: 'bob', tables: ['a', 'b', 's', 'r'] },
  { user: 'bob', tables: ['b', 'r', 'door'] },
  { user: 'carol', tables: ['a', 'a', 'e'], reads: ['r', 'door'] },
  { user: 'carol', tables: ['a'], reads: ['door', 'r'] },
  { user: 'boss', tables: ['s', 'r', 'door'] },
  { user: 'svc', tables: ['s', 'r'] },
  { user: 'vera', tables: ['a', 's'] },
  { user: 'dora', tables: ['a', 'a', 'e'] },
  { user: 'svc', tables: ['s'], as: { user: 'carol', tables: ['a', 'b'] } },
  { user: 'boss', tables: ['a', 's'], as: { user: 'alice', tables: ['a', 'b'] } },
  { user: 'svc', tables: ['r'], as: { user: 'dora', tables: ['a'] } },
  { user: 'svc', tables: ['s'], as: { user: 'erin', tables: ['a'] } },
  { user: 'erin', tables: ['a'] },
];

/** One connection until the end of the round. */
export async function work(world, random, worker) {
  while (!world.isOver) {
    await world.up;
    const { drawn, options } = draw(world, random, worker);
    for (let tries = 0; tries < TRIES && !world.isOver; tries++) {
      const t = await world.request(worker.user, drawn, options);
      const isOut = t.refusal?.status === 401 || (t.answered === null && options.cutAfterMs === undefined); // the user is gone, or the server
      if (isOut) await pause(random.below(40));
      if (!t.refusal?.isConflict) break;
    }
  }
}

/** What is sent next: operations, and how. */
function draw(world, random, worker) {
  const first = random.pick([...worker.tables, ...(worker.reads ?? [])]);
  const isTransaction = first !== 'e' && random.below(5) < 3;
  const mayWrite = random.below(10) >= 3;
  const size = isTransaction ? 1 + random.below(STATEMENTS_MAX) : 1;
  const drawn = [];
  let hasWritten = false;
  for (let i = 0; i < size; i++) {
    const as = worker.as && random.below(4) ? worker.as : null;
    const tables = as?.tables ?? [...worker.tables, ...(worker.reads ?? [])].filter((name) => name !== 'e');
    const table = i === 0 && !as ? first : random.pick(tables);
    const isWrite = mayWrite && random.below(2) === 0 && !worker.reads?.includes(table);
    drawn.push(
      drawOperation(world, random, { user: worker.user, tables: worker.tables, as }, table, isWrite, hasWritten || !isTransaction),
    );
    hasWritten ||= isWrite;
  }
  const options = { isTransaction, isRolledBack: isTransaction && random.below(16) === 0 };
  if (random.below(33) === 0) options.cutAfterMs = random.below(CUT_MS_MAX);
  return { drawn, options };
}

function drawOperation(world, random, { user: sender, tables, as }, table, isWrite, mayDelete) {
  const user = as?.user ?? sender;
  const isStream = table === 'e';
  if (isStream && isWrite) {
    return world.operation('insert', table, user, { key: String(FIRST_EVENT + ++world.keys), group: String(random.below(GROUPS)) });
  }
  let name = random.pick(isWrite ? [...WRITE_NAMES, ...OFTEN] : READ_NAMES);
  const others = (as?.tables ?? tables).filter((one) => one !== table && one !== 'e');
  const other = OPERATIONS[name].isOfTwo && !isStream && others.length && random.below(2) ? random.pick(others) : null;
  if (OPERATIONS[name].isOfTwo && !other) name = ONE_TABLE[name];
  if (isWrite && mayDelete && random.below(5) === 0) name = drawDelete(random, as);
  return world.operation(name, table, user, {
    as: as && user,
    other: OPERATIONS[name].isOfTwo ? other : null,
    key: String(random.below(KEYS)),
    group: String(random.below(GROUPS)),
  });
}

/** Tables that are often empty have no conflicts; EXECUTE AS USER cannot wrap TRUNCATE. */
function drawDelete(random, as) {
  const name = random.pick([...DELETE_NAMES, 'delete', 'delete']);
  return name === 'truncate' && (as || random.below(3)) ? 'delete' : name;
}
