/* SPDX-License-Identifier: Apache-2.0
 *
 * Parsed statements by their text: counted, bounded, thread-safe.
 */
#pragma once

#include "base/arena.h"
#include "sql/ast.h"

#include <stddef.h>

enum { EXEC_PLANS_MAX = 1024, EXEC_PLAN_TEXT_BYTES_MAX = 16 * 1024 };

typedef struct PlanCache PlanCache;

typedef struct Plan {
    Arena *arena;
    Slice text;
    Statement *statement; /* immutable */
    _Atomic unsigned refs;
} Plan;
PlanCache *exec__plans_new(size_t plans_max);
void exec__plans_free(PlanCache *cache); /* accepts NULL */
/* A reference, or NULL when the text is not cached. */
Plan *exec__plans_get(PlanCache *cache, Slice text);
/* Parses into a plan of its own and keeps it, once the text has been seen twice; else NULL. */
Plan *exec__plans_offer(PlanCache *cache, Slice text);
void exec__plan_unref(Plan *plan); /* accepts NULL */
