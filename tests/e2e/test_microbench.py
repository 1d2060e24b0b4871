"""ARGS="bench": the kernel counts the instructions of patterns of allocation."""

import re

LINE = re.compile(r"^bench: name=(\w+)(?: live=(\d+))? pairs=(\d+) insn=(\d+\.\d) classic=(\d+\.\d)$")


def figures(done, column=4):
    """{(name, live): instructions}; column 5: of the seed's own heap."""
    found = {}
    for line in done.lines:
        if line.startswith("bench: name="):
            match = LINE.match(line)
            assert match, line
            found[match[1], int(match[2] or 0)] = float(match[column])
    return found


def test_every_pattern_is_counted_the_same_each_time(boot):
    args = dict(args="batch demo=no bench", mem=256, timeout=180, more=("--icount",))
    first = boot(**args)
    assert first.code == 0, first.lines[-5:]
    found = figures(first)
    assert set(found) == {("pair_32", 0), ("empty_16", 0), ("order_64", 0), ("random_1024", 10000), ("pair_4096", 0),
                          ("pair_5000", 0), ("pair_65536", 0), ("live", 1000), ("live", 10000), ("live", 100000),
                          ("live", 1000000), ("fragmented", 100000)}
    # A pair is two calls: fewer instructions than a call, a test and a return each would be no measurement.
    assert all(10 < insn < 1000 for insn in found.values()), found
    again = boot(**args)
    assert figures(again) == found and figures(again, 5) == figures(first, 5)
    # The same calls of the seed's heap: no pattern is cheaper there, and its arena's edge is a step for each block.
    assert all(10 < insn < 20000 for insn in figures(first, 5).values())
    assert figures(first, 5)["empty_16", 0] > 20 * found["empty_16", 0]


CROWD = re.compile(r"^bench: name=(\w+) processors=(\d+) pairs=(\d+) insn=(\d+\.\d)$")


def test_on_several_processors_at_once_a_pair_takes_the_same(boot):
    """Blocks, to one in a hundred: no lock, and none waits for another. Large areas wait."""
    alone = figures(boot("batch demo=no bench", mem=256, timeout=180, more=("--icount",)))
    done = boot("batch demo=no bench", mem=256, timeout=180, more=("--icount", "--cpus", "4"))
    assert done.code == 0, done.lines[-5:]
    found = {match[1]: (int(match[2]), int(match[3]), float(match[4]))
             for match in map(CROWD.match, done.lines) if match}
    assert set(found) == {"pair_32", "random_1024", "pair_5000", "live_1000", "live_10000"}
    assert {figure[:2] for figure in found.values()} == {(4, 80000)}
    for name, key in (("pair_32", ("pair_32", 0)), ("random_1024", ("random_1024", 10000)),
                      ("live_1000", ("live", 1000)), ("live_10000", ("live", 10000))):
        assert 0.99 < found[name][2] / alone[key] < 1.01, (name, found[name], alone[key])
    assert found["pair_5000"][2] < 1500


def test_too_little_memory_is_said(boot):
    done = boot("batch demo=no bench", mem=16, more=("--icount",), timeout=180)
    assert done.code == 0
    skipped = [line for line in done.lines if " skipped: too little memory, MEM=" in line]
    assert any("live=1000000" in line for line in skipped)
