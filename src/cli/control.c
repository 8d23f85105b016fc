/* control.c - one thread that answers each visitor with stoa_status(), and hangs up.
 *
 * It is a plain thread and uses no worker, so it answers while all of them are held.  The path's
 * mode is 0600, and who connects must be this server's user, or root (SO_PEERCRED): the mode
 * alone would not hold in a folder whose owner is another.
 *
 * Of several processes the supervisor has all listeners: they outlive a crash, and at a handover
 * the next one gets them with all others.  Until its predecessor has ended either of the two
 * may answer.
 *
 * Limits: one visitor at a time, with ANSWER_SECONDS to take the answer.
 */
#include "cli/control.h"

#include "cli/exitcode.h"
#include "cli/listener.h"
#include "cli/output.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char WHO[] = "stoa serve";
static const double ANSWER_SECONDS = 2;
static const long PAUSE_NS = 100000000; /* while there is no descriptor for a visitor */

static struct listener *listeners; /* n of them; one for each process */
static unsigned n;
static int answers_at = -1; /* a handle; -1: nobody answers in this process */
static pthread_t thread;

static bool is_ours(int conn)
{
    struct ucred who;
    socklen_t len = sizeof(who);

    return stoa_getsockopt(conn, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 &&
           (who.uid == geteuid() || who.uid == 0);
}

static void answer(int conn)
{
    char *text = is_ours(conn) ? stoa_status() : NULL;

    stoa_settimeout(conn, ANSWER_SECONDS);
    if (text)
        (void)stoa_sendall(conn, text, strlen(text), 0); /* who does not listen has left */
    free(text);
    stoa_close(conn);
}

static void *answer_all(void *arg)
{
    struct timespec pause = {.tv_nsec = PAUSE_NS};

    (void)arg;
    for (;;) {
        int conn = stoa_accept(answers_at, NULL);

        if (conn >= 0)
            answer(conn);
        else if (errno == ECANCELED || errno == EBADF)
            return NULL; /* it is over */
        else
            nanosleep(&pause, NULL);
    }
}

/* 0; an exit code, and it has been said why. */
static int open_at(struct listener *l, const char *at)
{
    struct stoa_options options = {.size = sizeof(options)};
    int code = listener_open_beside(l, at, &options);

    if (code)
        output_say(WHO, "--control: %s", l->why);
    return code;
}

int control_open(const char *path, unsigned nprocess)
{
    char at[STOA_ADDR_TEXT_MAX];
    unsigned many = nprocess ? nprocess : 1;

    listeners = calloc(many, sizeof(*listeners));
    if (!listeners) {
        output_say(WHO, "--control: %s", strerror(errno));
        return CODE_FAILED;
    }
    for (; n < many; n++) {
        snprintf(at, sizeof(at), nprocess ? "unix:%s.%u" : "unix:%s", path, n + 1);
        int code = open_at(&listeners[n], at);

        if (code)
            return code;
    }
    return CODE_OK;
}

int control_begin(unsigned i)
{
    if (!n)
        return CODE_OK;
    for (unsigned k = 0; k < n; k++)
        if (k != i)
            stoa_close(listeners[k].socket);
    answers_at = listeners[i].socket;
    stoa_settimeout(answers_at, -1);
    errno = pthread_create(&thread, NULL, answer_all, NULL);
    if (errno == 0)
        return CODE_OK;
    output_say(WHO, "--control: no thread for it: %s", strerror(errno));
    stoa_close(answers_at);
    answers_at = -1;
    return CODE_FAILED;
}

void control_stop(void)
{
    if (answers_at < 0)
        return;
    stoa_close(answers_at);
    pthread_join(thread, NULL);
    answers_at = -1;
}

void control_end(bool handed_over)
{
    for (unsigned i = 0; !handed_over && i < n; i++)
        listener_end(&listeners[i]);
    free(listeners);
    listeners = NULL;
    n = 0;
}
