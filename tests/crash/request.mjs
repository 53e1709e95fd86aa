// SPDX-License-Identifier: Apache-2.0
//
// One request of the load: its moment may be the one that the crash waits for.

/** Answers that say "nothing was done, ask again". */
export const RETRY = new Set([409, 429, 503]);

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
