/* words.h - what exec's programs say on standard error, as lines of the log. */
#ifndef STOA_CLI_WORDS_H
#define STOA_CLI_WORDS_H

/* Begin to listen.  The descriptor that programs get as their standard error; where there is no
 * log, or nothing to listen with, our own. */
int words_begin(void);

/* All programs have ended: what they said has been logged when this returns. */
void words_end(void);

#endif
