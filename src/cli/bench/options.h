/* bench/options.h - the command line of `stoa bench`, read and checked.  Does nothing else. */
#ifndef STOA_CLI_BENCH_OPTIONS_H
#define STOA_CLI_BENCH_OPTIONS_H

#include "cli/bench/goal.h"
#include "cli/bench/plan.h"

enum { WORDS_MAX = 64 };

struct options {
    struct plan plan;
    const char *words[WORDS_MAX]; /* the address; with --compare and --merge, logs */
    size_t nword;

    double size;
    double answer_len;
    const char *ask_path, *expect;
    bool no_verify, size_said, pipeline_said, stream_said, churn_said, rate_said, ramp_said;
    bool load_said; /* an option of a load, that logs have no use for */

    bool compare, merge;
    struct goal find_max, fail_if; /* text NULL: not asked for */

    bool json;             /* on standard output instead of the text */
    const char *json_path; /* or there */
    const char *hlog_path, *html_path;
    bool quiet;
};

#endif
