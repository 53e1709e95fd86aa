/* SPDX-License-Identifier: Apache-2.0
 *
 * Printing names and values into SQL for DuckDB. What is data passes through here and nowhere
 * else, so this is where quoting is right or wrong: names double their quotes, texts theirs, and
 * DuckDB knows no backslash escape in plain strings. A zero byte ends a statement inside DuckDB and
 * is therefore printed as chr(0).
 */
#include <string.h>

#include "engine/engine.h"

void engine_add_name(Buffer *out, Slice name)
{
    must(name.size > 0);
    must(!memchr(name.data, 0, name.size));
    buffer_add_quoted(out, name, '"');
}

void engine_add_text(Buffer *out, Slice text)
{
    const char *zero = text.size ? memchr(text.data, 0, text.size) : NULL;
    if (!zero) {
        buffer_add_quoted(out, text, '\'');
        return;
    }
    buffer_add_char(out, '(');
    while (zero) {
        size_t before = (size_t)(zero - text.data);
        buffer_add_quoted(out, slice_of(text.data, before), '\'');
        buffer_add_text(out, "||chr(0)||");
        text = slice_of(zero + 1, text.size - before - 1);
        zero = text.size ? memchr(text.data, 0, text.size) : NULL;
    }
    buffer_add_quoted(out, text, '\'');
    buffer_add_char(out, ')');
}
