/* SPDX-License-Identifier: Apache-2.0
 *
 * The bridge to DuckDB: a pool of instances that run SQL printed by us over rows handed in by
 * callbacks and over Parquet files, and that write Parquet files. Nothing here knows where rows
 * come from.
 *
 * User text never reaches DuckDB: callers print SQL from their own bound trees, with
 * engine_add_name and engine_add_text for all that is data. In that SQL a table is
 *
 *     hot(<handle>, <ref>)          the rows of source <ref>, columns of its schema, then `_seq`
 *                                   BIGINT and `_deleted` BOOLEAN
 *     alive(<handle>, <ref>, _seq)  true where the source says that a row of a file has not died
 *     alive_found(<handle>, <ref>, _seq, file_row_number)
 *                                   the same, and the source is told in which rows the dead lie
 *     alive_at(<handle>, <ref>, file_index::UINTEGER, file_row_number)
 *                                   the same by the place in the list of files and the row
 *
 * where <handle> is engine_query_handle() and <ref> is what engine_query_add_source() returned.
 *
 * Threads: all functions may be called by any thread that may block (workers, jobs), never by a
 * loop, engine_pool_look excepted. One EngineQuery and its result belong to one thread at a time.
 * Callbacks of a source run on the caller's thread and on threads of
 * DuckDB: `open`, `next` and `close` of one scan never at once, those about dead rows by several
 * at once.
 */
#pragma once

#include "base/buffer.h"
#include "data/schema.h"

#include <stdatomic.h>

typedef struct EnginePool EnginePool;
typedef struct EngineQuery EngineQuery;
typedef struct EngineResult EngineResult;

typedef struct EngineConfig {
    uint32_t instances;            /* queries that run at once; 1 … ENGINE_INSTANCES_MAX */
    uint32_t threads_per_instance; /* 1 … ENGINE_THREADS_MAX */
    uint64_t memory_limit_bytes;   /* of each instance; at least 16 MiB */
    const char *temp_directory; /* spill files of big sorts; made when missing, emptied at start */
    const char *allowed_folder; /* the only folder whose files SQL may read or write */
} EngineConfig;

/* Copies the config; opens nothing: each instance opens on its first use, so that an idle server
 * stays small. E_CONFIG when a value is out of range, E_IO when a folder is missing. */
CHECKED Code engine_pool_new(const EngineConfig *config, EnginePool **out_pool, Error *e);
/* All queries must have been freed. Accepts NULL. */
void engine_pool_free(EnginePool *pool);
/* Before the server stops: what runs fails with E_CANCELLED, what comes later
 * with E_SHUTTING_DOWN. Any thread. */
void engine_pool_stop(EnginePool *pool);
/* What some query watches was set. Any thread, loops too. */
void engine_pool_look(EnginePool *pool);
/* Closes the instances that have run nothing for so long, which gives their memory back (some ten
 * MB each). */
void engine_pool_trim(EnginePool *pool, uint32_t idle_s);
/* Shows every raw text of DuckDB's errors to the operator's log; set before the first query. */
void engine_pool_trace(EnginePool *pool, void (*trace)(void *context, const char *text),
                       void *context);

typedef struct EngineRow {
    const Value *values; /* schema->column_count; borrowed until the next call of `next` */
    uint64_t seq;
    bool deleted;
} EngineRow;

/* The rows of one table reference. Callbacks fail with their own Code, which engine_run returns. */
typedef struct EngineSource {
    const Schema *schema; /* borrows */
    void *context;
    uint64_t rows_estimated; /* for join order; 0 = unknown */
    /* Starts one scan from the first row; a self-join may have several scans open. */
    Code (*open)(void *context, void **out_scan, Error *e);
    /* Sets *out_end after the last row. */
    Code (*next)(void *scan, EngineRow *out_row, bool *out_end, Error *e);
    void (*close)(void *scan);
    /* Fills out_alive[0 … count). NULL when no SQL uses alive() on this source. */
    Code (*are_alive)(void *context, const uint64_t *seqs, uint32_t count, bool *out_alive,
                      Error *e);
    /* The same by place. NULL when no SQL uses alive_at() on this source. */
    void (*are_alive_at)(void *context, const uint32_t *files, const uint64_t *rows, uint32_t count,
                         bool *out_alive);
    /* A dead row was found in this row of its file; a row may be found twice. NULL when no SQL uses
     * alive_found() on this source. */
    void (*found_dead)(void *context, uint64_t seq, uint64_t row);
} EngineSource;

/* The context of one statement: its sources under a handle that no other statement
 * of the pool has had. */
EngineQuery *engine_query_new(EnginePool *pool);
void engine_query_free(EngineQuery *query); /* after its result; accepts NULL */
void engine_query_free_ptr(EngineQuery **query);
uint64_t engine_query_handle(const EngineQuery *query);
/* Copies the struct, not what it points to. At most ENGINE_SOURCES_MAX, else E_TOO_LARGE. */
CHECKED Code engine_query_add_source(EngineQuery *query, const EngineSource *source,
                                     uint32_t *out_ref, Error *e);
/* While it is true, engine_run and engine_result_next fail with E_CANCELLED, also those that run if
 * whoever sets it calls engine_pool_look then. Borrowed until the query is freed; NULL for none. */
void engine_query_watch(EngineQuery *query, const atomic_bool *is_cancelled);

typedef struct EngineLimits { /* 0 = none */
    uint32_t wait_ms;         /* for a free instance, then E_BUSY; 0 does not wait */
    uint32_t timeout_ms;      /* from the start of engine_run to the end of the result: E_TIMEOUT */
    uint64_t rows_max;        /* of the result, then E_TOO_LARGE */
    uint64_t bytes_max;       /* of texts and values of the result, then E_TOO_LARGE */
    /* A few rows, all of whose types are ours: DuckDB keeps them whole instead of streaming them,
     * and plans the statement once instead of twice. */
    bool is_small;
} EngineLimits;

typedef struct EngineColumn {
    Slice name; /* lives as long as the result */
    Type type;  /* TYPE_NULL for a column of untyped NULLs */
} EngineColumn;

/* Runs one SELECT. Rows stream: the result holds an instance of the pool until it is freed, so free
 * it soon. DuckDB types without a Type of ours come as text (DATE, TIME, INTERVAL, lists, structs),
 * wide integers as BIGINT (E_EXECUTION for a value that does not fit), DECIMAL as DOUBLE, JSON as
 * TEXT. E_BUSY, E_TIMEOUT, E_CANCELLED, E_NO_MEMORY, E_EXECUTION, E_TOO_LARGE, E_IO, E_CORRUPT,
 * E_INTERNAL, or what a callback returned. Texts name no path and show no printed SQL. */
CHECKED Code engine_run(EngineQuery *query, Slice sql, const EngineLimits *limits,
                        EngineResult **out_result, Error *e);
uint32_t engine_result_column_count(const EngineResult *result);
const EngineColumn *engine_result_columns(const EngineResult *result);
/* The next row, borrowed until the next call; *out_end after the last one. */
CHECKED Code engine_result_next(EngineResult *result, const Value **out_row, bool *out_end,
                                Error *e);
void engine_result_free(EngineResult *result); /* accepts NULL; stops what still runs */
void engine_result_free_ptr(EngineResult **result);

/* Field ids of the system columns in Parquet files; those of a schema are smaller. */
enum {
    ENGINE_FIELD_ID_MAX = 2000000000,
    ENGINE_FIELD_ID_SEQ = 2147000001,
    ENGINE_FIELD_ID_DELETED = 2147000002,
};

typedef struct EngineWriteOptions {
    uint32_t row_group_rows; /* 0 = ENGINE_ROW_GROUP_ROWS */
    uint32_t wait_ms;
    uint32_t timeout_ms; /* 0 = none */
} EngineWriteOptions;

/* Writes all rows of the source, in its order, to a new ZSTD Parquet file with field ids. The file
 * is neither synced nor renamed; after a failure a part of it may be there. `path` lies in the
 * allowed folder. *out_rows: how many. Use a pool of its own for flush and compaction. */
CHECKED Code engine_write_parquet(EnginePool *pool, const EngineSource *rows, const char *path,
                                  const EngineWriteOptions *options, uint64_t *out_rows, Error *e);

/* Printing SQL: `"a""b"`. */
void engine_add_name(Buffer *out, Slice name);
void engine_add_text(Buffer *out, Slice text); /* a quoted VARCHAR literal; zero bytes are kept */
/* DuckDB's name of the type that hot() declares for a column; JSON is VARCHAR there, so that both
 * engines compare it as text. */
const char *engine_type_name(Type type);
