/* SPDX-License-Identifier: Apache-2.0
 *
 * What a disk would hold after a power cut. The real folder holds everything the process wrote;
 * beside it stand, in memory,
 *   - for each file the changes since its last sync, each with what undoes it: the old size and the
 *     old bytes where it overwrote any. An append costs a few words, a sync drops the list;
 *   - for each folder its durable entries: the names as they were at the folder's last sync.
 * A cut walks the durable names from the root, copies each file as it is now, and undoes in the
 * copy what was not synced.
 *
 * D1: a node that a durable entry names keeps its bytes: before its last real name goes, it is
 * linked
 *     into a folder aside. So its inode number cannot be given to another file either.
 * D2: the changes of a file are in the order in which they were made.
 */
#include "libfault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BUCKETS = 4096, PATH_BYTES = 4096, COPY_BYTES = 256 * 1024, TORN_BLOCK_BYTES = 512 };

typedef struct Change {
    uint64_t number;        /* order within the file */
    uint64_t offset, bytes; /* what was written; bytes is 0 for a change of size */
    uint64_t size_before;   /* of the file */
    uint64_t old_offset;    /* the bytes that were overwritten or cut off */
    uint64_t old_bytes;
    char *old;
} Change;

typedef struct Entry {
    char *name;
    Node *node;
} Entry;

struct Node {
    Node *next; /* in its bucket */
    uint64_t inode;
    bool is_folder;
    bool is_aside;
    size_t durable_names; /* how many durable entries lead here */
    char *path;           /* set while a cut is made */
    Change *changes;      /* of a file */
    size_t change_count, change_capacity;
    uint64_t next_number, sealed; /* changes below `sealed` are not grown any more */
    Entry *entries;               /* of a folder: durable */
    size_t entry_count;
};

static Node *buckets[BUCKETS];
static char root_path[PATH_BYTES], after_path[PATH_BYTES], aside_path[PATH_BYTES];
static Keep keep_mode;
static uint64_t seed;
static bool tracking; /* only with a place for the result */
static Change pending;
static struct {
    Node *node;
    bool last_name, is_folder;
} unnamed;

static void *grow(void *old, size_t bytes)
{
    void *p = realloc(old, bytes);
    if (!p)
        fault_die("out of memory", "");
    return p;
}

static char *copy_text(const char *text)
{
    size_t bytes = strlen(text) + 1;
    return memcpy(grow(NULL, bytes), text, bytes);
}

static void join(char out[PATH_BYTES], const char *folder, const char *name)
{
    if (snprintf(out, PATH_BYTES, "%s/%s", folder, name) >= PATH_BYTES)
        fault_die("path too long", folder);
}

static void aside_name(char out[PATH_BYTES], const Node *node)
{
    char name[32];
    snprintf(name, sizeof name, "%llu", (unsigned long long)node->inode);
    join(out, aside_path, name);
}

static void unlink_raw(const char *path)
{
    syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

/* ---- Nodes by inode ---- */

static Node **slot_of(uint64_t inode)
{
    Node **slot = &buckets[inode % BUCKETS];
    while (*slot && (*slot)->inode != inode)
        slot = &(*slot)->next;
    return slot;
}

static Node *node_of(uint64_t inode, bool is_folder)
{
    Node **slot = slot_of(inode);
    if (!*slot) {
        Node *node = memset(grow(NULL, sizeof(Node)), 0, sizeof(Node));
        node->inode = inode;
        node->is_folder = is_folder;
        *slot = node;
    }
    return *slot;
}

/* The inode is gone, or belongs to something new: the node lives on only in durable entries. It is
 * never freed, because open descriptors may still point to it. */
static void forget(uint64_t inode)
{
    Node **slot = slot_of(inode);
    if (*slot)
        *slot = (*slot)->next;
}

static void drop_changes(Node *node, uint64_t mark)
{
    size_t dropped = 0;
    while (dropped < node->change_count && node->changes[dropped].number < mark)
        free(node->changes[dropped++].old);
    if (dropped == 0)
        return;
    node->change_count -= dropped;
    memmove(node->changes, node->changes + dropped, node->change_count * sizeof(Change));
}

Node *disk_opened(int fd, bool created)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        fault_die("cannot stat an open file", "");
    if (created)
        forget(st.st_ino); /* the number may have belonged to a file that nobody remembers */
    return node_of(st.st_ino, S_ISDIR(st.st_mode));
}

/* ---- Bytes ---- */

static uint64_t size_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* The descriptor may be write-only: read through a second one. */
static void read_old(int fd, uint64_t offset, uint64_t bytes)
{
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    int reader = (int)syscall(SYS_openat, AT_FDCWD, self, O_RDONLY | O_CLOEXEC, 0);
    if (reader < 0)
        fault_die("cannot read what is about to be overwritten", self);
    pending.old = grow(NULL, bytes);
    uint64_t have = 0;
    while (have < bytes) {
        ssize_t got = pread(reader, pending.old + have, bytes - have, (off_t)(offset + have));
        if (got <= 0)
            fault_die("cannot read what is about to be overwritten", self);
        have += (uint64_t)got;
    }
    syscall(SYS_close, reader);
    pending.old_offset = offset;
    pending.old_bytes = bytes;
}

static void start_change(int fd)
{
    memset(&pending, 0, sizeof pending);
    pending.size_before = size_of(fd);
}

void disk_before_write(Node *node, int fd, uint64_t offset, size_t bytes)
{
    if (!tracking || !node)
        return;
    start_change(fd);
    pending.offset = offset;
    pending.bytes = bytes;
    if (offset < pending.size_before && bytes > 0) {
        uint64_t overlap = pending.size_before - offset;
        read_old(fd, offset, overlap < bytes ? overlap : bytes);
    }
}

static void record(Node *node)
{
    Change *last = node->change_count ? &node->changes[node->change_count - 1] : NULL;
    bool appends = last && last->number >= node->sealed && !last->old && !pending.old &&
                   last->bytes > 0 && last->offset + last->bytes == pending.offset &&
                   pending.size_before == pending.offset;
    if (appends) {
        last->bytes += pending.bytes;
        return;
    }
    if (node->change_count == node->change_capacity) {
        node->change_capacity = node->change_capacity ? 2 * node->change_capacity : 8;
        node->changes = grow(node->changes, node->change_capacity * sizeof(Change));
    }
    pending.number = node->next_number++;
    node->changes[node->change_count++] = pending; /* D2 */
}

void disk_after_write(Node *node, ssize_t written)
{
    if (!tracking || !node)
        return;
    if (written <= 0) {
        free(pending.old);
        return;
    }
    pending.bytes = (uint64_t)written;
    if (pending.old_bytes > pending.bytes)
        pending.old_bytes = pending.bytes;
    record(node);
}

void disk_before_resize(Node *node, int fd, uint64_t new_bytes)
{
    if (!tracking || !node)
        return;
    start_change(fd);
    pending.offset = new_bytes;
    if (new_bytes < pending.size_before)
        read_old(fd, new_bytes, pending.size_before - new_bytes);
}

void disk_after_resize(Node *node, bool done)
{
    if (!tracking || !node)
        return;
    if (done && pending.offset != pending.size_before)
        record(node);
    else
        free(pending.old);
}

/* ---- Names ---- */

static void release_name(Node *node)
{
    if (--node->durable_names > 0 || !node->is_aside)
        return;
    char path[PATH_BYTES];
    struct stat st;
    aside_name(path, node);
    bool last = stat(path, &st) == 0 && st.st_nlink == 1;
    unlink_raw(path);
    node->is_aside = false;
    if (last)
        forget(node->inode);
}

/* The folder's entries as they are now. */
static void read_entries(Node *node, DIR *folder)
{
    Entry *entries = NULL;
    size_t count = 0, capacity = 0;
    for (const struct dirent *d; (d = readdir(folder));) {
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
            continue;
        if (count == capacity) {
            capacity = capacity ? 2 * capacity : 16;
            entries = grow(entries, capacity * sizeof(Entry));
        }
        Node *below = node_of(d->d_ino, d->d_type == DT_DIR);
        below->durable_names++;
        entries[count++] = (Entry){copy_text(d->d_name), below};
    }
    for (size_t i = 0; i < node->entry_count; i++) {
        release_name(node->entries[i].node);
        free(node->entries[i].name);
    }
    free(node->entries);
    node->entries = entries;
    node->entry_count = count;
}

static void folder_synced(Node *node, int fd)
{
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    DIR *folder = opendir(self);
    if (!folder)
        fault_die("cannot list a folder", self);
    read_entries(node, folder);
    closedir(folder);
}

uint64_t disk_sync_mark(Node *node)
{
    if (node)
        node->sealed = node->next_number;
    return node ? node->next_number : 0;
}

void disk_synced(Node *node, int fd, uint64_t mark)
{
    if (!tracking || !node)
        return;
    if (node->is_folder)
        folder_synced(node, fd);
    else
        drop_changes(node, mark);
}

void disk_before_unname(const char *path)
{
    struct stat st;
    memset(&unnamed, 0, sizeof unnamed);
    if (!tracking || lstat(path, &st) != 0)
        return;
    Node *node = *slot_of(st.st_ino);
    if (!node)
        return;
    unnamed.node = node;
    unnamed.is_folder = S_ISDIR(st.st_mode);
    unnamed.last_name = st.st_nlink == 1;
    if (unnamed.is_folder || node->durable_names == 0 || node->is_aside)
        return;
    char aside[PATH_BYTES];
    aside_name(aside, node);
    if (syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, aside, 0) != 0)
        fault_die("cannot keep a file aside", path);
    node->is_aside = true; /* D1 */
}

void disk_after_unname(bool done)
{
    if (!tracking || !unnamed.node || !done)
        return;
    if (unnamed.is_folder || (unnamed.last_name && !unnamed.node->is_aside))
        forget(unnamed.node->inode);
}

/* ---- Start and stop ---- */

static void take_as_durable(Node *node, const char *path)
{
    DIR *folder = opendir(path);
    if (!folder)
        return;
    read_entries(node, folder);
    closedir(folder);
    for (size_t i = 0; i < node->entry_count; i++) {
        if (!node->entries[i].node->is_folder)
            continue;
        char below[PATH_BYTES];
        join(below, path, node->entries[i].name);
        take_as_durable(node->entries[i].node, below);
    }
}

static void empty_aside(void)
{
    DIR *folder = opendir(aside_path);
    if (!folder)
        return;
    for (const struct dirent *d; (d = readdir(folder));) {
        char path[PATH_BYTES];
        join(path, aside_path, d->d_name);
        if (d->d_type == DT_REG)
            unlink_raw(path);
    }
    closedir(folder);
}

void disk_start(const char *watched, const char *after, Keep keep, uint64_t given_seed)
{
    tracking = after[0] != 0;
    if (!tracking)
        return;
    snprintf(root_path, sizeof root_path, "%s", watched);
    snprintf(after_path, sizeof after_path, "%s", after);
    if (snprintf(aside_path, sizeof aside_path, "%s.fault-aside", watched) >= PATH_BYTES)
        fault_die("path too long", watched);
    keep_mode = keep;
    seed = given_seed;
    empty_aside();
    if (syscall(SYS_mkdirat, AT_FDCWD, aside_path, 0700) != 0 && errno != EEXIST)
        fault_die("cannot make", aside_path);
    struct stat st;
    if (stat(root_path, &st) == 0)
        take_as_durable(node_of(st.st_ino, true), root_path);
}

void disk_stop(void)
{
    if (!tracking)
        return;
    empty_aside();
    syscall(SYS_unlinkat, AT_FDCWD, aside_path, AT_REMOVEDIR);
}

/* ---- The cut ---- */

/* Where each node is now; the names of the real folder. */
static void find_paths(const char *path)
{
    DIR *folder = opendir(path);
    if (!folder)
        return;
    for (const struct dirent *d; (d = readdir(folder));) {
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
            continue;
        char below[PATH_BYTES];
        join(below, path, d->d_name);
        Node *node = *slot_of(d->d_ino);
        if (node && !node->path)
            node->path = copy_text(below);
        if (d->d_type == DT_DIR)
            find_paths(below);
    }
    closedir(folder);
}

static uint64_t random_of(uint64_t *state)
{
    *state += 0x9E3779B97F4A7C15u; /* splitmix64 */
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static void put(int fd, const char *bytes, uint64_t count, uint64_t offset)
{
    while (count > 0) {
        ssize_t done = syscall(SYS_pwrite64, fd, bytes, (size_t)count, (off_t)offset);
        if (done <= 0)
            fault_die("cannot write the state after the cut", after_path);
        bytes += done;
        count -= (uint64_t)done;
        offset += (uint64_t)done;
    }
}

/* Leaves the first `kept` bytes of a change and undoes the rest of it. */
static void undo(int fd, const Change *change, uint64_t kept)
{
    uint64_t end = change->offset + kept;
    bool shorter = kept > 0 && end > change->size_before;
    if (syscall(SYS_ftruncate, fd, (off_t)(shorter ? end : change->size_before)) != 0)
        fault_die("cannot cut the state after the cut", after_path);
    if (change->old_bytes > kept)
        put(fd, change->old + kept, change->old_bytes - kept, change->old_offset + kept);
}

/* Garbage in the last block of what was kept, as a disk that was writing it may leave. */
static void tear(int fd, const Change *change, uint64_t kept, uint64_t *state)
{
    uint64_t end = change->offset + kept;
    uint64_t from = end / TORN_BLOCK_BYTES * TORN_BLOCK_BYTES;
    from = from > change->offset ? from : change->offset;
    char garbage[TORN_BLOCK_BYTES];
    for (uint64_t i = 0; i < end - from; i++)
        garbage[i] = (char)random_of(state);
    put(fd, garbage, end - from, from);
}

static void undo_unsynced(int fd, const Node *node, const char *name)
{
    uint64_t total = 0, state = seed;
    for (const char *c = name; *c; c++)
        state = (state ^ (unsigned char)*c) * 0x100000001B3u;
    for (size_t i = 0; i < node->change_count; i++)
        total += node->changes[i].bytes;
    uint64_t keep = keep_mode == KEEP_NONE ? 0 : random_of(&state) % (total + 1);
    uint64_t start = total;
    for (size_t i = node->change_count; i-- > 0;) {
        const Change *change = &node->changes[i];
        start -= change->bytes;
        if (keep_mode != KEEP_NONE && start + change->bytes <= keep && keep > 0)
            continue;
        uint64_t kept = start < keep ? keep - start : 0;
        undo(fd, change, kept);
        if (keep_mode == KEEP_TORN && kept > 0)
            tear(fd, change, kept, &state);
    }
}

static void write_file(const Node *node, const char *name, const char *to)
{
    char from[PATH_BYTES];
    if (node->is_aside)
        aside_name(from, node);
    else
        snprintf(from, sizeof from, "%s", node->path ? node->path : "");
    int in = (int)syscall(SYS_openat, AT_FDCWD, from, O_RDONLY, 0);
    if (in < 0)
        fault_die("a durable file is lost to the library", name);
    struct stat st;
    fstat(in, &st);
    int out = (int)syscall(SYS_openat, AT_FDCWD, to, O_RDWR | O_CREAT | O_EXCL, st.st_mode & 0777);
    if (out < 0)
        fault_die("cannot make", to);
    static char piece[COPY_BYTES];
    uint64_t offset = 0;
    for (ssize_t got; (got = read(in, piece, sizeof piece)) > 0; offset += (uint64_t)got)
        put(out, piece, (uint64_t)got, offset);
    if (keep_mode != KEEP_ALL)
        undo_unsynced(out, node, name);
    syscall(SYS_close, in);
    syscall(SYS_close, out);
}

static void write_folder(const Node *node, const char *to)
{
    if (syscall(SYS_mkdirat, AT_FDCWD, to, 0700) != 0)
        fault_die("cannot make", to);
    for (size_t i = 0; node && i < node->entry_count; i++) {
        const Entry *entry = &node->entries[i];
        char below[PATH_BYTES];
        join(below, to, entry->name);
        if (entry->node->is_folder)
            write_folder(entry->node, below);
        else
            write_file(entry->node, entry->name, below);
    }
}

void disk_cut(void)
{
    struct stat st; /* the watched folder's own name counts as durable, whoever made it */
    const Node *root = stat(root_path, &st) == 0 ? *slot_of(st.st_ino) : NULL;
    find_paths(root_path);
    write_folder(root, after_path);
    disk_stop();
}
