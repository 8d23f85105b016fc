/* bench/replace.c - a temporary file beside the one that is meant, then rename(2).
 *
 * fsync(2) before: a full disk may be told of only then.  What is no plain file (a
 * terminal, /dev/null, a fifo) is written directly: there is nothing to keep.
 */
#include "cli/bench/replace.h"

#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SUFFIX_LEN = 16 };

static int write_to(int fd, const void *bytes, size_t len, bool on_disk)
{
    int r = output_all(fd, bytes, len);

    if (r == 0 && on_disk)
        r = fsync(fd);
    int saved_errno = errno;
    if (close(fd) < 0 && r == 0)
        return -1;
    errno = saved_errno;
    return r;
}

static int write_aside(const char *path, char *aside, const void *bytes, size_t len)
{
    int fd = mkostemp(aside, O_CLOEXEC);
    mode_t mask = umask(0);

    umask(mask);
    if (fd < 0)
        return -1;
    if (fchmod(fd, 0666 & ~mask) == 0 && write_to(fd, bytes, len, true) == 0 &&
        rename(aside, path) == 0)
        return 0;
    int saved_errno = errno;
    unlink(aside);
    errno = saved_errno;
    return -1;
}

bool replace_is_stdout(const char *path)
{
    return path && strcmp(path, "-") == 0;
}

int replace_file(const char *path, const void *bytes, size_t len)
{
    struct stat there;

    if (replace_is_stdout(path))
        return output_all(STDOUT_FILENO, bytes, len);
    if (stat(path, &there) == 0 && !S_ISREG(there.st_mode)) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        return fd < 0 ? -1 : write_to(fd, bytes, len, false);
    }
    char *aside = malloc(strlen(path) + SUFFIX_LEN);
    if (!aside)
        return -1;
    snprintf(aside, strlen(path) + SUFFIX_LEN, "%s.XXXXXX", path);
    int r = write_aside(path, aside, bytes, len);
    int saved_errno = errno;
    free(aside);
    errno = saved_errno;
    return r;
}
