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
    if (wrote < 0 && !(errno == EPIPE && replace_is_stdout(path)))
        output_say(WHO, "%s: %s", replace_is_stdout(path) ? "standard output" : path,
                   strerror(errno));
    free(bytes);
    return wrote < 0 ? CODE_FAILED : CODE_OK;
}

int write_reports(const struct options *o, const struct report *r)
{
    bool taken = replace_is_stdout(o->hlog_path) || replace_is_stdout(o->html_path) ||
                 replace_is_stdout(o->json_path);
    int code = CODE_OK;

    if (o->hlog_path && hlog_write(r->outcome->series, o->hlog_path) < 0) {
        output_say(WHO, "%s: %s", o->hlog_path, strerror(errno));
        code = CODE_FAILED;
    }
    if (o->html_path && write_report(r, o->html_path, report_html) != CODE_OK)
        code = CODE_FAILED;
    if (o->json_path && write_report(r, o->json_path, report_json) != CODE_OK)
        code = CODE_FAILED;
    if (!taken && write_report(r, "-", o->json ? report_json : report_text) != CODE_OK)
        code = CODE_FAILED;
    return code;
}
