/* text.c - bounded text building: strings, numbers, and strange bytes made harmless.
 *
 * Messages quote what others have sent or typed.  A terminal that prints them must not
 * obey them, so text_add_escaped() lets through only characters that take a place on the
 * screen: everything of well-formed UTF-8 but
 *
 *   - C0, DEL and C1 (U+0000..1F, 7F, 80..9F): ISO 6429, ECMA-48; C1 in two bytes of
 *     UTF-8 is obeyed by terminals as well as ESC is;
 *   - the directions and separators of lines (U+200E, 200F, 2028..202E, 2066..2069): they
 *     reorder the text around them (CVE-2021-42574).
 *
 * Well-formed is what table 3-7 of the Unicode Standard (RFC 3629 4) says: no surrogates,
 * no overlong forms, nothing above U+10FFFF.  A byte that is part of nothing stands alone
 * and is escaped alone.
 *
 * Limits: the caller's buffer.  Safe in signal handlers: no allocation, no locale, no errno.
 */
#include "base/text.h"

#include "base/limits.h"

#include <string.h>

void text_init(struct text *t, char *buf, size_t size)
{
    *t = (struct text){.buf = buf, .size = size};
    if (size)
        buf[0] = '\0';
}

static size_t room(const struct text *t)
{
    return t->cut || !t->size ? 0 : t->size - 1 - t->len;
}

static bool inside_character(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* len, or a little less, so that no character of UTF-8 is cut there; s[len] can be read. */
static size_t whole_characters(const char *s, size_t len)
{
    size_t whole = len;

    while (whole && len - whole < 3 && inside_character(s[whole]))
        whole--;
    return inside_character(s[whole]) ? len : whole;
}

void text_add_bytes(struct text *t, const char *s, size_t len)
{
    size_t fits = room(t);

    if (len > fits) {
        t->cut = true;
        len = whole_characters(s, fits);
    }
    if (!len)
        return;
    memcpy(t->buf + t->len, s, len);
    t->len += len;
    t->buf[t->len] = '\0';
}

void text_add(struct text *t, const char *s)
{
    text_add_bytes(t, s, strlen(s));
}

/* All of it or, with the text cut, nothing. */
static void add_whole(struct text *t, const char *s, size_t len)
{
    if (len > room(t))
        t->cut = true;
    else
        text_add_bytes(t, s, len);
}

void text_add_number(struct text *t, uint64_t n)
{
    char digits[20]; /* of 2^64 - 1 */
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    add_whole(t, digits + at, sizeof(digits) - at);
}

/* The bytes of the well-formed character that s begins with, 0 = it does not; its value. */
static size_t character(const unsigned char *s, size_t len, uint32_t *value)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

    if (n > len || (s[0] >= 0x80 && s[0] < 0xc2) || s[0] > 0xf4)
        return 0;
    *value = n == 1 ? s[0] : s[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if (!inside_character((char)s[i]))
            return 0;
        *value = *value << 6 | (s[i] & 0x3f);
    }
    if (*value < least[n] || *value > 0x10ffff || (*value >= 0xd800 && *value <= 0xdfff))
        return 0;
    return n;
}

static bool takes_a_place(uint32_t value)
{
    static const struct {
        uint32_t first, last;
    } obeyed[] = {
        {0x00, 0x1f}, {0x7f, 0x9f}, {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2066, 0x2069},
    };

    for (size_t i = 0; i < sizeof(obeyed) / sizeof(obeyed[0]); i++)
        if (value >= obeyed[i].first && value <= obeyed[i].last)
            return false;
    return true;
}

static void add_byte_escaped(struct text *t, unsigned char byte)
{
    static const char hex[] = "0123456789abcdef";
    const char escape[4] = {'\\', 'x', hex[byte >> 4], hex[byte & 15]};

    add_whole(t, escape, sizeof(escape));
}

void text_add_escaped(struct text *t, const void *bytes, size_t len, const char *also)
{
    const unsigned char *s = bytes;

    for (size_t i = 0, n; i < len && !t->cut; i += n) {
        uint32_t value = 0;

        n = character(s + i, len - i, &value);
        if (n && takes_a_place(value) && !(n == 1 && strchr(also, (int)value))) {
            add_whole(t, (const char *)s + i, n);
            continue;
        }
        n = n ? n : 1;
        for (size_t k = 0; k < n; k++)
            add_byte_escaped(t, s[i + k]);
    }
}

void text_add_path(struct text *t, const char *path, size_t len)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "/._-+@%:,=";
    bool quoted = false;

    for (size_t i = 0; i < len; i++)
        quoted |= !path[i] || !strchr(plain, path[i]);
    text_add(t, quoted ? "$'" : "");
    text_add(t, len && path[0] == '-' ? "./" : "");
    text_add_escaped(t, path, len, quoted ? "'\\" : "");
    text_add(t, quoted ? "'" : "");
}

void text_quote(struct text *t, const void *bytes, size_t len)
{
    size_t shown = len > TEXT_QUOTE_MAX ? whole_characters(bytes, TEXT_QUOTE_MAX) : len;

    text_add(t, "\"");
    text_add_escaped(t, bytes, shown, "\"");
    text_add(t, shown < len ? "\"..." : "\"");
}
