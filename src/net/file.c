/* file.c - makefile: a FILE over a socket, so that fgets and fprintf work.
 *
 * The FILE is stdio's own, with buffers of its own; below it each read is one receive
 * and each write one whole send, under the socket's timeout and the scope.
 *
 * The file holds the connection by the handle's number and LIFE_FILE: it goes on when
 * the handle is closed, and the last of them ends the connection, as with Python.
 *
 * A FILE for both directions has one buffer for both: when stdio turns from reading to
 * writing it steps back over what it has read ahead (file_seek), to read it again.
 *
 * A read that ran out of time may have lost a part of a line in stdio's buffer, so that
 * file is not read again.  Source: Python's socket.SocketIO; fopencookie(3).
 */
#include "backend/life.h"
#include "net/error.h"
#include "net/sock.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct cookie {
    int s;
    bool poisoned;
    bool both;      /* for reading and writing: the last block is kept */
    char *block;    /* what the last receive brought */
    size_t len;     /* bytes of it */
    size_t size;    /* and its room */
    size_t at;      /* those before it have been read */
    off64_t behind; /* bytes received before the block */
};

static ssize_t receive(struct cookie *c, char *buf, size_t len)
{
    struct op op = {.kind = OP_RECV, .life = LIFE_FILE, .buf = buf, .len = len};
    ssize_t r = c->poisoned ? -EIO : sock_run(c->s, &op);

    if (r == 0)
        r = sock_kept_error(c->s);
    if (r == -ETIME)
        c->poisoned = true;
    return error_out(r == -EIO ? VERB_MAKEFILE : VERB_RECV, c->s, r);
}

/* Receive into the block, which has room for len at least. */
static ssize_t receive_block(struct cookie *c, size_t len)
{
    ssize_t r;

    if (len > c->size) {
        char *block = realloc(c->block, len);

        if (!block)
            return error_out(VERB_RECV, c->s, -ENOMEM);
        c->block = block;
        c->size = len;
    }
    r = receive(c, c->block, len);
    if (r < 0)
        return r;
    c->behind += (off64_t)c->len;
    c->len = (size_t)r;
    c->at = 0;
    return r;
}

static ssize_t file_read(void *arg, char *buf, size_t len)
{
    struct cookie *c = arg;

    if (!c->both)
        return receive(c, buf, len);
    if (c->at == c->len) {
        ssize_t r = receive_block(c, len);

        if (r <= 0)
            return r;
    }
    if (len > c->len - c->at)
        len = c->len - c->at;
    memcpy(buf, c->block + c->at, len);
    c->at += len;
    return (ssize_t)len;
}

/* stdio goes back over what it has read ahead when it turns from reading to writing, and
 * wants to read it again later.  Nothing else can be sought on a stream. */
static int file_seek(void *arg, off64_t *offset, int whence)
{
    struct cookie *c = arg;
    off64_t now = c->behind + (off64_t)c->at;
    off64_t to = whence == SEEK_CUR ? now + *offset : *offset;

    if (!c->both || whence == SEEK_END || to < c->behind || to > c->behind + (off64_t)c->len)
        return (int)error_out(VERB_MAKEFILE, c->s, -ESPIPE);
    c->at = (size_t)(to - c->behind);
    *offset = to;
    return 0;
}

static ssize_t file_write(void *arg, const char *buf, size_t len)
{
    struct cookie *c = arg;
    struct op op = {.kind = OP_SEND};
    size_t done = 0;

    while (done < len) {
        op.life = LIFE_FILE;
        op.buf = (void *)(uintptr_t)(buf + done);
        op.len = len - done;
        ssize_t r = sock_run(c->s, &op);

        if (r < 0) {
            error_out_done(VERB_SEND, c->s, r, done);
            return (ssize_t)done;
        }
        done += (size_t)r;
    }
    return (ssize_t)done;
}

static int file_close(void *arg)
{
    struct cookie *c = arg;
    int s = c->s;

    free(c->block);
    free(c);
    return (int)error_out(VERB_CLOSE, s, sock_file_closes(s));
}

/* stdio's word for a mode of ours; NULL: it is none. */
static const char *mode_of(const char *mode)
{
    static const char *const known[][2] = {
        {"r", "r"}, {"w", "w"}, {"rw", "r+"}, {"wr", "r+"}, {"r+", "r+"}, {"w+", "r+"},
    };
    char plain[4] = "";
    size_t n = 0;

    for (; *mode; mode++) {
        if (*mode == 'b')
            continue;
        if (n == sizeof(plain) - 1)
            return NULL;
        plain[n++] = *mode;
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(plain, known[i][0]) == 0)
            return known[i][1];
    return NULL;
}

static FILE *fail(int s, int error, const char *why)
{
    error_out_why(VERB_MAKEFILE, s, error, NULL, why);
    return NULL;
}

FILE *stoa_makefile(int s, const char *mode)
{
    static const cookie_io_functions_t io = {
        .read = file_read,
        .write = file_write,
        .seek = file_seek,
        .close = file_close,
    };
    const char *stdio_mode = mode_of(mode);
    struct cookie *c;
    FILE *f;
    int r;

    if (!stdio_mode)
        return fail(s, -EINVAL, "the mode must be r, w or rw");
    r = sock_file_opens(s);
    if (r < 0)
        return fail(s, r, NULL);
    c = malloc(sizeof(*c));
    if (!c)
        goto fail_open;
    *c = (struct cookie){.s = s, .both = stdio_mode[1] == '+'};
    f = fopencookie(c, stdio_mode, io);
    if (f)
        return f;
    free(c);
fail_open:
    sock_file_closes(s);
    return fail(s, -ENOMEM, NULL);
}
