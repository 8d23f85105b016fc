/* json.c - a streaming writer of JSON objects, a line each.
 *
 * Strings are UTF-8 (RFC 8259 8.1), so bytes that are not go out as base64 (RFC 4648 4)
 * under another key; a reader that wants the bytes can have them all.  C1 controls are
 * escaped too, which JSON does not ask for: the lines may be looked at on a terminal.
 *
 * Limits: the text's room; JSON_ROOM() of all strings together, plus 64 for each number.
 */
#include "cli/json.h"

#include "cli/base64.h"
#include "cli/utf8.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void key_add(struct text *t, const char *key)
{
    char last = t->len ? t->buf[t->len - 1] : '{';

    if (last != '{' && last != '[')
        text_add(t, ",");
    if (!key)
        return;
    text_add(t, "\"");
    text_add(t, key);
    text_add(t, "\":");
}

void json_stamp(struct text *t)
{
    struct timespec now;
    struct tm utc;
    char stamp[64];

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    snprintf(stamp, sizeof(stamp), "%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ", utc.tm_year + 1900,
             utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, now.tv_nsec / 1000);
    text_add(t, stamp);
}

void json_begin(struct text *t, const char *event)
{
    text_add(t, "{\"ts\":\"");
    json_stamp(t);
    text_add(t, "\"");
    json_string(t, "event", event);
}

void json_number(struct text *t, const char *key, uint64_t number)
{
    key_add(t, key);
    text_add_number(t, number);
}

/* A byte that stands for itself neither in JSON nor on a screen. */
static bool is_special(unsigned char c)
{
    return c < 0x20 || c == '"' || c == '\\' || c == 0x7f;
}

/* A C1 control, U+0080 to U+009F: two bytes. */
static bool is_c1(const unsigned char *s, size_t len)
{
    return len > 1 && s[0] == 0xc2 && s[1] < 0xa0;
}

static void escape_add(struct text *t, unsigned char c)
{
    static const char names[][2] = {
        {'"', '"'}, {'\\', '\\'}, {'\n', 'n'}, {'\r', 'r'}, {'\t', 't'},
    };
    char escape[8];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (c == (unsigned char)names[i][0]) {
            text_add_bytes(t, (const char[]){'\\', names[i][1]}, 2);
            return;
        }
    snprintf(escape, sizeof(escape), "\\u%04x", c);
    text_add(t, escape);
}

static void quoted_add(struct text *t, const char *bytes, size_t len)
{
    const unsigned char *s = (const unsigned char *)bytes;
    size_t plain = 0; /* where the bytes begin that are not yet written */

    text_add(t, "\"");
    for (size_t i = 0; i < len; i++) {
        bool c1 = is_c1(s + i, len - i);
        if (!c1 && !is_special(s[i]))
            continue;
        text_add_bytes(t, bytes + plain, i - plain);
        i += c1;
        escape_add(t, s[i]);
        plain = i + 1;
    }
    text_add_bytes(t, bytes + plain, len - plain);
    text_add(t, "\"");
}

void json_string(struct text *t, const char *key, const char *string)
{
    key_add(t, key);
    quoted_add(t, string, strlen(string));
}

void json_data(struct text *t, const void *bytes, size_t len)
{
    if (utf8_valid(bytes, len)) {
        key_add(t, "data");
        quoted_add(t, bytes, len);
        return;
    }
    key_add(t, "base64");
    text_add(t, "\"");
    base64_add(t, bytes, len);
    text_add(t, "\"");
}

void json_open(struct text *t, const char *key, char bracket)
{
    key_add(t, key);
    text_add_bytes(t, &bracket, 1);
}

void json_close(struct text *t, char bracket)
{
    text_add_bytes(t, &bracket, 1);
}

void json_real(struct text *t, const char *key, double number)
{
    char digits[32];

    snprintf(digits, sizeof(digits), isfinite(number) ? "%.15g" : "null", number);
    key_add(t, key);
    text_add(t, digits);
}

void json_end(struct text *t)
{
    text_add(t, "}\n");
}
