/* exec.c - the child gets the connection's own descriptor: no byte passes through us.
 *
 * So any program works that reads standard input and writes standard output, at the
 * kernel's speed, and a client that half-closes gets the whole reply: the end it sends is
 * the program's end of file, and nothing here looks at the stream meanwhile.  (ncat --exec,
 * which copies through pipes, gave 0 of 40 such clients their reply.)
 *
 * When the program has ended, the connection ends politely: the end of the stream is sent,
 * and what the client still says is read away, for SILENCE seconds without a byte or for
 * GOODBYE seconds in all.  To close at once would, with input unread, reset the connection
 * and destroy the end of the reply (RFC 1122 4.2.2.13).
 *
 * The child has: the three standard descriptors (standard error is the log's) and no other;
 * every signal at its default, SIGPIPE among them, none blocked; a process group of its
 * own; and in its environment
 *
 *   REMOTE_ADDR, REMOTE_PORT, LOCAL_ADDR, LOCAL_PORT              as CGI (RFC 3875)
 *   PROTO, TCPREMOTEIP, TCPREMOTEPORT, TCPLOCALIP, TCPLOCALPORT   as ucspi-tcp
 *
 * with PROTO=UNIX, and the addresses' texts alone, for a UNIX socket.
 *
 * posix_spawn(3) stops its thread until the child has become sh, so it runs on a helper
 * thread (stoa_offload); the wait for the end parks the fiber (child.c).
 */
#include "cli/exec.h"

#include "cli/child.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <stoa.h>
#include <string.h>
#include <unistd.h>

static const double SILENCE = 2;
static const double GOODBYE = 30;

/* TCP_CLOSE_WAIT of <netinet/tcp.h>, whose struct tcp_info is older than that of <linux/tcp.h>. */
enum { STATE_CLOSE_WAIT = 8 };

extern char **environ;

static int errors_fd = STDERR_FILENO;

void exec_errors(int fd)
{
    errors_fd = fd;
}

/* What the helper thread needs, and what it answers. */
struct job {
    const char *command;
    int fd;
    struct stoa_addr peer, self;
    pid_t pid;
};

/* -------------------------------------------------------------------------
 * The environment
 * ---------------------------------------------------------------------- */

enum {
    ADDR_VARIABLES = 9,
    VARIABLE_ROOM = 32 + STOA_ADDR_TEXT_MAX,
};

/* Each name that may be set, with an = : the old value is taken out in any case. */
static const char *const names[ADDR_VARIABLES] = {
    "REMOTE_ADDR=",   "REMOTE_PORT=", "LOCAL_ADDR=",   "LOCAL_PORT=", "TCPREMOTEIP=",
    "TCPREMOTEPORT=", "TCPLOCALIP=",  "TCPLOCALPORT=", "PROTO=",
};

struct variables {
    char text[ADDR_VARIABLES][VARIABLE_ROOM];
    size_t n;
};

static void variable_add(struct variables *v, const char *name, const char *value)
{
    snprintf(v->text[v->n++], VARIABLE_ROOM, "%s=%s", name, value);
}

/* IPv4 that came by a dual-stack listener is IPv4 for the program. */
static void number_text(const struct stoa_addr *a, char *host, char *port)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)&a->sa;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->sa;
    const void *bytes = &in->sin_addr;
    int family = a->sa.ss_family;

    if (family == AF_INET6)
        bytes = &in6->sin6_addr;
    if (family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
        family = AF_INET;
        bytes = &in6->sin6_addr.s6_addr[12];
    }
    inet_ntop(family, bytes, host, INET6_ADDRSTRLEN);
    snprintf(port, 8, "%u", ntohs(in->sin_port)); /* in6's is in the same place */
}

static void variables_tcp(struct variables *v, const struct job *j)
{
    char host[INET6_ADDRSTRLEN], port[8];

    number_text(&j->peer, host, port);
    variable_add(v, "REMOTE_ADDR", host);
    variable_add(v, "REMOTE_PORT", port);
    variable_add(v, "TCPREMOTEIP", host);
    variable_add(v, "TCPREMOTEPORT", port);
    number_text(&j->self, host, port);
    variable_add(v, "LOCAL_ADDR", host);
    variable_add(v, "LOCAL_PORT", port);
    variable_add(v, "TCPLOCALIP", host);
    variable_add(v, "TCPLOCALPORT", port);
    variable_add(v, "PROTO", "TCP");
}

static void variables_unix(struct variables *v, const struct job *j)
{
    char shown[STOA_ADDR_TEXT_MAX];

    variable_add(v, "REMOTE_ADDR", stoa_addr_text(&j->peer, shown, sizeof(shown)));
    variable_add(v, "LOCAL_ADDR", stoa_addr_text(&j->self, shown, sizeof(shown)));
    variable_add(v, "PROTO", "UNIX");
}

/* What a service manager or predecessor has told us is not for others. */
static const char *const private_names[] = {
    "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=", "STOA_HANDOVER=", "NOTIFY_SOCKET=",
};

static bool begins_with_one(const char *entry, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strncmp(entry, list[i], strlen(list[i])) == 0)
            return true;
    return false;
}

static bool is_left_out(const char *entry)
{
    return begins_with_one(entry, names, ADDR_VARIABLES) ||
           begins_with_one(entry, private_names, sizeof(private_names) / sizeof(private_names[0]));
}

/* Our own environment and v.  NULL: no memory.  The list is to be freed, its entries not. */
static char **environment(struct variables *v)
{
    size_t n = 0;
    char **list;

    while (environ[n])
        n++;
    list = calloc(n + ADDR_VARIABLES + 1, sizeof(*list));
    if (!list)
        return NULL;
    n = 0;
    for (char **e = environ; *e; e++)
        if (!is_left_out(*e))
            list[n++] = *e;
    for (size_t i = 0; i < v->n; i++)
        list[n++] = v->text[i];
    return list;
}

/* -------------------------------------------------------------------------
 * The child
 * ---------------------------------------------------------------------- */

/* 0, or an errno value: what posix_spawn's own calls return. */
static int spawn_with(struct job *j, char **env)
{
    char *const argv[] = {"sh", "-c", (char *)j->command, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, all;
    int error;

    sigemptyset(&none);
    sigfillset(&all);
    error = posix_spawn_file_actions_init(&files);
    if (error)
        return error;
    error = posix_spawnattr_init(&how);
    if (error)
        goto fail_attr;
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK |
                                       POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setsigdefault(&how, &all);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setpgroup(&how, 0);
    error = posix_spawn_file_actions_adddup2(&files, j->fd, STDIN_FILENO);
    if (!error)
        error = posix_spawn_file_actions_adddup2(&files, j->fd, STDOUT_FILENO);
    if (!error)
        error = posix_spawn_file_actions_adddup2(&files, errors_fd, STDERR_FILENO);
    if (!error)
        error = posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
    if (!error)
        error = posix_spawn(&j->pid, "/bin/sh", &files, &how, argv, env);
    posix_spawnattr_destroy(&how);
fail_attr:
    posix_spawn_file_actions_destroy(&files);
    return error;
}

/* On a helper thread.  0; -1 with errno. */
static int spawn(void *arg)
{
    struct job *j = arg;
    struct variables v = {.n = 0};
    char **env;

    if (j->peer.sa.ss_family == AF_UNIX)
        variables_unix(&v, j);
    else
        variables_tcp(&v, j);
    env = environment(&v);
    if (!env)
        return -1;
    errno = spawn_with(j, env);
    free(env);
    return errno ? -1 : 0;
}

/* -------------------------------------------------------------------------
 * The visit
 * ---------------------------------------------------------------------- */

/* What passed, as TCP counts it; other sockets do not, nor does TCP before Linux 4.19. */
static void count(int conn, struct visit *v)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);

    v->uncounted = stoa_getsockopt(conn, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 ||
                   len < offsetof(struct tcp_info, tcpi_dsack_dups);
    if (v->uncounted)
        return;
    /* The end of the stream has a sequence number, and is counted like a byte. */
    v->in = info.tcpi_bytes_received - (info.tcpi_state == STATE_CLOSE_WAIT);
    v->out = info.tcpi_bytes_sent - info.tcpi_bytes_retrans;
}

static void say_goodbye(int conn)
{
    struct stoa_scope all;
    char rest[512];

    if (stoa_shutdown(conn, SHUT_WR) < 0)
        return;
    stoa_settimeout(conn, SILENCE);
    stoa_within(&all, GOODBYE);
    while (stoa_recv(conn, rest, sizeof(rest), 0) > 0)
        ;
    stoa_leave(&all);
}

static int run(struct job *j, struct visit *v)
{
    struct stoa_scope limit;
    int error;

    if (stoa_offload(spawn, j) < 0)
        return errno;
    if (v->timeout > 0)
        stoa_within(&limit, v->timeout);
    error = child_wait(j->pid, &v->status);
    if (v->timeout > 0)
        stoa_leave(&limit);
    v->ran = true;
    return error;
}

int exec_talk(int conn, struct visit *v)
{
    struct job j = {.command = v->command};
    int error;

    j.fd = stoa_fileno(conn);
    if (j.fd < 0 || stoa_getsockname(conn, &j.self) < 0)
        return errno;
    if (stoa_getpeername(conn, &j.peer) < 0)
        j.peer.sa.ss_family = j.self.sa.ss_family; /* it left already */
    error = run(&j, v);
    count(conn, v);
    say_goodbye(conn);
    return error;
}
