/* SPDX-License-Identifier: MIT */
/* Intrusive doubly linked list: the node stands inside the thing. A list head is a node of a ring.
 */
#ifndef ML_BASE_LIST_H
#define ML_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct ml_list {
    struct ml_list *next, *prev;
};

/** The struct of `type` whose field `field` is `node`. */
#define ML_CONTAINER(node, type, field) ((type *)(void *)((char *)(node)-offsetof(type, field)))

/* `node` may be removed (and freed) inside the loop: the step is taken before the body. */
#define ML_LIST_EACH(node, head)                                                                   \
    for (struct ml_list *node = (head)->next, *node##_next = node->next; node != (head);           \
         node = node##_next, node##_next = node->next)

static inline void ml_list_init(struct ml_list *head)
{
    head->next = head->prev = head;
}

static inline bool ml_list_is_empty(const struct ml_list *head)
{
    return head->next == head;
}

/** Is this node in a list? (A node is zeroed, or made by ml_list_init or ml_list_remove.) */
static inline bool ml_list_is_linked(const struct ml_list *node)
{
    return node->next && node->next != node;
}

static inline void ml_list_append(struct ml_list *head, struct ml_list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

/** Out of its list; harmless on a node that is in none. */
static inline void ml_list_remove(struct ml_list *node)
{
    if (!node->next)
        return;
    node->prev->next = node->next;
    node->next->prev = node->prev;
    ml_list_init(node);
}

/** First node, taken out; NULL if the list is empty. */
static inline struct ml_list *ml_list_take_first(struct ml_list *head)
{
    struct ml_list *node = head->next;

    if (node == head)
        return NULL;
    ml_list_remove(node);
    return node;
}

/** Everything in `from` goes behind what is in `to`; `from` is empty then. */
static inline void ml_list_splice(struct ml_list *to, struct ml_list *from)
{
    if (ml_list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    ml_list_init(from);
}

#endif
