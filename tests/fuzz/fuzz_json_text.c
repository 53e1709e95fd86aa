/* SPDX-License-Identifier: Apache-2.0
 *
 * json_text_valid over any bytes. A valid text is UTF-8 and valid inside an array, and that array
 * is not valid while it is open; what json_add_string makes of any UTF-8 is valid.
 */
#include "data/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_string(Slice text)
{
    size_t offset;
    CLEANUP(buffer_done) Buffer string = {0};
    json_add_string(&string, text);
    must(json_text_valid(buffer_slice(&string), &offset) == slice_is_utf8(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Slice text = slice_of(data, size);
    size_t offset = 0;
    try_string(text);
    if (!json_text_valid(text, &offset)) {
        must(offset <= size);
        return 0;
    }
    must(slice_is_utf8(text));
    CLEANUP(buffer_done) Buffer array = {0};
    buffer_add_char(&array, '[');
    buffer_add_slice(&array, text);
    must(!json_text_valid(buffer_slice(&array), &offset));
    buffer_add_char(&array, ']');
    bool is_deep = memchr(data, '[', size) || memchr(data, '{', size); /* perhaps at the limit */
    must(is_deep || json_text_valid(buffer_slice(&array), &offset));
    return 0;
}
