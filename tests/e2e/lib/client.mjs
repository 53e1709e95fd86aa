// SPDX-License-Identifier: Apache-2.0
//
// The HTTP client of the suites: one JSON request and its answer, nothing retried, nothing hidden.
// A Client is a session: a server, a user, a token.

import crypto from 'node:crypto';
import http from 'node:http';
import { JWT_SECRET, ROOT_PASSWORD } from './server.mjs';

const REQUEST_LIMIT_MS = 30000;

/** One request. body: string, Buffer or undefined. Returns {status, headers, text, json}. */
export function request(server, method, target, { headers = {}, body, agent } = {}) {
  return new Promise((resolve, reject) => {
    const bytes = body === undefined ? undefined : Buffer.from(body);
    const req = http.request({
      host: '127.0.0.1', port: server.port, method, path: target,
      agent: agent === undefined ? server.agent : agent,
      headers: { ...(bytes ? { 'content-length': bytes.length } : {}), ...headers },
    }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.once('error', reject);
      response.once('aborted', () => reject(new Error('the answer was cut off')));
      response.once('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        let json;
        try {
          json = JSON.parse(text);
        } catch { /* not JSON: the test sees json undefined */ }
        resolve({ status: response.statusCode, headers: response.headers, text, json });
      });
    });
    req.setTimeout(REQUEST_LIMIT_MS, () => req.destroy(new Error(`${method} ${target}: no answer`)));
    req.once('error', reject);
    req.end(bytes);
  });
}

export function post(server, target, value, headers = {}) {
  return request(server, 'POST', target, {
    headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(value),
  });
}

export class SqlError extends Error {
  constructor(answer, sql) {
    const error = answer.json?.error;
    super(`${answer.status} ${error?.code}: ${error?.message ?? answer.text.slice(0, 300)} [${
      sql.slice(0, 200)}]`);
    this.status = answer.status;
    this.code = error?.code;
    this.answer = answer;
  }
}

export class Client {
  constructor(server, user, token) {
    this.server = server;
    this.user = user;
    this.token = token;
  }

  get bearer() {
    return { authorization: `Bearer ${this.token}` };
  }

  /** The whole answer of POST /v1/api/sql, whatever its status. */
  raw(sql, params, extra = {}, route = '/v1/api/sql') {
    const body = { sql, ...(params ? { params } : {}), ...extra };
    return post(this.server, route, body, this.bearer);
  }

  /** All results of a request that must succeed. */
  async results(sql, params, extra) {
    const answer = await this.raw(sql, params, extra);
    if (answer.status !== 200 || answer.json?.status !== 'success') throw new SqlError(answer, sql);
    return answer.json.results;
  }

  /** The first result of a request that must succeed. */
  async run(sql, params, extra) {
    return (await this.results(sql, params, extra))[0];
  }

  /** Rows as objects {column: cell}. */
  async rows(sql, params, extra) {
    const result = await this.run(sql, params, extra);
    return result.rows.map((row) =>
      Object.fromEntries(result.schema.map((column, i) => [column.name, row[i]])));
  }

  /** The error a request must end with: {status, code, message}. */
  async error(sql, params, extra) {
    const answer = await this.raw(sql, params, extra);
    if (answer.json?.status !== 'error') {
      throw new Error(`succeeded but should not: ${sql.slice(0, 200)}: ${
        answer.text.slice(0, 300)}`);
    }
    return { status: answer.status, ...answer.json.error };
  }
}

export async function login(server, user, password) {
  const answer = await post(server, '/v1/api/auth/login', { user, password });
  if (answer.status !== 200) {
    throw new Error(`login of ${user}: ${answer.status} ${answer.text.slice(0, 300)}`);
  }
  return new Client(server, user, answer.json.access_token);
}

export function loginRoot(server) {
  return login(server, 'root', ROOT_PASSWORD);
}

/** Creates a user through root and logs in. */
export async function newUser(root, name, role = 'user', password = `pw-of-${role}-123`) {
  await root.run(`CREATE USER '${name.replaceAll("'", "''")}' WITH PASSWORD '${password}' ROLE ${role}`);
  return login(root.server, name, password);
}

/** A token that the server takes for its own. */
export function signToken(user, expiresInS) {
  const now = Math.floor(Date.now() / 1000);
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const body = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub: user, iss: 'kalamdb', role: 'user',
    token_type: 'access', iat: now - 1000, exp: now + expiresInS })}`;
  return `${body}.${crypto.createHmac('sha256', JWT_SECRET).update(body).digest('base64url')}`;
}
