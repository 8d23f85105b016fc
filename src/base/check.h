/* check.h - what must hold: CHECK always looks, ASSERT in debug builds only.
 *
 * For a programmer's mistake, ours or the caller's.  What the environment does
 * (no memory, no network, a strange peer) is never checked so: it is returned.
 */
#ifndef STOA_BASE_CHECK_H
#define STOA_BASE_CHECK_H

/* Print "stoa: <file>:<line>: <sentence>" on standard error and abort. */
__attribute__((noreturn, cold)) void check_failed(const char *file, int line, const char *sentence);

#define CHECK(holds, sentence)                                                                     \
    (__builtin_expect(!(holds), 0) ? check_failed(__FILE__, __LINE__, sentence) : (void)0)

#ifdef NDEBUG
#define ASSERT(holds, sentence) ((void)sizeof(holds))
#else
#define ASSERT(holds, sentence) CHECK(holds, sentence)
#endif

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#endif
