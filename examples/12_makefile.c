/* 12_makefile.c - a socket as a FILE: lines by fgets, answers by fprintf.
 *
 *     ./12_makefile                 in one terminal; it serves one client
 *     nc 127.0.0.1 8081             in another; type lines, Ctrl-D ends
 *
 * TCP carries bytes, not messages.  Two lines that were sent apart can come together
 * in one stoa_recv(), and one line can come in two pieces, on any day on which the
 * network feels like it.  Who wants lines must put them together.  The FILE of
 * stoa_makefile() does that: fgets() gives one line, however it has travelled.
 *
 * What one sees: the client gets each of its lines back with a number.
 *
 * Lines to look at:
 *   - fflush() before the server waits for the client again: until then the answer
 *     may lie in the FILE's buffer.  (C asks for it wherever a FILE that is read and
 *     written goes from writing to reading.)
 *   - A FILE and the handle are closed each by itself, in either order; the
 *     connection ends with the last of them.
 *   - The file is opened with "rw", which C's fopen does not know.  Python does.
 */
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
    char text[STOA_ADDR_TEXT_MAX];
    char line[1024];

    int listener = stoa_announce(at, NULL);
    if (listener < 0 || stoa_getsockname(listener, &here) < 0)
        return fail();
    printf("listening on %s\n", stoa_addr_text(&here, text, sizeof(text)));

    int conn = stoa_accept(listener, NULL);
    if (conn < 0)
        return fail();
    FILE *file = stoa_makefile(conn, "rw");
    if (file == NULL)
        return fail();

    for (int n = 1; fgets(line, sizeof(line), file) != NULL; n++) {
        fprintf(file, "%d: %s", n, line);
        if (fflush(file) != 0)
            return fail();
    }
    printf("the client has left\n");
    fclose(file);
    stoa_close(conn);
    stoa_close(listener);
    return 0;
}
