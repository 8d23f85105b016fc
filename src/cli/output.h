/* output.h - writing all of it to a descriptor, and the monotonic clock.  Knows no format. */
#ifndef STOA_CLI_OUTPUT_H
#define STOA_CLI_OUTPUT_H

#include <stddef.h>
#include <stdint.h>

/* Write len bytes, all of them, waiting as need be.  0, or -1 with errno as write(2). */
int output_all(int fd, const void *bytes, size_t len);

/* One line on standard error, in one write: "stoa serve: ...".  The newline is added. */
void output_say(const char *who, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t output_now_ns(void);

#endif
