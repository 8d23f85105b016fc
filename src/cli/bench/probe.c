/* bench/probe.c - is there a server, and the one that is meant?  Asked before a run, once.
 *
 * A run against nobody, or against a server that answers something else, would be thousands of
 * errors; this is one sentence.  Messages over PROBE_MAX are not sent: one thread that
 * writes and then reads might wait for a server that waits for it.
 */
#include "cli/bench/outcome.h"
#include "cli/exitcode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { PROBE_MAX = 64 << 10 };

static int failed(const struct plan *p, char *why, size_t size)
{
    int error = errno;

    snprintf(why, size, "%s", stoa_errmsg());
    return exitcode_peer(error, p->to);
}

/* The answer has not come, or not all of it. */
static int silent(const struct plan *p, ssize_t n, size_t done, char *why, size_t size)
{
    int error = errno;

    if (n < 0 && error != ETIME)
        return failed(p, why, size);
    if (n == 0)
        snprintf(why, size, "%s ended the connection after %zu of %zu bytes of its answer", p->to,
                 done, p->script.answer_len);
    else if (done > 0)
        snprintf(why, size, "%s answered %zu of %zu bytes within %g s: is --answer-size right?",
                 p->to, done, p->script.answer_len, p->timeout_sec);
    else
        snprintf(why, size,
                 "%s has not answered %zu bytes within %g s; does it want another message "
                 "(--send FILE), or never answer (--expect none)?",
                 p->to, p->script.ask_len, p->timeout_sec);
    return n == 0 ? CODE_FAILED : CODE_TIMED_OUT;
}

static int compare(const struct plan *p, const uint8_t *came, size_t len, char *why, size_t size)
{
    const struct script *s = &p->script;
    size_t wrong;

    if (script_right(s, 0, came, len, &wrong))
        return CODE_OK;
    snprintf(why, size,
             "%s answers wrongly: byte %zu of its answer is 0x%02x, and 0x%02x is expected; "
             "see --expect upper, echo or FILE, and --no-verify",
             p->to, wrong, came[wrong], s->want.bytes[wrong]);
    return CODE_FAILED;
}

static int hear(const struct plan *p, int s, uint8_t *buffer, char *why, size_t size)
{
    size_t done = 0;
    ssize_t n = 1;

    while (done < p->script.answer_len && n > 0) {
        n = stoa_recv(s, buffer + done, p->datagram ? PROBE_MAX : p->script.answer_len - done, 0);
        done += n > 0 ? (size_t)n : 0;
        if (p->datagram && n > 0 && done != p->script.answer_len) {
            snprintf(why, size, "%s answered with %zu bytes, and %zu are expected", p->to, done,
                     p->script.answer_len);
            return CODE_FAILED;
        }
    }
    size_t len = done < SCRIPT_CHUNK ? done : SCRIPT_CHUNK;
    int code = compare(p, buffer, len, why, size); /* wrong bytes say more than missing ones */
    if (code != CODE_OK || n > 0 || done == p->script.answer_len)
        return code;
    return silent(p, n, done, why, size);
}

static int talk(const struct plan *p, int s, char *why, size_t size)
{
    const struct script *script = &p->script;
    uint8_t *buffer = malloc(script->answer_len + PROBE_MAX);
    int code = CODE_OK;

    stoa_settimeout(s, p->timeout_sec);
    if (!buffer) {
        snprintf(why, size, "out of memory");
        code = CODE_FAILED;
    } else if (stoa_sendall(s, script->ask.bytes, script->ask_len, 0) < 0) {
        code = failed(p, why, size);
    } else {
        code = hear(p, s, buffer, why, size);
    }
    free(buffer);
    return code;
}

int run_probe(struct plan *p, char *why, size_t size)
{
    struct stoa_options from = {.size = sizeof(from), .from = p->from};
    struct stoa_scope scope;
    struct stoa_addr peer;
    socklen_t len = sizeof(int);
    int type = 0, code = CODE_OK;

    stoa_within(&scope, p->timeout_sec);
    int s = stoa_dial(p->to, &from);
    if (s < 0)
        code = failed(p, why, size);
    stoa_leave(&scope);
    if (s < 0)
        return code;
    /* A UNIX path is relative to whom it was said to: to us, as it was typed. */
    if (stoa_getpeername(s, &peer) == 0 && peer.sa.ss_family != AF_UNIX)
        p->at = peer;
    if (stoa_getsockopt(s, SOL_SOCKET, SO_TYPE, &type, &len) == 0)
        p->datagram = type == SOCK_DGRAM;
    if (p->script.ask_len <= PROBE_MAX)
        code = talk(p, s, why, size);
    stoa_close(s);
    return code;
}
