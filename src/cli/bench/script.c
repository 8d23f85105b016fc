/* bench/script.c - bytes of chance, or of files, and the answers to them.
 *
 * The bytes of chance have all 256 values; their period is prime, so that a message that was
 * lost, doubled or swapped is found whatever its size.  The answer in upper case is
 * computed in the plainest way, apart from the server's.
 *
 * Limits: files of FILE_MAX bytes.
 */
#include "cli/bench/script.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHANCE_PERIOD = 8191,
    CHANCE_STEP = 61,
    FILE_MAX = 64 << 20,
};

static int endless_make(struct endless *e, size_t period)
{
    e->period = period;
    e->bytes = malloc(period + SCRIPT_CHUNK);
    return e->bytes ? 0 : -1;
}

/* The rest is the period once more, and again. */
static void endless_repeat(struct endless *e)
{
    size_t whole = e->period + SCRIPT_CHUNK;

    for (size_t done = e->period; done < whole; done += e->period)
        memcpy(e->bytes + done, e->bytes, whole - done < e->period ? whole - done : e->period);
}

static int make_chance(struct endless *e)
{
    uint32_t chance = 2463534242;

    if (endless_make(e, CHANCE_PERIOD) < 0)
        return -1;
    for (size_t i = 0; i < e->period; i++) {
        chance ^= chance << 13; /* xorshift32 */
        chance ^= chance >> 17;
        chance ^= chance << 5;
        e->bytes[i] = (uint8_t)(chance >> 11);
    }
    endless_repeat(e);
    return 0;
}

static int from_file(struct endless *e, const char *path, char *why, size_t why_size)
{
    FILE *f = fopen(path, "re");
    size_t len = 0;
    int r = -1;

    if (!f) {
        snprintf(why, why_size, "%s: %s", path, strerror(errno));
        return -1;
    }
    if (endless_make(e, FILE_MAX) < 0) {
        snprintf(why, why_size, "%s: out of memory", path);
        goto end;
    }
    len = fread(e->bytes, 1, FILE_MAX, f);
    if (ferror(f))
        snprintf(why, why_size, "%s: %s", path, strerror(errno));
    else if (len == FILE_MAX)
        snprintf(why, why_size, "%s: is longer than %d MiB", path, FILE_MAX >> 20);
    else if (len == 0)
        snprintf(why, why_size, "%s: is empty", path);
    else
        r = 0;
    if (r == 0) {
        uint8_t *less = realloc(e->bytes, len + SCRIPT_CHUNK);
        e->bytes = less ? less : e->bytes;
        e->period = len;
        endless_repeat(e);
    }
end:
    fclose(f);
    return r;
}

static int make_want(struct script *s)
{
    if (endless_make(&s->want, s->ask.period) < 0)
        return -1;
    for (size_t i = 0; i < s->want.period; i++) {
        uint8_t c = s->ask.bytes[i];
        bool lower = s->expect == EXPECT_UPPER && c >= 'a' && c <= 'z';
        s->want.bytes[i] = lower ? (uint8_t)(c - 'a' + 'A') : c;
    }
    endless_repeat(&s->want);
    return 0;
}

int script_make(struct script *s, enum expect expect, size_t size, size_t answer_len,
                const char *ask_path, const char *want_path, char *why, size_t why_size)
{
    *s = (struct script){.expect = expect, .ask_len = size, .step = ask_path ? 0 : CHANCE_STEP};
    if (ask_path && from_file(&s->ask, ask_path, why, why_size) < 0)
        return -1;
    if (ask_path)
        s->ask_len = s->ask.period;
    if (!ask_path && make_chance(&s->ask) < 0)
        goto fail_memory;
    s->answer_len = s->ask_len;
    if (expect == EXPECT_FILE) {
        if (from_file(&s->want, want_path, why, why_size) < 0)
            return -1;
        s->answer_len = s->want.period;
    } else if (expect == EXPECT_LENGTH) {
        s->answer_len = answer_len ? answer_len : s->ask_len;
    } else if (expect == EXPECT_NOTHING) {
        s->answer_len = 0;
    } else if (make_want(s) < 0) {
        goto fail_memory;
    }
    return 0;

fail_memory:
    snprintf(why, why_size, "out of memory");
    return -1;
}

void script_free(struct script *s)
{
    free(s->ask.bytes);
    free(s->want.bytes);
}

bool script_right(const struct script *s, size_t at, const uint8_t *came, size_t len, size_t *wrong)
{
    const uint8_t *want = s->want.bytes;

    if (!want || __builtin_expect(memcmp(came, want + at, len) == 0, 1))
        return true;
    for (*wrong = 0; came[*wrong] == want[at + *wrong];)
        ++*wrong;
    return false;
}
