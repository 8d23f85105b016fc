/* log.h - who came and who went, on standard error.  Does not know what was said. */
#ifndef STOA_CLI_LOG_H
#define STOA_CLI_LOG_H

#include "cli/visit.h"

#include <stdbool.h>
#include <stddef.h>
#include <stoa.h>
#include <sys/types.h>

/* Before the first client: what the log is like, for the whole process. */
enum log_form {
    LOG_TEXT,
    LOG_NONE,
    LOG_LOGFMT, /* key=value */
    LOG_JSON,
};

/* brief: a connection is told of when it goes, and not when it comes. */
void log_init(enum log_form form, bool brief);
enum log_form log_form(void);

/* Several processes are to serve: their connections are counted together.  Before they are
 * started.  0, or -1 with errno. */
int log_share(unsigned nprocess);

/* In the i-th of them, from 0, when it begins. */
void log_process(unsigned i);

/* The server is at this address. */
void log_listening(const char *handler, const struct stoa_addr *at);

/* A connection begins: v gets its number and the time.  Nothing happens when quiet. */
void log_came(int conn, struct visit *v);

/* It ends; error as a handler's talk() returns it. */
void log_went(int conn, const struct visit *v, int error);

/* What the server tells of itself; for stoa_options.tell. */
void log_told(const char *what, void *arg);

/* A line that one of exec's programs has written to its standard error, without its end. */
void log_words(const void *bytes, size_t len);

/* A datagram: told when it comes from another address than the one before. */
void log_datagram(const struct stoa_addr *from, size_t len);

/* A new process is started that is to take over; it has. */
void log_handing_over(void);
void log_handed_over(pid_t pid);

/* The server is asked to stop, and connections have so many seconds to end. */
void log_stopping(double seconds);

/* A process that served has ended, and nobody had asked it to. */
struct lost {
    unsigned i; /* the how manieth, from 0 */
    pid_t pid;
    int status; /* as wait(2) has it */
    uint64_t lived_ns;
    bool replaced;     /* another takes its place */
    uint64_t pause_ns; /* after so long */
};
void log_lost(const struct lost *l);

#endif
