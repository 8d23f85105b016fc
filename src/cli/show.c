/* show.c - one place where bytes become what the user asked to see.
 *
 * Raw bytes go on as they are.  Everything else is built in one text, PIECE bytes at a
 * time, and put at once, under a lock: what came and what went have a thread each, and a
 * line is never torn.
 *
 * JSON wants whole characters: up to three bytes of one that a packet cut are kept until
 * its rest comes, each way by itself, or the connection ends.
 */
#include "cli/show.h"

#include "cli/hex.h"
#include "cli/json.h"

#include "cli/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PIECE = 16 << 10,
    COLOURS = 64,
};

#define TEXT_ROOM (HEX_ROOM(PIECE) + COLOURS)

_Static_assert(TEXT_ROOM >= SCREEN_ROOM(PIECE), "a piece fits as SHOW_SAFE");
_Static_assert(TEXT_ROOM >= JSON_ROOM(PIECE + 4) + 1024, "a piece fits as SHOW_JSON");

int show_open(struct show *s, enum show_as as, show_put *put, void *arg)
{
    *s = (struct show){.as = as, .put = put, .arg = arg, .text = malloc(TEXT_ROOM)};
    pthread_mutex_init(&s->lock, NULL);
    return s->text ? 0 : -1;
}

void show_close(struct show *s)
{
    pthread_mutex_destroy(&s->lock);
    free(s->text);
}

static int put(struct show *s, const struct text *t)
{
    return t->len ? s->put(s->arg, t->buf, t->len) : 0;
}

static void json_head(struct show *s, struct text *t, const char *event)
{
    json_begin(t, event);
    json_number(t, "conn", s->conn);
    json_string(t, "peer", s->peer);
}

static int json_bytes(struct show *s, enum show_way way, const char *bytes, size_t len)
{
    struct text t;

    if (!len)
        return 0;
    text_init(&t, s->text, TEXT_ROOM);
    json_head(s, &t, way == SHOW_CAME ? "recv" : "send");
    json_number(&t, "bytes", len);
    json_data(&t, bytes, len);
    json_end(&t);
    return put(s, &t);
}

/* A piece after what was begun, but for the character that it begins. */
static int json_piece(struct show *s, enum show_way way, const char *bytes, size_t len)
{
    char whole[PIECE + 4];
    size_t n = s->nbegun[way];

    memcpy(whole, s->begun[way], n);
    memcpy(whole + n, bytes, len);
    n += len;
    s->nbegun[way] = utf8_begun(whole, n);
    n -= s->nbegun[way];
    memcpy(s->begun[way], whole + n, s->nbegun[way]);
    return json_bytes(s, way, whole, n);
}

static int hex_piece(struct show *s, enum show_way way, const char *bytes, size_t len)
{
    struct text t;

    text_init(&t, s->text, TEXT_ROOM);
    text_add(&t, screen_colour(&s->screen, way == SHOW_CAME ? SCREEN_CYAN : SCREEN_GREEN));
    hex_add(&t, way == SHOW_CAME ? '<' : '>', s->moved[way], bytes, len);
    text_add(&t, screen_colour(&s->screen, SCREEN_PLAIN));
    return put(s, &t);
}

static int safe_piece(struct show *s, const char *bytes, size_t len)
{
    struct text t;

    text_init(&t, s->text, TEXT_ROOM);
    screen_add(&s->screen, bytes, len, &t);
    return put(s, &t);
}

static int piece(struct show *s, enum show_way way, const char *bytes, size_t len)
{
    switch (s->as) {
    case SHOW_JSON:
        return json_piece(s, way, bytes, len);
    case SHOW_HEX:
        return hex_piece(s, way, bytes, len);
    case SHOW_SAFE:
        return way == SHOW_CAME ? safe_piece(s, bytes, len) : 0;
    default:
        return way == SHOW_CAME ? s->put(s->arg, bytes, len) : 0;
    }
}

int show_bytes(struct show *s, enum show_way way, const void *bytes, size_t len)
{
    const char *at = bytes;
    size_t most = s->as == SHOW_RAW ? len : PIECE;
    int result = 0;

    pthread_mutex_lock(&s->lock);
    while (len && result == 0) {
        size_t n = len < most ? len : most;
        result = piece(s, way, at, n);
        s->moved[way] += n;
        at += n;
        len -= n;
    }
    pthread_mutex_unlock(&s->lock);
    return result;
}

int show_begin(struct show *s, const char *peer)
{
    struct text t;

    s->conn++;
    s->moved[SHOW_CAME] = s->moved[SHOW_WENT] = 0;
    snprintf(s->peer, sizeof(s->peer), "%s", peer);
    if (s->as != SHOW_JSON)
        return 0;
    text_init(&t, s->text, TEXT_ROOM);
    json_head(s, &t, "open");
    json_end(&t);
    return put(s, &t);
}

static int end_json(struct show *s, const char *reason)
{
    struct text t;

    for (int way = SHOW_CAME; way <= SHOW_WENT; way++) {
        int result = json_bytes(s, (enum show_way)way, s->begun[way], s->nbegun[way]);
        s->nbegun[way] = 0;
        if (result < 0)
            return -1;
    }
    text_init(&t, s->text, TEXT_ROOM);
    json_head(s, &t, "close");
    json_number(&t, "bytes", s->moved[SHOW_CAME] + s->moved[SHOW_WENT]);
    json_number(&t, "bytes_in", s->moved[SHOW_CAME]);
    json_number(&t, "bytes_out", s->moved[SHOW_WENT]);
    json_string(&t, "reason", reason);
    json_end(&t);
    return put(s, &t);
}

int show_end(struct show *s, const char *reason)
{
    struct text t;

    if (s->as == SHOW_JSON)
        return end_json(s, reason);
    if (s->as != SHOW_SAFE)
        return 0;
    text_init(&t, s->text, TEXT_ROOM);
    screen_end(&s->screen, &t);
    return put(s, &t);
}
