/* SPDX-License-Identifier: Apache-2.0
 *
 * What of DuckDB's error texts becomes visible: never a path, never printed SQL.
 */
#include "engine/engine_int.h"
#include "test.h"

typedef struct Row {
    const char *text;
    Code code;
    const char *want;
} Row;

static const Row rows[] = {
    {"Conversion Error: Could not convert string 'abc' to INT32\n\nLINE 1: SELECT ...", E_EXECUTION,
     "Could not convert string 'abc' to INT32"},
    {"Out of Range Error: Overflow in addition", E_EXECUTION, "Overflow in addition"},
    {"Conversion Error: bad value in \"/data/storage/user/u/n/t/x\"", E_EXECUTION,
     "a value cannot be converted"},
    {"Invalid Input Error: see /data/tmp/0/x", E_EXECUTION,
     "a function was given an invalid value"},
    {"Conversion Error: Error while reading file \"/data/storage/user/u/n/t/batch-3.parquet\": x",
     E_EXECUTION, "batch-3.parquet: a stored value does not convert to its column's type"},
    {"Invalid Input Error: No magic bytes found at end of file "
     "'/data/storage/user/u/n/t/batch-12.parquet'",
     E_CORRUPT, "batch-12.parquet is damaged"},
    {"IO Error: TProtocolException: Invalid data", E_CORRUPT, "a segment is damaged"},
    {"Invalid Error: ZSTD Decompression failure", E_CORRUPT, "a segment is damaged"},
    {"IO Error: No files found that match the pattern \"/data/storage/batch-1.parquet\"", E_IO,
     "batch-1.parquet cannot be opened or read"},
    {"IO Error: Could not write file \"/data/storage/batch-1.parquet.tmp\": No space left on "
     "device",
     E_DISK_FULL, "no space is left on the disk"},
    {"IO Error: Could not write file \"/data/tmp/0/duckdb_temp_block-1\": No space left on device",
     E_DISK_FULL, "no space is left on the disk"},
    {"IO Error: something else with /data/storage", E_IO, "a file could not be read or written"},
    {"Out of Memory Error: failed to offload data block of size 256.0 KiB", E_NO_MEMORY,
     "the statement needs more memory than it may use"},
    {"Permission Error: Cannot access file \"/etc/passwd\"", E_INTERNAL,
     "the query engine was refused access"},
    {"Binder Error: No function matches the given name and argument types 'sum(BLOB)'.",
     E_INVALID_SQL, "No function matches the given name and argument types 'sum(BLOB)'."},
    {"Binder Error: No function matches 'alive_at(INTEGER)'", E_INVALID_SQL,
     "types or functions do not fit together"},
    {"Catalog Error: Table Function with name \"x\" is in the DuckDB extension y", E_INVALID_SQL,
     "a function is not available"},
    {"Conversion Error: \xFF\xFE", E_EXECUTION, "a value cannot be converted"},
    {"Invalid Input Error: Could not parse 'corrupt batch-3.parquet'", E_EXECUTION,
     "a function was given an invalid value"},
    {"Conversion Error: Could not convert string 'zstd' to INT32", E_EXECUTION,
     "Could not convert string 'zstd' to INT32"},
    {"Conversion Error: ", E_EXECUTION, "a value cannot be converted"},
};

static Code map(const char *text, EngineQuery *query, bool *out_broken, Error *e)
{
    EnginePool pool = {
        .config = {.allowed_folder = "/data/storage", .temp_directory = "/data/tmp"}};
    Instance instance = {.pool = &pool};
    Code code = engine__failure(&instance, query, text, e);
    *out_broken = instance.is_broken;
    return code;
}

TEST("each kind of error has its code and shows neither a path nor printed SQL")
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        EngineQuery query = {0};
        Error error = {0};
        bool is_broken = true;
        mutex_init(&query.lock);
        CHECK_INT(map(rows[i].text, &query, &is_broken, &error), rows[i].code);
        CHECK_TEXT(error.text, rows[i].want);
        CHECK(!is_broken);
        mutex_done(&query.lock);
    }
}

TEST("an error inside DuckDB hides its text and retires the instance")
{
    static const char *const texts[] = {
        "INTERNAL Error: Assertion triggered in file \"/build/x.cpp\"",
        "FATAL Error: Failed: database has been invalidated", "", "What is this"};
    for (int i = 0; i < 4; i++) {
        EngineQuery query = {0};
        Error error = {0};
        bool is_broken = false;
        mutex_init(&query.lock);
        CHECK_INT(map(texts[i], &query, &is_broken, &error), E_INTERNAL);
        CHECK_TEXT(error.text, "the query engine failed; the log has the details");
        CHECK(is_broken);
        mutex_done(&query.lock);
    }
}

TEST("a callback's error goes before a stop, and a stop before what DuckDB says")
{
    EngineQuery query = {0};
    Error error = {0}, kept = {.code = E_CORRUPT, .text = "row 5"};
    bool is_broken = false;
    mutex_init(&query.lock);
    atomic_store(&query.is_expired, true);
    CHECK_INT(map("INTERRUPT Error: Interrupted!", &query, &is_broken, &error), E_TIMEOUT);
    atomic_store(&query.is_cancelled, true);
    CHECK_INT(map("INTERRUPT Error: Interrupted!", &query, &is_broken, &error), E_CANCELLED);
    engine__keep_error(&query, &kept);
    CHECK_INT(map("Invalid Input Error: the row source failed", &query, &is_broken, &error),
              E_CORRUPT);
    CHECK_TEXT(error.text, "row 5");
    mutex_done(&query.lock);
}
