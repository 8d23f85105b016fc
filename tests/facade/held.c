/* held.c - a handler that holds its worker is told: who, how long, where; and nobody else is.
 *
 * Handlers that hold end when they have been told of: nothing here depends on how fast a
 * machine is.  The server runs in a thread of its own, with each backend there is.
 */
#include "backends.h"

#include "fiber/sanitize.h"
#include "unit/watched.h"

#include <dlfcn.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

enum { SENTENCES = 8 };

struct server {
    struct text at;
    int keep;
    struct stoa_options o;
    void (*handler)(int conn, void *arg);
    bool fiber; /* it serves on one */
    int rc;
    pthread_t thread;
    int pipe[2];
    atomic_bool go; /* who holds may go on */
    int end_after;  /* so many sentences "is held" */
    pthread_mutex_t lock;
    pthread_cond_t heard;
    char said[SENTENCES][2048]; /* under lock, as those below */
    double when[SENTENCES];
    int nsaid;
    int nheld;
    bool over;
};

static void release(struct server *s)
{
    atomic_store(&s->go, true);
    EXPECT_EQ(write(s->pipe[1], "x", 1), 1);
}

static void told(const char *what, void *arg)
{
    struct server *s = arg;

    pthread_mutex_lock(&s->lock);
    if (s->nsaid < SENTENCES && strstr(what, " held by ")) {
        snprintf(s->said[s->nsaid], sizeof(s->said[0]), "%s", what);
        s->when[s->nsaid++] = now();
        s->over = strstr(what, " was held by ") != NULL;
        if (!s->over && ++s->nheld == s->end_after)
            release(s);
    }
    pthread_cond_signal(&s->heard);
    pthread_mutex_unlock(&s->lock);
}

static int serve(void *arg)
{
    struct server *s = arg;

    s->rc = stoa_serve(s->at.c, s->handler, s, &s->o);
    return 0;
}

static void *serve_in_thread(void *arg)
{
    struct server *s = arg;

    if (s->fiber)
        EXPECT_EQ(stoa_run(serve, s, &s->o), 0);
    else
        serve(s);
    return NULL;
}

static bool server_start(struct server *s, const char *backend)
{
    if (!backend_is_there(backend))
        return false;
    s->o.size = sizeof(s->o);
    s->o.backend = backend;
    s->o.tell = told;
    if (s->o.workers == 0)
        s->o.workers = 2;
    EXPECT_EQ(pipe(s->pipe), 0);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->heard, NULL);
    s->keep = port_keep(&s->at);
    EXPECT_EQ(pthread_create(&s->thread, NULL, serve_in_thread, s), 0);
    return true;
}

static void server_join(struct server *s)
{
    EXPECT_EQ(pthread_join(s->thread, NULL), 0);
    EXPECT_EQ(s->rc, 0);
    close(s->keep);
    close(s->pipe[0]);
    close(s->pipe[1]);
}

/* One client, until it is over with the handler's hold and that has been told. */
static void visit(struct server *s)
{
    char byte;
    int c = dial_soon(s->at.c);
    struct text me = self_text(c);

    EXPECT_OK(stoa_sendall(c, "x", 1, 0));
    EXPECT_EQ(stoa_recv(c, &byte, 1, 0), 1); /* the handler has gone on */
    EXPECT_EQ(stoa_recv(c, &byte, 1, 0), 0);
    pthread_mutex_lock(&s->lock);
    while (!s->over)
        pthread_cond_wait(&s->heard, &s->lock);
    for (int i = 0; i < s->nsaid; i++)
        if (!strstr(s->said[i], strstr(me.c, "127.")))
            t_fail(__FILE__, __LINE__, "\"%s\" does not name %s", s->said[i], me.c);
    pthread_mutex_unlock(&s->lock);
    EXPECT_OK(stoa_close(c));
}

/* A handler's frame: the client has said a word; hold; answer. */
static void meet(int conn, struct server *s, void (*hold)(struct server *s))
{
    char byte;

    if (stoa_recv(conn, &byte, 1, 0) != 1)
        return;
    hold(s);
    EXPECT_OK(stoa_sendall(conn, &byte, 1, 0));
}

__attribute__((noinline)) static void wait_elsewhere(struct server *s)
{
    char byte;

    EXPECT_EQ(read(s->pipe[0], &byte, 1), 1);
}

__attribute__((noinline)) static void compute(struct server *s)
{
    while (!atomic_load(&s->go))
        ;
}

static void waits_elsewhere(int conn, void *arg)
{
    meet(conn, arg, wait_elsewhere);
}

static void computes(int conn, void *arg)
{
    meet(conn, arg, compute);
}

/* Under Valgrind, and an emulator, the kernel sees their own code and stacks; Valgrind blocks all
 * signals, and an emulated call has the number of another machine's. */
static bool has_places(void)
{
    return !RUNNING_ON_VALGRIND && !emulator();
}

/* Is one of the places that a sentence names in a function of this program, which is small? */
static bool names(const char *sentence, void (*function)(struct server *s))
{
    Dl_info info;
    const char *p = sentence;

    if (!dladdr((void *)(uintptr_t)function, &info))
        return false;
    const char *file = strrchr(info.dli_fname, '/');
    const char *program = file ? file + 1 : info.dli_fname;
    uintptr_t begin = (uintptr_t)function - (uintptr_t)info.dli_fbase;

    while ((p = strstr(p, program))) {
        p += strlen(program);
        unsigned long at = *p == '+' ? strtoul(p + 1, NULL, 16) : 0;
        if (at >= begin && at < begin + 512)
            return true;
    }
    return false;
}

static void expect_says(const char *sentence, const char *part)
{
    if (!strstr(sentence, part))
        t_fail(__FILE__, __LINE__, "\"%s\" does not say \"%s\"", sentence, part);
}

static const char *const backends[] = {"epoll", "uring"};
#define EACH_BACKEND(b) for (size_t b = 0; b < sizeof(backends) / sizeof(backends[0]); b++)

TEST(who_waits_in_a_call_of_his_own_is_told_while_it_lasts)
{
    EACH_BACKEND(b)
    {
        struct server s = {.o.count = 1, .handler = waits_elsewhere, .end_after = 1};

        if (!server_start(&s, backends[b]))
            continue;
        visit(&s);
        server_join(&s);
        EXPECT_EQ(s.nsaid, 2);
        expect_says(s.said[0],
                    emulator() ? ", in the system call " : ", in the system call read at ");
        expect_says(s.said[0], "stoa_sleep(), stoa_yield() or stoa_offload()");
        if (has_places())
            expect_says(s.said[0], "addr2line -fpie /");
#if !defined(SANITIZE_ADDRESS) /* whose read() has left many old return addresses on the stack */
        EXPECT(!has_places() || names(s.said[0], wait_elsewhere));
#endif
        expect_says(s.said[1], " ms, ");
        expect_says(s.said[1], " of them computing");
    }
}

/* ThreadSanitizer keeps signals back until the program calls something. */
TEST(who_computes_is_told_while_it_lasts)
{
    EACH_BACKEND(b)
    {
        struct server s = {.o.count = 1, .handler = computes, .end_after = 1};

        if (!server_start(&s, backends[b]))
            continue;
        visit(&s);
        server_join(&s);
        EXPECT_EQ(s.nsaid, 2);
        expect_says(s.said[0], ", computing");
#if !defined(SANITIZE_THREAD)
        EXPECT(!has_places() || names(s.said[0], compute));
#endif
    }
}

TEST(who_goes_on_is_told_again_each_second_and_no_more)
{
    struct server s = {.o.count = 1, .handler = waits_elsewhere, .end_after = 3};

    if (!server_start(&s, NULL))
        return;
    visit(&s);
    server_join(&s);
    EXPECT_EQ(s.nsaid, 4);
    EXPECT_GE(s.when[2] - s.when[0], 1.9);
}

TEST(on_a_fiber_it_is_told_too)
{
    struct server s = {.o = {.count = 1, .max_hold = 0.01},
                       .handler = waits_elsewhere,
                       .end_after = 1,
                       .fiber = true};

    if (!server_start(&s, "epoll"))
        return;
    visit(&s);
    server_join(&s);
    EXPECT_EQ(s.nsaid, 2);
}

static void use_thread_cpu(double seconds)
{
    struct timespec t;
    double since = 0, at;

    do {
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
        at = (double)t.tv_sec + (double)t.tv_nsec / 1e9;
        since = since > 0 ? since : at;
    } while (at - since < seconds);
}

/* Runs of 30 ms, of which 100 are allowed, until the client leaves. */
static void computes_in_pieces(int conn, void *arg)
{
    char byte;

    (void)arg;
    stoa_settimeout(conn, 0);
    while (stoa_recv(conn, &byte, 1, 0) < 0) {
        use_thread_cpu(0.03);
        stoa_yield();
    }
}

/* For some time, with something going on meanwhile: nobody is told of. */
static void nobody_is_told(struct server *s, void (*meanwhile)(void))
{
    if (!server_start(s, NULL))
        return;
    int c = dial_soon(s->at.c);

    meanwhile();
    EXPECT_OK(stoa_close(c));
    server_join(s);
    for (int i = 0; i < s->nsaid; i++)
        t_fail(__FILE__, __LINE__, "told: %s", s->said[i]);
}

static void for_a_while(void)
{
    struct timespec t = {.tv_nsec = 600000000};

    nanosleep(&t, NULL);
}

TEST(who_lets_others_run_is_not_told)
{
    struct server s = {.o.count = 1, .handler = computes_in_pieces};

    nobody_is_told(&s, for_a_while);
}

static void holds_a_little(int conn, void *arg)
{
    (void)conn;
    (void)arg;
    use_thread_cpu(0.4);
}

TEST(who_wants_nobody_told_has_it)
{
    struct server s = {.o.count = 1, .handler = holds_a_little, .o.max_hold = -1};

    nobody_is_told(&s, for_a_while);
}

/* This process is stopped, 3 times for 0.3 s, by a child of it. */
static void while_stopped(void)
{
    pid_t parent = getpid(), child = fork();
    struct timespec t = {.tv_nsec = 300000000};
    int status = -1;

    for (int i = 0; child == 0 && i < 3; i++) {
        kill(parent, SIGSTOP);
        nanosleep(&t, NULL);
        kill(parent, SIGCONT);
        nanosleep(&t, NULL);
    }
    if (child == 0)
        _exit(0);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    EXPECT_EQ(status, 0);
}

TEST(a_stopped_process_has_held_nobody)
{
    ALONE(a_stopped_process_has_held_nobody);
    struct server s = {.o.count = 1, .handler = computes_in_pieces};

    nobody_is_told(&s, while_stopped);
}

static void *hog(void *arg)
{
    atomic_bool *over = arg;

    while (!atomic_load(over))
        ;
    return NULL;
}

/* A tenth of a processor is left for the server: its runs of 30 ms take 300. */
static void computes_with_little_time(int conn, void *arg)
{
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 10);
    computes_in_pieces(conn, arg);
}

static void while_hogged(void)
{
    pthread_t t;
    atomic_bool over = false;

    EXPECT_EQ(pthread_create(&t, NULL, hog, &over), 0);
    for_a_while();
    for_a_while();
    atomic_store(&over, true);
    pthread_join(t, NULL);
}

TEST(who_waits_for_a_processor_has_held_nobody)
{
    ALONE(who_waits_for_a_processor_has_held_nobody);
    struct server s = {.o.count = 1, .handler = computes_with_little_time, .o.workers = 1};
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET((unsigned)sched_getcpu(), &one);
    EXPECT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    nobody_is_told(&s, while_hogged);
}

static void on_alarm(int sig)
{
    (void)sig;
}

/* Which real-time signals have another action than the default. */
static int taken(void)
{
    int n = 0;

    for (int sig = SIGRTMIN; sig <= SIGRTMAX; sig++) {
        struct sigaction now;

        sigaction(sig, NULL, &now);
        n += now.sa_handler != SIG_DFL;
    }
    return n;
}

TEST(the_signals_are_as_they_were)
{
    ALONE(the_signals_are_as_they_were);
    struct server s = {.o.count = 1, .handler = computes, .end_after = 2};

    if (!server_start(&s, NULL))
        return;
    visit(&s);
    server_join(&s);
#if !defined(SANITIZE_THREAD)
    EXPECT_EQ(taken(), 0);
#endif
}

static void computes_deaf(int conn, void *arg)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    computes(conn, arg);
}

TEST(without_a_signal_to_borrow_it_is_told_all_the_same)
{
    ALONE(without_a_signal_to_borrow_it_is_told_all_the_same);
    struct server deaf = {.o.count = 1, .handler = computes_deaf, .end_after = 1};
    struct server s = {.o.count = 1, .handler = computes, .end_after = 1};

    if (!server_start(&deaf, NULL))
        return;
    visit(&deaf);
    server_join(&deaf);
    expect_says(deaf.said[0], ", computing; ");

    for (int sig = SIGRTMIN; sig <= SIGRTMAX; sig++)
        signal(sig, on_alarm);
    server_start(&s, NULL);
    visit(&s);
    server_join(&s);
    expect_says(s.said[0], ", computing; ");
    EXPECT_EQ(taken() - 1, SIGRTMAX - SIGRTMIN);
}

TEST(what_is_no_number_is_refused)
{
    struct stoa_options o = {.size = sizeof(o), .max_hold = (double)NAN};

    EXPECT_ERR(stoa_serve("127.0.0.1:0", computes, NULL, &o), EINVAL);
    EXPECT_SAID("is no number");
}
