"""tools/mk as text and as make reads it: what one file sets, no other file sets as well.

Every file is read into the same make, so a name that two of them use means the later one's value to both: `make
mutation` once took the path of a program for its sample. No run of a target finds that before the target is run.
"""

import collections
import glob
import os
import re
import subprocess

import pytest

import includes

ROOT = includes.ROOT
FILES = sorted(glob.glob(f"{ROOT}/tools/mk/*.mk"))
SET = re.compile(r"^ *(?:export |override )?(\w+) *[:?]?=", re.MULTILINE)  # += adds to another file's value on purpose


def settings(path):
    with open(path, encoding="utf-8") as text:
        return set(SET.findall(re.sub(r"^define .*?^endef$", "", text.read(), flags=re.MULTILINE | re.DOTALL)))


def test_no_variable_is_set_in_two_files():
    where = collections.defaultdict(list)
    for path in FILES:
        for name in settings(path):
            where[name].append(os.path.basename(path))
    assert len(where) > 40
    assert {name: files for name, files in where.items() if len(files) > 1} == {}


def test_every_file_is_included_once():
    with open(f"{ROOT}/Makefile", encoding="utf-8") as text:
        included = re.findall(r"^include (\S+)", text.read(), re.MULTILINE)
    for path in FILES:
        with open(path, encoding="utf-8") as text:
            assert not re.search(r"^include ", text.read(), re.MULTILINE), path
    assert sorted(included) == [os.path.relpath(path, ROOT) for path in FILES]


@pytest.mark.parametrize("words, said", [
    (["mutation"], "--sample '0'"),
    (["mutation", "SAMPLE=7"], "--sample '7'"),
])
def test_a_target_gets_its_own_settings(words, said):
    done = subprocess.run(["make", "-n", *words], cwd=ROOT, check=True, capture_output=True, text=True)
    assert said in done.stdout
