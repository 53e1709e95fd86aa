/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of os/ share.
 */
#pragma once

#include "base/error.h"
#include "os/thread.h"

/* Asks the fault hook; true means: errno is set, the call is to fail. */
bool file__fault(const char *operation, const char *path);
/* Makes an Error out of errno: "<operation> <path>: <reason>". */
CHECKED Code file__failed(Error *e, const char *operation, const char *path);

/* lock_order.c: called by the mutexes of builds with KALAM_DEBUG. Each aborts, naming both
 * locks. */
void os__order_take(const LockPlace *place);
void os__order_release(const LockPlace *place);
/* Before a wait: `place` must be the only lock this thread holds. */
void os__order_wait(const LockPlace *place);
void os__order_none(void);
