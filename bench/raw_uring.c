/* raw_uring.c - the upper-casing server written by hand on io_uring: the other yardstick.
 *
 * As raw_epoll.c, nothing is in it that a special-purpose program would not have.  Each
 * choice is the best that was measured (the design's performance.md, 5):
 *
 *   - DEFER_TASKRUN, SINGLE_ISSUER, a registered ring (src/backend/ring.c: a thin layer, and
 *     the only thing that it shares with the library).
 *   - Direct descriptors: a connection is a number in the ring's own table.
 *   - One multishot accept.
 *   - Lazy receives: one at a time, armed again when the answer is out.  Under load the next
 *     message is there then, and the kernel never polls; as good as multishot receives
 *     or better, for a connection that waits for its answers.
 *   - Few buffers, which the kernel picks as bytes come and which stay warm in the cache.
 *     A connection that finds none waits for the next one that is given back.
 *
 * What holds: a connection has one receive or one send under way, never both; so it is
 * closed when the kernel has nothing of it.  MSG_WAITALL: a send is whole or the end.
 *
 * usage: raw_uring ADDRESS:PORT
 */
#include "ring_server.h"
#include "upper.h"

#include <errno.h>
#include <sys/socket.h>

enum {
    BUFFERS = 64,
    BUFFER_LEN = 16 << 10,
};

enum what { ACCEPTED = 1, RECEIVED, SENT, CLOSED };

static struct ring ring;
static struct io_uring_buf_ring *buffers;
static uint8_t *memory;
static int listen_fd;
static bool deaf; /* the table is full: the next one that leaves lets others come */

/* Connections that wait for a buffer: a queue through their slots. */
static uint32_t *next_waiting;
static uint32_t first_waiting = UINT32_MAX, last_waiting;

static void accept_next(void)
{
    accept_entry(&ring, listen_fd, tag(ACCEPTED, 0, 0));
}

static void receive(uint32_t slot)
{
    struct io_uring_sqe *sqe = ring_sqe(&ring);

    sqe->opcode = IORING_OP_RECV;
    sqe->flags = IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    sqe->fd = (int)slot;
    sqe->user_data = tag(RECEIVED, slot, 0);
}

static void answer(uint32_t slot, unsigned buffer, uint32_t len)
{
    uint8_t *bytes = memory + (size_t)buffer * BUFFER_LEN;

    upper(bytes, len);
    send_entry(&ring, slot, bytes, len, tag(SENT, slot, buffer));
}

static void drop(uint32_t slot)
{
    close_entry(&ring, slot, tag(CLOSED, slot, 0));
    if (deaf)
        accept_next();
    deaf = false;
}

/* A buffer is free again, and whoever waits for one may go on. */
static void give_back(unsigned buffer)
{
    buffer_give(buffers, BUFFERS, (uint16_t)buffer, memory + (size_t)buffer * BUFFER_LEN,
                BUFFER_LEN);
    if (first_waiting == UINT32_MAX)
        return;
    receive(first_waiting);
    first_waiting = first_waiting == last_waiting ? UINT32_MAX : next_waiting[first_waiting];
}

static void wait_for_buffer(uint32_t slot)
{
    if (first_waiting == UINT32_MAX)
        first_waiting = slot;
    else
        next_waiting[last_waiting] = slot;
    last_waiting = slot;
}

static void accepted(const struct io_uring_cqe *cqe)
{
    if (cqe->res >= 0)
        receive((uint32_t)cqe->res);
    if (cqe->flags & IORING_CQE_F_MORE)
        return;
    if (cqe->res == -ENFILE || cqe->res == -EMFILE)
        deaf = true;
    else
        accept_next();
}

static void received(const struct io_uring_cqe *cqe, uint32_t slot)
{
    unsigned buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;

    if (cqe->res == -ENOBUFS) {
        wait_for_buffer(slot);
    } else if (cqe->res > 0) {
        answer(slot, buffer, (uint32_t)cqe->res);
    } else {
        if (cqe->flags & IORING_CQE_F_BUFFER)
            give_back(buffer);
        drop(slot);
    }
}

static void sent(const struct io_uring_cqe *cqe, uint32_t slot, unsigned buffer)
{
    if (cqe->res > 0)
        receive(slot);
    else
        drop(slot);
    give_back(buffer);
}

static void take(const struct io_uring_cqe *cqe)
{
    uint32_t slot = (uint32_t)(cqe->user_data >> 8);

    switch (cqe->user_data & 0xff) {
    case ACCEPTED:
        accepted(cqe);
        return;
    case RECEIVED:
        received(cqe, slot);
        return;
    case SENT:
        sent(cqe, slot, (unsigned)(cqe->user_data >> 40));
        return;
    default:
        return;
    }
}

int main(int argc, char **argv)
{
    struct io_uring_cqe cqe;

    listen_fd = listener(argc, argv);
    next_waiting = pages(ring_prepare(&ring) * sizeof(*next_waiting));
    buffers = buffers_prepare(&ring, BUFFERS, 0);
    memory = pages((size_t)BUFFERS * BUFFER_LEN);
    for (unsigned i = 0; i < BUFFERS; i++)
        give_back(i);
    accept_next();
    for (;;) {
        ring_enter(&ring, 1, UINT64_MAX);
        while (ring_cqe(&ring, &cqe))
            take(&cqe);
    }
}
