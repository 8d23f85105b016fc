/* bench/crowd.c - who else is there while the load runs: silent clients, and very slow ones.
 *
 * A silent one has asked once, so that the server knows it, and says nothing more.  A slow one
 * sends its message a byte at a time, with --pause between two, and begins another when
 * the answer has come.  Those that the server sends off are counted, not replaced.
 */
#include "cli/bench/worker.h"

#include <errno.h>

enum { BUFFER_LEN = 4096 };

static const double LOOK_SEC = 0.005; /* while it assembles */

/* The server's answer, whatever it is: that is the load's to compare. */
static ssize_t hear(int s, size_t len)
{
    uint8_t buffer[BUFFER_LEN];
    size_t done = 0;
    ssize_t n = 1;

    while (done < len && n > 0) {
        size_t left = len - done;
        n = stoa_recv(s, buffer, left < sizeof(buffer) ? left : sizeof(buffer), 0);
        done += n > 0 ? (size_t)n : 0;
    }
    return n;
}

static void sent_off(struct worker *w, ssize_t n, const char *why)
{
    if (n > 0 || (n < 0 && errno == ECANCELED))
        return;
    w->tally.ncut++;
    tally_fault(&w->tally, PHASE_CROWD, n < 0 ? errno : FAULT_EOF, n < 0 ? stoa_errmsg() : why);
}

static int silent(void *worker)
{
    struct worker *w = worker;
    const struct script *script = &w->plan->script;
    int s = worker_dial(w);
    char byte;
    ssize_t n;

    n = s < 0 ? -1 : stoa_sendall(s, script->ask.bytes, script->ask_len, 0);
    if (n == 0)
        n = hear(s, script->answer_len);
    w->ncrowd++;
    if (s < 0)
        return 0;
    stoa_settimeout(s, -1);
    if (n >= 0) /* 0: there is no answer to wait for, or the end has come, and comes again */
        n = stoa_recv(s, &byte, 1, 0);
    sent_off(w, n, "the server ended a silent connection");
    stoa_close(s);
    return 0;
}

static int slow(void *worker)
{
    struct worker *w = worker;
    const struct script *script = &w->plan->script;
    int s = worker_dial(w);
    ssize_t n = 1;

    w->ncrowd++;
    if (s < 0)
        return 0;
    for (size_t i = 0; n > 0; i = (i + 1) % script->ask_len) {
        n = stoa_send(s, script->ask.bytes + i, 1, 0);
        if (n > 0 && i + 1 == script->ask_len)
            n = hear(s, script->answer_len);
        if (n > 0 && stoa_sleep(w->plan->pause_sec) < 0)
            n = -1;
    }
    sent_off(w, n, "the server ended a slow connection");
    stoa_close(s);
    return 0;
}

int crowd_open(struct worker *w)
{
    unsigned n = w->nidle + w->nslow;

    for (unsigned i = 0; i < n && !run_stopped(); i++) {
        while (i - w->ncrowd >= DIALS_AT_ONCE && !run_stopped())
            if (stoa_sleep(LOOK_SEC) < 0)
                return -1;
        if (stoa_go(w->group, i < w->nidle ? silent : slow, w) < 0)
            return -1;
    }
    while (w->ncrowd < n && !run_stopped())
        if (stoa_sleep(LOOK_SEC) < 0)
            return -1;
    return 0;
}
