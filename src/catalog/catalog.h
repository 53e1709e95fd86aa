/* SPDX-License-Identifier: Apache-2.0
 *
 * The catalog: namespaces, tables and users, kept in the hot store's system family.
 *
 * Namespaces and tables are all in memory, as immutable reference-counted objects; users are read
 * from the store (there may be a million). Nothing here writes: a change is *planned* into a
 * CatalogChange, which the committer writes and then applies (table/committer.c), so that catalog
 * and data change in one order and one batch.
 *
 * Threads: finding, listing and planning from any thread; catalog_change_apply on the committer
 * only.
 */
#pragma once

#include "base/arena.h"
#include "data/schema.h"
#include "hot/hot.h"

typedef enum Role { ROLE_ANONYMOUS, ROLE_USER, ROLE_SERVICE, ROLE_DBA, ROLE_SYSTEM } Role;
const char *role_name(Role role);         /* wire spelling: "dba" */
bool role_of_text(Slice text, Role *out); /* exact wire spellings only */
static inline bool role_is_admin(Role role)
{
    return role >= ROLE_DBA;
}

typedef enum TableKind { TABLE_USER, TABLE_SHARED, TABLE_STREAM } TableKind;
const char *table_kind_name(TableKind kind); /* "user", "shared", "stream" */
typedef enum AccessLevel {
    ACCESS_PRIVATE,
    ACCESS_PUBLIC,
    ACCESS_RESTRICTED,
    ACCESS_DBA
} AccessLevel;
const char *access_level_name(AccessLevel level); /* "private" */
/* Whether the role may read SHARED tables of that level, or write them. */
bool access_level_allows(AccessLevel level, Role role, bool writes);
/* system, information_schema: views only, made when they are read. */
bool catalog_is_system_namespace(Slice name);

/* Immutable. A change of the definition makes a new Table object of the same id. */
typedef struct Table {
    uint32_t id; /* in keys; never reused */
    Slice namespace_name, name;
    TableKind kind;
    AccessLevel access;
    bool durable;              /* false: commits are acknowledged before they are synced (STREAM) */
    uint32_t flush_rows;       /* 0 = the server's default */
    uint32_t flush_interval_s; /* 0 = the server's default */
    uint32_t ttl_s;            /* STREAM only */
    uint32_t feed_window_s;    /* how long changes are kept; 0 = the server's default */
    uint64_t feed_window_bytes; /* how many of them a partition keeps; 0 = the server's default */
    /* STREAM only: what was written before had expired when the TTL was made longer; 0 = nothing */
    int64_t expired_before_us;
    int64_t opened_at_us; /* SHARED only: since when more roles read it, nothing older; 0 = never */
    int64_t created_at_us, updated_at_us;
    const Schema *schema;
} Table;

Table *table_ref(Table *table);
void table_unref(Table *table); /* accepts NULL */
void table_unref_ptr(Table **table);
/* False once a newer definition or a DROP was applied. */
bool table_is_current(const Table *table);

/* A table that stands in no catalog and is always current: what describes rows that are made when
 * they are read. A copy, a reference for the caller. The catalog never gives out its `id`. */
Table *catalog_table_of_view(const Table *definition, Slice namespace_name, uint32_t id);

typedef struct Namespace {
    Slice name;
    int64_t created_at_us;
} Namespace;

/* Once begun it cannot be undone; done: nothing but the two ids is left, which are never given out
 * again. */
typedef enum Erasure { ERASURE_NONE, ERASURE_BEGUN, ERASURE_DONE } Erasure;

typedef struct User {
    uint64_t id;     /* numeric, in keys; never reused; never 0 */
    Slice user_id;   /* the text that people and tokens use */
    bool registered; /* false: an id only ever seen as a target of EXECUTE AS USER */
    Role role;
    Slice email, password_hash; /* empty = none */
    Slice auth_type;            /* "Password", "OAuth", "Internal" */
    uint32_t failed_logins;
    int64_t locked_until_us, last_login_us, created_at_us, updated_at_us;
    int64_t deleted_at_us; /* 0 = alive */
    /* Tokens name it, and are good only while it is the same: a new password, another role and
     * DROP USER change it. It only grows; 0 = never changed. */
    int64_t credentials_at_us;
    Erasure erasure; /* of what a dropped user had */
} User;

typedef struct Catalog Catalog;

/* Loads everything but users. E_CORRUPT names the key that does not decode. */
CHECKED Code catalog_open(HotStore *store, Catalog **out, Error *e);
void catalog_close(Catalog *catalog); /* accepts NULL */

/* A reference the caller releases, or NULL. Names match ignoring case. */
Table *catalog_find_table(Catalog *catalog, Slice namespace_name, Slice name);
Table *catalog_find_table_by_id(Catalog *catalog, uint32_t id);
bool catalog_has_namespace(Catalog *catalog, Slice name);
/* Sorted by name; arrays and texts live in the arena, the tables are the caller's references. */
void catalog_list_namespaces(Catalog *catalog, Arena *arena, Namespace **out, size_t *out_count);
void catalog_list_tables(Catalog *catalog, Arena *arena, Table ***out, size_t *out_count);
/* The tables of one namespace, or of all for an empty name, as they are in the snapshot, by number;
 * all of it lives in the arena. */
CHECKED Code catalog_read_tables(HotSnapshot *snapshot, Slice namespace_name, Arena *arena,
                                 Table **out, size_t *out_count, Error *e);
/* The definitions that ALTER TABLE replaced, the oldest first, at most PAST_DEFINITIONS_MAX; none
 * of before a RESTORE DATABASE. All of it lives in the arena. */
CHECKED Code catalog_read_past(HotSnapshot *snapshot, uint32_t table_id, Arena *arena, Table **out,
                               size_t *out_count, Error *e);
/* Grows with every applied change of a namespace or table (not of a user); keys plan caches. */
uint64_t catalog_version(Catalog *catalog);

/* Users, read through the given snapshot. Deleted ones are returned too: look at deleted_at_us.
 * E_NOT_FOUND without text. */
CHECKED Code catalog_get_user(HotSnapshot *snapshot, HotRead mode, Slice user_id, Arena *arena,
                              User *out, Error *e);
CHECKED Code catalog_get_user_by_id(HotSnapshot *snapshot, HotRead mode, uint64_t id, Arena *arena,
                                    User *out, Error *e);
/* At most `limit` users with user_id > after, in order of user_id. */
CHECKED Code catalog_list_users(HotSnapshot *snapshot, Slice after, size_t limit, Arena *arena,
                                User **out, size_t *out_count, Error *e);

/* Checks every record: that it decodes, that users and their numbers name each other. Damage is
 * told, not returned. */
CHECKED Code catalog_verify(HotSnapshot *snapshot,
                            void (*on_problem)(void *context, const char *text), void *context,
                            uint64_t *out_users, Error *e);

/* One planned change: what to write, and how memory follows once it is written. Owned by its
 * intent. */
typedef struct CatalogChange CatalogChange;

/* Two changes with an equal guard conflict when one was committed after the other's snapshot: the
 * planner must then plan again. Namespaces and tables share one guard, each user has its own. */
uint64_t catalog_change_guard(const CatalogChange *change);
void catalog_change_write(const CatalogChange *change, HotStore *store, HotBatch *batch);
/* After the batch is written, before readers may see its seq: a plan must never rest on a catalog
 * older than the snapshot of its intent. */
void catalog_change_apply(Catalog *catalog, CatalogChange *change);
/* The next of the same plan, or NULL; all are written and applied with the first. */
const CatalogChange *catalog_change_next(const CatalogChange *change);
/* The table this one drops (not one it replaces by a new definition), or NULL; borrowed. */
Table *catalog_change_dropped_table(const CatalogChange *change);
/* The definition that this one puts in place of another, or NULL; borrowed. */
const Table *catalog_change_altered_table(const CatalogChange *change);
/* The id of the table of which no row may have been committed after the snapshot; 0 for none. */
uint32_t catalog_change_quiet_table(const CatalogChange *change);
/* Of a table created or opened: its commit may have no earlier seq. 0 for other changes. */
int64_t catalog_change_not_before_us(const CatalogChange *change);
/* The user id whose record this change writes; empty for other changes. Borrowed. */
Slice catalog_change_user(const CatalogChange *change);
/* For such a change: what the record then says. */
typedef struct UserState {
    Role role;
    bool is_alive;
    int64_t credentials_at_us;
    bool registered;
} UserState;
UserState catalog_change_user_state(const CatalogChange *change);
uint64_t catalog_change_user_number(const CatalogChange *change); /* for such a change, too */
void catalog_change_free(CatalogChange *change);                  /* accepts NULL */

/* Plans. Errors are those of docs/sql.md: E_ALREADY_EXISTS, E_TABLE_NOT_FOUND … */
CHECKED Code catalog_plan_create_namespace(Catalog *catalog, Slice name, int64_t now_us,
                                           CatalogChange **out, Error *e);
/* The namespace's change, then its tables'. E_INVALID_OPERATION: it is built in, or has tables that
 * are to stay; E_TOO_LARGE: more past definitions than may go at once. */
CHECKED Code catalog_plan_drop_namespace(Catalog *catalog, Slice name, bool with_tables,
                                         CatalogChange **out, Error *e);
/* `definition` is copied; its id is ignored and given out here. */
CHECKED Code catalog_plan_create_table(Catalog *catalog, const Table *definition,
                                       CatalogChange **out, Error *e);
/* Drops the table of that id, whatever its definition has become meanwhile. */
CHECKED Code catalog_plan_drop_table(Catalog *catalog, Table *table, CatalogChange **out, Error *e);
/* Replaces the definition; `definition` is copied, and is that of `table` (same id, kind and names)
 * with a higher schema.version and field ids never used for anything else. `needs_quiet`: what the
 * caller found in the rows must still hold, so the change conflicts with every commit of rows of
 * the table after its snapshot. E_CONFLICT when `table` is not current. */
CHECKED Code catalog_plan_alter_table(Catalog *catalog, Table *table, const Table *definition,
                                      bool needs_quiet, CatalogChange **out, Error *e);
/* Gives out `count` ids for tables that catalog_plan_restore_namespace makes later. */
CHECKED Code catalog_plan_reserve_tables(Catalog *catalog, uint32_t count, uint32_t *out_first_id,
                                         CatalogChange **out, Error *e);
/* Makes a namespace, unless it is there and holds no table, and these tables in it, all at once.
 * Definitions are copied; their ids are reserved ones, their namespace is `name`. E_ALREADY_EXISTS
 * when the namespace has tables, which catalog_check_restore tells before. */
CHECKED Code catalog_check_restore(Catalog *catalog, Slice name, Error *e);
CHECKED Code catalog_plan_restore_namespace(Catalog *catalog, Slice name, const Table *definitions,
                                            size_t count, CatalogChange **out, Error *e);
/* A definition without its id as bytes, and back (to the arena). E_CORRUPT, E_FORMAT_VERSION. */
void catalog_encode_definition(const Table *table, Buffer *out);
CHECKED Code catalog_decode_definition(Slice bytes, Arena *arena, Table *out, Error *e);
/* Writes the whole record; a record with id 0 gets a new id, which *io_user receives. */
CHECKED Code catalog_plan_put_user(Catalog *catalog, User *io_user, CatalogChange **out, Error *e);
