/* SPDX-License-Identifier: Apache-2.0
 *
 * The file BACKUP (docs/formats/backup.md), lines of text:
 *
 *     kalamdb backup 1                        or: kalamdb namespace backup 1
 *     seq <number> created_at_ms <number>
 *     <CRC-32C, 8 hex digits> <bytes> <path>  one for each file, relative to the backup
 *     end <number of files> <CRC-32C of all bytes before this line>
 */
#include "table/backup.h"

#include <inttypes.h>

#include "base/buffer.h"
#include "base/limits.h"
#include "data/row.h"

static const char first_line[] = "kalamdb backup 1";
static const char namespace_line[] = "kalamdb namespace backup 1";

void backup_list_print(const BackupList *list, Buffer *out)
{
    size_t start = out->size;
    buffer_printf(out, "%s\nseq %" PRIu64 " created_at_ms %" PRId64 "\n",
                  list->is_namespace ? namespace_line : first_line, list->seq, list->created_at_ms);
    for (size_t i = 0; i < list->count; i++)
        buffer_printf(out, "%08x %" PRIu64 " %.*s\n", list->files[i].crc, list->files[i].bytes,
                      SLICE_ARGS(list->files[i].path));
    buffer_printf(out, "end %zu %08x\n", list->count,
                  crc32c(0, slice_of(out->data + start, out->size - start)));
}

/* The next line without its end; false when there is none. */
static bool take_line(Slice *rest, Slice *out)
{
    const char *end = rest->size ? memchr(rest->data, '\n', rest->size) : NULL;
    if (!end)
        return false;
    *out = slice_of(rest->data, (size_t)(end - rest->data));
    *rest = slice_of(end + 1, rest->size - out->size - 1);
    return true;
}

/* The word before the next space, or the rest of the line. */
static Slice take_word(Slice *line)
{
    const char *end = line->size ? memchr(line->data, ' ', line->size) : NULL;
    size_t size = end ? (size_t)(end - line->data) : line->size;
    Slice word = slice_of(line->data, size);
    *line = slice_of(line->data + size + (end != NULL), line->size - size - (end != NULL));
    return word;
}

static bool read_number(Slice word, unsigned base, uint64_t *out)
{
    uint64_t value = 0;
    if (word.size == 0 || word.size > 20)
        return false;
    for (size_t i = 0; i < word.size; i++) {
        char c = word.data[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                : 99;
        if (digit >= base || value > (UINT64_MAX - digit) / base)
            return false;
        value = value * base + digit;
    }
    *out = value;
    return true;
}

static bool is_below_root(Slice path, bool is_namespace)
{
    if (is_namespace)
        return slice_starts_with(path, SLICE("table-"));
    return slice_starts_with(path, SLICE("rocksdb/")) || slice_starts_with(path, SLICE("storage/"));
}

/* Below rocksdb/ or storage/ (a namespace: a folder table-<n>/), without empty, "." or ".." parts:
 * what is listed can only lie in the backup. */
static bool is_sound_path(Slice path, bool is_namespace)
{
    if (!is_below_root(path, is_namespace))
        return false;
    size_t start = 0;
    for (size_t i = 0; i <= path.size; i++) {
        if (i < path.size && path.data[i] == 0)
            return false;
        if (i < path.size && path.data[i] != '/')
            continue;
        Slice part = slice_of(path.data + start, i - start);
        if (part.size == 0 || slice_equal(part, SLICE(".")) || slice_equal(part, SLICE("..")))
            return false;
        start = i + 1;
    }
    return path.size < BACKUP_PATH_BYTES_MAX;
}

static bool read_file_line(Slice crc, Slice line, bool is_namespace, BackupFile *out)
{
    uint64_t number;
    if (crc.size != 8 || !read_number(crc, 16, &number))
        return false;
    out->crc = (uint32_t)number;
    if (!read_number(take_word(&line), 10, &out->bytes))
        return false;
    out->path = line;
    return is_sound_path(line, is_namespace);
}

static bool read_second_line(Slice line, BackupList *out)
{
    uint64_t created;
    if (!slice_equal(take_word(&line), SLICE("seq")) ||
        !read_number(take_word(&line), 10, &out->seq) ||
        !slice_equal(take_word(&line), SLICE("created_at_ms")) ||
        !read_number(take_word(&line), 10, &created) || created > INT64_MAX || line.size)
        return false;
    out->created_at_ms = (int64_t)created;
    return true;
}

static size_t count_lines(Slice bytes)
{
    size_t count = 0;
    for (size_t i = 0; i < bytes.size; i++)
        count += bytes.data[i] == '\n';
    return count;
}

Code backup_list_parse(Slice bytes, Arena *arena, BackupList *out, Error *e)
{
    BackupList list = {0};
    Slice rest = bytes, line;
    if (!take_line(&rest, &line) || (!slice_starts_with(line, SLICE("kalamdb backup ")) &&
                                     !slice_starts_with(line, SLICE("kalamdb namespace backup "))))
        return fail(e, E_CORRUPT, "the file BACKUP is not the list of a backup");
    list.is_namespace = slice_equal(line, slice_of_text(namespace_line));
    if (!list.is_namespace && !slice_equal(line, slice_of_text(first_line)))
        return fail(e, E_FORMAT_VERSION, "the backup has another format version than this server");
    if (!take_line(&rest, &line) || !read_second_line(line, &list))
        return fail(e, E_CORRUPT, "the second line of the file BACKUP is damaged");
    list.files = arena_new_array(arena, BackupFile, count_lines(rest) + 1);
    for (;;) {
        size_t before = bytes.size - rest.size;
        if (!take_line(&rest, &line))
            return fail(e, E_CORRUPT, "the file BACKUP ends too early");
        Slice word = take_word(&line);
        if (slice_equal(word, SLICE("end"))) {
            uint64_t count, crc;
            if (!read_number(take_word(&line), 10, &count) || !read_number(line, 16, &crc) ||
                rest.size || count != list.count || crc != crc32c(0, slice_of(bytes.data, before)))
                return fail(e, E_CORRUPT, "the checksum of the file BACKUP does not match");
            *out = list;
            return OK;
        }
        if (!read_file_line(word, line, list.is_namespace, &list.files[list.count++]))
            return fail(e, E_CORRUPT, "line %zu of the file BACKUP is damaged", list.count + 2);
    }
}
