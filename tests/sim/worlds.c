/* worlds.c - what must hold in any network: bytes in order, nothing lost, nobody waits for ever.
 */
#include "sweep.h"

#include <ctype.h>
#include <poll.h>

static int random_below(int n)
{
    return (int)stoa_sim_random((uint64_t)n);
}

static bool broken_connection(int error)
{
    return error == ECONNRESET || error == ETIME || error == EPIPE || error == ETIMEDOUT ||
           error == ENOMEM || error == ENOBUFS || error == ECANCELED;
}

/* -------------------------------------------------------------------------
 * The textbook's server
 * ---------------------------------------------------------------------- */

static void upper(int conn, void *arg)
{
    char buf[256];
    ssize_t n;

    (void)arg;
    while ((n = stoa_recv(conn, buf, sizeof(buf), 0)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            buf[i] = (char)toupper((unsigned char)buf[i]);
        if (stoa_sendall(conn, buf, (size_t)n, 0) < 0)
            break;
    }
}

static int serve_upper(void *arg)
{
    const char *at = arg;

    while (stoa_serve(at, upper, NULL, NULL) < 0 && errno != ECANCELED)
        stoa_sleep(0.05);
    return 0;
}

static int ask_upper(void *arg)
{
    int s = dial_surely(arg);

    for (int i = 0; s >= 0 && i < 10; i++) {
        char out[200], in[200];
        size_t len = 1 + (size_t)random_below(sizeof(out));

        for (size_t k = 0; k < len; k++)
            out[k] = (char)('a' + random_below(26));
        ssize_t n = stoa_sendall(s, out, len, 0) == 0 ? stoa_recvall(s, in, len) : -1;
        for (size_t k = 0; n == (ssize_t)len && k < len; k++)
            if (in[k] != toupper((unsigned char)out[k]))
                return wrong("an answer is another one's: byte %zu of message %d", k, i);
        if (n < 0 && !broken_connection(errno))
            wrong("upper: %s", stoa_errmsg());
        if (n != (ssize_t)len) {
            stoa_close(s);
            s = dial_surely(arg);
        }
        stoa_sleep(0.001 * random_below(300));
    }
    return s < 0 ? -1 : stoa_close(s);
}

SWEEP(each_client_gets_its_own_answers)
{
    int server = stoa_sim_host("server", NULL);
    struct stoa_group *g = stoa_group_open();
    char at[] = ":8081", to[] = "server:8081";

    stoa_sim_go(server, NULL, serve_upper, at);
    for (int i = 0; i < 5; i++)
        stoa_go(g, ask_upper, to);
    return stoa_group_join(g);
}

/* -------------------------------------------------------------------------
 * Whole messages both ways
 * ---------------------------------------------------------------------- */

struct half {
    int s;
    unsigned number;
    size_t total;
    size_t sent;
    bool broken;
};

/* Sends a stream in parts of any length; where a call fails, stoa_done() says how far. */
static int sends_stream(void *arg)
{
    struct half *me = arg;
    unsigned char buf[9000];

    while (me->sent < me->total) {
        size_t len = 1 + (size_t)random_below(sizeof(buf));

        if (len > me->total - me->sent)
            len = me->total - me->sent;
        bytes_of(me->number, me->sent, buf, len);
        if (stoa_sendall(me->s, buf, len, 0) == 0) {
            me->sent += len;
            continue;
        }
        me->sent += stoa_done();
        if (errno == ENOMEM || errno == ENOBUFS)
            continue;
        me->broken = true;
        return 0;
    }
    if (stoa_shutdown(me->s, SHUT_WR) < 0 && errno != ENOTCONN)
        return wrong("shutdown: %s", stoa_errmsg());
    return 0;
}

/* Reads the other's stream; returns its length, or -1 - length when it broke. */
static long reads_stream(int s, unsigned number)
{
    unsigned char buf[7000];
    size_t got = 0;

    for (;;) {
        size_t len = 1 + (size_t)random_below(sizeof(buf));
        bool all = random_below(2);
        ssize_t n = all ? stoa_recvall(s, buf, len) : stoa_recv(s, buf, len, 0);
        size_t came = n < 0 ? all ? stoa_done() : 0 : (size_t)n;
        int error = errno;

        for (size_t i = 0; i < came; i++)
            if (buf[i] != byte_at(number, got + i))
                return wrong("byte %zu of stream %u is not the one that was sent", got + i, number);
        got += came;
        if (n < 0 && (error == ENOMEM || error == ENOBUFS))
            continue;
        if (n < 0)
            return -1 - (long)got;
        if (all ? (size_t)n < len : n == 0)
            return (long)got;
    }
}

struct talk {
    int s;
    unsigned mine, other;
    struct half out;
    long got;
};

static int talks(void *arg)
{
    struct talk *t = arg;
    struct stoa_group *g = stoa_group_open();

    t->out = (struct half){.s = t->s, .number = t->mine, .total = (size_t)random_below(60000)};
    stoa_go(g, sends_stream, &t->out);
    t->got = reads_stream(t->s, t->other);
    stoa_group_join(g);
    return 0;
}

static int near_talks(void *arg)
{
    struct talk *t = arg;

    t->s = dial_surely("far:7");
    return t->s < 0 ? -1 : talks(t);
}

static int far_talks(void *arg)
{
    struct talk *t = arg;
    int listener = announce_surely(":7");

    do
        t->s = stoa_accept(listener, NULL);
    while (t->s < 0 && errno != ECANCELED);
    stoa_close(listener);
    return t->s < 0 ? -1 : talks(t);
}

SWEEP(what_arrives_is_what_was_sent_from_its_beginning)
{
    int a = stoa_sim_host("near", NULL), b = stoa_sim_host("far", NULL);
    struct talk near = {.mine = 1, .other = 2, .s = -1}, far = {.mine = 2, .other = 1, .s = -1};
    struct stoa_group *g = stoa_group_open(), *h = stoa_group_open();

    stoa_sim_go(b, h, far_talks, &far);
    stoa_sim_go(a, g, near_talks, &near);
    if (stoa_group_join(g) < 0)
        return -1;
    /* A fault may have ended the connection before it was accepted. */
    if (far.s < 0)
        stoa_group_cancel(h);
    stoa_group_join(h);
    bool whole = !near.out.broken && !far.out.broken && near.got >= 0 && far.got >= 0;
    if (far.s >= 0 && whole &&
        ((size_t)far.got != near.out.sent || (size_t)near.got != far.out.sent))
        return wrong("%zu bytes were sent and %ld came; back %zu and %ld", near.out.sent, far.got,
                     far.out.sent, near.got);
    if (far.s >= 0 && (far.got < 0 ? -1 - far.got : far.got) > (long)near.out.sent)
        return wrong("more came than was sent");
    if (far.s >= 0)
        stoa_close(far.s);
    return stoa_close(near.s);
}

/* -------------------------------------------------------------------------
 * Few descriptors (trap 10)
 * ---------------------------------------------------------------------- */

static int talks_upper(void *arg)
{
    int conn = (int)(intptr_t)arg;

    upper(conn, NULL);
    return stoa_close(conn);
}

/* Clients wait in the queue for a descriptor; no accept fails for that, or lasts longer. */
static int accepts_for_ever(void *arg)
{
    int s = announce_surely(arg);

    for (int conn; s >= 0;) {
        double timeout = 0.01 * random_below(100), began = stoa_sim_now();

        stoa_settimeout(s, timeout);
        conn = stoa_accept(s, NULL);
        if (stoa_sim_now() - began > timeout + 0.1)
            return wrong("accept took %g s with a timeout of %g", stoa_sim_now() - began, timeout);
        if (conn < 0 && (errno == ETIME || timeout == 0)) {
            stoa_yield();
            continue;
        }
        if (conn < 0 && errno != ECANCELED)
            wrong("accept: %s", stoa_errmsg());
        if (conn < 0)
            break;
        while (stoa_go(NULL, talks_upper, (void *)(intptr_t)conn) < 0)
            stoa_yield();
    }
    return s < 0 ? 0 : stoa_close(s);
}

SWEEP(a_full_table_serves_all_in_turn)
{
    int server = stoa_sim_host("server", NULL);
    struct stoa_group *g = stoa_group_open();
    char at[] = ":8081", to[] = "server:8081";

    stoa_sim_descriptors(server, 4);
    stoa_sim_go(server, NULL, accepts_for_ever, at);
    for (int i = 0; i < 10; i++)
        stoa_go(g, ask_upper, to);
    return stoa_group_join(g);
}

/* -------------------------------------------------------------------------
 * Dial's race
 * ---------------------------------------------------------------------- */

SWEEP(dial_finds_the_family_that_answers)
{
    int server = stoa_sim_host("server", "10.0.0.9 fd00::9 10.0.0.8 fd00::8");
    char four[] = "0.0.0.0:8081", both[] = ":8081";

    struct stoa_sim_link far = {.latency = 0.01 * random_below(40),
                                .jitter = 0.01 * random_below(60)};

    stoa_sim_set_link(0, server, &far); /* so far that several attempts are under way */
    stoa_sim_go(server, NULL, serve_upper, random_below(2) ? four : both);
    for (int i = 0; i < 10; i++) {
        struct stoa_scope scope;
        int s = -1;

        if (random_below(2)) {
            stoa_within(&scope, 0.01 * random_below(150));
            s = stoa_dial("server:8081", NULL);
            stoa_leave(&scope);
        } else {
            s = dial_surely("server:8081");
        }
        if (s >= 0)
            stoa_close(s);
        stoa_sleep(0.1);
    }
    return 0;
}

/* -------------------------------------------------------------------------
 * Datagrams
 * ---------------------------------------------------------------------- */

static int answers_datagrams(void *arg)
{
    int s = announce_surely("udp://:53");
    char buf[2000];

    (void)arg;
    while (s >= 0) {
        struct stoa_addr from;
        ssize_t n = stoa_recvfrom(s, buf, sizeof(buf), 0, &from);

        if (n < 0 && errno == ECANCELED)
            break;
        if (n >= 0)
            stoa_sendto(s, buf, (size_t)n, 0, &from);
    }
    return s < 0 ? 0 : stoa_close(s);
}

SWEEP(a_datagram_comes_whole_or_not_at_all)
{
    int server = stoa_sim_host("server", NULL), s;

    stoa_sim_go(server, NULL, answers_datagrams, NULL);
    while ((s = stoa_dial("udp://server:53", NULL)) < 0)
        stoa_sleep(0.01);
    stoa_settimeout(s, 0.5);
    for (int i = 0; i < 30; i++) {
        unsigned char out[1500], in[2000];
        size_t len = (size_t)random_below(sizeof(out) + 1);

        bytes_of((unsigned)len, 0, out, len);
        stoa_send(s, out, len, 0);
        ssize_t n = stoa_recv(s, in, sizeof(in), 0);
        for (ssize_t k = 0; k < n; k++)
            if (in[k] != byte_at((unsigned)n, (size_t)k))
                return wrong("a datagram of %zd bytes is another one at %zd", n, k);
        if (n < 0 && errno != ETIME && errno != ECONNREFUSED && errno != ENOMEM && errno != ENOBUFS)
            return wrong("recv: %s", stoa_errmsg());
    }
    return stoa_close(s);
}

/* -------------------------------------------------------------------------
 * Lines by makefile
 * ---------------------------------------------------------------------- */

static void lines(int conn, void *arg)
{
    FILE *f = stoa_makefile(conn, "rw");
    char line[300];

    (void)arg;
    stoa_close(conn);
    while (f && fgets(line, sizeof(line), f) && fprintf(f, "<%s", line) > 0 && fflush(f) == 0)
        ;
    if (f)
        fclose(f);
}

static int serve_lines(void *arg)
{
    (void)arg;
    while (stoa_serve(":8081", lines, NULL, NULL) < 0 && errno != ECANCELED)
        stoa_sleep(0.05);
    return 0;
}

SWEEP(lines_come_back_as_lines)
{
    int server = stoa_sim_host("server", NULL);
    char filling[150];

    memset(filling, 'x', sizeof(filling));
    stoa_sim_go(server, NULL, serve_lines, NULL);
    for (int i = 0; i < 4; i++) {
        int s = dial_surely("server:8081");
        FILE *f = s < 0 ? NULL : stoa_makefile(s, "rw");

        for (int k = 0; f && k < 10; k++) {
            char out[200], want[220], in[300];

            snprintf(out, sizeof(out), "%d of %d %.*s\n", k, i, random_below(150), filling);
            snprintf(want, sizeof(want), "<%s", out);
            if (fputs(out, f) < 0 || fflush(f) < 0 || !fgets(in, sizeof(in), f))
                break;
            /* A connection that broke may leave a part of the last line. */
            if (strcmp(in, want) != 0 && strchr(in, '\n'))
                return wrong("the line \"%s\" came back as \"%s\"", out, in);
        }
        if (f)
            fclose(f);
        if (s >= 0)
            stoa_close(s);
    }
    return 0;
}
