/* options.h - struct stoa_options as a caller has it, of whatever version, made ours. */
#ifndef STOA_NET_OPTIONS_H
#define STOA_NET_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stoa.h>

/* Copy them, NULL for the defaults.  False: why says what is wrong with their size. */
bool options_copy(struct stoa_options *to, const struct stoa_options *from, char *why,
                  size_t why_len);

#endif
