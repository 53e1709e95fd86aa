/* SPDX-License-Identifier: Apache-2.0
 *
 * Who may do what: one table of statement kind and least role, and one function each for tables by
 * kind, SHARED tables by access level, and impersonation. Nothing else in exec/ looks at a role to
 * decide a right, but for account.c, where the right depends on the stored role of another user.
 *
 * Roles are ordered: anonymous < user < service < dba < system. Anonymous may nothing.
 */
#include "exec/transaction.h"

typedef struct Rule {
    StatementKind kind;
    Role least;
    const char *denied; /* the sentence; NULL: "Insufficient privileges" */
} Rule;

#define ADMIN_NAMESPACE "Admin privileges (DBA or System role) required for namespace operations"

static const Rule rules[] = {
    {STATEMENT_CREATE_NAMESPACE, ROLE_DBA, ADMIN_NAMESPACE},
    {STATEMENT_DROP_NAMESPACE, ROLE_DBA, ADMIN_NAMESPACE},
    {STATEMENT_USE_NAMESPACE, ROLE_USER, NULL},
    {STATEMENT_SHOW_NAMESPACES, ROLE_USER, NULL},
    {STATEMENT_SHOW_TABLES, ROLE_USER, NULL},
    {STATEMENT_SHOW_STORAGES, ROLE_USER, NULL},
    {STATEMENT_SHOW_CREATE_TABLE, ROLE_USER, NULL},
    {STATEMENT_SHOW_MANIFEST, ROLE_USER, NULL}, /* what the session may read */
    {STATEMENT_SHOW_STATS, ROLE_USER, NULL},    /* the same */
    {STATEMENT_CREATE_TABLE, ROLE_USER, NULL},  /* and exec__may_create_table */
    {STATEMENT_DROP_TABLE, ROLE_DBA, "Insufficient privileges to drop this table"},
    {STATEMENT_ALTER_TABLE, ROLE_USER, NULL}, /* and exec__may_alter_table */
    {STATEMENT_DESCRIBE_TABLE, ROLE_USER, NULL},
    {STATEMENT_INSERT, ROLE_USER, NULL},
    {STATEMENT_UPDATE, ROLE_USER, NULL},
    {STATEMENT_DELETE, ROLE_USER, NULL},
    {STATEMENT_TRUNCATE, ROLE_USER, NULL},
    {STATEMENT_SELECT, ROLE_USER, NULL},
    {STATEMENT_EXECUTE_AS, ROLE_USER, NULL}, /* and exec__may_impersonate */
    {STATEMENT_CREATE_USER, ROLE_DBA, "CREATE USER requires DBA or System role"},
    {STATEMENT_ALTER_USER, ROLE_DBA, "ALTER USER requires DBA or System role"},
    {STATEMENT_DROP_USER, ROLE_DBA, "DROP USER requires DBA or System role"},
    {STATEMENT_FLUSH_TABLE, ROLE_SERVICE,
     "STORAGE FLUSH TABLE requires Service, DBA, or System role"},
    {STATEMENT_FLUSH_ALL, ROLE_SERVICE, "STORAGE FLUSH ALL requires Service, DBA, or System role"},
    {STATEMENT_COMPACT_TABLE, ROLE_SERVICE,
     "STORAGE COMPACT TABLE requires Service, DBA, or System role"},
    {STATEMENT_COMPACT_ALL, ROLE_SERVICE,
     "STORAGE COMPACT ALL requires Service, DBA, or System role"},
    {STATEMENT_STORAGE_CHECK, ROLE_DBA, "STORAGE CHECK requires DBA or System role"},
    {STATEMENT_BACKUP, ROLE_DBA, "BACKUP DATABASE requires DBA or System role"},
    {STATEMENT_RESTORE, ROLE_DBA, "RESTORE DATABASE requires DBA or System role"},
    {STATEMENT_EXPORT_USER, ROLE_USER, NULL},
    {STATEMENT_SHOW_EXPORT, ROLE_USER, NULL},
    {STATEMENT_KILL_JOB, ROLE_DBA, "KILL JOB requires DBA or System role"},
    {STATEMENT_KILL_LIVE_QUERY, ROLE_USER, NULL}, /* their own */
    {STATEMENT_SUBSCRIBE, ROLE_USER, NULL},
    {STATEMENT_BEGIN, ROLE_USER, NULL},
    {STATEMENT_COMMIT, ROLE_USER, NULL},
    {STATEMENT_ROLLBACK, ROLE_USER, NULL},
    {STATEMENT_EXPLAIN, ROLE_DBA, "EXPLAIN requires DBA or System role"},
};

bool exec__may_create_table(Role role, TableKind kind)
{
    return role >= (kind == TABLE_SHARED ? ROLE_SERVICE : ROLE_USER);
}

bool exec__may_alter_table(Role role, TableKind kind, AccessLevel level)
{
    if (kind != TABLE_SHARED)
        return role >= ROLE_USER;
    return role >= ROLE_SERVICE && exec__may_access(role, kind, level, ACCESS_WRITE);
}

bool exec__may_learn_of_rows(Role role, TableKind kind)
{
    return role >= ROLE_SERVICE || kind == TABLE_SHARED;
}

bool exec__may_impersonate(Role role, Role target, bool is_self)
{
    switch (role) {
    case ROLE_SYSTEM:
        return true;
    case ROLE_DBA:
        return target != ROLE_SYSTEM;
    case ROLE_SERVICE:
        return target == ROLE_SERVICE || target == ROLE_USER;
    case ROLE_USER:
        return is_self;
    case ROLE_ANONYMOUS:
        break;
    }
    return false;
}

bool exec_may_fetch_export(const Session *session, const User *owner)
{
    if (owner->id == 0 || owner->deleted_at_us)
        return false;
    bool is_self = session->user == owner->id;
    return is_self || (role_is_admin(session->role) &&
                       exec__may_impersonate(session->role, owner->role, false));
}

bool exec__may_access(Role role, TableKind kind, AccessLevel level, Access access)
{
    if (role == ROLE_ANONYMOUS)
        return false;
    if (kind != TABLE_SHARED)
        return true; /* the partition is the session's own */
    return access_level_allows(level, role, access == ACCESS_WRITE);
}

TableKind exec__table_kind(const Session *session, const CreateTable *create)
{
    switch (create->options.kind) {
    case SQL_TABLE_USER:
        return TABLE_USER;
    case SQL_TABLE_SHARED:
        return TABLE_SHARED;
    case SQL_TABLE_STREAM:
        return TABLE_STREAM;
    case SQL_TABLE_UNSET:
        break;
    }
    /* SHARED is the default, but in a namespace named like themselves people get tables of their
     * own. */
    Slice name =
        create->table.namespace_name.size ? create->table.namespace_name : session->namespace_name;
    bool own = slice_equal_ignoring_case(name, session->user_id) &&
               (session->role == ROLE_USER || session->role == ROLE_SERVICE);
    return own ? TABLE_USER : TABLE_SHARED;
}

/* People may change their own password, and nothing else of themselves. */
static bool is_own_password(const Session *session, const Statement *statement)
{
    return statement->kind == STATEMENT_ALTER_USER && statement->user.has_password &&
           session->role != ROLE_ANONYMOUS && slice_equal(statement->user.name, session->user_id);
}

static const char *kind_word(TableKind kind)
{
    return kind == TABLE_USER ? "USER" : kind == TABLE_SHARED ? "SHARED" : "STREAM";
}

Code exec__check_rights(const Session *session, const Statement *statement, Error *e)
{
    must((size_t)statement->kind < sizeof rules / sizeof *rules);
    const Rule *rule = &rules[statement->kind];
    must(rule->kind == statement->kind);
    if (is_own_password(session, statement))
        return OK;
    if (session->role < rule->least)
        return fail(e, E_PERMISSION_DENIED, "%s",
                    rule->denied ? rule->denied : "Insufficient privileges");
    if (statement->kind == STATEMENT_CREATE_TABLE) {
        TableKind kind = exec__table_kind(session, &statement->create_table);
        if (!exec__may_create_table(session->role, kind))
            return fail(e, E_PERMISSION_DENIED, "Insufficient privileges to create %s tables",
                        kind_word(kind));
    }
    return OK;
}

Code exec__check_access(const Run *run, const Table *table, Access access, Error *e)
{
    TRY(exec__check_transactional(run, table, e));
    if (run->is_impersonated && table->kind == TABLE_SHARED)
        return fail(e, E_INVALID_OPERATION,
                    "EXECUTE AS USER is not allowed on SHARED tables (table '%.*s.%.*s'). AS USER "
                    "impersonation is only supported for USER and STREAM tables.",
                    SLICE_ARGS(table->namespace_name), SLICE_ARGS(table->name));
    if (exec__may_access(run->session.role, table->kind, table->access, access))
        return OK;
    return fail(e, E_PERMISSION_DENIED,
                "Access denied: role '%s' may not %s SHARED table '%.*s.%.*s' (access level '%s')",
                role_name(run->session.role), access == ACCESS_READ ? "read" : "write",
                SLICE_ARGS(table->namespace_name), SLICE_ARGS(table->name),
                access_level_name(table->access));
}
