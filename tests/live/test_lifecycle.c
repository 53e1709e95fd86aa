/* SPDX-License-Identifier: Apache-2.0
 *
 * What ends a subscription from outside, or changes it, as far as ends.spec and schema.spec cannot
 * show it.
 */
#include "stage.h"

#define T "SELECT * FROM t.x"
static const LiveRequest all = {0};
static const LiveOptions tight = {.socket_queue_bytes_max = 4096, .chunk_bytes_max = 1024};

static void begin(Stage *stage, const LiveOptions *options)
{
    stage_open(stage, options, NULL, 3600);
    stage_sql(stage, "root", ROLE_SYSTEM, "CREATE NAMESPACE t");
    stage_sql(stage, "anna", ROLE_USER,
              "CREATE USER TABLE t.x (id BIGINT PRIMARY KEY, v TEXT, n INT)");
}

static void follow(Follower *f, Stage *stage, bool schema, const char *sql)
{
    follower_init(f, stage, 0, 0, "anna", ROLE_USER);
    f->features.schema = schema;
    follower_connect(f);
    follower_subscribe(f, sql, &all);
    follower_until(f, f->is_ready);
}

static void insert(Stage *stage, int from, int to)
{
    for (int i = from; i <= to; i++)
        stage_sql(stage, "anna", ROLE_USER, "INSERT INTO t.x (id, v, n) VALUES (%d, 'v', %d)", i,
                  i);
}

TEST("ADD COLUMN while a client is slow: it follows when it reads again, and misses nothing")
{
    Stage stage;
    Follower f;
    begin(&stage, &tight);
    follow(&f, &stage, true, T);
    follower_stall(&f);
    insert(&stage, 1, 100);
    stage_sql(&stage, "anna", ROLE_USER, "ALTER TABLE t.x ADD COLUMN late TEXT DEFAULT 'old'");
    insert(&stage, 101, 150);
    stage_sql(&stage, "anna", ROLE_USER, "ALTER TABLE t.x ADD COLUMN later INT");
    insert(&stage, 151, 200);
    follower_unstall(&f);
    follower_until(&f, follower_has(&f, 200) || f.error_code[0]);
    CHECK_TEXT(f.error_code, "");
    CHECK_INT(f.inserts, 200);
    CHECK(f.schemas >= 1);
    follower_check(&f, "SELECT id, v, n FROM t.x");
    follower_done(&f);
    stage_close(&stage);
}

static void connect_as(Follower *f, Stage *stage, int loop, const char *user)
{
    follower_init(f, stage, loop, 0, user, ROLE_USER);
    follower_connect(f);
}

TEST("a user who was dropped between its authentication and its session gets nothing")
{
    Stage stage;
    Follower f;
    begin(&stage, NULL);
    stage_sql(&stage, "root", ROLE_SYSTEM,
              "CREATE USER 'ben' WITH PASSWORD 'benspassword1' ROLE user");
    follower_init(&f, &stage, 0, 0, "ben", ROLE_USER); /* looked up here */
    stage_sql(&stage, "root", ROLE_SYSTEM, "DROP USER ben");
    follower_connect(&f);
    follower_subscribe(&f, T, &all);
    follower_until(&f, f.error_code[0]);
    CHECK_TEXT(f.error_code, "UNAUTHORIZED");
    follower_done(&f);
    stage_close(&stage);
}

static LiveInfo the_live_query(Stage *stage, Arena *arena)
{
    LiveInfo *infos;
    size_t count;
    live_list(stage->hub, arena, &infos, &count);
    CHECK_INT(count, 1);
    return infos[0];
}

TEST("KILL LIVE QUERY: by its id even with dashes in every part, for the owner and administrators "
     "only")
{
    Stage stage;
    Follower f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    begin(&stage, NULL);
    follower_init(&f, &stage, 0, 0, "an-na", ROLE_USER);
    follower_connect(&f);
    for (int round = 0; round < 2; round++) {
        f.error_code[0] = 0;
        follower_clear(&f);
        follower_subscribe(&f, "SUBSCRIBE TO t.x WHERE n > 0 OPTIONS (last_rows=3)", NULL);
        follower_until(&f, f.batches == 1);
        stage_settle(&stage, 0);
        LiveInfo info = the_live_query(&stage, arena);
        CHECK_INT(info.options.last_rows, 3);
        CHECK(info.reads >= 1);
        CHECK(info.sent_bytes > 100); /* the acknowledgement and a page */
        Slice id =
            slice_of_text(arena_printf(arena, "%.*s-%s-%.*s", SLICE_ARGS(info.user_id),
                                       info.connection_id, SLICE_ARGS(info.subscription_id)));
        CHECK_CODE(live_kill(stage.hub, id, f.user.user + 1, ROLE_SERVICE, e), E_NOT_FOUND);
        CHECK_CODE(live_kill(stage.hub, slice_of(id.data, id.size - 1), 1, ROLE_DBA, e),
                   E_NOT_FOUND);
        CHECK_OK(
            live_kill(stage.hub, id, round ? f.user.user : 0, round ? ROLE_USER : ROLE_DBA, e));
        follower_until(&f, f.error_code[0]);
        CHECK_TEXT(f.error_code, "KILLED");
    }
    follower_done(&f);
    stage_close(&stage);
}

TEST("a loop whose backlog is full still hears that a table or a user has gone")
{
    static const LiveOptions small = {.backlog_bytes_max = 1};
    Stage stage;
    Follower f, gone;
    Gate gate;
    begin(&stage, &small);
    stage_sql(&stage, "root", ROLE_SYSTEM,
              "CREATE USER 'ben' WITH PASSWORD 'benspassword1' ROLE user");
    connect_as(&gone, &stage, 0, "ben");
    follow(&f, &stage, false, T);
    gate_hold_loop(&gate, &stage, 0);
    insert(&stage, 1, 20);
    stage_sql(&stage, "root", ROLE_SYSTEM, "DROP USER ben");
    stage_sql(&stage, "root", ROLE_SYSTEM, "DROP TABLE t.x");
    gate_open(&gate);
    follower_until(&gone, gone.is_closed);
    follower_until(&f, f.error_code[0]);
    CHECK_TEXT(f.error_code, "NOT_FOUND");
    follower_done(&f);
    follower_done(&gone);
    stage_close(&stage);
}
