/* stack.h - stacks for fibers: guarded, reused last-in-first-out.
 *
 * It knows nothing of who runs on them.  One pool belongs to one thread.  Stacks come
 * from few large mappings, for vm.max_map_count counts mappings; below each lies a guard page.
 */
#ifndef STOA_FIBER_STACK_H
#define STOA_FIBER_STACK_H

#include <stddef.h>

struct stack_pool;

/* A pool of stacks of len bytes (a power of 2, STACK_SIZE_MIN .. MAX), and a
 * guard page below each.  NULL: no memory. */
struct stack_pool *stack_pool_make(size_t len);

/* Give all back to the system.  Every stack must have been freed. */
void stack_pool_free(struct stack_pool *p);

/* A stack: its lowest usable address, and its usable bytes in *len.  NULL: no memory. */
void *stack_take(struct stack_pool *p, size_t *len);

/* Give one back.  Its pages stay for the next taker, those beyond STACKS_HOT do not. */
void stack_give(struct stack_pool *p, void *stack);

#endif
