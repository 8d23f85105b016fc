/* bench/hlog.h - a series as a log of HdrHistogram, to write and to read.
 *
 * A second of a run is two lines: one without a tag, for the response, which every reader of
 * such logs takes, and one with Tag=service.  Logs of others are read, too.
 */
#ifndef STOA_CLI_BENCH_HLOG_H
#define STOA_CLI_BENCH_HLOG_H

#include "cli/bench/series.h"

/* Write s to path (replace.h).  0, or -1 with errno. */
int hlog_write(const struct series *s, const char *path);

/* Read a log; NULL with the sentence in why, which has room for size bytes. */
struct series *hlog_read(const char *path, char *why, size_t size);

#endif
