"""machine.py - a recorded run in QEMU, moved to any instruction of it.

QEMU's record/replay writes down whatever a run takes from outside (interrupts, timers, disk, keys) with the count of
instructions at which it came; a replay does the same again, instruction by instruction (QEMU documentation,
"Record/replay" and docs/replay.txt). Going back is going forward: the last snapshot before the place is loaded, and
the rest executed. So "the last write before now" is found by running stretches of the past with a watchpoint and
remembering the last hit: first the nearest 20000 instructions, then longer and longer stretches, each of which ends
where the one before it began.

QEMU's own `reverse-continue` does the same for breakpoints, but skips hits of a watchpoint (QEMU 7.2), so it is not
used for a question that wants the last one.

Two connections: QMP for the position (replay-seek, replay-break), and the stub's for the rest. The stub serves one
client at a time: GDB has to let go of it meanwhile (commands.py).

Nothing here knows GDB or Granary.
"""

import json
import re
import socket
import time

WINDOW = 20000      # instructions of the first stretch that is searched
GROWTH = 4          # how much longer each next one is
SEEK_SECONDS = 60
RUN_SECONDS = 120

REGISTERS = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip", "eflags")


class MachineError(Exception):
    """QEMU said no, or nothing; the text is meant for the user."""


def connect(path, seconds=10):
    """A connection to a socket file that may not be there yet."""
    deadline = time.monotonic() + seconds
    while True:
        plug = socket.socket(socket.AF_UNIX)
        try:
            plug.connect(path)
            return plug
        except OSError as error:
            plug.close()
            if time.monotonic() > deadline:
                raise MachineError(f"QEMU does not answer: {error}") from None
            time.sleep(0.02)


class Qmp:
    """QEMU's machine protocol: a command, its answer, and events in between."""

    def __init__(self, path):
        self.plug = connect(path)
        self.file = self.plug.makefile("rw", encoding="utf-8")
        self.events = []
        self._message()  # the greeting
        self.command("qmp_capabilities")

    def close(self):
        self.file.close()
        self.plug.close()

    def _message(self, seconds=SEEK_SECONDS):
        self.plug.settimeout(seconds)
        try:
            line = self.file.readline()
        except (OSError, ValueError):
            raise MachineError(f"QEMU has not answered for {seconds:g} s") from None
        if not line:
            raise MachineError("QEMU has ended")
        return json.loads(line)

    def command(self, name, **arguments):
        text = {"execute": name}
        if arguments:
            text["arguments"] = arguments
        try:
            self.file.write(json.dumps(text) + "\n")
            self.file.flush()
        except (OSError, ValueError):
            raise MachineError("QEMU has ended") from None
        while True:
            answer = self._message()
            if "event" in answer:
                self.events.append(answer["event"])
            elif "error" in answer:
                raise MachineError(f"QEMU: {answer['error'].get('desc', answer['error'])}")
            else:
                return answer.get("return")

    def monitor(self, line):
        """A command of QEMU's human monitor; what it prints."""
        return self.command("human-monitor-command", **{"command-line": line})

    def wait(self, *names):
        """The first event of these names, older ones included."""
        deadline = time.monotonic() + SEEK_SECONDS
        while True:
            for event in self.events:
                if event in names:
                    self.events.remove(event)
                    return event
            if time.monotonic() > deadline:
                raise MachineError(f"QEMU: no {names[0]} within {SEEK_SECONDS} s")
            answer = self._message()
            if "event" in answer:
                self.events.append(answer["event"])


class Stub:
    """A client of QEMU's GDB stub: the remote protocol's few packets that a search needs."""

    def __init__(self, path):
        self.plug = connect(path)
        self.data = b""
        self.at = 0  # what position() last said
        self.ask("?")

    def close(self):
        self.plug.close()

    def _byte(self):
        if not self.data:
            try:
                self.data = self.plug.recv(65536)
            except OSError:
                raise MachineError(f"the machine ran for {RUN_SECONDS} s without a stop") from None
            if not self.data:
                raise MachineError("QEMU has ended")
        byte, self.data = self.data[:1], self.data[1:]
        return byte

    def send(self, text):
        data = text.encode()
        self.plug.sendall(b"$" + data + b"#%02x" % (sum(data) & 0xff))

    def receive(self):
        self.plug.settimeout(RUN_SECONDS)
        while self._byte() != b"$":
            pass
        data = b""
        while (byte := self._byte()) != b"#":
            data += byte
        self._byte(), self._byte()  # the sum: a local socket loses nothing
        self.plug.sendall(b"+")
        return data.decode()

    def ask(self, text):
        self.send(text)
        return self.receive()

    def order(self, text):
        answer = self.ask(text)
        if answer != "OK":
            raise MachineError(f"QEMU's stub refuses {text}: {answer or 'not supported'}")

    def monitor(self, line):
        """A command of QEMU's human monitor: here it takes a fifth of the time that it takes by QMP."""
        self.send("qRcmd," + line.encode().hex())
        said = b""
        while (answer := self.receive()) != "OK":
            if not answer.startswith("O"):
                raise MachineError(f"QEMU refuses {line}: {answer}")
            said += bytes.fromhex(answer[1:])
        return said.decode(errors="replace")

    def position(self):
        """How many instructions have been executed."""
        found = re.search(r"instruction count = (\d+)", self.monitor("info replay"))
        if not found:
            raise MachineError("QEMU does not replay")
        self.at = int(found[1])
        return self.at

    def stop_at(self, icount):
        """The one place where a run stops by itself; it takes the place of the one before."""
        said = self.monitor(f"replay_break {icount}").strip()
        if said:
            raise MachineError(f"QEMU: {said}")

    def registers(self):
        data = bytes.fromhex(self.ask("g")[:8 * len(REGISTERS)])
        return {name: int.from_bytes(data[4 * i:4 * i + 4], "little") for i, name in enumerate(REGISTERS)}

    def read(self, address, length):
        """Bytes, or None where nothing is mapped."""
        answer = self.ask(f"m{address:x},{length:x}")
        return None if answer.startswith("E") or len(answer) != 2 * length else bytes.fromhex(answer)

    def u32(self, address):
        data = self.read(address, 4)
        return None if data is None else int.from_bytes(data, "little")

    def go(self):
        """Runs to the next stop; True if a breakpoint or watchpoint made it."""
        return self.ask("c").startswith("T05")


class Replay:
    """A machine that replays. `last` is the count of the last instruction that may be gone to."""

    def __init__(self, qmp_path, stub_path, last):
        self.qmp = Qmp(qmp_path)
        self.qmp_path, self.stub_path, self.last = qmp_path, stub_path, last

    def give_up(self):
        """After a search that was broken off, wherever: two fresh connections, of which no answer is under way.

        A client that comes to the stub stops the machine, and its first question takes all breakpoints out.
        """
        self.qmp.close()
        self.qmp = Qmp(self.qmp_path)
        Stub(self.stub_path).close()
        self.break_at(None)

    def position(self):
        return self.qmp.command("query-replay")["icount"]

    def seek(self, icount):
        """Goes to an instruction, backwards or forwards. Not while the stub has a client."""
        if not 0 <= icount <= self.last:
            raise MachineError(f"instruction {icount} is not in the recording, which has {self.last}")
        self.qmp.events.clear()
        self.qmp.command("replay-seek", icount=icount)
        self.qmp.wait("STOP")
        reached = self.position()
        if reached != icount:
            raise MachineError(f"QEMU went to instruction {reached} instead of {icount}")

    def guard_end(self):
        """Makes the next forward run stop at the recording's end: beyond it QEMU would end."""
        self.break_at(self.last)

    def snapshot(self, name):
        """False if QEMU cannot take one here: between two events of the recording that belong together."""
        said = self.qmp.monitor(f"savevm {name}").strip()
        if said and "right now" not in said:
            raise MachineError(f"QEMU: {said}")
        return not said

    def forward(self, icount):
        """Forward only, without a snapshot being loaded."""
        self.qmp.events.clear()
        self.qmp.command("replay-break", icount=icount)
        self.qmp.command("cont")
        if self.qmp.wait("STOP", "SHUTDOWN") != "STOP":
            raise MachineError("the recording ended before its end: it does not fit this machine")

    def hits(self, start, end, points, visit, unfinished=None, limit=None):
        """Runs from `start` to `end` with break- and watchpoints ("Z1,addr,1"); visit(stub) at each stop.

        `points` may grow meanwhile. While `unfinished` holds something at the end, the run goes on, at most to
        `limit`: a call that began in this stretch may end after it. visit() returns where the processor is, if
        that may be one of the breakpoints.
        """
        self.seek(start)
        stub = Stub(self.stub_path)
        put, at = [], start
        try:
            while at < end:
                stub.stop_at(end)
                at = self._stretch(stub, put, points, visit, end)
                if at >= end and unfinished and limit is not None:
                    end = limit
            self.break_at(None)
            for point in put:
                stub.order("z" + point[1:])
        finally:
            stub.close()

    def _stretch(self, stub, put, points, visit, end):
        """From hit to hit; returns the count where the run has stopped without one: `end`."""
        while True:
            for point in points[len(put):]:
                stub.order(point)
                put.append(point)
            if not stub.go():
                at = stub.position()
                if at < end:
                    raise MachineError(f"the machine stopped at instruction {at}, and nothing there explains it")
                return at
            eip = visit(stub)
            if eip is not None and f"Z1,{eip:x},1" in put:
                at = self._step_over(stub, f"Z1,{eip:x},1", end)
                if at is not None:
                    return at
            elif stub.at >= end:  # a write by the stretch's last instruction: QEMU has forgotten the stop there
                return stub.at

    @staticmethod
    def _step_over(stub, point, end):
        """Leaves the breakpoint that the machine is at: a run that starts on one stops there again.

        By a stop of the replay one instruction further on, not by the stub's single step, for which QEMU forgets
        all the code that it has translated. Returns the count if that is the end, else None.
        """
        at = stub.position() + 1
        stub.order("z" + point[1:])
        stub.stop_at(at)
        stub.go()
        stub.order(point)
        if at >= end:
            return at
        stub.stop_at(end)
        return None

    def break_at(self, icount):
        """The one place where a forward run stops by itself; None: nowhere."""
        try:
            self.qmp.command("replay-delete-break")
        except MachineError:
            pass  # there was none, or it has been reached
        if icount is not None and self.position() < icount:
            self.qmp.command("replay-break", icount=icount)

    def windows(self, now):
        """(start, end) of the stretches before `now`, nearest first."""
        end, length = now, WINDOW
        while end > 0:
            start = max(0, end - length)
            yield start, end
            end, length = start, length * GROWTH

    def last_write(self, address, length, now):
        """The count at which the last write to these bytes before `now` was about to be done, or None."""
        for start, end in self.windows(now):
            found = []
            self.hits(start, end, [f"Z2,{address:x},{length:x}"], lambda stub: found.append(stub.position()))
            if found:
                return found[-1] - 1
        return None

    def first_call(self, address):
        """Goes to the first time that an instruction is about to be executed; False, at the end, if it never is."""
        self.seek(0)
        stub, point = Stub(self.stub_path), f"Z1,{address:x},1"
        try:
            stub.order(point)
            stub.stop_at(self.last)
            found = stub.go()
            stub.order("z" + point[1:])
            return found
        finally:
            stub.close()

    def last_call(self, entries, now, matches):
        """The last call, before `now`, of one of the functions `entries` ({address: name}) that matches.

        matches(name, stack, result) is asked when the call has returned, `stack` being the words at its esp when it
        began: the return address, then the arguments. With `result` None it is asked at the call's beginning: True
        is a match already, False is none, None: wait for the return. Returns (count, name, stack) or None.
        """
        returns = set()
        for start, end in self.windows(now):
            search = CallSearch(entries, returns, matches)
            self.hits(start, end, search.points, search.visit, search.open, now)
            found = [call for call in search.found if call[0] < end]  # not the one that begins here
            if found:
                return max(found)
        return None


class CallSearch:
    """One stretch's calls: where they began, and what they returned."""

    def __init__(self, entries, returns, matches):
        self.entries, self.returns, self.matches = entries, returns, matches
        self.points = [f"Z1,{address:x},1" for address in sorted(set(entries) | returns)]
        self.open = {}   # esp after the return: (count, name, stack)
        self.found = []

    def visit(self, stub):
        registers = stub.registers()
        eip, esp = registers["eip"], registers["esp"]
        if eip in self.returns and esp in self.open:
            call = self.open.pop(esp)
            if self.matches(call[1], call[2], registers["eax"]):
                self.found.append(call)
        if eip in self.entries:
            self.begin(stub, self.entries[eip], esp)
        return eip

    def begin(self, stub, name, esp):
        data = stub.read(esp, 12)
        if data is None:
            return
        stack = tuple(int.from_bytes(data[i:i + 4], "little") for i in (0, 4, 8))
        known = self.matches(name, stack, None)
        if known:
            self.found.append((stub.position(), name, stack))
        elif known is None:
            self.open[esp + 4] = (stub.position(), name, stack)
            if stack[0] not in self.returns:
                self.returns.add(stack[0])
                self.points.append(f"Z1,{stack[0]:x},1")
