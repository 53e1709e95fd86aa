/* SPDX-License-Identifier: Apache-2.0
 *
 * Files too large for memory, piece by piece, and a look at what a path is. All block: not for loop
 * threads. An object belongs to one thread at a time. Errors as in os/file.h.
 */
#pragma once

#include "os/file.h"

typedef enum FileKind { FILE_NOTHING, FILE_PLAIN, FILE_FOLDER, FILE_OTHER } FileKind;
typedef struct FileLook {
    FileKind kind; /* FILE_OTHER: also every symbolic link, which is not followed */
    uint64_t bytes;
    int64_t changed_at_us; /* its content */
} FileLook;
/* That nothing is there is OK. */
CHECKED Code file_look(const char *path, FileLook *out, Error *e);

/* Writes a file that did not exist. */
typedef struct FileWriter FileWriter;
/* E_ALREADY_EXISTS when the path exists. */
CHECKED Code file_writer_open(const char *path, unsigned mode, FileWriter **out, Error *e);
CHECKED Code file_writer_write(FileWriter *writer, Slice bytes, Error *e);
/* Where the next bytes go, from the start of the file. */
CHECKED Code file_writer_seek(FileWriter *writer, uint64_t offset, Error *e);
uint64_t file_writer_offset(const FileWriter *writer);
/* All bytes are on disk after OK; the name is after file_sync_folder. Nothing is written after
 * it. */
CHECKED Code file_writer_sync(FileWriter *writer, Error *e);
/* What was not synced may be lost. Accepts NULL. */
void file_writer_close(FileWriter *writer);

typedef struct FileReader FileReader;
/* E_NOT_FOUND; E_INVALID_INPUT when the path is a symbolic link, a folder, or anything but a plain
 * file. */
CHECKED Code file_reader_open(const char *path, FileReader **out, Error *e);
/* Size when it was opened. */
uint64_t file_reader_bytes(const FileReader *reader);
/* Up to `size` bytes; fewer only at the end of the file. */
CHECKED Code file_reader_read(FileReader *reader, char *to, size_t size, size_t *out_got, Error *e);
void file_reader_close(FileReader *reader); /* accepts NULL */
