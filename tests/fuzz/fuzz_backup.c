/* SPDX-License-Identifier: Apache-2.0
 *
 * backup_list_parse over any bytes. What parses prints to the same bytes, and no path leads out of
 * the backup.
 */
#include "base/buffer.h"
#include "table/backup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(buffer_done) Buffer again = {0};
    Error e = {0};
    BackupList list;
    Slice bytes = slice_of((const char *)data, size);
    Code code = backup_list_parse(bytes, arena, &list, &e);
    if (code != OK) {
        must(code == E_CORRUPT || code == E_FORMAT_VERSION);
        return 0;
    }
    for (size_t i = 0; i < list.count; i++) {
        must(list.files[i].path.size > 0 && list.files[i].path.data[0] != '/');
        must(!memmem(list.files[i].path.data, list.files[i].path.size, "/../", 4));
    }
    backup_list_print(&list, &again);
    BackupList second;
    must(backup_list_parse(buffer_slice(&again), arena, &second, &e) == OK);
    must(second.count == list.count && second.seq == list.seq);
    return 0;
}
