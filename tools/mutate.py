#!/usr/bin/python3
"""mutate.py - do the tests notice a small fault in the heap? Plants one after the other and looks.

What only it can find: a line of the heap that could be wrong without any test's notice; coverage only tells that
it ran.

  mutate.py --build build/mutation [--sample N] [--seed S] [--jobs 2] [--only TEXT]

Each mutant differs from the heap (SOURCES) in one place: another comparison, operator, constant or condition, or a
statement less. It is compiled for the host and run through the heap's host tests, quickest first; what lives is run
once more under the sanitizers, as `make host-test` does it. A test that fails, crashes or runs out of time has noticed
it: killed. A mutant whose object code is that of the original is no
fault and does not count.

Survivors that no test could kill are named in tests/host/mutants.txt with the reason; any other survivor is printed.
The score is killed over killed and unexplained. (There is no maintained mutation tool for C among Debian's packages.)

Status: 0 if the score is at least 95 %, 1 below, 2 if something is missing.
"""

import concurrent.futures
import hashlib
import os
import random
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cli  # noqa: E402 (the line above makes it findable)
import sourcekey  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
UNITS = ("kernel/memory.c", "kernel/pool.c")
SOURCES = (*UNITS, "kernel/pool.h", "kernel/runs.h")  # headers of the two units
EXPLAINED = os.path.join(ROOT, "tests", "host", "mutants.txt")
TESTS = ("test_heap_paths", "test_heapcheck", "test_exhaust", "test_size_tables", "test_heap", "test_heap_random")
REACH = 95.0  # per cent
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
ENVIRONMENT = dict(os.environ, EXHAUST_DEPTH="5")  # 12,281 states in a blink; deeper finds no more of these
TIMEOUT = 60  # seconds for one test program; it takes a few

# What is replaced by what. Longer operators first, so that "<" is not found inside "<<".
SWAPS = [
    ("<<=", [">>="]), (">>=", ["<<="]), ("&&", ["||"]), ("||", ["&&"]), ("==", ["!="]), ("!=", ["=="]),
    ("<=", ["<", ">"]), (">=", [">", "<"]), ("<<", [">>"]), (">>", ["<<"]), ("++", ["--"]), ("--", ["++"]),
    ("+=", ["-=", "="]), ("-=", ["+=", "="]), ("|=", ["&=", "="]), ("&=", ["|=", "="]), ("*=", ["/="]), ("->", []),
    ("<", ["<=", ">="]), (">", [">=", "<="]), ("+", ["-"]), ("-", ["+"]), ("%", ["*"]), ("/", ["*"]),
    ("|", ["&"]), ("&", ["|"]), ("~", [""]), ("!", [""]),
]
TOKEN = re.compile("|".join(re.escape(swap[0]) for swap in SWAPS) + r"|\b\d+u?\b|\b[A-Za-z_]\w*\b|\"[^\"]*\"|'[^']*'")
STATEMENT = re.compile(r"^\s+[\w>*(&\[\]. -]+(\+\+|--|\s*[-+|&]?=[^=].*|\(.*\));\s*(//.*)?$")
CONDITION = re.compile(r"\b(if|while) \((.*)\)( \{| return|;|$| [a-z])")


class Mutant:
    def __init__(self, line, before, after, what):
        self.source, self.line, self.before, self.after, self.what = None, line, before, after, what

    def __str__(self):
        place = f"{self.source}:{self.line + 1}"
        return f"{place}: {self.before.strip()}\n    {self.what}: {self.after.strip() or '(nothing)'}"

    def key(self):
        return sourcekey.key(self.before), sourcekey.key(self.after)


def in_comment(line, column):
    at = line.find("//")
    return 0 <= at <= column


def unary(line, at, operator):
    """True for the & and - and + and * that have one operand: swapping these makes no sense in C."""
    before = line[:at].rstrip()
    return operator in "&-+" and (not before or before[-1] in "(,=&|<>!+-*/%?:{[" or before.endswith("return"))


def token_mutants(number, line):
    for match in TOKEN.finditer(line):
        token, at = match[0], match.start()
        if in_comment(line, at) or token[0] in "\"'":
            continue
        if re.fullmatch(r"\d+u?", token):
            value = int(token.rstrip("u"))
            changed = [str(value + 1)] + ([str(value - 1)] if value > 0 else [])
        elif re.fullmatch(r"\w+", token):
            changed = {"true": ["false"], "false": ["true"]}.get(token, [])
        else:
            changed = [] if unary(line, at, token) else dict(SWAPS)[token]
        for new in changed:
            yield Mutant(number, line, line[:at] + new + line[match.end():], f"{token} -> {new or 'nothing'}")


def line_mutants(number, line):
    """A statement left out, a condition always or never true."""
    code = line.split("//")[0]
    if STATEMENT.match(line) and not re.match(r"\s+(return|goto|static|const|struct \w+ \*?\w+ =|u?int|bool|size_t|"
                                              r"uintptr_t|uint32_t|void|port_state|enum|for)\b", line):
        indent = line[:len(line) - len(line.lstrip())]
        yield Mutant(number, line, indent + ";", "left out")
    match = CONDITION.search(code)
    if match and code.count("(") == code.count(")"):
        for value in ("1", "0"):
            if match[1] == "while" and value == "1":
                continue  # an endless loop proves little
            yield Mutant(number, line, line[:match.start(2)] + value + line[match.end(2):], "condition")


def sources():
    texts = {}
    for source in SOURCES:
        with open(os.path.join(ROOT, source), encoding="utf-8") as file:
            texts[source] = file.read()
    return texts


def mutants(source, text):
    """All of them, in the order of the source; declarations and the preprocessor's lines are left alone."""
    found = []
    for number, line in enumerate(text.splitlines()):
        if not line.startswith(" ") or line.lstrip().startswith(("//", "#", "__asm__")):
            continue
        found += token_mutants(number, line)
        found += line_mutants(number, line)
    for mutant in found:
        mutant.source = source
    return found


def explained():
    known = {}
    with open(EXPLAINED, encoding="utf-8") as text:
        for number, line in enumerate(text, 1):
            if not line.strip() or line.startswith("#"):
                continue
            parts = [part.strip() for part in line.rstrip("\n").split(" >>> ")]
            if len(parts) != 3:
                print(f"mutate: {EXPLAINED}:{number}: not `line >>> mutated line >>> reason`", file=sys.stderr)
                sys.exit(2)
            known[sourcekey.key(parts[0]), sourcekey.key(parts[1])] = parts[2]
    return known


class Bench:
    """Compiles and judges one mutant at a time, in a folder of its own."""

    def __init__(self, build):
        self.plain = build_objects(os.path.join(build, "plain"), "-w")
        self.sanitized = build_objects(os.path.join(build, "sanitized"), " ".join(SANITIZE))
        self.flags = ["-std=gnu11", "-g0", "-O1", "-w", "-I.", f"-I{build}/plain/gen",
                      '-DGRANARY_PORT="tests/host/host_port.h"']

    def compiled(self, folder, more=()):
        """Compiles the units of the sources in the folder; what they are, or None if they are no C."""
        digest = hashlib.sha256()
        for unit, output in zip(UNITS, outputs(folder)):
            command = ["gcc", f"-I{folder}", *self.flags, *more, "-c", os.path.join(folder, unit), "-o", output]
            if subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode != 0:
                return None
            with open(output, "rb") as file:
                digest.update(file.read())
        return digest.hexdigest()

    def judge(self, folder, texts, original):
        """("killed", by) | ("same", "") | ("invalid", "") | ("alive", "")"""
        os.makedirs(os.path.join(folder, "kernel"), exist_ok=True)
        for source, text in texts.items():
            with open(os.path.join(folder, source), "w", encoding="utf-8") as file:
                file.write(text)
        digest = self.compiled(folder)
        if digest is None or digest == original:
            return ("invalid" if digest is None else "same"), ""
        killer = self.killer(folder, self.plain, ())
        if not killer:
            self.compiled(folder, SANITIZE)
            killer = self.killer(folder, self.sanitized, SANITIZE)
        return ("killed", killer) if killer else ("alive", "")

    @staticmethod
    def killer(folder, objects, flags):
        """The first test that notices, or None."""
        for test in TESTS:
            program = os.path.join(folder, test)
            link = ["gcc", *flags, *objects[test], *outputs(folder), "-lcmocka", "-lpthread", "-o", program]
            subprocess.run(link, cwd=ROOT, check=True, capture_output=True)
            try:
                done = subprocess.run([program], cwd=ROOT, env=ENVIRONMENT, capture_output=True, timeout=TIMEOUT,
                                      check=False)
            except subprocess.TimeoutExpired:
                return f"{test}, out of time"
            if done.returncode != 0:
                return test
        return None


def outputs(folder):
    return [os.path.join(folder, os.path.basename(unit)[:-2] + ".o") for unit in UNITS]


def build_objects(build, sanitize):
    """The objects of each test but the units' own, from the host tests' own makefile."""
    programs = [os.path.join(build, "host", test) for test in TESTS]
    make = ["make", "-s", f"BUILD={build}", f"SANITIZE={sanitize}", *programs]
    done = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(f"mutate: the tests do not build: {done.stderr.strip()[-500:]}", file=sys.stderr)
        sys.exit(2)
    objects, own = {}, tuple(f"/{unit[:-2]}.o" for unit in UNITS)
    for test in TESTS:
        folder = os.path.join(build, "host", f"{test}.d")
        objects[test] = sorted(os.path.join(path, name) for path, _, names in os.walk(folder) for name in names
                               if name.endswith(".o") and not os.path.join(path, name).endswith(own))
    return objects


def run(opt):
    texts = sources()
    build = os.path.abspath(opt.build)
    bench = Bench(build)
    chosen = [mutant for source in SOURCES for mutant in mutants(source, texts[source]) if opt.only in mutant.before]
    if opt.sample:
        chosen = random.Random(opt.seed).sample(chosen, min(opt.sample, len(chosen)))
    original = bench.judge(os.path.join(build, "m-original"), texts, None)
    if original[0] != "alive":
        print(f"mutate: the tests fail without a mutant: {original}", file=sys.stderr)
        sys.exit(2)
    digest = bench.compiled(os.path.join(build, "m-original"))
    folders = [os.path.join(build, f"m-{number}") for number in range(opt.jobs)]

    def judge_one(mutant):
        folder = folders.pop()
        try:
            lines = texts[mutant.source].splitlines()
            lines[mutant.line] = mutant.after
            return bench.judge(folder, {**texts, mutant.source: "\n".join(lines) + "\n"}, digest)
        finally:
            folders.append(folder)

    results = []
    with concurrent.futures.ThreadPoolExecutor(opt.jobs) as pool:
        for mutant, result in zip(chosen, pool.map(judge_one, chosen)):
            results.append((mutant, *result))
            if sys.stdout.isatty():
                print(f"\rmutate: {len(results)} of {len(chosen)}", end="", flush=True)
    return results


def report(results):
    known = explained()
    kinds = [result[1] for result in results]
    count = {kind: kinds.count(kind) for kind in ("killed", "same", "invalid", "alive")}
    unexplained = [mutant for mutant, kind, _ in results if kind == "alive" and mutant.key() not in known]
    stale = [mutant for mutant, kind, _ in results if kind == "killed" and mutant.key() in known]
    for mutant in unexplained:
        print(mutant)
    for mutant in stale:
        print(f"mutants.txt: this one is killed after all: {mutant}")
    judged = count["killed"] + len(unexplained)
    score = 100.0 * count["killed"] / judged if judged else 100.0 if count["alive"] else 0.0
    print(f"mutate: {len(results)} mutants: {count['killed']} killed, {len(unexplained)} survived, "
          f"{count['alive'] - len(unexplained)} explained, {count['same']} same code, {count['invalid']} invalid")
    good = score >= REACH and not stale
    print(f"mutate: score {score:.1f} % (reach {REACH:.0f} %): {'ok' if good else 'FAILED'}")
    return 0 if good else 1


def main(argv):
    parser = cli.Parser(prog="mutate.py", description=__doc__.split("\n\n")[0])
    parser.add_argument("--build", required=True, help="folder to work in")
    parser.add_argument("--sample", type=int, default=0, help="that many of them, drawn at random; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="only in source lines with this text")
    return report(run(parser.parse_args(argv)))


if __name__ == "__main__":
    sys.exit(cli.main(main, "mutate"))
