/* look.c - when looking has paid, when it is tried again, and what it may cost.
 *
 * Paid: every look that finds something raises the score, one that does not lowers it by
 * more.  At 0 the worker just sleeps, but for a trial now and then, more seldom each time
 * one fails: an idle worker's trials cost nothing that can be measured.  (KVM's halt
 * polling grows and shrinks likewise: the kernel's Documentation/virt/kvm/halt-polling.rst.)
 *
 * The budget: what was done between two waits, and the sleep that a look saves, are the
 * processor time that would have been taken without looking.  A thirty-second of it may be
 * spent on top, or as much again by who has asked for it.  A look that finds something
 * early costs nothing, for the sleep would have.
 */
#include "backend/look.h"

#include "base/limits.h"

#include <errno.h>
#include <stdlib.h>

enum { SCORE_MAX = 8, SCORE_LOSS = 2, TRIAL_FIRST = 8, TRIAL_LAST = 1024 };

/* What may be spent on top, as a part of the time that would be taken without looking. */
enum { PART_UNASKED = 32, PART_ASKED = 1 };

#define CREDIT_MAX_NS  ((int64_t)1000 * 1000)
#define SLEEP_FIRST_NS ((int64_t)4 * 1000) /* a guess, until it has been measured */
#define SLEEP_MAX_NS   ((int64_t)50 * 1000)
#define MEASURED_AMONG 16

void look_init(struct look *k, int64_t max_ns)
{
    *k = (struct look){
        .max_ns = max_ns < 0 ? LOOK_MAX_NS : max_ns,
        .part = max_ns < 0 ? PART_UNASKED : PART_ASKED,
        .sleep_ns = SLEEP_FIRST_NS,
        .trial = TRIAL_FIRST,
        .pause = TRIAL_FIRST,
    };
}

static void earn(struct look *k, int64_t ns)
{
    k->credit_ns += ns / k->part;
    if (k->credit_ns > CREDIT_MAX_NS)
        k->credit_ns = CREDIT_MAX_NS;
}

int64_t look_begin(struct look *k, uint64_t now_ns)
{
    if (k->max_ns == 0)
        return 0;
    if (k->awake_ns && now_ns > k->awake_ns)
        earn(k, (int64_t)(now_ns - k->awake_ns));
    if (k->credit_ns <= 0)
        return 0;
    if (k->score == 0 && k->trial > 0) {
        k->trial--;
        return 0;
    }
    return k->max_ns;
}

static void lose(struct look *k, unsigned loss)
{
    if (k->score > loss) {
        k->score -= loss;
        return;
    }
    k->pause = k->score == 0 && k->pause < TRIAL_LAST ? 2 * k->pause : k->pause;
    k->score = 0;
    k->trial = k->pause;
}

void look_ended(struct look *k, uint64_t began_ns, uint64_t now_ns, enum look_result how)
{
    int64_t spent_ns = (int64_t)(now_ns - began_ns);

    k->awake_ns = now_ns;
    switch (how) {
    case LOOK_FOUND:
        earn(k, k->sleep_ns);
        k->credit_ns -= spent_ns > k->sleep_ns ? spent_ns - k->sleep_ns : 0;
        k->pause = TRIAL_FIRST;
        k->score += k->score < SCORE_MAX;
        break;
    case LOOK_NOTHING:
        k->credit_ns -= spent_ns;
        lose(k, SCORE_LOSS);
        break;
    case LOOK_DISTURBED:
        k->pause = TRIAL_LAST;
        lose(k, SCORE_MAX);
        break;
    }
}

bool look_measures(struct look *k)
{
    return k->nsleep++ % MEASURED_AMONG == 0;
}

void look_slept(struct look *k, uint64_t now_ns, int64_t cpu_ns)
{
    k->awake_ns = now_ns;
    earn(k, k->sleep_ns);
    if (cpu_ns < 0)
        return;
    if (cpu_ns > SLEEP_MAX_NS)
        cpu_ns = SLEEP_MAX_NS;
    k->sleep_ns += (cpu_ns - k->sleep_ns) / 8;
}

int64_t look_wanted(void)
{
    const char *text = getenv("STOA_SPIN");
    char *end;

    if (!text || !*text)
        return -1;
    errno = 0;
    long us = strtol(text, &end, 10);

    return *end || errno || us < 0 || us > LOOK_MAX_WISH_US ? -EINVAL : us * 1000;
}
