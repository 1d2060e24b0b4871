#!/usr/bin/python3
"""footprint.py - what Lua's scripts and tcc take in Granary, beside the same programs on glibc; prints a table.

  footprint.py [--image IMAGE] [--root FOLDER] [--programs FOLDER]

Granary's columns: frames of 4 KiB at the most, for image, stack and heap, and instructions from the program's start to
its end, the kernel's included (QEMU's -icount), where it reads nothing from the disk (the program `cost`). glibc's: the
same source for 32 bits, linked statically; instructions by valgrind, of the program alone; memory resident at the most
(VmHWM); and what the heap's live blocks had room for at the most, which is what the program asks for on both.
"""

import glob
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import cli  # noqa: E402 (the line above makes it findable)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def in_granary(image, words):
    """Instructions and frames."""
    done = subprocess.run([sys.executable, os.path.join(ROOT, "tools", "run.py"), "--image", image, "--mem", "128",
                           "--icount", "--timeout", "600",
                           "--args=batch demo=no frames=16384 run=cost," + ",".join(words)],
                          capture_output=True, text=True, check=False, errors="replace", stdin=subprocess.DEVNULL)
    found = re.search(r"^cost: insn=(\d+) frames=(\d+) status=0 ", done.stdout, re.MULTILINE)
    if not found:
        raise cli.RunError(f"{' '.join(words)} in Granary: {done.stdout.splitlines()[-3:]}")
    return int(found[1]), int(found[2])


def on_glibc(root, program, words):
    """Bytes of live blocks, KiB resident, instructions."""
    with tempfile.TemporaryDirectory() as work:
        note = os.path.join(work, "note")
        env = dict(os.environ, FOOTPRINT=note)
        subprocess.run([program, *words], cwd=root, env=env, check=True, stdout=subprocess.DEVNULL)
        live, resident = map(int, open(note, encoding="ascii").read().split())
        counted = subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={work}/out", program, *words],
                                 cwd=root, env=env, capture_output=True, text=True, check=False)
        found = re.search(r"Collected : (\d+)", counted.stderr)
    return live, resident, int(found[1]) if found else None


def millions(count):
    return "" if count is None else f"{count / 1e6:.1f}"


def main(argv):
    parser = cli.Parser(prog="footprint.py", description=__doc__.split("\n\n")[0])
    parser.add_argument("--image", default=os.path.join(ROOT, "build", "programs.img"))
    parser.add_argument("--root", default=os.path.join(ROOT, "build", "ports", "root"))
    parser.add_argument("--programs", default=os.path.join(ROOT, "build", "ports", "glibc"))
    opt = parser.parse_args(argv)
    scripts = sorted(os.path.basename(name) for name in glob.glob(os.path.join(ROOT, "user", "lua", "*.lua")))
    jobs = [["lua", name] for name in scripts]
    jobs += [["tcc", "-static", "-o", "out", "hello.c"], ["tcc", "-static", "-o", "out", "src/tcc/tcc.c", "-lm"]]
    print("| program | live at the most, KiB | Granary, KiB | glibc, KiB | Granary, 10^6 instructions | glibc |")
    print("|---|---|---|---|---|---|")
    for name, *words in jobs:
        live, resident, own = on_glibc(opt.root, os.path.abspath(os.path.join(opt.programs, name)), words)
        instructions, frames = in_granary(opt.image, [name, *words])
        if name == "tcc":  # its headers and libraries come from the disk
            instructions = None
        out = os.path.join(opt.root, "out")
        if os.path.exists(out):
            os.remove(out)
        print(f"| `{' '.join([name, *[word for word in words if '.' in word]])}` | {live / 1024:.0f} | {frames * 4} | "
              f"{resident} | {millions(instructions)} | {millions(own)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(cli.main(main, "footprint"))
