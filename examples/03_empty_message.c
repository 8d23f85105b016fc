/* 03_empty_message.c - why the textbook's client hangs on an empty message.
 *
 *     ./01_server                   in one terminal
 *     ./03_empty_message            in another; type a line, or nothing
 *
 * TCP carries a stream of bytes.  To send no bytes is to send nothing at all: the
 * server is not woken, no answer comes, and a client that waits for one waits for
 * ever.
 *
 * What one sees: first the trouble itself, but with a limit of half a second
 * on the wait, so that the program comes back and can say what happened; then a
 * client with the cure.
 *
 * Lines to look at: stoa_settimeout(), and `if (len == 0) continue;`, which is the
 * textbook's cure.  (A program that must be able to send "nothing" needs a
 * message around it: a line with its newline, as 12_makefile.c has, or a length.)
 */
#include <errno.h>
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

    /* The trouble. */
    stoa_settimeout(phone, 0.5);
    if (stoa_sendall(phone, "", 0, 0) < 0)
        return fail();
    printf("sent an empty message, and wait for the answer\n");
    ssize_t n = stoa_recv(phone, line, sizeof(line), 0);
    if (n >= 0 || errno != ETIME)
        return fail();
    printf("no answer: %s\n", stoa_errmsg());
    stoa_settimeout(phone, -1); /* from here on wait for ever, as at first */

    /* The cure. */
    for (;;) {
        printf(">>: ");
        fflush(stdout);
        if (fgets(line, sizeof(line), stdin) == NULL)
            break;
        size_t len = strcspn(line, "\n");
        if (len == 0)
            continue;
        if (stoa_sendall(phone, line, len, 0) < 0)
            return fail();
        n = stoa_recvall(phone, line, len);
        if (n < 0)
            return fail();
        printf("client====> %.*s\n", (int)n, line);
    }
    putchar('\n');
    stoa_close(phone);
    return 0;
}
