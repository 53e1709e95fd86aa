/* SPDX-License-Identifier: Apache-2.0
 *
 * The model: every version ever committed, in a file that all lives of the database map. See model.h.
 */
#include "model.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../test.h"
#include "base/limits.h"
#include "cold/cold.h"
#include "data/row.h"
#include "fixture.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/thread.h"
#include "table/table_int.h"

enum {
    USERS = 3,
    IDS = 24,
    EVENTS_MAX = 200 * 1000,
    COMMITS_MAX = 200 * 1000,
    CHANGES_MAX = 8,   /* of one intent */
    INTENTS_MAX = 4,   /* resolved at one view */
    WINDOW_S = 10,
    ENTRIES_MAX = 100 * 1000,
    LIFE_STEPS_MAX = 80,
    FAULTY_STEPS = 14,
    CHECK_STEPS = 3,
    WRITE_BUFFER_BYTES = 256 * 1024, /* small: memtables are written out now and then */
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

/* What became of something asked for. */
typedef enum State { UNANSWERED, DONE, NOT_DONE } State;

typedef struct Draft {
    uint8_t user, kind;
    int32_t id;
    uint32_t value;
    uint64_t seq;        /* once it is DONE */
    size_t part, change; /* its place in the intent */
} Draft;

/* An intent that was handed in. */
typedef struct Sent {
    Draft drafts[CHANGES_MAX];
    size_t count;
    _Atomic State state;
} Sent;

typedef enum EntryKind { A_START = 1, A_COMMIT, A_FLUSH, A_TRIM } EntryKind;

typedef struct Entry {
    EntryKind kind;
    uint8_t user;         /* of a flush or trim */
    uint64_t seq;         /* newest before a flush or at a start; the new feed low of a trim */
    _Atomic State state;  /* of a flush or trim: DONE when it committed */
    _Atomic uint64_t after_seq; /* newest after it; 0: not known */
    Sent sent[INTENTS_MAX];
    size_t count;
} Entry;

/* In the mapped file. */
typedef struct Journal {
    uint64_t random;
    _Atomic int64_t now_us;
    uint64_t steps_left, last_id;
    uint32_t last_value;
    uint64_t writes, flushes, trims, pages, feeds, failures, kills; /* for the curious */
    _Atomic size_t count;
    Entry entries[ENTRIES_MAX];
} Journal;

/* What follows from the journal. */
typedef struct Model {
    uint64_t low[USERS], mark[USERS];
    uint64_t commits[COMMITS_MAX]; /* seqs that were the newest once */
    size_t commit_count;
    Event events[EVENTS_MAX]; /* in order of seq for each user */
    size_t event_count;
} Model;

typedef struct Run {
    Fixture f;
    Partition partitions[USERS];
} Run;

static Journal *journal;
static Model *model;
static bool may_fail; /* the disk may */

static int64_t model_clock(void)
{
    return atomic_load(&journal->now_us);
}

static uint64_t random_below(uint64_t limit)
{
    journal->random += 0x9E3779B97F4A7C15u; /* splitmix64 */
    uint64_t z = journal->random;
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
    if (seq == 0 || (model->commit_count && model->commits[model->commit_count - 1] >= seq))
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

static void learn_change(const Draft *draft)
{
    Event *old = find_live(draft->user, draft->id);
    CHECK(model->event_count < EVENTS_MAX);
    CHECK((old != NULL) == (draft->kind != CHANGE_INSERT));
    Event event = {
        .seq = draft->seq,
        .old_seq = old ? old->seq : 0,
        .old_value = old ? old->value : 0,
        .value = draft->kind == CHANGE_DELETE ? old->value : draft->value,
        .id = draft->id,
        .user = draft->user,
        .kind = draft->kind,
        .has_hot = true,
    };
    if (old) {
        old->superseded_by = draft->seq;
        old->prev_is_unknown = !old->has_hot;
        old->has_hot = false;
        old->has_history = true;
    }
    model->events[model->event_count++] = event;
}

static uint64_t last_commit(void)
{
    return model->commit_count ? model->commits[model->commit_count - 1] : 0;
}

/* Parts are committed one after the other, changes of a part in their order; seqs rise. */
static void learn_sent(const Sent *sent)
{
    uint64_t before = last_commit();
    for (size_t part = 0; part < CHANGES_MAX; part++) {
        for (size_t i = 0; i < sent->count; i++) {
            if (sent->drafts[i].part != part)
                continue;
            CHECK(sent->drafts[i].seq > before);
            before = sent->drafts[i].seq;
            learn_change(&sent->drafts[i]);
        }
    }
    note_commit(before);
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

static bool is_trimmed(const Event *event, uint64_t low, bool *out_row, bool *out_history)
{
    bool is_live = event->kind != CHANGE_DELETE && event->superseded_by == 0;
    *out_row = event->has_hot && event->seq <= low && (!is_live || event->seq < model->mark[event->user]);
    *out_history = event->has_history && event->superseded_by <= low;
    return *out_row || *out_history;
}

static void learn_trim(unsigned user, uint64_t low)
{
    for (size_t i = 0; i < model->event_count; i++) {
        Event *event = &model->events[i];
        bool row, history;
        if (event->user != user || !is_trimmed(event, low, &row, &history))
            continue;
        event->has_hot &= !row;
        event->has_history &= !history;
    }
    model->low[user] = low;
}

static bool has_garbage(unsigned user, uint64_t low)
{
    bool row, history;
    for (size_t i = 0; i < model->event_count; i++) {
        if (model->events[i].user == user && is_trimmed(&model->events[i], low, &row, &history))
            return true;
    }
    return false;
}

static void learn(const Entry *entry)
{
    for (size_t i = 0; i < entry->count; i++) {
        if (entry->sent[i].state == DONE)
            learn_sent(&entry->sent[i]);
    }
    if (entry->kind == A_FLUSH && entry->state == DONE)
        learn_flush(entry->user, entry->seq);
    if (entry->kind == A_TRIM && entry->state == DONE)
        learn_trim(entry->user, entry->seq);
    note_commit(entry->after_seq);
}

static Entry *new_entry(EntryKind kind, unsigned user, uint64_t seq)
{
    size_t index = journal->count;
    CHECK(index < ENTRIES_MAX);
    Entry *entry = &journal->entries[index];
    entry->kind = kind;
    entry->user = (uint8_t)user;
    entry->seq = seq;
    return entry;
}

/* From here on the entry counts: what it asks for may happen. */
static void begin(void)
{
    atomic_fetch_add(&journal->count, 1);
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
    journal->feeds++;
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
    size_t count;            /* guarded by lock */
    Intent *intents[INTENTS_MAX];
    Code codes[INTENTS_MAX]; /* guarded by lock */
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
        draft.value = ++journal->last_value;
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

static void answer(Sent *sent, const Intent *intent)
{
    for (size_t i = 0; i < sent->count; i++)
        sent->drafts[i].seq = intent->parts[sent->drafts[i].part].changes[sent->drafts[i].change].seq;
    atomic_store(&sent->state, DONE);
}

static bool share_a_key(const Sent *a, const Sent *b)
{
    for (size_t i = 0; i < a->count; i++) {
        for (size_t k = 0; k < b->count; k++) {
            if (a->drafts[i].user == b->drafts[k].user && a->drafts[i].id == b->drafts[k].id)
                return true;
        }
    }
    return false;
}

static void hand_in(Run *run, Outcomes *outcomes, size_t count)
{
    begin();
    for (size_t i = 0; i < count; i++)
        CHECK_OK(database_submit(run->f.db, intent_ref(outcomes->intents[i]), e));
    mutex_lock(&outcomes->lock);
    while (outcomes->count < count)
        cond_wait(&outcomes->ended, &outcomes->lock);
    mutex_unlock(&outcomes->lock);
}

/* Who shares a key with one that was committed before it is refused; nobody else is. */
static void judge(Entry *entry, const Outcomes *outcomes, size_t index)
{
    bool conflicts = false, is_sure = true;
    for (size_t k = 0; k < index; k++) {
        if (!share_a_key(&entry->sent[k], &entry->sent[index]))
            continue;
        conflicts |= entry->sent[k].state == DONE;
        is_sure &= entry->sent[k].state != UNANSWERED;
    }
    Code code = outcomes->codes[index];
    if (code == OK) {
        CHECK(!conflicts);
        answer(&entry->sent[index], outcomes->intents[index]);
    } else if (code == E_CONFLICT) {
        CHECK(conflicts || !is_sure);
        entry->sent[index].state = NOT_DONE;
    } else {
        CHECK(may_fail);
        journal->failures++;
        if (code != E_OUTCOME_UNKNOWN) { /* refused for sure */
            CHECK_INT(code, E_IO);
            entry->sent[index].state = NOT_DONE;
        }
    }
}

/* Several intents resolved at one view and handed in at once. */
static void do_write(Run *run)
{
    size_t count = chance(60) ? 1 : 1 + random_below(INTENTS_MAX);
    Entry *entry = new_entry(A_COMMIT, 0, 0);
    Outcomes outcomes = {0};
    mutex_init(&outcomes.lock);
    cond_init(&outcomes.ended);
    ReadView *view = NULL;
    CHECK_OK(view_open(run->f.db, HOT_BLOCKING, &view, e));
    entry->count = count;
    for (size_t i = 0; i < count; i++) {
        Sent *sent = &entry->sent[i];
        sent->count = draft_changes(sent->drafts);
        outcomes.intents[i] = resolve(run, view, sent->drafts, sent->count);
        outcomes.intents[i]->done = note_outcome;
        outcomes.intents[i]->context = &outcomes;
    }
    view_close(view);
    hand_in(run, &outcomes, count);
    for (size_t i = 0; i < count; i++) {
        judge(entry, &outcomes, i);
        intent_unref(outcomes.intents[i]);
    }
    journal->writes += count;
    cond_done(&outcomes.ended);
    mutex_done(&outcomes.lock);
}

/* The answer of a flush or trim that did not fail. */
static void answer_job(Run *run, Entry *entry, bool is_done)
{
    entry->after_seq = database_last_seq(run->f.db);
    atomic_store(&entry->state, is_done ? DONE : NOT_DONE);
}

static void note_failure(Code code, const Error *error)
{
    if (!may_fail)
        test_failed(__FILE__, __LINE__, "%s: %s", code_info(code)->name, error->text);
    journal->failures++;
}

static void do_flush(Run *run)
{
    Entry *entry = new_entry(A_FLUSH, (unsigned)random_below(USERS), database_last_seq(run->f.db));
    uint64_t rows = 0, want = 0;
    Error error = {0};
    for (size_t i = 0; i < model->event_count; i++) {
        const Event *event = &model->events[i];
        want += event->user == entry->user && event->seq >= model->mark[entry->user] &&
                lived_at(event, entry->seq);
    }
    begin();
    journal->flushes++;
    Code code = flush_partition(run->f.db, run->f.table, run->partitions[entry->user], &rows, &error);
    if (code != OK) {
        note_failure(code, &error);
        return;
    }
    CHECK_INT(rows, want);
    answer_job(run, entry, rows > 0);
}

static uint64_t next_low(Run *run)
{
    uint64_t low = seq_at(model_clock() - (int64_t)WINDOW_S * 1000000), last = database_last_seq(run->f.db);
    return low < last ? low : last;
}

static void do_trim(Run *run)
{
    Entry *entry = new_entry(A_TRIM, (unsigned)random_below(USERS), next_low(run));
    bool is_due = entry->seq > model->low[entry->user] && has_garbage(entry->user, entry->seq);
    Error error = {0};
    begin();
    journal->trims++;
    Code code = flush_trim(run->f.db, run->f.table, run->partitions[entry->user], &error);
    if (code == OK)
        answer_job(run, entry, is_due);
    else
        note_failure(code, &error);
}

/* An id that was given out is never given out again, nor one below it. */
static void take_id(Run *run)
{
    uint64_t id = database_next_id(run->f.db);
    CHECK(id > journal->last_id);
    CHECK(id > last_commit());
    journal->last_id = id;
}

/* ---- what the last life, or a failure, left without an answer ---- */

static bool is_draft(const Run *run, const Draft *draft, const FeedChange *change)
{
    CLEANUP(buffer_done) Buffer row = {0};
    const Event *old = find_live(draft->user, draft->id);
    if (draft->kind != change->kind)
        return false;
    encode(run, draft->id, draft->kind == CHANGE_DELETE && old ? old->value : draft->value, &row, NULL);
    return slice_equal(change->new_row, buffer_slice(&row));
}

/* Which of the intents are in the feed of one user. An intent is there whole or not at all. */
static void settle_user(Run *run, ReadView *view, unsigned user, Entry *entry, bool found[INTENTS_MAX])
{
    Feed *feed = NULL;
    FeedChange change;
    bool end = false;
    CHECK_OK(feed_open(view, run->f.table, run->partitions[user], last_commit(), &feed, e));
    CHECK_OK(feed_next(feed, &end, &change, e));
    for (size_t i = 0; i < entry->count; i++) {
        Sent *sent = &entry->sent[i];
        size_t matched = 0, wanted = 0;
        for (size_t k = 0; k < sent->count; k++) {
            Draft *draft = &sent->drafts[k];
            if (draft->user != user)
                continue;
            wanted++;
            if (end || sent->state == NOT_DONE || !is_draft(run, draft, &change))
                continue;
            CHECK(sent->state != DONE || draft->seq == change.seq);
            draft->seq = change.seq;
            matched++;
            CHECK_OK(feed_next(feed, &end, &change, e));
        }
        CHECK(matched == 0 || matched == wanted);
        found[i] |= matched > 0;
        CHECK(!found[i] || matched == wanted);
    }
    CHECK(end); /* else a change that nobody asked for */
    feed_close(feed);
}

static void settle_commit(Run *run, ReadView *view, Entry *entry)
{
    bool found[INTENTS_MAX] = {false};
    for (int round = 0; round < 2; round++) { /* in the second, users without it are seen too */
        for (unsigned user = 0; user < USERS; user++)
            settle_user(run, view, user, entry, found);
    }
    for (size_t i = 0; i < entry->count; i++) {
        CHECK(found[i] == (entry->sent[i].state == DONE) || entry->sent[i].state == UNANSWERED);
        entry->sent[i].state = found[i] ? DONE : NOT_DONE;
    }
}

static void settle_job(Run *run, ReadView *view, Entry *entry)
{
    PartitionState state;
    unsigned user = entry->user;
    CHECK_OK(view_partition(view, run->f.table, run->partitions[user], &state, e));
    if (entry->state != UNANSWERED)
        return;
    if (entry->kind == A_FLUSH)
        entry->state = state.flush_mark != model->mark[user] ? DONE : NOT_DONE;
    else
        entry->state = state.feed_low != model->low[user] ? DONE : NOT_DONE;
}

/* The last entry, which the model has not learned. */
static void settle(Run *run)
{
    Entry *entry = &journal->entries[journal->count - 1];
    ReadView *view = NULL;
    CHECK_OK(view_open(run->f.db, HOT_BLOCKING, &view, e));
    if (entry->kind == A_COMMIT)
        settle_commit(run, view, entry);
    else if (entry->kind != A_START)
        settle_job(run, view, entry);
    view_close(view);
    learn(entry);
    note_commit(database_last_seq(run->f.db));
}

/* False when nothing can be written any more. */
static bool change_something(Run *run)
{
    if (database_is_read_only(run->f.db))
        return false;
    int64_t step_us = chance(5) ? -(int64_t)random_below(3000000) : (int64_t)random_below(may_fail ? 2500000 : 400000);
    atomic_fetch_add(&journal->now_us, step_us);
    unsigned what = (unsigned)random_below(100), writes = may_fail ? 55 : 80;
    uint64_t failures = journal->failures;
    take_id(run);
    if (what < writes)
        do_write(run);
    else if (what < writes + (100 - writes) / 2)
        do_flush(run);
    else
        do_trim(run);
    bool goes_on = !database_is_read_only(run->f.db);
    if (goes_on && journal->failures != failures)
        settle(run);
    else
        learn(&journal->entries[journal->count - 1]);
    return goes_on;
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
            (void)change_something(run);
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
        (void)change_something(run);
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
    journal->kills++;
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

/* Goes on until somebody kills it. */
_Noreturn static void die_busy(Run *run)
{
    static long delay_ns;
    Thread *killer = NULL;
    delay_ns = (long)random_below(chance(50) ? 5000000 : 60000000);
    CHECK_OK(thread_start("killer", THREAD_ANY, die_soon, &delay_ns, &killer, e));
    for (;;)
        (void)change_something(run);
}

/* Everything in the folders is in an entry, and each file is what its entry says. */
static void check_files(Run *run)
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
        CHECK_OK(view_segments(view, run->partitions[user], 0, UINT64_MAX, arena, &entries, &count, e));
        CHECK_OK(flush_folder(run->f.db, run->f.table, run->partitions[user], arena, &folder, e));
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

static Code open_life(Run *run, const char *folder, Error *e)
{
    DatabaseOptions options = {
        .folder = folder,
        .hot = {.block_cache_bytes = 8 << 20, .write_buffer_bytes = WRITE_BUFFER_BYTES, .background_jobs = 1,
                .open_files_max = 64},
        .feed_window_s = WINDOW_S,
        .engine = {.instances = 1, .threads_per_instance = 1, .memory_limit_bytes = 128 << 20},
    };
    TRY(database_open(&options, &run->f.db, e));
    run->f.table = catalog_find_table(database_catalog(run->f.db), SLICE("app"), SLICE("t"));
    CHECK(run->f.table);
    for (unsigned user = 0; user < USERS; user++)
        run->partitions[user] = fixture_partition(&run->f, user_ids[user]);
    return OK;
}

static void replay(void)
{
    for (size_t i = 0; i + 1 < journal->count; i++)
        learn(&journal->entries[i]);
}

static void take_steps(Run *run, uint64_t steps)
{
    for (; steps > 0 && journal->steps_left > 0; steps--, journal->steps_left--) {
        if (!change_something(run)) {
            check_stored(run); /* reads go on */
            return;
        }
        if (chance(15))
            read_past(run);
        if (chance(25))
            read_feed(run);
        if (chance(5))
            check_stored(run);
    }
    check_stored(run);
}

static void set_up(const char *folder)
{
    Fixture f;
    fixture_open(&f, folder, TABLE_USER);
    for (unsigned user = 0; user < USERS; user++)
        (void)fixture_partition(&f, user_ids[user]);
    (void)new_entry(A_START, 0, 0);
    begin();
    fixture_close(&f);
}

static uint64_t steps_of(ModelLife life)
{
    switch (life) {
    case MODEL_SETUP:
    case MODEL_FAULTY:
        return FAULTY_STEPS;
    case MODEL_RANDOM:
        return 1 + random_below(LIFE_STEPS_MAX);
    case MODEL_CHECK:
        break;
    }
    return CHECK_STEPS;
}

bool model_live(const char *folder, ModelLife life)
{
    Run run = {0};
    Error error = {0};
    uint32_t removed = 0;
    model = x_new(Model);
    clock_replace(model_clock, NULL);
    if (journal->count == 0)
        set_up(folder);
    may_fail = life == MODEL_FAULTY;
    Code code = open_life(&run, folder, &error);
    if (code == OK)
        code = flush_sweep(run.f.db, &removed, &error);
    if (code != OK) {
        note_failure(code, &error);
    } else {
        replay();
        settle(&run);
        check_stored(&run);
        check_files(&run);
        take_steps(&run, steps_of(life));
        if (life == MODEL_RANDOM && journal->steps_left && chance(30))
            die();
        if (life == MODEL_RANDOM && journal->steps_left && chance(60))
            die_busy(&run);
    }
    table_unref(run.f.table);
    database_close(run.f.db);
    free(model);
    return code == OK;
}

/* ---- the journal ---- */

static void map_file(const char *path, int flags)
{
    int fd = open(path, O_RDWR | flags, 0600);
    CHECK(fd >= 0);
    CHECK(ftruncate(fd, sizeof(Journal)) == 0);
    void *memory = mmap(NULL, sizeof(Journal), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(memory != MAP_FAILED);
    close(fd);
    journal = memory;
}

void model_create(const char *path, uint64_t seed, uint64_t steps)
{
    map_file(path, O_CREAT | O_TRUNC);
    journal->random = seed;
    journal->now_us = 1767225600000000; /* 2026-01-01 */
    journal->steps_left = steps;
}

void model_map(const char *path)
{
    map_file(path, 0);
}

void model_unmap(void)
{
    munmap(journal, sizeof(Journal));
    journal = NULL;
}

uint64_t model_steps_left(void)
{
    return journal->steps_left;
}

void model_print_figures(void)
{
    fprintf(stderr,
            "model: %llu writes, %llu flushes, %llu trims, %llu pages, %llu feeds, %llu failures, %llu kills\n",
            (unsigned long long)journal->writes, (unsigned long long)journal->flushes,
            (unsigned long long)journal->trims, (unsigned long long)journal->pages,
            (unsigned long long)journal->feeds, (unsigned long long)journal->failures,
            (unsigned long long)journal->kills);
}
