/* logfmt.c - lines for people and for programs that split at blanks and at the first '='.
 *
 * A value of other than letters, digits and what addresses are made of is quoted; what a
 * terminal would obey, and what is not UTF-8, becomes \xHH, a quotation mark \x22 and a backslash
 * \x5c.  So a line has as many fields as we wrote, whatever a stranger's bytes are.
 */
#include "cli/logfmt.h"

#include "cli/json.h"

#include <stdbool.h>
#include <string.h>

void logfmt_begin(struct text *t, const char *event)
{
    text_add(t, "ts=");
    json_stamp(t);
    logfmt_string(t, "event", event);
}

static void key_add(struct text *t, const char *key)
{
    text_add(t, " ");
    text_add(t, key);
    text_add(t, "=");
}

void logfmt_number(struct text *t, const char *key, uint64_t number)
{
    key_add(t, key);
    text_add_number(t, number);
}

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr(".:/@%_+-[]", c));
}

void logfmt_data(struct text *t, const char *key, const void *bytes, size_t len)
{
    const char *s = bytes;
    size_t plain = 0;

    while (plain < len && is_plain(s[plain]))
        plain++;
    key_add(t, key);
    if (len && plain == len) {
        text_add_bytes(t, s, len);
        return;
    }
    text_add(t, "\"");
    text_add_escaped(t, bytes, len, "\"\\");
    text_add(t, "\"");
}

void logfmt_string(struct text *t, const char *key, const char *string)
{
    logfmt_data(t, key, string, strlen(string));
}

void logfmt_end(struct text *t)
{
    text_add(t, "\n");
}
