/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of SELECT share, and what the writes use of it.
 */
#pragma once

#include "exec/exec_int.h"

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
/* Whether segments may hold rows that the WHERE wants. */
CHECKED Code exec__needs_cold(const Run *run, const ScanScope *scope, bool *out, Error *e);
struct SegmentEntry;
bool exec__may_contain(const Pruning *pruning, const struct SegmentEntry *entry);
