# Fuzzers. Each tests/fuzz/fuzz_NAME.c is one; what it looks at is in its head.
#
#   FUZZ_SRC_NAME     the project's sources that are instrumented
#   FUZZ_PLAIN_NAME   sources that only have to be quick (an oracle that paints megabytes)
#   FUZZ_FLAGS_NAME   flags of its own
#   FUZZ_LEN_NAME     longest input, bytes
#
# Inputs that reach something new stay in build/fuzz for the next run; a few good ones are kept in tests/fuzz/corpus.
# libFuzzer's needs are clang's own (libclang-rt-dev); AFL++ comes with setup.sh --only proof.

FUZZ_SECONDS ?= 10
FUZZ_DIR := $(BUILD)/fuzz
FUZZ_NAMES := cmdline elf heap memmap shell tables trace
FUZZ_CFLAGS := -std=gnu11 -g -Wall -Wextra -Werror -I. -I$(BUILD)/gen
FUZZ_SANITIZE := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all

FUZZ_SRC_cmdline  := kernel/cmdline.c kernel/size_tables.c lib/format.c lib/spelling.c lib/string.c tests/fuzz/fuzz_cmdline.c
FUZZ_FLAGS_cmdline := $(HOST_FLAGS_test_string)
FUZZ_LEN_cmdline  := 600
FUZZ_SRC_elf      := process/elf.c tests/fuzz/fuzz_elf.c
FUZZ_LEN_elf      := 516
FUZZ_SRC_heap     := kernel/memory.c kernel/pool.c kernel/inspect/heapcheck.c kernel/inspect/heapwalk.c kernel/inspect/who.c tests/fuzz/fuzz_heap.c
FUZZ_PLAIN_heap   := tests/host/heap_host.c lib/list.c
FUZZ_FLAGS_heap   := $(HEAP_FLAGS)
FUZZ_LIBS_heap    := -lcmocka
FUZZ_LEN_heap     := 4096
FUZZ_SRC_memmap   := kernel/memmap.c
FUZZ_PLAIN_memmap := tests/fuzz/fuzz_memmap.c
FUZZ_LEN_memmap   := 1280
FUZZ_SRC_shell    := kernel/prompt/lineedit.c kernel/prompt/words.c lib/string.c tests/fuzz/fuzz_shell.c
FUZZ_FLAGS_shell  := $(HOST_FLAGS_test_string)
FUZZ_LEN_shell    := 512
FUZZ_SRC_tables   := processor/tables.c tests/fuzz/fuzz_tables.c
FUZZ_LEN_tables   := 4096
FUZZ_SRC_trace    := kernel/measure/trace_format.c lib/format.c lib/string.c tests/fuzz/fuzz_trace.c
FUZZ_FLAGS_trace  := $(HOST_FLAGS_test_string)
FUZZ_LEN_trace    := 4096

define FUZZ_PROGRAM
$(FUZZ_DIR)/$(1).d/%.o: %.c tools/mk/fuzz.mk $(HOST_STAMP) | $(BUILD)/gen/boot_const.h have-clang+libclang-rt-dev+libcmocka-dev
	@mkdir -p $$(@D)
	@$(FUZZ_CC) $(FUZZ_CFLAGS) $(FUZZ_FLAGS_$(1)) $$(if $$(filter $$<,$(FUZZ_SRC_$(1))),-O1 $$(FUZZ_SANITIZE),-O2) -MMD -MP -c $$< -o $$@

$(FUZZ_DIR)/fuzz_$(1): $(patsubst %.c,$(FUZZ_DIR)/$(1).d/%.o,$(FUZZ_SRC_$(1)) $(FUZZ_PLAIN_$(1)))
	@$(FUZZ_CC) -fsanitize=fuzzer,address,undefined $$^ $(FUZZ_LIBS_$(1)) -o $$@

-include $(patsubst %.c,$(FUZZ_DIR)/$(1).d/%.d,$(FUZZ_SRC_$(1)) $(FUZZ_PLAIN_$(1)))

# AFL++ drives the same function, through the driver that it links where libFuzzer is asked for.
$(FUZZ_DIR)/afl_$(1): $(FUZZ_SRC_$(1)) $(FUZZ_PLAIN_$(1)) tools/mk/fuzz.mk | $(BUILD)/gen/boot_const.h have-afl-clang-fast
	@mkdir -p $$(@D)
	@AFL_QUIET=1 afl-clang-fast $(FUZZ_CFLAGS) $(FUZZ_FLAGS_$(1)) -Wno-error -O1 -fsanitize=fuzzer,undefined \
	    $(FUZZ_SRC_$(1)) $(FUZZ_PLAIN_$(1)) $(FUZZ_LIBS_$(1)) -o $$@

.PHONY: fuzz-$(1) fuzz-afl-$(1)
fuzz-$(1): $(FUZZ_DIR)/fuzz_$(1)
	@sh tests/fuzz/run.sh libfuzzer $(1) $(FUZZ_DIR) $(FUZZ_SECONDS) $(FUZZ_LEN_$(1))
fuzz-afl-$(1): $(FUZZ_DIR)/afl_$(1)
	@sh tests/fuzz/run.sh afl $(1) $(FUZZ_DIR) $(FUZZ_SECONDS) $(FUZZ_LEN_$(1))
endef
$(foreach name,$(FUZZ_NAMES),$(eval $(call FUZZ_PROGRAM,$(name))))

.PHONY: fuzz fuzz-afl
fuzz: $(FUZZ_NAMES:%=$(FUZZ_DIR)/fuzz_%)
	@sh tests/fuzz/run.sh libfuzzer "$(FUZZ_NAMES)" $(FUZZ_DIR) $(FUZZ_SECONDS) \
	    "$(foreach name,$(FUZZ_NAMES),$(FUZZ_LEN_$(name)))"
fuzz-afl: | have-afl-clang-fast
	@$(MAKE) -s $(FUZZ_NAMES:%=$(FUZZ_DIR)/afl_%)
	@sh tests/fuzz/run.sh afl "$(FUZZ_NAMES)" $(FUZZ_DIR) $(FUZZ_SECONDS) \
	    "$(foreach name,$(FUZZ_NAMES),$(FUZZ_LEN_$(name)))"

# Programs that misbehave, on the library and on the allocators beside it. Built without the sanitizers, which would
# replace the very malloc that is looked at.
$(BUILD)/host/attack: tests/fuzz/attack.c tools/mk/fuzz.mk $(HOST_STAMP) | $(TO_BUILD_FOR_HOST)
	@mkdir -p $(@D)
	@$(HOST_CC) -std=gnu11 -O1 -g -fno-builtin -Wall -Wextra -Werror $< -lpthread -o $@

ACTIONS ?= 1000000

.PHONY: attack
attack: $(BUILD)/host/attack $(BUILD)/host/libgranary.so
	@$(PYTHON) tests/fuzz/attack.py --build $(call quoted,$(BUILD)) --program $< --actions $(call quoted,$(ACTIONS)) \
	    $(if $(DOCS),--docs)
