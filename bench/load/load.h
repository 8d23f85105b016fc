/* load.h - what the load generator's parts share; knows nothing of which server is which. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct options {
    unsigned nconn;      /* connections that talk */
    unsigned nidle;      /* connections that have talked once and are silent */
    size_t size;         /* bytes of a message */
    unsigned pipeline;   /* messages under way on each connection */
    double warmup_sec;   /* not counted */
    double duration_sec; /* in all slices */
    unsigned nslice;     /* how many of them */
    bool turns;          /* wait for a byte on standard input before each of them */
    double rate;         /* messages a second on a fixed schedule; 0 = closed loop */
    bool churn;          /* a connection for each message */
    bool wait_eof;       /* churn: half-close, and wait for the server's end */
    bool hold;           /* only hold the idle ones, until standard input ends */
};

enum {
    HIST_SUB = 64, /* steps to a power of two: a value is kept to 1.6 % */
    HIST_LEN = HIST_SUB * 40,
};

struct hist {
    uint64_t count;
    uint64_t max;
    uint64_t bins[HIST_LEN];
};

/* The server under load, and what has been counted of it. */
struct target {
    struct sockaddr_in at;
    pid_t pid;     /* whose processor time is read; 0 = nobody's */
    bool counting; /* within a slice that is not warm-up */
    uint64_t nmessage;
    struct hist latency;
    struct hist lag; /* open loop: sent so long after it was due */

    int64_t wall_ns, self_ns; /* sums over the slices; of one that runs, minus its begin */
    int64_t server_ns;        /* likewise, the sum: processor time */
    int64_t slice_ns;         /* the server's when this slice began */
    uint64_t slice_message;   /* nmessage then */
    double *slice_us;         /* the server's for a message, of each slice */
    unsigned nslice;          /* slices that are over */
};

/* Print a sentence and exit: 1, the measurement is worth nothing. */
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...);

/* -------------------------------------------------------------------------
 * count.c: time, what is counted in a slice, the report
 * ---------------------------------------------------------------------- */

uint64_t now_ns(void);

void count_begin(struct target *t);
void count_end(struct target *t);

/* A message has come back after so long. */
void count_message(struct target *t, uint64_t latency_ns);

/* Open loop: a message was sent so long after it was due. */
void count_lag(struct target *t, uint64_t lag_ns);

/* One line of JSON on standard output. */
void count_print(const struct target *t, const struct options *o);

/* -------------------------------------------------------------------------
 * stream.c: the bytes that are sent, those that must come back, and sockets
 * ---------------------------------------------------------------------- */

enum {
    PATTERN_LEN = 8191,       /* prime: no message size divides it */
    STREAM_CHUNK = 256 << 10, /* the most that is sent or received at once */
};

extern uint8_t stream_asked[PATTERN_LEN + STREAM_CHUNK];
extern uint8_t stream_answer[PATTERN_LEN + STREAM_CHUNK];

void stream_make(void);

/* The place in the pattern len bytes after `at`. */
static inline uint32_t stream_next(uint32_t at, size_t len)
{
    return (uint32_t)((at + len) % PATTERN_LEN);
}

/* Fail unless these bytes answer those from `at` on. */
void stream_check(uint32_t at, const uint8_t *came, size_t len);

/* A connected blocking socket without delay.  Explicit ports: the next of 127.64.0.0/10,
 * for the kernel's own search gets slow when many ports are in TIME_WAIT. */
int dial(const struct target *t, bool explicit_port);

/* Close without TIME_WAIT: thousands of them would slow down the next run. */
void hang_up(int fd);

/* -------------------------------------------------------------------------
 * The kinds of load
 * ---------------------------------------------------------------------- */

/* A kind makes its state, and loads the target for one slice at a time: until until_ns it begins
 * messages, and it returns when all are answered. */
struct kind {
    void *(*open)(const struct options *o, struct target *t);
    void (*slice)(void *state, uint64_t until_ns);
    void (*close)(void *state);
};

extern const struct kind talk_kind;  /* talk.c: lasting connections, closed or open loop */
extern const struct kind churn_kind; /* churn.c: connect, a message, its answer, close */

/* Answers that take longer than this will not come. */
#define ANSWER_NS_MAX ((uint64_t)10 * 1000 * 1000 * 1000)

/* idle.c: connections that have talked once.  Returns their descriptors. */
int *idle_open(const struct options *o, const struct target *t);
void idle_close(const struct options *o, int *fds);

#endif
