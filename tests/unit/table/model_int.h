/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the model share: the journal, what follows from it, and the run of one life.
 */
#pragma once

#include <stdatomic.h>

#include "fixture.h"
#include "model.h"
#include "table/compact.h"

enum {
    USERS = 3,
    IDS = 24,
    EVENTS_MAX = 200 * 1000,
    COMMITS_MAX = 200 * 1000,
    CHANGES_MAX = 8, /* of one intent */
    INTENTS_MAX = 4, /* resolved at one view */
    WINDOW_S = 10,
    ENTRIES_MAX = 100 * 1000,
    LIFE_STEPS_MAX = 80,
    FAULTY_STEPS = 14,
    CHECK_STEPS = 3,
    WRITE_BUFFER_BYTES = 256 * 1024, /* small: memtables are written out now and then */
};

/* A committed change, and the version it made. */
typedef struct Event {
    uint64_t seq, old_seq;
    uint64_t superseded_by; /* 0: the newest of its key, or a DELETE */
    uint32_t old_value, value;
    int32_t id;
    uint8_t user, kind;
    bool is_cold; /* in a segment */
    bool has_hot; /* in rows: live, hot copy or tombstone */
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

typedef enum EntryKind { A_START = 1, A_COMMIT, A_FLUSH, A_TRIM, A_COMPACTION } EntryKind;

typedef struct Entry {
    EntryKind kind;
    uint8_t user;        /* of all but commits */
    uint64_t seq;        /* newest before a flush or at a start; the new feed low of a trim */
    _Atomic State state; /* of all but commits: DONE when it committed */
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
    uint64_t writes, flushes, trims, compactions, pages, feeds, failures, recoveries,
        kills; /* for the curious */
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
    Obsolete *obsolete;
    Partition partitions[USERS];
    /* an operation failed: until it is known what it did nothing more is done or compared */
    bool is_unsettled;
} Run;

extern Journal *journal;
extern Model *model;
extern bool may_fail; /* the disk may */

/* model.c */
uint64_t model__random(uint64_t limit);
bool model__chance(unsigned percent);
Event *model__live(unsigned user, int32_t id);
bool model__lived_at(const Event *event, uint64_t at_seq);
uint64_t model__last_commit(void);
void model__note_commit(uint64_t seq);
/* An entry counts once it begins: what it asks for may happen from then on. */
Entry *model__new_entry(EntryKind kind, unsigned user, uint64_t seq);
void model__begin(void);
void model__learn(const Entry *entry);
bool model__may_trim(unsigned user, uint64_t low);
/* The first version in rows that a trim to that feed low removes, or NULL. */
const Event *model__spare_copy(unsigned user, uint64_t low);

/* model_change.c */
void model__encode(const Run *run, int32_t id, uint32_t value, Buffer *row, Buffer *key);
/* One random operation. False when it, or one before, failed and is not settled. */
bool model__change(Run *run);
/* Finds out what became of the last entry, and learns it. False when the failing disk kept it from
 * that. */
bool model__settle(Run *run);
void model__note_failure(Code code, const Error *error);

/* model_check.c */
/* Everything that is stored, key by key. */
void model__check_stored(Run *run);
/* Everything in the folders is in an entry, and each file is what its entry says. */
void model__check_files(Run *run);
void model__check_change(Run *run, const FeedChange *change, const Event *event, uint64_t view_at);
/* A past state in pages, feeds: while the table changes. */
void model__read_past(Run *run);
void model__read_feed(Run *run);
