/* SPDX-License-Identifier: Apache-2.0
 *
 * Random SELECTs of one table, three ways: natively over hot rows, through DuckDB over the same
 * rows, and over a second table of the same rows that were partly flushed, updated and deleted. All
 * three must agree to the byte. Queries are made so that the order of rows is total and nothing
 * overflows.
 *
 * Then the same of tables with so many rows that segments have several row groups, and queries for
 * the first rows in some order or for sums: what is skipped by bounds, and dead rows that are known
 * by their place.
 *
 * At last random_tiers.c and random_writes.c.
 *
 * The seed is printed with a failure; KALAM_TEST_SEED replays it.
 */
#include "random.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROWS = 200, DEPTH_MAX = 3 };

static uint64_t state;

uint32_t pick(uint32_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % below;
}

static const Caller alice = {
    .user_id = {"alice", 5}, .role = ROLE_USER, .namespace_name = {"rnd", 3}};

void must_run(World *world, const Caller *caller, const char *sql)
{
    Outcome outcome;
    run_sql(world, MODE_NATIVE, caller, sql, &outcome);
    if (outcome.code != OK)
        fprintf(stderr, "%s\n%s\n", sql, outcome.error);
    must(outcome.code == OK);
    outcome_done(&outcome);
}

/* ---- data ---- */

static const char *const words[] = {"", "a", "A", "ab", "b%", "_x", "é", "zz top", "10", "9"};
static const char *const doubles[] = {"0.0", "-1.5", "2.25", "1e10", "0.1", "7.0"};

static void add_values(Buffer *sql, int id)
{
    buffer_printf(sql, "(%d, ", id);
    buffer_printf(sql, pick(6) ? "%d, " : "NULL, ", (int)pick(20) - 10);
    buffer_printf(sql, pick(6) ? "%d, " : "NULL, ", (int)pick(5));
    if (pick(6))
        buffer_printf(sql, "'%s', ", words[pick(10)]);
    else
        buffer_add_text(sql, "NULL, ");
    buffer_printf(sql, "%s, ", pick(6) ? doubles[pick(6)] : "NULL");
    buffer_printf(sql, pick(6) ? "'2026-0%d-0%d 10:00:00', " : "NULL, ", (int)pick(9) + 1,
                  (int)pick(9) + 1);
    buffer_printf(sql, "%s)", pick(3) == 0 ? "NULL" : pick(2) ? "TRUE" : "FALSE");
}

void on_both(World *world, Buffer *sql, const char *const tables[2])
{
    for (int i = 0; i < 2; i++) {
        Buffer text = {0};
        for (size_t k = 0; k < sql->size; k++) {
            if (sql->data[k] == '@')
                buffer_add_text(&text, tables[i]);
            else
                buffer_add_char(&text, sql->data[k]);
        }
        buffer_add_u8(&text, 0);
        must_run(world, &alice, text.data);
        buffer_done(&text);
    }
    buffer_clear(sql);
}

static void both(World *world, Buffer *sql)
{
    on_both(world, sql, (const char *const[]){"rnd.t", "rnd.u"});
}

static void fill(World *world, int from, int to)
{
    Buffer sql = {0};
    buffer_add_text(&sql, "INSERT INTO @ VALUES ");
    for (int id = from; id < to; id++) {
        if (id > from)
            buffer_add_text(&sql, ", ");
        add_values(&sql, id);
    }
    both(world, &sql);
    buffer_done(&sql);
}

static void change(World *world)
{
    Buffer sql = {0};
    buffer_printf(&sql, "UPDATE @ SET a = a + 1, c = 'changed' WHERE id %% 7 = %u", pick(7));
    both(world, &sql);
    buffer_printf(&sql, "UPDATE @ SET b = 3 WHERE id = %u", pick(ROWS));
    both(world, &sql);
    buffer_printf(&sql, "DELETE FROM @ WHERE id %% 11 = %u", pick(11));
    both(world, &sql);
    buffer_printf(&sql, "DELETE FROM @ WHERE id = %u", pick(ROWS));
    both(world, &sql);
    buffer_done(&sql);
}

static void prepare(World *world)
{
    const Caller root = {
        .user_id = SLICE("root"), .role = ROLE_SYSTEM, .namespace_name = SLICE("rnd")};
    static const char columns[] = "(id BIGINT PRIMARY KEY, a INT, b BIGINT, c TEXT, d DOUBLE, "
                                  "t TIMESTAMP, f BOOLEAN)";
    must_run(world, &root, "CREATE NAMESPACE rnd");
    char sql[512];
    snprintf(sql, sizeof sql, "CREATE USER TABLE rnd.t %s", columns);
    must_run(world, &root, sql);
    snprintf(sql, sizeof sql, "CREATE USER TABLE rnd.u %s", columns);
    must_run(world, &root, sql);
    fill(world, 0, ROWS / 3);
    must_run(world, &root, "STORAGE FLUSH TABLE rnd.u");
    change(world);
    fill(world, ROWS / 3, 2 * ROWS / 3);
    must_run(world, &root, "STORAGE FLUSH TABLE rnd.u");
    fill(world, 2 * ROWS / 3, ROWS);
    change(world);
}

/* ---- expressions ---- */

static void add_number(Buffer *out, int depth);
static void add_boolean(Buffer *out, int depth);

static void add_text_expr(Buffer *out, int depth)
{
    switch (pick(depth > 0 ? 6 : 2)) {
    case 0:
        buffer_add_text(out, "c");
        break;
    case 1:
        buffer_printf(out, "'%s'", words[pick(10)]);
        break;
    case 2:
        buffer_add_text(out, pick(2) ? "upper(" : "lower(");
        add_text_expr(out, depth - 1);
        buffer_add_char(out, ')');
        break;
    case 3:
        buffer_add_char(out, '(');
        add_text_expr(out, depth - 1);
        buffer_add_text(out, " || ");
        add_text_expr(out, depth - 1);
        buffer_add_char(out, ')');
        break;
    case 4:
        buffer_add_text(out, "coalesce(c, ");
        add_text_expr(out, depth - 1);
        buffer_add_char(out, ')');
        break;
    default:
        buffer_add_text(out, "CASE WHEN ");
        add_boolean(out, depth - 1);
        buffer_add_text(out, " THEN ");
        add_text_expr(out, depth - 1);
        buffer_add_text(out, " END");
        break;
    }
}

static void add_number(Buffer *out, int depth)
{
    static const char *const columns[] = {"id", "a", "b", "d"};
    static const char *const operators[] = {"+", "-", "*", "/", "%"};
    switch (pick(depth > 0 ? 6 : 2)) {
    case 0:
        buffer_add_text(out, columns[pick(4)]);
        break;
    case 1:
        buffer_printf(out, "%d", (int)pick(12) - 2);
        break;
    case 2:
    case 3:
        buffer_add_char(out, '(');
        add_number(out, depth - 1);
        buffer_printf(out, " %s ", operators[pick(5)]);
        add_number(out, 0);
        buffer_add_char(out, ')');
        break;
    case 4:
        buffer_add_text(out, "abs(");
        add_number(out, depth - 1);
        buffer_add_char(out, ')');
        break;
    default:
        buffer_add_text(out, "length(");
        add_text_expr(out, depth - 1);
        buffer_add_char(out, ')');
        break;
    }
}

static void add_compare(Buffer *out, int depth)
{
    static const char *const operators[] = {"=", "<>", "<", "<=", ">", ">="};
    switch (pick(8)) {
    case 0:
        buffer_printf(out, "c %sLIKE '%s'", pick(2) ? "NOT " : "",
                      (const char *[]){"a%", "%b%", "_", "%", "z_%"}[pick(5)]);
        break;
    case 1:
        buffer_printf(out, "b %sIN (1, 3, NULL)", pick(2) ? "NOT " : "");
        break;
    case 2:
        buffer_printf(out, "id BETWEEN %u AND %u", pick(ROWS), pick(ROWS));
        break;
    case 3:
        buffer_printf(out, "t >= '2026-0%u-01'", pick(9) + 1);
        break;
    case 4:
        buffer_printf(out, "id = %u", pick(ROWS));
        break;
    case 5:
        add_text_expr(out, depth - 1 > 0 ? depth - 1 : 0);
        buffer_printf(out, " %s ", operators[pick(6)]);
        add_text_expr(out, 0);
        break;
    default:
        add_number(out, depth - 1 > 0 ? depth - 1 : 0);
        buffer_printf(out, " %s ", operators[pick(6)]);
        add_number(out, 0);
        break;
    }
}

static void add_boolean(Buffer *out, int depth)
{
    buffer_add_char(out, '(');
    switch (pick(depth > 0 ? 8 : 3)) {
    case 0:
        buffer_printf(out, "%s IS %sNULL", (const char *[]){"a", "c", "d", "t", "f"}[pick(5)],
                      pick(2) ? "NOT " : "");
        break;
    case 1:
        buffer_add_text(out, pick(2) ? "f" : "NOT f");
        break;
    case 3:
    case 4:
        add_boolean(out, depth - 1);
        buffer_add_text(out, pick(2) ? " AND " : " OR ");
        add_boolean(out, depth - 1);
        break;
    case 5:
        buffer_add_text(out, "NOT ");
        add_boolean(out, depth - 1);
        break;
    default:
        add_compare(out, depth);
        break;
    }
    buffer_add_char(out, ')');
}

static void add_any(Buffer *out)
{
    switch (pick(5)) {
    case 0:
        add_text_expr(out, DEPTH_MAX);
        break;
    case 1:
        add_boolean(out, DEPTH_MAX);
        break;
    case 2:
        buffer_add_text(out, "t");
        break;
    default:
        add_number(out, DEPTH_MAX);
        break;
    }
}

/* @ stands for the table. */
static void make_query(Buffer *out)
{
    bool counts = pick(6) == 0;
    buffer_add_text(out, counts ? "SELECT count(*)" : "SELECT id");
    for (uint32_t i = pick(4); !counts && i > 0; i--) {
        buffer_add_text(out, ", ");
        add_any(out);
        buffer_printf(out, " AS x%u", i);
    }
    buffer_add_text(out, " FROM @");
    if (pick(5)) {
        buffer_add_text(out, " WHERE ");
        add_boolean(out, DEPTH_MAX);
    }
    if (counts)
        return;
    if (pick(3)) { /* else the implicit order by key */
        buffer_add_text(out, " ORDER BY ");
        if (pick(3)) {
            size_t before = out->size;
            add_any(out);
            if (out->data[before] == '\'' || out->data[before] == '-' ||
                (out->data[before] >= '0' && out->data[before] <= '9')) {
                out->size = before; /* a constant is no order, or the number of a column */
                buffer_add_char(out, 'b');
            }
            buffer_printf(out, "%s%s, ", (const char *[]){"", " ASC", " DESC"}[pick(3)],
                          (const char *[]){"", " NULLS FIRST", " NULLS LAST"}[pick(3)]);
        }
        buffer_add_text(out, pick(2) ? "id" : "id DESC");
    }
    if (pick(2))
        buffer_printf(out, " LIMIT %u", pick(30));
    if (pick(4) == 0)
        buffer_printf(out, " OFFSET %u", pick(10));
}

static void on_table(const Buffer *query, const Way *way, Buffer *out)
{
    buffer_clear(out);
    for (size_t i = 0; i < query->size; i++) {
        if (query->data[i] == '@')
            buffer_add_text(out, way->table);
        else if (query->data[i] == '#')
            buffer_add_text(out, way->seq);
        else
            buffer_add_char(out, query->data[i]);
    }
    buffer_add_u8(out, 0);
}

static bool same(const Outcome *a, const Outcome *b)
{
    if (a->code != b->code || a->row_count != b->row_count)
        return false;
    if (a->code != OK)
        return true;
    if (!slice_equal(buffer_slice(&a->columns), buffer_slice(&b->columns)))
        return false;
    for (size_t i = 0; i < a->row_count; i++)
        if (strcmp(a->rows[i], b->rows[i]) != 0)
            return false;
    return true;
}

/* Which rows a write changes must not depend on where they lie. */
static void make_write(Buffer *out)
{
    if (pick(4) == 0) {
        buffer_printf(out, "DELETE FROM @ WHERE id %% 23 = %u AND ", pick(23));
        add_boolean(out, DEPTH_MAX);
        return;
    }
    buffer_add_text(out, "UPDATE @ SET ");
    switch (pick(4)) {
    case 0:
        buffer_add_text(out, "c = ");
        add_text_expr(out, 1);
        buffer_add_text(out, ", d = ");
        add_number(out, 1);
        break;
    case 1:
        buffer_printf(out, "b = %u, f = ", pick(5));
        add_boolean(out, 1);
        break;
    case 2:
        buffer_add_text(out, "a = (SELECT max(a) - 1 FROM @), t = NULL");
        break;
    default:
        buffer_printf(out, "a = a + 1, t = '2026-0%u-02'", pick(9) + 1);
        break;
    }
    buffer_add_text(out, " WHERE ");
    if (pick(2))
        buffer_printf(out, "id IN (%u, %u, %u) AND ", pick(ROWS), pick(ROWS), pick(ROWS));
    add_boolean(out, DEPTH_MAX);
}

/* The first row in which two of the answers differ. */
static size_t first_difference(const Outcome *outcomes, int count)
{
    for (size_t i = 0;; i++)
        for (int k = 1; k < count; k++)
            if (i >= outcomes[0].row_count || i >= outcomes[k].row_count ||
                strcmp(outcomes[0].rows[i], outcomes[k].rows[i]) != 0)
                return i;
}

static void show(const char *what, const Outcome *outcome, size_t from)
{
    fprintf(stderr, "  %s: %s, %zu rows, %.*s\n", what, outcome->error ? outcome->error : "OK",
            outcome->row_count, (int)outcome->columns.size, outcome->columns.data);
    for (size_t i = from; i < outcome->row_count && i < from + 4; i++)
        fprintf(stderr, "    %s\n", outcome->rows[i]);
}

bool agree_in(World *world, const Buffer *query, const Way *ways, int count, int *io_native)
{
    Outcome outcomes[WAYS_MAX] = {0};
    Buffer sql = {0};
    bool agreed = true;
    for (int i = 0; i < count; i++) {
        on_table(query, &ways[i], &sql);
        run_sql(world, ways[i].mode, &alice, sql.data, &outcomes[i]);
        agreed = agreed && same(&outcomes[0], &outcomes[i]);
    }
    *io_native += outcomes[0].code == OK && outcomes[0].moves == 0;
    if (!agreed) {
        fprintf(stderr, "FAILED random: %.*s\n", (int)query->size, query->data);
        for (int i = 0; i < count; i++)
            show(ways[i].what, &outcomes[i], first_difference(outcomes, count));
    }
    for (int i = 0; i < count; i++)
        outcome_done(&outcomes[i]);
    buffer_done(&sql);
    return agreed;
}

static bool agree(World *world, const Buffer *query, int *io_native)
{
    static const Way ways[] = {
        {"native", "rnd.t", MODE_NATIVE, NULL},
        {"duckdb", "rnd.t", MODE_DUCK, NULL},
        {"flushed", "rnd.u", MODE_NATIVE, NULL},
    };
    return agree_in(world, query, ways, 3, io_native);
}

static bool agree_on_write(World *world, const Buffer *write)
{
    static const char *const tables[] = {"rnd.t", "rnd.u"};
    Outcome outcomes[2];
    Buffer sql = {0};
    for (int i = 0; i < 2; i++) {
        on_table(write, &(Way){.table = tables[i]}, &sql);
        run_sql(world, MODE_NATIVE, &alice, sql.data, &outcomes[i]);
    }
    bool agreed =
        outcomes[0].code == outcomes[1].code &&
        slice_equal(buffer_slice(&outcomes[0].messages), buffer_slice(&outcomes[1].messages));
    if (!agreed)
        fprintf(stderr, "FAILED random: %.*s\n  hot: %s %.*s\n  flushed: %s %.*s\n",
                (int)write->size, write->data, outcomes[0].error ? outcomes[0].error : "",
                (int)outcomes[0].messages.size, outcomes[0].messages.data,
                outcomes[1].error ? outcomes[1].error : "", (int)outcomes[1].messages.size,
                outcomes[1].messages.data);
    for (int i = 0; i < 2; i++)
        outcome_done(&outcomes[i]);
    buffer_done(&sql);
    return agreed;
}

/* One random write on both tables, now and then new rows and a flush of one of them; then all rows
 * are compared. */
static bool write_both(World *world, int *io_next_id)
{
    Buffer text = {0};
    int ignored = 0;
    if (pick(4) == 0) {
        fill(world, *io_next_id, *io_next_id + 10);
        *io_next_id += 10;
    }
    if (pick(4) == 0) {
        const Caller root = {
            .user_id = SLICE("root"), .role = ROLE_SYSTEM, .namespace_name = SLICE("rnd")};
        must_run(world, &root, "STORAGE FLUSH TABLE rnd.u");
    }
    make_write(&text);
    bool agreed = agree_on_write(world, &text);
    buffer_clear(&text);
    buffer_add_text(&text, "SELECT id, a, b, c, d, t, f FROM @");
    agreed = agree(world, &text, &ignored) && agreed;
    buffer_done(&text);
    return agreed;
}

/* ---- large tables ---- */

enum { LARGE_STEP = 500 };

static void both_large(World *world, Buffer *sql)
{
    on_both(world, sql, (const char *const[]){"rnd.lt", "rnd.lu"});
}

/* Rows that mostly ascend, as those of a chat do, with ties, stragglers and NULLs. */
static void fill_large(World *world, int from, int to, bool has_x)
{
    Buffer sql = {0};
    for (int id = from; id < to;) {
        buffer_add_text(&sql, has_x ? "INSERT INTO @ (id, a, s, t, c, x) VALUES "
                                    : "INSERT INTO @ (id, a, s, t, c) VALUES ");
        for (int end = id + LARGE_STEP; id < to && id < end; id++) {
            int minute = pick(50) ? id / 3 : (int)pick(20000);
            buffer_printf(&sql, "%s(%d, ", id % LARGE_STEP ? "," : "", pick(2) ? id : -id);
            buffer_printf(&sql, pick(40) ? "%d, " : "NULL, ", id / 50 - (int)pick(30));
            buffer_printf(&sql, "%d, ", (int)pick(200) - 100);
            buffer_printf(
                &sql, pick(id < 9000 ? 100000 : 500) ? "'2026-01-%02d %02d:%02d:00', " : "NULL, ",
                minute / 1440 + 1, minute / 60 % 24, minute % 60);
            buffer_printf(&sql, "'k%u'", pick(40));
            if (has_x)
                buffer_printf(&sql, pick(9) ? ", %d" : ", NULL", (int)pick(20));
            buffer_add_char(&sql, ')');
        }
        both_large(world, &sql);
    }
    buffer_done(&sql);
}

static void change_large(World *world, int rows)
{
    Buffer sql = {0};
    buffer_printf(&sql, "UPDATE @ SET a = a + 40 WHERE id %% 997 = %u", pick(997));
    both_large(world, &sql);
    buffer_printf(&sql, "DELETE FROM @ WHERE id IN (%u, %u, -%u, %u)", pick((uint32_t)rows),
                  pick((uint32_t)rows), pick((uint32_t)rows), (unsigned)rows - 1);
    both_large(world, &sql);
    buffer_printf(&sql, "DELETE FROM @ WHERE id BETWEEN %u AND %u + 5", rows - 40, rows - 40);
    both_large(world, &sql);
    buffer_printf(&sql, "UPDATE @ SET t = '2026-01-%02u 10:00:00', c = 'new' WHERE id %% 1499 = %u",
                  pick(20) + 1, pick(1499));
    both_large(world, &sql);
    buffer_done(&sql);
}

static void prepare_large(World *world)
{
    static const Caller root = {
        .user_id = {"root", 4}, .role = ROLE_SYSTEM, .namespace_name = {"rnd", 3}};
    static const char columns[] = "(id BIGINT PRIMARY KEY, a INT, s SMALLINT, t TIMESTAMP, c TEXT)";
    static const char *const tables[] = {"rnd.lt", "rnd.lu"};
    char sql[256];
    for (int i = 0; i < 2; i++) {
        snprintf(sql, sizeof sql, "CREATE USER TABLE %s %s", tables[i], columns);
        must_run(world, &root, sql);
    }
    fill_large(world, 0, 9000, false);
    must_run(world, &root, "STORAGE FLUSH TABLE rnd.lu");
    change_large(world, 9000);
    fill_large(world, 9000, 19500, false);
    must_run(world, &root, "STORAGE FLUSH TABLE rnd.lu");
    for (int i = 0; i < 2; i++) {
        snprintf(sql, sizeof sql, "ALTER TABLE %s ADD COLUMN x INT DEFAULT 7", tables[i]);
        must_run(world, &root, sql);
        snprintf(sql, sizeof sql, "ALTER TABLE %s MODIFY COLUMN s BIGINT", tables[i]);
        must_run(world, &root, sql);
    }
    fill_large(world, 19500, 22000, true);
    must_run(world, &root, "STORAGE FLUSH TABLE rnd.lu");
    fill_large(world, 22000, 22400, true);
    change_large(world, 22400);
}

static void add_large_condition(Buffer *out)
{
    switch (pick(8)) {
    case 0:
        buffer_printf(out, "c = 'k%u'", pick(42));
        break;
    case 1:
        buffer_printf(out, "t %s '2026-01-%02u 12:30:00'", pick(2) ? "<" : ">=", pick(18) + 1);
        break;
    case 2:
        buffer_printf(out, "a %s %u", pick(2) ? "<=" : ">", pick(450));
        break;
    case 3:
        buffer_printf(out, "s BETWEEN %d AND %u", (int)pick(100) - 100, pick(100));
        break;
    case 4:
        buffer_printf(out, "id %s %d", pick(2) ? "<" : ">", (int)pick(44000) - 22000);
        break;
    case 5:
        buffer_add_text(out, pick(2) ? "t IS NULL" : "a IS NOT NULL");
        break;
    case 6:
        buffer_printf(out, "x %s %u", pick(2) ? "=" : "<>", pick(21));
        break;
    default:
        buffer_printf(out, "c LIKE '%%%u'", pick(10));
    }
}

/* *out_by_seq: the two tables' rows need not have the same order. */
static void make_large_query(Buffer *out, bool *out_by_seq)
{
    static const char *const orders[] = {"a", "s", "t", "x", "id", "_seq", "t", "t"};
    static const char *const sums[] = {"count(*), sum(id), min(t), max(t)", "sum(a), count(x)",
                                       "max(c), count(DISTINCT c), sum(s)"};
    bool is_sum = pick(4) == 0;
    *out_by_seq = false;
    if (is_sum)
        buffer_printf(out, "SELECT %s FROM @", sums[pick(3)]);
    else
        buffer_add_text(out, pick(2) ? "SELECT id, a, s, t, c, x FROM @" : "SELECT c, id FROM @");
    for (uint32_t i = 0, count = pick(3); i < count; i++) {
        buffer_add_text(out, i ? " AND " : " WHERE ");
        add_large_condition(out);
    }
    if (is_sum)
        return;
    const char *order = orders[pick(8)];
    *out_by_seq = strcmp(order, "_seq") == 0;
    buffer_printf(out, " ORDER BY %s %s %s", order, pick(3) ? "DESC" : "ASC",
                  (const char *[]){"", "NULLS FIRST", "NULLS LAST"}[pick(3)]);
    if (pick(3) == 0)
        buffer_printf(out, ", %s %s", (const char *[]){"c", "a", "t"}[pick(3)],
                      pick(2) ? "DESC" : "NULLS FIRST");
    buffer_printf(out, ", id %s LIMIT %u", pick(2) ? "DESC" : "", 1 + pick(pick(4) ? 60 : 3000));
    if (pick(4) == 0)
        buffer_printf(out, " OFFSET %u", pick(pick(3) ? 50 : 3000));
}

static int run_large(World *world, int queries)
{
    static const Way ways[] = {
        {"flushed", "rnd.lu", MODE_NATIVE, NULL},
        {"flushed, DuckDB", "rnd.lu", MODE_DUCK, NULL},
        {"hot", "rnd.lt", MODE_NATIVE, NULL},
    };
    int failed = 0, ignored = 0;
    Buffer query = {0};
    prepare_large(world);
    for (int i = 0; i < queries && failed < 10; i++) {
        bool by_seq = false;
        buffer_clear(&query);
        make_large_query(&query, &by_seq);
        if (!agree_in(world, &query, ways, by_seq ? 2 : 3, &ignored))
            failed++;
        if (i % 25 == 24)
            change_large(world, 22400);
    }
    buffer_done(&query);
    return failed;
}

void run_random(World *world, int queries, int *io_passed, int *io_failed)
{
    const char *given = getenv("KALAM_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    state = seed;
    prepare(world);
    int failed = 0, native = 0, next_id = ROWS;
    Buffer query = {0};
    for (int i = 0; i < queries && failed < 10; i++) {
        buffer_clear(&query);
        make_query(&query);
        if (!agree(world, &query, &native))
            failed++;
        if (i % 10 == 9 && !write_both(world, &next_id))
            failed++;
    }
    buffer_done(&query);
    if (!failed &&
        native < queries * 3 / 4) { /* else this compares DuckDB with itself, or errors */
        fprintf(stderr, "FAILED random: only %d of %d queries ran natively\n", native, queries);
        failed++;
    }
    failed += run_large(world, queries / 4);
    failed += run_tiers(world, queries / 2);
    failed += run_writes(world, queries / 2);
    if (failed)
        fprintf(stderr, "FAILED random: replay with KALAM_TEST_SEED=%" PRIu64 "\n", seed);
    *(failed ? io_failed : io_passed) += 1;
}
