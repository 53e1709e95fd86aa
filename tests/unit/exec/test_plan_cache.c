/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "exec/plan_cache.h"
#include "os/thread.h"
#include "sql/statement.h"

#include <stdio.h>

TEST("a text is kept only when it comes a second time")
{
    PlanCache *cache = exec__plans_new(4);
    Slice text = SLICE("SELECT 1");
    CHECK(exec__plans_get(cache, text) == NULL);
    CHECK(exec__plans_offer(cache, text) == NULL);
    Plan *plan = exec__plans_offer(cache, text);
    CHECK(plan != NULL);
    Plan *again = exec__plans_get(cache, text);
    CHECK(again == plan);
    exec__plan_unref(plan);
    exec__plan_unref(again);
    exec__plans_free(cache);
}

TEST("a text that does not parse is never kept")
{
    PlanCache *cache = exec__plans_new(4);
    for (int i = 0; i < 3; i++)
        CHECK(exec__plans_offer(cache, SLICE("SELEC 1")) == NULL);
    exec__plans_free(cache);
}

TEST("the text of CREATE USER, which holds a password, is never kept")
{
    PlanCache *cache = exec__plans_new(4);
    for (int i = 0; i < 3; i++)
        CHECK(exec__plans_offer(cache, SLICE("CREATE USER x WITH PASSWORD 'secret' ROLE user")) ==
              NULL);
    exec__plans_free(cache);
}

TEST("a plan that was thrown out lives until its user is done; the oldest goes first")
{
    PlanCache *cache = exec__plans_new(2);
    Plan *first = NULL;
    for (int i = 0; i < 4; i++) {
        char text[32];
        snprintf(text, sizeof text, "SELECT %d", i);
        CHECK(exec__plans_offer(cache, slice_of_text(text)) == NULL);
        Plan *plan = exec__plans_offer(cache, slice_of_text(text));
        CHECK(plan != NULL);
        if (i == 0)
            first = plan;
        else
            exec__plan_unref(plan);
    }
    CHECK(exec__plans_get(cache, SLICE("SELECT 0")) == NULL);
    CHECK(exec__plans_get(cache, SLICE("SELECT 1")) == NULL);
    Plan *kept = exec__plans_get(cache, SLICE("SELECT 2"));
    CHECK(kept != NULL);
    exec__plan_unref(kept);
    CHECK_SLICE(first->text, SLICE("SELECT 0"));
    CHECK_INT(first->statement->kind, STATEMENT_SELECT);
    exec__plan_unref(first);
    exec__plans_free(cache);
}

static void churn(void *argument)
{
    PlanCache *cache = argument;
    for (int i = 0; i < 2000; i++) {
        char text[32];
        snprintf(text, sizeof text, "SELECT %d", i % 7);
        Plan *plan = exec__plans_get(cache, slice_of_text(text));
        if (!plan)
            plan = exec__plans_offer(cache, slice_of_text(text));
        CHECK(!plan || plan->statement->kind == STATEMENT_SELECT);
        exec__plan_unref(plan);
    }
}

TEST("threads that use and throw out the same plans do not free one under another")
{
    PlanCache *cache = exec__plans_new(3);
    Thread *threads[3] = {0};
    for (int i = 0; i < 3; i++)
        CHECK_OK(thread_start("churn", THREAD_ANY, churn, cache, &threads[i], e));
    for (int i = 0; i < 3; i++)
        thread_join(threads[i]);
    exec__plans_free(cache);
}
