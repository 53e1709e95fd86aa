/* SPDX-License-Identifier: Apache-2.0
 *
 * Every size or count that comes from a user, the network or a disk meets one of these before it
 * meets an allocator, a loop or a queue. What an operator may change is a setting (spec/config.def)
 * and only its upper bound stands here.
 */
#pragma once

enum {
    /* SQL */
    SQL_BYTES_MAX = 1024 * 1024,
    SQL_STATEMENTS_MAX = 1000, /* in one request */
    SQL_NESTING_MAX = 128,     /* parentheses, operators, sub-expressions */
    SQL_TOKENS_MAX = 1000 * 1000,
    SQL_PARAMETERS_MAX = 50,
    SQL_PARAMETER_BYTES_MAX = 512 * 1024,
    SQL_EVAL_BYTES_MAX = 256 * 1024 * 1024,   /* texts made by one statement's expressions */
    SQL_PRINTED_BYTES_MAX = 16 * 1024 * 1024, /* of one statement as printed for DuckDB */
    NAME_BYTES_MAX = 64,                      /* namespace, table, column */
    USER_ID_BYTES_MAX = 128,
    COLUMNS_MAX = 1000,
    INSERT_ROWS_MAX = 50 * 1000, /* in one statement */
    ROW_BYTES_MAX = 8 * 1024 * 1024,
    KEY_BYTES_MAX = 4096, /* an encoded primary key */
    NAMESPACES_MAX = 10 * 1000,
    TABLES_MAX = 10 * 1000,
    PAST_DEFINITIONS_MAX = 1000,               /* kept of one table, the newest */
    PAST_DEFINITIONS_DROPPED_MAX = 100 * 1000, /* that go in one commit, with a namespace */

    /* HTTP and WebSocket */
    HTTP_HEADER_BYTES_MAX = 16 * 1024,
    HTTP_HEADERS_MAX = 100,
    HTTP_TARGET_BYTES_MAX = 8 * 1024,
    HTTP_BODY_BYTES_MAX = 10 * 1024 * 1024,
    HTTP_PIPELINE_MAX = 64, /* requests of one connection that wait for their answer */
    WS_MESSAGE_BYTES_MAX = 1024 * 1024,
    WS_SKIPPED_BYTES_MAX =
        64 * 1024 *
        1024, /* a frame over WS_MESSAGE_BYTES_MAX is skipped, above this the connection ends */
    WS_CONTROL_BYTES_MAX = 125, /* RFC 6455 5.5 */
    JSON_DEPTH_MAX = 64,
    JSON_VALUES_MAX = 1000, /* of one body or message: a tree takes 100 bytes for each and more */
    AUTH_BODY_BYTES_MAX = 16 * 1024,

    /* Commits and queues */
    COMMIT_ROWS_MAX = 50 * 1000,
    COMMIT_BYTES_MAX = 32 * 1024 * 1024,
    COMMIT_QUEUE_MAX = 8192, /* intents that wait for the committer */
    WORKER_QUEUE_MAX = 4096,
    MONITOR_QUEUE_MAX = 64, /* requests for metrics that wait for their thread */
    CONFLICT_KEYS_MAX = 128 * 1024,
    HOT_MANIFEST_BYTES_MAX = 64 * 1024 * 1024, /* of one that is to be mended */
    HOT_LOG_BYTES_MAX = 1024 * 1024 * 1024,    /* the same */
    HOT_FILES_MAX = 1000 * 1000,               /* in the folder of such a store */
    TRANSACTION_READS_MAX =
        50 * 1000, /* rows listed; above it every change of the partition counts */

    /* Live */
    SUBSCRIPTIONS_PER_CONNECTION_MAX = 10 * 1000,
    SUBSCRIPTION_ID_BYTES_MAX = 256,
    LIVE_PAGE_ROWS_MAX = 10 * 1000,
    LIVE_ORDERED_ROWS_MAX = 10 * 1000, /* first rows of a live query with ORDER BY: one page */
    LIVE_ORDERED_BYTES_MAX = 8 * 1024 * 1024,         /* what is kept of them until all are read */
    LIVE_ORDERED_TOTAL_BYTES_MAX = 256 * 1024 * 1024, /* for all live queries together */
    LIVE_VIEW_ROWS_MAX = 20 * 1000,                   /* of a system table that is followed */
    LIVE_VIEW_BYTES_MAX = 16 * 1024 * 1024,
    SOCKET_QUEUE_BYTES_MAX = 1024 * 1024, /* above it subscriptions fall back to catch-up */

    /* Engine */
    ENGINE_INSTANCES_MAX = 64,
    ENGINE_THREADS_MAX = 64,
    ENGINE_SOURCES_MAX = 256, /* table references of one statement */
    ENGINE_ROW_GROUP_ROWS = 8 * 1024,
    SEGMENT_ENTRY_BYTES_MAX = 4 * 1024 * 1024,
    SEGMENT_STATS_BYTES_MAX = 64, /* a text or bytes bound; longer ones are cut or left out */

    /* Accounts */
    EMAIL_BYTES_MAX = 254, /* RFC 5321 */
    PASSWORD_HASH_BYTES_MAX = 128,
    AUTH_TYPE_BYTES_MAX = 32,
    LOGIN_PASSWORD_BYTES_MAX = 256, /* what a login may send; bcrypt itself takes 72 */
    TOKEN_BYTES_MAX = 4096,         /* a bearer token */
    TOKEN_CACHE_ENTRIES_MAX = 1024 * 1024,
    LIMITER_KEYS_MAX = 1024 * 1024,

    /* Jobs */
    JOBS_KEPT_MAX =
        1000, /* that system.jobs shows: above it those that ended first are forgotten */
    JOBS_QUEUED_MAX = 1000,

    /* Backups */
    BACKUP_PATH_BYTES_MAX = 4096 - 1024, /* room for what is appended to it */
    BACKUP_LIST_BYTES_MAX = 1024 * 1024 * 1024,
};
