/* SPDX-License-Identifier: Apache-2.0
 *
 * Proves the disk-fault library: `fault_selftest libfault.so`. For each case it starts itself again
 * with the library preloaded, lets that child change files until its power is cut, and looks at
 * what the disk would hold. Ends with "N passed, N failed".
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_BYTES = 512, CONTENT_BYTES_MAX = 1 << 20, VARIABLES_MAX = 8, DONE = 7 };

typedef struct Case {
    const char *name; /* what it would catch */
    void (*child)(void);
    void (*check)(void);
    const char *variables[VARIABLES_MAX];
    int status;      /* of the child */
    bool real_state; /* look at the folder itself, not at what is left after a cut */
} Case;

static char top[PATH_BYTES];
static const char *look_in; /* the folder that checks read */
static int problems;

#define EXPECT(condition)                                                                     \
    ((condition) ? (void)0                                                                    \
                 : (problems++, (void)fprintf(stderr, "  selftest.c:%d: not true: %s (%s)\n", \
                                              __LINE__, #condition, strerror(errno))))

/* ---- What children do: in the folder "disk", which holds the durable file "old" ---- */

static int make(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT, 0644);
    EXPECT(fd >= 0);
    return fd;
}

static void add(int fd, const char *text)
{
    EXPECT(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

static void sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY);
    EXPECT(fd >= 0 && fsync(fd) == 0);
    close(fd);
}

/* A child in which something was wrong ends with another status. */
_Noreturn static void end(void)
{
    exit(problems ? 1 : DONE);
}

static void cut_power(void)
{
    if (problems)
        exit(1);
    raise(SIGUSR2);
    for (;;)
        pause();
}

static void write_three_ways(void)
{
    int synced = make("disk/synced"), half = make("disk/half"), none = make("disk/none");
    int nameless = make("disk/late");
    add(synced, "abc");
    EXPECT(fdatasync(synced) == 0);
    add(half, "abc");
    EXPECT(fsync(half) == 0);
    add(half, "def");
    add(none, "xyz");
    unlink("disk/late");
    sync_folder("disk");
    int late = make("disk/late");
    add(late, "abc");
    EXPECT(fsync(late) == 0);
    close(nameless);
    cut_power();
}

static void change_old(void)
{
    int fd = open("disk/old", O_RDWR);
    EXPECT(pwrite(fd, "ZZ", 2, 1) == 2);
    EXPECT(ftruncate(fd, 2) == 0);
    struct iovec parts[2] = {{"more", 4}, {"than before", 11}};
    EXPECT(pwritev(fd, parts, 2, 1) == 15);
    close(fd);
    close(open("disk/old", O_WRONLY | O_TRUNC));
    fd = open("disk/old", O_WRONLY | O_APPEND);
    add(fd, "new");
    cut_power();
}

static void replace_old(const char *sync)
{
    int fd = make("disk/temporary");
    add(fd, "replaced");
    EXPECT(fsync(fd) == 0);
    close(fd);
    EXPECT(rename("disk/temporary", "disk/old") == 0);
    if (sync)
        sync_folder(sync);
    cut_power();
}

static void rename_unsynced(void)
{
    replace_old(NULL);
}

static void rename_synced(void)
{
    replace_old("disk");
}

static void remove_unsynced(void)
{
    EXPECT(unlink("disk/old") == 0);
    add(make("disk/old"), "another file of that name");
    cut_power();
}

static void remove_synced(void)
{
    EXPECT(remove("disk/old") == 0);
    sync_folder("disk");
    cut_power();
}

static void make_folders(void)
{
    for (int i = 0; i < 2; i++) {
        EXPECT(mkdir(i ? "disk/lost" : "disk/kept", 0755) == 0);
        int fd = make(i ? "disk/lost/file" : "disk/kept/file");
        add(fd, "abc");
        EXPECT(fsync(fd) == 0);
        sync_folder(i ? "disk/lost" : "disk/kept");
        if (i == 0)
            sync_folder("disk");
    }
    EXPECT(rename("disk/kept", "disk/moved") == 0);
    cut_power();
}

static void make_whole_disk(void)
{
    EXPECT(unlink("disk/old") == 0 && rmdir("disk") == 0);
    EXPECT(mkdir("disk", 0755) == 0);
    int fd = make("disk/new");
    add(fd, "abc");
    EXPECT(fsync(fd) == 0);
    sync_folder("disk");
    cut_power();
}

static void fail_third_write(void)
{
    int fd = make("disk/new");
    add(fd, "a");
    add(fd, "b");
    errno = 0;
    EXPECT(write(fd, "c", 1) == -1 && errno == ENOSPC);
    EXPECT(write(fd, "d", 1) == 1);
    end();
}

static void fail_for_ever(void)
{
    int fd = make("disk/new");
    for (int i = 0; i < 3; i++) {
        errno = 0;
        EXPECT(write(fd, "c", 1) == -1 && errno == EDQUOT);
    }
    EXPECT(fsync(fd) == 0);
    end();
}

static void write_short(void)
{
    int fd = make("disk/new");
    EXPECT(write(fd, "abcdef", 6) == 3);
    add(fd, "def");
    end();
}

static void fail_sync(void)
{
    int fd = make("disk/new");
    sync_folder("disk");
    add(fd, "abc");
    EXPECT(fsync(fd) == -1 && errno == EIO);
    cut_power();
}

static void ask_for_ranges(void)
{
    int fd = make("disk/new");
    EXPECT(sync_file_range(fd, 0, 0, 0) == 0); /* a question, which RocksDB asks, and no write */
    EXPECT(sync_file_range(fd, 0, 1, SYNC_FILE_RANGE_WRITE) == -1 && errno == EIO);
    end();
}

/* fclose() closes without asking the library. */
static void write_to_a_socket(void)
{
    int old = make("disk/new"), pair[2];
    FILE *file = fdopen(old, "w");
    EXPECT(file && fclose(file) == 0);
    EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    EXPECT(pair[0] == old);
    EXPECT(write(pair[0], "abc", 3) == 3);
    end();
}

static void append_until_cut(void)
{
    int fd = make("disk/new");
    sync_folder("disk");
    for (int i = 0; i < 100; i++) {
        add(fd, "0123456789");
        EXPECT(i % 10 || fdatasync(fd) == 0);
    }
    exit(1); /* the cut comes before */
}

static void append_much(void)
{
    int fd = make("disk/new");
    sync_folder("disk");
    for (int i = 0; i < 1000; i++) {
        add(fd, "0123456789");
        if (i == 499)
            EXPECT(fsync(fd) == 0);
    }
    cut_power();
}

static void *append_in_thread(void *path)
{
    int fd = make(path);
    sync_folder("disk");
    for (int i = 0; i < 2000; i++) {
        add(fd, "0123456789");
        EXPECT(fdatasync(fd) == 0);
    }
    add(fd, "lost");
    return NULL;
}

static void append_in_threads(void)
{
    static char paths[4][32];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        snprintf(paths[i], sizeof paths[i], "disk/%d", i);
        EXPECT(pthread_create(&threads[i], NULL, append_in_thread, paths[i]) == 0);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    cut_power();
}

static void write_elsewhere(void)
{
    int fd = make("elsewhere");
    add(fd, "abc");
    EXPECT(rename("elsewhere", "elsewhere2") == 0);
    add(make("disk/new"), "abc");
    end();
}

static void count_when_armed(void)
{
    int fd = make("disk/new");
    add(fd, "a");
    close(make("arm"));
    errno = 0;
    EXPECT(write(fd, "b", 1) == -1 && errno == EIO);
    end();
}

/* ---- A random run against a model ---- */

enum { NAMES = 6, MODEL_FILES = 400, MODEL_BYTES = 3000, STEPS = 600 };

typedef struct ModelFile {
    char now[MODEL_BYTES], durable[MODEL_BYTES];
    size_t now_bytes, durable_bytes;
} ModelFile;

static struct {
    ModelFile files[MODEL_FILES];
    int file_count;
    int now[NAMES], durable[NAMES]; /* which file has the name, or -1 */
    uint64_t state;
} model;

static unsigned below(unsigned limit)
{
    model.state = model.state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(model.state >> 33) % limit;
}

static char *name_of(int index)
{
    static char name[32];
    snprintf(name, sizeof name, "disk/%d", index);
    return name;
}

static ModelFile *file_at(int index)
{
    if (model.now[index] < 0)
        abort();
    return &model.files[model.now[index]];
}

static void model_create(int index, bool truncate)
{
    int flags = O_WRONLY | O_CREAT | (truncate ? O_TRUNC : 0);
    int fd = open(name_of(index), flags, 0644);
    EXPECT(fd >= 0);
    close(fd);
    if (model.now[index] < 0)
        model.now[index] = model.file_count++;
    else if (truncate)
        model.files[model.now[index]].now_bytes = 0;
}

static void model_write(int index)
{
    ModelFile *f = file_at(index);
    size_t bytes = 1 + below(700),
           offset = below(2) ? f->now_bytes : below((unsigned)f->now_bytes + 50);
    if (offset + bytes > MODEL_BYTES)
        return;
    char piece[700];
    for (size_t i = 0; i < bytes; i++)
        piece[i] = (char)('a' + below(26));
    int fd = open(name_of(index), O_WRONLY | (offset == f->now_bytes ? O_APPEND : 0));
    ssize_t done =
        offset == f->now_bytes ? write(fd, piece, bytes) : pwrite(fd, piece, bytes, (off_t)offset);
    EXPECT(done == (ssize_t)bytes);
    close(fd);
    if (offset > f->now_bytes)
        memset(f->now + f->now_bytes, 0, offset - f->now_bytes);
    memcpy(f->now + offset, piece, bytes);
    f->now_bytes = offset + bytes > f->now_bytes ? offset + bytes : f->now_bytes;
}

static void model_resize(int index)
{
    ModelFile *f = file_at(index);
    size_t bytes = below(MODEL_BYTES);
    EXPECT(truncate(name_of(index), (off_t)bytes) == 0);
    if (bytes > f->now_bytes)
        memset(f->now + f->now_bytes, 0, bytes - f->now_bytes);
    f->now_bytes = bytes;
}

static void model_sync(int index)
{
    ModelFile *f = file_at(index);
    int fd = open(name_of(index), O_RDONLY);
    EXPECT(fd >= 0 && fsync(fd) == 0);
    close(fd);
    memcpy(f->durable, f->now, f->now_bytes);
    f->durable_bytes = f->now_bytes;
}

static void model_rename(int from, int to)
{
    char target[32];
    snprintf(target, sizeof target, "%s", name_of(to));
    EXPECT(rename(name_of(from), target) == 0);
    model.now[to] = model.now[from];
    model.now[from] = -1;
}

static void model_step(void)
{
    int index = (int)below(NAMES), other = (int)below(NAMES);
    unsigned action = below(12);
    if (action == 0) {
        sync_folder("disk");
        memcpy(model.durable, model.now, sizeof model.now);
    } else if (model.now[index] < 0) {
        model_create(index, false);
    } else if (action == 1) {
        EXPECT(unlink(name_of(index)) == 0);
        model.now[index] = -1;
    } else if (action == 2 && index != other) {
        model_rename(index, other);
    } else if (action == 3) {
        model_create(index, true);
    } else if (action == 4) {
        model_resize(index);
    } else if (action <= 6) {
        model_sync(index);
    } else {
        model_write(index);
    }
}

static void run_model(void)
{
    model.state = strtoull(getenv("SELFTEST_SEED"), NULL, 10);
    for (int i = 0; i < NAMES; i++)
        model.now[i] = model.durable[i] = -1;
    for (int step = 0; step < STEPS && model.file_count < MODEL_FILES; step++)
        model_step();
    for (int i = 0; i < NAMES; i++) { /* what is expected, beside the watched folder */
        if (model.durable[i] < 0)
            continue;
        const ModelFile *f = &model.files[model.durable[i]];
        char path[32];
        snprintf(path, sizeof path, "expected-%d", i);
        int fd = make(path);
        EXPECT(write(fd, f->durable, f->durable_bytes) == (ssize_t)f->durable_bytes);
        close(fd);
    }
    cut_power();
}

/* ---- What must be found ---- */

static char content[CONTENT_BYTES_MAX];

static const char *content_of(const char *name)
{
    char path[PATH_BYTES * 2];
    snprintf(path, sizeof path, "%s/%s", look_in, name);
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return "(none)";
    ssize_t size = read(fd, content, sizeof content - 1);
    close(fd);
    content[size < 0 ? 0 : size] = 0;
    return content;
}

static void expect_content(const char *name, const char *want)
{
    const char *got = content_of(name);
    if (strcmp(got, want) == 0)
        return;
    problems++;
    fprintf(stderr, "  %s holds `%.60s`, want `%.60s`\n", name, got, want);
}

static void check_three_ways(void)
{
    expect_content("synced", "abc");
    expect_content("half", "abc");
    expect_content("none", "");
    expect_content("late", "(none)");
    expect_content("old", "durable");
}

static void check_old(void)
{
    expect_content("old", "durable");
    expect_content("temporary", "(none)");
}

static void check_replaced(void)
{
    expect_content("old", "replaced");
    expect_content("temporary", "(none)");
}

static void check_gone(void)
{
    expect_content("old", "(none)");
}

static void check_folders(void)
{
    expect_content("kept/file", "abc");
    expect_content("lost/file", "(none)");
    expect_content("moved/file", "(none)");
}

static void check_new_disk(void)
{
    expect_content("new", "abc");
    expect_content("old", "(none)");
}

static void check_abd(void)
{
    expect_content("new", "abd");
}

static void check_abcdef(void)
{
    expect_content("new", "abcdef");
}

static void check_empty_new(void)
{
    expect_content("new", "");
}

static void check_cut_at_call(void)
{
    /* open 1, folder sync 2, write 3, sync 4; then 10 writes and a sync: 11 calls each round. The
     * cut at call 30 comes before the write that would be the 24th; 21 writes were synced at call
     * 26. */
    EXPECT(strlen(content_of("new")) == 210);
}

static void check_prefix(void)
{
    size_t size = strlen(content_of("new"));
    EXPECT(size >= 5000 && size <= 10000);
    EXPECT(size != 5000 && size != 10000); /* the seed decides; this one keeps a part */
    for (size_t i = 0; i < size; i++) {
        if (content[i] != (char)('0' + i % 10)) {
            EXPECT(content[i] == (char)('0' + i % 10));
            return;
        }
    }
}

static void check_torn(void)
{
    char path[PATH_BYTES * 2];
    struct stat st;
    snprintf(path, sizeof path, "%s/new", look_in);
    EXPECT(stat(path, &st) == 0 && st.st_size > 5000);
    content_of("new");
    size_t wrong = 0, first = 0;
    for (size_t i = 0; i < (size_t)st.st_size; i++) {
        if (content[i] == (char)('0' + i % 10))
            continue;
        first = wrong++ ? first : i;
    }
    EXPECT(wrong > 0 && first >= 5000);
    EXPECT(first >= (size_t)st.st_size / 512 * 512);
}

static void check_threads(void)
{
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        EXPECT(strlen(content_of(name)) == 20000);
    }
}

static void check_log(void)
{
    look_in = top;
    const char *log = content_of("log");
    EXPECT(strncmp(log, "1 write 3 ", 10) == 0 && !strstr(log, "elsewhere"));
}

static size_t read_whole(const char *path, char *out, size_t bytes_max)
{
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return SIZE_MAX;
    ssize_t size = read(fd, out, bytes_max);
    close(fd);
    return size < 0 ? SIZE_MAX : (size_t)size;
}

static void check_model(void)
{
    for (int i = 0; i < NAMES; i++) {
        char got[MODEL_BYTES], want[MODEL_BYTES], path[32];
        snprintf(path, sizeof path, "after/%d", i);
        size_t got_bytes = read_whole(path, got, sizeof got);
        snprintf(path, sizeof path, "expected-%d", i);
        size_t want_bytes = read_whole(path, want, sizeof want);
        EXPECT(got_bytes == want_bytes);
        EXPECT(got_bytes != want_bytes || got_bytes == SIZE_MAX ||
               memcmp(got, want, got_bytes) == 0);
    }
}

/* A child whose power is cut; a child that ends by itself, after which the folder itself is looked
 * at. */
#define CUT(child_, check_, name_, ...)                                                    \
    {                                                                                      \
        .name = (name_), .child = (child_), .check = (check_), .variables = {__VA_ARGS__}, \
        .status = 137                                                                      \
    }
#define MODEL(seed) CUT(run_model, check_model, "a random run, seed " seed, "SELFTEST_SEED=" seed)
#define END(child_, check_, name_, ...)                                                    \
    {                                                                                      \
        .name = (name_), .child = (child_), .check = (check_), .variables = {__VA_ARGS__}, \
        .status = DONE, .real_state = true                                                 \
    }

static const Case cases[] = {
    CUT(write_three_ways, check_three_ways, "unsynced bytes and names are lost, synced ones stay"),
    CUT(change_old, check_old, "overwritten and cut-off bytes come back"),
    CUT(rename_unsynced, check_old, "a rename without a folder sync is undone"),
    CUT(rename_synced, check_replaced, "a rename with a folder sync stays"),
    CUT(remove_unsynced, check_old, "a removal without a folder sync is undone"),
    CUT(remove_synced, check_gone, "a removal with a folder sync stays"),
    CUT(make_folders, check_folders, "a folder whose name was not synced is lost with all in it"),
    CUT(make_whole_disk, check_new_disk, "the watched folder itself may be made anew"),
    END(fail_third_write, check_abd, "only the n-th call fails", "KALAM_FAULT_MODE=fail",
        "KALAM_FAULT_ERRNO=ENOSPC", "KALAM_FAULT_OPS=write", "KALAM_FAULT_AT=3"),
    END(fail_for_ever, check_empty_new, "a full disk stays full", "KALAM_FAULT_MODE=fail",
        "KALAM_FAULT_ERRNO=EDQUOT", "KALAM_FAULT_OPS=write,allocate", "KALAM_FAULT_AT=1",
        "KALAM_FAULT_TIMES=0"),
    END(write_short, check_abcdef, "a short write writes the first half", "KALAM_FAULT_MODE=short",
        "KALAM_FAULT_OPS=write", "KALAM_FAULT_AT=1"),
    CUT(fail_sync, check_empty_new, "a failed sync makes nothing durable", "KALAM_FAULT_MODE=fail",
        "KALAM_FAULT_OPS=fsync", "KALAM_FAULT_PATH=disk/new", "KALAM_FAULT_AT=1"),
    END(ask_for_ranges, NULL, "whether ranges can be synced is no call", "KALAM_FAULT_MODE=fail",
        "KALAM_FAULT_OPS=range", "KALAM_FAULT_AT=1"),
    END(write_to_a_socket, NULL, "a socket that has the number of a file is left alone",
        "KALAM_FAULT_MODE=fail", "KALAM_FAULT_OPS=write", "KALAM_FAULT_AT=1"),
    CUT(append_until_cut, check_cut_at_call, "the power is cut before the n-th call",
        "KALAM_FAULT_MODE=cut", "KALAM_FAULT_AT=30"),
    CUT(append_much, check_prefix, "a kept prefix is a prefix", "KALAM_FAULT_KEEP=prefix",
        "KALAM_FAULT_SEED=5"),
    CUT(append_much, check_torn, "a torn block spares what was synced", "KALAM_FAULT_KEEP=torn",
        "KALAM_FAULT_SEED=5"),
    CUT(append_in_threads, check_threads, "threads do not lose each other's syncs"),
    CUT(write_three_ways, check_three_ways, "real syncs give the same result",
        "KALAM_FAULT_REAL_SYNC=1"),
    END(write_elsewhere, check_log, "other folders are left alone, and the log names each call",
        "KALAM_FAULT_LOG=log", "KALAM_FAULT_OPS=write"),
    END(count_when_armed, NULL, "calls before arming do not count", "KALAM_FAULT_ARM=arm",
        "KALAM_FAULT_MODE=fail", "KALAM_FAULT_AT=1"),
    MODEL("1"),
    MODEL("2"),
    MODEL("3"),
    MODEL("4"),
    MODEL("5"),
    MODEL("6"),
    MODEL("7"),
    MODEL("8"),
    MODEL("9"),
    MODEL("10"),
    MODEL("11"),
    MODEL("12"),
    MODEL("13"),
    MODEL("14"),
    MODEL("15"),
    MODEL("16"),
    MODEL("17"),
    MODEL("18"),
    MODEL("19"),
    MODEL("20"),
};

/* ---- Running them ---- */

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

_Noreturn static void become_child(const char *self, const char *library, size_t index)
{
    char number[16], preload[PATH_MAX + 16];
    snprintf(number, sizeof number, "%zu", index);
    snprintf(preload, sizeof preload, "LD_PRELOAD=%s", library);
    char *variables[VARIABLES_MAX + 4] = {preload, "KALAM_FAULT_DIR=disk"};
    size_t count = 2;
    variables[count++] = cases[index].real_state ? "X=" : "KALAM_FAULT_AFTER=after";
    for (size_t i = 0; i < VARIABLES_MAX && cases[index].variables[i]; i++)
        variables[count++] = (char *)cases[index].variables[i];
    char *arguments[] = {(char *)self, "--child", number, NULL};
    execve(self, arguments, variables);
    perror(self);
    _exit(1);
}

static void prepare(void)
{
    snprintf(top, sizeof top, "%s/kalam-fault-XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    EXPECT(mkdtemp(top) && chdir(top) == 0);
    EXPECT(mkdir("disk", 0755) == 0);
    int fd = make("disk/old");
    add(fd, "durable");
    close(fd);
}

static bool run(const char *self, const char *library, size_t index)
{
    const Case *c = &cases[index];
    problems = 0;
    prepare();
    pid_t pid = fork();
    if (pid == 0)
        become_child(self, library, index);
    int status = 0;
    EXPECT(waitpid(pid, &status, 0) == pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != c->status) {
        problems++;
        fprintf(stderr, "  the child ended with %#x, want exit %d\n", status, c->status);
    }
    look_in = c->real_state ? "disk" : "after";
    if (c->check)
        c->check();
    EXPECT(access("disk.fault-aside", F_OK) != 0);
    EXPECT(chdir("/") == 0);
    nftw(top, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    if (problems)
        fprintf(stderr, "FAILED %s\n", c->name);
    return problems == 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--child") == 0) {
        cases[strtoul(argv[2], NULL, 10)].child();
        return 1;
    }
    char self[PATH_BYTES], library[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    if (argc != 2 || size < 0 || !realpath(argv[1], library)) {
        fprintf(stderr, "usage: fault_selftest libfault.so\n");
        return 2;
    }
    self[size] = 0;
    int passed = 0, failed = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (run(self, library, i))
            passed++;
        else
            failed++;
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
