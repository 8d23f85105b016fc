/* code.h - addresses of code as people can read them.  Knows nothing of threads and stacks. */
#ifndef STOA_BACKEND_CODE_H
#define STOA_BACKEND_CODE_H

#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first return address from words[*i] on, behind which *i is then; 0: there is none.  What
 * it points behind is a call, of code that is loaded. */
uintptr_t code_next_return(const uintptr_t *words, size_t *i, size_t n);

/* "sleep+0x3f"; where the name is not to be had, the file and the place in it: "server+0x1a2". */
void code_add(struct text *t, uintptr_t pc);

/* The command that names the lines of those that have no name: "addr2line -fpie FILE 0x1a2", with
 * the words that come before it.  Nothing, where all have one. */
void code_add_command(struct text *t, const char *before, const uintptr_t *pc, size_t n);

#endif
