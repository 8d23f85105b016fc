/* doctor_change.c - the two things that `stoa doctor` changes, and only after a yes.
 *
 * Without a terminal nobody can be asked: then --yes must have been said.  What was done is told,
 * and how to undo it.
 */
#include "cli/doctor.h"

#include "cli/args.h"
#include "cli/exitcode.h"
#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char WHO[] = "stoa doctor";

/* Ask; the answer is a line that begins with y. */
static bool agrees(const struct doctor *d, const char *question)
{
    char answer[16] = "";

    if (d->yes)
        return true;
    if (!isatty(STDIN_FILENO)) {
        output_say(WHO, "%s: nobody can be asked here; --yes agrees", question);
        return false;
    }
    fprintf(stderr, "%s? [y/N] ", question);
    if (!fgets(answer, sizeof(answer), stdin) || (answer[0] != 'y' && answer[0] != 'Y')) {
        output_say(WHO, "nothing was changed");
        return false;
    }
    return true;
}

static int keep(void *arg, const struct diag_socket *s)
{
    return facts_add(arg, s) ? 0 : 1;
}

static int refused(uint16_t port, int error)
{
    if (error == -EPERM)
        output_say(WHO, "--free needs root (CAP_NET_ADMIN): sudo stoa doctor --free %u", port);
    else if (error == -EOPNOTSUPP)
        output_say(WHO, "--free: this kernel cannot end sockets (CONFIG_INET_DIAG_DESTROY); wait "
                        "instead");
    else
        output_say(WHO, "--free %u: %s", port, strerror(-error));
    return CODE_FAILED;
}

int doctor_free(const struct doctor *d)
{
    struct facts f = {.when_ns = 0};
    uint64_t port, done = 0;
    char question[96];
    int r = 0;

    if (!args_number(d->free_port, 1, UINT16_MAX, &port)) {
        output_say(WHO, "--free %s: that is no port, 1 to 65535", d->free_port);
        return CODE_USAGE;
    }
    struct sockdiag_wish wish = {.proto = IPPROTO_TCP,
                                 .states = DIAG_BIT(DIAG_TIME_WAIT),
                                 .first = (uint16_t)port,
                                 .last = (uint16_t)port};
    sockets_inet(&wish, keep, &f);
    if (!f.nsocket) {
        output_say(WHO, "port %" PRIu64 " has no connection in TIME_WAIT: nothing to forget", port);
        return CODE_FAILED;
    }
    snprintf(question, sizeof(question), "forget %s in TIME_WAIT of port %" PRIu64,
             finding_count(f.nsocket, "connection").c, port);
    if (!agrees(d, question)) {
        facts_free(&f);
        return CODE_FAILED;
    }
    for (size_t i = 0; i < f.nsocket && r == 0; i++) {
        r = sockdiag_destroy(&f.sockets[i]);
        done += r == 0;
        if (r == -ENOENT || r == -ESTALE) /* it has ended by itself */
            r = 0;
    }
    facts_free(&f);
    if (r < 0)
        return refused((uint16_t)port, r);
    output_say(WHO,
               "port %" PRIu64 ": %s in TIME_WAIT forgotten; it cannot be undone, and need not be",
               port, finding_count(done, "connection").c);
    return CODE_OK;
}

/* As sysctl -w does. */
static int write_setting(const char *name, const char *value)
{
    char path[128] = "/proc/sys/";
    size_t before = strlen(path), len = strlen(value);
    int fd, r;

    snprintf(path + before, sizeof(path) - before, "%s", name);
    for (char *dot = path + before; (dot = strchr(dot, '.')); dot++)
        *dot = '/';
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    r = write(fd, value, len) == (ssize_t)len ? 0 : -errno;
    close(fd);
    return r;
}

static int apply(const struct doctor *d, const struct finding *f)
{
    const char *setting = finding_kinds[f->kind].setting;
    char question[512];
    int r;

    snprintf(question, sizeof(question), "%s is \"%s\"; write \"%s\"", setting, f->old, f->value);
    if (!agrees(d, question))
        return CODE_FAILED;
    r = write_setting(setting, f->value);
    if (r < 0) {
        output_say(WHO, "--apply %s: %s: %s%s", d->apply, setting, strerror(-r),
                   r == -EACCES || r == -EPERM ? "; it needs root" : "");
        return CODE_FAILED;
    }
    output_say(WHO, "%s is \"%s\" now, until the machine starts anew; it was \"%s\"; undo: %s",
               setting, f->value, f->old, f->undo);
    return CODE_OK;
}

int doctor_apply(const struct doctor *d, const struct findings *f)
{
    enum kind kind = finding_kind(d->apply);

    if (kind == KINDS) {
        output_say(WHO, "--apply %s: there is no such finding (stoa doctor --explain list)",
                   d->apply);
        return CODE_USAGE;
    }
    if (!finding_kinds[kind].setting) {
        output_say(WHO, "--apply %s: no setting cures it; %s", d->apply, finding_kinds[kind].act);
        return CODE_USAGE;
    }
    for (size_t i = 0; i < f->n; i++)
        if (f->list[i].kind == kind && f->list[i].value[0])
            return apply(d, &f->list[i]);
    output_say(WHO,
               "--apply %s: it is not found now, or its setting is as it should be; nothing was "
               "changed",
               d->apply);
    return CODE_FAILED;
}
