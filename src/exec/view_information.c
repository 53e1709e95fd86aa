/* SPDX-License-Identifier: Apache-2.0
 *
 * information_schema: tables of the catalog and the views that the session may read.
 */
#include "exec/views.h"

static const ResultColumn info_schemata_columns[] = {
    COLUMN("catalog_name", TYPE_TEXT),
    COLUMN("schema_name", TYPE_TEXT),
};

static Code fill_info_schemata(const RowTarget *to, Error *e)
{
    Namespace *namespaces = NULL;
    size_t count = 0;
    catalog_list_namespaces(database_catalog(to->executor->db), to->arena, &namespaces, &count);
    for (size_t i = 0; i < count; i++) {
        Value values[] = {cell_text("kalam"), value_text(namespaces[i].name)};
        TRY(SEND_ROW(to, info_schemata_columns, values, e));
    }
    Value values[] = {cell_text("kalam"), cell_text("information_schema")};
    return SEND_ROW(to, info_schemata_columns, values, e);
}

static const ResultColumn info_tables_columns[] = {
    COLUMN("table_catalog", TYPE_TEXT),
    COLUMN("table_schema", TYPE_TEXT),
    COLUMN("table_name", TYPE_TEXT),
    COLUMN("table_type", TYPE_TEXT),
};

static Code info_tables_row(const RowTarget *to, const Table *table, Error *e)
{
    Value values[] = {cell_text("kalam"), value_text(table->namespace_name),
                      value_text(table->name), cell_text("BASE TABLE")};
    return SEND_ROW(to, info_tables_columns, values, e);
}

static Code fill_info_tables(const RowTarget *to, Error *e)
{
    const Executor *x = to->executor;
    TRY(exec__each_table(to, info_tables_row, e));
    for (size_t i = 0; i < x->view_count; i++) {
        if (!exec__is_listed(x, i, to->session))
            continue;
        Value values[] = {cell_text("kalam"), cell_text(x->views[i].namespace_name),
                          cell_text(x->views[i].name), cell_text("VIEW")};
        TRY(SEND_ROW(to, info_tables_columns, values, e));
    }
    return OK;
}

static const ResultColumn info_columns_columns[] = {
    COLUMN("table_catalog", TYPE_TEXT),   COLUMN("table_schema", TYPE_TEXT),
    COLUMN("table_name", TYPE_TEXT),      COLUMN("column_name", TYPE_TEXT),
    COLUMN("ordinal_position", TYPE_INT), COLUMN("column_default", TYPE_TEXT),
    COLUMN("is_nullable", TYPE_TEXT),     COLUMN("data_type", TYPE_TEXT),
};

static Code info_columns_rows(const RowTarget *to, const Table *table, Error *e)
{
    for (uint32_t i = 0; i < table->schema->column_count; i++) {
        const Column *column = &table->schema->columns[i];
        Value values[] = {
            cell_text("kalam"),
            value_text(table->namespace_name),
            value_text(table->name),
            value_text(column->name),
            cell_int(i + 1),
            exec__default_text(column, to->arena),
            cell_text(column->not_null ? "NO" : "YES"),
            cell_text(type_info(column->type)->name),
        };
        TRY(SEND_ROW(to, info_columns_columns, values, e));
    }
    return OK;
}

static Code fill_info_columns(const RowTarget *to, Error *e)
{
    const Executor *x = to->executor;
    TRY(exec__each_table(to, info_columns_rows, e));
    for (size_t i = 0; i < x->view_count; i++) {
        const ExecView *view = &x->views[i];
        for (size_t c = 0; exec__is_listed(x, i, to->session) && c < view->column_count; c++) {
            Value values[] = {
                cell_text("kalam"),       cell_text(view->namespace_name),
                cell_text(view->name),    value_text(view->columns[c].name),
                cell_int((int64_t)c + 1), value_null(TYPE_TEXT),
                cell_text("YES"),         cell_text(type_info(view->columns[c].type)->name),
            };
            TRY(SEND_ROW(to, info_columns_columns, values, e));
        }
    }
    return OK;
}

static const BuiltinView views[] = {
    BUILTIN_VIEW("information_schema", "schemata", info_schemata_columns, false, fill_info_schemata,
                 0),
    BUILTIN_VIEW("information_schema", "tables", info_tables_columns, false, fill_info_tables, 0),
    BUILTIN_VIEW("information_schema", "columns", info_columns_columns, false, fill_info_columns,
                 0),
};

BuiltinViews exec__information_views(void)
{
    return (BuiltinViews){views, COUNT(views)};
}
