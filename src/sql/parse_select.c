/* SPDX-License-Identifier: Apache-2.0
 *
 * SELECT: WITH, projection, FROM and joins, GROUP BY, HAVING, set operations, ORDER BY, LIMIT.
 */
#include "sql/sql_int.h"

static Code select_body(Parser *p, int level, Select **out);

bool sql__at_select(const Parser *p)
{
    return sql__at_word(p, KW_SELECT) || sql__at_word(p, KW_WITH);
}

Code sql__order_list(Parser *p, OrderItem **out, uint32_t *out_count)
{
    OrderItem *list = NULL;
    uint32_t count = 0;
    do {
        OrderItem item = {0};
        TRY(sql__expr(p, &item.expr));
        item.descending = sql__accept_word(p, KW_DESC);
        if (!item.descending)
            (void)sql__accept_word(p, KW_ASC);
        if (sql__accept_word(p, KW_NULLS)) {
            item.nulls_first = sql__accept_word(p, KW_FIRST);
            if (!item.nulls_first && !sql__accept_word(p, KW_LAST))
                return sql__expected(p, "FIRST or LAST");
        }
        *PUSH(p, list, count) = item;
    } while (sql__accept(p, TOKEN_COMMA));
    *out = list;
    *out_count = count;
    return OK;
}

/* AS name, or a name that follows directly. Behind AS any word can be a column's name. */
static Code column_alias(Parser *p, Slice *out)
{
    bool has_as = sql__accept_word(p, KW_AS);
    if (has_as && p->token.kind == TOKEN_WORD) {
        *out = p->token.text;
        sql__advance(p);
        return OK;
    }
    return has_as || sql__at_name(p) ? sql__name(p, "a column alias", out) : OK;
}

static Code table_alias(Parser *p, Slice *out)
{
    if (sql__accept_word(p, KW_AS))
        return sql__name(p, "a table alias", out);
    bool at_options = sql__at_word(p, KW_OPTIONS) && sql__peek_second(p).kind == TOKEN_LEFT;
    return sql__at_name(p) && !at_options ? sql__name(p, "a table alias", out) : OK;
}

/* ---- projection ---- */

static bool at_table_star(const Parser *p)
{
    if (!sql__at_name(p))
        return false;
    Parser copy = *p;
    sql__advance(&copy);
    if (!sql__accept(&copy, TOKEN_DOT))
        return false;
    return copy.token.kind == TOKEN_STAR;
}

static Code select_item(Parser *p, SelectItem *out)
{
    SelectItem item = {.offset = p->token.start};
    if (sql__accept(p, TOKEN_STAR)) {
        item.star = true;
    } else if (at_table_star(p)) {
        item.star = true;
        TRY(sql__name(p, "a table", &item.star_table));
        sql__advance(p);
        sql__advance(p);
    } else {
        TRY(sql__expr(p, &item.expr));
        item.text = slice_of(p->text.data + item.offset, p->previous_end - item.offset);
        TRY(column_alias(p, &item.alias));
    }
    *out = item;
    return OK;
}

static Code select_items(Parser *p, Select *select)
{
    do {
        SelectItem item;
        /* a comma before FROM is forgiven, as the original does */
        if (select->item_count && sql__at_word(p, KW_FROM))
            return OK;
        if (select->item_count == COLUMNS_MAX)
            return sql__fail(p, E_INVALID_SQL, p->token.start, "More than %d columns", COLUMNS_MAX);
        TRY(select_item(p, &item));
        *PUSH(p, select->items, select->item_count) = item;
    } while (sql__accept(p, TOKEN_COMMA));
    return OK;
}

/* ---- FROM ---- */

static Code table_ref(Parser *p, TableRef **out);

static TableRef *new_ref(Parser *p, TableRefKind kind)
{
    TableRef *ref = arena_new_of(p->arena, TableRef);
    ref->kind = kind;
    ref->offset = p->token.start;
    return ref;
}

static Code refuse_column_aliases(Parser *p)
{
    return p->token.kind == TOKEN_LEFT
               ? sql__unsupported(
                     p, p->token.start,
                     "Table functions and column lists after a table are not supported")
               : OK;
}

static Code table_primary(Parser *p, TableRef **out)
{
    if (p->token.kind == TOKEN_STRING)
        return sql__expected(p, "a table name; files cannot be read");
    TableRef *ref = new_ref(p, REF_TABLE);
    if (sql__accept(p, TOKEN_LEFT)) {
        if (!sql__at_select(p)) { /* (a JOIN b) */
            TRY(table_ref(p, out));
            return sql__expect(p, TOKEN_RIGHT, "')'");
        }
        ref->kind = REF_SELECT;
        TRY(sql__select(p, &ref->select));
        TRY(sql__expect(p, TOKEN_RIGHT, "')'"));
    } else {
        TRY(sql__table_name(p, &ref->table));
        TRY(refuse_column_aliases(p));
    }
    TRY(table_alias(p, &ref->alias));
    TRY(refuse_column_aliases(p));
    *out = ref;
    return OK;
}

static Code name_list(Parser *p, const char *what, Slice **out, uint32_t *out_count)
{
    TRY(sql__expect(p, TOKEN_LEFT, "'('"));
    do {
        Slice name;
        TRY(sql__name(p, what, &name));
        *PUSH(p, *out, *out_count) = name;
    } while (sql__accept(p, TOKEN_COMMA));
    return sql__expect(p, TOKEN_RIGHT, "',' or ')'");
}

static Code join_condition(Parser *p, TableRef *join)
{
    if (join->join == JOIN_CROSS)
        return OK;
    if (sql__accept_word(p, KW_ON))
        return sql__expr(p, &join->on);
    if (sql__accept_word(p, KW_USING))
        return name_list(p, "a column name", &join->using_columns, &join->using_count);
    return sql__expected(p, "ON or USING");
}

/* INNER JOIN and so on; *out_found is false when no join follows. */
static Code join_word(Parser *p, JoinKind *out, bool *out_found)
{
    static const struct {
        Keyword keyword;
        JoinKind kind;
        bool may_say_outer;
    } kinds[] = {{KW_INNER, JOIN_INNER, false},
                 {KW_CROSS, JOIN_CROSS, false},
                 {KW_LEFT, JOIN_LEFT, true},
                 {KW_RIGHT, JOIN_RIGHT, true},
                 {KW_FULL, JOIN_FULL, true}};
    *out_found = true;
    if (sql__at_word(p, KW_NATURAL))
        return sql__unsupported(p, p->token.start,
                                "NATURAL JOIN is not supported; name the columns with USING");
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        if (!sql__accept_word(p, kinds[i].keyword))
            continue;
        if (kinds[i].may_say_outer)
            (void)sql__accept_word(p, KW_OUTER);
        *out = kinds[i].kind;
        return sql__expect_word(p, KW_JOIN);
    }
    *out = JOIN_INNER;
    *out_found = sql__accept_word(p, KW_JOIN);
    return OK;
}

static Code joined(Parser *p, TableRef **io_left)
{
    for (;;) {
        TableRef *join = new_ref(p, REF_JOIN);
        bool has_join;
        TRY(join_word(p, &join->join, &has_join));
        if (!has_join)
            return OK;
        TRY(sql__count_join(p, join->offset));
        if (sql__at_word(p, KW_LATERAL))
            return sql__unsupported(p, p->token.start, "LATERAL is not supported");
        join->left = *io_left;
        TRY(table_primary(p, &join->right));
        TRY(join_condition(p, join));
        *io_left = join;
    }
}

static Code table_ref(Parser *p, TableRef **out)
{
    TRY(sql__enter(p));
    TableRef *ref;
    TRY(table_primary(p, &ref));
    TRY(joined(p, &ref));
    sql__leave(p);
    *out = ref;
    return OK;
}

static Code from_list(Parser *p, TableRef **out)
{
    TRY(table_ref(p, out));
    while (p->token.kind == TOKEN_COMMA) {
        TRY(sql__count_join(p, p->token.start));
        TableRef *join = new_ref(p, REF_JOIN);
        sql__advance(p);
        join->join = JOIN_CROSS;
        join->left = *out;
        TRY(table_ref(p, &join->right));
        *out = join;
    }
    return OK;
}

/* ---- the rest ---- */

static Code group_and_having(Parser *p, Select *select)
{
    if (sql__accept_word(p, KW_GROUP)) {
        TRY(sql__expect_word(p, KW_BY));
        TRY(sql__expr_list(p, &select->group, &select->group_count));
    }
    if (sql__accept_word(p, KW_HAVING))
        TRY(sql__expr(p, &select->having));
    if (sql__at_word(p, KW_WINDOW) || sql__at_word(p, KW_QUALIFY))
        return sql__fail(p, E_UNSUPPORTED, p->token.start, "%.*s is not supported",
                         SLICE_ARGS(p->token.text));
    return OK;
}

static Code plain_select(Parser *p, Select **out)
{
    if (sql__accept(p, TOKEN_LEFT)) {
        TRY(sql__select(p, out));
        return sql__expect(p, TOKEN_RIGHT, "')'");
    }
    Select *select = arena_new_of(p->arena, Select);
    select->offset = p->token.start;
    TRY(sql__expect_word(p, KW_SELECT));
    select->distinct = sql__accept_word(p, KW_DISTINCT);
    if (select->distinct && sql__at_word(p, KW_ON))
        return sql__unsupported(p, p->token.start, "DISTINCT ON is not supported");
    if (!select->distinct)
        (void)sql__accept_word(p, KW_ALL);
    TRY(select_items(p, select));
    if (sql__accept_word(p, KW_FROM))
        TRY(from_list(p, &select->from));
    if (sql__accept_word(p, KW_WHERE))
        TRY(sql__expr(p, &select->where));
    TRY(group_and_having(p, select));
    select->text = slice_of(p->text.data + select->offset, p->previous_end - select->offset);
    *out = select;
    return OK;
}

static bool at_set_operation(const Parser *p, int level, SetOperation *out)
{
    *out = sql__at_word(p, KW_UNION)       ? SET_UNION
           : sql__at_word(p, KW_EXCEPT)    ? SET_EXCEPT
           : sql__at_word(p, KW_INTERSECT) ? SET_INTERSECT
                                           : SET_NONE;
    return level == 0 ? *out == SET_UNION || *out == SET_EXCEPT : *out == SET_INTERSECT;
}

/* Level 0: UNION and EXCEPT; level 1: INTERSECT, which binds tighter; level 2: one SELECT. */
static Code select_body(Parser *p, int level, Select **out)
{
    if (level == 2)
        return plain_select(p, out);
    TRY(select_body(p, level + 1, out));
    SetOperation operation;
    while (at_set_operation(p, level, &operation)) {
        TRY(sql__count_join(p, p->token.start));
        sql__advance(p);
        Select *both = arena_new_of(p->arena, Select);
        both->offset = (*out)->offset;
        both->set_operation = operation;
        both->set_all = sql__accept_word(p, KW_ALL);
        if (!both->set_all)
            (void)sql__accept_word(p, KW_DISTINCT);
        both->left = *out;
        TRY(select_body(p, level + 1, &both->right));
        both->text = slice_of(p->text.data + both->offset, p->previous_end - both->offset);
        *out = both;
    }
    return OK;
}

static Code with_tables(Parser *p, WithTable **out, uint32_t *out_count)
{
    if (!sql__accept_word(p, KW_WITH))
        return OK;
    if (sql__at_word(p, KW_RECURSIVE))
        return sql__unsupported(p, p->token.start, "WITH RECURSIVE is not supported");
    do {
        WithTable table = {.offset = p->token.start};
        TRY(sql__name(p, "a name for the WITH table", &table.name));
        if (p->token.kind == TOKEN_LEFT)
            TRY(name_list(p, "a column name", &table.columns, &table.column_count));
        TRY(sql__expect_word(p, KW_AS));
        TRY(sql__expect(p, TOKEN_LEFT, "'('"));
        TRY(sql__select(p, &table.select));
        TRY(sql__expect(p, TOKEN_RIGHT, "')'"));
        *PUSH(p, *out, *out_count) = table;
    } while (sql__accept(p, TOKEN_COMMA));
    return OK;
}

static Code limit_and_offset(Parser *p, Select *select)
{
    for (;;) {
        if (!select->has_limit && sql__accept_word(p, KW_LIMIT)) {
            select->has_limit = true;
            if (!sql__accept_word(p, KW_ALL))
                TRY(sql__expr(p, &select->limit));
        } else if (!select->row_offset && sql__accept_word(p, KW_OFFSET)) {
            TRY(sql__expr(p, &select->row_offset));
            if (!sql__accept_word(p, KW_ROWS))
                (void)sql__accept_word(p, KW_ROW);
        } else {
            break;
        }
    }
    if (sql__at_word(p, KW_FETCH))
        return sql__unsupported(p, p->token.start, "FETCH is not supported; use LIMIT");
    return OK;
}

/* A SELECT in parentheses that had its own ORDER BY or LIMIT must not lose them to outer ones. */
static Select *outer_select(Parser *p, Select *inner)
{
    bool is_taken =
        inner->order_count || inner->has_limit || inner->row_offset || inner->with_count;
    if (!is_taken)
        return inner;
    Select *outer = arena_new_of(p->arena, Select);
    TableRef *from = arena_new_of(p->arena, TableRef);
    SelectItem *star = arena_new_of(p->arena, SelectItem);
    from->kind = REF_SELECT;
    outer->offset = from->offset = star->offset = inner->offset;
    from->select = inner;
    star->star = true;
    outer->items = star;
    outer->item_count = 1;
    outer->from = from;
    return outer;
}

Code sql__select(Parser *p, Select **out)
{
    TRY(sql__enter(p));
    uint32_t offset = p->token.start, height_outside = p->height;
    p->height = 0;
    WithTable *with = NULL;
    uint32_t with_count = 0;
    TRY(with_tables(p, &with, &with_count));
    Select *select;
    TRY(select_body(p, 0, &select));
    bool has_tail = with_count || sql__at_word(p, KW_ORDER) || sql__at_word(p, KW_LIMIT) ||
                    sql__at_word(p, KW_OFFSET);
    if (has_tail)
        select = outer_select(p, select);
    if (with_count) {
        select->with = with;
        select->with_count = with_count;
    }
    if (sql__accept_word(p, KW_ORDER)) {
        TRY(sql__expect_word(p, KW_BY));
        TRY(sql__order_list(p, &select->order, &select->order_count));
    }
    TRY(limit_and_offset(p, select));
    select->text = slice_of(p->text.data + offset, p->previous_end - offset);
    sql__leave(p);
    select->height = (uint16_t)(p->height + 1);
    p->height = select->height > height_outside ? select->height : height_outside;
    *out = select;
    return OK;
}
