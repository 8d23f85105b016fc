/* stoa/serve.h - many at once: fibers, groups, and a server in one call.
 *
 * A fiber is a function with a stack of its own.  Fibers of a worker take turns:
 * one runs until it waits, in a call of stoa.h or below.  A worker is a thread;
 * fibers never change workers, so errno and thread locals are safe.  A handler is
 * plain code: what it must not do is block the worker by other means (sleep(3),
 * a long computation): stoa_sleep(), stoa_yield() and stoa_offload() are there.
 *
 * stoa.h includes this file.  Manual: stoa_serve(3), stoa_go(3).
 */
#ifndef STOA_SERVE_H
#define STOA_SERVE_H

#include <stoa.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What one may wish.  Set size, leave the rest 0: 0 is the default everywhere.
 *
 *   struct stoa_options o = {.size = sizeof(o), .workers = 4};
 *
 * Fields are only ever added, at the end.  A program that was compiled with an older header goes on
 * as before; one with a newer header than the library's gets EINVAL if it asks for what the
 * library does not know.
 *
 * spin: a worker with nothing to do looks a little longer before it sleeps, 50 microseconds
 * at most, while that takes no more processor time than the sleeps it saves.  A
 * positive number, up to a millisecond, asks for short answers instead: the most to look
 * at a time, for as much processor time again at most.  A negative one forbids it; with 0
 * the environment's STOA_SPIN says, in microseconds.
 *
 * max_per_address: who comes beyond is reset.  An IPv6 address is its first 64 bits.  The default
 * does not count this machine's own loopback address, behind which a proxy may be.
 *
 * first_byte, idle, min_rate: a client who is late is sent off: its handler is cancelled, and the
 * connection is reset.  A value that is given holds always, and a tenth of it (of min_rate's 30
 * seconds, 3) under pressure, which is 90 % of max_conns.  With 0 there is no limit while
 * there is room; under pressure the first byte has 10 seconds, silence 60, and a byte a second is
 * asked for; and clients are sent off only until the pressure is over.  A negative one
 * is no limit ever.  They are looked at once a second, and are for TCP only.
 *
 * max_hold: a handler that keeps its worker for so long, computing or in a call that waits beside
 * stoa, is told: which client's, for how long, where it is and what to do; again each second,
 * and when it is over.  0 is a tenth of a second, a negative one never.
 *
 * tell: a sentence without a newline, and the handler's arg.  It is called by all workers at once,
 * and by a thread that sees to max_hold, and must not wait.
 */
struct stoa_options {
    size_t size;         /* sizeof(struct stoa_options): the version of this struct */
    const char *backend; /* how fibers wait: "epoll", "uring"; NULL = STOA_BACKEND or the best */
    const char *from;    /* dial: the address to connect from */
    int workers;         /* serve: threads, 1 .. 1024; 0 = one per core */
    int backlog;         /* announce, serve: as stoa_listen(); 0 = the system's most */
    unsigned mode;       /* announce, serve: a UNIX path's mode; 0 = 0600 */
    bool reuseport;      /* announce: let others of this user share the port */
    double timeout;      /* serve: each connection's timeout in seconds; 0 = the default */
    double drain;        /* serve: seconds for handlers to end after stoa_stop(); 0 = 10 */
    unsigned max_conns;  /* serve: connections at once; 0 = the descriptor limit less 64 */
    uint64_t count;      /* serve: return after so many connections; 0 = never */
    double spin;         /* a worker looks so many seconds before it sleeps; see above */
    size_t stack;        /* a fiber's stack in bytes; 0 = 64 KiB; rounded up to a power of 2 */
    unsigned max_per_address; /* serve: connections of one client address; 0 = 1024 */
    double first_byte;        /* serve: seconds until either side says something; see above */
    double idle;              /* serve: seconds without a byte; see above */
    double min_rate;          /* serve: bytes a second on average, after 30 s; see above */
    void (*tell)(const char *what, void *arg); /* serve: is told what befalls it; NULL = nobody */
    double max_hold; /* serve: seconds a handler may hold its worker; see above */
};

/* Serve: accept for ever, and run handler on each connection in a fiber of its own.
 *
 *   at       the address, as stoa_announce(); TCP or UNIX
 *   handler  gets the connection's handle; when it returns, the connection is
 *            closed (politely) if the handler has not done so
 *   arg      passed to each handler, by all workers at once
 *   options  NULL, or the fields marked serve and announce
 *
 * From a plain thread it starts the workers, each with a listener of its own where
 * the port can be shared among them, and returns when all is over: after
 * stoa_stop(), or count connections.  On a fiber it serves on that worker alone.
 * When descriptors or max_conns run out, clients wait in the listener's queue.
 *
 * Returns 0 after stoa_stop() or count connections; -1 with errno set: as
 * stoa_announce(); EINVAL a bad option, a datagram address; EAGAIN, ENOMEM no
 * worker could be started; ECANCELED its fiber was cancelled.
 * Context: thread, fiber.  The process's signals are left alone.
 */
STOA_API int stoa_serve(const char *at, void (*handler)(int conn, void *arg), void *arg,
                        const struct stoa_options *options);

/* The same on a listener of your own, from stoa_listen() or stoa_announce(): who asked for port
 * 0 can tell it before the first client comes.
 *
 *   s        the listener; it is taken over: the handle is closed from the beginning, the
 *            listener itself in the end
 *   options  NULL, or the fields marked serve
 *
 * Where s has options of its own (stoa_setsockopt()), one worker accepts for all.
 * Returns as stoa_serve(); EBADF, EINVAL, EBUSY: s is no handle or does not listen, a bad
 * option, or a file of stoa_makefile() is open on s: then s is left open.
 * Context: thread, fiber.
 */
STOA_API int stoa_serve_on(int s, void (*handler)(int conn, void *arg), void *arg,
                           const struct stoa_options *options);

/* Ask every stoa_serve() and stoa_run() of the process to end.
 *
 * Listeners let no new client begin, and whom the kernel has accepted is served; handlers have
 * options.drain seconds, then they are cancelled.  The first fiber of each stoa_run() is
 * cancelled.  Returns 0.  Context: thread, fiber, signal handler.
 */
STOA_API int stoa_stop(void);

/* Start a program that takes this one's place, and let go: stoa_let_go().  Nobody notices.
 *
 *   argv     the program, looked up as a shell does, and its words; the last is NULL
 *   seconds  for it to begin to serve; more than 0
 *
 * The program gets every listener of this process as descriptors 3, 4, ..., in the way of
 * sd_listen_fds(3): a stoa_serve() or stoa_announce() there takes those that are at its address,
 * and binds only where there is none.  This waits until it has taken all of them and serves.
 * If it does not come that far, it is ended, and this process serves on as if nothing had
 * been; so it does until then.  After it, this one has its connections left: each
 * stoa_serve(), also one that begins later, returns 0 when the last of them has ended.
 *
 * Returns the process's number, which is a child of this one; -1 with errno set: ENOENT, EACCES
 * or another for a program that cannot be run; ECHILD it has ended; ETIME it did not serve
 * in time; ECANCELED stoa_stop() was called meanwhile, and it has been sent SIGTERM;
 * EALREADY another call is under way or has succeeded; EINVAL there is no listener; ENOMEM,
 * EMFILE, EAGAIN; EDEADLK this is a fiber.
 * Context: thread.
 */
STOA_API int stoa_hand_over(char *const argv[], double seconds);

/* Leave the listeners of every stoa_serve() of the process to others who have them, too: by
 * stoa_send_fds(), by fork(2), by stoa_dup().
 *
 * Soon nothing more is accepted, and who waits in a queue stays there: the queue is the
 * listener's, and lives as long as anybody has it.  Connections go on as before, and each
 * stoa_serve() returns 0 when its last one has ended; stoa_stop() gives them options.drain
 * seconds, as ever.  A stoa_serve() that begins later accepts.
 *
 * Returns 0.  Context: thread, fiber.
 */
STOA_API int stoa_let_go(void);

/* Has stoa_stop() been called?  For handlers whose clients stay: time to say goodbye. */
STOA_API bool stoa_draining(void);

/* Why the server has cancelled this connection's handler: "idle", "silent from the start", "too
 * slow".  NULL: it has not, or because it stops.  For the handler's own fiber.  The text is
 * constant.  Context: thread, fiber.
 */
STOA_API const char *stoa_cut_reason(void);

/* What is alive in the servers of this process, as text: a line a thing, of a word and fields
 * "key=value", a value with blanks in quotation marks (stoa_serve(3) has the list).
 *
 * Listeners with their queue, and connections with their peer, age, bytes, and what the fiber waits
 * for; who holds a worker, where options.tell is set.  It answers while all workers are
 * held.  What it tells of each connection was so in a moment of its own.
 *
 * Returns text to be given to free(3); NULL with ENOMEM.  Context: thread.
 */
STOA_API char *stoa_status(void);

/* Run a function as the first fiber of a new worker, on this thread.
 *
 *   main_fiber  its return value is stoa_run()'s
 *   options     NULL, or .backend, .stack
 *
 * Returns when main_fiber and every fiber it started have ended; -1 with errno set
 * when the worker could not be made: ENOMEM, EMFILE; EINVAL a bad option;
 * EDEADLK called on a fiber.
 * Context: thread.
 */
STOA_API int stoa_run(int (*main_fiber)(void *arg), void *arg, const struct stoa_options *options);

/* Fibers that end together. */
struct stoa_group;

/* Make a group.  Returns it, or NULL with ENOMEM.  Context: fiber. */
STOA_API struct stoa_group *stoa_group_open(void);

/* Start a fiber on this worker.  It runs when this one waits.
 *
 *   group  whose it is; NULL = nobody waits for it (stoa_run() does)
 *   fn     0 from it is good; another value, with errno, the group's error
 *
 * Returns 0; -1 with errno set: ENOMEM; EINVAL not on a fiber; ECANCELED the group
 * was cancelled.  Context: fiber.
 */
STOA_API int stoa_go(struct stoa_group *group, int (*fn)(void *arg), void *arg);

/* Wait for all of a group's fibers, and end the group.
 *
 * A caller that is cancelled, or out of its scope's time, in the wait cancels the
 * group, and still waits for the fibers to end.
 * Returns 0 when every fiber returned 0; else -1 with errno and message of the first
 * that did not; ECANCELED, ETIME the caller's own.  Context: fiber of the same worker.
 */
STOA_API int stoa_group_join(struct stoa_group *group);

/* Cancel a group's fibers: each call that waits fails with ECANCELED in them, now
 * and from now on, but under stoa_shield().  Does not wait.
 * Context: fiber of the same worker. */
STOA_API void stoa_group_cancel(struct stoa_group *group);

/* Wait, without a socket.
 *
 *   seconds  0 or more; 0 = stoa_yield()
 *
 * Returns 0 after at least that time; -1 with errno set: ETIME the scope's time came first;
 * ECANCELED; EINVAL negative or NaN.  Context: thread, fiber.
 */
STOA_API int stoa_sleep(double seconds);

/* Let the other fibers run first.  Returns 0; -1 with ECANCELED.  Context: thread, fiber. */
STOA_API int stoa_yield(void);

/* Run a function that blocks or computes on a helper thread, and wait for its value.
 *
 * Parks only this fiber, until fn has returned, cancelled or not, for arg is
 * fn's to use until then.  On a plain thread fn is simply called.
 * Returns fn's value with its errno; -1 with EAGAIN or ENOMEM no helper could be started.
 * Context: thread, fiber; fn runs as on a plain thread.
 */
STOA_API int stoa_offload(int (*fn)(void *arg), void *arg);

#ifdef __cplusplus
}
#endif

#endif
