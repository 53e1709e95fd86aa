/* SPDX-License-Identifier: Apache-2.0
 *
 * A ResultSink for tests that ask only whether a statement succeeds.
 */
#pragma once

#include "exec/exec.h"

static inline void no_begin(void *context, size_t index)
{
    (void)context, (void)index;
}

static inline void no_columns(void *context, const ResultColumn *columns, size_t count)
{
    (void)context, (void)columns, (void)count;
}

static inline Code no_row(void *context, const Value *values, Error *e)
{
    (void)context, (void)values, (void)e;
    return OK;
}

static inline void no_end(void *context, size_t row_count, const char *message, Slice as_user)
{
    (void)context, (void)row_count, (void)message, (void)as_user;
}

static const ResultSink no_sink = {NULL, no_begin, no_columns, no_row, no_end};
