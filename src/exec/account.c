/* SPDX-License-Identifier: Apache-2.0
 *
 * Accounts: CREATE, ALTER and DROP USER, login with lockout, first-time setup, root, and the
 * numbers of user ids that were never registered.
 *
 * A change of a record reads it at a view, edits it and commits; a conflict edits the newest record
 * again, so that counters of failed logins do not lose an attempt. Hashing stands outside of that
 * loop.
 *
 * A new password, another role and DROP USER end what was issued before: the tokens name the moment
 * of the last such change.
 *
 * Nobody below System may make, change or drop a System user; root stays.
 */
#include "exec/exec_int.h"

#include "auth/password.h"
#include "os/clock.h"

#include <inttypes.h>

enum { FAILED_LOGINS_MAX = 5, LOCK_MINUTES = 15 };
static const int64_t minute_us = 60 * 1000 * 1000LL;
#define ROOT SLICE("root")

typedef struct UserEdit UserEdit;
struct UserEdit {
    Executor *executor;
    Arena *arena;
    Slice user_id;
    /* Changes `user`, which is empty but for its user_id when the record does not exist; or says
     * with *out_changed that there is nothing to write. */
    Code (*edit)(const UserEdit *edit, User *user, bool *out_changed, Error *e);
    const Run *run; /* of a statement, or NULL */
    const void *detail;
    User result;
};

/* Alive and known to people, not only a number for EXECUTE AS USER. */
static bool is_account(const User *user)
{
    return user->id != 0 && user->registered && user->deleted_at_us == 0;
}

static Code plan_edit(void *context, ReadView *view, CatalogChange **out, Error *e)
{
    UserEdit *edit = context;
    User user = {0};
    Error lookup = {0};
    Code code = catalog_get_user(view_snapshot(view), HOT_BLOCKING, edit->user_id, edit->arena,
                                 &user, &lookup);
    if (code == E_NOT_FOUND) {
        user = (User){.user_id = edit->user_id, .role = ROLE_USER};
    } else if (code != OK) {
        *e = lookup;
        return code;
    }
    int64_t now_us = clock_wall_us();
    if (user.id == 0)
        user.created_at_us = now_us;
    bool changed = true;
    TRY(edit->edit(edit, &user, &changed, e));
    if (changed) {
        user.updated_at_us = now_us;
        TRY(catalog_plan_put_user(database_catalog(edit->executor->db), &user, out, e));
    }
    edit->result = user;
    return OK;
}

static Code run_edit(UserEdit *edit, Error *e)
{
    return exec__change(edit->executor, edit->run, plan_edit, edit, e);
}

Code exec__find_user(Executor *executor, HotRead mode, Slice user_id, Arena *arena, User *out,
                     Error *e)
{
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(executor->db)); /* nothing but the user */
    Code code = catalog_get_user(snapshot, mode, user_id, arena, out, e);
    hot_snapshot_free(snapshot);
    return code;
}

Code exec__check_user(Executor *executor, Slice user_id, Role role, Arena *arena, Error *e)
{
    User user = {0};
    Error lookup = {0};
    Code code = exec__find_user(executor, HOT_BLOCKING, user_id, arena, &user, &lookup);
    if (code == E_NOT_FOUND) /* of a program that embeds the database */
        return OK;
    if (code != OK) {
        *e = lookup;
        return code;
    }
    if (user.deleted_at_us || (user.registered && user.role < role))
        return fail(e, E_PERMISSION_DENIED, "the user was dropped, or has a lower role by now");
    return OK;
}

/* ---- numbers for user ids ---- */

static Code edit_resolve(const UserEdit *edit, User *user, bool *out_changed, Error *e)
{
    (void)edit;
    (void)e;
    *out_changed = user->id == 0;
    return OK;
}

Code exec_resolve_user(Executor *executor, Slice user_id, Arena *arena, User *out, Error *e)
{
    UserEdit edit = {
        .executor = executor, .arena = arena, .user_id = user_id, .edit = edit_resolve};
    TRY(run_edit(&edit, e));
    *out = edit.result;
    return OK;
}

/* ---- statements ---- */

static Role role_of(SqlRole role)
{
    switch (role) {
    case SQL_ROLE_SERVICE:
        return ROLE_SERVICE;
    case SQL_ROLE_DBA:
        return ROLE_DBA;
    case SQL_ROLE_SYSTEM:
        return ROLE_SYSTEM;
    case SQL_ROLE_USER:
    case SQL_ROLE_UNSET:
        break;
    }
    return ROLE_USER;
}

static bool names(Slice json, const char *key)
{
    return memmem(json.data, json.size, key, strlen(key)) != NULL;
}

static Code edit_create(const UserEdit *edit, User *user, bool *out_changed, Error *e)
{
    const UserStatement *statement = &edit->run->statement->user;
    Role role = role_of(statement->role);
    if (role == ROLE_SYSTEM && edit->run->session.role != ROLE_SYSTEM)
        return fail(e, E_PERMISSION_DENIED, "DBA cannot grant System role");
    if (user->registered) /* a dropped one too: ids are not used again */
        return fail(e, E_ALREADY_EXISTS, "User '%.*s' already exists", SLICE_ARGS(user->user_id));
    if (statement->auth == USER_AUTH_OAUTH &&
        !(names(statement->oauth, "\"provider\"") && names(statement->oauth, "\"subject\"")))
        return fail(e, E_INVALID_INPUT,
                    "WITH OAUTH needs a JSON payload with provider and subject");
    const Slice *hash = edit->detail;
    user->registered = true;
    user->role = role;
    user->password_hash = *hash;
    user->auth_type = statement->auth == USER_AUTH_OAUTH      ? SLICE("OAuth")
                      : statement->auth == USER_AUTH_INTERNAL ? SLICE("Internal")
                                                              : SLICE("Password");
    if (statement->has_email)
        user->email = statement->email;
    *out_changed = true;
    return OK;
}

static Code check_target(const Run *run, const User *user, Error *e)
{
    if (!is_account(user))
        return fail(e, E_NOT_FOUND, "User '%.*s' not found", SLICE_ARGS(user->user_id));
    bool is_self = slice_equal(user->user_id, run->session.user_id);
    if (user->role == ROLE_SYSTEM && run->session.role != ROLE_SYSTEM && !is_self)
        return fail(e, E_PERMISSION_DENIED, "Only System may change the System user '%.*s'",
                    SLICE_ARGS(user->user_id));
    return OK;
}

/* Not the clock alone: two changes in a microsecond, and a clock that was put back. */
static void end_tokens(User *user)
{
    int64_t now_us = clock_wall_us();
    user->credentials_at_us =
        now_us > user->credentials_at_us ? now_us : user->credentials_at_us + 1;
}

static Code edit_alter(const UserEdit *edit, User *user, bool *out_changed, Error *e)
{
    const Run *run = edit->run;
    const UserStatement *statement = &run->statement->user;
    TRY(check_target(run, user, e));
    if (statement->has_password) {
        user->password_hash = *(const Slice *)edit->detail;
        user->failed_logins = 0;
        user->locked_until_us = 0;
        end_tokens(user);
    } else if (statement->role != SQL_ROLE_UNSET) {
        Role role = role_of(statement->role);
        if (role == ROLE_SYSTEM && run->session.role != ROLE_SYSTEM)
            return fail(e, E_PERMISSION_DENIED, "DBA cannot grant System role");
        if (slice_equal(user->user_id, ROOT) && role != ROLE_SYSTEM)
            return fail(e, E_INVALID_OPERATION, "The role of 'root' cannot be changed");
        if (user->role != role)
            end_tokens(user);
        user->role = role;
    } else {
        user->email = statement->email;
    }
    *out_changed = true;
    return OK;
}

static Code edit_restore(const UserEdit *edit, User *user, bool *out_changed, Error *e)
{
    if (!user->registered)
        return fail(e, E_NOT_FOUND, "User '%.*s' not found", SLICE_ARGS(user->user_id));
    if (user->deleted_at_us == 0)
        return fail(e, E_INVALID_OPERATION, "User '%.*s' is not dropped",
                    SLICE_ARGS(user->user_id));
    if (user->role == ROLE_SYSTEM && edit->run->session.role != ROLE_SYSTEM)
        return fail(e, E_PERMISSION_DENIED, "Only System may change the System user '%.*s'",
                    SLICE_ARGS(user->user_id));
    if (user->erasure != ERASURE_NONE)
        return fail(e, E_INVALID_OPERATION,
                    "User '%.*s' cannot be restored: its data is being erased, or was",
                    SLICE_ARGS(user->user_id));
    user->deleted_at_us = 0;
    *out_changed = true;
    return OK;
}

static Code edit_drop(const UserEdit *edit, User *user, bool *out_changed, Error *e)
{
    TRY(check_target(edit->run, user, e));
    if (slice_equal(user->user_id, ROOT))
        return fail(e, E_INVALID_OPERATION, "User 'root' cannot be dropped");
    user->deleted_at_us = clock_wall_us();
    end_tokens(user); /* RESTORE does not bring them back */
    *out_changed = true;
    return OK;
}

static const char *done_text(StatementKind kind, bool is_restore)
{
    return kind == STATEMENT_CREATE_USER  ? "created"
           : is_restore                   ? "restored"
           : kind == STATEMENT_ALTER_USER ? "updated"
                                          : "dropped (soft delete)";
}

Code exec__run_account(Run *run, Error *e)
{
    const UserStatement *statement = &run->statement->user;
    StatementKind kind = run->statement->kind;
    Slice hash = {0};
    bool has_password = statement->has_password || statement->auth == USER_AUTH_PASSWORD;
    /* Clients of the original make users with any password unless the rules are switched on. */
    if (has_password && run->executor->options.complex_passwords)
        TRY(password_check(statement->password, true, e));
    if (has_password)
        TRY(password_hash(statement->password, run->executor->options.bcrypt_cost, run->arena,
                          &hash, e));
    UserEdit edit = {
        .executor = run->executor,
        .arena = run->arena,
        .user_id = statement->name,
        .edit = kind == STATEMENT_CREATE_USER  ? edit_create
                : statement->is_restore        ? edit_restore
                : kind == STATEMENT_ALTER_USER ? edit_alter
                                               : edit_drop,
        .run = run,
        .detail = &hash,
    };
    Code code = run_edit(&edit, e);
    const char *done = done_text(kind, statement->is_restore);
    if (code == OK && kind == STATEMENT_DROP_USER)
        jobs_note_dropped_user(run->executor->jobs);
    if (code == E_NOT_FOUND && kind == STATEMENT_DROP_USER && statement->if_exists)
        done = "does not exist (skipped)";
    else
        TRY(code);
    exec__end_message(
        run, 0, arena_printf(run->arena, "User '%.*s' %s", SLICE_ARGS(statement->name), done));
    return OK;
}

/* ---- login ---- */

static Code edit_failed(const UserEdit *edit, User *user, bool *out_changed, Error *e)
{
    (void)edit;
    (void)e;
    *out_changed = is_account(user);
    if (++user->failed_logins < FAILED_LOGINS_MAX)
        return OK;
    user->failed_logins = 0;
    user->locked_until_us = clock_wall_us() + LOCK_MINUTES * minute_us;
    return OK;
}

static Code check_lock(const User *user, Error *e)
{
    int64_t left_us = user->locked_until_us - clock_wall_us();
    if (left_us <= 0)
        return OK;
    return fail(e, E_ACCOUNT_LOCKED, "Account locked. Try again in %" PRId64 " minute(s)",
                (left_us + minute_us - 1) / minute_us);
}

static Code edit_succeeded(const UserEdit *edit, User *user, bool *out_changed, Error *e)
{
    const Slice *verified = edit->detail;
    if (!is_account(user))
        return fail(e, E_INVALID_CREDENTIALS, "Invalid credentials");
    TRY(check_lock(user, e));                         /* locked while this one was being checked */
    if (!slice_equal(user->password_hash, *verified)) /* changed meanwhile */
        return fail(e, E_INVALID_CREDENTIALS, "Invalid credentials");
    user->failed_logins = 0;
    user->locked_until_us = 0;
    user->last_login_us = clock_wall_us();
    *out_changed = true;
    return OK;
}

/* While the disk takes no writes people log in all the same, for reads go on: neither their login
 * is recorded then, nor a wrong password counted, of which an address still has few a second. */
static Code record_login(UserEdit *edit, Error *e)
{
    Error refusal = {0};
    User user = {0};
    bool is_changed;
    Code code = run_edit(edit, &refusal);
    if (code != E_DISK_FULL && code != E_IO && code != E_OUTCOME_UNKNOWN) {
        if (code != OK && e)
            *e = refusal;
        return code;
    }
    TRY(exec__find_user(edit->executor, HOT_BLOCKING, edit->user_id, edit->arena, &user, e));
    TRY(edit->edit(edit, &user, &is_changed, e));
    edit->result = user;
    return OK;
}

Code exec_login(Executor *executor, Slice user_id, Slice password, Arena *arena, User *out,
                Error *e)
{
    User user = {0};
    Error lookup = {0};
    Code code = exec__find_user(executor, HOT_BLOCKING, user_id, arena, &user, &lookup);
    if (code != OK && code != E_NOT_FOUND) {
        if (e)
            *e = lookup;
        return code;
    }
    if (slice_equal(user_id, ROOT) && !user.password_hash.size && !password.size)
        return fail(e, E_SETUP_REQUIRED, "Server requires initial setup");
    bool known = code == OK && is_account(&user) && user.password_hash.size;
    if (known)
        TRY(check_lock(&user, e));
    Slice hash = known ? user.password_hash : (Slice){0};
    bool right = password_verify(password, hash, executor->options.bcrypt_cost);
    UserEdit edit = {
        .executor = executor,
        .arena = arena,
        .user_id = user_id,
        .edit = right ? edit_succeeded : edit_failed,
        .detail = &hash,
    };
    if (known)
        TRY(record_login(&edit, e));
    if (!known || !right)
        return fail(e, E_INVALID_CREDENTIALS, "Invalid credentials");
    *out = edit.result;
    return OK;
}

/* ---- root and setup ---- */

bool exec_needs_setup(Executor *executor)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    User root = {0};
    Error ignored = {0};
    Code code = exec__find_user(executor, HOT_BLOCKING, ROOT, arena, &root, &ignored);
    return code == E_NOT_FOUND || (code == OK && root.password_hash.size == 0);
}

static void make_root(User *user)
{
    user->registered = true;
    user->role = ROLE_SYSTEM;
    user->auth_type = SLICE("Internal");
}

static Code edit_ensure_root(const UserEdit *edit, User *user, bool *out_changed, Error *e)
{
    (void)e;
    const Slice *hash = edit->detail;
    *out_changed = !user->registered || (hash->size && !user->password_hash.size);
    make_root(user);
    if (!user->password_hash.size)
        user->password_hash = *hash;
    return OK;
}

Code exec_ensure_root(Executor *executor, Slice configured_password, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Slice hash = {0};
    if (configured_password.size && exec_needs_setup(executor))
        TRY(password_hash(configured_password, executor->options.bcrypt_cost, arena, &hash, e));
    UserEdit edit = {.executor = executor,
                     .arena = arena,
                     .user_id = ROOT,
                     .edit = edit_ensure_root,
                     .detail = &hash};
    return run_edit(&edit, e);
}

static Code edit_setup_root(const UserEdit *edit, User *user, bool *out_changed, Error *e)
{
    if (user->password_hash.size) /* of two setups at once, one wins */
        return fail(e, E_ALREADY_CONFIGURED, "The server is already configured");
    make_root(user);
    user->password_hash = *(const Slice *)edit->detail;
    *out_changed = true;
    return OK;
}

typedef struct SetupUser {
    Slice hash, email;
} SetupUser;

static Code edit_setup_user(const UserEdit *edit, User *user, bool *out_changed, Error *e)
{
    const SetupUser *setup = edit->detail;
    if (user->registered)
        return fail(e, E_ALREADY_EXISTS, "User '%.*s' already exists", SLICE_ARGS(user->user_id));
    user->registered = true;
    user->role = ROLE_DBA;
    user->auth_type = SLICE("Password");
    user->password_hash = setup->hash;
    user->email = setup->email;
    *out_changed = true;
    return OK;
}

static Code check_setup(Executor *executor, Slice user_id, Arena *arena, Error *e)
{
    if (!exec_needs_setup(executor))
        return fail(e, E_ALREADY_CONFIGURED, "The server is already configured");
    if (user_id.size == 0 || slice_equal_ignoring_case(user_id, ROOT))
        return fail(e, E_INVALID_INPUT, "The first user must have a name other than 'root'");
    User user = {0};
    Error lookup = {0};
    Code code = exec__find_user(executor, HOT_BLOCKING, user_id, arena, &user, &lookup);
    if (code == OK && user.registered)
        return fail(e, E_ALREADY_EXISTS, "User '%.*s' already exists", SLICE_ARGS(user_id));
    if (code == OK || code == E_NOT_FOUND)
        return OK;
    if (e)
        *e = lookup;
    return code;
}

/* Root first: after a crash in between, root can log in and create the other. */
Code exec_setup(Executor *executor, Slice user_id, Slice password, Slice root_password, Slice email,
                Arena *arena, User *out, Error *e)
{
    Error local = {0};
    if (!e)
        e = &local;
    TRY(check_setup(executor, user_id, arena, e));
    if (password_check(password, executor->options.complex_passwords, e) != OK)
        return wrap(e, "DBA user password");
    if (password_check(root_password, executor->options.complex_passwords, e) != OK)
        return wrap(e, "Root password");
    uint32_t cost = executor->options.bcrypt_cost;
    Slice root_hash = {0};
    SetupUser setup = {.email = email};
    TRY(password_hash(root_password, cost, arena, &root_hash, e));
    TRY(password_hash(password, cost, arena, &setup.hash, e));
    UserEdit root = {.executor = executor,
                     .arena = arena,
                     .user_id = ROOT,
                     .edit = edit_setup_root,
                     .detail = &root_hash};
    TRY(run_edit(&root, e));
    UserEdit first = {.executor = executor,
                      .arena = arena,
                      .user_id = user_id,
                      .edit = edit_setup_user,
                      .detail = &setup};
    TRY(run_edit(&first, e));
    *out = first.result;
    return OK;
}
