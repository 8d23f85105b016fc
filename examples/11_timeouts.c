/* 11_timeouts.c - setblocking, settimeout, gettimeout, connect_ex, and a limit on the whole.
 *
 *     ./11_timeouts                 needs no other terminal
 *
 * A call on a socket waits for ever, or not at all, or for some time:
 *
 *   stoa_setblocking(s, true)     for ever        the same as stoa_settimeout(s, -1)
 *   stoa_setblocking(s, false)    not at all      the same as stoa_settimeout(s, 0)
 *   stoa_settimeout(s, 1.5)       1.5 seconds
 *
 * Three errors that are often mixed up have three numbers here:
 *
 *   EAGAIN      nothing is there, and the socket is not to wait
 *   ETIME       our time is over: we did not want to wait longer
 *   ETIMEDOUT   the network's time is over: it has given the peer up
 *
 * The timeout of a socket is for each call.  A conversation of many calls can
 * still last for ever with it: a peer that sends one byte a second is never late.
 * stoa_within() limits all calls up to stoa_leave() together.
 *
 * What one sees: a wait of each kind, and how it ended.  stoa_connect_ex() is
 * stoa_connect(), but returns the error's number, for those who want to look
 * at it rather than at errno.
 *
 * Lines to look at: patient() against limited(): the same loop, the same
 * timeout on each call, but a limit on the whole in the second.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <stoa.h>
#include <string.h>

static int must(int result)
{
    if (result < 0) {
        fprintf(stderr, "%s\n", stoa_errmsg());
        exit(1);
    }
    return result;
}

static void try_recv(int s)
{
    char byte;

    printf("timeout %g: ", stoa_gettimeout(s));
    if (stoa_recv(s, &byte, 1, 0) < 0)
        printf("%s\n  %s\n",
               errno == EAGAIN  ? "EAGAIN"
               : errno == ETIME ? "ETIME"
                                : "other",
               stoa_errmsg());
}

/* Ten bytes, and a pause before each: no single wait is longer than the timeout. */
static int ten_slow_bytes(int near, int far)
{
    char byte;

    for (int i = 0; i < 10; i++) {
        if (stoa_sleep(0.02) < 0 || stoa_send(far, "x", 1, 0) < 0 ||
            stoa_recv(near, &byte, 1, 0) < 0)
            return i;
    }
    return 10;
}

static void patient(int near, int far)
{
    printf("with a timeout for each call: %d of 10 bytes\n", ten_slow_bytes(near, far));
}

static void limited(int near, int far)
{
    struct stoa_scope scope;

    stoa_within(&scope, 0.1);
    int n = ten_slow_bytes(near, far);
    printf("with 0.1 s for them all: %s\n", n < 10 ? "not all bytes" : "10 of 10 bytes");
    printf("  %s\n", stoa_errmsg());
    if (stoa_leave(&scope) < 0 && errno == ETIME)
        printf("  stoa_leave() says so, too: ETIME\n");
}

int main(void)
{
    int pair[2];

    must(stoa_socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    must(stoa_setblocking(pair[0], false));
    try_recv(pair[0]);
    must(stoa_settimeout(pair[0], 0.2));
    try_recv(pair[0]);

    patient(pair[0], pair[1]);
    limited(pair[0], pair[1]);
    must(stoa_close(pair[0]));
    must(stoa_close(pair[1]));

    int s = must(stoa_socket(AF_INET, SOCK_STREAM, 0));
    must(stoa_settimeout(s, 60));
    int error = stoa_connect_ex(s, "127.0.0.1:1"); /* where nobody listens */
    printf("connect_ex gives %s: %s\n", error == ECONNREFUSED ? "ECONNREFUSED" : "a number",
           strerror(error));
    must(stoa_close(s));
    return 0;
}
