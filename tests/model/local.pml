/* local.pml - an arena that is one processor's own and becomes everyone's, under every interleaving of three processors.
 *
 *   spin -run tests/model/local.pml        (make model)
 *
 * What only it can find: an order of steps of several processors that is wrong by design, or in which all wait; a test
 * runs the code as it is, and each run takes one of them.
 *
 * What is modelled: one arena of two blocks, as in kernel/local.c; each processor takes a block, frees one that it or
 * another has been given (so one that is free by now, too, or that another frees at the same moment), or takes the
 * arena over, STEPS times in any order.
 *   - The owner's fast path looks at the owner, reads the map and writes it in steps of their own, without the lock.
 *   - Everything else is done with the lock. Before a free is judged there, the owner is made to stand still and the
 *     arena becomes everyone's (kernel/ask.c: two flags, and the holder waits for the second to be cleared).
 *   - A processor stands still between two calls, and where it waits for the lock; nowhere else.
 * Not modelled: the store buffers of x86. Everything is passed on by a store that comes after what it is about, and read
 * by loads in their order, and x86 keeps both orders (Intel SDM volume 3, 8.2.2).
 *
 * What is proved, for every interleaving:
 *   - a block is handed out only if it is free, and a free is done only of a block that was handed out (assertions
 *     where they happen): so of two frees of a block one is refused, on whichever processors they are;
 *   - no processor waits for ever: Spin reports a state from which nothing goes on (an invalid end state).
 *
 * HELD 0 (spin -DHELD=0): the owner is not made to stand still. ANSWERED 0: it does not answer where it waits for the
 * lock. Both must be found. (What the second flag's clearing is for, two arenas of one owner, is not modelled.)
 */
#ifndef HELD
#define HELD 1
#endif
#ifndef ANSWERED
#define ANSWERED 1
#endif
#ifndef STEPS
#define STEPS 3
#endif

#define PROCESSORS 3
#define EVERYONE PROCESSORS
#define FREE 255
#define NONE 255

byte owner = 0;           /* of the arena: what its descriptor and its seal say */
bool home[2] = true;      /* the map: the block is free */
bool live[2];             /* the model's own book: it was handed out */
byte lock = FREE;       /* the heap's lock: who holds it */
bool asked[PROCESSORS], still[PROCESSORS], waiting[PROCESSORS];

inline answer() {
    still[me] = true;
    asked[me] == false;
    still[me] = false
}

/* The first statement is for Spin 6.5.2: without one it takes a processor that waits here for one that has ended. */
inline lock_take() {
    waiting[me] = true;
    do
#if ANSWERED
    :: lock != me && asked[me] -> answer()
#endif
    :: atomic { lock == FREE -> lock = me }
    :: lock == me -> break
    od;
    waiting[me] = false
}

inline lock_give() { lock = FREE }

/* The arena of another processor becomes everyone's. */
inline share() {
    o = owner;
    if
    :: o != EVERYONE && o != me ->
#if HELD
        asked[o] = true;
        still[o] == true;
#endif
        owner = EVERYONE;
#if HELD
        asked[o] = false;
        still[o] == false;
#endif
    :: else
    fi
}

/* The lowest free block, by a look and then a change. */
inline take() {
    got = (home[0] -> 0 : (home[1] -> 1 : NONE));
    if
    :: got != NONE -> home[got] = false; atomic { assert(!live[got]); live[got] = true }
    :: else
    fi
}

/* A look, and if it is live a change; refused otherwise. */
inline give() {
    if
    :: home[b] /* a double free */
    :: else -> atomic { assert(live[b]); live[b] = false }; home[b] = true
    fi
}

inline call() {
    if
    :: /* sys_malloc() */
        if
        :: owner == me -> take()                    /* the fast path */
        :: else ->
            lock_take();
            if
            :: owner == me || owner == EVERYONE -> take()
            :: else                                 /* another arena would be opened */
            fi;
            lock_give()
        fi
    :: /* sys_free() of a block that was handed out once */
        if :: b = 0 :: b = 1 fi;
        if
        :: owner == me -> give()                    /* the fast path */
        :: else -> lock_take(); share(); give(); lock_give()
        fi
    :: /* takes it over */
        lock_take();
        if :: owner == EVERYONE -> owner = me :: else fi;
        lock_give()
    fi
}

proctype processor(byte me) {
    byte n, got, b, o;
    do
    :: n < STEPS -> call(); n++; got = 0; b = 0; o = 0
    :: asked[me] -> answer()                        /* interrupts are on between two calls */
    :: n == STEPS && !asked[me] -> goto end_idle
    od;
end_idle:
    do
    :: asked[me] -> answer()
    od
}

init {
    atomic { run processor(0); run processor(1); run processor(2) }
}
