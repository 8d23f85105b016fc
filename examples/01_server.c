/* 01_server.c - the textbook's first server: socket, bind, listen, accept, recv, send, close.
 *
 * It serves one client and ends with it; 05_serve_for_ever.c mends that.
 *
 *     ./01_server                   in one terminal
 *     ./02_client                   in another, or: nc 127.0.0.1 8081
 *
 * What one sees: where it listens, who came, and each message.  The client gets
 * every message back in upper case.
 *
 * Lines to look at: the seven calls in main(), in the order in which every
 * textbook has them.  A socket is an int, an address is a text, each call gives
 * -1 when it fails, and stoa_errmsg() then says why in one sentence.
 */
#include <ctype.h>
#include <stdio.h>
#include <stoa.h>

static int fail(void)
{
    fprintf(stderr, "%s\n", stoa_errmsg());
    return 1;
}

int main(int argc, char **argv)
{
    const char *at = argc > 1 ? argv[1] : "127.0.0.1:8081";
    struct stoa_addr here;
    struct stoa_addr peer;
    char text[STOA_ADDR_TEXT_MAX];
    char data[1024];

    int phone = stoa_socket(AF_INET, SOCK_STREAM, 0);
    if (phone < 0 || stoa_bind(phone, at) < 0 || stoa_listen(phone, 5) < 0)
        return fail();
    stoa_getsockname(phone, &here);
    printf("listening on %s\n", stoa_addr_text(&here, text, sizeof(text)));

    int conn = stoa_accept(phone, &peer);
    if (conn < 0)
        return fail();
    printf("client %s\n", stoa_addr_text(&peer, text, sizeof(text)));

    for (;;) {
        ssize_t n = stoa_recv(conn, data, sizeof(data), 0);
        if (n < 0)
            return fail();
        if (n == 0) /* the client has closed its end */
            break;
        printf("server====> %.*s\n", (int)n, data);
        for (ssize_t i = 0; i < n; i++)
            data[i] = (char)toupper((unsigned char)data[i]);
        if (stoa_sendall(conn, data, (size_t)n, 0) < 0)
            return fail();
    }
    stoa_close(conn);
    stoa_close(phone);
    return 0;
}
