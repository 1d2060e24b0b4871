"""stops.py - breakpoints with a meaning: the next wrong call, the next request of a size.

They are GDB's own conditional breakpoints, so `info breakpoints`, `delete` and `disable` are for them too. The
conditions look at the stack as it is at a function's first instruction: [esp] is the return address, the arguments
follow.
"""

import gdb

from granary import target
from granary.target import Trouble

# How many bytes a call asks for, as GDB computes it at the call's first instruction.
ARGUMENT = "*(unsigned int *)($esp + {})"
SIZES = {"sys_malloc": ARGUMENT.format(4), "sys_calloc": f"({ARGUMENT.format(4)} * {ARGUMENT.format(8)})",
         "sys_realloc": ARGUMENT.format(8), "sys_aligned_alloc": ARGUMENT.format(8)}
REPORTS = ("port_report", "port_report_access")


def put(place, condition=None):
    """A breakpoint, without GDB's line about it."""
    before = {stop.number for stop in gdb.breakpoints()}
    gdb.execute(f"break {place}" + (f" if {condition}" if condition else ""), to_string=True)
    return next(stop for stop in gdb.breakpoints() if stop.number not in before)


def bad_free():
    """Where the kernel says that a call was wrong: the caller is one or two frames up."""
    for name in REPORTS:
        if target.has(name):
            yield put(name)


def sizes(low, high):
    """Each call that asks for `low` to `high` bytes, stopped before its first instruction."""
    if not 0 < low <= high:
        raise Trouble(f"no request has {low} to {high} bytes")
    for name, size in SIZES.items():
        address = target.address_of(name)
        if address is None:
            continue
        yield put(f"*0x{address:x}", f"{size} == {low}" if low == high else f"{size} >= {low} && {size} <= {high}")
