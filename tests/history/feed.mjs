// SPDX-License-Identifier: Apache-2.0
//
// The recorded changes of all partitions as one sequence of versions: what every row was after each change. A place
// is an index of that sequence, "after the change at this index"; -1 is before all.

const numberOf = (seq) => BigInt(seq);

export class Feed {
  /** partitions: name → {events: [{kind, key, seq, row, old}], …}, each as its witness got it. */
  constructor(partitions) {
    this.wrong = []; // {rule, text, partition, at}
    this.versions = new Map(); // partition → key → [{at, row or null}]
    this.places = new Map(); // id of a transaction → places of changes that carry its token
    this.deaths = new Map(); // "partition|key|seq" of a version → place of the change that deleted the row
    this.owners = []; // place → transaction
    this.events = Object.entries(partitions).flatMap(([partition, { events }]) => {
      this.versions.set(partition, new Map());
      this.checkOrder(partition, events);
      return events.map((event) => ({ ...event, partition, number: numberOf(event.seq) }));
    });
    this.events.sort((x, y) => (x.number < y.number ? -1 : Number(x.number > y.number)));
    this.events.forEach((event, at) => this.add(event, at));
  }

  get last() {
    return this.events.length - 1;
  }

  describe(at) {
    const { partition, kind, key, seq } = this.events[at];
    return `the feed of ${partition}: ${kind} of row ${key} at ${seq}`;
  }

  complain(rule, at, text) {
    this.wrong.push({ rule, at, text: `${this.describe(at)}: ${text}` });
  }

  checkOrder(partition, events) {
    for (let i = 1; i < events.length; i++) {
      const [before, after] = [numberOf(events[i - 1].seq), numberOf(events[i].seq)];
      if (after > before) continue;
      const text = `the feed of ${partition}: ${events[i].kind} of row ${events[i].key} at ${after} comes after ${before}`;
      this.wrong.push({ rule: after === before ? 'a change twice' : 'disorder', text });
    }
  }

  add(event, at) {
    const { partition, kind, key, row, old } = event;
    if (at && this.events[at - 1].number === event.number && this.events[at - 1].partition !== partition) {
      this.complain('a seq twice', at, 'another has it too');
    }
    const list = this.versions.get(partition).get(key) ?? [];
    this.versions.get(partition).set(key, list);
    const before = list.at(-1)?.row ?? null;
    if (kind === 'insert' && before) this.complain('an insert of a row that is there', at, `it is ${before.v}`);
    if (kind !== 'insert' && !before) {
      this.complain('a change of a row that is not there', at, list.length ? 'it was deleted before' : 'it never was');
    }
    if (kind !== 'insert' && before) this.checkOld(event, at, before, old);
    list.push({ at, row: kind === 'delete' ? null : row });
    if (kind === 'delete' && before) this.deaths.set(`${partition}|${key}|${before.seq}`, at);
    if (row) this.own(writerOf(row.v), at);
  }

  checkOld({ kind }, at, before, old) {
    if (old.v !== undefined && old.v !== before.v) {
      this.complain('a change lost from the feed', at, `what it replaces is told as ${old.v}, was ${before.v}`);
    }
    if (kind === 'update' && old.seq !== before.seq) {
      this.complain('a change lost from the feed', at, `the seq it replaces is told as ${old.seq}, was ${before.seq}`);
    }
  }

  own(id, at) {
    if (!this.places.has(id)) this.places.set(id, []);
    this.places.get(id).push(at);
  }

  /** The newest place whose seq is not above this. */
  placeOf(seq) {
    const wanted = numberOf(seq);
    return countWhere(this.events, (event) => event.number <= wanted) - 1;
  }

  versionsOf(partition, key) {
    return this.versions.get(partition)?.get(key) ?? [];
  }

  rowAt(partition, key, place) {
    const list = this.versionsOf(partition, key);
    return list[countWhere(list, (version) => version.at <= place) - 1]?.row ?? null;
  }

  /** Map of key to row. */
  rowsAt(partition, place) {
    const rows = new Map();
    for (const key of this.versions.get(partition)?.keys() ?? []) {
      const row = this.rowAt(partition, key, place);
      if (row) rows.set(key, row);
    }
    return rows;
  }

  /** The place between two, both excluded, that changed the row, or -1. */
  changedBetween(partition, key, after, before) {
    return this.versionsOf(partition, key).find(({ at }) => at > after && at < before)?.at ?? -1;
  }

  /** Whether a commit goes on behind this place. */
  isInsideCommit(place) {
    return place >= 0 && place < this.last && this.owners[place] !== undefined && this.owners[place] === this.owners[place + 1];
  }
}

/** Of how many elements it `holds`, in a list where it holds up to some element. */
export function countWhere(list, holds) {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(list[middle])) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The id of the transaction that wrote a value: the last token's, `T17` of `T3.0,T17.2`. */
export function writerOf(value) {
  return value.slice(value.lastIndexOf(',') + 1).split('.')[0];
}

/** All whole tokens of a text. */
export function tokensOf(text) {
  return text.match(/\bT\d+\.\d+\b/g) ?? [];
}
