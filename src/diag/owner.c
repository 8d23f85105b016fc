/* owner.c - /proc/PID/fd, link by link.
 *
 * A link costs the kernel some microseconds, so the walk ends as soon as all are found, or at
 * the caller's bound.  Of /proc only what needs no lock of the other process is read: its
 * links, comm and stat; a process that hangs in the kernel does not hold us up.
 *
 * Limits: processes of others show their descriptors to root alone (ptrace(2), PTRACE_MODE_READ).
 * Who shares a socket with its children is named by the lowest pid.
 */
#include "diag/owner.h"

#include "diag/procfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    FIRST_FDS = 64,   /* of each process, before any process's later ones */
    LIST_ROOM = 1536, /* names of so many: 24 bytes each */
    LIST_ROOM_LATER = 16384,
};

struct walk {
    struct owner_wish *wishes;
    size_t n;
    size_t found;
    size_t links_max;
    struct owner_walk w;
    char *names; /* room for a folder's list */
};

static int compare(const void *a, const void *b)
{
    uint32_t x = ((const struct owner_wish *)a)->inode, y = ((const struct owner_wish *)b)->inode;

    return x < y ? -1 : x > y;
}

/* "socket:[123]": 123; 0 for all else. */
static uint32_t inode_of(int folder, const char *name)
{
    static const char before[] = "socket:[";
    char link[64];
    ssize_t len = readlinkat(folder, name, link, sizeof(link) - 1);

    if (len < 0)
        return 0;
    link[len] = '\0';
    return strncmp(link, before, sizeof(before) - 1) == 0
               ? (uint32_t)strtoul(link + sizeof(before) - 1, NULL, 10)
               : 0;
}

static bool is_over(struct walk *w)
{
    if (w->found < w->n && w->w.links >= w->links_max)
        w->w.cut = true;
    return w->w.cut || w->found == w->n;
}

static void look_at(struct walk *w, int folder, const char *name, int pid)
{
    struct owner_wish key = {.inode = inode_of(folder, name)};
    struct owner_wish *wish;

    w->w.links++;
    if (!key.inode)
        return;
    wish = bsearch(&key, w->wishes, w->n, sizeof(key), compare);
    if (wish && !wish->pid) {
        wish->pid = pid;
        w->found++;
    }
}

/* A part of a folder of descriptors.  How many names; 0 at its end. */
static int look_at_part(struct walk *w, int folder, int pid, size_t room)
{
    ssize_t len = getdents64(folder, w->names, room);
    int names = 0;

    for (ssize_t at = 0; at < len && !is_over(w);) {
        const struct dirent64 *d = (const struct dirent64 *)(const void *)(w->names + at);

        if (d->d_name[0] != '.')
            look_at(w, folder, d->d_name, pid);
        names++;
        at += d->d_reclen;
    }
    return names;
}

/* The first descriptors of a process, or the later ones. */
static void look_at_process(struct walk *w, int pid, bool later)
{
    char path[32];
    int folder, names;

    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        w->w.closed += !later && (errno == EACCES || errno == EPERM);
        return;
    }
    /* A descriptor's place in its folder is its number and 2: fs/proc/fd.c. */
    if (later)
        lseek(folder, FIRST_FDS, SEEK_SET);
    do
        names = look_at_part(w, folder, pid, later ? LIST_ROOM_LATER : LIST_ROOM);
    while (later && names > 0 && !is_over(w));
    close(folder);
}

/* All processes once. */
static void look_at_all(struct walk *w, bool later)
{
    DIR *proc = opendir("/proc");
    struct dirent *d;

    if (!proc)
        return;
    while (!is_over(w) && (d = readdir(proc))) {
        int pid = atoi(d->d_name);

        if (pid > 0)
            look_at_process(w, pid, later);
    }
    closedir(proc);
}

struct owner_walk owner_find(struct owner_wish *wishes, size_t n, size_t links_max)
{
    struct walk w = {.wishes = wishes, .n = n, .links_max = links_max};

    w.names = n ? malloc(LIST_ROOM_LATER) : NULL;
    if (!w.names)
        return w.w;
    look_at_process(&w, getpid(), false); /* on a crowded machine, too, one's own is found */
    if (!is_over(&w))
        look_at_all(&w, false);
    if (!is_over(&w))
        look_at_all(&w, true);
    free(w.names);
    return w.w;
}

static int compare_inodes(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

long owner_sockets(int pid, uint32_t **list)
{
    char path[32];
    struct dirent *d;
    size_t n = 0, room = 0;
    DIR *folder;

    *list = NULL;
    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    folder = opendir(path);
    if (!folder)
        return -errno;
    while ((d = readdir(folder))) {
        uint32_t inode = inode_of(dirfd(folder), d->d_name);

        if (inode && n == room) {
            uint32_t *more = realloc(*list, (room = room ? 2 * room : 256) * sizeof(inode));

            if (!more)
                break;
            *list = more;
        }
        if (inode)
            (*list)[n++] = inode;
    }
    closedir(folder);
    if (n)
        qsort(*list, n, sizeof(**list), compare_inodes);
    return (long)n;
}

/* When the process began: field 22 of its stat, in ticks since the machine's start. */
static int64_t began(const char *stat)
{
    const char *at = strrchr(stat, ')'); /* the name before it may hold anything */
    struct timespec now, up;
    unsigned long long ticks;

    if (!at || sscanf(at + 1,
                      " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
                      "%*d %*d %llu",
                      &ticks) != 1)
        return 0;
    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_BOOTTIME, &up);
    return now.tv_sec - up.tv_sec + (int64_t)(ticks / (unsigned long long)sysconf(_SC_CLK_TCK));
}

struct user {
    uint32_t uid;
    struct text *t;
};

/* name:password:uid:... */
static int user_line(void *arg, char *line)
{
    struct user *u = arg;
    char *password = strchr(line, ':');
    char *uid = password ? strchr(password + 1, ':') : NULL;
    char *end = uid;

    if (!uid || strtoul(uid + 1, &end, 10) != u->uid || end == uid + 1 || *end != ':')
        return 0;
    text_add_escaped(u->t, line, (size_t)(password - line), "");
    return 1;
}

void owner_user(struct text *t, uint32_t uid)
{
    struct user u = {.uid = uid, .t = t};

    if (procfile_lines("/etc/passwd", user_line, &u) > 0)
        return;
    text_add(t, "uid ");
    text_add_number(t, uid);
}

bool owner_look(struct diag_owner *o, int pid)
{
    char path[32], text[1024];
    struct stat st;
    struct text user;
    long len;

    *o = (struct diag_owner){.pid = pid};
    snprintf(path, sizeof(path), "/proc/%d", pid);
    if (pid <= 0 || stat(path, &st) < 0)
        return false;
    o->uid = st.st_uid;
    text_init(&user, o->user, sizeof(o->user));
    owner_user(&user, o->uid);
    snprintf(path, sizeof(path), "/proc/%d/comm", pid);
    len = procfile_read(path, o->program, sizeof(o->program));
    if (len > 0)
        o->program[strcspn(o->program, "\n")] = '\0';
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    if (procfile_read(path, text, sizeof(text)) > 0)
        o->since = began(text);
    return len > 0;
}

/* "09:12" of today, else "2026-01-31 09:12". */
static void add_since(struct text *t, int64_t since)
{
    time_t when = (time_t)since, now = time(NULL);
    struct tm then, today;
    char buf[32];

    if (!localtime_r(&when, &then) || !localtime_r(&now, &today))
        return;
    bool same_day = then.tm_yday == today.tm_yday && then.tm_year == today.tm_year;
    strftime(buf, sizeof(buf), same_day ? "%H:%M" : "%Y-%m-%d %H:%M", &then);
    text_add(t, ", since ");
    text_add(t, buf);
}

void owner_text(struct text *t, const struct diag_owner *o)
{
    text_add_escaped(t, o->program, strlen(o->program), "");
    text_add(t, " (pid ");
    text_add_number(t, (uint64_t)o->pid);
    text_add(t, ", user ");
    text_add(t, o->user);
    if (o->since)
        add_since(t, o->since);
    text_add(t, ")");
}
