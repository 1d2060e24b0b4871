// spin.c - never ends: for `kill`, and for Ctrl-C. With an argument it sleeps instead, with a block
// of its heap; `quietly` says nothing.
#include "user/lib/user.h"

int main(int argc, char **argv) {
    if (argc < 2 || strcmp(argv[1], "quietly") != 0) printf("spin: pid %d\n", pid());
    if (argc > 1) malloc(1000);
    for (;;) {
        if (argc > 1) sleep_ms(1000);
    }
}
