/* SPDX-License-Identifier: Apache-2.0
 *
 * A table of values for tests of the cold tier, which plays the row source of a flush.
 */
#pragma once

#include "cold/cold.h"

enum { TABLE_COLUMNS_MAX = 12 };

typedef struct TestTable {
    Schema schema;
    Column columns[TABLE_COLUMNS_MAX];
    uint64_t row_count, first_seq, seq_step;
    /* Makes one row; the values live until the next call. */
    void (*make)(uint64_t row, Value *out_values);
    Value values[TABLE_COLUMNS_MAX];
    uint64_t fail_at;   /* 1-based row; 0 = never */
    bool breaks_order;  /* the last row has the seq of the first */
    bool has_tombstone; /* the last row is one */
    int open_scans;
} TestTable;

void table_add_column(TestTable *table, uint32_t field_id, const char *name, Type type);
EngineSource table_source(TestTable *table);
EnginePool *cold_pool(void); /* over <test folder>/storage */
const char *cold_root(void);
/* Writes the table as batch `batch` of folder "user/u/ns/t". */
Code cold_write(EnginePool *pool, TestTable *table, uint64_t batch, Arena *arena,
                SegmentEntry **out_entry, Error *e);
SegmentList cold_list(const uint64_t *batches, uint32_t count);
/* Every row of the segments through `schema`, printed as `seq:value|value;…`; lives until the next
 * call. */
Slice cold_print(EnginePool *pool, const SegmentList *list, const Schema *schema);

/* id BIGINT (1), name TEXT (2), score DOUBLE (3); row n has id n, "n<n>" or NULL for every fifth, n
 * / 4. */
void table_init(TestTable *table, uint64_t rows);
