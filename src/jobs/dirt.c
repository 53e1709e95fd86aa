/* SPDX-License-Identifier: Apache-2.0
 *
 * Which partitions have new rows: noted by the committer as it publishes, so that due work is found without walking
 * partitions. After a start, and when too many partitions are dirty, the next check looks at all of them.
 */
#include <stdlib.h>

#include "jobs/jobs_int.h"
#include "os/clock.h"

uint32_t jobs__policy_rows(const Jobs *jobs, const Table *table)
{
    if (table->flush_rows)
        return table->flush_rows;
    return table->flush_interval_s ? UINT32_MAX : jobs->options.flush_rows_default;
}

static Slice key_of(const Partition *partition, char bytes[12])
{
    memcpy(bytes, &partition->table_id, 4);
    memcpy(bytes + 4, &partition->user, 8);
    return slice_of(bytes, 12);
}

/* The entry of a partition, made when there is none; NULL when there are too many. */
static Dirt *find_or_add(Jobs *jobs, Partition partition)
{
    char bytes[12];
    Slice key = key_of(&partition, bytes);
    Dirt *dirt = (Dirt *)map_get(jobs->dirt, key);
    if (dirt)
        return dirt;
    if (map_count(jobs->dirt) >= DIRTY_PARTITIONS_MAX) {
        jobs->dirt_overflowed = true;
        return NULL;
    }
    dirt = x_new(Dirt);
    *dirt = (Dirt){partition.table_id, partition.user, 0, clock_wall_us()};
    map_put(jobs->dirt, key, dirt);
    return dirt;
}

void jobs__on_commit(void *context, const CommitGroup *group)
{
    Jobs *jobs = (Jobs *)context;
    bool due = false;
    mutex_lock(&jobs->dirt_lock);
    for (size_t i = 0; i < group->count; i++) {
        for (size_t k = 0; k < group->intents[i]->part_count; k++) {
            const IntentPart *part = &group->intents[i]->parts[k];
            if (part->count == 0 || part->table->kind == TABLE_STREAM)
                continue;
            Dirt *dirt = find_or_add(jobs, part->partition);
            if (!dirt)
                continue;
            dirt->rows += part->count;
            due |= dirt->rows >= jobs__policy_rows(jobs, part->table);
        }
    }
    due = due && !jobs->is_due;
    jobs->is_due |= due;
    mutex_unlock(&jobs->dirt_lock);
    if (due) {
        mutex_lock(&jobs->lock);
        jobs__wake(jobs);
        mutex_unlock(&jobs->lock);
    }
}

Map *jobs__take_dirt(Jobs *jobs, bool *out_all)
{
    MUTEX_SCOPE(&jobs->dirt_lock);
    Map *dirt = jobs->dirt;
    jobs->dirt = map_new();
    *out_all = jobs->dirt_overflowed;
    jobs->dirt_overflowed = false;
    jobs->is_due = false;
    return dirt;
}

void jobs__return_dirt(Jobs *jobs, const Dirt *old)
{
    MUTEX_SCOPE(&jobs->dirt_lock);
    Dirt *dirt = find_or_add(jobs, (Partition){old->table_id, old->user});
    if (!dirt)
        return;
    dirt->rows += old->rows;
    if (old->first_at_us < dirt->first_at_us)
        dirt->first_at_us = old->first_at_us;
}

void jobs__free_dirt(Map *dirt)
{
    Slice key;
    void *value;
    for (size_t at = 0; dirt && map_next(dirt, &at, &key, &value);)
        free(value);
    map_free(dirt);
}
