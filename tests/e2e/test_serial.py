"""The serial line and who reads it: a slow reader loses nothing, and a reader that never reads stops nothing."""

import os
import re
import socket
import subprocess
import time

import emulator as emu

SENTENCE = "granary: halt passed"


class Line:
    """QEMU with its serial line on a socket, which takes some hundred characters until they are read."""

    def __init__(self, image, folder, args):
        path = os.path.join(folder, "serial")
        self.qemu = subprocess.Popen(
            emu.qemu_command(emu.image_with_args(image, args, str(folder)), 32)
            + ["-monitor", "none", "-serial", f"unix:{path},server=on,wait=on"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.socket = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + 10
        while self.socket.connect_ex(path) != 0:
            assert time.monotonic() < deadline and self.qemu.poll() is None, "QEMU did not start"
            time.sleep(0.02)
        self.socket.settimeout(30)

    def read(self):
        """What comes until the machine ends."""
        found = b""
        while data := self.socket.recv(65536):
            found += data
        return found.decode(errors="replace")

    def close(self):
        self.socket.close()
        self.qemu.kill()
        self.qemu.wait()


def shape(text):
    """The console without what changes from run to run: figures of time."""
    return re.sub(r"\d+ instructions or cycles|, \d+ to", "#", text)


def test_a_reader_that_comes_late_gets_every_character(image, tmp_path):
    texts = []
    for wait in (0, 1):
        folder = tmp_path / str(wait)
        folder.mkdir()
        line = Line(image, folder, "batch demo=no")
        time.sleep(wait)
        texts.append(shape(line.read()))
        line.close()
    assert SENTENCE in texts[0] and len(texts[0]) > 600
    assert texts[1] == texts[0]


def test_an_unread_line_does_not_stop_the_machine(image, tmp_path):
    line = Line(image, tmp_path, "batch demo=no")
    assert line.qemu.wait(60) is not None
    line.close()
