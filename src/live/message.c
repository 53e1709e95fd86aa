/* SPDX-License-Identifier: Apache-2.0
 *
 * The messages of a subscription, as JSON (docs/websocket.md). Written straight into buffers,
 * without a tree.
 */
#include "data/json.h"
#include "live/query_int.h"

/* ---- acknowledgement and pages ---- */

static void add_control(Buffer *out, const BatchControl *control)
{
    const char *status = !control->has_more        ? "ready"
                         : control->batch_num == 0 ? "loading"
                                                   : "loading_batch";
    unsigned long long seq = control->last_seq;
    buffer_printf(out, "\"batch_control\":{\"batch_num\":%u,\"has_more\":%s,\"status\":\"%s\"",
                  control->batch_num, control->has_more ? "true" : "false", status);
    if (seq == 0) /* nothing has been seen yet */
        buffer_add_text(out, ",\"last_seq_id\":null}");
    else if (control->seq_text)
        buffer_printf(out, ",\"last_seq_id\":%llu,\"last_seq\":\"%llu\"}", seq, seq);
    else
        buffer_printf(out, ",\"last_seq_id\":%llu}", seq);
}

static void begin_field(Buffer *out, Slice name, Type type, uint32_t index, const Column *column)
{
    buffer_add_text(out, index ? ",{\"name\":" : "{\"name\":");
    json_add_string(out, name);
    buffer_printf(out, ",\"data_type\":\"%s\",\"index\":%u", type_info(type)->wire, index);
    if (column && column->primary_key)
        buffer_add_text(out, ",\"flags\":[\"pk\",\"nn\",\"uq\"]");
    else if (column && column->not_null)
        buffer_add_text(out, ",\"flags\":[\"nn\"]");
}

static Code add_fill(Buffer *out, const Column *column, Error *e)
{
    const Value none = value_null(column->type);
    buffer_add_text(out, ",\"fill\":");
    return json_add_value(out, column->has_fill ? &column->fill : &none, e);
}

/* "schema":[…]. Columns from `old_columns` on are new: with what the rows before read in them. */
static Code add_schema(Buffer *out, const LiveQuery *query, uint32_t old_columns, Error *e)
{
    buffer_add_text(out, ",\"schema\":[");
    const Schema *schema = query->table->schema;
    uint32_t count = query->column_count;
    for (uint32_t i = 0; i < count; i++) {
        const Column *column = &schema->columns[query->columns[i].index];
        begin_field(out, query->columns[i].name, column->type, i, column);
        if (i >= old_columns)
            TRY(add_fill(out, column, e));
        buffer_add_char(out, '}');
    }
    if (query->is_star) {
        begin_field(out, SLICE("_seq"), TYPE_BIGINT, count, NULL);
        buffer_add_char(out, '}');
        begin_field(out, SLICE("_deleted"), TYPE_BOOLEAN, count + 1, NULL);
        buffer_add_char(out, '}');
    }
    buffer_add_char(out, ']');
    return OK;
}

void live__add_ack(Buffer *out, Slice id, const LiveQuery *query, const BatchControl *control)
{
    buffer_add_text(out, "{\"type\":\"subscription_ack\",\"subscription_id\":");
    json_add_string(out, id);
    buffer_printf(out, ",\"total_rows\":%u,", control->total_rows);
    add_control(out, control);
    must(add_schema(out, query, UINT32_MAX, NULL) == OK); /* only a fill can fail */
    buffer_add_char(out, '}');
}

Code live__add_schema_message(Buffer *out, Slice id, const LiveQuery *query, uint32_t old_columns,
                              Error *e)
{
    buffer_add_text(out, "{\"type\":\"schema\",\"subscription_id\":");
    json_add_string(out, id);
    TRY(add_schema(out, query, old_columns, e));
    buffer_add_char(out, '}');
    return OK;
}

static void add_reason(Buffer *out, const char *type, Slice id, const char *code,
                       const char *message)
{
    buffer_printf(out, "{\"type\":\"%s\",\"subscription_id\":", type);
    json_add_string(out, id);
    buffer_add_text(out, ",\"code\":");
    json_add_text(out, code);
    buffer_add_text(out, ",\"message\":");
    json_add_text(out, message);
    buffer_add_char(out, '}');
}

void live__add_resnapshot(Buffer *out, Slice id, const Error *why)
{
    add_reason(out, "resnapshot", id, live__error_code(why->code), why->text);
}

void live__add_batch(Buffer *out, Slice id, Slice rows, const BatchControl *control)
{
    buffer_add_text(out, "{\"type\":\"initial_data_batch\",\"subscription_id\":");
    json_add_string(out, id);
    buffer_add_text(out, ",\"rows\":[");
    buffer_add_slice(out, rows);
    buffer_add_text(out, "],");
    add_control(out, control);
    buffer_add_char(out, '}');
}

/* ---- rows ---- */

static void add_comma(Buffer *out)
{
    if (out->data[out->size - 1] != '{')
        buffer_add_char(out, ',');
}

static Code add_cell(Buffer *out, Slice name, const Value *value, Error *e)
{
    add_comma(out);
    json_add_string(out, name);
    buffer_add_char(out, ':');
    return json_add_value(out, value, e);
}

static void add_seq(Buffer *out, uint64_t seq)
{
    add_comma(out);
    buffer_printf(out, "\"_seq\":\"%llu\"", (unsigned long long)seq);
}

Code live__add_row(Buffer *out, const LiveQuery *query, const Value *values, uint64_t seq, Error *e)
{
    buffer_add_char(out, '{');
    for (uint32_t i = 0; i < query->column_count; i++)
        TRY(add_cell(out, query->columns[i].name, &values[query->columns[i].index], e));
    add_seq(out, seq);
    buffer_add_text(out, query->is_star ? ",\"_deleted\":false}" : "}");
    return OK;
}

/* ---- changes ---- */

void live__add_change_head(Buffer *out, Slice id)
{
    buffer_add_text(out, "{\"type\":\"change\",\"subscription_id\":");
    json_add_string(out, id);
}

static Code add_key_column(Buffer *out, const LiveQuery *query, uint32_t key, const Value *values,
                           bool skip_projected, Error *e)
{
    for (uint32_t i = 0; i < query->column_count; i++) {
        if (query->columns[i].index == key)
            return skip_projected ? OK : add_cell(out, query->columns[i].name, &values[key], e);
    }
    return add_cell(out, query->table->schema->columns[key].name, &values[key], e);
}

/* The key by its own name, unless the projection holds it already. That of a system table may be of
 * several columns. */
static Code add_key(Buffer *out, const LiveQuery *query, const Value *values, bool skip_projected,
                    Error *e)
{
    const Schema *schema = query->table->schema;
    for (uint32_t i = 0; i < schema->column_count; i++) {
        if (schema->columns[i].primary_key)
            TRY(add_key_column(out, query, i, values, skip_projected, e));
    }
    return OK;
}

static Code add_updated_row(Buffer *out, const LiveQuery *query, const LiveChange *change, Error *e)
{
    buffer_add_char(out, '{');
    TRY(add_key(out, query, change->new_values, true, e));
    for (uint32_t i = 0; i < query->column_count; i++)
        TRY(add_cell(out, query->columns[i].name, &change->new_values[query->columns[i].index], e));
    add_seq(out, change->seq);
    buffer_add_text(out, query->is_star ? ",\"_deleted\":false}" : "}");
    return OK;
}

static Code add_previous_values(Buffer *out, const LiveQuery *query, const LiveChange *change,
                                Error *e)
{
    const Schema *schema = query->table->schema;
    buffer_add_char(out, '{');
    TRY(add_key(out, query, change->old_values, false, e));
    for (uint32_t i = 0; i < query->column_count; i++) {
        uint32_t index = query->columns[i].index;
        const Value *old = &change->old_values[index];
        if (!schema->columns[index].primary_key &&
            !value_identical(old, &change->new_values[index]))
            TRY(add_cell(out, query->columns[i].name, old, e));
    }
    if (change->old_seq) /* a row of a system table has none */
        add_seq(out, change->old_seq);
    buffer_add_char(out, '}');
    return OK;
}

Code live__add_change_body(Buffer *out, const LiveQuery *query, LiveEvent event,
                           const LiveChange *change, Error *e)
{
    switch (event) {
    case LIVE_EVENT_INSERT:
        buffer_add_text(out, ",\"change_type\":\"insert\",\"rows\":[");
        TRY(live__add_row(out, query, change->new_values, change->seq, e));
        break;
    case LIVE_EVENT_UPDATE:
        buffer_add_text(out, ",\"change_type\":\"update\",\"rows\":[");
        TRY(add_updated_row(out, query, change, e));
        buffer_add_text(out, "],\"old_values\":[");
        TRY(add_previous_values(out, query, change, e));
        break;
    case LIVE_EVENT_DELETE: /* with the seq of the change, so that it passes clients' cursors */
        buffer_add_text(out, ",\"change_type\":\"delete\",\"old_values\":[");
        TRY(live__add_row(out, query, change->old_values, change->seq, e));
        break;
    case LIVE_EVENT_NONE:
        must(!"an event that is none has no message");
    }
    buffer_add_text(out, "]}");
    return OK;
}

/* ---- errors ---- */

void live__add_error(Buffer *out, Slice id, const char *code, const char *message)
{
    add_reason(out, "error", id, code, message);
}

const char *live__error_code(Code code)
{
    switch ((int)code) {
    case E_INVALID_SQL:
    case E_EMPTY_SQL:
    case E_BATCH_PARSE:
    case E_COLUMN_NOT_FOUND:
    case E_INVALID_PARAMETER:
    case E_INVALID_INPUT:
    case E_INVALID_OPERATION:
        return "INVALID_SQL";
    case E_TABLE_NOT_FOUND:
    case E_NAMESPACE_NOT_FOUND:
    case E_NOT_FOUND:
        return "NOT_FOUND";
    case E_PERMISSION_DENIED:
        return "UNAUTHORIZED";
    case E_UNSUPPORTED:
        return "UNSUPPORTED";
    case E_CURSOR_TOO_OLD:
        return "CURSOR_TOO_OLD";
    case E_CURSOR_TOO_NEW:
        return "CURSOR_TOO_NEW";
    case E_RATE_LIMITED:
        return "SUBSCRIPTION_LIMIT_EXCEEDED";
    case E_BUSY:
        return "SERVER_BUSY";
    case E_EXECUTION:
    case E_CONSTRAINT:
        return "CONVERSION_ERROR";
    default:
        return "SUBSCRIPTION_FAILED";
    }
}

void live__error_text(const Error *error, Buffer *out)
{
    const char *code = live__error_code(error->code);
    const char *kind = strcmp(code, "INVALID_SQL") == 0 ? "Invalid SQL: "
                       : strcmp(code, "NOT_FOUND") == 0 ? "Not found: "
                                                        : "";
    bool is_inner = error->code == E_INTERNAL || error->code == E_IO || error->code == E_CORRUPT;
    buffer_add_text(out, kind);
    buffer_add_text(
        out, is_inner ? "The rows could not be read; an administrator finds the reason in the log"
                      : error->text);
    if (error->line)
        buffer_printf(out, " (line %u, column %u)", error->line, error->column);
    buffer_add_char(out, 0);
}
