/* SPDX-License-Identifier: Apache-2.0
 *
 * Counting what commits leave in partitions, so that a flush by rows comes with the commit that
 * makes it due, and a feed that outgrows its bytes is trimmed. What time makes due is the due
 * index's (table/due.h).
 *
 * A count starts with the first commit that is seen of a partition, so the rows that waited before
 * are counted once, at the next look; one that the due index asks for counts them, too, so that
 * none are forgotten by a restart. Counts are in memory and bounded: one that made room for others
 * starts again like that.
 */
#include <stdlib.h>

#include "jobs/dirt.h"
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

/* ---- lists: every entry is in one of the two ---- */

static void append(DirtList *list, Dirt *dirt)
{
    dirt->previous = list->last;
    dirt->next = NULL;
    if (list->last)
        list->last->next = dirt;
    else
        list->first = dirt;
    list->last = dirt;
}

static void take_out(DirtList *list, Dirt *dirt)
{
    if (dirt->previous)
        dirt->previous->next = dirt->next;
    else
        list->first = dirt->next;
    if (dirt->next)
        dirt->next->previous = dirt->previous;
    else
        list->last = dirt->previous;
}

static void list(Jobs *jobs, Dirt *dirt)
{
    if (dirt->is_listed)
        return;
    take_out(&jobs->idle, dirt);
    append(&jobs->listed, dirt);
    dirt->is_listed = true;
}

/* Was touched just now, so others make room before it. */
static void keep(Jobs *jobs, Dirt *dirt)
{
    take_out(dirt->is_listed ? &jobs->listed : &jobs->idle, dirt);
    append(&jobs->idle, dirt);
    dirt->is_listed = false;
}

/* Makes room: the count that was not touched for longest, of those that wait for nothing. */
static void evict(Jobs *jobs)
{
    char bytes[12];
    Dirt *oldest = jobs->idle.first;
    if (!oldest)
        return;
    take_out(&jobs->idle, oldest);
    map_remove(jobs->dirt, key_of(&oldest->partition, bytes));
    free(oldest);
}

/* The entry of a partition, made when there is none; NULL when all there is room for wait for a
 * look: then the due index finds the partition later. */
static Dirt *find_or_add(Jobs *jobs, Partition partition)
{
    char bytes[12];
    Slice key = key_of(&partition, bytes);
    Dirt *dirt = (Dirt *)map_get(jobs->dirt, key);
    if (dirt && !dirt->is_listed)
        keep(jobs, dirt);
    if (dirt)
        return dirt;
    if (map_count(jobs->dirt) >= DIRTY_PARTITIONS_MAX)
        evict(jobs);
    if (map_count(jobs->dirt) >= DIRTY_PARTITIONS_MAX)
        return NULL;
    dirt = x_new(Dirt);
    *dirt = (Dirt){.partition = partition};
    map_put(jobs->dirt, key, dirt);
    append(&jobs->idle, dirt);
    return dirt;
}

/* Whether so much makes a flush or a trim due. */
static bool makes_due(const Jobs *jobs, const Table *table, const Dirt *dirt)
{
    uint64_t feed_bytes = database_feed_window_bytes(jobs->db, table) / FEED_PARTS;
    return dirt->rows >= jobs__policy_rows(jobs, table) ||
           (feed_bytes && dirt->bytes >= feed_bytes);
}

/* Whether the thread is to look now: the partition is due, or will be before it wakes. */
static bool note_part(Jobs *jobs, const IntentPart *part, int64_t now_us)
{
    int64_t delay_us = due_delay_us(jobs->db, part->table);
    bool is_early = now_us + delay_us < jobs->sleeps_until_us;
    if (part->table->kind == TABLE_STREAM)
        return is_early;
    Dirt *dirt = find_or_add(jobs, part->partition);
    if (!dirt)
        return is_early;
    dirt->rows += part->count;
    for (size_t i = 0; i < part->count; i++)
        dirt->bytes += part->changes[i].new_row.size;
    bool is_due = makes_due(jobs, part->table, dirt), is_news = is_due && !dirt->is_listed;
    if (is_due || !dirt->is_counted)
        list(jobs, dirt);
    return is_early || is_news;
}

static bool note_group(Jobs *jobs, const CommitGroup *group)
{
    int64_t now_us = clock_wall_us();
    bool news = false;
    MUTEX_SCOPE(&jobs->dirt_lock);
    if (!database_is_read_only(jobs->db)) /* or what failed meanwhile would be told of twice */
        jobs->is_rest_told = jobs->is_reopen_told = false;
    for (size_t i = 0; i < group->count; i++) {
        const Intent *intent = group->intents[i];
        news |= intent->catalog_change != NULL; /* a policy may be another now */
        for (size_t k = 0; k < intent->part_count; k++) {
            if (intent->parts[k].count > 0)
                news |= note_part(jobs, &intent->parts[k], now_us);
        }
    }
    return news;
}

void jobs__on_commit(void *context, const CommitGroup *group)
{
    Jobs *jobs = (Jobs *)context;
    if (!note_group(jobs, group))
        return;
    mutex_lock(&jobs->lock);
    jobs__wake(jobs);
    mutex_unlock(&jobs->lock);
}

size_t jobs__take_dirt(Jobs *jobs, Dirt *out, size_t limit)
{
    int64_t now_us = clock_wall_us();
    size_t count = 0;
    MUTEX_SCOPE(&jobs->dirt_lock);
    for (Dirt *dirt = jobs->listed.first, *next; dirt && count < limit; dirt = next) {
        next = dirt->next;
        if (dirt->not_before_us > now_us)
            continue;
        out[count++] = *dirt;
        keep(jobs, dirt);
        dirt->is_counted = true; /* from here on: what waited comes with jobs__return_dirt */
        dirt->rows = dirt->bytes = 0;
        dirt->not_before_us = 0;
    }
    return count;
}

bool jobs__is_counted(Jobs *jobs, Partition partition)
{
    char bytes[12];
    MUTEX_SCOPE(&jobs->dirt_lock);
    return map_get(jobs->dirt, key_of(&partition, bytes)) != NULL;
}

void jobs__return_dirt(Jobs *jobs, const Table *table, const Dirt *left)
{
    char bytes[12];
    MUTEX_SCOPE(&jobs->dirt_lock);
    Dirt *dirt = left->not_before_us ? find_or_add(jobs, left->partition)
                                     : (Dirt *)map_get(jobs->dirt, key_of(&left->partition, bytes));
    if (!dirt)
        return; /* it made room meanwhile: the next commit counts anew */
    dirt->rows += left->rows;
    dirt->bytes += left->bytes;
    if (left->not_before_us == 0) {
        if (makes_due(jobs, table, dirt)) /* with what came meanwhile, which was not enough alone */
            list(jobs, dirt);
        return;
    }
    dirt->is_counted = false;
    dirt->not_before_us = left->not_before_us;
    list(jobs, dirt);
}

void jobs__forget_counts(Jobs *jobs, uint32_t table_id)
{
    char bytes[12];
    MUTEX_SCOPE(&jobs->dirt_lock);
    for (Dirt *dirt = jobs->idle.first, *next; dirt; dirt = next) {
        next = dirt->next;
        if (dirt->partition.table_id != table_id)
            continue;
        take_out(&jobs->idle, dirt);
        map_remove(jobs->dirt, key_of(&dirt->partition, bytes));
        free(dirt);
    }
}

void jobs__sleeps_until(Jobs *jobs, int64_t wall_us)
{
    MUTEX_SCOPE(&jobs->dirt_lock);
    jobs->sleeps_until_us = wall_us;
}

void jobs__free_dirt(Map *dirt)
{
    Slice key;
    void *value;
    for (size_t at = 0; dirt && map_next(dirt, &at, &key, &value);)
        free(value);
    map_free(dirt);
}
