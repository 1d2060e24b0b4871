// nothing.c - ends at once: what is measured with it is the kernel's work.
int main(void) { return 0; }
