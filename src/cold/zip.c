/* SPDX-License-Identifier: Apache-2.0
 *
 * Files into one zip, through libzip. Stored, not deflated: Parquet is compressed. libzip writes
 * ZIP64 where sizes need it.
 *
 * libzip would write through stdio to a temporary name of its own; it gets a target of ours
 * instead, so that the bytes go through os/ (faults, sync) and land where the caller said.
 */
#include "cold/zip.h"

#include <errno.h>
#include <zip.h>

#include "os/file_piece.h"

typedef struct Target {
    const char *path;
    FileWriter *writer;
    Error error; /* the first failure of ours, which says more than libzip's */
    int zip_error, system_error;
} Target;

static zip_int64_t failed(Target *target, Code code)
{
    target->zip_error = ZIP_ER_WRITE;
    target->system_error = code == E_DISK_FULL ? ENOSPC : EIO;
    return -1;
}

/* To libzip the archive does not exist yet: it only ever writes it. */
static zip_int64_t not_there(Target *target)
{
    target->zip_error = ZIP_ER_READ;
    target->system_error = ENOENT;
    return -1;
}

static zip_int64_t seek(Target *target, void *data, zip_uint64_t size)
{
    zip_error_t error;
    zip_error_init(&error);
    zip_int64_t to = zip_source_seek_compute_offset(file_writer_offset(target->writer), INT64_MAX,
                                                    data, size, &error);
    zip_error_fini(&error);
    Code code = to < 0 ? fail(&target->error, E_INTERNAL, "zip: an impossible position")
                       : file_writer_seek(target->writer, (uint64_t)to, &target->error);
    return code == OK ? 0 : failed(target, code);
}

static zip_int64_t begin(Target *target)
{
    Code code = file_writer_open(target->path, 0600, &target->writer, &target->error);
    return code == OK ? 0 : failed(target, code);
}

static zip_int64_t tell_error(const Target *target, void *data, zip_uint64_t size)
{
    int codes[2] = {target->zip_error, target->system_error};
    if (size < sizeof codes)
        return -1;
    memcpy(data, codes, sizeof codes);
    return sizeof codes;
}

static zip_int64_t run_target(void *context, void *data, zip_uint64_t size,
                              zip_source_cmd_t command)
{
    Target *target = (Target *)context;
    Code code;
    switch (command) {
    case ZIP_SOURCE_SUPPORTS:
        return ZIP_SOURCE_SUPPORTS_WRITABLE;
    case ZIP_SOURCE_STAT:
    case ZIP_SOURCE_OPEN:
        return not_there(target);
    case ZIP_SOURCE_BEGIN_WRITE:
        return begin(target);
    case ZIP_SOURCE_WRITE:
        code = file_writer_write(target->writer, slice_of(data, size), &target->error);
        return code == OK ? (zip_int64_t)size : failed(target, code);
    case ZIP_SOURCE_SEEK_WRITE:
        return seek(target, data, size);
    case ZIP_SOURCE_TELL_WRITE:
        return (zip_int64_t)file_writer_offset(target->writer);
    case ZIP_SOURCE_COMMIT_WRITE:
        code = file_writer_sync(target->writer, &target->error);
        return code == OK ? 0 : failed(target, code);
    case ZIP_SOURCE_ROLLBACK_WRITE:
    case ZIP_SOURCE_REMOVE:
    case ZIP_SOURCE_FREE: /* the caller closes and removes */
        return 0;
    case ZIP_SOURCE_ERROR:
        return tell_error(target, data, size);
    default:
        target->zip_error = ZIP_ER_OPNOTSUPP;
        target->system_error = 0;
        return -1;
    }
}

static Code add_file(zip_t *zip, const ColdZipFile *file, Error *e)
{
    zip_source_t *source = zip_source_file(zip, file->path, 0, -1);
    if (!source)
        return fail(e, E_IO, "zip: %s", zip_strerror(zip));
    zip_int64_t index = zip_file_add(zip, file->name, source, ZIP_FL_ENC_UTF_8);
    if (index < 0) {
        zip_source_free(source);
        return fail(e, E_IO, "zip: %s: %s", file->name, zip_strerror(zip));
    }
    if (zip_set_file_compression(zip, (zip_uint64_t)index, ZIP_CM_STORE, 0) != 0)
        return fail(e, E_IO, "zip: %s", zip_strerror(zip));
    return OK;
}

static int is_stopped(zip_t *zip, void *context)
{
    const ColdZip *order = (const ColdZip *)context;
    (void)zip;
    return order->is_stopped(order->context);
}

static Code reason(zip_t *zip, const Target *target, Error *e)
{
    if (target->error.code != OK) {
        *e = target->error;
        return target->error.code;
    }
    if (zip_error_code_zip(zip_get_error(zip)) == ZIP_ER_CANCELLED)
        return fail(e, E_CANCELLED, "the archive was stopped");
    return fail(e, E_IO, "zip %s: %s", target->path, zip_strerror(zip));
}

/* Reads the files and writes all of the archive. */
static Code finish(zip_t *zip, const Target *target, Error *e)
{
    if (zip_close(zip) == 0)
        return OK;
    Code code = reason(zip, target, e);
    zip_discard(zip);
    return code;
}

static Code write_all(const ColdZip *order, Target *target, Error *e)
{
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t *source = zip_source_function_create(run_target, target, &error);
    zip_t *zip = source ? zip_open_from_source(source, ZIP_CREATE | ZIP_TRUNCATE, &error) : NULL;
    if (!zip) {
        Code code = fail(e, E_IO, "zip %s: %s", target->path, zip_error_strerror(&error));
        zip_source_free(source);
        zip_error_fini(&error);
        return code;
    }
    zip_error_fini(&error);
    for (size_t i = 0; i < order->count; i++) {
        Code code = add_file(zip, &order->files[i], e);
        if (code != OK) {
            zip_discard(zip);
            return code;
        }
    }
    if (order->is_stopped)
        zip_register_cancel_callback_with_state(zip, is_stopped, NULL, (void *)(uintptr_t)order);
    return finish(zip, target, e);
}

Code cold_zip_write(const ColdZip *order, Error *e)
{
    Target target = {.path = order->path};
    Error ignored;
    must(order->count > 0);
    Code code = write_all(order, &target, e);
    file_writer_close(target.writer);
    if (code != OK && target.writer && file_remove(order->path, &ignored) != OK)
        return code; /* an archive that is not whole stays under its temporary name */
    return code;
}
