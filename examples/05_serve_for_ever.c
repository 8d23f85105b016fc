/* 05_serve_for_ever.c - the textbook's second server: two loops, and no end.
 *
 *     ./05_serve_for_ever           in one terminal; Ctrl-C ends it
 *     ./02_client                   in another, again and again
 *
 * The outer loop takes one client after the other, the inner one talks with it.
 * What goes wrong with one client must not end the server: the inner loop ends,
 * the connection is closed, the next client's turn has come.
 *
 * What one sees: the connection's handle and the client's address (the textbook
 * calls them the line and the client's phone number), each message, and how the
 * client left.
 *
 * Lines to look at: stoa_accept() passes over a client that has left again while
 * it waited in the queue, so that an error from it is a real one.
 *
 * One trouble stays: while one client is served, all others wait.  Try it with two
 * clients.  06_many_clients.c serves all at once.
 */
#include <ctype.h>
#include <stdio.h>
#include <stoa.h>

static int fail(void)
{
    fprintf(stderr, "%s\n", stoa_errmsg());
    return 1;
}

static void converse(int conn)
{
    char data[1024];
    ssize_t n;

    while ((n = stoa_recv(conn, data, sizeof(data), 0)) > 0) {
        printf("the client says: %.*s\n", (int)n, data);
        for (ssize_t i = 0; i < n; i++)
            data[i] = (char)toupper((unsigned char)data[i]);
        if (stoa_sendall(conn, data, (size_t)n, 0) < 0) {
            n = -1;
            break;
        }
    }
    printf("%s\n", n == 0 ? "the client has left" : stoa_errmsg());
}

int main(int argc, char **argv)
{
    const char *at = argc > 1 ? argv[1] : "127.0.0.1:8081";
    struct stoa_addr here;
    struct stoa_addr peer;
    char text[STOA_ADDR_TEXT_MAX];

    int phone = stoa_socket(AF_INET, SOCK_STREAM, 0);
    if (phone < 0 || stoa_bind(phone, at) < 0 || stoa_listen(phone, 5) < 0)
        return fail();
    stoa_getsockname(phone, &here);
    printf("listening on %s\n", stoa_addr_text(&here, text, sizeof(text)));

    for (;;) { /* the loop of connections */
        int conn = stoa_accept(phone, &peer);
        if (conn < 0)
            return fail();
        printf("the line is %d\n", conn);
        printf("the client's number is %s\n", stoa_addr_text(&peer, text, sizeof(text)));
        converse(conn); /* the loop of talk */
        stoa_close(conn);
    }
}
