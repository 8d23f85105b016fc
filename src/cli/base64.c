/* base64.c - six bits to a character.
 *
 * Reading is strict about characters, and takes a text with its padding or without.
 */
#include "cli/base64.h"

#include <string.h>

static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_add(struct text *t, const void *bytes, size_t len)
{
    const unsigned char *s = bytes;

    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        uint32_t v =
            (uint32_t)s[i] << 16 | (n > 1 ? (uint32_t)s[i + 1] << 8 : 0) | (n > 2 ? s[i + 2] : 0);
        char four[4] = {DIGITS[v >> 18], DIGITS[v >> 12 & 63], n > 1 ? DIGITS[v >> 6 & 63] : '=',
                        n > 2 ? DIGITS[v & 63] : '='};
        text_add_bytes(t, four, sizeof(four));
    }
}

ssize_t base64_read(uint8_t *to, const char *text, size_t len)
{
    const uint8_t *start = to;
    uint32_t bits = 0;
    int nbit = 0;

    while (len > 0 && text[len - 1] == '=')
        len--;
    for (size_t i = 0; i < len; i++) {
        const char *digit = text[i] ? strchr(DIGITS, text[i]) : NULL;
        if (!digit)
            return -1;
        bits = bits << 6 | (uint32_t)(digit - DIGITS);
        nbit += 6;
        if (nbit >= 8) {
            nbit -= 8;
            *to++ = (uint8_t)(bits >> nbit);
        }
    }
    return to - start;
}
