// SPDX-License-Identifier: Apache-2.0
//
// Bytes over a plain socket, for what no well-behaved client sends.

import crypto from 'node:crypto';
import net from 'node:net';

/** Sends bytes and collects what comes back until the server closes, `isAll(text)`, or `limitMs` has passed: less than
 * the ten seconds after which it closes whatever does not come to an end. */
export function exchange(server, bytes, { limitMs = 9000, end = false, isAll = () => false } = {}) {
  return new Promise((resolve) => {
    const chunks = [];
    const socket = net.connect(server.port, '127.0.0.1');
    const done = (how) => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ text: Buffer.concat(chunks).toString('latin1'), how });
    };
    const timer = setTimeout(() => done('open'), limitMs);
    socket.on('connect', () => {
      socket.write(bytes);
      if (end) socket.end();
    });
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      if (isAll(Buffer.concat(chunks).toString('latin1'))) done('open');
    });
    socket.on('error', () => done('reset'));
    socket.on('close', () => done('closed'));
  });
}

/** The status of the first answer in a text, or 0. */
export function statusOf(text) {
  return Number(/^HTTP\/1\.[01] (\d{3})/.exec(text)?.[1] ?? 0);
}

export function upgrade(query = '', headers = '') {
  const key = crypto.randomBytes(16).toString('base64');
  return `GET /v1/ws${query} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
    `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n${headers}\r\n`;
}

/** One client frame; the fields let a test break the rules. */
export function frame(payload, { opcode = 1, fin = 1, rsv = 0, mask = true, length } = {}) {
  const body = Buffer.from(payload);
  const n = length ?? body.length;
  const head = [(fin << 7) | (rsv << 4) | opcode];
  const bit = mask ? 0x80 : 0;
  if (n < 126) head.push(bit | n);
  else if (n < 65536) head.push(bit | 126, n >> 8, n & 255);
  else {
    head.push(bit | 127);
    for (let shift = 56n; shift >= 0n; shift -= 8n) head.push(Number((BigInt(n) >> shift) & 255n));
  }
  if (!mask) return Buffer.concat([Buffer.from(head), body]);
  const key = crypto.randomBytes(4);
  return Buffer.concat([Buffer.from(head), key, body.map((byte, i) => byte ^ key[i & 3])]);
}

/** Opens a WebSocket by hand, sends frames, returns {code, reason, closed} of how it ended. */
export async function socketEnd(server, frames, options) {
  const { text, how } = await exchange(server, Buffer.concat([Buffer.from(upgrade()), ...frames]), options);
  const body = text.slice(text.indexOf('\r\n\r\n') + 4);
  const bytes = Buffer.from(body, 'latin1');
  for (let at = 0; at + 2 <= bytes.length;) {
    const opcode = bytes[at] & 15;
    let n = bytes[at + 1] & 127;
    let head = 2;
    if (n === 126) {
      n = bytes.readUInt16BE(at + 2);
      head = 4;
    }
    if (opcode === 8) {
      return { upgraded: statusOf(text) === 101, how, code: n >= 2 ? bytes.readUInt16BE(at + head) : 1005,
        reason: bytes.subarray(at + head + 2, at + head + n).toString() };
    }
    at += head + n;
  }
  return { upgraded: statusOf(text) === 101, how, code: null };
}
