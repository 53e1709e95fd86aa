/* SPDX-License-Identifier: Apache-2.0
 *
 * The journal, what follows from it, and the lives that write it. See model.h.
 */
#include "model.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../test.h"
#include "model_int.h"
#include "os/clock.h"
#include "os/thread.h"
#include "table/table_int.h"

static const char *const user_ids[USERS] = {"alice", "bob", "carol"};

Journal *journal;
Model *model;
bool may_fail;         /* the disk may */
static bool stays_bad; /* the disk, once it has failed */

static int64_t model_clock(void)
{
    return atomic_load(&journal->now_us);
}

uint64_t model__random(uint64_t limit)
{
    journal->random += 0x9E3779B97F4A7C15u; /* splitmix64 */
    uint64_t z = journal->random;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (z ^ (z >> 31)) % limit;
}

bool model__chance(unsigned percent)
{
    return model__random(100) < percent;
}

/* ---- rows ---- */

Event *model__live(unsigned user, int32_t id)
{
    for (size_t i = model->event_count; i-- > 0;) {
        Event *event = &model->events[i];
        if (event->user == user && event->id == id)
            return event->kind == CHANGE_DELETE ? NULL : event;
    }
    return NULL;
}

bool model__lived_at(const Event *event, uint64_t at_seq)
{
    return event->kind != CHANGE_DELETE && event->seq <= at_seq &&
           (event->superseded_by == 0 || event->superseded_by > at_seq);
}

void model__note_commit(uint64_t seq)
{
    if (seq == 0 || (model->commit_count && model->commits[model->commit_count - 1] >= seq))
        return;
    CHECK(model->commit_count < COMMITS_MAX);
    model->commits[model->commit_count++] = seq;
}

/* ---- what the model learns ---- */

static void learn_change(const Draft *draft)
{
    Event *old = model__live(draft->user, draft->id);
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

uint64_t model__last_commit(void)
{
    return model->commit_count ? model->commits[model->commit_count - 1] : 0;
}

/* Parts are committed one after the other, changes of a part in their order; seqs rise. */
static void learn_sent(const Sent *sent)
{
    uint64_t before = model__last_commit();
    for (size_t part = 0; part < CHANGES_MAX; part++) {
        for (size_t i = 0; i < sent->count; i++) {
            if (sent->drafts[i].part != part)
                continue;
            CHECK(sent->drafts[i].seq > before);
            before = sent->drafts[i].seq;
            learn_change(&sent->drafts[i]);
        }
    }
    model__note_commit(before);
}

static void learn_flush(unsigned user, uint64_t flush_seq)
{
    for (size_t i = 0; i < model->event_count; i++) {
        Event *event = &model->events[i];
        if (event->user == user && event->seq >= model->mark[user] &&
            model__lived_at(event, flush_seq))
            event->is_cold = true;
    }
    model->mark[user] = flush_seq + 1;
}

static bool is_trimmed(const Event *event, uint64_t low, bool *out_row, bool *out_history)
{
    bool is_live = event->kind != CHANGE_DELETE && event->superseded_by == 0;
    *out_row =
        event->has_hot && event->seq <= low && (!is_live || event->seq < model->mark[event->user]);
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

static bool has_left_window(const Event *event, uint64_t low)
{
    return (event->has_hot || event->has_history) && event->seq > model->low[event->user] &&
           event->seq <= low;
}

bool model__may_trim(unsigned user, uint64_t low)
{
    bool row, history;
    for (size_t i = 0; i < model->event_count; i++) {
        const Event *event = &model->events[i];
        if (event->user == user &&
            (is_trimmed(event, low, &row, &history) || has_left_window(event, low)))
            return true;
    }
    return false;
}

const Event *model__spare_copy(unsigned user, uint64_t low)
{
    bool row, history;
    for (size_t i = 0; i < model->event_count; i++) {
        const Event *event = &model->events[i];
        if (event->user == user && is_trimmed(event, low, &row, &history) && row)
            return event;
    }
    return NULL;
}

static void learn_compaction(unsigned user)
{
    for (size_t i = 0; i < model->event_count; i++) {
        Event *event = &model->events[i];
        if (event->user == user && event->superseded_by)
            event->is_cold = false;
    }
}

void model__learn(const Entry *entry)
{
    for (size_t i = 0; i < entry->count; i++) {
        if (entry->sent[i].state == DONE)
            learn_sent(&entry->sent[i]);
    }
    if (entry->kind == A_FLUSH && entry->state == DONE)
        learn_flush(entry->user, entry->seq);
    if (entry->kind == A_COMPACTION && entry->state == DONE)
        learn_compaction(entry->user);
    if (entry->kind == A_TRIM && entry->state == DONE)
        learn_trim(entry->user, entry->seq);
    model__note_commit(entry->after_seq);
}

Entry *model__new_entry(EntryKind kind, unsigned user, uint64_t seq)
{
    size_t index = journal->count;
    CHECK(index < ENTRIES_MAX);
    Entry *entry = &journal->entries[index];
    entry->kind = kind;
    entry->user = (uint8_t)user;
    entry->seq = seq;
    return entry;
}

void model__begin(void)
{
    atomic_fetch_add(&journal->count, 1);
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
    delay_ns = (long)model__random(model__chance(50) ? 5000000 : 60000000);
    CHECK_OK(thread_start("killer", THREAD_ANY, die_soon, &delay_ns, &killer, e));
    for (;;)
        (void)model__change(run);
}

static Code open_life(Run *run, const char *folder, Error *e)
{
    DatabaseOptions options = {
        .folder = folder,
        .hot = {.block_cache_bytes = 8 << 20,
                .write_buffer_bytes = WRITE_BUFFER_BYTES,
                .background_jobs = 1},
        .feed_window_s = WINDOW_S,
        .engine = {.instances = 1, .threads_per_instance = 1, .memory_limit_bytes = 128 << 20},
    };
    TRY(database_open(&options, &run->f.db, e));
    run->f.table = catalog_find_table(database_catalog(run->f.db), SLICE("app"), SLICE("t"));
    CHECK(run->f.table);
    run->obsolete = obsolete_new(run->f.db);
    for (unsigned user = 0; user < USERS; user++)
        run->partitions[user] = fixture_partition(&run->f, user_ids[user]);
    return OK;
}

static void replay(void)
{
    for (size_t i = 0; i + 1 < journal->count; i++)
        model__learn(&journal->entries[i]);
}

/* An operation failed. On a disk that stays bad reads show what they showed before; on one that
 * gets well writes must go on by themselves, and what was in doubt is there whole or not at all.
 * False when the life is to end. */
static bool recover(Run *run)
{
    const struct timespec pause = {0, 2000000};
    Error error = {0};
    uint32_t removed = 0;
    Code code = OK;
    if (stays_bad) {
        const Entry *entry = &journal->entries[journal->count - 1];
        if (entry->kind == A_COMPACTION) /* some steps of it may be done */
            return false;
        model__learn(entry);
        run->is_unsettled = false;
        model__check_stored(run);
        return false;
    }
    do {
        while (database_is_read_only(run->f.db))
            nanosleep(&pause, NULL);
        code = flush_sweep(run->f.db, NULL, &removed, &error);
        if (code != OK)
            model__note_failure(code, &error);
    } while (code != OK || !model__settle(run));
    run->is_unsettled = false;
    journal->recoveries++;
    model__check_stored(run);
    model__check_files(run);
    return true;
}

static void take_steps(Run *run, uint64_t steps)
{
    for (; steps > 0 && journal->steps_left > 0; steps--, journal->steps_left--) {
        if (!model__change(run) && !recover(run))
            return;
        if (model__chance(15))
            model__read_past(run);
        if (model__chance(25))
            model__read_feed(run);
        if (model__chance(5))
            model__check_stored(run);
    }
    if (!run->is_unsettled || recover(run))
        model__check_stored(run);
}

static void set_up(const char *folder)
{
    Fixture f;
    fixture_open(&f, folder, TABLE_USER);
    for (unsigned user = 0; user < USERS; user++)
        (void)fixture_partition(&f, user_ids[user]);
    (void)model__new_entry(A_START, 0, 0);
    model__begin();
    fixture_close(&f);
}

static uint64_t steps_of(ModelLife life)
{
    switch (life) {
    case MODEL_SETUP:
    case MODEL_FAULTY:
    case MODEL_FAULTY_FOR_GOOD:
        return FAULTY_STEPS;
    case MODEL_RANDOM:
        return 1 + model__random(LIFE_STEPS_MAX);
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
    stays_bad = life == MODEL_FAULTY_FOR_GOOD;
    may_fail = stays_bad || life == MODEL_FAULTY;
    Code code = open_life(&run, folder, &error);
    if (code == OK)
        code = flush_sweep(run.f.db, NULL, &removed, &error);
    if (code != OK) {
        model__note_failure(code, &error);
    } else {
        replay();
        run.is_unsettled = !model__settle(&run);
        model__check_stored(&run);
        model__check_files(&run);
        take_steps(&run, steps_of(life));
        if (life == MODEL_RANDOM && journal->steps_left && model__chance(30))
            die();
        if (life == MODEL_RANDOM && journal->steps_left && model__chance(60))
            die_busy(&run);
    }
    obsolete_free(run.obsolete);
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
            "model: %llu writes, %llu flushes, %llu trims, %llu compactions, %llu pages, %llu "
            "feeds, %llu failures, %llu recoveries, %llu kills\n",
            (unsigned long long)journal->writes, (unsigned long long)journal->flushes,
            (unsigned long long)journal->trims, (unsigned long long)journal->compactions,
            (unsigned long long)journal->pages, (unsigned long long)journal->feeds,
            (unsigned long long)journal->failures, (unsigned long long)journal->recoveries,
            (unsigned long long)journal->kills);
}
