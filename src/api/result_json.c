/* SPDX-License-Identifier: Apache-2.0
 *
 * The envelope, in the key order that clients have always seen:
 *
 *   {"status":"success","results":[R, …],"took":1.234,"error":null}  one statement, with rows
 *   {"status":"success","results":[R, …],"took":1.234}               anything else
 *   R = {"schema":[…],"rows":[[…],…],"row_count":n,"as_user":"alice"}
 *   R = {"row_count":n,"message":"…","as_user":"alice"}
 *
 * A statement that is started again (it moved to a worker) begins again at its own start.
 */
#include "api/result_json.h"

#include "data/json.h"

void result_json_init(ResultJson *json, Arena *arena)
{
    *json = (ResultJson){.arena = arena};
    buffer_add_text(&json->out, "{\"status\":\"success\",\"results\":[");
}

void result_json_done(ResultJson *json)
{
    buffer_done(&json->out);
}

static void begin(void *context, size_t index)
{
    ResultJson *json = (ResultJson *)context;
    must(index <= json->statement_count);
    if (index == json->statement_capacity) {
        size_t capacity = json->statement_capacity ? json->statement_capacity * 2 : 4;
        size_t *starts = arena_new_array(json->arena, size_t, capacity);
        if (json->statement_count)
            memcpy(starts, json->starts, json->statement_count * sizeof *starts);
        json->starts = starts;
        json->statement_capacity = capacity;
    }
    if (index < json->statement_count)
        json->out.size = json->starts[index];
    else
        json->starts[index] = json->out.size;
    json->statement_count = index + 1;
    json->row_count = 0;
    json->has_columns = false;
    if (index > 0)
        buffer_add_char(&json->out, ',');
    buffer_add_char(&json->out, '{');
}

static void add_flag(Buffer *out, bool *io_first, bool is_set, const char *name)
{
    if (!is_set)
        return;
    buffer_add_text(out, *io_first ? ",\"flags\":[" : ",");
    json_add_text(out, name);
    *io_first = false;
}

static void add_schema(Buffer *out, const ResultColumn *columns, size_t count)
{
    buffer_add_char(out, '[');
    for (size_t i = 0; i < count; i++) {
        const ResultColumn *column = &columns[i];
        buffer_add_text(out, i ? ",{\"name\":" : "{\"name\":");
        json_add_string(out, column->name);
        buffer_add_text(out, ",\"data_type\":");
        json_add_text(out, type_info(column->type == TYPE_NULL ? TYPE_TEXT : column->type)->wire);
        buffer_printf(out, ",\"index\":%zu", i);
        bool first = true;
        add_flag(out, &first, column->primary_key, "pk");
        add_flag(out, &first, column->not_null || column->primary_key, "nn");
        add_flag(out, &first, column->unique || column->primary_key, "uq");
        buffer_add_text(out, first ? "}" : "]}");
    }
    buffer_add_char(out, ']');
}

static void columns(void *context, const ResultColumn *list, size_t count)
{
    ResultJson *json = (ResultJson *)context;
    buffer_add_text(&json->out, "\"schema\":");
    add_schema(&json->out, list, count);
    buffer_add_text(&json->out, ",\"rows\":[");
    json->has_columns = true;
    json->column_count = count;
}

static Code row(void *context, const Value *values, Error *e)
{
    ResultJson *json = (ResultJson *)context;
    Buffer *out = &json->out;
    if (out->size > RESULT_JSON_BYTES_MAX)
        return fail(e, E_TOO_LARGE,
                    "the result is larger than %d bytes; add a LIMIT or select fewer columns",
                    RESULT_JSON_BYTES_MAX);
    buffer_add_text(out, json->row_count++ ? ",[" : "[");
    for (size_t i = 0; i < json->column_count; i++) {
        if (i)
            buffer_add_char(out, ',');
        TRY(json_add_value(out, &values[i], e));
    }
    buffer_add_char(out, ']');
    return OK;
}

static void end(void *context, size_t row_count, const char *message, Slice as_user)
{
    ResultJson *json = (ResultJson *)context;
    Buffer *out = &json->out;
    if (json->has_columns)
        buffer_add_text(out, "],");
    buffer_printf(out, "\"row_count\":%zu", row_count);
    if (message) {
        buffer_add_text(out, ",\"message\":");
        json_add_text(out, message);
    }
    buffer_add_text(out, ",\"as_user\":");
    json_add_string(out, as_user);
    buffer_add_char(out, '}');
    json->has_rows_only = json->has_columns && json->statement_count == 1;
}

ResultSink result_json_sink(ResultJson *json)
{
    return (ResultSink){
        .context = json, .begin = begin, .columns = columns, .row = row, .end = end};
}

void result_json_finish(ResultJson *json, double took_ms)
{
    buffer_printf(&json->out, "],\"took\":%.3f", took_ms);
    buffer_add_text(&json->out, json->has_rows_only ? ",\"error\":null}" : "}");
}
