/* SPDX-License-Identifier: Apache-2.0
 *
 * What the database holds and shows, against the model.
 */
#include <inttypes.h>
#include <string.h>

#include "../test.h"
#include "base/limits.h"
#include "cold/cold.h"
#include "model_int.h"
#include "os/file.h"
#include "table/table_int.h"

static uint64_t random_commit(void)
{
    if (model->commit_count == 0)
        return 0;
    size_t back = model__chance(70) ? model__random(30) : model__random(model->commit_count);
    return model->commits[model->commit_count - 1 - (back < model->commit_count ? back : 0)];
}

static void check_row(const Run *run, Slice got, int32_t id, uint32_t value)
{
    CLEANUP(buffer_done) Buffer want = {0};
    model__encode(run, id, value, &want, NULL);
    CHECK_SLICE(got, buffer_slice(&want));
}

/* ---- comparing ---- */

static void check_state(Run *run, ReadView *view, unsigned user)
{
    PartitionState state;
    CHECK_OK(view_partition(view, run->f.table, run->partitions[user], &state, e));
    CHECK_INT(state.flush_mark, model->mark[user]);
    CHECK_INT(state.feed_low, model->low[user]);
}

static const char *family_name(HotFamily family)
{
    return family == HOT_ROWS ? "rows" : family == HOT_HISTORY ? "history" : "dead";
}

/* The key the walk is at is that of the event; else a lost one, or one too many. */
static void check_key(Slice key, HotFamily family, const Event *want)
{
    Partition partition;
    uint64_t seq = 0;
    CHECK(table__read_seq_key(key, &partition, &seq));
    if (seq != want->seq)
        test_failed(__FILE__, __LINE__,
                    "%s of user %u: got %" PRIu64 ", want %" PRIu64
                    " (id %d, kind %u, superseded by %" PRIu64 "%s); flush mark %" PRIu64
                    ", feed low %" PRIu64,
                    family_name(family), want->user, seq, want->seq, want->id, want->kind,
                    want->superseded_by, want->is_cold ? ", in a segment" : "",
                    model->mark[want->user], model->low[want->user]);
}

/* Every key of a family of one partition is one the model expects, and the reverse. */
static void check_versions(Run *run, ReadView *view, unsigned user, HotFamily family)
{
    SeqKey from = table__seq_key(run->partitions[user], 0),
           to = table__seq_key(run->partitions[user], UINT64_MAX);
    HotIterator *it = hot_iterator_open(view_snapshot(view), HOT_BLOCKING, family,
                                        table__key_slice(&from), table__key_slice(&to), false);
    for (size_t i = 0; i < model->event_count; i++) {
        const Event *event = &model->events[i];
        bool wanted = family == HOT_ROWS      ? event->has_hot
                      : family == HOT_HISTORY ? event->has_history
                                              : event->is_cold && event->superseded_by;
        if (event->user != user || !wanted)
            continue;
        if (!hot_next(it)) { /* lost, unless the failing disk ended the walk */
            Error error = {0};
            Code code = hot_iterator_end(it, &error);
            CHECK(code != OK);
            model__note_failure(code, &error);
            hot_iterator_close(it);
            return;
        }
        check_key(hot_key(it), family, event);
        if (family == HOT_DEAD) {
            uint64_t at = 0;
            CHECK(table__decode_u64(hot_value(it), &at));
            CHECK_INT(at, event->superseded_by);
            continue;
        }
        VersionHeader header;
        CHECK_OK(family == HOT_ROWS
                     ? table__decode_row(hot_key(it), hot_value(it), &header, e)
                     : table__decode_history(hot_key(it), hot_value(it), &header, e));
        CHECK_INT(header.superseded_by, family == HOT_HISTORY ? event->superseded_by : 0);
        CHECK_INT(header.prev_seq, event->prev_is_unknown ? 0 : event->old_seq);
        CHECK_INT(header.kind, event->kind == CHANGE_DELETE ? VERSION_TOMBSTONE : VERSION_LIVE);
        check_row(run, header.row, event->id, event->value);
    }
    if (hot_next(it)) { /* a leaked one */
        Event none = {.user = (uint8_t)user};
        check_key(hot_key(it), family, &none);
    }
    CHECK_OK(hot_iterator_end(it, e));
    hot_iterator_close(it);
}

static void check_heads(Run *run, ReadView *view, unsigned user)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(buffer_done) Buffer row = {0}, key = {0};
    int live = 0, heads = 0;
    for (int32_t id = 0; id < IDS; id++) {
        Version version = {0};
        const Event *event = model__live(user, id);
        model__encode(run, id, 0, &row, &key);
        Code code = view_find(view, run->f.table, run->partitions[user], buffer_slice(&key), arena,
                              &version, NULL);
        CHECK_INT(code, event ? OK : E_NOT_FOUND);
        live += event != NULL;
        if (!event)
            continue;
        CHECK_INT(version.seq, event->seq);
        CHECK_INT(version.is_cold, event->is_cold);
        CHECK_INT(version.has_row, event->has_hot);
        if (!version.has_row && model__chance(20))
            CHECK_OK(view_load_cold(view, run->f.table, run->partitions[user], arena, &version, e));
        if (version.has_row)
            check_row(run, version.row, id, event->value);
    }
    SeqKey from = table__seq_key(run->partitions[user], 0);
    char to[PARTITION_BYTES + KEY_BYTES_MAX];
    memset(to, 0xFF, sizeof to);
    memcpy(to, from.bytes, PARTITION_BYTES);
    HotIterator *it =
        hot_iterator_open(view_snapshot(view), HOT_BLOCKING, HOT_HEADS,
                          table__partition_slice(&from), slice_of(to, sizeof to), false);
    while (hot_next(it))
        heads++;
    hot_iterator_close(it);
    CHECK_INT(heads, live);
}

static void check_segments(Run *run, ReadView *view, unsigned user)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    SegmentEntry *entries = NULL;
    size_t count = 0;
    uint64_t rows = 0, want = 0, after = 0;
    CHECK_OK(view_segments(view, run->partitions[user], 0, UINT64_MAX, arena, &entries, &count, e));
    for (size_t i = 0; i < count; i++) {
        CHECK(entries[i].min_seq > after);
        CHECK(entries[i].max_seq >= entries[i].min_seq);
        after = entries[i].max_seq;
        rows += entries[i].row_count;
    }
    for (size_t i = 0; i < model->event_count; i++)
        want += model->events[i].user == user && model->events[i].is_cold;
    CHECK_INT(rows, want);
}

/* Everything that is stored, key by key. */
void model__check_stored(Run *run)
{
    ReadView *view = NULL;
    if (run->is_unsettled)
        return;
    CHECK_OK(view_open(run->f.db, HOT_BLOCKING, &view, e));
    for (unsigned user = 0; user < USERS; user++) {
        check_state(run, view, user);
        check_versions(run, view, user, HOT_ROWS);
        check_versions(run, view, user, HOT_HISTORY);
        check_versions(run, view, user, HOT_DEAD);
        check_heads(run, view, user);
        check_segments(run, view, user);
    }
    view_close(view);
}

void model__check_change(Run *run, const FeedChange *change, const Event *event, uint64_t view_at)
{
    CHECK_INT(change->seq, event->seq);
    CHECK_INT(change->kind, event->kind);
    CHECK_INT(change->old_seq, event->old_seq);
    CHECK_INT(change->superseded, event->superseded_by && event->superseded_by <= view_at);
    check_row(run, change->new_row, event->id, event->value);
    if (event->kind != CHANGE_INSERT)
        check_row(run, change->old_row, event->id, event->old_value);
}

/* The feed after a cursor through a view, which may be older than the newest commit. */
static void check_feed(Run *run, ReadView *view, unsigned user, uint64_t after_seq, uint64_t low)
{
    Feed *feed = NULL;
    uint64_t view_at = view_seq(view);
    journal->feeds++;
    if (after_seq < low) {
        CHECK_CODE(feed_open(view, run->f.table, run->partitions[user], after_seq, &feed, e),
                   E_CURSOR_TOO_OLD);
        return;
    }
    if (after_seq > view_at) {
        CHECK_CODE(feed_open(view, run->f.table, run->partitions[user], after_seq, &feed, e),
                   E_CURSOR_TOO_NEW);
        return;
    }
    CHECK_OK(feed_open(view, run->f.table, run->partitions[user], after_seq, &feed, e));
    bool end = false;
    FeedChange change;
    for (size_t i = 0; i < model->event_count; i++) {
        const Event *event = &model->events[i];
        if (event->user != user || event->seq <= after_seq || event->seq > view_at)
            continue;
        CHECK_OK(feed_next(feed, &end, &change, e));
        CHECK(!end);
        model__check_change(run, &change, event, view_at);
    }
    CHECK_OK(feed_next(feed, &end, &change, e));
    CHECK(end);
    CHECK_OK(feed_next(feed, &end, &change, e)); /* the end stays the end */
    CHECK(end);
    feed_close(feed);
}
/* Everything in the folders is in an entry, and each file is what its entry says. */
void model__check_files(Run *run)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    ReadView *view = NULL;
    CHECK_OK(view_open(run->f.db, HOT_BLOCKING, &view, e));
    const char *root = database_storage_folder(run->f.db);
    for (unsigned user = 0; user < USERS; user++) {
        SegmentEntry *entries = NULL;
        FileEntry *files = NULL;
        size_t count = 0, file_count = 0, segments = 0;
        Slice folder;
        CHECK_OK(
            view_segments(view, run->partitions[user], 0, UINT64_MAX, arena, &entries, &count, e));
        folder = fixture_folder(&run->f, run->partitions[user], arena);
        for (size_t i = 0; i < count; i++)
            CHECK_OK(cold_segment_verify(root, folder, &entries[i], e));
        const char *path = arena_printf(arena, "%s/%.*s", root, SLICE_ARGS(folder));
        if (!file_exists(path)) {
            CHECK_INT(count, 0);
            continue;
        }
        CHECK_OK(file_list(path, 100000, arena, &files, &file_count, e));
        for (size_t i = 0; i < file_count; i++)
            segments += strcmp(files[i].name, "manifest.json") != 0;
        CHECK_INT(segments, count);
    }
    view_close(view);
}

/* ---- reading while it changes ---- */

typedef struct Walk {
    unsigned user;
    PastRange range;
    size_t *wanted; /* places in model->events, in the order of the walk */
    size_t count, at;
} Walk;

static void list_wanted(Walk *walk, Arena *arena)
{
    walk->wanted = arena_new_array(arena, size_t, model->event_count);
    for (size_t k = 0; k < model->event_count; k++) {
        size_t i = walk->range.descending ? model->event_count - 1 - k : k;
        const Event *event = &model->events[i];
        if (event->user == walk->user && model__lived_at(event, walk->range.at_seq) &&
            event->seq >= walk->range.min_seq && event->seq <= walk->range.max_seq)
            walk->wanted[walk->count++] = i;
    }
}

/* One page; true when there is another. */
static bool check_page(Run *run, Walk *walk)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    ReadView *view = NULL;
    PastResult page = {0};
    Partition partition = run->partitions[walk->user];
    journal->pages++;
    CHECK_OK(view_open(run->f.db, HOT_BLOCKING, &view, e));
    if (walk->range.at_seq < model->low[walk->user]) {
        CHECK_CODE(view_past_page(view, run->f.table, partition, &walk->range, arena, &page, e),
                   E_CURSOR_TOO_OLD);
        view_close(view);
        walk->at = walk->count;
        return false;
    }
    CHECK_OK(view_past_page(view, run->f.table, partition, &walk->range, arena, &page, e));
    view_close(view);
    CHECK(page.count <= walk->range.limit);
    for (size_t i = 0; i < page.count; i++) {
        CHECK(walk->at < walk->count);
        const Event *want = &model->events[walk->wanted[walk->at++]];
        CHECK_INT(page.rows[i].seq, want->seq);
        check_row(run, page.rows[i].row, want->id, want->value);
    }
    if (!page.more)
        return false;
    if (walk->range.descending) {
        CHECK(page.resume_seq < walk->range.max_seq);
        walk->range.max_seq = page.resume_seq;
    } else {
        CHECK(page.resume_seq > walk->range.min_seq);
        walk->range.min_seq = page.resume_seq;
    }
    return true;
}

/* The state at a commit, page by page, while the table changes between the pages. */
void model__read_past(Run *run)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Walk walk = {.user = (unsigned)model__random(USERS)};
    walk.range = (PastRange){
        .at_seq = random_commit(),
        .min_seq = model__chance(20) ? random_commit() : 0,
        .max_seq = model__chance(20) ? random_commit() : UINT64_MAX,
        .limit = 1 + model__random(model__chance(50) ? 4 : 30),
        .descending = model__chance(50),
    };
    list_wanted(&walk, arena);
    bool changes = model__chance(50);
    while (check_page(run, &walk)) {
        if (changes && model__chance(60) && !model__change(run))
            break;
    }
    if (!run->is_unsettled) /* else the walk ended early */
        CHECK_INT(walk.at, walk.count);
}

/* Feeds through a view that stays while the table changes. */
void model__read_feed(Run *run)
{
    uint64_t low[USERS];
    ReadView *view = NULL;
    memcpy(low, model->low, sizeof low);
    CHECK_OK(view_open(run->f.db, HOT_BLOCKING, &view, e));
    for (uint64_t i = model__chance(50) ? model__random(5) : 0; i > 0; i--)
        (void)model__change(run);
    for (unsigned user = 0; user < USERS; user++) {
        uint64_t after_seq = random_commit();
        if (model__chance(10))
            after_seq = low[user] - model__chance(50);
        else if (model__chance(10))
            after_seq = view_seq(view) + 1;
        else if (model__chance(10))
            after_seq--;
        if (after_seq != UINT64_MAX)
            check_feed(run, view, user, after_seq, low[user]);
    }
    view_close(view);
}
