# libgranary.so: the kernel's heap under real programs (docs/libgranary.md). Every C file of the folder is a
# translation unit; malloc.c includes the heap itself.

GRANARY_DIR := $(BUILD)/host/libgranary.d
GRANARY_SRC := $(addprefix tools/libgranary/,malloc.c owners_check.c port.c resident.c window.c lock.c words.c thread.c) \
               $(addprefix kernel/inspect/,heapcheck.c heapwalk.c who.c) kernel/size_tables.c lib/format.c
GRANARY_PORT := -DGRANARY_PORT='"tools/libgranary/port.h"' -DARENA_PADDED
GRANARY_CFLAGS := -std=gnu11 -D_GNU_SOURCE -O2 -g -fPIC -fvisibility=hidden -fno-plt -fno-strict-aliasing -fno-common \
                  -fomit-frame-pointer -fno-stack-protector -fcf-protection=none \
                  -ftls-model=initial-exec \
                  -fno-builtin-malloc -fno-builtin-calloc -fno-builtin-realloc -fno-builtin-free \
                  -Wall -Wextra -Werror -Wno-unused-parameter -I. -I$(BUILD)/gen $(GRANARY_PORT)
# Bound whole at the start: a first call through the linker from inside malloc() would be a call too many.
GRANARY_LDFLAGS := -shared -Wl,-z,now -Wl,-z,relro -Wl,-z,noexecstack -Wl,--no-undefined

GRANARY_OBJ := $(GRANARY_SRC:%.c=$(GRANARY_DIR)/%.o)
$(GRANARY_OBJ): $(GRANARY_DIR)/%.o: %.c tools/mk/libgranary.mk $(HOST_STAMP) | $(BUILD)/gen/boot_const.h $(TO_BUILD_FOR_HOST)
	@mkdir -p $(@D)
	@$(HOST_CC) $(GRANARY_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/host/libgranary.so: $(GRANARY_OBJ)
	@echo '  LD    $@'
	@$(HOST_CC) $(GRANARY_LDFLAGS) -o $@ $(GRANARY_OBJ)

-include $(GRANARY_OBJ:.o=.d)

# The same with the checks of kernel/checked/checked.c between the heap and the program.
# It has one owner and a lock: its records of blocks have, too.
CHECKED_SRC := $(filter-out tools/libgranary/owners_check.c tools/libgranary/thread.c,$(GRANARY_SRC)) tools/libgranary/checked_port.c
CHECKED_OBJ := $(CHECKED_SRC:%.c=$(GRANARY_DIR)/checked/%.o)
$(CHECKED_OBJ): $(GRANARY_DIR)/checked/%.o: %.c tools/mk/libgranary.mk $(HOST_STAMP) | $(BUILD)/gen/boot_const.h $(TO_BUILD_FOR_HOST)
	@mkdir -p $(@D)
	@$(HOST_CC) $(GRANARY_CFLAGS) -DHEAP_CHECKED -MMD -MP -c $< -o $@

$(BUILD)/host/libgranary-checked.so: $(CHECKED_OBJ)
	@echo '  LD    $@'
	@$(HOST_CC) $(GRANARY_LDFLAGS) -o $@ $(CHECKED_OBJ)

-include $(CHECKED_OBJ:.o=.d)

# All of it under ThreadSanitizer, with a test's threads on it (tests/host/race_heap.c), which `make host-test` runs.
# malloc() and its kin have other names there: the sanitizer needs those of C for itself. HOME_FRAMES is small there and in
# race_fork, so that arenas are watched a part of the time.
RACE_NAMES := malloc calloc realloc free reallocarray malloc_usable_size posix_memalign aligned_alloc memalign valloc \
              pvalloc malloc_trim __register_atfork
RACE_CFLAGS := -std=gnu11 -D_GNU_SOURCE -O1 -g -fno-omit-frame-pointer -fsanitize=thread -fno-strict-aliasing \
               -Wall -Wextra -Werror -Wno-unused-parameter -I. -I$(BUILD)/gen $(GRANARY_PORT) \
               $(foreach name,$(RACE_NAMES),-D$(name)=granary_$(name))
RACE_PROGRAMS := $(BUILD)/host/race_heap $(BUILD)/host/race_checked

RACE_DEPENDS := tests/host/race_heap.c $(wildcard kernel/*.[ch] kernel/*/*.[ch] lib/*.[ch] tools/libgranary/*.[ch]) tools/mk/libgranary.mk

$(BUILD)/host/race_heap: RACE_SRC := $(GRANARY_SRC)
$(BUILD)/host/race_checked: RACE_SRC := $(CHECKED_SRC) -DHEAP_CHECKED
$(RACE_PROGRAMS): $(RACE_DEPENDS) $(HOST_STAMP) | $(BUILD)/gen/boot_const.h $(TO_BUILD_FOR_HOST)+libcmocka-dev
	@mkdir -p $(@D)
	@$(HOST_CC) $(RACE_CFLAGS) -DHOME_FRAMES=64u tests/host/race_heap.c $(RACE_SRC) -lcmocka -lpthread -o $@

# The same without the sanitizer, and quick. `make coverage` sets RACE_COVERAGE.
OWNERS_TESTS := $(addprefix $(BUILD)/host/,race_owners race_pages race_paths race_fork race_steps)
$(OWNERS_TESTS): $(BUILD)/host/%: tests/host/%.c tests/host/owners_host.h tests/host/steps_host.h $(RACE_DEPENDS) $(HOST_STAMP) | $(BUILD)/gen/boot_const.h $(TO_BUILD_FOR_HOST)+libcmocka-dev
	@mkdir -p $(@D)
	@$(HOST_CC) $(filter-out -fsanitize=thread -O1,$(RACE_CFLAGS)) -O2 $(RACE_COVERAGE) $< $(GRANARY_SRC) -lcmocka -lpthread -o $@

$(BUILD)/host/race_fork $(BUILD)/host/race_steps: RACE_CFLAGS += -DHOME_FRAMES=16u

# And with it: for `make soak-owners`, as it takes longer.
$(BUILD)/host/race_owners_tsan: tests/host/race_owners.c tests/host/owners_host.h $(RACE_DEPENDS) $(HOST_STAMP) | $(BUILD)/gen/boot_const.h $(TO_BUILD_FOR_HOST)+libcmocka-dev
	@mkdir -p $(@D)
	@$(HOST_CC) $(RACE_CFLAGS) $< $(GRANARY_SRC) -lcmocka -lpthread -o $@

RACE_TESTS := $(RACE_PROGRAMS) $(OWNERS_TESTS)
host-test: $(RACE_TESTS)

.PHONY: libgranary libgranary32
libgranary: $(BUILD)/host/libgranary.so $(BUILD)/host/libgranary-checked.so
libgranary32: | have-i686-linux-gnu-gcc+libc6-dev-i386-cross
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/32 HOST_CC='$(HOST_CC32)' libgranary
e2e-test: libgranary

# ---- the recorder --------------------------------------------------------------------------------

# The recorder of allocations, and the traces that the project carries (docs/traces.md).

RECORDER := $(BUILD)/host/mtrace-record.so
RECORDER32 := $(BUILD)/host/mtrace-record32.so
# For programs of 32 bits. Debian's package of its C library is libc6-dev-i386-cross; gcc -m32 does where gcc-multilib is.
HOST_CC32 ?= i686-linux-gnu-gcc
# -fno-builtin: what is called malloc here is not what the compiler thinks it knows. -z now: no call is resolved late,
# inside malloc.
RECORDER_CFLAGS := -std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -O2 -g -fPIC -fvisibility=hidden -fno-builtin \
                   -Wall -Wextra -Werror
RECORDER_LDFLAGS := -shared -pthread -Wl,-z,now -Wl,-z,relro -Wl,-z,noexecstack -Wl,--no-undefined

$(RECORDER): RECORDER_CC = $(HOST_CC)
$(RECORDER32): RECORDER_CC = $(HOST_CC32)
$(RECORDER): | $(TO_BUILD_FOR_HOST)
$(RECORDER32): | have-i686-linux-gnu-gcc+libc6-dev-i386-cross
$(RECORDER) $(RECORDER32): tools/trace/record.c tools/mk/libgranary.mk $(HOST_STAMP)
	@mkdir -p $(@D)
	@echo '  LD    $@'
	@$(RECORDER_CC) $(RECORDER_CFLAGS) $< $(RECORDER_LDFLAGS) -o $@

.PHONY: recorder recorder32 traces-self
recorder: $(RECORDER)
recorder32: $(RECORDER32)
traces-self: $(RECORDER)
	@PYTHON=$(PYTHON) RECORDER=$(RECORDER) sh tools/trace/own.sh tests/traces
