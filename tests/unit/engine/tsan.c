/* SPDX-License-Identifier: Apache-2.0
 *
 * What the thread sanitizer has to be told about DuckDB, which is not built with it: it sees that
 * library's locks but none of its atomics, and so takes the hand-over of chunks, scans and tasks
 * between DuckDB's threads for races. Our own locks and atomics stay under test.
 */
#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif

#ifdef UNDER_TSAN
const char *__tsan_default_options(void);
const char *__tsan_default_suppressions(void);

const char *__tsan_default_options(void)
{
    return "ignore_noninstrumented_modules=1";
}

const char *__tsan_default_suppressions(void)
{
    return "called_from_lib:libduckdb.so\n"
           "race:libduckdb.so\n"
           "race:engine__read_value\n"; /* chunks that another thread of DuckDB filled */
}
#else
typedef int NothingWithoutTsan; /* a file may not be empty */
#endif
