/* watched.h - is this test run by a sanitizer, by Valgrind or by an emulator?
 *
 * They keep memory of their own, so pages and mappings cannot be counted then; and they
 * allow fewer fibers: ThreadSanitizer 8,128, the others as many as one has patience for.
 *
 * STOA_TEST_EMULATOR is the program that runs ours (tests/aarch64.ini): tests that start
 * themselves again go by it, for the kernel cannot run them.
 */
#ifndef STOA_TESTS_WATCHED_H
#define STOA_TESTS_WATCHED_H

#include <stdbool.h>
#include <stdlib.h>

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

#if defined(__has_feature)
#define HAS(feature) __has_feature(feature)
#else
#define HAS(feature) 0
#endif

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__) || HAS(thread_sanitizer) ||      \
    HAS(address_sanitizer)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static inline const char *emulator(void)
{
    return getenv("STOA_TEST_EMULATOR");
}

static inline bool watched(void)
{
    return SANITIZED || RUNNING_ON_VALGRIND || emulator();
}

#endif
