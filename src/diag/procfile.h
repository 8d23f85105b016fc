/* procfile.h - small files of /proc, read whole.  Knows nothing of what they say. */
#ifndef STOA_DIAG_PROCFILE_H
#define STOA_DIAG_PROCFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What path says, with a 0 behind it, cut to size - 1 bytes: the length, or negative errno. */
long procfile_read(const char *path, char *buf, size_t size);

/* The n numbers a file begins with.  How many there are, or negative errno. */
int procfile_numbers(const char *path, uint64_t *numbers, int n);

/* Each line of a file of any length, without its newline, until each() says other than 0.
 * Lines over 1,000 bytes are cut.  0, each()'s answer, or negative errno. */
int procfile_lines(const char *path, int (*each)(void *arg, char *line), void *arg);

#endif
