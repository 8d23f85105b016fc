/* processes.c - a supervisor: it starts processes that serve, replaces them, ends them.
 *
 * Each process has a listener of its own, and the kernel deals the clients of the port out among
 * them (SO_REUSEPORT).  The supervisor has made them all and keeps them open: who waits in the
 * queue of a process that crashes is served by the next one.  A UNIX socket, or a listener that was
 * given to us, is one for all of them.
 *
 * The supervisor alone listens to signals, for a terminal and a service manager send them to all
 * processes.  It has the writing end of a pipe; when that is closed, the processes stop: because
 * the supervisor says so, or because it is no more.  So nobody serves on without it.
 *
 * A stop loses nobody whom the kernel has accepted.  First the listeners let no new client begin,
 * which only who has all of them can do; then those in the middle of their handshake have
 * HANDSHAKE_NS to end it; then the processes are told, and each empties its queue.  A process
 * that crashes meanwhile is replaced, until its queue is empty: then the supervisor closes its end
 * of the listener, too, and who comes later is refused.
 *
 * At SIGUSR2 the next supervisor gets all listeners (handover.h).  A helper waits for it, for
 * crashes are to be seen meanwhile.  Then a byte in a second pipe tells the processes to let go.
 *
 * What holds: the supervisor starts no thread, so a fork copies nothing that is half done.
 *
 * Limits: a process that ends within QUICK_NS of its beginning is replaced after a pause.
 * Sources: socket(7), SO_REUSEPORT and SO_ATTACH_FILTER; docs/why/0012.
 */
#include "cli/processes.h"

#include "base/limits.h"
#include "cli/exitcode.h"
#include "cli/handover.h"
#include "cli/log.h"
#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char WHO[] = "stoa serve";

static const uint64_t NEVER_NS = UINT64_MAX;
static const uint64_t QUICK_NS = 1000000000;
static const uint64_t PAUSE_NS = 100000000; /* after one quick end; doubled by each more */
static const uint64_t HANDSHAKE_NS = 250000000;
static const uint64_t LOOK_NS = 20000000; /* between two looks whether a queue is empty */

enum {
    PAUSE_DOUBLINGS = 6,
    LET_GO_AGAIN_MS = 50, /* doubled by each */
    LET_GO_AGAIN_MAX_MS = 10000,
    QUICK_IN_STOP = 2, /* then a process that is to empty its queue has been tried enough */
};

struct process {
    pid_t pid;    /* 0: there is none, and one begins at due_ns */
    int listener; /* a handle; -1: it has been closed */
    uint64_t began_ns;
    uint64_t due_ns;
    unsigned nquick; /* quick ends in a row */
};

struct supervisor {
    const struct listener *at;
    const struct plan *plan;
    struct process *process;
    bool own; /* each process has a listener of its own */
    int hold; /* the pipe's writing end; -1: the processes have been told to stop */
    int held; /* its reading end */
    int tell; /* a second pipe's writing end: a byte in it tells the processes to let go */
    int told;
    pid_t helper;    /* waits for the next supervisor; 0: there is none */
    int helper_says; /* struct outcome, when it ends */
    bool handed_over;
    sigset_t before;  /* the signal mask of the processes */
    int stopped_by;   /* the first signal */
    uint64_t next_ns; /* after it: when the next step of the stop is due */
    bool failed;      /* a process has not ended as it should, when all were to */
};

static void listener_closes(struct process *p)
{
    if (p->listener >= 0)
        stoa_close(p->listener);
    p->listener = -1;
}

/* -------------------------------------------------------------------------
 * In a process that serves
 * ---------------------------------------------------------------------- */

/* The first pipe ends.  In the second there is a byte, which nobody takes, so that all see it; its
 * end alone says nothing: when the supervisor dies, each empties its own queue.
 *
 * A process that has just been started may not serve yet when the byte comes, and who serves later
 * does not know of a stoa_let_go(): so it is told again and again, but ever more rarely. */
static void *await_end(void *arg)
{
    const struct supervisor *s = arg;
    struct pollfd ends[] = {{.fd = s->held, .events = POLLIN}, {.fd = s->told, .events = POLLIN}};
    int wait_ms = -1;

    while (!ends[0].revents) {
        if (poll(ends, 2, wait_ms) < 0)
            continue;
        if (wait_ms >= 0)
            wait_ms = wait_ms < LET_GO_AGAIN_MAX_MS / 2 ? 2 * wait_ms : LET_GO_AGAIN_MAX_MS;
        if (ends[1].revents & POLLIN)
            wait_ms = LET_GO_AGAIN_MS;
        if (ends[1].revents)
            ends[1] = (struct pollfd){.fd = -1};
        if (wait_ms >= 0)
            stoa_let_go();
    }
    stoa_stop();
    return NULL;
}

static void ends_close(struct supervisor *s)
{
    if (s->hold >= 0)
        close(s->hold);
    close(s->tell);
}

static int be_process(struct supervisor *s, unsigned i)
{
    pthread_t thread;

    ends_close(s);
    for (unsigned k = 0; s->own && k < s->plan->nprocess; k++)
        if (k != i)
            listener_closes(&s->process[k]);
    pthread_sigmask(SIG_SETMASK, &s->before, NULL);
    log_process(i);
    errno = pthread_create(&thread, NULL, await_end, s);
    if (errno) {
        output_say(WHO, "no thread that waits for the end: %s", strerror(errno));
        return CODE_FAILED;
    }
    pthread_detach(thread);
    return s->plan->serve(i, s->process[i].listener, s->plan->arg);
}

/* What became of handing over: a helper's only word. */
struct outcome {
    pid_t pid; /* -1: nothing, and why */
    char why[SENTENCE_MAX];
};

static void helper_stops(int sig)
{
    (void)sig;
    stoa_stop();
}

static int be_helper(struct supervisor *s, int says)
{
    struct outcome o = {.pid = -1};
    sigset_t term;

    ends_close(s);
    signal(SIGTERM, helper_stops);
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    pthread_sigmask(SIG_UNBLOCK, &term, NULL);
    o.pid = handover_await();
    snprintf(o.why, sizeof(o.why), "%s", o.pid < 0 ? stoa_errmsg() : "");
    return output_all(says, &o, sizeof(o)) < 0 ? CODE_FAILED : CODE_OK;
}

/* -------------------------------------------------------------------------
 * Listeners
 * ---------------------------------------------------------------------- */

/* The option once more by this call, so that the library knows of it: then it adds no listeners
 * for a process's workers, which would end with the process. */
static int share_port(int listener)
{
    int on = 1;

    return stoa_setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
}

static int listeners_open(struct supervisor *s)
{
    struct stoa_options o = *s->plan->options;
    char at[STOA_ADDR_TEXT_MAX];
    int first = s->at->socket;

    for (unsigned i = 0; i < s->plan->nprocess; i++)
        s->process[i].listener = first;
    if (!s->own)
        return 0;
    stoa_addr_text(&s->at->at, at, sizeof(at));
    o.reuseport = true;
    for (unsigned i = 0; i < s->plan->nprocess; i++) {
        int listener = i == 0 ? first : stoa_announce(at, &o);

        if (listener < 0 || share_port(listener) < 0)
            return -1;
        s->process[i].listener = listener;
    }
    return 0;
}

static void listeners_close(struct supervisor *s)
{
    listener_closes(&s->process[0]);
    for (unsigned i = 1; i < s->plan->nprocess; i++)
        if (s->own)
            listener_closes(&s->process[i]);
        else
            s->process[i].listener = -1;
}

/* SYNs are dropped; what else comes passes. */
static int drop_syns(int listener)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, offsetof(struct tcphdr, th_flags)),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, TH_SYN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

    return stoa_setsockopt(listener, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

/* No new client begins.  Where the kernel cannot be told so, the processes' own ends of the
 * listeners are the last. */
static void listeners_stop(struct supervisor *s)
{
    bool dropping = s->own && !s->at->datagram;

    for (unsigned i = 0; dropping && i < s->plan->nprocess; i++)
        dropping = drop_syns(s->process[i].listener) == 0;
    if (!dropping)
        listeners_close(s);
    s->next_ns = output_now_ns() + (dropping ? HANDSHAKE_NS : 0);
}

/* Nobody can be lost any more by the end of those whose queue is empty.  Are all closed? */
static bool listeners_let_go(struct supervisor *s)
{
    bool all = true;

    for (unsigned i = 0; i < s->plan->nprocess; i++) {
        struct process *p = &s->process[i];

        if (p->listener < 0)
            continue;
        stoa_settimeout(p->listener, 0);
        if (stoa_poll(p->listener, POLLIN) > 0)
            all = false;
        else
            listener_closes(p);
    }
    return all;
}

/* -------------------------------------------------------------------------
 * Processes begin and end
 * ---------------------------------------------------------------------- */

/* 0; -1 with errno.  Does not return in the new process. */
static int process_start(struct supervisor *s, unsigned i)
{
    struct process *p = &s->process[i];
    pid_t pid = fork();

    if (pid < 0)
        return -1;
    if (pid == 0)
        exit(be_process(s, i));
    p->pid = pid;
    p->began_ns = output_now_ns();
    p->due_ns = NEVER_NS;
    return 0;
}

static uint64_t pause_ns(unsigned nquick)
{
    unsigned doublings = nquick <= PAUSE_DOUBLINGS ? nquick - 1 : PAUSE_DOUBLINGS;

    return nquick == 0 ? 0 : PAUSE_NS << doublings;
}

static void process_ended(struct supervisor *s, unsigned i, int status)
{
    struct process *p = &s->process[i];
    uint64_t now_ns = output_now_ns();
    bool stopping = s->stopped_by || s->handed_over;
    struct lost l = {.i = i, .pid = p->pid, .status = status, .lived_ns = now_ns - p->began_ns};

    p->pid = 0;
    p->nquick = l.lived_ns < QUICK_NS ? p->nquick + 1 : 0;
    if (stopping && WIFEXITED(status) && WEXITSTATUS(status) == CODE_OK)
        return;
    l.replaced = !stopping || (p->listener >= 0 && p->nquick <= QUICK_IN_STOP);
    l.pause_ns = pause_ns(p->nquick);
    if (l.replaced)
        p->due_ns = now_ns + l.pause_ns;
    else
        s->failed = true;
    log_lost(&l);
}

/* The next supervisor serves: nothing is replaced any more. */
static void let_go(struct supervisor *s)
{
    s->handed_over = true;
    (void)!write(s->tell, "", 1); /* an empty pipe has room for it */
    listeners_close(s);
    for (unsigned i = 0; i < s->plan->nprocess; i++)
        s->process[i].due_ns = NEVER_NS;
}

static void helper_ended(struct supervisor *s)
{
    struct outcome o = {.pid = -1};

    if (read(s->helper_says, &o, sizeof(o)) != sizeof(o))
        o = (struct outcome){.pid = -1, .why = "the process that was to hand over has ended"};
    close(s->helper_says);
    s->helper = 0;
    if (o.pid > 0 && s->stopped_by) { /* it was too late to tell the helper */
        kill(o.pid, SIGTERM);
        o = (struct outcome){.pid = -1, .why = "the process that was to take over is stopped, too"};
    }
    if (o.pid > 0) {
        handover_tell_done(o.pid);
        let_go(s);
    } else {
        handover_tell_failed(o.why, !s->stopped_by);
    }
}

static void reap(struct supervisor *s)
{
    pid_t pid;
    int status;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == s->helper)
            helper_ended(s);
        for (unsigned i = 0; i < s->plan->nprocess; i++)
            if (s->process[i].pid == pid)
                process_ended(s, i, status);
    }
}

/* Start whose time has come. */
static void start_due(struct supervisor *s)
{
    for (unsigned i = 0; i < s->plan->nprocess; i++) {
        struct process *p = &s->process[i];

        if (p->pid || p->due_ns > output_now_ns() || process_start(s, i) == 0)
            continue;
        output_say(WHO, "process %u of %u cannot be started: %s", i + 1, s->plan->nprocess,
                   strerror(errno));
        p->nquick++;
        p->due_ns = output_now_ns() + pause_ns(p->nquick);
    }
}

static bool any_left(const struct supervisor *s)
{
    for (unsigned i = 0; i < s->plan->nprocess; i++)
        if (s->process[i].pid || s->process[i].due_ns != NEVER_NS)
            return true;
    return false;
}

/* -------------------------------------------------------------------------
 * The supervisor's life
 * ---------------------------------------------------------------------- */

/* The processes are to stop. */
static void tell_stop(struct supervisor *s)
{
    if (s->hold >= 0)
        close(s->hold);
    s->hold = -1;
}

static void stop_goes_on(struct supervisor *s)
{
    tell_stop(s);
    s->next_ns = listeners_let_go(s) ? NEVER_NS : output_now_ns() + LOOK_NS;
}

/* At once, and by force. */
static void end_at_once(struct supervisor *s, int sig)
{
    for (unsigned i = 0; i < s->plan->nprocess; i++)
        if (s->process[i].pid)
            kill(s->process[i].pid, SIGKILL);
    _exit(CODE_SIGNAL + sig);
}

/* Who waits in the queue of a process that is not there is served all the same. */
static void stop(struct supervisor *s, int sig)
{
    if (s->stopped_by)
        end_at_once(s, sig);
    s->stopped_by = sig;
    log_stopping(s->plan->drain_seconds);
    handover_tell_stopping();
    if (s->helper)
        kill(s->helper, SIGTERM);
    listeners_stop(s);
    for (unsigned i = 0; i < s->plan->nprocess; i++)
        if (!s->process[i].pid)
            s->process[i].due_ns = s->process[i].listener >= 0 ? 0 : NEVER_NS;
}

/* Another supervisor is to take over. */
static void hand_over(struct supervisor *s)
{
    int ends[2];

    if (s->stopped_by || !handover_may_begin())
        return;
    if (pipe2(ends, O_CLOEXEC) < 0) {
        handover_tell_failed(strerror(errno), true);
        return;
    }
    s->helper = fork();
    if (s->helper == 0)
        _exit(be_helper(s, ends[1]));
    close(ends[1]);
    s->helper_says = ends[0];
    if (s->helper > 0)
        return;
    s->helper = 0;
    close(ends[0]);
    handover_tell_failed(strerror(errno), true);
}

/* When there is something to do that no signal tells of. */
static uint64_t next_ns(const struct supervisor *s)
{
    uint64_t next = s->next_ns;

    for (unsigned i = 0; i < s->plan->nprocess; i++)
        if (!s->process[i].pid && s->process[i].due_ns < next)
            next = s->process[i].due_ns;
    return next;
}

/* The next signal; -1: it is until_ns. */
static int await_signal(const sigset_t *awaited, uint64_t until_ns)
{
    uint64_t now_ns = output_now_ns();
    uint64_t ns = until_ns > now_ns ? until_ns - now_ns : 0;
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};

    return until_ns == NEVER_NS ? sigwaitinfo(awaited, NULL) : sigtimedwait(awaited, NULL, &t);
}

/* Until all processes have ended after a stop. */
static void supervise(struct supervisor *s)
{
    sigset_t awaited = s->plan->stops;

    sigaddset(&awaited, SIGCHLD);
    while ((!s->stopped_by && !s->handed_over) || any_left(s) || s->helper) {
        int sig = await_signal(&awaited, next_ns(s));

        if (sig == SIGCHLD)
            reap(s);
        else if (sig == SIGUSR2)
            hand_over(s);
        else if (sig > 0)
            stop(s, sig);
        if (output_now_ns() >= s->next_ns)
            stop_goes_on(s);
        start_due(s);
    }
}

/* 0; an exit code, and it has been said why. */
static int start_all(struct supervisor *s)
{
    for (unsigned i = 0; i < s->plan->nprocess; i++)
        if (process_start(s, i) < 0) {
            output_say(WHO, "--processes %u: process %u cannot be started: %s", s->plan->nprocess,
                       i + 1, strerror(errno));
            return CODE_FAILED;
        }
    return s->plan->started(s->plan->arg);
}

/* Those that have been started end. */
static void end_all(struct supervisor *s)
{
    tell_stop(s);
    for (unsigned i = 0; i < s->plan->nprocess; i++)
        while (s->process[i].pid && waitpid(s->process[i].pid, NULL, 0) < 0 && errno == EINTR)
            continue;
}

static int run(struct supervisor *s)
{
    int code = start_all(s);

    if (code) {
        end_all(s);
        return code;
    }
    supervise(s);
    if (s->failed)
        return CODE_FAILED;
    return s->stopped_by == SIGINT ? CODE_SIGNAL + SIGINT : CODE_OK;
}

/* What is to be there before the first process; 0, or -1 with errno. */
static int prepare(struct supervisor *s)
{
    sigset_t child;
    int stop[2], go[2];

    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &child, &s->before);
    if (log_share(s->plan->nprocess) < 0 || pipe2(stop, O_CLOEXEC) < 0 || pipe2(go, O_CLOEXEC) < 0)
        return -1;
    s->held = stop[0];
    s->hold = stop[1];
    s->told = go[0];
    s->tell = go[1];
    return 0;
}

int processes_run(const struct listener *l, const struct plan *plan)
{
    struct supervisor s = {
        .at = l,
        .plan = plan,
        .process = calloc(plan->nprocess, sizeof(*s.process)),
        .own = !l->given && l->at.sa.ss_family != AF_UNIX,
        .next_ns = NEVER_NS,
    };
    int code = CODE_FAILED;

    if (!s.process || prepare(&s) < 0) {
        output_say(WHO, "--processes %u: %s", plan->nprocess, strerror(errno));
    } else if (listeners_open(&s) < 0) {
        code = exitcode_bind(errno, plan->at);
        output_say(WHO, "%s", stoa_errmsg());
    } else {
        code = run(&s);
    }
    free(s.process);
    return code;
}
