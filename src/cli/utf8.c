/* utf8.c - well-formed UTF-8, and characters that were cut by a packet's end.
 *
 * A stream is cut anywhere, a character of Chinese has three bytes: so what ends in the
 * middle of one waits for the rest.  Well-formed is what table 3-7 of the Unicode Standard
 * (RFC 3629 4) says: the second byte's range depends on the first.
 */
#include "cli/utf8.h"

/* How many bytes a first byte promises; 0: no character begins so. */
static size_t promised(unsigned char first)
{
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* Can the n bytes at s be the first n of one character? */
static bool begins(const unsigned char *s, size_t n)
{
    unsigned char least = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char most = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;

    if (n > promised(s[0]) || (n > 1 && (s[1] < least || s[1] > most)))
        return false;
    for (size_t i = 2; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return false;
    return true;
}

bool utf8_valid(const void *bytes, size_t len)
{
    const unsigned char *s = bytes;

    for (size_t i = 0, n; i < len; i += n) {
        n = promised(s[i]);
        if (!n || n > len - i || !begins(s + i, n))
            return false;
    }
    return true;
}

size_t utf8_begun(const void *bytes, size_t len)
{
    const unsigned char *s = bytes;

    for (size_t n = 1; n < 4 && n <= len; n++) {
        const unsigned char *first = s + len - n;
        if ((*first & 0xc0) == 0x80)
            continue;
        return promised(*first) > n && begins(first, n) ? n : 0;
    }
    return 0;
}
