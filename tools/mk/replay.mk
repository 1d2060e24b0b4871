# Recorded programs' allocations, replayed in the kernel. TRACE, CLASSES, MEM, EMULATOR=bochs.

TRACE ?=
CLASSES ?=
EMULATOR ?= qemu
# The user's MEM; the Makefile's own default is for an empty machine, and a trace knows what it wants.
REPLAY_MEM := $(if $(filter-out file undefined default,$(origin MEM)),$(MEM))

#: make replay TRACE=f  a trace (.mtrace, .mtrace.xz) in the kernel; CLASSES="16 32 48", EMULATOR=bochs
.PHONY: replay
replay: $(BUILD)/hd.img
	@$(PYTHON) tools/replay.py --image $(BUILD)/hd.img --emulator $(call quoted,$(EMULATOR)) \
	    --mem=$(call quoted,$(REPLAY_MEM)) --classes=$(call quoted,$(CLASSES)) -- $(call quoted,$(TRACE))
