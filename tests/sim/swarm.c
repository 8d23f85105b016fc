/* swarm.c - streams whose every byte is known, under attack by whatever the API has.
 *
 * Swarm testing at the level of calls: each run draws which ways to send and to receive there are
 * at all, which attacks, and how often each, beside the faults that the simulation draws.  What
 * must hold: the bytes that arrive are those that the calls say have gone, in their order, and,
 * once the attacks and the faults are over, all that nobody has closed come to their end.
 */
#include "sweep.h"

#include <poll.h>
#include <sys/mman.h>

enum { PIPES = 5, ATTACKERS = 3, ATTACKS = 25, TOTAL_MAX = 40000, PART_MAX = 4000 };

enum way_out { OUT_SEND, OUT_DONTWAIT, OUT_SENDALL, OUT_SENDMSG, OUT_SENDFILE, OUT_FILE, OUTS };
enum way_in { IN_RECV, IN_ALL, IN_PEEK, IN_WAITALL, IN_MSG, IN_POLL, IN_FROM, INS };
enum attack {
    SLEEPS,
    CLOSES,
    ABORTS,
    SHUTS,
    TIMES,
    DUPS,
    BUFFERS,
    CUTS,
    LIMITS,
    FAULTS_TURN,
    CANCELS,
    ASKS,
    LINKS,
    ATTACK_KINDS,
};

/* Who sends, and who receives; a restart goes on where they were. */
struct stream {
    unsigned number;
    int out, in;
    size_t total, sent, got;
    bool over;   /* all has been sent, and the end */
    bool ended;  /* all has been received */
    bool open;   /* out and in are there */
    bool struck; /* an attacker has closed it, or the network has ended it */
    struct stoa_group *group;
};

static struct stream streams[PIPES];
static int files[PIPES];
static unsigned weights[3][16];
static int near, far, attackers;

/* Each stream as a file, before descriptors are counted. */
__attribute__((constructor)) static void files_make(void)
{
    static unsigned char bytes[TOTAL_MAX];

    for (unsigned i = 0; i < PIPES; i++) {
        bytes_of(i, 0, bytes, sizeof(bytes));
        files[i] = memfd_create("stream", MFD_CLOEXEC);
        if (write(files[i], bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes))
            abort();
    }
}

static int below(int n)
{
    return (int)stoa_sim_random((uint64_t)n);
}

/* Half of the kinds are absent, the others between often and rarely; the first is there. */
static void weights_draw(unsigned *w, int n)
{
    for (int i = 0; i < n; i++)
        w[i] = i > 0 && below(2) ? 0 : 1u << below(6);
}

static int pick(const unsigned *w, int n)
{
    unsigned sum = 0;

    for (int i = 0; i < n; i++)
        sum += w[i];
    int at = below((int)sum);
    for (int i = 0; i < n; i++) {
        if (at < (int)w[i])
            return i;
        at -= (int)w[i];
    }
    return 0;
}

/* After an error: may it go on?  What nobody can have caused is wrong. */
static bool goes_on(struct stream *st, const char *call, int error)
{
    switch (error) {
    case ETIME:
    case EAGAIN:
    case ENOMEM:
    case ENOBUFS:
        return !st->struck && stoa_sleep(0.001) == 0;
    case ECANCELED: /* the group, or the handle */
        return false;
    case EPIPE:
    case ECONNRESET:
    case ETIMEDOUT:
    case EBADF:
    case ENOTCONN: /* its address is gone with it */
        st->struck = true;
        return false;
    default:
        st->struck = true;
        wrong("stream %u: %s: %s", st->number, call, stoa_errmsg());
        return false;
    }
}

static ssize_t send_by_file(struct stream *st, const unsigned char *buf, size_t len)
{
    FILE *f = stoa_makefile(st->out, "w");
    bool good = f && fwrite(buf, 1, len, f) == len && fflush(f) == 0;
    int error = errno;

    if (!f)
        return -1;
    fclose(f);
    st->struck |= !good; /* stdio does not say how much has gone */
    errno = error == EIO ? EPIPE : error;
    return good ? (ssize_t)len : -1;
}

/* Some of the stream from where it is: how many have gone, also when it fails. */
static size_t sends(struct stream *st, size_t len, int *error)
{
    unsigned char buf[PART_MAX];
    size_t half = len / 2;
    struct iovec v[2] = {{buf, half}, {buf + half, len - half}};
    struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
    off_t at = (off_t)st->sent;
    ssize_t n;

    bytes_of(st->number, st->sent, buf, len);
    switch (pick(weights[0], OUTS)) {
    case OUT_DONTWAIT:
        n = stoa_send(st->out, buf, len, MSG_DONTWAIT);
        break;
    case OUT_SENDALL:
        n = stoa_sendall(st->out, buf, len, 0) == 0 ? (ssize_t)len : -1;
        *error = n < 0 ? errno : 0;
        return n < 0 ? stoa_done() : len;
    case OUT_SENDMSG:
        n = stoa_sendmsg(st->out, &m, 0);
        break;
    case OUT_SENDFILE:
        n = stoa_sendfile(st->out, files[st->number], &at, len);
        *error = n < 0 ? errno : 0;
        if ((size_t)at != st->sent + (n < 0 ? stoa_done() : (size_t)n))
            wrong("sendfile's place is %zu, not behind what went", (size_t)at);
        return n < 0 ? stoa_done() : (size_t)n;
    case OUT_FILE:
        n = send_by_file(st, buf, len);
        break;
    default:
        n = stoa_send(st->out, buf, len, 0);
    }
    *error = n < 0 ? errno : 0;
    return n < 0 ? 0 : (size_t)n;
}

static int writes(void *arg)
{
    struct stream *st = arg;

    while (st->sent < st->total) {
        size_t len = 1 + (size_t)below(PART_MAX);
        int error = 0;

        if (len > st->total - st->sent)
            len = st->total - st->sent;
        st->sent += sends(st, len, &error);
        if (error && (st->struck || !goes_on(st, "send", error)))
            return 0;
    }
    st->over = true;
    if (stoa_shutdown(st->out, SHUT_WR) < 0)
        st->struck = true;
    return 0;
}

/* Some of the stream into buf: how many have come, also when it fails, and then why. */
static ssize_t receives(const struct stream *st, unsigned char *buf, size_t len, int *error)
{
    struct iovec v = {buf, len};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    struct stoa_addr from;
    ssize_t n;

    switch (pick(weights[1], INS)) {
    case IN_ALL:
        n = stoa_recvall(st->in, buf, len);
        *error = n < 0 ? errno : 0;
        return n < 0 ? (ssize_t)stoa_done() : n;
    case IN_PEEK:
        n = stoa_recv(st->in, buf, len, MSG_PEEK);
        n = n <= 0 ? n : stoa_recv(st->in, buf, (size_t)n, MSG_DONTWAIT);
        break;
    case IN_WAITALL:
        n = stoa_recv(st->in, buf, len, MSG_WAITALL);
        break;
    case IN_MSG:
        n = stoa_recvmsg(st->in, &m, 0);
        break;
    case IN_POLL:
        n = stoa_poll(st->in, POLLIN);
        n = n < 0 ? n : stoa_recv(st->in, buf, len, MSG_DONTWAIT);
        break;
    case IN_FROM:
        n = stoa_recvfrom(st->in, buf, len, 0, &from);
        break;
    default:
        n = stoa_recv(st->in, buf, len, 0);
    }
    *error = n < 0 ? errno : 0;
    return n < 0 ? 0 : n;
}

static int reads(void *arg)
{
    struct stream *st = arg;
    unsigned char buf[PART_MAX];
    ssize_t n;

    for (;;) {
        int error = 0;

        n = receives(st, buf, 1 + (size_t)below(sizeof(buf)), &error);
        for (ssize_t i = 0; i < n; i++)
            if (buf[i] != byte_at(st->number, st->got + (size_t)i))
                return wrong("stream %u: another byte stands at %zu", st->number,
                             st->got + (size_t)i);
        if (n == 0 && !error)
            break;
        st->got += (size_t)n;
        if (error && !goes_on(st, "recv", error))
            return 0;
    }
    st->ended = true;
    if (!st->struck && (!st->over || st->got != st->sent))
        return wrong("stream %u ended at %zu of %zu", st->number, st->got, st->sent);
    return 0;
}

/* -------------------------------------------------------------------------
 * Who disturbs
 * ---------------------------------------------------------------------- */

/* A handle is named once, for its number may be another's in the next moment. */
static int *victim(struct stream *st)
{
    return below(2) ? &st->out : &st->in;
}

static void ends(struct stream *st, enum attack how)
{
    int s = *victim(st);

    if (!st->open || below(4))
        return;
    st->struck = true;
    if (how == CLOSES)
        stoa_close(s);
    else if (how == ABORTS)
        stoa_abort(s);
    else
        stoa_shutdown(s, below(3));
}

static void duplicates(int s)
{
    int d = stoa_dup(s);

    stoa_sleep(0.001 * below(20));
    if (d >= 0)
        stoa_close(d);
}

static void cuts(void)
{
    stoa_sim_cut(near, far, true);
    stoa_sleep(0.01 * below(100));
    stoa_sim_cut(near, far, false);
}

static void another_link(void)
{
    const struct stoa_sim_link link = {
        .latency = 0.001 * below(50),
        .jitter = 0.001 * below(50),
        .loss = 0.01 * below(10),
        .bytes_per_second = below(2) ? 0 : 20000 + below(1000000),
    };

    stoa_sim_set_link(near, far, &link);
}

static void attack_once(void)
{
    struct stream *st = &streams[below(PIPES)];
    enum attack how = (enum attack)pick(weights[2], ATTACK_KINDS);
    int bytes = 500 + below(9000), s = *victim(st);
    struct stoa_addr a;

    switch (how) {
    case CLOSES:
    case ABORTS:
    case SHUTS:
        ends(st, how);
        break;
    case TIMES:
        stoa_settimeout(s, below(3) ? 0.001 * below(200) : 60);
        break;
    case DUPS:
        duplicates(s);
        break;
    case BUFFERS:
        stoa_setsockopt(s, SOL_SOCKET, below(2) ? SO_SNDBUF : SO_RCVBUF, &bytes, sizeof(bytes));
        break;
    case CUTS:
        cuts();
        break;
    case LIMITS:
        stoa_sim_descriptors(below(2) ? near : far, 3 + (unsigned)below(20));
        break;
    case FAULTS_TURN:
        stoa_sim_faults(below(2));
        break;
    case CANCELS:
        if (st->group)
            stoa_group_cancel(st->group);
        break;
    case ASKS:
        stoa_getpeername(s, &a);
        stoa_getsockname(s, &a);
        stoa_poll(s, POLLOUT);
        break;
    case LINKS:
        another_link();
        break;
    default:
        stoa_sleep(0.001 * below(100));
    }
}

/* The last one leaves a network in which everything goes well. */
static int attacks(void *arg)
{
    (void)arg;
    for (int i = 0; i < ATTACKS; i++) {
        attack_once();
        stoa_sleep(0.001 * below(40));
    }
    if (--attackers > 0)
        return 0;
    stoa_sim_faults(false);
    stoa_sim_cut(near, far, false);
    stoa_sim_descriptors(near, 1000);
    stoa_sim_descriptors(far, 1000);
    return 0;
}

/* -------------------------------------------------------------------------
 * A stream from its beginning to its end
 * ---------------------------------------------------------------------- */

static const char *const places[PIPES] = {"far:1", "far:2", "unix:@swarm-3", "[fd00::3]:4",
                                          "unix:/swarm/5"};

static int accepts(void *arg)
{
    struct stream *st = arg;
    const char *at = places[st->number];
    int s = stoa_announce(*at == 'u' ? at : strrchr(at, ':'), NULL);

    st->in = stoa_accept(s, NULL);
    stoa_close(s);
    return st->in < 0 ? wrong("accept: %s", stoa_errmsg()) : 0;
}

static int dials(void *arg)
{
    struct stream *st = arg;

    stoa_yield();
    st->out = stoa_dial(places[st->number], NULL);
    return st->out < 0 ? wrong("dial: %s", stoa_errmsg()) : 0;
}

/* A UNIX name is of its host alone. */
static int opens(struct stream *st)
{
    struct stoa_group *g = stoa_group_open();

    st->total = 1 + (size_t)below(TOTAL_MAX);
    stoa_sim_go(far, g, accepts, st);
    stoa_sim_go(*places[st->number] == 'u' ? far : near, g, dials, st);
    if (stoa_group_join(g) < 0)
        return -1;
    stoa_settimeout(st->out, 60); /* a reset can be lost, and is not sent again */
    stoa_settimeout(st->in, 60);
    st->open = true;
    return 0;
}

/* Until it has ended, or somebody has ended it; a cancelled group's work goes on in another. */
static int keeps(void *arg)
{
    struct stream *st = arg;

    while (!st->struck && !(st->over && st->ended)) {
        struct stoa_group *g = stoa_group_open();

        st->group = g;
        if (!st->over)
            stoa_go(g, writes, st);
        if (!st->ended)
            stoa_go(g, reads, st);
        stoa_group_join(g);
        st->group = NULL;
        stoa_sleep(0.001);
    }
    st->open = false;
    stoa_close(st->out);
    stoa_close(st->in);
    return 0;
}

SWEEP(all_bytes_are_those_that_the_calls_have_told)
{
    struct stoa_group *g = stoa_group_open();
    int r = 0;

    near = stoa_sim_host("near", NULL);
    far = stoa_sim_host("far", NULL);
    weights_draw(weights[0], OUTS);
    weights_draw(weights[1], INS);
    weights_draw(weights[2], ATTACK_KINDS);
    stoa_sim_faults(false);
    for (unsigned i = 0; i < PIPES && r == 0; i++) {
        streams[i] = (struct stream){.number = i, .out = -1, .in = -1};
        r = opens(&streams[i]);
    }
    stoa_sim_faults(true);
    attackers = ATTACKERS;
    for (int i = 0; i < ATTACKERS && r == 0; i++)
        stoa_sim_go(near, g, attacks, NULL);
    for (int i = 0; i < PIPES && r == 0; i++)
        stoa_sim_go(i % 2 ? near : far, g, keeps, &streams[i]);
    return stoa_group_join(g) < 0 ? -1 : r;
}
