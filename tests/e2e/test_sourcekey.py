"""Places in the source that harnesses name by their code (tools/sourcekey.py): the name survives other edits, and what
mutation and coverage explain is still there."""

import os

import pytest
from conftest import ROOT

import coverage
import mutate
import sourcekey

SOURCE = """int f(int a) {
    if (a > 1) return g(a, "// no comment"); // why
    /* if (a > 2) return 0; */
    return a;
}
"""


@pytest.mark.parametrize("piece", [
    'if (a > 1) return g(a, "// no comment");',
    'if(a>1)return g ( a,"// no comment" ) ;',
    'if (a > 1) // another comment\n        return g(a, /* the argument */ "// no comment");',
])
def test_a_place_is_found_whatever_its_layout_and_comments(piece):
    spans = sourcekey.spans(SOURCE, piece)
    assert [SOURCE[start:end] for start, end in spans] == ['if (a > 1) return g(a, "// no comment");']
    assert sourcekey.key(piece) == sourcekey.key(SOURCE.splitlines()[1])


def test_a_place_is_found_across_comments():
    assert [SOURCE[slice(*span)] for span in sourcekey.spans(SOURCE, "} ")] == ["}"]
    start, end = sourcekey.spans(SOURCE, 'return g(a, "// no comment");\n    return a;')[0]
    assert "// why\n    /* if" in SOURCE[start:end]


@pytest.mark.parametrize("piece", ["if (a > 2) return", "return ga", "eturn a;", 'g(a, "//no comment")', ""])
def test_other_code_is_not_it(piece):
    assert [span for span in sourcekey.spans(SOURCE, piece) if "/*" not in SOURCE[:span[0]][-4:]] == []


def code_of(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return {sourcekey.key(line) for line in file}


def test_every_explained_mutant_is_a_mutant_of_a_line_that_is_there():
    possible = {mutant.key() for source, text in mutate.sources().items() for mutant in mutate.mutants(source, text)}
    assert sorted(mutate.explained().keys() - possible) == []


def test_every_explained_gap_is_at_a_line_that_is_there():
    assert [(path, line) for path, line in coverage.explained() if line not in code_of(path)] == []
