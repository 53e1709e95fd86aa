// SPDX-License-Identifier: Apache-2.0
//
// What must be there after a crash, known from what was acknowledged. Writers own disjoint keys and have
// one request out at a time, so every request's effect is known when it is sent, over all tables it touches:
//   acknowledged  -> all of it is there;
//   no answer     -> all of it or nothing (settle() finds out which, and that is the truth from then on);
//   refused       -> nothing of it.
// Tables that do not sync ("loose") may lose the end of their history in a power cut, and nothing else: what
// is there is the state after some prefix of it, which holds all that was acknowledged before a request was
// sent whose acknowledgement is of a sync.
// Every row carries in `n` the number of the request that wrote it, its tag: in seq order, over all
// tables, the rows of one request stand together.

const LIST_MAX = 5;
const DEATHS_MAX = 200;

/** What was sent and what came back, over all partitions of a data folder. */
export class Ledger {
  constructor() {
    this.clock = 0;
    this.tag = 0;
    this.statements = 0;
    this.syncedUpTo = 0; // all that was acknowledged before this moment of the clock is on disk
    this.unanswered = new Set();
  }

  nextTag() {
    return ++this.tag;
  }

  /** parts: Map of Model to Map of key to row, or to null for a row that goes. */
  begin(parts) {
    const effect = { parts, begun: ++this.clock, acknowledged: 0 };
    this.unanswered.add(effect);
    this.statements++;
    for (const [model, changes] of parts) model.history?.push({ effect, changes });
    return effect;
  }

  acknowledged(effect) {
    this.unanswered.delete(effect);
    effect.acknowledged = ++this.clock;
    for (const [model, changes] of effect.parts) {
      model.apply(changes);
      if (!model.history && changes.size) this.syncedUpTo = Math.max(this.syncedUpTo, effect.begun);
    }
  }

  refused(effect) {
    this.unanswered.delete(effect);
    for (const model of effect.parts.keys()) {
      if (model.history) model.history = model.history.filter((entry) => entry.effect !== effect);
    }
  }

  /** Compares with what was read after a restart: Map of Model to rows. isCut: power was lost. */
  settle(reads, isCut) {
    const wrong = [];
    for (const [model, rows] of reads) wrong.push(...model.look(rows));
    for (const effect of this.unanswered) wrong.push(...settleEffect(effect));
    this.unanswered.clear();
    for (const model of reads.keys()) {
      wrong.push(...model.history ? model.settlePrefix(isCut ? this.syncedUpTo : Infinity) : model.compare());
    }
    return [...wrong, ...checkPlaces(reads)];
  }
}

/** An unanswered request is there whole or not at all, over all its tables. */
function settleEffect({ parts }) {
  let size = 0;
  let done = 0;
  let undone = 0;
  const places = [];
  for (const [model, changes] of parts) {
    if (model.history) continue; // settlePrefix
    for (const [key, row] of changes) {
      size++;
      if (model.isThere(key, row)) done++;
      if (model.isThere(key, model.rows.get(key))) undone++;
      places.push(`${model.name} ${key}`);
    }
  }
  if (done === size) for (const [model, changes] of parts) model.apply(changes);
  if (done === size || undone === size) return [];
  return [`an unanswered request on ${places.slice(0, LIST_MAX).join(', ')}… is half applied: ${done} of ${size}`];
}

/** One commit has one place in the order of commits: no other's row lies between its rows. */
function checkPlaces(reads) {
  const all = [];
  for (const [model, rows] of reads) for (const row of rows) all.push({ seq: BigInt(row._seq), row, model });
  all.sort((a, b) => (a.seq < b.seq ? -1 : 1));
  const seen = new Set();
  const wrong = [];
  all.forEach(({ seq, row, model }, i) => {
    if (i && all[i - 1].seq === seq) wrong.push(`${model.name}: two rows have the seq ${seq}`);
    if (i && all[i - 1].row.n === row.n) return;
    if (seen.has(row.n)) wrong.push(`${model.name}: commit ${row.n} stands in two places of the feed, row ${row.id} at ${seq}`);
    seen.add(row.n);
  });
  return wrong.slice(0, LIST_MAX);
}

/** One partition. */
export class Model {
  constructor(name, canary, { loose = false, shape = null } = {}) {
    this.name = name;
    this.canary = canary; // stands in every row of this partition and in no other
    this.shape = shape; // its columns, where they change
    this.rows = new Map(); // key -> {n, body, x: {column: value}}
    this.base = new Map(); // as of the last look
    this.history = loose ? [] : null; // what was sent since
    this.there = new Map();
    this.deaths = []; // keys that were deleted, the newest
  }

  apply(changes) {
    applyTo(this.rows, changes);
    for (const [key, row] of changes) if (row === null) this.deaths.push(key);
    if (this.deaths.length > DEATHS_MAX) this.deaths = this.deaths.slice(-DEATHS_MAX / 2);
  }

  /** Takes the rows read; what is wrong whatever was written. */
  look(rows) {
    const wrong = [];
    this.there = new Map();
    for (const row of rows) {
      if (this.there.has(row.id)) wrong.push(`${this.name}: row ${row.id} is there twice`);
      if (!row.body.startsWith(`${this.canary} `)) wrong.push(`${this.name}: row ${row.id} is of another: ${row.body.slice(0, 40)}`);
      this.there.set(row.id, row);
    }
    return wrong;
  }

  isThere(key, want) {
    const got = this.there.get(key);
    if (!want || !got) return !want && !got;
    return got.n === want.n && got.body === want.body && !(this.shape?.differs(got, want));
  }

  describe(key, want) {
    const got = this.there.get(key);
    if (!got) return `${this.name}: acknowledged row ${key} is lost`;
    if (!want) return `${this.name}: row ${key} (n=${got.n}) is there but was deleted or never written`;
    const column = this.shape?.differs(got, want);
    if (got.n === want.n && column) return `${this.name}: row ${key}: ${column}`;
    const text = ({ n, body }) => `n=${n} '${body.slice(0, 30)}'`;
    return `${this.name}: row ${key} is ${text(got)}, acknowledged was ${text(want)}`;
  }

  compare() {
    const keys = new Set([...this.rows.keys(), ...this.there.keys()]);
    return [...keys].filter((key) => !this.isThere(key, this.rows.get(key)))
      .map((key) => this.describe(key, this.rows.get(key)));
  }

  /** A loose table: what is there is the state after a prefix, with all that had to be on disk by `synced`. */
  settlePrefix(synced) {
    const state = new Map(this.base);
    const different = new Set([...state.keys(), ...this.there.keys()].filter((key) => !this.isThere(key, state.get(key))));
    const due = this.history.findLastIndex(({ effect }) => effect.acknowledged && effect.acknowledged < synced) + 1;
    let found = different.size === 0 ? 0 : -1;
    let missing = null; // the state when all that is due has happened
    for (let i = 0; i <= this.history.length; i++) {
      if (i > 0) {
        applyTo(state, this.history[i - 1].changes);
        for (const key of this.history[i - 1].changes.keys()) {
          if (this.isThere(key, state.get(key))) different.delete(key);
          else different.add(key);
        }
      }
      if (different.size === 0) found = i;
      if (i === due) missing = [...different].slice(0, LIST_MAX).map((key) => this.describe(key, state.get(key)));
    }
    const sent = this.history.length;
    this.history = [];
    this.rows = new Map([...this.there].map(([key, row]) => [key, { n: row.n, body: row.body, x: {} }]));
    this.base = new Map(this.rows);
    if (found >= due) return [];
    const where = found < 0 ? 'is the state after no prefix of them' : `ends after ${found}`;
    return [`${this.name}: of ${sent} loose requests ${due} are on disk, what is there ${where}`, ...missing];
  }
}

function applyTo(rows, changes) {
  for (const [key, row] of changes) {
    if (row === null) rows.delete(key);
    else rows.set(key, row);
  }
}

const EPOCH_MS = Date.UTC(2024, 0, 1);

/** The moment a seq was given out. */
export function seqTimeMs(seq) {
  return Number(BigInt(seq) >> 22n) + EPOCH_MS;
}

/** Rows that expire: never twice, never another's, never past their time, never again once they were gone. */
export class TickModel {
  constructor(name, canary, ttlMs) {
    this.name = name;
    this.canary = canary;
    this.ttlMs = ttlMs;
    this.nextKey = 1;
    this.sent = new Map(); // key -> {sentMs, acknowledged: clock of the ledger or 0}
    this.gone = new Set();
  }

  look(rows, beganMs, endedMs, durable) {
    const wrong = [];
    const there = new Set();
    for (const row of rows) {
      if (there.has(row.id)) wrong.push(`stream row ${row.id} is doubled`);
      if (!row.body.startsWith(`${this.canary} `)) wrong.push(`stream row ${row.id} is of another: ${row.body}`);
      if (this.gone.has(row.id)) wrong.push(`stream row ${row.id} was gone and is back`);
      if (seqTimeMs(row._seq) + this.ttlMs < beganMs) wrong.push(`stream row ${row.id} has expired and is shown`);
      there.add(row.id);
    }
    for (const [key, { sentMs, acknowledged }] of this.sent) {
      if (there.has(key)) continue;
      const isDue = acknowledged && acknowledged < durable && sentMs + this.ttlMs > endedMs;
      if (isDue) wrong.push(`acknowledged stream row ${key} is lost before its time`);
      this.gone.add(key);
      this.sent.delete(key);
    }
    return wrong.map((text) => `${this.name}: ${text}`);
  }
}

/** A small generator with a seed, so that a run's choices can be repeated (mulberry32). */
export class Random {
  constructor(seed) {
    this.state = seed >>> 0;
  }

  next() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  /** An integer of [0, n). */
  below(n) {
    return Math.floor(this.next() * n);
  }

  pick(list) {
    return list[this.below(list.length)];
  }

  /** A generator of its own, for something that draws while others do. */
  split() {
    return new Random(this.below(2 ** 31));
  }
}
