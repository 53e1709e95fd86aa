/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/dead_rows.h"

#include "fixture.h"
#include "test.h"

#include <stdlib.h>

static const Partition of_u0 = {7, 1};
static const SegmentEntry file = {.batch = 3, .min_seq = 100, .max_seq = 900, .crc = 0xABCD};

static bool finds(DeadRows *known, Partition partition, const SegmentEntry *entry,
                  const uint64_t *seqs, size_t count, const uint64_t *want)
{
    Arena *arena = arena_new();
    DeadList dead = {.seqs = (uint64_t *)seqs, .count = count}, rows = {0};
    bool found = exec__dead_rows_find(known, partition, entry, &dead, arena, &rows);
    if (found)
        CHECK_INT(rows.count, count);
    for (size_t i = 0; found && want && i < count; i++)
        CHECK_INT(rows.seqs[i], want[i]);
    arena_free(arena);
    return found;
}

/* Would catch a list that serves a file it was not learnt from, as a twin's of another user. */
TEST("where dead rows lie is known of one file of one partition only")
{
    DeadRows *known = exec__dead_rows_new();
    static const DeadRow rows[] = {{200, 5}, {300, 9}};
    exec__dead_rows_add(known, of_u0, &file, rows, 2);
    CHECK(finds(known, of_u0, &file, (uint64_t[]){200, 300}, 2, (uint64_t[]){5, 9}));
    CHECK(!finds(known, (Partition){7, 2}, &file, (uint64_t[]){200}, 1, NULL));
    CHECK(!finds(known, (Partition){8, 1}, &file, (uint64_t[]){200}, 1, NULL));
    SegmentEntry other = file;
    other.batch = 4;
    CHECK(!finds(known, of_u0, &other, (uint64_t[]){200}, 1, NULL));
    other = file;
    other.crc = 0xABCE;
    CHECK(!finds(known, of_u0, &other, (uint64_t[]){200}, 1, NULL));
    other = file;
    other.max_seq = 901;
    CHECK(!finds(known, of_u0, &other, (uint64_t[]){200}, 1, NULL));
    exec__dead_rows_free(known);
}

/* Would catch rows that another statement's snapshot has dead: what is asked for decides. */
TEST("only the dead that a statement names are given, and one that is unknown makes it ask again")
{
    DeadRows *known = exec__dead_rows_new();
    static const DeadRow first[] = {{300, 9}}, second[] = {{200, 5}, {300, 9}, {400, 11}};
    exec__dead_rows_add(known, of_u0, &file, first, 1);
    CHECK(!finds(known, of_u0, &file, (uint64_t[]){200, 300}, 2, NULL));
    CHECK(!finds(known, of_u0, &file, (uint64_t[]){300, 400}, 2, NULL));
    exec__dead_rows_add(known, of_u0, &file, second, 3);
    CHECK(finds(known, of_u0, &file, (uint64_t[]){200, 300, 400}, 3, (uint64_t[]){5, 9, 11}));
    CHECK(finds(known, of_u0, &file, (uint64_t[]){200, 400}, 2, (uint64_t[]){5, 11}));
    CHECK(finds(known, of_u0, &file, (uint64_t[]){300}, 1, (uint64_t[]){9}));
    exec__dead_rows_free(known);
}

/* Would catch memory that grows with the rows that ever died. */
TEST("what is known of dead rows is bounded, and forgotten as a whole")
{
    enum { EACH = 400 * 1000 };
    DeadRows *known = exec__dead_rows_new();
    DeadRow *rows = x_new_array(DeadRow, EACH);
    for (size_t i = 0; i < EACH; i++)
        rows[i] = (DeadRow){i + 1, i};
    for (uint64_t batch = 1; batch <= 3; batch++) {
        SegmentEntry entry = {.batch = batch, .max_seq = EACH};
        exec__dead_rows_add(known, of_u0, &entry, rows, EACH);
    }
    for (uint64_t batch = 1; batch <= 3; batch++) {
        SegmentEntry entry = {.batch = batch, .max_seq = EACH};
        CHECK_INT(finds(known, of_u0, &entry, (uint64_t[]){5}, 1, NULL), batch == 3);
    }
    free(rows);
    exec__dead_rows_free(known);
}

static int64_t number_of(World *w, int user, const char *sql)
{
    Answer answer = {.w = w};
    CHECK_OK(world_run_as(w, user, ROLE_USER, sql, &answer, e));
    return answer.last;
}

/* Would catch a list of one user, of another moment or of a file that is gone. */
TEST("sums are right while rows die, of two users with the same rows, before and after compactions")
{
    World w = world_open();
    world_run(&w, "CREATE NAMESPACE app; CREATE USER TABLE app.d (id BIGINT PRIMARY KEY, n INT)");
    static const char *const sum = "SELECT sum(n)::BIGINT FROM d";
    static const char *const rows =
        "INSERT INTO d VALUES (1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 32), (7, 64), (8, 128)";
    for (int user = 0; user < 2; user++)
        (void)number_of(&w, user, rows);
    world_run(&w, "STORAGE FLUSH TABLE app.d");
    (void)number_of(&w, 0, "DELETE FROM d WHERE id = 2");
    (void)number_of(&w, 1, "DELETE FROM d WHERE id = 4");
    for (int i = 0; i < 2; i++) { /* learns, then knows */
        CHECK_INT(number_of(&w, 0, sum), 253);
        CHECK_INT(number_of(&w, 1, sum), 247);
    }
    /* a row that dies while a transaction reads, and one that died only within it */
    Answer answer = {
        .w = &w, .meanwhile = "DELETE FROM d WHERE id = 8; SELECT sum(n) FROM d", .at = 1};
    CHECK_OK(world_run_as(&w, 0, ROLE_USER,
                          "BEGIN; SELECT sum(n)::BIGINT FROM d; DELETE FROM d WHERE id = 1; SELECT "
                          "sum(n)::BIGINT FROM d; ROLLBACK",
                          &answer, e));
    CHECK_INT(answer.sum, 253 + 252);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(number_of(&w, 0, sum), 125);
        CHECK_INT(number_of(&w, 1, sum), 247);
    }
    world_run(&w, "STORAGE COMPACT TABLE app.d");
    (void)number_of(&w, 0, "UPDATE d SET n = 0 WHERE id = 3");
    for (int i = 0; i < 2; i++) {
        CHECK_INT(number_of(&w, 0, sum), 121);
        CHECK_INT(number_of(&w, 1, sum), 247);
    }
    world_close(&w);
}
