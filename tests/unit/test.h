/* SPDX-License-Identifier: Apache-2.0
 *
 * The unit-test harness: a TEST says in its name what it would catch. Each src folder's tests link
 * into one program with only the libraries src/LAYERS allows that folder.
 *
 *     TEST("a key that is a prefix of another sorts before it") { CHECK(order < 0); }
 *
 * A failed CHECK, in whatever thread, prints its place and ends the test and all that it started;
 * the others still run.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"

typedef void TestFunction(void);
void test_register(const char *file, const char *name, TestFunction *run);
_Noreturn void test_failed(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Of the test that runs: for several tests with one function. */
const char *test_name(void);
/* A fresh folder that is removed with everything in it after the test. */
const char *test_folder(void);
/* Seeded per test; printed on failure; KALAM_TEST_SEED replays. */
uint64_t test_random(void);

#define TEST_NAME_2(a, b) a##b
#define TEST_NAME(a, b) TEST_NAME_2(a, b)
#define TEST(name)                                                                \
    static void TEST_NAME(test_body_, __LINE__)(void);                            \
    __attribute__((constructor)) static void TEST_NAME(test_add_, __LINE__)(void) \
    {                                                                             \
        test_register(__FILE__, name, TEST_NAME(test_body_, __LINE__));           \
    }                                                                             \
    static void TEST_NAME(test_body_, __LINE__)(void)

#define CHECK(condition) \
    ((condition) ? (void)0 : test_failed(__FILE__, __LINE__, "not true: %s", #condition))
#define CHECK_INT(got, want)                                                             \
    do {                                                                                 \
        long long got_ = (long long)(got), want_ = (long long)(want);                    \
        if (got_ != want_)                                                               \
            test_failed(__FILE__, __LINE__, "%s is %lld, want %lld", #got, got_, want_); \
    } while (0)
void test_check_slice(const char *file, int line, const char *what, Slice got, Slice want);
#define CHECK_SLICE(got, want) test_check_slice(__FILE__, __LINE__, #got, (got), (want))
#define CHECK_TEXT(got, want) \
    test_check_slice(__FILE__, __LINE__, #got, slice_of_text(got), slice_of_text(want))
/* The call must return OK; on failure the error's text is printed. */
#define CHECK_OK(call)                                                                         \
    do {                                                                                       \
        Error e_ = {0}, *e = &e_;                                                              \
        (void)e;                                                                               \
        Code code_ = (call);                                                                   \
        if (code_ != OK)                                                                       \
            test_failed(__FILE__, __LINE__, "%s failed: %s %s", #call, code_info(code_)->name, \
                        e_.text);                                                              \
    } while (0)
/* The call must fail with `want`; inside, `e` is the Error to pass. */
#define CHECK_CODE(call, want)                                                  \
    do {                                                                        \
        Error e_ = {0}, *e = &e_;                                               \
        (void)e;                                                                \
        Code code_ = (call);                                                    \
        if (code_ != (want))                                                    \
            test_failed(__FILE__, __LINE__, "%s gave %s (%s), want %s", #call,  \
                        code_ ? code_info(code_)->name : "OK", e_.text, #want); \
    } while (0)
