// semaphore.h - for a program that guards itself against threads: here it has one, and never waits.
#pragma once

typedef int sem_t;

static inline int sem_init(sem_t *sem, int shared, unsigned value) {
    *sem = (int)value;
    return 0;
}
static inline int sem_wait(sem_t *sem) {
    --*sem;
    return 0;
}
static inline int sem_post(sem_t *sem) {
    ++*sem;
    return 0;
}
