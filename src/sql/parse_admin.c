/* SPDX-License-Identifier: Apache-2.0
 *
 * EXECUTE AS USER, users, STORAGE, KILL, SUBSCRIBE TO.
 */
#include "sql/sql_int.h"

/* ---- EXECUTE AS USER 'alice' (statement) ---- */

static Code execute_as_user(Parser *p, Slice *out)
{
    if (p->token.kind == TOKEN_ERROR && p->token.start < p->text.size &&
        p->text.data[p->token.start] == '\'')
        return sql__fail(p, E_INVALID_INPUT, p->token.start,
                         "EXECUTE AS USER username quote was not closed");
    uint32_t offset = p->token.start;
    if (p->token.kind == TOKEN_STRING || p->token.kind == TOKEN_QUOTED) {
        *out = p->token.text;
        sql__advance(p);
    } else {
        *out = sql__raw_word(p);
    }
    if (!out->size)
        return sql__fail(p, E_INVALID_INPUT, offset, "EXECUTE AS USER username cannot be empty");
    return OK;
}

static Code execute_as_end(Parser *p)
{
    if (sql__accept(p, TOKEN_SEMICOLON) && p->token.kind != TOKEN_RIGHT)
        return sql__fail(p, E_INVALID_INPUT, p->token.start,
                         "EXECUTE AS USER must contain exactly one wrapped SQL statement");
    if (p->token.kind == TOKEN_END)
        return sql__fail(p, E_INVALID_INPUT, p->token.start, "EXECUTE AS USER missing closing ')'");
    TRY(sql__expect(p, TOKEN_RIGHT, "')' behind the wrapped statement"));
    (void)sql__accept(p, TOKEN_SEMICOLON);
    if (p->token.kind != TOKEN_END)
        return sql__fail(p, E_INVALID_INPUT, p->token.start,
                         "EXECUTE AS USER can only wrap a single SQL statement");
    return OK;
}

Code sql__execute_as(Parser *p, Statement *s)
{
    s->kind = STATEMENT_EXECUTE_AS;
    if (p->depth > 1)
        return sql__fail(p, E_INVALID_INPUT, s->offset, "EXECUTE AS USER cannot be nested");
    TRY(sql__expect_word(p, KW_AS));
    TRY(sql__expect_word(p, KW_USER));
    TRY(execute_as_user(p, &s->execute_as.user));
    if (!sql__accept(p, TOKEN_LEFT))
        return sql__fail(p, E_INVALID_INPUT, p->token.start,
                         "EXECUTE AS USER must wrap SQL in parentheses");
    if (p->token.kind == TOKEN_RIGHT || p->token.kind == TOKEN_SEMICOLON)
        return sql__fail(p, E_INVALID_INPUT, p->token.start,
                         "EXECUTE AS USER requires a non-empty inner SQL statement");
    if (p->token.kind == TOKEN_END)
        return sql__fail(p, E_INVALID_INPUT, p->token.start, "EXECUTE AS USER missing closing ')'");
    TRY(sql__statement(p, &s->execute_as.statement));
    return execute_as_end(p);
}

/* ---- users ---- */

#define CREATE_USER_HINT \
    "Hint: Syntax: CREATE USER name WITH PASSWORD 'password' ROLE role [EMAIL 'email']"

static Code user_name(Parser *p, UserStatement *user)
{
    user->offset = p->token.start;
    if (p->token.kind == TOKEN_STRING || p->token.kind == TOKEN_QUOTED) {
        user->name = p->token.text;
        sql__advance(p);
    } else {
        user->name = sql__raw_word(p);
    }
    if (!user->name.size)
        return sql__fail(p, E_INVALID_SQL, user->offset, "Expected a user name");
    if (user->name.size > USER_ID_BYTES_MAX)
        return sql__fail(p, E_INVALID_SQL, user->offset, "The user name is longer than %d bytes",
                         USER_ID_BYTES_MAX);
    return OK;
}

static Code role(Parser *p, SqlRole *out)
{
    static const struct {
        const char *word;
        SqlRole role;
    } roles[] = {{"dba", SQL_ROLE_DBA},           {"admin", SQL_ROLE_DBA},
                 {"developer", SQL_ROLE_SERVICE}, {"analyst", SQL_ROLE_SERVICE},
                 {"service", SQL_ROLE_SERVICE},   {"viewer", SQL_ROLE_USER},
                 {"readonly", SQL_ROLE_USER},     {"user", SQL_ROLE_USER},
                 {"system", SQL_ROLE_SYSTEM}};
    bool is_word = p->token.kind == TOKEN_WORD || p->token.kind == TOKEN_STRING ||
                   p->token.kind == TOKEN_QUOTED;
    if (!is_word)
        return sql__expected(p, "a role");
    for (size_t i = 0; i < sizeof(roles) / sizeof(*roles); i++)
        if (slice_equal_ignoring_case(p->token.text, slice_of_text(roles[i].word))) {
            *out = roles[i].role;
            sql__advance(p);
            return OK;
        }
    return sql__fail(
        p, E_INVALID_SQL, p->token.start,
        "Invalid role '%.*s'. Hint: Valid roles: dba, admin, developer, analyst, viewer, "
        "user, service, system",
        SLICE_ARGS(p->token.text));
}

static Code user_auth(Parser *p, UserStatement *user)
{
    if (sql__accept_word(p, KW_PASSWORD)) {
        user->auth = USER_AUTH_PASSWORD;
        user->has_password = true;
        return sql__string(p, "the password in single quotes. " CREATE_USER_HINT, &user->password);
    }
    if (sql__accept_word(p, KW_OAUTH)) {
        user->auth = USER_AUTH_OAUTH;
        return p->token.kind == TOKEN_STRING ? sql__string(p, "a JSON text", &user->oauth) : OK;
    }
    if (sql__accept_word(p, KW_INTERNAL)) {
        user->auth = USER_AUTH_INTERNAL;
        return OK;
    }
    return sql__expected(p, "PASSWORD, OAUTH or INTERNAL after WITH. " CREATE_USER_HINT);
}

Code sql__create_user(Parser *p, Statement *s)
{
    s->kind = STATEMENT_CREATE_USER;
    UserStatement *user = &s->user;
    if (sql__at_word(p, KW_IF))
        return sql__unsupported(p, p->token.start, "CREATE USER IF NOT EXISTS is not supported");
    TRY(user_name(p, user));
    if (!sql__accept_word(p, KW_WITH))
        return sql__expected(p, "WITH after username. " CREATE_USER_HINT);
    TRY(user_auth(p, user));
    if (!sql__accept_word(p, KW_ROLE))
        return sql__expected(p, "ROLE. " CREATE_USER_HINT);
    TRY(role(p, &user->role));
    if (sql__accept_word(p, KW_EMAIL)) {
        user->has_email = true;
        TRY(sql__string(p, "the e-mail address in single quotes", &user->email));
    }
    return OK;
}

Code sql__alter_user(Parser *p, Statement *s)
{
    s->kind = STATEMENT_ALTER_USER;
    UserStatement *user = &s->user;
    TRY(user_name(p, user));
    user->is_restore = sql__accept_word(p, KW_RESTORE);
    if (user->is_restore)
        return OK;
    if (!sql__accept_word(p, KW_SET))
        return sql__expected(
            p, "SET after username. Hint: Syntax: ALTER USER name SET PASSWORD 'pw' | "
               "SET ROLE role | SET EMAIL 'email' | RESTORE");
    if (sql__accept_word(p, KW_PASSWORD)) {
        user->has_password = true;
        return sql__string(p, "the password in single quotes", &user->password);
    }
    if (sql__accept_word(p, KW_EMAIL)) {
        user->has_email = true;
        return sql__string(p, "the e-mail address in single quotes", &user->email);
    }
    if (sql__accept_word(p, KW_ROLE))
        return role(p, &user->role);
    return sql__expected(p, "PASSWORD, ROLE or EMAIL after SET");
}

Code sql__drop_user(Parser *p, Statement *s)
{
    s->kind = STATEMENT_DROP_USER;
    s->user.if_exists = sql__accept_word(p, KW_IF);
    if (s->user.if_exists)
        TRY(sql__expect_word(p, KW_EXISTS));
    return user_name(p, &s->user);
}

/* ---- STORAGE, KILL ---- */

static Code storage_target(Parser *p, Statement *s, bool is_flush)
{
    if (sql__accept_word(p, KW_TABLE)) {
        s->kind = is_flush ? STATEMENT_FLUSH_TABLE : STATEMENT_COMPACT_TABLE;
        return sql__table_name(p, &s->table.name);
    }
    if (!sql__accept_word(p, KW_ALL))
        return sql__expected(p, "TABLE or ALL");
    s->kind = is_flush ? STATEMENT_FLUSH_ALL : STATEMENT_COMPACT_ALL;
    if (!sql__accept_word(p, KW_IN))
        return OK;
    if (sql__at_word(p, KW_NAMESPACE) && sql__peek_second(p).kind != TOKEN_END)
        sql__advance(p);
    s->namespace_.offset = p->token.start;
    return sql__name(p, "a namespace name", &s->namespace_.name);
}

Code sql__storage(Parser *p, Statement *s)
{
    if (sql__accept_word(p, KW_FLUSH))
        return storage_target(p, s, true);
    if (sql__accept_word(p, KW_COMPACT))
        return storage_target(p, s, false);
    if (sql__at_word(p, KW_CHECK))
        return sql__storage_check(p, s);
    return sql__expected(p, "FLUSH, COMPACT or CHECK");
}

Code sql__kill(Parser *p, Statement *s)
{
    if (sql__accept_word(p, KW_JOB)) {
        s->kind = STATEMENT_KILL_JOB;
    } else if (sql__accept_word(p, KW_LIVE)) {
        s->kind = STATEMENT_KILL_LIVE_QUERY;
        TRY(sql__expect_word(p, KW_QUERY));
    } else {
        return sql__expected(p, "JOB or LIVE QUERY");
    }
    if (p->token.kind == TOKEN_STRING)
        return sql__string(p, "an id", &s->id);
    if (p->token.kind != TOKEN_WORD)
        return sql__expected(p, "an id in single quotes");
    s->id = sql__raw_word(p);
    return OK;
}

/* ---- SUBSCRIBE TO ---- */

static Code subscribe_option(Parser *p, Subscribe *subscribe)
{
    static const struct {
        const char *word;
        int target;
    } options[] = {{"last_rows", 0}, {"batch_size", 1}, {"from", 2}, {"from_seq_id", 2}};
    if (p->token.kind != TOKEN_WORD)
        return sql__expected(p, "last_rows, batch_size or from");
    int target = -1;
    for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++)
        if (sql__at_text(p, options[i].word))
            target = options[i].target;
    if (target < 0)
        return sql__fail(p, E_INVALID_SQL, p->token.start,
                         "Unknown subscription option: '%.*s'. Valid "
                         "options are: last_rows, batch_size, from",
                         SLICE_ARGS(p->token.text));
    sql__advance(p);
    TRY(sql__expect(p, TOKEN_EQUAL, "'='"));
    uint64_t *value = target == 0   ? &subscribe->last_rows
                      : target == 1 ? &subscribe->batch_size
                                    : &subscribe->from;
    bool *has = target == 0   ? &subscribe->has_last_rows
                : target == 1 ? &subscribe->has_batch_size
                              : &subscribe->has_from;
    *has = true;
    return sql__unsigned(p, "a whole number", INT64_MAX, value);
}

static Code subscribe_options(Parser *p, Subscribe *subscribe)
{
    if (!sql__accept_word(p, KW_OPTIONS))
        return OK;
    TRY(sql__expect(p, TOKEN_LEFT, "'(' after OPTIONS"));
    do {
        TRY(subscribe_option(p, subscribe));
    } while (sql__accept(p, TOKEN_COMMA));
    return sql__expect(p, TOKEN_RIGHT, "',' or ')'");
}

/* SUBSCRIBE TO t WHERE … ORDER BY … becomes SELECT * FROM t …; its text is that of the rest of the
 * statement. */
static Code short_select(Parser *p, Select **out)
{
    Select *select = arena_new_of(p->arena, Select);
    TableRef *from = arena_new_of(p->arena, TableRef);
    select->offset = from->offset = p->token.start;
    select->items = arena_new_of(p->arena, SelectItem);
    select->items[0] = (SelectItem){.offset = p->token.start, .star = true};
    select->item_count = 1;
    select->from = from;
    TRY(sql__table_name(p, &from->table));
    if (sql__accept_word(p, KW_WHERE))
        TRY(sql__expr(p, &select->where));
    if (sql__accept_word(p, KW_ORDER)) {
        TRY(sql__expect_word(p, KW_BY));
        TRY(sql__order_list(p, &select->order, &select->order_count));
    }
    Slice rest = slice_of(p->text.data + select->offset, p->previous_end - select->offset);
    select->text = slice_of_text(arena_printf(p->arena, "SELECT * FROM %.*s", SLICE_ARGS(rest)));
    *out = select;
    return OK;
}

Code sql__subscribe(Parser *p, Statement *s)
{
    s->kind = STATEMENT_SUBSCRIBE;
    TRY(sql__expect_word(p, KW_TO));
    if (sql__at_select(p))
        TRY(sql__select(p, &s->subscribe.select));
    else
        TRY(short_select(p, &s->subscribe.select));
    TRY(subscribe_options(p, &s->subscribe));
    return sql_check_live(s->subscribe.select, p->text, p->e);
}
