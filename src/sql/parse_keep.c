/* SPDX-License-Identifier: Apache-2.0
 *
 * BACKUP DATABASE TO, RESTORE DATABASE FROM, STORAGE CHECK, EXPORT USER DATA.
 */
#include "sql/sql_int.h"

/* DATABASE [namespace] TO|FROM 'name' */
static Code database(Parser *p, Keyword direction, Statement *s)
{
    TRY(sql__expect_word(p, KW_DATABASE));
    s->backup.name_offset = p->token.start;
    if (!sql__at_word(p, direction))
        TRY(sql__name(p, "a namespace", &s->backup.namespace_name));
    TRY(sql__expect_word(p, direction));
    s->backup.place_offset = p->token.start;
    return sql__string(p, "the name of a backup in single quotes", &s->backup.place);
}

Code sql__backup(Parser *p, Statement *s)
{
    s->kind = STATEMENT_BACKUP;
    return database(p, KW_TO, s);
}

Code sql__restore(Parser *p, Statement *s)
{
    s->kind = STATEMENT_RESTORE;
    return database(p, KW_FROM, s);
}

Code sql__storage_check(Parser *p, Statement *s)
{
    s->kind = STATEMENT_STORAGE_CHECK;
    sql__advance(p);
    s->check.offset = p->token.start;
    if (p->token.kind == TOKEN_STRING)
        TRY(sql__string(p, "a storage id", &s->check.id));
    else if ((p->token.kind == TOKEN_WORD || p->token.kind == TOKEN_QUOTED) &&
             !sql__at_text(p, "EXTENDED"))
        TRY(sql__name(p, "a storage id", &s->check.id));
    s->check.is_extended = sql__at_text(p, "EXTENDED");
    if (s->check.is_extended)
        sql__advance(p);
    return OK;
}

Code sql__export_user(Parser *p, Statement *s)
{
    s->kind = STATEMENT_EXPORT_USER;
    TRY(sql__expect_word(p, KW_USER));
    if (!sql__at_text(p, "DATA"))
        return sql__expected(p, "DATA");
    sql__advance(p);
    return OK;
}
