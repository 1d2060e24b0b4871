#!/usr/bin/python3
"""testall.py - runs the kinds of tests and adds them up.

  testall.py kernel   the kernel's own tests, in QEMU and in Bochs: the fast build and the checked one
  testall.py all      every kind (make test); the last line is `N passed, N failed`

Each kind is a command whose last line of the form `[NAME: ]N passed, N failed` counts. A kind that ends
badly without counting a failure, or that counts nothing at all, is a failure: silence proves nothing.
"""

import contextlib
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cli  # noqa: E402 (the line above makes it findable)

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
COUNT = re.compile(r"^(?:[^:]+: )?(\d+) passed, (\d+) failed$")
KERNEL_TIMEOUT = {"qemu": 400, "bochs": 1200}  # seconds; alone they take 15 and 90, and machines may be slow
# The first as it boots by default, with nothing said: the tests hold what they find against the command line.
KERNEL_ARGS = ("batch test", "batch test classes=fine")
# The checked build: what differs from the fast one in both emulators, the rest, unchanged C code, in the quicker one.
CHECKED_ARGS = {"qemu": ("batch test", "batch guard test=checked_*"),
                "bochs": ("batch test=checked_*", "batch guard test=checked_*")}
KINDS = ("host-test", "fuzz", "kernel-test", "e2e-test")


def counts(lines):
    """(passed, failed) of the last line that says so, else None."""
    for line in reversed(lines):
        match = COUNT.match(line.strip())
        if match:
            return int(match[1]), int(match[2])
    return None


def kernel_counts(lines):
    """Counts the `test NAME ... ok` lines of a transcript, and holds them against the kernel's own sum."""
    results = [line.rsplit(" ", 1)[-1] for line in lines if re.match(r"test \S.* \.\.\. (ok|FAILED)$", line)]
    passed, failed = results.count("ok"), results.count("FAILED")
    told = counts([line for line in lines if line.startswith("tests: ")])
    if told != (passed, failed):
        print(f"kernel tests: the kernel says {told}, its lines say {(passed, failed)}")
        failed += 1
    return passed, failed


def start_kernel_tests(emulator, args, image, folder):
    """The in-kernel tests of one image in one emulator: the running process. Its transcript will be in the folder."""
    return subprocess.Popen(
        [sys.executable, os.path.join(ROOT, "tools", "run.py"), "--emulator", emulator, "--image", image,
         "--args", args, "--transcript", os.path.join(folder, "transcript.txt"), "--quiet",
         "--timeout", str(KERNEL_TIMEOUT[emulator])], preexec_fn=cli.tied)


def judge_kernel_tests(status, folder, name):
    """(passed, failed) of a run that has ended."""
    transcript, lines = os.path.join(folder, "transcript.txt"), []
    if os.path.exists(transcript):
        with open(transcript, encoding="utf-8", errors="replace") as console:
            lines = console.read().splitlines()
    passed, failed = kernel_counts(lines)
    if status != 0 and failed == 0:
        failed = 1
    if failed:
        print("\n".join(lines[-60:]))
    print(f"kernel tests in {name}: {passed} passed, {failed} failed", flush=True)
    return passed, failed


def run_together(runs):
    """Some runs at the same time. [(passed, failed)]"""
    with contextlib.ExitStack() as stack:
        folders = [stack.enter_context(cli.folder("test")) for _ in runs]
        processes = [start_kernel_tests(emulator, args, image, folder)
                     for (emulator, args, image, _), folder in zip(runs, folders)]
        return [judge_kernel_tests(process.wait(), folder, f"{emulator}, {build}, {args}")
                for process, folder, (emulator, args, _, build) in zip(processes, folders, runs)]


def kernel_main(fast, checked):
    """As many at a time as there are processors; those that take equally long beside each other."""
    runs = [(emulator, args, fast, "fast build") for emulator in KERNEL_TIMEOUT for args in KERNEL_ARGS]
    runs += [(emulator, args, checked, "checked build")
             for emulator, lines in CHECKED_ARGS.items() for args in lines]
    cpus = os.cpu_count()
    results = [result for at in range(0, len(runs), cpus) for result in run_together(runs[at:at + cpus])]
    passed, failed = (sum(column) for column in zip(*results))
    print(f"kernel tests: {passed} passed, {failed} failed")
    return 1 if failed else 0


def run_kind(kind, make):
    """Runs `make KIND`, shows its output, returns (passed, failed)."""
    print(f"== {kind}", flush=True)
    lines = []
    jobs = f"-j{os.cpu_count()}"
    with subprocess.Popen([make, "--no-print-directory", jobs, kind], cwd=ROOT, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                          preexec_fn=cli.tied) as process:
        try:
            for line in process.stdout:
                lines.append(line)
                sys.stdout.write(line)
                sys.stdout.flush()
        except BaseException:  # stopped: what it started ends with it, and is not waited for
            cli.stop(process)
            raise
    found = counts(lines)
    if found is None:
        print(f"{kind}: no count in its output")
        return 0, 1
    if process.returncode != 0 and found[1] == 0:
        print(f"{kind}: ended with status {process.returncode}, with no failure counted")
        return found[0], 1
    if found == (0, 0):
        print(f"{kind}: not a single test ran")
        return 0, 1
    return found


def all_main(make):
    table = []
    for kind in KINDS:
        start = time.monotonic()
        passed, failed = run_kind(kind, make)
        table.append((kind, passed, failed, time.monotonic() - start))
    print("== result")
    for kind, passed, failed, seconds in table:
        print(f"{kind:12} {passed:5} passed {failed:5} failed {seconds:6.0f} s")
    passed, failed = sum(row[1] for row in table), sum(row[2] for row in table)
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


def main(argv):
    if len(argv) == 3 and argv[0] == "kernel":
        return kernel_main(argv[1], argv[2])
    if argv == ["all"]:
        return all_main(os.environ.get("MAKE", "make"))
    raise cli.RunError("usage: testall.py kernel IMAGE CHECKED-IMAGE | testall.py all")


if __name__ == "__main__":
    sys.exit(cli.main(main, "test"))
