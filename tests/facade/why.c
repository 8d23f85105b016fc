/* why.c - errors that explain themselves: each real condition, and the cause it is told by.
 *
 * What is looked for is the fact (a pid, a program, a number of seconds, a free port), not
 * the wording around it.  Other programs are forked children with the system's own calls.
 */
#include "backends.h"
#include "netns.h"
#include "procns.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <sys/wait.h>

/* A look ends at so many descriptors (EXPLAIN_LINKS_MAX of diag/place.h), and on a busy machine
 * others have more of them. */
__attribute__((constructor)) static void begin(void)
{
    among_ourselves();
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
static struct child child_start(void (*fn)(struct child *me, void *arg), void *arg)
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

static void child_ready(struct child *me)
{
    if (write(me->tell, ".", 1) != 1)
        _exit(1);
}

static void child_wait(struct child *me)
{
    char byte;

    (void)!read(me->hear, &byte, 1);
}

static void child_end(struct child *c)
{
    int status;

    close(c->tell);
    close(c->hear);
    EXPECT_EQ(waitpid(c->pid, &status, 0), c->pid);
}

static void expect_pid(int line, pid_t pid)
{
    char part[32];

    snprintf(part, sizeof(part), "(pid %d, user ", (int)pid);
    if (!said(part) || !said(program_invocation_short_name))
        t_fail(__FILE__, line, "\"%s\" does not name %s %s", stoa_errmsg(),
               program_invocation_short_name, part);
}

#define EXPECT_PID(pid) expect_pid(__LINE__, pid)

static struct sockaddr_in at(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
}

static int plain_listener(uint16_t *port, int reuse, int backlog)
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
static struct text text_of(const char *host, unsigned port)
{
    struct text t;

    snprintf(t.c, sizeof(t.c), "%s:%u", host, port);
    return t;
}

/* -------------------------------------------------------------------------
 * Address already in use
 * ---------------------------------------------------------------------- */

/* The child has the parent's listener alone, so the port was never free in between. */
static void listens(struct child *me, void *arg)
{
    (void)arg;
    child_ready(me);
    child_wait(me);
}

static struct child server_start(void (*fn)(struct child *me, void *arg), uint16_t *port)
{
    int listener = plain_listener(port, 1, 5);
    struct child c = child_start(fn, &listener);

    close(listener);
    return c;
}

TEST(a_port_in_use_names_its_holder_and_a_free_one)
{
    NOT_SIMULATED("it has no other programs");
    uint16_t port = 0;
    struct child c = server_start(listens, &port);
    struct text where = text_of("127.0.0.1", port);
    char held[32];

    snprintf(held, sizeof(held), "port %u is held by ", port);
    EXPECT_ERR(stoa_announce(where.c, NULL), EADDRINUSE);
    EXPECT_SAID(held);
    EXPECT_PID(c.pid);
    EXPECT_SAID("since ");
    EXPECT_SAID(" is free");
    int s = stoa_socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_ERR(stoa_bind(s, where.c), EADDRINUSE);
    EXPECT_PID(c.pid);
    struct sockaddr_in in = at(port);
    EXPECT_ERR(stoa_bind_sa(s, (struct sockaddr *)&in, sizeof(in)), EADDRINUSE);
    EXPECT_PID(c.pid);
    EXPECT_ERR(stoa_serve(where.c, NULL, NULL, NULL), EADDRINUSE);
    EXPECT_PID(c.pid);
    EXPECT_OK(stoa_close(s));
    child_end(&c);
    EXPECT_PID(c.pid); /* the answer stays */
}
ON_EVERY_BACKEND(a_port_in_use_names_its_holder_and_a_free_one)

TEST(ones_own_port_is_told_as_that)
{
    NOT_SIMULATED("it has no other programs");
    struct text where;
    int s = listener_make(TCP4, &where);

    EXPECT_ERR(stoa_announce(where.c, NULL), EADDRINUSE);
    EXPECT_SAID("this very process");
    EXPECT_PID(getpid());
    EXPECT_OK(stoa_close(s));
    s = bound_make(UDP4);
    where = self_text(s);
    EXPECT_ERR(stoa_announce(where.c, NULL), EADDRINUSE);
    EXPECT_PID(getpid());
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(ones_own_port_is_told_as_that)

/* Two sockets may have a port, with SO_REUSEADDR; one of them may listen. */
TEST(listen_names_the_holder_too)
{
    NOT_SIMULATED("it has no other programs");
    int s = bound_make(TCP4), t = stoa_socket(AF_INET, SOCK_STREAM, 0);
    struct text where = self_text(s);

    EXPECT_OK(stoa_bind(t, where.c));
    EXPECT_OK(stoa_listen(s, 5));
    EXPECT_ERR(stoa_listen(t, 5), EADDRINUSE);
    EXPECT_PID(getpid());
    EXPECT_OK(stoa_close(s) | stoa_close(t));
}
ON_EVERY_BACKEND(listen_names_the_holder_too)

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    close(fd);
    return good;
}

/* A network of our own, whose TIME_WAITs and ports nobody else fills. */
static bool network_with_ports(const char *range)
{
    if ((unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) || !loopback_up())
        return false;
    return write_file("/proc/sys/net/ipv4/ip_local_port_range", range);
}

/* Give the loopback device a second address. */
static bool has_address(const char *address)
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

/* The old server had no SO_REUSEADDR and closed first. */
static uint16_t left_in_time_wait(void)
{
    uint16_t port = 0;
    int listener = plain_listener(&port, 0, 5), client = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in in = at(port);
    char byte;

    EXPECT_EQ(connect(client, (struct sockaddr *)&in, sizeof(in)), 0);
    close(accept(listener, NULL, NULL));
    EXPECT_EQ(read(client, &byte, 1), 0);
    close(client);
    close(listener);
    return port;
}

TEST(time_wait_tells_the_seconds_left)
{
    NOT_SIMULATED("it has its own TIME_WAIT");
    ALONE(time_wait_tells_the_seconds_left);
    if (!network_with_ports("40000 50000")) {
        SKIP("needs a network namespace");
        return;
    }
    uint16_t port = left_in_time_wait();
    struct text where = text_of("127.0.0.1", port);
    unsigned seconds = 0;

    EXPECT_ERR(stoa_announce(where.c, NULL), EADDRINUSE);
    EXPECT_SAID("TIME_WAIT");
    EXPECT_SAID(" is free");
    const char *frees = strstr(stoa_errmsg(), "frees in ");
    EXPECT_EQ(frees ? sscanf(frees, "frees in %u s", &seconds) : 0, 1);
    EXPECT_GE(seconds, 1);
    EXPECT_LE(seconds, 60);
}
ON_EVERY_BACKEND(time_wait_tells_the_seconds_left)

/* -------------------------------------------------------------------------
 * Addresses
 * ---------------------------------------------------------------------- */

TEST(another_machines_address)
{
    NOT_SIMULATED("it has its own addresses");
    EXPECT_ERR(stoa_announce("203.0.113.7:8081", NULL), EADDRNOTAVAIL);
    EXPECT_SAID("not an address of this machine, which has ");
    EXPECT_SAID("0.0.0.0");
}
ON_EVERY_BACKEND(another_machines_address)

TEST(no_port_is_left_for_a_peer)
{
    NOT_SIMULATED("it has its own ports");
    ALONE(no_port_is_left_for_a_peer);
    if (!network_with_ports("40000 40009")) {
        SKIP("needs a network namespace");
        return;
    }
    int listener = stoa_announce("127.0.0.1:7000", NULL), s[10];

    for (int i = 0; i < 10; i++)
        EXPECT_OK(s[i] = stoa_dial("127.0.0.1:7000", NULL));
    EXPECT_ERR(stoa_dial("127.0.0.1:7000", NULL), EADDRNOTAVAIL);
    EXPECT_SAID("10 of the 10 local ports are in use for 127.0.0.1:7000");
    for (int i = 0; i < 10; i++)
        EXPECT_OK(stoa_close(s[i]));
    EXPECT_OK(stoa_close(listener));
}
ON_EVERY_BACKEND(no_port_is_left_for_a_peer)

TEST(a_socket_that_met_itself)
{
    NOT_SIMULATED("it has its own ports");
    ALONE(a_socket_that_met_itself);
    if (!network_with_ports("40000 40001")) {
        SKIP("needs a network namespace");
        return;
    }
    /* One of the first tries is given the port it calls. */
    int r = -1;
    for (int i = 0; i < 10 && (r >= 0 || errno != EADDRNOTAVAIL); i++)
        r = stoa_dial("127.0.0.1:40000", NULL);
    EXPECT_EQ(errno, EADDRNOTAVAIL);
    EXPECT_SAID("met itself");
    EXPECT_SAID("ip_local_reserved_ports=40000");
}
ON_EVERY_BACKEND(a_socket_that_met_itself)

/* Writing the setting replaces it: what is proposed has the ports that somebody else reserved. */
TEST(a_port_is_reserved_beside_the_others)
{
    NOT_SIMULATED("it has its own ports");
    ALONE(a_port_is_reserved_beside_the_others);
    if (!network_with_ports("40000 40001") ||
        !write_file("/proc/sys/net/ipv4/ip_local_reserved_ports", "50000,50002-50003")) {
        SKIP("needs a network namespace");
        return;
    }
    int r = -1;
    for (int i = 0; i < 10 && (r >= 0 || errno != EADDRNOTAVAIL); i++)
        r = stoa_dial("127.0.0.1:40000", NULL);
    EXPECT_EQ(errno, EADDRNOTAVAIL);
    EXPECT_SAID("ip_local_reserved_ports=50000,50002-50003,40000`");
}
ON_EVERY_BACKEND(a_port_is_reserved_beside_the_others)

/* As in many a container, where `localhost` is ::1 all the same. */
TEST(without_ipv6_that_is_the_cause)
{
    NOT_SIMULATED("it has its own addresses");
    ALONE(without_ipv6_that_is_the_cause);
    if (!network_with_ports("40000 50000") ||
        !write_file("/proc/sys/net/ipv6/conf/lo/disable_ipv6", "1")) {
        SKIP("needs a network namespace, and IPv6");
        return;
    }
    EXPECT_ERR(stoa_dial("[::1]:40000", NULL), EADDRNOTAVAIL);
    EXPECT_SAID("[::1] is not an address of this machine");
    EXPECT_SAID("127.0.0.1:40000");
    EXPECT_ERR(stoa_announce("[::1]:8081", NULL), EADDRNOTAVAIL);
    EXPECT_SAID("not an address of this machine, which has ");
}
ON_EVERY_BACKEND(without_ipv6_that_is_the_cause)

/* A child, for the user it becomes cannot come back. */
static void binds_low(struct child *me, void *arg)
{
    (void)arg;
    (void)!setgid(65534);
    (void)!setuid(65534);
    bool good = stoa_announce("127.0.0.1:80", NULL) == -1 && errno == EACCES &&
                said("port 80 is below 1024") && said("setcap cap_net_bind_service=+ep ");
    if (!good)
        printf("# %s\n", stoa_errmsg());
    child_ready(me);
    if (write(me->tell, &good, 1) != 1)
        _exit(1);
    child_wait(me);
}

TEST(a_low_port_tells_three_ways_out)
{
    ALONE(a_low_port_tells_three_ways_out);
    struct child c;
    bool good = false;

    if (geteuid() != 0) {
        SKIP("only root can become another");
        return;
    }
    c = child_start(binds_low, NULL);
    EXPECT_EQ(read(c.hear, &good, 1), 1);
    EXPECT(good);
    child_end(&c);
}

/* Whose a datagram socket is, is asked of UDP: the same port of TCP is another's. */
static void binds_a_taken_one(struct child *me, void *arg)
{
    (void)!setgid(65534);
    (void)!setuid(65534);
    int s = stoa_socket(AF_INET, SOCK_DGRAM, 0);
    bool good = stoa_bind(s, arg) == -1 && errno == EADDRINUSE && said("a program of root") &&
                said("`sudo stoa doctor udp://:");

    if (!good)
        printf("# %s\n", stoa_errmsg());
    child_ready(me);
    if (write(me->tell, &good, 1) != 1)
        _exit(1);
    child_wait(me);
}

TEST(who_may_not_look_is_told_the_command)
{
    ALONE(who_may_not_look_is_told_the_command);
    if (geteuid() != 0) {
        SKIP("only root can become another");
        return;
    }
    int s = stoa_socket(AF_INET, SOCK_DGRAM, 0);
    bool good = false;

    EXPECT_OK(stoa_bind(s, "127.0.0.1:0"));
    struct text where = self_text(s);
    struct child c = child_start(binds_a_taken_one, where.c);
    EXPECT_EQ(read(c.hear, &good, 1), 1);
    EXPECT(good);
    child_end(&c);
    EXPECT_OK(stoa_close(s));
}

/* -------------------------------------------------------------------------
 * Connection refused, reset, timed out
 * ---------------------------------------------------------------------- */

TEST(refused_tells_who_listens_beside)
{
    NOT_SIMULATED("it has no other programs");
    uint16_t port = 0;
    struct child c = server_start(listens, &port);
    struct text where = text_of("[::1]", port), there = text_of("127.0.0.1", port);

    EXPECT_ERR(stoa_dial(where.c, NULL), ECONNREFUSED);
    EXPECT_SAID(there.c);
    EXPECT_PID(c.pid);
    where = text_of("127.0.0.2", port);
    EXPECT_ERR(stoa_dial(where.c, NULL), ECONNREFUSED);
    EXPECT_PID(c.pid);
    child_end(&c);
    EXPECT_ERR(stoa_dial(there.c, NULL), ECONNREFUSED);
    EXPECT_SAID("nothing listens on port ");
}
ON_EVERY_BACKEND(refused_tells_who_listens_beside)

/* 0.0.0.0 is this machine (ip(7)), and so is its own address in IPv6's clothes. */
TEST(this_machine_is_known_by_all_its_names)
{
    NOT_SIMULATED("it has its own addresses");
    ALONE(this_machine_is_known_by_all_its_names);
    if (!network_with_ports("40000 50000") || !has_address("10.8.0.1")) {
        SKIP("needs a network namespace");
        return;
    }
    EXPECT_ERR(stoa_dial("0.0.0.0:8081", NULL), ECONNREFUSED);
    EXPECT_SAID("nothing listens on port 8081 of this machine");
    EXPECT_ERR(stoa_dial("[::ffff:10.8.0.1]:8081", NULL), ECONNREFUSED);
    EXPECT_SAID("nothing listens on port 8081 of this machine");
}
ON_EVERY_BACKEND(this_machine_is_known_by_all_its_names)

TEST(a_datagrams_refusal_is_of_an_earlier_one)
{
    NOT_SIMULATED("it has no other programs");
    struct text where = nobody_there(UDP4);
    int s = stoa_dial(where.c, NULL);
    char byte;

    EXPECT_OK(stoa_send(s, "x", 1, 0));
    EXPECT_ERR(stoa_recv(s, &byte, 1, 0), ECONNREFUSED);
    EXPECT_SAID("an earlier message was refused");
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(a_datagrams_refusal_is_of_an_earlier_one)

/* Takes a connection, and closes it when there are bytes that it has not read. */
static void closes_unread(struct child *me, void *arg)
{
    const int *listener = arg;
    int conn;
    char byte;

    child_ready(me);
    conn = accept(*listener, NULL, NULL);
    (void)!recv(conn, &byte, 1, MSG_PEEK);
    close(conn);
    child_wait(me);
}

TEST(a_reset_tells_whose_bytes_were_unread)
{
    NOT_SIMULATED("it has no other programs");
    uint16_t port = 0;
    struct child c = server_start(closes_unread, &port);
    struct text where = text_of("127.0.0.1", port);
    int s = stoa_dial(where.c, NULL);
    char byte;

    EXPECT_OK(stoa_sendall(s, "hello", 5, 0));
    EXPECT_ERR(stoa_recv(s, &byte, 1, 0), ECONNRESET);
    EXPECT_SAID("unread");
    EXPECT_PID(c.pid);
    EXPECT_SAID(" of the 5 bytes sent");
    child_end(&c);
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(a_reset_tells_whose_bytes_were_unread)

TEST(a_reset_by_a_server_that_is_gone)
{
    NOT_SIMULATED("it has no other programs");
    struct text where;
    int listener = listener_make(TCP4, &where), s = stoa_dial(where.c, NULL);
    int conn = stoa_accept(listener, NULL);
    char byte;

    EXPECT_OK(stoa_close(listener) | stoa_abort(conn));
    EXPECT_ERR(stoa_recv(s, &byte, 1, 0), ECONNRESET);
    EXPECT_SAID("its program has ended");
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(a_reset_by_a_server_that_is_gone)

TEST(out_of_time_at_a_full_queue)
{
    NOT_SIMULATED("it has no other programs");
    uint16_t port = 0;
    int listener = plain_listener(&port, 1, 0), s[2];
    struct text where = text_of("127.0.0.1", port);
    /* Two that are not meant, before and after it in any order of the kernel's. */
    struct text beside[] = {text_of("127.0.0.2", port), text_of("127.0.0.3", port)};
    int others[] = {stoa_announce(beside[0].c, NULL), stoa_announce(beside[1].c, NULL)};

    s[0] = stoa_dial(where.c, NULL);
    s[1] = stoa_socket(AF_INET, SOCK_STREAM, 0);
    stoa_settimeout(s[1], 0.05);
    EXPECT_ERR(stoa_connect(s[1], where.c), ETIME);
    EXPECT_SAID("its queue is full, 1 connections wait and the limit is 0");
    EXPECT_PID(getpid());
    EXPECT_OK(stoa_close(s[0]) | stoa_close(s[1]));
    EXPECT_OK(stoa_close(others[0]) | stoa_close(others[1]));
    close(listener);
}
ON_EVERY_BACKEND(out_of_time_at_a_full_queue)

TEST(the_networks_time_and_ours_are_told_apart)
{
    NOT_SIMULATED("it has its own settings");
    struct pair p = pair_make();
    int ms = 50;
    size_t len = 16 << 20;
    char *big = calloc(1, len);

    small_buffers(p.near);
    small_buffers(p.far);
    EXPECT_OK(stoa_setsockopt(p.near, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms)));
    EXPECT_ERR(stoa_sendall(p.near, big, len, 0), ETIMEDOUT);
    EXPECT_SAID("the network gave up");
    EXPECT_SAID("net.ipv4.tcp_retries2");
    EXPECT_SAID(" bytes sent");
    pair_close(&p);
    p = pair_make();
    stoa_settimeout(p.near, 0.01);
    EXPECT_ERR(stoa_recv(p.near, big, 1, 0), ETIME);
    EXPECT_SAID("our own time");
    pair_close(&p);
    free(big);
}
ON_EVERY_BACKEND(the_networks_time_and_ours_are_told_apart)

/* -------------------------------------------------------------------------
 * UNIX paths
 * ---------------------------------------------------------------------- */

TEST(a_path_in_use_names_its_holder)
{
    NOT_SIMULATED("there a path is a name, and no file");
    struct text where = unix_path();
    int s = stoa_announce(where.c, NULL);

    EXPECT_OK(s);
    EXPECT_ERR(stoa_announce(where.c, NULL), EADDRINUSE);
    EXPECT_SAID("the path is held by");
    EXPECT_PID(getpid());
    EXPECT_OK(stoa_close(s));
    EXPECT_ERR(stoa_dial(where.c, NULL), ECONNREFUSED);
    EXPECT_SAID("left it behind");
    EXPECT_SAID("rm /");
    EXPECT_EQ(unlink(where.c + strlen("unix:")), 0);
    EXPECT_ERR(stoa_dial(where.c, NULL), ENOENT);
    EXPECT_SAID("there is no such path");
    EXPECT_ERR(stoa_dial("unix:/no/such/path", NULL), ENOENT);
    EXPECT_SAID("no such folder: /no");
    EXPECT_ERR(stoa_announce("unix:/no/such/path", NULL), ENOENT);
    EXPECT_SAID("mkdir -p");
    EXPECT_ERR(stoa_dial("unix:@no.such.name", NULL), ECONNREFUSED);
    EXPECT_SAID("no process has that name");
}
ON_EVERY_BACKEND(a_path_in_use_names_its_holder)

TEST(a_full_path_tells_how_full)
{
    NOT_SIMULATED("there a path is a name, and no file");
    struct text where = unix_path();
    int listener = stoa_socket(AF_UNIX, SOCK_STREAM, 0), s[2];

    EXPECT_OK(stoa_bind(listener, where.c) | stoa_listen(listener, 0));
    for (int i = 0; i < 2; i++) {
        EXPECT_OK(s[i] = stoa_socket(AF_UNIX, SOCK_STREAM, 0));
        stoa_setblocking(s[i], false);
    }
    EXPECT_OK(stoa_connect(s[0], where.c));
    EXPECT_ERR(stoa_connect(s[1], where.c), EAGAIN);
    EXPECT_SAID("its queue is full: 1 connections wait, the limit is 0");
    EXPECT_PID(getpid());
    EXPECT_OK(stoa_close(s[0]) | stoa_close(s[1]) | stoa_close(listener));
    unlink(where.c + strlen("unix:"));
}
ON_EVERY_BACKEND(a_full_path_tells_how_full)

/* -------------------------------------------------------------------------
 * Manners
 * ---------------------------------------------------------------------- */

/* The simulated network's errors never look at the real machine: here it has somebody at the very
 * address. */
TEST(a_simulated_error_knows_nothing_of_the_machine)
{
    uint16_t port = 0;
    int fd = is_simulated() ? plain_listener(&port, 1, 5) : -1;
    struct text where = text_of("127.0.0.1", port);

    if (!is_simulated()) {
        SKIP("about the simulated network");
        return;
    }
    EXPECT_ERR(stoa_dial(where.c, NULL), ECONNREFUSED);
    EXPECT(!said("pid"));
    int s = stoa_announce(where.c, NULL);
    EXPECT_OK(s);
    EXPECT_ERR(stoa_announce(where.c, NULL), EADDRINUSE);
    EXPECT(!said("pid"));
    EXPECT_OK(stoa_close(s));
    close(fd);
}
T_CASE(a_simulated_error_knows_nothing_of_the_machine, apart, "simulated_errors_are_apart/sim",
       run_sim)

TEST(errno_and_the_first_sentence_stay)
{
    NOT_SIMULATED("it has no other programs");
    struct text where;
    char first[1024];
    int s = listener_make(TCP4, &where);

    EXPECT_ERR(stoa_announce(where.c, NULL), EADDRINUSE);
    errno = 77;
    snprintf(first, sizeof(first), "%s", stoa_errmsg());
    EXPECT_EQ(errno, 77);
    EXPECT_OK(stoa_close(s));
    EXPECT_STR(stoa_errmsg(), first);
}
ON_EVERY_BACKEND(errno_and_the_first_sentence_stay)

static int asks_on_a_small_stack(void *arg)
{
    EXPECT_ERR(stoa_announce(arg, NULL), EADDRINUSE);
    EXPECT_PID(getpid());
    return 0;
}

TEST(the_smallest_stack_is_large_enough)
{
    struct text where;
    int s = listener_make(TCP4, &where);
    struct stoa_options o = {.size = sizeof(o), .stack = 16384};

    EXPECT_EQ(stoa_run(asks_on_a_small_stack, where.c, &o), 0);
    EXPECT_OK(stoa_close(s));
}

/* Where sock_diag is refused the holder is found by /proc/net; where nothing can be opened, the
 * sentence is the plain one. */
TEST(without_descriptors_the_sentence_is_the_plain_one)
{
    NOT_SIMULATED("it has no other programs");
    ALONE(without_descriptors_the_sentence_is_the_plain_one);
    struct text where;
    int s = listener_make(TCP4, &where), fillers[64], n = 0;
    struct rlimit limit = {40, 40};

    EXPECT_ERR(stoa_announce(where.c, NULL), EADDRINUSE);
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    while (n < 64 && (fillers[n] = dup(0)) >= 0)
        n++;
    EXPECT_SAID("the address is in use");
    while (n-- > 0)
        close(fillers[n]);
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(without_descriptors_the_sentence_is_the_plain_one)
