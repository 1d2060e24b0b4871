# Tests of the pure parts on the machine that builds: fast, and under sanitizers.
#
# Every tests/host/test_NAME.c is one program (cmocka). A new one needs at most two lines here: the project's
# sources it is linked with, and flags of its own.
#
#   HOST_SRC_test_NAME   := kernel/x.c lib/y.c
#   HOST_FLAGS_test_NAME := -DSOMETHING
#
# Every program compiles its sources itself, so flags of one never reach another.

# The host's own compiler: CC is the kernel's.
HOST_CC ?= gcc
FUZZ_CC ?= clang
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
HOST_CFLAGS := -std=gnu11 -g -O1 -Wall -Wextra -Werror $(SANITIZE) -I. -I$(BUILD)/gen

HOST_STAMP := $(BUILD)/gen/host_flags
$(call stamp,$(HOST_STAMP),$(HOST_CC) $(SANITIZE) $(RACE_COVERAGE) : $(FUZZ_CC))

# The heap over stand-in frames (tests/host/heap_host.h).
HEAP_SRC   := kernel/memory.c kernel/pool.c kernel/inspect/heapcheck.c kernel/inspect/heapwalk.c kernel/inspect/who.c lib/list.c tests/host/heap_host.c
HEAP_FLAGS := -DGRANARY_PORT='"tests/host/host_port.h"'

HOST_SRC_test_bitmap        := lib/bitmap.c
HOST_SRC_test_checked_random := kernel/checked/checked.c $(HEAP_SRC)
HOST_SRC_test_size_tables   := kernel/size_tables.c $(HEAP_SRC)
HOST_SRC_test_cmdline       := kernel/cmdline.c kernel/size_tables.c lib/format.c lib/spelling.c lib/string.c
HOST_SRC_test_divide        := lib/divide.c
HOST_SRC_test_elf           := process/elf.c
HOST_SRC_test_exhaust       := $(HEAP_SRC)
HOST_SRC_test_heap          := kernel/size_tables.c $(HEAP_SRC)
HOST_SRC_test_heap_paths    := kernel/size_tables.c $(HEAP_SRC)
HOST_SRC_test_heap_random   := kernel/size_tables.c $(HEAP_SRC)
HOST_SRC_test_heapcheck     := kernel/size_tables.c $(HEAP_SRC)
HOST_SRC_test_heaps         := kernel/size_tables.c $(HEAP_SRC)
HOST_SRC_test_heapmap       := kernel/inspect/heapmap.c kernel/size_tables.c $(HEAP_SRC)
HOST_SRC_test_lineedit      := kernel/prompt/lineedit.c lib/string.c
HOST_SRC_test_list          := lib/list.c
HOST_SRC_test_oom           := kernel/size_tables.c $(HEAP_SRC)
HOST_SRC_test_print         := lib/print.c lib/format.c
HOST_SRC_test_spelling      := lib/spelling.c
HOST_SRC_test_string        := lib/string.c
HOST_SRC_test_tables        := processor/tables.c
HOST_SRC_test_trace_format  := kernel/measure/trace_format.c lib/format.c lib/string.c
HOST_SRC_test_memmap        := kernel/memmap.c
HOST_SRC_test_memmap_random := kernel/memmap.c tests/fuzz/fuzz_memmap.c
HOST_SRC_test_words         := kernel/prompt/words.c
HOST_SRC_test_memory_plan   := kernel/memory_plan.c kernel/memmap.c

# lib/string.c defines names that the host's C library has too: here ours get a k_ in front.
HOST_FLAGS_test_string := -fno-builtin $(foreach f,memcpy memmove memset memcmp strlen strnlen strcmp strncmp \
                          strchr strlcpy,-D$f=k_$f)

# The host's compiler has the functions of lib/divide.c itself.
HOST_FLAGS_test_divide := $(foreach f,udivmoddi4 udivdi3 umoddi3 divdi3 moddi3,-D__$f=k_$f)

HOST_FLAGS_test_checked_random := $(HEAP_FLAGS) -DHEAP_CHECKED
HOST_FLAGS_test_size_tables := $(HEAP_FLAGS)
HOST_FLAGS_test_cmdline     := $(HOST_FLAGS_test_string)
HOST_FLAGS_test_heapmap     := $(HEAP_FLAGS)
HOST_FLAGS_test_lineedit    := $(HOST_FLAGS_test_string)
HOST_FLAGS_test_oom         := $(HEAP_FLAGS)
HOST_FLAGS_test_trace_format:= $(HOST_FLAGS_test_string)
HOST_FLAGS_test_exhaust     := $(HEAP_FLAGS)
HOST_FLAGS_test_heap        := $(HEAP_FLAGS)
HOST_FLAGS_test_heap_paths  := $(HEAP_FLAGS)
HOST_FLAGS_test_heap_random := $(HEAP_FLAGS)
HOST_FLAGS_test_heaps       := $(HEAP_FLAGS)
HOST_FLAGS_test_heapcheck   := $(HEAP_FLAGS)

HOST_TESTS := $(sort $(patsubst tests/host/%.c,%,$(wildcard tests/host/test_*.c)))
HOST_PROGRAMS := $(HOST_TESTS:%=$(BUILD)/host/%)

# $(call host_objects,test_NAME)
host_objects = $(patsubst %.c,$(BUILD)/host/$(1).d/%.o,tests/host/$(1).c $(HOST_SRC_$(1)))

define HOST_PROGRAM
$(BUILD)/host/$(1): $(call host_objects,$(1))
	@$(HOST_CC) $(HOST_CFLAGS) $$^ -lcmocka -lpthread -o $$@

$(BUILD)/host/$(1).d/%.o: %.c tools/mk/host.mk $(HOST_STAMP) | $(BUILD)/gen/boot_const.h $(TO_BUILD_FOR_HOST)+libcmocka-dev
	@mkdir -p $$(@D)
	@$(HOST_CC) $(HOST_CFLAGS) $$(HOST_FLAGS_$(1)) -MMD -MP -c $$< -o $$@

-include $(patsubst %.o,%.d,$(call host_objects,$(1)))
endef
$(foreach test,$(HOST_TESTS),$(eval $(call HOST_PROGRAM,$(test))))

# In the checked build memory.c's calls have other names (kernel/checked/checked.c has theirs).
$(BUILD)/host/test_checked_random.d/kernel/memory.o: HOST_FLAGS_test_checked_random += -include kernel/checked/checked_names.h

# Its test takes everything before a call of memory.c's or pool.c's gets the lock.
$(addprefix $(BUILD)/host/test_oom.d/kernel/,memory.o pool.o): HOST_FLAGS_test_oom += -Dport_lock=oom_port_lock

.PHONY: host-test
host-test: $(HOST_PROGRAMS)
	@sh tests/host/run.sh $(HOST_PROGRAMS) $(RACE_TESTS)

