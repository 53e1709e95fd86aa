/* SPDX-License-Identifier: Apache-2.0
 *
 * Backup and restore of a whole data folder.
 *
 * A backup is a folder laid out like a data folder: rocksdb/, storage/, and the file BACKUP, which
 * names every file with its size and checksum and is written last: a folder without it is no
 * backup. A server refuses to run in one.
 */
#pragma once

#include "table/database.h"
#include "table/verify.h"

typedef struct BackupReport {
    uint64_t seq; /* the commit that the backup holds, and nothing after it */
    uint64_t files, bytes;
    uint64_t tables, rows; /* of a namespace */
} BackupReport;

typedef struct BackupStop {
    bool (*is_stopped)(void *context); /* asked now and then; may be NULL */
    void *context;
    void (*tell)(void *context, const char *text); /* how far it is, for people; may be NULL */
} BackupStop;

/* Where a backup may be written: an absolute path without "..", "." or NUL, outside the data
 * folder, also when links are followed. E_INVALID_INPUT says which rule it breaks. */
CHECKED Code backup_check_path(Database *db, Slice path, Error *e);
/* Copies the database as of one commit, while it is used, into a folder that is made, or is empty;
 * then checks the copy. Blocks for as long as that takes; on a thread that holds no view. After a
 * failure no backup is there; what was copied so far is left for who asked to remove.
 * E_INVALID_OPERATION when the folder is not empty, E_CORRUPT when the copy does not verify,
 * E_CANCELLED. */
CHECKED Code database_backup(Database *db, const char *folder, BackupStop stop, BackupReport *out,
                             Error *e);

/* The folder that a person means by the name of a backup: <root>/<name>, where root is made if need
 * be. A name has letters, digits, '-', '_' and '.', no '.' first; a path is one only if it is that
 * of such a name below root. E_INVALID_INPUT says what is wrong, E_INVALID_OPERATION when root is
 * empty (none is configured) or lies where no backup may. What has the name already may be a
 * folder, but no link. */
CHECKED Code backup_place(Database *db, const char *root, Slice name, Arena *arena,
                          const char **out, Error *e);

/* What is told before a job is made of it; the job looks again. E_INVALID_OPERATION when something
 * is in the folder. */
CHECKED Code backup_check_target(const char *folder, Error *e);
/* E_NOT_FOUND when the folder is not there, or holds no backup at all. */
CHECKED Code backup_check_source(const char *folder, Error *e);

/* One namespace: every table of it with the rows of both tiers that live at one commit. As
 * database_backup for the rest; holds a view meanwhile. E_NAMESPACE_NOT_FOUND. */
CHECKED Code database_backup_namespace(Database *db, Slice name, const char *folder,
                                       BackupStop stop, BackupReport *out, Error *e);
/* Brings a namespace back from such a folder, perhaps under another name: into one that does not
 * exist or has no tables, all of it or nothing. Rows keep their seqs; users are found by their text
 * ids, made where they are unknown, and left out when they were erased. Everybody's cursors are too
 * old. For the jobs thread. E_ALREADY_EXISTS, E_CORRUPT (nothing was written), E_INVALID_OPERATION
 * when the backup is later than this server's clock, E_CANCELLED. */
CHECKED Code database_restore_namespace(Database *db, const char *backup, Slice name,
                                        BackupStop stop, BackupReport *out, Error *e);

/* Makes a data folder out of a backup: every file is compared with the list, copied, and the whole
 * is verified. `folder` is made, or empty. Cursors of clients that come from before are too old
 * afterwards (backup.c, I4). */
CHECKED Code backup_restore(const char *backup, const char *folder, BackupReport *out, Error *e);

/* When the data folder was made out of a backup, by the clock of then; 0: it was not. */
int64_t backup_restored_at_us(Database *db);

/* One line of the file BACKUP. */
typedef struct BackupFile {
    Slice path; /* relative, of sound parts */
    uint64_t bytes;
    uint32_t crc;
} BackupFile;
typedef struct BackupList {
    bool is_namespace; /* else the whole server */
    uint64_t seq;
    int64_t created_at_ms;
    BackupFile *files;
    size_t count;
} BackupList;
/* E_CORRUPT, E_FORMAT_VERSION. Texts borrow from the bytes. */
CHECKED Code backup_list_parse(Slice bytes, Arena *arena, BackupList *out, Error *e);
void backup_list_print(const BackupList *list, Buffer *out);

/* True when the folder has a list, as a backup of either kind. */
bool backup_is_there(const char *folder);
/* Compares every file of a backup with its list; tells of each that differs. *out lives in the
 * arena. An error: the list itself is no good. */
typedef struct BackupTell {
    void (*on_problem)(void *context, const char *text);
    void *context;
} BackupTell;
CHECKED Code backup_check(const char *backup, const BackupTell *tell, BackupList *out, Arena *arena,
                          Error *e);
