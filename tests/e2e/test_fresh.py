"""make fresh: what it makes of the trials' output. The trials themselves take their hours elsewhere (docs/fresh.md)."""

import io
import os
import subprocess

import pytest

import fresh
from cli import RunError

APT = "setup: installing make nasm: 77.2 MB to download, 317 MB on the disk\nsetup: done\n"


@pytest.fixture
def trial(monkeypatch):
    """trial(output, status): the judgement of a command that says this."""
    def judge(output, status=0):
        monkeypatch.setattr(fresh, "inside", lambda *_: (status, output))
        command = fresh.run_command("folder", fresh.TRIALS[0], "run", "x", io.StringIO())
        return command.passed, command.failed, command.megabytes
    return judge


@pytest.mark.parametrize("output, status, judged", [
    (APT + "granary: halt passed\n", 0, (1, 0, 77.2)),
    (APT + "granary: halt failed\n", 1, (0, 1, 77.2)),
    (APT + "granary: halt passed\n", 1, (1, 1, 77.2)),
    ("setup: apt-get could not install make\n", 1, (0, 1, 0)),
    ("", 0, (0, 1, 0)),
    (APT + "host tests: 5 passed, 0 failed\n2,000\n3209 passed, 0 failed\n", 0, (3209, 0, 77.2)),
    (APT + "3200 passed, 9 failed\n", 1, (3200, 9, 77.2)),
    (APT.replace("77.2 MB", "512 kB") + "e2e: 11 passed, 0 failed\n", 0, (11, 0, 0.512)),
], ids=["booted", "boot failed", "passed with a bad status", "not installed", "silent", "tests", "tests failed",
        "pytest"])
def test_a_command_is_judged_by_output_and_status(trial, output, status, judged):
    assert trial(output, status) == judged


@pytest.mark.parametrize("debian, version", [
    ("1:7.2+dfsg-7+deb12u18", "7.2"), ("4:12.2.0-3", "12.2.0"), ("2.16.03-1", "2.16.03"), ("16.3-1", "16.3")])
def test_versions_without_what_debian_adds(debian, version):
    assert fresh.short(debian) == version


def test_the_table(root):
    commands = [fresh.Command(name, 61.4, 76.6, 3209, 0) for name, _ in fresh.COMMANDS]
    versions = {title: "1.2" for title, _ in fresh.TOOLS} | {"awk": "mawk"}
    lines = fresh.table([fresh.Result(each, versions, commands) for each in fresh.TRIALS])
    assert lines[0] == "|  | Debian 12, as root | Debian 13, as root | Debian 13, a user with sudo |"
    assert "| awk | mawk | mawk | mawk |" in lines and "| run: MB to download | 77 | 77 | 77 |" in lines
    assert "| test: passed, failed | 3,209, 0 | 3,209, 0 | 3,209, 0 |" in lines
    with open(os.path.join(root, "docs", "fresh.md"), encoding="utf-8") as file:
        assert file.read().startswith(fresh.HEAD.rstrip())


def test_trials_have_both_releases_users_and_awks():
    assert {trial.release for trial in fresh.TRIALS} == {"bookworm", "trixie"}
    assert {trial.user for trial in fresh.TRIALS} == {"root", fresh.USER}
    assert {"gawk" in trial.more for trial in fresh.TRIALS} == {True, False}


def test_wrong_use_is_one_sentence(root, monkeypatch):
    done = subprocess.run(["/usr/bin/python3", f"{root}/tools/fresh.py", "--only", "debian-11"], capture_output=True,
                          text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2, "fresh: no trial 'debian-11'; there are: debian-12 debian-13 debian-13-user\n")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(RunError, match="need root"):
        fresh.main([])
