/* SPDX-License-Identifier: Apache-2.0
 *
 * What the kernel has of files in memory, for tests of reads that may not wait: they are asked of
 * preadv2, whose place page_cache.c takes. The real memory is nothing to decide a test by: it comes
 * and goes, and a read that is refused makes the kernel fetch the page.
 */
#pragma once

#include "../test.h"

typedef enum Kernel {
    KERNEL_AS_IT_IS,
    KERNEL_HAS_ALL,
    KERNEL_HAS_NONE,
    KERNEL_HAS_SOME, /* each read by chance: all of what is asked for, the first half, or nothing */
} Kernel;
void kernel_memory(Kernel kernel); /* from now on, for all threads */
/* How many reads that may not wait were made since kernel_memory. */
int kernel_reads(void);
