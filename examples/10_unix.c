/* 10_unix.c - the textbook's other family, AF_UNIX: sockets by file name.
 *
 *     ./10_unix                     in one terminal; Ctrl-C ends it
 *     stoa connect unix:/tmp/stoa-example.sock     in another
 *
 * Two programs of one machine need no port: the address is a path, and the file's
 * mode says who may connect.  Everything else stays as it was, so this program
 * serves TCP as well when it is given a TCP address.
 *
 * The trouble here: the file stays when its server has died, and bind(2) then says
 * "Address already in use" for ever, whatever options are set.  Programs that
 * remove the file before they bind steal it from a server that is alive.
 * stoa_announce() asks first: it takes the path over from a dead server and
 * leaves it to a live one.
 *
 *     kill -9 it and start it again       it starts
 *     start it a second time              that one is refused
 *
 * What one sees: the address, and each message.
 *
 * Lines to look at: .mode; the file has the mode 0600 unless one says otherwise,
 * so that only programs of the same user can connect.  "unix:@name" is an address
 * without a file (Linux alone has these).
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
        if (stoa_sendall(conn, data, (size_t)n, 0) < 0)
            break;
    }
}

int main(int argc, char **argv)
{
    const char *at = argc > 1 ? argv[1] : "unix:/tmp/stoa-example.sock";
    struct stoa_options options = {.size = sizeof(options), .mode = 0660};
    struct stoa_addr here;
    char text[STOA_ADDR_TEXT_MAX];

    int listener = stoa_announce(at, &options);
    if (listener < 0 || stoa_getsockname(listener, &here) < 0)
        return fail();
    printf("listening on %s\n", stoa_addr_text(&here, text, sizeof(text)));

    for (;;) {
        int conn = stoa_accept(listener, NULL);
        if (conn < 0)
            return fail();
        converse(conn);
        stoa_close(conn);
    }
}
