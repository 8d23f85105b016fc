/* headers.c - a user's program in strict C99 and in C++11; compiled by headers.sh, never run.
 *
 * Struct initialisers are written as both languages know them.  The addresses of
 * the calls are taken, so that a prototype that only a GNU compiler reads is noticed.
 */
#include <stoa.h>
#include <stoa/serve.h>
#include <stoa/sim.h>

static void handler(int conn, void *arg)
{
    char data[64];
    ssize_t n;

    (void)arg;
    while ((n = stoa_recv(conn, data, sizeof(data), 0)) > 0)
        if (stoa_sendall(conn, data, (size_t)n, 0) < 0)
            break;
    stoa_close(conn);
}

int main(void)
{
    static struct stoa_options options;
    struct stoa_addr a;
    char text[STOA_ADDR_TEXT_MAX];

    options.size = sizeof(options);
    if (stoa_addr_parse(&a, "127.0.0.1:0") < 0)
        return 1;
    (void)stoa_addr_text(&a, text, sizeof(text));
    return stoa_serve(text, handler, NULL, &options) < 0 && stoa_errmsg() != NULL;
}
