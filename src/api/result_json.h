/* SPDX-License-Identifier: Apache-2.0
 *
 * Results of a request as the JSON envelope of /v1/api/sql, written while the rows come, without a
 * tree.
 */
#pragma once

#include "base/buffer.h"
#include "exec/exec.h"

enum { RESULT_JSON_BYTES_MAX = 256 * 1024 * 1024 };

typedef struct ResultJson {
    Buffer out;     /* {"status":"success","results":[ … */
    size_t *starts; /* where each statement's result begins; arena */
    size_t statement_count, statement_capacity;
    size_t row_count, column_count; /* of the current statement so far */
    bool has_columns;               /* the current statement returns rows */
    bool has_rows_only;             /* exactly one statement ended, and it returned rows */
    Arena *arena;
} ResultJson;

void result_json_init(ResultJson *json, Arena *arena);
void result_json_done(ResultJson *json);
/* A sink that writes into `json`. */
ResultSink result_json_sink(ResultJson *json);
/* Completes the envelope; json->out then holds the body. */
void result_json_finish(ResultJson *json, double took_ms);
