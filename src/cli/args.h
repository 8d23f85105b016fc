/* args.h - numbers and times as they stand on a command line.  Knows no option by name. */
#ifndef STOA_CLI_ARGS_H
#define STOA_CLI_ARGS_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>

/* "500ms", "5s", "2m", "1h", "1.5s", "5" (seconds); false: it is none. */
bool args_duration(const char *text, double *seconds);

/* A decimal number from least to most, and nothing after it; false: it is none. */
bool args_number(const char *text, uint64_t least, uint64_t most, uint64_t *number);

/* The same for an option's argument; what is wrong with it is said, and the exit code 2. */
double args_seconds(struct argp_state *state, const char *option, const char *text);
uint64_t args_count(struct argp_state *state, const char *option, const char *text, uint64_t least,
                    uint64_t most);

#endif
