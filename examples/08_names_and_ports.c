/* 08_names_and_ports.c - from a name to addresses: what gethostbyname was for.
 *
 *     ./08_names_and_ports                          shows a list of texts
 *     ./08_names_and_ports example.org:https        shows yours
 *
 * Older textbooks look a host up with gethostbyname(), which fills a struct hostent
 * (h_addrtype, h_length ...), knows no IPv6, and must not be called by two threads
 * at once.  Here an address is a text, host:port, everywhere: stoa_bind(),
 * stoa_connect(), the tools and all messages use the same.
 *
 * What one sees: for each text the addresses that it stands for, the best first,
 * or the sentence that says which part of it is wrong.
 *
 * Lines to look at: stoa_resolve() asks the name service and may wait for it, so a
 * scope gives it five seconds.  stoa_addr_parse() takes numbers only and never
 * waits.  A struct stoa_addr is a value: it can be copied and kept.
 *
 * Some texts that others accept are refused here.  127.1 means 127.0.0.1 to one
 * program and nothing to the next; port 99999 becomes 34463 where only its last
 * 16 bits are taken.
 */
#include <stdio.h>
#include <stoa.h>

static void show(const char *text)
{
    struct stoa_addr found[8];
    char line[STOA_ADDR_TEXT_MAX];
    struct stoa_scope scope;

    printf("%s\n", text);
    stoa_within(&scope, 5);
    int n = stoa_resolve(text, found, sizeof(found) / sizeof(found[0]));
    if (n < 0)
        printf("    %s\n", stoa_errmsg());
    stoa_leave(&scope);

    for (int i = 0; i < n; i++)
        printf("    %s\n", stoa_addr_text(&found[i], line, sizeof(line)));
}

int main(int argc, char **argv)
{
    static const char *const texts[] = {
        "127.0.0.1:8081",     "localhost:8081", ":8081",          "[::1]:8081",
        "udp://127.0.0.1:53", "unix:/run/x",    "unix:@no-file",  "127.1:8081",
        "127.0.0.1:99999",    "127.0.0.1",      "127.0.0.1:8o81",
    };

    for (int i = 1; i < argc; i++)
        show(argv[i]);
    for (size_t i = 0; argc == 1 && i < sizeof(texts) / sizeof(texts[0]); i++)
        show(texts[i]);
    return 0;
}
