// family.c - programs that make programs: waits for one, kills one, and leaves one behind, which
// ends with it.
#include "user/lib/user.h"

int main(void) {
    int status = -1, child = spawn("hello from family");
    int ended = wait(child, &status);
    printf("family: %d ended with status %d\n", ended, status);
    int good = child > 0 && ended == child && status == 0;
    child = spawn("spin sleeping");
    good &= kill(child) == 0 && wait(0, &status) == child && status == 137;
    printf("family: killed, status %d\n", status);
    child = spawn("museum null-write");
    good &= wait(child, &status) == child && status == 128 + 14;
    good &= wait(0, &status) == ERROR_NO_CHILD && kill(child) == ERROR_NO_CHILD;
    good &= spawn("no-such-file") == ERROR_NO_FILE && spawn("motd") == ERROR_NO_PROGRAM;
    good &= spawn("spin") > 0;
    printf("family: %s\n", good ? "as it should be" : "WRONG");
    return !good;
}
