/* SPDX-License-Identifier: Apache-2.0
 *
 * CREATE and DROP of namespaces and tables: checks and messages here, the change itself is planned
 * by catalog/ and committed like any other write. What the parser has checked is not checked again.
 */
#include "exec/exec_int.h"

#include "sql/sql.h"
#include "table/seq.h"

#include <inttypes.h>

/* ---- namespaces ---- */

static Code plan_create_namespace(void *context, ReadView *view, CatalogChange **out, Error *e)
{
    const Run *run = context;
    (void)view;
    return catalog_plan_create_namespace(database_catalog(run->executor->db),
                                         run->statement->namespace_.name, run->eval.now_us, out, e);
}

Code exec__create_namespace(Run *run, Error *e)
{
    Slice name = run->statement->namespace_.name;
    Code code = exec__change(run->executor, run, plan_create_namespace, run, e);
    if (code == E_ALREADY_EXISTS && run->statement->namespace_.if_not_exists) {
        exec__end_message(
            run, 0, arena_printf(run->arena, "Namespace '%.*s' already exists", SLICE_ARGS(name)));
        return OK;
    }
    TRY(code);
    exec__end_message(
        run, 0,
        arena_printf(run->arena, "Namespace '%.*s' created successfully", SLICE_ARGS(name)));
    return OK;
}

static Code plan_drop_table(void *context, ReadView *view, CatalogChange **out, Error *e)
{
    const Run *run = ((void **)context)[0];
    Table *table = ((void **)context)[1];
    (void)view;
    return catalog_plan_drop_table(database_catalog(run->executor->db), table, out, e);
}

/* The end of the answer. The table is gone, also when no job can be queued: its files then go
 * without one. */
static const char *clean_up(Run *run, Table *dropped)
{
    Error error = {0};
    char job[JOB_ID_BYTES];
    if (jobs_request_cleanup(run->executor->jobs, dropped, job, &error) != OK)
        return "";
    return arena_printf(run->arena, ". Cleanup job: %s", job);
}

typedef struct SpaceDrop {
    Run *run;
    Table *table; /* one of those that went with it; NULL: there was none */
} SpaceDrop;

static Code plan_drop_namespace(void *context, ReadView *view, CatalogChange **out, Error *e)
{
    SpaceDrop *drop = context;
    const Statement *statement = drop->run->statement;
    (void)view;
    table_unref(TAKE(drop->table));
    TRY(catalog_plan_drop_namespace(database_catalog(drop->run->executor->db),
                                    statement->namespace_.name, statement->namespace_.cascade, out,
                                    e));
    const CatalogChange *first = catalog_change_next(*out);
    drop->table = first ? table_ref(catalog_change_dropped_table(first)) : NULL;
    return OK;
}

Code exec__drop_namespace(Run *run, Error *e)
{
    Slice name = run->statement->namespace_.name;
    SpaceDrop drop = {.run = run};
    Code code = exec__change(run->executor, run, plan_drop_namespace, &drop, e);
    CLEANUP(table_unref_ptr) Table *table = drop.table;
    if (code == E_NAMESPACE_NOT_FOUND && run->statement->namespace_.if_exists) {
        exec__end_message(
            run, 0, arena_printf(run->arena, "Namespace '%.*s' does not exist", SLICE_ARGS(name)));
        return OK;
    }
    TRY(code);
    if (table)
        (void)clean_up(run, table); /* of one: the job removes the files of all that were dropped */
    exec__end_message(
        run, 0,
        arena_printf(run->arena, "Namespace '%.*s' dropped successfully", SLICE_ARGS(name)));
    return OK;
}

/* ---- CREATE TABLE ---- */

static const char *kind_title(TableKind kind)
{
    return kind == TABLE_USER ? "User" : kind == TABLE_SHARED ? "Shared" : "Stream";
}

/* What depends on the kind, which may have come from the session. */
static Code check_options(const CreateTable *create, TableKind kind, Error *e)
{
    const TableOptions *options = &create->options;
    if (options->storage_id.size && !slice_equal(options->storage_id, SLICE("local")))
        return fail(e, E_NOT_FOUND, "Storage '%.*s' does not exist",
                    SLICE_ARGS(options->storage_id));
    if (options->use_user_storage && kind != TABLE_USER)
        return fail(e, E_INVALID_OPERATION, "USE_USER_STORAGE is only supported for USER tables");
    if (options->access != SQL_ACCESS_UNSET && kind != TABLE_SHARED)
        return fail(e, E_INVALID_OPERATION, "ACCESS_LEVEL is only supported for SHARED tables");
    if (kind == TABLE_STREAM && !options->has_ttl)
        return fail(e, E_INVALID_OPERATION, "STREAM tables must specify 'TTL_SECONDS'");
    if (kind != TABLE_STREAM && options->has_ttl)
        return fail(e, E_INVALID_OPERATION, "TTL_SECONDS is only supported for STREAM tables");
    if (options->has_ttl && (options->ttl_s == 0 || options->ttl_s > UINT32_MAX))
        return fail(e, E_INVALID_OPERATION, "TTL_SECONDS must be between 1 and %" PRIu32,
                    UINT32_MAX);
    if (kind == TABLE_STREAM && (options->has_feed_window || options->has_feed_bytes))
        return fail(e, E_INVALID_OPERATION, SQL_STREAM_FEED_WINDOW);
    if (kind == TABLE_STREAM && options->has_flush_policy)
        return fail(e, E_INVALID_OPERATION, SQL_STREAM_FLUSH_POLICY);
    if (kind != TABLE_STREAM && create->key_index < 0)
        return fail(e, E_INVALID_OPERATION, "%s tables require a PRIMARY KEY column",
                    kind_title(kind));
    return OK;
}

AccessLevel exec__access_level(SqlAccess access)
{
    switch (access) {
    case SQL_ACCESS_PUBLIC:
        return ACCESS_PUBLIC;
    case SQL_ACCESS_RESTRICTED:
        return ACCESS_RESTRICTED;
    case SQL_ACCESS_DBA:
        return ACCESS_DBA;
    case SQL_ACCESS_PRIVATE:
    case SQL_ACCESS_UNSET:
        break;
    }
    return ACCESS_PRIVATE;
}

static Schema *schema_of(const CreateTable *create, Arena *arena)
{
    Schema *schema = arena_new_of(arena, Schema);
    *schema = (Schema){
        .version = 1,
        .column_count = create->column_count,
        .key_index = create->key_index,
        .next_field_id = create->column_count + 1,
        .columns = arena_new_array(arena, Column, create->column_count),
    };
    for (uint32_t i = 0; i < create->column_count; i++) {
        const ColumnDefinition *definition = &create->columns[i];
        bool is_key = (int32_t)i == create->key_index;
        schema->columns[i] = (Column){
            .field_id = i + 1,
            .name = definition->name,
            .type = definition->type,
            .not_null = definition->not_null || is_key,
            .primary_key = is_key,
            .default_kind = definition->default_kind,
            .default_value = definition->default_value,
        };
    }
    return schema;
}

typedef struct Creation {
    Run *run;
    Table definition;
} Creation;

static Code plan_create_table(void *context, ReadView *view, CatalogChange **out, Error *e)
{
    Creation *creation = context;
    /* No cursor of a table that had this name before is as high. */
    creation->definition.created_at_us = view_next_moment_us(view, creation->run->eval.now_us);
    creation->definition.updated_at_us = creation->definition.created_at_us;
    return catalog_plan_create_table(database_catalog(creation->run->executor->db),
                                     &creation->definition, out, e);
}

Code exec__create_table(Run *run, Error *e)
{
    const CreateTable *create = &run->statement->create_table;
    TableKind kind = exec__table_kind(&run->session, create);
    Slice namespace_name = exec__namespace_of(run, &create->table);
    if (catalog_is_system_namespace(namespace_name))
        return fail(e, E_INVALID_OPERATION,
                    "Cannot create system table '%.*s.%.*s'. System tables are managed internally.",
                    SLICE_ARGS(namespace_name), SLICE_ARGS(create->table.name));
    TRY(check_options(create, kind, e));
    const TableOptions *options = &create->options;
    Creation creation = {
        .run = run,
        .definition = {
            .namespace_name = namespace_name,
            .name = create->table.name,
            .kind = kind,
            .access = exec__access_level(options->access),
            .durable = options->has_durability ? !options->durability_async : kind != TABLE_STREAM,
            .flush_rows = options->flush_rows,
            .flush_interval_s = options->flush_interval_s,
            .ttl_s = (uint32_t)options->ttl_s,
            .feed_window_s = options->feed_window_s,
            .feed_window_bytes = options->feed_window_bytes,
            .created_at_us = run->eval.now_us,
            .updated_at_us = run->eval.now_us,
            .schema = schema_of(create, run->arena),
        }};
    Code code = exec__change(run->executor, run, plan_create_table, &creation, e);
    if (code == E_ALREADY_EXISTS && create->if_not_exists) {
        exec__end_message(run, 0,
                          arena_printf(run->arena, "Table %.*s.%.*s already exists",
                                       SLICE_ARGS(namespace_name), SLICE_ARGS(create->table.name)));
        return OK;
    }
    TRY(code);
    exec__end_message(run, 0,
                      arena_printf(run->arena, "%s table %.*s.%.*s created successfully",
                                   kind_title(kind), SLICE_ARGS(namespace_name),
                                   SLICE_ARGS(create->table.name)));
    return OK;
}

/* ---- DROP TABLE ---- */

Code exec__drop_table(Run *run, Error *e)
{
    const TableName *name = &run->statement->table.name;
    Slice namespace_name = exec__namespace_of(run, name);
    CLEANUP(table_unref_ptr) Table *table = NULL;
    Code code = exec__find_table(run, name, &table, e);
    void *context[] = {run, table};
    if (code == OK)
        code = exec__change(run->executor, run, plan_drop_table, context, e);
    if (code == E_TABLE_NOT_FOUND && run->statement->table.if_exists) {
        exec__end_message(run, 0,
                          arena_printf(run->arena, "Table %.*s.%.*s does not exist (skipped)",
                                       SLICE_ARGS(namespace_name), SLICE_ARGS(name->name)));
        return OK;
    }
    TRY(code);
    exec__end_message(run, 0,
                      arena_printf(run->arena, "Table %.*s.%.*s dropped successfully%s",
                                   SLICE_ARGS(namespace_name), SLICE_ARGS(name->name),
                                   clean_up(run, table)));
    return OK;
}
