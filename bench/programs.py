"""programs.py - real programs on each allocator: wall time and largest resident size.

The work is chosen to take a good half second and to be the same every time; the same output from every
allocator is part of the measurement: a program that a heap makes answer differently has no time worth
printing. Rounds, programs and allocators are interleaved as in host.py.

Three of them have threads: a server that frees in a thread of its own what another has allocated (work/redis.sh), a
linker that compiles in two threads at a time, and Python, whose threads take turns (work/threads.py).

Shortcomings: python3 keeps small objects in a heap of its own and asks malloc for arenas of it; so it is run a second
time with PYTHONMALLOC=malloc, where every object comes from malloc. Two threads on a machine with other work wait for
it, so that the wall time of a threaded program tells less than that of the others.
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

GIT = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
THREADED = ("redis", "lld thinlto", "python3 threads")
# Besides Python.
NEEDED = ("gcc", "git", "sqlite3", "perl", "clang", "ld.lld", "redis-check-rdb", "redis-cli", "setpriv")

COMMITS = 200
FILES = 40
FUNCTIONS = 60
MODULES = 8  # for the linker: four for each thread
MODULE_FUNCTIONS = 18
COMMANDS = 110000  # for the server
KINDS = ("hash", "list", "set")
COLLECTIONS = 64  # of each kind
TIMEOUT = 60  # seconds for one run
SERVER_START = 20  # seconds until its socket is there
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


def c_source(functions=FUNCTIONS, name="f", last="1", declared=()):
    """A made-up C file of many functions that call each other: for the compiler, real work. `last`: what the first of
    them calls."""
    out = ["#include <stdint.h>", "#include <string.h>", *declared]
    for n in range(functions):
        out.append(f"""
struct s{n} {{ uint32_t key; uint64_t sum; char name[{8 + n % 56}]; struct s{n} *next; }};
uint32_t {name}{n}(struct s{n} *list, const uint32_t *table, uint32_t count) {{
    uint32_t hash = {n * 2654435761 % 4294967296}u;
    for (struct s{n} *at = list; at; at = at->next) {{
        for (uint32_t i = 0; i < count; i++) {{
            hash = (hash ^ table[i] ^ (uint32_t)at->name[i % sizeof at->name]) * 16777619u;
            if (hash % {n + 3} == {n % 3}) at->sum += hash; else at->key ^= table[(i * {n + 1}) % count];
        }}
        switch (at->key % 7) {{
        case 0: memset(at->name, (int)hash, sizeof at->name); break;
        case 1: at->sum = at->sum * {n + 11} + at->key; break;
        case 2: at->key += {f"{name}{n - 1}((void *)at->next, table, count / 2)" if n else last}; break;
        default: hash += at->key << {n % 13}; break;
        }}
    }}
    return hash;
}}""")
    return "\n".join(out) + "\n"


def make(command, text=None, variables=None):
    """A step of the preparation, with `text` for its input; a failure is a Problem."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, env=dict(os.environ, **variables or {}),
                          check=False)
    if done.returncode != 0:
        raise Problem(f"{' '.join(command[:4])}: {done.stderr.strip()}")


def make_repository(folder):
    """A git repository with that history in `folder`, made anew: nothing of the user's is read."""
    shutil.rmtree(folder, ignore_errors=True)
    make(["git", "init", "-q", "--bare", folder], variables=GIT)
    make(["git", "-C", folder, "fast-import", "--quiet"], history(), GIT)


def make_modules(folder):
    """Object files for a linker that compiles: each module's first function calls that of the module before."""
    objects, last, declared = [], "1", ()
    for number in range(MODULES):
        source, compiled = (os.path.join(folder, f"module{number}{ending}") for ending in (".c", ".o"))
        with open(source, "w", encoding="utf-8") as file:
            file.write(c_source(MODULE_FUNCTIONS, f"m{number}_", last, declared))
        last = f"m{number}_0((void *)at->next, table, count / 2)"
        declared = [f"uint32_t m{number}_0(void *list, const uint32_t *table, uint32_t count);"]
        make(["clang", "-flto=thin", "-std=gnu11", "-O2", "-fPIC", "-c", "-o", compiled, source])
        objects.append(compiled)
    return objects


def request(*words):
    """A command in the protocol of Redis."""
    return "".join([f"*{len(words)}\r\n", *(f"${len(word)}\r\n{word}\r\n" for word in words)])


def redis_string(order, key, text):
    """A command for a string: most are set anew, with another size."""
    draw = order.random()
    if draw < 0.5:
        most = 200 if draw < 0.33 else 800 if draw < 0.47 else 4000 if draw < 0.497 else 40000
        return request("SET", key, text[:order.randrange(8, most)])
    if draw < 0.65:
        return request("APPEND", key, text[:order.randrange(1, 300)])
    return request("GET", key) if draw < 0.9 else request("DEL", key)


def redis_collection(order, text):
    """A command for a hash, a list or a set. One of more than 64 parts is freed by a thread of its own."""
    kind, which = order.choice(KINDS), order.randrange(COLLECTIONS)
    if order.random() < 0.005:
        return request("DEL", f"{kind}{which}")
    words = []
    for _ in range(order.randrange(1, 9)):
        name, value = f"part{order.randrange(4000)}", text[:order.randrange(8, 200)]
        words += {"hash": [name, value], "list": [value], "set": [str(order.randrange(100000)), name]}[kind]
    return request({"hash": "HSET", "list": "LPUSH", "set": "ZADD"}[kind], f"{kind}{which}", *words)


def redis_commands():
    """What the server is told: keys that come, change and go, and in the end three of four that go."""
    order, text = random.Random(3), "granary " * 5000
    keys = COMMANDS // 8
    out = []
    for _ in range(COMMANDS):
        number = order.randrange(2 * keys)
        out.append(redis_string(order, f"string{number}", text) if number < keys else redis_collection(order, text))
    out += [request("DEL", f"string{number}") for number in range(keys) if number % 4 > 0]
    out += [request("DEL", f"{kind}{which}") for kind in KINDS for which in range(COLLECTIONS) if which % 4 > 0]
    return "".join(out)


def make_redis(folder, work):
    """What redis.sh needs in `folder`; returns the path of the commands. The package redis-server would start a
    service: its program is the one that checks files, by another name, and of the package redis-tools."""
    server = os.path.join(folder, "redis-server")
    if os.path.lexists(server):
        os.remove(server)
    os.symlink(find_program("redis-check-rdb"), server)
    make(["gcc", "-shared", "-fPIC", "-O2", "-fno-builtin", "-Wl,-soname,libjemalloc.so.2", "-o",
          os.path.join(folder, "libjemalloc.so.2"), os.path.join(work, "nojemalloc.c")])
    path = os.path.join(folder, "redis.commands")
    with open(path, "w", encoding="ascii", newline="") as file:
        file.write(redis_commands())
    return path


# The linker's output is a file; what is compared is what is printed.
LINK = 'ld.lld --thinlto-jobs=2 -shared -o "$0" "$@" && sha256sum <"$0"'


def threaded(folder, work):
    """The programs of THREADED, ready to run."""
    redis = ["bash", os.path.join(work, "redis.sh"), folder, str(SERVER_START)]
    link = ["sh", "-c", LINK, os.path.join(folder, "modules.so"), *make_modules(folder)]
    python = ["/usr/bin/python3", "-S", os.path.join(work, "threads.py")]
    made = [(redis, make_redis(folder, work), {}), (link, None, {}),
            (python, None, {"PYTHONHASHSEED": "1", "PYTHONMALLOC": "malloc"})]
    return [Program(name, *each) for name, each in zip(THREADED, made)]


def programs(folder):
    """The programs, ready to run; a missing one is a Problem. `folder` takes what they need."""
    for name in NEEDED:
        find_program(name)
    repository = os.path.join(folder, "repository.git")
    make_repository(repository)
    source = os.path.join(folder, "work.c")
    with open(source, "w", encoding="utf-8") as file:
        file.write(c_source())
    work = os.path.join(HERE, "work")
    python = ["/usr/bin/python3", "-S", os.path.join(work, "python.py")]
    return [
        Program("python3", python, None, {"PYTHONHASHSEED": "1"}),
        Program("python3 malloc", python, None, {"PYTHONHASHSEED": "1", "PYTHONMALLOC": "malloc"}),
        Program("gcc", ["gcc", "-std=gnu11", "-O2", "-S", "-o", "-", source], None, {}),
        Program("git", ["git", "-C", repository, "log", "-p", "--stat", "--no-color", "main"], None, GIT),
        Program("sqlite3", ["sqlite3", "-batch", "-init", "/dev/null", ":memory:"],
                os.path.join(work, "sqlite.sql"), {}),
        Program("perl", ["perl", os.path.join(work, "perl.pl")], None, {"PERL_HASH_SEED": "1"}),
        *threaded(folder, work),
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
