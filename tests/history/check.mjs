// SPDX-License-Identifier: Apache-2.0
//
// The checker: a recorded history in, what is wrong with it out. It knows nothing of servers and clocks. A history is
//   partitions     name → {events: the feed of its witness, rows: what the table holds at the end}
//   transactions   [{id, user, as, isTransaction, sql, operations, sent, answered, outcome, answers, refusal}]
//   subscriptions  what readers were sent (live.mjs)
//   denials, openings, unsteady   when who was not allowed what (rights.mjs)
// with times as ticks of one counter: what was answered at a tick was over before anything that was sent at a later one.
//
// The rules, for each transaction:
//   1. all its reads answer as of one snapshot with its own writes on top: a place of the feed between two commits;
//   2. that snapshot has everything answered before the transaction was sent, and nothing that was sent after its answer;
//   3. committed, its changes stand in the feed, all of them, nothing else, in one piece, and are what its statements make of
//      the snapshot; no row that it wrote, or read in a transaction that writes, was changed in between;
//   4. refused or rolled back, nothing of it is there; without an answer, all of it or nothing.
// Every change of the feed is somebody's, and the table at the end is what the feed makes of nothing.

import { Feed, countWhere } from './feed.mjs';
import { checkSubscriptions } from './live.mjs';
import { nameReads } from './name.mjs';
import { EXISTS, OPERATIONS, Sight, difference, perform } from './operation.mjs';
import { checkRights } from './rights.mjs';

const TRIES_MAX = 3000;
/** How far a snapshot got before it failed: the furthest tells most. */
const WRITES_DIFFER = 1000;
const ROW_CHANGED = 2000;
const NAMED_MAX = 20; // more than that are counted, and told without looking for their name

/** Returns {violations: [{rule, text, ids, at}], figures}. */
export function check(history) {
  return new Checker(history).run();
}

export class Checker {
  constructor(history) {
    this.history = history;
    this.feed = new Feed(history.partitions);
    this.transactions = new Map(history.transactions.map((t) => [t.id, { ...t, first: null, last: null }]));
    this.violations = [];
    this.figures = {
      committed: 0,
      reads: 0,
      refused: 0,
      conflicts: 0,
      unanswered: 0,
      unansweredDone: 0,
      changes: this.feed.events.length,
      snapshots: 0,
    };
  }

  run() {
    const all = [...this.transactions.values()];
    for (const { rule, text, at } of this.feed.wrong) this.violate(rule, text, { at });
    for (const t of all) this.claimByToken(t);
    this.bounds = new Bounds(all, this.feed.last);
    const byAnswer = [...all].sort((x, y) => (x.answered ?? Infinity) - (y.answered ?? Infinity));
    const writers = byAnswer.filter(isWriter);
    const [marked, others] = [writers.filter(({ first }) => first !== null), writers.filter(({ first }) => first === null)];
    for (const t of marked) this.judge(t); // their deletes stand beside what has a token
    for (const t of others) this.judge(t);
    this.claimDeletes(byAnswer.filter((t) => t.outcome === 'unknown' && t.first === null && isWriter(t)));
    this.bounds = new Bounds(all, this.feed.last); // deletes have found their places
    for (const t of byAnswer.filter((one) => !isWriter(one))) this.judge(t);
    this.feed.events.forEach((_, at) => {
      if (!this.feed.owners[at]) {
        this.violate("nobody's change", this.feed.describe(at), { at });
      }
    });
    this.checkTables();
    checkRights(this);
    checkSubscriptions(this);
    return { violations: this.violations, figures: this.figures };
  }

  violate(rule, text, { ids = [], at } = {}) {
    this.violations.push({ rule, text, ids, at });
  }

  idAt(place) {
    return this.feed.owners[place]?.id ?? 'nobody known';
  }

  claim(t, places) {
    for (const place of places) this.feed.owners[place] = t;
    t.first = Math.min(t.first ?? Infinity, ...places);
    t.last = Math.max(t.last ?? -1, ...places);
  }

  claimByToken(t) {
    const places = this.feed.places.get(t.id) ?? [];
    if (places.length) this.claim(t, places);
    if (places.length && t.outcome === 'refused') {
      this.violate('a refused write', `${t.id} was ${t.refusal ? 'refused' : 'rolled back'} and stands in the feed`, {
        ids: [t.id],
        at: places[0],
      });
    }
  }

  judge(t) {
    if (t.outcome === 'refused') {
      this.figures.refused++;
      this.figures.conflicts += Number(Boolean(t.refusal?.isConflict));
      if (t.refusal?.isExisting) this.judgeRefusal(t);
      if (!t.answers) return; // what was rolled back has read something
    }
    if (t.outcome === 'unknown') {
      this.figures.unanswered++;
      if (t.first === null) return;
      this.figures.unansweredDone++;
    }
    const flaw = this.explain(t);
    if (t.outcome !== 'refused') this.figures[isWriter(t) ? 'committed' : 'reads']++;
    if (!flaw) return;
    const named = flaw.reached < WRITES_DIFFER && this.violations.length < NAMED_MAX ? nameReads(this, t) : null;
    const { rule, text, ids = [] } = named ?? flaw;
    this.violate(rule, `${t.id}: ${text}`, { ids: [t.id, ...ids], at: flaw.at });
  }

  /** Looks for a snapshot that explains the transaction; returns the furthest flaw when there is none. `mustWrite`: it has changed something. */
  explain(t, mustWrite = false) {
    const { low, high } = this.bounds.of(t);
    let best = { rule: 'no snapshot', text: `it would have to see place ${low} and not yet ${high + 1}`, reached: -1 };
    let tries = 0;
    for (let place = low; place <= high && tries < TRIES_MAX; place++) {
      if (this.feed.isInsideCommit(place)) continue;
      tries++;
      const seen = this.evaluate(t, place);
      const flaw = seen.flaw ?? (isWriter(t) && t.outcome !== 'refused' ? this.effects(t, place, seen.sight, mustWrite) : null);
      this.figures.snapshots++;
      if (!flaw) return null;
      if (flaw.reached >= best.reached) best = { ...flaw, at: place };
    }
    return best;
  }

  /** Runs the statements at a place of the feed. Returns {sight, flaw}; `only`: the statement whose answer is compared. */
  evaluate(t, place, only = null) {
    const sight = new Sight((partition) => this.feed.rowsAt(partition, place));
    for (const [i, o] of t.operations.entries()) {
      const performed = perform(sight, o);
      if (!t.answers) {
        if (performed.count === EXISTS) return { sight, isExisting: true };
        continue;
      }
      const differs = only === null || only === i ? difference(o, t.answers[i], performed) : null;
      if (differs) {
        return {
          flaw: { rule: 'a wrong answer', text: `statement ${i} was answered ${differs.got}, due was ${differs.want}`, reached: i },
        };
      }
      if (only === i) break;
    }
    return { sight };
  }

  /** Compares what the statements make of the snapshot with the changes in the feed, and takes those. */
  effects(t, place, sight, mustWrite) {
    const mine = [];
    for (const { partition, key, row } of sight.writes.values()) {
      const before = this.feed.rowAt(partition, key, place);
      if (!before && !row) continue; // it came and went
      const at = row ? this.changeBy(t, partition, key) : (this.feed.deaths.get(`${partition}|${key}|${before.seq}`) ?? -1);
      const name = `row ${key} of ${partition}`;
      if (at < 0) return differing('a lost write', `${name}: its ${row ? `value ${row.v}` : 'deletion'} is not in the feed`);
      if (!row && this.feed.owners[at] && this.feed.owners[at] !== t) {
        return differing('a lost write', `${name}: it was deleted by ${this.idAt(at)}`, [this.idAt(at)]);
      }
      const stands = this.feed.events[at].row;
      if (row && !(stands.v === row.v && stands.n === row.n && stands.g === row.g)) {
        return differing(
          'a wrong write',
          `${name} stands in the feed as ${stands.v}, n=${stands.n}, g=${stands.g}; due was ${row.v}, n=${row.n}, g=${row.g}`,
        );
      }
      mine.push(at);
    }
    const all = new Set(mine);
    const more = (this.feed.places.get(t.id) ?? []).find((at) => !all.has(at));
    if (more !== undefined) return differing('a write too many', this.feed.describe(more));
    if (!mine.length) return mustWrite ? differing('a lost write', 'it changes nothing') : null;
    const [first, last] = [Math.min(...mine), Math.max(...mine)];
    if (last - first + 1 !== all.size) {
      return differing('a torn commit', `its changes stand at the places ${[...mine].sort((x, y) => x - y)} of the feed`);
    }
    const changed = this.changedMeanwhile(t, sight, place, first);
    if (changed) return changed;
    this.claim(t, mine);
    return null;
  }

  changeBy(t, partition, key) {
    return (
      (this.feed.places.get(t.id) ?? []).find((at) => this.feed.events[at].partition === partition && this.feed.events[at].key === key) ??
      -1
    );
  }

  changedMeanwhile(t, sight, place, first) {
    const kinds = [
      ['a lost update', 'wrote', sight.writes],
      ['a write on what had changed', 'read', t.isTransaction ? sight.reads : new Map()],
    ];
    for (const [rule, did, rows] of kinds) {
      for (const { partition, key } of rows.values()) {
        const at = this.feed.changedBetween(partition, key, place, first);
        if (at < 0) continue;
        return {
          rule,
          reached: ROW_CHANGED,
          ids: [this.idAt(at)],
          text: `it ${did} row ${key} of ${partition} as it was before ${this.idAt(at)} changed it, and committed after that`,
        };
      }
    }
    return null;
  }

  /** "The key exists" is an answer about a snapshot, too. */
  judgeRefusal(t) {
    const { low, high } = this.bounds.of(t);
    for (let place = low; place <= high; place++) if (this.evaluate({ ...t, answers: null }, place).isExisting) return;
    this.violate('a wrong refusal', `${t.id}: no key that it inserts exists anywhere between its request and its answer`, { ids: [t.id] });
  }

  /** Deletes carry no token: those without an owner may be of a transaction that got no answer. */
  claimDeletes(unanswered) {
    for (const t of unanswered) {
      if (this.feed.events.every((_, at) => this.feed.owners[at])) return;
      if (!this.explain(t, true)) this.figures.unansweredDone++;
    }
  }

  checkTables() {
    for (const [partition, { rows }] of Object.entries(this.history.partitions)) {
      const want = this.feed.rowsAt(partition, this.feed.last);
      const got = new Map(rows.map((row) => [row.key, row]));
      const text = (row) => (row ? `${row.v}, n=${row.n}, _seq ${row.seq}` : 'not there');
      for (const key of new Set([...want.keys(), ...got.keys()])) {
        if (text(got.get(key)) === text(want.get(key))) continue;
        const rule = want.has(key) ? 'a table that is not its feed' : 'a resurrected row';
        this.violate(rule, `${partition}: row ${key} is ${text(got.get(key))} in the table, ${text(want.get(key))} by its feed`, {
          at: this.feed.versionsOf(partition, key).at(-1)?.at,
        });
      }
    }
  }
}

export const isWriter = (t) => t.operations.some((o) => !OPERATIONS[o.name].isRead);
const differing = (rule, text, ids = []) => ({ rule, text, ids, reached: WRITES_DIFFER });

/** What real time allows: the newest change that a transaction must see, and the newest that it may. */
class Bounds {
  constructor(transactions, last) {
    this.last = last;
    this.answered = transactions.filter((t) => t.outcome === 'ok' && t.last !== null).sort((x, y) => x.answered - y.answered);
    this.newest = [];
    for (const t of this.answered) this.newest.push(Math.max(this.newest.at(-1) ?? -1, t.last));
    this.sent = transactions.filter((t) => t.first !== null).sort((x, y) => x.sent - y.sent);
    this.oldest = [];
    for (const t of [...this.sent].reverse()) this.oldest.unshift(Math.min(this.oldest[0] ?? Infinity, t.first));
  }

  /** The newest place of what was answered before this tick, or -1. */
  before(tick) {
    return this.newest[countWhere(this.answered, (t) => t.answered < tick) - 1] ?? -1;
  }

  of(t) {
    const at = t.answered === null ? -1 : countWhere(this.sent, (one) => one.sent < t.answered);
    const later = at < 0 ? Infinity : (this.oldest[at] ?? Infinity);
    return { low: this.before(t.sent), high: Math.min(this.last, later - 1, (t.first ?? Infinity) - 1) };
  }
}
