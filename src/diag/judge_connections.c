/* judge_connections.c - connections that hang: not closed, not answered, held back, not read.
 *
 * Those of one kind are told by program, with their number and the worst of them.
 */
#include "diag/judge.h"

#include <stdlib.h>
#include <string.h>

enum {
    CLOSE_WAIT_MANY = 5,
    RETRANSMITS_MANY = 3,
    LIMITED_PERCENT = 50,    /* of its busy time a connection waits for its peer's window */
    LIMITED_US = 200 * 1000, /* and at least so long */
    CLOSED_MS = 200,
    GROUPS = 32,
};

/* Connections of one program, or of one port where that is not known. */
struct group {
    int pid;
    uint16_t port; /* of the listener; 0: there is none */
    uint32_t uid;
    uint64_t n;
    uint64_t oldest_ms;
    uint64_t bytes;
    const struct diag_socket *worst;
};

struct groups {
    struct group list[GROUPS];
    size_t n;
};

/* Count s in; age_ms ranks it within its group. */
static void count_in(struct groups *g, const struct facts *f, const struct diag_socket *s,
                     uint64_t age_ms, uint64_t bytes)
{
    const struct diag_socket *listener = s->pid ? NULL : facts_listener(f, s);
    int pid = s->pid ? s->pid : listener ? listener->pid : 0;
    uint16_t port = listener ? listener->port : 0;
    struct group *one = NULL;

    for (size_t i = 0; i < g->n && !one; i++)
        if (pid ? g->list[i].pid == pid : g->list[i].port == port && g->list[i].uid == s->uid)
            one = &g->list[i];
    if (!one && g->n < GROUPS) {
        one = &g->list[g->n++];
        *one = (struct group){.pid = pid, .port = port, .uid = s->uid};
    }
    if (!one)
        return;
    one->n++;
    one->bytes += bytes;
    if (!one->worst || age_ms > one->oldest_ms) {
        one->worst = s;
        one->oldest_ms = age_ms;
    }
}

static struct finding *begin(struct judgement *j, enum kind kind, enum severity severity,
                             const struct group *g)
{
    struct finding *f = finding_add(j->out, kind, severity);

    if (!f)
        return NULL;
    f->weight = g->n;
    f->port = g->worst->port;
    if (g->n == 1)
        FINDING_SAY(f->subject, "%s to %s", judge_address(g->worst, false).c,
                    judge_address(g->worst, true).c);
    judge_whose(j, f, g->pid, g->uid);
    return f;
}

/* Was it so at the earlier look, too?  Who closes promptly is in CLOSE_WAIT for a moment. */
static bool was_there(const struct judgement *j, const struct diag_socket *s)
{
    return !j->was || facts_find(j->was, s->inode, s->state);
}

static void close_waits(struct judgement *j)
{
    struct groups g = {.n = 0};

    for (size_t i = 0; i < j->now->nsocket; i++) {
        const struct diag_socket *s = &j->now->sockets[i];

        if (s->state == DIAG_CLOSE_WAIT && s->inode && was_there(j, s))
            count_in(&g, j->now, s, s->heard_ms, s->receive > 1);
    }
    for (size_t i = 0; i < g.n; i++) {
        const struct group *one = &g.list[i];
        struct finding *f;

        if (one->n < CLOSE_WAIT_MANY && one->oldest_ms < 60000)
            continue;
        f = begin(j, KIND_CLOSE_WAIT, one->n < CLOSE_WAIT_MANY ? SEVERITY_NOTE : SEVERITY_WARNING,
                  one);
        if (!f)
            continue;
        FINDING_SAY(
            f->evidence,
            "%s in CLOSE_WAIT, as at the look before; the longest has heard nothing for %s; unread "
            "bytes in %s",
            finding_count(one->n, "socket").c, finding_span(one->oldest_ms).c,
            finding_digits(one->bytes).c);
    }
}

static void idle(struct judgement *j)
{
    struct groups g = {.n = 0};

    for (size_t i = 0; i < j->now->nsocket; i++) {
        const struct diag_socket *s = &j->now->sockets[i];
        uint32_t ms = s->heard_ms < s->sent_ms ? s->heard_ms : s->sent_ms;

        if (s->state == DIAG_ESTABLISHED && s->has_info && s->timer == DIAG_NO_TIMER && s->inode &&
            s->port != s->peer_port && ms >= j->now->idle_ms &&
            !socket_is_loopback(s->family, &s->peer))
            count_in(&g, j->now, s, ms, 0);
    }
    for (size_t i = 0; i < g.n; i++) {
        const struct group *one = &g.list[i];
        struct finding *f = begin(j, KIND_NO_KEEPALIVE, SEVERITY_NOTE, one);

        if (f)
            FINDING_SAY(f->evidence,
                        "%s silent for over %s, the longest for %s, without a keepalive timer",
                        finding_count(one->n, "connection").c, finding_span(j->now->idle_ms).c,
                        finding_span(one->oldest_ms).c);
    }
}

static void gone(struct judgement *j)
{
    struct groups g = {.n = 0};

    for (size_t i = 0; i < j->now->nsocket; i++) {
        const struct diag_socket *s = &j->now->sockets[i];

        if (s->has_info && s->timer == DIAG_RETRANSMITS && s->retransmits >= RETRANSMITS_MANY &&
            s->state != DIAG_SYN_SENT)
            count_in(&g, j->now, s, s->heard_ms, s->send);
    }
    for (size_t i = 0; i < g.n; i++) {
        const struct group *one = &g.list[i];
        struct finding *f = begin(j, KIND_PEER_GONE, SEVERITY_WARNING, one);

        if (f)
            FINDING_SAY(f->evidence,
                        "%s, %s unacknowledged and sent again and again; %s has "
                        "been tried %u times, the next in %s; nothing was heard for %s",
                        finding_count(one->n, "connection").c, finding_count(one->bytes, "byte").c,
                        judge_address(one->worst, true).c, one->worst->retransmits,
                        finding_span(one->worst->timer_ms).c, finding_span(one->oldest_ms).c);
    }
}

static void nagle(struct judgement *j)
{
    struct groups g = {.n = 0};
    uint64_t delayed = judge_grown(j, COUNT_DELAYED_ACKS);

    for (size_t i = 0; i < j->now->nsocket; i++) {
        const struct diag_socket *s = &j->now->sockets[i];

        if (socket_is_held_back(s) && s->nodelay != 1)
            count_in(&g, j->now, s, s->not_sent, s->not_sent);
    }
    for (size_t i = 0; i < g.n && delayed; i++) {
        const struct group *one = &g.list[i];
        struct finding *f = begin(j, KIND_NAGLE, SEVERITY_WARNING, one);

        if (!f)
            continue;
        FINDING_SAY(f->evidence,
                    "%s with %s held back while an earlier piece is unacknowledged; %s "
                    "delayed acknowledgements/s; TCP_NODELAY is %s",
                    finding_count(one->n, "connection").c, finding_count(one->bytes, "byte").c,
                    judge_rate(j, delayed).c, one->worst->nodelay == 0 ? "off" : "not known");
        if (one->worst->nodelay < 0 && !f->unseen[0])
            FINDING_SAY(
                f->unseen,
                "TCP_NODELAY of another's socket: `sudo stoa doctor` may look (pidfd_getfd)");
    }
}

/* Per cent of its busy time that a connection has waited for its peer's window. */
static uint64_t limited(const struct diag_socket *s)
{
    return s->busy_us ? s->rwnd_us * 100 / s->busy_us : 0;
}

/* Its window is closed, and has been for a while, or was so mostly. */
static bool reads_slowly(const struct diag_socket *s)
{
    bool closed = s->window_closed && s->sent_ms >= CLOSED_MS;

    if (!s->has_info || !s->send || (s->state != DIAG_ESTABLISHED && s->state != DIAG_CLOSE_WAIT))
        return false;
    return closed || (s->rwnd_us >= LIMITED_US && limited(s) >= LIMITED_PERCENT);
}

static void slow_readers(struct judgement *j)
{
    struct groups g = {.n = 0};

    for (size_t i = 0; i < j->now->nsocket; i++) {
        const struct diag_socket *s = &j->now->sockets[i];

        if (reads_slowly(s))
            count_in(&g, j->now, s, s->send, s->send);
    }
    for (size_t i = 0; i < g.n; i++) {
        const struct group *one = &g.list[i];
        struct finding *f = begin(j, KIND_SLOW_READER, SEVERITY_WARNING, one);

        if (f)
            FINDING_SAY(
                f->evidence,
                "%s with %s to be taken; %s has %s of them: its window was closed for %u %% of "
                "the time with something to send%s, the last was taken %s ago; %s/s windows "
                "closed",
                finding_count(one->n, "connection").c, finding_count(one->bytes, "byte").c,
                judge_address(one->worst, true).c, finding_digits(one->worst->send).c,
                (unsigned)limited(one->worst),
                one->worst->window_closed ? " and is closed now" : "",
                finding_span(one->worst->sent_ms).c,
                judge_rate(j, judge_grown(j, COUNT_ZERO_WINDOWS)).c);
    }
}

static void unread(struct judgement *j)
{
    uint64_t closed = judge_grown(j, COUNT_ABORT_UNREAD);
    struct finding *f;

    if (!closed)
        return;
    f = finding_add(j->out, KIND_CLOSES_UNREAD, SEVERITY_WARNING);
    if (!f)
        return;
    f->weight = closed;
    FINDING_SAY(f->subject, "a program of this machine");
    FINDING_SAY(f->evidence,
                "%s closes/s with bytes unread (TCPAbortOnClose), %s since the machine's start; %s "
                "resets/s sent, %s connections/s reset",
                judge_rate(j, closed).c,
                finding_digits(j->now->counters.value[COUNT_ABORT_UNREAD]).c,
                judge_rate(j, judge_grown(j, COUNT_RESETS_OUT)).c,
                judge_rate(j, judge_grown(j, COUNT_RESETS_IN)).c);
    FINDING_SAY(f->unseen, "which program: the counter is the machine's; the one whose clients see "
                           "ECONNRESET, `strace -f -e trace=close,recvfrom` shows it");
}

void judge_connections(struct judgement *j)
{
    close_waits(j);
    idle(j);
    gone(j);
    nagle(j);
    slow_readers(j);
    unread(j);
}
