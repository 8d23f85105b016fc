/* screen.h - a stranger's bytes made harmless for a terminal.  Does not know who sent them. */
#ifndef STOA_CLI_SCREEN_H
#define STOA_CLI_SCREEN_H

#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>

/* One stream's way to a screen. */
struct screen {
    bool utf8;     /* the terminal shows UTF-8 */
    bool colour;   /* it shows colours, and the user wants them */
    bool can_move; /* it has a cursor that can be moved */
    bool cr;       /* the last byte was a carriage return */
    char kept[4];  /* the beginning of a character */
    size_t nkept;
};

/* Bytes that screen_add() may make of len. */
#define SCREEN_ROOM(len) (4 * ((size_t)(len) + 5))

/* For the terminal that fd is, if it is one, under the locale and NO_COLOR. */
void screen_init(struct screen *s, int fd);

/* Add the bytes as they may be shown: newlines and tabs work, nothing else does. */
void screen_add(struct screen *s, const void *bytes, size_t len, struct text *out);

/* The stream has ended: add what was kept. */
void screen_end(struct screen *s, struct text *out);

/* A colour's escape sequence, "" without colour. */
enum screen_colour {
    SCREEN_PLAIN,
    SCREEN_DIM,
    SCREEN_CYAN,
    SCREEN_GREEN,
};
const char *screen_colour(const struct screen *s, enum screen_colour colour);

#endif
