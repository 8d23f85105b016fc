/* bench/write.c - each report is made in memory, then written whole or not at all. */
#include "cli/bench/write.h"

#include "cli/bench/hlog.h"
#include "cli/bench/replace.h"
#include "cli/exitcode.h"
#include "cli/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char WHO[] = "stoa bench";

static int failed(const char *path)
{
    char name[REPLACE_NAME_ROOM];

    if (!(errno == EPIPE && replace_is_stdout(path)))
        output_say(WHO, "%s: %s", replace_name(name, path), strerror(errno));
    return CODE_FAILED;
}

/* The text, or the JSON in its place, is on standard output unless another report is. */
static bool text_is_asked_for(const struct options *o)
{
    return !replace_is_stdout(o->hlog_path) && !replace_is_stdout(o->html_path) &&
           !replace_is_stdout(o->json_path);
}

int write_try(const struct options *o)
{
    const char *const paths[] = {o->hlog_path, o->html_path, o->json_path,
                                 text_is_asked_for(o) ? "-" : NULL};

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        if (paths[i] && replace_try(paths[i]) < 0)
            return failed(paths[i]);
    return CODE_OK;
}

/* Made in memory, then written whole. */
static int write_report(const struct report *r, const char *path,
                        void (*make)(const struct report *, FILE *))
{
    char *bytes = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&bytes, &len);
    int wrote = -1;

    if (f) {
        make(r, f);
        wrote = fclose(f) == 0 && len > 0 ? replace_file(path, bytes, len) : -1;
    }
    int code = wrote < 0 ? failed(path) : CODE_OK;
    free(bytes);
    return code;
}

int write_reports(const struct options *o, const struct report *r)
{
    int code = CODE_OK;

    if (o->hlog_path && hlog_write(r->outcome->series, o->hlog_path) < 0)
        code = failed(o->hlog_path);
    if (o->html_path && write_report(r, o->html_path, report_html) != CODE_OK)
        code = CODE_FAILED;
    if (o->json_path && write_report(r, o->json_path, report_json) != CODE_OK)
        code = CODE_FAILED;
    if (text_is_asked_for(o) &&
        write_report(r, "-", o->json ? report_json : report_text) != CODE_OK)
        code = CODE_FAILED;
    return code;
}
