/* codec.c - any bytes as a histogram's text, and any bytes as what is deflated in it.
 *
 * The first byte chooses.  What must hold, whatever comes in: nothing is read or written beyond
 * its bounds (ASan looks), a refusal says why, and what is read can be written and read again
 * with the same counts.
 */
#include "cli/bench/codec.h"

#include "cli/base64.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define MUST(holds) ((holds) ? (void)0 : abort())

enum { ROOM = 4096 };

/* The bytes deflated, with cookie and length, as a log has them. */
static size_t as_text(char *text, const uint8_t *data, size_t len)
{
    uint8_t bytes[ROOM] = {0x1c, 0x84, 0x93, 0x14};
    uLongf room = ROOM - 8;
    struct text t;

    MUST(compress(bytes + 8, &room, data, len) == Z_OK);
    bytes[6] = (uint8_t)(room >> 8);
    bytes[7] = (uint8_t)room;
    text_init(&t, text, BASE64_LEN(ROOM) + 1);
    base64_add(&t, bytes, room + 8);
    return t.len;
}

static bool read_it(struct hist *h, const char *text, size_t len)
{
    const char *why = NULL;
    char *copy = malloc(len + 1); /* just as large, and without an end */

    MUST(copy);
    memcpy(copy, text, len);
    int r = codec_read(h, copy, len, &why);
    free(copy);
    MUST(r == 0 || (why && *why));
    return r == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct hist once, twice;
    static char text[BASE64_LEN(ROOM) + 1];

    if (len < 1)
        return 0;
    hist_clear(&once);
    hist_clear(&twice);
    bool good = data[0] & 1 ? read_it(&once, (const char *)data + 1, len - 1)
                            : read_it(&once, text, as_text(text, data + 1, len - 1));
    if (!good)
        return 0;
    char *again = codec_write(&once);
    MUST(again && read_it(&twice, again, strlen(again)));
    MUST(memcmp(once.at, twice.at, sizeof(once.at)) == 0);
    free(again);
    return 0;
}
