/* line.c - libedit, with a getchar of our own.
 *
 * libedit asks for one character at a time through EL_GETCFN.  Ours waits in poll(2) for a
 * key, for the watched descriptor, and for line_refresh(); so all of it happens on one
 * thread, between two keys, and a line half typed is never torn.
 *
 * Printing above the line: the cursor goes up to the first row of what is typed and the
 * screen is cleared from there; then the text; then libedit draws its line anew
 * (EL_REFRESH forgets what was on the screen).  How many rows are typed is counted with
 * wcwidth(3), as libedit does.
 *
 * Keys: bytes become characters by mbrtowc(3); one that is in no character is dropped.
 * What libedit's ~/.editrc says holds here, too.
 *
 * Limits: one line_open() at a time, for terminals and signals belong to the process.
 */
#include "cli/line.h"

#include "cli/history.h"
#include "cli/output.h"

#include <errno.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

enum {
    TAKE_SECONDS = 1,
    COLUMNS_DEFAULT = 80,
};

struct line {
    EditLine *edit;
    struct past past;
    const char *prompt;
    const struct line_watch *watch;
    bool editing; /* something of ours is on the screen's last rows */
    bool stopped;
    bool can_move;
    bool eof; /* the terminal has gone */
    mbstate_t half;
};

/* Held by whoever may change the terminal's mode: all of libedit's work, but not the wait
 * for a key.  So nobody makes it raw again after line_take_terminal(). */
static pthread_mutex_t drawing = PTHREAD_MUTEX_INITIALIZER;
static bool taken; /* by line_take_terminal(); its thread's */

static struct termios as_it_was;
static atomic_bool has_terminal;
static int refresh_fd = -1; /* an eventfd */

void line_locale(void)
{
    setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "ANSI_X3.4-1968") == 0)
        setlocale(LC_CTYPE, "C.UTF-8");
}

static bool restore(void)
{
    return atomic_load(&has_terminal) && tcsetattr(STDIN_FILENO, TCSADRAIN, &as_it_was) == 0;
}

bool line_take_terminal(void)
{
    struct timespec end;

    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += TAKE_SECONDS; /* whoever draws on a screen that takes nothing has it for ever */
    taken = pthread_mutex_timedlock(&drawing, &end) == 0;
    return restore();
}

void line_give_terminal(void)
{
    if (taken)
        pthread_mutex_unlock(&drawing);
    line_refresh();
}

void line_refresh(void)
{
    if (atomic_load(&has_terminal))
        (void)eventfd_write(refresh_fd, 1);
}

/* -------------------------------------------------------------------------
 * Keys
 * ---------------------------------------------------------------------- */

static void take_refresh(struct line *l)
{
    eventfd_t n;

    (void)eventfd_read(refresh_fd, &n);
    el_set(l->edit, EL_PREP_TERM, 0); /* it believes that nothing has changed */
    el_set(l->edit, EL_PREP_TERM, 1);
    el_resize(l->edit);
    (void)output_all(STDOUT_FILENO, l->can_move ? "\r\033[J" : "\n", l->can_move ? 4 : 1);
    el_set(l->edit, EL_REFRESH);
}

/* 1: a character; 0: none yet; -1: the terminal has gone. */
static int one_key(struct line *l, wchar_t *c)
{
    char byte;
    ssize_t n = read(STDIN_FILENO, &byte, 1);
    size_t used;

    if (n <= 0)
        return n < 0 && (errno == EINTR || errno == EAGAIN) ? 0 : -1;
    used = mbrtowc(c, &byte, 1, &l->half);
    if (used == (size_t)-1)
        memset(&l->half, 0, sizeof(l->half));
    return used == (size_t)-1 || used == (size_t)-2 ? 0 : 1;
}

/* libedit's getchar: 1 = *c holds, 0 = end of file. */
static int next_key(EditLine *edit, wchar_t *c)
{
    struct line *l;

    el_get(edit, EL_CLIENTDATA, &l);
    while (!l->stopped) {
        struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                               {.fd = l->watch->fd, .events = POLLIN},
                               {.fd = refresh_fd, .events = POLLIN}};
        pthread_mutex_unlock(&drawing);
        int n = poll(fds, 3, l->watch->wait_ms(l->watch->arg));
        pthread_mutex_lock(&drawing);
        if (n == 0)
            l->watch->late(l->watch->arg);
        if (n <= 0)
            continue;
        if (fds[2].revents)
            take_refresh(l);
        if (fds[1].revents)
            l->watch->ready(l->watch->arg);
        else if (fds[0].revents) {
            int got = one_key(l, c);
            l->eof = got < 0;
            if (got)
                return got > 0;
        }
    }
    return 0;
}

/* -------------------------------------------------------------------------
 * The screen
 * ---------------------------------------------------------------------- */

static int columns(void)
{
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return COLUMNS_DEFAULT;
    return size.ws_col;
}

/* Columns of the character at s; its bytes in *n. */
static int width(const char *s, size_t len, size_t *n, mbstate_t *half)
{
    wchar_t c;
    int w;

    *n = mbrtowc(&c, s, len, half);
    if (*n == 0 || *n > len) {
        *n = 1;
        memset(half, 0, sizeof(*half));
        return 1;
    }
    w = wcwidth(c);
    return w < 0 ? 2 : w; /* a control is shown as ^X */
}

/* The row the cursor is in, counted from the prompt's. */
static int cursor_row(struct line *l)
{
    const LineInfo *info = el_line(l->edit);
    int wide = columns();
    int row = 0, column = (int)strlen(l->prompt);
    mbstate_t half = {0};

    for (const char *s = info->buffer; s < info->cursor;) {
        size_t n;
        int w = width(s, (size_t)(info->cursor - s), &n, &half);
        if (column + w > wide) {
            row++;
            column = 0;
        }
        column += w;
        s += n;
    }
    return row + (column >= wide);
}

static void clear_typed(struct line *l)
{
    char up[32];
    int row;

    if (!l->can_move) {
        (void)output_all(STDOUT_FILENO, "\n", 1);
        return;
    }
    row = cursor_row(l);
    if (row > 0)
        (void)output_all(STDOUT_FILENO, up, (size_t)snprintf(up, sizeof(up), "\033[%dA", row));
    (void)output_all(STDOUT_FILENO, "\r\033[J", 4);
}

void line_print(struct line *l, const char *text, size_t len)
{
    if (l->editing)
        clear_typed(l);
    (void)output_all(STDOUT_FILENO, text, len);
    if (l->editing)
        el_set(l->edit, EL_REFRESH);
}

static char *prompt_text(EditLine *edit)
{
    struct line *l;

    el_get(edit, EL_CLIENTDATA, &l);
    return (char *)l->prompt;
}

/* -------------------------------------------------------------------------
 * Lines
 * ---------------------------------------------------------------------- */

static void line_free(struct line *l)
{
    past_close(&l->past);
    if (l->edit)
        el_end(l->edit);
    (void)restore();
    atomic_store(&has_terminal, false);
    if (refresh_fd >= 0)
        close(refresh_fd);
    refresh_fd = -1;
    free(l);
}

/* 0; -1 with what there is of it in l. */
static int edit_open(struct line *l, const char *history_file)
{
    refresh_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (refresh_fd < 0 || tcgetattr(STDIN_FILENO, &as_it_was) < 0)
        return -1;
    atomic_store(&has_terminal, true);
    l->edit = el_init("stoa", stdin, stdout, stderr);
    if (!l->edit)
        return -1;
    /* Between two lines libedit gives the terminal its echo and its own lines back.  What is
     * typed in that moment would be shown twice, and a ctrl-D be lost: so, without them. */
    el_set(l->edit, EL_SETTY, "-x", "-echo", "-icanon", NULL);
    el_set(l->edit, EL_CLIENTDATA, l);
    el_set(l->edit, EL_PROMPT, prompt_text);
    el_set(l->edit, EL_EDITOR, "emacs");
    el_set(l->edit, EL_GETCFN, next_key);
    if (past_open(&l->past, history_file) < 0)
        return -1;
    el_set(l->edit, EL_HIST, history, l->past.lines);
    el_source(l->edit, NULL);
    return 0;
}

struct line *line_open(const char *prompt, const char *history, const struct line_watch *watch)
{
    const char *term = getenv("TERM");
    struct line *l = calloc(1, sizeof(*l));

    if (!l)
        return NULL;
    l->prompt = prompt;
    l->watch = watch;
    l->can_move = term && *term && strcmp(term, "dumb") != 0;
    pthread_mutex_lock(&drawing);
    if (edit_open(l, history) < 0) {
        line_free(l);
        l = NULL;
    }
    pthread_mutex_unlock(&drawing);
    return l;
}

void line_close(struct line *l)
{
    pthread_mutex_lock(&drawing);
    line_free(l);
    pthread_mutex_unlock(&drawing);
}

enum line_end line_read(struct line *l, const char **text, size_t *len)
{
    int n = 0;

    pthread_mutex_lock(&drawing);
    l->editing = true;
    const char *typed = el_gets(l->edit, &n);
    l->editing = false;
    pthread_mutex_unlock(&drawing);
    if (l->stopped || l->eof)
        return LINE_STOPPED;
    if (!typed || n <= 0) {
        (void)output_all(STDOUT_FILENO, "\n", 1);
        return LINE_EOF;
    }
    n -= typed[n - 1] == '\n';
    past_add(&l->past, typed, (size_t)n);
    *text = typed;
    *len = (size_t)n;
    return LINE_TYPED;
}

void line_stop(struct line *l)
{
    if (l->editing)
        clear_typed(l);
    l->editing = false;
    l->stopped = true;
}

void line_prompt(struct line *l, const char *prompt)
{
    l->prompt = prompt;
}
