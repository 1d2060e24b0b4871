# The longer proofs. None is part of `make test`: each takes minutes, or a tool that `sh tools/setup.sh --only proof` installs.

COVERAGE_DIR := $(BUILD)/coverage
COVERAGE_FLAGS := -Wno-format-security -fprofile-instr-generate -fcoverage-mapping -fcoverage-mcdc -fno-omit-frame-pointer

#: make coverage       lines, branches and MC/DC that the host tests reach in the heap (needs setup.sh --only proof)
.PHONY: coverage
coverage: | have-clang_with_mcdc
	@rm -rf $(COVERAGE_DIR)/profiles
	@LLVM_PROFILE_FILE=$(abspath $(COVERAGE_DIR))/profiles/%p.profraw $(MAKE) -s BUILD=$(COVERAGE_DIR) \
	    HOST_CC=$$($(PYTHON) tools/coverage.py --compiler) SANITIZE='$(COVERAGE_FLAGS)' RACE_PROGRAMS= host-test | tail -1
	@$(PYTHON) tools/coverage.py --build $(COVERAGE_DIR)

SAMPLE ?= 0

#: make mutation       small faults planted in memory.c: how many the host tests notice, SAMPLE=100
.PHONY: mutation
mutation:
	@$(PYTHON) tools/mutate.py --build $(BUILD)/mutation --sample $(call quoted,$(SAMPLE))

DEPTH ?= 9

#: make exhaust        every sequence of calls on a tiny heap, DEPTH=9 of them (make test goes to 7)
.PHONY: exhaust
exhaust:
	@$(MAKE) -s BUILD=$(BUILD)/exhaust SANITIZE=-O2 $(BUILD)/exhaust/host/test_exhaust
	@EXHAUST_DEPTH=$(call quoted,$(DEPTH)) $(BUILD)/exhaust/host/test_exhaust

#: make cpython        CPython's own tests on libgranary.so, beside the system's allocator (setup.sh --only proof)
.PHONY: cpython
cpython: libgranary
	@$(PYTHON) tools/libgranary/cpython.py --library $(BUILD)/host/libgranary.so

#: make model          Spin: locking and the arenas under every interleaving of three threads (setup.sh --only proof)
.PHONY: model
model: | have-spin
	@sh tests/model/run.sh $(BUILD)/model

SOAK_OPS ?= 100000000
SOAK_THREADS ?= 64

#: make soak           SOAK_OPS=100000000 random calls by SOAK_THREADS=64 threads in QEMU, checked all the time
.PHONY: soak
soak: $(BUILD)/hd.img
	@$(PYTHON) tools/run.py --emulator qemu --image $(BUILD)/hd.img --mem 256 --timeout 36000 \
	    --args "batch demo=no hz=1000 soak=$(SOAK_OPS),$(SOAK_THREADS)"

#: make soak-host      SOAK_HOST_OPS=1000000000 of them on this machine, two times: the hashes must agree
SOAK_HOST_OPS ?= 1000000000
SOAK_HOST := $(BUILD)/host/soak_heap
SOAK_HOST_SRC := tests/host/soak_heap.c kernel/measure/random_calls.c $(HEAP_SRC)
$(SOAK_HOST): $(SOAK_HOST_SRC) $(wildcard kernel/*.h kernel/*/*.h) tools/mk/proof.mk | $(BUILD)/gen/boot_const.h
	@mkdir -p $(@D)
	@$(HOST_CC) -std=gnu11 -g -O2 -Wall -Wextra -Werror -I. -I$(BUILD)/gen $(HEAP_FLAGS) $(SOAK_HOST_SRC) -lcmocka -o $@
.PHONY: soak-host
soak-host: $(SOAK_HOST)
	@first=$$($(SOAK_HOST) $(SOAK_HOST_OPS)) && echo "$$first" && again=$$($(SOAK_HOST) $(SOAK_HOST_OPS)) && echo "$$again" && \
	    test "$$first" = "$$again" || { echo 'soak-host: FAILED'; exit 1; }

# ---- proofs and faults planted for the searches --------------------------------------------------

#: make formal         Frama-C: contracts of the bitmap, the list, the memory map, the heap's arithmetic (setup.sh --only proof)
.PHONY: formal
formal: $(BUILD)/gen/boot_const.h
	@$(PYTHON) tools/formal.py --build $(BUILD)/formal --gen $(BUILD)/gen

#: make planted        a fault planted for each search, on a copy: each must be caught; PLANTED=name for one
.PHONY: planted
planted:
	@$(PYTHON) tools/planted.py --build $(BUILD)/planted $(PLANTED)

# ---- the boot ------------------------------------------------------------------------------------

# Altered images, odd memory maps, wrong command lines: what comes of each (tools/bootfuzz.py).

BOOTFUZZ_SEED ?= 1
BOOTFUZZ_SAMPLE ?=

#: make boot-fuzz      thousands of altered images in QEMU: a message or the demonstration; BOOTFUZZ_SAMPLE=60
.PHONY: boot-fuzz
boot-fuzz: $(BUILD)/hd.img
	@$(PYTHON) tools/bootfuzz.py --image $(BUILD)/hd.img --progress --seed $(call quoted,$(BOOTFUZZ_SEED)) \
	    $(if $(BOOTFUZZ_SAMPLE),--sample $(call quoted,$(BOOTFUZZ_SAMPLE)))

# Other processors, chipsets, disks, amounts of memory: the table of docs/boot.md (tools/machines.py).

MACHINES ?=

#: make machines       other processors, chipsets, disks: the table of docs/boot.md; MACHINES=q35 for some of them
.PHONY: machines
machines: $(BUILD)/hd.img
	@$(PYTHON) tools/machines.py --image $(BUILD)/hd.img $(if $(MACHINES),--only $(call quoted,$(MACHINES)))
