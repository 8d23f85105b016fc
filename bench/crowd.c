/* crowd.c - thousands of connections to an upper-casing server, which talk when they are told to.
 *
 *     crowd 127.0.0.1:8081 127.1.0.7 19231
 *
 * One process of the many that hold a million; million.py starts them and gives the word, a line on
 * standard input each, and each is answered by a line of JSON when it is done:
 *
 *     connect     all connections, from ports of its own choice on the source address: the
 *                 kernel's search for a free port takes ten times as long
 *     talk SEC    each hundredth sends a message a second; an answer's time counts from when its
 *                 question was due, and each byte of it is compared
 *     ask         each hundredth sends a question, whose answer is not waited for
 *     end         the server has ended: each connection has the answers that are due, then the
 *                 end of the stream; a reset, and one that has neither, is counted
 *     leave       all say that they will ask nothing more, and wait until the same is there
 *
 * A connection is a number in an array here, so that memory is the server's affair.  They end by a
 * reset (SO_LINGER), or a million of them would be in TIME_WAIT for a minute.
 *
 * Limits: IPv4; PORTS connections, and as many as there are descriptors.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    PORT_FIRST = 20000,
    PORTS = 40000,
    ACTIVE_EACH = 100, /* one of so many talks */
    MESSAGE = 64,
    EVENTS = 64,
};
static const uint64_t SECOND_NS = 1000000000;

static struct sockaddr_in server, source;
static int *conns; /* -1: it could not be made, or has ended */
static unsigned nconn;
static unsigned failures;
static int first_failure; /* errno */

/* Connections that talk: each hundredth. */
struct talker {
    uint64_t due_ns; /* when its question was due that is not answered; 0: none */
    unsigned asked;
};
static struct talker *talkers;
static unsigned ntalker;

__attribute__((noreturn)) static void die(const char *what)
{
    fprintf(stderr, "crowd: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

static void failed(int error)
{
    if (failures++ == 0)
        first_failure = error;
}

/* -------------------------------------------------------------------------
 * connect
 * ---------------------------------------------------------------------- */

static int dial(unsigned i)
{
    struct sockaddr_in from = source;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;

    if (fd < 0)
        return -1;
    from.sin_port = htons((uint16_t)(PORT_FIRST + i));
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (bind(fd, (const struct sockaddr *)&from, sizeof(from)) == 0 &&
        connect(fd, (const struct sockaddr *)&server, sizeof(server)) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static void connect_all(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < nconn; i++) {
        conns[i] = dial(i);
        n += conns[i] >= 0;
        if (conns[i] < 0)
            failed(errno);
    }
    printf("{\"connected\": %u, \"why\": \"%s\"}\n", n, failures ? strerror(first_failure) : "");
}

/* -------------------------------------------------------------------------
 * talk
 * ---------------------------------------------------------------------- */

/* The asked-th question of the t-th talker, or its answer: no two are alike. */
static void message(char *text, unsigned t, bool answer)
{
    const char *form =
        answer ? "%08x-%08x-%08x-QUESTION OF A CROWD" : "%08x-%08x-%08x-question of a crowd";
    int len = snprintf(text, MESSAGE, form, ntohl(source.sin_addr.s_addr), t, talkers[t].asked);

    memset(text + len, answer ? 'Z' : 'z', (size_t)(MESSAGE - len));
    for (char *c = text; answer && c < text + MESSAGE; c++)
        *c = *c >= 'a' && *c <= 'f' ? (char)(*c - 'a' + 'A') : *c;
}

/* The t-th talker's. */
static int *conn_of(unsigned t)
{
    return &conns[(size_t)t * ACTIVE_EACH];
}

static bool ask(unsigned t, uint64_t due_ns)
{
    char text[MESSAGE];

    talkers[t].asked++;
    talkers[t].due_ns = due_ns;
    message(text, t, false);
    if (send(*conn_of(t), text, sizeof(text), MSG_NOSIGNAL) == MESSAGE)
        return true;
    failed(errno);
    talkers[t].due_ns = 0;
    return false;
}

/* The answer to the last question: 1; 0: the stream has ended; -1 with errno, EBADMSG: wrong. */
static int hear(unsigned t, int flags)
{
    char got[MESSAGE], want[MESSAGE];
    ssize_t n = recv(*conn_of(t), got, sizeof(got), flags);

    if (n <= 0)
        return (int)n;
    message(want, t, true);
    talkers[t].due_ns = 0;
    errno = EBADMSG;
    return n == MESSAGE && memcmp(got, want, MESSAGE) == 0 ? 1 : -1;
}

static int watch_talkers(void)
{
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);

    if (epoll_fd < 0)
        die("epoll_create1");
    for (unsigned t = 0; t < ntalker; t++) {
        struct epoll_event e = {.events = EPOLLIN, .data.u32 = t};

        if (*conn_of(t) >= 0 && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, *conn_of(t), &e) < 0)
            die("epoll_ctl");
    }
    return epoll_fd;
}

/* Answers that have come by until_ns, when the next question is due; their times are printed. */
static unsigned hear_until(int epoll_fd, uint64_t until_ns, unsigned nwaiting)
{
    struct epoll_event e[EVENTS];
    uint64_t now = now_ns();

    while (now < until_ns && (nwaiting > 0 || until_ns != UINT64_MAX)) {
        struct timespec left = {.tv_sec = (time_t)((until_ns - now) / SECOND_NS),
                                .tv_nsec = (long)((until_ns - now) % SECOND_NS)};
        int n = epoll_pwait2(epoll_fd, e, EVENTS, until_ns == UINT64_MAX ? NULL : &left, NULL);

        now = now_ns();
        for (int i = 0; i < n; i++) {
            unsigned t = e[i].data.u32;
            uint64_t due_ns = talkers[t].due_ns;
            int r = hear(t, MSG_WAITALL);

            if (r == 1) {
                printf("%ju,", (uintmax_t)(now - due_ns) / 1000);
            } else {
                failed(r == 0 ? EPIPE : errno);
                close(*conn_of(t));
                *conn_of(t) = -1;
                talkers[t].due_ns = 0;
            }
            nwaiting -= due_ns != 0;
        }
    }
    return nwaiting;
}

/* Of many generators each asks at a time of its own, by its address. */
static uint64_t phase_ns(void)
{
    return SECOND_NS / ntalker / 250 * (ntohl(source.sin_addr.s_addr) % 250);
}

/* Each talker has its time within the second.  Who has not been answered is not asked again: its
 * answer will be late enough. */
static void talk(double seconds)
{
    int epoll_fd = watch_talkers();
    unsigned rounds = (unsigned)(seconds + 0.5), nwaiting = 0, nasked = 0;
    uint64_t begin_ns = now_ns() + SECOND_NS / 10 + phase_ns();

    printf("{\"us\": [");
    for (unsigned k = 0; k < rounds * ntalker; k++) {
        unsigned t = k % ntalker;
        uint64_t due_ns = begin_ns + k * SECOND_NS / ntalker;

        nwaiting = hear_until(epoll_fd, due_ns, nwaiting);
        if (*conn_of(t) >= 0 && talkers[t].due_ns == 0) {
            nwaiting += ask(t, due_ns);
            nasked++;
        }
    }
    hear_until(epoll_fd, UINT64_MAX, nwaiting);
    close(epoll_fd);
    printf("0], \"asked\": %u, \"failed\": %u, \"why\": \"%s\"}\n", nasked, failures,
           failures ? strerror(first_failure) : "");
}

/* -------------------------------------------------------------------------
 * ask, end
 * ---------------------------------------------------------------------- */

static void ask_all(void)
{
    unsigned n = 0;

    for (unsigned t = 0; t < ntalker; t++)
        if (*conn_of(t) >= 0)
            n += ask(t, now_ns());
    printf("{\"asked\": %u}\n", n);
}

static void await_end(int flags)
{
    unsigned answered = 0, ended = 0;
    char byte;

    for (unsigned i = 0; i < nconn; i++) {
        unsigned t = i / ACTIVE_EACH;

        if (conns[i] < 0)
            continue;
        if (i % ACTIVE_EACH == 0 && talkers[t].due_ns) {
            int r = hear(t, flags);
            answered += r == 1;
            if (r != 1)
                failed(r == 0 ? EPIPE : errno);
        }
        ssize_t n = recv(conns[i], &byte, 1, flags);
        ended += n == 0;
        if (n != 0)
            failed(n < 0 ? errno : EBADMSG);
        close(conns[i]);
        conns[i] = -1;
    }
    printf("{\"answered\": %u, \"ended\": %u, \"failed\": %u, \"why\": \"%s\"}\n", answered, ended,
           failures, failures ? strerror(first_failure) : "");
}

static void leave(void)
{
    for (unsigned i = 0; i < nconn; i++)
        if (conns[i] >= 0 && shutdown(conns[i], SHUT_WR) < 0)
            failed(errno);
    await_end(MSG_WAITALL);
}

/* -------------------------------------------------------------------------
 * The command line
 * ---------------------------------------------------------------------- */

static bool address(const char *text, bool has_port, struct sockaddr_in *a)
{
    char host[64];
    const char *colon = strchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : strlen(text);

    *a = (struct sockaddr_in){.sin_family = AF_INET};
    if (len >= sizeof(host) || has_port != (colon != NULL))
        return false;
    memcpy(host, text, len);
    host[len] = '\0';
    a->sin_port = htons((uint16_t)(colon ? atoi(colon + 1) : 0));
    return inet_pton(AF_INET, host, &a->sin_addr) == 1;
}

static void begin(void)
{
    struct rlimit files;

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    ntalker = (nconn + ACTIVE_EACH - 1) / ACTIVE_EACH;
    conns = calloc(nconn, sizeof(*conns));
    talkers = calloc(ntalker, sizeof(*talkers));
    if (!conns || !talkers)
        die("no memory");
}

int main(int argc, char **argv)
{
    char line[64];

    nconn = argc == 4 ? (unsigned)atoi(argv[3]) : 0;
    if (nconn < 1 || nconn > PORTS || !address(argv[1], true, &server) ||
        !address(argv[2], false, &source)) {
        fprintf(stderr, "usage: crowd ADDRESS:PORT SOURCE CONNECTIONS (see bench/crowd.c)\n");
        return 2;
    }
    begin();
    while (fgets(line, sizeof(line), stdin)) {
        failures = 0;
        if (strcmp(line, "connect\n") == 0)
            connect_all();
        else if (strncmp(line, "talk ", 5) == 0)
            talk(atof(line + 5));
        else if (strcmp(line, "ask\n") == 0)
            ask_all();
        else if (strcmp(line, "end\n") == 0)
            await_end(MSG_DONTWAIT);
        else if (strcmp(line, "leave\n") == 0)
            leave();
        fflush(stdout);
    }
    return 0;
}
