/* bench/tally.c - counting on the hot path, and the ring of intervals.
 *
 * Silence: time in which a message was waited for and no answer came at all.  It is what a
 * closed loop cannot see in its percentiles, for it asks little while the server stalls.
 */
#include "cli/bench/tally.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int tally_init(struct tally *t)
{
    memset(t, 0, sizeof(*t));
    t->ring = calloc(TALLY_RING, sizeof(*t->ring));
    t->now = t->ring;
    return t->ring ? 0 : -1;
}

void tally_fini(struct tally *t)
{
    free(t->ring);
}

void tally_start(struct tally *t, uint64_t now_ns, uint64_t until_ns)
{
    t->until_ns = until_ns;
    t->now->start_ns = now_ns;
    t->last_ns = t->answered_ns = now_ns;
}

void tally_turn(struct tally *t, uint64_t number, uint64_t now_ns)
{
    uint64_t nclosed = atomic_load_explicit(&t->nclosed, memory_order_relaxed);
    struct slot *next = &t->ring[(nclosed + 1) % TALLY_RING];

    if (nclosed + 1 - atomic_load_explicit(&t->ntaken, memory_order_acquire) >= TALLY_RING)
        return;
    t->now->end_ns = now_ns;
    next->number = number;
    next->start_ns = now_ns;
    next->nerror = next->nunanswered = 0;
    t->now = next;
    atomic_store_explicit(&t->nclosed, nclosed + 1, memory_order_release);
}

struct slot *tally_peek(struct tally *t)
{
    uint64_t ntaken = atomic_load_explicit(&t->ntaken, memory_order_relaxed);

    if (atomic_load_explicit(&t->nclosed, memory_order_acquire) == ntaken)
        return NULL;
    return &t->ring[ntaken % TALLY_RING];
}

void tally_give_back(struct tally *t)
{
    struct slot *s = tally_peek(t);

    hist_clear(&s->response);
    hist_clear(&s->service);
    atomic_fetch_add_explicit(&t->ntaken, 1, memory_order_release);
}

/* No answer since last_ns, and this one has been waited for since asked_ns. */
static void silence(struct tally *t, uint64_t asked_ns, uint64_t now_ns)
{
    uint64_t from_ns = asked_ns > t->last_ns ? asked_ns : t->last_ns;
    uint64_t end_ns = now_ns < t->until_ns ? now_ns : t->until_ns;
    uint64_t ns = end_ns > from_ns ? end_ns - from_ns : 0;

    if (ns >= STALL_NS)
        t->silence_ns += ns;
    if (ns > t->longest_ns) {
        t->longest_ns = ns;
        t->longest_at_ns = from_ns;
    }
}

void tally_answer(struct tally *t, uint64_t due_ns, uint64_t sent_ns, uint64_t now_ns, uint64_t n)
{
    hist_add(&t->now->service, now_ns - sent_ns, n);
    if (due_ns)
        hist_add(&t->now->response, now_ns - due_ns, n);
    if (now_ns - t->last_ns >= STALL_NS || now_ns - t->last_ns > t->longest_ns)
        silence(t, due_ns ? due_ns : sent_ns, now_ns);
    t->last_ns = t->answered_ns = now_ns;
    atomic_store_explicit(&t->nanswer, atomic_load_explicit(&t->nanswer, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

void tally_expired(struct tally *t, uint64_t due_ns, uint64_t sent_ns, uint64_t now_ns)
{
    if (due_ns)
        hist_add(&t->now->response, now_ns - due_ns, 1);
    if (sent_ns) {
        hist_add(&t->now->service, now_ns - sent_ns, 1);
        t->now->nunanswered++;
    }
    silence(t, due_ns ? due_ns : sent_ns, now_ns);
    t->last_ns = now_ns;
    t->nlost++;
    t->nexpired++;
}

void tally_away(struct tally *t, uint64_t late_ns)
{
    if (late_ns >= STALL_NS / 2)
        t->away_ns += late_ns;
}

static struct fault *find(struct tally *t, enum phase phase, int error)
{
    for (unsigned i = 0; i < t->nfault; i++)
        if (t->fault[i].phase == phase && t->fault[i].error == error)
            return &t->fault[i];
    if (t->nfault == FAULTS_MAX)
        return &t->fault[FAULTS_MAX - 1];
    t->fault[t->nfault] = (struct fault){.phase = phase, .error = error};
    return &t->fault[t->nfault++];
}

void tally_fault(struct tally *t, enum phase phase, int error, const char *why)
{
    char *sentence = error == FAULT_WRONG ? t->wrong : t->first;

    find(t, phase, error)->n++;
    t->now->nerror++;
    atomic_fetch_add_explicit(&t->nerror, 1, memory_order_relaxed);
    if (!*sentence)
        snprintf(sentence, SENTENCE_MAX, "%s", why);
}

const char *fault_phase(const struct fault *f)
{
    static const char *const names[] = {
        [PHASE_CONNECT] = "connect", [PHASE_SEND] = "send", [PHASE_ANSWER] = "answer",
        [PHASE_VERIFY] = "verify",   [PHASE_END] = "end",   [PHASE_CROWD] = "crowd",
    };

    return names[f->phase];
}

const char *fault_name(const struct fault *f, char *buf, size_t size)
{
    if (f->error == FAULT_EOF)
        return "end of stream";
    if (f->error == FAULT_WRONG)
        return "wrong bytes";
    if (f->error == ETIME)
        return "ETIME (not within --timeout)";
    snprintf(buf, size, "%s (%s)", strerrorname_np(f->error), strerrordesc_np(f->error));
    return buf;
}
