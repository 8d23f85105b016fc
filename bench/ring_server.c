/* ring_server.c - a listener, a ring, its table and its buffers: see ring_server.h. */
#include "ring_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ENTRIES = 256, COMPLETIONS = 1024, TABLE_MAX = 1 << 20 };

void die(const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
    exit(1);
}

__attribute__((noreturn)) static void usage(void)
{
    fprintf(stderr, "usage: %s IPV4-ADDRESS:PORT\n", program_invocation_short_name);
    exit(2);
}

static struct sockaddr_in parse(const char *text)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    const char *colon = strrchr(text, ':');
    char host[INET_ADDRSTRLEN] = "";

    if (colon && colon - text < (ptrdiff_t)sizeof(host))
        memcpy(host, text, (size_t)(colon - text));
    if (!colon || inet_pton(AF_INET, host, &at.sin_addr) != 1)
        usage();
    at.sin_port = htons((uint16_t)strtol(colon + 1, NULL, 10));
    return at;
}

int listener(int argc, char **argv)
{
    const int on = 1;

    if (argc != 2)
        usage();
    struct sockaddr_in at = parse(argv[1]);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, SOMAXCONN) < 0)
        die(argv[1]);
    return fd;
}

static void add(struct ring *ring, unsigned what, const void *arg, unsigned n)
{
    if (syscall(SYS_io_uring_register, ring->fd, what, arg, n) < 0)
        die("io_uring_register");
}

unsigned ring_prepare(struct ring *ring)
{
    struct rlimit limit;
    struct io_uring_rsrc_register files = {.flags = IORING_RSRC_REGISTER_SPARSE};
    int e;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    e = ring_open(ring, ENTRIES, COMPLETIONS);
    if (e < 0) {
        errno = -e;
        die("io_uring");
    }
    files.nr = limit.rlim_cur < TABLE_MAX ? (unsigned)limit.rlim_cur : TABLE_MAX;
    add(ring, IORING_REGISTER_FILES2, &files, sizeof(files));
    return files.nr;
}

void *pages(size_t len)
{
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        die("memory");
    return p;
}

struct io_uring_buf_ring *buffers_prepare(struct ring *ring, unsigned nbuffer, unsigned flags)
{
    struct io_uring_buf_reg pool = {.ring_entries = nbuffer, .pad = (uint16_t)flags};
    struct io_uring_buf_ring *buffers = pages(nbuffer * sizeof(struct io_uring_buf));

    pool.ring_addr = (uintptr_t)buffers;
    add(ring, IORING_REGISTER_PBUF_RING, &pool, 1);
    return buffers;
}

void accept_entry(struct ring *ring, int listen_fd, uint64_t tag)
{
    struct io_uring_sqe *sqe = ring_sqe(ring);

    sqe->opcode = IORING_OP_ACCEPT;
    sqe->fd = listen_fd;
    sqe->ioprio = IORING_ACCEPT_MULTISHOT;
    sqe->file_index = UINT32_MAX; /* IORING_FILE_INDEX_ALLOC */
    sqe->user_data = tag;
}

void send_entry(struct ring *ring, uint32_t slot, const void *bytes, uint32_t len, uint64_t tag)
{
    struct io_uring_sqe *sqe = ring_sqe(ring);

    sqe->opcode = IORING_OP_SEND;
    sqe->flags = IOSQE_FIXED_FILE;
    sqe->fd = (int)slot;
    sqe->addr = (uintptr_t)bytes;
    sqe->len = len;
    sqe->msg_flags = MSG_WAITALL | MSG_NOSIGNAL;
    sqe->user_data = tag;
}

void close_entry(struct ring *ring, uint32_t slot, uint64_t tag)
{
    struct io_uring_sqe *sqe = ring_sqe(ring);

    sqe->opcode = IORING_OP_CLOSE;
    sqe->file_index = slot + 1;
    sqe->user_data = tag;
}
