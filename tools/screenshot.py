#!/usr/bin/python3
"""screenshot.py - boots the image in QEMU, waits for a line on the console, and saves the VGA screen as a PNG.

  screenshot.py --image build/hd.img --until "granary> " --out docs/img/demo.png
  screenshot.py --image build/hd.img --type "map" --out docs/img/map.png

The screen is QEMU's own picture of it (QMP's screendump), not a drawing of what ought to be there; what is to be
typed comes from QEMU's keyboard. The clock counts instructions (-icount), so the same image gives the same picture.
"""

import json
import os
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cli  # noqa: E402 (the line above makes it findable)
import emulator as emu  # noqa: E402


class Monitor:
    """QEMU's machine protocol (QMP) on a local socket."""

    def __init__(self, path, deadline):
        self.socket = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self.socket.connect(path)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        self.stream = self.socket.makefile("rw", encoding="utf-8")
        self.stream.readline()  # the greeting
        self.command("qmp_capabilities")

    def command(self, name, **arguments):
        self.stream.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self.stream.flush()
        while True:
            answer = json.loads(self.stream.readline())
            if "error" in answer:
                raise OSError(answer["error"]["desc"])
            if "return" in answer:
                return answer["return"]


def log_read(path):
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8", errors="replace") as log:
        return log.read()


def wait_for(path, text, deadline, times=1):
    """True as soon as the console's log holds `text` so many times."""
    while time.monotonic() < deadline:
        if log_read(path).count(text) >= times:
            return True
        time.sleep(0.1)
    return False


# QEMU's names of the keys that no letter or digit names.
KEYS = {" ": "spc", "-": "minus", ".": "dot", ",": "comma", "/": "slash", "=": "equal", "\n": "ret"}


def type_line(monitor, text):
    """One key after the other, each held for a time of the machine's own; then Enter."""
    for character in text + "\n":
        key = {"type": "qcode", "data": KEYS.get(character, character)}
        monitor.command("send-key", keys=[key], **{"hold-time": 20})
        time.sleep(0.05)


def typed(monitor, log, options, deadline):
    """Types the lines, each when the prompt is back. What is wrong, in words, or None."""
    for line in options.type:
        times = log_read(log).count(options.until)
        type_line(monitor, line)
        if not wait_for(log, options.until, deadline, times + 1):
            return f"{options.until!r} did not come back within {options.timeout} s after {line!r}"
    unknown = [line for line in log_read(log).splitlines() if line.startswith("unknown command")]
    return f"the kernel says: {unknown[0]}" if unknown else None


TEXT_MEMORY, COLUMNS, ROWS = 0xb8000, 80, 25  # device/vga.c


def text_write(monitor, memory, path):
    """The screen's text as it is in the VGA's memory, a line for each row."""
    monitor.command("pmemsave", val=TEXT_MEMORY, size=2 * COLUMNS * ROWS, filename=memory)
    with open(memory, "rb") as file:
        text = "".join(chr(c) if 32 <= c < 127 else "?" for c in file.read()[::2])
    with open(path, "w", encoding="ascii") as file:
        file.writelines(text[at:at + COLUMNS].rstrip() + "\n" for at in range(0, len(text), COLUMNS))


def take(options, folder):
    log, monitor = os.path.join(folder, "console"), os.path.join(folder, "qmp")
    deadline = time.monotonic() + options.timeout
    command = [cli.find_program("qemu-system-i386"), "-m", str(options.mem), "-display", "none", "-vga", "std",
               "-no-reboot", "-icount", "shift=0,sleep=off",
               "-drive", f"file={emu.qemu_option_path(options.image)},format=raw,if=ide,snapshot=on",
               "-serial", f"file:{log}", "-qmp", f"unix:{monitor},server=on,wait=off", *emu.QEMU_EXIT]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, env=cli.environment(folder),
                          preexec_fn=cli.tied) as qemu:
        try:
            if not wait_for(log, options.until, deadline):
                print(f"screenshot: {options.until!r} did not come within {options.timeout} s", file=sys.stderr)
                return 1
            keyboard = Monitor(monitor, deadline)
            wrong = typed(keyboard, log, options, deadline)
            if wrong:
                print(f"screenshot: {wrong}", file=sys.stderr)
                return 1
            time.sleep(0.5)  # the same text on its way to the screen
            keyboard.command("screendump", filename=os.path.abspath(options.out), format="png")
            if options.text:
                text_write(keyboard, os.path.join(folder, "screen"), options.text)
        finally:
            qemu.kill()
    print(f"{options.out}: {os.path.getsize(options.out)} bytes")
    return 0


def main(argv):
    parser = cli.Parser(prog="screenshot.py", description="the VGA screen of a booted image as a PNG")
    parser.add_argument("--image", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--until", default="granary> ", help="text on the console to wait for")
    parser.add_argument("--type", metavar="TEXT", action="append", default=[],
                        help="a line to type at the prompt first; any number of them")
    parser.add_argument("--text", metavar="FILE", help="the text on the screen, too")
    parser.add_argument("--mem", type=cli.mebibytes, default=32, help="MiB")
    parser.add_argument("--timeout", type=int, default=60, help="seconds")
    options = parser.parse_args(argv)
    if not os.path.exists(options.image):
        raise cli.RunError(f"no image {options.image}: make builds it")
    with cli.folder("shot") as folder:
        return take(options, folder)


if __name__ == "__main__":
    sys.exit(cli.main(main, "screenshot"))
