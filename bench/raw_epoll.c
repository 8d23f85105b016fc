/* raw_epoll.c - the upper-casing server written by hand on epoll: the yardstick of compare.py.
 *
 * No fibers, no library, nothing that a special-purpose program would not have: what
 * `stoa serve upper` costs above this is the price of straight-line code.  It is
 * meant to be beaten only with difficulty, and each choice below was measured
 * against its alternative by compare.py:
 *
 *   - Edge-triggered, registered once.  A receive that fills less than the buffer has
 *     emptied the socket (epoll(7), question 9), so no second call asks for EAGAIN:
 *     two system calls a message, and one epoll_wait(2) for a whole round of them.
 *   - One big buffer for all connections, warm in the cache; the answer is sent from
 *     it at once.  Only what a full socket refuses is copied and kept.
 *   - While an answer is kept, its connection is not read: back-pressure.
 *   - An accepted connection is tried at once and registered afterwards, for the first
 *     message has mostly come with the handshake.
 *   - TCP_NODELAY is set on the listener, whose connections inherit it.
 *
 * What holds: all that a client sent before its end is answered before ours.  A
 * stream that never pauses gives way after READS_PER_EVENT buffers.  When descriptors
 * run out the listener is left alone until one is free.
 *
 * --lt asks epoll for levels instead, the simpler program that most people write.
 * --workers N: N threads that share nothing, each with a listener of its own.
 *
 * usage: raw_epoll [--lt] [--workers N] ADDRESS:PORT
 */
#include "upper.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    BUFFER_LEN = 64 << 10,
    EVENTS_PER_WAIT = 128, /* at 9,000 connections 5 % better than 512, elsewhere alike */
    READS_PER_EVENT = 16,
    ACCEPTS_PER_EVENT = 64,
    WORKERS_MAX = 256,
};

/* A connection, found by its descriptor in a table. */
struct conn {
    uint8_t *kept; /* the part of an answer that the socket refused; NULL = none */
    uint32_t at;   /* the first byte of it that is still to be sent */
    uint32_t len;
    bool watched; /* epoll knows the descriptor */
};

struct worker {
    pthread_t thread;
    int epoll_fd;
    int listen_fd;
    bool deaf; /* the listener is left alone: no descriptors */
    uint8_t *buffer;
};

static struct conn *conns;
static bool edges = true;

static void die(const char *what)
{
    fprintf(stderr, "raw_epoll: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void watch(struct worker *w, int how, int fd, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.fd = fd};

    if (epoll_ctl(w->epoll_fd, how, fd, &e) < 0)
        die("epoll_ctl");
}

/* Watch a connection for input, or for room to send.  Changing what is watched also
 * reports anew what has come meanwhile. */
static void watch_conn(struct worker *w, int fd, uint32_t events)
{
    watch(w, conns[fd].watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd,
          edges ? events | EPOLLET : events);
    conns[fd].watched = true;
}

static uint32_t input_events(void)
{
    return edges ? EPOLLIN | EPOLLRDHUP : EPOLLIN;
}

static void drop(struct worker *w, int fd)
{
    free(conns[fd].kept);
    conns[fd] = (struct conn){0};
    close(fd);
    if (w->deaf) {
        w->deaf = false;
        watch(w, EPOLL_CTL_ADD, w->listen_fd, EPOLLIN);
    }
}

/* Keep the rest of an answer until there is room, and read no more until then. */
static bool keep(struct worker *w, int fd, const uint8_t *rest, size_t len)
{
    struct conn *c = &conns[fd];

    c->kept = malloc(len);
    if (!c->kept)
        return false;
    memcpy(c->kept, rest, len);
    c->at = 0;
    c->len = (uint32_t)len;
    watch_conn(w, fd, EPOLLOUT);
    return true;
}

/* Send what was kept.  1: all is sent; 0: there is no room yet; -1: the peer is gone. */
static int flush(struct worker *w, int fd)
{
    struct conn *c = &conns[fd];

    while (c->at < c->len) {
        ssize_t n = send(fd, c->kept + c->at, c->len - c->at, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        c->at += (uint32_t)n;
    }
    free(c->kept);
    *c = (struct conn){.watched = true};
    watch_conn(w, fd, input_events());
    return 1;
}

/* Answer what has come.  False: the connection is over.
 *
 *   ending  the peer's end has been seen: read on until it is met, for the edge
 *           that told of it will not come again */
static bool answer(struct worker *w, int fd, bool ending)
{
    for (int i = 0; i < READS_PER_EVENT; i++) {
        ssize_t n = recv(fd, w->buffer, BUFFER_LEN, 0);
        if (n <= 0)
            return n < 0 && errno == EAGAIN;
        upper(w->buffer, (size_t)n);
        ssize_t sent = send(fd, w->buffer, (size_t)n, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            return false;
        if (sent < n) {
            size_t done = sent > 0 ? (size_t)sent : 0;
            return keep(w, fd, w->buffer + done, (size_t)n - done);
        }
        if (!edges || (n < BUFFER_LEN && !ending))
            return true;
    }
    watch_conn(w, fd, input_events());
    return true;
}

static void on_conn(struct worker *w, int fd, uint32_t events)
{
    bool alive;

    if (conns[fd].kept)
        alive = flush(w, fd) >= 0;
    else
        alive = answer(w, fd, events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
    if (!alive)
        drop(w, fd);
}

static void on_listener(struct worker *w)
{
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        int fd = accept4(w->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && errno == ECONNABORTED)
            continue;
        if (fd < 0 && errno == EAGAIN)
            return;
        if (fd < 0) {
            watch(w, EPOLL_CTL_DEL, w->listen_fd, 0);
            w->deaf = true;
            return;
        }
        if (!answer(w, fd, false))
            drop(w, fd);
        else if (!conns[fd].watched)
            watch_conn(w, fd, input_events());
    }
}

static int listener(const struct sockaddr_in *at)
{
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        die("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (bind(fd, (const struct sockaddr *)at, sizeof(*at)) < 0)
        die("bind");
    if (listen(fd, SOMAXCONN) < 0)
        die("listen");
    return fd;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct epoll_event events[EVENTS_PER_WAIT];

    for (;;) {
        int n = epoll_wait(w->epoll_fd, events, EVENTS_PER_WAIT, -1);
        if (n < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == w->listen_fd)
                on_listener(w);
            else
                on_conn(w, events[i].data.fd, events[i].events);
        }
    }
    return NULL;
}

/* "127.0.0.1:8081"; the port 0 lets the system choose. */
static struct sockaddr_in parse(char *text)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    char *colon = strrchr(text, ':');

    if (!colon) {
        fprintf(stderr, "raw_epoll: %s: ADDRESS:PORT is wanted\n", text);
        exit(2);
    }
    *colon = '\0';
    at.sin_port = htons((uint16_t)strtol(colon + 1, NULL, 10));
    if (inet_pton(AF_INET, text, &at.sin_addr) != 1) {
        fprintf(stderr, "raw_epoll: %s: not an IPv4 address\n", text);
        exit(2);
    }
    return at;
}

static void start(struct worker *w, struct sockaddr_in *at)
{
    socklen_t len = sizeof(*at);

    w->listen_fd = listener(at);
    getsockname(w->listen_fd, (struct sockaddr *)at, &len);
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    w->buffer = malloc(BUFFER_LEN);
    if (w->epoll_fd < 0 || !w->buffer)
        die("start");
    watch(w, EPOLL_CTL_ADD, w->listen_fd, EPOLLIN);
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"lt", no_argument, NULL, 'l'}, {"workers", required_argument, NULL, 'w'}, {0}};
    static struct worker workers[WORKERS_MAX];
    struct rlimit files;
    int nworker = 1, opt;

    while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (opt == 'l')
            edges = false;
        else if (opt == 'w')
            nworker = (int)strtol(optarg, NULL, 10);
        else
            return 2;
    }
    if (optind != argc - 1 || nworker < 1 || nworker > WORKERS_MAX) {
        fprintf(stderr, "usage: raw_epoll [--lt] [--workers N] ADDRESS:PORT\n");
        return 2;
    }
    struct sockaddr_in at = parse(argv[optind]);

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    conns = calloc(files.rlim_cur, sizeof(*conns));
    if (!conns)
        die("calloc");
    for (int i = 0; i < nworker; i++)
        start(&workers[i], &at);
    printf("listening on %s:%d\n", inet_ntoa(at.sin_addr), ntohs(at.sin_port));
    fflush(stdout);
    for (int i = 1; i < nworker; i++)
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
            die("pthread_create");
    work(&workers[0]);
}
