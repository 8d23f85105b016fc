/* logfmt.h - key=value, a line each, written into a text.  json.h says the same in JSON.
 *
 *     logfmt_begin(&t, "went");          ts=2026-01-31T12:00:00.123456Z event=went
 *     logfmt_string(&t, "peer", "a b");  peer="a b"
 */
#ifndef STOA_CLI_LOGFMT_H
#define STOA_CLI_LOGFMT_H

#include "base/text.h"

#include <stddef.h>
#include <stdint.h>

void logfmt_begin(struct text *t, const char *event);
void logfmt_number(struct text *t, const char *key, uint64_t number);
void logfmt_string(struct text *t, const char *key, const char *string);
void logfmt_data(struct text *t, const char *key, const void *bytes, size_t len);
void logfmt_end(struct text *t);

#endif
