// SPDX-License-Identifier: Apache-2.0
//
// A namespace that is backed up, restored beside itself and dropped again, and users who export what they have, under
// crashes. Nobody else writes there, so what a backup must hold is what was read just before it:
//   a job that completed   -> a restore gives exactly those rows, `_seq` by `_seq`, each to its user;
//   one that was cut       -> the backup is refused or gives exactly those rows, the restored namespace is whole or not there;
//   a drop                 -> all of its tables are gone, or none if it was refused.

import fs from 'node:fs';
import path from 'node:path';
import { parquetRows } from '../e2e/lib/parquet.mjs';
import { isRefused, pause, send } from './request.mjs';

/** What the restored namespace may be after a crash. */
const AFTER = { none: ['none'], coming: ['none', 'there'], there: ['there'], leaving: ['there', 'none'] };

export class Vault {
  /** writers: one for each user, of vault.t and nothing else. */
  constructor(folder, random, writers) {
    Object.assign(this, { folder, random, writers });
    this.backup = null; // {name, rows, isSure}
    this.copy = { state: 'none', rows: null };
    this.count = 0;
    this.exported = new Set();
    this.wrong = [];
  }

  async run(stop) {
    while (!stop.now) {
      await pause(20 + this.random.below(300));
      for (let i = this.random.below(4); i >= 0; i--) {
        if (stop.now || !await this.random.pick(this.writers).step(stop)) return;
      }
      const dice = this.random.below(6);
      if (stop.now) return;
      if (dice === 0 && !stop.diskFails) await this.export(stop);
      else if (dice < 3 && this.copy.state === 'there') await this.drop(stop);
      else if (dice < 5 && this.copy.state === 'none' && this.backup) await this.restore(stop);
      else if (dice > 1) await this.backUp(stop);
    }
  }

  /** What each user has in a namespace: rows as texts; null if it is not there, undefined if nobody says. */
  async read(space) {
    const all = [];
    for (const { client } of this.writers) {
      const answer = await client.raw(`SELECT id, n, body, _seq FROM ${space}.t ORDER BY id`).catch(() => null);
      if (answer?.status === 400 && /not found|not exist/i.test(answer.text)) return null;
      if (answer?.status !== 200) return undefined;
      all.push(answer.json.results[0].rows.map((row) => JSON.stringify(row)));
    }
    return all;
  }

  /** Whether a table is there; undefined if nobody says. */
  async has(table) {
    const answer = await this.writers[0].client.raw(`SELECT id FROM ${table} LIMIT 1`).catch(() => null);
    if (answer?.status === 400 && /not found|not exist/i.test(answer.text)) return false;
    return answer?.status === 200 ? true : undefined;
  }

  /** Asks for a job and waits for its end: {id, status, message}; null if nobody knows, or 'refused', with what `expected` matches too. */
  async job(client, sql, stop, expected = null) {
    const answer = await send(client, sql, stop);
    if (!answer) return null;
    if (answer.status !== 200) {
      if (!isRefused(answer, stop) && !expected?.test(answer.text)) this.wrong.push(`${answer.status} ${answer.text.slice(0, 200)} for ${sql}`);
      return 'refused';
    }
    const id = /Job ID: (\S+)/.exec(answer.json.results[0].message)[1];
    for (;;) {
      const told = await this.folder.root.raw(`SELECT status, message FROM system.jobs WHERE job_id = '${id}'`).catch(() => null);
      if (!told) return null;
      const [status, message] = told.json?.results?.[0]?.rows?.[0] ?? [];
      if (status && !['queued', 'running'].includes(status)) return { id, status, message };
      await pause(20);
    }
  }

  async backUp(stop) {
    const rows = await this.read('vault');
    if (!rows) return;
    if (this.backup) fs.rmSync(path.join(this.folder.home, 'backups', this.backup.name), { recursive: true, force: true });
    const backup = { name: `b${++this.count}`, rows, isSure: false };
    this.backup = backup;
    const job = await this.job(this.folder.root, `BACKUP DATABASE vault TO '${backup.name}'`, stop);
    if (!job) return;
    backup.isSure = job.status === 'completed';
    if (!backup.isSure) this.backup = null;
    if (job.status === 'failed' && !stop.diskFails) this.wrong.push(`backup ${backup.name} failed: ${job.message}`);
  }

  async restore(stop) {
    const { name, rows, isSure } = this.backup;
    this.copy = { state: 'coming', rows };
    const job = await this.job(this.folder.root, `RESTORE DATABASE copy FROM '${name}'`, stop, isSure ? null : /There is no backup|is no complete backup/);
    if (!job || (stop.diskFails && job.status === 'failed')) return; // it is there or not
    this.copy.state = job.status === 'completed' ? 'there' : 'none';
    if (job === 'refused' && !isSure) this.backup = null; // a crash or a bad disk left nothing of it
    if (job.status !== 'failed') return;
    if (isSure) this.wrong.push(`the restore of ${name} failed: ${job.message}`);
    else this.backup = null;
  }

  async drop(stop) {
    this.copy.state = 'leaving';
    const sql = 'DROP NAMESPACE copy CASCADE';
    const answer = await send(this.folder.root, sql, stop);
    if (!answer) return;
    this.copy.state = answer.status === 200 ? 'none' : 'there';
    if (answer.status !== 200 && !isRefused(answer, stop)) this.wrong.push(`${answer.status} ${answer.text.slice(0, 200)} for ${sql}`);
  }

  /** Once for each user. */
  async export(stop) {
    const at = this.writers.findIndex(({ client }) => !this.exported.has(client));
    const rows = at < 0 ? null : await this.read('vault');
    if (!rows) return;
    const { client, targets } = this.writers[at];
    const shown = await client.raw('SHOW EXPORT').catch(() => null);
    // One that a crash left without an answer has what was there then, and is given again.
    const isKnown = !shown?.json?.results?.[0]?.rows?.some((row) => row.includes('completed'));
    const job = await this.job(client, 'EXPORT USER DATA', stop);
    if (!job || job === 'refused') return;
    this.exported.add(client);
    if (job.status !== 'completed') {
      this.wrong.push(`the export of ${client.user} failed: ${job.message}`);
      return;
    }
    const exports = path.join(this.folder.dir, 'exports');
    const [home] = fs.readdirSync(exports).map((user) => path.join(exports, user, job.id)).filter((one) => fs.existsSync(one));
    for (const file of fs.readdirSync(home).filter((name) => name.endsWith('.parquet'))) {
      const found = await parquetRows(path.join(home, file));
      this.wrong.push(...exportDiffers(`the export of ${client.user}, ${file}`, targets[0].model.canary, found,
        isKnown && file === 'vault.t.parquet' ? rows[at] : null));
    }
    if (isKnown && rows[at].length && !fs.existsSync(path.join(home, 'vault.t.parquet'))) this.wrong.push(`the export of ${client.user} has no vault.t`);
  }

  /** After a restart. */
  async check() {
    const { state, rows } = this.copy;
    const found = await this.read('copy');
    const hasMore = await this.has('copy.more');
    if (found === undefined || hasMore === undefined) return ['nobody says whether the restored namespace is there'];
    const now = found ? 'there' : 'none';
    const wrong = [...this.wrong.splice(0), ...AFTER[state].includes(now) ? [] : [`the restored namespace is ${now}, was ${state}`],
      ...hasMore === Boolean(found) ? [] : [`half of the restored namespace is there: ${found ? 'copy.t' : 'copy.more'}`]];
    if (found && rows) {
      this.writers.forEach(({ client }, i) => wrong.push(...listsDiffer(`restored rows of ${client.user}`, found[i], rows[i])));
    }
    this.copy.state = now;
    return wrong;
  }
}

function listsDiffer(what, found, want) {
  const [has, must] = [new Set(found), new Set(want)];
  const less = want.filter((row) => !has.has(row));
  const more = found.filter((row) => !must.has(row));
  const doubled = found.length - has.size;
  if (less.length + more.length + doubled === 0) return [];
  return [`${what}: ${less.length} are missing, ${more.length} are more, ${doubled} are doubled: ${[...less, ...more].slice(0, 3).join().slice(0, 300)}`];
}

/** rows: what the file must hold, if that is known. */
export function exportDiffers(what, canary, found, rows) {
  const strange = found.filter(({ body }) => !body.startsWith(`${canary} `));
  const wrong = strange.slice(0, 3).map(({ id, body }) => `${what}: row ${id} is of another: ${body.slice(0, 40)}`);
  const bare = (id, n, body) => JSON.stringify([String(id), Number(n), body]);
  const want = rows?.map((row) => JSON.parse(row)).map(([id, n, body]) => bare(id, n, body));
  if (want) wrong.push(...listsDiffer(what, found.map(({ id, n, body }) => bare(id, n, body)), want));
  return wrong;
}
