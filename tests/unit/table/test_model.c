/* SPDX-License-Identifier: Apache-2.0
 *
 * Random histories against a model that keeps every version ever committed.
 *
 * The model lies in a file that all lives of the database map: each life is a process of its own (this program again),
 * which opens the folder, compares everything, does random things, and ends by closing or by SIGKILL, also in the middle
 * of a commit, a flush or a trim. The model then knows what was acknowledged and what was under way.
 *
 * KALAM_MODEL_STEPS (default 250) is the length, KALAM_TEST_SEED repeats a run's choices.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../test.h"
#include "base/limits.h"
#include "cold/cold.h"
#include "data/row.h"
#include "fixture.h"
#include "os/clock.h"
#include "os/thread.h"
#include "table/table_int.h"

#define MODEL_TEST "a row, a past state or a change that differs from a model of every version, crashes included"
#define MODEL_FILE "KALAM_MODEL_FILE"

enum {
    USERS = 3,
    IDS = 24,
    EVENTS_MAX = 200 * 1000,
    COMMITS_MAX = 200 * 1000,
    CHANGES_MAX = 8,   /* of one intent */
    INTENTS_MAX = 4,   /* resolved at one view */
    WINDOW_S = 10,
    LIFE_STEPS_MAX = 80,
    STEPS_DEFAULT = 250,
};

static const char *const user_ids[USERS] = {"alice", "bob", "carol"};

/* A committed change, and the version it made. */
typedef struct Event {
    uint64_t seq, old_seq;
    uint64_t superseded_by; /* 0: the newest of its key, or a DELETE */
    uint32_t old_value, value;
    int32_t id;
    uint8_t user, kind;
    bool is_cold;         /* in a segment */
    bool has_hot;         /* in rows: live, hot copy or tombstone */
    bool has_history;
    bool prev_is_unknown; /* its hot copy was gone when it was replaced */
} Event;

typedef struct Draft {
    uint8_t user, kind;
    int32_t id;
    uint32_t value;
    size_t part, change; /* its place in the intent */
} Draft;

typedef enum PendingKind { NOTHING, A_COMMIT, A_FLUSH, A_TRIM } PendingKind;

/* What was under way when the process died. */
typedef struct Pending {
    PendingKind kind;
    bool acknowledged;
    uint8_t user;
    uint64_t seq; /* the last before a flush; the new feed low of a trim */
    Draft drafts[CHANGES_MAX];
    size_t count;
} Pending;

typedef struct Model {
    uint64_t random;
    _Atomic int64_t now_us;
    uint64_t steps_left;
    uint32_t last_value;
    uint64_t low[USERS], mark[USERS];
    Pending pending;
    uint64_t commits[COMMITS_MAX]; /* seqs that were the newest once */
    size_t commit_count;
    Event events[EVENTS_MAX]; /* in order of seq for each user */
    size_t event_count;
    uint64_t writes, flushes, trims, pages, feeds, kills; /* for the curious */
} Model;

typedef struct Run {
    Fixture f;
    Partition partitions[USERS];
} Run;

static Model *model;

static int64_t model_clock(void)
{
    return atomic_load(&model->now_us);
}

static uint64_t random_below(uint64_t limit)
{
    model->random += 0x9E3779B97F4A7C15u; /* splitmix64 */
    uint64_t z = model->random;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (z ^ (z >> 31)) % limit;
}

static bool chance(unsigned percent)
{
    return random_below(100) < percent;
}

/* ---- rows ---- */

/* Some are long, so that hot tier and segments hold more than one shape. */
static void encode(const Run *run, int32_t id, uint32_t value, Buffer *row, Buffer *key)
{
    char text[512];
    int size = snprintf(text, sizeof text, "%u %*s", value, value % 7 ? 1 : (int)(value % 400), "");
    Value values[2] = {value_integer(TYPE_BIGINT, id), value_text(slice_of(text, (size_t)size))};
    buffer_clear(row);
    row_encode(run->f.table->schema, values, row);
    if (key) {
        buffer_clear(key);
        CHECK_OK(key_encode(&values[0], key, e));
    }
}

static void check_row(const Run *run, Slice got, int32_t id, uint32_t value)
{
    CLEANUP(buffer_done) Buffer want = {0};
    encode(run, id, value, &want, NULL);
    CHECK_SLICE(got, buffer_slice(&want));
}

static Event *find_live(unsigned user, int32_t id)
{
    for (size_t i = model->event_count; i-- > 0;) {
        Event *event = &model->events[i];
        if (event->user == user && event->id == id)
            return event->kind == CHANGE_DELETE ? NULL : event;
    }
    return NULL;
}

static bool lived_at(const Event *event, uint64_t at_seq)
{
    return event->kind != CHANGE_DELETE && event->seq <= at_seq &&
           (event->superseded_by == 0 || event->superseded_by > at_seq);
}

static void note_commit(uint64_t seq)
{
    if (model->commit_count && model->commits[model->commit_count - 1] >= seq)
        return;
    CHECK(model->commit_count < COMMITS_MAX);
    model->commits[model->commit_count++] = seq;
}

static uint64_t random_commit(void)
{
    if (model->commit_count == 0)
        return 0;
    size_t back = chance(70) ? random_below(30) : random_below(model->commit_count);
    return model->commits[model->commit_count - 1 - (back < model->commit_count ? back : 0)];
}

/* ---- what the model learns ---- */

static void learn_change(const Draft *draft, uint64_t seq)
{
    Event *old = find_live(draft->user, draft->id);
    CHECK(model->event_count < EVENTS_MAX);
    Event event = {
        .seq = seq,
        .old_seq = old ? old->seq : 0,
        .old_value = old ? old->value : 0,
        .value = draft->kind == CHANGE_DELETE ? old->value : draft->value,
        .id = draft->id,
        .user = draft->user,
        .kind = draft->kind,
        .has_hot = true,
    };
    CHECK((old != NULL) == (draft->kind != CHANGE_INSERT));
    if (old) {
        old->superseded_by = seq;
        old->prev_is_unknown = !old->has_hot;
        old->has_hot = false;
        old->has_history = true;
    }
    model->events[model->event_count++] = event;
}

static void learn_flush(unsigned user, uint64_t flush_seq)
{
    for (size_t i = 0; i < model->event_count; i++) {
        Event *event = &model->events[i];
        if (event->user == user && event->seq >= model->mark[user] && lived_at(event, flush_seq))
            event->is_cold = true;
    }
    model->mark[user] = flush_seq + 1;
}

/* True when there was something to remove; does it unless it is only asked for. */
static bool learn_trim(unsigned user, uint64_t low, bool only_ask)
{
    bool found = false;
    for (size_t i = 0; i < model->event_count; i++) {
        Event *event = &model->events[i];
        if (event->user != user)
            continue;
        bool is_live = event->kind != CHANGE_DELETE && event->superseded_by == 0;
        bool row = event->has_hot && event->seq <= low && (!is_live || event->seq < model->mark[user]);
        bool history = event->has_history && event->superseded_by <= low;
        found |= row || history;
        if (only_ask)
            continue;
        event->has_hot &= !row;
        event->has_history &= !history;
    }
    if (found && !only_ask)
        model->low[user] = low;
    return found;
}

/* ---- comparing ---- */

static void check_state(Run *run, ReadView *view, unsigned user)
{
    PartitionState state;
    CHECK_OK(view_partition(view, run->f.table, run->partitions[user], &state, e));
    CHECK_INT(state.flush_mark, model->mark[user]);
    CHECK_INT(state.feed_low, model->low[user]);
}

/* Every key of a family of one partition is one the model expects, and the reverse. */
static void check_versions(Run *run, ReadView *view, unsigned user, HotFamily family)
{
    SeqKey from = table__seq_key(run->partitions[user], 0), to = table__seq_key(run->partitions[user], UINT64_MAX);
    HotIterator *it = hot_iterator_open(view_snapshot(view), HOT_BLOCKING, family, table__key_slice(&from),
                                        table__key_slice(&to), false);
    for (size_t i = 0; i < model->event_count; i++) {
        const Event *event = &model->events[i];
        bool wanted = family == HOT_ROWS ? event->has_hot
                      : family == HOT_HISTORY ? event->has_history
                                              : event->is_cold && event->superseded_by;
        if (event->user != user || !wanted)
            continue;
        CHECK(hot_next(it));
        SeqKey key = table__seq_key(run->partitions[user], event->seq);
        CHECK_SLICE(hot_key(it), table__key_slice(&key));
        if (family == HOT_DEAD) {
            uint64_t at = 0;
            CHECK(table__decode_u64(hot_value(it), &at));
            CHECK_INT(at, event->superseded_by);
            continue;
        }
        VersionHeader header;
        CHECK_OK(family == HOT_ROWS ? table__decode_row(hot_key(it), hot_value(it), &header, e)
                                    : table__decode_history(hot_key(it), hot_value(it), &header, e));
        CHECK_INT(header.superseded_by, family == HOT_HISTORY ? event->superseded_by : 0);
        CHECK_INT(header.prev_seq, event->prev_is_unknown ? 0 : event->old_seq);
        CHECK_INT(header.kind, event->kind == CHANGE_DELETE ? VERSION_TOMBSTONE : VERSION_LIVE);
        check_row(run, header.row, event->id, event->value);
    }
    CHECK(!hot_next(it)); /* a leaked one */
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
        const Event *event = find_live(user, id);
        encode(run, id, 0, &row, &key);
        Code code = view_find(view, run->f.table, run->partitions[user], buffer_slice(&key), arena, &version, NULL);
        CHECK_INT(code, event ? OK : E_NOT_FOUND);
        live += event != NULL;
        if (!event)
            continue;
        CHECK_INT(version.seq, event->seq);
        CHECK_INT(version.is_cold, event->is_cold);
        CHECK_INT(version.has_row, event->has_hot);
        if (!version.has_row && chance(20))
            CHECK_OK(view_load_cold(view, run->f.table, run->partitions[user], arena, &version, e));
        if (version.has_row)
            check_row(run, version.row, id, event->value);
    }
    SeqKey from = table__seq_key(run->partitions[user], 0);
    char to[PARTITION_BYTES + KEY_BYTES_MAX];
    memset(to, 0xFF, sizeof to);
    memcpy(to, from.bytes, PARTITION_BYTES);
    HotIterator *it = hot_iterator_open(view_snapshot(view), HOT_BLOCKING, HOT_HEADS,
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
static void check_stored(Run *run)
{
    ReadView *view = NULL;
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

static void check_change(Run *run, const FeedChange *change, const Event *event, uint64_t view_at)
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
    model->feeds++;
    if (after_seq < low) {
        CHECK_CODE(feed_open(view, run->f.table, run->partitions[user], after_seq, &feed, e), E_CURSOR_TOO_OLD);
        return;
    }
    if (after_seq > view_at) {
        CHECK_CODE(feed_open(view, run->f.table, run->partitions[user], after_seq, &feed, e), E_CURSOR_TOO_NEW);
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
        check_change(run, &change, event, view_at);
    }
    CHECK_OK(feed_next(feed, &end, &change, e));
    CHECK(end);
    CHECK_OK(feed_next(feed, &end, &change, e)); /* the end stays the end */
    CHECK(end);
    feed_close(feed);
}

/* ---- changing ---- */

typedef struct Outcomes {
    Mutex lock;
    Cond ended;
    size_t count;              /* guarded by lock */
    Intent *intents[INTENTS_MAX];
    Code codes[INTENTS_MAX];   /* guarded by lock */
} Outcomes;

static void note_outcome(void *context, Intent *intent, Code code, const Error *error)
{
    (void)error;
    Outcomes *outcomes = context;
    MUTEX_SCOPE(&outcomes->lock);
    for (size_t i = 0; i < INTENTS_MAX; i++) {
        if (outcomes->intents[i] == intent)
            outcomes->codes[i] = code;
    }
    outcomes->count++;
    cond_signal(&outcomes->ended);
}

/* Distinct keys of one or two users; what is done to each fits the state of the model. */
static size_t draft_changes(Draft drafts[CHANGES_MAX])
{
    size_t count = 1 + random_below(chance(70) ? 2 : CHANGES_MAX), made = 0;
    unsigned users[2] = {(unsigned)random_below(USERS), (unsigned)random_below(USERS)};
    for (size_t i = 0; i < count; i++) {
        Draft draft = {.user = (uint8_t)users[random_below(2)], .id = (int32_t)random_below(IDS)};
        bool is_known = false;
        for (size_t k = 0; k < made; k++)
            is_known |= drafts[k].user == draft.user && drafts[k].id == draft.id;
        if (is_known)
            continue;
        bool exists = find_live(draft.user, draft.id) != NULL;
        draft.kind = !exists ? CHANGE_INSERT : chance(40) ? CHANGE_DELETE : CHANGE_UPDATE;
        draft.value = ++model->last_value;
        drafts[made++] = draft;
    }
    return made;
}

static void add_draft(Run *run, ReadView *view, Intent *intent, Draft *draft, Arena *arena)
{
    CLEANUP(buffer_done) Buffer row = {0}, key = {0};
    Version old = {0};
    Partition partition = run->partitions[draft->user];
    encode(run, draft->id, draft->value, &row, &key);
    Code code = view_find(view, run->f.table, partition, buffer_slice(&key), arena, &old, NULL);
    CHECK_INT(code, draft->kind == CHANGE_INSERT ? E_NOT_FOUND : OK);
    if (code == OK && !old.has_row)
        CHECK_OK(view_load_cold(view, run->f.table, partition, arena, &old, e));
    RowChange change = {
        .kind = (ChangeKind)draft->kind,
        .key = buffer_slice(&key),
        .new_row = draft->kind == CHANGE_DELETE ? old.row : buffer_slice(&row),
        .old_row = old.row,
        .old_seq = old.seq,
        .old_prev_seq = old.prev_seq,
        .old_is_cold = old.is_cold,
    };
    IntentPart *part = intent_part(intent, run->f.table, partition);
    draft->part = (size_t)(part - intent->parts);
    draft->change = part->count;
    CHECK_OK(intent_add(intent, part, &change, e));
}

static Intent *resolve(Run *run, ReadView *view, Draft *drafts, size_t count)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Intent *intent = intent_new(view_seq(view));
    for (size_t i = 0; i < count; i++)
        add_draft(run, view, intent, &drafts[i], arena);
    return intent;
}

static void learn_commit(const Intent *intent, const Draft *drafts, size_t count)
{
    uint64_t before = model->commit_count ? model->commits[model->commit_count - 1] : 0;
    for (size_t part = 0; part < intent->part_count; part++) {
        for (size_t i = 0; i < count; i++) {
            if (drafts[i].part != part)
                continue;
            uint64_t seq = intent->parts[part].changes[drafts[i].change].seq;
            CHECK(seq > before);
            before = seq;
            learn_change(&drafts[i], seq);
        }
    }
    CHECK_INT(intent->commit_seq, before);
    note_commit(intent->commit_seq);
}

static bool share_a_key(const Draft *a, size_t a_count, const Draft *b, size_t b_count)
{
    for (size_t i = 0; i < a_count; i++) {
        for (size_t k = 0; k < b_count; k++) {
            if (a[i].user == b[k].user && a[i].id == b[k].id)
                return true;
        }
    }
    return false;
}

/* Several intents resolved at one view and handed in at once: who shares a key with one before it is refused. */
static void do_write(Run *run)
{
    Draft drafts[INTENTS_MAX][CHANGES_MAX];
    size_t counts[INTENTS_MAX], count = chance(60) ? 1 : 1 + random_below(INTENTS_MAX);
    bool committed[INTENTS_MAX] = {false};
    Outcomes outcomes = {0};
    mutex_init(&outcomes.lock);
    cond_init(&outcomes.ended);
    ReadView *view = NULL;
    CHECK_OK(view_open(run->f.db, HOT_BLOCKING, &view, e));
    for (size_t i = 0; i < count; i++) {
        counts[i] = draft_changes(drafts[i]);
        outcomes.intents[i] = resolve(run, view, drafts[i], counts[i]);
        outcomes.intents[i]->done = note_outcome;
        outcomes.intents[i]->context = &outcomes;
    }
    view_close(view);
    for (size_t i = 0; i < count; i++)
        CHECK_OK(database_submit(run->f.db, intent_ref(outcomes.intents[i]), e));
    mutex_lock(&outcomes.lock);
    while (outcomes.count < count)
        cond_wait(&outcomes.ended, &outcomes.lock);
    mutex_unlock(&outcomes.lock);
    for (size_t i = 0; i < count; i++) {
        bool conflicts = false;
        for (size_t k = 0; k < i; k++)
            conflicts |= committed[k] && share_a_key(drafts[k], counts[k], drafts[i], counts[i]);
        CHECK_INT(outcomes.codes[i], conflicts ? E_CONFLICT : OK);
        committed[i] = !conflicts;
        if (committed[i])
            learn_commit(outcomes.intents[i], drafts[i], counts[i]);
        intent_unref(outcomes.intents[i]);
    }
    model->writes += count;
    cond_done(&outcomes.ended);
    mutex_done(&outcomes.lock);
}

static void do_flush(Run *run)
{
    unsigned user = (unsigned)random_below(USERS);
    uint64_t rows = 0, want = 0, flush_seq = database_last_seq(run->f.db);
    for (size_t i = 0; i < model->event_count; i++) {
        const Event *event = &model->events[i];
        want += event->user == user && event->seq >= model->mark[user] && lived_at(event, flush_seq);
    }
    CHECK_OK(flush_partition(run->f.db, run->f.table, run->partitions[user], &rows, e));
    CHECK_INT(rows, want);
    if (rows)
        learn_flush(user, flush_seq);
    model->flushes++;
    note_commit(database_last_seq(run->f.db));
}

static uint64_t next_low(Run *run)
{
    uint64_t low = seq_at(model_clock() - (int64_t)WINDOW_S * 1000000), last = database_last_seq(run->f.db);
    return low < last ? low : last;
}

static void do_trim(Run *run)
{
    unsigned user = (unsigned)random_below(USERS);
    uint64_t low = next_low(run);
    CHECK_OK(flush_trim(run->f.db, run->f.table, run->partitions[user], e));
    if (low > model->low[user])
        (void)learn_trim(user, low, false);
    model->trims++;
    note_commit(database_last_seq(run->f.db));
}

static void change_something(Run *run)
{
    int64_t step_us = chance(5) ? -(int64_t)random_below(3000000) : (int64_t)random_below(400000);
    atomic_fetch_add(&model->now_us, step_us);
    unsigned what = (unsigned)random_below(100);
    if (what < 80)
        do_write(run);
    else if (what < 88)
        do_flush(run);
    else
        do_trim(run);
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
        if (event->user == walk->user && lived_at(event, walk->range.at_seq) &&
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
    model->pages++;
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
static void read_past(Run *run)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Walk walk = {.user = (unsigned)random_below(USERS)};
    walk.range = (PastRange){
        .at_seq = random_commit(),
        .min_seq = chance(20) ? random_commit() : 0,
        .max_seq = chance(20) ? random_commit() : UINT64_MAX,
        .limit = 1 + random_below(chance(50) ? 4 : 30),
        .descending = chance(50),
    };
    list_wanted(&walk, arena);
    bool changes = chance(50);
    while (check_page(run, &walk)) {
        if (changes && chance(60))
            change_something(run);
    }
    CHECK_INT(walk.at, walk.count);
}

/* Feeds through a view that stays while the table changes. */
static void read_feed(Run *run)
{
    uint64_t low[USERS];
    ReadView *view = NULL;
    memcpy(low, model->low, sizeof low);
    CHECK_OK(view_open(run->f.db, HOT_BLOCKING, &view, e));
    for (uint64_t i = chance(50) ? random_below(5) : 0; i > 0; i--)
        change_something(run);
    for (unsigned user = 0; user < USERS; user++) {
        uint64_t after_seq = random_commit();
        if (chance(10))
            after_seq = low[user] - chance(50);
        else if (chance(10))
            after_seq = view_seq(view) + 1;
        else if (chance(10))
            after_seq--;
        if (after_seq != UINT64_MAX)
            check_feed(run, view, user, after_seq, low[user]);
    }
    view_close(view);
}

/* ---- lives ---- */

_Noreturn static void die(void)
{
    model->kills++;
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static void die_soon(void *argument)
{
    struct timespec delay = {0, *(const long *)argument};
    nanosleep(&delay, NULL);
    die();
}

/* Dies in the middle of something, or right after it. */
_Noreturn static void die_busy(Run *run)
{
    static long delay_ns;
    Pending pending = {.kind = (PendingKind)(A_COMMIT + random_below(3)), .user = (uint8_t)random_below(USERS)};
    Intent *intent = NULL;
    Thread *killer = NULL;
    uint64_t rows = 0;
    pending.count = draft_changes(pending.drafts);
    pending.seq = pending.kind == A_TRIM ? next_low(run) : database_last_seq(run->f.db);
    if (pending.kind == A_COMMIT) {
        ReadView *view = NULL;
        CHECK_OK(view_open(run->f.db, HOT_BLOCKING, &view, e));
        intent = resolve(run, view, pending.drafts, pending.count);
        view_close(view);
    }
    delay_ns = (long)random_below(pending.kind == A_FLUSH ? 40000000 : 1500000);
    model->pending = pending;
    CHECK_OK(thread_start("killer", THREAD_ANY, die_soon, &delay_ns, &killer, e));
    if (pending.kind == A_COMMIT)
        CHECK_OK(database_commit(run->f.db, intent, e));
    else if (pending.kind == A_FLUSH)
        CHECK_OK(flush_partition(run->f.db, run->f.table, run->partitions[pending.user], &rows, e));
    else
        CHECK_OK(flush_trim(run->f.db, run->f.table, run->partitions[pending.user], e));
    model->pending.acknowledged = true;
    for (;;)
        pause();
}

/* The commit that was under way is there whole or not at all. */
static void settle_commit(Run *run, ReadView *view, const Pending *pending)
{
    size_t found = 0;
    uint64_t last = model->commit_count ? model->commits[model->commit_count - 1] : 0;
    for (unsigned user = 0; user < USERS; user++) {
        Feed *feed = NULL;
        bool end = false;
        size_t next = 0;
        CHECK_OK(feed_open(view, run->f.table, run->partitions[user], last, &feed, e));
        for (;;) {
            FeedChange change;
            CHECK_OK(feed_next(feed, &end, &change, e));
            if (end)
                break;
            while (next < pending->count && pending->drafts[next].user != user)
                next++;
            CHECK(next < pending->count);
            learn_change(&pending->drafts[next++], change.seq);
            check_change(run, &change, &model->events[model->event_count - 1], view_seq(view));
            found++;
        }
        feed_close(feed);
    }
    CHECK(found == 0 || found == pending->count);
    CHECK(found || !pending->acknowledged);
}

static void settle(Run *run)
{
    Pending pending = model->pending;
    PartitionState state;
    ReadView *view = NULL;
    model->pending = (Pending){0};
    CHECK_OK(view_open(run->f.db, HOT_BLOCKING, &view, e));
    unsigned user = pending.user;
    CHECK_OK(view_partition(view, run->f.table, run->partitions[user], &state, e));
    if (pending.kind == A_COMMIT)
        settle_commit(run, view, &pending);
    if (pending.kind == A_FLUSH && (pending.acknowledged || state.flush_mark != model->mark[user])) {
        if (state.flush_mark != model->mark[user]) /* else there was nothing to flush */
            learn_flush(user, pending.seq);
    }
    if (pending.kind == A_TRIM && (pending.acknowledged || state.feed_low != model->low[user]) &&
        pending.seq > model->low[user])
        (void)learn_trim(user, pending.seq, false);
    view_close(view);
    note_commit(database_last_seq(run->f.db));
}

static void open_life(Run *run, const char *folder)
{
    uint32_t removed = 0;
    fixture_open_window(&run->f, folder, TABLE_USER, WINDOW_S);
    for (unsigned user = 0; user < USERS; user++)
        run->partitions[user] = fixture_partition(&run->f, user_ids[user]);
    CHECK_OK(flush_sweep(run->f.db, &removed, e));
}

static void live_once(const char *folder)
{
    Run run = {0};
    clock_replace(model_clock, NULL);
    open_life(&run, folder);
    settle(&run);
    check_stored(&run);
    uint64_t steps = 1 + random_below(LIFE_STEPS_MAX);
    for (; steps > 0 && model->steps_left > 0; steps--, model->steps_left--) {
        change_something(&run);
        if (chance(15))
            read_past(&run);
        if (chance(25))
            read_feed(&run);
        if (chance(5))
            check_stored(&run);
    }
    check_stored(&run);
    if (model->steps_left && chance(30))
        die();
    if (model->steps_left && chance(60))
        die_busy(&run);
    fixture_close(&run.f);
}

static void map_model(const char *path, bool is_new)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0);
    if (is_new)
        CHECK(ftruncate(fd, sizeof(Model)) == 0);
    void *memory = mmap(NULL, sizeof(Model), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(memory != MAP_FAILED);
    close(fd);
    model = memory;
}

/* Starts this program again for one life; its exit status, or -1 when it was killed. */
static int start_life(const char *path)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        char self[] = "/proc/self/exe", name[] = "that differs from a model";
        char *arguments[] = {self, name, NULL};
        setenv(MODEL_FILE, path, 1);
        (void)!freopen("/dev/null", "w", stdout);
        execv(self, arguments);
        _exit(127);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status)) {
        CHECK_INT(WTERMSIG(status), SIGKILL);
        return -1;
    }
    return WEXITSTATUS(status);
}

static void run_lives(void)
{
    char path[300];
    const char *steps = getenv("KALAM_MODEL_STEPS"), *top = test_folder();
    snprintf(path, sizeof path, "%s/model", top);
    map_model(path, true);
    model->random = test_random();
    model->now_us = 1767225600000000; /* 2026-01-01 */
    model->steps_left = steps ? strtoull(steps, NULL, 10) : STEPS_DEFAULT;
    while (model->steps_left > 0)
        CHECK(start_life(path) <= 0);
    if (steps)
        fprintf(stderr, "model: %llu writes, %llu flushes, %llu trims, %llu pages, %llu feeds, %llu kills\n",
                (unsigned long long)model->writes, (unsigned long long)model->flushes,
                (unsigned long long)model->trims, (unsigned long long)model->pages,
                (unsigned long long)model->feeds, (unsigned long long)model->kills);
    munmap(model, sizeof(Model));
}

TEST(MODEL_TEST)
{
    const char *path = getenv(MODEL_FILE);
    if (!path) {
        run_lives();
        return;
    }
    char folder[300];
    snprintf(folder, sizeof folder, "%s-data", path);
    map_model(path, false);
    live_once(folder);
}
