/* prompt.c - a person and a peer: the textbook's client, made right.
 *
 *     >>: hello
 *     client====> HELLO
 *     >>:
 *
 * What the peer says may come at any time and is printed above the line being typed.  An
 * empty line goes out as "\n": the textbook's empty message, of no bytes at all, could
 * never arrive (--raw, which sends no newlines, refuses it and says so).  Ctrl-D sends the
 * end of the stream, and the peer's answers still come; once more, and we leave.  When the
 * peer ends the stream, we end.
 *
 * A line that comes without its newline (a question, "login: ") is shown after LINE_LATE
 * of silence.  A peer that has said nothing SILENT after the first line was sent may never
 * have accepted: its kernel takes connections and bytes without it.  That is told once.
 *
 * One thread: the socket's descriptor is watched by line.c, and read without waiting.
 */
#include "base/limits.h"
#include "cli/exitcode.h"
#include "cli/history.h"
#include "cli/line.h"
#include "cli/output.h"
#include "cli/session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <stoa.h>
#include <string.h>
#include <unistd.h>

static const char PROMPT[] = ">>: ";
static const char ANSWER[] = "client====> ";
static const uint64_t LINE_LATE_NS = 50000000;
static const uint64_t SILENT_NS = 3000000000;

enum {
    SHOWN_ROOM = 16 << 10, /* of a line without end, shown in parts */
    RECEIVE = 4 << 10,
};

struct talk {
    struct session *s;
    struct line *line;
    bool plain;       /* answers are shown as lines, not as hex */
    bool half_closed; /* our end of the stream has been sent */
    int error;        /* what ended it; 0 = the streams' ends */
    char why[SENTENCE_MAX];
    bool heard; /* the peer has said something */
    bool hinted;
    uint64_t spoke_ns;      /* when the first line went; 0 = not yet */
    uint64_t moved_ns;      /* when bytes moved last, either way */
    uint64_t begun_ns;      /* when begun got its last bytes */
    char begun[SHOWN_ROOM]; /* an answer's line whose end has not come */
    size_t nbegun;
};

/* -------------------------------------------------------------------------
 * On the screen
 * ---------------------------------------------------------------------- */

/* A note of ours, told from the peer's words by its brackets, and dim. */
__attribute__((format(printf, 2, 3))) static void note(struct talk *t, const char *fmt, ...)
{
    const struct screen *screen = &t->s->show->screen;
    char text[SENTENCE_MAX];
    char shown[SENTENCE_MAX + 32];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    snprintf(shown, sizeof(shown), "%s[%s]%s\n", screen_colour(screen, SCREEN_DIM), text,
             screen_colour(screen, SCREEN_PLAIN));
    if (t->line)
        line_print(t->line, shown, strlen(shown));
    else
        (void)output_all(STDOUT_FILENO, shown, strlen(shown));
}

/* One line of an answer; its newline, if it came, is not in it. */
static void answer(struct talk *t, const char *bytes, size_t len)
{
    const struct screen *screen = &t->s->show->screen;
    char shown[SHOWN_ROOM + 64];
    struct text x;

    text_init(&x, shown, sizeof(shown));
    text_add(&x, screen_colour(screen, SCREEN_CYAN));
    text_add(&x, ANSWER);
    text_add(&x, screen_colour(screen, SCREEN_PLAIN));
    text_add_bytes(&x, bytes, len);
    text_add(&x, "\n");
    line_print(t->line, shown, x.len);
}

static void answer_begun(struct talk *t)
{
    if (t->nbegun)
        answer(t, t->begun, t->nbegun);
    t->nbegun = 0;
}

/* Put for struct show: text that is safe, in whatever pieces, becomes lines. */
static int put_lines(void *arg, const char *text, size_t len)
{
    struct talk *t = arg;

    while (len) {
        const char *end = memchr(text, '\n', len);
        size_t n = end ? (size_t)(end - text) : len;
        size_t room = sizeof(t->begun) - t->nbegun;
        if (n > room) {
            n = room;
            end = NULL;
        }
        memcpy(t->begun + t->nbegun, text, n);
        t->nbegun += n;
        if (end && !t->nbegun)
            answer(t, "", 0);
        if (end || t->nbegun == sizeof(t->begun))
            answer_begun(t);
        text += n + (end != NULL);
        len -= n + (end != NULL);
    }
    t->begun_ns = output_now_ns();
    return 0;
}

static int put_whole(void *arg, const char *text, size_t len)
{
    struct talk *t = arg;

    line_print(t->line, text, len);
    return 0;
}

/* -------------------------------------------------------------------------
 * The peer
 * ---------------------------------------------------------------------- */

static void end(struct talk *t, int error, const char *why)
{
    t->error = error;
    snprintf(t->why, sizeof(t->why), "%s", why);
    line_stop(t->line);
}

/* The socket is readable. */
static void ready(void *arg)
{
    struct talk *t = arg;
    char buf[RECEIVE];
    ssize_t n = stoa_recv(t->s->socket, buf, sizeof(buf), MSG_DONTWAIT);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n < 0) {
        end(t, errno, stoa_errmsg());
    } else if (n == 0 && !t->s->datagram) {
        end(t, 0, "");
        note(t, "%s has ended the stream", t->s->peer);
    } else {
        t->heard = true;
        t->moved_ns = output_now_ns();
        (void)show_bytes(t->s->show, SHOW_CAME, buf, (size_t)n);
    }
}

/* The time, if any, at which something is due. */
static uint64_t due_ns(struct talk *t)
{
    uint64_t due = UINT64_MAX;

    if (t->nbegun)
        due = t->begun_ns + LINE_LATE_NS;
    if (t->spoke_ns && !t->heard && !t->hinted && t->spoke_ns + SILENT_NS < due)
        due = t->spoke_ns + SILENT_NS;
    if (t->s->timeout > 0 && t->moved_ns + (uint64_t)(t->s->timeout * 1e9) < due)
        due = t->moved_ns + (uint64_t)(t->s->timeout * 1e9);
    return due;
}

static int wait_ms(void *arg)
{
    uint64_t due = due_ns(arg), now = output_now_ns();

    if (due == UINT64_MAX)
        return -1;
    if (due <= now)
        return 0;
    due = (due - now) / 1000000 + 1;
    return due < 1000000 ? (int)due : 1000000;
}

static void late(void *arg)
{
    struct talk *t = arg;
    uint64_t now = output_now_ns();

    if (t->nbegun && now >= t->begun_ns + LINE_LATE_NS)
        answer_begun(t);
    if (t->spoke_ns && !t->heard && !t->hinted && now >= t->spoke_ns + SILENT_NS) {
        t->hinted = true;
        note(t, "%s is connected but has said nothing for 3 s: has it accepted?", t->s->peer);
    }
    if (t->s->timeout > 0 && now >= t->moved_ns + (uint64_t)(t->s->timeout * 1e9))
        end(t, ETIME, "nothing was said for the time of --timeout");
}

/* -------------------------------------------------------------------------
 * The person
 * ---------------------------------------------------------------------- */

/* The line with its end, as it is to be sent: malloc'ed; NULL: no memory. */
static char *line_with_end(const struct session *s, const char *text, size_t *len)
{
    const char *end = s->raw ? "" : s->crlf ? "\r\n" : "\n";
    char *bytes = malloc(*len + 3);

    if (!bytes)
        return NULL;
    memcpy(bytes, text, *len);
    memcpy(bytes + *len, end, strlen(end) + 1);
    *len += strlen(end);
    return bytes;
}

static void say(struct talk *t, const char *text, size_t len)
{
    char *bytes;

    if (t->half_closed) {
        note(t, "%s: not sent, the end of the stream is; ctrl-D leaves", t->s->peer);
        return;
    }
    if (t->s->raw && len == 0) {
        note(t, "%s: not sent, a message of no bytes cannot arrive", t->s->peer);
        return;
    }
    bytes = line_with_end(t->s, text, &len);
    if (!bytes || stoa_sendall(t->s->socket, bytes, len, 0) < 0) {
        end(t, bytes ? errno : ENOMEM, bytes ? stoa_errmsg() : strerror(ENOMEM));
        free(bytes);
        return;
    }
    t->moved_ns = output_now_ns();
    t->spoke_ns = t->spoke_ns ? t->spoke_ns : t->moved_ns;
    if (t->s->show->as == SHOW_HEX)
        (void)show_bytes(t->s->show, SHOW_WENT, bytes, len);
    free(bytes);
}

/* Ctrl-D.  false: that was the second. */
static bool say_end(struct talk *t)
{
    if (t->half_closed || t->s->datagram)
        return false;
    t->half_closed = true;
    line_prompt(t->line, "");
    if (stoa_shutdown(t->s->socket, SHUT_WR) == 0)
        note(t, "the end of the stream is sent to %s; once more ctrl-D leaves", t->s->peer);
    return true;
}

static void converse(struct talk *t)
{
    const char *text;
    size_t len;

    for (;;) {
        switch (line_read(t->line, &text, &len)) {
        case LINE_TYPED:
            say(t, text, len);
            break;
        case LINE_EOF:
            if (!say_end(t))
                return;
            break;
        case LINE_STOPPED:
            return;
        }
    }
}

/* After the last line the terminal is the shell's again. */
static int leave(struct talk *t)
{
    (void)show_end(t->s->show, "");
    answer_begun(t);
    line_close(t->line);
    t->line = NULL;
    stoa_close(t->s->socket);
    if (!t->error)
        return CODE_OK;
    output_say(t->s->who, "%s", t->why);
    return exitcode_peer(t->error, t->s->to);
}

int prompt(struct session *s)
{
    char path[4096];
    struct talk *t = calloc(1, sizeof(*t));
    int code = CODE_FAILED;

    if (!t) {
        output_say(s->who, "%s", strerror(errno));
        return code;
    }
    t->s = s;
    t->moved_ns = output_now_ns();
    struct line_watch watch = {
        .fd = stoa_fileno(s->socket), .ready = ready, .late = late, .wait_ms = wait_ms, .arg = t};
    s->show->put = s->show->as == SHOW_HEX ? put_whole : put_lines;
    s->show->arg = t;
    (void)show_begin(s->show, s->peer);
    note(t, "%s; ctrl-D ends", s->peer);
    t->line = line_open(PROMPT, past_path(path, sizeof(path), s->peer) ? path : NULL, &watch);
    if (t->line) {
        converse(t);
        code = leave(t);
    } else {
        output_say(s->who, "no terminal: %s", strerror(errno));
    }
    free(t);
    return code;
}
