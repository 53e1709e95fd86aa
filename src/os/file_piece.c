/* SPDX-License-Identifier: Apache-2.0
 *
 * Files piece by piece. A writer gathers small writes; what it has gathered goes out before it
 * moves and before it syncs. A failed sync is never retried (os/file.c says why): after a failure
 * the writer only closes.
 */
#include "os/file_piece.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "os/os_int.h"

enum { GATHER_BYTES = 128 * 1024 };

static Code open_path(const char *path, int flags, unsigned mode, int *out, Error *e)
{
    int descriptor = -1;
    if (!file__fault("open", path)) {
        do
            descriptor = open(path, flags | O_CLOEXEC, (mode_t)mode);
        while (descriptor < 0 && errno == EINTR);
    }
    if (descriptor < 0 && errno == ELOOP)
        return fail(e, E_INVALID_INPUT, "open %s: it is a symbolic link", path);
    if (descriptor < 0)
        return file__failed(e, "open", path);
    *out = descriptor;
    return OK;
}

Code file_look(const char *path, FileLook *out, Error *e)
{
    struct stat st;
    FileLook look = {0};
    if (file__fault("stat", path) || lstat(path, &st) != 0) {
        if (errno != ENOENT && errno != ENOTDIR)
            return file__failed(e, "stat", path);
        *out = look;
        return OK;
    }
    look.kind = S_ISREG(st.st_mode) ? FILE_PLAIN : S_ISDIR(st.st_mode) ? FILE_FOLDER : FILE_OTHER;
    look.bytes = (uint64_t)st.st_size;
    look.changed_at_us = (int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000;
    *out = look;
    return OK;
}

/* ---- writing ---- */

struct FileWriter {
    int descriptor;
    char *path;
    uint64_t offset; /* of the first gathered byte */
    Buffer gathered;
};

Code file_writer_open(const char *path, unsigned mode, FileWriter **out, Error *e)
{
    int descriptor;
    TRY(open_path(path, O_WRONLY | O_CREAT | O_EXCL, mode, &descriptor, e));
    FileWriter *writer = x_new(FileWriter);
    writer->descriptor = descriptor;
    writer->path = x_text(slice_of_text(path));
    *out = writer;
    return OK;
}

static Code put(FileWriter *writer, Slice bytes, Error *e)
{
    while (bytes.size > 0) {
        ssize_t done =
            file__fault("write", writer->path)
                ? -1
                : pwrite(writer->descriptor, bytes.data, bytes.size, (off_t)writer->offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return file__failed(e, "write", writer->path);
        writer->offset += (uint64_t)done;
        bytes = slice_of(bytes.data + done, bytes.size - (size_t)done);
    }
    return OK;
}

static Code put_gathered(FileWriter *writer, Error *e)
{
    TRY(put(writer, buffer_slice(&writer->gathered), e));
    buffer_clear(&writer->gathered);
    return OK;
}

Code file_writer_write(FileWriter *writer, Slice bytes, Error *e)
{
    if (writer->gathered.size + bytes.size > GATHER_BYTES)
        TRY(put_gathered(writer, e));
    if (bytes.size > GATHER_BYTES)
        return put(writer, bytes, e);
    buffer_add_slice(&writer->gathered, bytes);
    return OK;
}

Code file_writer_seek(FileWriter *writer, uint64_t offset, Error *e)
{
    TRY(put_gathered(writer, e));
    writer->offset = offset;
    return OK;
}

uint64_t file_writer_offset(const FileWriter *writer)
{
    return writer->offset + writer->gathered.size;
}

Code file_writer_sync(FileWriter *writer, Error *e)
{
    TRY(put_gathered(writer, e));
    if (file__fault("fsync", writer->path) || fsync(writer->descriptor) != 0)
        return file__failed(e, "fsync", writer->path);
    return OK;
}

void file_writer_close(FileWriter *writer)
{
    if (!writer)
        return;
    close(writer->descriptor);
    buffer_done(&writer->gathered);
    free(writer->path);
    free(writer);
}

/* ---- reading ---- */

struct FileReader {
    int descriptor;
    char *path;
    uint64_t bytes;
};

Code file_reader_open(const char *path, FileReader **out, Error *e)
{
    int descriptor;
    struct stat st;
    /* not blocking: opening a pipe that somebody put there must not wait */
    TRY(open_path(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, &descriptor, e));
    if (fstat(descriptor, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(descriptor);
        return fail(e, E_INVALID_INPUT, "open %s: it is no plain file", path);
    }
    FileReader *reader = x_new(FileReader);
    reader->descriptor = descriptor;
    reader->path = x_text(slice_of_text(path));
    reader->bytes = (uint64_t)st.st_size;
    *out = reader;
    return OK;
}

uint64_t file_reader_bytes(const FileReader *reader)
{
    return reader->bytes;
}

Code file_reader_read(FileReader *reader, char *to, size_t size, size_t *out_got, Error *e)
{
    size_t got = 0;
    while (got < size) {
        ssize_t piece =
            file__fault("read", reader->path) ? -1 : read(reader->descriptor, to + got, size - got);
        if (piece < 0 && errno == EINTR)
            continue;
        if (piece < 0)
            return file__failed(e, "read", reader->path);
        if (piece == 0)
            break;
        got += (size_t)piece;
    }
    *out_got = got;
    return OK;
}

void file_reader_close(FileReader *reader)
{
    if (!reader)
        return;
    close(reader->descriptor);
    free(reader->path);
    free(reader);
}
