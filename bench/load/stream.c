/* stream.c - the bytes of the load: a pattern without end, what must come back, and sockets.
 *
 * Every connection sends the same endless repetition of PATTERN_LEN bytes of chance, from a
 * place of its own on.  The place is kept for both directions, so each byte that
 * comes is compared with the one that must come: a lost, doubled, swapped or foreign
 * byte is found (but one shifted by just a multiple of the prime PATTERN_LEN), with
 * two memory areas for all connections.
 *
 * The pattern has all 256 values: letters are made upper-case, and the other 230
 * must pass unharmed.  The answer is computed in the plainest way on purpose,
 * apart from the server's upper.h.
 */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    SOURCES = 256, /* addresses of 127.64.0.0/10 that are used in turn */
    PORT_FIRST = 1024,
    PORT_LAST = 65535,
    TRIES_MAX = 1000, /* ports in use, one after another */
    LEAP = 4099,      /* past those of another generator that began where we did */
};

uint8_t stream_asked[PATTERN_LEN + STREAM_CHUNK];
uint8_t stream_answer[PATTERN_LEN + STREAM_CHUNK];

void stream_make(void)
{
    uint32_t chance = 2463534242;

    for (size_t i = 0; i < sizeof(stream_asked); i++) {
        chance ^= chance << 13; /* xorshift32 */
        chance ^= chance >> 17;
        chance ^= chance << 5;
        uint8_t c = i < PATTERN_LEN ? (uint8_t)(chance >> 11) : stream_asked[i - PATTERN_LEN];
        stream_asked[i] = c;
        stream_answer[i] = c >= 'a' && c <= 'z' ? (uint8_t)(c - 'a' + 'A') : c;
    }
}

void stream_check(uint32_t at, const uint8_t *came, size_t len)
{
    const uint8_t *want = stream_answer + at;

    if (__builtin_expect(memcmp(came, want, len) == 0, 1))
        return;
    for (size_t i = 0; i < len; i++)
        if (came[i] != want[i])
            fail("wrong answer: byte %zu of %zu is 0x%02x, not 0x%02x", i, len, came[i], want[i]);
}

/* Bind to the next address and port of ours.  Ports are gone through once before the first
 * comes again, 256 x 64,512 connections later, when its TIME_WAIT is long over. */
static void bind_next(int fd)
{
    static uint32_t turn;

    if (turn == 0)
        turn = (uint32_t)(now_ns() / 1000); /* not where the last run began */
    for (int try = 0; try < TRIES_MAX; try++, turn += LEAP) {
        uint32_t host = 0x7f400001 + turn % SOURCES;
        uint32_t port = PORT_FIRST + turn / SOURCES % (PORT_LAST - PORT_FIRST + 1);
        struct sockaddr_in at = {.sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(host),
                                 .sin_port = htons((uint16_t)port)};
        if (bind(fd, (const struct sockaddr *)&at, sizeof(at)) == 0) {
            turn++;
            return;
        }
        if (errno != EADDRINUSE)
            fail("bind to 127.64.0.0/10: %s", strerror(errno));
    }
    fail("%d ports that were tried are in use", TRIES_MAX);
}

int dial(const struct target *t, bool explicit_port)
{
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        fail("socket: %s", strerror(errno));
    if (explicit_port)
        bind_next(fd);
    if (connect(fd, (const struct sockaddr *)&t->at, sizeof(t->at)) < 0)
        fail("connect to %s:%d: %s", inet_ntoa(t->at.sin_addr), ntohs(t->at.sin_port),
             strerror(errno));
    if (!explicit_port && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
        fail("TCP_NODELAY: %s", strerror(errno));
    return fd;
}

void hang_up(int fd)
{
    const struct linger reset = {.l_onoff = 1};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(fd);
}
