// SPDX-License-Identifier: Apache-2.0
//
// The users and tables of a round. a and b are USER tables, s is private, r public, the level of door changes; e is a STREAM.
// dora is dropped and restored; vera is at times no service, erin at times a dba, as whom no service may act.

/** Name → role at the beginning. */
export const USERS = {
  alice: 'service',
  bob: 'service',
  carol: 'user',
  boss: 'dba',
  svc: 'service',
  dora: 'user',
  vera: 'service',
  erin: 'user',
};
const COLUMNS = '(id BIGINT PRIMARY KEY, g INT, v TEXT, n INT)';
export const TABLES = {
  a: `CREATE USER TABLE h.a ${COLUMNS} WITH (FLUSH_POLICY = 'rows:150')`,
  b: `CREATE USER TABLE h.b ${COLUMNS}`,
  s: `CREATE SHARED TABLE h.s ${COLUMNS} WITH (FLUSH_POLICY = 'rows:100,interval:3')`,
  r: `CREATE SHARED TABLE h.r ${COLUMNS} WITH (ACCESS_LEVEL = 'PUBLIC')`,
  door: `CREATE SHARED TABLE h.door ${COLUMNS} WITH (ACCESS_LEVEL = 'PUBLIC')`,
  e: `CREATE STREAM TABLE h.e ${COLUMNS} WITH (TTL_SECONDS = 36000, DURABILITY = 'sync')`,
};
const SHARED = new Set(['s', 'r', 'door']);
/** Who follows which table, so that every partition is followed by somebody who may always read it. */
export const WITNESSES = [
  ['alice', 'a'],
  ['bob', 'a'],
  ['carol', 'a'],
  ['dora', 'a'],
  ['vera', 'a'],
  ['erin', 'a'],
  ['alice', 'b'],
  ['bob', 'b'],
  ['carol', 'b'],
  ['boss', 'a'],
  ['alice', 's'],
  ['boss', 'r'],
  ['boss', 'door'],
  ['alice', 'e'],
  ['carol', 'e'],
  ['dora', 'e'],
];

/** The group of the last row of all, and of what is written to make something visible. */
export const FENCE_GROUP = '9';

export const partitionOf = (table, user) => (SHARED.has(table) ? table : `${table}/${user}`);
