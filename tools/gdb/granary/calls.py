"""calls.py - the last heap calls, where the kernel has written them down: calltrace_print()'s lines.

The kernel keeps the ring from the prompt's `trace on` on (kernel/measure/heaplog.h).
"""

from granary import target
from granary.memory import Trouble, View


def call_text(view):
    """In the order of enum call_kind."""
    size, pointer, result = view["size"], f"0x{view['pointer']:08x}", f"0x{view['result']:08x}"
    texts = (f"malloc({size}) = {result}", f"free({pointer})", f"realloc({pointer}, {size}) = {result}",
             f"calloc: {size} bytes = {result}")
    return texts[view["kind"]] if view["kind"] < len(texts) else f"call of kind {view['kind']}?"


def listing(memory, symbols, most):
    """The last `most` calls, oldest first."""
    ring, count = target.address_of("call_ring"), target.address_of("call_count")
    if ring is None or count is None:
        raise Trouble("this kernel keeps no ring of its calls")
    count, places, layout = memory.u32(count), target.length_of("call_ring"), target.layout("call_record")
    if count == 0:
        yield "trace: no call yet: `trace on` at the kernel's prompt starts it"
    for number in range(max(0, count - min(most, places)) + 1, count + 1):
        view = View(memory, layout, ring + (number - 1) % places * layout.size)
        if view["number"] == number:  # else it has not returned yet
            yield (f"trace: {number}: {call_text(view)} by {symbols.text(view['caller'])}, "
                   f"thread {view['tid']}")
