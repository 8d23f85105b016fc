/* history.h - the lines that were typed to a peer, in a file of its own.  Edits none. */
#ifndef STOA_CLI_HISTORY_H
#define STOA_CLI_HISTORY_H

#include <histedit.h>
#include <stdbool.h>
#include <stddef.h>

struct past {
    History *lines; /* libedit's */
    char *file;     /* NULL: they are forgotten */
};

/* The file for a peer's lines, in folders that are made (0700) if need be:
 * $XDG_STATE_HOME/stoa/history/PEER, else ~/.local/state/...  false: there is no place. */
bool past_path(char *buf, size_t size, const char *peer);

/* Read the lines of a file, which need not be there yet; NULL: there is none.
 * 0; -1: no memory.  past_close() is good after either, and for a struct that is all 0. */
int past_open(struct past *p, const char *file);
void past_close(struct past *p);

/* Add a line, to the file at once. */
void past_add(struct past *p, const char *text, size_t len);

#endif
