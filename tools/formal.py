#!/usr/bin/python3
"""formal.py - runs Frama-C on the parts that can be proved, and compares with what was proved before.

What only it can find: an input among all inputs that breaks a contract: no test tries them all.

  formal.py --build build/formal --gen build/gen [UNIT ...]

Each unit is one file and one analysis (docs/formal.md says what is proved, and how): WP proves contracts, Eva looks
for values that do harm or break an assertion. What is not proved must be named in tests/formal/unproved.txt with the
reason; a goal that is unproved and not named there, and one that is named and proved after all, are failures.

Prints `formal: N goals, N proved; eva: N alarms` and, last, `formal: N passed, N failed`; N counts goals and alarms.
Status: 0, 1 if something failed, 2 if Frama-C is missing or could not read a file.
"""

import os
import re
import subprocess
import sys
from collections import namedtuple

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cli  # noqa: E402 (the line above makes it findable)

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
UNPROVED = os.path.join("tests", "formal", "unproved.txt")
TIMEOUT = 900  # seconds for one unit

COMMON = ["-c11", "-machdep", "gcc_x86_32"]
WP = ["-wp", "-wp-rte", "-wp-prover", "z3,cvc4", "-wp-timeout", "10", "-wp-par", "2"]
EVA = ["-eva", "-eva-auto-loop-unroll", "1000", "-eva-precision", "3", "-eva-slevel", "20000",
       "-eva-msg-key=-initial-state,-final-states"]

# The file, and which analysis.
UNITS = {
    "bitmap": ("lib/bitmap.c", WP),
    "list": ("lib/list.c", WP),
    "memmap": ("kernel/memmap.c", WP),
    "heap_math": ("tests/formal/heap_math.c", EVA),
}

WP_GOAL = re.compile(r"^\[wp\] \[([^\]]*)\] Goal (\w+)(?: : (\w+))?")
EVA_ALARM = re.compile(r"^\[eva:alarm\] (\S+?):\d+: Warning: ?(.*)")

# What a unit gave: names of goals -> proved or not, alarms as text.
Result = namedtuple("Result", "goals alarms")


class Problem(cli.RunError):
    """Said in one line, status 2."""


def find_provers(build):
    """Why3 uses only provers that it was told of once: it is told here, in a file of our own."""
    os.environ["WHY3CONFIG"] = os.path.join(build, "why3.conf")
    done = subprocess.run([cli.find_program("why3"), "config", "detect"], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        raise Problem(f"why3 config detect: {(done.stdout.strip().splitlines() or ['failed'])[-1]}")


def frama_c(gen, unit):
    """Frama-C's output, one message a line."""
    path, analysis = UNITS[unit]
    command = ["frama-c", *COMMON, f"-cpp-extra-args=-I. -I{gen} -U__i386__", path, *analysis]
    try:
        done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired as late:
        raise Problem(f"{unit}: not done after {TIMEOUT} s") from late
    if done.returncode != 0:
        print(done.stdout[-2000:])
        raise Problem(f"{unit}: Frama-C ended with status {done.returncode}")
    return re.sub(r"\n {2,}", " ", done.stdout)


def results(text):
    goals, alarms = {}, []
    for line in text.splitlines():
        goal, alarm = WP_GOAL.match(line), EVA_ALARM.match(line)
        if goal:
            goals[goal[2]] = goal[3] == "Valid" or goal[1] in ("Valid", "Passed")
        if alarm:
            alarms.append(f"{alarm[1]}: {' '.join(alarm[2].split())}")
    return Result(goals, alarms)


def explained():
    """{(unit, name): reason} from lines `unit >>> goal or alarm >>> reason`."""
    known = {}
    with open(os.path.join(ROOT, UNPROVED), encoding="utf-8") as text:
        for number, line in enumerate(text, 1):
            if not line.strip() or line.startswith("#"):
                continue
            parts = [part.strip() for part in line.split(" >>> ")]
            if len(parts) != 3 or parts[0] not in UNITS:
                raise Problem(f"{UNPROVED}:{number}: not `unit >>> goal or alarm >>> reason`")
            known[parts[0], parts[1]] = parts[2]
    return known


def judge(unit, result, known):
    """(failures as lines, number of those explained)"""
    open_ones = {name for name, proved in result.goals.items() if not proved} | set(result.alarms)
    wanted = {name for one, name in known if one == unit}
    bad = [f"not proved: {name}" for name in sorted(open_ones - wanted)]
    bad += [f"unproved.txt names what is proved, or no longer there: {name}" for name in sorted(wanted - open_ones)]
    if not result.goals and "eva" not in " ".join(UNITS[unit][1]):
        bad.append("not proved: no goals at all")
    return bad, len(open_ones & wanted)


def run(gen, units, build):
    """Failures, printed."""
    known = explained()
    goals = proved = alarms = passed = failed = 0
    for unit in units:
        text = frama_c(gen, unit)
        with open(os.path.join(build, f"{unit}.log"), "w", encoding="utf-8") as log:
            log.write(text)
        result = results(text)
        if "-eva" in UNITS[unit][1] and "ANALYSIS SUMMARY" not in text:
            raise Problem(f"{unit}: Eva did not come to its end (see {build}/{unit}.log)")
        bad, known_ones = judge(unit, result, known)
        for line in bad:
            print(f"formal: {unit}: {line}: FAILED")
        good = sum(result.goals.values())
        print(f"formal: {unit}: {len(result.goals)} goals, {good} proved, {len(result.alarms)} alarms, "
              f"{known_ones} explained", flush=True)
        goals, proved, alarms = goals + len(result.goals), proved + good, alarms + len(result.alarms)
        passed, failed = passed + max(good, not result.goals and not bad) + known_ones, failed + len(bad)
    print(f"formal: {goals} goals, {proved} proved; eva: {alarms} alarms")
    print(f"formal: {passed} passed, {failed} failed")
    return failed


def main(argv):
    parser = cli.Parser(prog="formal.py", description=__doc__.split("\n\n")[0])
    parser.add_argument("--build", required=True, help="folder to work in")
    parser.add_argument("--gen", required=True, help="folder with boot_const.h")
    parser.add_argument("units", nargs="*", metavar="UNIT", help=", ".join(UNITS))
    opt = parser.parse_args(argv)
    cli.find_program("frama-c")
    unknown = [unit for unit in opt.units if unit not in UNITS]
    if unknown:
        raise Problem(f"no such unit: {' '.join(unknown)}")
    build = os.path.abspath(opt.build)
    os.makedirs(build, exist_ok=True)
    find_provers(build)
    return 1 if run(os.path.abspath(opt.gen), opt.units or list(UNITS), build) else 0


if __name__ == "__main__":
    sys.exit(cli.main(main, "formal"))
