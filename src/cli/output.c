/* output.c - bytes to descriptors.
 *
 * stdio is not used for data: a full disk or a closed pipe must be noticed at the byte
 * where it happens.  A line for standard error is built first and written at once, so that
 * lines of several workers, and of several processes in one terminal, do not mix.
 *
 * Limits: a line of output_say() is cut after LINE_ROOM bytes.
 */
#include "cli/output.h"

#include "base/limits.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { LINE_ROOM = SENTENCE_MAX + 256 };

int output_all(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;

    while (len) {
        ssize_t n = write(fd, at, len);
        if (n < 0 && errno == EAGAIN) {
            /* Somebody who shares the open file made it non-blocking. */
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

void output_say(const char *who, const char *fmt, ...)
{
    char line[LINE_ROOM];
    size_t room = sizeof(line) - 1;
    size_t len = (size_t)snprintf(line, room, "%s: ", who);
    va_list args;

    va_start(args, fmt);
    len += (size_t)vsnprintf(line + len, room - len, fmt, args);
    va_end(args);
    len = len < room ? len : room - 1;
    line[len++] = '\n';
    (void)output_all(STDERR_FILENO, line, len);
}

uint64_t output_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}
