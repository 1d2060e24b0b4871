"""cli.py - how every tool here starts and ends, whatever environment it is started in.

A tool is a function of its arguments that returns a status; its last line is

    if __name__ == "__main__":
        sys.exit(cli.main(main, "name"))

and main() below gives it:

  - one sentence on standard error, and status 2, for wrong use, a missing program or file (RunError, OSError);
  - an end at Ctrl-C (130), at SIGTERM (143) and when its terminal is closed (129), each of which runs every `finally`;
  - a silent end, by SIGPIPE as other programs have it, if the reader of its output has gone (`make run | head`);
  - an end together with the `make` that started it.

A child that is started with preexec_fn=cli.tied never outlives the tool, not even one that was killed.
Everything temporary lies in a folder() and goes with it.
"""

import argparse
import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile

WRONG_USE, INTERRUPTED = 2, 130

ENDINGS = (signal.SIGTERM, signal.SIGHUP)

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)

# A path in it must fit a socket's address (108 bytes), and neither QEMU's options nor Bochs's may cut it in two.
PLACE_MAX = 64
PLACE_AWKWARD = frozenset(" \t\n,:;=\"'\\%#$")


class RunError(Exception):
    """What keeps a tool from doing its work; the text is meant for the user."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, without the list of all options."""

    def error(self, message):
        raise RunError(f"{message} ({self.prog} --help)")


def missing(name, words=None):
    """A RunError for a command or package that is not there, with the command that brings it (see setup.sh's table)."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "setup.sh"), encoding="utf-8") as file:
        table = file.read().split("needs='\n")[1].split("\n'")[0]
    for lists, presence, packages, _ in (line.split(None, 3) for line in table.splitlines()):
        if name in (presence, *packages.rstrip("?").replace("|", ",").split(",")):
            return RunError(f"{words or name} is missing: `sh tools/setup.sh --only {lists.split(',')[0]}` installs it")
    return RunError(f"{words or name} is missing")


def find_program(name):
    """Path of a program, or RunError with the way to get it."""
    path = shutil.which(name)
    if path is None:
        raise missing(name)
    return path


def mebibytes(text):
    """A memory size on the command line, for `type=`."""
    if not (text.isascii() and text.isdigit()):
        raise RunError(f"the memory size '{text}' is not a number of MiB")
    return int(text)


def processors(text):
    """A number of processors on the command line, for `type=`."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 255):
        raise RunError(f"the number of processors '{text}' is not one from 1 to 255")
    return int(text)


def tied():
    """For preexec_fn: the system kills the child when the thread that started it ends."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def stop(process):
    """Ends a child, gently at first."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def places():
    """Folders for temporary files, the user's own choice first."""
    named = [os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP", "XDG_RUNTIME_DIR")]
    return [place for place in named if place] + ["/tmp", "/var/tmp", "/dev/shm"]


def place():
    """The first of them that every emulator and debugger can take."""
    for path in map(os.path.abspath, places()):
        if len(os.fsencode(path)) <= PLACE_MAX and not PLACE_AWKWARD & set(path) and os.access(path, os.W_OK | os.X_OK):
            return path
    raise RunError("no folder for temporary files: set TMPDIR to one with a short path without blanks or commas")


@contextlib.contextmanager
def folder(name):
    """A folder of this run's own, which is removed with all that is in it at the run's end."""
    path = tempfile.mkdtemp(prefix=f"granary-{name}-", dir=place())
    try:
        yield path
    finally:
        with ignoring(signal.SIGINT, *ENDINGS):
            shutil.rmtree(path, ignore_errors=True)


def environment(path):
    """Of a child that makes temporary files: there, so that one that is killed leaves none. (QEMU's vl.XXXXXX.)"""
    return {**os.environ, "TMPDIR": path}


@contextlib.contextmanager
def ignoring(*numbers):
    """Signals that come meanwhile are lost: what is done here must not be left half done."""
    before = [(number, signal.signal(number, signal.SIG_IGN)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def leave(number, frame):
    """A signal's handler: SystemExit runs every `finally`, and a second signal does not interrupt that."""
    for each in ENDINGS:
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)


def prepare():
    """Signals, and the three standard files: a closed one would give its number to the next file that is opened."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)
    for number in ENDINGS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup has it so
            signal.signal(number, leave)
    if "MAKELEVEL" in os.environ:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def reader_gone():
    """Nothing reads from the pipe that standard output is."""
    poll = select.poll()
    poll.register(1, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def sentence(error):
    """What an exception means to a user."""
    if isinstance(error, OSError):
        return ": ".join(str(part) for part in (error.filename, error.strerror) if part) or str(error)
    if isinstance(error, subprocess.CalledProcessError):
        return f"{os.path.basename(error.cmd[0])} ended with status {error.returncode}"
    if isinstance(error, subprocess.TimeoutExpired):
        return f"{os.path.basename(error.cmd[0])} did not end within {error.timeout:g} s"
    return str(error)


def finish(function):
    """The function's status, with its output written out."""
    status = function(sys.argv[1:])
    sys.stdout.flush()
    return status


def main(function, name):
    """Runs a tool. Returns its status."""
    prepare()
    try:
        return finish(function)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (RunError, OSError, subprocess.SubprocessError) as error:
        if isinstance(error, BrokenPipeError) and reader_gone():
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGPIPE)
        with contextlib.suppress(OSError):
            print(f"{name}: {sentence(error)}", file=sys.stderr)
        return WRONG_USE
