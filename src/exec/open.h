/* SPDX-License-Identifier: Apache-2.0
 *
 * The list of open transactions, from any thread.
 */
#pragma once

#include "exec/exec_int.h"

typedef struct OpenTransaction OpenTransaction;

typedef struct OpenFigures {
    size_t row_count, bytes; /* staged */
    size_t table_count;      /* partitions read or written */
    bool commits;            /* COMMIT waits for its answer */
} OpenFigures;

OpenTransactions *exec__open_new(void);
void exec__open_free(OpenTransactions *list); /* accepts NULL; it must be empty */
/* Texts are copied; the list owns the entry until exec__open_remove. */
OpenTransaction *exec__open_add(OpenTransactions *list, Slice id, Slice user_id, uint64_t seq);
void exec__open_tell(OpenTransaction *entry, const OpenFigures *figures);
void exec__open_remove(OpenTransaction *entry); /* accepts NULL */
