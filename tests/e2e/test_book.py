"""The book's exercises that write code: the tests that grade one fail while its function is empty.

Each chapter has one, marked **Write it:**, which names a function, its file, and the tests that grade it. Here the
function's body is replaced by a trap in a copy of the tree. Only this finds an exercise whose tests would pass
whatever the reader wrote.
"""

import glob
import os
import re
import shutil
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CHAPTERS = sorted(os.path.basename(path) for path in glob.glob(f"{ROOT}/docs/book/[0-9]*.md"))
HANG = 20  # seconds; a test inside the kernel takes one

EXERCISE = re.compile(r"\*\*Write it:\*\* empty the body of `(\w+)\(\)` in `([\w/.]+)`(.*?)\n\n", re.DOTALL)
HOST_TEST = re.compile(r"`tests/host/(\w+)\.c: (\w+)`")
KERNEL_TEST = re.compile(r"`test=(\w+)`")
PROCESSORS = re.compile(r"`CPUS=(\d)`")  # one, if the exercise does not say


def exercise(chapter):
    with open(f"{ROOT}/docs/book/{chapter}", encoding="utf-8") as text:
        found = EXERCISE.findall(text.read())
    assert len(found) == 1, f"{chapter}: one exercise that writes code"
    function, path, rest = found[0]
    cpus = PROCESSORS.search(rest)
    return function, path, HOST_TEST.findall(rest), KERNEL_TEST.findall(rest), cpus[1] if cpus else "1"


def copy_of_the_tree(folder):
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in names.split("\0"):
        if name and os.path.exists(os.path.join(ROOT, name)):
            os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
            shutil.copy2(os.path.join(ROOT, name), os.path.join(folder, name))


def empty_function(path, function):
    """Replaces the body by a trap; what nothing calls any more must not stop the build."""
    with open(path, encoding="utf-8") as file:
        source = file.read()
    body = re.compile(rf"^((?:[a-z][^\n;{{}}]*\b)?{function}\([^;{{}}]*\) {{\n).*?^}}$", re.MULTILINE | re.DOTALL)
    source, count = body.subn(r"\1    __builtin_trap();\n}", source)
    assert count == 1, f"{path} has no function {function}()"
    with open(path, "w", encoding="utf-8") as file:
        for warning in ("unused-function", "unused-variable", "unused-parameter"):
            file.write(f'#pragma GCC diagnostic ignored "-W{warning}"\n')
        file.write(source)


def run_host_tests(tree, program):
    """The names of the tests that passed."""
    subprocess.run(["make", "-s", f"build/host/{program}"], cwd=tree, check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run([f"build/host/{program}"], cwd=tree, check=False, capture_output=True, text=True,
                          errors="replace", timeout=120, env={**os.environ, "CMOCKA_MESSAGE_OUTPUT": "TAP"})
    return set(re.findall(r"^ok \d+ - (\w+)", done.stdout + done.stderr, re.MULTILINE))


def run_kernel_tests(tree, names, cpus):
    subprocess.run(["make", "-s", "build/hd.img"], cwd=tree, check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run([sys.executable, "tools/run.py", "--image", "build/hd.img", "--timeout", str(HANG),
                           "--cpus", cpus,
                           "--args", "batch demo=no test=" + ",".join(names)],
                          cwd=tree, check=False, capture_output=True, text=True, errors="replace")
    return set(re.findall(r"^test (\w+) \.\.\. ok$", done.stdout, re.MULTILINE))


def passed(tree, host, kernel, cpus):
    names = set()
    for program in {program for program, _ in host}:
        names |= run_host_tests(tree, program)
    return names | (run_kernel_tests(tree, kernel, cpus) if kernel else set())


@pytest.mark.xdist_group("make")
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_an_empty_function_fails_its_grade(chapter, tmp_path):
    function, path, host, kernel, cpus = exercise(chapter)
    graded = {name for _, name in host} | set(kernel)
    assert graded
    assert graded <= passed(ROOT, host, kernel, cpus)  # unchanged they pass
    copy_of_the_tree(tmp_path)
    empty_function(tmp_path / path, function)
    assert not graded & passed(tmp_path, host, kernel, cpus)
