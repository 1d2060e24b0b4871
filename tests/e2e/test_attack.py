"""Programs that misbehave (tests/fuzz/attack.c): nothing of the heap breaks, and the search would see it."""

import os
import re
import subprocess

import pytest

from conftest import ROOT

ACTIONS = 300_000
PROGRAM = os.path.join(ROOT, "build", "host", "attack")


@pytest.fixture(scope="module")
def program():
    subprocess.run(["make", "-s", "build/host/attack", "libgranary"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return PROGRAM


def attack(program, library, threads=1):
    environment = {**os.environ, "LD_PRELOAD": library}
    done = subprocess.run([program, str(ACTIONS), "1", str(threads)], env=environment, check=True, capture_output=True,
                          text=True)
    return {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", done.stdout)}


@pytest.mark.xdist_group("make")
@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("library", ["libgranary.so", "libgranary-checked.so"])
def test_granary_stays_whole(program, library, threads):
    """Not one overlap, wild pointer, abort or crash: every run reaches its end."""
    counts = attack(program, os.path.join(ROOT, "build", "host", library), threads)
    assert counts["actions"] >= ACTIONS
    assert [counts[name] for name in ("overlaps", "wild", "aborted", "crashed")] == [0, 0, 0, 0], counts


# An allocator as simple as they come: each freed block goes to the front of a list that is threaded through the blocks.
WEAK = r"""
#include <stddef.h>
#include <string.h>
static char memory[1 << 26] __attribute__((aligned(4096)));
static size_t used;
static void *list[16];
static int list_of(size_t n) { int k = 0; while (k < 20 && ((size_t)32 << k) < n) k++; return k; }
void *malloc(size_t n) {
    int k = list_of(n + 16);
    if (k > 15) return NULL;
    void **p = list[k];
    if (p) { list[k] = *p; return p; }
    size_t whole = (size_t)32 << k;
    if (used + whole > sizeof memory) return NULL;
    char *start = memory + used;
    used += whole;
    *(size_t *)start = n;
    return start + 16;
}
void free(void *p) {
    if (!p) return;
    size_t n = *(size_t *)((char *)p - 16);
    int k = list_of(n + 16);
    if (k > 15) return;
    *(void **)p = list[k];
    list[k] = p;
}
void *calloc(size_t a, size_t b) { void *p = malloc(a * b); return p ? memset(p, 0, a * b) : p; }
void *realloc(void *p, size_t n) {
    void *to = malloc(n);
    if (p && to) { memcpy(to, p, n < 32 ? n : 32); free(p); }
    return to;
}
"""


@pytest.mark.xdist_group("make")
@pytest.mark.parametrize("threads", [1, 4])
def test_the_search_finds_what_it_looks_for(program, tmp_path, threads):
    """Links inside the blocks, believed: a double free overlaps, and a late write leads to the target."""
    (tmp_path / "weak.c").write_text(WEAK)
    library = str(tmp_path / "weak.so")
    subprocess.run(["gcc", "-O1", "-fPIC", "-shared", "-fno-builtin", "-o", library, str(tmp_path / "weak.c")],
                   check=True)
    counts = attack(program, library, threads)
    assert counts["overlaps"] > 100 and counts["wild"] > 100, counts


@pytest.mark.xdist_group("make")
def test_the_command_prints_its_table():
    done = subprocess.run(["make", "-s", "attack", "ACTIONS=20000"], cwd=ROOT, capture_output=True, text=True,
                          check=False)
    rows = re.findall(r"^\| (\S+) \| (\d+) \| ([\d,]+) \|", done.stdout, re.MULTILINE)
    assert done.returncode == 0 and done.stdout.endswith("attack: 1 passed, 0 failed\n"), done.stderr
    ours = [(threads, int(actions.replace(",", ""))) for name, threads, actions in rows if name == "granary"]
    assert [threads for threads, _ in ours] == ["1", "4"] and all(actions >= 200_000 for _, actions in ours)
