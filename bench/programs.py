"""programs.py - real programs on each allocator: wall time and largest resident size.

The work is chosen to take a good half second and to be the same every time; the same output from every
allocator is part of the measurement: a program that a heap makes answer differently has no time worth
printing. Rounds, programs and allocators are interleaved as in host.py.

Shortcoming: python3 keeps small objects in a heap of its own and asks malloc for arenas of it; so it is run a second
time with PYTHONMALLOC=malloc, where every object comes from malloc.
"""

import hashlib
import os
import random
import shutil
import subprocess
from collections import namedtuple

import stats
from cli import find_program
from host import Problem, environment

HERE = os.path.dirname(os.path.abspath(__file__))

# name; command; standard input (a path or None); variables
Program = namedtuple("Program", "name command stdin variables")

COMMITS = 200
FILES = 40
FUNCTIONS = 60
TIMEOUT = 60  # seconds for one run
HUNG = 124  # launch.c: it was ended


def history():
    """A made-up project's history, in the words of git fast-import."""
    out = []
    for commit in range(1, COMMITS + 1):
        who = f"Granary <bench@example.org> {1000000000 + commit * 3600} +0000"
        message = f"Change {commit}"
        out.append(f"commit refs/heads/main\ncommitter {who}\ndata {len(message)}\n{message}\n")
        for number in range(FILES):
            if commit > 1 and (number + commit) % 5:
                continue
            rows = [f"{number} line {row} of {(row * number + commit * (row % 7 == 0)) % 977}" for row in range(300)]
            text = "\n".join(rows) + "\n"
            out.append(f"M 100644 inline folder{number % 6}/file{number}.txt\ndata {len(text)}\n{text}\n")
    return "".join(out)


def c_source():
    """A made-up C file of many functions that call each other: for the compiler, real work."""
    out = ["#include <stdint.h>", "#include <string.h>"]
    for n in range(FUNCTIONS):
        out.append(f"""
struct s{n} {{ uint32_t key; uint64_t sum; char name[{8 + n % 56}]; struct s{n} *next; }};
uint32_t f{n}(struct s{n} *list, const uint32_t *table, uint32_t count) {{
    uint32_t hash = {n * 2654435761 % 4294967296}u;
    for (struct s{n} *at = list; at; at = at->next) {{
        for (uint32_t i = 0; i < count; i++) {{
            hash = (hash ^ table[i] ^ (uint32_t)at->name[i % sizeof at->name]) * 16777619u;
            if (hash % {n + 3} == {n % 3}) at->sum += hash; else at->key ^= table[(i * {n + 1}) % count];
        }}
        switch (at->key % 7) {{
        case 0: memset(at->name, (int)hash, sizeof at->name); break;
        case 1: at->sum = at->sum * {n + 11} + at->key; break;
        case 2: at->key += {f"f{n - 1}((void *)at->next, table, count / 2)" if n else "1"}; break;
        default: hash += at->key << {n % 13}; break;
        }}
    }}
    return hash;
}}""")
    return "\n".join(out) + "\n"


def make_repository(folder):
    """A git repository with that history in `folder`, made anew: nothing of the user's is read."""
    shutil.rmtree(folder, ignore_errors=True)
    settings = dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_NOSYSTEM="1")
    for command, text in ((["git", "init", "-q", "--bare", folder], None),
                          (["git", "-C", folder, "fast-import", "--quiet"], history())):
        done = subprocess.run(command, input=text, capture_output=True, text=True, env=settings, check=False)
        if done.returncode != 0:
            raise Problem(f"{' '.join(command[:4])}: {done.stderr.strip()}")


def programs(folder):
    """The programs, ready to run; a missing one is a Problem. `folder` takes what they need."""
    for name in ("gcc", "git", "sqlite3", "perl"):
        find_program(name)
    repository = os.path.join(folder, "repository.git")
    make_repository(repository)
    source = os.path.join(folder, "work.c")
    with open(source, "w", encoding="utf-8") as file:
        file.write(c_source())
    work = os.path.join(HERE, "work")
    git = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    python = ["/usr/bin/python3", "-S", os.path.join(work, "python.py")]
    return [
        Program("python3", python, None, {"PYTHONHASHSEED": "1"}),
        Program("python3 malloc", python, None, {"PYTHONHASHSEED": "1", "PYTHONMALLOC": "malloc"}),
        Program("gcc", ["gcc", "-std=gnu11", "-O2", "-S", "-o", "-", source], None, {}),
        Program("git", ["git", "-C", repository, "log", "-p", "--stat", "--no-color", "main"], None, git),
        Program("sqlite3", ["sqlite3", "-batch", "-init", "/dev/null", ":memory:"],
                os.path.join(work, "sqlite.sql"), {}),
        Program("perl", ["perl", os.path.join(work, "perl.pl")], None, {"PERL_HASH_SEED": "1"}),
    ]


def launch(program, allocator, launcher, folder):
    """One run: {wall_ns, cpu_ns, peak_kb} and the hash of what it printed."""
    told = os.path.join(folder, "launch.out")
    name = f"{program.name} with {allocator.name}"
    variables = dict(allocator.environment, **program.variables)
    if allocator.library:
        variables["LD_PRELOAD"] = allocator.library
    settings = [f"{key}={value}" for key, value in variables.items()]
    words = [launcher, told, str(TIMEOUT), *settings, "--", *program.command]
    clean = environment(allocator)
    clean.pop("LD_PRELOAD", None)  # for the command only, not for the launcher
    with open(program.stdin or "/dev/null", "rb") as stdin:
        done = subprocess.run(words, stdin=stdin, capture_output=True, env=clean, check=False)
    if done.returncode != 0:
        raise Problem(f"{name}: {done.stderr.decode(errors='replace').strip()}")
    with open(told, encoding="utf-8") as file:
        figures = stats.pairs(file.read())
    if figures["status"] != 0:
        said = (done.stderr.decode(errors="replace").strip().splitlines() or [""])[0][:200]
        ended = f"not done after {TIMEOUT} s" if figures["status"] == HUNG else f"status {figures['status']}"
        raise Problem(f"{name}: {ended} {said}".strip())
    return figures, hashlib.sha256(done.stdout).hexdigest()


KEYS = ("wall_ns", "cpu_ns", "peak_kb")


def measure(found, plan, launcher, folder, progress):
    """({program: {allocator: {key: [a value a round]}}}, [what failed]). Outputs are held against glibc's."""
    order = random.Random(2)
    ready = programs(folder)
    table, errors = {}, []
    outputs = {program.name: launch(program, found[0], launcher, folder)[1] for program in ready}  # warms up, too
    failed = set()
    for turn in range(plan.program_rounds):
        for program in ready:
            progress(f"programs, round {turn + 1} of {plan.program_rounds}: {program.name}")
            for allocator in order.sample(found, len(found)):
                row = table.setdefault(program.name, {}).setdefault(allocator.name, {key: [] for key in KEYS})
                if (program.name, allocator.name) in failed:
                    continue
                try:
                    figures, output = launch(program, allocator, launcher, folder)
                    if outputs[program.name] != output:
                        raise Problem(f"{program.name} prints something else with {allocator.name} than with glibc")
                except Problem as problem:
                    errors.append(str(problem))
                    failed.add((program.name, allocator.name))
                    continue
                for key in KEYS:
                    row[key].append(figures[key])
    for program, name in failed:
        table[program].pop(name)
    return table, errors
