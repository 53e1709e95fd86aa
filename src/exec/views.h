/* SPDX-License-Identifier: Apache-2.0
 *
 * Views: finding them, and what the files of the built-in ones share. A view is a list of columns
 * and a function that makes its rows; each of view_catalog.c, view_server.c and view_information.c
 * has one table of them.
 */
#pragma once

#include "exec/exec_int.h"

void exec__add_builtin_views(Executor *executor);
/* The view of that name, if the session may read it; else E_PERMISSION_DENIED or E_TABLE_NOT_FOUND.
 * It lives as long as the executor. */
CHECKED Code exec__find_view(const Run *run, Slice namespace_name, Slice name, const ExecView **out,
                             Error *e);
/* A schema with the columns of a view. */
const Schema *exec__view_schema(const ExecView *view, Arena *arena);
/* A row of system.schemas for each table as it is now (view_catalog.c). */
CHECKED Code exec__each_latest_schema(Run *run, ExecRow *row, void *context, Error *e);
void exec__add_manifest_view(Executor *executor);     /* figures.c */
void exec__add_transactions_view(Executor *executor); /* open.c */

/* ---- the built-in ones ---- */

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Where the rows of one reading of a view go. */
typedef struct RowTarget {
    Executor *executor;
    const Session *session; /* who reads */
    Arena *arena;           /* for what the values point to */
    ExecRow *row;
    void *row_context;
} RowTarget;

/* Sends a row, which has a value for each of the columns. */
#define SEND_ROW(to, columns, values, e)                                            \
    ({                                                                              \
        _Static_assert(COUNT(values) == COUNT(columns), "a value for each column"); \
        (to)->row((to)->row_context, (values), (e));                                \
    })

typedef struct BuiltinView {
    const char *namespace_name, *name;
    const ResultColumn *columns;
    size_t column_count;
    bool admin_only;
    Code (*fill)(const RowTarget *to, Error *e);
    unsigned live_sources; /* LIVE_ON_…; 0: nobody can follow it */
} BuiltinView;

#define BUILTIN_VIEW(ns, name_, columns_, admin, fill_, sources)                \
    {                                                                           \
        (ns), (name_), (columns_), COUNT(columns_), (admin), (fill_), (sources) \
    }

typedef struct BuiltinViews {
    const BuiltinView *views; /* static */
    size_t count;
} BuiltinViews;

BuiltinViews exec__catalog_views(void);
BuiltinViews exec__server_views(void);
BuiltinViews exec__information_views(void);

typedef Code TableVisit(const RowTarget *to, const Table *table, Error *e);
/* Every table of the catalog as it is now; stops at the first failure. */
CHECKED Code exec__each_table(const RowTarget *to, TableVisit *visit, Error *e);
/* Whether information_schema shows this session the view of that index. */
bool exec__is_listed(const Executor *executor, size_t view_index, const Session *session);

/* ---- values; the text is borrowed ---- */

static inline Value cell_text(const char *s)
{
    return value_text(slice_of_text(s));
}

static inline Value cell_text_or_null(Slice s)
{
    return s.size ? value_text(s) : value_null(TYPE_TEXT);
}

static inline Value cell_json(Slice s)
{
    Value value = value_text(s);
    value.type = TYPE_JSON;
    return value;
}

/* 0 is NULL. */
static inline Value cell_time(int64_t us)
{
    return us ? value_integer(TYPE_TIMESTAMP, us) : value_null(TYPE_TIMESTAMP);
}

static inline Value cell_int(int64_t v)
{
    return value_integer(TYPE_INT, v);
}
