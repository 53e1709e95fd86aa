/* SPDX-License-Identifier: Apache-2.0
 *
 * Random requests of several statements, of three tables and their twins. The tables are flushed
 * and merged now and then, also meanwhile; the twins never are. What a transaction changes in the
 * tables, one statement after the other changes in the twins: so each finds the rows of its own
 * transaction, hot, flushed, dead, and inserted anew under the same key. What is rolled back or
 * fails must end the same way on the twins, and leave both as they were. Columns come, go, get
 * wider, and get names that others had before.
 */
#include "random.h"

#include "os/thread.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    COLUMNS_MAX = 9,
    LIFE = 30,          /* requests before new tables are made */
    STATEMENTS_MAX = 7, /* of a request */
    KEYS = 24,
};

typedef struct WriteColumn {
    char name[16];
    Type type;
} WriteColumn;

/* The tables are rnd.<kept><a, b or s>: @a in a statement. */
static struct {
    WriteColumn columns[COLUMNS_MAX]; /* the first is the key */
    uint32_t column_count;
    char moved[16], twin[16];
} now;
static unsigned generation;

static const char letters[] = {'a', 'b', 's'};
static const Caller root = {
    .user_id = {"root", 4}, .role = ROLE_SYSTEM, .namespace_name = {"rnd", 3}};
static const Caller alice = {
    .user_id = {"alice", 5}, .role = ROLE_SERVICE, .namespace_name = {"rnd", 3}};

static char letter(void)
{
    return letters[pick(3)];
}

/* ---- values ---- */

static void add_key(Buffer *out)
{
    static const char *const texts[] = {"", "a", "A", "é", "\xF4\x8F\xBF\xBF", "it''s"};
    uint32_t n = pick(KEYS);
    switch (now.columns[0].type) {
    case TYPE_TEXT:
        buffer_printf(out, "'%s%u'", texts[n % 6], n / 6);
        break;
    case TYPE_UUID:
        buffer_printf(out, "'%08x-0000-4000-8000-000000000000'", n * 0x10000000 + n);
        break;
    case TYPE_TIMESTAMP:
        buffer_printf(out, "'%04u-01-01 00:00:00'", 1960 + n);
        break;
    case TYPE_DOUBLE:
    case TYPE_FLOAT:
        if (n < 3)
            buffer_add_text(out, (const char *[]){"'NaN'", "'-Infinity'", "0.0",
                                                  "-0.0"}[n + (n == 2 && pick(2))]);
        else
            buffer_printf(out, "%d.5", (int)n - KEYS / 2);
        break;
    default:
        if (n == 0)
            buffer_add_text(out, "-32768");
        else
            buffer_printf(out, "%d", (int)n - KEYS / 2);
    }
}

static void add_word(Buffer *out, Type type)
{
    static const char *const words[] = {"", "a", "é", "zz"};
    uint32_t n = pick(12);
    switch (type) {
    case TYPE_TEXT:
        buffer_printf(out, "'%s%u'", words[n % 4], n);
        break;
    case TYPE_TIMESTAMP:
        buffer_printf(out, "'2026-01-%02u 10:00:00.%06u'", n + 1, n);
        break;
    case TYPE_BYTES:
        buffer_printf(out, "'\\x%02X'", n * 20);
        break;
    case TYPE_BOOLEAN:
        buffer_add_text(out, n % 2 ? "TRUE" : "FALSE");
        break;
    case TYPE_DOUBLE:
    case TYPE_FLOAT:
        buffer_printf(out, "%d.25", (int)n - 6);
        break;
    default:
        buffer_printf(out, "%d", n == 0 ? 32767 : (int)n - 6);
    }
}

static void add_value(Buffer *out, Type type)
{
    uint32_t n = pick(12);
    if (n == 0)
        buffer_add_text(out, "DEFAULT");
    else if (n == 1)
        buffer_add_text(out, "NULL");
    else
        add_word(out, type);
}

static const WriteColumn *some_column(void)
{
    return &now.columns[1 + pick(now.column_count - 1)];
}

/* ---- statements ---- */

static void add_keys(Buffer *out)
{
    buffer_add_text(out, "k IN (");
    for (uint32_t i = pick(5); i > 0; i--) {
        add_key(out);
        buffer_add_text(out, ", ");
    }
    add_key(out);
    buffer_add_char(out, ')');
}

static void add_condition(Buffer *out)
{
    static const char *const operators[] = {"=", "<>", "<", "<=", ">", ">="};
    const WriteColumn *column = some_column();
    switch (pick(7)) {
    case 0:
    case 1:
        buffer_add_text(out, "k = ");
        add_key(out);
        break;
    case 2:
        add_keys(out);
        break;
    case 3:
        buffer_printf(out, "k %s ", operators[2 + pick(4)]);
        add_key(out);
        break;
    case 4:
        buffer_printf(out, "k %sIN (SELECT k FROM @%c)", pick(2) ? "" : "NOT ", letter());
        break;
    case 5:
        buffer_printf(out, "%s IS %sNULL", column->name, pick(2) ? "" : "NOT ");
        break;
    default:
        buffer_printf(out, "%s %s ", column->name, operators[pick(6)]);
        add_word(out, column->type);
    }
    if (pick(5) == 0) {
        buffer_add_text(out, pick(2) ? " AND " : " OR ");
        add_condition(out);
    }
}

static void add_names(Buffer *out)
{
    for (uint32_t i = 0; i < now.column_count; i++)
        buffer_printf(out, "%s%s", i ? ", " : "", now.columns[i].name);
}

static void add_insert(Buffer *out)
{
    char to = letter();
    buffer_printf(out, "INSERT INTO @%c (", to);
    if (pick(4) == 0) { /* the rows of another table, or none of its own */
        add_names(out);
        buffer_add_text(out, ") SELECT ");
        add_names(out);
        buffer_printf(out, " FROM @%c WHERE k NOT IN (SELECT k FROM @%c) AND (", letter(), to);
        add_condition(out);
        buffer_add_text(out, ") ORDER BY k");
        return;
    }
    uint32_t columns = 1 + pick(now.column_count);
    for (uint32_t i = 0; i < columns; i++)
        buffer_printf(out, "%s%s", i ? ", " : "", now.columns[i].name);
    buffer_add_text(out, ") VALUES ");
    for (uint32_t i = 0, rows = 1 + pick(pick(3) ? 1 : 4); i < rows; i++) {
        buffer_add_text(out, i ? ", (" : "(");
        add_key(out);
        for (uint32_t c = 1; c < columns; c++) {
            buffer_add_text(out, ", ");
            add_value(out, now.columns[c].type);
        }
        buffer_add_char(out, ')');
    }
}

static void add_update(Buffer *out)
{
    char to = letter();
    const WriteColumn *column = some_column();
    buffer_printf(out, "UPDATE @%c SET %s = ", to, column->name);
    if (pick(6) == 0 && column->type != TYPE_BOOLEAN)
        buffer_printf(out, "(SELECT max(%s) FROM @%c)", column->name, letter());
    else
        add_value(out, column->type);
    buffer_add_text(out, " WHERE ");
    add_condition(out);
}

static void add_write(Buffer *out)
{
    if (pick(40) == 0) {
        buffer_printf(out, "TRUNCATE TABLE @%c", letter());
        return;
    }
    switch (pick(8)) {
    case 0:
    case 1:
        buffer_printf(out, "DELETE FROM @%c WHERE ", letter());
        add_condition(out);
        break;
    case 2:
    case 3:
    case 4:
        add_update(out);
        break;
    default:
        add_insert(out);
    }
}

static void add_query(Buffer *out)
{
    const WriteColumn *column = some_column();
    switch (pick(6)) {
    case 0:
        buffer_printf(out, "SELECT count(*), count(%s), max(k), min(k) FROM @%c", column->name,
                      letter());
        break;
    case 1:
        buffer_printf(out,
                      "SELECT x.k, x.%s, y.%s FROM @%c x LEFT JOIN @%c y ON x.k = y.k ORDER BY x.k",
                      column->name, some_column()->name, letter(), letter());
        return;
    case 2:
        buffer_printf(out, "SELECT k FROM @%c WHERE k IN (SELECT k FROM @%c) ORDER BY k DESC",
                      letter(), letter());
        return;
    default:
        buffer_add_text(out, "SELECT ");
        add_names(out);
        buffer_printf(out, " FROM @%c", letter());
    }
    if (pick(3)) {
        buffer_add_text(out, " WHERE ");
        add_condition(out);
    }
}

static void add_order(Buffer *out, size_t from)
{
    if (memcmp(out->data + from, "SELECT k,", 9) != 0)
        return;
    if (pick(2))
        buffer_printf(out, " ORDER BY %s %s, k %s", some_column()->name,
                      pick(2) ? "DESC" : "NULLS FIRST", pick(2) ? "DESC" : "");
    if (pick(3) == 0)
        buffer_printf(out, " LIMIT %u OFFSET %u", pick(20), pick(4));
}

/* ---- requests ---- */

typedef struct Request {
    Buffer statements[STATEMENTS_MAX];
    uint32_t count;
} Request;

/* Writes, and a query at last. */
static void request_make(Request *request)
{
    *request = (Request){.count = 1 + pick(STATEMENTS_MAX)};
    for (uint32_t i = 0; i < request->count; i++) {
        Buffer *out = &request->statements[i];
        if (i + 1 < request->count) {
            add_write(out);
        } else {
            add_query(out);
            add_order(out, 0);
        }
    }
}

static void request_done(Request *request)
{
    for (uint32_t i = 0; i < request->count; i++)
        buffer_done(&request->statements[i]);
}

static void put_on(Buffer *out, const Buffer *statement, const char *tables)
{
    for (size_t i = 0; i < statement->size; i++)
        if (statement->data[i] == '@')
            buffer_add_text(out, tables);
        else
            buffer_add_char(out, statement->data[i]);
}

static void run_transaction(World *world, const Request *request, const char *tables,
                            const char *end, Outcome *out)
{
    Buffer sql = {0};
    buffer_add_text(&sql, "BEGIN; ");
    for (uint32_t i = 0; i < request->count; i++) {
        put_on(&sql, &request->statements[i], tables);
        buffer_add_text(&sql, "; ");
    }
    buffer_add_text(&sql, end);
    buffer_add_u8(&sql, 0);
    run_sql(world, MODE_NATIVE, &alice, sql.data, out);
    buffer_done(&sql);
}

/* One by one; the last one's rows, and the messages that a transaction would have. */
static void run_singly(World *world, const Request *request, const char *tables, Outcome *out)
{
    Buffer sql = {0}, messages = {0};
    buffer_add_text(&messages, "Transaction started");
    *out = (Outcome){0};
    for (uint32_t i = 0; i < request->count && out->code == OK; i++) {
        outcome_done(out);
        buffer_clear(&sql);
        put_on(&sql, &request->statements[i], tables);
        buffer_add_u8(&sql, 0);
        run_sql(world, MODE_NATIVE, &alice, sql.data, out);
        if (out->messages.size)
            buffer_printf(&messages, "\n%.*s", (int)out->messages.size, out->messages.data);
    }
    buffer_add_text(&messages, "\nTransaction committed");
    buffer_done(&out->messages);
    out->messages = messages;
    buffer_done(&sql);
}

/* "Statement 3 failed", of which the rest of the text may name the table. */
static bool same_end(const Outcome *a, const Outcome *b)
{
    if (a->code != b->code)
        return false;
    if (a->code != OK) {
        const char *x = strstr(a->error, "Statement "), *y = strstr(b->error, "Statement ");
        return !x || !y ? x == y : strncmp(x, y, strlen("Statement 3")) == 0;
    }
    if (a->row_count != b->row_count ||
        !slice_equal(buffer_slice(&a->messages), buffer_slice(&b->messages)))
        return false;
    for (size_t i = 0; i < a->row_count; i++)
        if (strcmp(a->rows[i], b->rows[i]) != 0)
            return false;
    return true;
}

static void show(const char *what, const Outcome *outcome)
{
    fprintf(stderr, "  %s: %s\n  %.*s\n", what, outcome->error ? outcome->error : "OK",
            (int)outcome->messages.size, outcome->messages.data ? outcome->messages.data : "");
    for (size_t i = 0; i < outcome->row_count; i++)
        fprintf(stderr, "    %s\n", outcome->rows[i]);
}

static bool run_both(World *world)
{
    Request request;
    Outcome here, there;
    const char *end = pick(4) ? "COMMIT" : pick(3) ? "ROLLBACK" : "";
    request_make(&request);
    run_transaction(world, &request, now.moved, end, &here);
    if (here.code == OK && strcmp(end, "COMMIT") == 0)
        run_singly(world, &request, now.twin, &there);
    else
        run_transaction(world, &request, now.twin, end, &there);
    bool same = same_end(&here, &there);
    if (!same) {
        fprintf(stderr, "FAILED random writes: BEGIN; ");
        for (uint32_t i = 0; i < request.count; i++)
            fprintf(stderr, "%.*s; ", (int)request.statements[i].size, request.statements[i].data);
        fprintf(stderr, "%s\n", end);
        show(now.moved, &here);
        show(now.twin, &there);
    }
    outcome_done(&here);
    outcome_done(&there);
    request_done(&request);
    return same;
}

/* ---- all that is there ---- */

static bool same_rows(World *world)
{
    const Way ways[] = {
        {"twin", now.twin, MODE_NATIVE, NULL},
        {"moved", now.moved, MODE_NATIVE, NULL},
        {"moved, DuckDB", now.moved, MODE_DUCK, NULL},
    };
    Buffer query = {0};
    bool same = true;
    int ignored = 0;
    for (int i = 0; i < 3 && same; i++) {
        buffer_clear(&query);
        buffer_add_text(&query, "SELECT ");
        add_names(&query);
        buffer_printf(&query, " FROM @%c", letters[i]);
        same = agree_in(world, &query, ways, 3, &ignored);
    }
    buffer_done(&query);
    return same;
}

static const char *named_value(const Outcome *outcome, const char *name)
{
    const char *column = outcome->columns.data, *value = outcome->rows[0];
    size_t left = outcome->columns.size;
    while (left >= strlen(name) && strncmp(column, name, strlen(name)) != 0) {
        const char *next = memchr(column, '|', left);
        must(next != NULL);
        left -= (size_t)(next + 1 - column);
        column = next + 1;
        value = strchr(value, '|') + 1;
    }
    return value;
}

/* What SHOW STATS counts, and that STORAGE CHECK finds nothing. */
static bool figures_hold(World *world)
{
    bool hold = true;
    for (int i = 0; i < 3; i++) {
        char sql[80];
        Outcome stats, rows;
        snprintf(sql, sizeof sql, "SHOW STATS FOR TABLE %s%c", now.moved, letters[i]);
        run_sql(world, MODE_NATIVE, &root, sql, &stats);
        snprintf(sql, sizeof sql, "SELECT count(*) FROM %s%c", now.moved, letters[i]);
        run_sql(world, MODE_NATIVE, &alice, sql, &rows);
        must(stats.code == OK && stats.row_count == 1 && rows.code == OK);
        long counted = strtol(named_value(&stats, "hot_rows"), NULL, 10) +
                       strtol(named_value(&stats, "cold_rows"), NULL, 10);
        if (counted != strtol(rows.rows[0], NULL, 10)) {
            fprintf(stderr, "FAILED random writes: %s has %s rows\n", sql, rows.rows[0]);
            show("SHOW STATS", &stats);
            hold = false;
        }
        outcome_done(&stats);
        outcome_done(&rows);
    }
    Outcome check;
    run_sql(world, MODE_NATIVE, &root, "STORAGE CHECK local EXTENDED", &check);
    if (check.code != OK || !strstr(check.rows[0], "healthy")) {
        fprintf(stderr, "FAILED random writes: STORAGE CHECK\n");
        show("it", &check);
        hold = false;
    }
    outcome_done(&check);
    return hold;
}

/* ---- definitions ---- */

static void on_all(World *world, const char *before, const char *after)
{
    char sql[512];
    for (int i = 0; i < 6; i++) {
        snprintf(sql, sizeof sql, "%s %s%c %s", before, i % 2 ? now.moved : now.twin,
                 letters[i / 2], after);
        must_run(world, &root, sql);
    }
}

static Type some_type(void)
{
    static const Type types[] = {TYPE_SMALLINT, TYPE_INT,       TYPE_BIGINT, TYPE_TEXT,
                                 TYPE_DOUBLE,   TYPE_TIMESTAMP, TYPE_BYTES,  TYPE_BOOLEAN};
    return types[pick(8)];
}

/* A name that no column has; one of the first few, so that it often had another column once. */
static void take_name(char *out, size_t size)
{
    bool is_taken = true;
    while (is_taken) {
        snprintf(out, size, "c%u", pick(COLUMNS_MAX + 2));
        is_taken = false;
        for (uint32_t i = 0; i < now.column_count; i++)
            is_taken |= strcmp(out, now.columns[i].name) == 0;
    }
}

static WriteColumn *take_column(Type type)
{
    char name[16];
    take_name(name, sizeof name);
    WriteColumn *column = &now.columns[now.column_count++];
    column->type = type;
    memcpy(column->name, name, sizeof name);
    return column;
}

static void widen(World *world, WriteColumn *column)
{
    Buffer what = {0};
    Type to = column->type == TYPE_SMALLINT ? TYPE_INT
              : column->type == TYPE_INT    ? TYPE_BIGINT
              : column->type == TYPE_FLOAT  ? TYPE_DOUBLE
                                            : column->type;
    buffer_printf(&what, "MODIFY COLUMN %s %s%c", column->name, type_info(to)->name, 0);
    if (to != column->type)
        on_all(world, "ALTER TABLE", what.data);
    column->type = to;
    buffer_done(&what);
}

static void redefine(World *world)
{
    char name[16];
    Buffer what = {0};
    uint32_t at = 1 + pick(now.column_count - 1);
    WriteColumn *column = &now.columns[at];
    switch (pick(6)) {
    case 0:
        if (now.column_count == COLUMNS_MAX)
            return;
        column = take_column(some_type());
        buffer_printf(&what, "ADD COLUMN %s %s", column->name, type_info(column->type)->name);
        if (pick(2)) {
            buffer_add_text(&what, " DEFAULT ");
            add_word(&what, column->type);
        }
        break;
    case 1:
    case 2:
        if (now.column_count < 4)
            return;
        buffer_printf(&what, "DROP COLUMN %s", column->name);
        memmove(column, column + 1, (--now.column_count - at) * sizeof *column);
        break;
    case 3:
        take_name(name, sizeof name);
        buffer_printf(&what, "RENAME COLUMN %s TO %s", column->name, name);
        memcpy(column->name, name, sizeof name);
        break;
    case 4:
        buffer_printf(&what, "ALTER COLUMN %s SET DEFAULT ", column->name);
        add_word(&what, column->type);
        break;
    default:
        widen(world, &now.columns[pick(now.column_count)]);
        return;
    }
    buffer_add_u8(&what, 0);
    on_all(world, "ALTER TABLE", what.data);
    buffer_done(&what);
}

static void create(World *world)
{
    static const Type keys[] = {TYPE_BIGINT, TYPE_TEXT,   TYPE_SMALLINT,  TYPE_INT,
                                TYPE_UUID,   TYPE_DOUBLE, TYPE_TIMESTAMP, TYPE_FLOAT};
    Buffer sql = {0};
    generation++;
    now.column_count = 0;
    snprintf(now.moved, sizeof now.moved, "rnd.m%u", generation);
    snprintf(now.twin, sizeof now.twin, "rnd.w%u", generation);
    WriteColumn *key = take_column(keys[pick(8)]);
    snprintf(key->name, sizeof key->name, "k");
    for (int i = 0; i < 4; i++)
        (void)take_column(some_type());
    for (int i = 0; i < 6; i++) {
        bool is_moved = i % 2, is_shared = letters[i / 2] == 's';
        buffer_clear(&sql);
        buffer_printf(&sql, "CREATE %s TABLE %s%c (", is_shared ? "SHARED" : "USER",
                      is_moved ? now.moved : now.twin, letters[i / 2]);
        for (uint32_t c = 0; c < now.column_count; c++)
            buffer_printf(&sql, "%s %s%s", now.columns[c].name,
                          type_info(now.columns[c].type)->name,
                          c == 0                     ? " PRIMARY KEY, "
                          : c + 1 < now.column_count ? ", "
                                                     : ")");
        /* The least: what is flushed loses its hot copies. */
        buffer_printf(&sql, " WITH (FEED_WINDOW_BYTES = %d%s)",
                      is_moved && generation % 2 ? 65536 : 1 << 30,
                      is_shared ? ", ACCESS_LEVEL = 'PUBLIC'" : "");
        buffer_add_u8(&sql, 0);
        must_run(world, &root, sql.data);
    }
    buffer_done(&sql);
}

/* ---- the run ---- */

static void storage(World *world, const char *what, char table)
{
    char sql[64];
    snprintf(sql, sizeof sql, "STORAGE %s TABLE %s%c", what, now.moved, table);
    must_run(world, &root, sql);
}

typedef struct Mover {
    World *world;
    atomic_bool stops;
} Mover;

static void move(void *context)
{
    Mover *mover = context;
    for (unsigned i = 0; !atomic_load(&mover->stops); i++)
        storage(mover->world, i % 4 == 3 ? "COMPACT" : "FLUSH", letters[i % 3]);
}

static int write_while_moving(World *world, int requests)
{
    Mover mover = {.world = world};
    Thread *thread = NULL;
    Error e = {0};
    int failed = 0;
    must(thread_start("mover", THREAD_ANY, move, &mover, &thread, &e) == OK);
    for (int i = 0; i < requests && !failed; i++)
        failed += !run_both(world) || (pick(3) == 0 && !same_rows(world));
    atomic_store(&mover.stops, true);
    thread_join(thread);
    return failed;
}

int run_writes(World *world, int requests)
{
    int failed = 0;
    for (int i = 0; i < requests && !failed; i++) {
        if (i % LIFE == 0)
            create(world);
        if (pick(6) == 0)
            storage(world, pick(4) ? "FLUSH" : "COMPACT", letter());
        if (pick(8) == 0)
            redefine(world);
        if (i % LIFE == LIFE / 2)
            failed += write_while_moving(world, LIFE / 4);
        failed += !run_both(world) || (pick(3) == 0 && !same_rows(world)) ||
                  (i % LIFE == LIFE - 1 && !figures_hold(world));
    }
    return failed;
}
