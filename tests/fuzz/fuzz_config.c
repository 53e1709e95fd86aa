/* SPDX-License-Identifier: Apache-2.0
 *
 * A settings file of any bytes is read or refused with a sentence, never a crash.
 */
#include "server/toml.h"

static bool visit(void *context, const TomlEntry *entry)
{
    size_t *bytes = context;
    for (const char *c = entry->path; *c; c++)
        (*bytes)++;
    for (size_t i = 0; entry->kind == TOML_TEXT && i < entry->text_bytes; i++)
        *bytes += (unsigned char)entry->text[i];
    for (size_t i = 0; i < entry->item_count; i++)
        *bytes += (unsigned char)entry->items[i][0];
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t bytes = 0;
    TomlError error;
    toml_read((const char *)data, size, visit, &bytes, &error);
    return 0;
}
