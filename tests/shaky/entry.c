/* shaky/entry.c - between uring.c and its ring: entries made shorter, answers that refuse.
 *
 * Entries are looked at when they are about to be handed over.  A receive or send may lose a part
 * of its length.  One that is to be refused becomes an entry that does nothing, whose answer
 * is given the error when it is here: so nothing was moved, as the kernel has it.  The turn
 * itself may end before it has begun: EINTR, and EAGAIN and EBUSY alike.
 *
 * The probe's ring is left alone, for it asks whether there is a ring at all.  Entries that
 * ring_sqe() hands over by itself, because the ring is full, pass by here.
 */
#include "backend/backend.h"
#include "backend/ring.h"
#include "faults.h"

#include <errno.h>

enum { STRUCK_MAX = 256, PROBE_ENTRIES = 4, TAGS = 7 };

struct struck {
    uint64_t whose;
    int error; /* 0 = shortened: */
    int fd;
    uint32_t len;
    enum fault_way way;
};

static __thread struct struck list[STRUCK_MAX];
static __thread unsigned nstruck;

static bool is_ops(uint64_t whose)
{
    return whose > TAGS && !(whose & TAGS);
}

static bool is_spared(const struct io_uring_sqe *sqe)
{
    const struct op *op = (const struct op *)(uintptr_t)sqe->user_data;

    return fault_spares(sqe->fd) || fault_is_crowded(op->sock);
}

static void refuse(struct io_uring_sqe *sqe, int error)
{
    list[nstruck++] = (struct struck){.whose = sqe->user_data, .error = error};
    sqe->opcode = IORING_OP_NOP;
    sqe->fd = -1;
    sqe->addr = 0;
    sqe->len = 0;
    sqe->msg_flags = 0;
}

static void shorten(struct io_uring_sqe *sqe, enum fault_way way)
{
    const struct op *op = (const struct op *)(uintptr_t)sqe->user_data;
    uint32_t len = (uint32_t)fault_len(sqe->fd, sqe->len, (int)sqe->msg_flags);

    if (len == sqe->len || fault_is_crowded(op->sock))
        return;
    sqe->len = len;
    list[nstruck++] =
        (struct struck){.whose = sqe->user_data, .fd = sqe->fd, .len = len, .way = way};
}

static void disturb(struct io_uring_sqe *sqe)
{
    bool out = sqe->opcode == IORING_OP_SEND;

    if (nstruck == STRUCK_MAX || !is_ops(sqe->user_data))
        return;
    if (sqe->opcode == IORING_OP_POLL_ADD && !(sqe->poll32_events & POLLOUT)) {
        if (!is_spared(sqe) && fault_strikes(FAULT_MEMORY))
            refuse(sqe, -ENOMEM);
        return;
    }
    if (!out && sqe->opcode != IORING_OP_RECV)
        return;
    if (fault_strikes(FAULT_INTERRUPTED))
        refuse(sqe, -EINTR);
    else if (!is_spared(sqe) && fault_strikes(FAULT_MEMORY))
        refuse(sqe, -ENOMEM);
    else
        shorten(sqe, out ? FAULT_OUT : FAULT_IN);
}

static void answer(struct io_uring_cqe *cqe)
{
    for (unsigned i = 0; i < nstruck; i++) {
        struct struck *s = &list[i];

        if (s->whose != cqe->user_data)
            continue;
        if (s->error)
            cqe->res = s->error;
        else if (cqe->res == (int)s->len)
            fault_note(s->fd, s->way);
        *s = list[--nstruck];
        return;
    }
}

int __wrap_ring_enter(struct ring *r, unsigned nwait, uint64_t wait_ns);
int __wrap_ring_enter(struct ring *r, unsigned nwait, uint64_t wait_ns)
{
    unsigned before = atomic_load(r->cq_ktail), after;
    int e;

    if (r->sq_mask < PROBE_ENTRIES || !fault_is_on())
        return ring_enter(r, nwait, wait_ns);
    if (fault_strikes(FAULT_INTERRUPTED))
        return 0;
    for (unsigned i = r->sq_submitted; i != r->sq_tail; i++)
        disturb(&r->sqes[i & r->sq_mask]);
    e = ring_enter(r, nwait, wait_ns);
    after = atomic_load(r->cq_ktail);
    for (unsigned i = before; i != after && nstruck; i++)
        answer(&r->cqes[i & r->cq_mask]);
    return e;
}
