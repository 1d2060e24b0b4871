"""libgranary.so: real programs run on the kernel's heap, and say exactly what they say on the system's.

Every program runs twice, without and with the library. The second run checks the whole heap at its end in each of
its processes (GRANARY_CHECK), and each writes its line of figures to a file (GRANARY_STATS): that the heap was used
at all, is sound, and refused nothing, is read there.
"""

import collections
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

# One worker for all: they share what the fixtures build.
pytestmark = pytest.mark.xdist_group("libgranary")

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = os.path.join(HERE, "libgranary")
TIMEOUT = 120  # seconds: a lock that is not given back must not hold up the tests

STATS = re.compile(r"^granary: program=(\S+) classes=(\S+) frames_peak=(\d+) frames_held=(\d+) live=(\d+) "
                   r"checked=(\d) broken=(\d+) reports=(\d+)$")
Stats = collections.namedtuple("Stats", "program classes peak held live checked broken reports")
Done = collections.namedtuple("Done", "code out err stats")


@pytest.fixture(scope="session")
def library():
    """build/host/libgranary.so, made if it is not there yet."""
    top = os.path.dirname(os.path.dirname(HERE))
    subprocess.run(["make", "--no-print-directory", "-s", "libgranary"], cwd=top, check=True)
    return os.path.join(top, "build", "host", "libgranary.so")


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """program(NAME) compiles tests/e2e/libgranary/NAME.c or .cpp and returns where it lies."""
    folder = tmp_path_factory.mktemp("programs")

    def compiled(name):
        to = os.path.join(folder, name)
        if not os.path.exists(to):
            source = os.path.join(PROGRAMS, name)
            # -fno-builtin: the compiler must not remove or merge calls it thinks it knows.
            command = (["g++", "-O1", "-Wall", f"{source}.cpp"] if os.path.exists(f"{source}.cpp")
                       else ["gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-fno-builtin", "-pthread", f"{source}.c"])
            subprocess.run([*command, "-o", to], check=True)
        return to
    return compiled


@pytest.fixture
def run(library, tmp_path):
    """run(COMMAND, granary=True, checked=False, input=, **settings): a Done. A setting NAME=x is GRANARY_NAME=x;
    `checked`: libgranary-checked.so."""
    def run_one(command, granary=True, text=None, cwd=None, limit=None, checked=False, **settings):
        stats = tmp_path / "stats"
        stats.unlink(missing_ok=True)
        env = {name: value for name, value in os.environ.items() if not name.startswith("GRANARY_")}
        env |= {"LC_ALL": "C", "PYTHONHASHSEED": "0", "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
        if granary:
            env |= {"LD_PRELOAD": library.replace(".so", "-checked.so") if checked else library,
                    "GRANARY_STATS": str(stats), "GRANARY_CHECK": "1"}
            env |= {f"GRANARY_{name.upper()}": value for name, value in settings.items()}
        done = subprocess.run(command, input=text, capture_output=True, text=True, env=env, cwd=cwd, timeout=TIMEOUT,
                              check=False, preexec_fn=limit)
        lines = stats.read_text().splitlines() if stats.exists() else []
        found = [STATS.match(line) for line in lines]
        assert all(found), lines
        return Done(done.returncode, done.stdout, done.stderr,
                    [Stats(*match.groups()[:2], *map(int, match.groups()[2:])) for match in found])
    return run_one


def assert_sound(done, name, reports=0):
    """The program `name` is among those that ended on our heap; each was checked, and none has a fault."""
    assert name in [stats.program for stats in done.stats], done
    for stats in done.stats:
        assert (stats.checked, stats.broken, stats.reports) == (1, 0, reports), stats
        assert stats.peak >= stats.held > 0, stats


@pytest.fixture(params=["fine", "seed", "checked"])
def same(run, request):
    """same(NAME, COMMAND): runs it without and with the library; both must succeed and say the same. "checked" is the
    library with the checks of kernel/checked/checked.c: a fault of the program or of the checks would be a report."""
    def run_both(name, command, **more):
        plain = run(command, granary=False, **more)
        assert plain.code == 0, plain
        checked = request.param == "checked"
        classes = "fine" if checked else request.param
        done = run(command, classes=classes, checked=checked, **more)
        assert (done.code, done.out, done.err) == (plain.code, plain.out, plain.err)
        assert_sound(done, name)
        assert {stats.classes for stats in done.stats} == {classes}
        return done
    return run_both


# ---- real programs --------------------------------------------------------------------------------------------------

PYTHON = r"""
import collections, gc, json, random, re
random.seed(7)
Point = collections.namedtuple("Point", "x name")
points = [Point(i, f"point {i}" * (i % 5 + 1)) for i in range(20000)]
table = {p.name: [p.x, {"half": p.x / 2}] for p in points}
text = json.dumps(table)
assert json.loads(text) == table
found = re.findall(r'"point (\d+)[^"]*": \[(\d+)', text)
print(len(text), len(found), sum(int(b) for a, b in found))
big = sorted(random.random() for _ in range(100000))
print(big[0], big[-1], len(set(map(str, big))))
data = bytearray()
for i in range(3000): data += bytes([i % 256]) * (i % 700)
print(len(data), len(data.replace(b"\x01", b"xyz")), hash(bytes(data)))
class Node: pass
for i in range(5000):
    a, b = Node(), Node(); a.other, b.other = b, a
del table, points
print(gc.collect() > 0)
"""

SQL = """
create table t(a integer primary key, b text, c real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 30000)
  insert into t select i, printf('row %d of many', i * 7919 % 10007), i * 1.5 from n;
create index tb on t(b);
select count(*), sum(a), avg(c) from t where b like 'row 1%';
select b, count(*) from t group by substr(b, 1, 6) order by 2 desc, 1 limit 5;
delete from t where a % 3 = 0;
vacuum;
pragma integrity_check;
select count(*), max(b) from t;
"""

PERL = r"""
my (%h, @w); my $x = 12345;
for my $i (1 .. 60000) {
    $x = ($x * 1103515245 + 12345) & 0x7fffffff;
    my $k = "k" . ($x % 20000);
    $h{$k} .= "v$i,"; push @w, $k if $i % 7 == 0;
}
my $s = join " ", sort @w;
my $n = () = $s =~ /k\d*7\b/g;
my @a = map { [split /,/, $h{$_}] } sort keys %h;
my $t = 0; $t += @$_ for @a;
print scalar(keys %h), " $n ", length($s), " $t\n";
"""

GIT = """
set -e
git init -q -b main .
cp -r ../source/* .
git add .
git commit -q -m first
for i in 1 2 3; do echo "// $i" >> lib/list.h; git commit -q -a -m "change $i"; done
git log --stat --format='%H %s'
git gc -q
git fsck
git log -p | git hash-object --stdin
"""


@pytest.mark.parametrize("malloc", ["pymalloc", "malloc"])
def test_python(same, monkeypatch, malloc):
    """With Python's own allocator above ours, and with each object a block of ours."""
    monkeypatch.setenv("PYTHONMALLOC", malloc)
    same("python3", ["/usr/bin/python3", "-c", PYTHON])


def test_gcc(same, root, tmp_path):
    """The heap compiles itself, and the objects are the same bit by bit."""
    to = tmp_path / "memory.o"
    objects = []
    command = ["gcc", "-std=gnu11", "-O2", "-g", "-m32", "-ffreestanding", "-I.", "-c", "lib/print.c", "-o", str(to)]
    for _ in range(2):
        subprocess.run(command, cwd=root, check=True)
        objects.append(to.read_bytes())
        to.unlink()
    done = same("cc1", command, cwd=root)
    assert {"gcc", "as"} <= {stats.program for stats in done.stats}
    assert [to.read_bytes()] * 2 == objects


def test_git(same, root, tmp_path, monkeypatch):
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "A U Thor")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "author@example.com")
        monkeypatch.setenv(f"GIT_{who}_DATE", "2020-02-02T02:02:02Z")
    for name in ("lib", "kernel"):
        shutil.copytree(os.path.join(root, name), tmp_path / "source" / name)
    folder = tmp_path / "repository"
    fresh = f"rm -rf '{folder}' && mkdir '{folder}' && cd '{folder}'\n"
    done = same("git", ["sh", "-c", fresh + GIT])
    assert len(re.findall(r"^[0-9a-f]{40} change \d$", done.out, re.MULTILINE)) == 3


def test_sqlite3(same, tmp_path):
    same("sqlite3", ["sqlite3", ":memory:"], text=SQL)
    for name in ("plain.db", "granary.db"):
        assert not (tmp_path / name).exists()
    same("sqlite3", ["sh", "-c", f"rm -f '{tmp_path}/x.db' && exec sqlite3 '{tmp_path}/x.db'"], text=SQL)


def test_perl(same):
    same("perl", ["perl", "-e", PERL])


def test_cpp(same, program):
    same("stl", [program("stl")])


def test_threads(same, program):
    same("threads", [program("threads")])


def test_fork_in_a_threaded_program(same, program):
    done = same("fork", [program("fork")], window="256M")
    assert len(done.stats) == 101  # each child checked its own copy of the heap


def test_fork_beside_threads_that_use_streams(run, program, tmp_path):
    for checked in (False, True):
        done = run([program("fork_streams"), str(tmp_path / "line.txt")], checked=checked, window="256M")
        assert (done.code, done.out, done.err) == (0, "alive\n", "")


@pytest.mark.parametrize("checked", [False, True])
def test_fork_while_another_thread_registers_handlers_for_it(run, program, checked):
    done = run([program("fork_handlers")], checked=checked)
    assert (done.code, done.out, done.err) == (0, "alive\n", "")


@pytest.mark.parametrize("checked", [False, True])
def test_no_thread_is_cancelled_inside_the_heap(run, program, checked):
    done = run([program("cancel")], checked=checked)
    assert (done.code, done.out) == (0, "0 threads ended inside the heap\n")
    assert re.fullmatch(r"heap: outside the heap: [^\n]*\n", done.err)  # the one of the last round


def test_a_thousand_threads_at_once(run, program):
    """With the system's malloc 0.2 s; waiters that poll are not done after a hundred."""
    start = time.monotonic()
    done = run([program("crowd")], window="256M")
    assert (done.code, done.out) == (0, "all done\n")
    assert time.monotonic() - start < 20
    assert_sound(done, "crowd")


# ---- the contract ---------------------------------------------------------------------------------------------------

def test_contract(same, program):
    assert same("contract", [program("contract")]).out == "contract holds\n"


def test_contract_with_sizes_that_are_no_powers_of_two(run, program):
    """The blocks of a size's host are aligned as its own are, or it has none."""
    done = run([program("contract")], classes="16 48 96 112 1008 1120")
    assert (done.code, done.out, done.err) == (0, "contract holds\n", "")
    assert_sound(done, "contract")


@pytest.fixture
def libgranary32(root):
    subprocess.run(["make", "--no-print-directory", "-s", "libgranary32"], cwd=root, check=True)
    return os.path.join(root, "build", "32", "host")


def test_programs_of_32_bits(tmp_path, libgranary32, loader32):
    """The library for them: the contract, and a wrong call."""
    for name, words, status in (("contract", [], "contract holds\n"), ("wrong", ["double"], None)):
        to = tmp_path / name
        source = os.path.join(PROGRAMS, f"{name}.c")
        subprocess.run(["i686-linux-gnu-gcc", "-O1", "-fno-builtin", "-w", "-pthread", source, "-o", to], check=True)
        for library in ("libgranary.so", "libgranary-checked.so"):
            preload = os.path.join(libgranary32, library)
            start = [loader32, "--library-path", os.path.dirname(loader32), "--preload", preload]
            done = subprocess.run([*start, to, *words], capture_output=True, text=True, check=False,
                                  env={"GRANARY_CHECK": "1"})
            assert done.returncode == 0, done
            assert done.stdout == status if status else done.stderr.startswith("heap: double free: ")


def test_memory_goes_back_to_the_system(run, program):
    """Resident KiB: most of what was given back is gone, and untouched zeros take no memory."""
    done = run([program("footprint")], window="2G")
    assert done.code == 0, done
    assert_sound(done, "footprint")
    words = done.out.split()
    small, small_after, large, large_after, sparse = (int(words[at]) for at in (1, 3, 5, 7, 9))
    assert small > 135000 and large > 8 * 32768
    assert small_after < small / 2
    assert large_after < small_after + 64 * 1024 + 4096  # twice the largest area may stay, 64 MiB at most
    assert sparse < large_after + 4096


def test_what_is_asked_for_again_stays(run, program):
    """16 MiB are 4096 pages. Were they taken away in each of 400 rounds, it would be 1.6 million of them."""
    done = run([program("again")])
    assert done.code == 0, done
    assert_sound(done, "again")
    whole, last_half = map(int, done.out.split())
    assert 4096 <= whole < 10 * 4096 and last_half < 100


@pytest.mark.parametrize("checked", [False, True])
@pytest.mark.parametrize("what, said", [("", "small"), ("limit", "thread, page, malloc up to the limit"),
                                        ("lock", "resident what is used"), ("hole", "grown over four holes")])
def test_address_space_that_is_not_used_is_not_taken(run, program, what, said, checked):
    """Of a window of 32 GiB; so a core is not long either."""
    if what == "lock" and subprocess.run([program("limits"), what], capture_output=True, check=False).returncode != 0:
        pytest.skip("this user may not lock so much memory (ulimit -l)")
    done = run([program("limits"), what], checked=checked, window="32G")
    assert (done.code, done.out, done.err) == (0, said + "\n", "")
    assert_sound(done, "limits")


def test_valgrind_starts_at_once(library, program):
    """With the heap's own calls, not valgrind's, and a window of 4 GiB, which would all be looked at."""
    environment = {"PATH": os.environ["PATH"], "LD_PRELOAD": library, "GRANARY_WINDOW": "4G"}
    words = ["valgrind", "-q", "--soname-synonyms=somalloc=nouserintercepts", program("limits")]
    _, status, used = os.wait4(os.posix_spawnp("valgrind", words, environment), 0)
    assert status == 0
    assert used.ru_utime + used.ru_stime < 10 and used.ru_maxrss < 200 << 10  # seconds, KiB


def test_no_memory_is_said_and_survived(run):
    """A window of 16 MiB: Python runs out of it, says so, and goes on."""
    code = "try:\n a = bytearray(1 << 25)\nexcept MemoryError:\n print('no memory')\nprint(len(bytearray(1 << 20)))"
    done = run(["/usr/bin/python3", "-c", code], window="16M")
    assert (done.code, done.out, done.err) == (0, "no memory\n1048576\n", "")
    assert_sound(done, "python3")


def test_little_address_space(run):
    """Where the window does not fit it becomes smaller."""
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))
    done = run(["/usr/bin/python3", "-c", "print(sum(range(1000)))"], limit=limit, window="32G")
    assert (done.code, done.out, done.err) == (0, "499500\n", "")
    assert_sound(done, "python3")


def test_a_table_of_ones_own(run):
    done = run(["perl", "-e", PERL], classes="16 48 112 496 2000")
    assert done.code == 0
    assert_sound(done, "perl")
    assert done.stats[0].classes == "16,48,112,496,2000"


def test_the_table_is_the_one_asked_for(run):
    """Finer steps hold fewer frames: the same program, one heap against the other."""
    peak = {classes: run(["sqlite3", ":memory:"], text=SQL, classes=classes).stats[0].peak
            for classes in ("fine", "seed", "1024")}
    assert peak["fine"] < 0.9 * peak["seed"] < 0.9 * peak["1024"]


# ---- wrong calls ----------------------------------------------------------------------------------------------------

WRONG = {
    "double": "double free",
    "double-large": "not allocated",
    "interior": "interior pointer",
    "interior-large": "interior pointer",
    "interior-first": "interior pointer",
    "stack": "outside the heap",
    "constant": "outside the heap",
    "far": "outside the heap",
    "never": "not allocated",
    "realloc": "double free",
    "realloc-zero": "double free",
    "usable": "double free",
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_call_is_reported_and_refused(run, program, case):
    """One line with the fixed words, pointer, owner, caller and thread; the heap is sound, and the program goes on."""
    done = run([program("wrong"), case])
    assert done.code == 0, done
    pointer = int(done.out, 16)
    line = re.fullmatch(r"heap: ([a-z ]+): (0x[0-9a-f]+): ([^;]+); called from (\S+\+0x[0-9a-f]+), thread \d+\n",
                        done.err)
    assert line, done
    assert (line[1], int(line[2], 16)) == (WRONG[case], pointer)
    assert "wrong+" in line[4]
    assert_sound(done, "wrong", reports=1)


FAULTS = {
    "overflow": "overflow",
    "overflow-six": "overflow",
    "underflow": "overflow",
    "write-to-nothing": "overflow",
    "write-after-free": "use after free",
    "read-after-free": "use after free",
    "after-realloc": "use after free",
}


@pytest.mark.parametrize("case", FAULTS)
def test_checked_library_finds_the_fault(run, program, case):
    """Found to the byte, with the place that allocated; the program goes on. Its twin without the fault is silent."""
    done = run([program("faults"), case], checked=True)
    assert done.code == 0, done
    line = re.fullmatch(r"heap: ([a-z ]+): (0x[0-9a-f]+): (.+); (called|accessed) from (\S+), thread \d+\n", done.err)
    assert line, done
    assert (line[1], int(line[2], 16)) == (FAULTS[case], int(done.out, 16))
    assert re.search(r", \d+ bytes from 0x[0-9a-f]+ for thread \d+ at \S*faults\+0x", line[3])
    assert ("freed by thread" in line[3]) == (FAULTS[case] == "use after free")
    assert_sound(done, "faults", reports=1)
    twin = run([program("faults"), case, "fixed"], checked=True)
    assert (twin.code, twin.err) == (0, "")
    assert_sound(twin, "faults")


def test_a_process_with_as_many_mappings_as_it_may_have(run, program):
    """The checked library can then not unmap a freed area: errno stays, and the area is poison that is looked at."""
    done = run([program("mappings")], checked=True)
    assert done.code == 0, done
    line = re.fullmatch(r"heap: use after free: (0x[0-9a-f]+): [^\n]*\n", done.err)
    assert line and int(line[1], 16) == int(done.out, 16), done
    assert_sound(done, "mappings", reports=1)


def test_an_area_that_grows_step_by_step_is_not_copied_each_time(run, program):
    """The checked library took minutes for what takes the fast one a moment: 270 GB were copied."""
    start = time.monotonic()
    done = run([program("grow")], checked=True)
    assert (done.code, done.out, done.err) == (0, "", "")
    assert time.monotonic() - start < 30
    assert_sound(done, "grow")


def test_fast_library_does_not_see_them(run, program):
    """What the checks are for: without them the same program runs on in silence."""
    done = run([program("faults"), "overflow"])
    assert (done.code, done.err) == (0, "")


def test_panic_ends_the_program(run, program):
    done = run([program("wrong"), "double"], heap="panic")
    assert done.code == -signal.SIGABRT
    assert done.err.startswith("heap: double free: ")


# ---- settings -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("setting", [("classes", "17"), ("classes", ""), ("classes", "coarse"), ("window", "much"),
                                     ("window", "-1"), ("window", "4K"), ("window", "99999999999999999999G"),
                                     ("window", "18014398509481985K"), ("window", "1GB"), ("heap", "ignore"),
                                     ("check", "foo"), ("check", "2"),
                                     ("stats", "x" * 40 + "..." + "x" * 5000)])
def test_wrong_setting_is_one_line(run, setting):
    name, value = setting
    done = run(["/bin/true"], **{name: value})
    assert done.code == 2
    assert re.fullmatch(rf"libgranary: GRANARY_{name.upper()}={re.escape(value[:43])}: [^\n]+\n", done.err), done


@pytest.mark.parametrize("words", [["ls", "/"], ["sort", "/dev/null"]])
def test_figures_of_programs_that_close_standard_error(run, words):
    done = run(words, stats="1")
    assert done.code == 0
    assert re.search(STATS.pattern, done.err, re.MULTILINE)[1] == words[0]


def test_figures_never_go_to_another_file(run, program, tmp_path):
    """The program's own file has standard error's number at the end."""
    done = run([program("title"), str(tmp_path / "own.txt")], stats="1")
    assert done.code == 0 and STATS.match(done.err.strip())[1] == "title"
    assert (tmp_path / "own.txt").read_text() == ""


def test_settings_are_kept_when_the_environment_is_written_over(run, program, tmp_path):
    """And a file for the figures is found again from another folder."""
    done = run([program("title")], cwd=tmp_path, stats="stats")
    assert done.code == 0 and [stats.program for stats in done.stats] == ["title"]


def test_a_program_s_name_cannot_break_the_line(run, tmp_path):
    name = "a\nb\x1b[2Jc d"
    os.symlink("/bin/true", tmp_path / name)
    assert [stats.program for stats in run([str(tmp_path / name)]).stats] == ["a?b?[2Jc?d"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a set-uid program")
def test_a_set_uid_program_takes_no_settings(library, program):
    """Its caller must not choose a file that root then writes to."""
    with tempfile.TemporaryDirectory(prefix="granary-setuid-") as folder:
        os.chmod(folder, 0o755)
        shutil.copy(library, folder)
        shutil.copy(os.path.join(PROGRAMS, "contract.c"), folder)
        made = os.path.join(folder, "contract")
        subprocess.run(["gcc", "-O1", "-fno-builtin", "-w", "-pthread", f"{made}.c", "-o", made,
                        os.path.join(folder, "libgranary.so"), f"-Wl,-rpath,{folder}"], check=True)
        os.chmod(made, 0o4755)
        env = {"GRANARY_STATS": os.path.join(folder, "stats"), "GRANARY_HEAP": "no such word"}
        plain = subprocess.run([made], env=env, capture_output=True, text=True, check=False)
        assert plain.returncode == 2 and plain.stderr.startswith("libgranary: GRANARY_HEAP=no such word")
        done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", made], env=env,
                              capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "contract holds\n", "")
        assert not os.path.exists(env["GRANARY_STATS"])


def test_says_nothing_by_itself(library):
    env = {"PATH": os.environ["PATH"], "LD_PRELOAD": library}
    done = subprocess.run(["/bin/echo", "x"], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "x\n", "")


def test_public_names(library):
    """What the library exports is C's allocation functions, and what pthread_atfork() calls."""
    nm = shutil.which("nm")
    out = subprocess.run([nm, "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    names = {line.split()[-1] for line in out.splitlines()}
    assert names == {"malloc", "free", "calloc", "realloc", "reallocarray", "memalign", "aligned_alloc",
                     "posix_memalign", "valloc", "pvalloc", "malloc_usable_size", "malloc_trim",
                     "__register_atfork"}


# What the library may use of others, and why each does no harm under malloc(): it takes no lock, sets no errno, is no
# cancellation point, and does not allocate.
IMPORTS = {
    "memory": {"memcpy", "memmove", "memset", "memcmp", "strlen", "strnlen", "strcmp"},
    "plain system calls, which keep errno by tools/libgranary/system.h": {"syscall", "__errno_location"},
    "a flag": {"__libc_single_threaded"},
    "a thread's name, out of a register": {"pthread_self"},
    "a thread's owner, at its first allocation: a store in its own record": {"pthread_setspecific"},
    "the loader's table, read without a lock": {"_dl_find_object"},
    "the end, after a report": {"abort"},
    "at the start and at the exit only": {"secure_getenv", "__progname", "program_invocation_short_name", "fstat",
                                          "pthread_key_create", "sigaction", "sigemptyset",
                                          "__cxa_finalize"},
    "in a fault's handler, where the program is to end": {"signal"},
    "by fork() only": {"_IO_list_lock", "_IO_list_unlock", "_IO_list_resetlock"},
    "weak, and not there": {"__gmon_start__", "_ITM_deregisterTMCloneTable", "_ITM_registerTMCloneTable"},
}


@pytest.mark.parametrize("name", ["libgranary.so", "libgranary-checked.so"])
def test_uses_nothing_that_is_not_safe_under_malloc(library, name):
    path = os.path.join(os.path.dirname(library), name)
    out = subprocess.run(["nm", "-D", "--undefined-only", path], capture_output=True, text=True, check=True).stdout
    used = {line.split()[-1].split("@")[0] for line in out.splitlines()}
    assert used and used <= set().union(*IMPORTS.values())
