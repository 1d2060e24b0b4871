"""The runner's verdicts, one by one, on transcripts and endings made up here.

test_runner.py has the same with kernels that really panic, hang and lie.
"""

import pytest

import run
import testall
from run import FAILED, HANG, NO_LAST_LINE, PANIC, PASSED, WRONG_EXIT

GOOD = ["Granary", "mem_init done", run.LAST_PASSED]


def qemu(status, timed_out=False):
    return run.Ending("qemu", status, "", timed_out, 60)


def bochs(messages, status=1):
    return run.Ending("bochs", status, messages, False, 60)


SHUTDOWN = bochs(run.BOCHS_SHUTDOWN)

CASES = {
    "passed": (GOOD, qemu(33), PASSED, ""),
    "passed in Bochs": (GOOD, SHUTDOWN, PASSED, ""),
    "failed": (["a", run.LAST_FAILED], qemu(35), FAILED, "reports a failure"),
    "failed in Bochs": (["a", run.LAST_FAILED], SHUTDOWN, FAILED, "reports a failure"),
    "panic": (["panic: page fault", run.LAST_PANIC], qemu(37), PANIC, "panicked: panic: page fault"),
    "panic, then a good end": (["panic: x"] + GOOD, qemu(33), PANIC, "panic: x"),
    "panic, then a hang": (["panic: x"], qemu(None, True), PANIC, "panic: x"),
    "panic without its line": (["a", run.LAST_PANIC], qemu(37), PANIC, "no reason given"),
    "hang": (["a", "b"], qemu(None, True), HANG, "no last line within 60 s; the console ended with: a | b"),
    "hang, nothing on the console": ([], qemu(None, True), HANG, "the console stayed empty"),
    "hang after the last line": (GOOD, qemu(None, True), HANG, 'did not end after "granary: halt passed"'),
    "no last line": (["a"], qemu(33), NO_LAST_LINE, "missing, and the exit says: passed"),
    "reset": (["a"], qemu(0), NO_LAST_LINE, "triple fault"),
    "triple fault in Bochs": (["a"], bochs("(13) " + run.BOCHS_TRIPLE_FAULT), NO_LAST_LINE, "triple fault"),
    "text after the last line": (GOOD + ["more"], qemu(33), NO_LAST_LINE, "is missing"),
    "last line with a blank": ([run.LAST_PASSED + " "], qemu(33), NO_LAST_LINE, "is missing"),
    "last line not at the start": (["x " + run.LAST_PASSED], qemu(33), NO_LAST_LINE, "is missing"),
    "a word of panic inside a line": (["no panic: fine"] + GOOD, qemu(33), PASSED, ""),
    "lie: failed exit": (GOOD, qemu(35), WRONG_EXIT, "the exit says: failed"),
    "lie: panic exit": (GOOD, qemu(37), WRONG_EXIT, "the exit says: panic"),
    "lie: reset": (GOOD, qemu(0), WRONG_EXIT, "reset"),
    "lie: Bochs crashed": (GOOD, bochs("", status=139), WRONG_EXIT, "status 139"),
}


@pytest.mark.parametrize("name", CASES)
def test_verdict(name):
    lines, ending, code, words = CASES[name]
    verdict = run.judge(lines, ending)
    assert verdict.code == code, verdict
    assert words in verdict.message


@pytest.mark.parametrize("raw, lines", [
    (b"", []), (b"a\r\nb\r\n", ["a", "b"]), (b"a\nb", ["a", "b"]), (b"a\n\n", ["a", ""]), (b"\xff\n", ["\ufffd"]),
])
def test_transcript_lines(raw, lines):
    assert run.transcript_lines(raw) == lines


@pytest.mark.parametrize("lines, found", [
    ([], None), (["3 passed, 0 failed"], (3, 0)), (["e2e: 3 passed, 1 failed", "make: *** Error 1"], (3, 1)),
    (["1 passed, 0 failed", "2 passed, 0 failed"], (2, 0)), (["about 3 passed, 0 failed or so"], None),
])
def test_counts(lines, found):
    assert testall.counts(lines) == found


def test_kernel_counts_hold_the_lines_against_the_sum():
    lines = ["test a b ... ok", "test c ... FAILED", "tests: 1 passed, 1 failed"]
    assert testall.kernel_counts(lines) == (1, 1)
    assert testall.kernel_counts(lines[:1] + lines[2:])[1] > 0, "a test that vanished"
    assert testall.kernel_counts(lines[:2])[1] > 0, "no sum"
    assert testall.kernel_counts([])[1] > 0, "nothing ran"
