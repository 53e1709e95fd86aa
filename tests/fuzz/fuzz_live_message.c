/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages of WebSocket clients from arbitrary bytes: refused or understood, never a crash; what is
 * understood keeps the bounds the rest relies on.
 */
#include "api/live_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    ClientMessage message;
    Error error = {0};
    if (live_message_parse(slice_of(data, size), arena, &message, &error) != OK) {
        must(error.code == E_PROTOCOL);
        must(error.text[0]);
        return 0;
    }
    must(message.kind <= MESSAGE_PING);
    must(message.request.from <= INT64_MAX);
    must(message.request.batch_size <= INT64_MAX);
    must(message.request.last_rows <= INT64_MAX);
    return 0;
}
