// SPDX-License-Identifier: Apache-2.0
//
// One request of the load: its moment may be the one that the crash waits for.

/** Answers that say "nothing was done, ask again". */
const RETRY = new Set([409, 429, 503]);

/** What else says so while the disk refuses to write. */
const REFUSED = new Set(['STORAGE_ERROR', 'DISK_FULL']);

/** Whether an answer says that nothing was done. */
export function isRefused(answer, stop) {
  return RETRY.has(answer.status) || (Boolean(stop.diskFails) && REFUSED.has(answer.json?.error?.code));
}

export function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** The answer, or null when there is none or its outcome is unknown. */
export async function send(client, sql, stop) {
  stop.saw?.(sql);
  try {
    const answer = await client.raw(sql);
    return answer.json?.error?.code === 'OUTCOME_UNKNOWN' ? null : answer;
  } catch {
    return null;
  }
}
