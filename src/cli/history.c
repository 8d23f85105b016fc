/* history.c - a file for each peer, after the XDG base directories.
 *
 * What was typed to one server is of no use at another, and may be none of its business.
 * A peer's address becomes a file name by writing all but letters, digits, "." , "-" and
 * ":" as %XX; a leading "." too.
 *
 * The last LINES are kept, with mode 0600, written after each line and put in place by
 * rename(2): nothing is lost when the program is killed.
 *
 * Source: XDG Base Directory Specification 0.8 (XDG_STATE_HOME: "action history"; a path
 * that is not absolute is to be ignored).
 */
#include "cli/history.h"

#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINES = 1000 };

static void file_name_add(struct text *t, const char *peer)
{
    static const char hex[] = "0123456789ABCDEF";

    for (const char *s = peer; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (isalnum(c) || strchr("-:", c) || (c == '.' && s > peer))
            text_add_bytes(t, s, 1);
        else
            text_add_bytes(t, (const char[]){'%', hex[c >> 4], hex[c & 15]}, 3);
    }
}

/* Make each folder of the path that is not there. */
static bool make_folders(char *path)
{
    for (char *s = path + 1; *s; s++) {
        if (*s != '/')
            continue;
        *s = '\0';
        int result = mkdir(path, 0700);
        *s = '/';
        if (result < 0 && errno != EEXIST)
            return false;
    }
    return true;
}

bool past_path(char *buf, size_t size, const char *peer)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    struct text t;

    text_init(&t, buf, size);
    if (state && *state == '/') {
        text_add(&t, state);
    } else if (home && *home == '/') {
        text_add(&t, home);
        text_add(&t, "/.local/state");
    } else {
        return false;
    }
    text_add(&t, "/stoa/history/");
    file_name_add(&t, peer);
    return !t.cut && make_folders(buf);
}

int past_open(struct past *p, const char *file)
{
    HistEvent e;

    *p = (struct past){.lines = history_init()};
    if (!p->lines)
        return -1;
    history(p->lines, &e, H_SETSIZE, LINES);
    history(p->lines, &e, H_SETUNIQUE, 1);
    if (!file)
        return 0;
    history(p->lines, &e, H_LOAD, file);
    p->file = strdup(file);
    return p->file ? 0 : -1;
}

void past_close(struct past *p)
{
    if (p->lines)
        history_end(p->lines);
    free(p->file);
}

static void save(struct past *p)
{
    char temporary[4096];
    HistEvent e;
    mode_t mask;

    if (!p->file || snprintf(temporary, sizeof(temporary), "%s.%d", p->file, (int)getpid()) >=
                        (int)sizeof(temporary))
        return;
    mask = umask(077);
    if (history(p->lines, &e, H_SAVE, temporary) >= 0)
        (void)rename(temporary, p->file);
    (void)unlink(temporary);
    umask(mask);
}

void past_add(struct past *p, const char *text, size_t len)
{
    char *line = len ? strndup(text, len) : NULL;
    HistEvent e;

    if (!line)
        return;
    history(p->lines, &e, H_ENTER, line);
    save(p);
    free(line);
}
