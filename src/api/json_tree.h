/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON from clients as a tree. A tree takes a hundred times the bytes of its text and is made on a
 * network thread, so a text with more values than anybody needs is refused before. Any thread.
 */
#pragma once

#include <jansson.h>

#include "base/error.h"
#include "base/slice.h"

/* `flags` are Jansson's. The caller's reference; NULL with `*out_why` filled in as Jansson does. */
json_t *json_tree_parse(Slice text, size_t flags, json_error_t *out_why);
