#!/usr/bin/python3
"""lint.py - the checkers of the source text, for those who change it. Each check counts as one test.

    LINT_CFLAGS=... HOST_CFLAGS=... CPPCHECK_FLAGS=... lint.py      (make lint sets the variables)
    lint.py --text      what depends on no tool, in a second

clang-format, clang-tidy, cppcheck and shellcheck give other answers in other versions. MADE_FOR says which ones the
source is kept clean for; where another one is installed, or none, a line says so and its checks are left out.
Length of lines, Python's syntax and the directions of includes are checked everywhere.

The settings of clang-format and clang-tidy are in .clang-format and .clang-tidy, with reasons.
Shortcoming: clang-tidy looks at one file at a time, so a mistake that takes two files escapes it.
"""

import ast
import concurrent.futures
import os
import re
import shlex
import shutil
import subprocess
import sys
import warnings

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cli  # noqa: E402 (the line above makes it findable)

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDERS = ("boot", "lib", "kernel", "device", "thread", "process", "user", "tests", "tools", "bench", "web")
KERNEL = ("lib", "kernel", "device", "thread", "process")
HOST_TESTS = ("tests/host", "tests/fuzz", "bench")
# Columns by ending: C as in .clang-format; the others have tables and comments beside the code.
COLUMNS = {".c": 100, ".h": 100, ".asm": 120, ".inc": 120, ".py": 120, ".sh": 120, ".js": 120,
           ".mjs": 120, ".css": 120, ".html": 120}
MADE_FOR = {"clang-format": "14", "clang-tidy": "14", "cppcheck": "2.10", "shellcheck": "0.9"}
SET_UP = "sh tools/setup.sh --only lint installs what Debian has"
# What cppcheck is told not to look for: freestanding headers are the compiler's own (missingIncludeSystem), and
# GRANARY_PORT names a header of another kernel. Without unusedFunction: a library offers more than one program calls.
CPPCHECK = ("--quiet", "--error-exitcode=1", "--enable=warning,style,performance,portability", "--inline-suppr",
            "--std=c11", "--platform=unix32", "--suppress=missingIncludeSystem", "-UGRANARY_PORT")


def sources(*endings, folders=FOLDERS):
    found = []
    for folder in folders:
        for path, below, names in os.walk(folder):
            below[:] = [name for name in below if name not in ("build", "__pycache__")]
            found += [os.path.join(path, name) for name in names if name.endswith(endings)]
    return sorted(found)


def text_faults(path, columns):
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            line = line.rstrip("\n")
            if len(line) > columns:
                yield f"{path}:{number}: {len(line)} columns, {columns} is the limit"
            if line != line.rstrip():
                yield f"{path}:{number}: blank at the end of the line"


def python_faults(path):
    with open(path, encoding="utf-8") as file, warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            ast.parse(file.read(), path)
        except (SyntaxError, Warning) as fault:
            yield f"{path}: {fault}"


def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                          stdin=subprocess.DEVNULL, check=False)
    return done.returncode, done.stdout


def command_faults(*command):
    status, output = run(command)
    return [output.strip() or f"status {status}"] if status else []


def tidy_faults(tidy, path, flags):
    """clang-tidy's status is 0 for warnings; and it counts those that it suppressed, which are none."""
    _, output = run([tidy, "--quiet", path, "--", *flags])
    return [output.strip()] if re.search("(error|warning):", output) else []


def find_tool(name):
    """The program of the version that the source is made for, as NAME-VERSION or NAME; else None, and it says why."""
    wanted = MADE_FOR[name]
    there = "missing"
    for program in (f"{name}-{wanted}", name):
        path = shutil.which(program)
        if not path:
            continue
        version = re.search(r"(?:version:? |Cppcheck )([0-9][0-9.]*)", run([path, "--version"])[1])
        there = version[1] if version else "of an unknown version"
        if (there + ".").startswith(wanted + "."):
            return path
    how = f"; {SET_UP}" if there == "missing" else ""
    print(f"lint: {name}: not run: the source is made for {wanted}, here it is {there}{how}", flush=True)
    return None


def text_checks():
    for path in sources(*COLUMNS):
        yield f"text {path}", text_faults, (path, COLUMNS[os.path.splitext(path)[1]])
    for path in sources(".py"):
        yield f"python {path}", python_faults, (path,)
    yield "includes", command_faults, (sys.executable, "tools/includes.py")


def tool_checks(flags):
    tools = {name: find_tool(name) for name in MADE_FOR}
    if tools["cppcheck"]:  # one run for all: it looks at the calls from file to file; and the longest, so it goes first
        yield "cppcheck", command_faults, (tools["cppcheck"], *CPPCHECK, *flags["cppcheck"],
                                           *sources(".c", folders=KERNEL))
    if tools["clang-tidy"]:
        for kind, folders in (("kernel", (*KERNEL, "tests/kernel")), ("host", HOST_TESTS)):
            for path in sources(".c", folders=folders):
                yield f"clang-tidy {path}", tidy_faults, (tools["clang-tidy"], path, flags[kind])
    if tools["clang-format"]:
        for path in sources(".c", ".h"):
            yield f"clang-format {path}", command_faults, (tools["clang-format"], "--dry-run", "-Werror", path)
    if tools["shellcheck"]:
        for path in (*sources(".sh"), ".ci/run"):
            yield f"shellcheck {path}", command_faults, (tools["shellcheck"], path)


def main(argv):
    parser = cli.Parser(prog="lint.py", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--text", action="store_true", help="only what depends on no tool")
    opt = parser.parse_args(argv)
    os.chdir(ROOT)
    flags = {kind: shlex.split(os.environ.get(name, "")) for kind, name in
             (("kernel", "LINT_CFLAGS"), ("host", "HOST_CFLAGS"), ("cppcheck", "CPPCHECK_FLAGS"))}
    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [(name, pool.submit(lambda check, args: list(check(*args)), check, args))
                for name, check, args in (*([] if opt.text else tool_checks(flags)), *text_checks())]
        for name, job in jobs:
            faults = job.result()
            passed, failed = passed + (not faults), failed + bool(faults)
            if faults:
                print(f"lint: {name}: FAILED", *faults, sep="\n", flush=True)
    print(f"lint: {passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(cli.main(main, "lint"))
