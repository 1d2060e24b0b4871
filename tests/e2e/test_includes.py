"""tools/includes.py on trees made for it: a wrong direction, a circle of units, a folder without a rule."""

import os

import pytest

import includes

FILES = {
    "lib/list.h": (), "lib/list.c": ("lib/list.h",),
    "kernel/memory.h": ("lib/list.h",), "kernel/memory.c": ("kernel/memory.h", "lib/list.h"),
    "kernel/main.c": ("kernel/memory.h", "thread/thread.h", "device/serial.h"),
    "kernel/inspect/who.h": ("kernel/memory.h",),
    "thread/thread.h": (), "thread/thread.c": ("thread/thread.h", "kernel/memory.h"),
    "device/serial.h": (), "tests/kernel/ktest.h": (),
}


@pytest.fixture(name="wrong")
def fixture_wrong(tmp_path):
    def check(changes):
        for path, targets in {**FILES, **changes}.items():
            os.makedirs(tmp_path / os.path.dirname(path), exist_ok=True)
            (tmp_path / path).write_text("".join(f'#include "{target}"\n' for target in targets))
        return includes.check(tmp_path)[0]
    return check


def test_a_sound_tree(wrong):
    assert wrong({}) == []


@pytest.mark.parametrize("path, target", [
    ("lib/list.c", "kernel/memory.h"),
    ("kernel/memory.c", "thread/thread.h"),
    ("kernel/memory.c", "kernel/inspect/who.h"),
    ("kernel/inspect/who.h", "device/serial.h"),
    ("thread/thread.c", "device/serial.h"),
    ("kernel/main.c", "tests/kernel/ktest.h"),
])
def test_a_wrong_direction(wrong, path, target):
    lines = [line for line in wrong({path: (target,)}) if not line.startswith("a circle")]
    assert lines == [f"{path} includes {target}: not a direction of docs/design.md"]


def test_a_circle_of_units_that_no_header_closes(wrong):
    """Each header is innocent: only the .c files lead back."""
    assert wrong({"kernel/panic.h": (), "kernel/panic.c": ("kernel/panic.h", "kernel/paging.h"),
                  "kernel/paging.h": (), "kernel/paging.c": ("kernel/panic.h",)}) == \
        ["a circle: kernel/paging, kernel/panic"]


def test_a_circle_through_a_door(wrong):
    assert wrong({"kernel/main.h": (), "thread/thread.c": ("kernel/main.h",)}) == \
        ["a circle: kernel/main, thread/thread"]


def test_a_folder_without_a_rule(wrong):
    assert wrong({"kernel/attic/old.c": ("lib/list.h",)}) == \
        ["kernel/attic/old.c includes lib/list.h: no rule for kernel/attic/ in tools/includes.py"]


def test_a_header_of_nobodys_folder(wrong):
    assert wrong({"lib/list.c": ("wherever/else.h",)}) == \
        ["lib/list.c includes wherever/else.h: not a direction of docs/design.md"]
