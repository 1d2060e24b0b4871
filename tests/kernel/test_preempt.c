// test_preempt.c - a switch of threads forced after every single instruction of the heap's calls.
//
// What only it can find: a race: the one instruction at which a switch of threads breaks an
// invariant. A timer meets it once in a million runs.
//
// A timer finds a race by luck. Here a call is stepped (kernel/measure/step.h); after its n-th
// instruction an interrupt comes that makes a second thread, "rival", run. That one works on the
// same descriptors and pools, checks every invariant of the heap, and gives the processor back. The
// call goes on as if nothing had been. Then everything is looked at: what the call returned, the
// contents of all blocks, the free frames; what the call did to the invariants after the switch is
// seen by the next rival. All this for n = 1, 2, ... up to the call's last instruction, each time
// from the same start:
//
//     for each n   prepare | insn 1 ... insn n |          | insn n+1 ... end | verify, give back
//                                              | rival's  |
//                                              |  turn    |
//
// Where interrupts are off no switch is possible and none is forced; those places are counted. Long
// calls (a copy, a stack that is painted) are walked once, with a switch after the first FIRST
// visits of each instruction: the 3000th round of a loop has nothing new to show.
//
// That such a walk can find anything at all is a test of its own: preempt_finds_a_lost_update.
//
// The interrupt is `int` with the vector of a line that no device uses, from inside the debug
// exception: the stub, the dispatcher and the way out are those of every other interrupt.
#include <stddef.h>
#include <stdint.h>

#include "device/timer.h"
#include "kernel/inspect/heapcheck.h"
#include "kernel/inspect/report.h"
#include "kernel/interrupt.h"
#include "kernel/measure/step.h"
#include "kernel/port.h"
#include "kernel/processor.h"
#include "kernel/symbol.h"
#include "lib/print.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "tests/kernel/ktest.h"
#include "tests/kernel/ktest_heap.h"
#include "thread/sync.h"
#include "thread/thread.h"

#define FORCED_VECTOR (IRQ_BASE + 5) // 0x25 below
#define HIGH (PRIORITY_DEFAULT + 4)
#define LOW (PRIORITY_DEFAULT - 4)
#define NOWHERE UINT32_MAX // a place no call has
#define FIRST 2            // visits of an instruction, on a long walk

// ---- blocks with an owner's pattern -------------------------------------------------------------

struct piece {
    uint8_t *p; // NULL: none
    size_t size;
    uint8_t tag; // byte i is tag + i
};

static uint8_t next_tag;

static void paint(struct piece *piece) {
    piece->tag = next_tag += 37;
    for (size_t i = 0; i < piece->size; i++) piece->p[i] = (uint8_t)(piece->tag + i);
}

static bool painted(const struct piece *piece, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        if (piece->p[i] != (uint8_t)(piece->tag + i)) return false;
    }
    return true;
}

static bool piece_take(struct piece *piece, size_t size) {
    *piece = (struct piece){.p = sys_malloc(size), .size = size};
    if (piece->p) paint(piece);
    return piece->p != NULL;
}

// False if it did not keep what was written to it.
static bool piece_give(struct piece *piece) {
    if (!piece->p) return true;
    bool good = painted(piece, piece->size);
    sys_free(piece->p);
    piece->p = NULL;
    return good;
}

// ---- the rival ----------------------------------------------------------------------------------

#define RIVAL_HELD 3

// Written by the rival in its turn, by "main" between turns.
static struct {
    struct thread *thread;
    struct semaphore go;
    void (*turn)(void);
    bool stop;
    size_t size;  // of the call it rivals with: the same descriptor, the same pool
    unsigned bad; // blocks spoilt or refused, invariants broken
    struct piece held[RIVAL_HELD];
} rival;

// Changes all that the interrupted call could be about to change: takes and gives blocks of its
// size, so that lists, bitmaps and the arena that serves are others than before, takes whole frames
// and gives some back, and lets empty arenas go. Keeps some blocks until the next turn.
static void heap_turn(void) {
    struct piece one = {0}, large = {0};
    for (int i = 0; i < RIVAL_HELD; i++) rival.bad += !piece_give(&rival.held[i]);
    sys_trim();
    for (int i = 0; i < RIVAL_HELD - 1; i++) rival.bad += !piece_take(&rival.held[i], rival.size);
    rival.bad += !piece_take(&one, rival.size);
    rival.bad += !piece_take(&rival.held[RIVAL_HELD - 1], 2 * PG_SIZE);
    rival.bad += !piece_take(&large, 300);
    rival.bad += !piece_give(&rival.held[0]);
    rival.bad += !piece_give(&one) + !piece_give(&large);
    rival.bad += !piece_take(&rival.held[0], rival.size);
    rival.bad += heap_check();
}

static int rival_run(void *unused) {
    for (;;) {
        sema_down(&rival.go);
        if (rival.stop) return 0;
        rival.turn();
    }
}

static bool rival_start(void (*turn)(void)) {
    memset(&rival, 0, sizeof rival);
    sema_init(&rival.go, 0);
    rival.turn = turn;
    rival.thread = thread_create("rival", HIGH, rival_run, NULL); // runs at once, and waits
    return rival.thread != NULL;
}

static void rival_end(void) {
    rival.stop = true;
    sema_up(&rival.go);
    thread_join(rival.thread);
}

static void on_forced(struct interrupt_frame *frame) { sema_up(&rival.go); }

// ---- a walk through one call --------------------------------------------------------------------

// Instructions on a long walk, by address. Open addressing; no call has so many.
#define VISITED 4096
static struct { uint32_t eip, count; } visited[VISITED];

static struct {
    uint32_t place;    // where to switch; NOWHERE: at none
    bool often;        // after the first visits of each instruction instead
    bool once;         // nothing more is to be seen after it
    uint32_t switches; // forced so far
    uint32_t eip;      // where the last one was
} forced;

// True for the first visits of an instruction; when the table is full, always.
static bool seldom_visited(uint32_t eip) {
    for (uint32_t i = 0; i < VISITED; i++) {
        uint32_t at = (eip * 2654435761u + i) % VISITED;
        if (visited[at].count > 0 && visited[at].eip != eip) continue;
        visited[at].eip = eip;
        return ++visited[at].count <= FIRST;
    }
    return true;
}

static void at_place(const struct interrupt_frame *frame, uint32_t place, void *unused) {
    if (forced.often ? !seldom_visited(frame->eip) : place != forced.place) return;
    forced.switches++;
    forced.eip = frame->eip;
    __asm__ volatile("int $0x25" : : : "memory");
    if (forced.once) step_end();
}

static struct step_count walk(void (*call)(void), bool often, uint32_t place) {
    struct step_count count;
    forced.place = place;
    forced.often = often;
    if (often) memset(visited, 0, sizeof visited);
    interrupt_register(FORCED_VECTOR, on_forced);
    uint32_t before = forced.switches;
    bool whole = step_run((void (*)(void *))call, NULL, at_place, NULL, &count);
    KCHECK(whole || (forced.once && forced.switches > before));
    interrupt_register(FORCED_VECTOR, NULL);
    KCHECK(irq_enabled());
    KCHECK_EQ(interrupt_depth, 0);
    return count;
}

// ---- proof that a walk finds what there is to find ----------------------------------------------

static volatile uint32_t counter;

static void turn_counts(void) { counter++; }

// The classical mistake: read, add, write, and between them another thread's addition.
static void count_carelessly(void) {
    uint32_t value = counter;
    __asm__ volatile("nop");
    counter = value + 1;
}

static void count_carefully(void) {
    uint32_t state = irq_save();
    count_carelessly();
    irq_restore(state);
}

// How many places of the call lose one of the two additions.
static uint32_t updates_lost(void (*call)(void)) {
    uint32_t lost = 0, places = 1;
    for (uint32_t place = 0; place < places; place++) {
        counter = 0;
        places = walk(call, false, place).places;
        if (counter != 2) lost++;
    }
    return lost;
}

KTEST(preempt_finds_a_lost_update) {
    KNEED(rival_start(turn_counts));
    KCHECK(updates_lost(count_carelessly) >= 2);
    KCHECK_EQ(updates_lost(count_carefully), 0);
    rival_end();
}

KTEST(step_counts_places_and_others) {
    KNEED(rival_start(turn_counts));
    struct step_count plain = walk(count_carelessly, false, NOWHERE);
    struct step_count careful = walk(count_carefully, false, NOWHERE);
    KCHECK(plain.steps >= 5 && plain.places == plain.steps);
    KCHECK(careful.off >= 5);
    KCHECK_EQ(careful.shadow, 1);
    KCHECK_EQ(careful.places + careful.off + careful.shadow, careful.steps);
    rival_end();
}

static void give_way(void) { thread_yield(); }

static int idle_for_a_moment(void *unused) { return 7; }

// A call that gives way takes the trap flag to another thread; that thread must come to no harm.
KTEST(step_ends_where_a_call_gives_way) {
    struct step_count count;
    struct thread *other = thread_create("other", PRIORITY_DEFAULT, idle_for_a_moment, NULL);
    KNEED(other);
    bool whole = step_run((void (*)(void *))give_way, NULL, at_place, NULL, &count);
    KCHECK(!whole);
    KCHECK(!(eflags_read() & 0x100));
    KCHECK_EQ(thread_join(other), 7);
}

// ---- from processor to processor ----------------------------------------------------------------

static struct thread *mover, *pusher;
static uint32_t moves;

static uint32_t where(const struct thread *thread) {
    struct thread_info info[8];
    size_t count = thread_snapshot(info, 8);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(info[i].name, thread_name(thread)) == 0) return info[i].processor;
    }
    return PROCESSORS_MAX;
}

// Stays on the processor, of which it has taken the mover's place, until an idle one has taken the
// mover; and works on the arenas that the mover's call was about meanwhile.
static int push(void *unused) {
    uint32_t from = where(mover), until = timer_ticks() + 30;
    void *p = sys_malloc(48);
    while (where(mover) == from && (int32_t)(until - timer_ticks()) > 0) {
        cpu_pause();
    }
    moves += where(mover) != from;
    sys_free(p);
    return (int)heap_check();
}

static void on_pushed(struct interrupt_frame *frame) {}

static void *moved_block;

// Free blocks in the arena that this processor's next block of the size comes from.
static uint32_t free_at_home(void) {
    const struct memory_block_desc *desc = PORT_DESC_OF(&k_heap)[(48 - 1) / BLOCK_ALIGN];
    return list_entry(desc->free_list.head.next, const struct arena, elem)->cnt;
}

static struct {
    uint32_t place;    // where to move
    uint32_t from, to; // the processors before and after
    uint32_t free;     // at home, before the call
    bool before_taken; // the call has not taken its block yet
} move;

// A new thread begins on the processor that makes it, and its priority gives it the turn.
static void push_at_place(const struct interrupt_frame *frame, uint32_t place, void *unused) {
    if (place != move.place) return;
    move.from = processor_number;
    move.before_taken = free_at_home() == move.free;
    pusher = thread_create("pusher", HIGH, push, NULL);
    __asm__ volatile("int $0x25" : : : "memory");
    move.to = processor_number;
    step_end();
}

static void take_on_the_move(void *unused) { moved_block = sys_malloc(48); }

// A call that began on one processor ends on another, whichever instruction it had come to: its
// block is of an arena of the processor that it was on when it took it, or of everyone's. Returns
// how often it was not.
static uint32_t walk_moving(void) {
    uint32_t odd = 0; // one on a busy machine, which moves the call once more
    moves = 0;
    mover = thread_current();
    interrupt_register(FORCED_VECTOR, on_pushed);
    for (move.place = 0;; move.place++) {
        struct step_count count;
        pusher = NULL;
        ktest_settle(48); // so that the call takes the fast path
        uint32_t state = irq_save();
        uint32_t from = processor_number;
        move.free = free_at_home();
        irq_restore(state);
        step_run(take_on_the_move, NULL, push_at_place, NULL, &count);
        if (!pusher) break; // no such place
        uint32_t table = ktest_table(moved_block);
        bool moved = move.from == from && move.to != from; // and not by itself, before the call
        odd += moved && table != 0 && table == (move.before_taken ? from : move.to) + 1;
        sys_free(moved_block);
        KCHECK_EQ(thread_join(pusher), 0);
        KCHECK_EQ(heap_check(), 0);
    }
    sys_free(moved_block);
    interrupt_register(FORCED_VECTOR, NULL);
    KCHECK(move.place > 10);
    KCHECK(processors_online == 1 || moves >= move.place / 4);
    return odd;
}

KTEST(processors_move_at_every_instruction) {
    uint32_t odd = walk_moving();
    for (int more = 2; odd > 1 && more > 0; more--) odd = walk_moving(); // a fault shows each time
    KCHECK(odd <= 1);
}

// ---- the calls ----------------------------------------------------------------------------------

#define MINE_MAX 320

// What "main" has: blocks that are live while the call runs, the one it works on, its result.
static struct {
    struct piece other[MINE_MAX];
    uint32_t others;
    struct piece victim; // freed, or given to realloc, by the call
    size_t size;         // asked for
    void *result;
    struct thread *thread;
} mine;

static uint8_t *refused_at; // by the call that must be

// A call, from the same start each time.
struct call {
    const char *name;
    size_t size;           // mine.size, and the rival's
    void (*prepare)(void); // NULL: nothing to do. The heap is trimmed before
    void (*run)(void);     // stepped
    bool (*good)(void);    // what the call did is right; gives back what it returned
    bool lengthy;          // walked once, see the head of this file
};

static void other_take(size_t size) {
    if (mine.others < MINE_MAX) KCHECK(piece_take(&mine.other[mine.others++], size));
}

static void other_give(uint32_t i) { KCHECK(piece_give(&mine.other[i])); }

static struct desc_state mine_desc(void) {
    struct desc_state state = {0};
    for (uint32_t i = 0; i < k_heap.desc_count && state.block_size < mine.size; i++)
        heap_desc_state(&k_heap, i, &state);
    return state;
}

// Takes blocks of this size until only `room` are left in all open arenas together.
static void arenas_with_room(uint32_t room) {
    if (mine_desc().arenas == 0) other_take(mine.size);
    while (mine_desc().free_blocks > room && mine.others < MINE_MAX) other_take(mine.size);
}

static void one_came_back(void) {
    for (int i = 0; i < 3; i++) other_take(mine.size);
    other_give(1);
}

static void one_carved(void) { other_take(mine.size); }
static void last_one_left(void) { arenas_with_room(1); }
static void none_left(void) { arenas_with_room(0); }

static void victim_take(void) { KCHECK(piece_take(&mine.victim, mine.size)); }

static void victim_among_others(void) {
    other_take(mine.size);
    victim_take();
    other_take(mine.size);
}

static void victim_in_full_arena(void) {
    arenas_with_room(1);
    victim_take();
}

static void victim_alone(void) {
    arenas_with_room(0);
    victim_take();
}

// Its arena will be empty, and another one is already: frames go back.
static void victim_and_reserve(void) {
    victim_alone();
    for (uint32_t i = 0; i < mine.others; i++) other_give(i);
}

// A free run on both sides of it.
static void victim_between_runs(void) {
    other_take(mine.size);
    victim_take();
    other_take(mine.size);
    other_take(mine.size);
    other_give(0);
    other_give(1);
}

static void victim_before_a_wall(void) {
    victim_take();
    other_take(mine.size);
}

static void reserves(void) {
    other_take(16);
    other_take(500);
    other_give(0);
    other_give(1);
}

static void run_malloc(void) { mine.result = sys_malloc(mine.size); }
static void run_calloc(void) { mine.result = sys_calloc(mine.size / 4, 4); }
static void run_free(void) { sys_free(mine.victim.p); }
static void run_aligned(void) { mine.result = sys_aligned_alloc(4 * PG_SIZE, mine.size); }
static void run_aligned_block(void) { mine.result = sys_aligned_alloc(64, mine.size); }
static void run_trim(void) { sys_trim(); }
static void run_usable(void) { mine.result = (void *)sys_usable_size(mine.victim.p); }
static void run_refused(void) {
    refused_at = mine.victim.p + 8;
    sys_free(refused_at);
}
static void run_larger(void) { mine.result = sys_realloc(mine.victim.p, 2 * mine.size); }
static void run_smaller(void) { mine.result = sys_realloc(mine.victim.p, mine.size / 2); }
static void run_same(void) { mine.result = sys_realloc(mine.victim.p, mine.size - 1); }
static void run_grow(void) { mine.result = sys_realloc(mine.victim.p, mine.size * 2 + 40); }
static void run_shrink(void) { mine.result = sys_realloc(mine.victim.p, mine.size / 3); }
static void run_frames(void) { frame_free(POOL_KERNEL, frame_alloc(POOL_KERNEL, 3), 3); }

static int child(void *argument) { return (int)(uintptr_t)argument; }

// Lower than "main": it starts when that one waits, and not by a switch inside the call.
static void run_create(void) { mine.thread = thread_create("child", LOW, child, (void *)5); }
static void run_join(void) { mine.result = (void *)thread_join(mine.thread); }

static void child_dead(void) {
    run_create();
    for (int i = 0; mine.thread && mine.thread->state != THREAD_DEAD && i < 100; i++)
        thread_sleep(1);
}

// The result is a block of mine.size bytes that has no other owner.
static bool block_good(void) {
    struct piece result = {.p = mine.result, .size = mine.size};
    if (!result.p) return false;
    paint(&result);
    bool kept = true;
    for (int i = 0; i < RIVAL_HELD; i++)
        kept = kept && (!rival.held[i].p || painted(&rival.held[i], rival.held[i].size));
    return piece_give(&result) && kept;
}

static bool cleared_good(void) {
    const uint8_t *p = mine.result;
    for (size_t i = 0; p && i < mine.size / 4 * 4; i++) {
        if (p[i] != 0) return false;
    }
    return block_good();
}

static bool aligned_good(void) {
    return (uintptr_t)mine.result % (4 * PG_SIZE) == 0 && block_good();
}
static bool aligned_block_good(void) { return (uintptr_t)mine.result % 64 == 0 && block_good(); }

static bool gone_good(void) {
    mine.victim.p = NULL;
    return true;
}

static bool moved_good(void) {
    mine.victim.p = mine.result;
    return mine.result && painted(&mine.victim, mine.size);
}

static bool shrunk_good(void) {
    mine.victim.p = mine.result;
    mine.victim.size = mine.size / 3;
    return mine.result && painted(&mine.victim, mine.size / 3);
}

static bool usable_good(void) { return (size_t)mine.result >= mine.size; }
static bool nothing_good(void) { return true; }
static bool null_good(void) { return mine.result == NULL; }
static bool created_good(void) { return mine.thread && thread_join(mine.thread) == 5; }
static bool joined_good(void) { return mine.result == (void *)5; }

// clang-format off
static const struct call calls_malloc[] = {
    {"malloc: a block that came back", 24, one_came_back, run_malloc, block_good, false},
    {"malloc: the next block carved", 24, one_carved, run_malloc, block_good, false},
    {"malloc: the arena's last block", 1000, last_one_left, run_malloc, block_good, false},
    {"malloc: a first arena", 500, NULL, run_malloc, block_good, false},
    {"malloc: a new arena, others full", 100, none_left, run_malloc, block_good, false},
    {"malloc: a large area", 5000, NULL, run_malloc, block_good, false},
    {"malloc: a large area of 40 frames", 40 * PG_SIZE, NULL, run_malloc, block_good, false},
    {"malloc: more than there is", 0x70000000, NULL, run_malloc, null_good, false},
    {"calloc: a block", 40, one_came_back, run_calloc, cleared_good, false},
    {"calloc: a large area", 1100, NULL, run_calloc, cleared_good, true},
    {"aligned_alloc: a block", 40, NULL, run_aligned_block, aligned_block_good, false},
    {"aligned_alloc: large, to 16 KiB", 5000, one_carved, run_aligned, aligned_good, false},
};
static const struct call calls_free[] = {
    {"free: a block among others", 24, victim_among_others, run_free, gone_good, false},
    {"free: a block of a full arena", 1000, victim_in_full_arena, run_free, gone_good, false},
    {"free: the last block: a reserve", 100, victim_alone, run_free, gone_good, false},
    {"free: the last block: frames go", 1000, victim_and_reserve, run_free, gone_good, false},
    {"free: a large area, alone", 5000, victim_before_a_wall, run_free, gone_good, false},
    {"free: a large area between runs", 5000, victim_between_runs, run_free, gone_good, false},
    {"trim: two empty arenas", 100, reserves, run_trim, nothing_good, false},
    {"frame_alloc, frame_free", 3000, NULL, run_frames, nothing_good, false},
};
static const struct call calls_realloc[] = {
    {"realloc: the same block", 24, victim_among_others, run_same, moved_good, false},
    {"realloc: to a larger block", 24, victim_among_others, run_grow, moved_good, false},
    {"realloc: to a smaller block", 100, victim_among_others, run_shrink, shrunk_good, false},
    {"realloc: a block to a large area", 600, victim_among_others, run_grow, moved_good, false},
    {"realloc: a large area grows", 5000, victim_take, run_grow, moved_good, false},
    {"realloc: a large area shrinks", 5 * PG_SIZE, victim_before_a_wall, run_shrink, shrunk_good,
     false},
    {"realloc: a large area moves", 3000, victim_before_a_wall, run_grow, moved_good, true},
    {"usable_size: a block", 24, victim_among_others, run_usable, usable_good, false},
    {"usable_size: a large area", 5000, victim_take, run_usable, usable_good, false},
};
static const struct call calls_thread[] = {
    {"thread_create", sizeof(struct thread), NULL, run_create, created_good, true},
    {"thread_join", sizeof(struct thread), child_dead, run_join, joined_good, true},
};
// clang-format on

// ---- every call, at every place -----------------------------------------------------------------

static uint32_t frames_before;
static uint32_t total_steps, total_off, total_switches; // of the running test, for its last line

// The heap as at the test's start, but for the rival's thread.
static void pass_begin(const struct call *call) {
    memset(&mine, 0, sizeof mine);
    mine.size = rival.size = call->size;
    if (call->size > 16 * PG_SIZE) rival.size = 2 * PG_SIZE;
    sys_trim();
    frames_before = frames_free(POOL_KERNEL);
    if (call->prepare) call->prepare();
}

// True if all that was there before is there and nothing else.
static bool pass_end(const struct call *call) {
    bool good = call->good();
    for (uint32_t i = 0; i < mine.others; i++) good = piece_give(&mine.other[i]) && good;
    good = piece_give(&mine.victim) && good;
    for (int i = 0; i < RIVAL_HELD; i++) good = piece_give(&rival.held[i]) && good;
    good = rival.bad == 0 && good;
    sys_trim();
    return frames_free(POOL_KERNEL) == frames_before && good;
}

static void complain(const struct call *call, uint32_t place) {
    char where[SYMBOL_TEXT_MAX];
    kprintf("%s: damage by a switch at place %u, in %s\n", call->name, place,
            symbol_text(where, sizeof where, forced.eip));
    KCHECK(!"a switch of threads does no harm");
}

// One pass; false if anything is not as it should be.
static bool pass(const struct call *call, bool often, uint32_t place, struct step_count *count) {
    pass_begin(call);
    *count = walk(call->run, often, place);
    if (pass_end(call)) return true;
    complain(call, place);
    return false;
}

// The pass after the last place has no switch in it: that tells how many instructions there are.
static bool places_walk(const struct call *call, struct step_count *count) {
    for (uint32_t place = 0;; place++) {
        if (!pass(call, false, place, count)) return false;
        if (place >= count->places) return true;
    }
}

static bool call_walk(const struct call *call) {
    struct step_count count;
    forced.switches = 0;
    bool good = call->lengthy ? pass(call, true, NOWHERE, &count) : places_walk(call, &count);
    KCHECK_EQ(heap_check(), 0);
    total_steps += count.steps;
    total_off += count.off;
    total_switches += forced.switches;
    kprintf("%-34s %6u instructions, %5u with interrupts off, %5u switches\n", call->name,
            count.steps, count.off + count.shadow, forced.switches);
    KCHECK(!good || call->lengthy || forced.switches == count.places);
    KCHECK(forced.switches > 0);
    return good;
}

static void calls_walk(const struct call *calls, size_t count) {
    total_steps = total_off = total_switches = 0;
    KNEED(rival_start(heap_turn));
    bool good = true; // a heap that is damaged says nothing of the next call
    for (size_t i = 0; good && i < count; i++) good = call_walk(&calls[i]);
    rival_end();
    kprintf("preempt: calls=%u instructions=%u interrupts_off=%u switches=%u\n", (uint32_t)count,
            total_steps, total_off, total_switches);
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

KTEST(preempt_malloc) { calls_walk(calls_malloc, COUNT(calls_malloc)); }
KTEST(preempt_free) { calls_walk(calls_free, COUNT(calls_free)); }
KTEST(preempt_realloc) { calls_walk(calls_realloc, COUNT(calls_realloc)); }
// ---- the block is freed under the call ----------------------------------------------------------

static bool victim_gone;        // the rival has freed it
static uint32_t reports_before; // of the heap, when the call began

// Frees what the call works on, and opens arenas of other sizes where it was.
static void free_turn(void) {
    sys_free(mine.victim.p);
    victim_gone = true;
    sys_trim();
    for (int i = 0; i < RIVAL_HELD; i++) {
        struct piece *held = &rival.held[i];
        rival.bad += !piece_take(held, 300 << i);
        // At the same address it would be what the call frees next.
        if (held->p == mine.victim.p) rival.bad += !piece_give(held);
    }
    rival.bad += heap_check();
}

static void victim_to_be_freed(void) {
    victim_gone = false;
    victim_take();
    reports_before = heap_report_count;
    ktest_report_expect();
}

// The victim is freed once, by the call, the rival or here, and once more, which is refused: by the
// call, if the rival came first, by the rival, if the call did, or here.
static bool freed_once(void) {
    uint8_t *p = mine.victim.p;
    if (mine.result && mine.result != p) sys_free(mine.result);
    else if (!victim_gone) sys_free(p);
    if (heap_report_count == reports_before) sys_free(p);
    ktest_report_check(heap_last_report.fault, (uintptr_t)p, __FILE__, __LINE__);
    mine.victim.p = NULL;
    return true;
}

// clang-format off
static const struct call calls_freed[] = {
    {"realloc: a block, freed meanwhile", 24, victim_to_be_freed, run_larger, freed_once, false},
    {"realloc: a growing area, freed", 2 * PG_SIZE, victim_to_be_freed, run_larger, freed_once,
     false},
    {"realloc: a shrinking area, freed", 4 * PG_SIZE, victim_to_be_freed, run_smaller, freed_once,
     false},
};
// clang-format on

// At the places of a call that is not disturbed: the report of a disturbed one has thousands more.
static bool freed_walk(const struct call *call) {
    struct step_count whole, count;
    bool good = pass(call, false, NOWHERE, &whole);
    forced.once = true;
    for (uint32_t place = 0; good && place < whole.places; place++) {
        good = pass(call, false, place, &count);
    }
    forced.once = false;
    return good;
}

KTEST(preempt_realloc_of_a_freed_block) {
    KNEED(rival_start(free_turn));
    bool good = true;
    for (size_t i = 0; good && i < COUNT(calls_freed); i++) good = freed_walk(&calls_freed[i]);
    rival_end();
}

KTEST(preempt_threads) { calls_walk(calls_thread, COUNT(calls_thread)); }

static const struct call call_refused = {
    "free: refused, inside a block", 24, victim_among_others, run_refused, nothing_good, true};

// The report too, with all it looks up: the rival may neither be harmed by it nor change its words.
KTEST(preempt_a_report) {
    KNEED(rival_start(heap_turn));
    KREPORT(HEAP_INTERIOR_POINTER, refused_at, call_walk(&call_refused));
    rival_end();
}
