"""replica.py - calls functions of the kernel on a copy of the stopped machine's memory.

The other end, and why it is so, is tools/gdb/replica.c: a process of the host that asks for each page that the
kernel's function touches. What is read once stays as it was for all calls of one Replica, so that a command's
answers are of one moment.
"""

import errno
import os
import signal
import struct
import subprocess

from granary import target
from granary.target import Trouble

SINK, PAGES, TEXT, RETURNED, WILD, STOPPED = range(6)  # enum message
PAGE, CHUNK_PAGES = 4096, 16
TEXT_HERE = 0x7e47
TEXT_MAX = 4095


def program():
    """The replica that was built with the kernel in GDB."""
    for folder in (os.path.dirname(target.kernel_file()), os.path.join(target.ROOT, "build")):
        path = os.path.join(folder, "replica")
        if os.path.exists(path):
            return path
    raise Trouble("build/replica is not there: `make` builds it")


def start(path):
    """The replica's process: on a system that starts no programs of 32 bits, by QEMU's user mode."""
    for words in ([path], ["qemu-i386", path]):
        try:
            return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                    start_new_session=True)  # Ctrl-C is GDB's
        except OSError as error:
            if error.errno not in (errno.ENOEXEC, errno.ENOENT):
                raise Trouble(f"{path}: {error.strerror}") from None
    raise Trouble("this system starts no programs of 32 bits, as the kernel's copy is one (tools/gdb/replica.c): "
                  "qemu-i386 does; `sh tools/setup.sh --only debug` installs it")


def alone(address, data):
    """What was read there, with processors_many false: in the copy no other processor works or answers."""
    at = target.address_of("processors_many")
    if at is not None and address <= at < address + len(data):
        data = data[:at - address] + b"\0" + data[at - address + 1:]
    return data


def chunk_at(address):
    """The answer to PAGES: which pages there are, and their bytes."""
    try:
        data = target.read_bytes(address, CHUNK_PAGES * PAGE)
        return struct.pack("<I", (1 << CHUNK_PAGES) - 1) + alone(address, data)
    except target.Unreadable:
        pass
    present, pages = 0, b""
    for number in range(CHUNK_PAGES):
        try:
            pages += alone(address + number * PAGE, target.read_bytes(address + number * PAGE, PAGE))
            present |= 1 << number
        except target.Unreadable:
            pass
    return struct.pack("<I", present) + pages


class Replica:
    """`with Replica() as replica`: replica.lines("heap_leaks"), replica.text("symbol_text", address)."""

    def __enter__(self):
        target.need_machine()
        self.said = ""
        self.process = start(program())
        self.call("print_sink_set", self.expect(SINK))
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def get(self, length):
        data = self.process.stdout.read(length)
        if len(data) < length:
            status = self.process.wait()
            raise Trouble("the kernel's function has no end on this heap" if status == -signal.SIGVTALRM else
                          f"the kernel's copy has ended: {' '.join(self.process.args)}, status {status}")
        return data

    def put(self, data):
        try:
            self.process.stdin.write(data)
            self.process.stdin.flush()
        except OSError:
            pass  # it has ended: get() says so

    def expect(self, wanted):
        """Serves the replica until it says `wanted`; the word that comes with it."""
        while True:
            kind, value = struct.unpack("<II", self.get(8))
            if kind == wanted:
                return value
            if kind == PAGES:
                self.put(chunk_at(value))
            elif kind == TEXT:
                self.said += self.get(value).decode(errors="replace")
            elif kind == WILD:
                raise Trouble(f"a pointer is wild: 0x{value:08x} is not mapped")
            else:
                raise Trouble(f"the kernel itself would stop at 0x{value:08x}" +
                              (": " + self.said.strip().splitlines()[-1] if self.said.strip() else ""))

    def call(self, function, *arguments, text=""):
        """The result of a function with at most four words; TEXT_HERE means the address of `text`."""
        address = target.address_of(function)
        if address is None:
            raise Trouble(f"the symbols have no {function}(): load the kernel with `file build/kernel.elf`")
        data = text.encode()[:TEXT_MAX]
        words = [argument & 0xffffffff for argument in arguments] + [0] * (4 - len(arguments))
        self.put(struct.pack("<6I", address, *words, len(data)) + data)
        return self.expect(RETURNED)

    def lines(self, function, *arguments, text=""):
        """What a function prints."""
        self.said = ""
        self.call(function, *arguments, text=text)
        return self.said.splitlines()

    def text(self, function, address):
        """What a function(to, room, address) writes."""
        self.said = ""
        self.call(function, TEXT_HERE, TEXT_MAX, address)
        self.call("put_str", TEXT_HERE)
        return self.said
