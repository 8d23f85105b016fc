/* line.h - a line typed at a terminal, while other things happen.  Knows no connection.
 *
 * libedit edits, with history and UTF-8.  While it waits for a key, a descriptor is watched,
 * too, and what arrives there can be printed above the line being typed: line_print().
 */
#ifndef STOA_CLI_LINE_H
#define STOA_CLI_LINE_H

#include <stdbool.h>
#include <stddef.h>

struct line;

struct line_watch {
    int fd; /* readable: ready() is called */

    /* Both may call line_print() and line_stop(). */
    void (*ready)(void *arg);
    void (*late)(void *arg);

    int (*wait_ms)(void *arg); /* after so long without a key, late() is called; -1: never */
    void *arg;
};

/* LC_CTYPE as the environment says, but UTF-8 where that says C: libedit drops every
 * character beyond ASCII there.  Call it first in main(). */
void line_locale(void);

/*   history  the file's name, NULL = none;  watch  stays the caller's
 * NULL: no memory, or no terminal. */
struct line *line_open(const char *prompt, const char *history, const struct line_watch *watch);
void line_close(struct line *l);

enum line_end {
    LINE_TYPED,   /* a line, without its newline, is in *text until the next call */
    LINE_EOF,     /* ctrl-D on an empty line */
    LINE_STOPPED, /* line_stop() */
};
enum line_end line_read(struct line *l, const char **text, size_t *len);

/* Print above the line being typed, and draw that again.  text ends with a newline. */
void line_print(struct line *l, const char *text, size_t len);

/* Let line_read() return LINE_STOPPED. */
void line_stop(struct line *l);

/* Another prompt, from the next drawing on. */
void line_prompt(struct line *l, const char *prompt);

/* For a thread that takes signals.  From take to give the terminal is as it was before
 * line_open(), and stays so: the program may end, or stop.  take tells whether it was ours. */
bool line_take_terminal(void);
void line_give_terminal(void);

/* Any thread: the window has another size. */
void line_refresh(void);

#endif
