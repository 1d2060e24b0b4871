"""The documentation against the tree: what it names is there, and what it shows twice is the same.

Nothing is booted. A test is named in one of three ways, each of which can be looked up, or typed:

    tests/host/test_heap.c: size_zero_gives_null    a function of a host program, and in its list
    test=heap_zero                                  a test inside the kernel: make run ARGS="batch test=heap_zero"
    tests/e2e/test_image.py::test_cut_off           for pytest
"""

import glob
import os
import re
import subprocess

import pytest

import includes

ROOT = includes.ROOT
READMES = ("README.md", "README.zh-CN.md")
DOCUMENTS = READMES + tuple(sorted(os.path.relpath(path, ROOT) for path in glob.glob(f"{ROOT}/docs/*.md")
                                           + glob.glob(f"{ROOT}/docs/*/*.md")))
TRAPS = "docs/traps.md"
COLUMNS = 120

HOST_TEST = re.compile(r"(tests/host/\w+\.c): (\w+)")
KERNEL_TEST = re.compile(r"\btest=(\w+)(\*?)")
E2E_TEST = re.compile(r"(tests/e2e/\w+\.py)::(\w+)")

FOLDERS = "boot|kernel|lib|device|thread|process|user|tests|tools|docs|bench"
PATH = re.compile(rf"(?<![\w./~-])(?:{FOLDERS})/[\w./*{{}},\[\]-]*")
# A file's name without its folder, as a sentence has it that has named the folder before.
FILE = re.compile(r"(?<![\w./*-])[\w-]+\.(?:c|h|asm|inc|py|sh|ld|mk|md)(?![\w/-])")
ASSIGNMENTS = r"(?:[A-Z][A-Z0-9_]*=(?:\"[^\"]*\"|\S*) +)*"
TARGET = re.compile(rf" *{ASSIGNMENTS}make(?:$| +{ASSIGNMENTS}([a-z][\w.-]*)?)")


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def parse(text):
    """A document as (kind, line): heading, code, table, prose. Code is fenced or indented by four."""
    fenced, before = False, ""
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or (line.startswith("    ") and (not before or before == "code")):
            yield "code", line
            before = "code"
            continue
        elif line.startswith("#"):
            yield "heading", line
        elif line.startswith("|"):
            yield "table", line
        elif line:
            yield "prose", line
        before = "code" if not line and before == "code" else line


def lines_of(path, *kinds):
    return [line for kind, line in parse(read(path)) if kind in kinds]


def spans(path):
    """What is between backticks, and each line of a block of code."""
    text = "\n".join(lines_of(path, "prose", "table", "heading"))
    return re.findall(r"`([^`]+)`", text) + lines_of(path, "code")


def rows(path):
    """The cells of each table row but heads and rules."""
    table = lines_of(path, "table")
    rules = {at for at, line in enumerate(table) if re.fullmatch(r"[|\s:-]+", line)}
    heads = {at - 1 for at in rules}
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for at, line in enumerate(table) if at not in rules | heads]


def expand(pattern):
    """kernel/{memory,port}.h and lib/list.[ch] as the paths that are meant."""
    braces = re.search(r"{([^}]*)}", pattern)
    if not braces:
        return [pattern]
    return [path for word in braces[1].split(",")
            for path in expand(pattern[:braces.start()] + word + pattern[braces.end():])]


def is_there(pattern, folder=ROOT):
    return all(glob.glob(os.path.join(folder, path)) for path in expand(pattern))


def files_of_the_tree():
    names = set()
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in ("build", ".git", "__pycache__")]
        names |= set(files)
    return names


# Targets that are a step of others.
STEPS = {"all", "bench-programs"}


def targets():
    """The targets that the makefiles declare for users, '' for make alone."""
    declared = set()
    for path in ("Makefile", *glob.glob(f"{ROOT}/tools/mk/*.mk")):
        for line in re.findall(r"^\.PHONY: (.*)", read(path), re.MULTILINE):
            declared |= {name for name in line.split() if "$" not in name}
    return declared - STEPS | {""}


# ---- tests ---------------------------------------------------------------------------------------

def kernel_tests():
    return {name for path in glob.glob(f"{ROOT}/tests/kernel/*.c")
            for name in re.findall(r"^KTEST\((\w+)\)", read(path), re.MULTILINE)}


def missing_tests(text):
    """The tests that a text names and the tree has not."""
    for path, name in HOST_TEST.findall(text):
        source = read(path) if is_there(path) else ""
        defined = re.search(rf"^(static void {name}\(void \*\*state\)|TEST\({name}\))", source, re.MULTILINE)
        if not defined or len(re.findall(rf"\b{name}\b", source)) < 2:  # and in the list that runs
            yield f"{path}: {name}"
    known = kernel_tests()
    for name, star in KERNEL_TEST.findall(text):
        if not any(test == name or (star and test.startswith(name)) for test in known):
            yield f"test={name}{star}"
    for path, name in E2E_TEST.findall(text):
        if not re.search(rf"^def {name}\(", read(path) if is_there(path) else "", re.MULTILINE):
            yield f"{path}::{name}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_test_that_is_named_exists(document):
    assert list(missing_tests("\n".join(spans(document)))) == []


def test_every_trap_is_held_by_a_test():
    """Each row's last column is names of tests and nothing else, and there is one at least."""
    traps = [row for row in rows(TRAPS) if len(row) == 4]
    assert len(traps) == len(rows(TRAPS)) > 40
    for row in traps:
        names = re.findall(r"`([^`]+)`", row[3])
        assert names, row
        assert not re.sub(r"`[^`]+`|[\s,]|<br>", "", row[3]), f"more than names of tests: {row[3]}"
        for name in names:
            assert any(kind.fullmatch(name) for kind in (HOST_TEST, KERNEL_TEST, E2E_TEST)), name


def test_the_cases_are_numbered_as_the_tests_say():
    """Comments of tests say `Case 12`: docs/traps.md has that row, and names a test of that file in it."""
    cases = {}
    for row in rows(TRAPS):
        if row[0].isdigit():
            assert row[0] not in cases, f"case {row[0]} is there twice"
            cases[row[0]] = row[3]
    for path in glob.glob(f"{ROOT}/tests/kernel/*.c") + glob.glob(f"{ROOT}/tests/e2e/*.py"):
        for number, name in re.findall(r"[Cc]ase (\d+)\b[^`]*?\bKTEST\((\w+)\)", read(path)):
            assert f"`test={name}`" in cases.get(number, ""), f"{os.path.basename(path)}: case {number}, {name}"


# ---- paths and targets ---------------------------------------------------------------------------

@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document):
    text = "\n".join(lines_of(document, "prose", "table"))
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"\w+:", target)]
    folder = os.path.dirname(os.path.join(ROOT, document))
    for target in targets:
        path, _, anchor = target.partition("#")
        assert not path or is_there(path, folder), target
        if anchor:
            there = os.path.normpath(os.path.join(os.path.dirname(document), path)) if path else document
            heads = [line.lstrip("# ").lower() for line in lines_of(there, "heading")]
            assert anchor in [re.sub(r"[^\w -]", "", head).replace(" ", "-") for head in heads], target


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_is_named_exists(document):
    names = files_of_the_tree()
    text = "\n".join(spans(document))
    paths = [path.rstrip(".,") for path in PATH.findall(text)]
    assert [path for path in paths if not is_there(path)] == []
    assert [name for name in FILE.findall(PATH.sub(" ", re.sub(r"\S*build\S*/\S*", " ", text)))
            if name not in names] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_function_that_is_named_exists(document):
    """`name()` and `struct name` in backticks are words of the sources."""
    text = "\n".join(span for span in spans(document) if "(" in span or "struct " in span)
    wanted = set(re.findall(r"\b([a-z]\w+)\(", text)) | set(re.findall(r"\bstruct (\w+)", text))
    words = set()
    for folder in FOLDERS.split("|"):
        for path in glob.glob(f"{ROOT}/{folder}/**/*.*", recursive=True):
            if path.endswith((".c", ".h", ".asm", ".py")):
                words |= set(re.findall(r"\w+", read(path)))
    assert wanted - words == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_target_that_is_named_exists(document):
    found = [TARGET.match(span.partition(" #")[0].rstrip()) for span in spans(document)]
    named = {match[1] or "" for match in found if match}
    assert named - targets() == set()


@pytest.mark.parametrize("document", READMES)
def test_the_tables_have_every_target(document):
    listed = {TARGET.match(name)[1] or "" for row in rows(document) for name in re.findall(r"`(make[^`]*)`", row[0])}
    assert listed == targets()


def test_the_first_table_is_short():
    """What a first-time user needs: ten rows, and none of the second table's."""
    first, second = read("README.md").split("\n## To prove, measure and change it\n")
    assert len(re.findall(r"^\| `make", first, re.MULTILINE)) == 10
    assert re.findall(r"^\| `make", second, re.MULTILINE)


def test_help_says_what_the_tables_say(tmp_path):
    """The same in every awk, without Markdown's signs. BUILD: leaves build/ in peace."""
    text = subprocess.run(["make", "--no-print-directory", "-s", "help", f"BUILD={tmp_path}"], cwd=ROOT, check=True,
                          capture_output=True, text=True).stdout
    listed = [name.replace("`", "") for name, _ in rows("README.md") if re.match("`(make|sh)", name)]
    shown = [line.strip().split("  ")[0] for line in text.splitlines() if re.match("  (make|sh) ?", line)]
    assert shown == listed and len(listed) > 30
    assert "`" not in text and "](" not in text and "docs/gdb.md" in text and "Variables: ARGS=" in text


# ---- what is in two places -----------------------------------------------------------------------

def test_both_readmes_have_the_same_parts():
    """Word for word where no language is involved: commands, first columns, links; and as many headings and rows."""
    def parts(path):
        text = read(path)
        commands = [line.partition(" #")[0].strip() for line in lines_of(path, "code")]
        return {
            "headings": [re.match("#+", line)[0] for line in lines_of(path, "heading")],
            "commands": [line.split("  ")[0] for line in commands],
            "table": [(len(row), row[0]) for row in rows(path)],
            "links": sorted(set(re.findall(r"\]\(([^)\s]+)\)", text)) - set(READMES)),
            "code": sorted(set(re.findall(r"`([^`]+)`", text))),
        }
    english, chinese = (parts(path) for path in READMES)
    for part, value in english.items():
        assert chinese[part] == value, part


def test_design_says_who_knows_whom():
    """The table of docs/design.md is what tools/includes.py holds the sources against."""
    def folders(cell):
        return {path.rstrip("/") for path in re.findall(r"`([^`]+)`", cell)}
    table = {row[0].strip("`/"): set(includes.EVERYTHING) if row[2] == "everything" else folders(row[2])
             for row in rows("docs/design.md") if len(row) == 3 and row[0].endswith("/`")}
    assert table == {folder: set(targets) for folder, targets in includes.ALLOWED.items()}
    assert all(f"`{door}`" in read("docs/design.md") for door in includes.DOORS)


def harnesses():
    """Searches, proofs and long runs: what costs more to keep than a test."""
    patterns = ("tests/fuzz/*.c", "tests/model/*.pml", "tests/formal/*.c", "tests/host/race_*.c", "tests/host/soak_*.c",
                "tests/host/test_*_random.c", "tests/host/test_exhaust.c", "tests/host/test_heap_paths.c",
                "tests/host/test_oom.c", "tests/kernel/test_oom.c", "tests/kernel/test_preempt.c",
                "tests/kernel/test_storm.c")
    tools = set(re.findall(r"tools/[\w/]+\.py", read("tools/mk/proof.mk"))) - {"tools/run.py"}  # `make soak`
    found = [path for pattern in patterns for path in glob.glob(f"{ROOT}/{pattern}")]
    return sorted(tools | {os.path.relpath(path, ROOT) for path in found})


@pytest.mark.parametrize("path", harnesses())
def test_each_harness_says_what_only_it_can_find(path):
    """In its first lines, in words of its own."""
    said = re.search(r"What only it can find: ([^.]{30,})\.", "".join(read(path).splitlines(keepends=True)[:12]))
    assert said, path
    assert [other for other in harnesses() if said[1].split("\n")[0] in read(other)] == [path]


def test_sizes_of_records(kernel_elf):
    """docs/memory.md's table of what a frame costs, against the kernel's debug information."""
    table = re.findall(r"^\| `struct (\w+)`[^|]*\| (\d+) \|", read("docs/memory.md"), re.MULTILINE)
    wanted = {name: int(size) for name, size in table}
    assert set(wanted) == {"frame", "arena"}
    for name, size in wanted.items():
        said = subprocess.run(["gdb", "-batch", "-ex", f"print sizeof(struct {name})", kernel_elf], check=True,
                              capture_output=True, text=True).stdout
        assert int(said.split("=")[1]) == size, name


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_line_is_too_long(document):
    assert [line for line in lines_of(document, "prose", "code") if len(line) > COLUMNS and "](" not in line] == []
