#!/usr/bin/python3
"""cpython.py - CPython's own tests on libgranary.so, beside the same tests on the system's allocator.

What only it can find: an expectation of malloc that a large program has and no test of ours knew.

  cpython.py --library build/host/libgranary.so [--modules test_list,test_dict]

Python's small objects come from malloc here (PYTHONMALLOC=malloc), so every one of them is the heap's. A module
passes if it ends as it does without the library, nothing was reported (`heap:`), and the heap was sound at the exit
of every process (GRANARY_CHECK=1). Debian's package libpython3.11-testsuite has the tests: setup.sh --only proof.

Status: 0 if all pass, 1 if not, 2 if something is missing.
"""

import importlib.util
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import cli  # noqa: E402 (the line above makes it findable)

PYTHON = "/usr/bin/python3"
MODULES = ("test_list test_dict test_set test_tuple test_unicode test_bytes test_re test_json test_struct test_array "
           "test_sort test_deque test_heapq test_gc test_weakref test_memoryview test_zlib test_decimal test_sqlite3 "
           "test_generators test_threading test_thread test_queue test_fork1 test_capi test_pickle").split()
TIMEOUT = 600  # seconds for one module


def run(module, library):
    env = dict(os.environ, PYTHONMALLOC="malloc")
    if library:
        env.update(LD_PRELOAD=library, GRANARY_CHECK="1")
    try:
        done = subprocess.run([PYTHON, "-m", "test", module], env=env, capture_output=True, text=True, errors="replace",
                              timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return "out of time", ""
    return f"status {done.returncode}", done.stdout + done.stderr


def judge(module, library):
    system, _ = run(module, None)
    ours, output = run(module, library)
    reports = [line for line in output.splitlines() if line.startswith(("heap:", "heap check:"))]
    if ours == system and not reports:
        return None
    return "; ".join([f"{ours}, with the system's allocator {system}", *reports[:3]])


def main(argv):
    parser = cli.Parser(prog="cpython.py", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--library", required=True)
    parser.add_argument("--modules", default=",".join(MODULES))
    opt = parser.parse_args(argv)
    library = os.path.abspath(opt.library)
    if not os.path.exists(library):
        raise cli.RunError(f"{opt.library} is missing: make libgranary")
    if importlib.util.find_spec("test.test_list") is None:
        raise cli.missing("libpython%-testsuite", "CPython's test suite")
    passed = failed = 0
    for module in opt.modules.split(","):
        fault = judge(module, library)
        print(f"cpython: {module}: {'ok' if fault is None else fault}", flush=True)
        passed, failed = passed + (fault is None), failed + (fault is not None)
    print(f"cpython: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(cli.main(main, "cpython"))
