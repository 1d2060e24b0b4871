"""terminal.py - carries the user's terminal to a guest's serial line, and back.

The terminal belongs to the guest: every key reaches it, Ctrl-A and Ctrl-C too. One does not: Ctrl-] ends the session
at once, whatever the guest does (the key of telnet and of `virsh console`; nothing at the prompt needs it).

What is typed or pasted is kept here until the guest takes it, however much it is: the emulators read from us only what
their UART has room for, and the kernel leaves a character there until it wants it (device/serial.c). A Ctrl-C that is
typed by itself drops what is still kept, as on any terminal.
"""

import contextlib
import os
import select
import termios
import time
import tty

LEAVE = b"\x1d"
LEAVE_NAME = "Ctrl-]"
CTRL_C = b"\x03"
NO_ANSWER = 3  # so many Ctrl-C without an answer: the user wants to get out

RESTART = b"granary: restart\r\n"  # kernel/prompt/commands.c: the machine starts again
PROMPT = b"granary> "  # kernel/prompt/shell.h
PAUSE_SECONDS = 0.2  # one so long ends a paste

PIECE = 512        # bytes that a pipe takes whole if it takes any
OUT_MAX = 1 << 24  # kept for a terminal that is slower than the guest, which waits for no reader for long
POLL_SECONDS = 0.1


def width():
    """Columns of the terminal that standard output is, 0 if it is none."""
    try:
        return os.get_terminal_size(1).columns
    except OSError:
        return 0


def without_waiting():
    """A descriptor of the user's end that never makes us wait. Opened anew: a mark on standard output itself would be
    one for all who share it, the shell too."""
    with contextlib.suppress(OSError):
        return os.open(os.ttyname(1), os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    return os.dup(1)


@contextlib.contextmanager
def raw():
    """Every key is a byte, and nothing is echoed. What is typed beyond the end is not left for the shell."""
    if not os.isatty(0):
        yield
        return
    saved = termios.tcgetattr(0)
    try:
        tty.setraw(0, termios.TCSADRAIN)  # what was typed already is for the guest
        yield
    finally:
        with contextlib.suppress(termios.error):  # the terminal has gone
            termios.tcsetattr(0, termios.TCSAFLUSH, saved)


class Session:
    """One guest. `text`, `keys`: descriptors to read its serial line from and to write to; `ended()`: it will say no
    more; `screen`: a screen.Screen; `log`: a file that gets what the guest writes, as it is."""

    def __init__(self, text, keys, ended, screen, log=None, awake=False):
        self.text, self.keys, self.ended, self.screen, self.log = text, keys, ended, screen, log
        # Nothing is sent before the guest has shown something: what came while it sets its UART up would be lost.
        self.awake = awake
        self.to_guest, self.to_user = bytearray(), bytearray()
        self.dropping = False  # the guest starts again: what was typed ahead is not for the next boot
        self.typed_at = 0.0
        self.tail = b""
        self.unanswered = 0  # Ctrl-C in a row
        self.left = self.closed = False
        self.keyboard = os.isatty(0)
        self.user = without_waiting()
        os.set_blocking(keys, False)

    def run(self):
        """Until the guest has ended (False) or the user has left (True)."""
        with raw(), os.fdopen(self.user, "wb", buffering=0):
            while not self.left:
                ended = self.ended()  # before the look: what came last is still read
                if not self.turn() and (ended or self.closed) and not self.to_user:
                    break
            self.say(b"\x1b[m")
            return self.left

    def turn(self):
        """Waits for something to carry, and carries it. False if nothing came from the guest."""
        sources = [0] * self.keyboard + [self.text] * (len(self.to_user) < OUT_MAX and not self.closed)
        sinks = [self.user] * bool(self.to_user) + [self.keys] * bool(self.awake and self.to_guest and not self.closed)
        ready, free, _ = select.select(sources, sinks, [], POLL_SECONDS)
        if self.text in ready:
            self.from_guest()
        if 0 in ready:
            self.typed()
        if self.user in free:
            with contextlib.suppress(BlockingIOError):
                del self.to_user[:os.write(self.user, self.to_user[:PIECE])]
        if self.keys in free:
            with contextlib.suppress(OSError):  # no room yet, or the guest has just ended
                del self.to_guest[:os.write(self.keys, self.to_guest[:PIECE])]
        return self.text in ready

    def from_guest(self):
        try:
            text = os.read(self.text, 4096)
        except OSError:  # a pseudo terminal whose other end has been closed
            text = b""
        self.closed = not text
        self.unanswered = 0
        self.tail = (self.tail + text)[-len(RESTART):]
        self.awake = self.tail != RESTART
        if self.tail.endswith(PROMPT):  # who types now has seen it, however quick the start was
            self.dropping = False
        if not self.awake:
            self.dropping = True
            self.to_guest.clear()
        if self.log:
            self.log.write(text)
            self.log.flush()
        self.to_user += self.screen.feed(text)

    def typed(self):
        keys = os.read(0, 4096)
        if not keys or LEAVE in keys:
            self.left = True
        if keys == CTRL_C:
            self.to_guest.clear()
            self.unanswered += 1
            if self.unanswered == NO_ANSWER:
                self.to_user += f"\r\n(no answer; {LEAVE_NAME} ends the session)\r\n".encode()
        now = time.monotonic()
        self.dropping = self.dropping and (not self.awake or now - self.typed_at < PAUSE_SECONDS)
        self.typed_at = now
        if not self.dropping:
            self.to_guest += keys

    def say(self, text):
        """The guest's colours end with it."""
        if os.isatty(1):
            os.write(1, text)
