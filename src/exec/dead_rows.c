/* SPDX-License-Identifier: Apache-2.0
 *
 * In which row of its file each dead row of a segment lies, as far as scans have seen it. A dead
 * row is recorded by its seq, and asking each row of a file for its seq means reading a column that
 * most statements do not want; the number of the row costs nothing. So the scan that still has to
 * ask by seq tells what it found, and later ones of the same file ask by number.
 *
 *   I1  What is kept is true for ever: a file is never changed, and its checksum is in the key.
 *       Which rows are dead is not kept here; every statement brings the list of its own view.
 *   I2  It may be forgotten at any time.
 *
 * Threads: any, under one lock.
 */
#include "exec/dead_rows.h"

#include "base/map.h"
#include "os/thread.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS_MAX = 1000 * 1000 }; /* of all files, 16 bytes each; then all are forgotten */

typedef struct DeadFile {
    size_t count;
    DeadRow rows[]; /* ascending */
} DeadFile;

struct DeadRows {
    Mutex lock;
    Map *files;       /* guarded by lock */
    size_t row_count; /* guarded by lock */
};

typedef struct FileKey { /* without gaps: its bytes are the key */
    uint64_t table_id, user, batch, max_seq, crc;
} FileKey;

static FileKey key_of(Partition partition, const SegmentEntry *entry)
{
    return (FileKey){partition.table_id, partition.user, entry->batch, entry->max_seq, entry->crc};
}

static Slice key_slice(const FileKey *key)
{
    return slice_of(key, sizeof *key);
}

DeadRows *exec__dead_rows_new(void)
{
    DeadRows *known = x_new(DeadRows);
    mutex_init(&known->lock);
    known->files = map_new();
    return known;
}

static void forget_all(DeadRows *known)
{
    Slice key;
    void *file;
    for (size_t i = 0; map_next(known->files, &i, &key, &file);)
        free(file);
    map_free(known->files);
    known->files = NULL;
    known->row_count = 0;
}

void exec__dead_rows_free(DeadRows *known)
{
    if (!known)
        return;
    forget_all(known);
    mutex_done(&known->lock);
    free(known);
}

bool exec__dead_rows_find(DeadRows *known, Partition partition, const SegmentEntry *entry,
                          const DeadList *dead, Arena *arena, DeadList *out)
{
    FileKey key = key_of(partition, entry);
    uint64_t *rows = arena_new_array(arena, uint64_t, dead->count + 1);
    MUTEX_SCOPE(&known->lock);
    const DeadFile *file = map_get(known->files, key_slice(&key));
    size_t at = 0;
    for (size_t i = 0; i < dead->count; i++, at++) {
        while (file && at < file->count && file->rows[at].seq < dead->seqs[i])
            at++;
        if (!file || at == file->count || file->rows[at].seq != dead->seqs[i])
            return false;
        rows[i] = file->rows[at].row;
    }
    *out = (DeadList){.seqs = rows, .count = dead->count};
    return true;
}

/* Both are ascending; a row that both have is the same one (I1). */
static DeadFile *merge(const DeadFile *before, const DeadRow *rows, size_t count)
{
    size_t old_count = before ? before->count : 0, i = 0, k = 0;
    DeadFile *file = x_grow(NULL, sizeof *file + (old_count + count) * sizeof *file->rows);
    file->count = 0;
    while (i < old_count || k < count) {
        bool is_old = k == count || (i < old_count && before->rows[i].seq <= rows[k].seq);
        DeadRow row = is_old ? before->rows[i++] : rows[k++];
        if (!file->count || file->rows[file->count - 1].seq != row.seq)
            file->rows[file->count++] = row;
    }
    return file;
}

void exec__dead_rows_add(DeadRows *known, Partition partition, const SegmentEntry *entry,
                         const DeadRow *rows, size_t count)
{
    if (count == 0 || count > ROWS_MAX)
        return;
    FileKey key = key_of(partition, entry);
    MUTEX_SCOPE(&known->lock);
    if (known->row_count + count > ROWS_MAX) { /* I2 */
        forget_all(known);
        known->files = map_new();
    }
    const DeadFile *before = map_get(known->files, key_slice(&key));
    DeadFile *file = merge(before, rows, count);
    known->row_count += file->count - (before ? before->count : 0);
    free(map_put(known->files, key_slice(&key), file));
}
