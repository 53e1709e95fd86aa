/* SPDX-License-Identifier: Apache-2.0
 *
 * The second wall: even printed SQL cannot leave the allowed folder.
 */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rows.h"
#include "test.h"

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    fputs(text, file);
    CHECK_INT(fclose(file), 0);
}

/* What the statement fails with, wherever it does; OK when it gave rows. */
static Code outcome(EnginePool *pool, const char *sql, Error *e)
{
    return rows_run(pool, NULL, sql, NULL, e);
}

TEST("a file outside the allowed folder cannot be read by any of DuckDB's ways")
{
    static const char *const ways[] = {
        "SELECT * FROM read_csv('%s/secret.csv')",
        "SELECT * FROM read_text('%s/secret.csv')",
        "SELECT * FROM read_blob('%s/secret.csv')",
        "SELECT * FROM read_json('%s/secret.csv')",
        "SELECT * FROM read_parquet('%s/secret.csv')",
        "SELECT * FROM parquet_metadata('%s/secret.csv')",
        "SELECT * FROM sniff_csv('%s/secret.csv')",
        "SELECT * FROM '%s/secret.csv'",
        "SELECT * FROM query('SELECT * FROM read_text(''%s/secret.csv'')')",
        "SELECT * FROM read_text('%s/storage/../secret.csv')",
        "SELECT * FROM read_text('%s/storage/x/../../secret.csv')",
        "SELECT * FROM read_text('%s/storage2/secret.csv')",
        "SELECT * FROM glob('%s/*')",
        "SELECT * FROM read_text('%s/*')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_text('.tmp/secret.csv')",
        "SELECT * FROM read_text('http://127.0.0.1:1/x')",
        "SELECT * FROM sqlite_scan('%s/secret.csv', 'x')",
    };
    EnginePool *pool = rows_pool(1);
    char path[600];
    snprintf(path, sizeof path, "%s/secret.csv", test_folder());
    write_text(path, "top,secret\n1,2\n");
    snprintf(path, sizeof path, "%s/storage2", test_folder());
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/storage2/secret.csv", test_folder());
    write_text(path, "top,secret\n1,2\n");
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        CLEANUP(buffer_done) Buffer sql = {0};
        for (const char *at = ways[i]; *at; at++) {
            if (at[0] == '%')
                buffer_add_text(&sql, test_folder()), at++;
            else
                buffer_add_char(&sql, *at);
        }
        buffer_add_char(&sql, 0);
        Error error = {0};
        Slice got = {0};
        Code code = rows_run(pool, NULL, sql.data, &got, &error);
        if (code == OK && got.size)
            test_failed(__FILE__, __LINE__, "%s gave `%.*s`", sql.data, SLICE_ARGS(got));
        CHECK(!strstr(error.text, "secret"));
        CHECK(!strstr(error.text, test_folder()));
    }
    engine_pool_free(pool);
}

TEST("a file inside the allowed folder can be read")
{
    EnginePool *pool = rows_pool(1);
    write_text(rows_path("open.csv"), "a,b\n1,2\n");
    CLEANUP(buffer_done) Buffer sql = {0};
    buffer_printf(&sql, "SELECT a + b FROM read_csv('%s')%c", rows_path("open.csv"), 0);
    Slice got = {0};
    CHECK_OK(rows_run(pool, NULL, sql.data, &got, e));
    CHECK_SLICE(got, SLICE("3"));
    engine_pool_free(pool);
}

TEST("statements that are no SELECT, or more than one, do not run")
{
    static const char *const statements[] = {
        "ATTACH '/tmp/x.db'",
        "COPY (SELECT 1) TO '/tmp/kalam-outside.csv'",
        "CREATE TABLE t(a INT)",
        "CREATE MACRO lower(x) AS 'hijacked'",
        "SET lock_configuration=false",
        "SET enable_external_access=true",
        "INSTALL httpfs",
        "LOAD httpfs",
        "EXPORT DATABASE '/tmp/kalam-outside'",
        "SELECT 1; SELECT 2",
        "",
    };
    EnginePool *pool = rows_pool(1);
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        Error error = {0};
        if (outcome(pool, statements[i], &error) == OK)
            test_failed(__FILE__, __LINE__, "`%s` ran", statements[i]);
    }
    CHECK(access("/tmp/kalam-outside.csv", F_OK) != 0);
    Slice got = {0};
    CHECK_OK(rows_run(pool, NULL, "SELECT lower('A')", &got, e));
    CHECK_SLICE(got, SLICE("a"));
    engine_pool_free(pool);
}

TEST("the settings that keep the instance small and closed are in force")
{
    EnginePool *pool = rows_pool(1);
    Slice got = {0};
    CHECK_OK(
        rows_run(pool, NULL,
                 "SELECT current_setting('enable_external_access'),"
                 " current_setting('lock_configuration'),"
                 " current_setting('autoload_known_extensions'),"
                 " current_setting('autoinstall_known_extensions'),"
                 " current_setting('late_materialization_max_rows'), current_setting('threads'),"
                 " current_setting('memory_limit'), current_setting('TimeZone')",
                 &got, e));
    CHECK_SLICE(got, SLICE("false|true|false|false|1000|2|64.0 MiB|UTC"));
    Error error = {0};
    CHECK(outcome(pool, "SELECT set_config('threads', '9', false)", &error) != OK);
    engine_pool_free(pool);
}

TEST("only the storage folder and the spill folder of the instance are allowed, never .tmp")
{
    EnginePool *pool = rows_pool(1);
    Slice got = {0};
    CHECK_OK(rows_run(pool, NULL,
                      "SELECT len(current_setting('allowed_directories')),"
                      " array_to_string(current_setting('allowed_directories'), ';')",
                      &got, e));
    CHECK(got.size > 0 && got.data[0] == '2');
    CHECK(!memmem(got.data, got.size, "/.tmp", 5));
    engine_pool_free(pool);
}

TEST("a pool with a bad configuration is refused before anything opens")
{
    EnginePool *pool = NULL;
    EngineConfig config = {.instances = 1,
                           .threads_per_instance = 1,
                           .memory_limit_bytes = 64 << 20,
                           .temp_directory = test_folder(),
                           .allowed_folder = "/nowhere/at/all"};
    CHECK_CODE(engine_pool_new(&config, &pool, e), E_IO);
    config.allowed_folder = "/";
    CHECK_CODE(engine_pool_new(&config, &pool, e), E_CONFIG);
    config.allowed_folder = test_folder();
    config.instances = 0;
    CHECK_CODE(engine_pool_new(&config, &pool, e), E_CONFIG);
    config.instances = 1;
    config.memory_limit_bytes = 1;
    CHECK_CODE(engine_pool_new(&config, &pool, e), E_CONFIG);
    CHECK(pool == NULL);
}
