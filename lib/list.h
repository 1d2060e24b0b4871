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

// Contracts, for `make formal`: two elements are one or lie apart (an empty list's head is its own
// neighbour), and an element's neighbours lead back to it.
/*@ predicate list_apart(struct list_elem *a, struct list_elem *b) = a == b || \separated(a, b);
    predicate list_linked(struct list_elem *e) = \valid(e) && \valid(e->prev) && \valid(e->next) &&
      e->prev->next == e && e->next->prev == e && list_apart(e, e->prev) &&
      list_apart(e, e->next) && list_apart(e->prev, e->next); */

/*@ requires \valid(list);
    assigns list->head;
    ensures list_linked(&list->head) && list->head.next == &list->head; */
void list_init(struct list *list);

/*@ requires list_linked(before) && \valid(elem);
    requires \separated(elem, before) && \separated(elem, before->prev);
    assigns elem->prev, elem->next, before->prev->next, before->prev;
    ensures elem->next == before && elem->prev == \old(before->prev);
    ensures before->prev == elem && \old(before->prev)->next == elem; */
static inline void list_insert_before(struct list_elem *before, struct list_elem *elem) {
    elem->prev = before->prev;
    elem->next = before;
    before->prev->next = elem;
    before->prev = elem;
}

// At the front.
/*@ requires list_linked(list->head.next) && \valid(list) && \valid(elem);
    requires list->head.next->prev == &list->head;
    requires \separated(elem, list->head.next) && \separated(elem, &list->head);
    assigns elem->prev, elem->next, list->head.next->prev, list->head.next;
    ensures list->head.next == elem && elem->prev == &list->head;
    ensures elem->next == \old(list->head.next) && elem->next->prev == elem; */
static inline void list_push(struct list *list, struct list_elem *elem) {
    list_insert_before(list->head.next, elem);
}

// At the back.
/*@ requires list_linked(&list->head) && \valid(elem);
    requires \separated(elem, &list->head) && \separated(elem, list->head.prev);
    assigns elem->prev, elem->next, list->head.prev->next, list->head.prev;
    ensures list->head.prev == elem && elem->next == &list->head;
    ensures elem->prev == \old(list->head.prev) && elem->prev->next == elem; */
static inline void list_append(struct list *list, struct list_elem *elem) {
    list_insert_before(&list->head, elem);
}

// elem must be in a list; its own links stay as they were.
/*@ requires list_linked(elem) && elem->prev != elem && elem->next != elem;
    assigns elem->prev->next, elem->next->prev;
    ensures elem->prev->next == elem->next && elem->next->prev == elem->prev;
    ensures elem->prev == \old(elem->prev) && elem->next == \old(elem->next); */
static inline void list_remove(struct list_elem *elem) {
    elem->prev->next = elem->next;
    elem->next->prev = elem->prev;
}

// The front element; of an empty list, its head.
/*@ requires \valid_read(list);
    assigns \nothing;
    ensures \result == list->head.next; */
static inline struct list_elem *list_front(const struct list *list) { return list->head.next; }

// Takes the front element out of a list that has one.
/*@ requires list_linked(&list->head) && list_linked(list->head.next);
    requires list->head.next != &list->head && list_apart(&list->head, list->head.next->next);
    assigns list->head.next, list->head.next->next->prev;
    ensures list->head.next == \old(list->head.next->next);
    ensures list->head.next->prev == &list->head; */
static inline void list_remove_front(struct list *list) {
    struct list_elem *next = list->head.next->next;
    list->head.next = next;
    next->prev = &list->head;
}

// The front element, NULL if the list is empty; list_pop() takes it out.
/*@ requires list_linked(&list->head) && list_linked(list->head.next);
    assigns list->head.next, list->head.next->next->prev;
    ensures \old(list->head.next) == &list->head ==> \result == \null;
    ensures \old(list->head.next) != &list->head ==> \result == \old(list->head.next) &&
      list->head.next == \old(list->head.next->next) && list->head.next->prev == &list->head; */
struct list_elem *list_pop(struct list *list);

/*@ requires \valid_read(list);
    assigns \nothing;
    ensures list->head.next == &list->head ==> \result == \null;
    ensures list->head.next != &list->head ==> \result == list->head.next; */
struct list_elem *list_first(const struct list *list);

// The element after `elem`, which must be in this list; NULL at the end. A loop that removes
// elements must ask for the next one before it removes one.
/*@ requires \valid_read(list) && \valid_read(elem);
    assigns \nothing;
    ensures elem->next == &list->head ==> \result == \null;
    ensures elem->next != &list->head ==> \result == elem->next; */
struct list_elem *list_next(const struct list *list, const struct list_elem *elem);

/*@ requires \valid_read(list);
    assigns \nothing;
    ensures \result <==> list->head.next == &list->head; */
static inline bool list_empty(const struct list *list) { return list->head.next == &list->head; }
size_t list_length(const struct list *list); // walks the list: tests and reports only
