"""tools/lint.py: which checks it leaves out, and those of text, which depend on no tool."""

import os
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))

import lint  # noqa: E402 (the line above makes it findable)


def program(folder, name, version):
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{version}'\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_the_version_that_the_source_is_made_for_is_used(path, capsys):
    found = program(path, "clang-format", "Debian clang-format version 14.0.6")
    assert lint.find_tool("clang-format") == found
    assert capsys.readouterr().out == ""


def test_beside_another_version_too(path):
    program(path, "clang-tidy", "Debian LLVM version 19.1.7")
    found = program(path, "clang-tidy-14", "Debian LLVM version 14.0.6")
    assert lint.find_tool("clang-tidy") == found


def test_another_version_is_not_asked_and_a_line_says_so(path, capsys):
    program(path, "cppcheck", "Cppcheck 2.17.1")
    assert lint.find_tool("cppcheck") is None
    assert capsys.readouterr().out == "lint: cppcheck: not run: the source is made for 2.10, here it is 2.17.1\n"


def test_a_longer_number_is_another_version(path):
    program(path, "cppcheck", "Cppcheck 2.1")
    assert lint.find_tool("cppcheck") is None


def test_a_missing_tool_is_a_line_with_the_command(path, capsys):
    assert lint.find_tool("shellcheck") is None
    assert capsys.readouterr().out == ("lint: shellcheck: not run: the source is made for 0.9, here it is missing; "
                                       "sh tools/setup.sh --only lint installs what Debian has\n")


@pytest.mark.parametrize("line, columns, fault", [
    ("…" * 100, 100, None),  # 300 bytes
    ("x" * 101, 100, "1: 101 columns, 100 is the limit"),
    ("…" * 101, 100, "1: 101 columns, 100 is the limit"),
    ("x ", 100, "1: blank at the end of the line"),
    ("x\t", 100, "1: blank at the end of the line"),
], ids=["characters count, not bytes", "one too long", "one too long, not ASCII", "blank", "tab"])
def test_lines(tmp_path, line, columns, fault):
    file = tmp_path / "a.c"
    file.write_text(line + "\n", encoding="utf-8")
    assert list(lint.text_faults(str(file), columns)) == ([f"{file}:{fault}"] if fault else [])


def test_python_that_does_not_parse(tmp_path):
    file = tmp_path / "a.py"
    file.write_text("if True print(1)\n")
    assert len(list(lint.python_faults(str(file)))) == 1
    file.write_text("print(1)\n")
    assert list(lint.python_faults(str(file))) == []
