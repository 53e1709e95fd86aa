// SPDX-License-Identifier: Apache-2.0
//
// Violations to be planted into a history that has none. Each is done where it first fits, and answers whether it did.
// They are made of what a faulty server would have answered or sent: a value of before, of another, of a commit that never was;
// a message too few, twice, in another order.

import { Feed, writerOf } from './feed.mjs';
import { Checker } from './check.mjs';
import { OPERATIONS } from './operation.mjs';

/** The history with what is needed to find a place in it. */
class Ground {
  constructor(history) {
    this.history = history;
    this.feed = new Feed(history.partitions);
    this.byId = new Map(history.transactions.map((t) => [t.id, t]));
    this.feed.owners = this.feed.events.map((event) => this.writer(event));
    this.end = 1 + history.transactions.reduce((most, t) => Math.max(most, t.sent, t.answered ?? 0), 0);
  }

  /** The acknowledged writer of the version that a change left. */
  writer(event) {
    const t = event.row && this.byId.get(writerOf(event.row.v));
    return t?.outcome === 'ok' ? t : null;
  }

  /** A request of somebody who has the partition; statements: [name, key, answer]. */
  request(partition, statements, { user = partition.split('/')[1] ?? 'boss', sent = this.end, answered = this.end + 1, ...more } = {}) {
    const id = `T${this.history.transactions.length + 1}`;
    const operations = statements.map(([name, key, , where = partition], i) => ({
      name,
      table: where.split('/')[0],
      partition: where,
      key,
      group: '0',
      token: `${id}.${i}`,
      other: null,
      otherPartition: null,
    }));
    this.history.transactions.push({
      id,
      user,
      as: null,
      isTransaction: statements.length > 1,
      sql: operations.map((o) => OPERATIONS[o.name].sql(o)).join('; '),
      operations,
      sent,
      answered,
      outcome: 'ok',
      answers: statements.map(([, , answer]) => answer),
      refusal: null,
      ...more,
    });
    return true;
  }

  /** Updates of a row by somebody who was answered: {event, before, writer}. */
  updates() {
    return this.feed.events.flatMap((event, at) => {
      const [writer, before] = [this.writer(event), this.feed.rowAt(event.partition, event.key, at - 1)];
      return event.kind === 'update' && writer && before && this.writer({ row: before }) ? [{ event, before, writer, at }] : [];
    });
  }

  /** Deletions that were known to all before the end: {event, before}. */
  deletions() {
    return this.feed.events.flatMap((event, at) => {
      const before = this.feed.rowAt(event.partition, event.key, at - 1);
      return event.kind === 'delete' && before && !this.feed.rowAt(event.partition, event.key, this.feed.last) ? [{ event, before }] : [];
    });
  }

  stream(least, holds = () => true) {
    return this.history.subscriptions.find((s) => s.changes.length >= least && holds(s));
  }
}

const cells = (key, row) => ({ rows: [[key, row.v, row.n, row.seq]] });
const acknowledged = (ground) => ground.history.transactions.filter((t) => t.outcome === 'ok');

const PLANTS = [];

/** What is planted, the rule that must tell it, and how: `act` answers whether it found a place. */
function plant(what, rule, act) {
  PLANTS.push({ what, rule, act });
}

/* ---- reads ---- */

plant('a dirty read', /a dirty read/, (ground) => {
  const t = ground.history.transactions.find((one) => one.outcome === 'refused' && one.operations.some((o) => o.name === 'append'));
  const o = t?.operations.find(({ name }) => name === 'append');
  return o && ground.request(o.partition, [['key', o.key, cells(o.key, { v: o.token, n: '9', seq: '9' })]]);
});

plant('a read of the middle of a transaction', /a dirty read/, (ground) => {
  const seen = new Set(ground.feed.events.map(({ row }) => row?.v.split(',').at(-1)));
  const isMiddle = (o, i, t) => o.name === 'append' && t.answers[i].count === 1 && !seen.has(o.token);
  const t = acknowledged(ground).find((one) => one.operations.some((o, i) => isMiddle(o, i, one)));
  const o = t?.operations.find((one, i) => isMiddle(one, i, t));
  return o && ground.request(o.partition, [['key', o.key, cells(o.key, { v: o.token, n: '9', seq: '9' })]]);
});

plant('a non-repeatable read', /a non-repeatable read/, (ground) => {
  const [found] = ground.updates();
  return (
    found &&
    ground.request(
      found.event.partition,
      [found.before, found.event.row].map((row) => ['key', found.event.key, cells(found.event.key, row)]),
      { sent: 0 },
    )
  );
});

plant('a phantom in a transaction', /a phantom/, (ground) => {
  const isAlone = (at) => [at - 1, at + 1].every((near) => ground.feed.owners[near] !== ground.feed.owners[at]);
  const at = ground.feed.events.findIndex(({ kind }, i) => kind === 'insert' && isAlone(i));
  if (at < 0) return false;
  const { partition } = ground.feed.events[at];
  const count = (place) => ({ rows: [[String(ground.feed.rowsAt(partition, place).size)]] });
  return ground.request(
    partition,
    [
      ['count', '0', count(at - 1)],
      ['count', '0', count(at)],
    ],
    { sent: 0 },
  );
});

plant('read skew', /read skew/, (ground) => {
  const found = ground
    .updates()
    .find(
      ({ at }, i, list) =>
        list[i + 1]?.at === at + 1 && list[i + 1].writer === list[i].writer && list[i + 1].event.key !== list[i].event.key,
    );
  const other = found && ground.feed.events[found.at + 1];
  if (!found) return false;
  const before = ground.feed.rowAt(other.partition, other.key, found.at - 1);
  return ground.request(
    found.event.partition,
    [
      ['key', found.event.key, cells(found.event.key, found.event.row)],
      ['key', other.key, cells(other.key, before), other.partition],
    ],
    { sent: 0 },
  );
});

plant('a stale read', /a stale read/, (ground) => {
  const found = ground.updates().at(-1);
  return found && ground.request(found.event.partition, [['key', found.event.key, cells(found.event.key, found.before)]]);
});

plant('a read of the future', /a read of the future/, (ground) => {
  const found = ground.updates().at(-1);
  return (
    found &&
    ground.request(found.event.partition, [['key', found.event.key, cells(found.event.key, found.event.row)]], { sent: 0, answered: 0.5 })
  );
});

plant('a row of another user', /a leaked row/, (ground) => {
  const other = ground.feed.events.find(({ partition, row }) => row && partition === 'a/bob');
  return other && ground.request('a/alice', [['key', other.key, cells(other.key, other.row)]]);
});

plant('a deleted row in a read', /a resurrected row/, (ground) => {
  const [found] = ground.deletions();
  return found && ground.request(found.event.partition, [['key', found.event.key, cells(found.event.key, found.before)]]);
});

plant('a phantom after TRUNCATE', /a phantom after TRUNCATE/, (ground) => {
  const [partition] = Object.keys(ground.history.partitions);
  const { size } = ground.feed.rowsAt(partition, ground.feed.last);
  return ground.request(
    partition,
    [
      ['truncate', '0', { count: size }],
      ['count', '0', { rows: [['1']] }],
    ],
    { outcome: 'refused' },
  );
});

plant('a wrong count of rows', /a wrong answer/, (ground) => ground.request('a/alice', [['deleteCopies', '0', { count: 777 }]]));

/** Takes an event out of the feed of its partition. */
function withdraw(ground, event) {
  const { events } = ground.history.partitions[event.partition];
  return events.splice(
    events.findIndex(({ seq }) => seq === event.seq),
    1,
  )[0];
}

function recorded(ground, event) {
  return ground.history.partitions[event.partition].events.find(({ seq }) => seq === event.seq);
}

/* ---- writes ---- */

plant('a lost update', /a lost update/, (ground) => {
  const isLast = ({ event }) => ground.feed.versionsOf(event.partition, event.key).at(-1).row?.v === event.row.v;
  const isAlone = ({ operations, isTransaction }) => !isTransaction && operations[0].name === 'append';
  const found = ground
    .updates()
    .find((one) => isAlone(one.writer) && isLast(one) && ground.feed.versionsOf(one.event.partition, one.event.key).at(-3)?.row);
  if (!found) return false;
  const { row } = ground.feed.versionsOf(found.event.partition, found.event.key).at(-3);
  Object.assign(recorded(ground, found.event).row, {
    v: `${row.v},${found.writer.operations[0].token}`.slice(-80),
    g: row.g,
    n: String(BigInt(row.n) + 1n),
  });
  found.writer.sent = 0;
  return true;
});

plant('a write on what had changed', /a write on what had changed/, (ground) => {
  const found = ground
    .updates()
    .find(
      ({ writer, at, event }) =>
        writer.isTransaction &&
        writer.operations.every((o) => o.name === 'append' && o.partition === event.partition) &&
        ground.feed.events[at - 1]?.kind === 'update' &&
        writerOf(ground.feed.events[at - 1].row.v) !== writer.id &&
        ground.feed.events[at - 1].partition !== event.partition,
    );
  if (!found) return false;
  const before = ground.feed.events[found.at - 1];
  const row = ground.feed.rowAt(before.partition, before.key, found.at - 2);
  found.writer.operations.unshift({
    ...found.writer.operations[0],
    name: 'key',
    partition: before.partition,
    key: before.key,
    token: 'T0.0',
  });
  found.writer.answers.unshift(cells(before.key, row));
  found.writer.sent = 0;
  return true;
});

plant('an acknowledged write that is not there', /a lost write/, (ground) => {
  const found = ground.feed.events.findLast(
    (event) => event.kind === 'insert' && ground.writer(event) && ground.feed.versionsOf(event.partition, event.key).length === 1,
  );
  return found && Boolean(withdraw(ground, found));
});

plant('half of a transaction', /a lost write|a change of a row that is not there/, (ground) => {
  const found = ground.feed.events.find(
    (event, at) => ground.writer(event) && ground.writer(event) === ground.writer(ground.feed.events[at + 1] ?? {}),
  );
  return found && Boolean(withdraw(ground, found));
});

plant('a transaction in two pieces', /a torn commit/, (ground) => {
  const { events } = ground.feed;
  const at = events.findIndex(
    (event, i) =>
      i > 0 &&
      events[i + 1] &&
      ground.writer(event) &&
      ground.writer(event) === ground.writer(events[i - 1]) &&
      events[i + 1].partition !== event.partition &&
      ground.writer(events[i + 1]) !== ground.writer(event),
  );
  if (at < 0) return false;
  const [one, two] = [recorded(ground, events[at]), recorded(ground, events[at + 1])];
  for (const [event, { seq }] of [
    [one, { ...two }],
    [two, { ...one }],
  ]) {
    event.seq = seq;
    if (event.row) event.row.seq = seq;
  }
  return true;
});

plant('a rolled back write that is there', /a refused write/, (ground) => {
  const found = ground.feed.events.find((event) => ground.writer(event));
  ground.writer(found).outcome = 'refused';
  return true;
});

plant('a change that nobody made', /nobody's change|a change of a row|a stale read/, (ground) => {
  const found = ground.feed.events.findLast((event) => event.kind === 'update');
  const { events } = ground.history.partitions[found.partition];
  const seq = String(ground.feed.events.at(-1).number + 5n);
  events.push({
    kind: 'delete',
    key: found.key,
    seq,
    row: null,
    old: { v: ground.feed.rowAt(found.partition, found.key, ground.feed.last)?.v, seq },
  });
  return true;
});

plant('a deleted row in the table', /a resurrected row/, (ground) => {
  const [{ event, before } = {}] = ground.deletions();
  return (
    Boolean(event) &&
    ground.history.partitions[event.partition].rows.push({ key: event.key, v: before.v, n: before.n, seq: before.seq }) > 0
  );
});

plant('a row lost from the table', /a table that is not its feed/, (ground) => {
  const part = Object.values(ground.history.partitions).find(({ rows }) => rows.length);
  return Boolean(part?.rows.pop());
});

plant('a refusal of a key that is not there', /a wrong refusal/, (ground) =>
  ground.request('a/alice', [['insert', '77777', null]], {
    outcome: 'refused',
    answers: null,
    refusal: { message: 'Already exists', isKnown: true, isExisting: true },
  }),
);

plant('a refusal that nobody understands', /a refusal without a reason/, (ground) =>
  ground.request('a/alice', [['insert', '77777', null]], {
    outcome: 'refused',
    answers: null,
    refusal: { message: '500 Internal', isKnown: false },
  }),
);

plant('a value of another in a refusal', /a leaked row/, (ground) => {
  const other = ground.feed.events.find(({ partition, row }) => row && partition === 'a/bob');
  return (
    other &&
    ground.request('a/alice', [['insert', '77777', null]], {
      outcome: 'refused',
      answers: null,
      refusal: { message: `409 Conflict: ${other.row.v}`, isKnown: true },
    })
  );
});

/* ---- the feed of a witness ---- */

plant('a change twice in a feed', /a change twice/, (ground) => {
  const { events } = Object.values(ground.history.partitions).find((part) => part.events.length);
  events.push({ ...events.at(-1) });
  return true;
});

plant('two changes of a feed in another order', /disorder/, (ground) => {
  const { events } = Object.values(ground.history.partitions).find((part) => part.events.length > 1);
  events.push(...events.splice(-2).reverse());
  return true;
});

plant('a change missing in a feed', /a change lost from the feed/, (ground) => {
  const found = ground
    .updates()
    .find(({ at, event }) => ground.feed.versionsOf(event.partition, event.key).some((later) => later.at > at && later.row));
  return found && Boolean(withdraw(ground, found.event));
});

plant('a change of a row that was deleted', /a change of a row that is not there/, (ground) => {
  const found = ground.feed.events.find((event, at) => event.kind === 'insert' && at > 0);
  recorded(ground, found).kind = 'update';
  recorded(ground, found).old = { v: 'gone', seq: '1' };
  return true;
});

plant('two changes with one seq', /a seq twice/, (ground) => {
  const at = ground.feed.events.findIndex((event, i) => i > 0 && event.partition !== ground.feed.events[i - 1].partition);
  recorded(ground, ground.feed.events[at]).seq = ground.feed.events[at - 1].seq;
  return true;
});

/* ---- subscriptions ---- */

plant('a gap', /: a gap/, (ground) => Boolean(ground.stream(3)?.changes.splice(1, 1).length));

plant('a double', /: a change twice/, (ground) => {
  const s = ground.stream(2);
  return Boolean(s?.changes.splice(1, 0, { ...s.changes[0] }));
});

plant('disorder', /: disorder/, (ground) => {
  const s = ground.stream(3);
  return Boolean(s?.changes.splice(0, 2, s.changes[1], s.changes[0]));
});

plant('a change of another user', /a leaked row/, (ground) => {
  const s = ground.stream(1, ({ partition }) => partition === 'a/alice');
  const other = ground.feed.events.find(({ partition, row }) => row && partition === 'a/bob');
  if (s) s.changes[0].row = { ...other.row };
  return Boolean(s);
});

plant('a first row of another user', /a leaked row/, (ground) => {
  const s = ground.history.subscriptions.find((one) => one.partition === 'a/alice' && one.readySeq);
  const other = ground.feed.events.find(({ partition, row }) => row && partition === 'a/bob');
  return Boolean(s?.first.push({ key: other.key, row: other.row }));
});

plant('a first row too few', /wrong first rows/, (ground) => {
  const s = ground.history.subscriptions.find((one) => one.from === null && one.readySeq && one.first.length);
  return Boolean(s?.first.pop());
});

plant('first rows of before', /stale first rows/, (ground) => {
  const s = ground.history.subscriptions.find(
    (one) =>
      one.from === null &&
      one.readySeq &&
      !one.lastRows &&
      one.query === 'all' &&
      one.partition === ground.feed.events[ground.feed.placeOf(one.readySeq)]?.partition &&
      !one.changes.length,
  );
  const place = s && ground.feed.placeOf(s.readySeq) - 1;
  if (!s || ground.writer(ground.feed.events[place]) === ground.writer(ground.feed.events[place + 1])) return false;
  s.readySeq = ground.feed.events[place].seq;
  s.first = [...ground.feed.rowsAt(s.partition, place)]
    .sort(([, x], [, y]) => (BigInt(x.seq) < BigInt(y.seq) ? -1 : 1))
    .map(([key, row]) => ({ key, row }));
  return true;
});

plant('a resume without a deletion', /: a gap/, (ground) => {
  const isMeant = (one) =>
    one.from !== null &&
    !one.isReplay &&
    one.query === 'all' &&
    one.first.some(({ gone }) => gone && ground.feed.rowAt(one.partition, gone.key, ground.feed.placeOf(one.from)));
  const s = ground.history.subscriptions.find(isMeant);
  if (s) s.first = s.first.filter(({ gone }) => !gone);
  return Boolean(s);
});

plant('a resume without a row', /a wrong resume/, (ground) => {
  const s = ground.history.subscriptions.find(
    (one) => one.from !== null && !one.isReplay && one.readySeq && one.first.some(({ row }) => row),
  );
  return Boolean(
    s?.first.splice(
      s.first.findIndex(({ row }) => row),
      1,
    ).length,
  );
});

plant('a replay without its first change', /: a gap/, (ground) =>
  Boolean(ground.stream(2, (s) => s.isReplay && s.from !== null)?.changes.shift()),
);

plant('a value that was never so', /a wrong change/, (ground) => {
  const s = ground.stream(1, ({ changes }) => changes[0].kind === 'update');
  if (s) {
    s.changes[0].row = {
      ...s.changes[0].row,
      v: ground.feed.rowAt(s.partition, s.changes[0].key, ground.feed.placeOf(s.changes[0].seq) - 1).v,
    };
  }
  return Boolean(s);
});

/* ---- rights ---- */

plant('a request of a user who was dropped', /a denied request/, (ground) => {
  const t = acknowledged(ground)[0];
  return ground.history.denials.push({ user: t.user, partition: null, from: t.sent - 0.5, to: t.answered + 0.5 }) > 0;
});

plant('a request as a user who was dropped', /a denied request/, (ground) => {
  const t = acknowledged(ground).find(({ as }) => as);
  return Boolean(t) && ground.history.denials.push({ user: t.as, partition: null, from: t.sent - 0.5, to: t.answered + 0.5 }) > 0;
});

plant('a subscription of a user who lost a right', /a denied subscription/, (ground) => {
  const s = ground.stream(1, ({ changes, sent }) => changes.some((one) => one.row && ground.writer(one)?.sent > sent));
  return Boolean(s) && ground.history.denials.push({ user: s.user, partition: s.partition, from: s.sent + 0.5, to: null }) > 0;
});

plant('what a table had while it was closed', /a hidden row/, (ground) => {
  const found = ground
    .updates()
    .find(({ event, before }) => !event.partition.includes('/') && ground.writer({ row: before }) !== ground.writer(event));
  if (!found) return false;
  const [birth, death] = [ground.writer({ row: found.before }), found.writer];
  ground.history.denials.push({
    user: 'carol',
    partition: found.event.partition,
    from: birth.sent - 0.5,
    to: death.answered + 0.5,
    isHidden: true,
  });
  return ground.request(found.event.partition, [['key', found.event.key, cells(found.event.key, found.before)]], {
    user: 'carol',
    sent: 0,
  });
});

plant('an end that nobody understands', /an end without a reason/, (ground) => {
  const [s] = ground.history.subscriptions;
  s.code = 'CURSOR_TOO_OLD';
  return !ground.history.openings.some(({ partition }) => partition === s.partition);
});

plant('a cursor from before an opening', /a cursor from before an opening/, (ground) => {
  const t = (seq) =>
    ground.feed.events
      .slice(ground.feed.placeOf(seq) + 1)
      .map((event) => ground.writer(event))
      .find(Boolean);
  const s = ground.history.subscriptions.find((one) => one.from !== null && one.readySeq && t(one.from)?.answered < one.sent);
  return (
    Boolean(s) && ground.history.openings.push({ partition: s.partition, sent: t(s.from).answered + 0.25, answered: s.sent - 0.5 }) > 0
  );
});

/** Plants each violation into a copy of the history. Returns [{what, isPlanted, isFound, told}]. */
export function plantAll(history) {
  return PLANTS.map(({ what, rule, act }) => {
    const copy = JSON.parse(JSON.stringify(history));
    if (!act(new Ground(copy))) return { what, isPlanted: false, isFound: false, told: '' };
    const told = new Checker(copy).run().violations.map((one) => `: ${one.rule}: ${one.text}`);
    return { what, isPlanted: true, isFound: told.some((text) => rule.test(text)), told: told.slice(0, 5).join('\n') };
  });
}
