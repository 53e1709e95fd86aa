/* SPDX-License-Identifier: Apache-2.0
 *
 * Random SELECTs of two tables that had the same writes and ALTERs: one is never flushed, the other
 * is flushed and merged now and then, also while it is asked. Values are those at the ends of each
 * type; rows die in runs, across row groups and chunks, and to the last of a segment. All answers
 * must agree to the byte, by _seq too: no statement but an INSERT writes more than one row.
 */
#include "random.h"

#include "os/thread.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    COLUMNS_MAX = 16,
    LIVES = 120,      /* queries before new tables are made */
    ROWS_MOST = 9000, /* of a table */
    INSERT_MOST = 500,
};

typedef struct TierColumn {
    char name[16];
    Type type;
} TierColumn;

/* The tables as they are. */
static struct {
    TierColumn columns[COLUMNS_MAX];
    uint32_t column_count, named;
    int next_id, other_id;
    char hot[16], cold[16];
} now;
static unsigned generation;

static const Caller root = {
    .user_id = {"root", 4}, .role = ROLE_SYSTEM, .namespace_name = {"rnd", 3}};
static const Caller bob = {.user_id = {"bob", 3}, .role = ROLE_USER, .namespace_name = {"rnd", 3}};

static void both(World *world, Buffer *sql)
{
    on_both(world, sql, (const char *const[]){now.hot, now.cold});
}

static void alter(World *world, const char *what)
{
    char sql[128];
    for (int i = 0; i < 2; i++) {
        snprintf(sql, sizeof sql, "ALTER TABLE %s %s", i ? now.cold : now.hot, what);
        must_run(world, &root, sql);
    }
}

static void storage(World *world, const char *what)
{
    char sql[64];
    snprintf(sql, sizeof sql, "STORAGE %s TABLE %s", what, now.cold);
    must_run(world, &root, sql);
}

/* ---- values ---- */

static void add_integer(Buffer *out, Type type)
{
    static const char *const edges[][6] = {
        {"-32768", "32767", "0", "-1", "32766", "-32767"},
        {"-2147483648", "2147483647", "0", "-1", "2147483646", "65536"},
        {"-9223372036854775808", "9223372036854775807", "0", "-1", "9007199254740993",
         "9007199254740992"},
    };
    int row = type == TYPE_SMALLINT ? 0 : type == TYPE_INT ? 1 : 2;
    if (pick(25) == 0)
        buffer_add_text(out, edges[row][pick(6)]);
    else if (pick(2)) /* these mostly ascend */
        buffer_printf(out, "%d", now.next_id / 7 - (int)pick(20));
    else
        buffer_printf(out, "%d", (int)pick(60) - 30);
}

static void add_real(Buffer *out, Type type)
{
    static const char *const edges[] = {"'NaN'",       "'Infinity'", "'-Infinity'", "1.0", "0.0",
                                        "'3.4028e38'", "'-1e-40'",   "'1e308'",     "0.1"};
    if (pick(8) == 0)
        buffer_add_text(out, edges[pick(type == TYPE_FLOAT ? 7 : 9)]);
    else
        buffer_printf(out, "%d.%s", (int)pick(40) - 20, pick(3) ? "5" : "0");
}

static void add_words(Buffer *out)
{
    static const char *const words[] = {"", "a", "A", "é", "b%", "\xF4\x8F\xBF\xBF", "10", "zz"};
    buffer_add_char(out, '\'');
    if (pick(12) == 0) /* longer than a bound */
        for (uint32_t i = 0, count = 60 + pick(20); i < count; i++)
            buffer_add_text(out, pick(40) ? "\xEF\xBF\xBF" : "x");
    buffer_printf(out, "%s'", words[pick(8)]);
}

static void add_literal(Buffer *out, Type type)
{
    static const char *const times[] = {"1969-12-31 23:59:59.999999", "0001-01-01 00:00:00",
                                        "9999-12-31 23:59:59.999999", "1970-01-01 00:00:00"};
    switch (type) {
    case TYPE_FLOAT:
    case TYPE_DOUBLE:
        add_real(out, type);
        break;
    case TYPE_TEXT:
        add_words(out);
        break;
    case TYPE_TIMESTAMP:
        if (pick(20) == 0)
            buffer_printf(out, "'%s'", times[pick(4)]);
        else
            buffer_printf(out, "'2026-01-%02d %02u:00:00'", now.next_id / 400 % 28 + 1, pick(24));
        break;
    case TYPE_BYTES:
        buffer_printf(out, pick(9) ? "'k\\x%02X'" : "'\\xFF\\xFF\\x%02X'", pick(256));
        break;
    case TYPE_UUID:
        buffer_printf(out, "'%02x000000-0000-4000-8000-0000000000%02x'", pick(256), pick(3));
        break;
    case TYPE_BOOLEAN:
        buffer_add_text(out, pick(2) ? "TRUE" : "FALSE");
        break;
    default:
        add_integer(out, type);
    }
}

static void add_value(Buffer *out, Type type)
{
    if (pick(9))
        add_literal(out, type);
    else
        buffer_add_text(out, "NULL");
}

/* ---- writes ---- */

static void insert(World *world, uint32_t rows)
{
    Buffer sql = {0};
    while (rows > 0) {
        buffer_add_text(&sql, "INSERT INTO @ (id");
        for (uint32_t i = 1; i < now.column_count; i++)
            buffer_printf(&sql, ", %s", now.columns[i].name);
        buffer_add_text(&sql, ") VALUES ");
        for (uint32_t n = 0; n < INSERT_MOST && rows > 0; n++, rows--) {
            buffer_printf(&sql, "%s(%d", n ? ", " : "", now.next_id++);
            for (uint32_t i = 1; i < now.column_count; i++) {
                buffer_add_text(&sql, ", ");
                add_value(&sql, now.columns[i].type);
            }
            buffer_add_char(&sql, ')');
        }
        both(world, &sql);
    }
    buffer_done(&sql);
}

static void update(World *world)
{
    Buffer sql = {0};
    for (uint32_t i = 1 + pick(40); i > 0; i--) {
        const TierColumn *column = &now.columns[1 + pick(now.column_count - 1)];
        buffer_printf(&sql, "UPDATE @ SET %s = ", column->name);
        add_value(&sql, column->type);
        buffer_printf(&sql, " WHERE id = %u%s", pick((uint32_t)now.next_id), i > 1 ? "; " : "");
    }
    both(world, &sql);
    buffer_done(&sql);
}

static void delete (World *world)
{
    Buffer sql = {0};
    uint32_t ids = (uint32_t)now.next_id, at = pick(ids);
    switch (pick(6)) {
    case 0:
        buffer_printf(&sql, "DELETE FROM @ WHERE id %% 3 = 0 AND id BETWEEN %u AND %u", at,
                      at + ids / 4);
        break;
    case 1: /* among them the ends of chunks and of row groups */
        buffer_printf(&sql, "DELETE FROM @ WHERE id %% 2048 IN (0, 2047)");
        break;
    case 2:
        buffer_printf(&sql, "DELETE FROM @ WHERE id BETWEEN %u AND %u", at, at + pick(2100));
        break;
    case 3: /* to the last of a segment, often */
        buffer_printf(&sql, "DELETE FROM @ WHERE id >= %u", ids - ids / 10);
        break;
    default:
        buffer_printf(&sql, "DELETE FROM @ WHERE id IN (%u, %u, %u)", at, pick(ids), pick(ids));
    }
    both(world, &sql);
    buffer_done(&sql);
}

/* The rows of another user, of the same ids. */
static void write_other(World *world)
{
    char sql[80];
    for (int i = 0; i < 2; i++) {
        snprintf(sql, sizeof sql, "INSERT INTO %s (id) VALUES (%d)", i ? now.cold : now.hot,
                 now.other_id);
        must_run(world, &bob, sql);
    }
    now.other_id++;
}

/* ---- definitions ---- */

static const char *type_name(Type type)
{
    return type_info(type)->name;
}

static TierColumn *add_column(Type type)
{
    TierColumn *column = &now.columns[now.column_count++];
    column->type = type;
    snprintf(column->name, sizeof column->name, "c%u", now.named++);
    return column;
}

static void widen(World *world, TierColumn *column)
{
    char what[64];
    Type to = column->type == TYPE_SMALLINT ? (pick(2) ? TYPE_INT : TYPE_BIGINT)
              : column->type == TYPE_INT    ? (pick(2) ? TYPE_BIGINT : TYPE_DOUBLE)
              : column->type == TYPE_FLOAT  ? TYPE_DOUBLE
                                            : column->type;
    if (to == column->type)
        return;
    snprintf(what, sizeof what, "MODIFY COLUMN %s %s", column->name, type_name(to));
    alter(world, what);
    column->type = to;
}

static void redefine(World *world)
{
    static const Type types[] = {TYPE_INT,  TYPE_BIGINT,    TYPE_SMALLINT, TYPE_DOUBLE, TYPE_FLOAT,
                                 TYPE_TEXT, TYPE_TIMESTAMP, TYPE_BYTES,    TYPE_UUID};
    Buffer what = {0};
    uint32_t at = 1 + pick(now.column_count - 1);
    TierColumn *column = &now.columns[at];
    switch (pick(4)) {
    case 0:
        if (now.column_count == COLUMNS_MAX)
            return;
        column = add_column(types[pick(9)]);
        buffer_printf(&what, "ADD COLUMN %s %s", column->name, type_name(column->type));
        if (pick(3)) {
            buffer_add_text(&what, " DEFAULT ");
            add_literal(&what, column->type);
        }
        break;
    case 1:
        buffer_printf(&what, "RENAME COLUMN %s TO c%u", column->name, now.named);
        snprintf(column->name, sizeof column->name, "c%u", now.named++);
        break;
    case 2:
        if (now.column_count < 6)
            return;
        buffer_printf(&what, "DROP COLUMN %s", column->name);
        memmove(column, column + 1, (--now.column_count - at) * sizeof *column);
        break;
    default:
        widen(world, column);
        return;
    }
    buffer_add_u8(&what, 0);
    alter(world, what.data);
    buffer_done(&what);
}

static void create(World *world)
{
    static const Type types[] = {TYPE_BIGINT, TYPE_INT,       TYPE_SMALLINT, TYPE_DOUBLE,
                                 TYPE_FLOAT,  TYPE_TIMESTAMP, TYPE_TEXT,     TYPE_BOOLEAN,
                                 TYPE_INT,    TYPE_UUID,      TYPE_BYTES,    TYPE_BIGINT};
    Buffer sql = {0};
    char *const names[] = {now.hot, now.cold};
    now.column_count = now.named = 0;
    now.next_id = 1;
    generation++;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        (void)add_column(types[i]);
    snprintf(now.columns[0].name, sizeof now.columns[0].name, "id");
    for (int t = 0; t < 2; t++) {
        snprintf(names[t], sizeof now.hot, "rnd.%s%u", t ? "tc" : "th", generation);
        buffer_printf(&sql, "CREATE USER TABLE %s (id BIGINT PRIMARY KEY", names[t]);
        for (uint32_t i = 1; i < now.column_count; i++)
            buffer_printf(&sql, ", %s %s", now.columns[i].name, type_name(now.columns[i].type));
        /* The least: what is flushed loses its hot copies. */
        buffer_printf(&sql, ")%s", t && generation % 2 ? " WITH (FEED_WINDOW_BYTES = 65536)" : "");
        buffer_add_u8(&sql, 0);
        must_run(world, &root, sql.data);
        buffer_clear(&sql);
    }
    buffer_done(&sql);
}

/* ---- queries ---- */

/* Beside integers also DOUBLEs next to which, or beyond which, those of a BIGINT are. */
static void add_operand(Buffer *out, Type column, Type type)
{
    static const char *const reals[] = {"9007199254740992.0", "9007199254740994.0", "-1e300",
                                        "9223372036854775808.0", "4294967296.5"};
    if (type_is_integer(column) && pick(12) == 0)
        buffer_add_text(out, reals[pick(5)]);
    else
        add_literal(out, type);
}

static void add_condition(Buffer *out)
{
    static const char *const operators[] = {"=", "<>", "<", "<=", ">", ">="};
    const TierColumn *column = &now.columns[pick(now.column_count)];
    Type type = column->type;
    if (type_is_number(type) && pick(6) == 0) /* numbers that the column may not hold */
        type = pick(2) ? TYPE_BIGINT : TYPE_DOUBLE;
    switch (pick(9)) {
    case 0:
        buffer_printf(out, "%s IS %sNULL", column->name, pick(2) ? "NOT " : "");
        break;
    case 1:
        buffer_printf(out, "%s %sBETWEEN ", column->name, pick(4) ? "" : "NOT ");
        add_operand(out, column->type, type);
        buffer_add_text(out, " AND ");
        add_operand(out, column->type, type);
        break;
    case 2:
        buffer_printf(out, "%s %sIN (", column->name, pick(4) ? "" : "NOT ");
        for (uint32_t i = pick(4); i > 0; i--) {
            add_operand(out, column->type, type);
            buffer_add_text(out, ", ");
        }
        add_value(out, type);
        buffer_add_char(out, ')');
        break;
    case 3:
        add_operand(out, column->type, type);
        buffer_printf(out, " %s %s", operators[pick(6)], column->name);
        break;
    case 4:
        buffer_printf(out, "id %s %u", operators[2 + pick(4)], pick((uint32_t)now.next_id));
        break;
    case 5:
        buffer_printf(out, "_seq %s #", operators[pick(6)]);
        break;
    default:
        buffer_printf(out, "%s %s ", column->name, operators[pick(6)]);
        add_operand(out, column->type, type);
    }
}

static void add_where(Buffer *out)
{
    for (uint32_t i = 0, count = pick(4); i < count; i++) {
        buffer_add_text(out, i == 0 ? " WHERE " : pick(4) ? " AND " : " OR ");
        if (pick(9) == 0)
            buffer_add_text(out, "NOT ");
        add_condition(out);
    }
}

static void add_aggregates(Buffer *out)
{
    buffer_add_text(out, "SELECT count(*)");
    for (uint32_t i = pick(3); i > 0; i--) {
        const TierColumn *column = &now.columns[pick(now.column_count)];
        bool is_real = column->type == TYPE_DOUBLE || column->type == TYPE_FLOAT;
        bool is_plain = type_is_integer(column->type) || column->type == TYPE_TIMESTAMP;
        buffer_printf(out, ", count(%s)", column->name);
        if (!is_real && is_plain)
            buffer_printf(out, ", min(%s), max(%s), count(DISTINCT %s)", column->name, column->name,
                          column->name);
    }
    buffer_add_text(out, " FROM @");
    add_where(out);
}

static void add_rows(Buffer *out)
{
    buffer_add_text(out, "SELECT ");
    for (uint32_t i = 0, count = 1 + pick(5); i < count; i++)
        buffer_printf(out, "%s%s", i ? ", " : "", now.columns[pick(now.column_count)].name);
    buffer_add_text(out, " FROM @");
    add_where(out);
    buffer_add_text(out, " ORDER BY ");
    for (uint32_t i = pick(3); i > 0; i--)
        buffer_printf(out, "%s %s %s, ", now.columns[pick(now.column_count)].name,
                      pick(2) ? "DESC" : "",
                      (const char *[]){"", "NULLS FIRST", "NULLS LAST"}[pick(3)]);
    buffer_printf(out, "_seq %s", pick(2) ? "DESC" : "");
    if (pick(8))
        buffer_printf(out, " LIMIT %u", pick(pick(5) ? 60 : 4000));
    if (pick(4) == 0)
        buffer_printf(out, " OFFSET %u", pick(pick(3) ? 50 : 4000));
}

/* The place of one row in the order of each table. */
static void find_seq(World *world, const char *table, int id, char *out, size_t size)
{
    static const Caller alice = {
        .user_id = {"alice", 5}, .role = ROLE_USER, .namespace_name = {"rnd", 3}};
    char sql[80];
    Outcome found;
    snprintf(sql, sizeof sql, "SELECT _seq FROM %s WHERE id = %d", table, id);
    run_sql(world, MODE_NATIVE, &alice, sql, &found);
    must(found.code == OK);
    snprintf(out, size, "%s", found.row_count ? found.rows[0] : "0");
    outcome_done(&found);
}

static bool ask(World *world)
{
    char hot_seq[24], cold_seq[24];
    Buffer query = {0};
    int id = (int)pick((uint32_t)now.next_id), ignored = 0;
    find_seq(world, now.hot, id, hot_seq, sizeof hot_seq);
    find_seq(world, now.cold, id, cold_seq, sizeof cold_seq);
    const Way ways[] = {
        {"hot", now.hot, MODE_NATIVE, hot_seq},
        {"flushed", now.cold, MODE_NATIVE, cold_seq},
        {"flushed, DuckDB", now.cold, MODE_DUCK, cold_seq},
        {"flushed, again", now.cold, MODE_NATIVE, cold_seq},
    };
    if (pick(5) == 0)
        add_aggregates(&query);
    else
        add_rows(&query);
    bool agreed = agree_in(world, &query, ways, 4, &ignored);
    buffer_done(&query);
    return agreed;
}

/* ---- tables that change where their rows lie, while they are asked ---- */

typedef struct Mover {
    World *world;
    atomic_bool stops;
} Mover;

static void move(void *context)
{
    Mover *mover = context;
    for (unsigned i = 0; !atomic_load(&mover->stops); i++)
        storage(mover->world, i % 4 == 3 ? "COMPACT" : "FLUSH");
}

static void change(World *world)
{
    switch (pick(6)) {
    case 0:
        if (now.next_id < ROWS_MOST)
            insert(world, 1 + pick(pick(3) ? 60 : 5000));
        break;
    case 1:
        delete (world);
        break;
    case 2:
        redefine(world);
        break;
    case 3:
        write_other(world);
        break;
    default:
        update(world);
    }
}

static int ask_while_moving(World *world, int queries)
{
    Mover mover = {.world = world};
    Thread *thread = NULL;
    Error e = {0};
    int failed = 0;
    must(thread_start("mover", THREAD_ANY, move, &mover, &thread, &e) == OK);
    for (int i = 0; i < queries && failed < 3; i++) {
        failed += !ask(world);
        if (pick(2))
            update(world);
    }
    atomic_store(&mover.stops, true);
    thread_join(thread);
    return failed;
}

int run_tiers(World *world, int queries)
{
    int failed = 0;
    for (int i = 0; i < queries && failed < 3; i++) {
        if (i % LIVES == 0) {
            create(world);
            insert(world, 200 + pick(3000));
        }
        if (pick(4) == 0)
            change(world);
        if (pick(8) == 0)
            storage(world, pick(5) ? "FLUSH" : "COMPACT");
        if (i % LIVES == LIVES / 2)
            failed += ask_while_moving(world, LIVES / 8);
        failed += !ask(world);
    }
    return failed;
}
