"""`make run` and `make bochs`, as a user types them: on a terminal and without one."""

import glob
import os
import subprocess

import pexpect
import pytest

pytestmark = pytest.mark.xdist_group("make")

MORE = "--more-- (Space: next page, q: end)"
PROMPT = "granary> "


def make(root, *words, **options):
    return subprocess.run(["make", "--no-print-directory", *words], cwd=root, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, errors="replace", check=False, **options)


def terminal(root, *words, env=None):
    return pexpect.spawn("make", ["--no-print-directory", *words], cwd=root, timeout=60, encoding="utf-8", env=env,
                         codec_errors="replace", dimensions=(50, 160))


def ask(console, command, answer):
    """Types a command at the prompt, turns the pages, and returns what came up to the next prompt."""
    console.sendline(command)
    console.expect(answer)
    text = ""
    while console.expect_exact([PROMPT, MORE]) == 1:
        text += console.before
        console.send(" ")
    return text + console.before


def leave(console):
    """The exit status of make once the console has ended."""
    console.expect(pexpect.EOF)
    console.close()
    return console.exitstatus


@pytest.mark.parametrize("target", ["run", "bochs"])
def test_without_a_terminal_it_shows_the_demonstration_and_ends(root, target):
    done = make(root, target)
    assert done.returncode == 0, done
    lines = done.stdout.splitlines()
    assert lines[-1] == "granary: halt passed"
    assert "mem_init start" in lines and "mem_init done" in lines
    assert any(line.startswith("e820: ") for line in lines)
    assert not any(line.startswith(("panic:", "heap:")) for line in lines)
    assert PROMPT.strip() not in done.stdout


def test_on_a_terminal_a_prompt_follows_the_demonstration(root):
    console = terminal(root, "run")
    console.expect_exact("mem_init done")
    console.expect_exact(PROMPT)
    for command in ("help", "mem", "ps", "halt"):
        assert command in ask(console, "help", "help")
    ask(console, "mem", "kernel_pool")
    ask(console, "ps", "idle")
    ask(console, "frobnicate", "frobnicate")
    ask(console, "", "")
    console.sendline("halt")
    console.expect_exact("granary: halt passed")
    assert leave(console) == 0


def test_bochs_on_a_terminal_without_a_display(root):
    console = terminal(root, "bochs", "ARGS=demo=no")
    console.expect_exact(PROMPT)
    ask(console, "mem", "kernel_pool")
    console.sendline("halt")
    console.expect_exact("granary: halt passed")
    assert leave(console) == 0


def loaded_libraries():
    """What the programs that run now have mapped, a text for each."""
    for path in glob.glob("/proc/[0-9]*/maps"):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                yield file.read()
        except OSError:
            pass  # it has ended meanwhile


@pytest.fixture
def display():
    """An X server without a screen: its DISPLAY."""
    reader, writer = os.pipe()
    server = subprocess.Popen(["Xvfb", "-displayfd", str(writer), "-screen", "0", "1024x768x24"], pass_fds=[writer],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(writer)
    with os.fdopen(reader) as number:
        yield ":" + number.readline().strip()
    server.terminate()
    server.wait()


def test_bochs_in_a_window(root, display):
    console = terminal(root, "bochs", "ARGS=demo=no", env={**os.environ, "DISPLAY": display})
    console.expect_exact(PROMPT)
    assert any("libbx_x_gui" in maps for maps in loaded_libraries())
    console.sendline("halt")
    console.expect_exact("granary: halt passed")
    assert leave(console) == 0


def test_a_panic_on_a_terminal_is_not_success(root):
    console = terminal(root, "run", "ARGS=selftest=panic")
    console.expect_exact("panic: ")
    console.expect_exact("run: the kernel panicked")
    assert leave(console) != 0


def test_args_reach_the_kernel(root):
    done = make(root, "run", "ARGS=demo=no classes=seed")
    assert done.returncode == 0, done
    assert "command line: demo=no classes=seed batch" in done.stdout


@pytest.mark.parametrize("args", ["demo=no it's", 'demo=no "quoted"', "demo=no a;b&c|d>e", "demo=no  two  blanks",
                                  "demo=no `id`", "-demo --no"])
def test_args_with_characters_of_the_shell(root, args):
    done = make(root, "run", "ARGS=" + args)
    assert f"command line: {args} batch" in done.stdout, done
    assert "yntax error" not in done.stderr and "not found" not in done.stderr


@pytest.mark.parametrize("args", ["demo=no it's", "demo=no '; echo '", "demo=no (a) #b"])
def test_the_image_holds_args_as_they_are(root, args):
    """`make` alone puts them there; an emulator started by hand reads them."""
    done = make(root, "ARGS=" + args)
    with open(os.path.join(root, "build/hd.img"), "rb") as image:
        held = image.read()
    make(root)
    assert done.returncode == 0 and "rror" not in done.stderr, done
    assert args.encode() + b"\0" in held


def test_args_too_long(root):
    done = make(root, "run", "ARGS=" + "x" * 512)
    assert done.returncode != 0
    assert "511" in done.stdout + done.stderr and "Traceback" not in done.stderr


def test_mem_reaches_the_machine(root):
    done = make(root, "run", "MEM=64", "ARGS=demo=no")
    assert done.returncode == 0 and "0x0000000000100000 + 0x0000000003ee0000 usable" in done.stdout, done


@pytest.mark.parametrize("mem", ["plenty", "-3", "0", "1.5", "32;ls"])
def test_a_wrong_mem_is_refused(root, mem):
    done = make(root, "run", "MEM=" + mem)
    assert done.returncode != 0
    assert done.stderr.startswith(f"run: the memory size '{mem}' is not a number of MiB\nmake: ") or \
        mem == "0" and done.stderr.startswith("run: qemu takes a memory size from 1 to ")


def test_bochsrc_works_by_itself(root):
    """`bochs -q -f bochsrc.disk`, `c` typed at the debugger's prompt; the console is the output."""
    make(root, "all", "ARGS=batch demo=no")
    done = subprocess.run(["bochs", "-q", "-f", "bochsrc.disk"], cwd=root, input="c\n", capture_output=True,
                          text=True, errors="replace", timeout=120, check=False)
    make(root, "all")
    assert "granary: halt passed" in done.stdout, done
    assert not os.path.exists(os.path.join(root, "build/hd.img.lock"))


def test_help_names_every_target(root):
    text = make(root, "help").stdout
    for target in ("make run", "make bochs", "make debug", "make bochs-debug", "make test", "ARGS=", "MEM="):
        assert target in text
