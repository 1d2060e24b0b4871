"""granary.py - loads the heap commands into GDB:  (gdb) source tools/gdb/granary.py

`make debug` and `make rewind` do it by themselves. What there is says the command `heap`; docs/gdb.md
shows each at work. The modules are in the folder granary/ beside this file, one for each concern:

    commands  the words a user types
    replica   the kernel's own functions, called on a copy of the stopped machine (with replica.c here)
    target    the one that knows GDB: addresses of variables, bytes, registers
    memory    bytes, as the selected thread sees them
    threads   all threads, and where each one sleeps
    printers  what GDB's own `print` shows of the heap's structures
    picture   the map as SVG
    stops     breakpoints with a meaning
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True  # the checkout stays as it was

from granary import commands  # noqa: E402 (the line above makes it findable)

commands.register()
