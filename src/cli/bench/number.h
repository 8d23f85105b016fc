/* bench/number.h - numbers as people read them: 1,234,567; 0.231 ms; 13.7 MB. */
#ifndef STOA_CLI_BENCH_NUMBER_H
#define STOA_CLI_BENCH_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NUMBER_ROOM = 32 };

/* Each writes into buf, which has NUMBER_ROOM bytes, and returns it. */
const char *number_count(char *buf, double n);
const char *number_time(char *buf, double ns);
const char *number_bytes(char *buf, double bytes);

/* "99.9" of 0.999. */
const char *number_percent(char *buf, double part);

/* Digits, and perhaps a point and digits: what follows them; NULL: they are none. */
const char *number_scan(const char *text, double *number);

/* "100k", "1.5M", "16KiB": a number from least to most; false: it is none. */
bool number_read(const char *text, double least, double most, double *number);

/* The parts that reports tell: 0.5, 0.9 ... 0.99999. */
extern const double number_parts[];
extern const size_t number_nparts;

#endif
