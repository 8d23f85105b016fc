/* bench/codec.c - V2 of HdrHistogram's encoding, both ways.
 *
 * Inside: a header of 40 bytes in network order, then the counters from the lowest on as
 * zigzag LEB128 numbers of 9 bytes at most, where -n means n counters of 0.  Around it: a
 * cookie, a length, and the bytes deflated by zlib; around that, base64.
 *
 * What is read is not trusted: every length is looked at before it is used, and a text
 * that inflates to more than any histogram has is refused.
 *
 * Source: HdrHistogram's AbstractHistogram.encodeIntoByteBuffer and ZigZagEncoding.
 */
#include "cli/bench/codec.h"

#include "cli/base64.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    COOKIE = 0x1c849303 | 0x10, /* V2, and what V2 writers add to it */
    COOKIE_DEFLATED = 0x1c849304 | 0x10,
    COOKIE_MASK = 0xf0, /* the word size of older versions */
    HEADER = 40,
    HEADER_DEFLATED = 8,
    NUMBER_MAX = 9,       /* bytes of a number */
    INSIDE_MAX = 4 << 20, /* bytes; more than counters of 5 digits have */
    INDEX_MAX = 1 << 24,  /* and more than they are */
};

#define COUNT_MAX (INT64_MAX / 4) /* of samples: a sum of two can still be written */

static uint8_t *put(uint8_t *at, uint64_t value, int len)
{
    for (int i = len - 1; i >= 0; i--)
        *at++ = (uint8_t)(value >> (8 * i));
    return at;
}

static uint64_t get(const uint8_t *at, int len)
{
    uint64_t value = 0;

    for (int i = 0; i < len; i++)
        value = value << 8 | at[i];
    return value;
}

/* -------------------------------------------------------------------------
 * Writing
 * ---------------------------------------------------------------------- */

static uint8_t *put_number(uint8_t *at, int64_t number)
{
    uint64_t rest = (uint64_t)number << 1 ^ (uint64_t)(number >> 63);

    for (int i = 0; i < NUMBER_MAX - 1 && rest >= 0x80; i++, rest >>= 7)
        *at++ = (uint8_t)(rest | 0x80);
    *at++ = (uint8_t)rest;
    return at;
}

static uint8_t *put_counters(uint8_t *at, const struct hist *h)
{
    int64_t zeros = 0;

    for (size_t i = 0, last = hist_index(h->max); h->count > 0 && i <= last; i++) {
        if (h->at[i] == 0) {
            zeros++;
            continue;
        }
        if (zeros > 0)
            at = put_number(at, zeros > 1 ? -zeros : 0);
        zeros = 0;
        at = put_number(at, (int64_t)h->at[i]);
    }
    return at;
}

/* The bytes inside; returns their end. */
static uint8_t *put_inside(uint8_t *start, const struct hist *h)
{
    static const double RATIO = 1; /* of integers to values */
    uint8_t *end = put_counters(start + HEADER, h), *at = start;
    uint64_t ratio;

    memcpy(&ratio, &RATIO, sizeof(ratio));
    at = put(at, COOKIE, 4);
    at = put(at, (uint64_t)(end - start - HEADER), 4);
    at = put(at, 0, 4); /* the index of the first counter */
    at = put(at, HIST_DIGITS, 4);
    at = put(at, 1, 8);
    at = put(at, HIST_VALUE_MAX, 8);
    put(at, ratio, 8);
    return end;
}

static char *as_text(const uint8_t *bytes, size_t len)
{
    char *buf = malloc(BASE64_LEN(len) + 1);
    struct text t;

    if (!buf)
        return NULL;
    text_init(&t, buf, BASE64_LEN(len) + 1);
    base64_add(&t, bytes, len);
    return buf;
}

char *codec_write(const struct hist *h)
{
    uint8_t *inside = malloc(HEADER + (size_t)HIST_LEN * 2 * NUMBER_MAX);
    uint8_t *outside = NULL;
    char *text = NULL;

    if (!inside)
        return NULL;
    uLong len = (uLong)(put_inside(inside, h) - inside);
    uLongf room = compressBound(len);
    outside = malloc(HEADER_DEFLATED + room);
    if (outside && compress(outside + HEADER_DEFLATED, &room, inside, len) == Z_OK) {
        put(put(outside, COOKIE_DEFLATED, 4), room, 4);
        text = as_text(outside, HEADER_DEFLATED + room);
    }
    free(outside);
    free(inside);
    return text;
}

/* -------------------------------------------------------------------------
 * Reading
 * ---------------------------------------------------------------------- */

static int fail(const char **why, const char *what)
{
    *why = what;
    return -1;
}

/* One number; NULL: it goes on beyond the end. */
static const uint8_t *get_number(const uint8_t *at, const uint8_t *end, int64_t *number)
{
    uint64_t value = 0;

    for (int i = 0; at < end; i++) {
        uint8_t byte = *at++;
        bool last = i == NUMBER_MAX - 1;
        value |= (uint64_t)(last ? byte : byte & 0x7f) << (7 * i);
        if (last || byte < 0x80) {
            *number = (int64_t)(value >> 1 ^ (0 - (value & 1)));
            return at;
        }
    }
    return NULL;
}

/* Another histogram's layout: what an index of it stands for. */
struct layout {
    unsigned half_bits, unit;
};

static uint64_t layout_value(const struct layout *l, uint64_t index)
{
    uint64_t power = index >> l->half_bits;

    power -= power > 0; /* the first two have the same */
    if (power + l->unit > 40)
        return HIST_VALUE_MAX;
    return ((index - (power << l->half_bits)) << power << l->unit) +
           ((((uint64_t)1 << power << l->unit) - 1));
}

static int get_counters(struct hist *h, const struct layout *l, const uint8_t *at,
                        const uint8_t *end, const char **why)
{
    uint64_t index = 0;
    int64_t number;

    while (at < end) {
        at = get_number(at, end, &number);
        if (!at || number < -INDEX_MAX || index > INDEX_MAX || number > COUNT_MAX ||
            h->count > COUNT_MAX)
            return fail(why, "its counters are damaged");
        if (number < 0) {
            index += (uint64_t)-number;
            continue;
        }
        if (number > 0)
            hist_add(h, layout_value(l, index), (uint64_t)number);
        index++;
    }
    return 0;
}

static int get_inside(struct hist *h, const uint8_t *in, size_t len, const char **why)
{
    static const unsigned half_bits[] = {0, 4, 7, 10, 14, 17}; /* by digits */
    struct layout l = {0};

    if (len < HEADER)
        return fail(why, "it is cut");
    if ((get(in, 4) & ~(uint64_t)COOKIE_MASK) != (COOKIE & ~COOKIE_MASK))
        return fail(why, "its version is not V2");
    uint64_t counters = get(in + 4, 4), digits = get(in + 12, 4), least = get(in + 16, 8);
    /* The third word shifts indexes, in histograms of floating point; hdr-histogram-js writes 1
     * there, and means nothing. */
    if (counters > len - HEADER || get(in + 8, 4) > 1 || digits > 5)
        return fail(why, "its header is damaged");
    l.half_bits = half_bits[digits];
    l.unit = least > 1 ? (unsigned)(63 - __builtin_clzll(least)) : 0;
    return get_counters(h, &l, in + HEADER, in + HEADER + counters, why);
}

static int inflate_and_get(struct hist *h, const uint8_t *in, size_t len, const char **why)
{
    uLongf room = INSIDE_MAX;
    uint8_t *inside = malloc(INSIDE_MAX);
    int r = -1;

    if (!inside)
        return fail(why, "there is no memory for it");
    if (uncompress(inside, &room, in, len) != Z_OK)
        fail(why, "it is cut or damaged");
    else
        r = get_inside(h, inside, room, why);
    free(inside);
    return r;
}

int codec_read(struct hist *h, const char *text, size_t len, const char **why)
{
    uint8_t *bytes = malloc(len + 1);
    int r = -1;

    if (!bytes)
        return fail(why, "there is no memory for it");
    ssize_t n = base64_read(bytes, text, len);
    if (n < 0)
        fail(why, "it is not base64");
    else if (n >= 4 && (get(bytes, 4) & ~(uint64_t)COOKIE_MASK) != (COOKIE_DEFLATED & ~COOKIE_MASK))
        fail(why, "its version is not V2, compressed");
    else if (n < HEADER_DEFLATED || get(bytes + 4, 4) > (uint64_t)n - HEADER_DEFLATED)
        fail(why, "it is cut");
    else
        r = inflate_and_get(h, bytes + HEADER_DEFLATED, (size_t)get(bytes + 4, 4), why);
    free(bytes);
    return r;
}
