#!/usr/bin/python3
"""console.py - the kernel's console beside a debugger: `make console`, in a second terminal.

  console.py --build build      joins the session that `make debug` has started from this folder

The debugger's side is Relay, a thread of start.py: it holds the guest's serial line, keeps all that the kernel has
said, and gives each terminal that joins the whole text first, so nothing is lost to one that comes late. Any number
of terminals may join, leave and come back; what is typed in one is typed at the kernel. Where the session is, a
symbolic link in the build folder says: the latest session's, if there are several.

Status: 0 when the user leaves or the session ends; 2 if there is none.
"""

import os
import select
import socket
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

import cli  # noqa: E402 (the line above makes it findable)
import screen  # noqa: E402
import terminal  # noqa: E402

LINK = "console"       # in the build folder
TYPED_MAX = 4096       # kept for a guest that takes nothing, because a debugger has stopped it


class Relay(threading.Thread):
    """Between the guest's serial line, which is QEMU's standard input and output, and the terminals.

    Pipes: one holds 64 KiB, however slow this thread is. A socket would hold 277 characters sent one by one, and the
    kernel drops what does not go away within some hundredths of a second (device/serial.c).
    """

    def __init__(self, folder, build):
        super().__init__(daemon=True)
        self.path = os.path.join(folder, "console")
        self.file = open(os.path.join(folder, "console.txt"), "wb", buffering=0)
        self.link = os.path.join(build, LINK)
        self.qemu_in, self.to_guest = os.pipe()
        self.from_guest, self.qemu_out = os.pipe()
        os.set_blocking(self.to_guest, False)
        self.door = socket.socket(socket.AF_UNIX)
        self.door.bind(self.path)
        self.door.listen()
        self.wake, self.waker = os.pipe()
        self.users = {}  # a terminal's socket: how much of the text it has got
        self.text, self.typed = bytearray(), b""

    def __enter__(self):
        new = f"{self.link}.{os.getpid()}"
        os.symlink(self.path, new)
        os.replace(new, self.link)
        self.start()
        return self

    def __exit__(self, *_):
        os.close(self.waker)
        self.join()
        self.file.close()
        if os.path.islink(self.link) and os.readlink(self.link) == self.path:
            os.remove(self.link)

    def run(self):
        while True:
            readers = [self.wake, self.door, self.from_guest, *(self.users if len(self.typed) < TYPED_MAX else [])]
            writers = [user for user, at in self.users.items() if at < len(self.text)]
            ready, free, _ = select.select(readers, writers + ([self.to_guest] if self.typed else []), [])
            if self.wake in ready:
                break
            for source in ready:
                self.hear(source)
            for sink in free:
                self.tell(sink)
        for plug in (self.door, *self.users):
            plug.close()
        for end in (self.wake, self.to_guest, self.from_guest, self.qemu_in, self.qemu_out):
            os.close(end)

    def hear(self, source):
        """Something has come: text, keys, or a terminal."""
        if source is self.door:
            user = self.door.accept()[0]
            user.setblocking(False)
            self.users[user] = 0
        elif source == self.from_guest:
            data = os.read(source, 4096)
            self.text += data
            self.file.write(data)
        else:
            try:
                data = source.recv(4096)
            except OSError:
                data = b""
            self.typed += data
            if not data:
                self.drop(source)

    def tell(self, sink):
        """What waits for a terminal, or for the guest."""
        if sink == self.to_guest:
            self.typed = self.typed[os.write(sink, self.typed[:select.PIPE_BUF]):]
        elif sink in self.users:
            at = self.users[sink]
            try:
                self.users[sink] += sink.send(self.text[at:at + 4096])
            except OSError:
                self.drop(sink)

    def drop(self, user):
        user.close()
        del self.users[user]


def join(build):
    """A connection to the session's console."""
    link = os.path.join(build, LINK)
    plug = socket.socket(socket.AF_UNIX)
    try:
        plug.connect(os.readlink(link))
    except OSError:
        raise cli.RunError("no session to join: start `make debug` in another terminal first") from None
    return plug


def main(argv):
    parser = cli.Parser(prog="console.py", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--build", default="build", help="the folder that `make debug` was started with")
    opt = parser.parse_args(argv)
    if not sys.stdin.isatty():
        raise cli.RunError("the console wants a terminal to type at")
    with join(opt.build) as plug:
        print(f"The kernel's console; {terminal.LEAVE_NAME} leaves it, and the debugger goes on.", flush=True)
        left = terminal.Session(plug.fileno(), plug.fileno(), lambda: False,
                                screen.Screen(columns=terminal.width)).run()
    print("" if left else "\nThe session has ended.")
    return 0


if __name__ == "__main__":
    sys.exit(cli.main(main, "console"))
