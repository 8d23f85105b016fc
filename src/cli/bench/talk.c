/* bench/talk.c - lasting connections: messages in a closed loop, or on the schedule.
 *
 * Closed: each connection has `pipeline` messages under way; an answer lets the next go, and
 * what one receive has completed goes out in one send.
 *
 * Open: message n is due on connection n modulo nconn.  It is sent at once, or, when the
 * connection has `pipeline` under way, as soon as it has not: service time counts
 * from there, response time from when it was due.
 *
 * A connection is a fiber that receives.  Messages that fit what any socket holds are sent
 * by whoever has them, and nobody waits; the rest of others is sent by a fiber of its own that
 * waits for room, lest both sides wait for each other to read.
 *
 * A receive with a time of its own would read the clock once more for each message, 2 % of
 * all there is with 1,000 connections.  So of streams one fiber looks after those whose
 * oldest answer is late; of datagrams, where that is usual, each for itself.
 */
#include "cli/bench/worker.h"

#include "base/check.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CACHE_LINE = 64,
    BUFFER_MOST = 64 << 10,
    DATAGRAM_MOST = 64 << 10,
    SURELY_FITS = 8 << 10, /* bytes under way that no socket's buffer is too small for */
    LOOKS = 10,            /* within --timeout, for answers that are late */
};

static const double LOOK_MOST_SEC = 0.5;
static const double DIAL_LOOK_SEC = 0.002; /* before the start */

struct stamp {
    uint64_t due_ns; /* 0: closed loop */
    uint64_t sent_ns;
};

/* Two lines of the cache: with a thousand of them, each is a miss. */
struct conn {
    _Alignas(CACHE_LINE) int s; /* -1: not connected */
    unsigned number;            /* among all of the run */
    struct worker *w;
    size_t ask_at;   /* places in the script: of the next byte to be sent ... */
    size_t want_at;  /* ... and to come */
    size_t unsent;   /* bytes of messages that are under way */
    size_t part;     /* bytes that came of the next answer */
    unsigned flight; /* messages under way, whose stamps are in the ring from `oldest` on */
    unsigned oldest;
    uint64_t nanswered;
    uint64_t nwaiting;  /* open loop: messages that are due and not under way */
    uint64_t nturn;     /* open loop: messages of this connection that have been asked, ever */
    bool flushing;      /* a fiber waits for room for the rest */
    bool late;          /* an answer has not come in time: the connection was shut down */
    struct stamp *ring; /* of pipeline */
    uint8_t *buffer;
    struct stamp only; /* the ring, where that is 1 */
};

_Static_assert(sizeof(struct conn) == (size_t)2 * CACHE_LINE, "two lines");

struct talk {
    struct conn *conns;
    unsigned ndialled; /* conns whose turn has been, before the start ... */
    unsigned nsettled; /* ... and who are connected, or could not be */
    size_t buffer_len;
    struct stamp *rings;
    uint8_t *buffers;
};

/* The stamp of the i-th message under way, or of the next one; i is pipeline at most. */
static struct stamp *stamp(const struct conn *c, unsigned i)
{
    unsigned at = c->oldest + i, len = c->w->plan->pipeline;

    return &c->ring[at < len ? at : at - len];
}

/* The first n are not under way any more. */
static void forget(struct conn *c, unsigned n)
{
    c->oldest = (unsigned)(stamp(c, n) - c->ring);
    c->flight -= n;
    c->w->npending -= n;
}

/* -------------------------------------------------------------------------
 * Sending
 * ---------------------------------------------------------------------- */

/* Send what there is.  0; -1 with errno, EAGAIN: there is no room. */
static int push(struct conn *c, int flags)
{
    const struct script *script = &c->w->plan->script;

    while (c->unsent > 0) {
        size_t len = c->unsent < SCRIPT_CHUNK ? c->unsent : SCRIPT_CHUNK;
        ssize_t n = stoa_send(c->s, script->ask.bytes + c->ask_at, len, flags);
        if (n < 0)
            return -1;
        c->ask_at = endless_next(&script->ask, c->ask_at, (size_t)n);
        c->unsent -= (size_t)n;
        c->w->tally.sent += (uint64_t)n;
    }
    return 0;
}

/* The receiver hears of a failed connection by itself, so nothing is counted here. */
static int flush_fiber(void *conn)
{
    struct conn *c = conn;
    int s = c->s;

    while (c->s == s && push(c, MSG_DONTWAIT) < 0)
        if (errno != EAGAIN || stoa_poll(s, POLLOUT) < 0)
            break;
    if (c->s == s)
        c->flushing = false;
    return 0;
}

static void send_now(struct conn *c)
{
    const struct plan *p = c->w->plan;
    bool fits = p->rate == 0 && p->pipeline * p->script.ask_len <= SURELY_FITS;

    if (c->flushing || push(c, fits ? 0 : MSG_DONTWAIT) == 0 || errno != EAGAIN)
        return;
    c->flushing = true;
    if (stoa_go(c->w->group, flush_fiber, c) < 0)
        c->flushing = false;
}

/* Put messages under way, as many as may be. */
static void ask(struct conn *c, uint64_t now_ns)
{
    struct worker *w = c->w;
    const struct plan *p = w->plan;
    unsigned n = p->pipeline - c->flight;

    if (p->rate > 0 && c->nwaiting < n)
        n = (unsigned)c->nwaiting;
    for (unsigned i = 0; i < n; i++) {
        uint64_t turn =
            p->rate > 0 ? c->nturn++ * w->nconn + (uint64_t)(c->number / p->nworker) : 0;
        uint64_t due_ns = p->rate > 0 ? worker_due_ns(w, turn) : 0;
        *stamp(c, c->flight++) = (struct stamp){due_ns, now_ns};
    }
    if (p->rate > 0)
        c->nwaiting -= n;
    else
        w->npending += n;
    c->unsent += n * p->script.ask_len;
    send_now(c);
}

static void talk_due(struct worker *w, uint64_t due_ns, uint64_t now_ns)
{
    const struct talk *t = w->load;
    struct conn *c = &t->conns[(w->ndue - 1) % w->nconn];

    c->nwaiting++;
    if (c->s < 0 || c->flight == w->plan->pipeline)
        return;
    hist_add(&w->tally.lag, now_ns - due_ns, 1);
    ask(c, now_ns);
}

/* -------------------------------------------------------------------------
 * Receiving
 * ---------------------------------------------------------------------- */

static int fail_wrong(struct conn *c, size_t offset, int came)
{
    const struct script *script = &c->w->plan->script;
    char why[256];

    if (came < 0)
        snprintf(why, sizeof(why), "an answer of connection %u has %zu bytes, not %zu", c->number,
                 offset, script->answer_len);
    else
        snprintf(why, sizeof(why),
                 "byte %zu of answer %ju on connection %u is 0x%02x, and 0x%02x is expected",
                 offset % script->answer_len,
                 (uintmax_t)(c->nanswered + offset / script->answer_len), c->number, (unsigned)came,
                 script->want.bytes[c->want_at]);
    tally_fault(&c->w->tally, PHASE_VERIFY, FAULT_WRONG, why);
    return -1;
}

static int check(struct conn *c, size_t len)
{
    const struct script *script = &c->w->plan->script;
    size_t wrong;

    if (c->w->plan->datagram && len != script->answer_len)
        return fail_wrong(c, len, -1);
    if (!script_right(script, c->want_at, c->buffer, len, &wrong)) {
        c->want_at = endless_next(&script->want, c->want_at, wrong);
        return fail_wrong(c, c->part + wrong, c->buffer[wrong]);
    }
    c->want_at = script->want.period ? endless_next(&script->want, c->want_at, len) : 0;
    if (c->part + len <= c->flight * script->answer_len)
        return 0;
    tally_fault(&c->w->tally, PHASE_VERIFY, FAULT_WRONG, "more bytes came than were asked for");
    return -1;
}

/* The first n answers that are waited for have come; those sent together count together. */
static void answered(struct conn *c, unsigned n, uint64_t now_ns)
{
    c->nanswered += n;
    for (unsigned same; n > 0; n -= same) {
        struct stamp first = *stamp(c, 0);
        for (same = 1; same < n; same++) {
            const struct stamp *next = stamp(c, same);
            if (next->sent_ns != first.sent_ns || next->due_ns != first.due_ns)
                break;
        }
        forget(c, same);
        tally_answer(&c->w->tally, first.due_ns, first.sent_ns, now_ns, same);
    }
}

/* Bytes have come.  0, or -1: they are wrong. */
static int take(struct conn *c, size_t len, uint64_t now_ns)
{
    const struct plan *p = c->w->plan;

    CHECK(p->script.answer_len > 0, "who expects no answer does not receive");
    c->w->tally.came += len;
    if (check(c, len) < 0)
        return -1;
    c->part += len;
    if (c->part == p->script.answer_len) { /* as ever but with pipelines; and divisions are slow */
        c->part = 0;
        answered(c, 1, now_ns);
    } else if (c->part > p->script.answer_len) {
        size_t n = c->part / p->script.answer_len;
        c->part -= n * p->script.answer_len;
        answered(c, (unsigned)n, now_ns);
    }
    if (p->rate > 0 ? c->nwaiting > 0 : worker_goes_on(c->w, now_ns))
        ask(c, now_ns);
    return 0;
}

/* Has the oldest message under way waited for so long? */
static bool is_late(const struct conn *c, double seconds)
{
    return c->flight > 0 && output_now_ns() - stamp(c, 0)->sent_ns >= (uint64_t)(seconds * 1e9);
}

static bool has_own_time(const struct plan *p)
{
    return p->datagram || p->script.answer_len == 0;
}

/* Ends the streams whose answers are late; their receivers find out why. */
static int look_after(void *worker)
{
    struct worker *w = worker;
    const struct talk *t = w->load;
    double timeout = w->plan->timeout_sec, pause = timeout / LOOKS;

    while (stoa_sleep(pause < LOOK_MOST_SEC ? pause : LOOK_MOST_SEC) == 0)
        for (unsigned i = 0; i < w->nconn; i++) {
            struct conn *c = &t->conns[i];
            if (c->s < 0 || c->late || !is_late(c, timeout))
                continue;
            c->late = true;
            stoa_shutdown(c->s, SHUT_RDWR);
        }
    return 0;
}

/* The end of a connection: count it.  Returns errno's value, or a FAULT_. */
static int ended(struct conn *c, int error)
{
    const char *why = error == FAULT_EOF ? "the server ended a connection" : stoa_errmsg();

    if (c->late) {
        error = ETIME;
        why = "an answer has not come within --timeout";
    }
    if (error != ECANCELED)
        tally_fault(&c->w->tally, PHASE_ANSWER, error, why);
    return error;
}

/* Until the connection's end.  Returns errno's value or a FAULT_ of it, told already. */
static int receive(struct conn *c)
{
    const struct talk *t = c->w->load;

    for (;;) {
        ssize_t n = stoa_recv(c->s, c->buffer, t->buffer_len, 0);
        int error = n < 0 ? errno : 0;
        if (n > 0 || (n == 0 && c->w->plan->datagram)) {
            if (take(c, (size_t)n, output_now_ns()) < 0)
                return FAULT_WRONG;
        } else if (error != ETIME || is_late(c, c->w->plan->timeout_sec * 0.99)) {
            return ended(c, n == 0 ? FAULT_EOF : error);
        }
    }
}

/* Nothing comes back (--expect none): a message is over when the socket has taken it. */
static int only_send(struct conn *c)
{
    struct worker *w = c->w;

    while (worker_goes_on(w, output_now_ns())) {
        uint64_t began_ns = output_now_ns();
        c->unsent = w->plan->script.ask_len;
        if (push(c, 0) < 0) {
            int error = errno;
            if (error != ECANCELED)
                tally_fault(&w->tally, PHASE_SEND, error, stoa_errmsg());
            return error;
        }
        tally_answer(&w->tally, 0, began_ns, output_now_ns(), 1);
        if (stoa_yield() < 0)
            return ECANCELED;
    }
    return ECANCELED; /* the run is over */
}

/* -------------------------------------------------------------------------
 * Connections
 * ---------------------------------------------------------------------- */

/* As a connection begins: nothing under way, its place in the script its own. */
static void settle(struct conn *c, int s)
{
    const struct script *script = &c->w->plan->script;

    c->s = s;
    c->ask_at = endless_next(&script->ask, 0, c->number * script->step);
    c->want_at = script->want.period && script->step ? c->ask_at : 0;
    c->unsent = c->part = 0;
    c->flight = c->oldest = 0;
    c->nanswered = 0;
    c->flushing = c->late = false;
    if (s >= 0 && !has_own_time(c->w->plan))
        stoa_settimeout(s, -1);
}

/* The connection is over, and what was under way on it has no answer. */
static void drop(struct conn *c, bool expired)
{
    struct worker *w = c->w;
    uint64_t now = output_now_ns();

    for (; c->flight > 0; forget(c, 1)) {
        const struct stamp *oldest = stamp(c, 0);
        if (expired)
            tally_expired(&w->tally, oldest->due_ns, oldest->sent_ns, now);
        else
            w->tally.nlost++;
    }
    if (c->s >= 0)
        stoa_close(c->s);
    c->s = -1;
}

/* The connection's life, from its first message on. */
static int live(struct conn *c)
{
    struct worker *w = c->w;
    bool wanted = w->plan->rate > 0 ? c->nwaiting > 0 : worker_goes_on(w, output_now_ns());

    if (w->plan->script.answer_len == 0)
        return only_send(c);
    if (wanted)
        ask(c, output_now_ns());
    return receive(c);
}

/* One connection after the other; give_up tells of what is under way at the end. */
static int conn_fiber(void *conn)
{
    struct conn *c = conn;
    unsigned ntry = 0;

    while (c->s >= 0 || c->nwaiting > 0 || worker_goes_on(c->w, output_now_ns())) {
        if (c->s < 0)
            settle(c, worker_dial(c->w));
        if (c->s >= 0) {
            int error = live(c);
            if (error == ECANCELED)
                return 0;
            ntry = c->nanswered > 0 ? 0 : ntry + 1;
            drop(c, error == ETIME);
        } else {
            ntry++;
        }
        if (ntry > 0 && worker_pause(ntry - 1) < 0)
            return 0;
    }
    return 0;
}

static int talk_run(struct worker *w)
{
    struct talk *t = w->load;

    for (unsigned i = 0; i < w->nconn; i++)
        if (stoa_go(w->group, conn_fiber, &t->conns[i]) < 0)
            return -1;
    return has_own_time(w->plan) ? 0 : stoa_go(w->group, look_after, w);
}

/* One of those that make the first connections. */
static int dial_fiber(void *worker)
{
    struct worker *w = worker;
    struct talk *t = w->load;

    while (t->ndialled < w->nconn && !run_stopped()) {
        struct conn *c = &t->conns[t->ndialled++];
        settle(c, worker_dial(w));
        t->nsettled++;
    }
    return 0;
}

/* Bytes of a connection's buffer: more than its answers, for a receive that is full asks whether
 * there is more; or as many as are worth a call. */
static size_t buffer_len(const struct plan *p)
{
    size_t wanted = p->script.answer_len * p->pipeline;

    if (p->datagram)
        return DATAGRAM_MOST;
    return wanted < BUFFER_MOST ? (wanted / CACHE_LINE + 1) * CACHE_LINE : BUFFER_MOST;
}

static int talk_open(struct worker *w)
{
    struct talk *t = w->load = calloc(1, sizeof(*t));
    struct stoa_group *g = stoa_group_open();
    unsigned pipeline = w->plan->pipeline;

    if (!t || !g)
        return -1;
    t->buffer_len = buffer_len(w->plan);
    t->conns = aligned_alloc(CACHE_LINE, (w->nconn + 1) * sizeof(*t->conns));
    t->rings = calloc(pipeline > 1 ? (size_t)w->nconn * pipeline : 1, sizeof(*t->rings));
    t->buffers = aligned_alloc(CACHE_LINE, (w->nconn + 1) * t->buffer_len);
    int r = t->conns && t->rings && t->buffers ? 0 : -1;
    for (unsigned i = 0; t->conns && i < w->nconn; i++)
        t->conns[i] = (struct conn){.s = -1,
                                    .w = w,
                                    .number = i * w->plan->nworker + w->index,
                                    .ring = pipeline > 1 ? t->rings + (size_t)i * pipeline
                                                         : &t->conns[i].only,
                                    .buffer = t->buffers + i * t->buffer_len};
    for (unsigned i = 0; r == 0 && i < w->nconn && i < DIALS_AT_ONCE; i++)
        r = stoa_go(g, dial_fiber, w);
    while (r == 0 && t->nsettled < w->nconn && !run_stopped())
        r = stoa_sleep(DIAL_LOOK_SEC);
    stoa_group_cancel(g);
    stoa_group_join(g);
    return r;
}

static void talk_give_up(struct worker *w, uint64_t now_ns)
{
    const struct talk *t = w->load;

    for (unsigned i = 0; t && t->conns && i < w->nconn; i++) {
        struct conn *c = &t->conns[i];
        if (c->flight > 0)
            tally_fault(&w->tally, PHASE_ANSWER, ETIME, "answers have not come in time");
        drop(c, true);
        for (; c->nwaiting > 0; c->nwaiting--) {
            uint64_t turn = c->nturn++ * w->nconn + (uint64_t)(c->number / w->plan->nworker);
            tally_expired(&w->tally, worker_due_ns(w, turn), 0, now_ns);
        }
    }
}

static void talk_close(struct worker *w)
{
    struct talk *t = w->load;

    if (!t)
        return;
    free(t->conns);
    free(t->rings);
    free(t->buffers);
    free(t);
}

const struct kind talk_kind = {talk_open, talk_run, talk_due, talk_give_up, talk_close};
