/* successor.c - start a program as sd_listen_fds(3) has it, and wait for its word.
 *
 * Listeners become the descriptors 3, 4, ... of the new program, and our end of a socket pair the
 * one after them (net/inherit.h).  The pair tells of the program's death, too.
 *
 * LISTEN_PID is known to the new process alone, which must have our open files and nothing else of
 * ours: fork(2) would make every socket one that others may have.  So it is clone(2) with our
 * memory and a stack of its own, as posix_spawn(3) does it: we stand until it has become the
 * program, and it tells by memory why it could not.
 *
 * The program is looked up as a shell does, so that the file is taken which has that name now.  It
 * has our standard descriptors, folder, environment and user; no signal is blocked.
 *
 * Limits: who is to end has END_NS, for it may have clients, then SIGKILL.  A process for which
 * somebody else waits (a waitpid(-1) of the program) may be gone already, its status unknown.
 */
#include "serve/successor.h"

#include "backend/loop.h"
#include "fiber/sanitize.h"
#include "net/inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_LEN  ((size_t)64 << 10) /* execvpe(3) has paths on it, and for a script its words */
#define END_NS     ((uint64_t)10 * 1000 * 1000 * 1000)
#define EXIT_NS    ((uint64_t)1000 * 1000 * 1000) /* from the end of a process's files to its own */
#define LOOK_MS    5
#define BLIND_NS   ((long)50 * 1000 * 1000)
#define PID_DIGITS 12

extern char **environ;

/* -------------------------------------------------------------------------
 * The environment
 * ---------------------------------------------------------------------- */

enum { VARIABLES = 4 };

static const char *const ours[] = {
    "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=", "LISTEN_PIDFDID=", INHERIT_TOLD_IS};

struct environment {
    char **list; /* its entries are others', but for those below */
    char pid[sizeof("LISTEN_PID=") + PID_DIGITS];
    char fds[sizeof("LISTEN_FDS=") + PID_DIGITS];
    char told[sizeof(INHERIT_TOLD_IS) + PID_DIGITS];
    char *names;
};

static bool is_ours(const char *entry)
{
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        if (strncmp(entry, ours[i], strlen(ours[i])) == 0)
            return true;
    return false;
}

/* The names of all, by colons.  To be freed; NULL: no memory. */
static char *names_of(const struct bequest *list, int n)
{
    size_t len = sizeof("LISTEN_FDNAMES=");
    char *names, *end;

    for (int i = 0; i < n; i++)
        len += strlen(list[i].name) + 1;
    names = malloc(len);
    if (!names)
        return NULL;
    end = stpcpy(names, "LISTEN_FDNAMES=");
    for (int i = 0; i < n; i++) {
        end = stpcpy(end, i ? ":" : "");
        end = stpcpy(end, list[i].name);
    }
    return names;
}

static void environment_free(struct environment *e)
{
    free(e->names);
    free(e->list);
}

/* Our own, and what the successor is to know.  0; -ENOMEM. */
static int environment_make(struct environment *e, const struct bequest *list, int n)
{
    size_t count = 0;

    while (environ && environ[count])
        count++;
    *e = (struct environment){.list = calloc(count + VARIABLES + 1, sizeof(*e->list)),
                              .names = names_of(list, n)};
    if (!e->list || !e->names) {
        environment_free(e);
        return -ENOMEM;
    }
    snprintf(e->fds, sizeof(e->fds), "LISTEN_FDS=%d", n);
    snprintf(e->told, sizeof(e->told), "%s%d", INHERIT_TOLD_IS, INHERIT_FIRST + n);
    count = 0;
    for (char **entry = environ; entry && *entry; entry++)
        if (!is_ours(*entry))
            e->list[count++] = *entry;
    e->list[count++] = e->pid;
    e->list[count++] = e->fds;
    e->list[count++] = e->names;
    e->list[count] = e->told;
    return 0;
}

/* -------------------------------------------------------------------------
 * In the new process, which has our memory.  What changes anything asks the kernel itself:
 * ThreadSanitizer keeps its account of handlers and descriptors in that memory, for us.
 * ---------------------------------------------------------------------- */

#if defined(SANITIZE_THREAD)
/* It takes clone(2) for a fork(2), and would forget all threads of ours but this one. */
extern __typeof__(clone) __clone;
#define CLONE __clone
#else
#define CLONE clone
#endif

enum {
    SIGNALS_LEN = (NSIG + 6) / 8, /* bytes of the kernel's signal set */
    ACTION_WORDS = 8,             /* more than its struct sigaction has, on any machine */
};

struct start {
    char *const *argv;
    struct environment env;
    const struct bequest *list;
    int n;
    int told; /* the program's end */
    int *high;
    int error;
};

/* Our handlers are not to run here. */
static void signals_default(void)
{
    static const unsigned long by_default[ACTION_WORDS];

    for (int sig = 1; sig < NSIG; sig++) {
        struct sigaction now;

        if (sigaction(sig, NULL, &now) == 0 && now.sa_handler != SIG_IGN)
            syscall(SYS_rt_sigaction, sig, by_default, NULL, SIGNALS_LEN);
    }
}

/* snprintf(3) may not be called here. */
static void pid_write(char *variable)
{
    char digits[PID_DIGITS], *end = stpcpy(variable, "LISTEN_PID=");
    int n = 0;

    for (pid_t pid = getpid(); pid > 0; pid /= 10)
        digits[n++] = (char)('0' + pid % 10);
    while (n > 0)
        *end++ = digits[--n];
    *end = 0;
}

/* To their places; first out of one another's way.  -1 with errno. */
static int descriptors_move(struct start *s)
{
    int r = 0, above = INHERIT_FIRST + s->n + 1;

    for (int i = 0; r >= 0 && i <= s->n; i++)
        r = s->high[i] = fcntl(i < s->n ? s->list[i].fd : s->told, F_DUPFD_CLOEXEC, above);
    for (int i = 0; r >= 0 && i <= s->n; i++)
        r = (int)syscall(SYS_dup3, s->high[i], INHERIT_FIRST + i, 0);
    return r;
}

static int become(void *arg)
{
    struct start *s = arg;
    sigset_t none;

    signals_default();
    if (descriptors_move(s) >= 0) {
        pid_write(s->env.pid);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        execvpe(s->argv[0], s->argv, s->env.list);
    }
    s->error = errno;
    return 127;
}

/* -------------------------------------------------------------------------
 * Start, word, end
 * ---------------------------------------------------------------------- */

/* No signal comes to us while the new process has our memory.  Its number; negative errno. */
static pid_t clone_start(struct start *s)
{
    size_t len = STACK_LEN;
    sigset_t all, before;
    pid_t pid;

    for (char *const *word = s->argv; *word; word++)
        len += sizeof(*word);
    len &= ~(size_t)15;
    char *stack = malloc(len);

    if (!stack)
        return -ENOMEM;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid = CLONE(become, stack + len, CLONE_VM | CLONE_VFORK | SIGCHLD, s);
    if (pid < 0)
        s->error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    free(stack);
    while (pid > 0 && s->error && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    return s->error ? -s->error : pid;
}

int successor_start(struct successor *s, char *const argv[], const struct bequest *list, int n)
{
    struct start start = {.argv = argv, .list = list, .n = n};
    int ends[2];
    int r = -ENOMEM;

    *s = (struct successor){.told = -1, .status = -1};
    start.high = calloc((size_t)n + 1, sizeof(*start.high));
    if (!start.high)
        return r;
    r = environment_make(&start.env, list, n);
    if (r < 0)
        goto fail_high;
    r = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0 ? -errno : 0;
    if (r < 0)
        goto fail_env;
    start.told = ends[1];
    s->told = ends[0];
    r = s->pid = clone_start(&start);
    close(ends[1]);
    if (r < 0)
        close(ends[0]);
fail_env:
    environment_free(&start.env);
fail_high:
    free(start.high);
    return r < 0 ? r : 0;
}

/* What has come on told.  0: its word; -ECHILD: its end; -EAGAIN: nothing. */
static int word_of(const struct successor *s)
{
    char byte;
    ssize_t r = recv(s->told, &byte, 1, MSG_DONTWAIT);

    if (r == 1)
        return 0;
    return r < 0 && (errno == EAGAIN || errno == EINTR) ? -EAGAIN : -ECHILD;
}

int successor_await(struct successor *s, uint64_t ns)
{
    uint64_t now_ns = backend_here()->now();
    uint64_t until_ns = ns < UINT64_MAX - now_ns ? now_ns + ns : UINT64_MAX;

    while (now_ns < until_ns) {
        uint64_t left_ns = until_ns - now_ns;
        struct timespec left = {.tv_sec = (time_t)(left_ns / 1000000000),
                                .tv_nsec = (long)(left_ns % 1000000000)};
        struct pollfd fds[] = {{.fd = s->told, .events = POLLIN},
                               {.fd = loop_stop_fd(), .events = POLLIN}};

        if (loop_stop_told())
            return -ECANCELED;
        if (fds[1].fd < 0 && left_ns > (uint64_t)BLIND_NS) /* nothing tells of a stop */
            left = (struct timespec){.tv_nsec = BLIND_NS};
        ppoll(fds, 2, &left, NULL);
        int r = word_of(s);
        if (r != -EAGAIN)
            return r;
        now_ns = backend_here()->now();
    }
    return -ETIME;
}

/* Has it ended?  Then its status is known, or lost. */
static bool has_ended(struct successor *s, int flags)
{
    int status = -1;
    pid_t r = waitpid(s->pid, &status, flags);

    if (r == 0 || (r < 0 && errno == EINTR))
        return false;
    s->status = r > 0 ? status : -1;
    return true;
}

static bool ends_within(struct successor *s, uint64_t ns)
{
    uint64_t begun_ns = backend_here()->now();

    while (!has_ended(s, WNOHANG)) {
        if (backend_here()->now() - begun_ns > ns || loop_stop_told())
            return false;
        poll(NULL, 0, LOOK_MS);
    }
    return true;
}

void successor_stop(struct successor *s)
{
    close(s->told);
    if (!has_ended(s, WNOHANG))
        kill(s->pid, SIGTERM);
}

/* Who has closed its end of the pair is on its way out, mostly. */
void successor_end(struct successor *s)
{
    bool over = word_of(s) == -ECHILD && ends_within(s, EXIT_NS);

    close(s->told);
    s->told = -1;
    if (over || has_ended(s, WNOHANG))
        return;
    kill(s->pid, SIGTERM);
    if (ends_within(s, END_NS) || loop_stop_told()) /* this process does not wait then */
        return;
    kill(s->pid, SIGKILL);
    while (!has_ended(s, 0))
        ;
}

void successor_status(const struct successor *s, struct text *t)
{
    if (s->status < 0) {
        text_add(t, "it ended");
    } else if (WIFSIGNALED(s->status)) {
        text_add(t, "it was ended by signal ");
        text_add_number(t, (uint64_t)WTERMSIG(s->status));
    } else {
        text_add(t, "it ended with status ");
        text_add_number(t, (uint64_t)WEXITSTATUS(s->status));
    }
}
