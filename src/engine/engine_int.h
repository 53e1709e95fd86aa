/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of engine/ share. Invariants:
 *
 *   I1  An instance runs for at most one query; `running` names it, under the pool's lock.
 *   I2  No scan of a query is open once its result is freed: sources may go right after.
 *   I3  An instance that failed inside (INTERNAL, FATAL) is closed, never used again.
 *   I4  The first error of a callback is what the statement fails with.
 */
#pragma once

#include "base/limits.h"
#include "engine/engine.h"
#include "os/clock.h"
#include "os/thread.h"

#include <duckdb.h>
#include <stdatomic.h>

typedef struct Instance {
    EnginePool *pool;
    uint32_t index;
    duckdb_database database;
    duckdb_connection connection;
    bool is_open;
    bool is_broken;       /* of the thread that has it */
    bool is_busy;         /* guarded by pool->lock */
    int64_t used_at_us;   /* monotonic, of the last statement's end; guarded by pool->lock */
    EngineQuery *running; /* guarded by pool->lock */
} Instance;

struct EnginePool {
    EngineConfig config; /* its texts are owned */
    void (*trace)(void *context, const char *text);
    void *trace_context;
    Slice allowed_folder; /* absolute, resolved, no slash at the end; owned */
    Mutex lock;
    Cond freed;           /* an instance became free */
    Cond watched;         /* the watchdog has something new to look at */
    Thread *watchdog;     /* guarded by lock; started with the first query */
    bool is_refusing;     /* guarded by lock; no statement starts any more */
    bool is_stopping;     /* guarded by lock */
    uint64_t last_handle; /* guarded by lock */
    EngineQuery *queries; /* guarded by lock; list of all that live */
    Instance *instances;
};

struct EngineQuery {
    EnginePool *pool;
    EngineQuery *next, *previous; /* guarded by pool->lock */
    uint64_t handle;
    EngineSource *sources;
    uint32_t source_count;
    int64_t deadline_us;        /* guarded by pool->lock; 0 = none */
    atomic_bool is_cancelled;   /* the pool stops … */
    const atomic_bool *watched; /* … or this says so; may be NULL */
    atomic_bool is_expired;
    /* Bumped when a thread takes or leaves a scan. DuckDB moves scans between its threads; this
     * orders what they did before what the next one, or the caller after the end, does, without
     * trusting it. */
    atomic_uint hand_over;
    Mutex lock;
    Cond scan_closed;
    uint32_t open_scans; /* guarded by lock; I2 */
    Error error;         /* guarded by lock; I4; code OK = none */
};

/* pool.c */
CHECKED Code engine__acquire(EnginePool *pool, EngineQuery *query, uint32_t wait_ms,
                             uint32_t timeout_ms, Instance **out_instance, Error *e);
void engine__release(Instance *instance);

/* open.c */
CHECKED Code engine__open(Instance *instance, Error *e);
void engine__close(Instance *instance);
CHECKED Code engine__prepare_folders(EnginePool *pool, const EngineConfig *config, Error *e);

/* query.c */
bool engine__is_cancelled(const EngineQuery *query);
/* NULL when there is none; it lives as long as its statement, whose work is asking. */
EngineQuery *engine__find_query(EnginePool *pool, uint64_t handle);
const EngineSource *engine__find_source(EnginePool *pool, uint64_t handle, uint64_t ref,
                                        EngineQuery **out_query);
/* Waits until the threads of DuckDB have let go of the scans of a statement that ended: a task of
 * its background threads may outlive the statement for a moment (I2). */
void engine__wait_for_scans(EngineQuery *query);
/* Keeps the first error of a callback (I4). */
void engine__keep_error(EngineQuery *query, const Error *error);

/* functions.c */
CHECKED Code engine__register_functions(Instance *instance, Error *e);

/* failure.c: what DuckDB said -> an Error that may be shown. */
CHECKED Code engine__failure(Instance *instance, EngineQuery *query, const char *text, Error *e);

/* vector.c: one column of a chunk, while it is written or read. */
typedef struct ColumnWriter {
    Type type;
    duckdb_vector vector;
    void *data;
    uint64_t *validity; /* NULL until the first NULL value */
} ColumnWriter;

typedef struct ColumnReader {
    duckdb_type kind;    /* as in the chunk */
    duckdb_type storage; /* of a DECIMAL: the integer behind it */
    __int128 divisor;    /* of a DECIMAL: 10 to its scale */
    Type type;           /* what the values become */
    const void *data;
    uint64_t *validity;
} ColumnReader;

duckdb_type engine__duckdb_type(Type type);
void engine__writer_start(ColumnWriter *writer, duckdb_vector vector);
void engine__write_value(ColumnWriter *writer, idx_t row, const Value *value);
/* False for a type that has to be cast to text first. */
bool engine__reader_knows(duckdb_type kind);
void engine__reader_init(ColumnReader *reader, duckdb_logical_type type);
void engine__reader_start(ColumnReader *reader, duckdb_vector vector);
CHECKED Code engine__read_value(const ColumnReader *reader, idx_t row, Value *out, Error *e);
