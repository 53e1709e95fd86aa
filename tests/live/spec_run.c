/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs one test of a .spec file: line after line, against a database with loops, workers and live
 * queries.
 *
 * After each step that was sent, all that follows from it is waited for: workers have nothing left
 * to do and loops have delivered. So a client that got more than the next lines expect has got it
 * by then, in every run.
 */
#include "spec.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SPEC_WAIT_S = 30,
    ROUNDS = 4,
    SETTLE_ROUNDS_MAX = 10000,
    VARIABLE_BYTES = 200,
    MORE_LINES_MAX = 20
};

typedef struct SpecRun {
    const Spec *spec;
    const SpecLine *line;
    Stage stage;
    bool is_open, holds_workers, holds_loop;
    LiveOptions options;
    uint32_t window_s;
    SpecClient clients[SPEC_CLIENTS_MAX];
    size_t client_count;
    struct {
        char user[40];
        Role role;
    } roles[SPEC_ROLES_MAX];
    size_t role_count;
    char sql_error[sizeof((Error *)0)->text + 8]; /* of the SQL sent last; empty: it went well */
    unsigned long i;                              /* repetition */
    Gate workers[STAGE_WORKERS], loop;
    int arrived; /* guarded by stage.lock */
} SpecRun;

void spec_run(void);

/* ---- standing still ---- */

static void meet(void *argument)
{
    SpecRun *run = (SpecRun *)argument;
    MUTEX_SCOPE(&run->stage.lock);
    int round = run->arrived++ / STAGE_WORKERS;
    cond_broadcast(&run->stage.changed);
    while (run->arrived < (round + 1) * STAGE_WORKERS)
        cond_wait(&run->stage.changed, &run->stage.lock);
}

/* Every worker has come here, so nothing that was queued before is under way. */
static void settle_workers(SpecRun *run)
{
    int until = run->arrived + STAGE_WORKERS;
    for (int i = 0; i < STAGE_WORKERS; i++)
        CHECK(workers_push(run->stage.workers, (Task){meet, run}));
    MUTEX_SCOPE(&run->stage.lock);
    while (run->arrived < until)
        cond_wait(&run->stage.changed, &run->stage.lock);
}

static bool is_waiting(const SpecRun *run, const LiveInfo *info)
{
    for (size_t i = 0; i < run->client_count; i++) {
        if (strcmp(run->clients[i].connection_id, info->connection_id) == 0)
            return run->clients[i].is_stalled;
    }
    return false;
}

static bool has_reads(SpecRun *run)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    LiveInfo *list;
    size_t count;
    live_list(run->stage.hub, arena, &list, &count);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i].status, "live") != 0 && !is_waiting(run, &list[i]))
            return true;
    }
    return false;
}

static void settle(SpecRun *run)
{
    if (!run->is_open || run->holds_loop || run->holds_workers)
        return;
    for (int round = 0; round < ROUNDS || has_reads(run); round++) {
        if (round == SETTLE_ROUNDS_MAX)
            spec_failed(run->spec, run->line, "the reads do not end");
        settle_workers(run);
        for (int i = 0; i < STAGE_LOOPS; i++)
            stage_settle(&run->stage, i);
    }
}

/* ---- what is expected ---- */

/* `...` in the pattern is anything. */
static bool matches(const char *pattern, const char *text)
{
    const char *dots = strstr(pattern, "...");
    if (!dots)
        return strcmp(pattern, text) == 0;
    size_t size = (size_t)(dots - pattern);
    if (strncmp(pattern, text, size) != 0)
        return false;
    for (const char *rest = dots + 3, *at = text + size;; at++) {
        if (matches(rest, at))
            return true;
        if (!*at)
            return false;
    }
}

static SpecClient *find_client(SpecRun *run, const char *name)
{
    for (size_t i = 0; i < run->client_count; i++) {
        if (strcmp(run->clients[i].name, name) == 0)
            return &run->clients[i];
    }
    return NULL;
}

/* The next line it gets, or NULL when none comes. */
static const char *next_line(SpecRun *run, SpecClient *c)
{
    int64_t deadline = clock_monotonic_us() + SPEC_WAIT_S * INT64_C(1000000);
    MUTEX_SCOPE(&run->stage.lock);
    bool in_time = true;
    while (c->got_at == c->got_count && in_time)
        in_time = cond_wait_until(&run->stage.changed, &run->stage.lock, deadline);
    return c->got_at < c->got_count ? c->got[c->got_at++] : NULL;
}

static void expect_line(SpecRun *run, SpecClient *c, const char *pattern)
{
    const char *got = next_line(run, c);
    if (!got)
        spec_failed(run->spec, run->line, "nothing came");
    if (!matches(pattern, got))
        spec_failed(run->spec, run->line, "it got\n      %.2000s", got);
}

/* "* insert ...": any number of them. */
static void expect_any(SpecRun *run, SpecClient *c, const char *pattern)
{
    settle(run);
    MUTEX_SCOPE(&run->stage.lock);
    while (c->got_at < c->got_count && matches(pattern, c->got[c->got_at]))
        c->got_at++;
}

/* "200 * insert ..." */
static void expect(SpecRun *run)
{
    const SpecLine *line = run->line;
    SpecClient *c = find_client(run, line->who);
    const char *rest = line->text;
    if (!c) {
        if (!matches(line->text, run->sql_error))
            spec_failed(run->spec, line, "it got\n      %s",
                        run->sql_error[0] ? run->sql_error : "no error");
        run->sql_error[0] = 0;
        return;
    }
    Slice first = spec_word(&rest);
    if (slice_equal(first, SLICE("*"))) {
        expect_any(run, c, rest);
        return;
    }
    char *end;
    unsigned long count = strtoul(first.data, &end, 10);
    bool is_many = end == first.data + first.size && end != first.data && rest[0] == '*';
    if (!is_many) {
        expect_line(run, c, line->text);
        return;
    }
    for (spec_word(&rest); count > 0; count--)
        expect_line(run, c, rest);
}

/* Before the next step: nothing is left. */
static void expect_nothing_more(SpecRun *run)
{
    if (run->sql_error[0])
        spec_failed(run->spec, run->line, "before this line SQL failed: %s", run->sql_error);
    settle(run);
    for (size_t i = 0; i < run->client_count; i++) {
        SpecClient *c = &run->clients[i];
        MUTEX_SCOPE(&run->stage.lock);
        if (c->got_at == c->got_count)
            continue;
        CLEANUP(buffer_done) Buffer lines = {0};
        for (size_t k = c->got_at; k < c->got_count && k < c->got_at + MORE_LINES_MAX; k++)
            buffer_printf(&lines, "\n      %.200s", c->got[k]);
        buffer_add_char(&lines, 0);
        spec_failed(run->spec, run->line, "before this line %s got also%s", c->name, lines.data);
    }
}

/* ---- sending ---- */

static Role role_of(const SpecRun *run, const char *user)
{
    for (size_t i = 0; i < run->role_count; i++) {
        if (strcmp(run->roles[i].user, user) == 0)
            return run->roles[i].role;
    }
    return strcmp(user, "root") == 0 ? ROLE_SYSTEM : ROLE_USER;
}

/* {i} counts repetitions, {phone} is the cursor of that client, {phone.s} the id of its live query
 * "s" in system.live. */
static void add_variable(SpecRun *run, const char *name, Buffer *out)
{
    char client[VARIABLE_BYTES];
    if (strcmp(name, "i") == 0) {
        buffer_printf(out, "%lu", run->i);
        return;
    }
    snprintf(client, sizeof client, "%s", name);
    char *dot = strchr(client, '.');
    if (dot)
        *dot = 0;
    const SpecClient *c = find_client(run, client);
    if (!c)
        spec_failed(run->spec, run->line, "there is no client %s", client);
    if (dot)
        buffer_printf(out, "%.*s-%s-%s", SLICE_ARGS(c->user.user_id), c->connection_id, dot + 1);
    else
        buffer_printf(out, "%llu", (unsigned long long)c->cursor);
}

static void add_filled_in(SpecRun *run, const char *text, Buffer *out)
{
    for (const char *at = text; *at;) {
        size_t size = strspn(at + 1, "abcdefghijklmnopqrstuvwxyz0123456789.");
        if (*at != '{' || at[1 + size] != '}' || size >= VARIABLE_BYTES) {
            buffer_add_char(out, *at++);
            continue;
        }
        char name[VARIABLE_BYTES];
        memcpy(name, at + 1, size);
        name[size] = 0;
        add_variable(run, name, out);
        at += size + 2;
    }
    buffer_add_char(out, 0);
}

static void send_one(SpecRun *run, const char *text)
{
    CLEANUP(buffer_done) Buffer sql = {0};
    Error error = {0};
    add_filled_in(run, text, &sql);
    const char *user = run->line->who;
    if (stage_try_sql(&run->stage, user, role_of(run, user), sql.data, &error) != OK)
        snprintf(run->sql_error, sizeof run->sql_error, "error %s", error.text);
}

/* "1..200 * INSERT … {i} …" */
static void send_sql(SpecRun *run)
{
    const char *text = run->line->text;
    char *end;
    unsigned long from = strtoul(text, &end, 10), to = from;
    if (end == text || strncmp(end, "..", 2) != 0) {
        send_one(run, text);
        return;
    }
    to = strtoul(end + 2, &end, 10);
    if (strncmp(end, " * ", 3) != 0)
        spec_failed(run->spec, run->line, "repetitions read `1..9 * SQL with {i}`");
    for (run->i = from; run->i <= to && !run->sql_error[0]; run->i++)
        send_one(run, end + 3);
}

static void send(SpecRun *run)
{
    SpecClient *c = find_client(run, run->line->who);
    if (!c) {
        send_sql(run);
        return;
    }
    const char *rest = run->line->text, *wrong = NULL;
    CLEANUP(buffer_done) Buffer filled = {0};
    Slice verb = spec_word(&rest);
    add_filled_in(run, rest, &filled);
    if (slice_equal(verb, SLICE("connect")))
        spec_client_connect(c);
    else if (!c->client)
        wrong = "it is not connected";
    else if (slice_equal(verb, SLICE("subscribe")))
        wrong = spec_client_subscribe(c, filled.data);
    else if (slice_equal(verb, SLICE("unsubscribe")))
        spec_client_unsubscribe(c, filled.data);
    else if (slice_equal(verb, SLICE("disconnect")))
        spec_client_disconnect(c);
    else if (slice_equal(verb, SLICE("stall")))
        spec_client_stall(c);
    else if (slice_equal(verb, SLICE("read")))
        spec_client_read(c);
    else
        wrong = "a client can connect, disconnect, subscribe, unsubscribe, stall and read";
    if (wrong)
        spec_failed(run->spec, run->line, "%s", wrong);
}

/* ---- the stage ---- */

static _Atomic int64_t later_us;
static _Atomic int64_t later_ticks;

static int64_t later_clock(void)
{
    return later_us + atomic_fetch_add(&later_ticks, 1);
}

static void open_stage(SpecRun *run)
{
    if (run->is_open)
        return;
    stage_open(&run->stage, &run->options, NULL, run->window_s);
    run->is_open = true;
}

/* "window=5 queue=4096 …", before anything else. */
static void set_limits(SpecRun *run, const char *text)
{
    static const char *const names[] = {"window",  "queue",         "chunk",
                                        "backlog", "subscriptions", "ordered"};
    enum { LIMITS = sizeof names / sizeof *names };
    unsigned long long values[LIMITS] = {run->window_s,
                                         run->options.socket_queue_bytes_max,
                                         run->options.chunk_bytes_max,
                                         run->options.backlog_bytes_max,
                                         run->options.subscriptions_per_client_max,
                                         run->options.ordered_bytes_max};
    for (Slice word; (word = spec_word(&text)).size;) {
        bool is_known = false;
        for (size_t i = 0; i < LIMITS; i++) {
            size_t size = strlen(names[i]);
            if (word.size > size && memcmp(word.data, names[i], size) == 0 &&
                word.data[size] == '=') {
                values[i] = strtoull(word.data + size + 1, NULL, 10);
                is_known = true;
            }
        }
        if (!is_known)
            spec_failed(run->spec, run->line,
                        "limits are window, queue, chunk, backlog, subscriptions and ordered");
    }
    run->window_s = (uint32_t)values[0];
    run->options.socket_queue_bytes_max = values[1];
    run->options.chunk_bytes_max = values[2];
    run->options.backlog_bytes_max = values[3];
    run->options.subscriptions_per_client_max = (uint32_t)values[4];
    run->options.ordered_bytes_max = values[5];
}

/* "phone anna", "phone anna knows replay schema" */
static void add_client(SpecRun *run, const char *text)
{
    CHECK(run->client_count < SPEC_CLIENTS_MAX);
    SpecClient *c = &run->clients[run->client_count];
    char *name = x_text(spec_word(&text));
    char *user = x_text(spec_word(&text));
    /* Neighbours are on different loops. */
    spec_client_init(c, &run->stage, name, (int)(run->client_count++ % STAGE_LOOPS));
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    User found;
    CHECK_OK(exec_resolve_user(run->stage.executor, slice_of_text(user), arena, &found, e));
    c->user =
        (LiveUser){found.id, slice_of_text(user), role_of(run, user), found.credentials_at_us};
    for (Slice word; (word = spec_word(&text)).size;) {
        c->features.replay |= slice_equal(word, SLICE("replay"));
        c->features.schema |= slice_equal(word, SLICE("schema"));
        c->features.resnapshot |= slice_equal(word, SLICE("resnapshot"));
    }
    spec_client_connect(c);
    free(name);
}

/* "boss dba": a user with a password and that role. */
static void add_user(SpecRun *run, const char *text)
{
    CHECK(run->role_count < SPEC_ROLES_MAX);
    Slice user = spec_word(&text), role = spec_word(&text);
    stage_sql(&run->stage, "root", ROLE_SYSTEM, "CREATE USER '%.*s' WITH PASSWORD '%s' ROLE %.*s",
              SLICE_ARGS(user), "aGoodPassword1", SLICE_ARGS(role));
    snprintf(run->roles[run->role_count].user, sizeof run->roles->user, "%.*s", SLICE_ARGS(user));
    if (!role_of_text(role, &run->roles[run->role_count++].role))
        spec_failed(run->spec, run->line, "there is no such role");
}

/* The feed window passes over all that was written. Time goes on from there. */
static void pass_window(SpecRun *run)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Table **tables;
    size_t count;
    later_us = clock_wall_us() + (run->window_s + 5) * INT64_C(1000000);
    clock_replace(later_clock, NULL);
    catalog_list_tables(database_catalog(run->stage.db), arena, &tables, &count);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < run->client_count; k++) {
            uint64_t user = tables[i]->kind == TABLE_SHARED ? 0 : run->clients[k].user.user;
            stage_trim(&run->stage, tables[i], user);
        }
        table_unref(tables[i]);
    }
}

static void restart(SpecRun *run)
{
    char folder[300];
    snprintf(folder, sizeof folder, "%s", database_folder(run->stage.db));
    for (size_t i = 0; i < run->client_count; i++)
        spec_client_disconnect(&run->clients[i]);
    stage_close(&run->stage);
    stage_open(&run->stage, &run->options, folder, run->window_s);
    run->arrived = 0;
}

static void hold(SpecRun *run, bool workers)
{
    for (int i = 0; workers && i < STAGE_WORKERS; i++)
        gate_hold_worker(&run->workers[i], &run->stage);
    if (!workers)
        gate_hold_loop(&run->loop, &run->stage, 0);
    *(workers ? &run->holds_workers : &run->holds_loop) = true;
}

static void release(SpecRun *run, bool workers)
{
    for (int i = 0; workers && i < STAGE_WORKERS; i++)
        gate_open(&run->workers[i]);
    if (!workers)
        gate_open(&run->loop);
    *(workers ? &run->holds_workers : &run->holds_loop) = false;
}

static void act(SpecRun *run)
{
    const char *rest = run->line->text;
    Slice verb = spec_word(&rest);
    bool is_workers = strcmp(rest, "workers") == 0;
    if (slice_equal(verb, SLICE("limits"))) {
        if (run->is_open)
            spec_failed(run->spec, run->line, "limits come first");
        set_limits(run, rest);
        return;
    }
    open_stage(run);
    if (slice_equal(verb, SLICE("client")))
        add_client(run, rest);
    else if (slice_equal(verb, SLICE("user")))
        add_user(run, rest);
    else if (strcmp(run->line->text, "the window passes") == 0)
        pass_window(run);
    else if (slice_equal(verb, SLICE("restart")))
        restart(run);
    else if (slice_equal(verb, SLICE("hold")))
        hold(run, is_workers);
    else if (slice_equal(verb, SLICE("release")))
        release(run, is_workers);
    else
        spec_failed(run->spec, run->line, "what is this?");
}

void spec_run(void)
{
    SpecRun *run = x_new(SpecRun);
    run->spec = spec_of(test_name());
    run->window_s = 3600;
    CHECK(run->spec);
    for (size_t i = 0; i < run->spec->line_count; i++) {
        run->line = &run->spec->lines[i];
        if (run->line->kind == SPEC_EXPECT) {
            expect(run);
            continue;
        }
        if (run->is_open)
            expect_nothing_more(run);
        if (run->line->kind == SPEC_SEND) {
            open_stage(run);
            send(run);
        } else {
            act(run);
        }
    }
    expect_nothing_more(run);
    for (size_t i = 0; i < run->client_count; i++)
        spec_client_done(&run->clients[i]);
    clock_replace(NULL, NULL);
    stage_close(&run->stage);
    free(run);
}

TEST("the .spec files are found")
{
    CHECK(spec_count() > 20);
}
