# Running and debugging. The comments that start with "#:" are the table of `make help`.

MEM ?= 32
ACCEL ?= tcg
# Where `make bochs-debug` stops: a script of tools/bochs.
STOP ?= sys_malloc

# A value as one word for the shell, whatever quotes it has.
quoted = '$(subst ','\'',$(1))'

RUN_OPTIONS = --mem $(call quoted,$(MEM)) --args=$(call quoted,$(ARGS))

#: make                builds everything for the emulators (build/hd.img); warnings are errors
#: make run            QEMU, the console on the terminal, Ctrl-A X leaves; without a terminal: the demonstration
#: make bochs          the same image in Bochs; in a window if there is a display
#: make debug          GDB on QEMU, stopped at the first sys_malloc
#: make bochs-debug    Bochs's debugger with the heap's lines; STOP=sys_malloc, sys_free, arena-open, arena-close, magic_break
.PHONY: run bochs debug bochs-debug
run: $(BUILD)/hd.img
	@$(PYTHON) tools/run.py --auto --image $(BUILD)/hd.img --accel $(call quoted,$(ACCEL)) $(RUN_OPTIONS)

bochs: $(BUILD)/hd.img
	@$(PYTHON) tools/run.py --auto --image $(BUILD)/hd.img --emulator bochs $(RUN_OPTIONS)

debug: $(BUILD)/hd.img $(BUILD)/kernel.elf
	@$(PYTHON) tools/debug/start.py gdb --build $(BUILD) --accel $(call quoted,$(ACCEL)) $(RUN_OPTIONS)

bochs-debug: $(BUILD)/hd.img $(BUILD)/kernel.sym
	@$(PYTHON) tools/debug/start.py bochs --build $(BUILD) --stop=$(call quoted,$(STOP)) $(RUN_OPTIONS)

help:
	@sed -n 's/^#: //p' $(filter tools/mk/%,$(MAKEFILE_LIST))
	@echo 'Variables: ARGS="..." the kernel command line, CHECK=1 the checked build, MEM=32 (MiB), ACCEL=tcg, CROSS=prefix-, CC=clang, OPT=-O0, BUILD=build'
