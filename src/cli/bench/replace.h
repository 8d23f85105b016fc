/* bench/replace.h - a file that is written whole or not at all.  Knows no format. */
#ifndef STOA_CLI_BENCH_REPLACE_H
#define STOA_CLI_BENCH_REPLACE_H

#include <stdbool.h>
#include <stddef.h>

/* Write len bytes to path, under another name first; "-" is standard output.  What stood there
 * before is there until the new is on disk.  0; -1 with errno, and the old as it was. */
int replace_file(const char *path, const void *bytes, size_t len);

/* "-"; a path that is NULL is none. */
bool replace_is_stdout(const char *path);

#endif
