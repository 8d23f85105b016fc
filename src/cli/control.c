/* control.c - one thread that answers each visitor with stoa_status(), and hangs up.
 *
 * It is a plain thread and uses no worker, so it answers while all of them are held.  The path's
 * mode is 0600, and who connects must be this server's user, or root (SO_PEERCRED): the mode
 * alone would not hold in a folder whose owner is another.
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

static struct listener listener;
static pthread_t thread;
static bool begun;

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
        int conn = stoa_accept(listener.socket, NULL);

        if (conn >= 0)
            answer(conn);
        else if (errno == ECANCELED || errno == EBADF)
            return NULL; /* it is over */
        else
            nanosleep(&pause, NULL);
    }
}

int control_begin(const char *path)
{
    struct stoa_options options = {.size = sizeof(options)};
    char at[STOA_ADDR_TEXT_MAX];

    snprintf(at, sizeof(at), "unix:%s", path);
    int code = listener_open(&listener, at, &options, NULL);

    if (code) {
        output_say(WHO, "--control: %s", listener.why);
        return code;
    }
    stoa_settimeout(listener.socket, -1);
    errno = pthread_create(&thread, NULL, answer_all, NULL);
    if (errno) {
        output_say(WHO, "--control: no thread for it: %s", strerror(errno));
        listener_end(&listener);
        return CODE_FAILED;
    }
    begun = true;
    return CODE_OK;
}

void control_end(void)
{
    if (!begun)
        return;
    listener_end(&listener);
    stoa_close(listener.socket);
    pthread_join(thread, NULL);
    begun = false;
}
