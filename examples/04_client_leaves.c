/* 04_client_leaves.c - the three ways in which a client leaves, and what the server sees.
 *
 * The textbook's server does not look at what recv gives.  When its client
 * leaves, recv gives "nothing" at once, again and again, and the loop spins for
 * ever or dies of an error.  A server must expect all three:
 *
 *   the client closes      stoa_recv() gives 0, each time from then on
 *   the client is killed   stoa_recv() gives -1, errno ECONNRESET; to send to
 *                          it gives -1, errno EPIPE (and no signal, unlike send(2))
 *   the client is silent   nothing comes, for hours: only a timeout ends the wait,
 *                          errno ETIME
 *
 *     ./04_client_leaves            needs no other terminal
 *
 * What one sees: each of the three, one after the other.  The program is client
 * and server at once: a connection stands as soon as the kernel has put it into
 * the listener's queue, so stoa_dial() does not have to wait for stoa_accept().
 *
 * Lines to look at: converse(), the server's loop; every way out of it is named.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <stoa.h>

static void fail(void)
{
    fprintf(stderr, "%s\n", stoa_errmsg());
    exit(1);
}

static int must(int handle)
{
    if (handle < 0)
        fail();
    return handle;
}

/* The server's side: receive until the client leaves, and say how it left. */
static void converse(int conn)
{
    char data[1024];
    ssize_t n;

    stoa_settimeout(conn, 0.5);
    while ((n = stoa_recv(conn, data, sizeof(data), 0)) > 0)
        printf("  server got %zd bytes\n", n);
    if (n == 0)
        printf("  the client has closed its end\n");
    else if (errno == ETIME)
        printf("  the client is silent: %s\n", stoa_errmsg());
    else
        printf("  the client is gone: %s\n", stoa_errmsg());

    if (n < 0 && errno == ECONNRESET && stoa_send(conn, "?", 1, 0) < 0)
        printf("  to send to it fails: %s\n", stoa_errmsg());
    stoa_close(conn);
}

int main(void)
{
    struct stoa_addr here;
    char at[STOA_ADDR_TEXT_MAX];

    int listener = must(stoa_announce("127.0.0.1:0", NULL)); /* port 0: any free one */
    must(stoa_getsockname(listener, &here));
    stoa_addr_text(&here, at, sizeof(at));

    printf("a client says hello and closes\n");
    int client = must(stoa_dial(at, NULL));
    int conn = must(stoa_accept(listener, NULL));
    must(stoa_sendall(client, "hello", 5, 0));
    stoa_close(client);
    converse(conn);

    printf("a client is killed, its connection reset\n");
    client = must(stoa_dial(at, NULL));
    conn = must(stoa_accept(listener, NULL));
    stoa_abort(client);
    converse(conn);

    printf("a client says nothing, and stays\n");
    client = must(stoa_dial(at, NULL));
    conn = must(stoa_accept(listener, NULL));
    converse(conn);

    stoa_close(client);
    stoa_close(listener);
    return 0;
}
