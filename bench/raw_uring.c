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
#include "backend/ring.h"
#include "upper.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    ENTRIES = 256,
    COMPLETIONS = 1024,
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

static void die(const char *what)
{
    fprintf(stderr, "raw_uring: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t tag(enum what what, uint32_t slot, unsigned buffer)
{
    return (uint64_t)buffer << 40 | (uint64_t)slot << 8 | what;
}

static void accept_next(void)
{
    struct io_uring_sqe *sqe = ring_sqe(&ring);

    sqe->opcode = IORING_OP_ACCEPT;
    sqe->fd = listen_fd;
    sqe->ioprio = IORING_ACCEPT_MULTISHOT;
    sqe->file_index = UINT32_MAX; /* IORING_FILE_INDEX_ALLOC */
    sqe->user_data = tag(ACCEPTED, 0, 0);
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
    struct io_uring_sqe *sqe = ring_sqe(&ring);
    uint8_t *bytes = memory + (size_t)buffer * BUFFER_LEN;

    upper(bytes, len);
    sqe->opcode = IORING_OP_SEND;
    sqe->flags = IOSQE_FIXED_FILE;
    sqe->fd = (int)slot;
    sqe->addr = (uintptr_t)bytes;
    sqe->len = len;
    sqe->msg_flags = MSG_WAITALL | MSG_NOSIGNAL;
    sqe->user_data = tag(SENT, slot, buffer);
}

static void drop(uint32_t slot)
{
    struct io_uring_sqe *sqe = ring_sqe(&ring);

    sqe->opcode = IORING_OP_CLOSE;
    sqe->file_index = slot + 1;
    sqe->user_data = tag(CLOSED, slot, 0);
    if (deaf)
        accept_next();
    deaf = false;
}

/* A buffer is free again, and whoever waits for one may go on. */
static void give_back(unsigned buffer)
{
    struct io_uring_buf *b = &buffers->bufs[buffers->tail & (BUFFERS - 1)];

    b->addr = (uintptr_t)(memory + (size_t)buffer * BUFFER_LEN);
    b->len = BUFFER_LEN;
    b->bid = (uint16_t)buffer;
    __atomic_store_n(&buffers->tail, (uint16_t)(buffers->tail + 1), __ATOMIC_RELEASE);
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

static void add(unsigned what, const void *arg, unsigned n)
{
    if (syscall(SYS_io_uring_register, ring.fd, what, arg, n) < 0)
        die("io_uring_register");
}

/* The table of connections, and the buffers. */
static void prepare(unsigned nfile)
{
    struct io_uring_rsrc_register files = {.nr = nfile, .flags = IORING_RSRC_REGISTER_SPARSE};
    struct io_uring_buf_reg pool = {.ring_entries = BUFFERS};
    const int prot = PROT_READ | PROT_WRITE, private = MAP_PRIVATE | MAP_ANONYMOUS;

    buffers = mmap(NULL, BUFFERS * sizeof(struct io_uring_buf), prot, private, -1, 0);
    memory = mmap(NULL, (size_t)BUFFERS * BUFFER_LEN, prot, private, -1, 0);
    next_waiting = calloc(nfile, sizeof(*next_waiting));
    if (buffers == MAP_FAILED || memory == MAP_FAILED || !next_waiting)
        die("memory");
    pool.ring_addr = (uintptr_t)buffers;
    add(IORING_REGISTER_FILES2, &files, sizeof(files));
    add(IORING_REGISTER_PBUF_RING, &pool, 1);
    for (unsigned i = 0; i < BUFFERS; i++)
        give_back(i);
}

static int listener(const char *text)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    const char *colon = strrchr(text, ':');
    char host[INET_ADDRSTRLEN] = "";
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (colon && colon - text < (ptrdiff_t)sizeof(host))
        memcpy(host, text, (size_t)(colon - text));
    if (!colon || inet_pton(AF_INET, host, &at.sin_addr) != 1) {
        fprintf(stderr, "raw_uring: %s: IPV4-ADDRESS:PORT is wanted\n", text);
        exit(2);
    }
    at.sin_port = htons((uint16_t)strtol(colon + 1, NULL, 10));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, SOMAXCONN) < 0)
        die(text);
    return fd;
}

int main(int argc, char **argv)
{
    struct io_uring_cqe cqe;
    struct rlimit files;

    if (argc != 2) {
        fprintf(stderr, "usage: raw_uring ADDRESS:PORT\n");
        return 2;
    }
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    listen_fd = listener(argv[1]);
    int e = ring_open(&ring, ENTRIES, COMPLETIONS);
    if (e < 0) {
        errno = -e;
        die("io_uring");
    }
    prepare(files.rlim_cur < 1 << 20 ? (unsigned)files.rlim_cur : 1 << 20);
    accept_next();
    for (;;) {
        ring_enter(&ring, 1, UINT64_MAX);
        while (ring_cqe(&ring, &cqe))
            take(&cqe);
    }
}
