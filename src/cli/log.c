/* log.c - two lines a connection, or with --brief one, none a message:
 *
 *     127.0.0.1:40312 came
 *     127.0.0.1:40312 went after 12 bytes in, 12 out, 0.3 s: end of stream
 *
 * or key=value, or JSON, an object a line, with ts, event, conn, peer and bytes.  It is the
 * textbook's print(conn), print(addr): who called.
 *
 * What a stranger has said is never in it raw: his name is escaped where it is made
 * (stoa_addr_text()), what exec's programs say here.
 *
 * What the library tells of itself is a line a second of each kind; the rest is counted.
 *
 * Lines are built without printf, whose frames are larger than the page of stack that an
 * idle connection is to cost, and written by one write(2): lines of different workers do
 * not mix.
 *
 * Limits: standard error that nobody reads blocks its worker, as it does any program.
 */
#include "cli/log.h"

#include "base/text.h"
#include "cli/json.h"
#include "cli/logfmt.h"
#include "cli/output.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    LINE_ROOM = 4096, /* 480 bytes of a program, each six; the JSON around them 300 */
    KINDS = 16,       /* of sentences that the library tells: two, and two for each worker */
    KIND_ROOM = 24,
    KIND_WORDS = 3, /* "worker 1 was" */
};
static const uint64_t KIND_REST_NS = 900000000; /* a second, less what a clock may be early */

/* The line a worker builds.  Not on the fiber's stack, of which an idle connection has one
 * page; nothing here waits, so no other fiber comes between. */
static __thread char line[LINE_ROOM];

static enum log_form form;
static bool brief;

/* Connections, without --quiet: of this process, or of each of several in memory that they
 * share.  A crowd is counted in cache lines of its own. */
struct tally {
    _Alignas(64) atomic_uint_fast64_t came; /* of all processes; in the first tally alone */
    _Alignas(64) atomic_uint_fast64_t open; /* of one process */
};

static struct tally alone;
static struct tally *tallies = &alone, *mine = &alone;
static unsigned ntally = 1;

void log_init(enum log_form f, bool is_brief)
{
    form = f;
    brief = is_brief;
}

enum log_form log_form(void)
{
    return form;
}

/* A field, in either of the forms that have them. */
static void number_add(struct text *t, const char *key, uint64_t number)
{
    (form == LOG_JSON ? json_number : logfmt_number)(t, key, number);
}

static void string_add(struct text *t, const char *key, const char *string)
{
    (form == LOG_JSON ? json_string : logfmt_string)(t, key, string);
}

int log_share(unsigned nprocess)
{
    size_t len = nprocess * sizeof(*tallies);
    void *shared = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (shared == MAP_FAILED)
        return -1;
    tallies = shared;
    ntally = nprocess;
    return 0;
}

void log_process(unsigned i)
{
    mine = &tallies[i];
    atomic_store(&mine->open, 0);
}

static void line_end(struct text *t)
{
    if (form == LOG_JSON)
        json_end(t);
    else
        text_add(t, "\n");
    (void)output_all(STDERR_FILENO, t->buf, t->len);
}

/* An address for people has no scheme: the log's reader knows what is served. */
static void address_add(struct text *t, struct stoa_addr *a)
{
    char shown[STOA_ADDR_TEXT_MAX];

    if (form == LOG_TEXT)
        a->type = 0;
    stoa_addr_text(a, shown, sizeof(shown));
    if (form != LOG_TEXT)
        string_add(t, "peer", shown);
    else
        text_add(t, shown);
}

static void line_begin(struct text *t, const char *event)
{
    text_init(t, line, sizeof(line));
    if (form == LOG_JSON)
        json_begin(t, event);
    else if (form == LOG_LOGFMT)
        logfmt_begin(t, event);
}

void log_listening(const char *handler, const struct stoa_addr *at)
{
    char shown[STOA_ADDR_TEXT_MAX];
    struct text t;

    if (form == LOG_NONE)
        return;
    line_begin(&t, "listening");
    stoa_addr_text(at, shown, sizeof(shown));
    if (form != LOG_TEXT) {
        string_add(&t, "handler", handler);
        string_add(&t, "addr", shown);
    } else {
        text_add(&t, "stoa serve: ");
        text_add(&t, handler);
        text_add(&t, " at ");
        text_add(&t, shown);
    }
    line_end(&t);
}

static void peer_add(struct text *t, int conn, const struct visit *v)
{
    struct stoa_addr peer = {0};

    (void)stoa_getpeername(conn, &peer); /* without a name it is "-" */
    if (form != LOG_TEXT)
        number_add(t, "conn", v->id);
    address_add(t, &peer);
}

void log_came(int conn, struct visit *v)
{
    struct text t;

    if (form == LOG_NONE)
        return;
    v->id = atomic_fetch_add(&tallies->came, 1) + 1;
    atomic_fetch_add(&mine->open, 1);
    v->came_ns = output_now_ns();
    if (brief)
        return;
    line_begin(&t, "came");
    peer_add(&t, conn, v);
    if (form == LOG_TEXT)
        text_add(&t, " came");
    line_end(&t);
}

/* In tenths, for people. */
static void seconds_add(struct text *t, uint64_t ns)
{
    text_add_number(t, ns / 1000000000);
    text_add(t, ".");
    text_add_number(t, ns / 100000000 % 10);
    text_add(t, " s");
}

/* How a process has ended. */
static void status_add(struct text *t, int status)
{
    if (WIFEXITED(status)) {
        text_add(t, "exit ");
        text_add_number(t, (uint64_t)WEXITSTATUS(status));
        return;
    }
    int sig = WTERMSIG(status);
    const char *name = sigabbrev_np(sig); /* real-time signals have none */

    text_add(t, name ? "killed by SIG" : "killed by signal ");
    if (name)
        text_add(t, name);
    else
        text_add_number(t, (uint64_t)sig);
}

static void reason_add(struct text *t, const struct visit *v, int error)
{
    static const struct {
        int error;
        const char *reason;
    } reasons[] = {
        {0, "end of stream"},
        {ECONNRESET, "reset by peer"},
        {EPIPE, "reset by peer"},
        {ETIME, "timed out"},
        {ETIMEDOUT, "the network gave it up"},
        {ECANCELED, "cut off, the server stops"},
    };

    if (v->ran) {
        status_add(t, v->status);
        text_add(t, error ? ", " : "");
    }
    if (stoa_cut_reason()) {
        text_add(t, stoa_cut_reason());
        return;
    }
    if (v->ran && !error)
        return;
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].error == error) {
            text_add(t, reasons[i].reason);
            return;
        }
    text_add(t, strerrordesc_np(error));
}

static void went_fields(struct text *t, const struct visit *v, int error, uint64_t stay_ns)
{
    char reason[128];
    struct text r;

    text_init(&r, reason, sizeof(reason));
    reason_add(&r, v, error);
    if (!v->uncounted) {
        number_add(t, "bytes", v->in + v->out);
        number_add(t, "bytes_in", v->in);
        number_add(t, "bytes_out", v->out);
    }
    number_add(t, "ms", stay_ns / 1000000);
    string_add(t, "reason", reason);
}

static void counts_add(struct text *t, const struct visit *v)
{
    text_add_number(t, v->in);
    text_add(t, " bytes in, ");
    text_add_number(t, v->out);
    text_add(t, " out, ");
}

void log_went(int conn, const struct visit *v, int error)
{
    struct text t;
    uint64_t stay_ns;

    if (form == LOG_NONE)
        return;
    atomic_fetch_sub(&mine->open, 1);
    stay_ns = output_now_ns() - v->came_ns;
    line_begin(&t, "went");
    peer_add(&t, conn, v);
    if (form != LOG_TEXT) {
        went_fields(&t, v, error, stay_ns);
    } else {
        text_add(&t, " went after ");
        if (!v->uncounted)
            counts_add(&t, v);
        seconds_add(&t, stay_ns);
        text_add(&t, ": ");
        reason_add(&t, v, error);
    }
    line_end(&t);
}

/* The sentences of a kind, which is what they begin with: one a second, the others are counted. */
struct kind {
    char word[KIND_ROOM]; /* "": not in use */
    uint64_t told_ns;
    uint64_t nmore; /* since then */
};

static pthread_mutex_t kinds_lock = PTHREAD_MUTEX_INITIALIZER;
static struct kind kinds[KINDS]; /* under kinds_lock */

/* The last one is of all who come when the others are in use.  Under kinds_lock. */
static struct kind *kind_of(const char *what, size_t len)
{
    struct kind *k = kinds;

    while (k < kinds + KINDS - 1 && k->word[0] &&
           (strncmp(k->word, what, len) != 0 || k->word[len]))
        k++;
    return k;
}

/* Is this sentence to be told?  Then *nmore is how many like it were not. */
static bool kind_passes(const char *what, uint64_t *nmore)
{
    size_t len = strcspn(what, " ");
    uint64_t now_ns;
    bool passes;

    for (int word = 1; word < KIND_WORDS && what[len]; word++)
        len += 1 + strcspn(what + len + 1, " ");
    *nmore = 0;
    len = len < KIND_ROOM ? len : KIND_ROOM - 1;
    pthread_mutex_lock(&kinds_lock);
    now_ns = output_now_ns(); /* here: never before what another thread has told */
    struct kind *k = kind_of(what, len);

    passes = !k->word[0] || now_ns - k->told_ns >= KIND_REST_NS;
    memcpy(k->word, what, len);
    *nmore = k->nmore;
    k->nmore = passes ? 0 : k->nmore + 1;
    k->told_ns = passes ? now_ns : k->told_ns;
    pthread_mutex_unlock(&kinds_lock);
    return passes;
}

void log_told(const char *what, void *arg)
{
    uint64_t nmore;
    struct text t;

    (void)arg;
    if (form == LOG_NONE || !kind_passes(what, &nmore))
        return;
    line_begin(&t, "told");
    if (form != LOG_TEXT) {
        string_add(&t, "what", what);
        if (nmore)
            number_add(&t, "more", nmore);
    } else {
        text_add(&t, "stoa serve: ");
        text_add(&t, what);
    }
    if (nmore && form == LOG_TEXT) {
        text_add(&t, "; and before it ");
        text_add_number(&t, nmore);
        text_add(&t, " more like it");
    }
    line_end(&t);
}

void log_words(const void *bytes, size_t len)
{
    struct text t;

    line_begin(&t, "words");
    if (form == LOG_JSON) {
        json_data(&t, bytes, len);
    } else if (form == LOG_LOGFMT) {
        logfmt_data(&t, "data", bytes, len);
    } else {
        text_add(&t, "stoa serve: a program says: ");
        text_add_escaped(&t, bytes, len, "\\");
    }
    line_end(&t);
}

void log_datagram(const struct stoa_addr *from, size_t len)
{
    static struct stoa_addr last; /* one fiber receives */
    struct text t;

    if (form == LOG_NONE || (from->len == last.len && memcmp(&from->sa, &last.sa, last.len) == 0))
        return;
    last = *from;
    line_begin(&t, "datagram");
    address_add(&t, &(struct stoa_addr){.sa = from->sa, .len = from->len, .type = from->type});
    if (form != LOG_TEXT)
        number_add(&t, "bytes", len);
    else
        text_add(&t, " sends datagrams");
    line_end(&t);
}

static uint64_t count_open(void)
{
    uint64_t open = 0;

    for (unsigned i = 0; i < ntally; i++)
        open += atomic_load(&tallies[i].open);
    return open;
}

void log_handing_over(void)
{
    struct text t;

    if (form == LOG_NONE)
        return;
    line_begin(&t, "handing_over");
    if (form == LOG_TEXT)
        text_add(&t, "stoa serve: a new process is started, to take over");
    line_end(&t);
}

void log_handed_over(pid_t pid)
{
    uint64_t open = count_open();
    struct text t;

    if (form == LOG_NONE)
        return;
    line_begin(&t, "handed_over");
    if (form != LOG_TEXT) {
        number_add(&t, "pid", (uint64_t)pid);
        number_add(&t, "connections", open);
        line_end(&t);
        return;
    }
    text_add(&t, "stoa serve: process ");
    text_add_number(&t, (uint64_t)pid);
    text_add(&t, " has taken over; still connected here: ");
    text_add_number(&t, open);
    line_end(&t);
}

void log_stopping(double seconds)
{
    uint64_t open = count_open();
    struct text t;

    if (form == LOG_NONE)
        return;
    line_begin(&t, "stopping");
    if (form != LOG_TEXT) {
        number_add(&t, "connections", open);
        number_add(&t, "drain_ms", (uint64_t)(seconds * 1e3));
    } else {
        text_add(&t, "stoa serve: stopping");
    }
    if (open && form == LOG_TEXT) {
        text_add(&t, "; still connected: ");
        text_add_number(&t, open);
        text_add(&t, ", with ");
        seconds_add(&t, (uint64_t)(seconds * 1e9));
        text_add(&t, " to end (the signal again: at once)");
    }
    line_end(&t);
}

static void lost_fields(struct text *t, const struct lost *l, uint64_t open)
{
    char reason[32];
    struct text r;

    text_init(&r, reason, sizeof(reason));
    status_add(&r, l->status);
    number_add(t, "process", l->i + 1);
    number_add(t, "pid", (uint64_t)l->pid);
    number_add(t, "connections", open);
    number_add(t, "ms", l->lived_ns / 1000000);
    string_add(t, "reason", reason);
    if (l->replaced)
        number_add(t, "pause_ms", l->pause_ns / 1000000);
}

static void lost_text(struct text *t, const struct lost *l, uint64_t open)
{
    text_add(t, "stoa serve: process ");
    text_add_number(t, l->i + 1);
    text_add(t, " of ");
    text_add_number(t, ntally);
    text_add(t, " (pid ");
    text_add_number(t, (uint64_t)l->pid);
    text_add(t, ") has ended after ");
    seconds_add(t, l->lived_ns);
    text_add(t, " with ");
    text_add_number(t, open);
    text_add(t, open == 1 ? " connection: " : " connections: ");
    status_add(t, l->status);
    if (l->replaced && !l->pause_ns) {
        text_add(t, "; another takes its place");
    } else if (l->replaced) {
        text_add(t, "; another takes its place in ");
        seconds_add(t, l->pause_ns);
    }
}

void log_lost(const struct lost *l)
{
    uint64_t open = atomic_load(&tallies[l->i].open);
    struct text t;

    if (form == LOG_NONE)
        return;
    line_begin(&t, "lost");
    (form == LOG_TEXT ? lost_text : lost_fields)(&t, l, open);
    line_end(&t);
}
