// SPDX-License-Identifier: Apache-2.0
//
// The WebSocket client of the suites. Messages wait in one inbox, in arrival order; a test takes the
// next one of a subscription and says what it must be, so a message too many is seen by whoever takes
// the next. "Nothing arrives" is proved by a fence: something later that must arrive first.
// Cursors are decimal strings here: a JavaScript number cannot hold them.

import zlib from 'node:zlib';
import WebSocket from 'ws';

export const WAIT_LIMIT_MS = 50000;

export class Live {
  /** options: token (in-band authentication), headers, compress (false adds ?compress=false). */
  static async open(server, options = {}) {
    const live = new Live(server, options);
    await live.opened;
    if (options.token) await live.authenticate(options.token, options.protocol);
    return live;
  }

  constructor(server, options = {}) {
    const query = options.query ?? (options.compress === false ? '?compress=false' : '');
    this.inbox = [];
    this.frames = [];
    this.waiting = [];
    this.listeners = new Map(); // subscription id -> function that takes its messages
    this.closed = null;
    this.socket = new WebSocket(`ws://127.0.0.1:${server.port}/v1/ws${query}`, {
      headers: options.headers, perMessageDeflate: false, handshakeTimeout: WAIT_LIMIT_MS,
    });
    this.opened = new Promise((resolve, reject) => {
      this.socket.once('open', resolve);
      this.socket.once('error', reject);
    });
    this.ended = new Promise((resolve) => {
      this.socket.once('close', (code, reason) => {
        this.closed = { code, reason: reason.toString() };
        resolve(this.closed);
        for (const waiter of this.waiting.splice(0)) waiter.fail();
      });
    });
    this.socket.on('error', () => {});
    this.socket.on('message', (data, isBinary) => this.arrived(data, isBinary));
  }

  arrived(data, isBinary) {
    const gzip = isBinary && data[0] === 0x1f && data[1] === 0x8b;
    const text = (gzip ? zlib.gunzipSync(data) : data).toString('utf8');
    // A number of this size would be rounded, so it becomes a string before it is parsed.
    const exact = text.replace(/"last_seq_id":\s*(\d+)/g, '"last_seq_id":"$1"');
    const message = JSON.parse(exact);
    Object.defineProperty(message, 'frame', {
      value: { binary: isBinary, gzip, wireBytes: data.length, text },
    });
    const listener = this.listeners.get(message.subscription_id);
    if (listener) {
      listener(message);
      return;
    }
    this.inbox.push(message);
    for (let i = 0; i < this.waiting.length; i++) {
      const waiter = this.waiting[i];
      if (waiter.wants(message)) {
        this.waiting.splice(i, 1);
        this.inbox.splice(this.inbox.indexOf(message), 1);
        waiter.take(message);
        return;
      }
    }
  }

  /** The oldest message not yet taken that `wants` accepts (any by default), now or within the limit. */
  next(wants = () => true, what = 'a message', limitMs = WAIT_LIMIT_MS) {
    const at = this.inbox.findIndex(wants);
    if (at >= 0) return Promise.resolve(this.inbox.splice(at, 1)[0]);
    if (this.closed) return Promise.reject(this.lost(what));
    return new Promise((resolve, reject) => {
      const waiter = {
        wants,
        take: (message) => {
          clearTimeout(timer);
          resolve(message);
        },
        fail: () => {
          clearTimeout(timer);
          reject(this.lost(what));
        },
      };
      const timer = setTimeout(() => {
        this.waiting.splice(this.waiting.indexOf(waiter), 1);
        reject(new Error(`waited ${limitMs} ms for ${what}; not taken: ${
          JSON.stringify(this.inbox).slice(0, 800)}`));
      }, limitMs);
      this.waiting.push(waiter);
    });
  }

  lost(what) {
    return new Error(`the socket closed (${JSON.stringify(this.closed)}) while waiting for ${what}`);
  }

  /** The next message of one subscription, of whatever type; it must have the type `type`. */
  async expect(type, id) {
    const message = await this.next(
      (m) => id === undefined || m.subscription_id === id, `${type} of ${id ?? 'the connection'}`);
    if (message.type !== type) {
      throw new Error(`wanted ${type} of ${id}, got ${JSON.stringify(message).slice(0, 800)}`);
    }
    return message;
  }

  async expectChange(changeType, id) {
    const message = await this.expect('change', id);
    if (message.change_type !== changeType) {
      throw new Error(`wanted ${changeType} of ${id}, got ${JSON.stringify(message).slice(0, 800)}`);
    }
    return message;
  }

  sendText(text) {
    this.socket.send(text);
  }

  send(value) {
    this.socket.send(JSON.stringify(value));
  }

  async authenticate(token, protocol = { serialization: 'json', compression: 'gzip' }) {
    this.send({ type: 'authenticate', method: 'jwt', token, protocol });
    const answer = await this.next((m) => m.type === 'auth_success' || m.type === 'auth_error',
      'the answer to authenticate');
    if (answer.type !== 'auth_success') throw new Error(JSON.stringify(answer));
    return answer;
  }

  /** Sends subscribe. options.from is a decimal string, sent as a number unless fromAsString. */
  subscribe(id, sql, options, fromAsString = false) {
    let text = JSON.stringify({ type: 'subscribe', subscription: { id, sql, options } });
    if (options?.from !== undefined && !fromAsString) {
      text = text.replace(/"from":"(\d+)"/, '"from":$1');
    }
    this.sendText(text);
  }

  /** Subscribes and takes the ack and all first pages, with the deletes that a resume sends between
   * them: {ack, rows, pages, deletes, cursor}. */
  async subscribed(id, sql, options = {}, fromAsString = false) {
    this.subscribe(id, sql, options, fromAsString);
    const ack = await this.expect('subscription_ack', id);
    const pages = [];
    const rows = [];
    const deletes = [];
    if (options === null) return { ack, rows, pages, deletes, cursor: ack.batch_control.last_seq_id };
    for (;;) {
      const message = await this.next((m) => m.subscription_id === id, `the first rows of ${id}`);
      if (message.type === 'change' && message.change_type === 'delete' && options.from !== undefined) {
        deletes.push(message.old_values[0]);
        continue;
      }
      if (message.type !== 'initial_data_batch') {
        throw new Error(`wanted initial_data_batch of ${id}, got ${JSON.stringify(message).slice(0, 800)}`);
      }
      pages.push(message);
      rows.push(...message.rows);
      if (!message.batch_control.has_more) {
        return { ack, rows, pages, deletes, cursor: message.batch_control.last_seq_id };
      }
    }
  }

  async close() {
    if (this.closed) return this.closed;
    this.socket.close(1000);
    const timer = setTimeout(() => this.socket.terminate(), 3000);
    const end = await this.ended;
    clearTimeout(timer);
    return end;
  }

  /** Drops the connection without a closing handshake, as a lost network does. */
  async drop() {
    this.socket.terminate();
    return this.ended;
  }
}

/** The largest of decimal strings (or null). */
export function maxSeq(...seqs) {
  let max = null;
  for (const seq of seqs) {
    if (seq === null || seq === undefined) continue;
    if (max === null || BigInt(seq) > BigInt(max)) max = String(seq);
  }
  return max;
}

/** The version a change message stands for. */
export function seqOf(change) {
  return (change.rows?.[0] ?? change.old_values[0])._seq;
}
