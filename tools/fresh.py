#!/usr/bin/python3
"""fresh.py - the README's two commands on pristine minimal systems, as their first user would type them.

What only it can find: a package, file or version that the project needs and does not ask for, since every developer's
system has it.

    fresh.py [--only NAME...] [--keep]

For each trial a system that debootstrap made (minbase, git and certificates) is copied, the committed project is cloned
into it, and `sh tools/setup.sh run` and `sh tools/setup.sh test` are run there; then what comes with the list `web`.
All of them together write docs/fresh.md. Needs root, for debootstrap and chroot.

Everything lies in build/fresh: the bases, which are kept for the next time, and a log of each trial. A trial has
namespaces of its own for mounts and processes, so what it mounts and starts is gone when it ends, whatever ends it.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections import namedtuple

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cli  # noqa: E402 (the line above makes it findable)

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDER = os.path.join(ROOT, "build", "fresh")
DOCUMENT = os.path.join(ROOT, "docs", "fresh.md")
MIRROR = os.environ.get("MIRROR", "http://deb.debian.org/debian")
LIMIT = 4 * 3600  # seconds for one command
USER = "learner"

# more: packages that this user's system has besides git and certificates
Trial = namedtuple("Trial", "name release number user more")
TRIALS = (Trial("debian-12", "bookworm", "12", "root", ()),
          Trial("debian-13", "trixie", "13", "root", ()),
          Trial("debian-13-user", "trixie", "13", USER, ("sudo", "gawk")))

# title, package; the version is what dpkg says, without the distribution's part
TOOLS = (("QEMU", "qemu-system-x86"), ("Bochs", "bochs"), ("GDB", "gdb"), ("gcc", "gcc-i686-linux-gnu"),
         ("clang", "clang"), ("NASM", "nasm"), ("Python", "python3"), ("cmocka", "libcmocka-dev"))
AWKS = ("gawk", "mawk")

Result = namedtuple("Result", "trial versions commands")
# A command's seconds and megabytes, and the tests that it counted (None: it counts none, and passed or failed).
Command = namedtuple("Command", "name seconds megabytes passed failed")

COUNT = re.compile(r"^(?:e2e: )?(\d+) passed, (\d+) failed$", re.MULTILINE)
SIZE = re.compile(r"^setup: installing.*: ([\d.]+) ([kM]?B) to download", re.MULTILINE)
BOOTED = re.compile(r"^granary: halt passed\r?$", re.MULTILINE)


def say(text):
    print(f"fresh: {text}", flush=True)


def call(command):
    """Runs a command of this machine; RunError with its last line if it fails."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", check=False)
    if done.returncode != 0:
        raise cli.RunError(f"{' '.join(command[:4])}...: {(done.stdout.strip().splitlines() or ['failed'])[-1]}")
    return done.stdout


# ---- systems -----------------------------------------------------------------------------------------------------

def base(release):
    """The folder of a minimal system, made where there is none. Half-made ones have another name."""
    folder = os.path.join(FOLDER, f"base-{release}")
    if not os.path.isdir(folder):
        say(f"makes a minimal system of {release}")
        half = folder + ".half"
        shutil.rmtree(half, ignore_errors=True)
        call([cli.find_program("debootstrap"), "--variant=minbase", "--include=git,ca-certificates", release, half,
              MIRROR])
        os.rename(half, folder)
    return folder


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def copy(trial):
    """A fresh copy of the trial's base, which knows how to reach the network."""
    folder = os.path.join(FOLDER, trial.name)
    shutil.rmtree(folder, ignore_errors=True)
    call(["cp", "-a", "--reflink=auto", base(trial.release), folder])
    shutil.copyfile("/etc/resolv.conf", os.path.join(folder, "etc", "resolv.conf"))
    # A machine that is thrown away needs no safety from power cuts.
    write(os.path.join(folder, "etc", "dpkg", "dpkg.cfg.d", "unsafe-io"), "force-unsafe-io\n")
    bundle = host_certificates()
    if bundle:
        shutil.copyfile(bundle, os.path.join(folder, "etc", "ssl", "host.pem"))
    return folder


def host_certificates():
    """A bundle of its own that this machine's environment names: its network may need it."""
    names = ("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "CURL_CA_BUNDLE")
    return next((os.environ[name] for name in names if os.path.isfile(os.environ.get(name, ""))), None)


def environment(folder, home):
    """What a login would set, and this machine's way to the network."""
    settings = {"HOME": home, "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM": "dumb"}
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        if name in os.environ:
            settings[name] = os.environ[name]
    if os.path.exists(os.path.join(folder, "etc", "ssl", "host.pem")):
        settings["NODE_EXTRA_CA_CERTS"] = "/etc/ssl/host.pem"
    return settings


# $1 the system, the rest a command in it. --rbind: /dev with its pts and shm.
ENTER = 'mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && exec chroot "$@"'


def inside(folder, user, text, log):
    """Runs a line of the shell as the user in the system. Returns status and output; the log gets it as it comes."""
    home = "/root" if user == "root" else f"/home/{user}"
    words = ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--"] if user != "root" else []
    command = ["timeout", "-k", "10", str(LIMIT), "unshare", "--mount", "--pid", "--fork", "--kill-child",
               "sh", "-c", ENTER, "sh", folder, *words, "sh", "-c", f"cd {home} && {text}"]
    lines = []
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", env=environment(folder, home), start_new_session=True,
                          preexec_fn=cli.tied) as process:
        try:
            for line in process.stdout:
                lines.append(line)
                log.write(line)
                log.flush()
        except BaseException:  # Ctrl-C, say: nothing is waited for
            process.kill()
            raise
    return process.returncode, "".join(lines)


def prepare(trial, folder, log):
    """The user's system before the first command: a user, what it has besides, and the clone."""
    if trial.more:
        must(inside(folder, "root", f"apt-get update -q && apt-get install -q -y --no-install-recommends "
                                    f"{' '.join(trial.more)}", log))
    if trial.user != "root":
        must(inside(folder, "root", f"useradd -m {trial.user} && "
                                    f"echo '{trial.user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/{trial.user}", log))
    bundle = os.path.join(folder, "tmp", "granary.bundle")
    call(["git", "-C", ROOT, "bundle", "create", "-q", bundle, "HEAD"])
    os.chmod(bundle, 0o644)
    must(inside(folder, trial.user, "git clone -q /tmp/granary.bundle granary", log))


def must(done):
    status, output = done
    if status != 0:
        raise cli.RunError(f"the trial could not be prepared: {(output.strip().splitlines() or ['?'])[-1]}")


# ---- a trial -----------------------------------------------------------------------------------------------------

def megabytes(output):
    return sum(float(size) * {"B": 1e-6, "kB": 1e-3, "MB": 1}[unit] for size, unit in SIZE.findall(output))


def run_command(folder, trial, name, text, log):
    """One command of the trial, judged by its output and its status."""
    say(f"{trial.name}: {text}")
    log.write(f"\n==== {text}\n")
    start = time.monotonic()
    status, output = inside(folder, trial.user, f"cd granary && {text}", log)
    seconds = time.monotonic() - start
    counts = COUNT.findall(output)
    passed, failed = (int(counts[-1][0]), int(counts[-1][1])) if counts else (int(bool(BOOTED.search(output))), 0)
    if (status != 0 or passed == 0) and failed == 0:
        failed = 1
    say(f"{trial.name}: {passed} passed, {failed} failed, {seconds:.0f} s, {megabytes(output):.0f} MB to download")
    return Command(name, seconds, megabytes(output), passed, failed)


def versions(folder, log):
    """{title: version} of the tools, and which awk it is."""
    found = {}
    for title, package in TOOLS:
        status, text = inside(folder, "root", f"dpkg-query -W -f '${{Version}}\\n' {package}", log)
        found[title] = short(text.strip()) if status == 0 else "-"
    _, text = inside(folder, "root", "readlink -f /usr/bin/awk", log)
    found["awk"] = os.path.basename(text.strip())
    return found


def short(version):
    """`1:10.0.7+ds-0+deb13u1` is 10.0.7: without epoch, Debian's revision and what Debian took out."""
    return re.split(r"[-+~]", re.sub(r"^\d+:", "", version))[0]


COMMANDS = (("run", "sh tools/setup.sh run"),
            ("test", "sh tools/setup.sh test"),
            ("web", "sh tools/setup.sh --only web && make -s v86 web && cd tests/e2e && "
                    "/usr/bin/python3 -m pytest -q test_v86.py"))


def run_trial(trial, keep):
    with open(os.path.join(FOLDER, trial.name + ".log"), "w", encoding="utf-8") as log:
        folder = copy(trial)
        try:
            prepare(trial, folder, log)
            commands = [run_command(folder, trial, name, text, log) for name, text in COMMANDS]
            return Result(trial, versions(folder, log), commands)
        finally:
            if not keep:
                shutil.rmtree(folder, ignore_errors=True)


# ---- the table ---------------------------------------------------------------------------------------------------

def table(results):
    """Markdown: one column a trial."""
    heads = [f"Debian {result.trial.number}, {'as root' if result.trial.user == 'root' else 'a user with sudo'}"
             for result in results]
    rows = [["", *heads], ["---"] * (len(heads) + 1)]
    for title in [name for name, _ in TOOLS] + ["awk"]:
        rows.append([title, *(result.versions[title] for result in results)])
    for at, (name, _) in enumerate(COMMANDS):
        done = [result.commands[at] for result in results]
        rows.append([f"{name}: MB to download", *(f"{each.megabytes:.0f}" for each in done)])
        rows.append([f"{name}: seconds", *(f"{each.seconds:.0f}" for each in done)])
        rows.append([f"{name}: passed, failed", *(f"{each.passed:,}, {each.failed}" for each in done)])
    return ["| " + " | ".join(row) + " |" for row in rows]


HEAD = """# On fresh systems

`make fresh` wrote this page. It makes minimal systems with debootstrap (`--variant=minbase`, git, certificates), clones
the project into a copy of each and types the README's two commands there: `sh tools/setup.sh run` installs what a boot
needs, builds and boots; `sh tools/setup.sh test` installs what the tests need and runs all of them. The third is
`sh tools/setup.sh --only web`, `make v86 web` and the tests of v86: only these need npm.

"""


def document(results):
    commit = call(["git", "-C", ROOT, "log", "-1", "--format=%h of %ad", "--date=format:%Y-%m-%d"]).strip()
    cpus = os.cpu_count()
    return HEAD + "\n".join(table(results)) + (
        f"\n\nRun on {time.strftime('%Y-%m-%d')} with the commit {commit}, on {cpus} processors. A boot counts as\n"
        "one. The megabytes are those that apt reports for that command; the seconds have the download in them.\n")


def main(argv):
    parser = cli.Parser(prog="fresh.py", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help=" ".join(trial.name for trial in TRIALS))
    parser.add_argument("--keep", action="store_true", help="leaves the systems in build/fresh")
    opt = parser.parse_args(argv)
    unknown = set(opt.only) - {trial.name for trial in TRIALS}
    if unknown:
        raise cli.RunError(f"no trial '{sorted(unknown)[0]}'; there are: {' '.join(trial.name for trial in TRIALS)}")
    if os.geteuid() != 0:
        raise cli.RunError("debootstrap and chroot need root: run it with sudo")
    cli.find_program("debootstrap")
    os.makedirs(FOLDER, exist_ok=True)
    if call(["git", "-C", ROOT, "status", "--porcelain", "--untracked-files=no"]).strip():
        say("what is not committed is not in the clone")
    results = [run_trial(trial, opt.keep) for trial in TRIALS if trial.name in opt.only or not opt.only]
    print("\n".join(table(results)))
    if not opt.only:
        write(DOCUMENT, document(results))
    passed = sum(command.passed for result in results for command in result.commands)
    failed = sum(command.failed for result in results for command in result.commands)
    print(f"fresh: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(cli.main(main, "fresh"))
