/* show.h - how the bytes of a connection appear: raw, made safe, as hex, as JSON.  Reads none. */
#ifndef STOA_CLI_SHOW_H
#define STOA_CLI_SHOW_H

#include "cli/screen.h"

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

enum show_as {
    SHOW_RAW,  /* what came, as it came: for files and pipes */
    SHOW_SAFE, /* what came, made harmless: for terminals */
    SHOW_HEX,  /* both ways, with time */
    SHOW_JSON, /* both ways, an object a line */
};

enum show_way {
    SHOW_CAME,
    SHOW_WENT,
};

/* Where it goes: 0, or -1 with errno. */
typedef int show_put(void *arg, const char *text, size_t len);

struct show {
    enum show_as as;
    struct screen screen; /* of the terminal, if it is one */
    show_put *put;
    void *arg;
    char *text;           /* what is put, being built */
    pthread_mutex_t lock; /* over all of it: the two ways have a thread each */
    uint64_t conn;        /* 1, 2, ... : which connection */
    char peer[256];
    uint64_t moved[2]; /* bytes by enum show_way */
    char begun[2][4];  /* of each way, a character whose rest is still to come */
    size_t nbegun[2];
};

/* 0, or -1 with errno: no memory. */
int show_open(struct show *s, enum show_as as, show_put *put, void *arg);
void show_close(struct show *s);

/* A connection begins, or ends. */
int show_begin(struct show *s, const char *peer);
int show_end(struct show *s, const char *reason);

/* Bytes that came or went.  Any thread.  0, or -1 with errno of put. */
int show_bytes(struct show *s, enum show_way way, const void *bytes, size_t len);

#endif
