/* SPDX-License-Identifier: Apache-2.0
 *
 * The two tables everything else rests on: moves of a subscription, and what a change is to a
 * filter.
 */
#include "live/live_int.h"
#include "test.h"

TEST("a subscription goes live only through loading or at once, and never leaves its end")
{
    static const char *const allowed[SUB_STATES] = {
        [SUB_NEW] = ".L.Ve",  [SUB_LOADING] = "..C.e", [SUB_CATCHING_UP] = ".L.Ve",
        [SUB_LIVE] = "..C.e", [SUB_ENDED] = ".....",
    };
    for (int from = 0; from < SUB_STATES; from++) {
        for (int to = 0; to < SUB_STATES; to++)
            CHECK_INT(live__may_move((SubState)from, (SubState)to), allowed[from][to] != '.');
    }
}

TEST("entering, leaving and staying in a filter: all twelve cases")
{
    static const struct {
        ChangeKind kind;
        bool before, after;
        LiveEvent want;
    } cases[] = {
        {CHANGE_INSERT, false, false, LIVE_EVENT_NONE},
        {CHANGE_INSERT, false, true, LIVE_EVENT_INSERT},
        {CHANGE_INSERT, true, false, LIVE_EVENT_NONE},
        {CHANGE_INSERT, true, true, LIVE_EVENT_INSERT},
        {CHANGE_UPDATE, false, false, LIVE_EVENT_NONE},
        {CHANGE_UPDATE, false, true, LIVE_EVENT_INSERT},
        {CHANGE_UPDATE, true, false, LIVE_EVENT_DELETE},
        {CHANGE_UPDATE, true, true, LIVE_EVENT_UPDATE},
        {CHANGE_DELETE, false, false, LIVE_EVENT_NONE},
        {CHANGE_DELETE, false, true, LIVE_EVENT_NONE},
        {CHANGE_DELETE, true, false, LIVE_EVENT_DELETE},
        {CHANGE_DELETE, true, true, LIVE_EVENT_DELETE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_INT(live__event_of(cases[i].kind, cases[i].before, cases[i].after), cases[i].want);
}
