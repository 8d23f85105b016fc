/* t.c - the test kit's main: runs the cases in order and prints TAP.
 *
 * Output is TAP version 13: the plan first, then a line for each test, with the
 * failures of a test as comments before its line.  tests/count.py adds them up; a
 * program that ends before its last test has fewer lines than planned, which counts
 * as failures.
 *
 * The leak check compares the number of open descriptors before and after a test.
 * What the library closes in the background (a polite close) may need a moment, and on a busy
 * machine a long one: it is looked at every millisecond, T_GRACE times, and only when there are
 * more.
 * t_setup(), if a program defines one, runs before the first test: the place to open
 * what is to stay open.
 */
#include "t.h"

#include <stdarg.h>
#include <time.h>

enum { T_GRACE = 20000 };

atomic_int t_failed;
const char *_Atomic t_skipped;
int t_kept;

static struct t_case *first, **last = &first;
static pid_t program;
static bool finished;

void t_setup(void) __attribute__((weak));
const char *stoa_errmsg(void) __attribute__((weak));

void t_add(struct t_case *c)
{
    *last = c;
    last = &c->next;
}

const char *t_reason(void)
{
    return stoa_errmsg ? stoa_errmsg() : "no stoa_errmsg() here";
}

void t_fail(const char *file, int line, const char *fmt, ...)
{
    char text[2048];
    va_list args;

    atomic_fetch_add(&t_failed, 1);
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    for (char *p = text; *p; p++)
        if (*p == '\n')
            *p = ' ';
    printf("# %s:%d: %s\n", file, line, text);
}

/* The open descriptors beside t_kept; with list, also what all are, as comments. */
static int descriptors(bool list)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    for (struct dirent *e; dir && (e = readdir(dir));) {
        char what[256] = "";

        if (e->d_name[0] == '.' || atoi(e->d_name) == dirfd(dir))
            continue;
        n++;
        if (list && readlinkat(dirfd(dir), e->d_name, what, sizeof(what) - 1) > 0)
            printf("#   descriptor %s: %s\n", e->d_name, what);
    }
    if (dir)
        closedir(dir);
    return n - t_kept;
}

static void expect_no_leak(int before)
{
    const struct timespec moment = {.tv_nsec = 1000 * 1000};

    int after = descriptors(false);

    for (int i = 0; i < T_GRACE && after > before; i++) {
        nanosleep(&moment, NULL);
        after = descriptors(false);
    }
    if (after <= before)
        return;
    t_fail(__FILE__, __LINE__, "%d descriptors are open, %d were before the test", after, before);
    descriptors(true);
}

/* 1 passed, 0 failed, -1 skipped. */
static int run(const struct t_case *c, int number)
{
    int before = descriptors(false);

    atomic_store(&t_failed, 0);
    t_skipped = NULL;
    if (c->run)
        c->run(c->body);
    else
        c->body();
    expect_no_leak(before);

    int failed = atomic_load(&t_failed);
    const char *reason = t_skipped;
    printf("%s %d - %s%s%s\n", failed ? "not ok" : "ok", number, c->name,
           reason && !failed ? " # SKIP " : "", reason && !failed ? reason : "");
    return failed ? 0 : reason ? -1 : 1;
}

/* By its own name, or with its place: name/epoll. */
static bool wanted(const struct t_case *c, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        size_t len = strlen(argv[i]);

        if (strncmp(c->name, argv[i], len) == 0 && (!c->name[len] || c->name[len] == '/'))
            return true;
    }
    return argc < 2;
}

/* exit() called in the middle of a test, by whomever, is a failure. */
__attribute__((destructor)) static void ended_early(void)
{
    if (finished || getpid() != program)
        return;
    printf("Bail out! The program ended in the middle of a test.\n");
    fflush(stdout);
    _exit(1);
}

int main(int argc, char **argv)
{
    int planned = 0, passed = 0, failed = 0;

    program = getpid();
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (struct t_case *c = first; c; c = c->next)
        planned += wanted(c, argc, argv);
    printf("TAP version 13\n1..%d\n", planned);
    if (t_setup)
        t_setup();
    int number = 0;
    for (struct t_case *c = first; c; c = c->next) {
        if (!wanted(c, argc, argv))
            continue;
        int result = run(c, ++number);
        passed += result == 1;
        failed += result == 0;
    }
    finished = true;
    if (!planned)
        printf("# no test of that name\n");
    return failed || !planned ? 1 : passed ? 0 : 77;
}
