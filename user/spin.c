// spin.c - never ends: for `kill`, and for Ctrl-C. With an argument it sleeps instead.
#include "user/lib/user.h"

int main(int argc, char **argv) {
    (void)argv;
    printf("spin: pid %d\n", pid());
    for (;;) {
        if (argc > 1) sleep_ms(1000);
    }
}
