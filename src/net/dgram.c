/* dgram.c - datagrams with their addresses, and messages of several parts.
 *
 * A datagram is received whole or cut, never joined with the next; an empty one is a
 * datagram, not the end of anything.  Sources: udp(7), recvfrom(2), recvmsg(2).
 */
#include "net/error.h"
#include "net/sock.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>

ssize_t stoa_recvfrom(int s, void *buf, size_t len, int flags, struct stoa_addr *from)
{
    struct stoa_addr unwanted;
    struct stoa_addr *a = from ? from : &unwanted;
    struct op op = {.kind = OP_RECV, .flags = flags, .buf = buf, .len = len};
    const struct stoa_sock *so = sock_at(s);
    ssize_t r;

    if (len > SSIZE_MAX)
        return error_out_len(VERB_RECVFROM, s);
    a->type = so ? so->b.type : 0; /* afterwards it may be closed, and its place another's */
    a->sa.ss_family = AF_UNSPEC;
    a->len = sizeof(a->sa);
    op.sa = (struct sockaddr *)&a->sa;
    op.sa_len = &a->len;
    r = sock_run(s, &op);
    if (r == 0)
        r = sock_kept_error(s);
    return r >= 0 ? r : error_out(VERB_RECVFROM, s, r);
}

ssize_t stoa_sendto(int s, const void *buf, size_t len, int flags, const struct stoa_addr *to)
{
    struct op op = {.kind = OP_SEND, .flags = flags, .buf = (void *)(uintptr_t)buf, .len = len};
    struct stoa_addr a;

    if (len > SSIZE_MAX)
        return error_out_len(VERB_SENDTO, s);
    if (to) {
        a = *to;
        op.sa = (struct sockaddr *)&a.sa;
        op.sa_len = &a.len;
    }
    ssize_t r = sock_run(s, &op);
    char text[STOA_ADDR_TEXT_MAX];

    if (r >= 0)
        return r;
    return error_out_why(VERB_SENDTO, s, r, to ? stoa_addr_text(to, text, sizeof(text)) : NULL,
                         NULL);
}

ssize_t stoa_recvmsg(int s, struct msghdr *msg, int flags)
{
    struct op op = {.kind = OP_RECVMSG, .flags = flags, .buf = msg};

    ssize_t r = sock_run(s, &op);

    return error_out(VERB_RECVMSG, s, r ? r : sock_kept_error(s));
}

ssize_t stoa_sendmsg(int s, const struct msghdr *msg, int flags)
{
    struct op op = {.kind = OP_SENDMSG, .flags = flags, .buf = (void *)(uintptr_t)msg};

    return error_out(VERB_SENDMSG, s, sock_run(s, &op));
}
