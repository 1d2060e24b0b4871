// list.c - see list.h for the picture and the invariant.
#include "lib/list.h"

void list_init(struct list *list) {
    list->head.prev = &list->head;
    list->head.next = &list->head;
}

void list_insert_before(struct list_elem *before, struct list_elem *elem) {
    elem->prev = before->prev;
    elem->next = before;
    before->prev->next = elem;
    before->prev = elem;
}

void list_push(struct list *list, struct list_elem *elem) {
    list_insert_before(list->head.next, elem);
}

void list_append(struct list *list, struct list_elem *elem) {
    list_insert_before(&list->head, elem);
}

void list_remove(struct list_elem *elem) {
    elem->prev->next = elem->next;
    elem->next->prev = elem->prev;
}

struct list_elem *list_pop(struct list *list) {
    struct list_elem *elem = list_first(list);
    if (elem) list_remove(elem);
    return elem;
}

struct list_elem *list_first(const struct list *list) {
    return list_next(list, &list->head);
}

struct list_elem *list_next(const struct list *list, const struct list_elem *elem) {
    return elem->next == &list->head ? NULL : elem->next;
}

size_t list_length(const struct list *list) {
    size_t length = 0;
    for (const struct list_elem *e = list->head.next; e != &list->head; e = e->next) length++;
    return length;
}
