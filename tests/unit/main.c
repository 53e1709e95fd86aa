/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs the registered tests, one after the other, and ends with "N passed, N failed".
 * With an argument only the tests whose name or file contains it.
 */
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
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
static int test_count, running;
static jmp_buf leave;
static char folder[256];
static uint64_t seed, state;

void test_register(const char *file, const char *name, TestFunction *run)
{
    if (test_count == TESTS_MAX)
        abort();
    tests[test_count].file = file;
    tests[test_count].name = name;
    tests[test_count++].run = run;
}

_Noreturn void test_failed(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "  %s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    longjmp(leave, 1);
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

static bool run_one(int index)
{
    state = seed;
    running = index;
    folder[0] = 0;
    bool passed = setjmp(leave) == 0;
    if (passed)
        tests[index].run();
    else
        fprintf(stderr, "FAILED %s: %s (KALAM_TEST_SEED=%llu)\n", tests[index].file,
                tests[index].name, (unsigned long long)seed);
    if (folder[0])
        nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return passed;
}

int main(int argc, char **argv)
{
    const char *want = argc > 1 ? argv[1] : "";
    const char *given = getenv("KALAM_TEST_SEED");
    seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid();
    int passed = 0, failed = 0;
    for (int i = 0; i < test_count; i++) {
        if (!strstr(tests[i].name, want) && !strstr(tests[i].file, want))
            continue;
        if (run_one(i))
            passed++;
        else
            failed++;
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed || passed == 0;
}
