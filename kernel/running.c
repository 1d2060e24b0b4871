// running.c - see running.h.
#include "kernel/running.h"

static uint32_t (*number_hook)(void); // thread_init()'s; NULL before
static const char *(*name_hook)(uint32_t number);

void running_set(uint32_t (*number)(void), const char *(*name)(uint32_t number)) {
    number_hook = number;
    name_hook = name;
}

uint32_t running_number(void) { return number_hook ? number_hook() : 0; }

const char *running_name_of(uint32_t number) {
    if (number == 0) return "boot";
    return name_hook ? name_hook(number) : NULL;
}

const char *running_name(void) {
    const char *name = running_name_of(running_number());
    return name ? name : "?";
}
