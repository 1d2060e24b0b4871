"""threads.py - all threads of a stopped kernel, and where each one sleeps.

A thread that does not run has its registers on its stack, as thread/switch.asm left them:

    esp, kept in struct thread -> | edi | esi | ebx | ebp | eip | schedule()'s frame ...

From there the frame pointers lead from caller to caller, as in a panic's call trace (kernel/panic.c); so a stack
that was overwritten ends the trace, and never this program.
"""

import gdb

from granary import target
from granary.memory import Trouble, Unreadable, View

STATES = ("ready", "running", "blocked", "sleeping", "dead")  # enum thread_state, thread/thread.h
THREAD_MAGIC = 0x74687264
THREADS_MAX = 1024  # twice as many as there are stacks
TRACE_MAX = 24
NAME_MAX = 16


class Thread:
    def __init__(self, memory, layout, address):
        view = View(memory, layout, address)
        self.address = address
        self.esp, self.tid, self.state = view["esp"], view["tid"], view["state"]
        self.priority, self.ticks, self.wake = view["priority"], view["ticks"], view["wake"]
        self.function, self.magic = view["function"], view["magic"]
        self.name = memory.text(address + layout["name"], NAME_MAX)

    def state_text(self):
        return STATES[self.state] if self.state < len(STATES) else f"state {self.state}?"


class Threads:
    """The list of all threads. What is wrong with it stands in `trouble`, and ends it."""

    def __init__(self, memory):
        self.memory = memory
        self.layout = target.layout("thread")
        self.trouble = None
        self.list = []
        current = target.address_of("current", "thread/thread.c")
        self.current = memory.u32(current) if current else 0
        head = target.address_of("all_threads", "thread/thread.c")
        if head is None:
            raise Trouble("the symbols have no list of threads: load the kernel with `file build/kernel.elf`")
        try:
            self.walk(head)
        except Unreadable as error:
            self.trouble = f"the list of threads is not sound: {error}"

    def walk(self, head):
        before, at = head, self.memory.u32(head + 4)
        while at not in (head, 0):  # 0: before thread_init()
            thread = Thread(self.memory, self.layout, (at - self.layout["all"]) & 0xffffffff)
            if len(self.list) >= THREADS_MAX or self.memory.u32(at) != before or thread.magic != THREAD_MAGIC:
                self.trouble = f"the list of threads is not sound at 0x{at:08x}"
                return
            self.list.append(thread)
            before, at = at, self.memory.u32(at + 4)

    def text(self, tid):
        """As port_thread_text(): a thread that was joined has only its number left."""
        if tid == 0:
            return "thread boot"
        for thread in self.list:
            if thread.tid == tid:
                return f"thread {thread.name}"
        return f"thread {tid}"


def running_name(memory):
    """The name of the thread that runs, "boot" before there are any."""
    current = target.address_of("current", "thread/thread.c")
    address = memory.u32(current) if current else 0
    if not address:
        return "boot"
    return Thread(memory, target.layout("thread"), address).name


def trace_line(symbols, eip, back=1):
    """As kernel/panic.c has it, and the source line. `back` is 1 for a return address: the call is before it."""
    found = symbols.find(eip - back)
    if found is None:
        return f"      at 0x{eip:08x}"
    line = target.source_line(eip - back)
    where = f"  {line[0]}:{line[1]}" if line else ""
    return f"      at {found[0]}+{found[1] + back:#x} [0x{eip:08x}]{where}"


def sleeping_trace(memory, symbols, thread):
    """The calls that a thread sleeps in, innermost first."""
    try:
        _, _, _, ebp, eip = memory.words(thread.esp, 5)
    except Unreadable:
        yield f"      its stack pointer 0x{thread.esp:08x} leads nowhere"
        return
    if eip == target.address_of("thread_begin", "thread/thread.c"):  # as stack_prepare() left it
        yield f"      has not run yet: {symbols.text(thread.function)}"
        return
    for _ in range(TRACE_MAX):
        yield trace_line(symbols, eip)
        try:
            above, eip = memory.words(ebp, 2) if ebp and ebp % 4 == 0 else (0, 0)
        except Unreadable:
            return
        if eip == 0:
            return
        ebp = above if above > ebp else 0  # frames lie higher and higher, or the chain is broken


def running_trace(symbols):
    """GDB's own frames: the registers are there."""
    frame, innermost = gdb.newest_frame(), True
    for _ in range(TRACE_MAX):
        if frame is None:
            return
        if frame.type() != gdb.INLINE_FRAME:
            yield trace_line(symbols, frame.pc(), 0 if innermost else 1)
            innermost = False
        try:
            frame = frame.older()
        except gdb.error:
            return


def listing(memory, symbols):
    threads = Threads(memory)
    yield " tid name             state     priority      ticks"
    for thread in threads.list:
        runs = thread.address == threads.current
        yield (f"{thread.tid:4} {thread.name:<16} {thread.state_text():<8}  {thread.priority:8}  {thread.ticks:9}"
               + (f"  until tick {thread.wake}" if thread.state_text() == "sleeping" else ""))
        if runs:
            yield from running_trace(symbols)
        elif thread.state_text() != "dead":
            yield from sleeping_trace(memory, symbols, thread)
    if threads.trouble:
        yield threads.trouble
    elif not threads.list:
        yield "no threads yet: thread_init() has not run"
