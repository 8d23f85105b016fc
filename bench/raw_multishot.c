/* raw_multishot.c - the same server again, with receives that go on by themselves.
 *
 * The other way to write raw_uring.c, which performance.md of the design has next to best: one
 * receive for a connection's whole life (multishot), into a few large buffers that the kernel
 * fills one message behind the other (IOU_PBUF_RING_INC, Linux 6.12), so that one pool serves
 * short and long messages alike.
 *
 * What holds: one send is under way for a connection at most; what comes meanwhile waits as
 * pieces, in their order.  A buffer goes back to the kernel when that has said it is done with
 * it and each piece of it is out.  A connection is closed when its receive has ended, and
 * nothing of it is to be sent.
 *
 * Limits: who never reads holds buffers; when all are held, nobody is received from until one is
 * free.  raw_uring.c has no such limit, and neither has the library.
 *
 * usage: raw_multishot ADDRESS:PORT
 */
#include "ring_server.h"
#include "upper.h"

#include <errno.h>
#include <stdlib.h>

#ifndef IOU_PBUF_RING_INC /* Linux 6.12, as the next */
#define IOU_PBUF_RING_INC 2
#endif
#ifndef IORING_CQE_F_BUF_MORE
#define IORING_CQE_F_BUF_MORE (1u << 4)
#endif

enum {
    BUFFERS = 64,
    BUFFER_LEN = 64 << 10,
    NONE = 0, /* no piece: the first of them is not used */
};

enum what { ACCEPTED = 1, RECEIVED, SENT, CLOSED };

struct buffer {
    uint32_t filled; /* bytes that have come into it */
    uint32_t npiece; /* of them, not out yet */
    bool kernels;    /* more may come */
};

/* Bytes to be sent, as they came. */
struct piece {
    uint32_t next;
    uint16_t buffer;
    uint32_t at, len;
};

struct conn {
    uint32_t first, last;   /* pieces; the first is under way */
    bool receiving, broken; /* broken: nobody takes what we send */
    uint32_t next_waiting;
};

static struct ring ring;
static struct io_uring_buf_ring *buffers;
static struct buffer buffer[BUFFERS];
static uint8_t *memory;
static struct piece *pieces;
static uint32_t npiece = 1, piece_room, free_piece;
static struct conn *conns;
static int listen_fd;
static bool deaf;
static uint32_t first_waiting = UINT32_MAX, last_waiting;

static uint32_t piece_make(struct piece p)
{
    uint32_t i = free_piece;

    if (i != NONE) {
        free_piece = pieces[i].next;
    } else {
        if (npiece >= piece_room) {
            piece_room = 2 * piece_room + 1024;
            pieces = realloc(pieces, piece_room * sizeof(*pieces));
            if (!pieces)
                die("memory");
        }
        i = npiece++;
    }
    pieces[i] = p;
    return i;
}

static void receive(uint32_t slot)
{
    struct io_uring_sqe *sqe = ring_sqe(&ring);

    sqe->opcode = IORING_OP_RECV;
    sqe->flags = IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    sqe->ioprio = IORING_RECV_MULTISHOT;
    sqe->fd = (int)slot;
    sqe->user_data = tag(RECEIVED, slot, 0);
    conns[slot].receiving = true;
}

static void give(unsigned id)
{
    buffer[id] = (struct buffer){.kernels = true};
    buffer_give(buffers, BUFFERS, (uint16_t)id, memory + (size_t)id * BUFFER_LEN, BUFFER_LEN);
    while (first_waiting != UINT32_MAX) {
        uint32_t slot = first_waiting;

        first_waiting = slot == last_waiting ? UINT32_MAX : conns[slot].next_waiting;
        receive(slot);
    }
}

static void wait_for_buffer(uint32_t slot)
{
    if (first_waiting == UINT32_MAX)
        first_waiting = slot;
    else
        conns[last_waiting].next_waiting = slot;
    last_waiting = slot;
    conns[slot].receiving = true; /* as good as */
}

static void send_first(uint32_t slot)
{
    const struct piece *p = &pieces[conns[slot].first];
    const uint8_t *bytes = memory + (size_t)p->buffer * BUFFER_LEN + p->at;

    send_entry(&ring, slot, bytes, p->len, tag(SENT, slot, 0));
}

static void piece_over(uint32_t slot)
{
    struct conn *c = &conns[slot];
    uint32_t i = c->first;
    struct buffer *b = &buffer[pieces[i].buffer];
    unsigned id = pieces[i].buffer;

    c->first = pieces[i].next;
    pieces[i].next = free_piece;
    free_piece = i;
    if (--b->npiece == 0 && !b->kernels)
        give(id);
}

static void close_if_over(uint32_t slot)
{
    if (conns[slot].receiving || conns[slot].first != NONE)
        return;
    close_entry(&ring, slot, tag(CLOSED, slot, 0));
    if (deaf)
        accept_entry(&ring, listen_fd, tag(ACCEPTED, 0, 0));
    deaf = false;
}

static void came(uint32_t slot, unsigned id, uint32_t len)
{
    struct conn *c = &conns[slot];
    uint32_t at = buffer[id].filled;
    uint32_t i = piece_make((struct piece){.buffer = (uint16_t)id, .at = at, .len = len});

    upper(memory + (size_t)id * BUFFER_LEN + at, len);
    buffer[id].filled += len;
    buffer[id].npiece++;
    if (c->first != NONE) {
        pieces[c->last].next = i;
        c->last = i;
        return;
    }
    c->first = c->last = i;
    if (c->broken)
        piece_over(slot);
    else
        send_first(slot);
}

static void received(const struct io_uring_cqe *cqe, uint32_t slot)
{
    unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
    bool has_buffer = cqe->flags & IORING_CQE_F_BUFFER;

    if (has_buffer && !(cqe->flags & IORING_CQE_F_BUF_MORE))
        buffer[id].kernels = false;
    if (cqe->res > 0)
        came(slot, id, (uint32_t)cqe->res);
    else if (has_buffer && !buffer[id].kernels && buffer[id].npiece == 0)
        give(id);
    if (cqe->flags & IORING_CQE_F_MORE)
        return;
    conns[slot].receiving = false;
    if (cqe->res == -ENOBUFS)
        wait_for_buffer(slot);
    else if (cqe->res > 0)
        receive(slot);
    else
        close_if_over(slot);
}

static void sent(const struct io_uring_cqe *cqe, uint32_t slot)
{
    struct conn *c = &conns[slot];

    piece_over(slot);
    if (cqe->res <= 0)
        c->broken = true; /* the receive hears of it, too */
    while (c->broken && c->first != NONE)
        piece_over(slot);
    if (c->first != NONE)
        send_first(slot);
    else
        close_if_over(slot);
}

static void accepted(const struct io_uring_cqe *cqe)
{
    if (cqe->res >= 0) {
        conns[cqe->res] = (struct conn){0};
        receive((uint32_t)cqe->res);
    }
    if (cqe->flags & IORING_CQE_F_MORE)
        return;
    if (cqe->res == -ENFILE || cqe->res == -EMFILE)
        deaf = true;
    else
        accept_entry(&ring, listen_fd, tag(ACCEPTED, 0, 0));
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
        sent(cqe, slot);
        return;
    default:
        return;
    }
}

int main(int argc, char **argv)
{
    struct io_uring_cqe cqe;

    listen_fd = listener(argc, argv);
    conns = pages(ring_prepare(&ring) * sizeof(*conns));
    buffers = buffers_prepare(&ring, BUFFERS, IOU_PBUF_RING_INC);
    memory = pages((size_t)BUFFERS * BUFFER_LEN);
    for (unsigned i = 0; i < BUFFERS; i++)
        give(i);
    accept_entry(&ring, listen_fd, tag(ACCEPTED, 0, 0));
    for (;;) {
        ring_enter(&ring, 1, UINT64_MAX);
        while (ring_cqe(&ring, &cqe))
            take(&cqe);
    }
}
