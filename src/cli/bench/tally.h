/* bench/tally.h - what one worker counts, and how others may look at it meanwhile.
 *
 * A worker's fibers write to the interval of now.  Its clock turns to the next, and the
 * one that is over is the reader's until it gives it back: a ring without locks, one writer,
 * one reader.  When the reader is late the interval of now is longer.  Knows no socket.
 */
#ifndef STOA_CLI_BENCH_TALLY_H
#define STOA_CLI_BENCH_TALLY_H

#include "base/limits.h"
#include "cli/bench/hist.h"

#include <stdatomic.h>
#include <stdbool.h>

enum phase { PHASE_CONNECT, PHASE_SEND, PHASE_ANSWER, PHASE_VERIFY, PHASE_END, PHASE_CROWD };

/* errno's value, or one of these. */
enum { FAULT_EOF = -1, FAULT_WRONG = -2 };

enum { FAULTS_MAX = 32, TALLY_RING = 4 };

/* No answer for so long is a stall; shorter ones are the weather. */
#define STALL_NS ((uint64_t)100 * 1000 * 1000)

struct fault {
    enum phase phase;
    int error;
    uint64_t n;
};

struct slot {
    uint64_t number; /* of the interval */
    uint64_t start_ns, end_ns;
    uint64_t nerror;
    uint64_t nunanswered; /* in the service with the time they were waited for */
    struct hist response, service;
};

struct tally {
    struct slot *ring; /* TALLY_RING of them */
    struct slot *now;
    _Atomic uint64_t nclosed, ntaken; /* slots of the ring, ever */

    /* The worker's own until it has ended. */
    struct fault fault[FAULTS_MAX]; /* the last one is for all that have no place */
    unsigned nfault;
    char first[SENTENCE_MAX]; /* the first fault's sentence */
    char wrong[SENTENCE_MAX]; /* the first wrong answer's */
    uint64_t nlost;           /* messages without an answer */
    uint64_t nexpired;        /* of them, those that the histograms hold with our patience's end */
    uint64_t sent, came;      /* bytes */
    uint64_t ncut;            /* of the crowd, by the server */
    struct hist connect, lag;
    uint64_t until_ns;
    uint64_t last_ns;     /* when the last answer came, or was given up */
    uint64_t answered_ns; /* when it came */
    uint64_t silence_ns, longest_ns, longest_at_ns;
    uint64_t away_ns; /* this thread did not run at all */

    _Atomic uint64_t nerror, nanswer, nconnect; /* for whoever looks */
};

/* 0, or -1: out of memory. */
int tally_init(struct tally *t);
void tally_fini(struct tally *t);

/* The run begins: interval 0.  After until_ns no message begins, and silence means nothing. */
void tally_start(struct tally *t, uint64_t now_ns, uint64_t until_ns);

/* The interval's time is over: go on to interval number, if the reader has left room. */
void tally_turn(struct tally *t, uint64_t number, uint64_t now_ns);

/* n answers have come whose messages were due, and were sent, at these times.  due_ns 0: closed
 * loop. */
void tally_answer(struct tally *t, uint64_t due_ns, uint64_t sent_ns, uint64_t now_ns, uint64_t n);

/* A message has none, and is not waited for any longer: its age is the least it would be.  sent_ns
 * 0: it was due only. */
void tally_expired(struct tally *t, uint64_t due_ns, uint64_t sent_ns, uint64_t now_ns);

/* The worker was woken so much later than it had asked for: in a long absence of ours no answer can
 * be taken, and that is not the server's silence. */
void tally_away(struct tally *t, uint64_t late_ns);

/* Something failed.  Its sentence is stoa_errmsg()'s, or why. */
void tally_fault(struct tally *t, enum phase phase, int error, const char *why);

/* The reader's: the oldest slot that is closed, or NULL; and to give it back. */
struct slot *tally_peek(struct tally *t);
void tally_give_back(struct tally *t);

/* "connect", "answer" ...; "Connection refused", "end of stream" ... */
const char *fault_phase(const struct fault *f);
const char *fault_name(const struct fault *f, char *buf, size_t size);

#endif
