"""The tools in environments that are not ours: odd folders for temporary files, settings of Python, readers that go
away, signals at any time, terminals that are closed.

Only this file looks at what is left after an end that the user did not choose: processes and files.
"""

import os
import pty
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

from conftest import E2E, PYTHON, ROOT

TOOLS = os.path.join(ROOT, "tools")
RUN = [PYTHON, os.path.join(TOOLS, "run.py"), "--image", os.path.join(E2E, "hd.img")]
DEBUG = [PYTHON, os.path.join(TOOLS, "debug", "start.py")]
REWIND = [PYTHON, os.path.join(TOOLS, "rewind", "rewind.py"), "--build", E2E]
HANG = "--args=batch demo=no selftest=hang"


@pytest.fixture
def place():
    """A folder for TMPDIR whose path is short; there must be nothing in it at the end."""
    folder = tempfile.mkdtemp(prefix="gr-")
    yield folder
    left = os.listdir(folder)
    shutil.rmtree(folder)
    assert left == []


def processes_of(place):
    """The process numbers of everything whose command line names the folder `place`."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if place.encode() in file.read():
                    found.append(int(pid))
        except OSError:
            pass  # it has just ended
    return found


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def scripts():
    """Every program among the Python files."""
    for folder in ("tools", "bench"):
        for path, _, names in os.walk(os.path.join(ROOT, folder)):
            for full in (os.path.join(path, name) for name in names if name.endswith(".py")):
                with open(full, encoding="utf-8") as text:
                    if '\nif __name__ == "__main__":\n' in text.read():
                        yield os.path.relpath(full, ROOT)


@pytest.mark.parametrize("script", sorted(scripts()))
def test_a_tool_finds_its_own_parts(script):
    """Where Python is told not to look in a program's own folder, and another folder has modules of the same names."""
    with tempfile.TemporaryDirectory() as others:
        for name in ("cli", "emulator", "run", "machine", "stats", "style"):
            with open(os.path.join(others, name + ".py"), "w", encoding="utf-8") as file:
                file.write("raise SystemExit('another module of that name')\n")
        load = f"import runpy; runpy.run_path({script!r}, run_name='loaded')"
        done = subprocess.run([PYTHON, "-c", load], cwd=ROOT, capture_output=True, text=True, check=False,
                              env=dict(os.environ, PYTHONSAFEPATH="1", PYTHONPATH=others))
    assert (done.returncode, done.stderr) == (0, "")


FOREIGN = {"CPATH": "/usr/include", "C_INCLUDE_PATH": "/usr/include", "LIBRARY_PATH": "/nowhere", "CDPATH": "/tmp",
           "LDEMULATION": "elf_x86_64", "NASMENV": "-f win32", "LC_ALL": "tr_TR.UTF-8", "LANG": "de_DE.UTF-8",
           "PYTHONINSPECT": "1", "PYTHONHOME": "/nowhere", "PYTHONSAFEPATH": "1", "PYTHONWARNINGS": "error"}


def test_make_keeps_the_user_s_environment_out(tmp_path):
    """Compiler, assembler and interpreter work as ever, and none of the recipes sees the settings."""
    (tmp_path / "show.mk").write_text("show: $(BUILD)/obj/lib/string.o $(BUILD)/boot/loader.bin\n"
                                      "\t@$(PYTHON) -c 'import os; print(*os.environ)'; echo $$LC_ALL\n")
    words = ["make", "-s", "-f", "Makefile", "-f", str(tmp_path / "show.mk"), f"BUILD={tmp_path}/build", "show"]
    done = subprocess.run(words, cwd=ROOT, env=dict(os.environ, **FOREIGN), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    names, locale = done.stdout.splitlines()[-2:]
    assert set(names.split()) & set(FOREIGN) == {"LC_ALL", "LANG"} and locale == "C.UTF-8"


def test_a_clone_has_the_line_ends_that_its_tools_need(tmp_path):
    """Git for Windows, and systems that copy its settings, turn every line's end into CR LF where it may."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "-c", "core.autocrlf=true", "-c", "core.eol=crlf", "clone", "-q", "--depth=1",
                    f"file://{ROOT}", str(clone)], check=True)
    listed = subprocess.run(["git", "ls-files", "--eol"], cwd=clone, check=True, capture_output=True, text=True).stdout
    assert len(listed.splitlines()) > 100 and "w/crlf" not in listed and "w/mixed" not in listed
    subprocess.run(["sh", "-n", "tools/setup.sh"], cwd=clone, check=True)


def test_nothing_needs_the_links_in_dev():
    """A container's /dev may lack `stdout` and its like. A program of root that writes there makes a file, silently."""
    found = subprocess.run(["git", "grep", "-nE", "/dev/(std(in|out|err)|fd/)", "--", ":!docs"], cwd=ROOT,
                           capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (1, ""), found.stderr  # 1: nothing was found


COMMANDS = {"qemu": RUN + ["--args=batch demo=no"], "bochs": RUN + ["--args=batch demo=no", "--emulator", "bochs"],
            "gdb": DEBUG + ["gdb", "--build", E2E], "bochs-debug": DEBUG + ["bochs", "--build", E2E],
            "rewind": REWIND + ["--args=demo=no"]}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("odd", ["a blank, a comma; it's", "long" * 40], ids=["characters", "length"])
def test_any_folder_for_temporary_files(place, name, odd):
    """What an emulator or a socket cannot take is passed over for the next place."""
    folder = os.path.join(place, odd)
    os.mkdir(folder)
    done = subprocess.run(COMMANDS[name], cwd=ROOT, input="quit\n", capture_output=True, text=True, check=False,
                          timeout=100, env=dict(os.environ, TMPDIR=folder, XDG_RUNTIME_DIR=place))
    os.rmdir(folder)  # it is empty
    assert (done.returncode, done.stderr) == (0, ""), done


@pytest.mark.parametrize("tool", ["run.py", "screenshot.py", "debug/start.py", "rewind/rewind.py"])
def test_a_memory_size_that_is_none_is_one_sentence(tool):
    words = {"debug/start.py": ["gdb"], "screenshot.py": ["--image", "x", "--out", "y"]}.get(tool, [])
    done = subprocess.run([PYTHON, os.path.join(TOOLS, tool), *words, "--mem", "abc"], cwd=ROOT, capture_output=True,
                          text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(": the memory size 'abc' is not a number of MiB\n") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [[], ["-x"], ["kernel"]])
def test_wrong_use_is_one_sentence(words):
    done = subprocess.run([PYTHON, "tools/testall.py", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    usage = "test: usage: testall.py kernel IMAGE CHECKED-IMAGE | testall.py all\n"
    assert (done.returncode, done.stderr) == (2, usage)


# ---- the end ---------------------------------------------------------------------------------------------------------

def start(command, place, **more):
    """The tool, with its emulator running."""
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, env=dict(os.environ, TMPDIR=place), **more)
    assert wait_for(lambda: processes_of(place)), "no emulator"
    return process


HANGING = {name: words + [HANG] if name in ("qemu", "bochs", "rewind") else words for name, words in COMMANDS.items()}


@pytest.mark.parametrize("number, status", [(signal.SIGHUP, 129), (signal.SIGTERM, 143)], ids=["SIGHUP", "SIGTERM"])
@pytest.mark.parametrize("name", HANGING)
def test_a_signal_ends_the_tool_its_emulator_and_its_folder(place, name, number, status):
    process = start(HANGING[name], place)
    process.send_signal(number)
    process.send_signal(signal.SIGTERM)  # make sends one, too: it must not cut the clean-up short
    assert process.wait(20) == status
    assert wait_for(lambda: not processes_of(place))
    process.stdin.close()


@pytest.mark.parametrize("name", HANGING)
def test_no_emulator_outlives_a_killed_tool(place, name):
    process = start(HANGING[name], place)
    process.kill()
    process.wait(20)
    assert wait_for(lambda: not processes_of(place))
    process.stdin.close()
    for left in os.listdir(place):  # a killed tool cannot clean up
        shutil.rmtree(os.path.join(place, left))


@pytest.mark.parametrize("name", HANGING)
def test_a_closed_terminal_ends_everything(place, name):
    """A shell in a terminal, a tool in the shell; the terminal goes away."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.environ["TMPDIR"] = place
        os.execvp("sh", ["sh", "-c", '"$@"; exit', "sh", *HANGING[name]])
    assert wait_for(lambda: processes_of(place)), "no emulator"
    os.close(terminal)
    assert wait_for(lambda: not processes_of(place) and not os.listdir(place))
    os.waitpid(pid, 0)


def test_a_nohup_stays_one(place):
    """A tool that was started to outlive its terminal does."""
    process = start(["nohup", *HANGING["qemu"]], place)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert process.poll() is None
    process.terminate()
    assert process.wait(20) == 143
    process.stdin.close()


def test_a_tool_ends_with_its_make(place, tmp_path):
    """A make that is killed says nothing to its children."""
    (tmp_path / "Makefile").write_text(f"all:\n\t@{' '.join(map(repr, HANGING['qemu']))}\n")
    process = start(["make", "-f", str(tmp_path / "Makefile")], place)
    process.kill()
    process.wait(20)
    assert wait_for(lambda: not processes_of(place) and not os.listdir(place))
    process.stdin.close()


def test_a_reader_that_goes_away(place):
    """`make run | head -1`: no traceback, no emulator left."""
    done = subprocess.run(f"{' '.join(map(repr, RUN))} --args=batch | head -1; echo ${{PIPESTATUS[0]}}", shell=True,
                          executable="/bin/bash", cwd=ROOT, capture_output=True, text=True, check=False,
                          env=dict(os.environ, TMPDIR=place))
    first, status = done.stdout.splitlines()
    assert first and (status, done.stderr) == (str(128 + signal.SIGPIPE), "")
    assert not processes_of(place)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_a_standard_file_that_is_closed(place, closed):
    done = subprocess.run(f"{' '.join(map(repr, RUN))} '--args=batch demo=no' {closed}", shell=True, cwd=ROOT,
                          capture_output=True, text=True, check=False, env=dict(os.environ, TMPDIR=place))
    assert (done.returncode, done.stderr) == (0, ""), done


def test_ctrl_c_in_all_tests_is_no_traceback(tmp_path):
    """The first kind of tests waits for ever; the terminal's Ctrl-C goes to both."""
    make = tmp_path / "make"
    make.write_text("#!/bin/sh\necho started\nexec sleep 1000\n")
    make.chmod(0o755)
    process = subprocess.Popen([PYTHON, os.path.join(TOOLS, "testall.py"), "all"], stdout=subprocess.PIPE, text=True,
                               stderr=subprocess.PIPE, env=dict(os.environ, MAKE=str(make)), start_new_session=True)
    while "started" not in process.stdout.readline():
        pass
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (130, "")


def test_a_stopped_make_test_does_not_wait_for_what_it_started(tmp_path):
    """`make` passes its SIGTERM on to testall.py alone."""
    make = tmp_path / "make"
    make.write_text("#!/bin/sh\necho started $$\nexec sleep 1000\n")
    make.chmod(0o755)
    process = subprocess.Popen([PYTHON, os.path.join(TOOLS, "testall.py"), "all"], stdout=subprocess.PIPE, text=True,
                               stderr=subprocess.PIPE, env=dict(os.environ, MAKE=str(make)))
    while not (line := process.stdout.readline()).startswith("started"):
        pass
    process.terminate()
    assert process.wait(20) == 143
    assert not os.path.exists(f"/proc/{line.split()[1]}")
