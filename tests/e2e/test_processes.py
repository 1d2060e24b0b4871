"""Programs in ring 3: from the image's archive, at the prompt and at boot, in QEMU, on a Pentium and in Bochs.

Only this finds what goes wrong between the build, the archive on the image and the keyboard; what a program may do to
the kernel is looked at from inside, by tests/kernel/test_process.c.
"""

import os
import re
import subprocess

import pytest

import mkimage
from conftest import PYTHON
from test_docs import read
from test_machines import with_args
from test_prompt import ANSI, PROMPT, prompt_of
from test_image import qemu

PROGRAMS = ("bench cat cmp cost crowd family float heapdemo hello hostile little museum "
            "nothing parent rm scribe spin zeros").split()
PASSED = "granary: halt passed"


# ---- what the page says ---------------------------------------------------------------------------------------------

def rows_of_page(columns):
    lines = read("docs/processes.md").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.match(r"\| -?\d", line)]
    return [tuple(row) for row in rows if len(row) == columns]


def test_the_page_has_every_call_and_every_error():
    table = read("process/syscall_table.h").replace("\\\n", " ")
    text = r'\s*"([^"]*)"'
    calls = re.findall(rf"CALL\((\d+), (\w+),{text},{text},{text}\)", table)
    errors = re.findall(rf"ERROR\((-\d+), (\w+),{text}\)", table)
    assert len(calls) == int(re.search(r"SYSCALL_COUNT (\d+)u", table)[1]) and len(errors) == 11
    assert rows_of_page(5) == [(number, f"`{name}`", *more) for number, name, *more in calls]
    assert rows_of_page(3) == [(number, f"`{name}`", meaning) for number, name, meaning in errors]


# ---- at boot --------------------------------------------------------------------------------------------------------

def test_hello(boot):
    run = boot("batch demo=no run=hello,one,two")
    assert run.code == 0 and run.lines[-1] == PASSED
    assert run.lines[-3:-1] == ["argument 1: one", "argument 2: two"]


@pytest.mark.parametrize("emulator", ["qemu", "bochs"])
def test_family(boot, emulator):
    run = boot("batch demo=no run=family", emulator=emulator)
    assert run.code == 0 and "family: as it should be" in run.lines


@pytest.mark.parametrize("processor", ["pentium", "pentium3", "max"])
def test_processors(image, tmp_path, processor):
    """Floating point is kept by fnsave on a Pentium, by fxsave elsewhere."""
    path = with_args(image, tmp_path, "batch demo=no test=process_floating_point,process_heap")
    _, text = qemu(path, more=("-cpu", processor))
    assert "tests: 2 passed, 0 failed" in text


def test_sysenter_in_bochs(boot):
    """QEMU never looks whether a data segment may be used: the gate's loads of them are proved here."""
    tests = "process_sysenter_flags,process_trap_flag,process_faults,process_killed_at_every_instruction"
    run = boot(f"batch demo=no test={tests}", emulator="bochs")
    assert run.code == 0 and "tests: 4 passed, 0 failed" in run.lines


def test_a_fault_is_a_failed_run(boot):
    run = boot("batch demo=no run=museum,null-write")
    assert run.code != 0 and run.lines[-1] == "granary: halt failed"
    assert re.fullmatch(r"program museum \(pid 1\): page fault: write to 0x00000000, which is not mapped "
                        r"\(a null pointer\?\), at 0x004[0-9a-f]{5}; ended", run.lines[-2])


def test_hostile(boot):
    """A million calls; the kernel's memory before and after is test=process_hostile's business."""
    run = boot("batch demo=no run=hostile,1000000,9")
    assert run.code == 0 and "hostile: 1000000 calls, and the kernel is still there" in run.lines
    reports = [line for line in run.lines if line.startswith("heap: ")]
    assert len(reports) == 100 and all(" in hostile (pid 1), thread hostile" in line for line in reports)


def test_what_it_costs(boot):
    """A system call alone, and a block taken and given back by a program, in instructions."""
    run = boot("batch demo=no run=bench", more=("--icount",))
    figures = dict(re.findall(r"bench: name=(\w+) rounds=1000 insn=([0-9.]+)", "\n".join(run.lines)))
    assert float(figures["gate"]) <= 40 and float(figures["int_gate"]) <= 50
    assert float(figures["call"]) <= 160 and float(figures["int_call"]) <= 140
    assert float(figures["user_pair_32"]) <= 160 and float(figures["int_user_pair_32"]) <= 170
    assert "bench: a pair of 32 bytes, both gates included, in at most 200: yes" in run.lines


def test_without_sysenter(image, tmp_path):
    """A Pentium has none: the programs call by int 0x80, and the pair stays within its bound."""
    path = with_args(image, tmp_path, "batch demo=no run=bench")
    _, text = qemu(path, more=("-cpu", "pentium", "-icount", "shift=0"))
    assert "name=int_gate" in text and "name=gate" not in text and "in at most 200: yes" in text
    path = with_args(image, tmp_path, "batch demo=no run=museum,sysenter-jump")
    _, text = qemu(path, more=("-cpu", "pentium"))
    # A processor says the first, QEMU 7 the second: it has the instruction, and nothing is set up for it.
    assert re.search(r"program museum \(pid 1\): (invalid opcode|general protection fault), at 0x004\w{5}; ended", text)


def test_a_crowd_makes_a_pair_no_dearer(boot):
    """A pair alone, and beside 1, 10 and 100 other programs: within 10 %."""
    run = boot("batch demo=no run=bench,crowd", more=("--icount",))
    costs = [float(cost) for cost in re.findall(r"name=beside_\d+ rounds=1000 insn=([0-9.]+)", "\n".join(run.lines))]
    assert run.code == 0 and len(costs) == 4 and max(costs) < 1.1 * min(costs)
    assert "bench: a pair beside 0, 1, 10 and 100 programs grows by less than a tenth: yes" in run.lines


def test_many_one_after_the_other(boot):
    run = boot("batch demo=no run=crowd,2000,times,nothing")
    assert run.code == 0 and "crowd: 2000 of 2000 ended with status 0" in run.lines


def test_what_making_and_ending_one_costs(boot):
    """Whatever it clears is counted, too: three pages and three tables of 1024 instructions."""
    run = boot("batch demo=no test=process_cost", more=("--icount",))
    made = re.search(r"process: made and ended in (\d+) instructions", "\n".join(run.lines))
    assert run.code == 0 and int(made[1]) <= 30000


def test_an_image_without_files(root, image, tmp_path):
    """The archive is what follows the kernel; nothing does here."""
    data = bytearray(mkimage.read(image))
    header = mkimage.image_header(bytes(data), image)
    end = header.kernel_lba * 512 + header.kernel_bytes
    data[end:] = bytes(len(data) - end)
    path = tmp_path / "bare.img"
    path.write_bytes(data)
    done = subprocess.run([PYTHON, "tools/run.py", "--image", str(path), "--args=batch demo=no run=hello"],
                          cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "run: hello: the image has no files (ls shows the files)" in done.stdout.splitlines()
    shown = subprocess.run([PYTHON, "tools/mkimage.py", "--show", str(path)], cwd=root, capture_output=True, text=True,
                           check=True).stdout
    assert shown.splitlines()[-1] == "files:   none"


def booted(root, path, args):
    done = subprocess.run([PYTHON, "tools/run.py", "--image", str(path), f"--args=batch demo=no {args}"], cwd=root,
                          capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines()


def archive_of(data, image):
    """Where the archive's files begin in an image: {name: offset of the header}."""
    header, at, found = mkimage.image_header(bytes(data), image), 0, {}
    at = header.kernel_lba * 512 + -(-header.kernel_bytes // 512) * 512
    while data[at + 257:at + 262] == b"ustar":
        found[data[at:at + 100].rstrip(b"\0").decode()] = at
        at += 512 + -(-int(data[at + 124:at + 135], 8) // 512) * 512
    return found


def test_an_archive_that_is_cut_or_damaged(root, image, tmp_path):
    """What lies before the damage can be run; after it there is nothing, or a line that says why."""
    whole, path = bytearray(mkimage.read(image)), tmp_path / "damaged.img"
    place = archive_of(whole, image)

    def with_header(name, change):
        data = bytearray(whole)
        head = bytearray(data[place[name]:place[name] + 512])
        change(head)
        data[place[name]:place[name] + 512] = head
        path.write_bytes(data)

    def summed(head):
        head[148:156] = b" " * 8
        head[148:155] = b"%06o\0" % sum(head)

    def longer(head):
        head[124:135] = b"07777777777"
        summed(head)

    def no_number(head):
        head[124:135] = b"9" * 11
        summed(head)

    def no_header(head):
        head[0] ^= 1

    for change, why in ((longer, "a file beyond the disk's end"), (no_number, "a damaged archive"),
                        (no_header, "no such file")):
        with_header("little", change)
        status, lines = booted(root, path, "run=hello")
        assert status == 0 and "hello from ring 3, pid 1" in "\n".join(lines)
        status, lines = booted(root, path, "run=zeros")
        assert status != 0 and f"run: zeros: {why} (ls shows the files)" in lines


def test_a_disk_that_ends_in_the_archive(root, image, tmp_path):
    """The disk is shorter than the image was: a file that it cuts is refused, by every way to it."""
    whole, path = mkimage.read(image), tmp_path / "cut.img"
    path.write_bytes(whole[:archive_of(bytearray(whole), image)["museum"] + 512])
    status, lines = booted(root, path, "run=museum")
    assert status != 0 and "run: museum: a file beyond the disk's end (ls shows the files)" in lines


def test_files_in_memory(boot):
    run = boot("batch demo=no run=scribe")
    assert run.code == 0 and "scribe: as it should be" in run.lines


def test_what_a_program_took(boot):
    """`cost` copies what it runs into memory, and leaves nothing there."""
    run = boot("batch demo=no run=cost,hello,motd", more=("--icount",))
    assert run.code == 0 and "argument 1: m.motd" in run.lines
    figures = re.fullmatch(r"cost: insn=(\d+) frames=(\d+) status=0 m.hello m.motd", run.lines[-2])
    assert int(figures[1]) < 1000000 and 3 <= int(figures[2]) <= 8
    run = boot("batch demo=no run=cost,museum,divide")
    assert run.code != 0 and re.fullmatch(r"cost: insn=\d+ frames=\d+ status=128 m.museum divide", run.lines[-2])


def test_a_limit_of_frames(boot):
    """frames=N: the most a program may have. `zeros` wants 514 of them."""
    assert boot("batch demo=no frames=600 run=zeros").code == 0
    assert boot("batch demo=no frames=400 run=zeros").code != 0
    run = boot("batch demo=no frames=15 run=hello")
    assert "cmdline: bad value '15' for 'frames' (frames=16..262144)" in run.lines


def test_a_report_leads_to_the_line(root, boot):
    """The address in a report is the program's own, as the file with debug information has it."""
    run = boot("batch demo=no run=museum,double-free")
    place = re.search(r"called from (0x[0-9a-f]+) in museum", "\n".join(run.lines))[1]
    named = subprocess.run(["addr2line", "-f", "-i", "-e", "build/user/museum.elf", place], cwd=root,
                           capture_output=True, text=True, check=True).stdout
    assert "double_free" in named.split()


# ---- the archive ----------------------------------------------------------------------------------------------------

def test_the_image_lists_its_files(root, image):
    shown = subprocess.run([PYTHON, "tools/mkimage.py", "--show", image], cwd=root, capture_output=True, text=True,
                           check=True).stdout
    assert shown.splitlines()[-1].split()[1:] == sorted(PROGRAMS + ["motd"])


def test_a_name_that_is_too_long(tmp_path):
    path = tmp_path / ("n" * 64)
    path.write_bytes(b"x")
    with pytest.raises(mkimage.ImageError, match="a name of 64 characters; there is room for 63"):
        mkimage.make_archive([str(path)])


def test_files_of_a_folder(tmp_path):
    """Under their names from there, after the others; two files of one name are refused."""
    (tmp_path / "tree" / "include" / "sys").mkdir(parents=True)
    for name in ("tree/include/sys/a.h", "tree/zoo", "other"):
        (tmp_path / name).write_bytes(b"x")
    names = mkimage.archive_names(mkimage.make_archive([str(tmp_path / "other")], str(tmp_path / "tree")))
    assert names == ["other", "zoo", "include/sys/a.h"]
    (tmp_path / "zoo").write_bytes(b"y")
    with pytest.raises(mkimage.ImageError, match="there are two files of the name zoo"):
        mkimage.make_archive([str(tmp_path / "zoo")], str(tmp_path / "tree"))


def test_the_archive_is_the_same_for_the_same_files(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    first = mkimage.make_archive([str(path)])
    os.utime(path, (1, 1))
    assert mkimage.make_archive([str(path)]) == first


# ---- at the prompt --------------------------------------------------------------------------------------------------

@pytest.fixture(name="console", scope="module")
def _console():
    console = prompt_of("demo=no")
    yield console
    console.send("\x15halt\r")
    console.expect_exact("granary: halt passed")
    console.close()


def ask(console, line):
    console.send(line + "\r")
    console.expect_exact("\n")
    console.expect_exact(PROMPT)
    return ANSI.sub("", console.before).replace("\r", "").split("\n")[:-1]


def test_ls(console):
    lines = ask(console, "ls")
    assert [line.split()[1] for line in lines] == sorted(PROGRAMS + ["motd"])
    sizes = {line.split()[1]: int(line.split()[0]) for line in lines}
    assert sizes["motd"] == len(read("user/files/motd"))


def test_run(console):
    assert ask(console, "run cat motd") == read("user/files/motd").splitlines()
    assert ask(console, "run heapdemo")[-1] == "heapdemo: as it should be"
    assert ask(console, "run no-such") == ["run: no-such: no such file (ls shows the files)"]
    assert ask(console, "run motd") == ["run: motd: not an ELF file of 32 bits (ls shows the files)"]
    answer = ask(console, "run cat no-such")
    assert answer[0] == "cat: no-such: no file of that name, or no archive on the image"
    assert re.fullmatch(r"cat \(pid \d+\): status 1", answer[1])


def test_museum(console):
    """Each exhibit ends in its report or its fault, and the prompt is there again."""
    exhibits = ask(console, "run museum")
    assert len(exhibits) == 23
    for name in exhibits:
        answer = ask(console, f"run museum {name}")
        assert len(answer) == 1, answer
        assert re.match(r"heap: .* in museum \(pid \d+\), thread museum$|program museum \(pid \d+\): .*; ended$|"
                        r"written over the next block, and both are freed$|still in protected mode$|"
                        r"64 of 64 calls answered$", answer[0])
    assert ask(console, "check") == ["heap check: every invariant holds"]


def test_beside_the_prompt(console):
    pid = int(re.search(r"pid (\d+)", "\n".join(ask(console, "run spin sleeping &")))[1])
    console.send("\r")
    console.expect_exact(PROMPT)
    lines = ask(console, "ps")
    assert any(re.fullmatch(rf" *{pid} spin +running +0", line) for line in lines)
    assert any(re.match(rf" *{pid} spin +\d+ +1024 ", line) for line in ask(console, "mem"))
    assert ask(console, f"kill {pid}") == []
    ask(console, "run cat motd")  # time for it to end
    ask(console, "ps")
    assert ask(console, f"kill {pid}") == [f"no program has the number {pid} (ps shows them)"]


def test_looking_into_one(console):
    pid = int(re.search(r"pid (\d+)", "\n".join(ask(console, "run spin sleeping &")))[1])
    ask(console, "run cat motd")  # by then it has its block
    assert ask(console, f"who 0x10000004 {pid}") == [
        f"0x10000004: byte 4 of block 0 of the 1024-byte arena 0x10000000, spin.{pid} frame 0, live"]
    assert ask(console, f"who 0x10001000 {pid}") == [f"0x10001000: spin.{pid} frame 1, not handed out; no page"]
    for address, what in (("0x400100", "the program's image"), ("0x7fffe000", "the program's stack"),
                          ("0x80000000", "the kernel's"), ("0", "nothing of the program's; no page"),
                          ("0x60000000", "beyond the heap's end; no page")):
        assert ask(console, f"who {address} {pid}")[0].endswith(": " + what)
    descs = [line.split() for line in ask(console, f"descs {pid}")[1:]]
    assert [row[4] for row in descs] == ["0", "0", "0", "0", "0", "0", "1"]
    assert ask(console, f"heap {pid}") == [
        f"spin.{pid}: 32 frames of at most 1024, 1 in arenas of blocks, 0 in large areas, 31 free",
        "frame  base        holds", "    0  0x10000000  1024-byte blocks: 1 live, 0 free, 3 never handed out"]
    picture = ask(console, f"map of {pid}")
    assert picture[0] == f"spin.{pid}: 32 frames, 31 free; a cell is 1 frame"
    assert picture[1] == "       0 2" + 31 * "."
    assert ask(console, f"leaks {pid}") == ["leaks: 1 block, 1024 bytes in blocks of 1024"]
    ask(console, f"kill {pid}")
    ask(console, "run cat motd")
    ask(console, "ps")
    for line in (f"heap {pid}", f"map of {pid}", f"leaks {pid}"):
        assert ask(console, line) == [f"no program with a heap has the number {pid} (mem shows them)"]
    assert ask(console, f"who 1 {pid}") == [f"no program has the number {pid} (ps shows them)"]
    assert ask(console, f"descs {pid}") == [f"no program with a heap has the number {pid} (mem shows them)"]


def test_control_c_ends_it(console):
    console.send("run spin\r")
    console.expect(r"spin: pid (\d+)\r")
    pid = console.match[1]
    console.send("\x03")
    console.expect_exact(f"spin (pid {pid}): killed")
    console.expect_exact(PROMPT)


def test_the_keyboard_is_the_programs(console):
    console.send("run cat\r")
    console.expect_exact("\n")
    console.send("typed\r.\r")
    console.expect_exact("typed")
    console.expect_exact(PROMPT)


def test_remove_and_compare(console):
    assert ask(console, "run rm motd no-such")[:2] == [
        "rm: motd: a file of the image, or open to be read only",
        "rm: no-such: no file of that name, or no archive on the image"]
    size = len(read("user/files/motd"))
    assert ask(console, "run cmp motd motd") == [f"cmp: motd and motd are the same, {size} bytes"]
    assert re.match(r"cmp: hello and cat differ at byte \d+$", ask(console, "run cmp hello cat")[0])
    assert ask(console, "run cmp motd no-such")[0].startswith("cmp: no-such: no file of that name")


def test_tab_completes_programs(console):
    console.send("run hea\t")
    console.expect_exact("run heapdemo")
    console.send("\x15")


def test_frames_are_as_before(console):
    """Many runs at the prompt leave the pools as they were."""
    def pools():
        return [line.split()[3] for line in ask(console, "pools") if "pool" in line]

    ask(console, "run hello")
    before = pools()
    for _ in range(10):
        ask(console, "run heapdemo")
        ask(console, "run museum wild-jump")
    assert pools() == before
