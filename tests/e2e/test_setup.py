"""tools/setup.sh: what it asks apt for on systems of other releases, and its one sentence where it cannot.

The systems are folders of programs: what a minimal Debian has, and stand-ins for apt and dpkg that write down how
they were called. `make fresh` tries it on real ones.
"""

import json
import os
import re
import shutil
import subprocess
import time

import pytest

import cli

ESSENTIAL = ("sh", "cat", "dirname", "env", "grep", "head", "nproc", "sed", "sort", "tr")
# Without python3: the one that runs these tests is there.
RUN = "make nasm gcc-i686-linux-gnu qemu-system-x86".split()
SIZES = ("Need to get 77.2 MB of archives.", "After this operation, 317 MB of additional disk space will be used.")
# The packages of two releases that have other names in each.
BOOKWORM = ("libmimalloc2.0 libmimalloc-dev libjemalloc2 libtcmalloc-minimal4 cvc4 cvc5 frama-c-base "
            "libpython3.11-testsuite "
            "clang-14 llvm-14 clang-16 llvm-16 libclang-rt-16-dev clang-19 llvm-19 libclang-rt-19-dev llvm-20").split()
TRIXIE = ("libmimalloc3 libmimalloc-dev libjemalloc2 libtcmalloc-minimal4t64 cvc5 libpython3.13-testsuite "
          "clang-17 llvm-17 libclang-rt-17-dev clang-19 llvm-19 libclang-rt-19-dev").split()
USAGE = "usage: sh tools/setup.sh [run | test | --only LIST... | --check NAME...]\n"


class System:
    """A folder that is the whole PATH. `offers` is what apt knows."""

    def __init__(self, root, folder, offers, installed=(), commands=()):
        self.root, self.folder, self.log = root, folder, folder / "log"
        self.installed = folder / "installed"
        self.installed.write_text("".join(f"ii {name}\n" for name in installed))
        for name in ESSENTIAL:
            (folder / name).symlink_to(shutil.which(name))
        for name in commands:
            self.program(name, "exit 0")
        self.program("id", "echo 0")
        self.program("dpkg-query", f"cat '{self.installed}'")
        self.program("apt-cache", f"printf '%s\\n' {' '.join(offers)}")
        said = "".join(f"echo '{line}'; " for line in SIZES)
        # What is installed is what the last call that may install names after the options.
        self.program("apt-get", f"""echo "apt-get $*" >> '{self.log}'
            case "$*" in
                *--print-uris*) {said} ;;
                *-y\\ install*) for name in ${{*##*install }}; do echo "ii $name"; done >> '{self.installed}' ;;
            esac""")

    def program(self, name, text):
        path = self.folder / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def setup(self, *arguments):
        script = os.path.join(self.root, "tools/setup.sh")
        return subprocess.run(["/bin/sh", script, *arguments], env={"PATH": str(self.folder)}, capture_output=True,
                              text=True, check=False, stdin=subprocess.DEVNULL)

    def asked_for(self):
        """The names in the calls of `apt-get install`."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line.split(" install ")[1].split() for line in lines if " -y install " in line]


@pytest.fixture
def system(root, tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    return lambda offers=(*RUN, *BOOKWORM), **more: System(root, folder, offers, **more)


def rows(root):
    """(lists, presence, packages, why) of each line of the script's table."""
    with open(os.path.join(root, "tools/setup.sh"), encoding="utf-8") as file:
        table = file.read().split("needs='\n")[1].split("'\n")[0]
    return [line.split(None, 3) for line in table.splitlines()]


def every_name(root):
    names = [name.rstrip("?") for row in rows(root) for name in row[2].rstrip("?").replace("|", ",").split(",")]
    return [name for name in names if "%" not in name]


def test_silent_and_quick_when_nothing_is_missing(root):
    start = time.monotonic()
    done = subprocess.run(["sh", os.path.join(root, "tools/setup.sh")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert time.monotonic() - start < 5


def test_each_need_says_why_and_none_conflicts(root):
    """gcc-multilib and gcc-i686-linux-gnu remove each other; npm brings hundreds of packages."""
    assert all(len(row) == 4 for row in rows(root))
    names = every_name(root)
    assert "gcc-i686-linux-gnu" in names and "gcc-multilib" not in names
    assert [row[0] for row in rows(root) if row[2] in ("nodejs", "npm")] == ["web", "web"]


def test_run_on_a_bare_system_installs_four_and_boots(system):
    """No make is there when it starts; `make run` follows all the same, by the one that apt brings."""
    bare = system()
    bare.program("apt-get", (bare.folder / "apt-get").read_text() +
                 f"\ncase \"$*\" in *-y\\ install*) printf '#!/bin/sh\\necho \"made $*\"\\n' > '{bare.folder}/make'; "
                 f"{shutil.which('chmod')} +x '{bare.folder}/make' ;; esac")
    done = bare.setup("run")
    assert (done.returncode, done.stderr) == (0, "")
    assert bare.asked_for() == [RUN]
    assert f"setup: installing {' '.join(RUN)}: 77.2 MB to download, 317 MB on the disk\n" in done.stdout
    assert done.stdout.endswith(f"setup: done\nmade -s -j{os.cpu_count()}\nmade run\n")


def test_what_is_there_is_not_installed(system):
    """A cross compiler, say, that is in no package of Debian's."""
    own = system(commands=("make", "nasm", "i686-elf-gcc", "qemu-system-i386"))
    done = own.setup("--only", "run")
    assert (done.returncode, done.stdout, done.stderr, own.asked_for()) == (0, "", "", [])
    own = own.setup("--check", "run")
    assert (own.returncode, own.stdout, own.stderr) == (0, "", "")


TOOLS = "mkdir mktemp rm chmod".split()
INDEX = """Debian http://deb.debian.org/debian/ trixie
Debian http://deb.debian.org/debian/ trixie-updates
Other https://example.org/apt stable"""


def with_sources(debian, folder, works=True):
    """Its apt has a list of archives, and gets an upstream archive or a package into the folder it is called in."""
    for name in TOOLS:
        (debian.folder / name).symlink_to(shutil.which(name))
    fetch = ("seen=; for name; do [ -z \"$seen\" ] || echo source > \"${name}_1.orig.tar.gz\"; "
             "[ \"$name\" != source ] || seen=1; done") if works else "exit 100"
    debian.program("apt-get", (debian.folder / "apt-get").read_text() + f"""
        case "$*" in
            indextargets*) echo '{INDEX}' ;;
            *sourcelist=*update*) all="$*" list=${{all#*sourcelist=}} && cat "${{list%% *}}" > '{folder}/lines' ;;
            *--tar-only\\ source*) {fetch} ;;
            *\\ download\\ *) {'echo package > "${*##* }_1_amd64.deb"' if works else "exit 100"} ;;
        esac""")
    debian.program("dpkg-deb", """name=${2%%_*} && mkdir -p "$3/usr/share/doc/$name" &&
        cat "$2" > "$3/usr/share/doc/$name/copyright" """)
    return lambda *arguments: subprocess.run(
        ["/bin/sh", os.path.join(debian.root, "tools/setup.sh"), *arguments], capture_output=True, text=True,
        check=False, stdin=subprocess.DEVNULL,
        env={"PATH": str(debian.folder), "GRANARY_SOURCES": str(folder), "GRANARY_OTHERS": str(folder)})


RELEASES = pytest.mark.parametrize("offers, names, other, package", [
    (BOOKWORM, "libmimalloc2.0 libjemalloc2 libtcmalloc-minimal4", "trixie", "libmimalloc3"),
    (TRIXIE, "libmimalloc3 libjemalloc2 libtcmalloc-minimal4t64", "bookworm", "libmimalloc2.0"),
], ids=["bookworm", "trixie"])


def of_release(root, offers):
    return (*(name for name in every_name(root) if "mimalloc" not in name), *offers)


@RELEASES
def test_peers_by_whatever_name_the_release_has(system, root, tmp_path, offers, names, other, package):
    """And the one that only the other release has, from there: its files, which need no more than to be there."""
    debian = system(offers=of_release(root, offers))
    setup = with_sources(debian, tmp_path)
    done = setup("--only", "bench")
    assert (done.returncode, done.stderr) == (0, "")
    assert " ".join(debian.asked_for()[0]).endswith(f" valgrind {names}")
    assert re.sub(r" \[.*?\]", "", (tmp_path / "lines").read_text()) == (
        f"deb http://deb.debian.org/debian/ {other} main\n")
    assert (tmp_path / other / "usr/share/doc" / package / "copyright").read_text() == "package\n"
    work = re.search(r"sourcelist=(\S+)/sources.list", debian.log.read_text())[1]
    assert not os.path.exists(work)
    calls = debian.log.read_text()
    again = setup("--check", package)
    assert (again.returncode, again.stdout, again.stderr, debian.log.read_text()) == (0, "", "", calls)


@RELEASES
def test_a_peer_of_another_release_that_cannot_be_had_is_a_line(system, root, tmp_path, offers, names, other, package):
    debian = system(offers=of_release(root, offers))
    done = with_sources(debian, tmp_path, works=False)("--only", "bench")
    assert (done.returncode, done.stderr) == (0, "")
    assert (f"setup: could not get {package} of Debian's release {other}; what stopped it is above\n"
            "setup: done\n") in done.stdout
    assert " ".join(debian.asked_for()[0]).endswith(f" {names}") and not (tmp_path / other).exists()


def test_sources_come_from_the_archives_that_packages_come_from(system, root, tmp_path):
    """With lists of their own, which go again; only Debian's archives are asked."""
    folder = tmp_path / "sources"
    folder.mkdir()
    debian = system(offers=every_name(root))
    setup = with_sources(debian, folder)
    done = setup("--only", "libc")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in folder.glob("*.gz")) == ["lua5.4_1.orig.tar.gz", "tcc_1.orig.tar.gz"]
    assert not any("src:" in name for name in debian.asked_for()[0]) and "newlib-source" in debian.asked_for()[0]
    lines = (folder / "lines").read_text().splitlines()
    assert [re.sub(r" \[.*?\]", "", line) for line in lines] == [
        f"deb-src http://deb.debian.org/debian/ {suite} main" for suite in ("trixie", "trixie-updates")]
    work = re.search(r"sourcelist=(\S+)/sources.list", debian.log.read_text())[1]
    assert not os.path.exists(work)
    again = setup("--check", "lua_source", "tcc_source")
    assert (again.returncode, again.stderr) == (0, "")


def test_sources_that_cannot_be_had(system, root, tmp_path):
    folder = tmp_path / "sources"
    folder.mkdir()
    setup = with_sources(system(offers=every_name(root)), folder, works=False)
    done = setup("--only", "libc")
    assert done.returncode == 1
    assert done.stderr == "setup: apt-get could not get the source of lua5.4 tcc; what stopped it is above\n"
    missing = setup("--check", "lua_source", "tcc_source")
    assert missing.stderr == "setup: missing: src:lua5.4 src:tcc; `sh tools/setup.sh --only libc` installs it\n"


@pytest.mark.parametrize("left_out, number", [("", "19"), ("-19", "16")])
def test_clang_and_its_company_have_one_number(system, root, left_out, number):
    """The one that coverage's list is made for, or the newest that has all three: Debian may have a part of a newer."""
    offers = [name for name in (*every_name(root), *BOOKWORM) if not (left_out and left_out in name)]
    debian = system(offers=offers)
    assert debian.setup("--only", "proof").returncode == 0
    asked = debian.asked_for()[0]
    assert [name for name in asked if "clang-" in name or "llvm" in name] == [
        f"clang-{number}", f"llvm-{number}", f"libclang-rt-{number}-dev"]
    assert "libpython3.11-testsuite" in asked and "cvc4" in asked and "cvc5" not in asked


def test_a_package_that_need_not_be_there_is_a_line(system, root):
    offers = [name for name in (*every_name(root), *TRIXIE) if name not in ("frama-c-base", "cvc4")]
    debian = system(offers=offers)
    done = debian.setup("--only", "proof")
    assert done.returncode == 0
    assert "setup: this system has no frama-c-base (make formal)\n" in done.stdout
    assert "frama-c-base" not in debian.asked_for()[0] and "cvc5" in debian.asked_for()[0]


def test_a_package_that_must_be_there_is_named(system):
    done = system(offers=[name for name in RUN if name != "nasm"]).setup("--only", "run")
    assert (done.returncode, done.stderr) == (1, "setup: this system has no package nasm\n")


def test_no_network_is_said(system):
    debian = system()
    debian.program("apt-get", "exit 100")
    done = debian.setup("run")
    assert done.returncode == 1
    assert done.stderr == (f"setup: apt-get could not install {' '.join(RUN)}; what stopped it is above "
                           "(and apt-get update failed: is there a network?)\n")


def test_no_list_of_packages_and_no_network(system):
    debian = system(offers=())
    debian.program("apt-get", "exit 100")
    done = debian.setup("run")
    assert done.returncode == 1
    assert done.stderr == (f"setup: this system has no package {' '.join(RUN)}, "
                           "and apt-get update failed: is there a network?\n")


def test_an_ordinary_user_goes_through_sudo(system):
    debian = system()
    debian.program("id", "echo 1000")
    debian.program("sudo", '[ "$1" = -v ] || exec "$@"')
    assert debian.setup("--only", "run").returncode == 0
    assert debian.asked_for() == [RUN]


@pytest.mark.parametrize("sudo, words", [
    (None, f"missing: {' '.join(RUN)}; run this as root, or install sudo"),
    ("exit 1", f"sudo refused; run this as root. Missing: {' '.join(RUN)}"),
], ids=["no sudo", "sudo refuses"])
def test_an_ordinary_user_without_sudo_gets_one_sentence(system, sudo, words):
    debian = system()
    debian.program("id", "echo 1000")
    if sudo:
        debian.program("sudo", sudo)
    done = debian.setup("run")
    assert (done.returncode, done.stderr, debian.asked_for()) == (1, f"setup: {words}\n", [])


def test_another_system_gets_the_names(system):
    other = system(offers=())
    for name in ("apt-get", "apt-cache", "dpkg-query"):
        (other.folder / name).unlink()
    done = other.setup("run")
    assert done.returncode == 1
    assert done.stderr == ("setup: this is not Debian. Install by hand what these packages of Debian hold: "
                           f"{' '.join(RUN)}\n")


@pytest.mark.parametrize("arguments, status, words", [
    (["--everything"], 2, USAGE),
    (["--only"], 2, USAGE),
    (["run", "now"], 2, USAGE),
    (["--only", "games"], 1, "setup: no list 'games'; there are: run bochs debug test lint bench proof web gui libc "
     "all\n"),
], ids=lambda value: "-".join(value) if isinstance(value, list) else "")
def test_wrong_use(system, arguments, status, words):
    done = system().setup(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", words)


def test_check_names_what_is_missing_and_the_command(system):
    there = system(commands=("make", "nasm", "i686-elf-gcc"))
    for names, words in ((["debug", "run"], "qemu-system-x86 gdb qemu-utils; `sh tools/setup.sh --only run debug`"),
                         (["gdb"], "gdb; `sh tools/setup.sh --only debug`"),
                         (["proof"],
                           "clang-19 llvm-19 libclang-rt-19-dev afl++ z3 spin debootstrap libpythonN-testsuite; "
                                     "`sh tools/setup.sh --only proof`"),
                         (["clang_with_mcdc"],
                           "clang-19 llvm-19 libclang-rt-19-dev; `sh tools/setup.sh --only proof`")):
        done = there.setup("--check", *names)
        assert (done.returncode, done.stderr) == (1, f"setup: missing: {words} installs it\n")


def test_check_is_silent_where_all_is_there_and_where_packages_are_unknown(system):
    there = system(commands=("make", "nasm", "i686-elf-gcc", "qemu-system-i386"))
    (there.folder / "dpkg-query").unlink()
    for name in ("run", "libcmocka-dev"):
        done = there.setup("--check", name)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_containers_install_lists_that_there_are(root):
    with open(os.path.join(root, "Dockerfile"), encoding="utf-8") as file:
        docker = file.read()
    with open(os.path.join(root, ".devcontainer", "devcontainer.json"), encoding="utf-8") as file:
        jobs = json.load(file)["build"]["args"]["JOBS"]
    assert "RUN sh tools/setup.sh --only $JOBS" in docker
    known = {name for row in rows(root) for name in row[0].split(",")}
    for names in (jobs, re.search(r'^ARG JOBS="(.*)"$', docker, re.M)[1]):
        assert set(names.split()) <= known and "run" in names


def test_a_tool_says_which_list_brings_a_command_a_package_or_a_module():
    said = {name: str(cli.missing(name)) for name in ("gdb", "qemu-img", "python3-matplotlib", "g++", "no-such")}
    assert said == {"gdb": "gdb is missing: `sh tools/setup.sh --only debug` installs it",
                    "qemu-img": "qemu-img is missing: `sh tools/setup.sh --only debug` installs it",
                    "python3-matplotlib": "python3-matplotlib is missing: `sh tools/setup.sh --only test` installs it",
                    "g++": "g++ is missing: `sh tools/setup.sh --only test` installs it",
                    "no-such": "no-such is missing"}
    assert str(cli.missing("libpython%-testsuite", "CPython's test suite")) == (
        "CPython's test suite is missing: `sh tools/setup.sh --only proof` installs it")
