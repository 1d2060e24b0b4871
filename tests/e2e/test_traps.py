"""What docs/traps.md and docs/memory.md say in figures, measured on the running kernel.

`-icount shift=0` makes rdtsc count instructions: the same in every run, on every host.
"""

import re

from test_microbench import figures
from test_replay import FREE, MALLOC, Trace, random_trace, replay  # replay: the fixture

DOCUMENT = "docs/memory.md"
STRETCH = re.compile(r"at most (\d+) instructions with interrupts off")


def read(root, path):
    with open(f"{root}/{path}", encoding="utf-8") as file:
        return file.read()


def test_costs_are_below_what_is_promised(boot, root):
    """The table's last column is a bound: it holds, and is not so wide that it says nothing."""
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| ([\d,]+) \| (\d+) \|$", read(root, DOCUMENT), re.MULTILINE)
    promised = {name: int(most) for name, _, most in rows}
    assert set(promised) == {"pair_32", "order_64", "random_1024", "pair_5000", "empty_16"}
    done = boot("batch demo=no bench", mem=256, timeout=180, more=("--icount",))
    measured = {name: insn for (name, live), insn in figures(done).items() if name in promised}
    assert set(measured) == set(promised), done
    for name, most in promised.items():
        assert most / 1.5 < measured[name] <= most, name
    classic = {name: insn for (name, live), insn in figures(done, 5).items()}
    for name, told, _ in rows:  # another compiler's code may be a little longer or shorter
        assert abs(classic[name] / int(told.replace(",", "")) - 1) < 0.15, (name, classic[name])


def arenas_and_areas():
    """Everything that opens, closes, cuts and joins: blocks of every size until arenas are full, areas in between."""
    trace, slot = random_trace(7, 12000), 400
    for size in (16, 32, 100, 1000, 5000, 300000):
        count = 600 if size <= 1024 else 30
        for turn in range(2):
            for at in range(count):
                trace.add(MALLOC, slot + at, size)
            for at in range(count):
                trace.add(FREE, slot + (at * 7 + turn) % count)
    return trace


def test_interrupts_are_off_for_a_bounded_time(replay, root):
    """Nowhere a walk over an arena's blocks, or over the pool."""
    promised = int(STRETCH.search(read(root, DOCUMENT))[1])
    small, large = (replay(arenas_and_areas(), "--mem", mem) for mem in ("64", "1024"))
    for done in (small, large):
        assert done.code == 0, done.stdout + done.stderr
        assert int(done.result["irqs_off_max"]) <= promised


def test_refused_calls_keep_interrupts_off_no_longer(boot, root):
    """Nowhere a walk to the first frame of what a wrong pointer lies in."""
    promised = int(STRETCH.search(read(root, DOCUMENT))[1])
    for mem in (16, 64, 1024, 3072):
        done = boot("batch demo=no test=heap_refusals_are_short", mem=mem, timeout=180, more=("--icount",))
        assert "tests: 1 passed, 0 failed" in done.lines, done
        measured = [int(match[1]) for match in
                    (re.search(r"irqwatch: refused calls, (\d+) instructions", line) for line in done.lines) if match]
        assert len(measured) == 1 and 0 < measured[0] <= promised, mem


def test_an_area_whose_seal_is_zero_is_the_heaps(boot):
    """frame_free() of its frames is refused like that of every other area's."""
    done = boot("batch demo=no test=heap_area_with_a_seal_of_zero_is_the_heaps", mem=1024, timeout=180)
    assert "seal: 0 at 0xa31e5000" in done.lines, done
    assert "tests: 1 passed, 0 failed" in done.lines


def test_page_counts_pass_16_bits(boot):
    """Of 1200 MiB the kernel pool has more than 140,000 frames: one area of half of them, then each by itself."""
    done = boot("batch demo=no test=heap_checkerboard,heap_exhaustion_and_recovery", mem=1200, timeout=180)
    assert done.code == 0, done
    frames = next(int(match[1]) for match in (re.search(r"kernel_pool: (\d+) frames", line) for line in done.lines)
                  if match)
    assert frames // 2 > 65536
    assert "tests: 2 passed, 0 failed" in done.lines
