/* SPDX-License-Identifier: Apache-2.0
 *
 * Counting what a tree would hold: each value but the first of its list stands after a comma, each
 * list after a bracket. Text that is no JSON is left to Jansson, which stops where it breaks.
 */
#include "api/json_tree.h"

#include <stdio.h>

#include "base/limits.h"

static bool has_too_many_values(Slice text)
{
    size_t count = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.size && count <= JSON_VALUES_MAX; i++) {
        char c = text.data[i];
        if (in_string && c == '\\')
            i++; /* what is escaped ends nothing */
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string)
            count += c == ',' || c == '[' || c == '{';
    }
    return count > JSON_VALUES_MAX;
}

json_t *json_tree_parse(Slice text, size_t flags, json_error_t *out_why)
{
    if (!has_too_many_values(text)) {
        json_t *tree = json_loadb(text.data ? text.data : "", text.size, flags, out_why);
        bool has_nul = !tree && json_error_code(out_why) == json_error_null_character;
        if (has_nul) /* Jansson names a flag that no client can set */
            snprintf(out_why->text, sizeof out_why->text, "a text cannot hold \\u0000");
        return tree;
    }
    *out_why = (json_error_t){.line = 1, .column = 1};
    snprintf(out_why->text, sizeof out_why->text, "more than %d values", JSON_VALUES_MAX);
    return NULL;
}
