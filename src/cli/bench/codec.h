/* bench/codec.h - a histogram as text: HdrHistogram's V2 encoding, deflated, in base64.
 *
 * Knows no file.  What is read need not be ours: another range of values, other digits.
 */
#ifndef STOA_CLI_BENCH_CODEC_H
#define STOA_CLI_BENCH_CODEC_H

#include "cli/bench/hist.h"

/* The text of a histogram, from malloc; NULL: out of memory. */
char *codec_write(const struct hist *h);

/* Add the histogram that len characters of text hold to h.
 * 0, or -1 with *why, a part of a sentence: "it is cut", "its version is ...". */
int codec_read(struct hist *h, const char *text, size_t len, const char **why);

#endif
