/* local.pml - an arena that is one processor's own and changes hands, under every interleaving of three processors.
 *
 *   spin -run tests/model/local.pml        (make model)
 *
 * What only it can find: an order of steps of several processors that is wrong by design, or in which all wait; a test
 * runs the code as it is, and each run takes one of them.
 *
 * What is modelled: one arena of two blocks and its frame, as in kernel/local.c; each processor takes a block, frees one
 * of the two whether it is live or not, or takes all memory it can get, STEPS times in any order.
 *   - The owner's fast path looks at the owner, reads the map and writes it in steps of their own, without the lock. So
 *     it opens the arena on a frame that it keeps, and closes it when all blocks are home.
 *   - Who frees a block of another's arena looks whose it is, and asks that one to give it up. It waits with interrupts
 *     on, so it is asked itself meanwhile. (Or it does not ask: its interrupts were off.)
 *   - Then it takes the lock and looks again. What is still another's becomes everyone's while that one stands still
 *     (kernel/ask.c: two flags, and the holder waits for the second to be cleared). What is no arena is not looked at
 *     again: its owner may be about to open one.
 *   - A processor stands still between two calls, and where it waits; nowhere else.
 * Not modelled: the store buffers of x86. Everything is passed on by a store that comes after what it is about, and read
 * by loads in their order, and x86 keeps both orders (Intel SDM volume 3, 8.2.2).
 *
 * What is proved, for every interleaving:
 *   - a block is handed out only if it is free, and a free is done only of a block that is live (assertions where they
 *     happen): so of two frees of a block one is refused, on whichever processors they are;
 *   - an arena is opened and closed only while none of its blocks is live;
 *   - no processor waits for ever: Spin reports a state from which nothing goes on (an invalid end state).
 *
 * HELD 0 (spin -DHELD=0): the owner is not made to stand still. ANSWERED 0: it does not answer where it waits for the
 * lock. ONCE 0: what was no arena is looked at again. OFF 1: who asks waits with interrupts off. All must be found.
 * (What the second flag's clearing is for, two arenas of one owner, is not modelled.)
 */
#ifndef HELD
#define HELD 1
#endif
#ifndef ANSWERED
#define ANSWERED 1
#endif
#ifndef ONCE
#define ONCE 1
#endif
#ifndef OFF
#define OFF 0
#endif
#ifndef STEPS
#define STEPS 3
#endif

#define PROCESSORS 3
#define EVERYONE PROCESSORS
#define KEPT(n) (PROCESSORS + 1 + (n)) /* no arena: a free frame that n keeps */
#define POOL (2 * PROCESSORS + 1)      /* no arena: a free frame of the heap's */
#define NONE 255

byte place = 0;           /* whose the arena is, or where its frame is */
bool home[2] = true;      /* the map: the block is free */
bool live[2];             /* the model's own book: it was handed out */
byte lock = NONE;         /* the heap's lock: who holds it */
bool asked[PROCESSORS], still[PROCESSORS]; /* to stand still; it does */
byte wanted[PROCESSORS];  /* 1 + who asks for the arena; 0: no one */

/* ---- standing still, and the lock ---- */

inline stand() {
    still[me] = true;
    asked[me] == false;
    still[me] = false
}

/* With interrupts off. The first statement is for Spin 6.5.2: without one it takes a processor that waits here for one
 * that has ended. */
inline lock_take() {
    do
#if ANSWERED
    :: lock != me && asked[me] -> stand()
#endif
    :: atomic { lock == NONE -> lock = me }
    :: lock == me -> break
    od
}

inline lock_give() { lock = NONE }

inline hold(n) {
#if HELD
    asked[n] = true;
    still[n] == true
#else
    skip
#endif
}

inline release(n) {
#if HELD
    asked[n] = false;
    still[n] == false
#else
    skip
#endif
}

/* ---- the arena changes hands ---- */

/* In the interrupt by which one is asked. */
inline give_up() {
    lock_take();
    if
    :: place == me -> place = EVERYONE
    :: else
    fi;
    lock_give();
    wanted[me] = 0
}

inline interrupts_on() {
    if
    :: asked[me] -> stand()
    :: wanted[me] != 0 -> give_up()
    fi
}

/* The arena is another's, o: it is asked for, unless another one asks just now. */
inline ask() {
    if
    :: atomic { wanted[o] == 0 -> wanted[o] = me + 1 };
        do
#if !OFF
        :: asked[me] -> stand()
        :: wanted[me] != 0 -> give_up()
#endif
        :: wanted[o] != me + 1 -> break
        od
    :: wanted[o] != 0
    fi
}

/* Locked: false in `arena` if there is none that may be judged. */
inline share() {
    o = place;
    arena = (o == me || o == EVERYONE);
    if
    :: o < PROCESSORS && o != me ->
        hold(o);
        if
        :: place == o -> place = EVERYONE; arena = true
        :: else
        fi;
        release(o)
    :: else
    fi;
#if !ONCE
    arena = arena || place == me || place <= EVERYONE
#endif
}

/* ---- blocks ---- */

/* The lowest free block, by a look and then a change. */
inline take() {
    b = (home[0] -> 0 : (home[1] -> 1 : NONE));
    if
    :: b != NONE -> home[b] = false; atomic { assert(!live[b]); live[b] = true }
    :: else
    fi
}

/* A look, and if it is live a change; refused otherwise. The arena may be closed after its last block came home. */
inline give(closed) {
    if
    :: home[b] /* a double free */
    :: else -> atomic { assert(live[b]); live[b] = false }; home[b] = true;
        if
        :: home[0] && home[1] -> atomic { assert(!live[0] && !live[1]); place = closed }
        :: true
        fi
    fi
}

inline call_malloc() {
    if
    :: place == me -> take()                        /* the fast path */
    :: place == KEPT(me) ->                         /* opened without the lock */
        atomic { assert(!live[0] && !live[1]); place = me }; take()
    :: else ->
        lock_take();
        if
        :: place == POOL -> place = KEPT(me)
        :: place == EVERYONE -> take()
        :: place == EVERYONE -> place = me; take()  /* taken over */
        :: else                                     /* another arena would be opened */
        fi;
        lock_give()
    fi
}

inline call_free() {
    if :: b = 0 :: b = 1 fi;
    if
    :: place == me -> give(KEPT(me))                /* the fast path */
    :: else ->
        o = place;
        if
        :: o < PROCESSORS && o != me -> ask()
        :: true                                     /* interrupts were off */
        fi;
        lock_take();
        share();
        if
        :: arena && place == me -> give(KEPT(me))
        :: arena && place != me -> give(POOL)
        :: !arena                                   /* refused */
        fi;
        lock_give()
    fi
}

/* Memory is needed: what another keeps goes to the heap, an empty arena of its own as well. */
inline call_need() {
    lock_take();
    if
    :: o = 0 :: o = 1 :: o = 2
    fi;
    if
    :: o != me ->
        hold(o);
        if
        :: place == KEPT(o) -> place = POOL
        :: place == o && home[0] && home[1] -> atomic { assert(!live[0] && !live[1]); place = POOL }
        :: else
        fi;
        release(o)
    :: else
    fi;
    lock_give()
}

proctype processor(byte me) {
    byte n, b, o;
    bool arena;
    do
    :: n < STEPS ->
        if :: call_malloc() :: call_free() :: call_need() fi;
        n++; b = 0; o = 0; arena = false
    :: interrupts_on()                              /* between two calls */
    :: n == STEPS && !asked[me] && wanted[me] == 0 -> goto end_idle
    od;
end_idle:
    do
    :: interrupts_on()
    od
}

init {
    atomic { run processor(0); run processor(1); run processor(2) }
}
