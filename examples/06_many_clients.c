/* 06_many_clients.c - the same loop for many clients at once.
 *
 *     ./06_many_clients             in one terminal; Ctrl-C ends it
 *     ./02_client                   in as many others as you like
 *
 * The textbook's server makes its second client wait until the first has left.
 * stoa_serve() runs the loop of talk for each client in a fiber of its own: where
 * stoa_recv() would block the thread, only that fiber waits, and the thread goes on
 * with others.  There is one such thread, a worker, for each core.
 *
 * What one sees: clients come, speak and leave in any order, and none waits for
 * another.
 *
 * Lines to look at: upper() is the loop of 05_serve_for_ever.c, unchanged.  There
 * is no callback, no event and no state machine in it.
 *   - `arg` is the same for all clients, and the workers run at the same time: what
 *     handlers share needs a lock (see 13_chat.c).
 *   - a handler must not block its worker by other means: stoa_sleep() instead of
 *     sleep(3), and stoa_offload() for a long computation.
 *   - stoa_stop() may be called from a signal handler; stoa_serve() then returns.
 */
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stoa.h>

static void upper(int conn, void *arg)
{
    struct stoa_addr peer;
    char who[STOA_ADDR_TEXT_MAX];
    char data[1024];
    ssize_t n;

    (void)arg;
    stoa_getpeername(conn, &peer);
    stoa_addr_text(&peer, who, sizeof(who));
    printf("%s came\n", who);
    while ((n = stoa_recv(conn, data, sizeof(data), 0)) > 0) {
        printf("%s says: %.*s\n", who, (int)n, data);
        for (ssize_t i = 0; i < n; i++)
            data[i] = (char)toupper((unsigned char)data[i]);
        if (stoa_sendall(conn, data, (size_t)n, 0) < 0)
            break;
    }
    printf("%s left\n", who);
}

static void on_interrupt(int signo)
{
    (void)signo;
    stoa_stop();
}

int main(int argc, char **argv)
{
    const char *at = argc > 1 ? argv[1] : "127.0.0.1:8081";

    signal(SIGINT, on_interrupt);
    if (stoa_serve(at, upper, NULL, NULL) < 0) {
        fprintf(stderr, "%s\n", stoa_errmsg());
        return 1;
    }
    printf("stopped\n");
    return 0;
}
