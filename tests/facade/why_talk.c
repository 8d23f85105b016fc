/* why_talk.c - errors of connections that explain themselves: refused, reset, out of time; paths.
 *
 * As why.c: what is looked for is the fact, not the wording around it.
 */
#include "others.h"

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
    NEEDS_SOCK_DIAG();
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
    NEEDS_SOCK_DIAG();
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
    NEEDS_SOCK_DIAG();
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
    NEEDS_SOCK_DIAG();
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

/* Some servers (HAProxy) bind at another name and then rename the file; the kernel's list keeps the
 * first one.  Nobody must be told to remove the file of a server that lives. */
TEST(a_path_that_was_renamed_names_its_holder)
{
    NOT_SIMULATED("there a path is a name, and no file");
    NEEDS_SOCK_DIAG();
    struct text where = unix_path(), first = where;
    const char *path = where.c + strlen("unix:");

    strncat(first.c, ".new", sizeof(first.c) - strlen(first.c) - 1);
    int s = stoa_announce(first.c, NULL);
    EXPECT_OK(s);
    EXPECT_EQ(rename(first.c + strlen("unix:"), path), 0);
    EXPECT_ERR(stoa_announce(where.c, NULL), EADDRINUSE);
    EXPECT_SAID("the path is held by");
    EXPECT_PID(getpid());
    EXPECT_OK(stoa_close(s));
    unlink(path);
}
ON_EVERY_BACKEND(a_path_that_was_renamed_names_its_holder)

TEST(a_full_path_tells_how_full)
{
    NOT_SIMULATED("there a path is a name, and no file");
    NEEDS_SOCK_DIAG();
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
