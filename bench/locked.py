"""locked.py - how many instructions that lock a cache line an allocator takes for a pair of malloc and free.

callgrind tells how often each instruction ran, objdump which of them lock: those with the prefix, and an exchange with
memory. Counted in the allocator's library and in libc, whose mutexes some of them use, and bench/threads.c, which is
what runs, a few times. Of libgranary in its library alone: it calls no such function of libc.

Shortcoming: under valgrind one thread runs at a time, so what two do at the same moment (a second attempt at an
exchange, a wait for a lock) comes less often than it would.
"""

import os
import re
import subprocess

import host
import stats

ROUNDS = 200  # callgrind takes fifty times as long as the program alone
MODES = (("pairs", 2), ("larson", 2), ("remote", 2))
LOCKS = re.compile(r"^ *([0-9a-f]+):\t(?:lock |xchg .*\()")
# Of libgranary: the lock of the pool and the wait for it (lock.c), in what objdump says of an instruction.
POOL = re.compile(r"<(granary_held|granary_waiting|notified|stand_back|turn)>")


def locking(path):
    """{address: whether it is the pool's lock} of the instructions of a library that lock."""
    done = subprocess.run(["objdump", "-d", "--no-show-raw-insn", path], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise host.Problem(f"objdump {path}: {done.stderr.strip()}")
    found = ((LOCKS.match(line), POOL.search(line) is not None) for line in done.stdout.splitlines())
    return {int(match[1], 16): pool for match, pool in found if match}


def executed(text):
    """(library, address, times) of each line of a callgrind file whose positions and names are not compressed."""
    library, call = None, False
    for line in text.splitlines():
        if line.startswith("ob="):
            library = line[3:]
        elif line.startswith("calls="):
            call = True  # the line that follows is the cost of what was called
        elif line.startswith("0x"):
            if not call:
                address, _, times = line.split()
                yield library, int(address, 16), int(times)
            call = False


def total(text, wanted):
    """(instructions that lock, of them the pool's lock) in a callgrind file's text, in the libraries `wanted`."""
    known, count, pool = {}, 0, 0
    for library, address, times in executed(text):
        if not library or not wanted(library):
            continue
        if library not in known:
            known[library] = locking(library)
        if address in known[library]:
            count += times
            pool += times if known[library][address] else 0
    return count, pool


def counted_in(allocator):
    """Tells of a library's path whether its instructions are this allocator's."""
    own = os.path.realpath(allocator.library) if allocator.library else None
    libc = allocator.name not in host.OURS
    return lambda path: os.path.realpath(path) == own or libc and os.path.basename(path).startswith("libc.so")


def measure(programs, found, folder, progress):
    """{"mode threads": {allocator: {"locked": a pair, "pool": a pair}}}"""
    table = {}
    out = os.path.join(folder, "callgrind.locked")
    for allocator in found:
        progress(f"locked instructions: {allocator.name}")
        for mode, threads in MODES:
            command = ["valgrind", "--tool=callgrind", "--fair-sched=yes", "--dump-instr=yes", "--compress-pos=no",
                       "--compress-strings=no", f"--callgrind-out-file={out}",
                       os.path.join(programs, "threads"), mode, str(threads), str(ROUNDS)]
            pairs = stats.pairs(host.run(command, allocator))["pairs"]
            with open(out, encoding="utf-8") as file:
                locked, pool = total(file.read(), counted_in(allocator))
            row = table.setdefault(f"{mode} {threads}", {})
            row[allocator.name] = {"locked": locked / pairs, "pool": pool / pairs}
    os.remove(out)
    return table
