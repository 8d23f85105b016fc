/* bench/hlog.c - HdrHistogram's log, version 1.3.
 *
 * Comments of our own say how many errors an interval had, how many of the times in it are of
 * messages that were not answered, and how many intervals there are:
 * a log that was cut between two lines is found out by that.  Other readers skip them.
 *
 * Limits: a log of LOG_MAX bytes.
 * Source: HdrHistogram's HistogramLogWriter and HistogramLogReader.
 */
#include "cli/bench/hlog.h"

#include "cli/bench/codec.h"
#include "cli/bench/replace.h"

#include "base/limits.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LOG_MAX = 256 << 20, FIELDS = 4 };

/* In a line: a nanosecond in milliseconds, and more than the seconds since 1970. */
static const double NUMBER_LEAST = 1e-6, NUMBER_MOST = 1e15;
static const uint64_t COUNT_MOST = (uint64_t)1 << 50; /* and of errors */

static const char ENDING[] = "#[Intervals: ";
static const char ERRORS[] = "#[Errors: ";
static const char UNANSWERED[] = "#[Unanswered: ";
static const char START[] = "#[StartTime: ";
static const char BASE[] = "#[BaseTime: ";
static const char SERVICE[] = "Tag=service,";

/* -------------------------------------------------------------------------
 * Writing
 * ---------------------------------------------------------------------- */

static void write_head(FILE *f, const struct series *s)
{
    time_t at = (time_t)s->epoch_sec;
    struct tm utc;
    char when[64];

    gmtime_r(&at, &utc);
    strftime(when, sizeof(when), "%a, %d %b %Y %H:%M:%S GMT", &utc);
    fprintf(f, "#[Histogram log format version 1.3]\n");
    fprintf(f, "#[stoa bench " STOA_VERSION ": nanoseconds; the maximum is in milliseconds]\n");
    fprintf(f, "%s%.3f (seconds since epoch), %s]\n", START, s->epoch_sec, when);
    fprintf(f, "%s%.3f (seconds since epoch)]\n", BASE, s->epoch_sec);
    fprintf(f, "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\","
               "\"Interval_Compressed_Histogram\"\n");
}

static void write_interval(FILE *f, const struct interval *i)
{
    double max_ms = (double)i->max / 1e6;

    if (i->nerror)
        fprintf(f, "%s%" PRIu64 "]\n", ERRORS, i->nerror);
    if (i->nunanswered)
        fprintf(f, "%s%" PRIu64 "]\n", UNANSWERED, i->nunanswered);
    fprintf(f, "%.3f,%.3f,%.6f,%s\n", i->start_sec, i->len_sec, max_ms, i->response);
    if (i->service)
        fprintf(f, "%s%.3f,%.3f,%.6f,%s\n", SERVICE, i->start_sec, i->len_sec, max_ms, i->service);
}

int hlog_write(const struct series *s, const char *path)
{
    char *bytes = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&bytes, &len);

    if (!f)
        return -1;
    write_head(f, s);
    for (size_t i = 0; i < s->n; i++)
        write_interval(f, &s->list[i]);
    fprintf(f, "%s%zu]\n", ENDING, s->n);
    int r = fclose(f) == 0 ? replace_file(path, bytes, len) : -1;
    int saved_errno = errno;
    free(bytes);
    errno = saved_errno;
    return r;
}

/* -------------------------------------------------------------------------
 * Reading
 * ---------------------------------------------------------------------- */

struct reader {
    const char *path;
    struct series *series;
    struct hist response, service;
    size_t line;                  /* that is being read, from 1 */
    bool waits;                   /* a response is here that may have a service line */
    struct interval of;           /* it, and ... */
    uint64_t nerror, nunanswered; /* ... what comments say of the next one */
    bool ours;
    size_t ending; /* intervals as the last line says + 1 */
    char *why;
    size_t size;
};

static int fail(const struct reader *r, const char *what)
{
    char name[REPLACE_NAME_ROOM];

    snprintf(r->why, r->size, "%s:%zu: %s", replace_name(name, r->path), r->line, what);
    return -1;
}

/* The response that waited goes to the series, with its service or without. */
static int take(struct reader *r, const struct hist *service)
{
    if (!r->waits)
        return 0;
    r->waits = false;
    if (series_add(r->series, &r->of, &r->response, service) < 0)
        return fail(r, "out of memory");
    return 0;
}

static bool begins(const char *line, const char *with)
{
    return strncmp(line, with, strlen(with)) == 0;
}

/* Of a log that is not trusted: sums of them stay numbers. */
static uint64_t count(const char *text)
{
    unsigned long long n = *text == '-' ? 0 : strtoull(text, NULL, 10);

    return n < COUNT_MOST ? n : COUNT_MOST;
}

static void comment(struct reader *r, const char *line)
{
    if (begins(line, "#[stoa bench "))
        r->ours = true;
    else if (begins(line, ERRORS))
        r->nerror = count(line + strlen(ERRORS));
    else if (begins(line, UNANSWERED))
        r->nunanswered = count(line + strlen(UNANSWERED));
    else if (begins(line, ENDING))
        r->ending = (size_t)count(line + strlen(ENDING)) + 1;
    else if (begins(line, BASE) || begins(line, START))
        r->series->epoch_sec = fmin(fmax(strtod(strchr(line, ' '), NULL), 0), NUMBER_MOST);
}

/* All of a field as a number of seconds or milliseconds.  A log is not trusted: what is infinite,
 * negative or next to nothing would be divided by. */
static bool number(const char *text, double *n)
{
    char *end;

    *n = strtod(text, &end);
    return end > text && !*end && (*n == 0 || (*n >= NUMBER_LEAST && *n <= NUMBER_MOST));
}

/* "0.127,1.007,2.769,HISTFAAAA..."; a response, or the service that belongs to it. */
static int interval(struct reader *r, char *line, bool service)
{
    char *field[FIELDS];
    double start_sec, len_sec, max_ms;
    const char *why = "";
    struct hist *to = service ? &r->service : &r->response;

    for (int i = 0; i < FIELDS; i++) {
        field[i] = strsep(&line, ",");
        if (!field[i])
            return fail(r, "the line is cut: four fields are wanted");
    }
    if (!service && take(r, NULL) < 0)
        return -1;
    if (!number(field[0], &start_sec) || !number(field[1], &len_sec) || !number(field[2], &max_ms))
        return fail(r, "a start, a length or a maximum is no number");
    hist_clear(to);
    if (codec_read(to, field[3], strlen(field[3]), &why) < 0) {
        char what[SENTENCE_MAX];
        snprintf(what, sizeof(what), "a histogram cannot be read: %s", why);
        return fail(r, what);
    }
    if (service)
        return take(r, &r->service);
    double largest = max_ms * 1e6 + 0.5;
    if (r->ours && largest <= (double)to->max)
        to->max = (uint64_t)largest; /* exactly, not the counter's end */
    r->of = (struct interval){.start_sec = start_sec,
                              .len_sec = len_sec,
                              .nerror = r->nerror,
                              .nunanswered = r->nunanswered};
    r->nerror = r->nunanswered = 0;
    r->waits = true;
    return 0;
}

static int read_line(struct reader *r, char *line)
{
    if (*line == '#')
        comment(r, line);
    else if (begins(line, SERVICE))
        return interval(r, line + strlen(SERVICE), true);
    else if (*line && *line != '"' && !begins(line, "Tag="))
        return interval(r, line, false);
    return 0;
}

/* Among the comments that a log begins with: jHiccup, for one, has a line of its own before. */
static int read_version(const struct reader *r, const char *text)
{
    static const char VERSION[] = "#[Histogram log format version ";

    while (*text == '#' && !begins(text, VERSION)) {
        const char *end = strchr(text, '\n');
        text = end ? end + 1 : "";
    }
    if (!begins(text, VERSION))
        return fail(r, "this is no log of HdrHistogram");
    return begins(text + strlen(VERSION), "1.") ? 0
                                                : fail(r, "the log is of another version than 1.x");
}

/* A 0 would be taken for the end, and what follows it for not there. */
static int refuse_zeros(struct reader *r, const char *text, size_t len)
{
    const char *zero = memchr(text, '\0', len);

    if (!zero)
        return 0;
    for (const char *c = text; c < zero; c++)
        r->line += *c == '\n';
    return fail(r, "a byte is 0: this is no text");
}

static int read_text(struct reader *r, char *text, size_t len)
{
    char *line;

    if (read_version(r, text) < 0 || refuse_zeros(r, text, len) < 0)
        return -1;
    if (text[len - 1] != '\n')
        return fail(r, "the log is cut: its last line has no end");
    for (; (line = strsep(&text, "\n")) != NULL; r->line++) {
        line[strcspn(line, "\r")] = '\0'; /* of Windows */
        if (read_line(r, line) < 0)
            return -1;
    }
    if (take(r, NULL) < 0)
        return -1;
    if (r->ours && r->ending != r->series->n + 1)
        return fail(r, "the log is cut: intervals are missing");
    return r->series->n ? 0 : fail(r, "the log has no interval");
}

/* A whole file with a 0 at its end; NULL with errno. */
static char *read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "re");
    char *bytes = NULL;
    size_t room = 1 << 16;

    if (!f)
        return NULL;
    for (*len = 0; room <= LOG_MAX; room *= 2) {
        char *more = realloc(bytes, room + 1);
        if (!more)
            break;
        bytes = more;
        *len += fread(bytes + *len, 1, room - *len, f);
        if (*len < room && !ferror(f)) {
            bytes[*len] = '\0';
            fclose(f);
            return bytes;
        }
        errno = ferror(f) ? errno : EFBIG;
    }
    int saved_errno = errno;
    free(bytes);
    fclose(f);
    errno = saved_errno;
    return NULL;
}

struct series *hlog_read(const char *path, char *why, size_t size)
{
    size_t len;
    char *text = read_file(path, &len);
    struct reader *r = calloc(1, sizeof(*r));
    struct series *s = NULL;

    if (!text || !r) {
        char name[REPLACE_NAME_ROOM];
        snprintf(why, size, "%s: %s", replace_name(name, path), strerror(text ? ENOMEM : errno));
        goto end;
    }
    *r = (struct reader){.path = path, .line = 1, .why = why, .size = size};
    r->series = s = series_make(0);
    if (!s) {
        fail(r, "out of memory");
    } else if (len == 0 || read_text(r, text, len) < 0) {
        if (len == 0)
            fail(r, "the log is empty");
        series_free(s);
        s = NULL;
    }
end:
    free(r);
    free(text);
    return s;
}
