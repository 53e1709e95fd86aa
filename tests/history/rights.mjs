// SPDX-License-Identifier: Apache-2.0
//
// The rules about who may see what. The history has
//   denials   [{user, partition, from, to, isHidden}]: from the tick at which it was answered that this user may not (read this
//             partition, or anything when it is null) to the tick at which the opposite was sent (null: never);
//   openings  [{partition, sent, answered}]: a level that lets more roles read;
//   unsteady  users who are dropped or change their role.
//   1. What lies wholly within a denial succeeds with nothing; a subscription of before it shows nothing that was sent after it began.
//   2. What a SHARED table had only while a user's role could not read it (isHidden) is never shown to that user.
//   3. A cursor from before an opening is refused.
//   4. Refusals name no value of a partition that the request did not ask for. They, and the ends of subscriptions, have a known reason.

import { tokensOf, writerOf } from './feed.mjs';
import { valuesOf } from './live.mjs';

export function checkRights(checker) {
  const { denials, openings, subscriptions } = checker.history;
  checker.figures.denials = denials.length;
  for (const denial of denials) {
    for (const t of checker.transactions.values()) checkTransaction(checker, denial, t);
    for (const s of subscriptions.filter((one) => one.user === denial.user)) checkSubscription(checker, denial, s);
    if (denial.isHidden) checkHidden(checker, denial);
  }
  for (const s of subscriptions) checkCursor(checker, openings, s);
  for (const t of checker.transactions.values()) checkRefusal(checker, t);
  for (const s of subscriptions) checkEnd(checker, s);
}

const partitionsOf = (t) => t.operations.flatMap((o) => [o.partition, o.otherPartition]).filter(Boolean);
const isWithin = (from, to, denial) => from > denial.from && to !== null && (denial.to === null || to < denial.to);

function checkTransaction(checker, denial, t) {
  if (t.outcome !== 'ok' || !isWithin(t.sent, t.answered, denial)) return;
  const isMeant =
    denial.partition === null ? [t.user, t.as].includes(denial.user) : t.user === denial.user && partitionsOf(t).includes(denial.partition);
  if (isMeant) {
    checker.violate('a denied request', `${t.id}: ${denial.user} was not allowed ${denial.partition ?? 'anything'} and was answered`, {
      ids: [t.id],
    });
  }
}

function checkSubscription(checker, denial, s) {
  if (denial.partition !== null && denial.partition !== s.partition) return;
  const isReady = s.readySeq || s.changes.length;
  const late = s.sent < denial.from && s.changes.find(({ seq }) => checker.feed.owners[checker.feed.placeOf(seq)]?.sent > denial.from);
  const what = late ? `was sent the change at ${late.seq}` : 'was begun';
  if (late || (isReady && isWithin(s.sent, s.closed, denial))) {
    checker.violate('a denied subscription', `${s.id}: ${denial.user} was not allowed ${denial.partition ?? 'anything'}, and it ${what}`, {
      ids: [s.id],
      at: late ? checker.feed.placeOf(late.seq) : undefined,
    });
  }
}

/** Values that came and went while the user could not read. */
function hiddenValues(checker, denial) {
  const { feed } = checker;
  const [hidden, others] = [new Set(), new Set()];
  for (const list of feed.versions.get(denial.partition)?.values() ?? []) {
    list.forEach(({ at, row }, i) => {
      if (!row) return;
      const [birth, death] = [feed.owners[at], feed.owners[list[i + 1]?.at]];
      const isHidden = birth && death && birth.sent > denial.from && isWithin(death.sent, death.answered, denial);
      (isHidden ? hidden : others).add(row.v);
    });
  }
  return new Set([...hidden].filter((value) => !others.has(value)));
}

function checkHidden(checker, denial) {
  const hidden = hiddenValues(checker, denial);
  checker.figures.hidden = (checker.figures.hidden ?? 0) + hidden.size;
  const violate = (id, value) =>
    checker.violate(
      'a hidden row',
      `${id}: ${denial.user} sees ${value}, which ${denial.partition} had only while they could not read it`,
      { ids: [id, writerOf(value)] },
    );
  for (const t of checker.transactions.values()) {
    if (t.user !== denial.user || !t.answers) continue;
    const value = t.answers.flatMap((answer) => (answer.rows ?? []).flat()).find((cell) => hidden.has(cell));
    if (value) violate(t.id, value);
  }
  for (const s of checker.history.subscriptions) {
    if (s.user !== denial.user || s.partition !== denial.partition) continue;
    const shown = valuesOf(s).find(({ v }) => hidden.has(v));
    if (shown) violate(s.id, shown.v);
  }
}

function checkCursor(checker, openings, s) {
  if (s.from === null || !(s.readySeq || s.changes.length)) return;
  const place = checker.feed.placeOf(s.from);
  const isPassed = ({ partition, sent, answered }) => partition === s.partition && s.sent > answered && place < checker.bounds.before(sent);
  if (!openings.some(isPassed)) return;
  const text = `${s.id} of ${s.user} was resumed from ${s.from}, before more roles could read ${s.partition}`;
  checker.violate('a cursor from before an opening', text, { ids: [s.id] });
}

/** NOT_FOUND: a column that it selects became wider. */
function checkEnd(checker, s) {
  const { denials, openings, unsteady } = checker.history;
  const isDenied = denials.some(({ user, partition }) => user === s.user && (partition === null || partition === s.partition));
  const reasons = {
    NOT_FOUND: true,
    SERVER_BUSY: true,
    UNAUTHORIZED: isDenied || unsteady.includes(s.user),
    CURSOR_TOO_OLD: openings.some(({ partition }) => partition === s.partition),
  };
  if (s.code !== null && !reasons[s.code]) {
    checker.violate('an end without a reason', `${s.id} of ${s.user} on ${s.partition} ended with ${s.code}`, { ids: [s.id] });
  }
}

function checkRefusal(checker, t) {
  if (!t.refusal) return;
  const { isKnown, message } = t.refusal;
  if (!isKnown) checker.violate('a refusal without a reason', `${t.id}: ${message}`, { ids: [t.id] });
  for (const token of tokensOf(message)) {
    const writer = checker.transactions.get(token.split('.')[0]);
    const wrote = writer?.operations.find((o) => o.token === token);
    if (wrote && !partitionsOf(t).includes(wrote.partition)) {
      checker.violate('a leaked row', `${t.id}: its refusal names ${token} of ${wrote.partition}: ${message}`, { ids: [t.id, writer.id] });
    }
  }
}
