// SPDX-License-Identifier: Apache-2.0
//
// The smallest Parquet writer there is, for the exports of the stand-in of mock.mjs: one row group, three required
// columns (id INT64, n INT32, body UTF8), one plain, uncompressed page each. What it writes is read by a reader that is not ours.

import fs from 'node:fs';

const MAGIC = Buffer.from('PAR1');
const [INT32, INT64, BYTE_ARRAY] = [1, 2, 6];
const [T_I32, T_I64, T_BINARY, T_LIST, T_STRUCT] = [5, 6, 8, 9, 12]; // of Thrift's compact protocol

function varint(value) {
  const bytes = [];
  for (let rest = BigInt(value); ; rest >>= 7n) {
    if (rest < 128n) return Buffer.from([...bytes, Number(rest)]);
    bytes.push(Number(rest & 127n) | 128);
  }
}

const number = (value) => varint(BigInt(value) * 2n); // zigzag; none here is negative
const text = (value) => Buffer.concat([varint(Buffer.byteLength(value)), Buffer.from(value)]);
const list = (type, items) => Buffer.concat([Buffer.from([0xf0 | type]), varint(items.length), ...items]);

/** fields: [id, type, bytes], ids rising. */
function struct(...fields) {
  const parts = fields.flatMap(([id, type, bytes], i) => [Buffer.from([((id - (i ? fields[i - 1][0] : 0)) << 4) | type]), bytes]);
  return Buffer.concat([...parts, Buffer.from([0])]);
}

function page(values) {
  const bytes = Buffer.concat(values);
  const [PLAIN, RLE] = [0, 3];
  const data = struct([1, T_I32, number(values.length)], [2, T_I32, number(PLAIN)], [3, T_I32, number(RLE)], [4, T_I32, number(RLE)]);
  const header = struct([1, T_I32, number(0)], [2, T_I32, number(bytes.length)], [3, T_I32, number(bytes.length)], [5, T_STRUCT, data]);
  return Buffer.concat([header, bytes]);
}

const COLUMNS = [
  ['id', INT64, ({ id }) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(id));
    return bytes;
  }],
  ['n', INT32, ({ n }) => {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32LE(n);
    return bytes;
  }],
  ['body', BYTE_ARRAY, ({ body }) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(Buffer.byteLength(body));
    return Buffer.concat([bytes, Buffer.from(body)]);
  }],
];

/** rows: [{id, n, body}], one at least. */
export function writeParquet(file, rows) {
  const root = struct([4, T_BINARY, text('schema')], [5, T_I32, number(COLUMNS.length)]);
  const [REQUIRED, UTF8] = [0, 0];
  const schema = COLUMNS.map(([name, type]) => struct([1, T_I32, number(type)], [3, T_I32, number(REQUIRED)], [4, T_BINARY, text(name)],
    ...(type === BYTE_ARRAY ? [[6, T_I32, number(UTF8)]] : [])));
  const parts = [MAGIC];
  let at = MAGIC.length;
  const chunks = COLUMNS.map(([name, type, bytesOf]) => {
    const bytes = page(rows.map(bytesOf));
    const offset = [T_I64, number(at)];
    const size = number(bytes.length);
    parts.push(bytes);
    at += bytes.length;
    const meta = struct([1, T_I32, number(type)], [2, T_LIST, list(T_I32, [number(0)])], [3, T_LIST, list(T_BINARY, [text(name)])],
      [4, T_I32, number(0)], [5, T_I64, number(rows.length)], [6, T_I64, size], [7, T_I64, size], [9, ...offset]);
    return struct([2, ...offset], [3, T_STRUCT, meta]);
  });
  const group = struct([1, T_LIST, list(T_STRUCT, chunks)], [2, T_I64, number(at)], [3, T_I64, number(rows.length)]);
  const footer = struct([1, T_I32, number(1)], [2, T_LIST, list(T_STRUCT, [root, ...schema])], [3, T_I64, number(rows.length)],
    [4, T_LIST, list(T_STRUCT, [group])]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(footer.length);
  fs.writeFileSync(file, Buffer.concat([...parts, footer, length, MAGIC]));
}
