"""piped.py - a debugger whose commands come through a pipe, and which ends when they do.

A debugger that has been told to go on waits for the machine, and a machine that is not stopped runs for ever. At a
terminal there is Ctrl-C; where the input is a pipe or a file and has ended, nothing would ever end the two. So the
end of the input is the beginning of the end: once neither has said anything for QUIET_SECONDS, both are stopped.
"""

import os
import select
import subprocess
import sys
import time

import cli

QUIET_SECONDS = 20  # longer than any way from one stop to the next that is silent, on a machine that is busy


class Talk:
    """One debugger's run. `last`: what it is told when the input has ended. `spoken()`: grows whenever the kernel
    says something that does not come by the debugger's standard output."""

    def __init__(self, command, last=b"", spoken=lambda: 0, **options):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=cli.tied,
                                        **options)
        self.last, self.spoken = last, spoken
        self.typed, self.line_ended, self.input_ended = b"", True, False
        self.heard = 0, time.monotonic()  # spoken() when it last grew, and when that was
        os.set_blocking(self.process.stdin.fileno(), False)

    def run(self):
        """The debugger's status; RunError if it had to be stopped."""
        try:
            while self.turn():
                if self.quiet() > QUIET_SECONDS:
                    print(flush=True)
                    raise cli.RunError(f"the input has ended, and nothing has been said for {QUIET_SECONDS} s: stopped")
            return self.process.wait()
        finally:
            self.process.kill()  # a gentle end would be another thing that it has something to say about
            self.process.wait()

    def turn(self):
        """Carries what there is to carry. False when the debugger has closed its output."""
        out, to = self.process.stdout, self.process.stdin
        sources = [out] if self.input_ended or len(self.typed) > select.PIPE_BUF else [out, 0]
        ready, free, _ = select.select(sources, [to] if self.typed and not to.closed else [], [], 0.5)
        if 0 in ready:
            self.hear_input()
        if to in free:
            self.write()
        if out in ready:
            text = os.read(out.fileno(), 65536)
            sys.stdout.buffer.write(text)
            sys.stdout.flush()
            self.heard = self.heard[0], time.monotonic()
            return bool(text)
        return True

    def hear_input(self):
        text = os.read(0, 4096)
        self.typed += text
        if text:
            self.line_ended = text.endswith(b"\n")
        else:
            # No empty line before `last`: a debugger would repeat the command before.
            self.typed += (b"" if self.line_ended else b"\n") + self.last
            self.input_ended = True
            self.write()

    def write(self):
        to = self.process.stdin
        try:
            if self.typed:
                self.typed = self.typed[os.write(to.fileno(), self.typed[:select.PIPE_BUF]):]
            if self.input_ended and not self.typed:
                to.close()
        except BlockingIOError:
            pass
        except BrokenPipeError:  # it has ended
            self.typed = b""

    def quiet(self):
        """Seconds without a word, 0 while there may be more input."""
        spoken = self.spoken()
        if spoken != self.heard[0] or not self.input_ended:
            self.heard = spoken, time.monotonic()
        return time.monotonic() - self.heard[1]


def call(command, last=b"", spoken=lambda: 0, **options):
    """Runs a debugger; its status. A user's terminal is the debugger's own: it edits lines there."""
    if os.isatty(0):
        return subprocess.call(command, preexec_fn=cli.tied, **options)
    return Talk(command, last, spoken, **options).run()
