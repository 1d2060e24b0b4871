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

static inline void list_insert_before(struct list_elem *before, struct list_elem *elem) {
    elem->prev = before->prev;
    elem->next = before;
    before->prev->next = elem;
    before->prev = elem;
}

// At the front.
static inline void list_push(struct list *list, struct list_elem *elem) {
    list_insert_before(list->head.next, elem);
}

// At the back.
static inline void list_append(struct list *list, struct list_elem *elem) {
    list_insert_before(&list->head, elem);
}

// elem must be in a list; its own links stay as they were.
static inline void list_remove(struct list_elem *elem) {
    elem->prev->next = elem->next;
    elem->next->prev = elem->prev;
}

// The front element; of an empty list, its head.
static inline struct list_elem *list_front(const struct list *list) { return list->head.next; }

// Takes the front element out of a list that has one.
static inline void list_remove_front(struct list *list) {
    struct list_elem *next = list->head.next->next;
    list->head.next = next;
    next->prev = &list->head;
}

// The front element, NULL if the list is empty; list_pop() takes it out.
struct list_elem *list_pop(struct list *list);
struct list_elem *list_first(const struct list *list);
// The element behind `elem`, which must be in this list; NULL at the end. A loop that removes what
// it stands on must ask for the next one first.
struct list_elem *list_next(const struct list *list, const struct list_elem *elem);
static inline bool list_empty(const struct list *list) { return list->head.next == &list->head; }
size_t list_length(const struct list *list); // walks the list: tests and reports only
