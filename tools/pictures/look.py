"""look.py - runs inside GDB: takes a running kernel to a moment, and writes what memory holds then as JSON.

    gdb -batch -nx -x look.py kernel.elf        with LOOK_SOCKET, LOOK_SCENE, LOOK_OUT in the environment

Why through GDB: it reads the kernel's debug information, so no offset of a field is typed here, and a structure that is
changed is read as changed. Memory is read through QEMU's stub while the machine is stopped. QEMU counts
instructions for time (-icount), so a scene is the same in every run; what is stopped at is a function's first
instruction, where the arguments lie on the stack by the ABI, whatever the compiler does with them later.

A scene is a function of this file that returns what is to be written. Its caller is tools/pictures/booted.py.
"""

import json
import os
import struct
import sys

import gdb

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "gdb"))
sys.dont_write_bytecode = True

from granary.memory import read as memory  # noqa: E402 (the line above makes it findable)

PG_SIZE = 4096
KERNEL_BASE = 0x80000000  # kernel/layout.h; a macro, so not in the debug information
HEAP_BASE = 0x88000000
FRAME_FREE, FRAME_USED, FRAME_LENGTH = 0x80000000, 0x40000000, 0x00ffffff
EFLAGS_IF = 0x200
HISTOGRAM_MAX = 65536  # kernel/measure/replay.c: costs above it are counted in the last one
STEPS_MAX = 2000  # instructions of one call: more is no call that should be drawn


# ---- reading ------------------------------------------------------------------------------------

def words(address, count):
    return struct.unpack(f"<{count}I", memory(address, 4 * count))


def number(expression):
    return int(gdb.parse_and_eval(expression)) & 0xffffffffffffffff


def text(expression):
    return gdb.parse_and_eval(expression).string()


def offset(kind, field):
    return number(f"(unsigned)&((struct {kind} *)0)->{field}")


def argument(place=0):
    """A function's argument, at its first instruction: above the return address."""
    return words(number("$esp") + 4 + 4 * place, 1)[0]


# ---- the heap -----------------------------------------------------------------------------------

def record(frame):
    """struct arena of one frame, with what its descriptor says."""
    at = f"k_heap.arena[{frame}]"
    fields = ("cnt", "large", "carved", "seal", "base", "map_words", "desc")
    found = {field: number(f"{at}.{field}") for field in fields}
    found["map"] = [number(f"{at}.map[{i}]") for i in range(number(f"sizeof {at}.map / sizeof {at}.map[0]"))]
    found["frame"] = frame
    found["address"] = number(f"&{at}")
    if found["desc"]:
        for field in ("block_size", "blocks_per_arena", "frames_per_arena"):
            found[field] = number(f"{at}.desc->{field}")
    return found


def runs(pool):
    """[(first frame, length, free?, bin of a free one)] of a pool; frames that are no memory are in no run."""
    size, run, in_bin = number("sizeof(struct frame)"), offset("frame", "run"), offset("frame", "bin")
    frames = number(f"mem_pool[{pool}]->frames")
    raw = memory(number(f"mem_pool[{pool}]->frame"), frames * size)
    found, frame = [], 0
    while frame < frames:
        tag = struct.unpack_from("<I", raw, frame * size + run)[0]
        if tag & (FRAME_FREE | FRAME_USED):
            length, free = tag & FRAME_LENGTH, bool(tag & FRAME_FREE)
            tail = struct.unpack_from("<I", raw, (frame + length - 1) * size + in_bin)[0]
            found.append((frame, length, free, tail if free else None))
            frame += length
        else:
            frame += 1
    return found


def pools():
    return [{"name": text(f"mem_pool[{i}]->name"), "phys": number(f"mem_pool[{i}]->phys"), "runs": runs(i),
             **{field: number(f"mem_pool[{i}]->{field}") for field in ("frames", "usable", "free")}} for i in range(2)]


def arenas(kernel_pool):
    """The records of all runs that are arenas or large areas; the others are held outside the heap."""
    found = []
    for frame, length, free, _ in kernel_pool["runs"]:
        if not free and number(f"k_heap.arena[{frame}].seal"):
            found.append(dict(record(frame), frames=length))
    return found


# ---- page tables --------------------------------------------------------------------------------

def page_tables():
    """Everything mapped, as [(virtual, physical, pages, flags)] of pages that follow each other in both."""
    directory, found = number("directory_pa"), []
    for slot, entry in enumerate(words(KERNEL_BASE + directory, 1024)):
        if not entry & 1:
            continue
        for page, low in enumerate(words(KERNEL_BASE + (entry & ~0xfff), 1024)):
            if not low & 1:
                continue
            virtual, physical, flags = (slot << 22) + page * PG_SIZE, low & ~0xfff, low & 0x1f
            if found and found[-1][3] == flags and found[-1][0] + found[-1][2] * PG_SIZE == virtual \
                    and found[-1][1] + found[-1][2] * PG_SIZE == physical:
                found[-1][2] += 1
            else:
                found.append([virtual, physical, 1, flags])
    return {"directory": directory, "mapped": found}


def walk(address):
    """The way of the processor from an address to its byte: both entries as they are."""
    directory = number("directory_pa")
    upper = words(KERNEL_BASE + directory + 4 * (address >> 22), 1)[0]
    lower = words(KERNEL_BASE + (upper & ~0xfff) + 4 * (address >> 12 & 0x3ff), 1)[0]
    return {"address": address, "cr3": directory, "directory_entry": upper, "table_entry": lower}


def plan():
    """kernel/memory_plan.c's result, and the ends of the kernel's image."""
    at = "'kernel/main.c'::plan"
    ends = ("kernel_start", "kernel_text_end", "kernel_rodata_end", "kernel_end")
    return {"tables": number(f"{at}.tables"), "table_count": number(f"{at}.table_count"),
            "early_end": number(f"{at}.early_end"),
            "pool": [{field: number(f"{at}.pool[{i}].{field}") for field in
                      ("start", "frames", "usable", "frame_records")} for i in range(2)],
            "arena_records": number(f"{at}.pool[0].arena_records"),
            "usable": [[number(f"usable_map.range[{i}].{end}") for end in ("start", "end")]
                       for i in range(number("usable_map.count"))],
            "image": {name: number(f"(unsigned)&{name}") - KERNEL_BASE for name in ends}}


# ---- moments ------------------------------------------------------------------------------------

def go_on(place):
    try:
        gdb.execute("continue", to_string=True)
    except gdb.error:
        raise gdb.GdbError(f"the machine ended before it came to {place}") from None


def run_to(place, hits=1):
    """Goes on to an address or a function's first instruction, the hits-th time it is reached."""
    stop = gdb.Breakpoint(f"*{place}", internal=True)
    stop.ignore_count = hits - 1
    go_on(place)
    stop.delete()


class StopIf(gdb.Breakpoint):
    """Stops at a function's first instruction when `wanted` says so."""

    def __init__(self, place, wanted):
        super().__init__(f"*{place}", internal=True)
        self.wanted = wanted

    def stop(self):
        return self.wanted()


def run_until(place, wanted):
    stop = StopIf(place, wanted)
    go_on(place)
    stop.delete()


def one_call():
    """Every instruction from a function's first to its return: [(function, line, interrupts on)]. GDB steps without
    interrupts, so nothing comes in between. `function` is the one that the compiler may have inlined."""
    back, stack = words(number("$esp"), 1)[0], number("$esp")
    steps = []
    while number("$eip") != back or number("$esp") <= stack:
        frame = gdb.selected_frame()
        steps.append([frame.name(), frame.find_sal().line, bool(number("$eflags") & EFLAGS_IF)])
        if len(steps) > STEPS_MAX:
            raise gdb.GdbError("a call that does not come back")
        gdb.execute("stepi", to_string=True)
    return steps


# ---- scenes -------------------------------------------------------------------------------------

def is_mixed(address, block_size):
    """True if the arena of a pointer has blocks of all three states: live, come back, never carved."""
    if not HEAP_BASE <= address < HEAP_BASE + number("k_heap.frames") * PG_SIZE:
        return False
    found = record((address - HEAP_BASE) // PG_SIZE)
    if found.get("block_size") != block_size:
        return False
    home = sum(bits.bit_count() for bits in found["map"])
    return found["carved"] - home >= 6 and home >= 5 and found["blocks_per_arena"] - found["carved"] >= 5


def block_before_and_after():
    """A free in an arena of 128-byte blocks: its record before, the call, its record after."""
    run_until("sys_free", lambda: is_mixed(argument(), 128))
    address = argument()
    frame = (address - HEAP_BASE) // PG_SIZE
    before = record(frame)
    steps = one_call()
    return {"pointer": address, "before": before, "free": steps, "after": record(frame)}


def scene_demo():
    """The demonstration: its heap at work, then one free and one malloc of its second half."""
    run_to("heap_desc_state")
    run_to("heap_desc_state", number("k_heap.desc_count"))  # the first of the second table: all hold their blocks
    found = {"plan": plan(), "pools": pools()}
    found["arenas"] = arenas(found["pools"][0])
    found["pages"] = page_tables()
    found["call"] = block_before_and_after()
    found["walk"] = walk(found["call"]["pointer"])
    run_until("sys_malloc", lambda: 64 < argument() <= 128)
    found["size"] = argument()
    found["malloc"] = one_call()
    return found


def user_pages():
    """[[address, frame of the user pool, flags]] of the running program, rising."""
    window, pool, found = HEAP_BASE - number("k_heap.pool.phys"), number("mem_pool[1]->phys"), []
    directory = words(number("process_running->space.view"), KERNEL_BASE >> 22)
    for slot, entry in enumerate(directory):
        for page, low in enumerate(words(window + (entry & ~0xfff), 1024) if entry & 1 else ()):
            if low & 1:
                found.append([(slot << 22) + page * PG_SIZE, ((low & ~0xfff) - pool) // PG_SIZE, low & 7])
    return found


def user_arenas():
    """[[first frame of the window, large?, block size, frames]] of the running program's heap."""
    heap, found = "process_running->heap->heap", []
    for frame in range(number(f"{heap}.frames")):
        at = f"{heap}.arena[{frame}]"
        if not number(f"{at}.seal"):
            continue
        large = number(f"{at}.large")
        found.append([frame, bool(large), 0 if large else number(f"{at}.desc->block_size"),
                      number(f"{at}.cnt") if large else number(f"{at}.desc->frames_per_arena")])
    return found


def scene_space():
    """The program of the command line, when it makes a block larger for the second time."""
    run_to("user_realloc", 2)
    return {"name": text("process_running->name"), "count": number("process_running->space.pages"),
            "limit": number("process_running->space.limit"), "records": number("process_running->heap"),
            "pages": user_pages(), "arenas": user_arenas()}


def owner_of(desc):
    """The number of the processor whose own the descriptor is, or None: the heap's."""
    for processor in range(number("processors_online")):
        if 0 <= desc - number(f"'kernel/local.c'::descs[{processor}]") < PG_SIZE:
            return processor
    return None


def scene_two():
    """A block of processor 0's, freed on processor 1: its record before, with the arena moved, and with the free done.
    At the first two the running processor is 1; its own seal is read there."""
    run_to("scene_free_there")
    run_to("local_ask")
    pointer, seal, found = argument(), number("local_seal"), []
    for place in (None, "local_share", "scene_end"):
        if place:
            run_to(place)
        found.append(record((pointer - HEAP_BASE) // PG_SIZE))
        found[-1]["owner"] = owner_of(found[-1]["desc"])
    return {"pointer": pointer, "seal": seal, "records": found}


def scene_replay():
    """A trace, after the pass that measures: how many calls cost how many instructions."""
    run_to("irqwatch_start")  # the next pass begins
    counts = words(number("histogram"), HISTOGRAM_MAX)
    return {"calls": [[cost, count] for cost, count in enumerate(counts) if count]}


def main():
    gdb.execute("set pagination off")
    gdb.execute("set confirm off")
    gdb.execute(f"target remote {os.environ['LOOK_SOCKET']}", to_string=True)
    found = globals()["scene_" + os.environ["LOOK_SCENE"]]()
    with open(os.environ["LOOK_OUT"], "w", encoding="utf-8") as out:
        json.dump(found, out, indent=1)
    try:
        gdb.execute("kill", to_string=True)
    except gdb.error:
        pass  # QEMU has ended, as it should: GDB 16 takes the closed connection for an error


main()
