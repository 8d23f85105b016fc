/* handover.c - a program takes another one's place, and nobody in a queue is lost.
 *
 * The danger: a listener that is closed resets whoever waits in its queue; one that nobody accepts
 * from lets them wait for ever.  The way: clients are there, with their question sent, while
 * the old program cannot accept them; so every answer is the new one's.
 *
 * The new program is this one again: a constructor serves when HANDOVER_AT is in the environment.
 */
#include "old.h"
#include "unit/watched.h"

#include <ctype.h>
#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char self[4096] = "/proc/self/exe";
static char *again[] = {self, NULL, NULL};

/* An emulator is a program of its own, which has ours to run. */
__attribute__((constructor)) static void be_emulated(void)
{
    if (!emulator())
        return;
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n < 0)
        _exit(126);
    self[n] = 0;
    again[0] = (char *)(uintptr_t)emulator();
    again[1] = self;
}

/* -------------------------------------------------------------------------
 * The program that takes over
 * ---------------------------------------------------------------------- */

static int hand_over_again(void *arg)
{
    (void)arg;
    return stoa_hand_over(again, 3600);
}

/* While the handler holds its worker, waiting for us. */
static void *until_status_tells(void *arg)
{
    bool told = false;

    (void)arg;
    while (!told) {
        char *text = stoa_status();

        told = text && strstr(text, "does=holds");
        free(text);
    }
    return NULL;
}

static void hold(void)
{
    pthread_t thread;

    EXPECT_EQ(pthread_create(&thread, NULL, until_status_tells, NULL), 0);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
}

static void unheard(const char *what, void *arg)
{
    (void)what;
    (void)arg;
}

/* Capitals; q: stop; h: hand over; k: keep the worker until stoa_status() tells of it. */
static void serve_next(int conn, void *arg)
{
    char c;

    (void)arg;
    while (stoa_recv(conn, &c, 1, 0) == 1) {
        if (c == 'h' && stoa_offload(hand_over_again, NULL) < 0)
            c = '?';
        if (c == 'k')
            hold();
        char answer = (char)toupper((unsigned char)c);
        stoa_sendall(conn, &answer, 1, 0);
        if (c == 'q')
            stoa_stop();
    }
}

__attribute__((constructor)) static void be_the_next(void)
{
    const char *at = getenv("HANDOVER_AT");
    struct stoa_options o = {.size = sizeof(o), .drain = 0.1, .tell = unheard, .max_hold = 0.01};

    if (!at)
        return;
    alarm(60); /* whatever becomes of the test */
    o.workers = atoi(getenv("HANDOVER_WORKERS"));
    _exit(stoa_serve(at, serve_next, NULL, &o) < 0);
}

static void describe_next(const char *at, const char *workers)
{
    setenv("HANDOVER_AT", at, 1);
    setenv("HANDOVER_WORKERS", workers, 1);
}

static void end_next(const char *at, pid_t pid)
{
    int conn = dial_and_say(at, "q"), status = -1;

    hear(conn, 'Q');
    EXPECT_OK(stoa_close(conn));
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
}

/* -------------------------------------------------------------------------
 * Handing over
 * ---------------------------------------------------------------------- */

/* One client fills the old server, the others are in its queue. */
static void nobody_is_lost(enum kind k, const char *workers)
{
    struct old s = {.handler = serve_old, .o = {.workers = 2, .max_conns = 1}};
    int waiting[40];

    old_start(&s, k);
    int guest = dial_and_say(s.at.c, "a");
    hear(guest, 'a');
    for (int i = 0; i < 40; i++)
        waiting[i] = dial_and_say(s.at.c, "b");

    describe_next(s.at.c, workers);
    pid_t pid = stoa_hand_over(again, 3600);
    EXPECT_GT(pid, 0);
    for (int i = 0; i < 40; i++)
        hear(waiting[i], 'B');
    EXPECT_OK(stoa_sendall(guest, "c", 1, 0));
    hear(guest, 'c');
    EXPECT_ERR(stoa_hand_over(again, 3600), EALREADY);
    EXPECT_SAID("another process has the listeners already");

    EXPECT_OK(stoa_close(guest));
    old_join(&s);
    for (int i = 0; i < 40; i++)
        EXPECT_OK(stoa_close(waiting[i]));
    end_next(s.at.c, pid);
}

TEST(nobody_in_a_queue_is_lost)
{
    ALONE(nobody_in_a_queue_is_lost);
    nobody_is_lost(TCP4, "3");
}

TEST(nobody_in_the_queue_of_ipv6_is_lost)
{
    ALONE(nobody_in_the_queue_of_ipv6_is_lost);
    nobody_is_lost(TCP6, "1");
}

TEST(nobody_in_the_queue_of_a_path_is_lost)
{
    ALONE(nobody_in_the_queue_of_a_path_is_lost);
    nobody_is_lost(UNIX_STREAM, "2");
}

static sem_t go_on;
static atomic_int standing;

/* Stops its worker's thread, so that nobody else is accepted there. */
static void stands(int conn, void *arg)
{
    char c;

    (void)arg;
    if (stoa_recv(conn, &c, 1, 0) != 1)
        return;
    atomic_fetch_add(&standing, 1);
    while (sem_wait(&go_on) < 0)
        ;
    stoa_sendall(conn, &c, 1, 0);
}

/* Three workers with a queue each, and all three stand. */
static void every_queue_is_taken_over(const char *workers)
{
    enum { WORKERS = 3, MOST = 200, WAITING = 60 };
    struct old s = {.handler = stands, .o = {.workers = WORKERS}};
    int first[MOST], waiting[WAITING], n = 0, old = 0;
    char c;

    EXPECT_EQ(sem_init(&go_on, 0, 0), 0);
    old_start(&s, TCP4);
    while (atomic_load(&standing) < WORKERS && n < MOST) {
        first[n++] = dial_and_say(s.at.c, "a");
        stoa_sleep(0.01); /* only so that fewer are needed */
    }
    EXPECT_EQ(atomic_load(&standing), WORKERS);
    for (int i = 0; i < WAITING; i++)
        waiting[i] = dial_and_say(s.at.c, "b");

    describe_next(s.at.c, workers);
    pid_t pid = stoa_hand_over(again, 3600);
    EXPECT_GT(pid, 0);
    for (int i = 0; i < WAITING; i++) {
        hear(waiting[i], 'B');
        EXPECT_OK(stoa_close(waiting[i]));
    }
    for (int i = 0; i < MOST; i++)
        sem_post(&go_on);
    for (int i = 0; i < n; i++) {
        EXPECT_EQ(stoa_recv(first[i], &c, 1, 0), 1);
        old += c == 'a';
        EXPECT_OK(stoa_close(first[i]));
    }
    EXPECT_GE(old, WORKERS);
    old_join(&s);
    end_next(s.at.c, pid);
}

TEST(every_queue_is_taken_over_by_fewer_workers)
{
    ALONE(every_queue_is_taken_over_by_fewer_workers);
    every_queue_is_taken_over("1");
}

TEST(every_queue_is_taken_over_by_as_many_workers)
{
    ALONE(every_queue_is_taken_over_by_as_many_workers);
    every_queue_is_taken_over("3");
}

TEST(every_queue_is_taken_over_by_more_workers)
{
    ALONE(every_queue_is_taken_over_by_more_workers);
    every_queue_is_taken_over("5");
}

/* From the third program on, listeners come from one that was handed them itself. */
TEST(a_program_that_has_taken_over_hands_over)
{
    ALONE(a_program_that_has_taken_over_hands_over);
    struct old s = {.handler = serve_old, .o = {.workers = 2}};
    int conn[5], n = 0, status;
    char c;

    old_start(&s, TCP4);
    describe_next(s.at.c, "2");
    pid_t pid = stoa_hand_over(again, 3600); /* perhaps before the old one serves */
    EXPECT_GT(pid, 0);
    old_join(&s);
    while (n < 5) {
        conn[n] = dial_and_say(s.at.c, "h");
        EXPECT_EQ(stoa_recv(conn[n], &c, 1, 0), 1);
        if (c == 'H')
            n++;
        else /* one that was letting go has taken it */
            EXPECT_OK(stoa_close(conn[n]));
    }
    for (int i = 0; i < 5; i++) { /* the connections of each live on */
        EXPECT_OK(stoa_sendall(conn[i], "x", 1, 0));
        hear(conn[i], 'X');
    }
    int last = dial_and_say(s.at.c, "q"); /* it is nobody's child here */
    hear(last, 'Q');
    EXPECT_OK(stoa_close(last));
    for (int i = 0; i < 5; i++)
        EXPECT_OK(stoa_close(conn[i]));
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
}

/* -------------------------------------------------------------------------
 * When it fails
 * ---------------------------------------------------------------------- */

/* Wait until it serves: before, there is nothing to hand over. */
static void serves(const struct old *s)
{
    int conn = dial_and_say(s->at.c, "a");

    hear(conn, 'a');
    EXPECT_OK(stoa_close(conn));
}

/* The program does not come to serve: an error, and the old one serves on. */
static void fails(const struct old *s, char *const argv[], double seconds, int error,
                  const char *why)
{
    EXPECT_ERR(stoa_hand_over(argv, seconds), error);
    EXPECT_SAID(argv[0]);
    EXPECT_SAID(why);
    EXPECT_EQ(waitpid(-1, NULL, WNOHANG), -1); /* nothing is left of it */
    serves(s);
}

TEST(a_program_that_fails_changes_nothing)
{
    ALONE(a_program_that_fails_changes_nothing);
    struct old s = {.handler = serve_old, .o = {.workers = 3}};
    char *absent[] = {(char *)"/no/such/program", NULL},
         *unknown[] = {(char *)"nosuchprogram", NULL}, *folder[] = {(char *)"/", NULL},
         *early[] = {(char *)"sh", (char *)"-c", (char *)"exit 7", NULL},
         *killed[] = {(char *)"sh", (char *)"-c", (char *)"kill -9 $$", NULL},
         *late[] = {(char *)"sleep", (char *)"100", NULL},
         *deaf[] = {(char *)"sh", (char *)"-c",
                    (char *)"eval \"exec $STOA_HANDOVER>&-\"; exec sleep 100", NULL};

    EXPECT_ERR(stoa_hand_over(early, 1), EINVAL);
    EXPECT_SAID("this process has no listener");
    old_start(&s, TCP4);
    serves(&s);
    if (!emulator()) { /* whose vfork(2) is a fork(2): the error stays in the child's memory */
        fails(&s, absent, 30, ENOENT, "No such file");
        fails(&s, unknown, 30, ENOENT, "No such file");
        fails(&s, folder, 30, EACCES, "Permission denied");
    }
    fails(&s, early, 30, ECHILD, "it ended with status 7 before it served");
    fails(&s, killed, 30, ECHILD, "it was ended by signal 9 before it served");
    fails(&s, late, 0.05, ETIME, "it did not serve in time, and has been ended");
    fails(&s, late, 0, EINVAL, "the seconds are not more than 0");
    fails(&s, deaf, 30, ECHILD, "it was ended by signal 15 before it served");
    EXPECT_OK(stoa_let_go());
    old_join(&s);
}

/* A script without #! is the shell's, whose words are the script's and one more. */
TEST(a_script_may_have_many_words)
{
    enum { WORDS = 20000 };
    ALONE(a_script_may_have_many_words);
    struct old s = {.handler = serve_old};
    static char *words[WORDS + 2];
    char path[] = "/tmp/stoa-script-XXXXXX";
    int fd = mkstemp(path);

    EXPECT(fd >= 0);
    EXPECT_EQ(write(fd, "exit 7\n", 7), 7);
    EXPECT_OK(fchmod(fd, 0700));
    EXPECT_OK(close(fd));
    words[0] = path;
    for (int i = 1; i <= WORDS; i++)
        words[i] = (char *)"word";
    old_start(&s, TCP4);
    serves(&s);
    fails(&s, words, 30, ECHILD, "it ended with status 7 before it served");
    EXPECT_OK(unlink(path));
    EXPECT_OK(stoa_let_go());
    old_join(&s);
}

static void *hand_over_late(void *arg)
{
    char *late[] = {(char *)"sleep", (char *)"100", NULL};

    (void)arg;
    while (stoa_hand_over(late, 100) < 0 && errno == EALREADY) /* the other one was first */
        ;
    EXPECT_EQ(errno, ECANCELED);
    EXPECT_SAID("this process is to stop");
    return NULL;
}

TEST(one_at_a_time_and_a_stop_ends_it)
{
    ALONE(one_at_a_time_and_a_stop_ends_it);
    struct old s = {.handler = serve_old};
    char *early[] = {(char *)"false", NULL};
    pthread_t thread;
    int error = ECHILD, status = 0;

    old_start(&s, TCP4);
    serves(&s);
    EXPECT_EQ(pthread_create(&thread, NULL, hand_over_late, NULL), 0);
    while (error == ECHILD) /* until the thread is first */
        error = stoa_hand_over(early, 30) < 0 ? errno : 0;
    EXPECT_EQ(error, EALREADY);
    EXPECT_SAID("a process has been started, and is waited for");
    EXPECT_OK(stoa_stop());
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    old_join(&s);
    if (waitpid(-1, &status, 0) > 0) /* unless the stop came before its start */
        EXPECT_EQ(status, SIGTERM);
}

static void stop_by_signal(int sig)
{
    (void)sig;
    stoa_stop();
}

static void *hand_over_in_vain(void *program)
{
    EXPECT_ERR(stoa_hand_over(program, 3600), ECANCELED);
    return NULL;
}

/* Its clients would be lost when we let go, for the new program does not have it. */
TEST(who_begins_to_serve_meanwhile_adds_no_listener)
{
    ALONE(who_begins_to_serve_meanwhile_adds_no_listener);
    struct old s = {.handler = serve_old, .o = {.workers = 2}};
    int listener = listener_make(TCP4, &s.at), said[2], fd, on = 1;
    struct stoa_addr at = self_addr(listener);
    char script[64], *words[] = {(char *)"sh", (char *)"-c", script, NULL}, c;
    pthread_t thread;

    EXPECT_EQ(pipe2(said, O_CLOEXEC), 0);
    fd = fcntl(said[1], F_DUPFD, 100);
    snprintf(script, sizeof(script), "echo >/proc/self/fd/%d; exec sleep 100", fd);
    EXPECT_EQ(pthread_create(&thread, NULL, hand_over_in_vain, words), 0);
    EXPECT_EQ(read(said[0], &c, 1), 1); /* the program has been started, with the listener */
    close(fd);
    s.listener = listener;
    EXPECT_EQ(pthread_create(&s.thread, NULL, serve_on_thread, &s), 0);
    serves(&s);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
    EXPECT_ERR(bind(fd, (struct sockaddr *)&at.sa, at.len), EADDRINUSE);
    close(fd);
    close(said[0]);
    close(said[1]);
    EXPECT_OK(stoa_stop());
    pthread_join(thread, NULL);
    old_join(&s);
}

/* A stop that comes with its word ends both, for our workers stop the listeners' new clients. */
TEST(a_stop_just_before_it_serves_ends_it)
{
    ALONE(a_stop_just_before_it_serves_ends_it);
    struct old s = {.handler = serve_old, .o = {.workers = 2}};
    char *just[] = {(char *)"sh", (char *)"-c",
                    (char *)"kill -STOP $PPID; kill $PPID; eval \"printf R >&$STOA_HANDOVER\"; "
                            "kill -CONT $PPID; exec sleep 100",
                    NULL};
    int status = 0;
    sigset_t term;

    EXPECT(signal(SIGTERM, stop_by_signal) != SIG_ERR);
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &term, NULL);
    old_start(&s, TCP4);
    pthread_sigmask(SIG_UNBLOCK, &term, NULL); /* this thread takes it, before it hears the word */
    serves(&s);
    EXPECT_ERR(stoa_hand_over(just, 30), ECANCELED);
    EXPECT_SAID("this process is to stop");
    old_join(&s);
    EXPECT_GT(waitpid(-1, &status, 0), 0);
    EXPECT_EQ(status, SIGTERM);
}

/* Not in a process that has our memory. */
TEST(handing_over_to_no_program_aborts)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        char *const nothing[] = {NULL};

        if (!freopen("/dev/null", "w", stderr))
            _exit(2);
        signal(SIGABRT, SIG_DFL);
        stoa_hand_over(nothing, 1);
        _exit(0);
    }
    int status = 0;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

FIBER_TEST(a_fiber_cannot_hand_over)
{
    EXPECT_ERR(stoa_hand_over(again, 1), EDEADLK);
    EXPECT_SAID("this is a fiber");
}

/* -------------------------------------------------------------------------
 * Started by a service manager
 * ---------------------------------------------------------------------- */

/* Start the next program with these at 3 and 4, as sd_listen_fds(3) has it; whose says for whom
 * they are said to be. */
static pid_t start_with(const int *fd, int n, pid_t whose)
{
    char text[2][16];
    int to = open("/dev/null", O_RDWR | O_CLOEXEC); /* no copy of ours is in the way */
    pid_t pid = fork();

    if (pid == 0) {
        int high[2];

        for (int i = 0; i < n; i++)
            high[i] = fcntl(fd[i], F_DUPFD, 100);
        for (int i = 0; i < n; i++)
            dup2(high[i], 3 + i);
        snprintf(text[0], sizeof(text[0]), "%d", whose ? whose : getpid());
        snprintf(text[1], sizeof(text[1]), "%d", n);
        setenv("LISTEN_PID", text[0], 1);
        setenv("LISTEN_FDS", text[1], 1);
        execvp(again[0], again);
        _exit(126);
    }
    close(to);
    return pid;
}

static int sharing_listener(const struct text *at)
{
    struct stoa_options o = {.size = sizeof(o), .reuseport = true};
    int s = stoa_announce(at->c, &o);

    EXPECT_OK(s);
    return stoa_detach(s);
}

TEST(listeners_that_a_manager_gives_are_all_accepted_from)
{
    ALONE(listeners_that_a_manager_gives_are_all_accepted_from);
    struct text at;
    int keep = port_keep(&at);
    int fd[2] = {sharing_listener(&at), sharing_listener(&at)}, conn[40];

    for (int i = 0; i < 40; i++)
        conn[i] = dial_and_say(at.c, "a");
    describe_next(at.c, "1");
    pid_t pid = start_with(fd, 2, 0);
    for (int i = 0; i < 40; i++) {
        hear(conn[i], 'A');
        EXPECT_OK(stoa_close(conn[i]));
    }
    end_next(at.c, pid);
    /* They are the manager's still. */
    int late = dial_and_say(at.c, "b");
    pid = start_with(fd, 2, 0);
    hear(late, 'B');
    EXPECT_OK(stoa_close(late));
    end_next(at.c, pid);
    close(fd[0]);
    close(fd[1]);
    close(keep);
}

/* The thread is watched once for all its workers. */
TEST(who_holds_a_thread_of_several_workers_is_told)
{
    ALONE(who_holds_a_thread_of_several_workers_is_told);
    struct text at;
    int keep = port_keep(&at);
    int fd[2] = {sharing_listener(&at), sharing_listener(&at)}, conn[16];

    describe_next(at.c, "1");
    pid_t pid = start_with(fd, 2, 0);
    for (int i = 0; i < 16; i++)
        conn[i] = dial_and_say(at.c, "k");
    for (int i = 0; i < 16; i++) {
        hear(conn[i], 'K');
        EXPECT_OK(stoa_close(conn[i]));
    }
    end_next(at.c, pid);
    close(fd[0]);
    close(fd[1]);
    close(keep);
}

TEST(listeners_that_are_for_another_process_are_not_ours)
{
    ALONE(listeners_that_are_for_another_process_are_not_ours);
    struct text at;
    int s = listener_make(TCP4, &at), fd = stoa_detach(s), status = 0;

    describe_next(at.c, "1");
    pid_t pid = start_with(&fd, 1, getpid());
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(WEXITSTATUS(status), 1); /* the port is taken */
    close(fd);
}
