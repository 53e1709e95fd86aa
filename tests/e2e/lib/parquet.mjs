// SPDX-License-Identifier: Apache-2.0
//
// Parquet files read by a reader that is not ours.

import fs from 'node:fs';
import { parquetReadObjects } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';

/** The rows of a file as objects. */
export function parquetRows(file) {
  const bytes = fs.readFileSync(file);
  return parquetReadObjects({ file: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length), compressors });
}
