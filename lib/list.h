// list.h - doubly linked list with one sentinel, embedded in the things it links.
//
//        +---------------------------------------------+
//        v                                             |
//   +------+  next   +---------+  next   +---------+   |
//   | head | ------> | element | ------> | element | --+
//   |      | <------ |         | <------ |         |
//   +------+  prev   +---------+  prev   +---------+
//        |                                     ^
//        +-------------------------------------+
//
// The head is an element that holds nothing: an empty list is a head that points to
// itself, so insertion and removal have no case for "first" or "last".
//
// Invariant: for every element e, e.next->prev == e.prev->next == &e.
// The list owns no memory and takes no lock: the caller protects it.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct list_elem {
    struct list_elem *prev;
    struct list_elem *next;
};

struct list {
    struct list_elem head;
};

// The struct of type `type` whose member `member` is *elem.
#define list_entry(elem, type, member) ((type *)((uintptr_t)(elem)-offsetof(type, member)))

void list_init(struct list *list);
void list_insert_before(struct list_elem *before, struct list_elem *elem);
void list_push(struct list *list, struct list_elem *elem);   // at the front
void list_append(struct list *list, struct list_elem *elem); // at the back
void list_remove(struct list_elem *elem);                    // elem must be in a list
struct list_elem *list_pop(struct list *list);               // front element, NULL if empty
struct list_elem *list_first(const struct list *list);       // NULL if empty
struct list_elem *list_next(const struct list *list,
                            const struct list_elem *elem); // NULL at the end
static inline bool list_empty(const struct list *list) { return list->head.next == &list->head; }
size_t list_length(const struct list *list); // walks the list
