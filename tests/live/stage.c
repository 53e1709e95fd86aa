/* SPDX-License-Identifier: Apache-2.0
 *
 * The stage: everything between the database and a client's socket, with the socket played by the
 * test.
 */
#include "stage.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "../unit/exec/no_sink.h"
#include "../unit/table/small.h"
#include "server/views.h"

static const Config no_config;

/* ---- the database ---- */

void stage_open(Stage *stage, const LiveOptions *live, const char *folder, uint32_t feed_window_s)
{
    *stage = (Stage){0};
    mutex_init(&stage->lock);
    cond_init(&stage->changed);
    DatabaseOptions options = small_database(folder ? folder : test_folder(), feed_window_s);
    CHECK_OK(database_open(&options, &stage->db, e));
    JobsOptions jobs = {.flush_rows_default = 1000 * 1000, .check_interval_s = 3600};
    CHECK_OK(jobs_start(stage->db, &jobs, &stage->jobs, e));
    ExecutorOptions exec = {
        .flush_wait_ms = 30 * 1000, .result_rows_max = 100000, .bcrypt_cost = 4};
    CHECK_OK(executor_new(stage->db, stage->jobs, &exec, &stage->executor, e));
    CHECK_OK(exec_ensure_root(stage->executor, SLICE("rootpassword"), e));
    CHECK_OK(workers_start("worker", THREAD_WORKER, STAGE_WORKERS, 64, &stage->workers, e));
    CHECK_OK(live_hub_new(stage->db, stage->workers, live, &stage->hub, e));
    server_add_views(stage->executor, stage->hub, &no_config);
    for (int i = 0; i < STAGE_LOOPS; i++) {
        CHECK_OK(loop_new(&stage->loops[i], e));
        CHECK_OK(live_loop_new(stage->hub, stage->loops[i], &stage->live[i], e));
        CHECK_OK(loop_thread_start(stage->loops[i], "loop", e));
    }
}

/* As a server stops: loops, workers, then what they used. */
void stage_close(Stage *stage)
{
    for (int i = 0; i < STAGE_LOOPS; i++)
        loop_thread_join(stage->loops[i]);
    workers_stop(stage->workers);
    for (int i = 0; i < STAGE_LOOPS; i++) {
        live_loop_free(stage->live[i]);
        loop_free(stage->loops[i]);
    }
    jobs_stop(stage->jobs);
    database_close(stage->db);
    live_hub_free(stage->hub);
    executor_free(stage->executor);
    jobs_free(stage->jobs);
    mutex_done(&stage->lock);
    cond_done(&stage->changed);
}

void stage_trim(Stage *stage, Table *table, uint64_t user)
{
    Error error;
    Code code;
    do
        code = flush_trim(stage->db, (Partition){table->id, user}, &error);
    while (code == E_CLAIMED);
    if (code != OK)
        test_failed(__FILE__, __LINE__, "trim: %s", error.text);
}

static Code run_sql(Stage *stage, const char *user, Role role, const char *sql,
                    const ResultSink *sink, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    User found;
    TRY(exec_resolve_user(stage->executor, slice_of_text(user), arena, &found, e));
    ExecRequest request = {
        .session = {found.id, slice_of_text(user), role, SLICE("default"), true, 0},
        .sql = slice_of_text(sql),
        .timeout_ms = 60 * 1000,
    };
    return exec_run(stage->executor, &request, arena, sink, e);
}

Code stage_try_sql(Stage *stage, const char *user, Role role, const char *sql, Error *e)
{
    return run_sql(stage, user, role, sql, &no_sink, e);
}

void stage_sql(Stage *stage, const char *user, Role role, const char *format, ...)
{
    char *sql = NULL;
    va_list args;
    va_start(args, format);
    CHECK(vasprintf(&sql, format, args) >= 0);
    va_end(args);
    Error error = {0};
    Code code = stage_try_sql(stage, user, role, sql, &error);
    if (code != OK)
        test_failed(__FILE__, __LINE__, "%.200s: %s", sql, error.text);
    free(sql);
}

typedef struct Lines {
    char **lines;
    int64_t *ids;
    size_t count, capacity;
} Lines;

static Code keep_row(void *context, const Value *values, Error *e)
{
    (void)e;
    Lines *lines = (Lines *)context;
    Buffer line = {0};
    for (int i = 0; i < 3; i++) {
        if (i)
            buffer_add_char(&line, '|');
        if (values[i].is_null)
            buffer_add_text(&line, "NULL");
        else
            value_print(&values[i], &line);
    }
    buffer_add_char(&line, '\n');
    if (lines->count == lines->capacity) {
        lines->capacity = lines->capacity ? lines->capacity * 2 : 64;
        lines->lines = (char **)x_grow(lines->lines, lines->capacity * sizeof(char *));
    }
    lines->lines[lines->count++] = x_text(buffer_slice(&line));
    buffer_done(&line);
    return OK;
}

static int compare_lines(const void *a, const void *b)
{
    long long x = strtoll(*(char *const *)a, NULL, 10), y = strtoll(*(char *const *)b, NULL, 10);
    return x < y ? -1 : x > y;
}

static char *join_lines(Lines *lines)
{
    if (lines->count)
        qsort(lines->lines, lines->count, sizeof(char *), compare_lines);
    Buffer all = {0};
    for (size_t i = 0; i < lines->count; i++) {
        buffer_add_text(&all, lines->lines[i]);
        free(lines->lines[i]);
    }
    free(lines->lines);
    char *text = x_text(buffer_slice(&all));
    buffer_done(&all);
    return text;
}

char *stage_rows(Stage *stage, const char *user, const char *sql)
{
    Lines lines = {0};
    ResultSink sink = {&lines, no_begin, no_columns, keep_row, no_end};
    Error error = {0};
    if (run_sql(stage, user, ROLE_SYSTEM, sql, &sink, &error) != OK)
        test_failed(__FILE__, __LINE__, "%s: %s", sql, error.text);
    return join_lines(&lines);
}

/* ---- calls to loops ---- */

typedef struct Call {
    Stage *stage;
    void (*run)(void *argument);
    void *argument;
    bool has_run;
} Call;

static void run_call(void *argument)
{
    Call *call = (Call *)argument;
    call->run(call->argument);
    MUTEX_SCOPE(&call->stage->lock);
    call->has_run = true;
    cond_broadcast(&call->stage->changed);
}

void stage_on_loop(Stage *stage, int loop, void (*run)(void *argument), void *argument)
{
    Call call = {stage, run, argument, false};
    loop_post(stage->loops[loop], run_call, &call);
    MUTEX_SCOPE(&stage->lock);
    while (!call.has_run)
        cond_wait(&stage->changed, &stage->lock);
}

static void do_nothing(void *argument)
{
    (void)argument;
}

void stage_settle(Stage *stage, int loop)
{
    stage_on_loop(stage, loop, do_nothing, NULL);
}

static void wait_at_gate(void *argument)
{
    Gate *gate = (Gate *)argument;
    MUTEX_SCOPE(&gate->stage->lock);
    gate->is_reached = true;
    cond_broadcast(&gate->stage->changed);
    while (!gate->is_open)
        cond_wait(&gate->stage->changed, &gate->stage->lock);
    gate->is_reached = false;
    cond_broadcast(&gate->stage->changed);
}

static void wait_until_held(Gate *gate)
{
    MUTEX_SCOPE(&gate->stage->lock);
    while (!gate->is_reached)
        cond_wait(&gate->stage->changed, &gate->stage->lock);
}

void gate_hold_worker(Gate *gate, Stage *stage)
{
    *gate = (Gate){.stage = stage};
    CHECK(workers_push(stage->workers, (Task){wait_at_gate, gate}));
    wait_until_held(gate);
}

void gate_hold_loop(Gate *gate, Stage *stage, int loop)
{
    *gate = (Gate){.stage = stage};
    loop_post(stage->loops[loop], wait_at_gate, gate);
    wait_until_held(gate);
}

void gate_open(Gate *gate)
{
    MUTEX_SCOPE(&gate->stage->lock);
    gate->is_open = true;
    cond_broadcast(&gate->stage->changed);
    while (gate->is_reached)
        cond_wait(&gate->stage->changed, &gate->stage->lock);
}

/* ---- the copy ---- */

static CopyRow *find_row(const Follower *f, int64_t id)
{
    for (size_t i = 0; i < f->row_count; i++) {
        if (f->rows[i].id == id)
            return &f->rows[i];
    }
    return NULL;
}

bool follower_has(const Follower *f, int64_t id)
{
    return find_row(f, id) != NULL;
}

__attribute__((format(printf, 2, 3))) static void violated(Follower *f, const char *format, ...)
{
    if (f->violation[0])
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(f->violation, sizeof f->violation, format, args);
    va_end(args);
}

static uint64_t number_of(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_string(value) ? strtoull(json_string_value(value), NULL, 10)
                                 : (uint64_t)json_integer_value(value);
}

static CopyRow row_of(const json_t *object)
{
    CopyRow row = {.id = (int64_t)number_of(object, "id"), .seq = number_of(object, "_seq")};
    const json_t *v = json_object_get(object, "v"), *n = json_object_get(object, "n");
    snprintf(row.v, sizeof row.v, "%s", json_is_string(v) ? json_string_value(v) : "NULL");
    row.n_is_null = json_is_null(n);
    row.n = json_integer_value(n);
    return row;
}

static void put_row(Follower *f, const CopyRow *row)
{
    CopyRow *old = find_row(f, row->id);
    CHECK(old || f->row_count < COPY_ROWS_MAX);
    *(old ? old : &f->rows[f->row_count++]) = *row;
}

/* As the known clients do: the cursor is the largest seq of anything they were sent. */
static void see(Follower *f, uint64_t seq)
{
    if (seq > f->cursor)
        f->cursor = seq;
}

/* Before the last page only deletes come, each after all that is older. */
static void check_early(Follower *f, bool is_delete, uint64_t seq)
{
    if (!is_delete || !f->tolerant)
        violated(f, "a change before the last page");
    if (seq <= f->cursor)
        violated(f, "delete %llu after something newer", (unsigned long long)seq);
}

static void on_batch(Follower *f, const json_t *message)
{
    const json_t *rows = json_object_get(message, "rows"),
                 *control = json_object_get(message, "batch_control");
    if (f->is_ready)
        violated(f, "a page after the last one");
    if (number_of(control, "batch_num") != f->batches)
        violated(f, "page %llu is not number %zu",
                 (unsigned long long)number_of(control, "batch_num"), f->batches);
    uint64_t before = 0;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        CopyRow row = row_of(json_array_get(rows, i));
        if (row.seq <= before)
            violated(f, "a page is not in seq order");
        if (f->tolerant && row.seq <= f->cursor)
            violated(f, "row %lld after something newer", (long long)row.id);
        if (!f->tolerant && find_row(f, row.id))
            violated(f, "row %lld stands in two pages", (long long)row.id);
        before = row.seq;
        put_row(f, &row);
        see(f, row.seq);
    }
    f->batches++;
    f->batch_rows += f->last_batch_rows = json_array_size(rows);
    see(f, number_of(control, "last_seq_id"));
    f->is_ready = !json_is_true(json_object_get(control, "has_more"));
}

static void on_update(Follower *f, const CopyRow *row, const json_t *old)
{
    CopyRow *have = find_row(f, row->id);
    if (!have && !f->tolerant)
        violated(f, "update of row %lld, which it does not have", (long long)row->id);
    if (have && !f->tolerant && have->seq != number_of(old, "_seq"))
        violated(f, "update of row %lld from %llu, but it has %llu", (long long)row->id,
                 (unsigned long long)number_of(old, "_seq"), (unsigned long long)have->seq);
    f->updates++;
    put_row(f, row);
}

static void on_delete(Follower *f, const CopyRow *row)
{
    CopyRow *have = find_row(f, row->id);
    f->deletes++;
    if (have)
        *have = f->rows[--f->row_count];
    else
        f->unknown_deletes++;
    if (!have && !f->tolerant)
        violated(f, "delete of row %lld, which it does not have", (long long)row->id);
}

static void on_change(Follower *f, const json_t *message)
{
    const char *type = json_string_value(json_object_get(message, "change_type"));
    const json_t *rows = json_object_get(message, "rows"),
                 *olds = json_object_get(message, "old_values");
    const json_t *old = json_array_get(olds, 0);
    bool is_delete = strcmp(type, "delete") == 0;
    CopyRow row = row_of(is_delete ? old : json_array_get(rows, 0));
    if (!f->is_ready)
        check_early(f, is_delete, row.seq);
    if (row.seq <= f->last_change_seq)
        violated(f, "change %llu after %llu", (unsigned long long)row.seq,
                 (unsigned long long)f->last_change_seq);
    f->last_change_seq = row.seq;
    see(f, row.seq);
    if (is_delete) {
        on_delete(f, &row);
    } else if (strcmp(type, "insert") == 0) {
        if (!f->tolerant && find_row(f, row.id))
            violated(f, "insert of row %lld, which it has", (long long)row.id);
        f->inserts++;
        put_row(f, &row);
    } else {
        on_update(f, &row, old);
    }
}

static void on_ack(Follower *f, const json_t *message)
{
    const json_t *control = json_object_get(message, "batch_control");
    if (f->is_acked)
        violated(f, "two acknowledgements");
    f->is_acked = true;
    see(f, number_of(control, "last_seq_id"));
}

static void apply(Follower *f, const char *text)
{
    if (f->messages_max && f->messages == f->messages_max)
        return; /* lost with the connection */
    json_t *message = json_loads(text, 0, NULL);
    CHECK(message);
    const char *type = json_string_value(json_object_get(message, "type"));
    f->messages++;
    snprintf(f->last, sizeof f->last, "%s", text);
    if (strcmp(type, "subscription_ack") == 0)
        on_ack(f, message);
    else if (!f->is_acked && strcmp(type, "error") != 0)
        violated(f, "%s before the acknowledgement", type);
    if (strcmp(type, "initial_data_batch") == 0)
        on_batch(f, message);
    if (strcmp(type, "change") == 0)
        on_change(f, message);
    f->schemas += strcmp(type, "schema") == 0;
    if (strcmp(type, "error") == 0) {
        snprintf(f->error_code, sizeof f->error_code, "%s",
                 json_string_value(json_object_get(message, "code")));
        snprintf(f->error_text, sizeof f->error_text, "%s",
                 json_string_value(json_object_get(message, "message")));
    }
    json_decref(message);
}

/* ---- the socket ---- */

static void take(Follower *f, const char *text)
{
    MUTEX_SCOPE(&f->stage->lock);
    apply(f, text);
    cond_broadcast(&f->stage->changed);
}

static void socket_send(void *socket, Slice message, uint64_t cursor)
{
    Follower *f = (Follower *)socket;
    (void)cursor;
    char *text = x_text(message);
    if (!f->is_stalled) {
        take(f, text);
        free(text);
        return;
    }
    if (f->held_count == f->held_capacity) {
        f->held_capacity = f->held_capacity ? f->held_capacity * 2 : 64;
        f->held = (char **)x_grow(f->held, f->held_capacity * sizeof(char *));
    }
    f->held[f->held_count++] = text;
    f->held_bytes += message.size;
}

static SharedBuffer *socket_frame(Slice message, uint64_t cursor, bool compress)
{
    (void)cursor, (void)compress;
    return shared_buffer_copy(message);
}

static void socket_send_frame(void *socket, SharedBuffer *frame)
{
    socket_send(socket, shared_buffer_slice(frame), 0);
}

static size_t socket_queued_bytes(void *socket)
{
    return ((Follower *)socket)->held_bytes;
}

static void socket_close(void *socket, int code, const char *reason)
{
    Follower *f = (Follower *)socket;
    MUTEX_SCOPE(&f->stage->lock);
    snprintf(f->close_reason, sizeof f->close_reason, "%d %s", code, reason);
    f->is_closed = true;
    cond_broadcast(&f->stage->changed);
}

static const LiveSocket io = {
    .send = socket_send,
    .frame = socket_frame,
    .send_frame = socket_send_frame,
    .queued_bytes = socket_queued_bytes,
    .close = socket_close,
};

/* ---- following ---- */

void follower_init(Follower *f, Stage *stage, int loop, uint64_t user, const char *user_id,
                   Role role)
{
    *f = (Follower){.stage = stage, .loop = loop, .user = {user, slice_of_text(user_id), role, 0}};
    if (!user) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        User found;
        CHECK_OK(exec_resolve_user(stage->executor, f->user.user_id, arena, &found, e));
        f->user.user = found.id;
    }
    f->rows = x_new_array(CopyRow, COPY_ROWS_MAX);
}

static void drop_held(Follower *f)
{
    for (size_t i = 0; i < f->held_count; i++)
        free(f->held[i]);
    f->held_count = f->held_bytes = 0;
}

void follower_done(Follower *f)
{
    if (f->client)
        follower_disconnect(f);
    free(f->held);
    free(f->rows);
}

static void connect_now(void *argument)
{
    Follower *f = (Follower *)argument;
    f->client = live_client_new(f->stage->live[f->loop], &io, f, 2048, false);
    live_client_set_user(f->client, &f->user, &f->features, 1000);
}

void follower_connect(Follower *f)
{
    stage_on_loop(f->stage, f->loop, connect_now, f);
}

static void disconnect_now(void *argument)
{
    Follower *f = (Follower *)argument;
    live_client_free(f->client);
    f->client = NULL;
    drop_held(f);
    f->is_stalled = false;
}

void follower_disconnect(Follower *f)
{
    stage_on_loop(f->stage, f->loop, disconnect_now, f);
}

void follower_clear(Follower *f)
{
    MUTEX_SCOPE(&f->stage->lock);
    f->row_count = 0;
    f->cursor = 0;
    f->tolerant = false;
}

typedef struct Asking {
    Follower *follower;
    LiveRequest request;
} Asking;

static void expect_anew(Follower *f, const LiveRequest *request)
{
    MUTEX_SCOPE(&f->stage->lock);
    f->is_acked = false;
    f->messages = 0;
    f->is_ready =
        !request->has_options || (request->has_from && request->from && f->features.replay);
    f->batches = f->batch_rows = 0;
    f->last_change_seq = 0;
    f->error_code[0] = f->error_text[0] = 0;
}

static void subscribe_now(void *argument)
{
    Asking *asking = (Asking *)argument;
    expect_anew(asking->follower, &asking->request);
    live_subscribe(asking->follower->client, &asking->request);
}

void follower_subscribe(Follower *f, const char *sql, const LiveRequest *options)
{
    static const LiveRequest nothing = {0};
    Asking asking = {.follower = f, .request = options ? *options : nothing};
    asking.request.id = SLICE("s");
    asking.request.sql = slice_of_text(sql);
    asking.request.has_options = options != NULL;
    stage_on_loop(f->stage, f->loop, subscribe_now, &asking);
}

void follower_resume(Follower *f, const char *sql, uint64_t batch_size)
{
    LiveRequest options = {
        .has_from = true, .from = f->cursor, .has_batch_size = true, .batch_size = batch_size};
    f->tolerant = !f->features.replay;
    follower_subscribe(f, sql, &options);
}

static void stall_now(void *argument)
{
    ((Follower *)argument)->is_stalled = true;
}

void follower_stall(Follower *f)
{
    stage_on_loop(f->stage, f->loop, stall_now, f);
}

static void unstall_now(void *argument)
{
    Follower *f = (Follower *)argument;
    bool was_above = f->held_bytes > 2048;
    f->is_stalled = false;
    for (size_t i = 0; i < f->held_count; i++)
        take(f, f->held[i]);
    drop_held(f);
    if (was_above && f->client)
        live_client_drained(f->client);
}

void follower_unstall(Follower *f)
{
    stage_on_loop(f->stage, f->loop, unstall_now, f);
}

static char *copy_text(Follower *f)
{
    Lines lines = {0};
    MUTEX_SCOPE(&f->stage->lock);
    lines.lines = x_new_array(char *, f->row_count + 1);
    for (size_t i = 0; i < f->row_count; i++) {
        const CopyRow *row = &f->rows[i];
        char *line = NULL;
        int size = row->n_is_null ? asprintf(&line, "%lld|%s|NULL\n", (long long)row->id, row->v)
                                  : asprintf(&line, "%lld|%s|%lld\n", (long long)row->id, row->v,
                                             (long long)row->n);
        CHECK(size > 0);
        lines.lines[lines.count++] = line;
    }
    return join_lines(&lines);
}

void follower_check(Follower *f, const char *sql)
{
    if (f->violation[0])
        test_failed(__FILE__, __LINE__, "a promise was broken: %s", f->violation);
    char *want = stage_rows(f->stage, f->user.user_id.data, sql), *got = copy_text(f);
    bool same = strcmp(want, got) == 0;
    if (!same)
        fprintf(stderr, "query: %s\ntable:\n%.2000s\ncopy:\n%.2000s\n", sql, want, got);
    free(want);
    free(got);
    CHECK(same);
}
