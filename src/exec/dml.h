/* SPDX-License-Identifier: Apache-2.0
 *
 * What the two files of INSERT, UPDATE and DELETE share.
 */
#pragma once

#include "exec/select.h"
#include "exec/transaction.h"

/* One write statement being resolved at one view. */
typedef struct Dml {
    Run *run;
    ReadView *view;
    Table *table; /* a reference */
    Partition partition;
    Intent *intent;
    IntentPart *part;
    Arena *scratch; /* of one row */
    Value *values;  /* of the current row */
    Buffer key, row;
    size_t affected;
    bool is_full; /* a TRUNCATE has more rows than fit */
} Dml;

static inline TableView exec__table_view(const Dml *dml)
{
    return (TableView){dml->run, dml->view, dml->table, dml->partition};
}

CHECKED Code exec__resolve_insert(Dml *dml, Error *e);

/* Index of a column that may be written. E_COLUMN_NOT_FOUND; E_INVALID_OPERATION for system
 * columns. */
CHECKED Code exec__find_column(const Schema *schema, Slice name, int32_t *out, Error *e);
/* `row` counts from 1. */
CHECKED Code exec__check_not_null(const Column *column, const Value *value, size_t row, Error *e);
/* Replaces what `out` holds. */
CHECKED Code exec__encode_row(Dml *dml, const Value *values, Buffer *out, Error *e);
/* Into dml->key; empty when the table has no key. */
CHECKED Code exec__encode_key(Dml *dml, const Value *values, Error *e);
