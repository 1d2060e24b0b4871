// list.c - see list.h for the picture and the invariant.
//
// The sentinel is what keeps these short. With NULL at both ends instead, removing an element would
// have four cases (it may be first, last, both or neither), and each forgotten one is a wild write.
// The price: the end of a list is its head, which is not an element, so a function that returns an
// element compares it with the head and returns NULL. A head taken for an element would be read as
// a thread or an arena that does not exist.
//
// The functions that move elements are inline, in list.h: they are a few instructions each, and
// the heap's fast path is made of them.
#include "lib/list.h"

void list_init(struct list *list) {
    list->head.prev = &list->head;
    list->head.next = &list->head;
}

// Takes the front out or returns NULL, in one call: a test of list_empty() before a list_remove()
// is easily forgotten.
struct list_elem *list_pop(struct list *list) {
    struct list_elem *elem = list_first(list);
    if (elem) list_remove(elem);
    return elem;
}

struct list_elem *list_first(const struct list *list) {
    return list_next(list, &list->head);
}

// For the head this is list_first(). Not to be called after `elem` was removed: its links stay as
// they were, and lead along a list that it is no longer in.
struct list_elem *list_next(const struct list *list, const struct list_elem *elem) {
    return elem->next == &list->head ? NULL : elem->next;
}

// No count is kept: every insertion would have to maintain it for few callers.
size_t list_length(const struct list *list) {
    size_t length = 0;
    for (const struct list_elem *e = list->head.next; e != &list->head; e = e->next) length++;
    return length;
}
