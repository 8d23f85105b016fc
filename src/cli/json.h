/* json.h - one object a line (NDJSON), written into a text.  Knows what JSON is, not what is said.
 *
 *     json_begin(&t, "came");            {"ts":"2026-01-31T12:00:00.123456Z","event":"came"
 *     json_number(&t, "conn", 7);        ,"conn":7
 *     json_end(&t);                      }
 */
#ifndef STOA_CLI_JSON_H
#define STOA_CLI_JSON_H

#include "base/text.h"

#include <stddef.h>
#include <stdint.h>

/* Bytes a string of len bytes may become: a control character is \u00XX. */
#define JSON_ROOM(len) (6 * (size_t)(len) + 256)

/* The time of day, "2026-01-31T12:00:00.123456Z" without the quotation marks. */
void json_stamp(struct text *t);

void json_begin(struct text *t, const char *event);
void json_number(struct text *t, const char *key, uint64_t number);
void json_string(struct text *t, const char *key, const char *string);

/* "data": a string when the bytes are UTF-8, else "base64": so nothing is lost. */
void json_data(struct text *t, const void *bytes, size_t len);

/* Objects '{' and arrays '[' inside; key NULL: an element of an array, here and above. */
void json_open(struct text *t, const char *key, char bracket);
void json_close(struct text *t, char bracket);

/* A double as it is; what is no finite number is null. */
void json_real(struct text *t, const char *key, double number);

void json_end(struct text *t);

#endif
