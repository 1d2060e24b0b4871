# sys_malloc.gdb - what `make debug` tells GDB: go to the first sys_malloc.
#
# The machine stands before the first instruction of the BIOS, and the kernel is not in memory yet: a
# hardware breakpoint waits for the address to be executed and writes nothing, so the loader
# cannot overwrite it. From there on ordinary breakpoints do.
#
#   next, step      a source line         stepi    an instruction
#   finish          out of the call, with the address it returned
#   bt              who calls             info locals
#   continue        to the next sys_malloc (Ctrl-C stops the machine)
#   heap            what the heap holds, and the list of the heap commands (docs/gdb.md)
set confirm off
set disassembly-flavor intel
set print pretty on
thbreak sys_malloc
continue
break sys_malloc
