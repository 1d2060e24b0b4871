# Running and debugging.

MEM ?= 32
CPUS ?= 1
ACCEL ?= tcg
# Where `make bochs-debug` stops: a script of tools/bochs.
STOP ?= sys_malloc

# GUI=1: the machine's screen in a window, beside the console on the terminal.
WINDOW = $(if $(filter-out 0,$(GUI)),--gui)

RUN_OPTIONS = --mem $(call quoted,$(MEM)) --cpus $(call quoted,$(CPUS)) --args=$(call quoted,$(ARGS))

.PHONY: run bochs debug debug-stub console bochs-debug
run: $(BUILD)/hd.img
	@$(PYTHON) tools/run.py --auto --image $(BUILD)/hd.img --accel $(call quoted,$(ACCEL)) $(WINDOW) $(RUN_OPTIONS)

bochs: $(BUILD)/hd.img
	@$(PYTHON) tools/run.py --auto --image $(BUILD)/hd.img --emulator bochs $(WINDOW) $(RUN_OPTIONS)

debug: $(BUILD)/hd.img $(BUILD)/kernel.elf
	@$(PYTHON) tools/debug/start.py gdb --build $(BUILD) --accel $(call quoted,$(ACCEL)) $(RUN_OPTIONS)

debug-stub: $(BUILD)/hd.img $(BUILD)/kernel.elf
	@$(PYTHON) tools/debug/start.py stub --build $(BUILD) --accel $(call quoted,$(ACCEL)) $(RUN_OPTIONS)

console:
	@$(PYTHON) tools/debug/console.py --build $(BUILD)

bochs-debug: $(BUILD)/hd.img $(BUILD)/kernel.sym
	@$(PYTHON) tools/debug/start.py bochs --build $(BUILD) --stop=$(call quoted,$(STOP)) $(RUN_OPTIONS)

# ---- a trace, replayed ---------------------------------------------------------------------------

# Recorded programs' allocations, replayed in the kernel. TRACE, CLASSES, MEM, EMULATOR=bochs, CPUS.

TRACE ?=
CLASSES ?=
EMULATOR ?= qemu
# The user's MEM; the Makefile's own default is for an empty machine, and a trace knows what it wants.
REPLAY_MEM := $(if $(filter-out file undefined default,$(origin MEM)),$(MEM))

.PHONY: replay
replay: $(BUILD)/hd.img
	@$(PYTHON) tools/replay.py --image $(BUILD)/hd.img --emulator $(call quoted,$(EMULATOR)) \
	    --cpus=$(call quoted,$(CPUS)) \
	    --mem=$(call quoted,$(REPLAY_MEM)) --classes=$(call quoted,$(CLASSES)) -- $(call quoted,$(TRACE))

# ---- backwards -----------------------------------------------------------------------------------

# A recorded run that can be gone through backwards (docs/rewind.md). ARGS and MEM as for `make run`.

REWIND_TIMEOUT ?= 60

.PHONY: rewind
rewind: $(BUILD)/hd.img $(BUILD)/kernel.elf
	@$(PYTHON) tools/rewind/rewind.py --build $(BUILD) --timeout $(call quoted,$(REWIND_TIMEOUT)) $(RUN_OPTIONS)

# ---- tours ---------------------------------------------------------------------------------------

# Guided tours (docs/tours): a text that a debugger follows.

TOUR ?=
WITH ?= gdb

.PHONY: tour tours
tour: $(BUILD)/hd.img $(BUILD)/kernel.elf $(BUILD)/kernel.sym
	@$(PYTHON) tools/tour/tour.py --build $(BUILD) --with $(call quoted,$(WITH)) $(call quoted,$(TOUR))

tours: $(BUILD)/hd.img $(BUILD)/kernel.elf $(BUILD)/kernel.sym
	@$(PYTHON) tools/tour/tour.py --build $(BUILD) --transcripts $(BUILD)/tours

# ---- in WebAssembly ------------------------------------------------------------------------------

# v86: an emulator in WebAssembly, the one that runs in a browser's page. npm puts it into the build folder.

# What it is, and the rest of what npm brings, is in web/package.json and its lock file.

V86_DIR := $(BUILD)/v86
NPM_DIR := $(BUILD)/npm
NPM_STAMP := $(NPM_DIR)/node_modules/.package-lock.json

$(NPM_STAMP): web/package.json web/package-lock.json | have-npm
	@mkdir -p $(NPM_DIR)
	@cp web/package.json web/package-lock.json $(NPM_DIR)/
	@npm ci --prefix $(NPM_DIR) --no-audit --no-fund --silent
	@touch $@

.PHONY: v86
v86: $(BUILD)/hd.img $(NPM_STAMP) | have-node+seabios
	@mkdir -p $(V86_DIR)
	@$(PYTHON) tools/mkimage.py --set-cmdline $(call quoted,$(strip $(ARGS) batch)) $(BUILD)/hd.img --out $(V86_DIR)/hd.img
	@node tools/v86/run.mjs --image $(V86_DIR)/hd.img --modules $(NPM_DIR)/node_modules --mem $(call quoted,$(MEM))
