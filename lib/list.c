// list.c - see list.h for the picture and the invariant.
//
// The sentinel is what keeps these short. With NULL at both ends instead, removing an element would
// have four cases (it may be first, last, both or neither), and each forgotten one is a wild write.
// The price: the end of a list is its head, which is no element, so whatever gives an element to a
// caller compares with the head and gives NULL. A head taken for an element would be read as a
// thread or an arena that is not there.
//
// What moves elements stands in list.h, as inline functions: they are a few instructions each, and
// the heap's fast path is made of them.
#include "lib/list.h"

void list_init(struct list *list) {
    list->head.prev = &list->head;
    list->head.next = &list->head;
}

// Takes the front out or gives NULL, in one call: a test of list_empty() before a list_remove() is
// easily left out.
struct list_elem *list_pop(struct list *list) {
    struct list_elem *elem = list_first(list);
    if (elem) list_remove(elem);
    return elem;
}

struct list_elem *list_first(const struct list *list) {
    return list_next(list, &list->head);
}

// Asked for the head's successor this is list_first(). Not after `elem` was removed: its links stay
// as they were, and lead on along a list that it is no part of.
struct list_elem *list_next(const struct list *list, const struct list_elem *elem) {
    return elem->next == &list->head ? NULL : elem->next;
}

// No count is kept: it would have to be right in every insertion, for the few who ask.
size_t list_length(const struct list *list) {
    size_t length = 0;
    for (const struct list_elem *e = list->head.next; e != &list->head; e = e->next) length++;
    return length;
}
