"""Names in the kernel's source: a breakpoint on a static function, or a watchpoint on a static variable, must mean one
place.

The compiler is content with five functions called take() in five files; a debugger stops in each of them.
"""

import collections
import glob
import os
import re

import pytest

from test_docs import ROOT, read

FOLDERS = ("kernel", "lib", "device", "thread", "processor", "process")
SOURCES = [os.path.relpath(path, ROOT) for folder in FOLDERS
           for path in glob.glob(f"{ROOT}/{folder}/**/*.c", recursive=True)]
# A function's first line: it starts in the first column, `static` is in it, and no semicolon ends it.
STATIC = re.compile(r"^(?=[^\n;=]*\bstatic\b)[A-Za-z_][^\n;=(]*(?:\(\([^\n]*?\)\))?[^\n;=(]*?\b(\w+)\((?=[^;]*?\{)",
                    re.MULTILINE)
# A variable's: the same, up to its initial value, its length or its end.
VARIABLE = re.compile(r"^static [^\n;=({]*?\b(\w+)(?:\[[^\n;=]*)?(?: =|;|,)", re.MULTILINE)


def files_by_name(pattern):
    """{name: the files in which a static thing has it}"""
    where = collections.defaultdict(set)
    for path in SOURCES:
        for name in pattern.findall(read(path)):
            where[name].add(path)
    return where


@pytest.mark.parametrize("pattern, at_least", [(STATIC, 400), (VARIABLE, 100)], ids=["functions", "variables"])
def test_static_names_are_of_their_own(pattern, at_least):
    where = files_by_name(pattern)
    assert len(where) > at_least, "the pattern no longer finds them"
    assert {name: sorted(paths) for name, paths in where.items() if len(paths) > 1} == {}
