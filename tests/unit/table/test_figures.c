/* SPDX-License-Identifier: Apache-2.0
 *
 * The figures of a partition agree with its rows, whatever tier they are in.
 */
#include "../test.h"
#include "fixture.h"
#include "table/figures.h"

static PartitionFigures figures_of(Fixture *f)
{
    PartitionFigures figures = {0};
    CLEANUP(view_close_ptr) ReadView *view = NULL;
    CHECK_OK(view_open(f->db, HOT_BLOCKING, &view, e));
    CHECK_OK(view_figures(view, f->table, f->partition, &figures, e));
    return figures;
}

static Code count_one(void *context, Partition partition, Error *e)
{
    (void)partition;
    (void)e;
    ++*(int *)context;
    return OK;
}

TEST("a dead, replaced or flushed row is counted twice, or not at all, or a partition is not found")
{
    Fixture f;
    uint64_t rows;
    int partitions = 0;
    fixture_open(&f, test_folder(), TABLE_USER);
    CHECK_INT(figures_of(&f).live_rows, 0);
    for (int i = 1; i <= 10; i++)
        fixture_put(&f, i, "x");
    CHECK_INT(figures_of(&f).live_rows, 10);
    CHECK_INT(figures_of(&f).hot_rows, 10);
    CHECK_OK(flush_partition(f.db, f.table, f.partition, &rows, e));
    fixture_put(&f, 11, "hot");
    fixture_put(&f, 3, "changed");
    fixture_delete(&f, 4);
    fixture_delete(&f, 11);
    PartitionFigures figures = figures_of(&f);
    CHECK_INT(figures.live_rows, 9);
    CHECK_INT(figures.hot_rows, 1);
    CHECK_INT(figures.segments, 1);
    CHECK_INT(figures.segment_rows, 10);
    CHECK(figures.segment_bytes > 0);
    CHECK(figures.hot_bytes > 0);
    f.partition = fixture_partition(&f, "bob");
    fixture_put(&f, 1, "bob's");
    ReadView *view = NULL;
    CHECK_OK(view_open(f.db, HOT_BLOCKING, &view, e));
    CHECK_OK(view_each_partition(view, f.table, count_one, &partitions, e));
    view_close(view);
    CHECK_INT(partitions, 2);
    TableTotals totals;
    CHECK_OK(database_totals(f.db, &totals, e));
    CHECK_INT(totals.partitions, 2);
    CHECK_INT(totals.segments, 1);
    CHECK_INT(totals.segment_rows, 10);
    CHECK_INT(totals.segment_bytes, figures.segment_bytes);
    fixture_close(&f);
}
