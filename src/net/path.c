/* path.c - a UNIX socket's file outlives its server, and bind(2) then says "in use".
 *
 * So a path that is in use is looked at: is it a socket, does connect(2) say that nobody
 * listens, and does no process of this machine have it bound (/proc/net/unix: a server
 * that is between bind and listen refuses connections, too)?  Only then is it removed.
 *
 * Two servers that start at once must not both win: the second would remove the file of
 * the first.  The look, the removal, bind and listen are therefore done under a lock on
 * the folder (flock(2)), which leaves nothing behind.  Where the folder cannot be
 * opened for reading, it goes without.
 *
 * Limits: a server of another network namespace is not in our /proc/net/unix; one that
 * listens answers connect(2) all the same.  Source: unix(7), "Pathname sockets"; proc(5).
 */
#include "net/path.h"

#include "backend/life.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/net.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LOCK_TRIES 100 /* a millisecond each */
#define PATH_LEN   sizeof(((struct sockaddr_un *)0)->sun_path)

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* Lock the folder of path: a descriptor to close, or -1. */
static int lock_folder(const char *path)
{
    char folder[PATH_LEN + 1];
    size_t len = (size_t)(last_part(path) - path);
    int fd;

    memcpy(folder, path, len);
    folder[len] = 0;
    fd = open(len ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* Who else has the lock has it for a moment, or means ill: then it goes without. */
    for (int i = 0; fd >= 0 && i < LOCK_TRIES && flock(fd, LOCK_EX | LOCK_NB) < 0; i++)
        poll(NULL, 0, 1);
    return fd;
}

/* Is name, as a living socket carries it, this path's file?  A relative name is of a folder
 * that we do not know: there the last part must do. */
static bool is_same(const char *name, const char *path, const struct stat *st)
{
    struct stat other;

    if (*name != '/')
        return strcmp(last_part(name), last_part(path)) == 0;
    return lstat(name, &other) == 0 && other.st_dev == st->st_dev && other.st_ino == st->st_ino;
}

/* Has a living socket of this machine bound this path?  Connections carry their listener's
 * name, too, and may outlive it: they do not count.  1, 0; negative errno: cannot tell. */
static int is_bound(const char *path, const struct stat *st)
{
    FILE *f = fopen("/proc/net/unix", "re");
    char line[512];
    bool bound = false;

    if (!f)
        return -errno;
    while (!bound && fgets(line, sizeof(line), f)) {
        unsigned state;
        int at = 0;

        line[strcspn(line, "\n")] = 0;
        if (sscanf(line, "%*s %*x %*x %*x %*x %x %*u %n", &state, &at) == 1 && at > 0)
            bound = state == SS_UNCONNECTED && is_same(line + at, path, st);
    }
    fclose(f);
    return bound;
}

/* 1, 0; negative errno: cannot tell. */
static int nobody_listens(const struct sockaddr *sa, socklen_t len, int type)
{
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool refused;

    if (fd < 0)
        return -errno;
    refused = connect(fd, sa, len) < 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

/* Remove the file at a path in use, if it is stale. */
static int remove_stale(const struct sockaddr *sa, socklen_t len, const char *path, int type)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : -EADDRINUSE;
    if (!S_ISSOCK(st.st_mode))
        return -ENOTSOCK;
    int dead = nobody_listens(sa, len, type);
    int bound = dead > 0 ? is_bound(path, &st) : 0;

    if (dead < 0 || bound < 0)
        return dead < 0 ? dead : bound;
    if (!dead || bound)
        return -EADDRINUSE;
    return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

static int bind_and_listen(struct backend_sock *s, const struct sockaddr *sa, socklen_t len,
                           int backlog)
{
    const struct backend_ops *ops = backend_here();
    int r = ops->bind(s, sa, len);

    return r == 0 && backlog >= 0 ? ops->listen(s, backlog) : r;
}

/* In a simulated network a path is a name, and no file. */
static int simulated_bind(struct backend_sock *s, const struct sockaddr *sa, socklen_t len,
                          int backlog)
{
    int r = bind_and_listen(s, sa, len, backlog);

    if (r == -EADDRINUSE)
        r = backend_here()->remove_stale(sa, len);
    else
        return r;
    return r == 0 ? bind_and_listen(s, sa, len, backlog) : r;
}

int path_bind(struct backend_sock *s, const struct sockaddr *sa, socklen_t len, unsigned mode,
              int backlog)
{
    if (backend_here()->remove_stale)
        return simulated_bind(s, sa, len, backlog);

    char path[PATH_LEN + 1] = "";
    int folder, r;

    memcpy(path, ((const struct sockaddr_un *)(const void *)sa)->sun_path,
           len - offsetof(struct sockaddr_un, sun_path));
    /* bind(2) gives the file the mode of the socket's own inode, less the umask: so it
     * is never wider than asked for. */
    if (mode)
        fchmod(life_fd(s), (mode_t)mode);
    folder = lock_folder(path);
    r = bind_and_listen(s, sa, len, backlog);
    if (r == -EADDRINUSE)
        r = remove_stale(sa, len, path, s->type);
    else
        goto out;
    if (r == 0)
        r = bind_and_listen(s, sa, len, backlog);
out:
    if (r == 0 && mode && chmod(path, (mode_t)mode) < 0)
        r = -errno;
    if (folder >= 0)
        close(folder);
    return r;
}
