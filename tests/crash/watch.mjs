// SPDX-License-Identifier: Apache-2.0
//
// What is being waited for. Every step of the run has a limit, and a run that is told to end (a limit of its
// caller, an interrupt) says where it stood: the step, the server's threads, the statements without an
// answer, the subscribers that are not ready, the server's last lines.

import { spawnSync } from 'node:child_process';
import fs from 'node:fs';

const LIST_MAX = 12;
const STACKS_LIMIT_MS = 20000;

export class Watch {
  constructor() {
    this.open = new Set(); // {user, sql, sinceMs} of requests without an answer
    this.at = 'the set-up';
    this.sinceMs = Date.now();
  }

  /** From here on the client's requests are watched. */
  observe(client) {
    const raw = client.raw.bind(client);
    client.raw = async (sql, ...more) => {
      const request = { user: client.user, sql, sinceMs: Date.now() };
      this.open.add(request);
      try {
        return await raw(sql, ...more);
      } finally {
        this.open.delete(request);
      }
    };
    return client;
  }

  /** The run is at this now. */
  goes(at) {
    this.at = at;
    this.sinceMs = Date.now();
  }

  /** Where it stands, as lines; `server` and `followers` may be missing. With stacks if there is a debugger. */
  tell(server, followers = [], withStacks = false) {
    const age = (sinceMs) => `${((Date.now() - sinceMs) / 1000).toFixed(1)} s`;
    const late = followers.filter((follower) => follower.joiningMs);
    return [
      `at ${this.at}, for ${age(this.sinceMs)}`,
      server ? `the server, pid ${server.child?.pid}, port ${server.port}: ${
        server.ended ? `ended with ${JSON.stringify(server.ended)}` : 'runs'}` : 'no server yet',
      ...[...this.open].slice(0, LIST_MAX).map(({ user, sql, sinceMs }) =>
        `no answer for ${age(sinceMs)}: ${user}: ${sql.replaceAll(/([xyz])\1{9,}/g, '$1…').slice(0, 300)}`),
      ...late.slice(0, LIST_MAX).map(({ id, cursor, joiningMs }) => `subscribes for ${age(joiningMs)}: ${id}, cursor ${cursor}`),
      ...server?.child && !server.ended ? threads(server.child.pid, withStacks) : [],
    ];
  }
}

/** Ends with an error when `act` takes longer; `tell` gives its lines. */
export async function limited(act, limitMs, tell) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(Object.assign(new Error('a step hangs'), {
      wrong: [`not done after ${limitMs / 1000} s`, ...tell()] })), limitMs);
  });
  const acting = act();
  acting.catch(() => {}); // it may fail later, when nobody waits any more
  try {
    return await Promise.race([acting, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The threads of a process: their stacks, or at least what they are and whether they run. */
function threads(pid, withStacks) {
  const stacks = withStacks ? spawnSync('gdb', ['-p', String(pid), '-batch', '-nx', '-ex', 'thread apply all bt 12'],
    { encoding: 'utf8', timeout: STACKS_LIMIT_MS }) : { status: 1 };
  if (stacks.status === 0) {
    return stacks.stdout.split('\n').filter((line) => /^(Thread |#)/.test(line))
      .map((line) => line.replace(/0x[0-9a-f]+ in /, '').replace(/ \(.*\)(?= at | from )/, '').slice(0, 120));
  }
  try {
    return fs.readdirSync(`/proc/${pid}/task`).map((tid) => {
      const read = (name) => fs.readFileSync(`/proc/${pid}/task/${tid}/${name}`, 'utf8').trim();
      return `thread ${tid} ${read('comm')}: ${/State:\s+(.*)/.exec(read('status'))?.[1]}, ${read('wchan')}`;
    });
  } catch (error) {
    return [`its threads: ${error.message}`];
  }
}
