/* explain_path.c - sentences for UNIX sockets: which part of a path is missing, who has it, and
 * whether its file is all that is left of a server. */
#include "diag/place.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define NAME_MAX_LEN sizeof(((struct sockaddr_un *)0)->sun_path)

struct name {
    char text[NAME_MAX_LEN + 1]; /* with a 0 at its end; abstract: with one at its beginning */
    size_t len;
};

static bool name_of(struct name *n, const struct explain_ask *ask)
{
    size_t before = offsetof(struct sockaddr_un, sun_path);

    *n = (struct name){.len = 0};
    if (ask->at_len <= before)
        return false;
    n->len = ask->at_len - before;
    if (n->len > NAME_MAX_LEN)
        n->len = NAME_MAX_LEN;
    memcpy(n->text, ((const struct sockaddr_un *)(const void *)ask->at)->sun_path, n->len);
    if (n->text[0])
        n->len = strlen(n->text);
    return true;
}

static void add_path(struct text *t, const char *path, size_t len)
{
    text_add_escaped(t, path, len, "");
}

/* Where the folder of a path ends: the length of it, 0 for this one. */
static size_t folder_len(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == path ? 1 : slash ? (size_t)(slash - path) : 0;
}

/* The first folder of the path that is not there; 0: all are. */
static size_t missing_folder(const char *path)
{
    char part[NAME_MAX_LEN + 1];
    struct stat st;

    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        size_t len = (size_t)(slash - path);

        memcpy(part, path, len);
        part[len] = '\0';
        if (stat(part, &st) < 0 && errno == ENOENT)
            return len;
    }
    return 0;
}

static bool no_such_path(struct text *t, const struct name *n, bool bind)
{
    size_t len = missing_folder(n->text);

    if (len) {
        text_add(t, "there is no such folder: ");
        add_path(t, n->text, len);
        text_add(t,
                 bind ? "; make it first (mkdir -p)" : "; so no server has made its socket there");
        return true;
    }
    if (bind)
        return false;
    text_add(t, "there is no such path: its folder ");
    if (folder_len(n->text))
        add_path(t, n->text, folder_len(n->text));
    else
        text_add(t, "(this one)");
    text_add(t, " is there, but no server has made its socket in it; start the server first, or "
                "correct the name");
    return true;
}

static bool path_in_use(struct text *t, const struct name *n)
{
    struct path_facts f;

    path_look(&f, n->text, n->len, EXPLAIN_LINKS_MAX);
    if (f.bound) {
        text_add(t, n->text[0] ? "the path is held by " : "the name is held by ");
        place_owner(t, &f.owner, f.holder.uid, NULL);
        text_add(t, n->text[0] ? "; stop it, or choose another path"
                               : "; stop it, or choose another name");
        return true;
    }
    text_add(t, n->text[0] ? "a file is at that path, and no process of this network has it as its "
                             "socket: if no other container serves there, remove it (rm)"
                           : "the name was in use, and is no longer: try again");
    return f.source != SOCKETS_NONE;
}

static bool nobody_accepts(struct text *t, const struct name *n)
{
    struct path_facts f;

    path_look(&f, n->text, n->len, EXPLAIN_LINKS_MAX);
    text_add(t, "connection refused: ");
    if (f.bound) {
        place_owner(t, &f.owner, f.holder.uid, NULL);
        text_add(t, f.holder.state == DIAG_LISTEN
                        ? " listens there now: try again"
                        : " has it and does not listen: it is about to, or it is a socket of "
                          "another type");
    } else if (n->text[0]) {
        text_add(t, "the file is there, but no process has it: its server has ended and left it "
                    "behind; start the server again, or remove the file: rm ");
        text_add_path(t, n->text, n->len);
    } else {
        text_add(t, "no process has that name");
    }
    return f.source != SOCKETS_NONE;
}

static bool is_full(struct text *t, const struct name *n)
{
    struct path_facts f;

    path_look(&f, n->text, n->len, EXPLAIN_LINKS_MAX);
    if (!f.bound || f.source != SOCKETS_DIAG)
        return false;
    text_add(t, "its queue is full: ");
    text_add_number(t, f.holder.receive);
    text_add(t, " connections wait, the limit is ");
    text_add_number(t, f.holder.send);
    text_add(t, " (listen(2)); ");
    place_owner(t, &f.owner, f.holder.uid, NULL);
    text_add(t, " accepts too slowly, and a non-blocking connect does not wait");
    return true;
}

static void add_mode(struct text *t, const struct stat *st)
{
    char mode[] = "0000";

    for (int i = 3, bits = (int)st->st_mode & 07777; i >= 0; i--, bits >>= 3)
        mode[i] = (char)('0' + (bits & 7));
    text_add(t, " belongs to ");
    owner_user(t, st->st_uid);
    text_add(t, " (mode ");
    text_add(t, mode);
    text_add(t, "), and this process is ");
    owner_user(t, geteuid());
}

static bool no_right(struct text *t, const struct name *n, bool bind)
{
    char folder[NAME_MAX_LEN + 1] = ".";
    size_t len = folder_len(n->text);
    struct stat st;

    if (len) {
        memcpy(folder, n->text, len);
        folder[len] = '\0';
    }
    const char *path = bind ? folder : n->text;
    if (!n->text[0] || stat(path, &st) < 0)
        return false;
    text_add(t, "not allowed: ");
    add_path(t, path, strlen(path));
    add_mode(t, &st);
    return true;
}

bool explain_path(struct text *t, const struct explain_ask *ask)
{
    bool bind = ask->call == EXPLAIN_BIND;
    struct name n;

    if (!name_of(&n, ask) || ask->call == EXPLAIN_TALK)
        return false;
    switch (ask->code) {
    case EADDRINUSE:
        return path_in_use(t, &n);
    case ECONNREFUSED:
        return nobody_accepts(t, &n);
    case ENOENT:
        return no_such_path(t, &n, bind);
    case EAGAIN:
        return is_full(t, &n);
    case EACCES:
        return no_right(t, &n, bind);
    default:
        return false;
    }
}
