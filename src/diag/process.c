/* process.c - /proc/PID, prlimit(2), and pidfd_getfd(2).
 *
 * How many descriptors a process has is its folder's size since Linux 6.2 (fs/proc/fd.c);
 * before, FDSize of its status is no less than that, and the links are counted where that is
 * near the limit.
 */
#include "diag/process.h"

#include "diag/procfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FEW = 12, FDS_MAX = 65536 }; /* a process with so few is not asked for its limit */

static uint64_t count_links(const char *folder)
{
    DIR *d = opendir(folder);
    uint64_t n = 0;

    while (d && n < FDS_MAX && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n > 2 ? n - 2 : 0;
}

/* Negative errno: we may not look. */
static int64_t count_fds(int pid)
{
    char path[32];
    struct stat st;

    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    if (access(path, R_OK) < 0 || stat(path, &st) < 0)
        return -errno;
    return st.st_size > 0 ? st.st_size : (int64_t)count_links(path);
}

static void add_limits(struct diag_process *p, int pid)
{
    struct rlimit limit;

    if (prlimit(pid, RLIMIT_NOFILE, NULL, &limit) < 0)
        return;
    p->soft = limit.rlim_cur;
    p->hard = limit.rlim_max;
}

static uint64_t cpu_ms(int pid)
{
    char path[32], text[1024];
    unsigned long user, system;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    if (procfile_read(path, text, sizeof(text)) <= 0)
        return 0;
    const char *at = strrchr(text, ')');
    if (!at ||
        sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        return 0;
    return ((uint64_t)user + system) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

bool process_look(struct diag_process *p, int pid)
{
    int64_t n = count_fds(pid);

    *p = (struct diag_process){.nfd = n > 0 ? (uint64_t)n : 0};
    if (!owner_look(&p->who, pid))
        return false;
    add_limits(p, pid);
    p->cpu_ms = cpu_ms(pid);
    return true;
}

static bool is_crowded(const struct diag_process *p, unsigned percent)
{
    return p->soft && p->nfd * 100 >= p->soft * percent;
}

/* Is a nearer to its limit than b? */
static bool is_worse(const struct diag_process *a, const struct diag_process *b)
{
    return (double)a->nfd * (double)b->soft > (double)b->nfd * (double)a->soft;
}

static size_t insert(struct diag_process *list, size_t have, size_t n, const struct diag_process *p)
{
    size_t at = have;

    while (at > 0 && is_worse(p, &list[at - 1]))
        at--;
    if (at == n)
        return have;
    have = have < n ? have + 1 : n;
    memmove(&list[at + 1], &list[at], (have - at - 1) * sizeof(*p));
    list[at] = *p;
    return have;
}

size_t process_crowded(struct diag_process *list, size_t n, unsigned percent, size_t *closed)
{
    DIR *proc = opendir("/proc");
    struct dirent *d;
    size_t have = 0;

    *closed = 0;
    while (proc && (d = readdir(proc))) {
        int pid = atoi(d->d_name);
        int64_t nfd = pid > 0 ? count_fds(pid) : 0;
        struct diag_process p = {.nfd = nfd > 0 ? (uint64_t)nfd : 0};

        *closed += nfd == -EACCES || nfd == -EPERM;
        if (nfd < FEW)
            continue;
        add_limits(&p, pid);
        if (is_crowded(&p, percent) && process_look(&p, pid))
            have = insert(list, have, n, &p);
    }
    if (proc)
        closedir(proc);
    return have;
}

/* The descriptor that has this socket, in that process; -1: none is seen. */
static int find_fd(int pid, uint32_t inode)
{
    char path[64], link[64], wanted[32];
    DIR *folder;
    struct dirent *d;
    int fd = -1;

    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    snprintf(wanted, sizeof(wanted), "socket:[%u]", inode);
    folder = opendir(path);
    while (folder && fd < 0 && (d = readdir(folder))) {
        ssize_t len = readlinkat(dirfd(folder), d->d_name, link, sizeof(link) - 1);

        link[len > 0 ? len : 0] = '\0';
        if (strcmp(link, wanted) == 0)
            fd = atoi(d->d_name);
    }
    if (folder)
        closedir(folder);
    return fd;
}

int process_nodelay(int pid, uint32_t inode)
{
    int theirs = find_fd(pid, inode), value = -1;
    socklen_t len = sizeof(value);
    int process = theirs < 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
    int fd = process < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, process, theirs, 0);

    if (fd >= 0 && getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &len) < 0)
        value = -1;
    if (fd >= 0)
        close(fd);
    if (process >= 0)
        close(process);
    return value < 0 ? -1 : value != 0;
}
