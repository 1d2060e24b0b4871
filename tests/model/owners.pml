/* owners.pml - a block that its owner and another thread may free at the same time, with x86's store buffers.
 *
 *   spin -run tests/model/owners.pml       (make model)
 *
 * What only it can find: an order of loads, stores and exchanges that loses a block or hands it out twice, but takes
 * a delay of one processor that no test can bring about.
 *
 * What is modelled: one arena of two blocks in one word, as in tools/libgranary/owners.c; its owner, who takes, frees,
 * takes the word into hand as it is or claims it, closes the arena and opens it again for this size or another (of one
 * block, where the first of the two was); and two others, who free. Every free may be right (of a block that this
 * thread holds) or wrong (of any block). The owner's stores go through a buffer, first in, first out, which another
 * process empties at any time; its own reads see them at once. An exchange, and giving a lock back, wait until the
 * buffer is empty. The others store by exchanges only, so they need no buffer.
 *
 * What is proved, for every interleaving:
 *   - a block is handed out only when it is free, and no double free of it is unreported;
 *   - a free of a live block by who holds it is never refused;
 *   - a double free that was not refused is reported before the block is handed out again, once.
 *
 * Left out of the code on purpose, Spin must find an assertion violated (run.sh runs each):
 *   BARRIER 0     who frees first in an arena does not wait for the owner's first barrier
 *   AWAY 0        nor takes the word in hand away from it
 *   SECOND 0      nor waits for its second barrier
 *   AGAIN 0       the owner does not look again whether the front is foreign, having taken a word as it is
 *   GENERATION 0  a free compares the bits of the word, but not how often it was collected
 *   EXCHANGE 0    the owner claims a word of a foreign front without collecting it
 *   MAPPED 0      what is collected leaves the others' bitmap before it is in the map
 *   ONCE 0        a block that comes home while its word is claimed is in hand at once
 *   LATE 0        a free looks whether the arena is marked before it reads the others' bitmap, not after
 */
#ifndef BARRIER
#define BARRIER 1
#endif
#ifndef AWAY
#define AWAY 1
#endif
#ifndef SECOND
#define SECOND 1
#endif
#ifndef AGAIN
#define AGAIN 1
#endif
#ifndef GENERATION
#define GENERATION 1
#endif
#ifndef EXCHANGE
#define EXCHANGE 1
#endif
#ifndef MAPPED
#define MAPPED 1
#endif
#ifndef ONCE
#define ONCE 1
#endif
#ifndef LATE
#define LATE 1
#endif
#ifndef FOREIGN
#define FOREIGN 0 /* 1: another arena of this size was marked long ago, this one is not */
#endif
#ifndef OTHERS
#define OTHERS 2
#endif
#ifndef STEPS
#define STEPS 4   /* of the owner */
#endif
#ifndef WRONG
#define WRONG 1   /* wrong frees, by all together */
#endif

#define ALL 3     /* both blocks */
#define BLOCKS (my_desc == 1 -> ALL : 1)                    /* the other size has one, as large as both */
#define OPEN(as) ((as) == 1 || ((as) == 2 && block == 0))   /* block 0 has the same number in both sizes */
#define OWNER 1
#define NONE 0
#define NOTHING 0
#define MAP_WORD 1

/* What the others see of the record; the owner's view of it. */
byte map = ALL, desc = 1;
byte my_map = ALL, my_desc = 1;
byte in_hand = ALL;             /* front.mask, the owner's alone */
bool claimed;                   /* and front.claimed */
byte from;                      /* front.take: NOTHING or MAP_WORD. The owner's, but who marks may make it NOTHING */
byte my_from, from_pending;     /* what the owner wrote last, and how many such stores are still in the buffer */
bool ever;                      /* marked; changes under the lock only, as the next */
bool foreign[3];                /* of each size: another thread frees blocks, and the barrier comes or is passed */
byte away, generation;          /* one word, changed by exchanges */
bool locked;
byte ended;                     /* of the others */

/* Who may free a block: what the program knows, which others learn by a store after the map's. */
byte holder[2], my_holder[2];
/* The truth. */
bool live[2];
byte twice[2];                  /* frees that took effect while it was free, not reported yet */
bool robbed[2];                 /* a wrong free took effect on it while it was live: who holds it may be refused */
byte wrong = WRONG;

mtype = { MAP, DESC, FROM, HOLD0, HOLD1 };
chan buffer = [8] of { mtype, byte };

inline apply() {
    if
    :: buffer?MAP,value -> map = value
    :: buffer?DESC,value -> desc = value
    :: buffer?FROM,value -> from = value; from_pending--
    :: buffer?HOLD0,value -> holder[0] = value
    :: buffer?HOLD1,value -> holder[1] = value
    fi
}

active proctype memory() {
    byte value;
end:
    do
    :: atomic { nempty(buffer) -> apply() }
    od
}

inline lock() { atomic { !locked -> locked = true } }
inline unlock() { atomic { empty(buffer) -> locked = false } }

/* A free has taken effect. */
inline freed(block) {
    if
    :: live[block] -> live[block] = false; robbed[block] = robbed[block] || !right
    :: else -> twice[block]++
    fi
}

/* The owner: bits that others have freed and that are in the map as well were freed twice. */
inline report(bits) {
    b = 0;
    do
    :: b < 2 ->
        if
        :: ((bits) >> b) & 1 -> assert(twice[b] == 1); twice[b] = 0
        :: else
        fi;
        b++
    :: else -> break
    od
}

inline collect() {
    do
    :: got = away;
        if
        :: MAPPED -> buffer!MAP,(my_map | got)
        :: else
        fi;
        atomic {
            empty(buffer);
            if
            :: away == got -> away = 0; generation++; report(got & my_map); break
            :: else
            fi
        }
    od;
    my_map = my_map | got;
    buffer!MAP,my_map
}

inline write_from(value_of) { atomic { my_from = value_of; from_pending++; buffer!FROM,value_of } }

/* front_turn(), front_quick(): the word into hand, as it is or claimed. */
inline turn() {
    seen_foreign = foreign[my_desc];
    if
    :: seen_foreign && EXCHANGE && (my_map != 0 || away != 0) -> collect()
    :: else
    fi;
    if
    :: (my_map & BLOCKS) == 0 -> skip
    :: (my_map & BLOCKS) != 0 && !seen_foreign ->
        d_step { in_hand = BLOCKS; claimed = false };
        write_from(MAP_WORD);
        if
        :: AGAIN && foreign[my_desc] -> write_from(NOTHING)
        :: else
        fi
    :: else ->
        d_step { in_hand = my_map & BLOCKS; claimed = ONCE };
        write_from(MAP_WORD)
    fi
}

inline look() {
    atomic {
        seen_from = (from_pending > 0 -> my_from : from);
        bits = (seen_from == MAP_WORD -> my_map & in_hand : 0)
    }
}

inline take() {
    look();
    if
    :: bits == 0 -> turn(); look()
    :: else
    fi;
    if
    :: bits == 0 -> skip
    :: else ->
        b = (bits & 1 -> 0 : 1);
        atomic {
            my_map = my_map & ~(1 << b); buffer!MAP,my_map;
            if
            :: claimed -> in_hand = in_hand & ~(1 << b)
            :: else
            fi;
            assert(!live[b] && twice[b] == 0);
            live[b] = true
        };
        if /* who is to have it */
        :: who = OWNER
        :: who = OWNER + 1
        :: OTHERS == 2 -> who = OWNER + 2
        fi;
        my_holder[b] = (who == OWNER -> OWNER : NONE);
        if
        :: b == 0 -> buffer!HOLD0,who
        :: else -> buffer!HOLD1,who
        fi;
        b = 0
    fi
}

inline put() {
    if
    :: block = 0
    :: block = 1
    fi;
    atomic {
        right = (my_holder[block] == OWNER);
        idle = false;
        if
        :: right -> my_holder[block] = NONE
        :: !right && wrong > 0 -> wrong--
        :: !right && wrong == 0 -> idle = true
        fi
    };
    mask = 1 << block;
    seen_ever = ever;
    if
    :: idle -> skip
    :: !idle && (my_map & mask) -> assert(!right || robbed[block])
    :: else ->
        refused = false;
        if
        :: seen_ever -> refused = (away & mask) != 0
        :: else
        fi;
        if
        :: refused -> assert(!right || robbed[block])
        :: else ->
            my_map = my_map | mask;
            atomic { buffer!MAP,my_map; freed(block) }
        fi
    fi
}

/* All at home, and not in hand. */
inline close() {
    write_from(NOTHING);
    lock();
    my_desc = 0; buffer!DESC,0;
    if
    :: ever ->
        atomic {
            empty(buffer);
            got = away; away = 0; generation++;
            report(got)
        }
    :: else
    fi;
    unlock();
    lock();
    my_map = ALL; buffer!MAP,ALL;
    if
    :: my_desc = 1
    :: my_desc = 2
    fi;
    ever = foreign[my_desc];
    buffer!DESC,my_desc;
    unlock()
}

active proctype owner() {
    byte n, b, block, mask, got, who, bits, seen_from;
    bool right, idle, seen_ever, seen_foreign, refused;
    foreign[1] = foreign[1] || FOREIGN;
    do
    :: n < STEPS ->
        d_step { /* what is left of the step before tells no states apart */
            n++; b = 0; block = 0; mask = 0; got = 0; who = 0; bits = 0; seen_from = 0;
            right = false; idle = false; seen_ever = false; seen_foreign = false; refused = false
        };
        if
        :: take()
        :: put()
        :: my_map == ALL -> close()
        fi
    :: break
    od;
    /* Everything comes home, and with it the last reports. */
    atomic {
        ended == OTHERS && empty(buffer);
        report(away & my_map);
        assert(twice[0] == 0 && twice[1] == 0)
    }
}

proctype other(byte me) {
    byte n, block, mask, seen_desc, seen_away, seen_generation, seen_map, value;
    bool right, done, seen_ever;
    do
    :: n < 2 ->
        d_step {
            n++; seen_desc = 0; seen_ever = false; seen_away = 0; seen_generation = 0; seen_map = 0; value = 0
        };
        if
        :: block = 0
        :: block = 1
        fi;
        atomic {
            right = (holder[block] == me);
            done = false;
            if
            :: right -> holder[block] = NONE
            :: !right && wrong > 0 -> wrong--
            :: !right && wrong == 0 -> done = true
            fi
        };
        mask = 1 << block;
        do
        :: done -> break
        :: else ->
            atomic { seen_desc = desc; seen_ever = ever };
            atomic { seen_away = away; seen_generation = generation };
            if
            :: !(OPEN(seen_desc) && OPEN(desc)) -> assert(!right || robbed[block]); done = true /* no such block */
            :: else ->
                if
                :: !(LATE -> ever : seen_ever) -> /* mark_ever() */
                    lock();
                    if
                    :: desc != 0 && !ever ->
                        if
                        :: !foreign[desc] ->
                            foreign[desc] = true;
                            if
                            :: BARRIER -> atomic { do :: nempty(buffer) -> apply() :: empty(buffer) -> break od }
                            :: else
                            fi;
                            if
                            :: AWAY -> from = NOTHING
                            :: else
                            fi;
                            if
                            :: SECOND -> atomic { do :: nempty(buffer) -> apply() :: empty(buffer) -> break od }
                            :: else
                            fi
                        :: else
                        fi;
                        ever = true
                    :: else
                    fi;
                    locked = false
                :: else ->
                    seen_map = map;
                    atomic {
                        if
                        :: away != seen_away || (GENERATION && generation != seen_generation) -> skip /* again */
                        :: else ->
                            done = true;
                            if
                            :: (seen_map | seen_away) & mask -> assert(!right || robbed[block])
                            :: else -> away = away | mask; freed(block)
                            fi
                        fi
                    }
                fi
            fi
        od
    :: break
    od;
    ended++
}

init {
    atomic {
        run other(OWNER + 1);
        if
        :: OTHERS == 2 -> run other(OWNER + 2)
        :: else
        fi
    }
}
