// SPDX-License-Identifier: Apache-2.0
//
// Violations as lines for people: the rule, the shortest explanation, the requests concerned with their answers, and the
// changes of the feed around the place.

import { QUERIES } from './live.mjs';

const SHOWN_MAX = 12;
const IDS_MAX = 4;
const AROUND = 2;
const TEXT_MAX = 240;

const short = (text) => (text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}…` : text);

/** Returns lines; more than SHOWN_MAX violations are only counted by rule. */
export function tell(violations, history) {
  const lines = violations
    .slice(0, SHOWN_MAX)
    .flatMap((violation) => [
      `${violation.rule}: ${violation.text}`,
      ...[...new Set(violation.ids)].slice(0, IDS_MAX).flatMap((id) => tellOne(history, id)),
      ...(violation.at === undefined ? [] : tellPlace(history, violation.at)),
    ]);
  const rest = new Map();
  for (const { rule } of violations.slice(SHOWN_MAX)) rest.set(rule, (rest.get(rule) ?? 0) + 1);
  return [...lines, ...[...rest].map(([rule, count]) => `… and ${count} times ${rule}`)];
}

function tellOne(history, id) {
  const [t, s] = [history.transactions.find((one) => one.id === id), history.subscriptions.find((one) => one.id === id)];
  if (s) return tellSubscription(s);
  return t ? tellTransaction(t) : [];
}

function tellSubscription(s) {
  const words = [s.from === null ? 'fresh' : `from ${s.from}`, s.isReplay && 'replay', s.lastRows && `last_rows ${s.lastRows}`];
  const options = words.filter(Boolean).join(', ');
  const event = ({ kind, key, seq, row, old }) => `${kind} ${key} at ${seq} ${(row ?? old).v}`;
  const first = s.first.map(({ key, row, gone }) => (row ? `${key} ${row.v}` : event(gone)));
  return [
    `  ${s.id} ${s.user}, ticks ${s.sent} to ${s.closed}, ${options}: ${QUERIES[s.query].sql(s.partition.split('/')[0])}`,
    `      ${first.length} first rows, as of ${s.readySeq}: ${short(first.join('; '))}`,
    `      ${s.changes.length} changes: ${short(s.changes.map(event).join('; '))}${s.code ? `; ended with ${s.code}` : ''}`,
  ];
}

function tellTransaction(t) {
  const who = t.as ? `${t.user} as ${t.as}` : t.user;
  const answers =
    t.answers?.map(
      (answer, i) =>
        `      ${i}: ${answer.rows ? `${answer.rows.length} rows ${short(JSON.stringify(answer.rows))}` : `${answer.count} changed`}`,
    ) ?? [];
  return [
    `  ${t.id} ${who}, ticks ${t.sent} to ${t.answered ?? 'never'}, ${t.outcome}${t.refusal ? ` (${t.refusal.message})` : ''}: ${t.sql}`,
    ...answers,
  ];
}

/** Places count over all partitions in the order of seqs. */
function tellPlace(history, at) {
  const events = Object.entries(history.partitions)
    .flatMap(([partition, { events: list }]) => list.map((event) => ({ partition, ...event })))
    .sort((x, y) => (BigInt(x.seq) < BigInt(y.seq) ? -1 : 1));
  const first = Math.max(0, at - AROUND);
  return events.slice(first, at + AROUND + 1).map(({ partition, kind, key, seq, row, old }, i) => {
    const value = row ? `${row.v}, n=${row.n}, g=${row.g}` : `was ${old?.v}`;
    return `  ${first + i === at ? '→' : ' '} place ${first + i}: ${kind} of row ${key} of ${partition} at ${seq}: ${value}`;
  });
}
