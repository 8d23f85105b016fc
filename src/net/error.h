/* error.h - the frontier: negative errno comes in, -1 with errno and a sentence goes out.
 *
 * Below it nobody sets errno, above it nobody sees a negative one.  It keeps what the
 * sentence needs (a note in the fiber or thread) and renders it only when asked.
 */
#ifndef STOA_NET_ERROR_H
#define STOA_NET_ERROR_H

#include "fiber/fiber.h"

#include <sys/types.h>

struct stoa_addr;

/* What a note has (struct note's flags). */
#define NOTE_ABOUT   1 /* detail begins with what the call was about */
#define NOTE_WHY     2 /* then, behind a 0, comes why */
#define NOTE_AT      4 /* then, behind a 0, comes a struct stoa_addr: where it should have been */
#define NOTE_MACHINE 8 /* it was this machine, no simulated one: it can be asked more */

/* The public calls, as a sentence names them. */
enum verb {
    VERB_NONE,
    VERB_ADDR_PARSE,
    VERB_RESOLVE,
    VERB_SOCKET,
    VERB_SOCKETPAIR,
    VERB_FROMFD,
    VERB_FILENO,
    VERB_DETACH,
    VERB_DUP,
    VERB_CLOSE,
    VERB_ABORT,
    VERB_SHUTDOWN,
    VERB_BIND,
    VERB_LISTEN,
    VERB_ACCEPT,
    VERB_CONNECT,
    VERB_RECV,
    VERB_SEND,
    VERB_SENDALL,
    VERB_RECVALL,
    VERB_SENDFILE,
    VERB_RECVFROM,
    VERB_SENDTO,
    VERB_RECVMSG,
    VERB_SENDMSG,
    VERB_SEND_FDS,
    VERB_RECV_FDS,
    VERB_GETPEERNAME,
    VERB_GETSOCKNAME,
    VERB_GETSOCKOPT,
    VERB_SETSOCKOPT,
    VERB_SETTIMEOUT,
    VERB_GETTIMEOUT,
    VERB_SETBLOCKING,
    VERB_POLL,
    VERB_MAKEFILE,
    VERB_DIAL,
    VERB_ANNOUNCE,
    VERB_LEAVE,
    VERB_SERVE,
    VERB_HAND_OVER,
    VERB_RUN,
    VERB_GO,
    VERB_GROUP_OPEN,
    VERB_GROUP_JOIN,
    VERB_SLEEP,
    VERB_YIELD,
    VERB_OFFLOAD,
    VERB_STATUS,
    VERB_SIM_RUN,
    VERB_SIM_HOST,
    VERB_COUNT,
};

/* r as it is when it is no error; else -1, with errno set and a note of the socket s. */
ssize_t error_out(enum verb verb, int s, ssize_t r);

/* The same with what the call was about ("127.0.0.1:80") and why ("the port ..."); either may
 * be NULL, and both are copied. */
ssize_t error_out_why(enum verb verb, int s, ssize_t r, const char *about, const char *why);

/* The same for a call about the address at, for a socket of that type: who asks for the sentence
 * may want to know who has it. */
ssize_t error_out_at(enum verb verb, int s, ssize_t r, const char *about, const char *why,
                     const struct stoa_addr *at, int type);

/* EINVAL, for a length over SSIZE_MAX. */
ssize_t error_out_len(enum verb verb, int s);

/* The same as error_out() for calls whose error can come after a part was done. */
ssize_t error_out_done(enum verb verb, int s, ssize_t r, size_t done);

/* Move one note to another: a group's first error to who joins it. */
void error_move(struct note *to, struct note *from);

#endif
