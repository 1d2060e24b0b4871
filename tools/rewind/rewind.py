#!/usr/bin/python3
"""rewind.py - records a run of the kernel in QEMU, then opens it in GDB at its end, to be gone through backwards.

Three steps, each of which says how long it took: the run itself, with everything that comes from outside written
down; the same run once more, with a snapshot of the machine every few million instructions; GDB on the replay, with
the heap commands and those of commands.py (`heap who-wrote`, `heap back-to`).

The run is a batch run: it ends with the kernel's last line, with a panic, or when --timeout has gone by (a kernel
that hangs is recorded up to there). Ctrl-C ends it as well.

Status: GDB's own; 2 if something is missing, or the recording cannot be replayed.
"""

import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOOLS = os.path.dirname(HERE)
sys.path[:0] = [HERE, TOOLS, os.path.join(TOOLS, "debug")]

import cli  # noqa: E402 (the line above makes it findable)
import emulator as emu  # noqa: E402
import machine  # noqa: E402
import piped  # noqa: E402
import run  # noqa: E402
import stub  # noqa: E402

SNAPSHOTS = 24            # about; a stretch between two is executed within a tenth of a second
SNAPSHOT_LEAST = 500000   # instructions between two
TRIES, TRY_STEP = 8, 5000  # instructions: where one cannot be taken, it is tried again a little later
SETTLE_SECONDS = 0.1      # the count does not change for so long: the processor has halted for good


def qemu_command(folder, mem, mode):
    """QEMU that records or replays `folder`/overlay.qcow2.

    shift=0: an instruction takes a nanosecond of the machine's time, as in every measurement here. No debug-exit
    device: QEMU would be gone without finishing its recording. vapic off: with it, loading a snapshot in a replay
    waits for the processor, which waits for the main loop (QEMU 7.2).
    """
    def inside(name):
        return emu.qemu_option_path(os.path.join(folder, name))
    console = f"file,id=console,path={inside('console.txt')}" if mode == "record" else "null,id=console"
    return [cli.find_program("qemu-system-i386"), "-accel", "tcg", "-m", str(mem),
            "-icount", f"shift=0,rr={mode},rrfile={inside('recording')},rrsnapshot=init",
            "-drive", f"file={inside('overlay.qcow2')},if=none,id=disk,cache=unsafe",
            "-drive", "driver=blkreplay,if=none,image=disk,id=replayed", "-device", "ide-hd,drive=replayed",
            "-global", "apic-common.vapic=off", "-display", "none", "-nic", "none", "-no-reboot", "-no-shutdown",
            "-monitor", "none", "-qmp", f"unix:{inside(mode + '.qmp')},server=on,wait=off",
            "-chardev", console, "-serial", "chardev:console"]


def start(command, folder):
    errors = open(os.path.join(folder, "errors.txt"), "ab")
    # A session of its own: Ctrl-C is for us and for GDB.
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, start_new_session=True,
                            preexec_fn=cli.tied)


def complaint(folder):
    with open(os.path.join(folder, "errors.txt"), encoding="utf-8", errors="replace") as errors:
        return " | ".join(errors.read().split("\n")).strip(" |") or "no reason given"


def prepare(opt, folder):
    """The image with its command line, and an overlay over it that takes what is written, and the snapshots."""
    args = f"{opt.args} batch".strip()
    image = emu.image_with_args(os.path.join(opt.build, "hd.img"), args, folder)
    tool = cli.find_program("qemu-img")
    done = subprocess.run([tool, "create", "-q", "-f", "qcow2", "-F", "raw", "-b", os.path.abspath(image),
                           os.path.join(folder, "overlay.qcow2")], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise emu.RunError(f"qemu-img: {done.stderr.strip()}")


def watch(qmp, tail, timeout):
    """Until the last line has come and the processor has halted, or time is up. Returns the last count."""
    begin, count, since = time.monotonic(), -1, 0.0
    while True:
        time.sleep(0.03)
        tail.poll()
        now, at = time.monotonic(), qmp.command("query-replay")["icount"]
        if at != count:
            count, since = at, now
        if tail.done_at is not None and (now - since > SETTLE_SECONDS or now - tail.done_at > run.GRACE_SECONDS):
            return count
        if now - begin > timeout:
            print(f"rewind: no last line within {timeout:g} s: recorded up to here", flush=True)
            return count


def record(opt, folder):
    """The run. Returns how many instructions it has."""
    process = start(qemu_command(folder, opt.mem, "record"), folder)
    tail = run.ConsoleTail(os.path.join(folder, "console.txt"), sys.stdout.buffer)
    try:
        qmp = machine.Qmp(os.path.join(folder, "record.qmp"))
        try:
            watch(qmp, tail, opt.timeout)
        except KeyboardInterrupt:
            print("rewind: stopped by hand: recorded up to here", flush=True)
        qmp.command("stop")
        count = qmp.command("query-replay")["icount"]
        qmp.command("quit")  # finishes the file; a kill would leave it without its head
        process.wait(20)
        return count
    except machine.MachineError as error:
        raise emu.RunError(f"the recording failed: {error}: {complaint(folder)}") from None
    except subprocess.TimeoutExpired:
        raise emu.RunError("the recording failed: QEMU does not end") from None
    finally:
        cli.stop(process)
        tail.poll()
        tail.end_line()


def take_snapshots(replay):
    """The run once more; the machine is then at its end. Returns how many snapshots were taken."""
    step = max(replay.last // SNAPSHOTS, SNAPSHOT_LEAST)
    taken = 0
    for place in range(step, replay.last - step // 2, step):
        for try_at in range(place, place + TRIES * TRY_STEP, TRY_STEP):
            replay.forward(try_at)
            if replay.snapshot(f"at{try_at}"):
                taken += 1
                break
    replay.forward(replay.last)
    return taken


def replay_in_gdb(opt, folder, last):
    path = os.path.join(folder, "stub")
    command = qemu_command(folder, opt.mem, "replay")
    process = start(command + ["-S", "-chardev", f"socket,id=stub,path={path},server=on,wait=off",
                               "-gdb", "chardev:stub"], folder)
    try:
        begin = time.monotonic()
        replay = machine.Replay(os.path.join(folder, "replay.qmp"), path, last)
        count = take_snapshots(replay)
        replay.qmp.close()  # the commands in GDB open it anew
        print(f"rewind: replayed with {count} snapshots in {time.monotonic() - begin:.1f} s", flush=True)
        session = dict(os.environ, GRANARY_REWIND_QMP=os.path.join(folder, "replay.qmp"),
                       GRANARY_REWIND_STUB=path, GRANARY_REWIND_LAST=str(last))
        scripts = [os.path.join(HERE, name) for name in ("commands.py", "rewind.gdb")]
        return piped.call(stub.gdb_command(opt.build, path, *scripts), env=session)
    except machine.MachineError as error:
        raise emu.RunError(f"the recording cannot be replayed: {error}: {complaint(folder)}") from None
    finally:
        cli.stop(process)


def main(argv):
    parser = cli.Parser(prog="rewind.py", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--build", default="build", help="folder of hd.img and kernel.elf")
    parser.add_argument("--mem", type=cli.mebibytes, default=32, metavar="MIB")
    parser.add_argument("--cpus", type=cli.processors, default=1, metavar="N", help="1: more cannot be recorded")
    parser.add_argument("--args", default="", help="kernel command line; `batch` is added")
    parser.add_argument("--timeout", type=float, default=60, metavar="SECONDS", help="for a run that does not end")
    opt = parser.parse_args(argv)
    if opt.cpus != 1:
        raise cli.RunError("a run of several processors cannot be recorded: QEMU plays back one (CPUS=1)")
    emu.check_mem("qemu", opt.mem)
    emu.find_gdb()  # before the run is recorded for nothing
    for name in ("hd.img", "kernel.elf"):
        if not os.path.exists(os.path.join(opt.build, name)):
            raise emu.RunError(f"{os.path.join(opt.build, name)} is not there: run `make` first")
    with cli.folder("rewind") as folder:
        prepare(opt, folder)
        begin = time.monotonic()
        last = record(opt, folder)
        print(f"rewind: recorded {last} instructions in {time.monotonic() - begin:.1f} s", flush=True)
        # From here on GDB handles Ctrl-C. A handler and not SIG_IGN, which GDB would inherit.
        signal.signal(signal.SIGINT, lambda number, frame: None)
        return replay_in_gdb(opt, folder, last)


if __name__ == "__main__":
    sys.exit(cli.main(main, "rewind"))
