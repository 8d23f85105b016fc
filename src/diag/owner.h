/* owner.h - from a socket's inode to the process that has it.  Changes nothing, waits for nothing.
 *
 * There is no index for that: each process's descriptors are looked at, the first of all processes
 * before the later ones of any, for a listener is among the first of its process.  One walk
 * answers for many sockets.
 */
#ifndef STOA_DIAG_OWNER_H
#define STOA_DIAG_OWNER_H

#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define OWNER_PROGRAM_MAX 64 /* a comm is 15 bytes; a kernel's worker may have more */
#define OWNER_USER_MAX    64

struct diag_owner {
    int pid; /* 0: not known */
    uint32_t uid;
    int64_t since; /* seconds of CLOCK_REALTIME; 0: not known */
    char program[OWNER_PROGRAM_MAX];
    char user[OWNER_USER_MAX];
};

/* A socket whose process is looked for. */
struct owner_wish {
    uint32_t inode;
    int pid; /* the answer; 0: not found */
};

/* How far a walk came. */
struct owner_walk {
    size_t links;  /* looked at */
    size_t closed; /* processes that do not let us look */
    bool cut;      /* links_max came first */
};

/* Find who has these n sockets, which are sorted by inode; links_max descriptors are looked at. */
struct owner_walk owner_find(struct owner_wish *wishes, size_t n, size_t links_max);

/* What is to be told of a process; false: there is none of that number. */
bool owner_look(struct diag_owner *o, int pid);

/* The inodes of a process's sockets, sorted; *list is malloc'ed.  How many; negative errno. */
long owner_sockets(int pid, uint32_t **list);

/* "amy", or "uid 1000" where /etc/passwd does not know it: no name service is asked. */
void owner_user(struct text *t, uint32_t uid);

/* "python3 (pid 154, user amy, since 09:12)". */
void owner_text(struct text *t, const struct diag_owner *o);

#endif
