/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening one DuckDB instance and shutting its doors. User text never gets here; the settings are
 * the second wall behind that:
 *
 *   - files outside the allowed folder and the temporary folder cannot be opened
 * (allowed_directories can only be
 *     set while external access is still on, and the temporary folder joins the list by itself, the
 *     working directory's `.tmp` if none were set);
 *   - no extension is loaded or fetched by itself;
 *   - no bytes of files are kept by their paths: those of erased users would stay in memory, and
 *     the kernel's page cache serves as well;
 *   - the configuration is locked, so that no statement can undo any of this.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/engine_int.h"
#include "os/file.h"

static Code run_setting(Instance *instance, const char *sql, Error *e)
{
    duckdb_result result;
    Code code = OK;
    if (duckdb_query(instance->connection, sql, &result) != DuckDBSuccess) {
        const char *text = duckdb_result_error(&result);
        if (instance->pool->trace)
            instance->pool->trace(instance->pool->trace_context, text);
        code = fail(e, E_INTERNAL, "DuckDB refused a setting at start");
    }
    duckdb_destroy_result(&result);
    return code;
}

static void print_settings(const Instance *instance, Buffer *out)
{
    const EngineConfig *config = &instance->pool->config;
    buffer_printf(out, "SET threads=%u;", config->threads_per_instance);
    buffer_printf(out, "SET memory_limit='%lluB';", (unsigned long long)config->memory_limit_bytes);
    CLEANUP(buffer_done) Buffer temp = {0};
    buffer_printf(&temp, "%s/%u", config->temp_directory, instance->index);
    buffer_add_text(out, "SET temp_directory=");
    engine_add_text(out, buffer_slice(&temp));
    buffer_add_text(out, ";SET allowed_directories=[");
    engine_add_text(out, instance->pool->allowed_folder);
    buffer_add_text(out, "];"
                         "SET autoinstall_known_extensions=false;"
                         "SET autoload_known_extensions=false;"
                         "SET allow_community_extensions=false;"
                         "SET late_materialization_max_rows=1000;"
                         "SET enable_external_file_cache=false;"
                         "SET preserve_insertion_order=true;"
                         "SET enable_progress_bar=false;"
                         "SET TimeZone='UTC';"
                         "SET errors_as_json=false;"
                         "SET enable_external_access=false;"
                         "SET lock_configuration=true;");
}

static Code harden(Instance *instance, Error *e)
{
    CLEANUP(buffer_done) Buffer sql = {0};
    print_settings(instance, &sql);
    buffer_add_char(&sql, 0);
    return run_setting(instance, sql.data, e);
}

static Code open_database(Instance *instance, Error *e)
{
    duckdb_config config;
    if (duckdb_create_config(&config) != DuckDBSuccess)
        return fail(e, E_NO_MEMORY, "no memory for a query engine");
    char threads[16];
    snprintf(threads, sizeof threads, "%u", instance->pool->config.threads_per_instance);
    duckdb_set_config(config, "threads", threads);
    char *text = NULL;
    duckdb_state state = duckdb_open_ext(":memory:", &instance->database, config, &text);
    duckdb_destroy_config(&config);
    if (state != DuckDBSuccess && text && instance->pool->trace)
        instance->pool->trace(instance->pool->trace_context, text);
    duckdb_free(text);
    if (state != DuckDBSuccess)
        return fail(e, E_INTERNAL, "a query engine did not start");
    if (duckdb_connect(instance->database, &instance->connection) != DuckDBSuccess)
        return fail(e, E_INTERNAL, "a query engine did not start");
    return OK;
}

Code engine__open(Instance *instance, Error *e)
{
    must(!instance->is_open);
    Code code = open_database(instance, e);
    if (code == OK)
        code = engine__register_functions(instance, e);
    if (code == OK)
        code = harden(instance, e);
    if (code != OK)
        engine__close(instance);
    else
        instance->is_open = true;
    return code;
}

void engine__close(Instance *instance)
{
    duckdb_disconnect(&instance->connection);
    duckdb_close(&instance->database);
    instance->is_open = false;
    instance->is_broken = false;
}

/* ---- Folders ---- */

/* Removes what a killed process left in one spill folder. */
static void remove_spilled_files(const char *folder)
{
    DIR *dir = opendir(folder);
    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (strncmp(entry->d_name, "duckdb_temp_", strlen("duckdb_temp_")) == 0)
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
    }
    closedir(dir);
}

Code engine__prepare_folders(EnginePool *pool, const EngineConfig *config, Error *e)
{
    TRY(file_make_folders(config->temp_directory, 0700, e));
    char *allowed = realpath(config->allowed_folder, NULL);
    if (!allowed)
        return fail(e, E_IO, "the storage folder cannot be opened: %s", strerror(errno));
    if (strpbrk(allowed, "*?[") || strcmp(allowed, "/") == 0) {
        free(allowed);
        return fail(e, E_CONFIG, "the storage folder may not be / nor have *, ? or [ in its name");
    }
    for (uint32_t i = 0; i < config->instances; i++) {
        CLEANUP(buffer_done) Buffer folder = {0};
        buffer_printf(&folder, "%s/%u%c", config->temp_directory, i, 0);
        remove_spilled_files(folder.data);
    }
    pool->allowed_folder = slice_of_text(allowed);
    pool->config = *config;
    pool->config.temp_directory = realpath(config->temp_directory, NULL);
    pool->config.allowed_folder = allowed;
    if (!pool->config.temp_directory)
        return fail(e, E_IO, "the temporary folder cannot be opened: %s", strerror(errno));
    return OK;
}
