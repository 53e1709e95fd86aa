/* SPDX-License-Identifier: Apache-2.0 */
#include "api/result_json.h"

#include "../test.h"

static const ResultColumn columns[] = {
    {.name = SLICE("id"), .type = TYPE_BIGINT, .primary_key = true},
    {.name = SLICE("v"), .type = TYPE_TEXT, .not_null = true},
};

static void add_rows(const ResultSink *sink, size_t index, size_t rows)
{
    sink->begin(sink->context, index);
    sink->columns(sink->context, columns, 2);
    for (size_t i = 0; i < rows; i++) {
        Value values[2] = {value_integer(TYPE_BIGINT, (int64_t)i), value_text(SLICE("x\"y"))};
        CHECK_OK(sink->row(sink->context, values, e));
    }
}

#define SCHEMA                                                                                    \
    "\"schema\":[{\"name\":\"id\",\"data_type\":\"BigInt\",\"index\":0,\"flags\":[\"pk\",\"nn\"," \
    "\"uq\"]},"                                                                                   \
    "{\"name\":\"v\",\"data_type\":\"Text\",\"index\":1,\"flags\":[\"nn\"]}]"

TEST("an envelope whose keys or key order differ from what clients have always seen")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    ResultJson json;
    result_json_init(&json, arena);
    ResultSink sink = result_json_sink(&json);
    add_rows(&sink, 0, 1);
    sink.end(sink.context, 1, NULL, SLICE("alice"));
    result_json_finish(&json, 1.2345);
    CHECK_SLICE(buffer_slice(&json.out),
                SLICE("{\"status\":\"success\",\"results\":[{" SCHEMA
                      ",\"rows\":[[\"0\",\"x\\\"y\"]],\"row_count\":1,\"as_user\":\"alice\"}],"
                      "\"took\":1.234,\"error\":null}"));
    result_json_done(&json);
}

TEST("a statement started again on a worker whose first attempt stays in the answer")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    ResultJson json;
    result_json_init(&json, arena);
    ResultSink sink = result_json_sink(&json);
    sink.begin(sink.context, 0);
    sink.end(sink.context, 2, "Inserted 2 row(s)", SLICE("a"));
    add_rows(&sink, 1, 3); /* cut short */
    add_rows(&sink, 1, 0);
    sink.end(sink.context, 0, NULL, SLICE("a"));
    result_json_finish(&json, 0);
    CHECK_SLICE(buffer_slice(&json.out),
                SLICE("{\"status\":\"success\",\"results\":[{\"row_count\":2,\"message\":"
                      "\"Inserted 2 row(s)\",\"as_user\":\"a\"},{" SCHEMA
                      ",\"rows\":[],\"row_count\":0,\"as_user\":\"a\"}],\"took\":0.000}"));
    result_json_done(&json);
}
