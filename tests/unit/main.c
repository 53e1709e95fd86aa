/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs the registered tests, one after the other, and ends with "N passed, N failed".
 * With an argument only the tests whose name or file contains it.
 *
 * A failed check may stand anywhere: in a thread, or where threads use the stack and the locks of a
 * test that has started them. So nothing is taken apart after it: the program starts itself again,
 * with the tests that are left.
 */
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

enum { TESTS_MAX = 2000 };

static struct {
    const char *file, *name;
    TestFunction *run;
} tests[TESTS_MAX];
static int test_count, running, passed, failed;
static const char *wanted = ""; /* in the name or the file of a test */
static char folder[256];
static uint64_t seed, state;
static pid_t runner; /* and not a child that a test has forked */

void test_register(const char *file, const char *name, TestFunction *run)
{
    if (test_count == TESTS_MAX)
        abort();
    tests[test_count].file = file;
    tests[test_count].name = name;
    tests[test_count++].run = run;
}

/* Threads end with the program they belong to. */
_Noreturn static void go_on_with_the_rest(void)
{
    char next[16], passes[16], failures[16];
    snprintf(next, sizeof next, "%d", running + 1);
    snprintf(passes, sizeof passes, "%d", passed);
    snprintf(failures, sizeof failures, "%d", failed + 1);
    sigset_t none; /* threads block signals */
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    execl("/proc/self/exe", "unit", wanted, next, passes, failures, folder, (char *)NULL);
    abort();
}

_Noreturn void test_failed(const char *file, int line, const char *format, ...)
{
    static atomic_flag has_failed = ATOMIC_FLAG_INIT;
    while (atomic_flag_test_and_set(&has_failed)) /* another thread tells of this test */
        pause();
    va_list args;
    va_start(args, format);
    fprintf(stderr, "  %s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    if (getpid() != runner)
        _exit(1);
    fprintf(stderr, "FAILED %s: %s (KALAM_TEST_SEED=%llu)\n", tests[running].file,
            tests[running].name, (unsigned long long)seed);
    go_on_with_the_rest();
}

void test_check_slice(const char *file, int line, const char *what, Slice got, Slice want)
{
    if (!slice_equal(got, want))
        test_failed(file, line, "%s is `%.*s`, want `%.*s`", what, SLICE_ARGS(got),
                    SLICE_ARGS(want));
}

const char *test_folder(void)
{
    if (!folder[0]) {
        const char *base = getenv("TMPDIR");
        snprintf(folder, sizeof folder, "%s/kalam-test-XXXXXX", base ? base : "/tmp");
        if (!mkdtemp(folder))
            abort();
    }
    return folder;
}

uint64_t test_random(void)
{
    state += 0x9E3779B97F4A7C15u; /* splitmix64 */
    uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

const char *test_name(void)
{
    return tests[running].name;
}

static void remove_folder(void)
{
    if (folder[0])
        nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    folder[0] = 0;
}

static void run_one(int index)
{
    state = seed;
    running = index;
    tests[index].run();
    remove_folder();
    passed++;
}

/* All programs that go on after a failure take the seed of the first. */
static void choose_seed(void)
{
    char text[24];
    const char *given = getenv("KALAM_TEST_SEED");
    seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid();
    snprintf(text, sizeof text, "%llu", (unsigned long long)seed);
    setenv("KALAM_TEST_SEED", text, 1);
}

/* unit [<word> [<first test> <passed> <failed> <folder that a failed test left>]] */
int main(int argc, char **argv)
{
    int first = 0;
    runner = getpid();
    choose_seed();
    if (argc > 1)
        wanted = argv[1];
    if (argc == 6) {
        first = (int)strtol(argv[2], NULL, 10);
        passed = (int)strtol(argv[3], NULL, 10);
        failed = (int)strtol(argv[4], NULL, 10);
        snprintf(folder, sizeof folder, "%s", argv[5]);
        remove_folder();
    }
    for (int i = first; i < test_count; i++) {
        if (strstr(tests[i].name, wanted) || strstr(tests[i].file, wanted))
            run_one(i);
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed || passed == 0;
}
