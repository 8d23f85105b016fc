/* screen.c - what may reach a terminal: characters, newlines, tabs.
 *
 * An escape sequence from a peer could clear the screen, set the title and have it typed
 * back as input (CVE-2003-0063), or hide text.  text_add_escaped() of base/ lets only
 * characters through that take a place; here is what a stream needs above it: a character
 * cut by a packet's end waits for its rest, "\r\n" is a newline, a lone "\r" is shown.
 *
 * On a terminal that is not UTF-8 the bytes 0x80..0x9f are controls by themselves, and a
 * Chinese character is full of them: there, all beyond ASCII is shown as \xHH.
 *
 * Colour: none for a file or a pipe, TERM=dumb, or NO_COLOR (no-color.org: when set and
 * not empty, whatever its value).
 */
#include "cli/screen.h"

#include "cli/utf8.h"

#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void screen_init(struct screen *s, int fd)
{
    const char *term = getenv("TERM");
    const char *no_color = getenv("NO_COLOR");

    *s = (struct screen){0};
    s->utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    s->can_move = isatty(fd) && term && *term && strcmp(term, "dumb") != 0;
    s->colour = s->can_move && !(no_color && *no_color);
}

static void let_go(struct screen *s, struct text *out)
{
    if (s->utf8)
        text_add_escaped(out, s->kept, s->nkept, "");
    else
        for (size_t i = 0; i < s->nkept; i++)
            text_add_escaped(out, s->kept + i, 1, "");
    s->nkept = 0;
}

static void one_byte(struct screen *s, char c, struct text *out)
{
    if (s->cr && c != '\n')
        text_add(out, "\\x0d");
    s->cr = c == '\r';
    if (s->nkept && ((unsigned char)c & 0xc0) != 0x80)
        let_go(s, out);
    if (c == '\n' || c == '\t') {
        text_add_bytes(out, &c, 1);
    } else if (c != '\r') {
        s->kept[s->nkept++] = c;
        if (!utf8_begun(s->kept, s->nkept))
            let_go(s, out);
    }
}

void screen_add(struct screen *s, const void *bytes, size_t len, struct text *out)
{
    const char *at = bytes;

    for (size_t i = 0; i < len; i++)
        one_byte(s, at[i], out);
}

void screen_end(struct screen *s, struct text *out)
{
    if (s->cr)
        text_add(out, "\\x0d");
    s->cr = false;
    let_go(s, out);
}

const char *screen_colour(const struct screen *s, enum screen_colour colour)
{
    static const char *const sequences[] = {
        [SCREEN_PLAIN] = "\033[0m",
        [SCREEN_DIM] = "\033[2m",
        [SCREEN_CYAN] = "\033[36m",
        [SCREEN_GREEN] = "\033[32m",
    };

    return s->colour ? sequences[colour] : "";
}
