/* SPDX-License-Identifier: Apache-2.0
 *
 * What a bound WHERE says about the primary key and _seq, so that the executor can read a key or a
 * range instead of everything. Only the ANDs at the top are looked at; the WHERE is evaluated
 * all the
 * same, so nothing here has to be complete, only true.
 */
#include "sql/eval_int.h"

typedef struct Finder {
    int32_t key_index;
    KeyCondition found;
} Finder;

static void no_row(Finder *f)
{
    f->found.never = true;
}

static void add_key(Finder *f, const Value *key)
{
    bool differs = f->found.has_key && value_compare(&f->found.key, key) != 0;
    if (key->is_null || differs) {
        no_row(f);
        return;
    }
    f->found.has_key = true;
    f->found.key = *key;
}

static void raise_min(Finder *f, uint64_t min)
{
    f->found.has_seq = true;
    if (min > f->found.seq_min)
        f->found.seq_min = min;
}

static void lower_max(Finder *f, uint64_t max)
{
    f->found.has_seq = true;
    if (max < f->found.seq_max)
        f->found.seq_max = max;
}

/* _seq op limit, for integers; seqs are never negative. */
static void add_seq(Finder *f, Operator op, const Value *limit)
{
    if (limit->is_null) {
        no_row(f);
        return;
    }
    if (!type_is_integer(limit->type))
        return;
    int64_t n = limit->integer;
    bool is_lower = op == OP_GREATER || op == OP_GREATER_EQUAL;
    if (n < 0) {
        if (!is_lower)
            no_row(f);
        return;
    }
    uint64_t seq = (uint64_t)n;
    if (op == OP_GREATER || op == OP_GREATER_EQUAL || op == OP_EQUAL)
        raise_min(f, op == OP_GREATER ? seq + 1 : seq);
    if (op == OP_LESS && seq == 0)
        no_row(f);
    else if (op == OP_LESS || op == OP_LESS_EQUAL || op == OP_EQUAL)
        lower_max(f, op == OP_LESS ? seq - 1 : seq);
}

static Operator mirrored(Operator op)
{
    switch (op) {
    case OP_LESS:
        return OP_GREATER;
    case OP_LESS_EQUAL:
        return OP_GREATER_EQUAL;
    case OP_GREATER:
        return OP_LESS;
    case OP_GREATER_EQUAL:
        return OP_LESS_EQUAL;
    default:
        return op;
    }
}

/* The constant as the key's type when that changes nothing (id = 5.0 stays a filter). */
static bool as_key(const BoundExpr *key, const BoundExpr *value, Value *out)
{
    if (value->kind != NODE_CONSTANT)
        return false;
    *out = value->value;
    if (out->is_null || out->type == key->type)
        return true;
    if (type_is_integer(out->type) && type_is_integer(key->type)) {
        int64_t limit = key->type == TYPE_SMALLINT ? INT16_MAX
                        : key->type == TYPE_INT    ? INT32_MAX
                                                   : INT64_MAX;
        out->type = key->type;
        return out->integer <= limit && out->integer >= -limit - 1;
    }
    bool is_text = type_is_text(out->type) && type_is_text(key->type);
    out->type = is_text ? key->type : out->type;
    return is_text;
}

static bool is_key(const Finder *f, const BoundExpr *n)
{
    return n->kind == NODE_COLUMN && f->key_index >= 0 && n->column == f->key_index;
}

static void look_at_compare(Finder *f, const BoundExpr *n)
{
    const BoundExpr *a = n->args[0], *b = n->args[1];
    Operator op = n->op;
    if (a->kind == NODE_CONSTANT) {
        a = n->args[1];
        b = n->args[0];
        op = mirrored(op);
    }
    Value key;
    if (is_key(f, a) && op == OP_EQUAL && as_key(a, b, &key))
        add_key(f, &key);
    else if (a->kind == NODE_SEQ && b->kind == NODE_CONSTANT && op != OP_NOT_EQUAL)
        add_seq(f, op, &b->value);
}

static void look(Finder *f, const BoundExpr *n)
{
    if (n->kind == NODE_AND) {
        look(f, n->args[0]);
        look(f, n->args[1]);
    } else if (n->kind == NODE_COMPARE) {
        look_at_compare(f, n);
    } else if (n->kind == NODE_BETWEEN && !n->negated && n->args[0]->kind == NODE_SEQ) {
        if (n->args[1]->kind == NODE_CONSTANT)
            add_seq(f, OP_GREATER_EQUAL, &n->args[1]->value);
        if (n->args[2]->kind == NODE_CONSTANT)
            add_seq(f, OP_LESS_EQUAL, &n->args[2]->value);
    } else if (n->kind == NODE_IN_SORTED && !n->negated && n->value_count == 1 &&
               is_key(f, n->args[0])) {
        BoundExpr item = {.kind = NODE_CONSTANT, .value = n->values[0]};
        Value key;
        if (as_key(n->args[0], &item, &key))
            add_key(f, &key);
    } else if (n->kind == NODE_CONSTANT && (n->value.is_null || !n->value.boolean)) {
        no_row(f);
    }
}

KeyCondition sql_key_condition(const BoundExpr *where, int32_t key_index)
{
    Finder f = {.key_index = key_index, .found = {.seq_max = UINT64_MAX}};
    if (!where)
        return f.found;
    look(&f, where);
    if (f.found.seq_min > f.found.seq_max)
        no_row(&f);
    f.found.key_only = f.found.has_key && where->kind == NODE_COMPARE;
    return f.found;
}

static const BoundExpr *find_list(const Finder *f, const BoundExpr *n)
{
    if (n->kind == NODE_AND) {
        const BoundExpr *left = find_list(f, n->args[0]);
        return left ? left : find_list(f, n->args[1]);
    }
    return n->kind == NODE_IN_SORTED && !n->negated && is_key(f, n->args[0]) ? n : NULL;
}

bool sql_key_list(const BoundExpr *where, int32_t key_index, Arena *arena, Value **out_keys,
                  size_t *out_count)
{
    KeyCondition one = sql_key_condition(where, key_index);
    if (one.has_key) {
        *out_keys = arena_new_of(arena, Value);
        **out_keys = one.key;
        *out_count = 1;
        return true;
    }
    Finder f = {.key_index = key_index};
    const BoundExpr *list = where ? find_list(&f, where) : NULL;
    if (!list)
        return false;
    Value *keys = arena_new_array(arena, Value, list->value_count);
    size_t count = 0;
    for (uint32_t i = 0; i < list->value_count; i++) {
        BoundExpr item = {.kind = NODE_CONSTANT, .value = list->values[i]};
        Value key;
        if (!as_key(list->args[0], &item, &key))
            return false;
        if (!count || value_compare(&keys[count - 1], &key) != 0)
            keys[count++] = key;
    }
    *out_keys = keys;
    *out_count = count;
    return true;
}
