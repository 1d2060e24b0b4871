// crowd.c - a program beside many others, each with a heap; or one after the other, many times.
//
//     run crowd COUNT PROGRAM      beside COUNT sleeping ones
//     run crowd COUNT times PROGRAM
#include "user/lib/user.h"

static int run(const char *program) {
    int status = -1, child = spawn(program);
    if (child < 0) {
        printf("crowd: %s: %s\n", program, error_text(child));
        return -1;
    }
    wait(child, &status);
    return status;
}

static int times(uint32_t count, const char *program) {
    uint32_t good = 0;
    for (uint32_t i = 0; i < count; i++) good += run(program) == 0;
    printf("crowd: %u of %u ended with status 0\n", (unsigned)good, (unsigned)count);
    return good != count;
}

static int beside(uint32_t count, const char *program) {
    for (uint32_t i = 0; i < count; i++) {
        int child = spawn("spin quietly");
        if (child < 0) {
            printf("crowd: the %u-th: %s\n", (unsigned)i + 1, error_text(child));
            return 1;
        }
    }
    sleep_ms(200); // each has its heap by then
    int status = run(program);
    printf("crowd: %s beside %u others: status %d\n", program, (unsigned)count, status);
    return status != 0;
}

int main(int argc, char **argv) {
    if (argc == 3) return beside(number_of(argv[1]), argv[2]);
    if (argc == 4 && strcmp(argv[2], "times") == 0) return times(number_of(argv[1]), argv[3]);
    printf("crowd: COUNT PROGRAM, or COUNT times PROGRAM\n");
    return 1;
}
