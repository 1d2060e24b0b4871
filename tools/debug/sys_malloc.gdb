# sys_malloc.gdb - what `make debug` tells GDB: go to the first sys_malloc.
#
# The machine is at the first instruction of the BIOS, and the kernel is not in memory yet: a hardware breakpoint waits
# for the address to be executed and writes nothing, so the loader cannot overwrite it. From there on ordinary
# breakpoints do.
set confirm off
set disassembly-flavor intel
set print pretty on
thbreak sys_malloc
continue
welcome
