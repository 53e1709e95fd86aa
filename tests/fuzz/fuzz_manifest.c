/* SPDX-License-Identifier: Apache-2.0
 *
 * hot__manifest_end over any bytes. What comes before the end is a MANIFEST of the same end.
 */
#include "hot/hot_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t end = 0, again = 0;
    Slice bytes = slice_of(data, size);
    if (!hot__manifest_end(bytes, &end))
        return 0;
    must(end <= size);
    must(hot__manifest_end(slice_of(data, end), &again));
    must(again == end);
    return 0;
}
