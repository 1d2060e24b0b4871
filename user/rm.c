// rm.c - removes files that programs have written.
#include "user/lib/user.h"

int main(int argc, char **argv) {
    int bad = 0;
    for (int i = 1; i < argc; i++) {
        int error = remove(argv[i]);
        if (error < 0) printf("rm: %s: %s\n", argv[i], error_text(error));
        bad |= error < 0;
    }
    return bad;
}
