/* bench/replace.h - a file that is written whole or not at all.  Knows no format. */
#ifndef STOA_CLI_BENCH_REPLACE_H
#define STOA_CLI_BENCH_REPLACE_H

#include <stdbool.h>
#include <stddef.h>

/* Write len bytes to path, under another name first; "-" is standard output, and a name like
 * /dev/fd/5 the descriptor.  What stood there before is there until the new is on disk, and its
 * mode and, where we may, its owner and group stay; a symbolic link stays one.  0; -1 with errno,
 * and the old as it was. */
int replace_file(const char *path, const void *bytes, size_t len);

/* Could it be written, as far as can be known without doing it?  Leaves nothing.  0, -1 with
 * errno. */
int replace_try(const char *path);

/* "-", /dev/stdout or a name like it; a path that is NULL is none. */
bool replace_is_stdout(const char *path);

/* A path as a sentence may have it, on a terminal, too.  Returns buf. */
enum { REPLACE_NAME_ROOM = 512 };
const char *replace_name(char buf[REPLACE_NAME_ROOM], const char *path);

#endif
