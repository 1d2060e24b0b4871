/* arena.pml - locking and the opening and closing of arenas, under every interleaving of three threads.
 *
 *   spin -run tests/model/arena.pml        (make model)
 *
 * What only it can find: an interleaving that is wrong by design, on any processor and with any number of switches; a
 * test runs the code as it is, and each run takes one of them.
 *
 * What is modelled: one descriptor, two frames, so two arenas of two blocks. A thread takes a block, works on it, gives
 * it back, over and over. As in kernel/memory.c
 *   - the fast path runs with interrupts off from its first look at the arena to its last (port_enter, port_leave); if
 *     no arena has room it leaves, and only then the slow path locks and looks again: what it saw may be no longer true;
 *   - the arena that serves is the front of the list of those with room; a full one leaves the list, one that has room
 *     again comes to its front, an empty one goes to its back and becomes the reserve;
 *   - a second empty arena is closed: its frame goes back while other threads may be about to look at it.
 * On one processor, interrupts off means that nothing else runs: an `atomic` here. Between two of them anything may.
 *
 * What is proved, for every interleaving:
 *   - no block is handed out twice, and no arena is closed that has a live block (assertions where they happen);
 *   - the invariants A3 to A5 of memory.c hold whenever interrupts are on (the process `watch`);
 *   - no thread waits for ever: Spin reports a state from which nothing goes on (an invalid end state).
 *
 * LOCKED 0 (spin -DLOCKED=0) takes the locks away: Spin must then find an assertion violated, or the model proves
 * nothing. `make model` runs both.
 */
#ifndef LOCKED
#define LOCKED 1
#endif

#define THREADS 3
#define ARENAS 2
#define BLOCKS 2
#define NONE 255

#if LOCKED
#define LOCK atomic {
#define UNLOCK }
#else
#define LOCK {
#define UNLOCK }
#endif

bool open[ARENAS];
byte cnt[ARENAS];           /* free blocks */
bool taken[ARENAS * BLOCKS]; /* the bitmap */
byte owner[ARENAS * BLOCKS] = NONE; /* the model's own book: which thread works on the block */
byte list[ARENAS] = NONE;   /* arenas with room, front first */
byte reserve = NONE;
byte fails[THREADS];        /* requests that found no memory */

/* The list has two places at most, so its operations are these. */
inline list_push(a) { list[1] = list[0]; list[0] = a }
inline list_append(a) { if :: list[0] == NONE -> list[0] = a :: else -> list[1] = a fi }
inline list_remove(a) { if :: list[0] == a -> list[0] = list[1] :: else fi; list[1] = NONE }

/* Takes the lowest free block of the arena that serves; got = NONE if none has room. */
inline take() {
    a = list[0];
    if
    :: a == NONE -> got = NONE
    :: else ->
        if :: !taken[a * BLOCKS] -> got = a * BLOCKS :: else -> got = a * BLOCKS + 1 fi;
        assert(open[a] && !taken[got]);
        taken[got] = true;
        cnt[a]--;
        if :: cnt[a] == 0 -> list_remove(a) :: else fi
    fi
}

inline arena_open() {
    if
    :: !open[0] -> a = 0
    :: open[0] && !open[1] -> a = 1
    :: open[0] && open[1] -> a = NONE
    fi;
    if
    :: a != NONE -> open[a] = true; cnt[a] = BLOCKS; list_push(a)
    :: else
    fi
}

inline arena_close(x) {
    assert(owner[x * BLOCKS] == NONE && owner[x * BLOCKS + 1] == NONE);
    list_remove(x);
    cnt[x] = 0;
    open[x] = false
}

inline give(block) {
    a = block / BLOCKS;
    assert(open[a] && taken[block]);
    taken[block] = false;
    cnt[a]++;
    if :: cnt[a] == 1 -> list_push(a) :: else fi;
    if
    :: cnt[a] == BLOCKS ->
        if
        :: reserve != NONE && reserve != a && open[reserve] && cnt[reserve] == BLOCKS -> arena_close(a)
        :: else -> reserve = a; list_remove(a); list_append(a)
        fi
    :: else
    fi
}

proctype thread(byte me) {
    byte mine = NONE, got, a;
    do
    :: mine == NONE ->
        LOCK take(); UNLOCK;                    /* the fast path */
        if
        :: got == NONE ->
            LOCK                                /* the slow path looks again: others ran meanwhile */
                take();
                if :: got == NONE -> arena_open(); take() :: else fi;
                fails[me] = (got == NONE -> 1 : 0);
            UNLOCK
        :: else
        fi;
        mine = got;
        if
        :: mine != NONE -> assert(owner[mine] == NONE); owner[mine] = me /* works on it */
        :: else
        fi
    :: mine != NONE ->
        assert(owner[mine] == me);              /* it was given to no other */
        owner[mine] = NONE;
        LOCK give(mine); UNLOCK;
        mine = NONE
    od
}

/* The invariants, looked at between any two steps. */
proctype watch() {
    byte k, idle, listed;
    do
    :: atomic {
        k = 0; idle = 0;
        do
        :: k < ARENAS ->
            assert(!open[k] || cnt[k] == (!taken[2 * k]) + (!taken[2 * k + 1]));           /* A3 */
            listed = (list[0] == k) + (list[1] == k);
            assert(listed == (open[k] && cnt[k] > 0 -> 1 : 0));                             /* A4 */
            if :: open[k] && cnt[k] == BLOCKS -> idle++; assert(reserve == k) :: else fi;  /* A5 */
            k++
        :: else -> break
        od;
        assert(idle <= 1);
        k = 0; idle = 0; listed = 0
    }
    od
}

init {
    atomic {
        byte i = 0;
        do :: i < THREADS -> run thread(i); i++ :: else -> break od;
        run watch()
    }
}
