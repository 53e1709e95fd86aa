/* SPDX-License-Identifier: Apache-2.0
 *
 * set-format <data folder> <number>: makes a data folder claim another format version, as a later
 * server would. It writes RocksDB directly, since no server can be asked to; lifecycle.mjs compiles
 * it.
 */
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    char path[4096], *error = NULL;
    if (argc != 3 || snprintf(path, sizeof path, "%s/rocksdb", argv[1]) >= (int)sizeof path)
        return 2;
    rocksdb_options_t *options = rocksdb_options_create();
    size_t count = 0, system = 0;
    char **names = rocksdb_list_column_families(options, path, &count, &error);
    const rocksdb_options_t **each = calloc(count + 1, sizeof *each);
    rocksdb_column_family_handle_t **families = calloc(count + 1, sizeof *families);
    if (error || !each || !families)
        return fprintf(stderr, "%s\n", error ? error : "out of memory"), 1;
    for (size_t i = 0; i < count; i++) {
        each[i] = options;
        if (names[i][0] == 's' && names[i][1] == 'y')
            system = i;
    }
    rocksdb_t *db = rocksdb_open_column_families(
        options, path, (int)count, (const char *const *)names, each, families, &error);
    if (error)
        return fprintf(stderr, "%s\n", error), 1;
    unsigned long long number = strtoull(argv[2], NULL, 10);
    char value[8];
    for (int i = 0; i < 8; i++)
        value[i] = (char)(number >> (56 - 8 * i));
    rocksdb_writeoptions_t *write = rocksdb_writeoptions_create();
    rocksdb_put_cf(db, write, families[system], "format", 6, value, sizeof value, &error);
    for (size_t i = 0; i < count; i++)
        rocksdb_column_family_handle_destroy(families[i]);
    rocksdb_close(db);
    return error ? 1 : 0;
}
