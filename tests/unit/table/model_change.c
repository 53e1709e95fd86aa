/* SPDX-License-Identifier: Apache-2.0
 *
 * What is done to the database: writes, flushes, trims, compactions, each an entry of the journal
 * before it starts, and how an entry without an answer is settled.
 */
#include <stdio.h>

#include "../test.h"
#include "data/row.h"
#include "model_int.h"
#include "os/clock.h"
#include "os/thread.h"
#include "table/table_int.h"

/* Some are long, so that hot tier and segments hold more than one shape. */
void model__encode(const Run *run, int32_t id, uint32_t value, Buffer *row, Buffer *key)
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

/* ---- changing ---- */

typedef struct Outcomes {
    Mutex lock;
    Cond ended;
    size_t count; /* guarded by lock */
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
    size_t count = 1 + model__random(model__chance(70) ? 2 : CHANGES_MAX), made = 0;
    unsigned users[2] = {(unsigned)model__random(USERS), (unsigned)model__random(USERS)};
    for (size_t i = 0; i < count; i++) {
        Draft draft = {.user = (uint8_t)users[model__random(2)], .id = (int32_t)model__random(IDS)};
        bool is_known = false;
        for (size_t k = 0; k < made; k++)
            is_known |= drafts[k].user == draft.user && drafts[k].id == draft.id;
        if (is_known)
            continue;
        bool exists = model__live(draft.user, draft.id) != NULL;
        draft.kind = !exists ? CHANGE_INSERT : model__chance(40) ? CHANGE_DELETE : CHANGE_UPDATE;
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
    model__encode(run, draft->id, draft->value, &row, &key);
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
        sent->drafts[i].seq =
            intent->parts[sent->drafts[i].part].changes[sent->drafts[i].change].seq;
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
    model__begin();
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
            CHECK(code == E_IO || code == E_DISK_FULL);
            entry->sent[index].state = NOT_DONE;
        }
    }
}

/* Several intents resolved at one view and handed in at once. */
static void do_write(Run *run)
{
    size_t count = model__chance(60) ? 1 : 1 + model__random(INTENTS_MAX);
    Entry *entry = model__new_entry(A_COMMIT, 0, 0);
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

void model__note_failure(Code code, const Error *error)
{
    if (!may_fail)
        test_failed(__FILE__, __LINE__, "%s: %s", code_info(code)->name, error->text);
    journal->failures++;
}

static void do_flush(Run *run)
{
    Entry *entry =
        model__new_entry(A_FLUSH, (unsigned)model__random(USERS), database_last_seq(run->f.db));
    uint64_t rows = 0, want = 0;
    Error error = {0};
    for (size_t i = 0; i < model->event_count; i++) {
        const Event *event = &model->events[i];
        want += event->user == entry->user && event->seq >= model->mark[entry->user] &&
                model__lived_at(event, entry->seq);
    }
    model__begin();
    journal->flushes++;
    Code code =
        flush_partition(run->f.db, run->f.table, run->partitions[entry->user], &rows, &error);
    if (code != OK) {
        model__note_failure(code, &error);
        return;
    }
    CHECK_INT(rows, want);
    answer_job(run, entry, rows > 0);
}

/* Where a trim moves feed low: to the user's newest change that has left the window. The clock may
 * go back, feed low does not: hot copies of what was flushed since the last trim go all the
 * same. */
static uint64_t next_low(unsigned user)
{
    uint64_t low = model->low[user], begin = seq_at(clock_wall_us() - (int64_t)WINDOW_S * 1000000);
    for (size_t i = 0; i < model->event_count; i++) {
        const Event *event = &model->events[i];
        if (event->user == user && event->seq <= begin && event->seq > low)
            low = event->seq;
    }
    return low;
}

static void do_trim(Run *run)
{
    unsigned user = (unsigned)model__random(USERS);
    Entry *entry = model__new_entry(A_TRIM, user, next_low(user));
    bool is_due = model__may_trim(user, entry->seq);
    Error error = {0};
    model__begin();
    journal->trims++;
    Code code = flush_trim(run->f.db, run->partitions[entry->user], &error);
    if (code == OK)
        answer_job(run, entry, is_due);
    else
        model__note_failure(code, &error);
}

/* Until nothing is left to do: one segment of living rows at most. */
static Code compact(Run *run, unsigned user, Error *e)
{
    CompactOptions options = {.mode = COMPACT_ALL};
    CompactResult result = {.segments = 1};
    bool more;
    while (result.segments > 0)
        TRY(compact_step(run->f.db, run->f.table, run->partitions[user], &options, &result, e));
    return obsolete_remove(run->obsolete, &more, e);
}

static void do_compact(Run *run)
{
    Entry *entry = model__new_entry(A_COMPACTION, (unsigned)model__random(USERS), 0);
    Error error = {0};
    model__begin();
    journal->compactions++;
    Code code = compact(run, entry->user, &error);
    if (code == OK)
        answer_job(run, entry, true);
    else
        model__note_failure(code, &error);
}

/* An id that was given out is never given out again, nor one below it. */
static void take_id(Run *run)
{
    uint64_t id = 0;
    Error error = {0};
    Code code = database_give_id(run->f.db, &id, &error);
    if (code != OK) {
        model__note_failure(code, &error);
        return;
    }
    CHECK(id > journal->last_id);
    CHECK(id > model__last_commit());
    journal->last_id = id;
}

/* ---- what the last life, or a failure, left without an answer ---- */

static bool is_draft(const Run *run, const Draft *draft, const FeedChange *change)
{
    CLEANUP(buffer_done) Buffer row = {0};
    const Event *old = model__live(draft->user, draft->id);
    if (draft->kind != change->kind)
        return false;
    model__encode(run, draft->id, draft->kind == CHANGE_DELETE && old ? old->value : draft->value,
                  &row, NULL);
    return slice_equal(change->new_row, buffer_slice(&row));
}

/* Which of the intents are in the feed of one user. An intent is there whole or not at all. */
static void settle_user(Run *run, ReadView *view, unsigned user, Entry *entry,
                        bool found[INTENTS_MAX])
{
    Feed *feed = NULL;
    FeedChange change;
    bool end = false;
    CHECK_OK(feed_open(view, run->f.table, run->partitions[user], model__last_commit(), &feed, e));
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

/* Feed low tells; for one that only removes hot copies, whether they are there. */
static bool is_trim_done(const Run *run, ReadView *view, const Entry *entry, uint64_t feed_low)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Slice row;
    Error error = {0};
    if (entry->seq > model->low[entry->user])
        return feed_low != model->low[entry->user];
    const Event *copy = model__spare_copy(entry->user, entry->seq);
    if (!copy)
        return false;
    SeqKey key = table__seq_key(run->partitions[entry->user], copy->seq);
    Code code = hot_get(view_snapshot(view), HOT_BLOCKING, HOT_ROWS, table__key_slice(&key), arena,
                        &row, &error);
    CHECK(code == OK || code == E_NOT_FOUND);
    return code == E_NOT_FOUND;
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
        entry->state = is_trim_done(run, view, entry, state.feed_low) ? DONE : NOT_DONE;
}

/* Some steps of it may be done: it is done again until nothing is left to do. */
static bool settle_compaction(Run *run, Entry *entry)
{
    Error error = {0};
    if (entry->state != UNANSWERED)
        return true;
    Code code = compact(run, entry->user, &error);
    if (code == OK)
        entry->state = DONE;
    else
        model__note_failure(code, &error);
    return code == OK;
}

/* The last entry, which the model has not learned. */
bool model__settle(Run *run)
{
    Entry *entry = &journal->entries[journal->count - 1];
    ReadView *view = NULL;
    if (entry->kind == A_COMPACTION && !settle_compaction(run, entry))
        return false;
    CHECK_OK(view_open(run->f.db, HOT_BLOCKING, &view, e));
    if (entry->kind == A_COMMIT)
        settle_commit(run, view, entry);
    else if (entry->kind == A_FLUSH || entry->kind == A_TRIM)
        settle_job(run, view, entry);
    view_close(view);
    model__learn(entry);
    model__note_commit(database_last_seq(run->f.db));
    return true;
}

bool model__change(Run *run)
{
    if (run->is_unsettled)
        return false;
    int64_t step_us = model__chance(5) ? -(int64_t)model__random(3000000)
                                       : (int64_t)model__random(may_fail ? 2500000 : 400000);
    atomic_fetch_add(&journal->now_us, step_us);
    unsigned what = (unsigned)model__random(100), writes = may_fail ? 55 : 80;
    uint64_t failures = journal->failures;
    take_id(run);
    if (what < writes)
        do_write(run);
    else if (what < writes + (100 - writes) * 2 / 5)
        do_flush(run);
    else if (what < writes + (100 - writes) * 4 / 5)
        do_trim(run);
    else
        do_compact(run);
    Entry *entry = &journal->entries[journal->count - 1];
    if (journal->failures == failures)
        model__learn(entry);
    else if (entry->kind == A_COMPACTION || database_is_read_only(run->f.db))
        run->is_unsettled = true;
    else
        (void)model__settle(run);
    return !run->is_unsettled;
}
