/* SPDX-License-Identifier: Apache-2.0
 *
 * A client whose messages become one line each:
 *
 *     ack ready          page 0 more (1 a 10) (2 b 20)      insert (3 c NULL)
 *     error NOT_FOUND …  update (3 c 5) was (3 NULL)        delete (3 c 5)
 *
 * A row is its values in the order of the message, without `_seq` and `_deleted`. What no line
 * shows is checked here: the seqs of changes rise.
 */
#include "spec.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DRAINED_BYTES = 2048 };

/* ---- a message as a line ---- */

static uint64_t number_of(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_string(value) ? strtoull(json_string_value(value), NULL, 10)
                                 : (uint64_t)json_integer_value(value);
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "?";
}

static void add_value(Buffer *out, const json_t *value)
{
    if (json_is_string(value)) {
        buffer_add_text(out, json_string_value(value));
    } else if (json_is_null(value)) {
        buffer_add_text(out, "NULL");
    } else {
        char *text = json_dumps(value, JSON_ENCODE_ANY);
        buffer_add_text(out, text);
        free(text);
    }
}

static void add_rows(Buffer *out, json_t *rows)
{
    size_t index;
    json_t *row, *value;
    const char *name;
    json_array_foreach(rows, index, row)
    {
        const char *blank = "";
        buffer_add_text(out, " (");
        json_object_foreach(row, name, value)
        {
            if (strcmp(name, "_seq") == 0 || strcmp(name, "_deleted") == 0)
                continue;
            buffer_add_text(out, blank);
            add_value(out, value);
            blank = " ";
        }
        buffer_add_char(out, ')');
    }
}

static void add_schema(Buffer *out, json_t *fields)
{
    size_t index;
    json_t *field;
    json_array_foreach(fields, index, field)
    {
        const char *name = text_of(field, "name");
        if (strcmp(name, "_seq") == 0 || strcmp(name, "_deleted") == 0)
            continue;
        buffer_printf(out, " %s", name);
        if (json_object_get(field, "fill")) {
            buffer_add_char(out, '=');
            add_value(out, json_object_get(field, "fill"));
        }
    }
}

static void add_line(Buffer *out, const json_t *message)
{
    const char *type = text_of(message, "type"), *id = text_of(message, "subscription_id");
    const json_t *control = json_object_get(message, "batch_control");
    json_t *rows = json_object_get(message, "rows"), *old = json_object_get(message, "old_values");
    if (strcmp(id, "s") != 0)
        buffer_printf(out, "%s: ", id);
    if (strcmp(type, "subscription_ack") == 0) {
        buffer_printf(out, "ack %s", text_of(control, "status"));
        if (number_of(message, "total_rows"))
            buffer_printf(out, ", %llu rows", (unsigned long long)number_of(message, "total_rows"));
    } else if (strcmp(type, "initial_data_batch") == 0) {
        bool more = json_is_true(json_object_get(control, "has_more"));
        buffer_printf(out, "page %llu %s", (unsigned long long)number_of(control, "batch_num"),
                      more ? "more" : "ready");
        add_rows(out, rows);
    } else if (strcmp(type, "change") == 0) {
        buffer_add_text(out, text_of(message, "change_type"));
        add_rows(out, rows);
        if (rows && old)
            buffer_add_text(out, " was");
        add_rows(out, old);
    } else if (strcmp(type, "schema") == 0) {
        buffer_add_text(out, "schema");
        add_schema(out, json_object_get(message, "schema"));
    } else {
        buffer_printf(out, "%s %s %s", type, text_of(message, "code"), text_of(message, "message"));
    }
}

static void note(SpecClient *c, const char *line)
{
    CHECK(c->got_count < SPEC_GOT_MAX);
    c->got[c->got_count++] = x_text(slice_of_text(line));
    cond_broadcast(&c->stage->changed);
}

static void see(SpecClient *c, const json_t *rows)
{
    size_t index;
    json_t *row;
    json_array_foreach(rows, index, row)
    {
        uint64_t seq = number_of(row, "_seq");
        if (seq > c->cursor)
            c->cursor = seq;
    }
}

/* The cursor of a client is the largest seq it was sent. */
static void follow_cursor(SpecClient *c, const json_t *message)
{
    const json_t *rows = json_object_get(message, "rows"),
                 *control = json_object_get(message, "batch_control");
    bool is_change = strcmp(text_of(message, "type"), "change") == 0;
    if (strcmp(text_of(message, "type"), "resnapshot") == 0)
        c->cursor = 0;
    const json_t *newest = rows ? rows : json_object_get(message, "old_values");
    uint64_t seq = is_change ? number_of(json_array_get(newest, 0), "_seq") : 0;
    if (is_change && seq <= c->last_change_seq)
        note(c, "VIOLATION: the seq of this change does not rise:");
    if (is_change)
        c->last_change_seq = seq;
    see(c, newest);
    uint64_t last = control ? number_of(control, "last_seq_id") : 0;
    if (last > c->cursor)
        c->cursor = last;
}

static void take(SpecClient *c, const char *text)
{
    CLEANUP(buffer_done) Buffer line = {0};
    json_t *message = json_loads(text, 0, NULL);
    CHECK(message);
    add_line(&line, message);
    buffer_add_char(&line, 0);
    MUTEX_SCOPE(&c->stage->lock);
    if (strcmp(text_of(message, "subscription_id"), "s") == 0)
        follow_cursor(c, message);
    note(c, line.data);
    json_decref(message);
}

/* ---- the socket ---- */

static void socket_send(void *socket, Slice message, uint64_t cursor)
{
    SpecClient *c = (SpecClient *)socket;
    (void)cursor;
    char *text = x_text(message);
    if (!c->is_stalled) {
        take(c, text);
        free(text);
        return;
    }
    c->held = (char **)x_grow(c->held, (c->held_count + 1) * sizeof(char *));
    c->held[c->held_count++] = text;
    c->held_bytes += message.size;
}

static size_t socket_queued_bytes(void *socket)
{
    return ((SpecClient *)socket)->held_bytes;
}

static void socket_close(void *socket, int code, const char *reason)
{
    SpecClient *c = (SpecClient *)socket;
    char line[160];
    snprintf(line, sizeof line, "closed %d %s", code, reason);
    MUTEX_SCOPE(&c->stage->lock);
    note(c, line);
}

static const LiveSocket io = {
    .send = socket_send,
    .queued_bytes = socket_queued_bytes,
    .close = socket_close,
};

/* ---- what it does ---- */

void spec_client_init(SpecClient *c, Stage *stage, const char *name, int loop)
{
    c->stage = stage;
    c->name = x_text(slice_of_text(name));
    c->loop = loop;
}

static void connect_now(void *argument)
{
    SpecClient *c = (SpecClient *)argument;
    c->client = live_client_new(c->stage->live[c->loop], &io, c, DRAINED_BYTES, false);
    live_client_set_user(c->client, &c->user, &c->features, 1000);
    memcpy(c->connection_id, live_client_connection_id(c->client), sizeof c->connection_id);
}

void spec_client_connect(SpecClient *c)
{
    stage_on_loop(c->stage, c->loop, connect_now, c);
}

static void disconnect_now(void *argument)
{
    SpecClient *c = (SpecClient *)argument;
    live_client_free(c->client);
    c->client = NULL;
    for (size_t i = 0; i < c->held_count; i++)
        free(c->held[i]);
    c->held_count = c->held_bytes = 0;
    c->is_stalled = false;
}

void spec_client_disconnect(SpecClient *c)
{
    if (c->client)
        stage_on_loop(c->stage, c->loop, disconnect_now, c);
}

void spec_client_done(SpecClient *c)
{
    spec_client_disconnect(c);
    for (size_t i = 0; i < c->got_count; i++)
        free(c->got[i]);
    free(c->held);
    free(c->name);
    free((void *)c->user.user_id.data);
}

static void stall_now(void *argument)
{
    ((SpecClient *)argument)->is_stalled = true;
}

void spec_client_stall(SpecClient *c)
{
    stage_on_loop(c->stage, c->loop, stall_now, c);
}

static void read_now(void *argument)
{
    SpecClient *c = (SpecClient *)argument;
    bool was_above = c->held_bytes > DRAINED_BYTES;
    c->is_stalled = false;
    for (size_t i = 0; i < c->held_count; i++) {
        take(c, c->held[i]);
        free(c->held[i]);
    }
    c->held_count = c->held_bytes = 0;
    if (was_above)
        live_client_drained(c->client);
}

void spec_client_read(SpecClient *c)
{
    stage_on_loop(c->stage, c->loop, read_now, c);
}

typedef struct Asking {
    SpecClient *client;
    LiveRequest request;
} Asking;

static void subscribe_now(void *argument)
{
    Asking *asking = (Asking *)argument;
    asking->client->last_change_seq = 0;
    live_subscribe(asking->client->client, &asking->request);
}

static bool take_option(Slice word, const char *name, const char **out)
{
    size_t size = strlen(name);
    if (word.size <= size || memcmp(word.data, name, size) != 0)
        return false;
    *out = word.data + size;
    return true;
}

static bool read_option(const SpecClient *c, Slice word, LiveRequest *request)
{
    const char *value;
    if (take_option(word, "id=", &value)) {
        request->id = slice_of(value, (size_t)(word.data + word.size - value));
        return true;
    }
    request->has_options = true;
    if (slice_equal(word, SLICE("all")))
        return true;
    if (take_option(word, "last_rows=", &value))
        request->has_last_rows = true, request->last_rows = strtoull(value, NULL, 10);
    else if (take_option(word, "batch_size=", &value))
        request->has_batch_size = true, request->batch_size = strtoull(value, NULL, 10);
    else if (take_option(word, "from=", &value))
        request->has_from = true,
        request->from = *value == 'c' ? c->cursor : strtoull(value, NULL, 10);
    else
        return false;
    return true;
}

const char *spec_client_subscribe(SpecClient *c, const char *text)
{
    Asking asking = {.client = c, .request = {.id = SLICE("s")}};
    for (;;) {
        const char *rest = text;
        Slice word = spec_word(&rest);
        bool is_sql = slice_equal_ignoring_case(word, SLICE("SELECT")) ||
                      slice_equal_ignoring_case(word, SLICE("SUBSCRIBE"));
        if (is_sql || word.size == 0)
            break;
        if (!read_option(c, word, &asking.request))
            return "unknown option; the options stand before SELECT";
        text = rest;
    }
    asking.request.sql = slice_of_text(text);
    stage_on_loop(c->stage, c->loop, subscribe_now, &asking);
    return NULL;
}

static void unsubscribe_now(void *argument)
{
    Asking *asking = (Asking *)argument;
    live_unsubscribe(asking->client->client, asking->request.id);
}

void spec_client_unsubscribe(SpecClient *c, const char *id)
{
    Asking asking = {.client = c, .request = {.id = *id ? slice_of_text(id) : SLICE("s")}};
    stage_on_loop(c->stage, c->loop, unsubscribe_now, &asking);
}
