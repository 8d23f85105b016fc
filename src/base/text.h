/* text.h - a sentence built into a buffer of fixed size.  It does not know what the sentence says.
 *
 * The text always ends with a 0.  What does not fit is cut, between two characters of
 * UTF-8 and never inside an escape, and from then on nothing is added: a text that was
 * cut is a beginning of the whole one, without holes, and says so.
 *
 *     struct text t;
 *     text_init(&t, buf, sizeof(buf));
 *     text_add(&t, "the port ");
 *     text_quote(&t, part, len);
 *     text_add(&t, " is above ");
 *     text_add_number(&t, 65535);
 */
#ifndef STOA_BASE_TEXT_H
#define STOA_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
    char *buf;   /* the caller's */
    size_t size; /* of buf; 0 = there is none, and every text is cut */
    size_t len;  /* bytes of the text, the 0 not counted */
    bool cut;    /* something did not fit */
};

/* An empty text in buf, which has room for size bytes, the 0 included. */
void text_init(struct text *t, char *buf, size_t size);

/* Add a string. */
void text_add(struct text *t, const char *s);

/* Add len bytes as they are; those of a text, no 0 among them. */
void text_add_bytes(struct text *t, const char *s, size_t len);

/* Add a number in decimal. */
void text_add_number(struct text *t, uint64_t n);

/* Add any len bytes, 0 among them, so that a terminal shows them and obeys none: controls
 * of ASCII, of ISO 6429 and of writing direction, and what is not UTF-8, become \xHH, a
 * byte each; so do the ASCII characters in also ("\\" makes the text one to read back). */
void text_add_escaped(struct text *t, const void *bytes, size_t len, const char *also);

/* Add a path as one word of a shell's line, for people to paste: $'a\x20b' where it must be quoted
 * (bash, zsh, ksh, POSIX.1-2024), and never like an option. */
void text_add_path(struct text *t, const char *path, size_t len);

/* Add them so between quotation marks, TEXT_QUOTE_MAX bytes at most: "like th"... */
void text_quote(struct text *t, const void *bytes, size_t len);

#endif
