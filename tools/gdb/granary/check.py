"""check.py - every invariant of kernel/memory.c walked from outside, in kernel/inspect/heapcheck.c's words and order.

Bounded like that one: no loop goes on for longer than a pool has frames, no pointer is followed that was not
compared first. What cannot be read at all ends the walk with a line of its own.
"""

from granary import model
from granary.memory import Unreadable


class Check:
    def __init__(self, heap):
        self.heap = heap
        self.lines = []
        self.with_room = {}

    def complain(self, invariant, what, at):
        self.lines.append(f"heap check: {invariant} broken: {what} ({at})")

    def require(self, condition, invariant, what, at):
        if not condition:
            self.complain(invariant, what, at)

    # ---- F1 .. F4: the pools' runs ---------------------------------------------------------------

    def run(self, pool, at, was_free):
        """The run that starts at `at`: (records to go on by, is it free, frames of it that are free)."""
        tags = pool.tags()
        tag, length = tags[at], model.run_length(tags[at])
        if tag == 0:  # a hole of the memory map: belongs to nobody
            return 1, False, 0
        if length == 0 or length > pool.frames - at:
            self.complain("F1", "a run leaves its pool, frame", at)
            return 1, was_free, 0
        is_free = tag & model.FRAME_FREE != 0
        if is_free:
            self.require(not was_free, "F2", "two free runs touch at frame", at)
            self.require(tags[at + length - 1] == tag, "F1", "last tag differs, frame", at)
        inner_end = at + (length - 1 if is_free else length)
        if any(tags[at + 1:inner_end]):
            for inner in range(at + 1, inner_end):
                self.require(tags[inner] == 0, "F1", "a tag inside a run, frame", inner)
        return length, is_free, length if is_free else 0

    @staticmethod
    def tail_valid(pool, tail):
        if not pool.frame <= tail < pool.end:
            return False
        tag = pool.record_at(tail)["run"]
        return tag & model.FRAME_FREE and model.run_length(tag) <= pool.index(tail) + 1

    def bin(self, pool, number):
        """F3 for one bin; the frames of all runs in it."""
        link = pool.address + pool.view.layout["bin"] + 4 * number
        frames = steps = 0
        tail = pool.bin[number]
        while tail:
            steps += 1
            if not self.tail_valid(pool, tail) or steps > pool.frames:
                self.complain("F3", "a bin's list is not sound, bin", number)
                return frames
            record = pool.record_at(tail)
            self.require(record["link"] == link, "F3", "a link back is wrong, bin", number)
            length = model.run_length(record["run"])
            right = record["bin"] == number and length and model.bin_of(length) == number
            self.require(right, "F3", "a run in the wrong bin, of frames", length)
            frames += length
            link = tail + pool.record["next"]
            tail = record["next"]
        return frames

    def bins(self, pool):
        frames = 0
        for number in range(model.POOL_BINS):
            bit = pool.nonempty[number // 32] >> number % 32 & 1
            self.require(bool(bit) == bool(pool.bin[number]), "F3", "nonempty's bit for bin", number)
            frames += self.bin(pool, number)
        for word in range(model.POOL_BINS // 32):
            bit = pool.words >> word & 1
            self.require(bool(bit) == bool(pool.nonempty[word]), "F3", "words' bit for word", word)
        return frames

    def pool(self, pool):
        at = free = 0
        was_free = False
        pool.tags()
        while at < pool.frames:
            step, was_free, more = self.run(pool, at, was_free)
            at += step
            free += more
        self.require(free == pool.free, "F4", "free frames counted", free)
        self.require(self.bins(pool) == free, "F3", "a free run is in no bin; free frames", free)

    # ---- A1 .. A6: arenas ------------------------------------------------------------------------

    def map(self, arena, desc, frame):
        """A3 for a small arena whose seal is right."""
        self.require(arena.carved <= desc.blocks_per_arena, "A3", "carved past the end, frame", frame)
        free = arena.map_count() + desc.blocks_per_arena - arena.carved
        self.require(free == arena.cnt, "A3", "cnt is not the free blocks, frame", frame)
        for block in range(arena.carved, model.ARENA_BLOCKS_MAX):
            self.require(not arena.block_free(block), "A3", "a bit at or above carved, frame", frame)
        for word in range(model.ARENA_WORDS):
            room = arena.room >> word & 1
            self.require(room or arena.map[word] == 0, "A3", "room's bit is missing, frame", frame)

    def list(self, desc):
        """A4: a descriptor's list holds arenas of its own with room, as many as there are."""
        heap, before, count, at = self.heap, desc.list, 0, desc.first
        records_end = heap.arena + heap.frames * heap.arena_layout.size
        while at != desc.list:
            count += 1
            arena = heap.arena_at(at) if heap.arena <= at < records_end else None
            if arena is None or arena.elem_prev != before or count > heap.frames:
                self.complain("A4", "a free list is not sound, block size", desc.block_size)
                return
            belongs = arena.desc == desc.address and arena.cnt != 0
            self.require(belongs, "A4", "a stranger in the free list, block size", desc.block_size)
            before, at = at, arena.elem_next
        full = desc.end_desc == desc.end_head == desc.end_room == 0
        self.require(full, "A4", "the list's end is written to, block size", desc.block_size)
        self.require(count == self.with_room.get(desc.address, 0), "A4", "arenas in the free list, block size",
                     desc.block_size)

    def arena(self, arena, frame):
        """A record that starts an arena or large area. Returns the frames it holds."""
        desc = self.heap.desc_at.get(arena.desc)
        if not arena.sealed() or not (arena.large or desc):
            self.complain("A2", "the seal is wrong, frame", frame)
            return 1
        frames = arena.cnt if arena.large else desc.frames_per_arena
        tags = self.heap.pools[0].tags()
        tag = tags[frame] if frame < len(tags) else 0
        self.require(tag == model.FRAME_USED | frames, "A1", "the frames' run, frame", frame)
        self.require(arena.base == model.HEAP_BASE + (frame << model.PG_SHIFT), "A1", "base, frame", frame)
        if arena.large:
            return frames
        self.map(arena, desc, frame)
        if arena.cnt:
            self.with_room[desc.address] = self.with_room.get(desc.address, 0) + 1
        empty = arena.cnt == desc.blocks_per_arena
        self.require(not empty or desc.reserve == arena.address, "A5", "an empty arena too many, frame", frame)
        return frames

    def blank(self, arena, into, small, frame):
        """A6: the record of a frame that starts nothing, `into` frames behind the start of what holds it."""
        back = 0
        if arena is not None:
            back = arena.back
            blank = not (arena.desc or arena.head or arena.seal or arena.carved or arena.base or arena.room
                         or any(arena.map))
            self.require(blank, "A6", "a record that should be blank, frame", frame)
        wanted = into * self.heap.arena_layout.size if small else 0
        self.require(back == wanted, "A6", "back, frame", frame)

    def arenas(self):
        heap, records, frame = self.heap, self.heap.records(), 0
        small = large = 0
        while frame < heap.frames:
            arena = records[frame]
            if arena is None or (not arena.desc and not arena.large):
                self.blank(arena, 0, False, frame)
                frame += 1
                continue
            held = self.arena(arena, frame)
            if held > heap.frames - frame:
                held = 1
            for i in range(1, held):
                self.blank(records[frame + i], i, not arena.large, frame + i)
            small, large = (small, large + held) if arena.large else (small + held, large)
            frame += max(held, 1)
        self.require(small == heap.small_frames, "A1", "frames in small arenas", small)
        self.require(large == heap.large_frames, "A1", "frames in large areas", large)
        for desc in heap.descs:
            self.list(desc)


def check(heap):
    """One line for each place where an invariant does not hold: none for a sound heap."""
    walk = Check(heap)
    for steps in ([lambda pool=pool: walk.pool(pool) for pool in heap.pools] + [walk.arenas]):
        try:
            steps()
        except Unreadable as error:
            walk.lines.append(f"heap check: a pointer is wild: {error}")
    return walk.lines
