/* SPDX-License-Identifier: Apache-2.0
 *
 * manifest.json: what tools and the clients of SHOW MANIFEST read.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "os/file.h"
#include "rows.h"
#include "test.h"

static const char want[] =
    "{\n"
    "  \"table_id\": {\n"
    "    \"namespace_id\": \"chat\",\n"
    "    \"table_name\": \"messages\"\n"
    "  },\n"
    "  \"user_id\": \"a\\\"b\",\n"
    "  \"version\": 4,\n"
    "  \"created_at\": 1,\n"
    "  \"updated_at\": 2,\n"
    "  \"segments\": [\n"
    "    {\n"
    "      \"id\": \"batch-9.parquet\",\n"
    "      \"path\": \"batch-9.parquet\",\n"
    "      \"min_seq\": 10,\n"
    "      \"max_seq\": 20,\n"
    "      \"row_count\": 3,\n"
    "      \"size_bytes\": 400,\n"
    "      \"created_at\": 5,\n"
    "      \"column_stats\": {\n"
    "        \"1\": { \"min\": -5, \"max\": 9007199254740993, \"null_count\": 0 },\n"
    "        \"2\": { \"min\": \"a\", \"max\": \"b\", \"null_count\": 1 },\n"
    "        \"3\": { \"min\": null, \"max\": 0.5, \"null_count\": 0 },\n"
    "        \"4\": { \"min\": null, \"max\": null, \"null_count\": 3 }\n"
    "      },\n"
    "      \"schema_version\": 2,\n"
    "      \"status\": \"committed\",\n"
    "      \"crc32c\": \"0000abcd\"\n"
    "    }\n"
    "  ],\n"
    "  \"columns\": {\n"
    "    \"1\": { \"name\": \"id\", \"type\": \"BIGINT\" },\n"
    "    \"2\": { \"name\": \"name\", \"type\": \"TEXT\" },\n"
    "    \"3\": { \"name\": \"score\", \"type\": \"DOUBLE\" }\n"
    "  },\n"
    "  \"last_sequence_number\": 9,\n"
    "  \"files\": null,\n"
    "  \"vector_indexes\": {}\n"
    "}\n";

TEST("a manifest has the fields of the original, in its order and pretty-printed")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    TestTable table;
    table_init(&table, 0);
    SegmentStats stats[] = {
        {1, 0, true, value_integer(TYPE_BIGINT, -5), value_integer(TYPE_BIGINT, 9007199254740993)},
        {2, 1, true, value_text(SLICE("a")), value_text(SLICE("b"))},
        {3, 0, true, value_double(-INFINITY), value_double(0.5)},
        {4, 3, false, value_null(TYPE_NULL), value_null(TYPE_NULL)},
    };
    SegmentEntry entry = {.batch = 9,
                          .min_seq = 10,
                          .max_seq = 20,
                          .row_count = 3,
                          .size_bytes = 400,
                          .created_at_ms = 5,
                          .schema_version = 2,
                          .crc = 0xABCD,
                          .stats_count = 4,
                          .stats = stats};
    const SegmentEntry *entries[] = {&entry};
    ManifestInfo info = {.place = {.namespace_name = SLICE("chat"),
                                   .table_name = SLICE("messages"),
                                   .user_id = SLICE("a\"b")},
                         .version = 4,
                         .created_at_ms = 1,
                         .updated_at_ms = 2,
                         .schema = &table.schema};
    CHECK_OK(cold_manifest_write(cold_root(), SLICE("user/u/ns/t"), &info, entries, 1, e));
    char path[600];
    snprintf(path, sizeof path, "%s/user/u/ns/t/manifest.json", cold_root());
    Slice text;
    CHECK_OK(file_read(path, 100000, arena, &text, e));
    CHECK_TEXT(text.data, want);
    struct stat file;
    CHECK(stat(path, &file) == 0);
    CHECK_INT(file.st_mode & 0777, 0600);
    *strrchr(path, '/') = 0;
    CHECK(stat(path, &file) == 0);
    CHECK_INT(file.st_mode & 0777, 0700);
}

TEST("the manifest of a shared table without segments is complete too")
{
    CLEANUP(buffer_done) Buffer text = {0};
    ManifestInfo info = {
        .place = {.namespace_name = SLICE("n"), .table_name = SLICE("t"), .is_shared = true}};
    CHECK_OK(cold_manifest_print(&info, NULL, 0, &text, e));
    buffer_add_char(&text, 0);
    CHECK_TEXT(text.data,
               "{\n  \"table_id\": {\n    \"namespace_id\": \"n\",\n    \"table_name\": \"t\"\n"
               "  },\n  \"user_id\": null,\n  \"version\": 0,\n  \"created_at\": 0,\n"
               "  \"updated_at\": 0,\n  \"segments\": [],\n  \"columns\": {},\n"
               "  \"last_sequence_number\": 0,\n  \"files\": null,\n  \"vector_indexes\": {}\n}\n");
}
