/* ring_server.h - what raw_uring.c and raw_multishot.c share: a listener, and a ring with a table
 * of direct descriptors and a ring of buffers that the kernel picks from.
 */
#ifndef BENCH_RING_SERVER_H
#define BENCH_RING_SERVER_H

#include "backend/ring.h"

__attribute__((noreturn)) void die(const char *what);

/* The program's one argument, IPV4-ADDRESS:PORT, listened at; ends the program when it cannot. */
int listener(int argc, char **argv);

/* Open the ring.  Returns how many connections its table has. */
unsigned ring_prepare(struct ring *ring);

/* A ring of nbuffer places, a power of 2, empty; flags: IOU_PBUF_RING_*. */
struct io_uring_buf_ring *buffers_prepare(struct ring *ring, unsigned nbuffer, unsigned flags);

/* Memory, zero. */
void *pages(size_t len);

/* What a completion is for: 8 bits of what, 32 of a connection's place in the table, 24 more. */
static inline uint64_t tag(unsigned what, uint32_t slot, unsigned more)
{
    return (uint64_t)more << 40 | (uint64_t)slot << 8 | what;
}

/* One accept for all who come, into free places of the table. */
void accept_entry(struct ring *ring, int listen_fd, uint64_t tag);

/* Send all of it, from a place of the table. */
void send_entry(struct ring *ring, uint32_t slot, const void *bytes, uint32_t len, uint64_t tag);

void close_entry(struct ring *ring, uint32_t slot, uint64_t tag);

/* Give the kernel a buffer. */
static inline void buffer_give(struct io_uring_buf_ring *buffers, unsigned nbuffer, uint16_t id,
                               void *memory, uint32_t len)
{
    struct io_uring_buf *b = &buffers->bufs[buffers->tail & (nbuffer - 1)];

    b->addr = (uintptr_t)memory;
    b->len = len;
    b->bid = id;
    __atomic_store_n(&buffers->tail, (uint16_t)(buffers->tail + 1), __ATOMIC_RELEASE);
}

#endif
