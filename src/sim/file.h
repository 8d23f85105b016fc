/* file.h - a simulated kernel's socket: the open file, its descriptors, its port, its options.
 *
 * Descriptors are numbers from SIM_FD_FIRST on, which no real descriptor has: a call of
 * the real kernel on one of them says EBADF and does no harm.
 */
#ifndef STOA_SIM_FILE_H
#define STOA_SIM_FILE_H

#include "sim/flow.h"
#include "sim/world.h"

#define SIM_FD_FIRST   (1 << 22)
#define SIM_NAME_MAX   108
#define FILE_OPTIONS   16
#define FILE_FDS_MAX   253 /* SCM_MAX_FD of the kernel */
#define SNDBUF_DEFAULT 262144
#define RCVBUF_DEFAULT 131072

#define SYN_TRIES_DEFAULT 6 /* tcp_syn_retries */

enum file_state {
    FILE_CLOSED, /* new, or over */
    FILE_LISTENS,
    FILE_CONNECTS,
    FILE_CONNECTED, /* streams until both ends are told; datagrams with a peer */
};

/* An end of a connection, or where a socket is bound. */
struct end {
    struct in6_addr addr; /* IPv4 mapped; any: IN6_IS_ADDR_UNSPECIFIED, or mapped 0.0.0.0 */
    uint16_t port;        /* of this machine's byte order; 0 = none */
};

/* A taken port.  Of a socket, or of a connection that is over (TIME_WAIT). */
struct port {
    struct list link; /* in world->port */
    struct host *host;
    struct file *file; /* NULL = TIME_WAIT */
    struct end own;
    struct end peer; /* port 0 = not connected */
    bool dgram;
    bool inet6; /* the socket's family */
    bool v6only;
    bool reuseaddr;
    bool reuseport;
    bool bound_by_user; /* and not by connect */
    struct event expires;
};

/* A UNIX socket's name: a path stays when its socket has gone. */
struct node {
    struct list link; /* in world->nodes */
    struct host *host;
    struct file *file; /* NULL = stale */
    socklen_t len;
    char name[SIM_NAME_MAX];
};

struct option {
    int level;
    int name;
    int value;
};

/* A datagram, or a message of SOCK_SEQPACKET. */
struct message {
    struct list link; /* in world->flying, or file->messages */
    struct event arrives;
    struct host *from_host;
    struct host *to_host;
    struct end from, for_; /* whom it came from, where it goes */
    struct node from_node; /* UNIX */
    struct rights *rights;
    size_t len;
    char bytes[];
};

struct file {
    struct list all;   /* in world->files, then in dead_files */
    struct list descs; /* struct desc */
    unsigned nright;   /* messages on their way that hold it */
    bool dead;         /* in world->dead_files */
    struct world *world;
    struct host *host;
    uint64_t id;
    int family, type, proto;
    enum file_state state;

    struct port port; /* when port.link is linked */
    struct node *node;
    struct node own_node;  /* UNIX: what an accepted one is called, */
    struct node peer_node; /* and what the other end is */

    int error; /* what SO_ERROR tells, once */
    bool shut_in, shut_out;
    bool end_seen;   /* the peer's end has come: no later error is told any more */
    bool connecting; /* connect(2) has not told its outcome yet */
    bool orphan;     /* no descriptor any more, but TCP has something to do */
    bool lingers;    /* an orphan that throws input away: polite close */
    bool was_first;  /* our end went out before the peer's came: TIME_WAIT is ours */
    uint8_t tries;   /* of the connect's step */
    uint8_t step;
    uint8_t patience;    /* times the linger event has found the peer silent */
    struct event shake;  /* the connect's next step; of a child: it may be accepted */
    struct event linger; /* the end of patience */
    uint64_t linger_until_ns;

    struct pipe *in, *out; /* streams; NULL = none */
    struct file *mate;     /* UNIX: the other end; NULL = none, or gone */
    bool mate_gone;

    struct file *listener; /* in whose queue it is */
    struct list waiting;   /* in listener->queue */
    struct list queue;     /* to be accepted */
    unsigned nqueue;       /* those, and children on their way */
    unsigned backlog;

    struct list messages; /* of datagrams */
    size_t nmessage_bytes;
    unsigned nmessage;

    int sndbuf, rcvbuf;
    int user_timeout_ms; /* TCP_USER_TIMEOUT; 0 = the tries' */
    int syn_tries;
    struct linger so_linger;
    struct option option[FILE_OPTIONS];
    int noption;

    int due_events; /* poll(2)'s, for which operations are to be tried */
    struct event due;
};

/* A descriptor.  Several lead to one file after dup(2). */
struct desc {
    struct file *file;
    struct list link;          /* in file->descs */
    struct backend_sock *user; /* whose operations wait on it; NULL = none yet */
    int fd;
};

/* Descriptors on their way in a message. */
struct rights {
    int n;
    bool is_real[FILE_FDS_MAX];
    struct file *file[FILE_FDS_MAX];
    int fd[FILE_FDS_MAX]; /* the real ones: duplicates */
};

struct file *file_make(struct world *w, struct host *h, int family, int type, int proto);

/* Nothing is left of it: it lets go of its port, its streams and its messages. */
void file_free(struct file *f);

/* A descriptor, or a message that held it, has gone: if that was the last, it is closed. */
void file_unused(struct file *f);

/* One of world->dead_files. */
void file_bury(struct file *f);

/* The file of a descriptor; NULL: it is none. */
struct desc *file_desc(struct world *w, int fd);

/* A descriptor for a file; -EMFILE. */
int file_open(struct file *f);

/* A descriptor goes; with the last one the socket is closed as `how` says. */
void file_shut(struct world *w, int fd, enum backend_close how);

/* Operations that wait for one of poll(2)'s events are to be tried: something has come. */
void file_wake(struct file *f, int events);

/* What SO_ERROR says, once. */
static inline int file_take_error(struct file *f)
{
    int error = f->error;

    f->error = 0;
    return error;
}

#endif
