/* doctor_explain.c - `stoa doctor --explain`: an errno value by its name, or a finding by its id.
 *
 * What an errno value means is the library's table; which findings bring it, the one here.
 */
#include "cli/doctor.h"

#include "cli/args.h"
#include "cli/exitcode.h"
#include "cli/output.h"
#include "cli/page.h"
#include "diag/meaning.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static const char WHO[] = "stoa doctor";

enum {
    ERRNO_MAX = 133, /* EHWPOISON, the last of Linux */
    ROOM = 32768,
    INDENT = 10,
};

static const struct {
    int code;
    enum kind kinds[7]; /* in the order of how often they are it; ends with KINDS */
} causes[] = {
    {EADDRINUSE,
     {KIND_PORT_HELD, KIND_PORT_TIME_WAIT, KIND_PORT_LEFT_OVER, KIND_DUAL_STACK, KIND_PORT_IN_RANGE,
      KIND_PATH_STALE, KINDS}},
    {EADDRNOTAVAIL, {KIND_NO_SUCH_ADDRESS, KIND_PORTS_EXHAUSTED, KIND_SELF_CONNECTED, KINDS}},
    {ECONNREFUSED,
     {KIND_NOBODY_LISTENS, KIND_LISTENS_ELSEWHERE, KIND_ONE_FAMILY, KIND_PATH_STALE,
      KIND_UDP_NOBODY, KINDS}},
    {ECONNRESET,
     {KIND_CLOSES_UNREAD, KIND_RESTART_LOSS, KIND_LISTEN_QUEUE_FULL, KIND_MEMORY, KINDS}},
    {EPIPE, {KIND_CLOSES_UNREAD, KINDS}},
    {ETIMEDOUT, {KIND_LISTEN_QUEUE_FULL, KIND_SYN_DROPPED, KIND_PEER_GONE, KIND_CONNTRACK, KINDS}},
    {ETIME, {KIND_LISTEN_QUEUE_FULL, KIND_SLOW_READER, KIND_NAGLE, KIND_PEER_GONE, KINDS}},
    {EMFILE, {KIND_DESCRIPTORS, KIND_CLOSE_WAIT, KINDS}},
    {ENFILE, {KIND_SYSTEM_FILES, KINDS}},
    {EAGAIN, {KIND_UNIX_QUEUE_FULL, KIND_SLOW_READER, KINDS}},
    {ENOENT, {KIND_PATH_MISSING, KINDS}},
    {EPERM, {KIND_CONNTRACK, KINDS}},
};

static void tell_kind(struct page *p, const struct finding_kind *k)
{
    page_word(p, PAGE_CYAN, k->id, 0);
    text_add(&p->t, ": ");
    text_add(&p->t, k->what);
    page_end_line(p);
    page_paragraph(p, "  why", INDENT, k->why);
    page_paragraph(p, "  do", INDENT, k->act);
    if (k->setting) {
        page_paragraph(p, "  setting", INDENT, k->setting);
        text_add(&p->t, "          where it is found: stoa doctor --apply ");
        text_add(&p->t, k->id);
        page_end_line(p);
    }
}

static void tell_code(struct page *p, int code)
{
    page_word(p, PAGE_CYAN, strerrorname_np(code), 0);
    text_add(&p->t, " (");
    text_add_number(&p->t, (uint64_t)code);
    text_add(&p->t, ", \"");
    text_add(&p->t, strerror(code));
    text_add(&p->t, "\")");
    page_end_line(p);
    page_paragraph(p, "  is", INDENT, meaning_of(code));
    for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++)
        for (const enum kind *k = causes[i].kinds; causes[i].code == code && *k != KINDS; k++) {
            page_end_line(p);
            tell_kind(p, &finding_kinds[*k]);
        }
}

static void list(struct page *p)
{
    for (int k = 0; k < KINDS; k++) {
        page_word(p, PAGE_CYAN, finding_kinds[k].id, 19);
        text_add(&p->t, finding_kinds[k].what);
        page_end_line(p);
    }
}

/* The code of that name, or of that number; 0: there is none. */
static int code_of(const char *name)
{
    static const struct {
        const char *name;
        int code;
    } second_names[] = {
        {"EWOULDBLOCK", EWOULDBLOCK}, {"EDEADLOCK", EDEADLOCK}, {"ENOTSUP", ENOTSUP}};
    uint64_t number;

    if (args_number(name, 1, ERRNO_MAX, &number) && strerrorname_np((int)number))
        return (int)number;
    for (size_t i = 0; i < sizeof(second_names) / sizeof(second_names[0]); i++)
        if (strcasecmp(second_names[i].name, name) == 0)
            return second_names[i].code;
    for (int code = 1; code <= ERRNO_MAX; code++)
        if (strerrorname_np(code) && strcasecmp(strerrorname_np(code), name) == 0)
            return code;
    return 0;
}

int doctor_explain(const char *word)
{
    static char buf[ROOM];
    enum kind kind = finding_kind(word);
    int code = code_of(word);
    struct page p;

    page_init(&p, buf, sizeof(buf));
    if (strcmp(word, "list") == 0) {
        list(&p);
    } else if (kind != KINDS) {
        tell_kind(&p, &finding_kinds[kind]);
    } else if (code) {
        tell_code(&p, code);
    } else {
        char shown[64];
        struct text t;

        text_init(&t, shown, sizeof(shown));
        text_add_escaped(&t, word, strlen(word), "");
        output_say(WHO,
                   "--explain %s%s: neither an error of errno(3) nor a finding; --explain list has "
                   "the findings",
                   shown, t.cut ? "..." : "");
        return CODE_USAGE;
    }
    if (output_all(STDOUT_FILENO, p.t.buf, p.t.len) == 0 || errno == EPIPE)
        return CODE_OK;
    output_say(WHO, "write standard output: %s", strerror(errno));
    return CODE_FAILED;
}
