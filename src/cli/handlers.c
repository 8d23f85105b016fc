/* handlers.c - upper, echo, discard: the textbook's loop, literally.
 *
 *     while ((n = stoa_recv(conn, buf, len, 0)) > 0)
 *         ...
 *
 * Each runs in a fiber of its own, for ever, and never waits but in stoa's calls.
 *
 * What a connection may cost while it says nothing is one page of stack, so it listens
 * with SMALL bytes there.  A message that fills them is probably the beginning of a long
 * one, or of many: then the next is waited for by stoa_poll(), and received into LARGE
 * bytes, which are in use until it has been answered.  So few of them are, and they
 * are in the processor's cache: 64 connections with 16 KiB messages cost a tenth less
 * than with a large buffer each.  With a small one alone, such a message would be
 * 16 receives and 16 sends.
 *
 * `upper` changes ASCII letters alone, as Python's bytes.upper(): all bytes of a character
 * beyond ASCII are above 0x7f in UTF-8, so 你好 passes unharmed, wherever it is cut.
 */
#include "cli/handlers.h"

#include "cli/exec.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <stoa.h>
#include <string.h>

/* More than an Ethernet segment's 1,460 bytes, and no round number, so that a message of 1,024
 * does not fill it.  And what, with the page of stack, is less than 64 KiB: the most that
 * a client who never reads may cost (row 8 of tests/faults). */
enum { SMALL = 1536, LARGE = 56 << 10 };

/* What a handler reads into, and counts.  What a short message needs of a connection's memory
 * lies together: with thousands of them each cache line is one that no cache has. */
struct buffer {
    char *at;
    ssize_t len; /* of the last message */
    uint64_t in;
    uint64_t out;
    char small[SMALL];
};

static void buffer_begin(struct buffer *b)
{
    b->at = b->small;
    b->len = 0;
    b->in = 0;
    b->out = 0;
}

/* The LARGE bytes last given back, of all workers: mostly the next long message needs no malloc(3),
 * which for that many costs 2 % of such a message, and they are warm. */
static _Atomic(char *) spare;

static void buffer_end(struct buffer *b)
{
    if (b->at != b->small)
        free(atomic_exchange(&spare, b->at));
    b->at = b->small;
}

/* Wait for a message without memory for it, and receive it into LARGE bytes. */
static ssize_t receive_long(int conn, struct buffer *b)
{
    if (stoa_poll(conn, POLLIN) < 0)
        return -1;
    char *more = atomic_exchange(&spare, NULL);

    if (!more)
        more = malloc(LARGE);
    if (!more) /* it goes on, slower */
        return stoa_recv(conn, b->small, SMALL, 0);
    b->at = more;
    return stoa_recv(conn, b->at, LARGE, 0);
}

/* As stoa_recv().  The last message's memory is gone. */
static ssize_t receive(int conn, struct buffer *b)
{
    buffer_end(b);
    b->len = b->len < SMALL ? stoa_recv(conn, b->small, SMALL, 0) : receive_long(conn, b);
    if (b->len > 0)
        b->in += (size_t)b->len;
    return b->len;
}

/* As stoa_sendall() of what was received. */
static int answer(int conn, struct buffer *b)
{
    int r = stoa_sendall(conn, b->at, (size_t)b->len, 0);

    if (r == 0)
        b->out += (size_t)b->len;
    return r;
}

/* The end of a visit: what was counted; returns why it ended, 0 = the client has left. */
static int finish(struct buffer *b, struct visit *v)
{
    int error = b->len ? errno : 0;

    v->in = b->in;
    v->out = b->out + (error ? stoa_done() : 0);
    buffer_end(b);
    return error;
}

/* Sixteen bytes at a time, by gcc's vector types: gcc 12 does not make vectors of such a
 * loop at -O2, and byte by byte 16 KiB take longer than their way through the kernel. */
static void to_upper(char *bytes, size_t len)
{
    typedef uint8_t sixteen __attribute__((vector_size(16)));
    size_t i = 0;

    for (; len - i >= sizeof(sixteen); i += sizeof(sixteen)) {
        sixteen v;
        memcpy(&v, bytes + i, sizeof(v));
        v -= (sixteen)(v - 'a' < 26) & ('a' - 'A');
        memcpy(bytes + i, &v, sizeof(v));
    }
    for (; i < len; i++)
        if (bytes[i] >= 'a' && bytes[i] <= 'z')
            bytes[i] ^= 'a' ^ 'A';
}

static int upper(int conn, struct visit *v)
{
    struct buffer b;

    buffer_begin(&b);
    while (receive(conn, &b) > 0) {
        to_upper(b.at, (size_t)b.len);
        if (answer(conn, &b) < 0)
            break;
    }
    return finish(&b, v);
}

static int echo(int conn, struct visit *v)
{
    struct buffer b;

    buffer_begin(&b);
    while (receive(conn, &b) > 0)
        if (answer(conn, &b) < 0)
            break;
    return finish(&b, v);
}

static int discard(int conn, struct visit *v)
{
    struct buffer b;

    buffer_begin(&b);
    while (receive(conn, &b) > 0)
        continue;
    return finish(&b, v);
}

static int upper_datagram(char *buf, size_t len)
{
    to_upper(buf, len);
    return (int)len;
}

static int echo_datagram(char *buf, size_t len)
{
    (void)buf;
    return (int)len;
}

static int discard_datagram(char *buf, size_t len)
{
    (void)buf;
    (void)len;
    return -1;
}

const struct handler handlers[] = {
    {"upper", upper, upper_datagram},
    {"echo", echo, echo_datagram},
    {"discard", discard, discard_datagram},
    {"exec", exec_talk, NULL},
    {NULL, NULL, NULL},
};

const struct handler *handler_find(const char *name)
{
    for (const struct handler *h = handlers; h->name; h++)
        if (strcmp(h->name, name) == 0)
            return h;
    return NULL;
}
