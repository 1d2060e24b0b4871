// parent.c - makes a program and waits for it, makes a file and removes it: for the test that ends
// memory in the middle of that. What it is refused is its status.
#include <stdbool.h>

#include "user/lib/user.h"

int main(void) {
    int status = -1, child = spawn("nothing"), file = create("parent's", 0);
    bool written = file > 0 && write(file, "12345678", 8) == 8;
    if (file > 0) written = close(file) == 0 && remove("parent's") == 0 && written;
    bool waited = child > 0 && wait(child, &status) == child && status == 0;
    return waited && written ? 0 : 1;
}
