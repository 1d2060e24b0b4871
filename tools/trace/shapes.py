"""shapes.py - traces that no program has made: each shape asks one question of a heap.

A shape is a function of a Heap that allocates and frees for ever; the Heap ends it after as many operations as the user
wants. `live` is about how many blocks a shape keeps; every shape has a default of its own.

Invariant: shape, operations, seed and live give the same trace, everywhere and for ever. Dice is all the chance there
is: random.random() and its kin may change between versions of Python, getrandbits() of a seeded Random does not.

Shortcoming: sizes and lifetimes are thought up, after what programs of the kind do. For figures that are to hold for a
program, record the program.
"""

import heapq
import random
from collections import deque, namedtuple

import traceformat as fmt

KIB = 1 << 10
MIB = 1 << 20


class Full(Exception):
    """The trace has as many operations as were wanted."""


class Heap(fmt.Builder):
    """A trace in the making that ends, by Full, after `limit` operations."""

    def __init__(self, limit):
        super().__init__()
        self.limit = limit

    def _add(self, kind, slot, size):
        if len(self.words) >= 2 * self.limit:
            raise Full
        super()._add(kind, slot, size)


class Dice:
    """Whole numbers by chance, the same ones for the same seed."""

    def __init__(self, seed):
        self.bits = random.Random(seed).getrandbits

    def below(self, n):
        return self.bits(32) * n >> 32

    def between(self, low, high):
        """Both ends included."""
        return low + self.below(high - low + 1)

    def one_in(self, n):
        return self.below(n) == 0

    def scaled(self, low, high):
        """As many numbers between 16 and 32 as between 32 and 64, and so on: as programs' sizes are."""
        doublings = (high // low).bit_length() - 1
        start = low << self.below(doublings + 1)
        return min(self.between(start, 2 * start - 1), high)


# A kernel's objects: bytes (a pair: from, to), how many in a hundred requests, how many requests they live, and whether
# they are asked for cleared.
Object = namedtuple("Object", "size share life cleared")
KERNEL_OBJECTS = (
    Object((16, 64), 22, 30, False),         # names, arguments, short strings
    Object((32, 32), 14, 200, False),        # list nodes, semaphores
    Object((56, 56), 12, 2000, False),       # timers, work items
    Object((192, 192), 14, 8000, False),     # directory entries
    Object((232, 232), 12, 40, True),        # headers of network buffers
    Object((256, 256), 8, 1500, True),       # open files
    Object((600, 600), 7, 8000, True),       # inodes
    Object((1536, 1536), 4, 40, False),      # packets
    Object((1728, 1728), 2, 5000, True),     # tasks
    Object((4096, 4096), 3, 300, False),     # pages for pipes and tables
    Object((8192, 65536), 2, 20, False),     # buffers of drivers
)


def kernel(heap, dice, live):
    """Objects of fixed kinds, some of which live long: `live` scales how long."""
    pick = [kind for kind in KERNEL_OBJECTS for _ in range(kind.share)]
    deaths = []  # (time, slot)
    time = 0
    while True:
        time += 1
        while deaths and deaths[0][0] <= time:
            heap.free(heapq.heappop(deaths)[1])
        kind = pick[dice.below(len(pick))]
        slot = heap.malloc(dice.between(*kind.size), fmt.CALLOC if kind.cleared else fmt.MALLOC)
        # A name is sometimes made longer.
        if kind.size[0] < 32 and dice.one_in(8):
            heap.realloc(slot, dice.between(64, 128))
        life = kind.life * live // 2500
        heapq.heappush(deaths, (time + 1 + dice.below(2 * life + 1), slot))


def larson(heap, dice, live):
    """A server: ten threads, each with an array of blocks it replaces; now and then all of a thread's go."""
    arrays = [[heap.malloc(dice.scaled(16, 1000)) for _ in range(max(1, live // 10))] for _ in range(10)]
    while True:
        array = arrays[dice.below(10)]
        for _ in range(50):
            at = dice.below(len(array))
            heap.free(array[at])
            array[at] = heap.malloc(dice.scaled(16, 1000))
        if dice.one_in(50):
            for slot in array:
                heap.free(slot)
            array[:] = [heap.malloc(dice.scaled(16, 1000)) for _ in array]


def ramp(heap, dice, live):
    """Up to `live` blocks, and down to none, again and again: is everything given back in between?"""
    while True:
        slots = [heap.malloc(dice.scaled(16, 2000)) for _ in range(live)]
        for slot in slots:
            heap.free(slot)


def replace(heap, dice, live):
    """`live` blocks of 1 to 1,024 bytes; a random one is freed, a new one taken."""
    slots = [heap.malloc(dice.between(1, 1024)) for _ in range(live)]
    while True:
        at = dice.below(live)
        heap.free(slots[at])
        slots[at] = heap.malloc(dice.between(1, 1024))


def fifo(heap, dice, live):
    """A queue whose length swings: what came first goes first."""
    queue = deque()
    while True:
        for _ in range(dice.between(1, live)):
            if len(queue) >= live:
                break
            queue.append(heap.malloc(dice.scaled(32, 1500)))
        for _ in range(dice.between(1, live)):
            if not queue:
                break
            heap.free(queue.popleft())


def lifo(heap, dice, live):
    """A stack: what came last goes first, as in a parser."""
    stack = []
    while True:
        for _ in range(dice.between(1, max(1, live // 2))):
            if len(stack) >= live:
                break
            stack.append(heap.malloc(dice.scaled(16, 500)))
        for _ in range(dice.between(1, max(1, live // 2))):
            if not stack:
                break
            heap.free(stack.pop())


def large(heap, dice, live):
    """Areas of 4 KiB to 1 MiB: whole frames, where the search for a run of them counts."""
    slots = []
    while True:
        if len(slots) < live and not dice.one_in(3):
            slots.append(heap.malloc(dice.scaled(4 * KIB, MIB)))
        elif slots:
            at = dice.below(len(slots))
            slots[at], slots[-1] = slots[-1], slots[at]
            heap.free(slots.pop())


def grow(heap, dice, live):
    """Buffers that grow by realloc, by half or by a little, with small blocks in the way; then they go."""
    while True:
        buffers = [(heap.malloc(16), 16) for _ in range(live)]
        nodes = []
        while buffers:
            at = dice.below(len(buffers))
            slot, size = buffers[at]
            size = size + 64 if dice.one_in(3) else size * 3 // 2
            if size > 64 * KIB or dice.one_in(40):
                heap.free(slot)
                buffers[at] = buffers[-1]
                buffers.pop()
            else:
                heap.realloc(slot, size)
                buffers[at] = slot, size
            nodes.append(heap.calloc(dice.scaled(16, 128)))
        for slot in nodes:
            heap.free(slot)


def fragment(heap, dice, live):
    """`live` blocks, every second one freed, then blocks that are larger than the holes."""
    while True:
        size = dice.scaled(16, 512)
        slots = [heap.malloc(size) for _ in range(live)]
        for slot in slots[::2]:
            heap.free(slot)
        larger = [heap.malloc(dice.between(size + 1, 3 * size)) for _ in range(live // 2)]
        for slot in slots[1::2] + larger[::2]:
            heap.free(slot)
        for slot in larger[1::2]:
            heap.free(slot)


Shape = namedtuple("Shape", "make live")
SHAPES = {make.__name__: Shape(make, live) for make, live in (
    (kernel, 2500), (larson, 5000), (ramp, 4000), (replace, 10000), (fifo, 2000), (lifo, 2000), (large, 40),
    (grow, 40), (fragment, 4000))}


def generate(name, operations, seed, live=None):
    """The trace of a shape."""
    shape = SHAPES[name]
    heap = Heap(operations)
    try:
        shape.make(heap, Dice(seed), live or shape.live)
    except Full:
        pass
    return heap.trace()
