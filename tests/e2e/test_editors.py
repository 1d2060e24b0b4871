"""What an editor is given: .vscode's tasks and its way into the kernel, compile_commands.json."""

import glob
import json
import os
import re
import subprocess

import pytest

pytestmark = pytest.mark.xdist_group("make")


def settings(root, name):
    """A file of .vscode. VS Code takes comments in it."""
    with open(os.path.join(root, ".vscode", name), encoding="utf-8") as file:
        return json.loads(re.sub(r"^\s*//.*$", "", file.read(), flags=re.MULTILINE))


def make(root, *words):
    return subprocess.run(["make", "--no-print-directory", *words], cwd=root, capture_output=True, text=True,
                          check=False)


def test_each_task_is_a_target(root):
    tasks = {task["label"]: task["command"] for task in settings(root, "tasks.json")["tasks"]}
    assert set(tasks) == {"build", "run", "test", "stub", "console"}
    makefiles = [os.path.join(root, "Makefile"), *glob.glob(f"{root}/tools/mk/*.mk")]
    text = "".join(open(path, encoding="utf-8").read() for path in makefiles)
    targets = {"", *re.findall(r"^([a-z-]+):", text, re.M)}
    assert {command.removeprefix("make").strip() for command in tasks.values()} <= targets
    assert [each["preLaunchTask"] for each in settings(root, "launch.json")["configurations"]] == ["stub"]


@pytest.fixture
def stub(root):
    """What the task "stub" starts, once it waits, by the sign that the task names."""
    task = next(task for task in settings(root, "tasks.json")["tasks"] if task["label"] == "stub")
    ready = re.compile(task["problemMatcher"]["background"]["endsPattern"])
    with subprocess.Popen(task["command"].split(), cwd=root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          text=True,
                          start_new_session=True) as process:
        try:
            assert any(ready.match(line) for line in iter(process.stdout.readline, "")), "it does not wait"
            yield process
        finally:
            process.terminate()


def test_launch_json_stops_at_the_first_sys_malloc(root, stub):
    """GDB, spoken to as VS Code does it, with the commands of launch.json; its end ends the machine."""
    launch = settings(root, "launch.json")["configurations"][0]
    assert launch["cwd"] == "${workspaceFolder}"
    commands = [each["text"] for each in launch["customLaunchSetupCommands"]] + [f"-{launch['launchCompleteCommand']}"]
    with subprocess.Popen(["gdb", "-q", "-nx", "-i=mi"], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as gdb:
        for command in commands:
            gdb.stdin.write(command + "\n")
            gdb.stdin.flush()
            answer = next(line for line in gdb.stdout if line.startswith("^"))
            assert re.match(r"\^(done|connected|running)", answer), (command, answer)
        stopped = next(line for line in gdb.stdout if line.startswith("*stopped"))
        assert 'reason="breakpoint-hit"' in stopped and 'func="sys_malloc"' in stopped
        gdb.stdin.write("kill\n")
        gdb.stdin.flush()
        assert stub.wait(30) == 0
        gdb.stdin.write("-gdb-exit\n")
        gdb.stdin.flush()
    assert not os.path.lexists(os.path.join(root, "build", "gdb"))


def test_compile_commands_know_each_file_and_its_flags(root):
    done = make(root, "compile_commands.json")
    assert done.returncode == 0, done.stderr
    with open(os.path.join(root, "compile_commands.json"), encoding="utf-8") as file:
        entries = {entry["file"]: entry for entry in json.load(file)}
    assert all(entry["directory"] == root and file in entry["arguments"] for file, entry in entries.items())
    heap = entries["kernel/memory.c"]["arguments"]
    assert "-ffreestanding" in heap and "-fomit-frame-pointer" in heap, "as the kernel compiles it"
    sources = subprocess.run(["git", "ls-files", "kernel/*.c", "lib/*.c", "device/*.c", "thread/*.c", "tests/host/*.c"],
                             cwd=root, capture_output=True, text=True, check=True).stdout.split()
    unknown = [file for file in sources if file not in entries]
    # The checked build has these files in place of none.
    assert [file for file in unknown if not file.startswith("kernel/checked/")] == []
