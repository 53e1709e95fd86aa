/* SPDX-License-Identifier: Apache-2.0
 *
 * Every statement kind by every role, every SHARED access level by every role, every impersonation:
 * the whole matrix is written down here once more, so that a change of a rule shows.
 */
#include "test.h"

#include "exec/exec_int.h"

enum { ROLES = ROLE_SYSTEM + 1, KINDS = STATEMENT_EXPLAIN + 1 };

/* One letter a role, in the order anonymous, user, service, dba, system: y may, n may not. */
static const struct {
    StatementKind kind;
    const char *may;
} statements[] = {
    {STATEMENT_CREATE_NAMESPACE, "nnnyy"},
    {STATEMENT_DROP_NAMESPACE, "nnnyy"},
    {STATEMENT_USE_NAMESPACE, "nyyyy"},
    {STATEMENT_SHOW_NAMESPACES, "nyyyy"},
    {STATEMENT_SHOW_TABLES, "nyyyy"},
    {STATEMENT_SHOW_STORAGES, "nyyyy"},
    {STATEMENT_SHOW_CREATE_TABLE, "nyyyy"},
    {STATEMENT_SHOW_MANIFEST, "nyyyy"},
    {STATEMENT_SHOW_STATS, "nyyyy"},
    {STATEMENT_CREATE_TABLE, "nnyyy"}, /* a SHARED one */
    {STATEMENT_DROP_TABLE, "nnnyy"},
    {STATEMENT_ALTER_TABLE, "nyyyy"}, /* by kind, below */
    {STATEMENT_DESCRIBE_TABLE, "nyyyy"},
    {STATEMENT_INSERT, "nyyyy"},
    {STATEMENT_UPDATE, "nyyyy"},
    {STATEMENT_DELETE, "nyyyy"},
    {STATEMENT_TRUNCATE, "nyyyy"},
    {STATEMENT_SELECT, "nyyyy"},
    {STATEMENT_EXECUTE_AS, "nyyyy"},
    {STATEMENT_CREATE_USER, "nnnyy"},
    {STATEMENT_ALTER_USER, "nnnyy"},
    {STATEMENT_DROP_USER, "nnnyy"},
    {STATEMENT_FLUSH_TABLE, "nnyyy"},
    {STATEMENT_FLUSH_ALL, "nnyyy"},
    {STATEMENT_COMPACT_TABLE, "nnyyy"},
    {STATEMENT_COMPACT_ALL, "nnyyy"},
    {STATEMENT_STORAGE_CHECK, "nnnyy"},
    {STATEMENT_BACKUP, "nnnyy"},
    {STATEMENT_RESTORE, "nnnyy"},
    {STATEMENT_EXPORT_USER, "nyyyy"},
    {STATEMENT_SHOW_EXPORT, "nyyyy"},
    {STATEMENT_KILL_JOB, "nnnyy"},
    {STATEMENT_KILL_LIVE_QUERY, "nyyyy"},
    {STATEMENT_SUBSCRIBE, "nyyyy"},
    {STATEMENT_BEGIN, "nyyyy"},
    {STATEMENT_COMMIT, "nyyyy"},
    {STATEMENT_ROLLBACK, "nyyyy"},
    {STATEMENT_EXPLAIN, "nnnyy"},
};

static Session session_of(Role role)
{
    return (Session){
        .user = 7, .user_id = SLICE("alice"), .role = role, .namespace_name = SLICE("default")};
}

static void check_statement(const Session *session, const Statement *statement, bool may)
{
    Error e = {0};
    Code code = exec__check_rights(session, statement, &e);
    if (code != (may ? OK : E_PERMISSION_DENIED))
        test_failed(__FILE__, __LINE__, "%s as %s gave %d", sql_statement_name(statement->kind),
                    role_name(session->role), code);
    CHECK(may || e.text[0] != 0);
}

TEST("a role alters a table of a kind or access level that is not its own")
{
    for (int role = ROLE_ANONYMOUS; role <= ROLE_SYSTEM; role++) {
        CHECK_INT(exec__may_alter_table((Role)role, TABLE_USER, ACCESS_PRIVATE), role >= ROLE_USER);
        CHECK_INT(exec__may_alter_table((Role)role, TABLE_STREAM, ACCESS_PRIVATE),
                  role >= ROLE_USER);
        CHECK_INT(exec__may_alter_table((Role)role, TABLE_SHARED, ACCESS_PUBLIC),
                  role >= ROLE_SERVICE);
        CHECK_INT(exec__may_alter_table((Role)role, TABLE_SHARED, ACCESS_DBA), role >= ROLE_DBA);
    }
}

TEST("each statement kind is allowed to exactly the roles of the matrix")
{
    CHECK_INT(sizeof statements / sizeof *statements, KINDS);
    for (int kind = 0; kind < KINDS; kind++) {
        CHECK_INT(statements[kind].kind, kind);
        for (int role = 0; role < ROLES; role++) {
            Session session = session_of((Role)role);
            Statement statement = {.kind = (StatementKind)kind};
            check_statement(&session, &statement, statements[kind].may[role] == 'y');
        }
    }
}

TEST("each kind of table may be created by exactly the roles of the matrix")
{
    static const struct {
        TableKind kind;
        const char *may;
    } kinds[] = {{TABLE_USER, "nyyyy"}, {TABLE_SHARED, "nnyyy"}, {TABLE_STREAM, "nyyyy"}};
    for (int i = 0; i < 3; i++)
        for (int role = 0; role < ROLES; role++)
            CHECK_INT(exec__may_create_table((Role)role, kinds[i].kind), kinds[i].may[role] == 'y');
}

TEST("a table's kind comes from what is written, else from whose namespace it is")
{
    static const struct {
        SqlTableKind written;
        const char *namespace_name;
        Role role;
        TableKind want;
    } rows[] = {
        {SQL_TABLE_USER, "x", ROLE_USER, TABLE_USER},
        {SQL_TABLE_SHARED, "alice", ROLE_USER, TABLE_SHARED},
        {SQL_TABLE_STREAM, "x", ROLE_USER, TABLE_STREAM},
        {SQL_TABLE_UNSET, "x", ROLE_USER, TABLE_SHARED},
        {SQL_TABLE_UNSET, "alice", ROLE_USER, TABLE_USER},
        {SQL_TABLE_UNSET, "alice", ROLE_SERVICE, TABLE_USER},
        {SQL_TABLE_UNSET, "alice", ROLE_DBA, TABLE_SHARED},
        {SQL_TABLE_UNSET, "alice", ROLE_SYSTEM, TABLE_SHARED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Session session = session_of(rows[i].role);
        CreateTable create = {.table = {.namespace_name = slice_of_text(rows[i].namespace_name)},
                              .options = {.kind = rows[i].written}};
        CHECK_INT(exec__table_kind(&session, &create), rows[i].want);
    }
}

TEST("SHARED tables open by access level and role, others by the partition alone")
{
    static const struct {
        AccessLevel level;
        const char *read, *write;
    } levels[] = {
        {ACCESS_PUBLIC, "nyyyy", "nnyyy"},
        {ACCESS_PRIVATE, "nnyyy", "nnyyy"},
        {ACCESS_RESTRICTED, "nnyyy", "nnyyy"},
        {ACCESS_DBA, "nnnyy", "nnnyy"},
    };
    for (int i = 0; i < 4; i++)
        for (int role = 0; role < ROLES; role++) {
            AccessLevel level = levels[i].level;
            CHECK_INT(exec__may_access((Role)role, TABLE_SHARED, level, ACCESS_READ),
                      levels[i].read[role] == 'y');
            CHECK_INT(exec__may_access((Role)role, TABLE_SHARED, level, ACCESS_WRITE),
                      levels[i].write[role] == 'y');
            for (int access = ACCESS_READ; access <= ACCESS_WRITE; access++) {
                CHECK_INT(exec__may_access((Role)role, TABLE_USER, level, (Access)access),
                          role > 0);
                CHECK_INT(exec__may_access((Role)role, TABLE_STREAM, level, (Access)access),
                          role > 0);
            }
        }
}

TEST("nobody is impersonated by somebody of less right")
{
    /* by role of the target: anonymous is never stored, user, service, dba, system */
    static const char *const may[ROLES] = {"nnnnn", "nnnnn", "nyynn", "yyyyn", "yyyyy"};
    for (int role = 0; role < ROLES; role++)
        for (int target = ROLE_USER; target < ROLES; target++) {
            CHECK_INT(exec__may_impersonate((Role)role, (Role)target, false),
                      may[role][target] == 'y');
        }
    CHECK(exec__may_impersonate(ROLE_USER, ROLE_USER, true));
    CHECK(!exec__may_impersonate(ROLE_ANONYMOUS, ROLE_USER, true));
}

TEST("people may change their own password and nothing else of an account")
{
    for (int role = 0; role < ROLES; role++) {
        Session session = session_of((Role)role);
        bool admin = role >= ROLE_DBA;
        Statement own = {.kind = STATEMENT_ALTER_USER,
                         .user = {.name = SLICE("alice"), .has_password = true}};
        check_statement(&session, &own, role > ROLE_ANONYMOUS);
        Statement other = own;
        other.user.name = SLICE("Alice");
        check_statement(&session, &other, admin);
        Statement email = {.kind = STATEMENT_ALTER_USER,
                           .user = {.name = SLICE("alice"), .has_email = true}};
        check_statement(&session, &email, admin);
        Statement rise = {.kind = STATEMENT_ALTER_USER,
                          .user = {.name = SLICE("alice"), .role = SQL_ROLE_DBA}};
        check_statement(&session, &rise, admin);
        Statement drop = {.kind = STATEMENT_DROP_USER, .user = {.name = SLICE("alice")}};
        check_statement(&session, &drop, admin);
    }
}

TEST("the partition is the session's user, and 0 only for SHARED tables")
{
    Session session = session_of(ROLE_SYSTEM);
    Table table = {.id = 5, .kind = TABLE_USER};
    CHECK_INT(exec__partition(&session, &table).user, 7);
    CHECK_INT(exec__partition(&session, &table).table_id, 5);
    table.kind = TABLE_STREAM;
    CHECK_INT(exec__partition(&session, &table).user, 7);
    table.kind = TABLE_SHARED;
    CHECK_INT(exec__partition(&session, &table).user, 0);
}
