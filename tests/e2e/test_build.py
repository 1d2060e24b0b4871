"""make: a folder for each choice of compiler, what is made anew when flags change, and a missing tool in one line."""

import os
import re
import shutil
import subprocess

import pytest

pytestmark = pytest.mark.xdist_group("make")
NOTHING = "make: Nothing to be done for 'all'.\n"


def make(root, *words, **more):
    return subprocess.run(["make", "--no-print-directory", *words], cwd=root, capture_output=True, text=True,
                          check=False,
                          **more)


@pytest.mark.parametrize("choice, folder", [
    ([], "build"),
    (["CHECK=0"], "build"),
    (["OPT=-O2"], "build"),
    (["CHECK=1"], "build/check"),
    (["CC=clang"], "build/clang"),
    (["CC=/usr/lib/llvm/bin/clang-19"], "build/clang-19"),
    (["OPT=-O0"], "build/O0"),
    (["OPT=-O1 -flto"], "build/O1-flto"),
    (["CROSS=i686-elf-"], "build/cross-i686-elf"),
    (["CROSS="], "build/cross-none"),
    (["CHECK=1", "CC=clang", "OPT=-O0"], "build/check-clang-O0"),
    (["CHECK=1", "BUILD=mine"], "mine"),
], ids=" ".join)
def test_each_choice_has_a_folder(root, tmp_path, choice, folder):
    # In a copy without sources: reading the makefiles writes the stamps.
    os.symlink(os.path.join(root, "Makefile"), tmp_path / "Makefile")
    os.makedirs(tmp_path / "tools")
    os.symlink(os.path.join(root, "tools", "mk"), tmp_path / "tools" / "mk")
    show = tmp_path / "show.mk"
    show.write_text("show: ; @echo $(BUILD)\n")
    done = make(tmp_path, "-f", "Makefile", "-f", str(show), *choice, "show")
    assert (done.stdout, done.returncode) == (folder + "\n", 0), done.stderr


def test_changing_back_costs_nothing(root):
    for words in ([], ["CHECK=1"]):
        assert make(root, "all", *words).returncode == 0
    for words in ([], ["CHECK=1"], []):
        assert make(root, "all", *words).stdout in ("", NOTHING)  # make 4.4 is silent here


def test_a_cc_of_the_environment_is_not_the_kernels(root, tmp_path):
    done = make(root, "-n", f"BUILD={tmp_path}", f"{tmp_path}/obj/lib/list.o", env=dict(os.environ, CC="false"))
    assert done.returncode == 0 and "false " not in done.stdout, done.stdout


@pytest.mark.parametrize("target, change", [
    ("obj/kernel/memory.o", "HEAP_CFLAGS=-fomit-frame-pointer"),
    ("obj/lib/list.o", "OPT=-O1"),
    ("boot/mbr.bin", "NASM_WARNINGS=-w+all"),
    ("obj/kernel/start.asm.o", "NASM_WARNINGS=-w+all"),
    ("host/test_list.d/lib/list.o", "SANITIZE=-O2"),
    ("host/libgranary.d/kernel/size_tables.o", "HOST_CC=cc"),
    ("host/mtrace-record.so", "HOST_CC=cc"),
    ("host/bench/probe", "HOST_CC=cc"),
    ("fuzz/cmdline.d/lib/format.o", "FUZZ_CC=clang -O0"),
])
def test_other_flags_make_it_anew(root, tmp_path, target, change):
    """And the same flags again do not."""
    def age(*words):
        done = make(root, "-s", f"BUILD={tmp_path}", f"{tmp_path}/{target}", *words)
        assert done.returncode == 0, done.stderr
        return os.stat(tmp_path / target).st_mtime_ns
    first = age()
    assert age() == first
    second = age(change)
    assert second > first
    assert age(change) == second


def test_a_missing_tool_is_one_line_with_the_command_that_brings_it(root, tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("make", "sh", "sed", "tr", "cmp", "mkdir", "dirname", "id", "grep", "head", "sort", "dpkg-query"):
        (programs / name).symlink_to(shutil.which(name))
    for words, missing in (([f"{tmp_path}/hd.img"],
                            "nasm gcc-i686-linux-gnu; `sh tools/setup.sh --only run` installs it"),
                           ([f"{tmp_path}/host/test_list"], "gcc; `sh tools/setup.sh --only test` installs it"),
                           (["v86"], "nasm gcc-i686-linux-gnu; `sh tools/setup.sh --only run` installs it"),
                           (["model"], "spin; `sh tools/setup.sh --only proof` installs it")):
        done = make(root, "-s", f"BUILD={tmp_path}", *words, env={"PATH": str(programs)})
        lines = [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]
        assert (done.returncode, done.stdout, lines) == (2, "", [f"setup: missing: {missing}"])


def test_what_is_lifted_out_compiles_without_the_rest(root, tmp_path):
    """The files that the head of kernel/port.h names, and the body that the host's tests give it."""
    with open(os.path.join(root, "kernel", "port.h"), encoding="utf-8") as text:
        head = text.read().partition("#pragma once")[0]
    words = re.search(r"take (.*?) and this\b", head.replace("\n//", ""), re.DOTALL)[1]
    names = [f"{name}.{letter}" for name, letters in re.findall(r"([\w/]+)\.\[?([ch]+)", words) for letter in letters]
    assert {"memory.c", "pool.c", "heap.h", "lib/list.c"} <= set(names), names
    files = [name if "/" in name else f"kernel/{name}" for name in names]
    for path in [*files, "kernel/port.h", "tests/host/host_port.h"]:
        os.makedirs(os.path.dirname(tmp_path / path), exist_ok=True)
        shutil.copy(os.path.join(root, path), tmp_path / path)
    for path in files:
        if path.endswith(".c"):
            subprocess.run(["gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-I.", "-c",
                            '-DGRANARY_PORT="tests/host/host_port.h"', path, "-o", os.devnull], cwd=tmp_path,
                           check=True)
