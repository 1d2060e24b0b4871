"""What a report says, of the heap and of a panic; and the heap's own tests with tables that are not built in."""

import pytest

from run import PANIC

BOTH = pytest.mark.parametrize("emulator", ["qemu", "bochs"])


def line_with(run, start):
    """The one line of a transcript that begins so."""
    found = [line for line in run.lines if line.startswith(start)]
    assert len(found) == 1, run
    return found[0]


@BOTH
def test_a_stack_overflow_names_the_thread_once(boot, emulator):
    run = boot("batch demo=no selftest=stack", emulator)
    assert run.code == PANIC, run
    line = line_with(run, "panic: ")
    assert "stack overflow" in line and line.endswith(" (thread diver)"), line
    assert line.count("thread") == 1 and line.count("diver") == 1, line


def test_a_user_frame_is_named_where_its_address_is_the_heaps_too(boot):
    """With 3000 MiB the user pool's physical addresses run into the numbers of the heap's window."""
    run = boot("batch demo=no test=heap_report_names_the_frame,heap_report_names_no_frame", mem=3000)
    assert run.code == 0, run
    assert "tests: 2 passed, 0 failed" in run.lines


@pytest.mark.parametrize("classes", ["16,4096", "8192", "48,144,400,1040,1360,2736,3600"])
def test_odd_tables_pass_the_heaps_tests(boot, classes):
    """A few sizes; one only, of two frames; sizes with odd factors, in arenas of several frames."""
    run = boot(f"batch demo=no test=heap_*,frame_*,classes_*,thread_out* classes={classes}", timeout=120)
    assert run.code == 0, run
    assert f"classes: {classes}, {len(classes.split(','))} sizes up to {classes.split(',')[-1]} bytes" in run.lines
