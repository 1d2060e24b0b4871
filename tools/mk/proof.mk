# The longer proofs. None is part of `make test`: each takes minutes, or a tool that `sh tools/setup.sh --only proof` installs.

COVERAGE_DIR := $(BUILD)/coverage
COVERAGE_PROFILES := $(abspath $(COVERAGE_DIR))/profiles
COVERAGE_FLAGS := -Wno-format-security -fcoverage-mapping -fcoverage-mcdc -fprofile-instr-generate=$(COVERAGE_PROFILES)/test/%p.profraw \
                  -fno-omit-frame-pointer
# The library's tests exec, fork and _exit(): their counters are a mapped file (%c, one for each program: %m), which on
# Linux takes counters that can be moved. Two threads that count take long.
COVERAGE_RACES := -fcoverage-mapping -fprofile-update=atomic -fprofile-instr-generate=$(COVERAGE_PROFILES)/race/%c%m.profraw \
                  -mllvm -runtime-counter-relocation=true -DRACES_DEFAULT=4000u

.PHONY: coverage
coverage: | have-clang_with_mcdc
	@rm -rf $(COVERAGE_PROFILES)
	@mkdir -p $(COVERAGE_DIR)
	@$(MAKE) -s BUILD=$(COVERAGE_DIR) HOST_CC=$$($(PYTHON) tools/coverage.py --compiler) SANITIZE='$(COVERAGE_FLAGS)' \
	    RACE_COVERAGE='$(COVERAGE_RACES)' RACE_PROGRAMS= host-test | tail -1 | tee $(COVERAGE_DIR)/host-tests
	@grep -q ', 0 failed$$' $(COVERAGE_DIR)/host-tests # a test that clang's build fails is a failure here, too
	@$(PYTHON) tools/coverage.py --build $(COVERAGE_DIR)

SAMPLE ?= 0

.PHONY: mutation
mutation:
	@$(PYTHON) tools/mutate.py --build $(BUILD)/mutation --sample $(call quoted,$(SAMPLE))

DEPTH ?= 9

.PHONY: exhaust
exhaust:
	@$(MAKE) -s BUILD=$(BUILD)/exhaust SANITIZE=-O2 $(BUILD)/exhaust/host/test_exhaust
	@EXHAUST_DEPTH=$(call quoted,$(DEPTH)) $(BUILD)/exhaust/host/test_exhaust

.PHONY: cpython
cpython: libgranary
	@$(PYTHON) tools/libgranary/cpython.py --library $(BUILD)/host/libgranary.so

.PHONY: model
model: | have-spin
	@sh tests/model/run.sh $(BUILD)/model

.PHONY: model-three
model-three: | have-spin
	@sh tests/model/run.sh $(BUILD)/model three

SOAK_OPS ?= 100000000
SOAK_THREADS ?= 64
SOAK_CPUS ?= 4

.PHONY: soak
soak: $(BUILD)/hd.img
	@$(PYTHON) tools/run.py --emulator qemu --image $(BUILD)/hd.img --mem 256 --cpus $(SOAK_CPUS) --timeout 36000 \
	    --args "batch demo=no hz=1000 soak=$(SOAK_OPS),$(SOAK_THREADS)"

# 10^5 programs made and ended, one after the other: after each of them the pools are as before.
.PHONY: soak-programs
soak-programs: $(BUILD)/hd.img
	@$(PYTHON) tools/run.py --emulator qemu --image $(BUILD)/hd.img --timeout 3600 \
	    --args "batch demo=no test=long_process_*"

# Wrong frees across processors: 100,000 second ones, 400,000 blocks freed by all, 100,000 bits of records. On a host with
# fewer processors QEMU's take turns, and what waits for another takes long; Bochs needs one.
SOAK_WRONG_CPUS ?= 2 4 8
SOAK_WRONG_IN ?= qemu bochs
.PHONY: soak-wrong
soak-wrong: $(BUILD)/hd.img
	@for emulator in $(SOAK_WRONG_IN); do for cpus in $(SOAK_WRONG_CPUS); do \
	    $(PYTHON) tools/run.py --emulator $$emulator --image $(BUILD)/hd.img --cpus $$cpus --timeout 7200 \
	        --args "batch demo=no test=long_processors_*" || exit 1; done; done

SOAK_HOST_OPS ?= 1000000000
SOAK_HOST := $(BUILD)/host/soak_heap
SOAK_HOST_SRC := tests/host/soak_heap.c kernel/measure/random_calls.c $(HEAP_SRC)
$(SOAK_HOST): $(SOAK_HOST_SRC) $(wildcard kernel/*.h kernel/*/*.h) tools/mk/proof.mk $(HOST_STAMP) | $(BUILD)/gen/boot_const.h $(TO_BUILD_FOR_HOST)
	@mkdir -p $(@D)
	@$(HOST_CC) -std=gnu11 -g -O2 -Wall -Wextra -Werror -I. -I$(BUILD)/gen $(HEAP_FLAGS) $(SOAK_HOST_SRC) -lcmocka -o $@
.PHONY: soak-host
soak-host: $(SOAK_HOST)
	@first=$$($(SOAK_HOST) $(SOAK_HOST_OPS)) && echo "$$first" && again=$$($(SOAK_HOST) $(SOAK_HOST_OPS)) && echo "$$again" && \
	    test "$$first" = "$$again" || { echo 'soak-host: FAILED'; exit 1; }

# Wrong frees of several threads at the same time: 400,000 racing double frees by four, 100,000 late ones, each to be
# refused when its call comes back, by two; and the same under ThreadSanitizer. Another thread's frees at an instruction
# of five, and a fork() at each instruction of a thread's calls.
.PHONY: soak-owners
soak-owners: $(OWNERS_TESTS) $(BUILD)/host/race_owners_tsan
	@$(BUILD)/host/race_owners 200000 2
	@$(BUILD)/host/race_owners 100000 1
	@rm -f $(BUILD)/host/tsan.*
	@TSAN_OPTIONS=log_path=$(BUILD)/host/tsan $(BUILD)/host/race_owners_tsan 2000 2
	@! cat $(BUILD)/host/tsan.* 2>/dev/null
	@$(BUILD)/host/race_steps 5
	@$(BUILD)/host/race_fork 1

# ---- proofs and faults planted for the searches --------------------------------------------------

.PHONY: formal
formal: $(BUILD)/gen/boot_const.h
	@$(PYTHON) tools/formal.py --build $(BUILD)/formal --gen $(BUILD)/gen

.PHONY: planted
planted:
	@$(PYTHON) tools/planted.py --build $(BUILD)/planted $(PLANTED)

# ---- the boot ------------------------------------------------------------------------------------

# Altered images, odd memory maps, wrong command lines: what comes of each (tools/bootfuzz.py).

BOOTFUZZ_SEED ?= 1
BOOTFUZZ_SAMPLE ?=

.PHONY: boot-fuzz
boot-fuzz: $(BUILD)/hd.img
	@$(PYTHON) tools/bootfuzz.py --image $(BUILD)/hd.img --progress --seed $(call quoted,$(BOOTFUZZ_SEED)) \
	    $(if $(BOOTFUZZ_SAMPLE),--sample $(call quoted,$(BOOTFUZZ_SAMPLE)))

# Other processors, chipsets, disks, amounts of memory: the table of docs/boot.md (tools/machines.py).

MACHINES ?=

.PHONY: machines
machines: $(BUILD)/hd.img
	@$(PYTHON) tools/machines.py --image $(BUILD)/hd.img $(if $(MACHINES),--only $(call quoted,$(MACHINES)))

# ---- other people's machines ---------------------------------------------------------------------

FRESH ?=

# The README's two commands on pristine minimal systems (docs/fresh.md). FRESH="debian-13" for some of the trials; needs root.
.PHONY: fresh
fresh: | have-debootstrap
	@$(PYTHON) tools/fresh.py --only $(FRESH)
