/* sock.c - the table of sockets, and the handles that lead into it.
 *
 * A handle is 8 bits of generation over 23 bits of slot, generation 1 .. 255: always
 * >= 2^23, so never a descriptor.  A slot's struct stays where it is for ever, so that
 * even a stale handle may be looked at: its generation does not fit `life` any more.
 * Slots are reused in the order they became free, and there are always SLOTS_FREE_MIN free
 * ones, each with a new generation: the same number comes again after 65,000 closes at
 * the earliest.
 *
 * The table grows by chunks that are mapped when needed and never given back; reading
 * it takes no lock.  Making and freeing a slot takes one.
 *
 * What holds: a socket whose open file may be shared (stoa_dup, stoa_fileno, passed on,
 * or the process has forked since) is never shut down by a close, for that would end
 * the connection of the others as well.
 */
#include "net/sock.h"

#include "backend/life.h"
#include "net/error.h"
#include "net/scope.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#define NO_SLOT UINT32_MAX

_Atomic(struct stoa_sock *) sock_chunks[SOCK_SLOTS / CHUNK_SLOTS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t nslot; /* under lock, as the three below */
static uint32_t nfree;
static uint32_t first_free = NO_SLOT;
static uint32_t last_free = NO_SLOT;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Atomic int64_t default_timeout_ns = -1;

static struct stoa_sock *slot_at(uint32_t slot)
{
    return atomic_load_explicit(&sock_chunks[slot / CHUNK_SLOTS], memory_order_acquire) +
           slot % CHUNK_SLOTS;
}

static void make_free(uint32_t slot)
{
    slot_at(slot)->next_free = NO_SLOT;
    if (first_free == NO_SLOT)
        first_free = slot;
    else
        slot_at(last_free)->next_free = slot;
    last_free = slot;
    nfree++;
}

/* Map CHUNK_SLOTS more.  Under lock. */
static int grow(void)
{
    struct stoa_sock *chunk;

    if (nslot >= SOCK_SLOTS)
        return -ENFILE;
    chunk = mmap(NULL, CHUNK_SLOTS * sizeof(*chunk), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (chunk == MAP_FAILED)
        return -ENOMEM;
    atomic_store_explicit(&sock_chunks[nslot / CHUNK_SLOTS], chunk, memory_order_release);
    for (uint32_t end = nslot + CHUNK_SLOTS; nslot < end; nslot++) {
        slot_at(nslot)->slot = nslot;
        slot_at(nslot)->generation = 1;
        make_free(nslot);
    }
    return 0;
}

/* The backends have done with a socket: its slot waits for the next one. */
static void gone(struct backend_sock *b)
{
    struct stoa_sock *so = CONTAINER(b, struct stoa_sock, b);

    pthread_mutex_lock(&lock);
    so->generation = (uint8_t)(so->generation % GENERATION_MAX + 1);
    make_free(so->slot);
    pthread_mutex_unlock(&lock);
}

/* A fork comes when the table is whole. */
static void before_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&lock);
}

static void in_child(void)
{
    for (uint32_t slot = 0; slot < nslot; slot++)
        life_in_child(&slot_at(slot)->b);
    after_fork();
}

static void begin(void)
{
    life_init(gone);
    pthread_atfork(before_fork, after_fork, in_child);
}

/* The next socket's slot has been free for long, and is in no cache. */
static void fetch(const struct stoa_sock *so)
{
    for (size_t at = 0; at < sizeof(*so); at += 64)
        __builtin_prefetch((const char *)so + at, 1);
}

static struct stoa_sock *take_slot(int *error)
{
    struct stoa_sock *so = NULL;

    pthread_mutex_lock(&lock);
    *error = nfree < SLOTS_FREE_MIN ? grow() : 0;
    if (nfree > 0) {
        *error = 0;
        so = slot_at(first_free);
        first_free = so->next_free;
        nfree--;
        fetch(slot_at(first_free));
    }
    pthread_mutex_unlock(&lock);
    return so;
}

uint32_t sock_forks(void)
{
    pthread_once(&once, begin);
    return atomic_load_explicit(&life_forks, memory_order_relaxed);
}

int sock_make(int fd, int family, int type, int proto, uint32_t forks)
{
    int error;
    struct stoa_sock *so = take_slot(&error);

    if (!so)
        return error;
    atomic_store_explicit(&so->b.timeout_ns, atomic_load(&default_timeout_ns),
                          memory_order_relaxed);
    atomic_store_explicit(&so->listening, false, memory_order_relaxed);
    atomic_store_explicit(&so->ended, false, memory_order_relaxed);
    atomic_store_explicit(&so->kept, 0, memory_order_relaxed);
    atomic_store_explicit(&so->nfile, 0, memory_order_relaxed);
    atomic_store_explicit(&so->deaf, false, memory_order_relaxed);
    atomic_store_explicit(&so->tuned, false, memory_order_relaxed);
    atomic_store_explicit(&so->passed, false, memory_order_relaxed);
    atomic_store_explicit(&so->own_death, false, memory_order_relaxed);
    so->backlog = INT32_MAX;
    so->peer_len = 0;
    atomic_store_explicit(&so->b.gap_ms, 0, memory_order_relaxed);
    atomic_store_explicit(&so->b.forks, forks, memory_order_relaxed);
    life_begin(&so->b, fd, family, type, proto, so->generation);
    return (int)((uint32_t)so->generation << SLOT_BITS | so->slot);
}

struct stoa_sock *sock_enter(int s)
{
    struct stoa_sock *so = sock_at(s);

    return so && life_hold(loop_here, &so->b, sock_life(s)) ? so : NULL;
}

void sock_leave(struct stoa_sock *so)
{
    life_drop(loop_here, &so->b);
}

void sock_keep_peer(struct stoa_sock *so, const struct stoa_addr *peer)
{
    if (so->b.family == AF_UNIX || peer->len > sizeof(so->peer) || so->b.type != SOCK_STREAM)
        return;
    memcpy(&so->peer, &peer->sa, peer->len);
    so->peer_len = peer->len;
}

void sock_keep_error(int s, int error)
{
    struct stoa_sock *so = sock_enter(s);

    if (!so)
        return;
    atomic_store(&so->kept, error);
    sock_leave(so);
}

int sock_kept_error(int s)
{
    struct stoa_sock *so = sock_enter(s);
    int error;

    if (!so)
        return 0;
    error = sock_take_error(so);
    sock_leave(so);
    return error;
}

int sock_pause(uint64_t ns, uint64_t until_ns)
{
    uint64_t now = backend_here()->now();
    uint64_t end = ns < WHEEL_NEVER - now ? now + ns : WHEEL_NEVER;
    struct op op = {
        .kind = OP_EVENT,
        .timeout_ns = -1,
        .scope_ns = end < until_ns ? end : until_ns,
    };
    int r = scope_check(&fiber_self()->local);

    if (r == 0)
        r = (int)op_run(&op);
    return r == -ETIME && end <= until_ns ? 0 : r;
}

/* What a further part of a call has met: a close under it has cancelled the call. */
static ssize_t once_begun(const struct op *op, ssize_t r)
{
    return r == -EBADF && !life_fits(atomic_load(&op->sock->life), op->life) ? -ECANCELED : r;
}

/* A full UNIX queue cannot be polled for: try again after growing pauses, and once more when
 * time is over. */
static ssize_t until_there_is_room(struct op *op)
{
    uint64_t pause_ns = UNIX_FULL_PAUSE_NS;
    ssize_t r = op_never_waits(op) ? -EAGAIN : -EXFULL;
    int paused = 0;

    op_deadline(op, backend_here()->now());
    while (r == -EXFULL && paused == 0) {
        paused = sock_pause(pause_ns, op->until_ns);
        if (paused == 0 || paused == -ETIME)
            r = once_begun(op, op_run(op));
        if (r == -EXFULL && paused < 0)
            r = paused;
        if (pause_ns < UNIX_FULL_PAUSE_MAX_NS)
            pause_ns *= 2;
    }
    return r;
}

/* A UNIX stream without a peer: the kernel's EINVAL (unix_stream_read_generic), which others
 * call ENOTCONN. */
static bool lacks_peer(const struct op *op)
{
    struct backend_sock *b = op->sock;
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);

    if ((op->kind != OP_RECV && op->kind != OP_RECVMSG) || b->family != AF_UNIX ||
        b->type != SOCK_STREAM || !life_hold(loop_here, b, op->life))
        return false;
    int r = backend_here()->name_of(b, true, (struct sockaddr *)&peer, &len);
    life_drop(loop_here, b);
    return r == -ENOTCONN;
}

ssize_t sock_run_failed(struct op *op, ssize_t r, bool begun)
{
    if (r == -EXFULL)
        return until_there_is_room(op);
    if (r == -EINVAL && lacks_peer(op))
        return -ENOTCONN;
    return begun ? once_begun(op, r) : r;
}

int sock_check(int s, int family, int type)
{
    struct stoa_sock *so = sock_enter(s);
    bool fits;

    if (!so)
        return -EBADF;
    fits = (!family || so->b.family == family) && (!type || so->b.type == type);
    sock_leave(so);
    return fits ? 0 : -EOPNOTSUPP;
}

uint64_t sock_until(int s)
{
    struct local *me = &fiber_self()->local;
    struct stoa_sock *so = sock_at(s);
    struct op op = {.kind = OP_EVENT};

    if (!so)
        return WHEEL_NEVER;
    sock_times(so, &op, me);
    if (op_never_waits(&op))
        op.timeout_ns = -1;
    op_deadline(&op, backend_here()->now());
    return op.until_ns;
}

/* What close(2) may be for this socket.  After the peer's end nothing more is to be heard, but he
 * may have yet to read, which matters for a served one (linger.c). */
static enum backend_close way_to_close(struct stoa_sock *so)
{
    bool ended = atomic_load(&so->ended) && atomic_load(&so->b.gap_ms) == 0;

    if (life_is_shared(&so->b))
        return CLOSE_SHARED;
    if (so->b.type == SOCK_DGRAM || atomic_load(&so->listening) || ended)
        return CLOSE_PLAIN;
    return CLOSE_POLITE;
}

/* Who goes on with the open file knows nothing of stoa_serve()'s short gaps. */
static void put_gap_back(struct stoa_sock *so)
{
    int ms = atomic_load_explicit(&so->b.gap_ms, memory_order_relaxed);

    if (ms > 0)
        (void)backend_here()->setopt(&so->b, IPPROTO_TCP, TCP_RTO_MAX_MS, &ms, sizeof(ms));
}

/* Close, whatever is open: nobody can begin anything on it any more. */
static int end(struct stoa_sock *so, enum backend_close how)
{
    if (how == CLOSE_POLITE)
        how = way_to_close(so);
    if (how == CLOSE_SHARED || how == CLOSE_DETACH)
        put_gap_back(so);
    return backend_here()->close(&so->b, how);
}

/* The last of handle and files ends the connection. */
static void end_if_last(struct stoa_sock *so, uint32_t generation)
{
    uint32_t alive = generation | LIFE_FILE;

    if (atomic_load(&so->nfile) == 0 &&
        atomic_compare_exchange_strong(&so->b.life, &alive, generation | LIFE_OVER))
        end(so, CLOSE_POLITE);
}

int sock_close(int s, enum backend_close how)
{
    struct stoa_sock *so = sock_at(s);
    uint32_t life = sock_life(s), alive = life;
    bool files;

    if (!so)
        return -EBADF;
    files = atomic_load(&so->nfile) > 0;
    if (files && how == CLOSE_DETACH && atomic_load(&so->b.life) == life)
        return -EBUSY;
    files = files && how != CLOSE_RESET;
    if (!atomic_compare_exchange_strong(&so->b.life, &alive,
                                        life | (files ? LIFE_FILE : LIFE_OVER)))
        return -EBADF;
    if (!files)
        return end(so, how);
    life_end_handle(&so->b);
    end_if_last(so, life);
    return 0;
}

int sock_take_over(int s)
{
    struct stoa_sock *so = sock_enter(s);
    int fd, own;

    if (!so)
        return -EBADF;
    int family = so->b.family, type = so->b.type, proto = so->b.proto, backlog = so->backlog;
    bool listening = atomic_load(&so->listening), tuned = atomic_load(&so->tuned);
    bool shared = atomic_load(&so->b.shared), lingers = atomic_load(&so->b.lingers);
    bool passed = atomic_load(&so->passed);
    uint32_t forks = atomic_load(&so->b.forks);

    sock_leave(so);
    fd = sock_close(s, CLOSE_DETACH);
    if (fd < 0)
        return fd;
    own = sock_make(fd, family, type, proto, forks);
    if (own < 0) {
        backend_drop(fd);
        return own;
    }
    so = sock_at(own);
    so->backlog = backlog;
    atomic_store(&so->listening, listening);
    atomic_store(&so->tuned, tuned);
    atomic_store(&so->passed, passed);
    atomic_store(&so->b.shared, shared);
    atomic_store(&so->b.lingers, lingers);
    return own;
}

int sock_file_opens(int s)
{
    struct stoa_sock *so = sock_enter(s);

    if (!so)
        return -EBADF;
    atomic_fetch_add(&so->nfile, 1);
    sock_leave(so);
    return 0;
}

int sock_file_closes(int s)
{
    struct stoa_sock *so = sock_at(s);
    uint32_t life = sock_life(s) | LIFE_FILE;

    /* stoa_abort() ends a socket under its files. */
    if (!life_fits(atomic_load(&so->b.life), life))
        return 0;
    atomic_fetch_sub(&so->nfile, 1);
    end_if_last(so, sock_life(s));
    return 0;
}

static double seconds_of(int64_t ns)
{
    return ns < 0 ? -1 : (double)ns / 1e9;
}

static int set_timeout(enum verb verb, int s, double seconds)
{
    struct stoa_sock *so = sock_enter(s);

    if (!so)
        return (int)error_out(verb, s, -EBADF);
    if (seconds == seconds)
        atomic_store(&so->b.timeout_ns, scope_nanoseconds(seconds));
    sock_leave(so);
    return (int)error_out(verb, s, seconds == seconds ? 0 : -EINVAL);
}

int stoa_settimeout(int s, double seconds)
{
    return set_timeout(VERB_SETTIMEOUT, s, seconds);
}

int stoa_setblocking(int s, bool blocking)
{
    return set_timeout(VERB_SETBLOCKING, s, blocking ? -1 : 0);
}

double stoa_gettimeout(int s)
{
    struct stoa_sock *so = sock_enter(s);
    double seconds;

    if (!so) {
        error_out(VERB_GETTIMEOUT, s, -EBADF);
        return (double)__builtin_nanf("");
    }
    seconds = seconds_of(atomic_load(&so->b.timeout_ns));
    sock_leave(so);
    return seconds;
}

int stoa_setdefaulttimeout(double seconds)
{
    if (seconds != seconds)
        return (int)error_out(VERB_SETTIMEOUT, -1, -EINVAL);
    atomic_store(&default_timeout_ns, scope_nanoseconds(seconds));
    return 0;
}

double stoa_getdefaulttimeout(void)
{
    return seconds_of(atomic_load(&default_timeout_ns));
}
