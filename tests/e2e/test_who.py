"""`who ADDRESS` answers for every address, and GDB's `heap who` says the same of the stopped machine."""

import random
import re

import pytest

from conftest import E2E
from gdb_session import Session

KERNEL_BASE, HEAP_BASE, STACK_BASE, STACK_END = 0x80000000, 0x88000000, 0xf8000000, 0xf8800000
VIDEO_TEXT = 0xb8000


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """A kernel at its prompt, with GDB on it."""
    one = Session(str(tmp_path_factory.mktemp("who")), E2E, "demo=no", typing=True)
    one.go()
    yield one
    one.close()


def values(kernel, *expressions):
    """Addresses, by GDB. The machine has answered since it was last stopped, so it runs."""
    kernel.interrupt()
    said = [kernel.do(f"output/d (unsigned int)({expression})\necho \\n")[-1] for expression in expressions]
    kernel.send("continue")
    return [int(number) & 0xffffffff for number in said]


def ask(kernel, address):
    """The prompt's sentence."""
    lines = [line for line in kernel.type(f"who {address:#x}") if line.startswith("0x")]
    assert len(lines) == 1 and lines[0].startswith(f"0x{address:08x}: "), lines
    return lines[0].split(": ", 1)[1]


def pointer_of(kernel, command):
    return int(re.search(r"0x[0-9a-f]{8}", "\n".join(kernel.type(command)))[0], 16)


@pytest.mark.parametrize("place, says", [
    ("sys_malloc", r"kernel code, sys_malloc\+0"),
    ("(char *)sys_malloc + 5", r"kernel code, sys_malloc\+0x5"),
    ("&k_heap.frames", r"kernel data, k_heap\+0x8"),
    ("&mem_pool[1]", r"kernel constants, mem_pool\+0x4"),
    ("mem_pool[1]", r"kernel data, user_pool\+0"),
    ("shell_commands", r"kernel constants, shell_commands\+0"),
    ("mem_pool[0]->name", "kernel constants without a name"),  # the text of a string
    ("(char *)&k_heap.block_descs[1] + 6", "byte 6 of the descriptor of 32-byte blocks"),
    ("&mem_pool[0]->frame[7]", "the frame record of kernel_pool frame 7"),
    ("(char *)&mem_pool[1]->frame[9] + 3", "byte 3 of the frame record of user_pool frame 9"),
    ("(char *)&k_heap.arena[1000] + 12", "byte 12 of the arena record of kernel_pool frame 1000"),
    ("k_heap.block_descs[3].free_list.head.next",
     r"the arena record of kernel_pool frame \d+: the 128-byte arena 0x88\w{6}"),
    ("(char *)directory_pa + 0x80000000", "entry 0 of the page directory: from 0x00000000"),
    ("(char *)directory_pa + 0x80001010", r"entry 4 of the page table from 0x80000000: page 0x80004000"),
    ("(char *)boot_stack_guard + 4", "the guard page below the stack of thread main, not mapped"),
    ("(char *)boot_stack_top - 64", "64 bytes below the top of the stack of thread main"),
])
def test_what_has_a_name(kernel, place, says):
    assert re.fullmatch(says, ask(kernel, *values(kernel, place)))


@pytest.mark.parametrize("address, says", [
    (0, "the null page, not mapped; as a physical address, real mode's interrupt vectors"),
    (0x450, "the null page, not mapped; as a physical address, byte 80 of the BIOS's data area"),
    (0xb00, "the null page, not mapped; as a physical address, the total memory in bytes"),
    (VIDEO_TEXT, "user half, not mapped; as a physical address, VGA text screen, row 0, column 0, its character"),
    (0xf0000, "user half, not mapped; as a physical address, ROMs and the BIOS"),
    (0x7fffffff, "user half, not mapped; as a physical address, no memory"),
    (KERNEL_BASE + 0x510, r"byte 16 of the boot information \(struct boot_info\)"),
    (KERNEL_BASE + 0x1018, "byte 24 of the firmware's memory map"),
    (KERNEL_BASE + 0x2000, "the command line"),
    (KERNEL_BASE + VIDEO_TEXT + 2 * (3 * 80 + 7) + 1, "VGA text screen, row 3, column 7, its colours"),
    (KERNEL_BASE + 0xbffff, "video memory that is not on the text screen"),
    (KERNEL_BASE + 0xc0000, "ROMs and the BIOS, not mapped"),
    (HEAP_BASE - 1, "no memory, not mapped"),
    (HEAP_BASE + 0xb0000, "kernel_pool frame 176, no memory: a hole of the memory map, not mapped"),
    (STACK_BASE - 1, "the heap window, beyond the frames of kernel_pool, not mapped"),
    (STACK_BASE + 5, "the guard page below the stack of thread idle, not mapped"),
    (STACK_BASE + 0x4000 - 16, "16 bytes below the top of the stack of thread idle"),
    (STACK_END - 1, "a place for a stack that no thread has, not mapped"),
    (STACK_END, "beyond the kernel's windows, not mapped"),
    (0xffffffff, "beyond the kernel's windows, not mapped"),
])
def test_every_window_has_its_words(kernel, address, says):
    assert re.fullmatch(says, ask(kernel, address))


def test_a_stacks_frame_in_the_heap_window(kernel):
    """The idle thread's stack is three frames of the pool, which nothing else has."""
    held = [ask(kernel, HEAP_BASE + frame * 4096) for frame in range(32)]
    idle = [said for said in held if said.endswith("held outside the heap: the stack of thread idle")]
    assert len(idle) == 3 and len([said for said in held if "held outside" in said]) == 3


def test_pool_memory_by_its_physical_address(kernel):
    """A frame of the kernel pool is told like its address in the window; one of the user pool has no other."""
    pointer = pointer_of(kernel, "malloc 5000")
    first, user = values(kernel, "mem_pool[0]->phys", "mem_pool[1]->phys")
    physical = pointer - HEAP_BASE + first
    assert ask(kernel, physical) == (f"user half, not mapped; as a physical address, at 0x{pointer:08x}: " +
                                     ask(kernel, pointer))
    assert "large area" in ask(kernel, pointer)
    kernel.type(f"free 0x{pointer:08x}")
    assert ask(kernel, user + 3 * 4096).endswith("as a physical address, user_pool frame 3, not handed out")


def addresses(kernel):
    """Edges of all that has edges, and random places in and between: the same in every run."""
    chance = random.Random(13)
    edges = [0, 0x1000, KERNEL_BASE, HEAP_BASE, STACK_BASE, STACK_END]
    edges += values(kernel, "kernel_start", "kernel_text_end", "kernel_rodata_end", "kernel_end", "k_heap.arena",
                    "k_heap.arena + k_heap.frames", "mem_pool[0]->frame", "mem_pool[0]->end", "mem_pool[1]->end",
                    f"{HEAP_BASE} + k_heap.frames * 4096")
    found = [edge + step & 0xffffffff for edge in edges for step in (-4096, -1, 0, 1, 4095)]
    for low, high in ((0, 0xffffffff), (0, 0x2000000), (KERNEL_BASE, KERNEL_BASE + 0x200000),
                      (HEAP_BASE, HEAP_BASE + 0x20000), (HEAP_BASE, HEAP_BASE + 0x1100000),
                      (STACK_BASE, STACK_BASE + 0x8000)):
        found += [chance.randint(low, high) for _ in range(40)]
    return found


def test_gdb_says_the_same_of_every_address(kernel):
    """Blocks live, freed, and of large areas; and 320 addresses at the edges and by chance."""
    pointers = [pointer_of(kernel, f"malloc {size}") for size in (24, 100, 1000, 9000)]
    kernel.type(f"free 0x{pointers[1]:08x}")
    wanted = sorted(set(addresses(kernel) + pointers + [pointer + 9 for pointer in pointers]))
    said = {address: ask(kernel, address) for address in wanted}
    kernel.interrupt()
    differ = [(address, sentence, mine) for address, sentence in said.items()
              if (mine := kernel.do(f"heap who {address}")) != [f"0x{address:08x}: {sentence}"]]
    kernel.send("continue")
    assert not differ and len(wanted) > 300
    assert len({re.sub(r"0x\w+|\d+", "", sentence) for sentence in said.values()}) > 20  # kinds of answers
