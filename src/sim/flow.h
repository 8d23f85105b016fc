/* flow.h - one direction of a stream: from what is written to what is read, byte for byte.
 *
 * All positions are counts of bytes since the beginning:
 *
 *     read <= arrived <= flown <= written,  acked <= arrived
 *
 * The sender may have SO_SNDBUF of written - acked, the receiver lets come SO_RCVBUF of
 * arrived - read.  It knows neither handshakes nor what an error is.
 */
#ifndef STOA_SIM_FLOW_H
#define STOA_SIM_FLOW_H

#include "sim/world.h"

struct file;
struct rights;

/* Bytes, or the end, on their way. */
struct segment {
    struct list link;
    uint64_t upto;
    bool end;
    bool reset;
    uint64_t at_ns;
};

/* Descriptors that belong to some bytes: a receive ends with them. */
struct mark {
    struct list link;
    uint64_t from, upto;
    struct rights *rights; /* NULL = taken */
};

struct pipe {
    struct world *world;
    struct file *from, *to; /* NULL = gone */
    struct host *from_host, *to_host;
    bool local; /* a UNIX socket's: no packets, and room is what has not been read */

    char *ring;
    size_t room; /* a power of 2 */
    uint64_t written, flown, arrived, acked, read;
    uint64_t window; /* the sender may send up to it */
    bool end_written, end_flown, end_arrived, end_acked;
    bool stopped; /* some of what was written will never be sent */
    bool resets;  /* a reset is the last thing on it */

    uint64_t sum_written, sum_read; /* of the bytes, to see that they are the same */
    int urgent;                     /* MSG_OOB's byte; -1 = none */
    uint64_t urgent_at;             /* where it was sent */

    struct event patience;   /* TCP_USER_TIMEOUT */
    uint64_t patience_acked; /* what had been acknowledged when it began */

    struct list segments;
    struct event arrive; /* the first one's */
    unsigned tries;      /* how often it was lost */
    uint64_t last_ns;    /* when the last one arrives: they keep their order */
    struct event ack;
    uint64_t ack_arrived, ack_window;
    bool ack_end;
    struct list marks;
    struct list dead; /* in world->dead_pipes */
};

struct pipe *flow_make(struct world *w, struct file *from, struct file *to, bool local);

/* One of its ends lets go; the second one frees it. */
void flow_leave_from(struct pipe *p);
void flow_leave_to(struct pipe *p);

/* One of world->dead_pipes. */
void flow_free(struct pipe *p);

/* How much may be written now. */
size_t flow_space(const struct pipe *p);

static inline size_t flow_unread(const struct pipe *p)
{
    return (size_t)(p->arrived - p->read);
}

/* Take up to flow_space() bytes; give up to flow_unread(). */
void flow_write(struct pipe *p, const char *buf, size_t len);
size_t flow_read(struct pipe *p, char *buf, size_t len, bool peek);

/* Nothing will be written any more. */
void flow_end(struct pipe *p);

/* What was not sent yet is not sent any more; with reset, that travels to the reader. */
void flow_stop(struct pipe *p);
void flow_reset(struct pipe *p);

/* Send what may be sent. */
void flow_push(struct pipe *p);

/* The reader has made room: tell the writer. */
void flow_tell_room(struct pipe *p);

#endif
