/* SPDX-License-Identifier: Apache-2.0
 *
 * A request's text to statements. Only quotes and comments matter here; what the statements say is
 * the parser's business.
 */
#include "sql/sql_int.h"

static Code check_text(Slice text, Error *e)
{
    if (text.size > SQL_BYTES_MAX)
        return fail(e, E_INVALID_SQL, "SQL query too long: %zu bytes (maximum %d bytes)", text.size,
                    SQL_BYTES_MAX);
    if (!slice_is_utf8(text))
        return fail(e, E_INVALID_SQL, "The SQL text is not valid UTF-8");
    return OK;
}

/* The statement without blanks and comments around it; empty when there is nothing else. */
static Slice trim(Slice text)
{
    const char *ignored;
    size_t start = 0, end = 0;
    bool has_start = false;
    for (size_t at = 0; at < text.size;) {
        size_t before = at;
        char c = text.data[at];
        bool is_comment =
            (c == '-' || c == '/') && sql__skip_opaque(text, &at, &ignored) && at > before;
        if (!is_comment && (c == '\'' || c == '"' || c == '`'))
            (void)sql__skip_opaque(text, &at, &ignored);
        if (at == before)
            at++;
        if (is_comment || sql__is_blank(c))
            continue;
        if (!has_start)
            start = before;
        has_start = true;
        end = at;
    }
    return slice_of(text.data + start, end - start);
}

/* Counts on from the piece before, so that a long batch is walked once. */
static void place_piece(Slice request, const SqlPiece *before, SqlPiece *piece)
{
    size_t from = before ? (size_t)(before->text.data - request.data) : 0;
    size_t to = (size_t)(piece->text.data - request.data);
    Slice between = slice_of(request.data + from, to - from);
    uint32_t line, column;
    sql_place(between, (uint32_t)between.size, &line, &column);
    piece->line = before ? before->line + line - 1 : line;
    piece->column = before && line == 1 ? before->column + column - 1 : column;
}

static Code add_piece(Slice request, Slice part, Arena *arena, SqlPiece **pieces, uint32_t *count,
                      Error *e)
{
    Slice text = trim(part);
    if (!text.size)
        return OK;
    if (*count == SQL_STATEMENTS_MAX)
        return fail(e, E_BATCH_PARSE, "Failed to parse SQL batch: more than %d statements",
                    SQL_STATEMENTS_MAX);
    *pieces = sql__push(arena, *pieces, *count, sizeof(SqlPiece));
    SqlPiece *piece = &(*pieces)[*count];
    piece->text = text;
    place_piece(request, *count ? piece - 1 : NULL, piece);
    (*count)++;
    return OK;
}

Code sql_split(Slice request, Arena *arena, SqlPiece **out_pieces, size_t *out_count, Error *e)
{
    TRY(check_text(request, e));
    SqlPiece *pieces = NULL;
    uint32_t count = 0;
    size_t start = 0;
    for (size_t at = 0; at <= request.size;) {
        size_t before = at;
        const char *problem;
        if (!sql__skip_opaque(request, &at, &problem)) {
            uint32_t line, column;
            sql_place(request, (uint32_t)before, &line, &column);
            return fail_at(e, E_BATCH_PARSE, line, column, "Failed to parse SQL batch: %s",
                           problem);
        }
        if (at > before && at < request.size)
            continue;
        if (at >= request.size || request.data[at] == ';') {
            Slice part = slice_of(request.data + start, at - start);
            TRY(add_piece(request, part, arena, &pieces, &count, e));
            start = at + 1;
        }
        at++;
    }
    if (!count)
        return fail(e, E_EMPTY_SQL, "No SQL statements provided");
    *out_pieces = pieces;
    *out_count = count;
    return OK;
}
