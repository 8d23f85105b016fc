/* hex.c - bytes as hexdump(1) -C shows them, after the time of day and an arrow.
 *
 * The time is the local one, in milliseconds: a person reads it.  Offsets count each
 * direction by itself and have 8 digits, more when a stream is longer than 4 GiB.
 */
#include "cli/hex.h"

#include <stdio.h>
#include <time.h>

enum { PER_LINE = 16 };

static void line_add(struct text *out, const unsigned char *s, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    char line[3 * PER_LINE + 1 + 1 + PER_LINE + 2];
    size_t len = 0;

    for (size_t i = 0; i < PER_LINE; i++) {
        line[len++] = i < n ? digits[s[i] >> 4] : ' ';
        line[len++] = i < n ? digits[s[i] & 15] : ' ';
        line[len++] = ' ';
        if (i == PER_LINE / 2 - 1)
            line[len++] = ' ';
    }
    line[len++] = '|';
    for (size_t i = 0; i < n; i++)
        line[len++] = s[i] >= ' ' && s[i] < 0x7f ? (char)s[i] : '.';
    line[len++] = '|';
    line[len++] = '\n';
    text_add_bytes(out, line, len);
}

void hex_add(struct text *out, char way, uint64_t offset, const void *bytes, size_t len)
{
    const unsigned char *s = bytes;
    struct timespec now;
    struct tm here;

    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &here);
    for (size_t i = 0; i < len; i += PER_LINE) {
        char head[64];
        snprintf(head, sizeof(head), "%02d:%02d:%02d.%03ld %c %08jx  ", here.tm_hour, here.tm_min,
                 here.tm_sec, now.tv_nsec / 1000000, way, (uintmax_t)(offset + i));
        text_add(out, head);
        line_add(out, s + i, len - i < PER_LINE ? len - i : PER_LINE);
    }
}
