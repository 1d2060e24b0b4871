"""make formal and make planted from outside: what needs no long proof.

The proofs themselves take minutes and stay out of `make test`; here is what keeps them honest: the judge of Frama-C's
output fails where something is proved no more, the planted texts are still in the sources.
"""

import importlib.util
import os
import subprocess

import pytest
from conftest import PYTHON

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def load(name):
    spec = importlib.util.spec_from_file_location(name, os.path.join(ROOT, "tools", f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


formal, planted = load("formal"), load("planted")
FAULTS = sorted(name for name in os.listdir(planted.FAULTS) if name.endswith(".txt"))

GOALS = """\
[wp] [Qed] Goal typed_a_ensures : Valid
[wp] [Z3 4.8.12] Goal typed_b_ensures : Valid (Qed:3ms)
[wp] [Failed] Goal typed_c_ensures Z3 4.8.12: Failed Unknown error
[eva:alarm] lib/x.c:7: Warning: assertion 'n' got status unknown.
"""


def test_goals_and_alarms_are_read():
    result = formal.results(GOALS)
    assert result.goals == {"typed_a_ensures": True, "typed_b_ensures": True, "typed_c_ensures": False}
    assert result.alarms == ["lib/x.c: assertion 'n' got status unknown."]


def test_a_new_unproved_goal_fails():
    bad, known = formal.judge("bitmap", formal.results(GOALS), {})
    assert len(bad) == 2 and known == 0 and "typed_c_ensures" in " ".join(bad)


def test_an_explanation_no_longer_needed_fails():
    known = {("bitmap", "typed_a_ensures"): "why", ("bitmap", "typed_c_ensures"): "why",
             ("bitmap", "lib/x.c: assertion 'n' got status unknown."): "why"}
    bad, explained = formal.judge("bitmap", formal.results(GOALS), known)
    assert len(bad) == 1 and "typed_a_ensures" in bad[0] and explained == 2


def test_no_goals_at_all_fail():
    assert formal.judge("bitmap", formal.results(""), {})[0]


def test_every_explanation_can_be_read():
    assert all(reason for reason in formal.explained().values())


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_text_is_still_there(name):
    fault = planted.Fault(os.path.join(planted.FAULTS, name))
    with open(os.path.join(ROOT, fault.file), encoding="utf-8") as file:
        text = file.read()
    assert fault.planted(text) != text


def test_a_fault_that_is_not_there_is_one_clear_line(tmp_path):
    tool = os.path.join(ROOT, "tools", "planted.py")
    done = subprocess.run([PYTHON, tool, "--build", str(tmp_path), "no_such_fault"],
                          capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "planted: no such fault: no_such_fault\n")
