/* bench/replace.c - a temporary file beside the one that is meant, then rename(2).
 *
 * fsync(2) before: a full disk may be told of only then.  A symbolic link is followed first: what
 * is replaced is what it leads to, there already or not.  What is no plain file (a terminal,
 * /dev/null, a fifo) is written directly, there is nothing to keep; and so is what an open
 * descriptor's name stands for, through the descriptor if it is ours.
 *
 * Whether a file may be written to, and a link be followed, the kernel says, by opening it:
 * rename(2) asks the folder only, and readlink(2) goes round fs.protected_symlinks.
 */
#include "cli/bench/replace.h"

#include "base/text.h"
#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINKS_MAX = 40 }; /* as many as the kernel follows */

static const char SUFFIX[] = ".XXXXXX";

static bool is_below(const char *path, const char *folder)
{
    return strncmp(path, folder, strlen(folder)) == 0;
}

/* The number of an open descriptor of ours, if the path is a name for one; or -1. */
static int descriptor(const char *path)
{
    static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};

    if (strcmp(path, "-") == 0 || strcmp(path, "/dev/stdout") == 0)
        return STDOUT_FILENO;
    if (strcmp(path, "/dev/stderr") == 0)
        return STDERR_FILENO;
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        const char *number = is_below(path, folders[i]) ? path + strlen(folders[i]) : "";
        char *end;
        unsigned long fd = strtoul(number, &end, 10);
        if (*number >= '0' && *number <= '9' && !*end && fd <= INT_MAX)
            return (int)fd;
    }
    return -1;
}

bool replace_is_stdout(const char *path)
{
    return path && descriptor(path) == STDOUT_FILENO;
}

const char *replace_name(char buf[REPLACE_NAME_ROOM], const char *path)
{
    struct text t;

    text_init(&t, buf, REPLACE_NAME_ROOM);
    if (replace_is_stdout(path))
        text_add(&t, "standard output");
    else
        text_add_escaped(&t, path, strlen(path), "");
    return buf;
}

/* Is there nothing to keep?  Another process's descriptor is to have it, not its file's name. */
static bool is_direct(const char *path)
{
    struct stat there;

    return (is_below(path, "/proc/") && strstr(path, "/fd/")) ||
           (stat(path, &there) == 0 && !S_ISREG(there.st_mode));
}

/* A link's text, as seen from the folder that the link is in. */
static char *beside(const char *link, const char *to)
{
    const char *slash = strrchr(link, '/');
    char *path = NULL;

    if (*to == '/' || !slash)
        return strdup(to);
    return asprintf(&path, "%.*s/%s", (int)(slash - link), link, to) < 0 ? NULL : path;
}

/* May it be written to?  What is there, whatever links lead to it; -1 with errno. */
static int ask_kernel(const char *path, struct stat *there)
{
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return -1;
    int r = fstat(fd, there);
    close(fd);
    return r;
}

/* A link to nothing the kernel has not judged: it may be planted, but for one of our own. */
static int judge_link(const struct stat *link, const struct stat *there)
{
    if (there || link->st_uid == geteuid())
        return 0;
    errno = EACCES;
    return -1;
}

/* Is the end of the links what was opened?  They may have been changed since. */
static int judge_end(const struct stat *end, const struct stat *there)
{
    if (!there || (end->st_dev == there->st_dev && end->st_ino == there->st_ino))
        return 0;
    errno = EBUSY;
    return -1;
}

/* One link further, from malloc; NULL with errno. */
static char *follow(const char *link)
{
    char to[PATH_MAX];
    ssize_t len = readlink(link, to, sizeof(to) - 1);

    if (len < 0)
        return NULL;
    to[len] = '\0';
    return beside(link, to);
}

/* Where a path leads in the end, from malloc, if it may; NULL with errno.  There is what was
 * opened by that path, or NULL if nothing is. */
static char *target(const char *path, const struct stat *there)
{
    char *at = strdup(path), *next;
    struct stat here;

    for (int i = 0; at && i < LINKS_MAX; i++) {
        if (lstat(at, &here) < 0) {
            if (!there)
                return at; /* whoever makes it hears of other errors */
            goto fail;
        }
        if (!S_ISLNK(here.st_mode)) {
            if (judge_end(&here, there) < 0)
                goto fail;
            return at;
        }
        if (judge_link(&here, there) < 0)
            goto fail;
        next = follow(at);
        free(at);
        at = next;
    }
    if (at)
        errno = ELOOP;
fail:
    free(at); /* keeps errno */
    return NULL;
}

/* -------------------------------------------------------------------------
 * The file beside it
 * ---------------------------------------------------------------------- */

struct aside {
    char *path; /* what will be replaced */
    char *name; /* what is written meanwhile */
    int fd;
};

static void aside_fini(struct aside *a)
{
    int saved_errno = errno;

    free(a->path);
    free(a->name);
    errno = saved_errno;
}

/* Mode and owner of what will be replaced, or those of any new file. */
static int take_over(int fd, const struct stat *there)
{
    mode_t mask = umask(0);

    umask(mask);
    if (!there)
        return fchmod(fd, 0666 & ~mask);
    /* Both for root; a member may give it to the group; whoever may not has it as his own. */
    if (fchown(fd, there->st_uid, there->st_gid) < 0)
        (void)!fchown(fd, (uid_t)-1, there->st_gid);
    return fchmod(fd, there->st_mode & 0777);
}

static void aside_remove(struct aside *a)
{
    int saved_errno = errno;

    if (a->fd >= 0)
        close(a->fd);
    unlink(a->name);
    errno = saved_errno;
    aside_fini(a);
}

/* 0; -1 with errno, and nothing is left of it. */
static int aside_open(struct aside *a, const char *path)
{
    struct stat there;
    bool is_there = ask_kernel(path, &there) == 0;

    if (!is_there && errno != ENOENT)
        return -1;
    *a = (struct aside){.path = target(path, is_there ? &there : NULL), .fd = -1};
    size_t room = a->path ? strlen(a->path) + sizeof(SUFFIX) : 0;
    a->name = room > 0 ? malloc(room) : NULL;
    if (!a->name)
        goto fail;
    snprintf(a->name, room, "%s%s", a->path, SUFFIX);
    a->fd = mkostemp(a->name, O_CLOEXEC);
    if (a->fd < 0)
        goto fail;
    if (take_over(a->fd, is_there ? &there : NULL) == 0)
        return 0;
    aside_remove(a);
    return -1;
fail:
    aside_fini(a);
    return -1;
}

/* -------------------------------------------------------------------------
 * Writing
 * ---------------------------------------------------------------------- */

static int write_direct(const char *path, const void *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return -1;
    int r = output_all(fd, bytes, len);
    int saved_errno = errno;
    if (close(fd) < 0 && r == 0)
        return -1;
    errno = saved_errno;
    return r;
}

int replace_file(const char *path, const void *bytes, size_t len)
{
    struct aside a;

    if (descriptor(path) >= 0)
        return output_all(descriptor(path), bytes, len);
    if (is_direct(path))
        return write_direct(path, bytes, len);
    if (aside_open(&a, path) < 0)
        return -1;
    if (output_all(a.fd, bytes, len) < 0 || fsync(a.fd) < 0)
        goto fail;
    int fd = a.fd;
    a.fd = -1;
    if (close(fd) < 0 || rename(a.name, a.path) < 0)
        goto fail;
    aside_fini(&a);
    return 0;
fail:
    aside_remove(&a);
    return -1;
}

/* -------------------------------------------------------------------------
 * Trying
 * ---------------------------------------------------------------------- */

static int try_descriptor(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags >= 0 && !(flags & O_PATH) && (flags & O_ACCMODE) != O_RDONLY)
        return 0;
    errno = EBADF;
    return -1;
}

/* A fifo is not opened: that may wait for its reader. */
static int try_direct(const char *path)
{
    struct stat there;

    if (stat(path, &there) == 0 && S_ISDIR(there.st_mode)) {
        errno = EISDIR;
        return -1;
    }
    return access(path, W_OK);
}

int replace_try(const char *path)
{
    struct aside a;

    if (descriptor(path) >= 0)
        return try_descriptor(descriptor(path));
    if (is_direct(path))
        return try_direct(path);
    if (aside_open(&a, path) < 0)
        return -1;
    aside_remove(&a);
    return 0;
}
