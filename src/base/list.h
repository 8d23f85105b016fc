/* list.h - a doubly linked list of nodes that live inside their owners.
 *
 * Adding and removing never fail and never allocate.  It does not know what its
 * nodes belong to: CONTAINER gets from a node to the struct around it.
 */
#ifndef STOA_BASE_LIST_H
#define STOA_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next; /* of a node in no list: NULL */
    struct list *prev;
};

#define CONTAINER(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void list_init(struct list *head)
{
    head->next = head;
    head->prev = head;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}

static inline bool list_linked(const struct list *node)
{
    return node->next != NULL;
}

/* Put node, which is in no list, at the end of head's. */
static inline void list_add(struct list *head, struct list *node)
{
    node->next = head;
    node->prev = head->prev;
    head->prev->next = node;
    head->prev = node;
}

/* Take node out of the list it is in. */
static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->next = NULL;
    node->prev = NULL;
}

/* Take the first node out; NULL when there is none. */
static inline struct list *list_shift(struct list *head)
{
    struct list *node = head->next;

    if (node == head)
        return NULL;
    list_remove(node);
    return node;
}

/* Move all of from's nodes to the end of to's. */
static inline void list_splice(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#endif
