/* contract.c - what backend.h promises of a backend, at its own level: operations by hand.
 *
 * The facade's tests see results alone.  Here each operation is given to submit() in a frame that
 * is spoiled when it is over, and looked at again at the end: who completes twice, or touches
 * what is over, leaves a trace.  What the facade's tests show already is not repeated: the
 * order in which readers are served (facade/uring.c), closes of others' sockets (traps_close.c).
 *
 * A plain thread's backend completes in submit(); there a wait needs another thread.
 */
#include "backends.h"
#include "net/sock.h"

#include <sys/mman.h>

enum { SPOILED = 0xa5, LEN = 64 };

/* An operation, what it works on, and the fiber that is in it. */
struct asked {
    struct op op;
    struct msghdr m;
    struct iovec v;
    struct sockaddr_storage sa;
    socklen_t sa_len;
    off_t off;
    char buf[LEN];

    /* Not spoiled: */
    struct fiber *who;
    ssize_t res;
    int ncompleted;
    bool at_once;
};

static size_t spoiled_len(void)
{
    return offsetof(struct asked, who);
}

/* Fill the operation kind on s; what it receives or sends is a few bytes. */
static void fill_in(struct asked *a, enum op_kind kind, int s)
{
    *a = (struct asked){
        .op = {.kind = (uint8_t)kind,
               .sock = &sock_at(s)->b,
               .life = sock_life(s),
               .buf = a->buf,
               .len = LEN,
               .timeout_ns = -1,
               .scope_ns = WHEEL_NEVER},
        .v = {.iov_base = a->buf, .iov_len = LEN},
        .m = {.msg_iov = &a->v, .msg_iovlen = 1},
        .sa_len = sizeof(a->sa),
    };
    if (kind == OP_RECVMSG || kind == OP_SENDMSG)
        a->op.buf = &a->m;
    if (kind == OP_ACCEPT) {
        a->op.sa = (struct sockaddr *)&a->sa;
        a->op.sa_len = &a->sa_len;
    }
    if (kind == OP_POLL)
        a->op.flags = POLLIN;
}

static void spoil(struct asked *a)
{
    memset((void *)a, SPOILED, spoiled_len());
}

static bool is_untouched(const struct asked *a)
{
    const unsigned char *bytes = (const unsigned char *)a;

    for (size_t i = 0; i < spoiled_len(); i++)
        if (bytes[i] != SPOILED)
            return false;
    return true;
}

/* On a fiber of its own: what op_run() does, and then the frame is no more. */
static int asks(void *arg)
{
    struct asked *a = arg;

    a->who = fiber_self();
    a->op.state = OP_IDLE;
    a->at_once = loop_here->ops->submit(loop_here, &a->op);
    if (!a->at_once) {
        a->op.who = a->who;
        a->who->waits_for = &a->op;
        fiber_park();
    }
    EXPECT_EQ(a->op.state, OP_DONE);
    a->res = a->op.res;
    a->ncompleted++;
    spoil(a);
    return 0;
}

static void ask(struct stoa_group *g, struct asked *a)
{
    EXPECT_OK(stoa_go(g, asks, a));
    stoa_yield();
}

/* Turn the loop, so that whatever is on its way to an operation that is over arrives. */
static void turn(void)
{
    stoa_sleep(0.002);
}

/* As the loop does when a fiber is cancelled or its time is over. */
static void cancel(struct asked *a, int why)
{
    loop_interrupt(a->who, why);
}

/* -------------------------------------------------------------------------
 * Situations: a socket on which a kind of operation waits, and what ends the wait
 * ---------------------------------------------------------------------- */

struct scene {
    const char *name;
    enum op_kind kind;
    ssize_t good; /* the result when news comes; -1: a descriptor */
};

static const struct scene scenes[] = {
    {"recv", OP_RECV, 5},           {"recvmsg", OP_RECVMSG, 5}, {"accept", OP_ACCEPT, -1},
    {"poll", OP_POLL, POLLIN},      {"send", OP_SEND, LEN},     {"sendmsg", OP_SENDMSG, LEN},
    {"sendfile", OP_SENDFILE, LEN},
};

#define EACH_SCENE(sc)                                                                             \
    for (const struct scene *sc = scenes; sc < scenes + sizeof(scenes) / sizeof(scenes[0]); sc++)

struct stage {
    int s;    /* the operation's */
    int peer; /* -1: a listener's, which has none yet */
    struct text where;
    int file;
};

static bool sends(const struct scene *sc)
{
    return sc->kind == OP_SEND || sc->kind == OP_SENDMSG || sc->kind == OP_SENDFILE;
}

static struct stage stage_make(const struct scene *sc)
{
    struct stage st = {.peer = -1, .file = -1};

    if (sc->kind == OP_ACCEPT) {
        st.s = listener_make(TCP4, &st.where);
    } else {
        struct pair p = pair_of(UNIX_STREAM);

        st.s = p.near;
        st.peer = p.far;
        if (sends(sc))
            fill(st.s);
    }
    if (sc->kind == OP_SENDFILE) {
        st.file = memfd_create("contract", MFD_CLOEXEC);
        EXPECT_EQ(ftruncate(st.file, LEN), 0);
    }
    return st;
}

static void stage_ask(struct stage *st, const struct scene *sc, struct asked *a)
{
    fill_in(a, sc->kind, st->s);
    if (sc->kind == OP_SENDFILE) {
        a->op.file = st->file;
        a->op.buf = &a->off;
    }
}

/* What they wait for comes. */
static void news(struct stage *st, const struct scene *sc)
{
    char sink[16384];

    if (sc->kind == OP_ACCEPT) {
        st->peer = stoa_dial(st->where.c, NULL);
        EXPECT_OK(st->peer);
    } else if (sends(sc)) {
        while (stoa_recv(st->peer, sink, sizeof(sink), MSG_DONTWAIT) > 0)
            ;
    } else {
        EXPECT_OK(stoa_sendall(st->peer, "bytes", 5, 0));
    }
}

static void stage_end(struct stage *st)
{
    if (st->peer >= 0)
        EXPECT_OK(stoa_close(st->peer));
    if (st->s >= 0)
        EXPECT_OK(stoa_close(st->s));
    if (st->file >= 0)
        close(st->file);
}

static void take(const struct scene *sc, struct asked *a)
{
    if (sc->kind == OP_ACCEPT && a->res >= 0)
        backend_drop((int)a->res);
}

static void expect_result(const struct scene *sc, const struct asked *a, const char *when)
{
    bool good = sc->good >= 0 ? a->res == sc->good : a->res >= 0;

    if (!good || a->ncompleted != 1)
        t_fail(__FILE__, __LINE__, "%s %s: %zd (%s), %d times", sc->name, when, a->res,
               a->res < 0 ? strerrorname_np((int)-a->res) : "", a->ncompleted);
}

static void expect_error(const struct scene *sc, const struct asked *a, const char *when, int want)
{
    if (a->res != -want || a->ncompleted != 1)
        t_fail(__FILE__, __LINE__, "%s %s: %zd (%s), %d times, not %s", sc->name, when, a->res,
               a->res < 0 ? strerrorname_np((int)-a->res) : "", a->ncompleted,
               strerrorname_np(want));
}

static void expect_untouched(const struct scene *sc, const struct asked *a, const char *when)
{
    if (!is_untouched(a))
        t_fail(__FILE__, __LINE__, "%s %s: touched when it was over", sc->name, when);
}

/* -------------------------------------------------------------------------
 * Exactly once, and then never again
 * ---------------------------------------------------------------------- */

FIBER_TEST(an_operation_completes_once_and_is_left_alone)
{
    EACH_SCENE(sc)
    {
        struct stage st = stage_make(sc);
        struct stoa_group *g = stoa_group_open();
        struct asked a;

        stage_ask(&st, sc, &a);
        ask(g, &a);
        turn();
        EXPECT_EQ(a.ncompleted, 0);
        news(&st, sc);
        EXPECT_OK(stoa_group_join(g));
        expect_result(sc, &a, "when news came");
        take(sc, &a);
        if (sc->kind != OP_ACCEPT && !sends(sc))
            EXPECT_OK(stoa_sendall(st.peer, "again", 5, 0));
        turn();
        stage_end(&st);
        turn();
        expect_untouched(sc, &a, "when news came");
    }
}

FIBER_TEST(what_can_be_done_at_once_is)
{
    EACH_SCENE(sc)
    {
        struct stage st = stage_make(sc);
        struct stoa_group *g = stoa_group_open();
        struct asked a;

        news(&st, sc);
        turn();
        stage_ask(&st, sc, &a);
        EXPECT_OK(stoa_go(g, asks, &a));
        EXPECT_OK(stoa_group_join(g));
        expect_result(sc, &a, "at once");
        take(sc, &a);
        stage_end(&st);
        turn();
        expect_untouched(sc, &a, "at once");
    }
}

/* -------------------------------------------------------------------------
 * Cancelling only asks
 * ---------------------------------------------------------------------- */

static void cancelled(const struct scene *sc, int why)
{
    struct stage st = stage_make(sc);
    struct stoa_group *g = stoa_group_open();
    struct asked a, next;

    stage_ask(&st, sc, &a);
    ask(g, &a);
    turn();
    cancel(&a, why);
    stoa_yield();
    EXPECT_OK(stoa_group_join(g));
    expect_error(sc, &a, "cancelled", -why);

    /* Nothing was taken, and the next one is as good as the first. */
    g = stoa_group_open();
    stage_ask(&st, sc, &next);
    ask(g, &next);
    news(&st, sc);
    EXPECT_OK(stoa_group_join(g));
    expect_result(sc, &next, "after a cancelled one");
    take(sc, &next);
    stage_end(&st);
    turn();
    expect_untouched(sc, &a, "cancelled");
    expect_untouched(sc, &next, "after a cancelled one");
}

FIBER_TEST(a_cancelled_operation_completes_with_the_reason_and_has_taken_nothing)
{
    EACH_SCENE(sc)
    {
        cancelled(sc, -ECANCELED);
        cancelled(sc, -ETIME);
    }
}

/* What it waits for comes when time is over, in the very turn: the loop has not seen it yet. */
FIBER_TEST(data_beat_a_timeout)
{
    EACH_SCENE(sc)
    {
        struct stage st = stage_make(sc);
        struct stoa_group *g = stoa_group_open();
        struct asked a;

        stage_ask(&st, sc, &a);
        ask(g, &a);
        turn();
        news(&st, sc);
        if (is_simulated()) /* a packet takes its time */
            turn();
        if (a.ncompleted == 0)
            cancel(&a, -ETIME);
        EXPECT_OK(stoa_group_join(g));
        expect_result(sc, &a, "and out of time");
        take(sc, &a);
        stage_end(&st);
        turn();
        expect_untouched(sc, &a, "and out of time");
    }
}

/* The same with a cancellation: either way, but all or nothing. */
FIBER_TEST(a_cancellation_takes_all_or_nothing)
{
    for (int i = 0; i < 50; i++) {
        const struct scene *sc = &scenes[0];
        struct stage st = stage_make(sc);
        struct stoa_group *g = stoa_group_open();
        struct asked a;
        char buf[8];

        stage_ask(&st, sc, &a);
        ask(g, &a);
        news(&st, sc);
        cancel(&a, -ECANCELED);
        EXPECT_OK(stoa_group_join(g));
        ssize_t left = stoa_recv(st.s, buf, sizeof(buf), MSG_DONTWAIT);
        if (a.res == -ECANCELED ? left != 5 : a.res != 5 || left != -1)
            t_fail(__FILE__, __LINE__, "%zd, and %zd are left", a.res, left);
        stage_end(&st);
        expect_untouched(sc, &a, "cancelled when bytes came");
    }
}

/* Of three that wait, the one in the middle is cancelled: the others are served. */
FIBER_TEST(a_cancellation_is_for_one)
{
    const struct scene *sc = &scenes[0];
    struct stage st = stage_make(sc);
    struct stoa_group *g = stoa_group_open();
    struct asked a[3];

    for (int i = 0; i < 3; i++) {
        stage_ask(&st, sc, &a[i]);
        ask(g, &a[i]);
    }
    turn();
    cancel(&a[1], -ECANCELED);
    turn();
    EXPECT_EQ(a[0].ncompleted + a[2].ncompleted, 0);
    expect_error(sc, &a[1], "in the middle", ECANCELED);
    news(&st, sc);
    turn();
    expect_result(sc, &a[0], "before a cancelled one");
    news(&st, sc);
    EXPECT_OK(stoa_group_join(g));
    expect_result(sc, &a[2], "behind a cancelled one");
    stage_end(&st);
    for (int i = 0; i < 3; i++)
        expect_untouched(sc, &a[i], "of three");
}

/* -------------------------------------------------------------------------
 * Close waits for its operations
 * ---------------------------------------------------------------------- */

/* When close() is back the kernel has nothing of them: each has its result, and what comes to
 * the peer, or to who gets the descriptor next, does not reach them. */
FIBER_TEST(close_waits_for_its_operations)
{
    EACH_SCENE(sc)
    {
        struct stage st = stage_make(sc), other;
        struct stoa_group *g = stoa_group_open();
        struct asked a[2];

        for (int i = 0; i < 2; i++) {
            stage_ask(&st, sc, &a[i]);
            ask(g, &a[i]);
        }
        turn();
        struct backend_sock *b = &sock_at(st.s)->b;
        EXPECT_OK(stoa_close(st.s));
        st.s = -1;
        EXPECT_EQ(atomic_load(&b->nflight), 0);
        for (int i = 0; i < 2; i++)
            EXPECT_EQ(a[i].op.state, OP_DONE);
        other = stage_make(sc);
        news(&other, sc);
        if (st.peer >= 0)
            stoa_send(st.peer, "late", 4, MSG_DONTWAIT);
        EXPECT_OK(stoa_group_join(g));
        for (int i = 0; i < 2; i++)
            expect_error(sc, &a[i], "closed", ECANCELED);
        turn();
        stage_end(&st);
        stage_end(&other);
        for (int i = 0; i < 2; i++)
            expect_untouched(sc, &a[i], "closed");
    }
}

/* A file's operation fits before and after the handle is closed: it goes on. */
FIBER_TEST(a_files_operation_outlives_the_handle)
{
    const struct scene *sc = &scenes[0];
    struct stage st = stage_make(sc);
    struct stoa_group *g = stoa_group_open();
    FILE *f = stoa_makefile(st.s, "r");
    struct asked byhandle, byfile;

    EXPECT(f != NULL);
    stage_ask(&st, sc, &byfile);
    byfile.op.life |= LIFE_FILE;
    ask(g, &byfile);
    stage_ask(&st, sc, &byhandle);
    ask(g, &byhandle);
    EXPECT_OK(stoa_close(st.s));
    st.s = -1;
    turn();
    expect_error(sc, &byhandle, "by handle", ECANCELED);
    EXPECT_EQ(byfile.ncompleted, 0);
    news(&st, sc);
    EXPECT_OK(stoa_group_join(g));
    expect_result(sc, &byfile, "by file");
    EXPECT_EQ(fclose(f), 0);
    stage_end(&st);
    expect_untouched(sc, &byhandle, "by handle");
    expect_untouched(sc, &byfile, "by file");
}

/* -------------------------------------------------------------------------
 * Time
 * ---------------------------------------------------------------------- */

TEST(time_goes_on)
{
    uint64_t last = 0;

    for (int i = 0; i < 1000; i++) {
        uint64_t now_ns = backend_here()->now();

        EXPECT_GE(now_ns, last);
        last = now_ns;
    }
    stoa_sleep(0.01);
    EXPECT_GE(backend_here()->now(), last + 10000000);
}
ON_EVERY_BACKEND(time_goes_on)

/* An OP_EVENT is over when somebody says so, or with time. */
FIBER_TEST(an_event_is_told_once)
{
    struct stoa_group *g = stoa_group_open();
    struct asked a = {.op = {.kind = OP_EVENT, .timeout_ns = -1, .scope_ns = WHEEL_NEVER}}, b = a;

    ask(g, &a);
    ask(g, &b);
    turn();
    op_complete(&a.op, 7);
    cancel(&b, -ETIME);
    EXPECT_OK(stoa_group_join(g));
    EXPECT_EQ(a.res, 7);
    EXPECT_EQ(b.res, -ETIME);
    EXPECT_EQ(a.ncompleted + b.ncompleted, 2);
    turn();
    EXPECT(is_untouched(&a) && is_untouched(&b));
}
