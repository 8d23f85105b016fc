/* transfer.c - both directions at once, each by plain code on a thread of its own.
 *
 *     main thread      stoa_recv -> standard output
 *     the sender       standard input -> stoa_sendall, then the end of the stream
 *
 * So neither waits for the other, and a transfer of any length cannot lock itself up.
 *
 * When it ends:
 *   - Standard input's end is passed on (SHUT_WR), and the peer's end waited for, without
 *     a timer: `echo hi | stoa connect ...` gets the whole answer, however late.
 *   - After the peer's end we go on sending until standard input's end: half-closing is the
 *     custom here, and a peer that only listens has ended its side before it began.  But a
 *     keyboard is not waited for, and a peer that has gone entirely ends it, too: a UNIX
 *     socket tells, and of TCP it is asked each second (SO_KEEPALIVE; its kernel answers
 *     for it for tcp_fin_timeout, a minute, and then with a reset).
 *   - UDP has no end: after that of standard input, answers are waited for until there is
 *     silence, --timeout or datagram_wait seconds long.
 *   - Nobody reads standard output any more (EPIPE): a quiet end, `| head -1` is no error.
 *     It cannot be written to (a full disk): told, and the connection is reset, so that the
 *     peer does not take its bytes for received.
 *
 * --timeout counts silence on both ways: while one moves, the other may be still.
 */
#include "cli/session.h"

#include "base/limits.h"
#include "cli/exitcode.h"
#include "cli/output.h"
#include "cli/progress.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stoa.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    CHUNK = 64 << 10,
    DATAGRAM_CHUNK = 16 << 10, /* as nc(1): larger ones are read, not sent */
};

struct failure {
    int error; /* errno's value, 0 = none */
    char why[SENTENCE_MAX];
};

struct transfer {
    struct session *s;
    struct progress progress;
    pthread_t sender;
    int wake_fd;                   /* an eventfd: look at the flags */
    atomic_bool peer_ended;        /* main: send what is there, then end */
    atomic_bool stop;              /* main: end */
    atomic_bool input_ended;       /* sender */
    atomic_uint_fast64_t moved_ns; /* when bytes moved last, either way */
    struct failure sending;        /* sender's, until it is joined */
    struct failure receiving;
    atomic_bool output_failed; /* nothing more can be shown ... */
    atomic_bool output_closed; /* ... for nobody reads it: quiet */
    bool sent_after_end;       /* sender's: the peer may not take it any more */
    char last;                 /* sender's: the last byte sent, for --crlf */
};

int transfer_put(void *unused, const char *text, size_t len)
{
    (void)unused;
    return output_all(STDOUT_FILENO, text, len);
}

static void fail_stoa(struct failure *f)
{
    f->error = errno;
    snprintf(f->why, sizeof(f->why), "%s", stoa_errmsg());
}

static void fail_file(struct failure *f, const char *what)
{
    f->error = EIO;
    snprintf(f->why, sizeof(f->why), "%s: %s", what, strerror(errno));
}

static void moved(struct transfer *t)
{
    atomic_store_explicit(&t->moved_ns, output_now_ns(), memory_order_relaxed);
}

static double silence(struct transfer *t)
{
    return (double)(output_now_ns() - atomic_load(&t->moved_ns)) / 1e9;
}

static int show(struct transfer *t, struct failure *f, enum show_way way, const char *bytes,
                size_t len)
{
    if (show_bytes(t->s->show, way, bytes, len) == 0)
        return 0;
    atomic_store(&t->output_failed, true);
    if (errno == EPIPE)
        atomic_store(&t->output_closed, true);
    fail_file(f, "write standard output");
    return -1;
}

/* -------------------------------------------------------------------------
 * Standard input to the peer
 * ---------------------------------------------------------------------- */

/* Nobody is left at the other end.  Was there more to be taken?  What we sent just before we heard
 * of its end may have come there after it: then it was never acknowledged (tcp(7), SIOCOUTQ). */
static void peer_gone(struct transfer *t)
{
    int unacknowledged = 0;

    (void)ioctl(stoa_fileno(t->s->socket), SIOCOUTQ, &unacknowledged);
    if (!t->sent_after_end && unacknowledged == 0)
        return;
    t->sending.error = ECONNRESET;
    snprintf(t->sending.why, sizeof(t->sending.why), "%s has gone, and not taken all that was sent",
             t->s->peer);
}

/* Wait for standard input.  false: there is no reason to read more of it. */
static bool input_waits(struct transfer *t)
{
    struct pollfd fds[] = {
        {.fd = STDIN_FILENO, .events = POLLIN}, {.fd = t->wake_fd, .events = POLLIN}, {.fd = -1}};

    for (;;) {
        if (atomic_load(&t->stop))
            return false;
        if (atomic_load(&t->peer_ended)) {
            fds[1].fd = -1;
            fds[2].fd = stoa_fileno(t->s->socket); /* for POLLHUP and POLLERR */
        }
        int n = poll(fds, 3, fds[2].fd >= 0 && isatty(STDIN_FILENO) ? 0 : -1);
        if (fds[0].revents)
            return true;
        if (n == 0)
            return false;
        if (fds[2].revents) {
            peer_gone(t);
            return false;
        }
    }
}

/* Each \n that has no \r before it gets one.  out has room for twice len. */
static size_t add_returns(struct transfer *t, const char *in, size_t len, char *out)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        if (in[i] == '\n' && t->last != '\r')
            out[n++] = '\r';
        out[n++] = t->last = in[i];
    }
    return n;
}

/* Send all; a peer that takes some of it within the timeout is not silent.  0, -1. */
static int send_stream(struct transfer *t, const char *at, size_t len)
{
    for (;;) {
        struct stoa_scope scope;
        if (t->s->timeout > 0)
            stoa_within(&scope, t->s->timeout);
        int result = stoa_sendall(t->s->socket, at, len, 0);
        int error = errno;
        size_t done = result < 0 ? stoa_done() : len;
        if (result < 0 && (error != ETIME || !done))
            fail_stoa(&t->sending);
        if (t->s->timeout > 0)
            stoa_leave(&scope);
        atomic_fetch_add(&t->progress.out, done);
        if (result == 0 || t->sending.error)
            return result;
        at += done;
        len -= done;
        moved(t);
    }
}

static int send_datagram(struct transfer *t, const char *at, size_t len)
{
    if (stoa_send(t->s->socket, at, len, 0) < 0) {
        fail_stoa(&t->sending);
        return -1;
    }
    atomic_fetch_add(&t->progress.out, len);
    return 0;
}

static int send_chunk(struct transfer *t, const char *at, size_t len)
{
    char returned[2 * CHUNK];
    int result;

    if (t->s->crlf) {
        len = add_returns(t, at, len, returned);
        at = returned;
    }
    t->sent_after_end |= atomic_load(&t->peer_ended);
    result = (t->s->datagram ? send_datagram : send_stream)(t, at, len);
    if (result < 0)
        return -1;
    moved(t);
    return show(t, &t->sending, SHOW_WENT, at, len);
}

static void *sender(void *arg)
{
    struct transfer *t = arg;
    char buf[CHUNK];
    size_t room = t->s->datagram ? DATAGRAM_CHUNK : CHUNK;
    ssize_t n = -1;

    while (input_waits(t)) {
        n = read(STDIN_FILENO, buf, room);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0)
            fail_file(&t->sending, "read standard input");
        if (n <= 0 || send_chunk(t, buf, (size_t)n) < 0)
            break;
    }
    if (n == 0 && !t->s->datagram)
        (void)stoa_shutdown(t->s->socket, SHUT_WR); /* ENOTCONN: the peer was faster */
    atomic_store(&t->input_ended, true);
    if (t->sending.error)
        (void)stoa_shutdown(t->s->socket, atomic_load(&t->output_failed) ? SHUT_RDWR : SHUT_WR);
    return NULL;
}

/* -------------------------------------------------------------------------
 * The peer to standard output
 * ---------------------------------------------------------------------- */

/* Seconds; 0 = for ever. */
static double longest_silence(const struct transfer *t)
{
    return t->s->timeout > 0 ? t->s->timeout : t->s->datagram_wait;
}

/* Seconds the next receive may wait; 0 = for ever. */
static double patience(struct transfer *t)
{
    double all = longest_silence(t);
    double left;

    if (all <= 0)
        return 0;
    left = all - silence(t);
    return left > 1e-3 ? left : 1e-3;
}

/* Has it been silent so long that this is the end, or a failure? */
static bool silent(struct transfer *t)
{
    if (silence(t) < longest_silence(t))
        return false;
    return t->s->timeout > 0 || atomic_load(&t->input_ended);
}

static ssize_t receive_some(struct transfer *t, char *buf, size_t len)
{
    struct stoa_scope scope;
    double most = patience(t);
    ssize_t n;

    if (most > 0)
        stoa_within(&scope, most);
    n = stoa_recv(t->s->socket, buf, len, 0);
    if (n < 0)
        fail_stoa(&t->receiving);
    if (most > 0)
        stoa_leave(&scope);
    return n;
}

/* Until the stream ends or something fails: then t->receiving tells. */
static void receive(struct transfer *t)
{
    char buf[CHUNK];

    for (;;) {
        ssize_t n = receive_some(t, buf, sizeof(buf));
        bool waited = n < 0 && t->receiving.error == ETIME;
        if (waited && !silent(t)) {
            if (t->s->timeout <= 0)
                moved(t); /* UDP, and more input may come: look again after a while */
            t->receiving.error = 0;
            continue;
        }
        if (waited && t->s->datagram && atomic_load(&t->input_ended))
            t->receiving.error = 0; /* UDP's end */
        if (n < 0 || (n == 0 && !t->s->datagram))
            return;
        atomic_fetch_add(&t->progress.in, (size_t)n);
        moved(t);
        if (show(t, &t->receiving, SHOW_CAME, buf, (size_t)n) < 0)
            return;
    }
}

/* -------------------------------------------------------------------------
 * Both
 * ---------------------------------------------------------------------- */

/* Ask each second whether somebody is there; not TCP: there is no need. */
static void watch_peer(int s)
{
    static const struct {
        int level, option, value;
    } options[] = {
        {IPPROTO_TCP, TCP_KEEPIDLE, 1},
        {IPPROTO_TCP, TCP_KEEPINTVL, 1},
        {IPPROTO_TCP, TCP_KEEPCNT, 30},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
    };

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        (void)stoa_setsockopt(s, options[i].level, options[i].option, &options[i].value,
                              sizeof(options[i].value));
}

/* The peer's end has come, or a failure: let the sender end, too. */
static void end_sender(struct transfer *t)
{
    if (t->receiving.error) {
        atomic_store(&t->stop, true);
        stoa_abort(t->s->socket);
    } else {
        watch_peer(t->s->socket);
    }
    atomic_store(&t->peer_ended, true);
    (void)eventfd_write(t->wake_fd, 1);
    pthread_join(t->sender, NULL);
}

static int outcome(struct transfer *t)
{
    struct failure *f = t->receiving.error ? &t->receiving : &t->sending;
    const char *reason = f->error ? f->why : "end of stream";

    if (!t->output_closed && show_end(t->s->show, reason) < 0) {
        t->output_closed = errno == EPIPE;
        if (!f->error)
            fail_file(f, "write standard output");
    }
    if (t->output_closed || !f->error)
        return CODE_OK;
    output_say(t->s->who, "%s", f->why);
    return exitcode_peer(f->error, t->s->to);
}

int transfer(struct session *s)
{
    struct transfer t = {.s = s, .wake_fd = eventfd(0, EFD_CLOEXEC)};
    int code;

    moved(&t);
    if (t.wake_fd < 0) {
        output_say(s->who, "%s", strerror(errno));
        return CODE_FAILED;
    }
    if (show_begin(s->show, s->peer) < 0) {
        bool closed = errno == EPIPE;

        if (!closed)
            output_say(s->who, "write standard output: %s", strerror(errno));
        close(t.wake_fd);
        return closed ? CODE_OK : CODE_FAILED;
    }
    errno = pthread_create(&t.sender, NULL, sender, &t);
    if (errno) {
        output_say(s->who, "no thread for sending: %s", strerror(errno));
        return CODE_FAILED;
    }
    progress_start(&t.progress);
    receive(&t);
    end_sender(&t);
    progress_stop(&t.progress);
    stoa_close(s->socket);
    close(t.wake_fd);
    code = outcome(&t);
    return code;
}
