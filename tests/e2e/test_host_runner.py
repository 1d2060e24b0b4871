"""tests/host/run.sh: what it believes of a test program, told in TAP as the cmocka of Debian 12 and of 13 write it."""

import subprocess

import pytest

TWO = ["1..2", "ok 1 - a", "ok 2 - b", "# ok - tests"]

# lines of the program, its exit status; passed, failed
PROGRAMS = {
    "two tests": (TWO, 0, 2, 0),
    "a version first, as of cmocka 1.1.7": (["TAP version 13", *TWO], 0, 2, 0),
    "two groups": ([*TWO, *TWO], 0, 4, 0),
    "one fails": (["1..2", "ok 1 - a", "not ok 2 - b", "# 0x1 != 0x2"], 1, 1, 1),
    "one is skipped": (["1..2", "ok 1 - a", "ok 2 # SKIP b"], 0, 1, 1),
    "leaves in the middle": (["1..2", "ok 1 - a"], 0, 1, 1),
    "a bad status at the end": (TWO, 23, 2, 1),
    "more than announced": (["1..1", "ok 1 - a", "ok 2 - b"], 0, 2, 1),
    "not a test at all": (["hello"], 0, 0, 1),
    "dies at once": ([], 139, 0, 1),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_counts(root, tmp_path, name):
    lines, status, passed, failed = PROGRAMS[name]
    program = tmp_path / "test_it"
    said = "".join(f"echo '{line}'\n" for line in lines)
    program.write_text(f"#!/bin/sh\n[ \"$CMOCKA_MESSAGE_OUTPUT\" = TAP ] || exit 9\n{said}exit {status}\n")
    program.chmod(0o755)
    done = subprocess.run(["sh", f"{root}/tests/host/run.sh", str(program)], capture_output=True, text=True,
                          check=False)
    assert done.stdout.splitlines()[-1] == f"host tests: {passed} passed, {failed} failed"
    assert done.returncode == (1 if failed else 0)
