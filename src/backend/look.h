/* look.h - before a worker sleeps it looks a little longer, as long as that pays.
 *
 * To sleep and be woken costs processor time, and more time still on a machine whose idle
 * processors rest deeply.  A worker whose next message is some microseconds away had
 * better stay awake; one that waits for minutes should not burn its processor.  So it
 * looks, within LOOK_MAX_NS, while looking has lately found something, and within a
 * budget: a thirty-second of the processor time that it would have taken without; for who
 * asks for it, as much again.
 *
 * It knows time and numbers, not what is looked at: loop.c does that.
 */
#ifndef STOA_BACKEND_LOOK_H
#define STOA_BACKEND_LOOK_H

#include <stdbool.h>
#include <stdint.h>

struct look {
    int64_t max_ns;    /* at a time; 0 = never */
    int part;          /* of the time without looking that may be spent on top: 1 / part */
    int64_t sleep_ns;  /* the processor time of a sleep, lately */
    int64_t credit_ns; /* what looking may cost, beyond what it saves */
    uint64_t awake_ns; /* when the last wait ended */
    unsigned score;    /* 0 .. LOOK_SCORE_MAX: how well it has paid lately */
    unsigned trial;    /* waits until the next trial while the score is 0 */
    unsigned pause;    /* how many that were at the last one */
    unsigned nsleep;   /* counts sleeps */
};

/* For a worker that looks max_ns at most; < 0: what is best. */
void look_init(struct look *k, int64_t max_ns);

/* There is nothing to do at now_ns.  How long to look before sleeping; 0: not at all. */
int64_t look_begin(struct look *k, uint64_t now_ns);

enum look_result {
    LOOK_FOUND,
    LOOK_NOTHING,
    LOOK_DISTURBED, /* somebody else had the processor: it has better things to do */
};

/* It has looked from began_ns to now_ns. */
void look_ended(struct look *k, uint64_t began_ns, uint64_t now_ns, enum look_result how);

/* Shall the processor time of the coming sleep be measured? */
bool look_measures(struct look *k);

/* It has slept until now_ns, for cpu_ns of processor time; < 0: not measured. */
void look_slept(struct look *k, uint64_t now_ns, int64_t cpu_ns);

/* What STOA_SPIN says: most microseconds to look, 0 for never.  In nanoseconds; -1: nothing said;
 * -EINVAL: no number from 0 to 1000. */
int64_t look_wanted(void);

#endif
