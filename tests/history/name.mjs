// SPDX-License-Identifier: Apache-2.0
//
// Names what is wrong with the reads of a transaction that no snapshot explains: the shortest thing to say about it.
// It looks at which snapshots each statement fits by itself.

import { tokensOf } from './feed.mjs';
import { OPERATIONS } from './operation.mjs';

const LOOK_AROUND = 2000; // places before and after those that real time allows

/** Returns {rule, text, ids}, or null when the reads agree. */
export function nameReads(checker, t) {
  if (!t.answers) return null;
  const { low, high } = checker.bounds.of(t);
  const fits = t.operations.map((_, i) => fitting(checker, t, i, low, high));
  for (const [i, places] of fits.entries()) {
    const found = judgeOne(checker, t, i, places, { low, high });
    if (found) return found;
  }
  for (const [i, mine] of fits.entries()) {
    for (const [k, others] of fits.slice(0, i).entries()) {
      const common = mine.some((place) => place >= low && place <= high && others.includes(place));
      if (!common) {
        return nameTwo(
          checker,
          t,
          [k, i],
          [others, mine].map((places) => places.filter((place) => place >= low && place <= high)),
        );
      }
    }
  }
  return null;
}

function fitting(checker, t, i, low, high) {
  const places = [];
  const end = Math.min(checker.feed.last, high + LOOK_AROUND);
  for (let place = Math.max(-1, low - LOOK_AROUND); place <= end; place++) {
    if (!checker.feed.isInsideCommit(place) && !checker.evaluate(t, place, i).flaw) places.push(place);
  }
  return places;
}

/** A statement that by itself fits no snapshot that real time allows. */
function judgeOne(checker, t, i, places, { low, high }) {
  if (places.some((place) => place >= low && place <= high)) return null;
  if (places.length === 0) return blame(checker, t, i, low);
  const nearest = places.filter((place) => place < low).at(-1);
  const next = nearest === undefined ? places[0] : nearest + 1;
  const id = checker.idAt(next);
  if (nearest === undefined) {
    return { rule: 'a read of the future', text: `statement ${i} answers what ${id} wrote, which was sent after its answer`, ids: [id] };
  }
  const { kind, key, partition } = checker.feed.events[next];
  const isShown = kind === 'delete' && partition === t.operations[i].partition && t.answers[i].rows?.some((row) => row[0] === key);
  return isShown
    ? { rule: 'a resurrected row', text: `statement ${i} shows row ${key}, which ${id} had deleted`, ids: [id] }
    : { rule: 'a stale read', text: `statement ${i} does not see ${id}, which was answered before it was sent`, ids: [id] };
}

/** Two statements of one transaction that fit no common snapshot. */
function nameTwo(checker, t, [first, second], [others, mine]) {
  const [a, b] = [t.operations[first], t.operations[second]];
  const isSame = a.name === b.name && a.partition === b.partition && a.key === b.key && a.group === b.group;
  const ofOne = a.name === 'key' || a.partition !== b.partition ? 'a non-repeatable read' : 'a phantom';
  const place = others[0] < mine[0] ? mine[0] : others[0];
  const id = checker.idAt(place);
  return {
    rule: isSame ? ofOne : 'read skew',
    ids: [id],
    text: `statements ${first} and ${second} answer as of ${isSame ? 'two' : 'different'} snapshots, before and after ${id}`,
  };
}

/** A statement that fits no snapshot at all: one of its values is to blame, or what was done before it. */
function blame(checker, t, i, low) {
  const o = t.operations[i];
  const rows = t.answers[i].rows ?? [];
  for (const row of rows) {
    for (const token of row.flatMap((cell) => tokensOf(String(cell)))) {
      const found = blameToken(checker, t, o, token);
      if (found) return { ...found, text: `statement ${i} answers (${row.join(', ')}): ${found.text}` };
    }
    const found = blameRow(checker, t, o, row, low);
    if (found) return { ...found, text: `statement ${i} answers (${row.join(', ')}): ${found.text}` };
  }
  const isTruncated = t.operations.slice(0, i).some((before) => before.name === 'truncate' && before.partition === o.partition);
  const { text } = checker.evaluate(t, low, i).flaw ?? { text: `statement ${i} fits no snapshot` };
  return { rule: isTruncated ? 'a phantom after TRUNCATE' : 'a wrong answer', text };
}

function blameToken(checker, t, o, token) {
  const writer = checker.transactions.get(token.split('.')[0]);
  if (!writer) return { rule: 'a value of nobody', text: `no request wrote ${token}` };
  const wrote = writer.operations.find((one) => one.token === token);
  if (wrote && wrote.partition !== o.partition && wrote.partition !== o.otherPartition) {
    return { rule: 'a leaked row', ids: [writer.id], text: `${token} was written to ${wrote.partition}` };
  }
  if (writer !== t && writer.outcome === 'refused') return { rule: 'a dirty read', ids: [writer.id], text: `${writer.id} did not commit` };
  return null;
}

/** Rows of {id, v, n, _seq}: is that version one that ever stood? */
function blameRow(checker, t, o, row, low) {
  if (OPERATIONS[o.name].isOfTwo || row.length !== 4) return null;
  const [key, value, , seq] = row;
  const tokens = tokensOf(value);
  if (tokens.some((token) => token.startsWith(`${t.id}.`))) return null; // its own
  const versions = checker.feed.versionsOf(o.partition, key);
  const at = versions.findIndex((version) => version.row?.v === value);
  const [writer] = tokens.at(-1)?.split('.') ?? [];
  if (at < 0) return { rule: 'a dirty read', ids: writer ? [writer] : [], text: `no commit left row ${key} so` };
  const next = versions[at + 1];
  if (next && next.row === null && next.at <= low) {
    return {
      rule: 'a resurrected row',
      ids: [checker.idAt(next.at)],
      text: `row ${key} of seq ${seq} was deleted by ${checker.idAt(next.at)}`,
    };
  }
  return null;
}
