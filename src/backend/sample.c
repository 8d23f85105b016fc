/* sample.c - a backtrace of another thread, by a signal (docs/why/0011-who-holds-a-core.md).
 *
 * The program's signals are its own, so one is borrowed, and only in the moment of asking: a
 * real-time signal whose action is the default, which nobody has a use for, and which that
 * thread does not block.  It is sent to the thread alone, answered on a stack of its own
 * (SA_ONSTACK), and then its action is the default again.  Who never answers may still get
 * it later: then our handler stays, for the default would end the process.
 *
 * Not for a thread that waits in the kernel: some calls (sleep(3), poll(2)) would end early.
 *
 * backtrace(3) is asked once before, by us, for its first call loads a library; from then on
 * it takes no lock and no memory (glibc 2.35 and later).
 *
 * Limits: one thread is asked at a time.  Sources: signal(7), sigaction(2), sigaltstack(2).
 */
#include "backend/sample.h"

#include "base/limits.h"

#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

enum {
    ANSWER_LOOKS = 100,      /* a millisecond each: for the answer to come */
    OWN_FRAMES = 4,          /* the handler's, above what is asked for */
    ANSWER_STACK = 64 << 10, /* a signal's frame (AMX: 11 KiB), and the unwinder */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int left_signal; /* whose handler is in place, as one who was asked may still hear it */
static unsigned nsent;  /* both under lock */
static atomic_uint nheard;

static _Atomic pid_t asked; /* who is to answer; 0: nobody, an answer comes too late */
static atomic_bool answered;
static void *answer[SPOT_FRAMES + OWN_FRAMES];
static atomic_int nanswer;

/* Where the signal has met it. */
static void *interrupted_at(const ucontext_t *u)
{
#if defined(__x86_64__)
    return (void *)u->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (void *)u->uc_mcontext.pc;
#else
    (void)u;
    return NULL;
#endif
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
    int saved = errno, n, own = 0;
    pid_t me = (pid_t)syscall(SYS_gettid);
    void *at = interrupted_at(context);

    (void)sig;
    if (info->si_code != SI_TKILL || info->si_pid != getpid())
        return;
    atomic_fetch_add(&nheard, 1);
    if (!atomic_compare_exchange_strong(&asked, &me, 0))
        return;
    n = backtrace(answer, SPOT_FRAMES + OWN_FRAMES);
    while (own < n && answer[own] != at)
        own++;
    if (own == n) { /* it did not come so far: one place is known */
        own = 0;
        n = at != NULL;
        answer[0] = at;
    }
    memmove(answer, answer + own, (size_t)(n - own) * sizeof(answer[0]));
    atomic_store(&nanswer, n - own);
    atomic_store(&answered, true);
    errno = saved;
}

void *sample_stack_make(void)
{
    stack_t stack = {.ss_size = ANSWER_STACK}, there;

    if (sigaltstack(NULL, &there) < 0 || !(there.ss_flags & SS_DISABLE))
        return NULL;
    stack.ss_sp =
        mmap(NULL, ANSWER_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack.ss_sp == MAP_FAILED)
        return NULL;
    if (sigaltstack(&stack, NULL) == 0)
        return stack.ss_sp;
    munmap(stack.ss_sp, ANSWER_STACK);
    return NULL;
}

void sample_stack_free(void *stack)
{
    stack_t none = {.ss_flags = SS_DISABLE}, there;

    if (!stack)
        return;
    if (sigaltstack(NULL, &there) == 0 && there.ss_sp == stack)
        (void)sigaltstack(&none, NULL);
    munmap(stack, ANSWER_STACK);
}

/* The signals that a thread blocks, as proc(5) has them; all, when that is not to be had. */
static uint64_t blocked_by(pid_t tid)
{
    char path[64], text[4096];
    const char *line;
    ssize_t n = -1;

    snprintf(path, sizeof(path), "/proc/self/task/%d/status", (int)tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        n = read(fd, text, sizeof(text) - 1);
        close(fd);
    }
    text[n > 0 ? n : 0] = '\0';
    line = strstr(text, "\nSigBlk:");
    return line ? strtoull(line + 8, NULL, 16) : UINT64_MAX;
}

static bool is_ours(int sig)
{
    struct sigaction now;

    return sigaction(sig, NULL, &now) == 0 && now.sa_flags & SA_SIGINFO &&
           now.sa_sigaction == on_signal;
}

/* A signal that nobody uses and the thread hears, with our handler; 0: there is none.  While one
 * is on its way it is that one, so that they can be counted. */
static int borrow(pid_t tid)
{
    uint64_t blocked = blocked_by(tid);
    struct sigaction ours = {.sa_sigaction = on_signal,
                             .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};

    if (left_signal && !is_ours(left_signal)) { /* the program has taken it, and what comes by it */
        left_signal = 0;
        nsent = atomic_load(&nheard);
    }
    sigfillset(&ours.sa_mask);
    for (int sig = SIGRTMAX; sig >= SIGRTMIN; sig--) {
        struct sigaction now;

        if (blocked >> (sig - 1) & 1 || (left_signal && sig != left_signal))
            continue;
        if (left_signal)
            return sig;
        if (sigaction(sig, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) &&
            now.sa_handler == SIG_DFL && sigaction(sig, &ours, NULL) == 0)
            return sig;
    }
    return 0;
}

/* Give it back, unless the program has taken it meanwhile. */
static void give_back(int sig)
{
    struct sigaction before = {.sa_handler = SIG_DFL};

    if (is_ours(sig))
        sigaction(sig, &before, NULL);
}

static bool await_answer(void)
{
    struct timespec rest = {.tv_nsec = 1000000};

    for (int i = 0; i < ANSWER_LOOKS && !atomic_load(&answered); i++)
        nanosleep(&rest, NULL);
    return atomic_load(&answered);
}

static size_t ask(pid_t tid, uintptr_t *pc, size_t n)
{
    size_t got = 0;
    int sig = borrow(tid);
    bool came = false;

    if (!sig)
        return 0;
    left_signal = sig;
    atomic_store(&answered, false);
    atomic_store(&asked, tid);
    if (syscall(SYS_tgkill, getpid(), tid, sig) == 0) {
        pid_t silent = tid;

        nsent++;
        /* Nobody is asked any more: it has begun to answer, and that ends soon. */
        came = await_answer() ||
               (!atomic_compare_exchange_strong(&asked, &silent, 0) && await_answer());
    }
    if (atomic_load(&nheard) == nsent) {
        give_back(sig);
        left_signal = 0;
    }
    for (; came && got < n && got < (size_t)atomic_load(&nanswer); got++)
        pc[got] = (uintptr_t)answer[got] + (got == 0); /* as if it were behind a call, too */
    return got;
}

/* Who asks, and who was asked, are the parent's threads. */
static void in_child(void)
{
    pthread_mutex_init(&lock, NULL);
    atomic_store(&asked, 0);
    nsent = atomic_load(&nheard);
    if (left_signal)
        give_back(left_signal);
    left_signal = 0;
}

static void begin(void)
{
    pthread_atfork(NULL, NULL, in_child);
}

size_t sample(pid_t tid, uintptr_t *pc, size_t n)
{
    void *own[2];
    size_t got;

    if (backtrace(own, 2) == 0)
        return 0;
    pthread_once(&once, begin);
    pthread_mutex_lock(&lock);
    got = ask(tid, pc, n);
    pthread_mutex_unlock(&lock);
    return got;
}
