/* error.c - errno for programs, a sentence for people.
 *
 * A failed call leaves a note of a few words in its fiber or thread: the call, the
 * code, the handle, and where there was more to know (an address text, the part of it
 * that is wrong, what the name service said) a copy of that.  Rendering waits until
 * somebody asks: a server that sees a thousand resets writes no sentence for them.
 *
 * A sentence is "<call> <what about>: <cause>; <what to do>", the last part only where
 * it is known.  Peers are named at the time of asking; a handle that is closed by
 * then is not.  Then, too, the machine is asked who holds a port and the like (why.c),
 * once for each failure.
 *
 * Out of memory loses the copy, never the code.  Limits: SENTENCE_MAX, DETAIL_MAX.
 */
#include "net/error.h"

#include "base/text.h"
#include "diag/meaning.h"
#include "net/sock.h"
#include "net/why.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const verbs[VERB_COUNT] = {
    [VERB_NONE] = "",
    [VERB_ADDR_PARSE] = "addr_parse",
    [VERB_RESOLVE] = "resolve",
    [VERB_SOCKET] = "socket",
    [VERB_SOCKETPAIR] = "socketpair",
    [VERB_FROMFD] = "fromfd",
    [VERB_FILENO] = "fileno",
    [VERB_DETACH] = "detach",
    [VERB_DUP] = "dup",
    [VERB_CLOSE] = "close",
    [VERB_ABORT] = "abort",
    [VERB_SHUTDOWN] = "shutdown",
    [VERB_BIND] = "bind",
    [VERB_LISTEN] = "listen",
    [VERB_ACCEPT] = "accept",
    [VERB_CONNECT] = "connect",
    [VERB_RECV] = "recv",
    [VERB_SEND] = "send",
    [VERB_SENDALL] = "sendall",
    [VERB_RECVALL] = "recvall",
    [VERB_SENDFILE] = "sendfile",
    [VERB_RECVFROM] = "recvfrom",
    [VERB_SENDTO] = "sendto",
    [VERB_RECVMSG] = "recvmsg",
    [VERB_SENDMSG] = "sendmsg",
    [VERB_SEND_FDS] = "send_fds",
    [VERB_RECV_FDS] = "recv_fds",
    [VERB_GETPEERNAME] = "getpeername",
    [VERB_GETSOCKNAME] = "getsockname",
    [VERB_GETSOCKOPT] = "getsockopt",
    [VERB_SETSOCKOPT] = "setsockopt",
    [VERB_SETTIMEOUT] = "settimeout",
    [VERB_GETTIMEOUT] = "gettimeout",
    [VERB_SETBLOCKING] = "setblocking",
    [VERB_POLL] = "poll",
    [VERB_MAKEFILE] = "makefile",
    [VERB_DIAL] = "dial",
    [VERB_ANNOUNCE] = "announce",
    [VERB_LEAVE] = "leave",
    [VERB_SERVE] = "serve",
    [VERB_HAND_OVER] = "hand_over",
    [VERB_RUN] = "run",
    [VERB_GO] = "go",
    [VERB_GROUP_OPEN] = "group_open",
    [VERB_GROUP_JOIN] = "group_join",
    [VERB_SLEEP] = "sleep",
    [VERB_YIELD] = "yield",
    [VERB_OFFLOAD] = "offload",
    [VERB_STATUS] = "status",
    [VERB_SIM_RUN] = "sim_run",
    [VERB_SIM_HOST] = "sim_host",
};

static struct note *my_note(void)
{
    return &fiber_self()->local.note;
}

static void clear(struct note *n)
{
    free(n->detail);
    *n = (struct note){.handle = -1};
}

static void set(struct note *n, enum verb verb, int s, int code)
{
    clear(n);
    n->code = code;
    n->verb = (uint8_t)verb;
    n->handle = s;
    n->flags = backend_here()->resolve ? 0 : NOTE_MACHINE;
}

__attribute__((cold)) static ssize_t fail(enum verb verb, int s, ssize_t r, size_t done)
{
    set(my_note(), verb, s, (int)-r);
    fiber_self()->local.done = done;
    errno = (int)-r;
    return -1;
}

ssize_t error_out(enum verb verb, int s, ssize_t r)
{
    return r >= 0 ? r : fail(verb, s, r, 0);
}

ssize_t error_out_len(enum verb verb, int s)
{
    return error_out_why(verb, s, -EINVAL, NULL,
                         "the length is over SSIZE_MAX: a negative number, perhaps");
}

ssize_t error_out_done(enum verb verb, int s, ssize_t r, size_t done)
{
    return r >= 0 ? r : fail(verb, s, r, done);
}

/* "about\0why\0", cut to what a sentence holds, and the address; NULL: there is no memory. */
static char *join(const char *about, const char *why, const struct stoa_addr *at)
{
    size_t about_len = about ? strnlen(about, DETAIL_MAX / 2) : 0;
    size_t why_len = why ? strnlen(why, SENTENCE_MAX) : 0;
    char *detail = malloc(about_len + why_len + 2 + (at ? sizeof(*at) : 0));

    if (!detail)
        return NULL;
    memcpy(detail, about ? about : "", about_len);
    detail[about_len] = 0;
    memcpy(detail + about_len + 1, why ? why : "", why_len);
    detail[about_len + 1 + why_len] = 0;
    if (at)
        memcpy(detail + about_len + why_len + 2, at, sizeof(*at));
    return detail;
}

ssize_t error_out_at(enum verb verb, int s, ssize_t r, const char *about, const char *why,
                     const struct stoa_addr *at, int type)
{
    struct note *n = my_note();
    struct stoa_addr where;

    if (r >= 0)
        return r;
    fail(verb, s, r, 0);
    if (at && !(n->flags & NOTE_MACHINE))
        at = NULL;
    if (at) {
        where = *at;
        where.type = type;
    }
    n->detail = join(about, why, at ? &where : NULL);
    if (n->detail)
        n->flags |=
            (uint8_t)((about ? NOTE_ABOUT : 0) | (why && *why ? NOTE_WHY : 0) | (at ? NOTE_AT : 0));
    errno = (int)-r;
    return -1;
}

ssize_t error_out_why(enum verb verb, int s, ssize_t r, const char *about, const char *why)
{
    return error_out_at(verb, s, r, about, why, NULL, 0);
}

void error_move(struct note *to, struct note *from)
{
    free(to->detail);
    *to = *from;
    *from = (struct note){.handle = -1};
}

/* The other end's address, or our own, of a handle that is still alive. */
static bool add_address(struct text *t, const struct note *n)
{
    bool peer = n->verb != VERB_ACCEPT && n->verb != VERB_LISTEN && n->verb != VERB_BIND;
    struct stoa_addr a = {.len = sizeof(a.sa)};
    struct stoa_sock *so = sock_enter(n->handle);
    char buf[STOA_ADDR_TEXT_MAX];

    if (!so)
        return false;
    if (peer && so->peer_len) {
        memcpy(&a.sa, &so->peer, so->peer_len);
        a.len = so->peer_len;
    } else if (backend_here()->name_of(&so->b, peer, (struct sockaddr *)&a.sa, &a.len) < 0) {
        a.len = 0;
    }
    sock_leave(so);
    if (a.len > sizeof(sa_family_t))
        text_add(t, stoa_addr_text(&a, buf, sizeof(buf)));
    return a.len > sizeof(sa_family_t);
}

static void add_about(struct text *t, const struct note *n)
{
    size_t before = t->len;

    text_add(t, " ");
    if (n->flags & NOTE_ABOUT)
        text_add_escaped(t, n->detail, strlen(n->detail), "");
    else if (n->handle < 0 || !add_address(t, n))
        t->buf[t->len = before] = 0;
}

static void add_dead_handle(struct text *t, int s)
{
    if (s < 0)
        text_add(t, "a negative number is no handle: the call that gave it has failed");
    else if (s < (1 << SLOT_BITS)) {
        text_add_number(t, (uint64_t)s);
        text_add(t, " is a descriptor's number, not a socket's handle: stoa_fromfd() makes one");
    } else
        text_add(t, "this handle is not open: it was closed, or is none of ours");
}

static bool is_alive(int s)
{
    struct stoa_sock *so = sock_enter(s);

    if (so)
        sock_leave(so);
    return so != NULL;
}

/* What a code means in one call only. */
static const char *meaning_for(int verb, int code)
{
    if (code == EINVAL)
        switch (verb) {
        case VERB_SENDFILE:
            return "the socket is no stream, or the file none that can be read at a place";
        case VERB_SEND_FDS:
        case VERB_RECV_FDS:
            return "1 to 253 descriptors go with at least one byte";
        case VERB_ACCEPT:
            return "the socket does not listen: call stoa_listen() first";
        case VERB_BIND:
            return "the socket is bound already";
        case VERB_SETTIMEOUT:
            return "the seconds are not a number";
        case VERB_GO:
            return "fibers live in stoa_run() and stoa_serve(): this is a plain thread";
        default:
            break;
        }
    if (code == EADDRNOTAVAIL)
        return verb == VERB_BIND || verb == VERB_ANNOUNCE
                   ? "that is not an address of this machine"
                   : "no local port is left for this peer, or the socket met itself";
    if (code == EACCES && (verb == VERB_BIND || verb == VERB_ANNOUNCE))
        return "not allowed: ports below net.ipv4.ip_unprivileged_port_start (1024) and other "
               "users' folders need rights; choose a higher port, or give the program "
               "CAP_NET_BIND_SERVICE";
    if (code == EACCES && verb == VERB_HAND_OVER)
        return "Permission denied: it is no program that this user may run";
    if (code == ENOENT && (verb == VERB_CONNECT || verb == VERB_DIAL))
        return "there is no such path: no server has made its socket there";
    if (code == ENOENT && (verb == VERB_BIND || verb == VERB_ANNOUNCE))
        return "there is no such folder to make the socket in";
    if (code == EBUSY)
        return "a file of stoa_makefile() still uses the socket: close it first";
    if (code == EDEADLK)
        return "stoa_run() was called on a fiber: use stoa_go() there";
    if (code == EIO && verb == VERB_MAKEFILE)
        return "an earlier read ran out of time, and a part of the input is lost";
    return NULL;
}

/* Is EBADF about a descriptor, and not about a handle? */
static bool takes_descriptor(int verb)
{
    return verb == VERB_FROMFD || verb == VERB_DIAL || verb == VERB_ANNOUNCE;
}

static void add_meaning(struct text *t, const struct note *n)
{
    const char *means = meaning_for(n->verb, n->code);
    bool asks = n->flags & NOTE_MACHINE;

    /* A path in use is told without a look; the look says who has it. */
    if (asks && (!(n->flags & NOTE_WHY) || n->code == EADDRINUSE) && why_add(t, n))
        return;
    if (n->flags & NOTE_WHY) {
        text_add(t, n->detail + strlen(n->detail) + 1);
        if (asks && n->verb == VERB_DIAL)
            why_add(t, n);
        return;
    }
    if (n->code == EBADF && takes_descriptor(n->verb)) {
        text_add(t, "the descriptor is not open");
        return;
    }
    if (n->code == EBADF && !is_alive(n->handle)) {
        add_dead_handle(t, n->handle);
        return;
    }
    text_add(t, means ? means : meaning_of(n->code));
}

/* The machine has been asked: its answer stays, though the machine may change. */
static void keep_answer(struct note *n, const char *why)
{
    char *detail = join(n->flags & NOTE_ABOUT ? n->detail : NULL, why, NULL);

    n->flags &= (uint8_t) ~(NOTE_MACHINE | NOTE_AT);
    if (!detail)
        return;
    free(n->detail);
    n->detail = detail;
    n->flags |= NOTE_WHY;
}

const char *stoa_errmsg(void)
{
    static __thread char sentence[SENTENCE_MAX];
    struct note *n = my_note();
    int saved_errno = errno;
    struct text t;

    text_init(&t, sentence, sizeof(sentence));
    if (n->code != 0) {
        text_add(&t, verbs[n->verb]);
        add_about(&t, n);
        text_add(&t, ": ");
        size_t before = t.len;
        add_meaning(&t, n);
        if (n->flags & NOTE_MACHINE)
            keep_answer(n, t.buf + before);
    }
    errno = saved_errno;
    return sentence;
}

void stoa_oninterrupt(int (*hook)(void))
{
    atomic_store(&interrupt_hook, hook);
}

size_t stoa_done(void)
{
    return fiber_self()->local.done;
}

const char *stoa_version(void)
{
    return STOA_VERSION;
}
