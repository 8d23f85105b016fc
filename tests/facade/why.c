/* why.c - errors that explain themselves: each real condition, and the cause it is told by.
 *
 * What is looked for is the fact (a pid, a program, a number of seconds, a free port), not
 * the wording around it.  Other programs are forked children with the system's own calls.
 */
#include "others.h"

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

/* One of the first tries is given the port it calls. */
static void dial_oneself(void)
{
    int r = -1;

    for (int i = 0; i < 10 && (r >= 0 || errno != EADDRNOTAVAIL); i++)
        r = stoa_dial("127.0.0.1:40000", NULL);
    EXPECT_EQ(errno, EADDRNOTAVAIL);
}

TEST(a_socket_that_met_itself)
{
    NOT_SIMULATED("it has its own ports");
    ALONE(a_socket_that_met_itself);
    if (!network_with_ports("40000 40001")) {
        SKIP("needs a network namespace");
        return;
    }
    dial_oneself();
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
    dial_oneself();
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
static int taken; /* the descriptor of the parent's */

static void binds_a_taken_one(struct child *me, void *arg)
{
    close(taken); /* inherited: else it would be this very process's */
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
    taken = stoa_fileno(s);
    struct child c = child_start(binds_a_taken_one, where.c);
    EXPECT_EQ(read(c.hear, &good, 1), 1);
    EXPECT(good);
    child_end(&c);
    EXPECT_OK(stoa_close(s));
}

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
