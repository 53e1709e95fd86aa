/* SPDX-License-Identifier: Apache-2.0
 *
 * Part users of tiers: many users with few rows each, then some with many, beside one user.
 *
 * The one user has as many rows as the many have together, up to TIERS_SINGLE_ROWS: slices of both
 * alternate at the start and again at the end of the load, when the store is full; what is between
 * is the many's alone. Of each kind of slice come the rate by the clock and the processor time of
 * the server for a row, until it is quiet again: what a slice leaves to do in the background is its
 * own.
 *
 * Rows of any user have the same texts, by their place, so that a load of a hundred million spends
 * its time in the server; ids differ.
 *
 * Rows by key are read in several ways, each in turns with the one user:
 *   any row        one of all that a user has, in whichever tier it lies: the line above says how
 *                  much of each side is in segments, where a row takes milliseconds
 *   written last   the rows that each side wrote last, equally many: hot, in memory
 *   newest         those of each of the many, hot, beside as many hot rows of one user in a table
 *                  that is never flushed: both larger than the block cache when users are many, so
 *                  that both come out of files
 *   of the one     the same beside the newest rows of the one user: very many rows beside a few
 *                  that are always in memory. What this is slower by than the line before is the
 *                  block cache, not the users.
 */
#include "beside.h"

enum {
    SMALL_ROWS = 20, /* of each of many users */
    LARGE_ROWS = 100 * 1000,
    USERS_AT_ONCE = 100,  /* rows of a statement */
    FLUSHED_USERS = 1000, /* a partition of a few rows costs as many syncs as one of many */
    USERS_WRITERS = 6,
    SLICE_PAIRS = 6, /* at the start, and as many at the end */
    SLICE_ROWS_MAX = 250 * 1000,
    NEWEST_ROWS = 500, /* of each user, surely hot */
    LAST_ROWS = 4000,  /* written last by a side, surely hot */
    READS_AT_ONCE = 200,
    SINGLES = 2000,
    SINGLES_AT_ONCE = 50,
};

#define HOT_POLICY "FLUSH_POLICY = 'interval:86399'" /* for longer than any run */

typedef struct Layout { /* `rows` of each of `users`, in statements of `at_once` rows */
    const char *table, *prefix;
    uint64_t users, rows, at_once;
} Layout;

typedef struct Side { /* a layout, and how far it is */
    Layout layout;
    uint64_t sent; /* statements */
    double rows, seconds, processor;
    Stats singles;
    uint64_t next_single;
} Side;

typedef struct Users {
    Bench *b;
    Wire writers[USERS_WRITERS];
    bool is_out[USERS_WRITERS];
    unsigned next_writer;
    char *values[LARGE_ROWS]; /* all of a row but its id */
} Users;

/* ---- statements ---- */

static void users_open(Users *u, Bench *b)
{
    *u = (Users){.b = b};
    for (int i = 0; i < USERS_WRITERS; i++)
        u->writers[i] = wire_open(b->port);
    for (uint64_t n = 0; n < LARGE_ROWS; n++) {
        char row[1024];
        chat_values(b->chat, n, row, sizeof row);
        u->values[n] = strdup(strchr(row, ','));
        if (!u->values[n])
            die("no memory");
    }
}

static void users_finish(Users *u)
{
    for (unsigned i = 0; i < USERS_WRITERS; i++) {
        if (u->is_out[i])
            wire_take(&u->writers[i], wire_await(&u->writers[i]));
        u->is_out[i] = false;
    }
}

/* Sends b->statement on a free writer. */
static void users_send(Users *u)
{
    unsigned i = u->next_writer++ % USERS_WRITERS;
    if (u->is_out[i])
        wire_take(&u->writers[i], wire_await(&u->writers[i]));
    wire_post(&u->writers[i], u->b->token, u->b->statement);
    u->is_out[i] = true;
}

static void users_close(Users *u)
{
    users_finish(u);
    for (int i = 0; i < USERS_WRITERS; i++)
        wire_close(&u->writers[i]);
    for (uint64_t n = 0; n < LARGE_ROWS; n++)
        free(u->values[n]);
}

/* Room for as many rows again after those of the layout. */
static uint64_t users_id(const Layout *l, uint64_t user, uint64_t n)
{
    return chat_id(user * (2 * l->rows + SINGLES) + n);
}

/* b->statement = INSERT of `count` rows of a user, the first of them its row `first`. */
static void users_insert(Users *u, const Layout *l, uint64_t user, uint64_t first, uint64_t count)
{
    char *out = u->b->statement;
    size_t at = (size_t)snprintf(
        out, STATEMENT_BYTES_MAX,
        "{\"sql\":\"EXECUTE AS USER '%s%llu' (INSERT INTO chat.%s (id, conversation_id, role, "
        "content, created_at) VALUES ",
        l->prefix, (unsigned long long)user, l->table);
    for (uint64_t n = first; n < first + count; n++) {
        const char *values = u->values[n % LARGE_ROWS];
        at += (size_t)snprintf(out + at, STATEMENT_BYTES_MAX - at, "%s(%llu", n > first ? "," : "",
                               (unsigned long long)users_id(l, user, n));
        size_t bytes = strlen(values);
        memcpy(out + at, values, bytes);
        at += bytes;
    }
    memcpy(out + at, ")\"}", sizeof ")\"}");
}

static void make_users(Users *u, const char *prefix, uint64_t count)
{
    enum { AT_ONCE = 500 };
    const Bench *b = u->b;
    uint64_t started = now_ns();
    for (uint64_t i = 0; i < count;) {
        size_t at = (size_t)snprintf(b->statement, STATEMENT_BYTES_MAX, "{\"sql\":\"");
        for (int j = 0; j < AT_ONCE && i < count; j++, i++)
            at += (size_t)snprintf(b->statement + at, STATEMENT_BYTES_MAX - at,
                                   "CREATE USER %s%llu WITH OAUTH '{\\\"provider\\\":\\\"bench\\\","
                                   "\\\"subject\\\":\\\"%s%llu\\\"}' ROLE user;",
                                   prefix, (unsigned long long)i, prefix, (unsigned long long)i);
        snprintf(b->statement + at, STATEMENT_BYTES_MAX - at, "\"}");
        users_send(u);
    }
    users_finish(u);
    line("CREATE USER", "%llu, %.0f/s, server then %.0f MB", (unsigned long long)count,
         (double)count / tiers_seconds_since(started), tiers_resident_mb(b));
}

/* ---- loading ---- */

static uint64_t statements_of(const Layout *l)
{
    return l->users * (l->rows / l->at_once);
}

/* The next statements of those that make the layout: a few rows of each user in turn. */
static void send_slice(Users *u, Side *side, uint64_t count)
{
    const Layout *l = &side->layout;
    uint64_t started = now_ns();
    for (uint64_t i = side->sent; i < side->sent + count; i++) {
        users_insert(u, l, i % l->users, i / l->users * l->at_once, l->at_once);
        users_send(u);
    }
    users_finish(u);
    side->sent += count;
    side->rows += (double)(count * l->at_once);
    side->seconds += tiers_seconds_since(started);
}

static void measure_slice(Users *u, Side *side, uint64_t count)
{
    double used = process_seconds(u->b->server);
    send_slice(u, side, count);
    tiers_await_quiet(u->b);
    side->processor += process_seconds(u->b->server) - used;
}

/* Slices that alternate, because the disk's mood changes. Between them comes the hot side's share
 * (it may be NULL), so that its rows are about as old. */
static void load_pairs(Users *u, Side *one, Side *many, Side *hot, uint64_t count, const char *name)
{
    one->rows = one->seconds = one->processor = 0;
    many->rows = many->seconds = many->processor = 0;
    for (uint64_t i = 0; i < SLICE_PAIRS; i++) {
        uint64_t statements = count * (i + 1) / SLICE_PAIRS - count * i / SLICE_PAIRS;
        measure_slice(u, one, statements);
        measure_slice(u, many, statements);
        if (hot)
            send_slice(u, hot, statements_of(&hot->layout) * (i + 1) / SLICE_PAIRS - hot->sent);
    }
    double rate = many->rows / many->seconds, one_rate = one->rows / one->seconds;
    double used = many->processor / many->rows, one_used = one->processor / one->rows;
    line(name, "insert %.0f rows/s, one user %.0f   %.2f x; processor %.2f us a row, %.2f   %.2f x",
         rate, one_rate, rate / one_rate, used * 1e6, one_used * 1e6, used / one_used);
}

static void load_between(Users *u, Side *many, uint64_t count)
{
    const Bench *b = u->b;
    double used = process_seconds(b->server), most = 0;
    uint64_t started = now_ns();
    many->rows = many->seconds = 0;
    for (uint64_t sent = 0; sent < count;) {
        uint64_t slice = SLICE_ROWS_MAX / many->layout.at_once;
        slice = slice < count - sent ? slice : count - sent;
        send_slice(u, many, slice);
        sent += slice;
        most = tiers_resident_mb(b) > most ? tiers_resident_mb(b) : most;
    }
    tiers_await_quiet(u->b);
    line("  the many alone, between", "insert %.0f rows/s; processor %.2f us a row; %.0f s",
         many->rows / many->seconds, (process_seconds(b->server) - used) * 1e6 / many->rows,
         tiers_seconds_since(started));
}

static void load_all(Users *u, Side *one, Side *many, Side *hot)
{
    uint64_t pairs = statements_of(&one->layout), all = statements_of(&many->layout);
    uint64_t first = pairs / 2, last = pairs - first;
    load_pairs(u, one, many, NULL, first, "  at the start");
    if (all > pairs)
        load_between(u, many, all - pairs);
    load_pairs(u, one, many, hot, last, "  at the end");
}

/* ---- single rows ---- */

static void insert_singles(Users *u, Side *side, int count)
{
    const Layout *l = &side->layout;
    Wire *w = &u->writers[0];
    for (int i = 0; i < count; i++) {
        uint64_t user = chat_mix(side->next_single) % l->users;
        users_insert(u, l, user, l->rows + side->next_single++, 1);
        wire_post(w, u->b->token, u->b->statement);
        size_t bytes = wire_await(w);
        stats_add(&side->singles, now_ns() - w->sent_ns);
        wire_take(w, bytes);
    }
}

static void compare_sides(const char *name, Stats *many, Stats *one)
{
    double p50 = stats_percentile_ms(many, 50), one_p50 = stats_percentile_ms(one, 50);
    line(name, "p50 %.3f p99 %.3f ms, one user %.3f %.3f   %.2f x", p50,
         stats_percentile_ms(many, 99), one_p50, stats_percentile_ms(one, 99), p50 / one_p50);
}

static void measure_singles(Users *u, Side *one, Side *many)
{
    users_finish(u);
    for (int i = 0; i < SINGLES; i += SINGLES_AT_ONCE) {
        insert_singles(u, one, SINGLES_AT_ONCE);
        insert_singles(u, many, SINGLES_AT_ONCE);
    }
    compare_sides("  INSERT of a row", &many->singles, &one->singles);
}

/* ---- rows by key ---- */

/* Reads row n of a user, which must be there whole. */
static void users_read(Users *u, const Layout *l, uint64_t user, uint64_t n, Stats *stats)
{
    char body[1024], id[32], text[2 * CHAT_TEXT_BYTES];
    Bench *b = u->b;
    Wire *w = &u->writers[0];
    snprintf(id, sizeof id, "%llu", (unsigned long long)users_id(l, user, n));
    snprintf(body, sizeof body,
             "{\"sql\":\"EXECUTE AS USER '%s%llu' (SELECT id, content FROM chat.%s WHERE id = "
             "%s)\"}",
             l->prefix, (unsigned long long)user, l->table, id);
    wire_post(w, b->token, body);
    size_t bytes = wire_await(w);
    stats_add(stats, now_ns() - w->sent_ns);
    chat_text(b->chat, n % LARGE_ROWS, text);
    if (!strstr(w->in, text) || !strstr(w->in, id))
        die("row %llu of %s%llu is not there: %.*s", (unsigned long long)n, l->prefix,
            (unsigned long long)user, (int)bytes, w->in);
    wire_take(w, bytes);
}

/* What is read of a side: the rows of each user from one on, or only what was written last. */
typedef struct Sample {
    const Layout *layout;
    uint64_t from, rows; /* of each user */
    uint64_t last;       /* not 0: so many of the rows written last, and nothing else */
} Sample;

static Sample sample_newest(const Side *side)
{
    const Layout *l = &side->layout;
    uint64_t rows = NEWEST_ROWS < l->rows ? NEWEST_ROWS : l->rows;
    return (Sample){l, l->rows - rows, rows, 0};
}

static Sample sample_last(const Side *side)
{
    const Layout *l = &side->layout;
    uint64_t rows = l->users * l->rows;
    return (Sample){l, 0, 0, rows < LAST_ROWS ? rows : LAST_ROWS};
}

static uint64_t sample_size(const Sample *s)
{
    return s->last ? s->last : s->rows * s->layout->users;
}

/* Row i of the sample. Statements of the load went round the users. */
static void read_one(Users *u, const Sample *s, uint64_t i, Stats *stats)
{
    const Layout *l = s->layout;
    if (!s->last) {
        users_read(u, l, i % l->users, s->from + i / l->users, stats);
        return;
    }
    uint64_t statement = statements_of(l) - 1 - i / l->at_once;
    users_read(u, l, statement % l->users, statement / l->users * l->at_once + i % l->at_once,
               stats);
}

/* Its processor time in seconds. */
static double read_some(Users *u, const Sample *s, uint64_t first, Stats *stats)
{
    double used = process_seconds(u->b->server);
    for (uint64_t i = first; i < first + READS_AT_ONCE; i++)
        read_one(u, s, chat_mix(i) % sample_size(s), stats);
    return process_seconds(u->b->server) - used;
}

static void compare_reads(Users *u, Sample many, Sample one, const char *name)
{
    char label[100];
    Stats many_points = {0}, one_points = {0};
    double many_used = 0, one_used = 0;
    for (uint64_t i = 0; i < POINTS; i += READS_AT_ONCE) {
        one_used += read_some(u, &one, i, &one_points);
        many_used += read_some(u, &many, i, &many_points);
    }
    compare_sides(name, &many_points, &one_points);
    snprintf(label, sizeof label, "    of %llu rows, one user %llu",
             (unsigned long long)sample_size(&many), (unsigned long long)sample_size(&one));
    line(label, "processor %.3f ms, %.3f   %.2f x", many_used * 1e3 / POINTS,
         one_used * 1e3 / POINTS, many_used / one_used);
}

/* Field `index` of the first row of an answer without texts that hold commas. */
static double users_field(const Wire *w, int index)
{
    const char *at = strstr(w->in, "\"rows\":[[");
    for (int i = 0; at && i < index; i++)
        at = strchr(at + 1, ',');
    if (!at)
        die("no field %d: %s", index, w->in);
    return strtod(at + strspn(at, ",\""), NULL);
}

/* The part of all rows that lies in segments; the newest of those are hot still. */
static double cold_share(Users *u, const Side *side)
{
    enum { ALL_ROWS = 3, HOT_ROWS = 8, COLD_ROWS = 9 };
    Wire *w = &u->writers[0];
    char body[200];
    snprintf(body, sizeof body, "{\"sql\":\"SHOW STATS FOR TABLE chat.%s\"}", side->layout.table);
    wire_post(w, u->b->token, body);
    size_t bytes = wire_await(w);
    double all = users_field(w, ALL_ROWS), cold = users_field(w, COLD_ROWS);
    if (all != cold + users_field(w, HOT_ROWS))
        die("rows of chat.%s do not add up: %s", side->layout.table, w->in);
    wire_take(w, bytes);
    return cold / all;
}

static void read_any(Users *u, const Side *one, const Side *many, const char *name)
{
    line("  of all rows in segments", "%.0f %%, of one user's %.0f %%", cold_share(u, many) * 100,
         cold_share(u, one) * 100);
    compare_reads(u, (Sample){&many->layout, 0, many->layout.rows, 0},
                  (Sample){&one->layout, 0, one->layout.rows, 0}, name);
}

/* `hot` NULL: nothing is flushed, so that any row is a hot one. */
static void read_all(Users *u, const Side *one, const Side *many, const Side *hot)
{
    read_any(u, one, many, "  any row by key");
    compare_reads(u, sample_last(many), sample_last(one), "  rows written last, by key");
    if (!hot)
        return;
    compare_reads(u, sample_newest(many), (Sample){&hot->layout, 0, hot->layout.rows, 0},
                  "  newest rows by key, as many of the one user");
    compare_reads(u, sample_newest(many), sample_newest(one),
                  "  newest rows by key, of each user and of the one");
}

/* ---- a layout ---- */

static void print_sizes(const Bench *b)
{
    line("  memory of the server", "%.0f MB, at most %.0f MB so far", tiers_resident_mb(b),
         tiers_resident_most_mb(b));
    line("  data folder", "hot store %.0f MB, segments %.0f MB",
         tiers_data_bytes(b, "rocksdb") / 1e6, tiers_data_bytes(b, "storage") / 1e6);
}

static void make_layout_table(Bench *b, const char *name, const char *policy)
{
    tiers_sql(b,
              "CREATE TABLE chat.%s (id BIGINT PRIMARY KEY, conversation_id BIGINT NOT NULL, "
              "role TEXT NOT NULL, content TEXT NOT NULL, created_at TIMESTAMP NOT NULL) WITH "
              "(TYPE = 'USER', %s)",
              name, policy);
}

/* A row at a time into a table of another user, before and while the partitions of the many are
 * flushed. */
static void flush_both(Bench *b, const Side *one, const Side *many)
{
    char label[100], table[64];
    Stats quiet = {0}, beside = {0};
    Beside flusher = {.b = b};
    double one_flush = tiers_sql(b, "STORAGE FLUSH TABLE chat.%s", one->layout.table);
    snprintf(table, sizeof table, "%s_beside", many->layout.table);
    tiers_make_table(b, table);
    Inserter in = {.b = b, .table = table, .w = wire_open(b->port), .next = 1u << 30};
    tiers_await_quiet(b);
    insert_for(&in, (uint64_t)(b->seconds * 1000), &quiet);
    snprintf(label, sizeof label, "STORAGE FLUSH TABLE chat.%s", many->layout.table);
    insert_beside(&in, &flusher, label, &beside);
    wire_close(&in.w);
    snprintf(label, sizeof label, "  flush of %llu partitions",
             (unsigned long long)many->layout.users);
    line(label, "%.2f s, of one %.2f s", stats_percentile_ms(&flusher.times, 100) / 1e3, one_flush);
    compare("  INSERT, quiet", &quiet, &quiet);
    compare("  INSERT beside the flush", &beside, &quiet);
}

/* The one user's table with as many rows as the many have together, at most `rows_max`. */
static Side side_of_one(const Layout *many, const char *table, uint64_t rows_max)
{
    Side one = {.layout = *many};
    one.layout.table = table;
    one.layout.prefix = "single";
    one.layout.users = 1;
    one.layout.rows = many->users * many->rows;
    if (one.layout.rows > rows_max)
        one.layout.rows = rows_max / many->at_once * many->at_once;
    return one;
}

/* Policy NULL: nothing is ever flushed, but by the statement. */
static void measure_layout(Users *u, Layout layout, const char *policy)
{
    uint64_t single_rows = tiers_size("TIERS_SINGLE_ROWS", 5 * 1000 * 1000);
    char one_table[64], many_table[64], hot_table[64];
    snprintf(one_table, sizeof one_table, "%s_one", layout.table);
    snprintf(many_table, sizeof many_table, "%s_many", layout.table);
    snprintf(hot_table, sizeof hot_table, "%s_hot", layout.table);
    Side many = {.layout = layout}, one = side_of_one(&layout, one_table, single_rows);
    Side hot = side_of_one(&layout, hot_table, layout.users * NEWEST_ROWS);
    many.layout.table = many_table;
    make_layout_table(u->b, one_table, policy ? policy : HOT_POLICY);
    make_layout_table(u->b, many_table, policy ? policy : HOT_POLICY);
    if (policy)
        make_layout_table(u->b, hot_table, HOT_POLICY);
    line("users x rows", "%llu x %llu, one user of %llu", (unsigned long long)layout.users,
         (unsigned long long)layout.rows, (unsigned long long)one.layout.rows);
    load_all(u, &one, &many, policy ? &hot : NULL);
    measure_singles(u, &one, &many);
    read_all(u, &one, &many, policy ? &hot : NULL);
    print_sizes(u->b);
    if (layout.users > FLUSHED_USERS)
        return;
    flush_both(u->b, &one, &many);
    tiers_await_quiet(u->b);
    read_any(u, &one, &many, "  any row by key, after the flush");
    print_sizes(u->b);
}

void tiers_users(Bench *b)
{
    uint64_t users = tiers_size("TIERS_USERS", 2000), large = tiers_size("TIERS_LARGE", 20);
    Users *u = malloc(sizeof *u);
    if (!u)
        die("no memory");
    users_open(u, b);
    make_users(u, "single", 1);
    make_users(u, "u", users > large ? users : large);
    measure_layout(u, (Layout){"small", "u", users, SMALL_ROWS, SMALL_ROWS}, NULL);
    measure_layout(u, (Layout){"large", "u", large, LARGE_ROWS, USERS_AT_ONCE},
                   "FLUSH_POLICY = 'rows:9000', FEED_WINDOW_BYTES = 2000000");
    users_close(u);
    free(u);
}
