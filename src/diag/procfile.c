/* procfile.c - reading /proc: open, read to the end, close; no lock, no stream, little stack.
 *
 * These reads never wait: the kernel makes the text when it is asked for.
 */
#include "diag/procfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 16384, LINE_LEN = 1000 };

static ssize_t read_on(int fd, char *buf, size_t size)
{
    ssize_t n;

    do
        n = read(fd, buf, size);
    while (n < 0 && errno == EINTR);
    return n;
}

long procfile_read(const char *path, char *buf, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n = 1;

    buf[0] = '\0';
    if (fd < 0)
        return -errno;
    while (len < size - 1 && n > 0) {
        n = read_on(fd, buf + len, size - 1 - len);
        len += n > 0 ? (size_t)n : 0;
    }
    if (n < 0)
        n = -errno;
    buf[len] = '\0';
    close(fd);
    return n < 0 ? n : (long)len;
}

int procfile_numbers(const char *path, uint64_t *numbers, int n)
{
    char buf[256];
    char *at = buf, *end;
    long len = procfile_read(path, buf, sizeof(buf));
    int got = 0;

    if (len < 0)
        return (int)len;
    for (; got < n; got++, at = end) {
        numbers[got] = strtoull(at, &end, 10);
        if (end == at)
            break;
    }
    return got;
}

/* Give out the whole lines of buf; returns how many bytes are left for the next round. */
static size_t give_lines(char *buf, size_t len, bool last, int (*each)(void *, char *), void *arg,
                         int *r)
{
    size_t at = 0;

    while (*r == 0 && at < len) {
        char *newline = memchr(buf + at, '\n', len - at);
        size_t end = newline ? (size_t)(newline - buf) : len;

        if (!newline && !last && len - at < LINE_LEN)
            break;
        buf[end] = '\0';
        *r = each(arg, buf + at);
        at = end + 1;
    }
    if (at >= len)
        return 0;
    memmove(buf, buf + at, len - at);
    return len - at;
}

int procfile_lines(const char *path, int (*each)(void *arg, char *line), void *arg)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *buf = malloc(CHUNK + 1);
    size_t len = 0;
    ssize_t n = 1;
    int r = 0;

    if (fd < 0 || !buf) {
        r = fd < 0 ? -errno : -ENOMEM;
        goto out;
    }
    while (r == 0 && n > 0) {
        n = read_on(fd, buf + len, CHUNK - len);
        if (n < 0)
            r = -errno;
        else
            len = give_lines(buf, len + (size_t)n, n == 0, each, arg, &r);
    }
out:
    free(buf);
    if (fd >= 0)
        close(fd);
    return r;
}
