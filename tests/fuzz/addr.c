/* addr.c - any bytes as an address text, and any bytes as an address.
 *
 * What must hold, whatever comes in: no byte is read beyond the text's end (the copy is
 * just as large, and ASan looks); a refusal says why, in printable words that fit; a host
 * that goes on as a name is no number to inet_aton(3); an address's text reads back to the
 * same address, and no terminal obeys it.
 */
#include "net/addr.h"
#include "base/limits.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define MUST(holds) ((holds) ? (void)0 : abort())

static void must_be_printable(const char *text, size_t room)
{
    MUST(strnlen(text, room) < room);
    for (; *text; text++)
        MUST((unsigned char)*text >= 0x20 && *text != 0x7f);
}

static int split(struct addr_parts *p, const char *text)
{
    char why[DETAIL_MAX];
    int rc = addr_split(p, text, why, sizeof(why));

    must_be_printable(why, sizeof(why));
    MUST(rc == 0 || rc == -EINVAL || rc == -ENAMETOOLONG);
    MUST((rc == 0) == (why[0] == '\0'));
    return rc;
}

/* a's text, which is to read back to a. */
static void must_come_back(const struct stoa_addr *a)
{
    struct addr_parts p;
    struct stoa_addr again;
    char text[STOA_ADDR_TEXT_MAX];

    stoa_addr_text(a, text, sizeof(text));
    must_be_printable(text, sizeof(text));
    MUST(split(&p, text) == 0);
    MUST(addr_numeric(&again, &p, AF_UNSPEC) == 0);
    MUST(addr_equal(a, &again));
    MUST(again.type == a->type);
}

static void as_text(const uint8_t *data, size_t len)
{
    static const int families[] = {AF_UNSPEC, AF_INET, AF_INET6, AF_UNIX};
    char *text = malloc(len + 1);
    struct addr_parts p;
    struct in_addr in;

    MUST(text);
    memcpy(text, data, len);
    text[len] = '\0';
    if (split(&p, text) == 0) {
        MUST(p.family != AF_UNSPEC || !p.host[0] || inet_aton(p.host, &in) == 0);
        for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
            struct stoa_addr a;
            int rc = addr_numeric(&a, &p, families[i]);

            MUST(rc == 0 || rc == 1 || rc == -EAFNOSUPPORT || p.scheme == ADDR_FD);
            if (rc == 0)
                must_come_back(&a);
        }
    }
    free(text);
}

static void as_address(const uint8_t *data, size_t len)
{
    static const int families[] = {AF_INET, AF_INET6, AF_UNIX};
    struct stoa_addr a = {0};
    struct addr_parts p;
    char text[STOA_ADDR_TEXT_MAX], why[DETAIL_MAX];

    if (len < 2)
        return;
    memcpy(&a.sa, data, len < sizeof(a.sa) ? len : sizeof(a.sa));
    a.sa.ss_family = (sa_family_t)families[data[0] % 3];
    a.len = data[1];
    stoa_addr_text(&a, text, sizeof(text));
    must_be_printable(text, sizeof(text));
    if (addr_split(&p, text, why, sizeof(why)) == 0 && a.len <= sizeof(a.sa)) {
        struct stoa_addr again;

        MUST(addr_numeric(&again, &p, AF_UNSPEC) == 0);
        MUST(addr_equal(&a, &again));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    as_text(data, len);
    as_address(data, len);
    return 0;
}
