#!/usr/bin/python3
"""codestats.py - lengths of functions, share of comments, sizes of the built parts.

A function's length is its lines from the one that names it to its closing brace, by Universal Ctags. A
comment line is a line that holds nothing but comment; shares are of the lines that are not blank.
Assembly is counted as comments per code line, a comment after an instruction included.
"""

import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cli  # noqa: E402 (the line above makes it findable)

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
C_FOLDERS = ("kernel", "lib", "device", "thread", "process")
BUILT = ("boot/mbr.bin", "boot/loader.bin", "kernel.stripped.elf", "hd.img")


def files(folders, ending):
    for folder in folders:
        for inside, _, names in sorted(os.walk(os.path.join(ROOT, folder))):
            for name in sorted(names):
                if name.endswith(ending):
                    yield os.path.relpath(os.path.join(inside, name), ROOT)


def read_lines(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as text:
        return [line.strip() for line in text]


def function_lengths(paths):
    """[(lines, name, file)], shortest first."""
    command = ["ctags", "-x", "--kinds-C=f", "--_xformat=%{name}\t%{line}\t%{end}\t%{input}", *paths]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    lengths = []
    for row in output.splitlines():
        name, first, last, path = row.split("\t")
        if last:
            lengths.append((int(last) - int(first) + 1, name, path))
    return sorted(lengths)


def comment_share(paths):
    comment = total = 0
    for path in paths:
        for line in read_lines(path):
            total += bool(line)
            comment += line.startswith("//")
    return comment, total


NO_INSTRUCTION = re.compile(r"%|(\w+ +)?(equ|d[bwdq]|res[bwdq]|times)\b|"
                            r"(align|bits|org|section|global|extern|cpu|default)\b")


def assembly_comments(paths):
    """(lines with a comment, lines of code, of these instructions)"""
    comment = code = instructions = 0
    for path in paths:
        for line in read_lines(path):
            comment += ";" in line
            text = re.sub(r"^[\w.$]+:\s*", "", line.split(";")[0]).strip()
            code += bool(line) and not line.startswith(";")
            instructions += bool(text) and not NO_INSTRUCTION.match(text)
    return comment, code, instructions


def main(_):
    cli.find_program("ctags")
    sources = list(files(C_FOLDERS, ".c"))
    lengths = function_lengths(sources)
    lines = [length for length, _, _ in lengths]
    print(f"C functions: {len(lines)}, median {lines[len(lines) // 2]}, p90 {lines[len(lines) * 9 // 10]}, "
          f"max {lines[-1]} ({lengths[-1][1]} in {lengths[-1][2]})")
    comment, total = comment_share(sources + list(files(C_FOLDERS, ".h")))
    print(f"C comments: {100 * comment / total:.0f} % of {total} lines that are not blank")
    comment, code, instructions = assembly_comments(files(("boot",), (".asm", ".inc")))
    print(f"boot assembly: {comment} comments, {instructions} instructions, "
          f"{comment / code:.2f} comments a line of code")
    for part in BUILT:
        path = os.path.join(ROOT, "build", part)
        size = f"{os.path.getsize(path)} bytes" if os.path.exists(path) else "not built: make"
        print(f"build/{part}: {size}")
    return 0


if __name__ == "__main__":
    sys.exit(cli.main(main, "codestats"))
