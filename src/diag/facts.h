/* facts.h - what is so on this machine: plain structs, filled by collectors.  Nothing is judged.
 *
 * Two of them make rates: an early one with counters, listeners and what waits to be closed
 * (facts_early), and a full one later.  Tests fill them by hand.
 */
#ifndef STOA_DIAG_FACTS_H
#define STOA_DIAG_FACTS_H

#include "diag/counters.h"
#include "diag/machine.h"
#include "diag/process.h"
#include "diag/sockets.h"

#define FACTS_CROWDED_MAX 16

/* Settings; 0 where the kernel has not that one. */
struct facts_settings {
    struct machine_range range;
    char reserved[1024]; /* ip_local_reserved_ports as it is written */
    uint64_t somaxconn;
    uint64_t syncookies;
    uint64_t abort_on_overflow;
    uint64_t tw_buckets;
    uint64_t tw_reuse;
    uint64_t migrate_req;
    uint64_t keepalive_time;
    uint64_t retries2;
    uint64_t max_orphans;
    uint64_t tcp_mem[3];
    uint64_t rmem_max;
    uint64_t conntrack_count;
    uint64_t conntrack_max;
    uint64_t files; /* open in the system */
    uint64_t files_max;
};

struct facts {
    uint64_t when_ns; /* CLOCK_MONOTONIC, of the counters */
    int64_t up_s;     /* since the machine's start */
    struct counters counters;
    struct facts_settings set;

    enum sockets_source source;
    struct diag_socket *sockets; /* TCP and UDP */
    size_t nsocket;
    size_t room;
    uint32_t *listeners; /* places of TCP's listeners in sockets */
    size_t nlistener;
    size_t listener_room;
    uint32_t *by_inode;      /* places in sockets, sorted by inode; NULL: nobody has sorted them */
    struct diag_unix *paths; /* UNIX listeners */
    size_t npath;
    size_t path_room;
    bool short_of_memory; /* not all of them are here */

    struct diag_owner *owners; /* of the pids above, sorted by pid */
    size_t nowner;

    struct diag_process crowded[FACTS_CROWDED_MAX]; /* near their limit of descriptors */
    size_t ncrowded;

    bool short_of_ports; /* outgoing connections have half of all local ports */
    bool root;
    size_t closed;    /* processes that did not let us look */
    bool walk_cut;    /* more descriptors than are looked at */
    uint64_t idle_ms; /* a connection that is silent for so long is idle */
};

/* Counters, listeners, and TCP sockets in CLOSE_WAIT. */
void facts_early(struct facts *f);

/* All there is.  idle_ms: connections that are silent for so long have their owners looked for. */
void facts_full(struct facts *f, uint64_t idle_ms);

/* Find all sockets of one process, too.  0; negative errno: it may not be looked at. */
int facts_of_process(struct facts *f, int pid);

/* Find who has the sockets of that port, too: those that do no harm are not looked for else. */
void facts_of_port(struct facts *f, int proto, uint16_t port);

/* Read the counters anew, for the end of a span. */
void facts_count(struct facts *f);

void facts_free(struct facts *f);

/* Add one; false: no memory.  All are to be added before any is looked for. */
bool facts_add(struct facts *f, const struct diag_socket *s);
bool facts_add_path(struct facts *f, const struct diag_unix *s);

/* What is known of a process; NULL: nothing. */
const struct diag_owner *facts_who(const struct facts *f, int pid);

/* The socket of that inode in that state, in an earlier look; NULL: it was not there. */
const struct diag_socket *facts_find(const struct facts *f, uint32_t inode, uint8_t state);

/* The listener of a connection's port, NULL: there is none. */
const struct diag_socket *facts_listener(const struct facts *f, const struct diag_socket *s);

#endif
