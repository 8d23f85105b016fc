/* 02_client.c - the textbook's first client: connect, send, receive, close.
 *
 *     ./01_server                   in one terminal
 *     ./02_client                   in another; type a line, Ctrl-D ends
 *
 * What one sees: a prompt, and under each line the server's answer to it.
 *
 * Lines to look at:
 *   - stoa_sendall(), not stoa_send().  The textbook says of send that what does
 *     not fit into the buffer is lost.  It is not lost, only not sent: stoa_send()
 *     tells how much went, and stoa_sendall() goes on until all has gone.
 *   - stoa_recvall(), not stoa_recv().  TCP carries bytes, not messages: a long
 *     answer may come in pieces, and one stoa_recv() would take the first for the
 *     whole.  This server's answer is as long as the question, so we wait for
 *     that many bytes.
 *
 * An empty line is still a trouble here; see 03_empty_message.c.
 */
#include <stdio.h>
#include <stoa.h>
#include <string.h>

static int fail(void)
{
    fprintf(stderr, "%s\n", stoa_errmsg());
    return 1;
}

int main(int argc, char **argv)
{
    const char *to = argc > 1 ? argv[1] : "127.0.0.1:8081";
    char line[1024];

    int phone = stoa_socket(AF_INET, SOCK_STREAM, 0);
    if (phone < 0 || stoa_connect(phone, to) < 0)
        return fail();

    for (;;) {
        printf(">>: ");
        fflush(stdout);
        if (fgets(line, sizeof(line), stdin) == NULL)
            break;
        size_t len = strcspn(line, "\n"); /* the line without its end */
        if (stoa_sendall(phone, line, len, 0) < 0)
            return fail();
        ssize_t n = stoa_recvall(phone, line, len);
        if (n < 0)
            return fail();
        if ((size_t)n < len) {
            fprintf(stderr, "the server closed the connection\n");
            return 1;
        }
        printf("client====> %.*s\n", (int)n, line);
    }
    putchar('\n');
    stoa_close(phone);
    return 0;
}
