/* words.c - one pipe for all programs, and a thread that makes lines of the log of it.
 *
 * A program repeats what a client has sent ("no such file: ..."), and the log is read on terminals
 * and by programs.  So what comes is taken line by line, made harmless (log.c) and told as an
 * event, and cannot begin a line that looks like one of ours.
 *
 * What holds: the pipe is read as long as a program may write to it, so none waits for us longer
 * than for the log itself.  At the end one that has left its process group may still have it:
 * it is not waited for, and loses its standard error.
 *
 * Limits: a line is LINE_MAX_LEN bytes, a longer one is several; lines of two programs at once are
 * mixed where a program writes less than a line at a time.
 */
#include "cli/words.h"

#include "cli/log.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_LEN = 480, END_PAUSE_MS = 20 };

static int ends[2] = {-1, -1};
static pthread_t thread;
static int over[2]; /* closed when all programs have ended */

struct line {
    char bytes[LINE_MAX_LEN];
    size_t len;
};

static void say(struct line *l)
{
    if (l->len)
        log_words(l->bytes, l->len);
    l->len = 0;
}

static void take(struct line *l, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == '\n' || l->len == sizeof(l->bytes))
            say(l);
        if (bytes[i] != '\n')
            l->bytes[l->len++] = bytes[i];
    }
}

/* Until the end, and then until nothing more comes. */
static void *listen_to(void *arg)
{
    static struct line l;
    struct pollfd p[2] = {{.fd = ends[0], .events = POLLIN}, {.fd = over[0], .events = POLLIN}};
    char bytes[4096];

    (void)arg;
    for (bool ending = false; !ending || (p[0].revents & POLLIN);) {
        if (poll(p, 2, ending ? END_PAUSE_MS : -1) < 0)
            continue;
        ending = ending || p[1].revents;
        p[1].fd = ending ? -1 : p[1].fd;
        ssize_t n = p[0].revents & POLLIN ? read(ends[0], bytes, sizeof(bytes)) : 0;
        take(&l, bytes, n > 0 ? (size_t)n : 0);
    }
    say(&l);
    return NULL;
}

int words_begin(void)
{
    if (log_form() == LOG_NONE || pipe2(over, O_CLOEXEC) < 0)
        return STDERR_FILENO;
    if (pipe2(ends, O_CLOEXEC) == 0 && pthread_create(&thread, NULL, listen_to, NULL) == 0)
        return ends[1];
    ends[1] = -1;
    return STDERR_FILENO;
}

void words_end(void)
{
    if (ends[1] < 0)
        return;
    close(over[1]);
    pthread_join(thread, NULL);
}
