# rewind.gdb - what `make rewind` tells GDB: where the machine is, and what can be asked.
#
#   heap who-wrote ADDR [LEN]    back to the last write to these bytes
#   heap back-to alloc ADDR      back to the call that returned ADDR
#   heap back-to free ADDR       back to the call that freed it
#   heap back-to start | end     the recording's two ends: forward as well
#   heap back-to first | N       its first sys_malloc, its instruction N
#   reverse-stepi                one instruction back; reverse-continue: to the breakpoint before
#   continue, step, next ...     forward, as ever; nothing new happens: it is a recording
set confirm off
set disassembly-flavor intel
set print pretty on
set can-use-hw-watchpoints 1
rewind-greeting
