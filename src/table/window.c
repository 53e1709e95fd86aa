/* SPDX-License-Identifier: Apache-2.0
 *
 * A feed window that is limited by bytes may be a gigabyte, and a trim comes with each quarter of
 * it. To weigh it anew each time reads several rows for each that was written. So what a trim has
 * weighed is remembered: the next one weighs what came since, and takes off what leaves.
 *
 * The weight of a change is that of its key and its row, which stays the same when a later change
 * moves the version from rows to history. Changes above feed low neither come late nor go before
 * feed low passes them (trim.c, I3), so the sum stays right.
 *
 * A cache: small windows are weighed each time, and all is forgotten when it is full.
 */
#include "table/window.h"

#include <stdlib.h>

#include "base/map.h"
#include "os/thread.h"

enum { WINDOWS_MAX = 10 * 1000, WEIGHT_MIN = 256 * 1024 };

struct Windows {
    Mutex lock;
    Map *weights; /* partition -> Weight, owned; guarded by lock */
};

Windows *windows_new(void)
{
    Windows *windows = x_new(Windows);
    mutex_init(&windows->lock);
    windows->weights = map_new();
    return windows;
}

static void forget_all(Windows *windows)
{
    Slice key;
    void *value;
    for (size_t at = 0; map_next(windows->weights, &at, &key, &value);)
        free(value);
    map_free(windows->weights);
}

void windows_free(Windows *windows)
{
    if (!windows)
        return;
    forget_all(windows);
    mutex_done(&windows->lock);
    free(windows);
}

bool windows_get(Windows *windows, Partition partition, Weight *out)
{
    SeqKey key = table__seq_key(partition, 0);
    MUTEX_SCOPE(&windows->lock);
    const Weight *weight = (const Weight *)map_get(windows->weights, table__partition_slice(&key));
    if (!weight)
        return false;
    *out = *weight;
    return true;
}

void windows_put(Windows *windows, Partition partition, const Weight *weight)
{
    SeqKey key = table__seq_key(partition, 0);
    Slice of = table__partition_slice(&key);
    MUTEX_SCOPE(&windows->lock);
    if (weight->bytes < WEIGHT_MIN) {
        free(map_remove(windows->weights, of));
        return;
    }
    if (map_count(windows->weights) >= WINDOWS_MAX) {
        forget_all(windows);
        windows->weights = map_new();
    }
    Weight *own = x_new(Weight);
    *own = *weight;
    free(map_put(windows->weights, of, own));
}
