/* SPDX-License-Identifier: Apache-2.0
 *
 * Options of a database as tests open it: little memory, one thread each.
 */
#pragma once

#include "table/database.h"

static inline DatabaseOptions small_database(const char *folder, uint32_t feed_window_s)
{
    return (DatabaseOptions){
        .folder = folder,
        .hot = {.block_cache_bytes = 8 << 20, .write_buffer_bytes = 8 << 20, .background_jobs = 1},
        .node = 1,
        .feed_window_s = feed_window_s,
        .engine = {.instances = 1, .threads_per_instance = 1, .memory_limit_bytes = 256 << 20},
    };
}
