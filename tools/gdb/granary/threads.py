"""threads.py - all threads of a stopped kernel, and where each one sleeps.

A thread that does not run has its registers on its stack, as thread/switch.asm left them:

    esp, kept in struct thread -> | edi | esi | ebx | ebp | eip | schedule()'s frame ...

From there the frame pointers lead from caller to caller, as in a panic's call trace (kernel/panic.c); so a stack
that was overwritten ends the trace, and never this program.
"""

import gdb

from granary import target
from granary.target import Unreadable

THREADS_MAX = 1024  # twice as many as there are stacks
TRACE_MAX = 24
SOURCE = "thread/thread.c"


def elements(head):
    """The addresses in a struct list, and what ended the walk: "" at its end."""
    at = before = int(head.address)
    for _ in range(THREADS_MAX):
        try:
            at = target.words(at, 2)[1]
            if at in (int(head.address), 0):  # 0: before list_init()
                return
            if target.words(at, 1)[0] != before:
                raise target.Trouble(f"not sound at 0x{at:08x}: its prev leads elsewhere")
        except Unreadable as error:
            raise target.Trouble(f"not sound: {error}") from None
        yield at
        before = at
    raise target.Trouble("without an end")


def thread_at(element, member="all"):
    """The struct thread whose list element `member` is at an address, or None."""
    kind = gdb.lookup_type("struct thread")
    offset = next(field.bitpos // 8 for field in kind.fields() if field.name == member)
    thread = gdb.Value((element - offset) & 0xffffffff).cast(kind.pointer()).dereference()
    try:
        sound = int(thread["magic"]) == int(target.variable("main_thread")["magic"]) != 0
    except gdb.MemoryError:
        return None
    return thread if sound else None


def name_of(thread):
    return thread["name"].string(errors="replace").split("\0")[0]


def running():
    """The thread that runs, None before there are any."""
    current = target.variable("current", SOURCE)
    return current.dereference() if int(current) else None


def running_name():
    thread = running()
    return name_of(thread) if thread is not None else "boot"


def state_text(thread):
    """"ready", from THREAD_READY; of a number that is no state the number."""
    return str(thread["state"]).removeprefix("THREAD_").lower()


def trace_line(replica, eip, back=1):
    """As kernel/panic.c has it, and the source line. `back` is 1 for a return address: the call is before it."""
    text = replica.text("symbol_text", eip - back)
    if "+" not in text:
        return f"      at 0x{eip:08x}"
    name, offset = text.split("+")
    line = target.source_line(eip - back)
    where = f"  {line[0]}:{line[1]}" if line else ""
    return f"      at {name}+{int(offset, 0) + back:#x} [0x{eip:08x}]{where}"


def sleeping_trace(replica, thread):
    """The calls that a thread sleeps in, innermost first."""
    esp = int(thread["esp"])
    try:
        _, _, _, ebp, eip = target.words(esp, 5)
    except Unreadable:
        yield f"      its stack pointer 0x{esp:08x} leads nowhere"
        return
    if eip == target.address_of("thread_begin", SOURCE):  # as stack_prepare() left it
        yield f"      has not run yet: {replica.text('symbol_text', int(thread['function']))}"
        return
    for _ in range(TRACE_MAX):
        yield trace_line(replica, eip)
        try:
            above, eip = target.words(ebp, 2) if ebp and ebp % 4 == 0 else (0, 0)
        except Unreadable:
            return
        if eip == 0:
            return
        ebp = above if above > ebp else 0  # frames lie higher and higher, or the chain is broken


def running_trace(replica):
    """GDB's own frames: the registers are there."""
    frame, innermost = gdb.newest_frame(), True
    for _ in range(TRACE_MAX):
        if frame is None:
            return
        if frame.type() != gdb.INLINE_FRAME:
            yield trace_line(replica, frame.pc(), 0 if innermost else 1)
            innermost = False
        try:
            frame = frame.older()
        except gdb.error:
            return


def thread_lines(replica, thread, runs):
    state = state_text(thread)
    yield (f"{int(thread['tid']):4} {name_of(thread):<16} {state:<8}  {int(thread['priority']):8}  "
           f"{int(thread['ticks']):9}" + (f"  until tick {int(thread['wake'])}" if state == "sleeping" else ""))
    if runs:
        yield from running_trace(replica)
    elif state == "running":
        number = int(thread["processor"])
        yield f"      on processor {number}: `thread {number + 1}` goes there, then `threads` shows its calls"
    elif state != "dead":
        yield from sleeping_trace(replica, thread)


def listing(replica):
    yield " tid name             state     priority      ticks"
    current, any_thread = int(target.variable("current", SOURCE)), False
    try:
        for element in elements(target.variable("all_threads", SOURCE)["head"]):
            thread = thread_at(element)
            if thread is None:
                raise target.Trouble(f"not sound at 0x{element:08x}")
            any_thread = True
            yield from thread_lines(replica, thread, int(thread.address) == current)
    except target.Trouble as error:
        yield f"the list of threads is {error}"
        return
    if not any_thread:
        yield "no threads yet: thread_init() has not run"
