/* SPDX-License-Identifier: Apache-2.0
 *
 * Downloads of exports, piece by piece: a worker reads, the loop sends, and nothing more is read
 * before the socket has taken most of it.
 *
 *     worker: token -> who may -> open, first piece ──> loop: head, piece
 *             ──drained──> worker: next piece … ──> end
 *
 * I1. One piece is in memory, and at most DRAINED_MARK bytes of it wait in the socket's queue when
 *     the next one is read.
 * I2. A download belongs to one thread at a time: to a worker while is_pending, else to the loop.
 * I3. What may not be fetched, what is not there and who does not exist have one answer.
 * I4. Before each piece it is asked anew who may: a DROP USER is not overtaken by a slow client.
 * I5. An answer that has begun and cannot be finished is cut, so that nobody takes it for whole.
 */
#include "api/export_route.h"

#include <stddef.h>
#include <stdlib.h>

#include "api/reply.h"
#include "api/session.h"
#include "base/limits.h"
#include "os/file_piece.h"
#include "os/log.h"
#include "table/export.h"

enum {
    PIECE_BYTES = 256 * 1024,
    DRAINED_MARK = SOCKET_QUEUE_BYTES_MAX / 4, /* as os/stream.h says */
    RETRY_MS = 20,                             /* when no worker has room */
};

typedef struct Download {
    LoopTask task;
    ApiLoop *api;
    HttpRequest *request;
    Arena *arena;
    LoopTimer *retry;
    bool is_pending, is_gone, is_begun;
    Slice owner, name; /* of the export */
    Session session;   /* of who fetches it */
    FileReader *file;
    uint64_t left;
    char *piece;
    size_t piece_bytes;
    Code code;
    Error error;
} Download;

static void read_later(Download *download);

/* ---- a worker's part ---- */

static CHECKED Code not_found(Error *e)
{
    return fail(e, E_ROUTE_NOT_FOUND, "There is no such export");
}

/* "/v1/exports/<user id>/<export id>" */
static CHECKED Code read_path(Download *download, Error *e)
{
    Slice path = download->request->path;
    size_t start = sizeof EXPORT_ROUTE_PREFIX - 1;
    Slice rest = slice_of(path.data + start, path.size - start);
    const char *slash = rest.size ? memchr(rest.data, '/', rest.size) : NULL;
    CLEANUP(buffer_done) Buffer user_id = {0};
    if (!slash ||
        !http_percent_decode(slice_of(rest.data, (size_t)(slash - rest.data)), false, &user_id))
        return not_found(e);
    if (user_id.size == 0 || user_id.size > USER_ID_BYTES_MAX)
        return not_found(e);
    download->owner = arena_copy(download->arena, buffer_slice(&user_id));
    size_t used = (size_t)(slash + 1 - rest.data);
    download->name = arena_copy(download->arena, slice_of(slash + 1, rest.size - used));
    return OK;
}

static CHECKED Code check_owner(Download *download, Arena *arena, Error *e)
{
    User owner = {0};
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(download->api->context->db));
    Code code = catalog_get_user(snapshot, HOT_BLOCKING, download->owner, arena, &owner, e);
    hot_snapshot_free(snapshot);
    if (code == E_NOT_FOUND || (code == OK && !exec_may_fetch_export(&download->session, &owner)))
        return not_found(e); /* I3 */
    return code;
}

static CHECKED Code open_file(Download *download, Error *e)
{
    ApiContext *context = download->api->context;
    Slice token;
    int64_t expires_at_us;
    const char *path;
    TRY(session_bearer(download->request, &token, e));
    TRY(session_of_token(context, token, HOT_BLOCKING, download->arena, &download->session,
                         &expires_at_us, e));
    TRY(read_path(download, e));
    TRY(check_owner(download, download->arena, e));
    Code code =
        export_zip_path(context->db, download->owner, download->name, download->arena, &path, e);
    if (code == OK)
        code = file_reader_open(path, &download->file, e);
    if (code == E_NOT_FOUND) /* perhaps it has just expired */
        return not_found(e);
    if (code != OK)
        return code;
    download->left = file_reader_bytes(download->file);
    download->piece = (char *)arena_alloc(download->arena, PIECE_BYTES);
    return OK;
}

static CHECKED Code check_again(Download *download, Error *e) /* I4 */
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    TRY(session_check(download->api->context, &download->session, arena, e));
    return check_owner(download, arena, e);
}

static CHECKED Code read_piece(Download *download, Error *e)
{
    size_t wanted = download->left < PIECE_BYTES ? (size_t)download->left : PIECE_BYTES;
    TRY(file_reader_read(download->file, download->piece, wanted, &download->piece_bytes, e));
    if (download->piece_bytes < wanted)
        return fail(e, E_IO, "the archive has become shorter");
    download->left -= wanted;
    return OK;
}

/* ---- the loop's part ---- */

static void finish(Download *download)
{
    HttpRequest *request = download->request;
    if (download->is_begun && download->code == OK)
        http_respond_end(request);
    else if (download->is_begun)
        http_respond_abort(request); /* I5 */
    else
        reply_sql_error(download->api, request, &download->error, 0, false, (Slice){0});
    loop_timer_free(download->retry);
    file_reader_close(download->file);
    arena_free(download->arena);
    free(download);
}

static void begin(Download *download)
{
    const char *disposition = arena_printf(download->arena, "attachment; filename=\"%.*s.zip\"",
                                           SLICE_ARGS(download->name));
    HttpHeader headers[4 + REPLY_CORS_HEADERS_MAX] = {
        {SLICE("Content-Type"), SLICE("application/zip")},
        {SLICE("Content-Disposition"), slice_of_text(disposition)},
        {SLICE("Cache-Control"), SLICE("private, no-store")},
        {SLICE("X-Content-Type-Options"), SLICE("nosniff")},
    };
    size_t count = reply_add_cors(download->api, download->request, headers, 4);
    download->is_begun = true;
    http_respond_begin_sized(download->request, 200, headers, count,
                             file_reader_bytes(download->file));
}

static void send_piece(Download *download)
{
    bool is_head = download->request->method == METHOD_HEAD;
    if (download->code == OK && !download->is_begun && !download->is_gone)
        begin(download);
    if (download->code != OK || download->is_gone || is_head) {
        if (download->is_gone && download->code == OK)
            download->code = fail(&download->error, E_CANCELLED, "the client has left");
        finish(download);
        return;
    }
    http_respond_chunk(download->request, slice_of(download->piece, download->piece_bytes));
    if (download->left == 0)
        finish(download);
    else if (http_respond_queued_bytes(download->request) <= DRAINED_MARK) /* I1 */
        read_later(download);
}

static void on_drained(void *argument)
{
    Download *download = (Download *)argument;
    if (!download->is_pending && download->is_begun)
        read_later(download);
}

static void on_gone(void *argument)
{
    Download *download = (Download *)argument;
    download->is_gone = true;
    if (!download->is_pending)
        send_piece(download);
}

static void piece_read(LoopTask *task)
{
    Download *download = (Download *)((char *)task - offsetof(Download, task));
    download->is_pending = false;
    if (download->code != OK && download->is_begun)
        log_event(LOG_LEVEL_ERROR, "the download of an export was cut",
                  LOG_ERROR(&download->error));
    send_piece(download);
}

static void run(void *argument) /* worker thread */
{
    Download *download = (Download *)argument;
    download->code = download->file ? check_again(download, &download->error)
                                    : open_file(download, &download->error);
    if (download->code == OK)
        download->code = read_piece(download, &download->error);
    download->task.run = piece_read;
    loop_post_task(download->api->loop, &download->task);
}

static void try_again(void *context)
{
    Download *download = (Download *)context;
    if (!download->is_pending)
        read_later(download);
}

static void read_later(Download *download)
{
    download->is_pending =
        workers_push(download->api->context->workers, (Task){run, download}); /* I2 */
    if (!download->is_pending)
        loop_timer_start(download->retry, RETRY_MS, 0);
}

void export_route(ApiLoop *api, HttpRequest *request)
{
    Download *download = x_new(Download);
    download->api = api;
    download->request = request;
    download->arena = arena_new();
    download->retry = loop_timer_new(api->loop, try_again, download);
    http_request_on_gone(request, on_gone, download);
    http_respond_on_drained(request, on_drained, download);
    read_later(download);
}
