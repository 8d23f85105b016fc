/* exitcode.h - what the tools' exit codes mean, and which failure gets which.  Prints nothing. */
#ifndef STOA_CLI_EXITCODE_H
#define STOA_CLI_EXITCODE_H

/* Documented in --help and stoa(1); scripts rely on them, so they never change. */
enum exitcode {
    CODE_OK = 0,
    CODE_FAILED = 1,      /* the peer, the protocol, or a file on this side */
    CODE_USAGE = 2,       /* the command line, an address text among it */
    CODE_NAME = 3,        /* a name that does not resolve */
    CODE_REFUSED = 4,     /* nobody listens there */
    CODE_TIMED_OUT = 5,   /* our time or the network's */
    CODE_RESET = 6,       /* the peer broke the connection off */
    CODE_UNREACHABLE = 7, /* no way there */
    CODE_BIND = 8,        /* an address of our own that cannot be had */
    CODE_NOTE = 10,       /* stoa doctor: the worst it found is worth knowing, */
    CODE_WARNING = 11,    /* or loses something or is slow, */
    CODE_FAILING = 12,    /* or refuses somebody now */
    CODE_SIGNAL = 128,    /* + the signal: 130 is SIGINT */
};

/* The last lines of every --help. */
#define EXITCODE_HELP                                                                              \
    "Exit: 0 ok, 1 peer or file failed, 2 usage, 3 name not resolved, 4 refused, "                 \
    "5 timed out, 6 reset, 7 unreachable, 8 bind failed, 130 interrupted"

/* The code for a failed connection to, or talk with, an address: error is errno's value. */
int exitcode_peer(int error, const char *to);

/* The code for an address that could not be served at. */
int exitcode_bind(int error, const char *at);

#endif
