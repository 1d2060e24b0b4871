// test_list.c - lib/list.c against an array that does the same.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/list.h"

struct item {
    int number;
    struct list_elem elem;
};

#define ITEMS 32
static struct item items[ITEMS];
static struct list list;

// The list holds exactly these numbers, in this order, and every link has its counterpart.
static void expect(const int *numbers, size_t count) {
    const struct list_elem *e = &list.head;
    for (size_t i = 0; i < count; i++) {
        assert_ptr_equal(e->next->prev, e);
        e = e->next;
        assert_int_equal(list_entry(e, struct item, elem)->number, numbers[i]);
    }
    assert_ptr_equal(e->next, &list.head);
    assert_ptr_equal(list.head.prev, e);
    assert_int_equal(list_length(&list), count);
    assert_int_equal(list_empty(&list), count == 0);
}

static int set_up(void **state) {
    (void)state;
    list_init(&list);
    for (int i = 0; i < ITEMS; i++) items[i] = (struct item){.number = i};
    return 0;
}

static void empty_list(void **state) {
    (void)state;
    expect(NULL, 0);
    assert_null(list_first(&list));
    assert_null(list_pop(&list));
    expect(NULL, 0);
}

static void push_and_append(void **state) {
    (void)state;
    list_push(&list, &items[1].elem);
    list_push(&list, &items[0].elem);
    list_append(&list, &items[2].elem);
    expect((int[]){0, 1, 2}, 3);
}

static void insert_before(void **state) {
    (void)state;
    list_append(&list, &items[3].elem);
    list_insert_before(&items[3].elem, &items[1].elem);
    list_insert_before(&list.head, &items[4].elem);
    list_insert_before(&items[3].elem, &items[2].elem);
    expect((int[]){1, 2, 3, 4}, 4);
}

static void remove_first_middle_last(void **state) {
    (void)state;
    for (int i = 0; i < 5; i++) list_append(&list, &items[i].elem);
    list_remove(&items[2].elem);
    expect((int[]){0, 1, 3, 4}, 4);
    list_remove(&items[0].elem);
    expect((int[]){1, 3, 4}, 3);
    list_remove(&items[4].elem);
    expect((int[]){1, 3}, 2);
    list_remove(&items[1].elem);
    list_remove(&items[3].elem);
    expect(NULL, 0);
}

static void walk_and_pop(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) list_append(&list, &items[i].elem);
    struct list_elem *e = list_first(&list);
    for (int i = 0; i < 3; i++, e = list_next(&list, e)) assert_ptr_equal(e, &items[i].elem);
    assert_null(e);
    for (int i = 0; i < 3; i++) assert_ptr_equal(list_pop(&list), &items[i].elem);
    expect(NULL, 0);
}

// An array of numbers is the oracle: 20,000 random steps.
static void random_steps(void **state) {
    (void)state;
    int oracle[ITEMS], in[ITEMS] = {0};
    size_t count = 0;
    srand(1);
    for (int step = 0; step < 20000; step++) {
        int n = rand() % ITEMS;
        if (in[n]) {
            size_t at = 0;
            while (oracle[at] != n) at++;
            memmove(oracle + at, oracle + at + 1, (--count - at) * sizeof *oracle);
            list_remove(&items[n].elem);
        } else if (rand() % 2) {
            memmove(oracle + 1, oracle, count++ * sizeof *oracle);
            oracle[0] = n;
            list_push(&list, &items[n].elem);
        } else {
            oracle[count++] = n;
            list_append(&list, &items[n].elem);
        }
        in[n] = !in[n];
        expect(oracle, count);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(empty_list, set_up),
        cmocka_unit_test_setup(push_and_append, set_up),
        cmocka_unit_test_setup(insert_before, set_up),
        cmocka_unit_test_setup(remove_first_middle_last, set_up),
        cmocka_unit_test_setup(walk_and_pop, set_up),
        cmocka_unit_test_setup(random_steps, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
