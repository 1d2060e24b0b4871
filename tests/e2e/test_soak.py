"""soak=OPS[,THREADS[,SEED]]: random calls for as long as one likes, with the heap checked meanwhile."""

import re
import subprocess

import pytest

LINE = re.compile(r"^soak: seed=(\d+) threads=(\d+) ops=(\d+) checks=(\d+) spoilt=0 refused=0 broken=0 leaked=0 "
                  r"hash=([0-9a-f]+)$")


def soak(boot, value, **options):
    done = boot(f"batch demo=no soak={value}", timeout=120, **options)
    assert done.code == 0, done.lines[-5:]
    found = [match for match in map(LINE.match, done.lines) if match]
    assert len(found) == 1, done.lines[-5:]
    return found[0]


def test_the_same_seed_gives_the_same_hash(boot):
    first, again, other = soak(boot, "60000"), soak(boot, "60000"), soak(boot, "60000,0,2")
    assert first[5] == again[5] != other[5]
    assert (first[3], first[4]) == ("60000", "6")


def test_bochs_too(boot):
    # Not the same hash: its memory map puts the heap's first frame elsewhere.
    assert soak(boot, "20000", emulator="bochs")[3] == "20000"


def test_many_threads(boot):
    assert soak(boot, "40000,16")[2] == "16"


@pytest.mark.parametrize("value", ["0", "many", "1,65", "1,2,3,4", "4000000001"])
def test_a_wrong_value_is_named(boot, value):
    done = boot(f"batch demo=no soak={value}")
    assert any(f"bad value '{value}' for 'soak' (soak=OPS[,THREADS[,SEED]])" in line for line in done.lines)


@pytest.mark.xdist_group("make")
def test_on_the_host(root):
    """`make soak-host`, short: twice the same line; the heap was full at times."""
    done = subprocess.run(["make", "--no-print-directory", "soak-host", "SOAK_HOST_OPS=300000"], cwd=root,
                          capture_output=True, text=True, timeout=300, check=False)
    first, again = done.stdout.splitlines()[-2:]
    assert (done.returncode, first) == (0, again), done
    assert re.fullmatch(r"soak: seed=1 threads=0 ops=300000 checks=30 spoilt=0 refused=[1-9]\d* broken=0 leaked=0 "
                        r"hash=[0-9a-f]{8}", first), first


@pytest.mark.parametrize("words", [[], ["0"], ["-1"], ["x"], ["1", "2", "3"], ["99999999999"]])
@pytest.mark.xdist_group("make")
def test_wrong_words_on_the_host(root, words):
    subprocess.run(["make", "-s", "build/host/soak_heap"], cwd=root, check=True)
    done = subprocess.run(["build/host/soak_heap", *words], cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: soak_heap OPS [SEED]")
