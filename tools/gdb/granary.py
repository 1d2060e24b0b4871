"""granary.py - loads the heap commands into GDB:  (gdb) source tools/gdb/granary.py

`make debug` and `make rewind` do it by themselves. What there is says the command `heap`; docs/gdb.md
shows each at work. The modules stand in the folder granary/ beside this file, one for each concern:

    memory    bytes of the stopped machine, read page by page, never written
    target    the one that knows GDB: addresses of variables, layouts of structures
    model     pools, descriptors, arenas as kernel/heap.h has them
    symbols   function+offset as kernel/symbol.c prints it
    who check checked leaks calls threads   what the commands of these names find out
    render heapmap  tables; the map as text and as SVG
    printers  what GDB's own `print` shows of the heap's structures
    stops     breakpoints with a meaning
    commands  the words a user types
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True  # the checkout stays as it was

from granary import commands  # noqa: E402 (the line above makes it findable)

commands.register()
