/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of a subscription.
 *
 *     NEW ──────────────────────────────┐ (no first rows asked for)
 *      │                                ▼
 *      └─> LOADING <──> CATCHING_UP <──> LIVE
 *             │             │            │
 *             └──────> ENDED <───────────┘
 *
 * LOADING      its first rows, or what changed since its cursor, are being read page by page
 * CATCHING_UP  changes after its cursor are being read out of the feed; also a live one whose
 *              socket was full. If the feed does not reach back to the cursor, a client that
 *              announced `resnapshot` gets first rows again, any other an error
 * LIVE         each commit is delivered as the loop gets it
 */
#include "live/live_int.h"

static const bool moves[SUB_STATES][SUB_STATES] = {
    [SUB_NEW] = {[SUB_LOADING] = true, [SUB_LIVE] = true, [SUB_ENDED] = true},
    [SUB_LOADING] = {[SUB_CATCHING_UP] = true, [SUB_ENDED] = true},
    [SUB_CATCHING_UP] = {[SUB_LOADING] = true, [SUB_LIVE] = true, [SUB_ENDED] = true},
    [SUB_LIVE] = {[SUB_CATCHING_UP] = true, [SUB_ENDED] = true},
};

bool live__may_move(SubState from, SubState to)
{
    must(from < SUB_STATES);
    must(to < SUB_STATES);
    return moves[from][to];
}

const char *live__state_name(SubState state)
{
    static const char *const names[SUB_STATES] = {"new", "loading", "catching_up", "live", "ended"};
    must(state < SUB_STATES);
    return names[state];
}
