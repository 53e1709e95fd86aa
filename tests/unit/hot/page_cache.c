/* SPDX-License-Identifier: Apache-2.0
 *
 * preadv2, as page_cache.h says. It stands before that of libc, since programs come first.
 */
#include "page_cache.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_int memory, reads;

void kernel_memory(Kernel kernel)
{
    atomic_store(&reads, 0);
    atomic_store(&memory, kernel);
}

int kernel_reads(void)
{
    return atomic_load(&reads);
}

static ssize_t refuse(void)
{
    errno = EAGAIN;
    return -1;
}

ssize_t preadv2(int file, const struct iovec *into, int count, off_t offset, int flags)
{
    Kernel kernel = (Kernel)atomic_load(&memory);
    uint64_t chance = kernel == KERNEL_HAS_SOME ? test_random() % 6 : 0;
    if (!(flags & RWF_NOWAIT) || count != 1) /* which nobody does */
        return refuse();
    atomic_fetch_add(&reads, 1);
    if (kernel == KERNEL_AS_IT_IS)
        return syscall(SYS_preadv2, file, into, count, (long)offset, 0L, flags);
    if (kernel == KERNEL_HAS_NONE || chance == 1)
        return refuse();
    return pread(file, into->iov_base, chance == 2 ? into->iov_len / 2 : into->iov_len, offset);
}
