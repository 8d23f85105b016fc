/* 07_address_in_use.c - "Address already in use": its two causes, and SO_REUSEADDR.
 *
 *     ./07_address_in_use           needs no other terminal
 *
 * The textbook's server cannot be restarted: bind says "Address already in use".
 * There are two reasons for these words:
 *
 *   somebody listens there     Stop that program, or take another port.
 *   nobody listens any more    The side of a connection that closes first keeps it
 *                              in the state TIME_WAIT for a minute, lest a late
 *                              segment be taken for a new connection's.  While it
 *                              lasts, bind(2) refuses the port to a socket without
 *                              the option SO_REUSEADDR.
 *
 * The textbook's cure is to set SO_REUSEADDR before bind.  That helps only if the
 * old server had set it, too, so it must be there from the first start on.
 * stoa_bind() therefore sets it on every TCP socket.
 *
 * What one sees: both causes, a plain socket(2) that fails in the second, and
 * stoa_announce() that does not.  (The system keeps net.ipv4.tcp_max_tw_buckets of
 * these states.  Where there are as many already, the plain one succeeds, too.)
 *
 * Lines to look at: restart() and plain_bind(); stoa_announce() is stoa_socket(),
 * stoa_bind() and stoa_listen() in one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <stoa.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int must(int handle)
{
    if (handle < 0) {
        fprintf(stderr, "%s\n", stoa_errmsg());
        exit(1);
    }
    return handle;
}

/* What the textbook's server does at its start, with the system's own calls. */
static void plain_bind(const struct stoa_addr *at, int reuse)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse));
    if (bind(fd, (const struct sockaddr *)&at->sa, at->len) < 0)
        printf("  bind(2) with SO_REUSEADDR %d: %s\n", reuse, strerror(errno));
    else
        printf("  bind(2) with SO_REUSEADDR %d: good\n", reuse);
    close(fd);
}

/* The same with this library. */
static void restart(const char *at)
{
    int listener = stoa_announce(at, NULL);

    if (listener < 0) {
        printf("  stoa_announce(): %s\n", stoa_errmsg());
        return;
    }
    printf("  stoa_announce(): good\n");
    stoa_close(listener);
}

/* A connection that the server ends first: its end stays in TIME_WAIT. */
static void serve_one(int listener, const char *at)
{
    char byte;

    int client = must(stoa_dial(at, NULL));
    int conn = must(stoa_accept(listener, NULL));
    stoa_close(conn);
    stoa_recv(client, &byte, 1, 0); /* 0: the end of the stream has come */
    stoa_close(client);
}

int main(void)
{
    struct stoa_addr here;
    char at[STOA_ADDR_TEXT_MAX];

    int listener = must(stoa_announce("127.0.0.1:0", NULL));
    must(stoa_getsockname(listener, &here));
    printf("a server listens on %s\n", stoa_addr_text(&here, at, sizeof(at)));

    printf("a second one is started while the first still runs\n");
    restart(at);

    serve_one(listener, at);
    stoa_close(listener);
    printf("the first has served a client and ended; a new one is started at once\n");
    plain_bind(&here, 0);
    plain_bind(&here, 1);
    restart(at);
    return 0;
}
