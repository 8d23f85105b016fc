/* others.h - other programs, as forked children with the system's own calls, for tests of what is
 * said of them. */
#ifndef TESTS_FACADE_OTHERS_H
#define TESTS_FACADE_OTHERS_H

#include "backends.h"
#include "netns.h"
#include "procns.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <sys/wait.h>

/* A look ends at so many descriptors (EXPLAIN_LINKS_MAX of diag/place.h), and on a busy machine
 * others have more of them. */
__attribute__((constructor)) static void begin(void)
{
    among_ourselves();
}

/* Without the kernel's list by netlink a sentence tells less: qemu-user has no sock_diag(7). */
__attribute__((unused)) static bool has_sock_diag(void)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

    close(fd);
    return fd >= 0;
}

#define NEEDS_SOCK_DIAG()                                                                          \
    if (!has_sock_diag()) {                                                                        \
        SKIP("there is no sock_diag(7)");                                                          \
        return;                                                                                    \
    }

/* -------------------------------------------------------------------------
 * Another program
 * ---------------------------------------------------------------------- */

struct child {
    pid_t pid;
    int tell; /* the child goes on when it is closed */
    int hear;
};

/* A child that runs fn, which says child_ready() and then child_wait()s. */
__attribute__((unused)) static struct child child_start(void (*fn)(struct child *me, void *arg),
                                                        void *arg)
{
    int down[2], up[2];
    struct child c;

    EXPECT_EQ(pipe2(down, O_CLOEXEC) | pipe2(up, O_CLOEXEC), 0);
    c.pid = fork();
    if (c.pid == 0) {
        struct child me = {.tell = up[1], .hear = down[0]};

        close(down[1]);
        fn(&me, arg);
        _exit(0);
    }
    close(down[0]);
    close(up[1]);
    c.tell = down[1];
    c.hear = up[0];
    char byte;
    EXPECT_EQ(read(c.hear, &byte, 1), 1);
    return c;
}

__attribute__((unused)) static void child_ready(struct child *me)
{
    if (write(me->tell, ".", 1) != 1)
        _exit(1);
}

__attribute__((unused)) static void child_wait(struct child *me)
{
    char byte;

    (void)!read(me->hear, &byte, 1);
}

__attribute__((unused)) static void child_end(struct child *c)
{
    int status;

    close(c->tell);
    close(c->hear);
    EXPECT_EQ(waitpid(c->pid, &status, 0), c->pid);
}

/* The kernel's name for this program and its children is that of Valgrind, when it runs them. */
__attribute__((unused)) static void expect_pid(const char *file, int line, pid_t pid)
{
    char part[32], name[16] = "";

    EXPECT_EQ(prctl(PR_GET_NAME, name), 0);
    snprintf(part, sizeof(part), "(pid %d, user ", (int)pid);
    if (!said(part) || !said(name))
        t_fail(file, line, "\"%s\" does not name %s %s", stoa_errmsg(), name, part);
}

#define EXPECT_PID(pid) expect_pid(__FILE__, __LINE__, pid)

__attribute__((unused)) static struct sockaddr_in at(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
}

__attribute__((unused)) static int plain_listener(uint16_t *port, int reuse, int backlog)
{
    struct sockaddr_in in = at(*port);
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse));
    EXPECT_EQ(bind(fd, (struct sockaddr *)&in, len) | listen(fd, backlog), 0);
    EXPECT_EQ(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    *port = ntohs(in.sin_port);
    return fd;
}

/* "127.0.0.1:80" */
__attribute__((unused)) static struct text text_of(const char *host, unsigned port)
{
    struct text t;

    snprintf(t.c, sizeof(t.c), "%s:%u", host, port);
    return t;
}

/* -------------------------------------------------------------------------
 * Address already in use
 * ---------------------------------------------------------------------- */

/* The child has the parent's listener alone, so the port was never free in between. */
__attribute__((unused)) static void listens(struct child *me, void *arg)
{
    (void)arg;
    child_ready(me);
    child_wait(me);
}

__attribute__((unused)) static struct child server_start(void (*fn)(struct child *me, void *arg),
                                                         uint16_t *port)
{
    int listener = plain_listener(port, 1, 5);
    struct child c = child_start(fn, &listener);

    close(listener);
    return c;
}

__attribute__((unused)) static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    close(fd);
    return good;
}

/* A network of our own, whose TIME_WAITs and ports nobody else fills. */
__attribute__((unused)) static bool network_with_ports(const char *range)
{
    if ((unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) || !loopback_up())
        return false;
    return write_file("/proc/sys/net/ipv4/ip_local_port_range", range);
}

/* Give the loopback device a second address. */
__attribute__((unused)) static bool has_address(const char *address)
{
    struct ifreq alias = {.ifr_name = "lo:1"};
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)&alias.ifr_addr;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    in->sin_family = AF_INET;
    bool good =
        inet_pton(AF_INET, address, &in->sin_addr) == 1 && ioctl(fd, SIOCSIFADDR, &alias) == 0;
    close(fd);
    return good;
}

#endif
