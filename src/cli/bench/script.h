/* bench/script.h - what is sent, and what must come back.  Knows no socket.
 *
 * A connection sends the same bytes for ever, from a place of its own on, and each byte that
 * comes is compared with the one that must come: two memory areas serve all connections.
 */
#ifndef STOA_CLI_BENCH_SCRIPT_H
#define STOA_CLI_BENCH_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum expect {
    EXPECT_UPPER,
    EXPECT_ECHO,
    EXPECT_FILE,
    EXPECT_LENGTH,  /* so many bytes, whichever: --no-verify */
    EXPECT_NOTHING, /* no answer: --expect none */
};

enum { SCRIPT_CHUNK = 256 << 10 }; /* the most that is sent or compared at once */

/* Bytes that repeat for ever: any SCRIPT_CHUNK of them lie in a row. */
struct endless {
    uint8_t *bytes; /* period + SCRIPT_CHUNK of them */
    size_t period;
};

struct script {
    enum expect expect;
    size_t ask_len; /* bytes of a message */
    size_t answer_len;
    struct endless ask, want; /* want has none where nothing is compared */
    size_t step;              /* connections begin so far apart */
};

/* Make it of the expectation and, where they are given, the files for a message and its answer.
 * size and answer_len: bytes, where there is no file.  0; -1 with the sentence in why. */
int script_make(struct script *s, enum expect expect, size_t size, size_t answer_len,
                const char *ask_path, const char *want_path, char *why, size_t why_size);
void script_free(struct script *s);

static inline size_t endless_next(const struct endless *e, size_t at, size_t len)
{
    at += len;
    return at < e->period ? at : at % e->period;
}

/* Are these len bytes, SCRIPT_CHUNK at most, what must come from `at` on?  Else *wrong is the
 * first that is not. */
bool script_right(const struct script *s, size_t at, const uint8_t *came, size_t len,
                  size_t *wrong);

#endif
