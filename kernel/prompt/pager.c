// pager.c - see pager.h.
//
// Both screens show the same text: the VGA's has 25 rows, a terminal's 24 unless it is told
// otherwise, so 24 are a page, the last of them for the question.
//
// Is there a user? Text that waits already was pasted or comes from a file, and its sender
// reads no page: then nothing stops. The same holds when something else than an answer comes: the
// list goes on to its end, and the key is the prompt's.
#include "kernel/prompt/pager.h"

#include "device/console.h"
#include "device/timer.h"
#include "lib/print.h"
#include "thread/thread.h"

#define PAGE_LINES 23
#define CTRL_C 3

static unsigned shown; // lines of this page. One shell: nothing protects it
static bool pages;     // the list stops when a page is full

void pager_start(bool stops) {
    shown = 0;
    pages = stops;
}

// A `q` by itself. One that begins a word is followed at once: no one types the next key so fast.
static bool lone_q(void) {
    thread_sleep(timer_hz() / 10);
    return console_peek(1) < 0;
}

enum pager_key pager_key(void) {
    int c = console_peek(0);
    enum pager_key key = c < 0                                   ? PAGER_NONE
                         : c == ' ' || c == '\r' || c == '\n'    ? PAGER_ON
                         : c == CTRL_C || (c == 'q' && lone_q()) ? PAGER_END
                                                                 : PAGER_OTHER;
    if (key == PAGER_ON || key == PAGER_END) console_try_getc();
    return key;
}

bool pager_line(void) {
    if (!pages || shown++ < PAGE_LINES) return true;
    shown = 1;
    enum pager_key key = PAGER_NONE;
    pages = console_peek(0) < 0;
    if (!pages) return true;
    put_str("--more-- (Space: next page, q: end)");
    while ((key = pager_key()) == PAGER_NONE) thread_sleep(1);
    put_str("\r\033[K");
    pages = key == PAGER_ON;
    return key != PAGER_END;
}
