/* bench/churn.c - a connection for each message: connect, ask, hear the answer, end.
 *
 * Closed: nconn fibers, each making one visit after the other.  Open: a fiber begins when a
 * visit is due and fewer than nconn are under way, and goes on while visits wait; so a
 * server that is slow is charged for those that could not begin.
 *
 * The time is that of a whole visit, from before connect(2) to the end that is waited for.
 */
#include "cli/bench/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUFFER_MOST = 16 << 10 };

struct churn {
    unsigned nbusy;    /* visits under way */
    uint64_t nbegun;   /* open loop: visits that have begun or are over */
    uint64_t nwaiting; /* open loop: visits that are due and have not begun */
};

static int tell(struct worker *w, enum phase phase, int error)
{
    if (error != ECANCELED)
        tally_fault(&w->tally, phase, error, stoa_errmsg());
    return error;
}

/* All of the answer.  0, an errno, a FAULT_. */
static int hear(struct worker *w, int s, size_t at)
{
    const struct script *script = &w->plan->script;
    uint8_t buffer[BUFFER_MOST];
    size_t done = 0, wrong;

    while (done < script->answer_len) {
        size_t left = script->answer_len - done;
        ssize_t n = stoa_recv(s, buffer, left < BUFFER_MOST ? left + 1 : BUFFER_MOST, 0);
        if (n < 0)
            return tell(w, PHASE_ANSWER, errno);
        if (n == 0) {
            tally_fault(&w->tally, PHASE_ANSWER, FAULT_EOF, "the server ended before its answer");
            return FAULT_EOF;
        }
        w->tally.came += (uint64_t)n;
        if ((size_t)n > left) {
            tally_fault(&w->tally, PHASE_VERIFY, FAULT_WRONG,
                        "more bytes came than were asked for");
            return FAULT_WRONG;
        }
        if (!script_right(script, at, buffer, (size_t)n, &wrong)) {
            char why[160];
            snprintf(why, sizeof(why), "byte %zu of an answer is 0x%02x, and 0x%02x is expected",
                     done + wrong, buffer[wrong], script->want.bytes[at + wrong]);
            tally_fault(&w->tally, PHASE_VERIFY, FAULT_WRONG, why);
            return FAULT_WRONG;
        }
        at = script->want.period ? endless_next(&script->want, at, (size_t)n) : 0;
        done += (size_t)n;
    }
    return 0;
}

/* End as it was asked for.  0, an errno, a FAULT_. */
static int part(struct worker *w, int s)
{
    char byte;
    ssize_t n;

    switch (w->plan->closer) {
    case CLOSER_RESET:
        stoa_abort(s);
        return 0;
    case CLOSER_CLIENT:
        stoa_close(s);
        return 0;
    case CLOSER_SERVER:
        break;
    }
    n = stoa_recv(s, &byte, 1, 0);
    int error = n < 0 ? tell(w, PHASE_END, errno) : 0;
    if (n > 0) {
        error = FAULT_WRONG;
        tally_fault(&w->tally, PHASE_END, error, "more bytes came than were expected");
    }
    stoa_close(s);
    return error;
}

/* A visit has its place in the histograms, or is lost.  Returns error. */
static int over(struct worker *w, int error, uint64_t due_ns, uint64_t began_ns)
{
    if (error == 0)
        tally_answer(&w->tally, due_ns, began_ns, output_now_ns(), 1);
    else if (error == ETIME || error == ECANCELED)
        tally_expired(&w->tally, due_ns, began_ns, output_now_ns());
    else
        w->tally.nlost++;
    return error;
}

/* 0, an errno, a FAULT_; counted. */
static int visit(struct worker *w, uint64_t due_ns)
{
    const struct script *script = &w->plan->script;
    uint64_t began_ns = output_now_ns();
    size_t at = script->step ? w->tally.nconnect * script->step % script->ask.period : 0;
    int s = worker_dial(w), error;

    if (s < 0)
        return over(w, errno, due_ns, began_ns);
    if (stoa_sendall(s, script->ask.bytes + at, script->ask_len, 0) < 0)
        error = tell(w, PHASE_SEND, errno);
    else
        error = hear(w, s, script->expect == EXPECT_FILE ? 0 : at);
    if (error) {
        stoa_close(s);
    } else {
        w->tally.sent += script->ask_len;
        error = part(w, s);
    }
    return over(w, error, due_ns, began_ns);
}

/* Closed loop: one after the other. */
static int visitor(void *worker)
{
    struct worker *w = worker;
    struct churn *c = w->load;
    unsigned ntry = 0;

    while (worker_goes_on(w, output_now_ns())) {
        c->nbusy++;
        w->npending++;
        int error = visit(w, 0);
        w->npending--;
        c->nbusy--;
        if (error == ECANCELED)
            return 0;
        ntry = error ? ntry + 1 : 0;
        if (ntry > 0 && worker_pause(ntry - 1) < 0)
            return 0;
    }
    return 0;
}

/* Open loop: while visits wait. */
static int due_visitor(void *worker)
{
    struct worker *w = worker;
    struct churn *c = w->load;
    int error = 0;

    while (c->nwaiting > 0 && error != ECANCELED) {
        c->nwaiting--;
        error = visit(w, worker_due_ns(w, c->nbegun++));
        w->npending--;
    }
    c->nbusy--;
    return 0;
}

static void churn_due(struct worker *w, uint64_t due_ns, uint64_t now_ns)
{
    struct churn *c = w->load;

    c->nwaiting++;
    if (c->nbusy >= w->nconn)
        return;
    hist_add(&w->tally.lag, now_ns - due_ns, 1);
    c->nbusy++;
    if (stoa_go(w->group, due_visitor, w) < 0)
        c->nbusy--; /* a later one will see to it */
}

static int churn_open(struct worker *w)
{
    w->load = calloc(1, sizeof(struct churn));
    return w->load ? 0 : -1;
}

static int churn_run(struct worker *w)
{
    for (unsigned i = 0; w->plan->rate == 0 && i < w->nconn; i++)
        if (stoa_go(w->group, visitor, w) < 0)
            return -1;
    return 0;
}

static void churn_give_up(struct worker *w, uint64_t now_ns)
{
    struct churn *c = w->load;

    if (c && c->nbusy > 0)
        tally_fault(&w->tally, PHASE_ANSWER, ETIME, "visits have not ended in time");
    for (; c && c->nwaiting > 0; c->nwaiting--)
        tally_expired(&w->tally, worker_due_ns(w, c->nbegun++), 0, now_ns);
}

static void churn_close(struct worker *w)
{
    free(w->load);
}

const struct kind churn_kind = {churn_open, churn_run, churn_due, churn_give_up, churn_close};
