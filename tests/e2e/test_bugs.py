"""The bug museum (kernel/museum/bugs.h): each fault is committed, and what is printed is what its page shows.

The pages, docs/bugs/, are the expectation: their blocks of code under "What you see" are compared with real runs, line
by line. Only what differs from build to build is left out: addresses, and numbers of frames, blocks and bytes. A twin
without the fault follows each: no report, so that a heap that always complains would not pass.

One boot has all exhibits that can be survived; those that end in a panic have one each.
"""

import functools
import os
import re
import subprocess

import pexpect
import pytest

from conftest import E2E, PYTHON, ROOT
from run import PANIC

pytestmark = pytest.mark.xdist_group("bugs")  # the transcripts are made once

PAGES = os.path.join(ROOT, "docs", "bugs")
FAST, CHECKED, GUARD = BUILDS = ("fast", "checked", "guard")
IMAGE = {FAST: os.path.join(E2E, "hd.img"), CHECKED: os.path.join(E2E, "check", "hd.img"),
         GUARD: os.path.join(E2E, "check", "hd.img")}
TITLE = re.compile(r"bugs: (\d+) ([a-z-]+): (.*)")
VERDICTS = ("as planned", "NOT SEEN", "silent, as it should be")


# ---- pages ---------------------------------------------------------------------------------------

def same_in_every_run(text):
    text = re.sub(r"0x[0-9a-f]+", "0x#", text)
    return re.sub(r"\b(frame|block|byte) \d+", r"\1 #", text)


def builds_of(label):
    """Which builds a sentence is about: "In the checked build, with `guard` or without:"."""
    if "every build" in label:
        return BUILDS
    return tuple(build for build in BUILDS if build in label)


def page_blocks(text):
    """{build: lines} of a page's "What you see": indented by four; by six where a line goes on."""
    blocks, builds = {}, ()
    for line in text.partition("## What you see\n")[2].partition("\n## ")[0].splitlines():
        if line.startswith("      "):
            for build in builds:
                blocks[build][-1] += " " + line.strip()
        elif line.startswith("    "):
            for build in builds:
                blocks.setdefault(build, []).append(line.strip())
        elif line:
            builds = builds_of(line)
    return blocks


def read_pages():
    pages = {}
    for name in sorted(os.listdir(PAGES)):
        match = re.fullmatch(r"(\d\d)-([a-z-]+)\.md", name)
        if match:
            with open(os.path.join(PAGES, name), encoding="utf-8") as file:
                pages[int(match[1])] = (match[2], file.read())
    return pages


NAMES_AND_PAGES = read_pages()
PANICS = [n for n, (_, text) in NAMES_AND_PAGES.items() if page_blocks(text)[FAST][0].startswith("panic: ")]
SURVIVED = [n for n in NAMES_AND_PAGES if n not in PANICS]


# ---- runs ----------------------------------------------------------------------------------------

@functools.lru_cache(maxsize=None)
def transcript(build, what, emulator="qemu", cpus=1):
    """(exit status, lines) of a boot with bugs=`what`."""
    args = f"batch demo=no bugs={what}" + " guard" * (build == GUARD)
    done = subprocess.run([PYTHON,
                           os.path.join(ROOT, "tools", "run.py"), "--emulator", emulator, "--image", IMAGE[build],
                           "--mem", "32", "--cpus", str(cpus), f"--args={args}"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, errors="replace", check=False, cwd=ROOT)
    return done.returncode, done.stdout.splitlines()


def exhibits(lines):
    """{n: (name, lines up to the verdict)} of a transcript."""
    found, at = {}, None
    for line in lines:
        match = TITLE.fullmatch(line)
        if match and match[3] in VERDICTS:
            found[int(match[1])][1].append(line)
            at = None
        elif match:
            at = int(match[1])
            found[at] = (match[2], [])
        elif at:
            found[at][1].append(line)
    return found


def shown_and_seen(n, build, emulator="qemu"):
    code, lines = transcript(build, "all", emulator)
    name, seen = exhibits(lines)[n]
    assert name == NAMES_AND_PAGES[n][0]
    shown = page_blocks(NAMES_AND_PAGES[n][1])[build]
    return [same_in_every_run(line) for line in shown], [same_in_every_run(line) for line in seen]


# ---- tests ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("n", SURVIVED)
def test_a_bug_gives_what_its_page_shows(n, build):
    shown, seen = shown_and_seen(n, build)
    assert shown == seen
    assert seen[-1].endswith(": as planned")


@pytest.mark.parametrize("build", [FAST, CHECKED])
def test_all_in_bochs(build):
    code, lines = transcript(build, "all", "bochs")
    assert code == 0, lines
    for n in SURVIVED:
        shown, seen = shown_and_seen(n, build, "bochs")
        assert shown == seen


@pytest.mark.parametrize("build", BUILDS)
def test_all_twins_are_silent(build):
    code, lines = transcript(build, "all,fixed")
    assert code == 0, lines
    found = exhibits(lines)
    assert sorted(found) == sorted(NAMES_AND_PAGES)
    for n, (name, seen) in found.items():
        assert seen[-1] == f"bugs: {n} {name}: silent, as it should be"
        assert not [line for line in seen if line.startswith(("heap:", "heap check:", "panic:"))], seen
    assert f"bugs: {len(found)} silent, 0 not" in lines


@pytest.mark.parametrize("build", BUILDS)
def test_the_kernel_is_sound_after_all(build):
    code, lines = transcript(build, "all")
    assert code == 0, lines
    assert lines[-2:] == [f"bugs: {len(SURVIVED)} as planned, 0 not", "granary: halt passed"]
    assert not [line for line in lines if line.startswith(("heap check:", "panic:"))]


@pytest.mark.parametrize("build", [FAST, CHECKED])
@pytest.mark.parametrize("n", PANICS)
def test_a_panic_is_the_report(n, build):
    code, lines = transcript(build, str(n))
    assert code == PANIC, lines
    panic = [same_in_every_run(line) for line in lines if line.startswith("panic: ")]
    assert panic == [same_in_every_run(line) for line in page_blocks(NAMES_AND_PAGES[n][1])[build]]
    assert lines[-1] == "granary: halt panic"


@pytest.mark.parametrize("n", PANICS)
def test_a_panic_in_bochs(n):
    code, lines = transcript(FAST, str(n), "bochs")
    assert code == PANIC, lines
    assert any(line.startswith("panic: ") for line in lines)


@pytest.mark.parametrize("emulator", ["qemu", "bochs"])
@pytest.mark.parametrize("build", [FAST, CHECKED])
@pytest.mark.parametrize("n", [29, 30])
def test_with_two_processors(n, build, emulator):
    """What two processors do to one block is the same where there are two; which of them is second may differ."""
    def of_either(lines):
        return [re.sub(r"thread (one|two)", "thread #", line) for line in lines]

    code, lines = transcript(build, str(n), emulator, cpus=2)
    assert code == 0, lines
    shown = [same_in_every_run(line) for line in page_blocks(NAMES_AND_PAGES[n][1])[build]]
    seen = [same_in_every_run(line) for line in exhibits(lines)[n][1]]
    assert of_either(seen) == of_either(shown)
    code, lines = transcript(build, f"{n},fixed", emulator, cpus=2)
    assert code == 0 and exhibits(lines)[n][1][-1].endswith(": silent, as it should be"), lines


def test_each_bug_has_one_page():
    """As many as the kernel has: no page of a number that was another bug's once."""
    pages = [f"{n:02}-{name}.md" for n, (name, _) in NAMES_AND_PAGES.items()]
    assert sorted(os.listdir(PAGES)) == sorted(pages + ["README.md"])
    assert sorted(exhibits(transcript(FAST, "all,fixed")[1])) == sorted(NAMES_AND_PAGES)


def test_the_faults_are_seen_by_what_the_table_says():
    """README.md's table: names, descriptions, and which report each build gives."""
    with open(os.path.join(PAGES, "README.md"), encoding="utf-8") as file:
        rows = re.findall(r"^\| (\d+) \| \[([a-z-]+)\]\((\S+)\) \| (.*) \| (.*) \| (.*) \| (.*) \|$", file.read(), re.M)
    assert [int(row[0]) for row in rows] == sorted(NAMES_AND_PAGES)
    for number, name, link, what, *reports in rows:
        n = int(number)
        assert link == f"{n:02}-{name}.md" and NAMES_AND_PAGES[n][0] == name
        text = NAMES_AND_PAGES[n][1]
        assert text.startswith(f"# {n}. {name}: {what}\n")
        assert f"bugs: {n} {name}: {what} - without the fault" in transcript(FAST, "all,fixed")[1]
        for build, report in zip(BUILDS, reports):
            first = [line for line in page_blocks(text)[build] if line.startswith(("heap: ", "panic: "))]
            words = first[0].split(": ") if first else ["the exhibit"]
            assert report == {"heap": f"`{words[-1] if not first else words[1]}`", "panic": "panic",
                              "the exhibit": "the exhibit"}[words[0]], name


def test_a_report_can_be_made_a_panic():
    code, lines = transcript(FAST, "1 heap=panic")
    assert code == PANIC
    assert "panic: heap misuse: double free (thread main)" in lines


def test_a_number_that_is_none_is_said_to_be():
    code, lines = transcript(FAST, str(len(NAMES_AND_PAGES) + 1))
    assert code == 1
    assert f"bugs: there is no number {len(NAMES_AND_PAGES) + 1}, only 1 .. {len(NAMES_AND_PAGES)}" in lines


@pytest.mark.parametrize("classes", ["fine", "16,4096", "48,144,400,1040"])
def test_other_tables_of_block_sizes(classes):
    """Where a block is larger than what was asked for, a byte too many may do no harm: then that is what is said."""
    code, lines = transcript(FAST, f"all classes={classes}")
    assert code == 0, lines
    assert f"bugs: {len(SURVIVED)} as planned, 0 not" in lines


def test_at_the_prompt():
    console = pexpect.spawn(PYTHON, [os.path.join(ROOT, "tools", "run.py"), "--auto", "--image",
                                     IMAGE[FAST], "--mem", "32", "--args=demo=no"], cwd=ROOT, timeout=60,
                            encoding="utf-8", codec_errors="replace", dimensions=(50, 160))
    console.expect_exact("granary> ")
    console.sendline("bugs")
    for n, (name, _) in NAMES_AND_PAGES.items():
        if console.expect([rf"{n} {name} +\w", "--more--"]) == 1:
            console.send(" ")
            console.expect(rf"{n} {name} +\w")
    console.expect_exact("granary> ")
    console.sendline("bugs 13")
    console.expect_exact("bugs: 13 write-after-free: as planned")
    console.sendline("bugs 13 fixed")
    console.expect_exact("bugs: 13 write-after-free: silent, as it should be")
    console.sendline("check")
    console.expect_exact("granary> ")
    console.sendline("halt")
    console.expect_exact("granary: halt passed")
    console.expect(pexpect.EOF)
