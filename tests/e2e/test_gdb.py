"""The heap commands in GDB (tools/gdb): on a live kernel, on a broken heap, on one that hangs.

What the kernel can say itself, it is made to say as well, and the two must agree word for word: the sentence of
`who`, heap_check()'s lines, the demonstration's table.
"""

import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as xml

import pytest

from conftest import E2E, ROOT
from gdb_session import EXTENSION, Session, lines_of
from run import LAST_PANIC, QEMU_EXIT

PROGRAMS = " ".join(sorted(name[:-2] for name in os.listdir(os.path.join(ROOT, "user")) if name.endswith(".c")))
SIZES = (16, 32, 64, 128, 256, 512, 1024)


@pytest.fixture
def session(tmp_path):
    """session(args): a kernel of its own in GDB, before its first instruction."""
    made = []

    def start(args, build=E2E, typing=False):
        made.append(Session(str(tmp_path), build, args, typing))
        return made[-1]
    yield start
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demonstration at work: every thread holds its blocks. Tests leave it as they found it."""
    one = Session(str(tmp_path_factory.mktemp("demo")), E2E, "batch")
    one.stop_at("workers_end")
    yield one
    one.close()


def value(session, expression):
    return int(session.do(f"output/d (unsigned int)({expression})\necho \\n")[-1]) & 0xffffffff


def one_line(lines):
    assert len(lines) == 1, lines
    assert "Traceback" not in lines[0] and "Python" not in lines[0], lines
    return lines[0]


# ---- programs -------------------------------------------------------------------------------------------------------

def test_a_programs_heap_is_what_the_prompt_says(session):
    """Of a program that sleeps; the commands of GDB and of the prompt agree."""
    one = session("demo=no", typing=True)
    one.go()
    pid = int(re.search(r"pid (\d+)", "\n".join(one.type("run spin sleeping &")))[1])
    one.type("run cat motd")  # by then it has its block
    said = {line: one.type(line)[:-1] for line in (f"heap {pid}", f"descs {pid}", f"leaks {pid}", f"map of {pid}",
                                                   f"who 0x10000004 {pid}")}
    one.interrupt()
    plain = {line: [re.sub(r"\033\[[0-9;]*[A-Za-z]", "", text) for text in lines] for line, lines in said.items()}
    assert one.do(f"heap {pid}") == plain[f"heap {pid}"]
    assert one.do(f"heap descs {pid}") == plain[f"descs {pid}"]
    assert one.do(f"heap leaks {pid}") == plain[f"leaks {pid}"]
    assert one.do(f"heap map of {pid}") == plain[f"map of {pid}"]
    assert one.do(f"heap who 0x10000000 + 4 of {pid}") == plain[f"who 0x10000004 {pid}"]
    assert one_line(one.do("heap 77")) == "no program with a heap has the number 77 (mem shows them)"
    assert one_line(one.do("heap who 1 of x")).endswith("x is no number of a program")


def test_symbols_of_a_program(session):
    one = session("batch demo=no run=heapdemo")
    assert one_line(one.do("program-symbols")) == "programs: " + PROGRAMS
    one.do("program-symbols hello")
    one.do("program-symbols heapdemo")  # in its place: `main` is one function
    one.do("hbreak main")
    one.send("continue")
    one.read_to("Breakpoint ", 60)
    assert any(re.search(r"#0 +main \(.*user/heapdemo\.c:\d+", line) for line in one.do("bt"))
    one.do("hbreak process_end")
    assert "process_end" in "\n".join(one.do("continue") + one.do("bt"))


# ---- a live kernel ---------------------------------------------------------------------------------

def test_heap_alone_lists_every_command(demo):
    said = "\n".join(demo.do("heap"))
    for command in ("descs", "arenas", "map", "who", "check", "leaks", "trace", "break-on"):
        assert f"\nheap {command}" in said
        assert "Usage: heap " + command in "\n".join(demo.do(f"help heap {command}"))
    assert re.search(r"^kernel_pool +\d+ frames", said)
    assert "no wrong call has been reported" in said


def test_descs_is_the_table_that_the_kernel_prints(session):
    one = session("batch")
    one.stop_at("look")  # before
    one.do("break look")
    one.do("continue")   # at work
    rows = [[int(word) for word in line.split()] for line in one.do("heap descs")[1:]]
    one.do("delete")
    one.do("continue")
    printed = [line for line in one.console() if re.match(r" +\d+ +\d+ \|", line)]
    assert [row[0] for row in rows] == list(SIZES) and len(printed) == len(SIZES)
    for row, line in zip(rows, printed):
        size_and_blocks, _, at_work, _ = (part.split() for part in line.split("|"))
        assert [str(row[0]), str(row[1])] == size_and_blocks
        arenas, live, free = (int(word) for word in at_work)
        assert row[2:] == [arenas, free, live], line


def test_arenas_hold_what_descs_counts(demo):
    """Arenas, live and free blocks of each size, summed up from the lines of the arenas."""
    for line in demo.do("heap descs")[1:]:
        size, blocks, arenas, free, live = (int(word) for word in line.split())
        found = [re.search(r"blocks: (?:(\d+) live|reserve), (\d+) free, (\d+) never handed out", line)
                 for line in demo.do(f"heap arenas {size}")[1:]]
        assert len(found) == arenas
        assert sum(int(match[1] or 0) for match in found) == live
        assert sum(int(match[2]) + int(match[3]) for match in found) == free == arenas * blocks - live
    everything = "\n".join(demo.do("heap arenas")[1:])
    assert everything.count("-byte blocks:") + everything.count("large area") == len(everything.splitlines())
    large = sum(int(count) for count in re.findall(r"large area of (\d+)", everything))
    assert large == value(demo, "k_heap.large_frames") > 0


def test_who_is_about_the_address_asked_for(demo):
    base = value(demo, "k_heap.block_descs[1].free_list.head.next ? "
                       "((struct arena *)k_heap.block_descs[1].free_list.head.next)->base : 0")
    assert demo.do(f"heap who {base + 5}") == [
        f"0x{base + 5:08x}: byte 5 of block 0 of the 32-byte arena 0x{base:08x}, kernel_pool frame "
        f"{(base - 0x88000000) >> 12}, live"]
    assert one_line(demo.do("heap who &k_heap.frames")).endswith(": kernel data, k_heap+0x8")
    assert one_line(demo.do("heap who demo_run")).endswith(": kernel code, demo_run+0")  # a function is an address
    assert re.search(r": \d+ bytes below the top of the stack of thread main$", one_line(demo.do("heap who $esp")))


def test_check_finds_the_live_heap_sound(demo):
    assert demo.do("heap check") == ["heap check: every invariant holds"]


def test_leaks_counts_every_live_block(demo):
    lines = demo.do("heap leaks")
    live = sum(int(line.split()[4]) for line in demo.do("heap descs")[1:])
    counted = sum(int(re.match(r"leaks: (\d+) block", line)[1]) for line in lines if " in blocks of " in line)
    assert counted == live > 0
    assert lines[-1] == "leaks: call sites: make run CHECK=1"
    large = next(line for line in lines if line.endswith("in large areas"))
    assert int(large.split()[3]) == 4096 * value(demo, "k_heap.large_frames")


def test_pools_agree_with_the_kernels_counts(demo):
    said = "\n".join(demo.do("pools"))
    for name, index in (("kernel_pool", 0), ("user_pool", 1)):
        usable, free = re.search(rf"{name} +(\d+) frames, +(\d+) free", said).groups()
        assert (int(usable), int(free)) == (value(demo, f"mem_pool[{index}]->usable"),
                                            value(demo, f"mem_pool[{index}]->free"))
    assert said.count(" free run") == 2


def test_threads_shows_where_each_one_sleeps(demo):
    lines = demo.do("threads")
    names = [line.split()[1] for line in lines[1:] if re.match(r" *\d+ \w", line)]
    assert names == ["main", "idle", "thread_a", "thread_b", "thread_c", "thread_d"]
    text = "\n".join(lines)
    main = text.split("   2 idle")[0]
    assert "running" in main and re.search(r"at kmain\+0x[0-9a-f]+ \[0x[0-9a-f]{8}\]  kernel/main.c:\d+", main)
    for name in names[2:]:
        own = re.search(rf"{name} .*?(?=\n +\d+ \w|\Z)", text, re.DOTALL)[0]
        assert re.search(r"at schedule\+0x", own) and re.search(r"at work\+0x\w+ .*kernel/museum/demo\.c:\d+", own), own
        assert re.search(r"at thread_begin\+0x", own)  # down to the stack's end


def cells_of(lines):
    return "".join(line[9:] for line in lines if re.match(r" *\d+ [ .#+0-9!]", line))


def test_map_has_a_cell_for_each_frame(demo):
    lines = demo.do("heap map 0")
    cells = cells_of(lines)
    assert sum(cells.count(str(eighths)) for eighths in range(9)) == value(demo, "k_heap.small_frames")
    assert cells.count("#") == value(demo, "k_heap.large_frames")
    assert cells.count("+") >= 15  # five stacks of three frames
    assert lines[0].endswith("; a cell is 1 frame") and "\033" not in "".join(lines)  # no terminal, no colours
    assert cells_of(demo.do("heap map 3 20")) == cells[3:23]
    assert cells_of(demo.do("heap map user 0 20")) == "+" * 12 + "." * 8  # four workers' runs of three


def test_map_without_a_word_is_the_prompts_picture_of_both_pools(demo):
    lines = demo.do("heap map")
    assert [line.split(":")[0] for line in lines if "; a cell is " in line] == ["kernel_pool", "user_pool"]
    assert any(re.search("[1-8#+]", line[9:]) for line in lines[1:4])


def test_map_as_a_picture(demo, tmp_path):
    path = str(tmp_path / "a map.svg")
    assert demo.do(f"heap map {path}") == [f"{path}: {value(demo, 'k_heap.frames')} frames"]
    root = xml.parse(path).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    titles = [title.text for title in root.iter("{http://www.w3.org/2000/svg}title")]
    frames = {"blocks": 0, "large area": 0, "free": 0}
    for title in titles[1:]:
        numbers = [int(word) for word in re.match(r"frames? (\d+)(?: to (\d+))?:", title).groups() if word]
        what = title.split(": ")[1].split(",")[0]
        frames[what] = frames.get(what, 0) + numbers[-1] - numbers[0] + 1
    assert frames["blocks"] == value(demo, "k_heap.small_frames")
    assert frames["large area"] == value(demo, "k_heap.large_frames")
    assert sum(frames.values()) == value(demo, "mem_pool[0]->usable")
    assert frames["free"] == value(demo, "mem_pool[0]->free")
    assert one_line(demo.do("heap map /no/such/folder/map.svg")).endswith("No such file or directory")


def test_trace_says_that_nothing_was_written_down(demo):
    assert demo.do("heap trace 4") == ["trace: no call yet: `trace on` at the kernel's prompt starts it"]


def test_the_log_can_be_kept_from_the_boot_on(session):
    """ARGS=log: `heap trace` answers in a `make debug` that nothing was typed into."""
    one = session("batch log")
    one.stop_at("workers_end")
    said = one.do("heap trace 40")
    assert len(said) >= 30  # a call that is under way is missing
    for name in ("malloc", "free"):
        place = r"by block_(take|give)\+0x[0-9a-f]+, thread \d+"
        assert any(re.fullmatch(rf"trace: \d+: {name}\(.*\).* {place}", line) for line in said), said


def test_printers_say_it_in_a_sentence_and_keep_the_fields(demo):
    said = " ".join(demo.do("print *(struct arena *)k_heap.block_descs[1].free_list.head.next"))
    assert re.search(r"= arena of 32-byte blocks at 0x[0-9a-f]{8}, \d+ of 128 live = \{.*cnt = \d+.*carved = \d+", said)
    assert "= descriptor of 64-byte blocks = {" in " ".join(demo.do("print k_heap.block_descs[2]"))
    free, usable = value(demo, "mem_pool[0]->free"), value(demo, "mem_pool[0]->usable")
    assert f"= kernel_pool: {free} of {usable} frames free" in " ".join(demo.do("print *mem_pool[0]"))
    threads = " ".join(demo.do("print all_threads"))
    assert "= list of 6 = {[0] = 0x" in threads and "<main_thread>" in threads
    assert "= list of 1 = {[0] = 0x" in " ".join(demo.do("print k_heap.block_descs[1].free_list"))


def test_nothing_is_written_and_nothing_called(demo):
    """With GDB's own locks on, every command still answers; and the machine's bytes are what they were."""
    stretches = ("mem_pool[1]", "&k_heap", "&k_heap.block_descs", "k_heap.arena", "mem_pool[0]->frame", "$esp")
    before = [demo.do(f"x/64wx {place}") for place in stretches]
    for lock in ("may-write-memory", "may-write-registers", "may-call-functions"):
        demo.do(f"set {lock} off")
    try:
        for command in ("heap", "heap descs", "heap arenas", "heap map", "heap who 0x88000000", "heap check",
                        "heap leaks", "pools", "threads"):
            said = "\n".join(demo.do(command))
            assert said and "not allowed" not in said and "Cannot" not in said, said
        assert "Cannot call functions" in one_line(demo.do("heap who heap_check()"))
        assert [demo.do(f"x/64wx {place}") for place in stretches] == before
    finally:
        for lock in ("may-write-memory", "may-write-registers", "may-call-functions"):
            demo.do(f"set {lock} on")
    assert "Cannot call functions" in one_line(demo.do("heap who heap_check()"))  # forbidden in any case


@pytest.mark.parametrize("command, line", [
    ("heap descs 1 2", "usage: heap descs [PID]"),
    ("heap who", "usage: heap who ADDR [of PID]"),
    ("heap who nothing_of_this_name", 'heap who: nothing_of_this_name: No symbol "nothing_of_this_name" in current '
                                      "context."),
    ("heap who k_heap", "heap who: k_heap: Cannot convert value to long."),
    ("heap arenas 16 32", "usage: heap arenas [SIZE]"),
    ("heap check now", "usage: heap check"),
    ("heap leaks 1 2", "usage: heap leaks [PID]"),
    ("program-symbols no-such", "program-symbols: no program is named no-such; there are " + PROGRAMS),
    ("program-symbols a b", "usage: program-symbols [NAME]"),
    ("heap break-on", "usage: heap break-on bad-free|class N|size N[-M]"),
    ("heap break-on size", "usage: heap break-on bad-free|class N|size N[-M]"),
    ("heap break-on bad-free 3", "usage: heap break-on bad-free|class N|size N[-M]"),
    ("heap break-on size 9-3", "heap break-on: no request has 9 to 3 bytes"),
    ("heap break-on size x", "heap break-on: x is no size"),
    ("heap break-on class 17", "heap break-on: no descriptor of 17-byte blocks; the sizes are 16 32 64 128 256 512 "
                               "1024"),
    ("heap nonsense", "usage: heap, or heap and a word that `heap` lists"),
    ("pools 3", "usage: pools"),
    ("threads all", "usage: threads"),
])
def test_wrong_words_give_a_line(demo, command, line):
    assert demo.do(command) == [line]


@pytest.mark.parametrize("command, lines", [
    ("heap arenas much", ["'much': not a number of 32 bits", "usage: heap arenas [SIZE]"]),
    ("heap map map.png", ["'map.png': not a number of 32 bits", "usage: heap map [[user] FROM [COUNT] | of PID]"]),
    ("heap map 1 2 3", ["'3': one word too many", "usage: heap map [[user] FROM [COUNT] | of PID]"]),
    ("heap arenas 17", ["frame  base        holds", "none"]),
])
def test_wrong_words_that_the_prompt_finds(demo, command, lines):
    assert demo.do(command) == lines


# ---- in the kernel's own words ---------------------------------------------------------------------

def test_trace_leaks_and_who_are_the_prompts(session):
    """What the kernel answers at its prompt, GDB answers of the kernel when it is stopped there."""
    one = session("demo=no", typing=True)
    one.go()
    for line in ("trace on", "malloc 24", "malloc 5000", "malloc 300", "trace off"):
        one.type(line)
    addresses = re.findall(r" = (0x88[0-9a-f]{6})", "\n".join(one.type("trace")))
    assert len(addresses) >= 3
    answers = {f"who {address}": None for address in addresses + ["0x88000007", "0x88fff000", "0x1000"]}
    answers |= {"trace": None, "leaks": None}
    for command in answers:
        answers[command] = [line for line in one.type(command) if re.match("trace:|leaks:|0x", line)]
        assert answers[command], command
    one.interrupt()
    for command, said in answers.items():
        assert one.do(f"heap {command}") == said, command


CHECKED = os.path.join(E2E, "check")


def test_who_knows_sizes_and_call_sites_in_the_checked_build(session):
    """Of a block that lives, one that waits in the quarantine, and one that was never handed out."""
    one = session("demo=no", CHECKED, typing=True)
    one.go()
    live = re.search(r"0x[0-9a-f]{8}", "\n".join(one.type("malloc 24")))[0]
    freed = re.search(r"0x[0-9a-f]{8}", "\n".join(one.type("malloc 300")))[0]
    one.type(f"free {freed}")
    answers = {address: [line for line in one.type(f"who {address}") if line.startswith("0x")]
               for address in (live, freed, f"0x{int(live, 16) + 0x800:08x}")}
    one.interrupt()
    for address, said in answers.items():
        assert one.do(f"heap who {address}") == said
    assert re.search(r", live, 24 bytes from 0x\w+ for thread main at run_malloc\+0x\w+$", answers[live][0])
    assert re.search(r"in quarantine, 300 bytes .* freed by thread main at run_free\+0x\w+$", answers[freed][0])


@pytest.mark.parametrize("test, words", [
    ("checked_overflow_heap_check", "heap check: C1 broken: written before or after a block, 0x"),
    ("checked_write_after_free_heap_check", "heap check: C2 broken: a freed block was written to, 0x"),
])
def test_check_looks_at_canaries_and_poison(session, test, words):
    one = session(f"batch test={test}", CHECKED)
    one.stop_at("heap_check")
    mine, count = one.do("heap check")
    one.do("continue")
    assert mine.startswith(words) and mine in one.console() and count == "heap check: 1 broken"


def test_leaks_by_call_site(session):
    """Stopped in the kernel's own heap_leaks(), GDB has its lines already."""
    one = session("batch test=checked_leaks_by_site", CHECKED)
    one.stop_at("heap_leaks")
    mine = one.do("heap leaks")
    one.do("finish")
    theirs = one.do('printf "%s\\n", printed')  # what tests/kernel/ktest.c has kept of the console
    assert any(re.match(r"leaks: 2 blocks, 48 bytes from allocate_here\+0x", line) for line in mine)
    assert mine == [line for line in theirs if line.startswith("leaks:")]


# Each is a list of assignments. The last of a name wins, and the kernel prints the first 8 lines.
BROKEN = {
    "counts": ["k_heap.small_frames = 77", "k_heap.large_frames = 5", "mem_pool[0]->free = 1",
               "mem_pool[1]->nonempty_words = 0"],
    "cycle": ["((struct arena *)k_heap.block_descs[3].free_list.head.next)->elem.next = "
              "k_heap.block_descs[3].free_list.head.next", "k_heap.block_descs[5].end.map_words = 8"],
    "wild": ["k_heap.block_descs[3].free_list.head.next = (struct list_elem *)0x12345678",
             "mem_pool[0]->bin[200] = (struct frame *)0x7", "mem_pool[1]->bin[3] = (struct frame *)-16"],
    "records": ["k_heap.arena[4000].base = 3", "k_heap.arena[4001].desc = (struct memory_block_desc *)0xdeadbeec",
                "k_heap.arena[4002].carving = 0x00400000",
                "((struct arena *)k_heap.block_descs[3].free_list.head.next)->map[7] = 5"],
    "seal": ["((struct arena *)k_heap.block_descs[3].free_list.head.next)->seal = 0", "mem_pool[0]->frame[0].run = 0"],
    "tags": ["mem_pool[1]->frame[5].run = 0x40000001", "mem_pool[1]->frame[0].run = 0x80000003",
             "mem_pool[0]->frame[4100].run = 0x41000000"],
}


@pytest.mark.parametrize("what", sorted(BROKEN))
def test_check_says_what_the_kernel_says(session, what):
    """A heap broken by hand: the same lines in the same order from GDB and from heap_check()."""
    one = session("batch test=heap_zero")
    one.stop_at("heap_check")
    for assignment in BROKEN[what]:
        assert one.do(f"set var {assignment}") == []
    mine = one.do("heap check")
    one.do("continue")
    theirs = [line for line in one.console() if line.startswith("heap check:")]
    assert theirs and theirs == mine[:-1]
    assert re.fullmatch(r"heap check: \d+ broken", mine[-1]) and int(mine[-1].split()[2]) >= len(theirs)


# ---- nothing to trust ------------------------------------------------------------------------------

EVERY = ("heap", "heap descs", "heap arenas", "heap map", "heap who 0x88000010", "heap check", "heap leaks", "pools",
         "threads", "print k_heap.block_descs[0]", "print *k_heap.arena", "print all_threads", "print *mem_pool[0]")

WILD = ("k_heap.arena = (struct arena *)0x1234", "k_heap.frames = 0xffffffff", "k_heap.desc_count = 0xffffffff",
        "mem_pool[0]->frame = (struct frame *)0", "mem_pool[0]->frames = 0x7fffffff", "mem_pool[0]->name = (char *)1",
        "k_heap.block_descs[3].block_size = 0", "k_heap.block_descs[3].frames_per_arena = 0",
        "all_threads.head.next->next = all_threads.head.next", "all_threads.head.next = (struct list_elem *)0x44",
        "main_thread.esp = 3", "main_thread.all.next = (struct list_elem *)0xfffffffe", "current = (struct thread *)5",
        "k_heap.block_descs[3].free_list.head.next = (struct list_elem *)0xfffffff0")


def test_wild_pointers_end_in_lines_not_in_a_traceback(session):
    """One field after the other is overwritten and put right again; every command answers, within its time."""
    one = session("batch")
    one.stop_at("workers_end")
    for assignment in WILD:
        place = assignment.split(" = ")[0]
        before = value(one, place)
        one.do(f"set var {assignment}")
        for command in EVERY:
            said = "\n".join(one.do(command, 20))
            assert said.strip(), f"{assignment}: {command} says nothing"
            for word in ("Traceback", "Python Exception", "gave up"):
                assert word not in said, f"{assignment}: {command}: {said}"
        kind = one.do(f"whatis {place}")[0].split(" = ")[1]
        one.do(f"set var {place} = ({kind}){before}")
    assert one_line(one.do("heap check")).startswith("heap check: every invariant holds")


def test_a_thread_that_has_not_run_yet(session):
    one = session("batch")
    one.stop_at("demo_run")
    assert re.search(r"2 idle +ready .*\n +has not run yet: idle\+0$", "\n".join(one.do("threads")))


def test_a_kernel_that_hangs(session):
    one, said = session("batch selftest=hang"), ""
    for _ in range(20):  # a busy host may take its time
        one.run_on(1.5)
        said = "\n".join(one.do("threads"))
        if "misbehave" in said:
            break
    assert one_line(one.do("heap check")).startswith("heap check: every invariant holds")
    assert re.search(r"1 main .*running", said) and "misbehave+0x" in said and "kernel/museum/misbehave.c" in said
    assert "kernel_pool" in one.do("heap")[0]


def test_a_fault_with_broken_lists_is_a_panic(session):
    """What a page fault's report walks may be what is broken; it was a triple fault."""
    one = session("batch demo=no selftest=fault")
    one.stop_at("misbehave")
    one.do("set var all_threads.head.next = (void *)0x646e615f")
    one.send("continue")
    assert one.qemu.wait(20) == QEMU_EXIT[LAST_PANIC]
    said = [line for line in one.console() if line.startswith("panic: ")]
    assert re.fullmatch("panic: page fault at 0x646e...., while a fault was described", said[0]), said


STEPS = """python
at = lambda: tuple(int(gdb.parse_and_eval(f"${name}")) for name in ("eip", "esp", "eax", "ecx", "edx", "ebx"))
stood = 0
for turn in range(200):
    gdb.execute("continue", to_string=True)
    for step in range(40):
        before = at()
        gdb.execute("stepi", to_string=True)
        stood += at() == before
print(f"{stood} steps stood still")
end"""


def test_a_step_is_one(session):
    """QEMU without -icount fails this in most runs: 27 to 45 of 50,000 steps end where they began."""
    one = session("batch")
    one.stop_at("sys_malloc")
    one.do("hbreak sys_malloc")
    for line in STEPS.splitlines():
        one.send(line)
    assert one.do("echo", 120)[-1] == "0 steps stood still"


def test_before_the_kernel_is_there(session):
    one = session("batch")
    assert one_line(one.do("heap check")) == "heap check: paging is off: the machine is still in its BIOS or the " \
        "loader; `break kmain`, `continue`"
    one.stop_at("kmain")
    assert one_line(one.do("heap descs")) == "heap descs: the heap is not there yet: memory_init() has not run"
    assert one.do("threads")[-1] == "no threads yet: thread_init() has not run"


def test_without_a_machine(kernel_elf):
    said = subprocess.run(["gdb", "-nx", "-batch", "-ex", f"source {EXTENSION}", "-ex", "heap", kernel_elf],
                          capture_output=True, text=True, check=False)
    assert lines_of(said.stdout)[0] == "heap: no machine: start one with `make debug`, or `target remote` to a stub"
    assert "Traceback" not in said.stderr


# ---- stops -----------------------------------------------------------------------------------------

def test_break_on_a_size_stops_at_such_a_request(session):
    one = session("batch")
    one.stop_at("demo_run")
    assert one_line(one.do("heap break-on size 290-310")).startswith("heap break-on: breakpoints ")
    assert "sys_malloc (size=" in "\n".join(one.do("continue"))
    assert value(one, "*(unsigned *)($esp + 4)") == 300  # thread_c's second block
    one.do("delete")
    one.do("heap break-on class 1024")
    for size in (1000, 1024):  # thread_a's, thread_b's
        one.do("continue")
        assert 512 < value(one, "*(unsigned *)($esp + 4)") <= 1024, size


def test_break_on_bad_free_stops_at_the_report(session):
    one = session("batch test=heap_double_free")
    one.stop_at("ktest_run")
    assert one_line(one.do("heap break-on bad-free")).startswith("heap break-on: breakpoint")
    said = "\n".join(one.do("continue"))
    assert "port_report (heap=" in said and "HEAP_DOUBLE_FREE" in said
    assert re.search(r"of the 128-byte arena .*, free$", one_line(one.do("heap who pointer")))
    one.do("finish")
    assert "1 wrong call reported, the last of 0x" in "\n".join(one.do("heap"))


# ---- how it gets there -----------------------------------------------------------------------------

def test_make_debug_loads_the_commands(root):
    """What `make debug` starts, on the image under test."""
    done = subprocess.run(["/usr/bin/python3", os.path.join(root, "tools", "debug", "start.py"), "gdb", "--build", E2E],
                          input="heap check\nquit\n", capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "heap check: every invariant holds\n" in done.stdout


def test_without_the_replica_a_line_says_so(session, tmp_path):
    """The kernel's file and the commands in folders of their own: no replica was built there."""
    tools = tmp_path / "tools" / "gdb"
    shutil.copytree(os.path.join(ROOT, "tools", "gdb"), tools)
    shutil.copy(os.path.join(E2E, "hd.img"), tmp_path)
    shutil.copy(os.path.join(E2E, "kernel.elf"), tmp_path)
    one = session("batch", str(tmp_path))
    one.stop_at("workers_end")
    one.do(f"source {tools / 'granary.py'}")
    one.do("python import sys; [sys.modules.pop(name) for name in list(sys.modules) if name.startswith('granary')]")
    one.do(f"python sys.path.insert(0, {str(tools)!r})")
    one.do(f"source {tools / 'granary.py'}")
    assert one.do("heap check") == ["heap check: build/replica is not there: `make` builds it"]
    (tmp_path / "replica").write_bytes(b"\x7fELF of another machine")
    (tmp_path / "replica").chmod(0o755)
    replica = str(tmp_path / "replica")
    said = one_line(one.do("heap check")).removeprefix("heap check: ")
    if shutil.which("qemu-i386"):
        assert re.fullmatch(rf"the kernel's copy has ended: qemu-i386 {re.escape(replica)}, status \d+", said)
    else:
        assert said.startswith("this system starts no programs of 32 bits, as the kernel's copy is one")
