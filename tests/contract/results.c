/* results.c - one situation, one result: what an operation gives on every backend.
 *
 * Each row makes a situation and runs one operation by op_run(), below the facade: its number is
 * what the contract says, the same on a plain thread, by epoll, by a ring and in the simulated
 * network.  When one differs, the table is printed, with what is and what should be.
 */
#include "backend/kernel.h"
#include "backends.h"
#include "net/sock.h"

enum { LEN = 64 };

static char bytes[LEN];

static struct op op_for(enum op_kind kind, int s, int flags)
{
    return (struct op){
        .kind = (uint8_t)kind,
        .flags = flags,
        .sock = &sock_at(s)->b,
        .life = sock_life(s),
        .buf = bytes,
        .len = LEN,
        .timeout_ns = flags & MSG_DONTWAIT && kind != OP_POLL ? 0 : 2000000000,
        .scope_ns = WHEEL_NEVER,
    };
}

static ssize_t run(enum op_kind kind, int s, int flags)
{
    struct op op = op_for(kind, s, flags);

    return op_run(&op);
}

/* And close the socket. */
static ssize_t run_last(enum op_kind kind, int s, int flags)
{
    ssize_t r = run(kind, s, flags);

    EXPECT_OK(stoa_close(s));
    return r;
}

static ssize_t run_pair(struct pair p, enum op_kind kind, int flags)
{
    ssize_t r = run(kind, p.near, flags);

    pair_close(&p);
    return r;
}

static ssize_t run_for(enum op_kind kind, int s, int64_t timeout_ns)
{
    struct op op = op_for(kind, s, 0);

    op.timeout_ns = timeout_ns;
    return op_run(&op);
}

static ssize_t connects(int s, const char *to, int flags)
{
    struct op op = op_for(OP_CONNECT, s, flags);
    struct stoa_addr a;

    EXPECT_OK(stoa_addr_parse(&a, to));
    op.sa = (struct sockaddr *)&a.sa;
    op.sa_len = &a.len;
    return op_run(&op);
}

static ssize_t accepts(int s, int flags)
{
    struct op op = op_for(OP_ACCEPT, s, flags);
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);

    op.sa = (struct sockaddr *)&sa;
    op.sa_len = &len;
    ssize_t r = op_run(&op);

    if (r >= 0)
        backend_drop((int)r);
    return r >= 0 ? 0 : r;
}

static struct pair with_bytes(enum kind k)
{
    struct pair p = pair_of(k);

    EXPECT_OK(stoa_send(p.far, "bytes", 5, 0));
    EXPECT_OK(stoa_poll(p.near, POLLIN));
    return p;
}

static struct pair ended(enum kind k)
{
    struct pair p = pair_of(k);

    EXPECT_OK(stoa_shutdown(p.far, SHUT_WR));
    EXPECT_OK(stoa_poll(p.near, POLLIN));
    return p;
}

static struct pair was_reset(void)
{
    struct pair p = pair_of(TCP4);

    EXPECT_OK(stoa_abort(p.far));
    p.far = -1;
    EXPECT_OK(stoa_poll(p.near, POLLIN));
    return p;
}

static struct pair without_room(void)
{
    struct pair p = pair_of(UNIX_STREAM);

    fill(p.near);
    return p;
}

/* -------------------------------------------------------------------------
 * The rows
 * ---------------------------------------------------------------------- */

static ssize_t recv_bytes(void)
{
    return run_pair(with_bytes(TCP4), OP_RECV, 0);
}

static ssize_t recv_peeks(void)
{
    return run_pair(with_bytes(TCP4), OP_RECV, MSG_PEEK);
}

static ssize_t recv_nothing(void)
{
    return run_pair(pair_of(TCP4), OP_RECV, MSG_DONTWAIT);
}

static ssize_t recv_out_of_time(void)
{
    struct pair p = pair_of(TCP4);
    ssize_t r = run_for(OP_RECV, p.near, 10000000);

    pair_close(&p);
    return r;
}

static ssize_t recv_in_no_time(void)
{
    struct pair p = with_bytes(UNIX_STREAM);
    ssize_t r = run_for(OP_RECV, p.near, 1);

    pair_close(&p);
    return r;
}

static ssize_t recv_end(void)
{
    return run_pair(ended(TCP4), OP_RECV, 0);
}

static ssize_t recv_end_unix(void)
{
    return run_pair(ended(UNIX_STREAM), OP_RECV, 0);
}

static ssize_t recv_after_our_end(void)
{
    struct pair p = pair_of(TCP4);

    EXPECT_OK(stoa_shutdown(p.near, SHUT_RD));
    return run_pair(p, OP_RECV, 0);
}

static ssize_t recv_reset(void)
{
    return run_pair(was_reset(), OP_RECV, 0);
}

static ssize_t recv_unconnected(void)
{
    return run_last(OP_RECV, stoa_socket(AF_INET, SOCK_STREAM, 0), 0);
}

static ssize_t recv_listener(void)
{
    return run_last(OP_RECV, listener_make(TCP4, NULL), 0);
}

static ssize_t recv_no_urgent(void)
{
    return run_pair(pair_of(TCP4), OP_RECV, MSG_OOB);
}

static ssize_t recv_closed(void)
{
    struct pair p = pair_of(TCP4);
    struct op op = op_for(OP_RECV, p.near, 0);

    pair_close(&p);
    return op_run(&op);
}

static ssize_t recv_another_life(void)
{
    struct pair p = with_bytes(TCP4);
    struct op op = op_for(OP_RECV, p.near, 0);

    op.life ^= 1;
    ssize_t r = op_run(&op);
    pair_close(&p);
    return r;
}

static ssize_t recv_datagram(void)
{
    return run_pair(with_bytes(UDP4), OP_RECV, 0);
}

static ssize_t recv_datagram_unix(void)
{
    return run_pair(with_bytes(UNIX_DGRAM), OP_RECV, 0);
}

static ssize_t recv_nobody_there(void)
{
    struct text to = nobody_there(UDP4);
    int s = stoa_socket(AF_INET, SOCK_DGRAM, 0);

    EXPECT_OK(stoa_connect(s, to.c));
    EXPECT_OK(stoa_send(s, "x", 1, 0));
    EXPECT_OK(stoa_poll(s, POLLIN));
    return run_last(OP_RECV, s, 0);
}

static ssize_t send_bytes(void)
{
    return run_pair(pair_of(TCP4), OP_SEND, 0);
}

static ssize_t send_without_room(void)
{
    return run_pair(without_room(), OP_SEND, MSG_DONTWAIT);
}

static ssize_t send_out_of_time(void)
{
    struct pair p = without_room();
    ssize_t r = run_for(OP_SEND, p.near, 10000000);

    pair_close(&p);
    return r;
}

static ssize_t send_after_our_end(void)
{
    struct pair p = pair_of(TCP4);

    EXPECT_OK(stoa_shutdown(p.near, SHUT_WR));
    return run_pair(p, OP_SEND, 0);
}

static ssize_t send_to_the_gone(void)
{
    struct pair p = pair_of(UNIX_STREAM);

    EXPECT_OK(stoa_close(p.far));
    p.far = -1;
    return run_pair(p, OP_SEND, 0);
}

static ssize_t send_reset(void)
{
    return run_pair(was_reset(), OP_SEND, 0);
}

static ssize_t send_unconnected(void)
{
    return run_last(OP_SEND, stoa_socket(AF_INET, SOCK_STREAM, 0), 0);
}

static ssize_t send_unconnected_unix(void)
{
    return run_last(OP_SEND, stoa_socket(AF_UNIX, SOCK_STREAM, 0), 0);
}

static ssize_t send_to_nobody_set(void)
{
    return run_last(OP_SEND, stoa_socket(AF_INET, SOCK_DGRAM, 0), 0);
}

static ssize_t send_too_long(void)
{
    static char big[70000];
    struct pair p = pair_of(UDP4);
    struct op op = op_for(OP_SEND, p.near, 0);

    op.buf = big;
    op.len = sizeof(big);
    ssize_t r = op_run(&op);
    pair_close(&p);
    return r;
}

static ssize_t accept_one(void)
{
    struct text where;
    int s = listener_make(TCP4, &where), c = stoa_dial(where.c, NULL);
    ssize_t r = accepts(s, 0);

    EXPECT_OK(stoa_close(c) | stoa_close(s));
    return r;
}

static ssize_t accept_of(int s, int flags)
{
    ssize_t r = accepts(s, flags);

    EXPECT_OK(stoa_close(s));
    return r;
}

static ssize_t accept_nobody(void)
{
    return accept_of(listener_make(TCP4, NULL), MSG_DONTWAIT);
}

static ssize_t accept_not_listening(void)
{
    return accept_of(stoa_socket(AF_INET, SOCK_STREAM, 0), 0);
}

static ssize_t accept_datagrams(void)
{
    return accept_of(stoa_socket(AF_INET, SOCK_DGRAM, 0), 0);
}

static ssize_t accept_shut_down(void)
{
    int s = listener_make(TCP4, NULL);

    EXPECT_OK(stoa_shutdown(s, SHUT_RD));
    return accept_of(s, 0);
}

static ssize_t connect_of(int s, const char *to, int flags)
{
    ssize_t r = connects(s, to, flags);

    EXPECT_OK(stoa_close(s));
    return r;
}

static ssize_t connect_one(void)
{
    struct text where;
    int s = listener_make(TCP4, &where);
    ssize_t r = connect_of(stoa_socket(AF_INET, SOCK_STREAM, 0), where.c, 0);

    EXPECT_OK(stoa_close(s));
    return r;
}

static ssize_t connect_refused(void)
{
    return connect_of(stoa_socket(AF_INET, SOCK_STREAM, 0), nobody_there(TCP4).c, 0);
}

static ssize_t connect_no_path(void)
{
    struct text where = is_simulated() ? (struct text){"unix:/nobody"} : unix_path();

    return connect_of(stoa_socket(AF_UNIX, SOCK_STREAM, 0), where.c, 0);
}

static ssize_t connect_connected(void)
{
    struct text where;
    int s = listener_make(TCP4, &where), c = stoa_dial(where.c, NULL);
    ssize_t r = connect_of(c, where.c, 0);

    EXPECT_OK(stoa_close(s));
    return r;
}

static ssize_t connect_other_family(void)
{
    return connect_of(stoa_socket(AF_INET, SOCK_STREAM, 0), "[::1]:1", 0);
}

static ssize_t poll_bytes(void)
{
    return run_pair(with_bytes(TCP4), OP_POLL, POLLIN);
}

static ssize_t poll_room(void)
{
    return run_pair(pair_of(TCP4), OP_POLL, POLLOUT);
}

static ssize_t poll_both(void)
{
    return run_pair(with_bytes(UNIX_STREAM), OP_POLL, POLLIN | POLLOUT);
}

static ssize_t poll_end(void)
{
    return run_pair(ended(TCP4), OP_POLL, POLLIN | POLLRDHUP);
}

static ssize_t poll_gone(void)
{
    struct pair p = pair_of(UNIX_STREAM);

    EXPECT_OK(stoa_close(p.far));
    p.far = -1;
    return run_pair(p, OP_POLL, POLLIN);
}

static ssize_t poll_out_of_time(void)
{
    struct pair p = pair_of(TCP4);
    struct op op = op_for(OP_POLL, p.near, POLLIN);

    op.timeout_ns = 10000000;
    ssize_t r = op_run(&op);
    pair_close(&p);
    return r;
}

static ssize_t event_out_of_time(void)
{
    struct op op = {.kind = OP_EVENT, .timeout_ns = 5000000, .scope_ns = WHEEL_NEVER};

    return op_run(&op);
}

static const struct row {
    const char *situation;
    ssize_t (*run)(void);
    ssize_t want;
} rows[] = {
    {"receive: bytes are there", recv_bytes, 5},
    {"receive: a peek", recv_peeks, 5},
    {"receive: nothing, may not wait", recv_nothing, -EAGAIN},
    {"receive: nothing in time", recv_out_of_time, -ETIME},
    {"receive: bytes, a nanosecond's time", recv_in_no_time, 5},
    {"receive: the end, TCP", recv_end, 0},
    {"receive: the end, UNIX", recv_end_unix, 0},
    {"receive: our own side shut down", recv_after_our_end, 0},
    {"receive: reset", recv_reset, -ECONNRESET},
    {"receive: not connected", recv_unconnected, -ENOTCONN},
    {"receive: a listener", recv_listener, -ENOTCONN},
    {"receive: no urgent byte", recv_no_urgent, -EINVAL},
    {"receive: closed before", recv_closed, -EBADF},
    {"receive: another's life", recv_another_life, -EBADF},
    {"receive: a datagram, UDP", recv_datagram, 5},
    {"receive: a datagram, UNIX", recv_datagram_unix, 5},
    {"receive: what was sent met no one", recv_nobody_there, -ECONNREFUSED},
    {"send: there is room", send_bytes, LEN},
    {"send: no room, may not wait", send_without_room, -EAGAIN},
    {"send: no room in time", send_out_of_time, -ETIME},
    {"send: our side shut down", send_after_our_end, -EPIPE},
    {"send: the peer is gone, UNIX", send_to_the_gone, -EPIPE},
    {"send: reset", send_reset, -ECONNRESET},
    {"send: not connected, TCP", send_unconnected, -EPIPE},
    {"send: not connected, UNIX", send_unconnected_unix, -ENOTCONN},
    {"send: a datagram to nobody", send_to_nobody_set, -EDESTADDRREQ},
    {"send: a datagram too long", send_too_long, -EMSGSIZE},
    {"accept: a client is there", accept_one, 0},
    {"accept: nobody, may not wait", accept_nobody, -EAGAIN},
    {"accept: does not listen", accept_not_listening, -EINVAL},
    {"accept: datagrams", accept_datagrams, -EOPNOTSUPP},
    {"accept: shut down", accept_shut_down, -EINVAL},
    {"connect: somebody listens", connect_one, 0},
    {"connect: nobody listens", connect_refused, -ECONNREFUSED},
    {"connect: no such path", connect_no_path, -ENOENT},
    {"connect: connected already", connect_connected, -EISCONN},
    {"connect: another family", connect_other_family, -EAFNOSUPPORT},
    {"poll: bytes are there", poll_bytes, POLLIN},
    {"poll: there is room", poll_room, POLLOUT},
    {"poll: bytes and room", poll_both, POLLIN | POLLOUT},
    {"poll: the peer's end", poll_end, POLLIN | POLLRDHUP},
    {"poll: the peer is gone, UNIX", poll_gone, POLLIN | POLLHUP},
    {"poll: nothing in time", poll_out_of_time, -ETIME},
    {"event: nobody tells", event_out_of_time, -ETIME},
};

enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static const char *shown(char *buf, size_t len, ssize_t r)
{
    if (r < 0)
        snprintf(buf, len, "-%s", strerrorname_np((int)-r));
    else
        snprintf(buf, len, "%zd", r);
    return buf;
}

static void table(const ssize_t *got)
{
    char is[32], should[32];

    printf("# %-40s %-14s %s\n", "situation", backend_here()->name, "the contract");
    for (int i = 0; i < ROWS; i++)
        printf("# %-40s %-14s %s%s\n", rows[i].situation, shown(is, sizeof(is), got[i]),
               shown(should, sizeof(should), rows[i].want), got[i] == rows[i].want ? "" : "  <--");
}

TEST(one_situation_one_result)
{
    ssize_t got[ROWS];
    int nwrong = 0;

    for (int i = 0; i < ROWS; i++) {
        got[i] = rows[i].run();
        nwrong += got[i] != rows[i].want;
    }
    EXPECT_EQ(nwrong, 0);
    if (nwrong)
        table(got);
}
ON_EVERY_BACKEND(one_situation_one_result)
