/* meaning.h - what an errno value means, as the end of a sentence, whatever the call. */
#ifndef STOA_DIAG_MEANING_H
#define STOA_DIAG_MEANING_H

/* Never NULL. */
const char *meaning_of(int code);

#endif
