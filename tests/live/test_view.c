/* SPDX-License-Identifier: Apache-2.0
 *
 * System tables whose rows the test makes: too many of them, none at all for a failure, and clients
 * too slow for them. What followers see of the real ones is in system.spec and slow.spec.
 */
#include "stage.h"

#include "base/limits.h"

#include <stdatomic.h>
#include <stdio.h>

static const LiveRequest all = {0};
static const LiveOptions tight = {.socket_queue_bytes_max = 4096};

/* What the view shows: rows 1 to `rows`, all with `version` in them. */
typedef struct Probe {
    _Atomic int rows, version;
    _Atomic bool fails;
} Probe;

static Code fill(void *context, Arena *arena,
                 Code (*row)(void *context, const Value *values, Error *e), void *row_context,
                 Error *e)
{
    Probe *probe = (Probe *)context;
    if (atomic_load(&probe->fails))
        return fail(e, E_IO, "the probe fails");
    int version = atomic_load(&probe->version);
    char *text = arena_printf(arena, "version %0100d", version);
    for (int i = 1; i <= atomic_load(&probe->rows); i++) {
        const Value values[] = {value_integer(TYPE_BIGINT, i), value_text(slice_of_text(text)),
                                value_integer(TYPE_INT, version)};
        TRY(row(row_context, values, e));
    }
    return OK;
}

static void begin(Stage *stage, Probe *probe)
{
    static Column columns[] = {
        {.field_id = 1, .name = SLICE("id"), .type = TYPE_BIGINT, .primary_key = true},
        {.field_id = 2, .name = SLICE("v"), .type = TYPE_TEXT},
        {.field_id = 3, .name = SLICE("n"), .type = TYPE_INT},
    };
    static const Schema schema = {
        .version = 1, .column_count = 3, .key_index = -1, .next_field_id = 4, .columns = columns};
    const LiveView view = {
        .namespace_name = SLICE("system"),
        .name = SLICE("probe"),
        .schema = &schema,
        .sources = LIVE_ON_CATALOG,
        .fill = fill,
        .context = probe,
    };
    stage_open(stage, &tight, NULL, 3600);
    live_hub_add_view(stage->hub, &view);
}

static void follow_on(int loop, Follower *f, Stage *stage, const LiveRequest *options)
{
    follower_init(f, stage, loop, 0, "root", ROLE_SYSTEM);
    f->tolerant = true; /* old values have no seq */
    follower_connect(f);
    follower_subscribe(f, "SELECT * FROM system.probe", options);
}

static void follow(Follower *f, Stage *stage, const LiveRequest *options)
{
    follow_on(0, f, stage, options);
}

/* The next version, and something for which the rows are made again. */
static void change(Stage *stage, Probe *probe)
{
    int version = atomic_fetch_add(&probe->version, 1) + 1;
    stage_sql(stage, "root", ROLE_SYSTEM, "CREATE NAMESPACE n%d", version);
}

static size_t rows_of_version(const Follower *f, int version)
{
    size_t count = 0;
    for (size_t i = 0; i < f->row_count; i++)
        count += f->rows[i].n == version;
    return count;
}

TEST("a system table with too many rows ends those who follow it, and nothing else")
{
    Probe probe = {.rows = 3};
    Stage stage;
    Follower f;
    LiveStats stats;
    begin(&stage, &probe);
    follow(&f, &stage, &all);
    follower_until(&f, f.is_ready);
    CHECK_INT(f.row_count, 3);
    atomic_store(&probe.rows, LIVE_VIEW_ROWS_MAX + 1);
    change(&stage, &probe);
    follower_until(&f, f.error_code[0]);
    CHECK_TEXT(f.error_code, "UNSUPPORTED");
    stage_settle(&stage, 0);
    live_stats(stage.hub, &stats);
    CHECK_INT(stats.subscriptions, 0);
    atomic_store(&probe.rows, 2);
    follower_clear(&f);
    f.tolerant = true;
    follower_subscribe(&f, "SELECT * FROM system.probe", &all);
    follower_until(&f, f.is_ready);
    CHECK_INT(f.row_count, 2);
    follower_done(&f);
    stage_close(&stage);
}

TEST("rows that cannot be made end those who follow, with no word about the reason")
{
    Probe probe = {.rows = 3};
    Stage stage;
    Follower f;
    begin(&stage, &probe);
    follow(&f, &stage, &all);
    follower_until(&f, f.is_ready);
    atomic_store(&probe.fails, true);
    change(&stage, &probe);
    follower_until(&f, f.error_code[0]);
    CHECK_TEXT(f.error_code, "SUBSCRIPTION_FAILED");
    CHECK(!strstr(f.error_text, "probe"));
    follower_done(&f);
    stage_close(&stage);
}

TEST("clients that stop reading at different versions: what they have is remembered for "
     "some, the others are told; nobody has old rows")
{
    enum { SLOW = 14 };
    Probe probe = {.rows = 100};
    Stage stage;
    Follower slow[SLOW], quick;
    size_t told = 0;
    begin(&stage, &probe);
    follow(&quick, &stage, &all);
    follower_until(&quick, quick.is_ready);
    for (int i = 0; i < SLOW; i++) {
        follow(&slow[i], &stage, &all);
        follower_until(&slow[i], slow[i].is_ready);
    }
    for (int i = 0; i < SLOW; i++) {
        follower_stall(&slow[i]);
        change(&stage, &probe);
        follower_until(&quick, rows_of_version(&quick, i + 1) == 100);
    }
    for (int i = 0; i < SLOW; i++) {
        CHECK(slow[i].held_bytes < 64 * 1024);
        follower_unstall(&slow[i]);
        follower_until(&slow[i], rows_of_version(&slow[i], SLOW) == 100 || slow[i].error_code[0]);
        told += slow[i].error_code[0] != 0;
        if (slow[i].error_code[0])
            CHECK_TEXT(slow[i].error_code, "CURSOR_TOO_OLD");
    }
    CHECK(told > 0 && told < SLOW);
    for (int i = 0; i < SLOW; i++)
        follower_done(&slow[i]);
    follower_done(&quick);
    stage_close(&stage);
}

/* What the loop 0 and the workers have to do is done. */
static void settle_all_but_one(Stage *stage)
{
    Gate gates[STAGE_WORKERS];
    stage_settle(stage, 0);
    for (int i = 0; i < STAGE_WORKERS; i++)
        gate_hold_worker(&gates[i], stage);
    for (int i = 0; i < STAGE_WORKERS; i++)
        gate_open(&gates[i]);
}

TEST(
    "rows that heap up before a loop that is late count as those of its clients, who are told that "
    "they were too slow")
{
    enum { CHANGES = 40 };
    Probe probe = {.rows = 100};
    Stage stage;
    Follower slow;
    Gate gate;
    begin(&stage, &probe);
    follow_on(1, &slow, &stage, &all);
    follower_until(&slow, slow.is_ready);
    follower_stall(&slow);
    gate_hold_loop(&gate, &stage, 1);
    for (int i = 0; i < CHANGES; i++) {
        change(&stage, &probe);
        settle_all_but_one(&stage);
    }
    gate_open(&gate);
    stage_settle(&stage, 1);
    follower_unstall(&slow);
    follower_until(&slow, rows_of_version(&slow, CHANGES) == 100 || slow.error_code[0]);
    CHECK_TEXT(slow.error_code, "");
    follower_done(&slow);
    stage_close(&stage);
}
