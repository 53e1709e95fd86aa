/* SPDX-License-Identifier: Apache-2.0
 *
 * What a new namespace, table or column may be called. The messages are the original's.
 */
#include "sql/sql_int.h"

static bool is_listed(Slice name, const char *const *list)
{
    for (; *list; list++)
        if (slice_equal_ignoring_case(name, slice_of_text(*list)))
            return true;
    return false;
}

static bool is_plain(Slice name)
{
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_letter && !(c >= '0' && c <= '9') && c != '_')
            return false;
    }
    return true;
}

static Code check_characters(Slice name, Error *e)
{
    if (!name.size)
        return fail(e, E_INVALID_OPERATION, "Name cannot be empty");
    if (name.size > NAME_BYTES_MAX)
        return fail(e, E_INVALID_OPERATION, "Name is too long (%zu characters, max %d)", name.size,
                    NAME_BYTES_MAX);
    if (memchr(name.data, ' ', name.size))
        return fail(e, E_INVALID_OPERATION, "Name cannot contain spaces");
    if (name.data[0] == '_')
        return fail(e, E_INVALID_OPERATION,
                    "Name cannot start with underscore (reserved for system columns)");
    if (name.data[0] >= '0' && name.data[0] <= '9')
        return fail(e, E_INVALID_OPERATION, "Name cannot start with a number");
    if (!is_plain(name))
        return fail(e, E_INVALID_OPERATION,
                    "Name '%.*s' contains invalid characters (only alphanumeric "
                    "and underscore allowed)",
                    SLICE_ARGS(name));
    if (sql__keyword_use(sql__keyword(name)) != FREE)
        return fail(e, E_INVALID_OPERATION,
                    "Name '%.*s' is a reserved SQL keyword and cannot be used", SLICE_ARGS(name));
    return OK;
}

Code sql_check_name(SqlNameKind kind, Slice name, Error *e)
{
    static const char *const namespaces[] = {"system",
                                             "sys",
                                             "root",
                                             "kalamdb",
                                             "kalam",
                                             "main",
                                             "default",
                                             "sql",
                                             "admin",
                                             "internal",
                                             "information_schema",
                                             "pg_catalog",
                                             "datafusion",
                                             NULL};
    static const char *const columns[] = {
        "_seq",     "_deleted",   "_id",      "_row_id", "_rowid",      "_key", "_updated",
        "_created", "_timestamp", "_version", "_hash",   "_commit_seq", NULL};
    if (kind == SQL_NAME_NAMESPACE && is_listed(name, namespaces))
        return fail(e, E_INVALID_OPERATION, "Namespace '%.*s' is reserved and cannot be used",
                    SLICE_ARGS(name));
    if (kind == SQL_NAME_COLUMN && is_listed(name, columns))
        return fail(e, E_INVALID_OPERATION, "Column name '%.*s' is reserved and cannot be used",
                    SLICE_ARGS(name));
    return check_characters(name, e);
}
