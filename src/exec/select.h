/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of SELECT share, and what the writes use of it.
 */
#pragma once

#include "exec/exec_int.h"
#include "sql/print.h"

/* Where the rows of a SELECT go. begin() may come again: what came before is void. */
typedef struct RowOutput {
    void *context;
    void (*begin)(void *context);
    void (*columns)(void *context, const ResultColumn *columns, size_t count);
    Code (*row)(void *context, const Value *values, Error *e);
} RowOutput;

/* Runs a SELECT at a view into any output. */
CHECKED Code exec__select(Run *run, ReadView *view, const Select *select, const RowOutput *output,
                          size_t *out_rows, Error *e);
/* The native part: *out_handled false means that DuckDB has to do it. */
CHECKED Code exec__select_native(Run *run, ReadView *view, const Select *select,
                                 const RowOutput *output, size_t *out_rows, bool *out_handled,
                                 Error *e);
CHECKED Code exec__select_duck(Run *run, ReadView *view, const Select *select,
                               const RowOutput *output, size_t *out_rows, Error *e);
/* ExecRequest.has_left of a SELECT; NULL for what is finished although nobody waits for it. */
const atomic_bool *exec__has_left(const Run *run);
/* The order of a single-table SELECT without ORDER BY: the key's column when it is in the output,
 * else BOUND_SEQ; BOUND_NOT_A_COLUMN when the SELECT has an order of its own or none makes
 * sense. */
int32_t exec__implicit_order(const Select *select, const Schema *schema);

/* Bounds that a WHERE's top ANDs put on columns; used to leave out segments. */
typedef struct ColumnBounds {
    const Column *column;
    bool has_min, has_max;
    Value min, max; /* inclusive */
} ColumnBounds;
typedef struct Pruning {
    uint64_t seq_min, seq_max;
    ColumnBounds *bounds;
    size_t bound_count;
} Pruning;
/* What `where` (may be NULL or not native) says about one table. */
CHECKED Code exec__pruning(const Run *run, const BindContext *bind, const Expr *where, Pruning *out,
                           Error *e);
/* What a statement reads of one table. */
typedef struct ScanScope {
    ReadView *view;
    const Table *table;
    Partition partition;
    const BindContext *bind; /* with the table's schema */
    const Expr *where;
} ScanScope;
struct SegmentEntry;
/* The segments that may hold rows that the WHERE wants, ascending by seq, in the run's arena. */
CHECKED Code exec__wanted_segments(const Run *run, const ScanScope *scope, const Pruning *pruning,
                                   struct SegmentEntry **out, size_t *out_count, Error *e);
/* Whether there are any. */
CHECKED Code exec__needs_cold(const Run *run, const ScanScope *scope, bool *out, Error *e);

/* ---- top.c: the first rows of segments ---- */

typedef struct TopOrder {
    int32_t column; /* an index or BOUND_SEQ */
    bool descending, nulls_first;
} TopOrder;
typedef struct TopRequest { /* what it points to lives as long as the scan */
    const ScanScope *scope;
    const TableRef *from;
    const TopOrder *order;
    size_t order_count;
    const bool *columns; /* by index: which the row has to have; the others are NULL */
    uint64_t rows;       /* wanted in all */
    Code (*row)(void *context, const RowView *row, Error *e);
    void *context;
} TopRequest;
typedef struct TopScan TopScan; /* lives in the run's arena */
/* Leaves *out NULL when the order is none that can be read like this. */
CHECKED Code exec__top_open(Run *run, const TopRequest *request, TopScan **out, Error *e);
/* True when no row that is left can be among the wanted ones. `worst`: the first key of the worst
 * row that the caller has, NULL while it has too few. */
bool exec__top_is_done(TopScan *top, const Value *worst);
/* Hands over the next rows, at most `limit`: those of this step are in order (equal ones by _seq),
 * and none comes before the ones of earlier steps. Only when it is not done; workers only. */
CHECKED Code exec__top_step(TopScan *top, uint64_t limit, const Value *worst, Error *e);

/* ---- duck.c: what every statement of the engine needs ---- */

PrintRequest exec__print_request(const Run *run, const PrintCallbacks *callbacks);
/* Until the deadline, at least 1; 0 = there is none. */
uint32_t exec__time_left_ms(const Run *run);
/* The folder of the session's segments, relative to the storage root. */
CHECKED Code exec__cold_folder(const Run *run, const Table *table, Buffer *out, Error *e);
