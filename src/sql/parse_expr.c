/* SPDX-License-Identifier: Apache-2.0
 *
 * Operators, by precedence climbing. From loose to tight (PostgreSQL's order): OR, AND, NOT, IS,
 * comparison, BETWEEN IN LIKE, || -> ->>, + -, * / // %, unary minus, ::.
 *
 * I1: a run of AND or OR becomes a balanced tree, so that a thousand conditions are ten high.
 * I2: no tree is higher than SQL_NESTING_MAX; whoever walks one may recurse.
 */
#include "sql/sql_int.h"

enum {
    LEVEL_OR = 1,
    LEVEL_AND,
    LEVEL_NOT,
    LEVEL_IS,
    LEVEL_COMPARE,
    LEVEL_RANGE,
    LEVEL_OTHER,
    LEVEL_ADD,
    LEVEL_MULTIPLY,
    LEVEL_UNARY,
    LEVEL_CAST,
};

static Code parse_level(Parser *p, int min, Expr **out);

static uint32_t child_height(const Expr *child)
{
    return child ? child->height : 0;
}

static uint32_t higher(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

Code sql__finish_expr(Parser *p, Expr *expr)
{
    uint32_t height = 0;
    for (uint32_t i = 0; i < expr->item_count; i++)
        height = higher(height, child_height(expr->items[i]));
    bool has_operands = expr->kind >= EXPR_UNARY && expr->kind <= EXPR_CAST; /* all have `left` */
    if (has_operands) {
        height = higher(height, child_height(expr->left));
        height = higher(height, child_height(expr->right));
        height = higher(height, child_height(expr->third));
    }
    bool has_select =
        expr->kind == EXPR_IN_SELECT || expr->kind == EXPR_EXISTS || expr->kind == EXPR_SUBQUERY;
    if (has_select)
        height = higher(height, expr->select->height);
    if (height >= SQL_NESTING_MAX)
        return sql__fail(p, E_INVALID_SQL, expr->offset,
                         "The expression is nested more than %d deep", SQL_NESTING_MAX);
    expr->height = (uint16_t)(height + 1); /* I2 */
    p->height = higher(p->height, expr->height);
    return OK;
}

static Expr *new_expr(Parser *p, ExprKind kind, uint32_t offset, Expr *left)
{
    Expr *expr = arena_new_of(p->arena, Expr);
    expr->kind = kind;
    expr->offset = offset;
    expr->left = left;
    return expr;
}

static Code finish(Parser *p, Expr *expr, Expr **out)
{
    TRY(sql__finish_expr(p, expr));
    *out = expr;
    return OK;
}

static Code binary(Parser *p, Operator op, uint32_t offset, Expr *left, Expr *right, Expr **out)
{
    Expr *expr = new_expr(p, EXPR_BINARY, offset, left);
    expr->op = op;
    expr->right = right;
    return finish(p, expr, out);
}

/* Pairs neighbours until one is left; keeps the order. `terms` is used up. */
static Code balance(Parser *p, Operator op, uint32_t offset, Expr **terms, uint32_t count,
                    Expr **out)
{
    while (count > 1) {
        uint32_t kept = 0;
        for (uint32_t i = 0; i + 1 < count; i += 2)
            TRY(binary(p, op, offset, terms[i], terms[i + 1], &terms[kept++]));
        if (count % 2)
            terms[kept++] = terms[count - 1];
        count = kept;
    }
    *out = terms[0];
    return OK;
}

static Code parse_run(Parser *p, Keyword word, Operator op, int level, Expr **io_left)
{
    Expr **terms = NULL;
    uint32_t count = 0, offset = p->token.start;
    *PUSH(p, terms, count) = *io_left;
    while (sql__accept_word(p, word)) {
        Expr *right;
        TRY(parse_level(p, level + 1, &right));
        *PUSH(p, terms, count) = right;
    }
    return balance(p, op, offset, terms, count, io_left);
}

static bool binary_operator(const Token *token, Operator *out_op, int *out_level)
{
    static const struct {
        TokenKind token;
        Operator op;
        int level;
    } table[] = {
        {TOKEN_EQUAL, OP_EQUAL, LEVEL_COMPARE},
        {TOKEN_NOT_EQUAL, OP_NOT_EQUAL, LEVEL_COMPARE},
        {TOKEN_LESS, OP_LESS, LEVEL_COMPARE},
        {TOKEN_LESS_EQUAL, OP_LESS_EQUAL, LEVEL_COMPARE},
        {TOKEN_GREATER, OP_GREATER, LEVEL_COMPARE},
        {TOKEN_GREATER_EQUAL, OP_GREATER_EQUAL, LEVEL_COMPARE},
        {TOKEN_CONCAT, OP_CONCAT, LEVEL_OTHER},
        {TOKEN_ARROW, OP_JSON_GET, LEVEL_OTHER},
        {TOKEN_ARROW_TEXT, OP_JSON_GET_TEXT, LEVEL_OTHER},
        {TOKEN_PLUS, OP_ADD, LEVEL_ADD},
        {TOKEN_MINUS, OP_SUBTRACT, LEVEL_ADD},
        {TOKEN_STAR, OP_MULTIPLY, LEVEL_MULTIPLY},
        {TOKEN_SLASH, OP_DIVIDE, LEVEL_MULTIPLY},
        {TOKEN_SLASH_SLASH, OP_INTEGER_DIVIDE, LEVEL_MULTIPLY},
        {TOKEN_PERCENT, OP_MODULO, LEVEL_MULTIPLY},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
        if (table[i].token == token->kind) {
            *out_op = table[i].op;
            *out_level = table[i].level;
            return true;
        }
    return false;
}

/* After IS: [NOT] NULL | TRUE | FALSE | UNKNOWN | DISTINCT FROM x */
static Code parse_is(Parser *p, uint32_t offset, Expr **io_left)
{
    bool negated = sql__accept_word(p, KW_NOT);
    if (sql__accept_word(p, KW_DISTINCT)) {
        TRY(sql__expect_word(p, KW_FROM));
        Expr *right;
        TRY(parse_level(p, LEVEL_COMPARE, &right));
        return binary(p, negated ? OP_NOT_DISTINCT_FROM : OP_DISTINCT_FROM, offset, *io_left, right,
                      io_left);
    }
    static const struct {
        Keyword keyword;
        IsKind is;
    } kinds[] = {
        {KW_NULL, IS_NULL}, {KW_TRUE, IS_TRUE}, {KW_FALSE, IS_FALSE}, {KW_UNKNOWN, IS_UNKNOWN}};
    for (size_t i = 0; i < 4; i++) {
        if (!sql__accept_word(p, kinds[i].keyword))
            continue;
        Expr *expr = new_expr(p, EXPR_IS, offset, *io_left);
        expr->is = kinds[i].is;
        expr->negated = negated;
        return finish(p, expr, io_left);
    }
    return sql__expected(p, negated ? "NULL, TRUE, FALSE, UNKNOWN or DISTINCT FROM"
                                    : "NULL, NOT NULL, TRUE, FALSE, UNKNOWN or DISTINCT FROM");
}

static Code parse_in(Parser *p, uint32_t offset, bool negated, Expr **io_left)
{
    TRY(sql__expect(p, TOKEN_LEFT, "'(' after IN"));
    Expr *expr = new_expr(p, EXPR_IN, offset, *io_left);
    expr->negated = negated;
    if (sql__at_select(p)) {
        expr->kind = EXPR_IN_SELECT;
        TRY(sql__select(p, &expr->select));
    } else {
        TRY(sql__expr_list(p, &expr->items, &expr->item_count));
    }
    TRY(sql__expect(p, TOKEN_RIGHT, "',' or ')'"));
    return finish(p, expr, io_left);
}

static Code parse_between(Parser *p, uint32_t offset, bool negated, Expr **io_left)
{
    Expr *expr = new_expr(p, EXPR_BETWEEN, offset, *io_left);
    expr->negated = negated;
    TRY(parse_level(p, LEVEL_OTHER, &expr->right));
    TRY(sql__expect_word(p, KW_AND));
    TRY(parse_level(p, LEVEL_OTHER, &expr->third));
    return finish(p, expr, io_left);
}

static Code parse_like(Parser *p, uint32_t offset, bool negated, bool ignore_case, Expr **io_left)
{
    Expr *expr = new_expr(p, EXPR_LIKE, offset, *io_left);
    expr->negated = negated;
    expr->ignore_case = ignore_case;
    TRY(parse_level(p, LEVEL_OTHER, &expr->right));
    if (sql__accept_word(p, KW_ESCAPE))
        TRY(parse_level(p, LEVEL_OTHER, &expr->third));
    return finish(p, expr, io_left);
}

static bool at_range_word(Keyword word)
{
    return word == KW_IN || word == KW_BETWEEN || word == KW_LIKE || word == KW_ILIKE;
}

/* [NOT] IN | BETWEEN | LIKE | ILIKE; *out_done is false when none of them stands here. */
static Code parse_range(Parser *p, Expr **io_left, bool *out_done)
{
    uint32_t offset = p->token.start;
    bool negated = sql__at_word(p, KW_NOT) && at_range_word(sql__peek_second(p).keyword);
    *out_done = negated || (p->token.kind == TOKEN_WORD && at_range_word(p->token.keyword));
    if (!*out_done)
        return OK;
    if (negated)
        sql__advance(p);
    Keyword word = p->token.keyword;
    sql__advance(p);
    if (word == KW_IN)
        return parse_in(p, offset, negated, io_left);
    if (word == KW_BETWEEN)
        return parse_between(p, offset, negated, io_left);
    return parse_like(p, offset, negated, word == KW_ILIKE, io_left);
}

static Code parse_cast(Parser *p, uint32_t offset, Expr **io_left)
{
    Expr *expr = new_expr(p, EXPR_CAST, offset, *io_left);
    TRY(sql__type(p, &expr->type));
    return finish(p, expr, io_left);
}

/* One operator behind *io_left; *out_done is false when nothing that binds tightly enough
 * follows. */
static Code parse_step(Parser *p, int min, Expr **io_left, bool *out_done)
{
    uint32_t offset = p->token.start;
    *out_done = true;
    Operator op;
    int level;
    if (binary_operator(&p->token, &op, &level) && level >= min) {
        sql__advance(p);
        Expr *right;
        TRY(parse_level(p, level + 1, &right));
        return binary(p, op, offset, *io_left, right, io_left);
    }
    if (sql__accept(p, TOKEN_CAST))
        return parse_cast(p, offset, io_left);
    if (min <= LEVEL_RANGE) {
        TRY(parse_range(p, io_left, out_done));
        if (*out_done)
            return OK;
    }
    *out_done = true;
    if (min <= LEVEL_IS && sql__accept_word(p, KW_IS))
        return parse_is(p, offset, io_left);
    if (min <= LEVEL_AND && sql__at_word(p, KW_AND))
        return parse_run(p, KW_AND, OP_AND, LEVEL_AND, io_left);
    if (min <= LEVEL_OR && sql__at_word(p, KW_OR))
        return parse_run(p, KW_OR, OP_OR, LEVEL_OR, io_left);
    *out_done = false;
    return OK;
}

static Code negate(Parser *p, uint32_t offset, Expr *operand, Expr **out)
{
    bool is_number = operand->kind == EXPR_LITERAL && !operand->value.is_null;
    if (is_number && operand->value.type == TYPE_BIGINT && operand->value.integer != INT64_MIN) {
        operand->value.integer = -operand->value.integer;
    } else if (is_number && operand->value.type == TYPE_DOUBLE) {
        operand->value.real = -operand->value.real;
    } else {
        Expr *expr = new_expr(p, EXPR_UNARY, offset, operand);
        expr->op = OP_NEGATE;
        return finish(p, expr, out);
    }
    operand->offset = offset;
    *out = operand;
    return OK;
}

static Code parse_minus(Parser *p, Expr **out)
{
    uint32_t offset = p->token.start;
    sql__advance(p);
    if (p->token.kind == TOKEN_INTEGER && p->token.number == (uint64_t)INT64_MAX + 1) {
        Expr *expr = new_expr(p, EXPR_LITERAL, offset, NULL);
        expr->value = value_integer(TYPE_BIGINT, INT64_MIN);
        sql__advance(p);
        return finish(p, expr, out);
    }
    Expr *operand;
    TRY(parse_level(p, LEVEL_UNARY, &operand));
    return negate(p, offset, operand, out);
}

static Code parse_prefix(Parser *p, int min, Expr **out)
{
    uint32_t offset = p->token.start;
    if (p->token.kind == TOKEN_MINUS)
        return parse_minus(p, out);
    if (sql__accept(p, TOKEN_PLUS)) {
        Expr *expr = new_expr(p, EXPR_UNARY, offset, NULL);
        expr->op = OP_PLUS;
        TRY(parse_level(p, LEVEL_UNARY, &expr->left));
        return finish(p, expr, out);
    }
    if (min <= LEVEL_NOT && sql__accept_word(p, KW_NOT)) {
        Expr *expr = new_expr(p, EXPR_UNARY, offset, NULL);
        expr->op = OP_NOT;
        TRY(parse_level(p, LEVEL_NOT, &expr->left));
        return finish(p, expr, out);
    }
    return sql__primary(p, out);
}

static Code parse_level(Parser *p, int min, Expr **out)
{
    TRY(sql__enter(p));
    Expr *left;
    TRY(parse_prefix(p, min, &left));
    for (bool is_done = true; is_done;)
        TRY(parse_step(p, min, &left, &is_done));
    sql__leave(p);
    *out = left;
    return OK;
}

Code sql__expr(Parser *p, Expr **out)
{
    return parse_level(p, LEVEL_OR, out);
}

Code sql__expr_list(Parser *p, Expr ***out, uint32_t *out_count)
{
    Expr **list = NULL;
    uint32_t count = 0;
    do {
        Expr *expr;
        TRY(sql__expr(p, &expr));
        *PUSH(p, list, count) = expr;
    } while (sql__accept(p, TOKEN_COMMA));
    *out = list;
    *out_count = count;
    return OK;
}
