// SPDX-License-Identifier: Apache-2.0
//
// What must be in one partition after a crash, known from what was acknowledged. Writers own disjoint
// keys and have one statement out at a time, so every statement's effect is known when it is sent:
//   acknowledged  -> all of its effect is there;
//   no answer     -> all of it or nothing (settle() finds out which, and that is the truth from then on);
//   refused       -> nothing of it.

export class Model {
  constructor(name, canary) {
    this.name = name;
    this.canary = canary; // stands in every row of this partition and in no other
    this.rows = new Map(); // key -> {n, body}
    this.unanswered = new Set(); // effects: Map key -> {n, body} or null (deleted)
    this.statements = 0;
  }

  begin(effect) {
    this.unanswered.add(effect);
    this.statements++;
    return effect;
  }

  acknowledged(effect) {
    this.unanswered.delete(effect);
    this.apply(effect);
  }

  refused(effect) {
    this.unanswered.delete(effect);
  }

  apply(effect) {
    for (const [key, row] of effect) {
      if (row === null) this.rows.delete(key);
      else this.rows.set(key, row);
    }
  }

  /** Compares with the rows read after a restart ({id, n, body}); returns what is wrong. */
  settle(read) {
    const wrong = [];
    const there = new Map();
    for (const row of read) {
      const key = Number(row.id);
      if (there.has(key)) wrong.push(`row ${key} is there twice`);
      if (!row.body.startsWith(`${this.canary} `)) wrong.push(`row ${key} is of another: ${row.body.slice(0, 40)}`);
      there.set(key, row);
    }
    const isAs = (key, want) => {
      const got = there.get(key);
      return want ? Boolean(got) && got.n === want.n && got.body === want.body : !got;
    };
    for (const effect of this.unanswered) {
      const done = [...effect].filter(([key, row]) => isAs(key, row)).length;
      const undone = [...effect.keys()].filter((key) => isAs(key, this.rows.get(key))).length;
      if (done === effect.size) this.apply(effect);
      else if (undone !== effect.size) {
        wrong.push(`an unanswered statement on ${[...effect.keys()].slice(0, 5)}… is half applied: ${done} of ${effect.size}`);
        for (const key of effect.keys()) this.rows.delete(key); // said once
      }
    }
    const half = wrong.length > 0 ? new Set([...this.unanswered].flatMap((effect) => [...effect.keys()])) : new Set();
    this.unanswered.clear();
    for (const [key, row] of this.rows) {
      const got = there.get(key);
      if (!got) wrong.push(`acknowledged row ${key} is lost`);
      else if (got.n !== row.n || got.body !== row.body) {
        wrong.push(`row ${key} is n=${got.n} '${got.body.slice(0, 30)}', acknowledged was n=${row.n} '${row.body.slice(0, 30)}'`);
      }
    }
    for (const key of there.keys()) {
      if (!this.rows.has(key) && !half.has(key)) wrong.push(`row ${key} is there but was deleted or never written`);
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
}
