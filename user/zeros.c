// zeros.c - looks whether fresh pages are zeros; `zeros fill` leaves as many behind that are not.
#include "user/lib/user.h"

#define BYTES 2000000u

static unsigned char data[100000]; // .bss

static int zero(const unsigned char *at, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        if (at[i]) return 0;
    }
    return 1;
}

int main(int argc, char **argv) {
    (void)argv;
    unsigned char *area = malloc(BYTES);
    if (!area) return 1;
    if (argc > 1) {
        memset(area, 0xee, BYTES);
        memset(data, 0xee, sizeof data);
        return 0;
    }
    int good = zero(area, BYTES) && zero(data, sizeof data);
    printf("zeros: %s\n", good ? "every byte is 0" : "something was left");
    return !good;
}
