/* handover.c - what SIGUSR2 does, in words to the log and to the service manager.
 *
 * stoa_hand_over(3) does it.  It waits for the new program, so it has a thread: SIGTERM must be
 * taken meanwhile.  A service manager is told RELOADING=1, and then READY=1 in any case, for
 * either the new process serves or this one does; MAINPID= says which.  The new one says
 * nothing to the manager itself, which hears only the main process of a service.
 *
 * What the new program is to know comes by the environment, as stoa_serve(3) has it.
 */
#include "cli/handover.h"

#include "cli/args.h"
#include "cli/commands.h"
#include "cli/log.h"
#include "cli/notify.h"
#include "cli/output.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <stoa.h>
#include <string.h>
#include <unistd.h>

static const char WHO[] = "stoa serve";
static const double PATIENCE = 60; /* seconds, for a new program to serve */

enum state { STATE_NONE, STATE_UNDER_WAY, STATE_DONE };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static enum state state; /* under lock, as the two below */
static pid_t successor;  /* who serves in our place, also before all have been told; 0: nobody */
static bool over;        /* no more begins */

/* Are these variables about us? */
static bool is_for_us(void)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    uint64_t number = 0;

    return pid && count && args_number(pid, 1, INT32_MAX, &number) && (pid_t)number == getpid() &&
           args_number(count, 1, INT32_MAX, &number);
}

bool handover_is_next(void)
{
    return is_for_us() && getenv("STOA_HANDOVER");
}

bool handover_is_given(void)
{
    const char *names = getenv("LISTEN_FDNAMES");

    return is_for_us() && !(getenv("STOA_HANDOVER") && names && strncmp(names, "own", 3) == 0);
}

pid_t handover_await(void)
{
    return stoa_hand_over(command_line, PATIENCE);
}

static void set_state(enum state now)
{
    pthread_mutex_lock(&lock);
    state = now;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

void handover_tell_failed(const char *why, bool serves_on)
{
    output_say(WHO, "%s%s", why, serves_on ? "; this process serves on" : "");
    if (serves_on)
        notify("READY=1");
    set_state(STATE_NONE);
}

void handover_tell_done(pid_t pid)
{
    pthread_mutex_lock(&lock);
    successor = pid;
    pthread_mutex_unlock(&lock);
    log_handed_over(pid);
    notify("MAINPID=%d\nREADY=1", pid);
    set_state(STATE_DONE);
}

void handover_tell_stopping(void)
{
    pthread_mutex_lock(&lock);
    bool ours = !successor;
    pthread_mutex_unlock(&lock);
    if (ours)
        notify("STOPPING=1");
}

static void *hand_over(void *arg)
{
    (void)arg;
    pid_t pid = handover_await();

    if (pid > 0)
        handover_tell_done(pid);
    else
        handover_tell_failed(stoa_errmsg(), errno != ECANCELED);
    return NULL;
}

bool handover_may_begin(void)
{
    pthread_mutex_lock(&lock);
    bool may = state == STATE_NONE && !over;
    if (successor)
        output_say(WHO, "SIGUSR2: process %d has taken over already", successor);
    else if (state == STATE_UNDER_WAY)
        output_say(WHO, "SIGUSR2: a new process has been started already, and is waited for");
    if (may)
        state = STATE_UNDER_WAY;
    pthread_mutex_unlock(&lock);
    if (!may)
        return false;
    log_handing_over();
    notify("RELOADING=1\nMONOTONIC_USEC=%ju", (uintmax_t)(output_now_ns() / 1000));
    return true;
}

void handover_begin(void)
{
    pthread_t thread;

    if (!handover_may_begin())
        return;
    errno = pthread_create(&thread, NULL, hand_over, NULL);
    if (errno == 0) {
        pthread_detach(thread);
        return;
    }
    handover_tell_failed("SIGUSR2: there is no thread to hand over with", true);
}

bool handover_end(void)
{
    pthread_mutex_lock(&lock);
    over = true;
    while (state == STATE_UNDER_WAY)
        pthread_cond_wait(&changed, &lock);
    bool done = state == STATE_DONE;
    pthread_mutex_unlock(&lock);
    return done;
}
