#!/usr/bin/python3
"""compdb.py - compile_commands.json from what `make` says it would run (make compile_commands.json).

    make -Bn ... | compdb.py --out compile_commands.json

Editors and analyzers ask it how a file is compiled. Each C file has one entry: the first way it is compiled, the
kernel's for what is the kernel's.
"""

import json
import os
import shlex
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cli  # noqa: E402 (the line above makes it findable)

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def entries(lines):
    """One for each C file that exists, in the order in which they are compiled first."""
    seen = set()
    for line in lines:
        try:
            words = shlex.split(line)
        except ValueError:  # a line of a longer command
            continue
        files = [word for word in words[1:] if word.endswith(".c")]
        for file in files:
            if "-o" in words and file not in seen and os.path.exists(os.path.join(ROOT, file)):
                seen.add(file)
                yield {"directory": ROOT, "file": file,
                       "arguments": [word for word in words if word == file or word not in files]}


def main(argv):
    parser = cli.Parser(prog="compdb.py", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--out", required=True)
    opt = parser.parse_args(argv)
    found = list(entries(sys.stdin))
    if not found:
        raise cli.RunError("no compiler's command on standard input")
    with open(opt.out, "w", encoding="utf-8") as file:
        json.dump(found, file, indent=1)
        file.write("\n")
    print(f"{opt.out}: {len(found)} files")
    return 0


if __name__ == "__main__":
    sys.exit(cli.main(main, "compdb"))
