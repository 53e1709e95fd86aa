/* SPDX-License-Identifier: Apache-2.0
 *
 * A STREAM table: rows are appended, deleted by a key that many of them share, and expire.
 *
 * One writer numbers the rows, so that it knows what every row is. Seqs are known from the witness,
 * which is always there.
 *
 * I1. What is told of a row fits what was written: its values, its one seq, not before its insert,
 *     not after its delete, each once, in the order of seqs.
 * I2. At a check every client has each row that has not expired, if it is there and matches, and no
 *     other such row; and one that every event was due to has been told of each.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "model.h"
#include "os/clock.h"
#include "table/seq.h"

enum {
    STREAM_KEYS = 40, /* the last is the fence's */
    ROWS_SHARE = 4,   /* of all changes, one in so many is a stream's */
    SLACK_MS = 1500,  /* around the moment at which a row expires */
};

typedef struct StreamRow {
    uint8_t id;
    char v;
    bool is_acked, is_doomed;  /* is_doomed: a DELETE of it has begun */
    bool is_gone;              /* its DELETE has ended; or it was lost */
    uint64_t seq, deleted_seq; /* 0: not told yet */
    int64_t planned_at_us;
} StreamRow;

/* What a client was told of a row. */
enum { HAS = 1, TOLD_INSERT = 2, TOLD_DELETE = 4 };

typedef struct Client {
    Mode mode;
    bool is_acked;
    uint32_t life;
    uint64_t cursor, base, from, last_seq, page_seq, asked_at_us;
    uint8_t *told; /* by row */
} Client;

typedef struct Events {
    uint32_t life, count, max; /* rows are numbered from 1 */
    uint32_t synced_count;
    uint32_t oldest; /* below it all have expired for long */
    uint64_t random, next_fence;
    StreamRow *rows;
    Client clients[STREAM_FOLLOWERS];
} Events;

static Events *stream; /* shared memory */

static const struct {
    const char *sql;
    bool replay;
} queries[STREAM_FOLLOWERS] = {
    {"SELECT * FROM t.e", true},
    {"SELECT id, v, n FROM t.e WHERE id % 3 = 0", true},
    {"SELECT n, id, v FROM t.e", false},
    {"SELECT * FROM t.e WHERE v = 'a' OR id = 39", true},
};

static bool matches(int at, const StreamRow *row)
{
    switch (at) {
    case 1:
        return row->id % 3 == 0;
    case 3:
        return row->v == 'a' || row->id == STREAM_KEYS - 1;
    default:
        return true;
    }
}

void streams_make(void)
{
    uint32_t max = (uint32_t)(model->wanted / 2 + 100 * 1000);
    stream = (Events *)model_shared(sizeof *stream);
    stream->rows = (StreamRow *)model_shared((max + 1) * sizeof *stream->rows);
    stream->max = max;
    stream->life = stream->oldest = 1;
    stream->random = model->seed * 77;
    for (int i = 0; i < STREAM_FOLLOWERS; i++)
        stream->clients[i].told = (uint8_t *)model_shared(max + 1);
}

void streams_create_table(void)
{
    sql_must("CREATE STREAM TABLE t.e (id BIGINT PRIMARY KEY, v TEXT, n BIGINT) "
             "WITH (TTL_SECONDS = %d)",
             STREAM_TTL_S);
}

/* ---- when rows expire ---- */

static int64_t age_ms(uint64_t seq)
{
    return (clock_wall_us() - seq_time_us(seq)) / 1000;
}

static bool is_fresh(uint64_t seq)
{
    return age_ms(seq) < STREAM_TTL_S * 1000 - SLACK_MS;
}

static bool is_expired(uint64_t seq)
{
    return age_ms(seq) > STREAM_TTL_S * 1000 + SLACK_MS;
}

/* ---- writing; one thread ---- */

static void run(const char *sql, uint32_t from, uint32_t to, uint32_t doomed_id)
{
    Error error = {0};
    Code code = sql_run(BERT, sql, NULL, &error);
    MUTEX_SCOPE(&world.lock);
    if (code != OK)
        failed("%.200s: %s", sql, error.text);
    for (uint32_t n = from; n < to; n++)
        stream->rows[n].is_acked = true;
    for (uint32_t n = stream->oldest; doomed_id < STREAM_KEYS && n <= stream->count; n++)
        stream->rows[n].is_gone |= stream->rows[n].is_doomed;
    model->changes += to - from;
    model->figures.statements++;
}

static void insert(uint32_t count, bool is_fence)
{
    CLEANUP(buffer_done) Buffer sql = {0};
    buffer_add_text(&sql, "INSERT INTO t.e (id, v, n) VALUES ");
    mutex_lock(&world.lock);
    uint32_t from = stream->count + 1;
    for (uint32_t n = from; n < from + count; n++) {
        must(n < stream->max);
        uint8_t id =
            is_fence ? STREAM_KEYS - 1 : (uint8_t)(random_of(&stream->random) % (STREAM_KEYS - 1));
        char v = (char)('a' + random_of(&stream->random) % 3);
        stream->rows[n] = (StreamRow){.id = id, .v = v, .planned_at_us = clock_wall_us()};
        buffer_printf(&sql, "%s(%u, '%c', %u)", n > from ? ", " : "", id, v, n);
    }
    stream->count += count;
    mutex_unlock(&world.lock);
    buffer_add_char(&sql, 0);
    run(sql.data, from, from + count, STREAM_KEYS);
}

static void delete (uint32_t id)
{
    char sql[80];
    snprintf(sql, sizeof sql, "DELETE FROM t.e WHERE id = %u", id);
    mutex_lock(&world.lock);
    for (uint32_t n = stream->oldest; n <= stream->count; n++)
        stream->rows[n].is_doomed |= stream->rows[n].id == id;
    mutex_unlock(&world.lock);
    run(sql, 0, 0, id);
}

void streams_write(void)
{
    if (!model_wants("stream") || stream->count * (uint64_t)ROWS_SHARE > model->changes) {
        static const struct timespec pause = {.tv_nsec = 500 * 1000};
        nanosleep(&pause, NULL);
        return;
    }
    if (random_of(&stream->random) % 6 == 0)
        delete ((uint32_t)(random_of(&stream->random) % (STREAM_KEYS - 1)));
    else
        insert(1 + (uint32_t)(random_of(&stream->random) % 8), false);
}

/* ---- what a message says ---- */

static StreamRow *row_of(int link, const json_t *row, uint32_t *out_n)
{
    uint64_t n = number_of(row, "n");
    const json_t *v = json_object_get(row, "v");
    if (n == 0 || n > stream->count) {
        failed("link %d sees row %llu of somebody else", link, (unsigned long long)n);
        n = 0;
    }
    StreamRow *found = &stream->rows[n];
    if (n && (number_of(row, "id") != found->id || json_string_value(v)[0] != found->v))
        failed("link %d: row %llu is not as it was written", link, (unsigned long long)n);
    *out_n = (uint32_t)n;
    return found;
}

static void note_seq(int link, uint32_t n, uint64_t *io_known, uint64_t seq)
{
    if (*io_known && *io_known != seq)
        failed("link %d has stream row %u at %llu, others at %llu", link, n,
               (unsigned long long)seq, (unsigned long long)*io_known);
    *io_known = seq;
}

static void on_inserted(int link, const json_t *json)
{
    Client *c = &stream->clients[link - FOLLOWERS];
    uint32_t n;
    StreamRow *row = row_of(link, json, &n);
    note_seq(link, n, &row->seq, number_of(json, "_seq"));
    if (c->told[n] & (HAS | TOLD_INSERT | TOLD_DELETE))
        failed("link %d is told of stream row %u twice (%d)", link, n, c->told[n]);
    if (!matches(link - FOLLOWERS, row))
        failed("link %d is told of stream row %u, which does not match", link, n);
    c->told[n] |= HAS | TOLD_INSERT;
}

static void on_deleted(int link, const json_t *json)
{
    Client *c = &stream->clients[link - FOLLOWERS];
    uint32_t n;
    StreamRow *row = row_of(link, json, &n);
    note_seq(link, n, &row->deleted_seq, number_of(json, "_seq"));
    if (!row->is_doomed)
        failed("link %d is told that stream row %u is gone, which nobody deleted", link, n);
    if (!(c->told[n] & HAS) && c->mode == MODE_EXACT && is_fresh(row->seq))
        failed("link %d loses stream row %u, which it had not", link, n);
    c->told[n] = (uint8_t)((c->told[n] & ~HAS) | TOLD_DELETE);
}

static void become_exact(Client *c)
{
    c->mode = MODE_EXACT;
    c->base = c->last_seq = c->cursor;
}

static void on_batch(int link, const json_t *message)
{
    Client *c = &stream->clients[link - FOLLOWERS];
    const json_t *rows = json_object_get(message, "rows"),
                 *control = json_object_get(message, "batch_control");
    if (c->mode == MODE_EXACT)
        failed("link %d got a page when every change was due", link);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        uint64_t seq = number_of(row, "_seq");
        if (seq <= c->page_seq)
            failed("link %d: pages are not in order", link);
        if (seq_time_us(seq) + (STREAM_TTL_S * 1000 + SLACK_MS) * 1000LL < (int64_t)c->asked_at_us)
            failed("link %d is shown a row that had expired", link);
        c->page_seq = seq;
        on_inserted(link, row);
    }
    c->cursor = number_of(control, "last_seq");
    if (!json_is_true(json_object_get(control, "has_more")))
        become_exact(c);
}

static void on_change(int link, const json_t *message)
{
    Client *c = &stream->clients[link - FOLLOWERS];
    bool is_insert = json_string_value(json_object_get(message, "change_type"))[0] == 'i';
    const json_t *row =
        json_array_get(json_object_get(message, is_insert ? "rows" : "old_values"), 0);
    uint64_t seq = number_of(row, "_seq");
    model->figures.delivered++;
    if (seq <= (c->mode == MODE_EXACT ? c->last_seq : c->page_seq))
        failed("link %d: change %llu comes too late", link, (unsigned long long)seq);
    if (is_insert && c->mode != MODE_EXACT)
        failed("link %d got an insert before its pages were over", link);
    c->last_seq = c->page_seq = c->cursor = seq;
    if (is_insert)
        on_inserted(link, row);
    else
        on_deleted(link, row);
}

static void on_message(int link, const char *type, const json_t *message)
{
    Client *c = &stream->clients[link - FOLLOWERS];
    const char *code = json_string_value(json_object_get(message, "code"));
    if (c->mode == MODE_STALE) {
        if (!code || strcmp(code, "CURSOR_TOO_OLD") != 0)
            failed("link %d resumes with a cursor of before the kill", link);
        model->figures.stale++;
        link_ended(link, true);
    } else if (code) {
        failed("link %d: %s %s", link, code,
               json_string_value(json_object_get(message, "message")));
    } else if (strcmp(type, "subscription_ack") == 0) {
        c->is_acked = true;
    } else if (type[0] == 'i') {
        on_batch(link, message);
    } else {
        on_change(link, message);
    }
}

/* ---- asking ---- */

static void forget(int link)
{
    Client *c = &stream->clients[link - FOLLOWERS];
    memset(c->told, 0, stream->count + 1);
    c->cursor = 0;
    c->mode = MODE_AWAY;
}

static void compose(int link, LiveRequest *out)
{
    Client *c = &stream->clients[link - FOLLOWERS];
    bool replay = queries[link - FOLLOWERS].replay;
    bool is_whole = c->mode == MODE_EXACT || c->mode == MODE_STALE;
    if (c->mode == MODE_FIRST || (c->cursor && replay && !is_whole))
        forget(link); /* cut off in its first rows */
    if (!c->cursor)
        c->life = stream->life;
    c->mode = !c->cursor                ? MODE_FIRST
              : c->life != stream->life ? MODE_STALE
              : replay                  ? MODE_EXACT
                                        : MODE_RESUME;
    c->is_acked = false;
    c->from = c->page_seq = c->cursor;
    c->asked_at_us = (uint64_t)clock_wall_us();
    out->sql = slice_of_text(queries[link - FOLLOWERS].sql);
    out->has_options = out->has_batch_size = true;
    out->batch_size = 1 + random_of(&model->random) % 60;
    out->has_from = c->cursor > 0;
    out->from = c->cursor;
}

void streams_open(void)
{
    static const LinkUser user = {compose, on_message, forget};
    for (int i = 0; i < STREAM_FOLLOWERS; i++)
        link_use(FOLLOWERS + i, &user, BERT, queries[i].replay);
}

/* ---- after a kill ---- */

void streams_note_synced(void)
{
    MUTEX_SCOPE(&world.lock);
    stream->synced_count = stream->count;
}

static void find_row(void *context, const Value *values)
{
    bool *is_there = (bool *)context;
    must(values[0].integer > 0 && values[0].integer <= stream->count);
    if (values[0].integer < stream->oldest)
        return;
    is_there[values[0].integer - stream->oldest] = true;
    note_seq(-1, (uint32_t)values[0].integer, &stream->rows[values[0].integer].seq,
             (uint64_t)values[1].integer);
}

static void find_gone(StreamRow *row, uint32_t n, bool *io_has_ended)
{
    bool may_be_lost = !row->is_acked || (model->was_cut && n > stream->synced_count);
    bool was_short =
        clock_wall_us() - row->planned_at_us < (STREAM_TTL_S * 1000 - SLACK_MS) * 1000LL;
    if (!may_be_lost && !row->is_doomed && was_short)
        failed("stream row %u, acknowledged, is lost", n);
    *io_has_ended |= may_be_lost && !row->is_doomed && was_short;
    row->is_acked = row->is_doomed = row->is_gone = true;
}

static void find_there(StreamRow *row, uint32_t n, bool has_ended)
{
    if (has_ended)
        failed("stream row %u is there, one written before it is lost", n);
    if (row->is_gone && !model->was_cut)
        failed("stream row %u is there, whose delete was acknowledged", n);
    row->is_acked = true;
    row->is_doomed = row->is_gone = false;
    row->deleted_seq = 0;
}

/* What was acknowledged is there, but for the end that a power cut takes; what was not may be. */
void streams_begin_life(void)
{
    bool *is_there = (bool *)x_new_bytes(stream->count + 2 - stream->oldest);
    bool has_ended = false; /* rows were written in order: behind one that is lost there is none */
    stream->life++;
    sql_each(BERT, "SELECT n, _seq FROM t.e", find_row, is_there);
    for (uint32_t n = stream->oldest; n <= stream->count; n++) {
        if (is_there[n - stream->oldest])
            find_there(&stream->rows[n], n, has_ended);
        else
            find_gone(&stream->rows[n], n, &has_ended);
    }
    free(is_there);
}

/* ---- the check ---- */

static bool has_fence(int link)
{
    const Client *c = &stream->clients[link - FOLLOWERS];
    return c->mode == MODE_EXACT && (c->told[stream->next_fence] & TOLD_INSERT);
}

static void check_client(int link)
{
    const Client *c = &stream->clients[link - FOLLOWERS];
    for (uint32_t n = stream->oldest; n <= stream->count; n++) {
        const StreamRow *row = &stream->rows[n];
        if (!row->seq || !is_fresh(row->seq) || !row->is_acked)
            continue;
        bool is_there = !row->is_gone && matches(link - FOLLOWERS, row);
        if (is_there != !!(c->told[n] & HAS))
            failed("link %d (%s): stream row %u is there: %d; it has it: %d", link,
                   queries[link - FOLLOWERS].sql, n, is_there, !is_there);
        bool was_due = row->seq > c->base && matches(link - FOLLOWERS, row);
        if (was_due && !(c->told[n] & TOLD_INSERT))
            failed("link %d was never told of stream row %u at %llu", link, n,
                   (unsigned long long)row->seq);
    }
}

static void let_expire(void)
{
    uint32_t newest = stream->oldest;
    for (uint32_t n = stream->oldest; n < stream->count; n++) {
        if (stream->rows[n].seq && is_expired(stream->rows[n].seq))
            newest = n + 1;
    }
    for (; stream->oldest < newest; stream->oldest++)
        model->figures.expired += !stream->rows[stream->oldest].is_gone;
}

void streams_check(void)
{
    if (!model_wants("stream") || model->has_failed)
        return;
    insert(1, true);
    stream->next_fence = stream->count;
    for (int i = FOLLOWERS; i < LINKS; i++) {
        if (!link_is_connected(i))
            continue;
        link_unstall(i);
        check_wait("the stream's fence", has_fence, i);
    }
    MUTEX_SCOPE(&world.lock);
    for (int i = FOLLOWERS; i < LINKS && !model->has_failed; i++) {
        if (link_is_connected(i))
            check_client(i);
    }
    let_expire();
}
