// bugs_use.c - the museum's second room: right pointers, used wrongly. See bugs.h.
//
// No call here is wrong by itself, so the fast build's heap has nothing to refuse: the exhibit
// shows the damage instead, at a neighbour's or a next owner's data. The checked build reports what
// touches its margins or a freed block; some faults only the exhibit sees.
//
// An exhibit that shows a neighbour's damage needs a neighbour without a gap between: pair_take().
// In the checked build there is a gap, by design, and one block is enough.
#include <stddef.h>

#include "kernel/museum/bugs.h"
#include "kernel/checked/checked.h"
#include "kernel/memory.h"
#include "kernel/inspect/who.h"
#include "lib/list.h"
#include "lib/print.h"
#include "lib/string.h"

// The compiler must neither see that an access is wrong nor leave it out.
static void poke(volatile char *at, char value) { *at = value; }
static char peek(const volatile char *at) { return *at; }

static bool fast(void) { return bugs_build() == BUG_FAST; }

// As bugs_saw(), with the address to ask the tools about.
static bool saw_at(bool there, const void *at, const char *what) {
    if (there) kprintf("bug: %p: %s\n", at, what);
    return there;
}

// The exhibit cannot be shown for want of memory: gives back what it has. False, for `return`.
static bool gone(void *p) {
    sys_free(p);
    return false;
}

// Part of the exhibit that calls it: reports shall name that one.
#define EXHIBIT_INLINE static inline __attribute__((always_inline))

// ---- neighbours ---------------------------------------------------------------------------------

// Two live blocks, one after the other with nothing between.
struct pair {
    char *first, *second;
    size_t size; // of each: what was asked for, rounded up by the table of block sizes
    void *spare; // blocks that were taken on the way; each holds the next one's address
};

EXHIBIT_INLINE void pair_give(struct pair *pair) {
    sys_free(pair->first);
    sys_free(pair->second);
    while (pair->spare) {
        void *next = *(void **)pair->spare;
        sys_free(pair->spare);
        pair->spare = next;
    }
}

// Holes are filled one after the other until two blocks touch: in a new arena at the latest.
// In the checked build one block, in both places.
EXHIBIT_INLINE bool pair_take(struct pair *pair, size_t size) {
    *pair = (struct pair){.size = size};
    char *block = sys_malloc(size);
    if (!fast()) {
        pair->first = pair->second = block;
        return block != NULL;
    }
    pair->size = sys_usable_size(block);
    while (block) {
        char *next = sys_malloc(size);
        if (next == block + pair->size) {
            pair->first = block;
            pair->second = next;
            return true;
        }
        *(void **)block = pair->spare;
        pair->spare = block;
        block = next;
    }
    pair_give(pair);
    return false;
}

// The end of an exhibit that writes over the edge. Frees its pair, whose neighbour had an 'N' at
// `neighbour`. The verdict: in the fast build the damage, or with a table of other sizes a rest
// after the block that took it; in the checked build the report alone.
EXHIBIT_INLINE bool pair_end(struct pair *pair, const char *neighbour, bool fixed,
                             const char *damage) {
    bool damaged = fast() && peek(neighbour) != 'N';
    if (!fast()) pair->second = NULL; // it is the first
    pair_give(pair);
    if (fixed || !fast()) return !damaged;
    if (!damaged) damage = "the byte fell into the rest of a larger block: no harm, this time";
    return saw_at(true, neighbour, damage);
}

// ---- over the edge ------------------------------------------------------------------------------

// Room for the letters, and none for the zero after them. The fast build sees nothing: the zero is
// the first byte of another block.
static bool off_by_one(bool fixed) {
    static const char text[] = "thirty-two letters fill a block.";
    struct pair pair;
    if (!pair_take(&pair, strlen(text) + fixed)) return false;
    if (fast()) pair.second[0] = 'N';
    for (size_t i = 0; i <= strlen(text); i++) poke(pair.first + i, text[i]);
    return pair_end(&pair, pair.second, fixed,
                    "the neighbour's first byte is 0 now, and there was no report");
}

// An index that starts at -1. Heaps with a header before each block lose that header; here it is
// the neighbour's data again, on the other side.
static bool underflow(bool fixed) {
    struct pair pair;
    if (!pair_take(&pair, 32)) return false;
    char *last = pair.second - 1;
    if (fast()) *last = 'N';
    for (int i = fixed ? 0 : -1; i < 31; i++) poke(pair.second + i, 'x');
    return pair_end(&pair, last, fixed, "the last byte of the block before is another one now");
}

// A name that fills its block has no zero, and printing it reads on into the next block. The
// line that it is printed to ends the damage at 48 letters.
static bool unterminated(bool fixed) {
    static const char letters[] = "thirty-two letters fill a block.";
    char line[49];
    struct pair pair;
    size_t n = 0;
    if (!pair_take(&pair, 32)) return false;
    if (fast()) strlcpy(pair.second, "password: hunter2", 18);
    memcpy(pair.first, letters, 32);
    if (fixed) pair.first[31] = '\0';
    while (n < 48 && peek(pair.first + n) != '\0') {
        line[n] = peek(pair.first + n);
        n++;
    }
    line[n] = '\0';
    if (!fast()) pair.second = NULL;
    pair_give(&pair);
    if (fixed) return n == 31;
    if (fast()) kprintf("bug: the name reads \"%s\"\n", line);
    return saw_at(n >= 32, pair.first + 32, "the reader went on past the 32 letters of the block");
}

// A length in 16 bits: 65552 becomes 16, and the block is that small. (The real thing would copy
// all of the message; its first bytes are enough.)
static bool truncated_size(bool fixed) {
    static const char message[] = "a message of 65552 bytes, or what there is of it";
    uint32_t bytes = 65552;
    struct pair pair;
    if (!pair_take(&pair, fixed ? bytes : (uint16_t)bytes)) return false;
    if (fast()) pair.second[0] = 'N';
    for (size_t i = 0; i < 17; i++) poke(pair.first + i, message[i]);
    return pair_end(&pair, pair.second, fixed,
                    "the message runs over the block after its own, which has 16 bytes");
}

// ---- after the free -----------------------------------------------------------------------------

// A pointer outlives its block, and writes. In the fast build the block has another owner by then.
static bool write_after_free(bool fixed) {
    // The lowest free block is handed out first, so the next request gets the same one: what
    // elsewhere takes a busy system happens here at once.
    char *session = sys_malloc(200), *user = session;
    sys_free(session);
    char *other = sys_malloc(200);
    if (!session || !other) return gone(other);
    other[5] = 'N';
    poke((fixed ? other : user) + 5, fixed ? 'N' : 'x');
    bool damaged = other[5] != 'N';
    sys_free(other);
    if (fixed || !fast()) return !damaged;
    return saw_at(damaged, other + 5, "a block that was just allocated has changed by itself");
}

// The same, and reads: in the fast build what the next owner keeps there. A large area, since the
// checked build unmaps those while they wait, and so sees reads, too.
static bool read_after_free(bool fixed) {
    char *old = sys_malloc(5000);
    sys_free(old);
    char *secret = sys_malloc(5000);
    if (!old || !secret) return gone(secret);
    secret[100] = '!';
    char read = peek((fixed ? secret : old) + 100);
    sys_free(secret);
    if (fixed || !fast()) return (read == '!') == fixed;
    return saw_at(read == '!', old + 100, "a freed pointer reads what its next owner has written");
}

// realloc() moved the block, and one copy of the pointer was forgotten.
static bool old_pointer_after_realloc(bool fixed) {
    char *list = sys_malloc(5000), *first = list;
    void *wall = sys_malloc(5000); // after it, so that it must move: else it grows in place
    char *longer = list ? sys_realloc(list, 20000) : NULL;
    if (!longer || !wall) {
        sys_free(longer ? longer : list);
        sys_free(wall);
        return false;
    }
    bool moved = longer != list;
    longer[0] = 'N';
    if (fixed) first = longer;
    poke(first, 'x');
    bool lost = longer[0] == 'N';
    sys_free(longer);
    sys_free(wall);
    if (fixed || !fast()) return lost != fixed;
    return saw_at(moved && lost, first, "what was written through the old pointer is not there");
}

// Walks as list_next() does, but looks before it leaps: false at the first element that does not
// point back to where the walk came from. The exhibit must not follow what it has broken.
static bool list_sound(const struct list *list) {
    const struct list_elem *before = &list->head;
    for (const struct list_elem *e = before->next; e != &list->head; before = e, e = e->next) {
        if (e->prev != before) return false;
    }
    return true;
}

// No memory for all of the nodes: those that there are go back. False, for `return`.
static bool nodes_gone(struct list *list) {
    for (struct list_elem *e = list_pop(list); e; e = list_pop(list)) sys_free(e);
    return false;
}

// A node is freed and stays in its list. Its block gets another owner, and the list leads to
// whatever that one writes.
static bool freed_in_list(bool fixed) {
    struct list list;
    struct list_elem *node[3]; // some records, of which only the links matter here
    list_init(&list);
    for (int i = 0; i < 3; i++) {
        node[i] = sys_malloc(sizeof *node[i]);
        if (!node[i]) return nodes_gone(&list);
        list_append(&list, node[i]);
    }
    if (fixed) list_remove(node[1]);
    sys_free(node[1]);
    // The next owner of the same block. In the checked build it is another block, and the node
    // holds poison.
    char *other = sys_malloc(sizeof *node[1]);
    if (other) memset(other, 'x', sizeof *node[1]);
    bool sound = list_sound(&list);
    sys_free(other);
    sys_free(node[0]);
    sys_free(node[2]);
    if (fixed) return sound;
    if (bugs_build() == BUG_GUARD) return true; // the report is all: the area is mapped again
    return saw_at(!sound, node[1], "the list's second element does not point back to the first");
}

// What is in a new block is what was in it before: here a password. sys_malloc() promises nothing
// else (kernel/memory.h), and clearing every block would cost those who fill it anyway.
static bool uninitialised(bool fixed) {
    static const char password[] = "correct horse";
    char *before = sys_malloc(100);
    if (!before) return false;
    memcpy(before, password, sizeof password);
    sys_free(before);
    char *fresh = fixed ? sys_calloc(1, 100) : sys_malloc(100);
    if (!fresh) return false;
    bool leaked = memcmp(fresh, password, sizeof password) == 0;
    bool filled = (uint8_t)fresh[0] == CHECKED_FRESH;
    sys_free(fresh);
    if (fixed) return !leaked;
    if (!fast())
        return bugs_saw(filled, "a new block holds 0xf5, so that it is not taken for data");
    return saw_at(leaked, fresh, "a new block holds the password of the one before");
}

// ---- sizes and books ----------------------------------------------------------------------------

// count * size passes 2^32 and becomes small. sys_calloc() would have noticed. The exhibit does not
// fill the array: four gigabytes of writes end in the first page that is not mapped.
static bool size_wraps(bool fixed) {
    uint32_t count = 0x10000001u, size = 16;
    char *array = fixed ? sys_calloc(count, size) : sys_malloc(count * size);
    size_t room = sys_usable_size(array);
    sys_free(array);
    if (fixed) return array == NULL;
    return bugs_saw(array && room < 100,
                    "asked for 4294967312 bytes, got a block of a few, and no error");
}

// Where the exhibit's memory is better than the fault's: it must clean up.
static void *forgotten[3];

// Not inlined: the checked build's `leaks` names the function that allocated.

static __attribute__((noinline)) void remember_nothing(void) {
    for (int i = 0; i < 3; i++) forgotten[i] = sys_malloc(500);
}

// Three blocks whose pointers are not kept. Other blocks may live as well, and do: what counts is
// how many more there are than before.
static bool leak(bool fixed) {
    uint32_t before = heap_leaks(NULL);
    remember_nothing();
    for (int i = 0; fixed && i < 3; i++) sys_free(forgotten[i]);
    uint32_t after = heap_leaks(NULL);
    for (int i = 0; !fixed && i < 3; i++) sys_free(forgotten[i]);
    if (fixed) return after == before;
    return bugs_saw(after == before + 3, "three blocks more than before, and they are not freed");
}

// Two things are needed; the second is not to be had, and the first is forgotten. It returns what
// its caller would never learn, so that the exhibit can give it back.
static uint32_t open_both(bool fixed) {
    uint32_t buffer = frame_alloc(POOL_USER, 4);
    if (buffer == FRAME_NONE) return buffer;
    void *record = sys_malloc(0x70000000); // more than the heap's window has
    if (!record && fixed) frame_free(POOL_USER, buffer, 4);
    return buffer;
}

static bool no_rollback(bool fixed) {
    uint32_t before = frames_free(POOL_USER), buffer = open_both(fixed);
    uint32_t lost = before - frames_free(POOL_USER);
    if (buffer == FRAME_NONE) return false;
    if (!fixed) frame_free(POOL_USER, buffer, 4);
    if (fixed) return lost == 0;
    return bugs_saw(lost == 4, "four frames are gone with every call that fails");
}

// What each build sees. NOWHERE: the exhibit alone tells.
#define NOWHERE \
    { HEAP_OK, HEAP_OK, HEAP_OK }
#define CHECKED(fault) \
    { HEAP_OK, (fault), (fault) }
#define GUARDED(fault) \
    { HEAP_OK, HEAP_OK, (fault) }

const struct bug use_bugs[] = {
    {9, "off-by-one", "a string's zero is one byte too many", off_by_one, CHECKED(HEAP_OVERFLOW),
     false},
    {10, "underflow", "an index starts at -1", underflow, CHECKED(HEAP_OVERFLOW), false},
    {11, "unterminated", "a string without its zero is read", unterminated, GUARDED(HEAP_OVERFLOW),
     false},
    {12, "truncated-size", "a length is kept in 16 bits", truncated_size, CHECKED(HEAP_OVERFLOW),
     false},
    {13, "write-after-free", "a freed block is written to", write_after_free,
     CHECKED(HEAP_USE_AFTER_FREE), false},
    {14, "read-after-free", "a freed area is read", read_after_free, CHECKED(HEAP_USE_AFTER_FREE),
     false},
    {15, "realloc-stale", "the pointer from before a realloc is used", old_pointer_after_realloc,
     CHECKED(HEAP_USE_AFTER_FREE), false},
    {16, "freed-in-list", "a node is freed and stays in its list", freed_in_list,
     GUARDED(HEAP_USE_AFTER_FREE), false},
    {17, "uninitialised", "a new block is taken for an empty one", uninitialised, NOWHERE, false},
    {18, "size-wraps", "count * size passes 2^32", size_wraps, NOWHERE, false},
    {19, "leak", "blocks whose pointers are lost", leak, NOWHERE, false},
    {20, "no-rollback", "a call that fails keeps what it had taken", no_rollback, NOWHERE, false},
};
const uint32_t use_bug_count = sizeof use_bugs / sizeof use_bugs[0];
