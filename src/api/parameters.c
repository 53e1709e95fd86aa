/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON scalars to values. What a column makes of them is decided when the statement is bound.
 */
#include "api/parameters.h"

#include "api/json_tree.h"
#include "base/limits.h"

static Code read_text(const json_t *item, size_t number, Arena *arena, Value *out, Error *e)
{
    size_t size = json_string_length(item);
    if (size > SQL_PARAMETER_BYTES_MAX)
        return fail(e, E_INVALID_PARAMETER, "Parameter $%zu invalid: larger than %d bytes", number,
                    SQL_PARAMETER_BYTES_MAX);
    *out = value_text(arena_copy(arena, slice_of(json_string_value(item), size)));
    return OK;
}

static Code read_one(const json_t *item, size_t number, Arena *arena, Value *out, Error *e)
{
    switch (json_typeof(item)) {
    case JSON_NULL:
        *out = value_null(TYPE_NULL);
        return OK;
    case JSON_TRUE:
    case JSON_FALSE:
        *out = value_boolean(json_is_true(item));
        return OK;
    case JSON_INTEGER:
        *out = value_integer(TYPE_BIGINT, json_integer_value(item));
        return OK;
    case JSON_REAL:
        *out = value_double(json_real_value(item));
        return OK;
    case JSON_STRING:
        return read_text(item, number, arena, out, e);
    case JSON_ARRAY:
        return fail(e, E_INVALID_PARAMETER,
                    "Parameter $%zu invalid: Array parameters not yet supported", number);
    case JSON_OBJECT:
        return fail(e, E_INVALID_PARAMETER,
                    "Parameter $%zu invalid: Object parameters not yet supported", number);
    }
    return fail(e, E_INVALID_PARAMETER, "Parameter $%zu invalid", number);
}

Code parameters_read(const json_t *list, Arena *arena, const Value **out, size_t *out_count,
                     Error *e)
{
    if (!list || json_is_null(list))
        return OK;
    if (!json_is_array(list))
        return fail(e, E_INVALID_INPUT, "Invalid JSON payload: params must be an array");
    size_t count = json_array_size(list);
    if (count > SQL_PARAMETERS_MAX)
        return fail(e, E_INVALID_PARAMETER,
                    "Parameter count exceeded: maximum %d parameters allowed, got %zu",
                    SQL_PARAMETERS_MAX, count);
    Value *values = arena_new_array(arena, Value, count);
    for (size_t i = 0; i < count; i++)
        TRY(read_one(json_array_get(list, i), i + 1, arena, &values[i], e));
    *out = values;
    *out_count = count;
    return OK;
}

Code parameters_parse(Slice text, Arena *arena, const Value **out, size_t *out_count, Error *e)
{
    json_error_t where;
    json_t *list = json_tree_parse(text, 0, &where);
    if (!list)
        return fail(e, E_INVALID_INPUT, "Invalid JSON in params: %s (line %d, column %d)",
                    where.text, where.line, where.column);
    Code code = parameters_read(list, arena, out, out_count, e);
    json_decref(list);
    return code;
}
