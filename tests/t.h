/* t.h - the test kit: TEST, EXPECT_*, SKIP; TAP out.  Knows nothing of stoa.
 *
 *     TEST(three_is_more_than_two)
 *     {
 *         EXPECT_LT(2, 3);
 *     }
 *
 * A file is a program; it runs its tests in their order, or those named as
 * arguments.  An EXPECT that does not hold prints both values, counts, and the test
 * goes on: no jump, so it may stand in any thread and on any fiber.  After each test
 * the open descriptors are counted: more than before is a failure, too.
 *
 * Exit: 0 all passed, 1 something failed, 77 everything was skipped.
 * The other half is t.c.
 */
#ifndef STOA_TESTS_T_H
#define STOA_TESTS_T_H

#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct t_case {
    const char *name;
    void (*body)(void);
    void (*run)(void (*body)(void)); /* the place the body runs in; NULL = here */
    struct t_case *next;
};

extern atomic_int t_failed;           /* EXPECTs that did not hold, in the running test */
extern const char *_Atomic t_skipped; /* SKIP's reason in the running test */
extern int t_kept;                    /* descriptors that are to stay open to the end */
void t_add(struct t_case *c);
void t_fail(const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
const char *t_reason(void); /* stoa_errmsg()'s, if it is there */

/* A test: a function's body follows. */
#define TEST(name)                                                                                 \
    static void name(void);                                                                        \
    T_CASE(name, name##_here, #name, NULL)                                                         \
    static void name(void)

/* The same body once more, run by run(body), under another name.  For backends.h. */
#define T_CASE(fn, id, shown, runner)                                                              \
    static struct t_case id##_case = {.name = (shown), .body = (fn), .run = (runner)};             \
    __attribute__((constructor)) static void id##_add(void)                                        \
    {                                                                                              \
        t_add(&id##_case);                                                                         \
    }

/* Say why the test cannot be run here; then return from it. */
#define SKIP(reason) ((void)(t_skipped = (reason)))

#define EXPECT(holds) ((holds) ? (void)0 : t_fail(__FILE__, __LINE__, "EXPECT(%s)", #holds))

/* Numbers.  A long double holds every 64-bit integer and every double exactly. */
#define EXPECT_EQ(a, b) T_NUMBERS(a, ==, b)
#define EXPECT_NE(a, b) T_NUMBERS(a, !=, b)
#define EXPECT_LT(a, b) T_NUMBERS(a, <, b)
#define EXPECT_LE(a, b) T_NUMBERS(a, <=, b)
#define EXPECT_GT(a, b) T_NUMBERS(a, >, b)
#define EXPECT_GE(a, b) T_NUMBERS(a, >=, b)

#define T_NUMBERS(a, op, b)                                                                        \
    do {                                                                                           \
        long double a_ = (long double)(a), b_ = (long double)(b);                                  \
        if (!(a_ op b_))                                                                           \
            t_fail(__FILE__, __LINE__, "%s %s %s: %.21Lg and %.21Lg", #a, #op, #b, a_, b_);        \
    } while (0)

#define EXPECT_STR(a, b)                                                                           \
    do {                                                                                           \
        const char *a_ = (a), *b_ = (b);                                                           \
        if (!a_ || !b_ || strcmp(a_, b_) != 0)                                                     \
            t_fail(__FILE__, __LINE__, "%s is \"%s\", not \"%s\"", #a, a_ ? a_ : "NULL",           \
                   b_ ? b_ : "NULL");                                                              \
    } while (0)

/* The call returns -1 with errno want. */
#define EXPECT_ERR(call, want)                                                                     \
    do {                                                                                           \
        errno = 0;                                                                                 \
        long long got_ = (long long)(call);                                                        \
        int errno_ = errno;                                                                        \
        if (got_ != -1 || errno_ != (want))                                                        \
            t_fail(__FILE__, __LINE__, "%s: returns %lld, %s (%s), not -1, %s", #call, got_,       \
                   strerrorname_np(errno_), t_reason(), #want);                                    \
    } while (0)

/* The call is good: 0 or more. */
#define EXPECT_OK(call)                                                                            \
    do {                                                                                           \
        long long got_ = (long long)(call);                                                        \
        int errno_ = errno;                                                                        \
        if (got_ < 0)                                                                              \
            t_fail(__FILE__, __LINE__, "%s: returns %lld, %s (%s)", #call, got_,                   \
                   strerrorname_np(errno_), t_reason());                                           \
    } while (0)

#endif
