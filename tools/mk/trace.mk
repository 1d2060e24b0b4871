# The recorder of allocations, and the traces that the project carries (docs/traces.md).

RECORDER := $(BUILD)/host/mtrace-record.so
RECORDER32 := $(BUILD)/host/mtrace-record32.so
# For programs of 32 bits. Debian's package of its C library is libc6-dev-i386-cross; gcc -m32 does where gcc-multilib is.
HOST_CC32 ?= i686-linux-gnu-gcc
libc32 = @echo '\#include <stdlib.h>' | $(HOST_CC32) -E - >/dev/null 2>&1 || \
         { echo '$@: $(HOST_CC32) has no C library: sh tools/setup.sh --only test installs it' >&2; exit 2; }
# -fno-builtin: what is called malloc here is not what the compiler thinks it knows. -z now: no call is resolved late,
# inside malloc.
RECORDER_CFLAGS := -std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -O2 -g -fPIC -fvisibility=hidden -fno-builtin \
                   -Wall -Wextra -Werror
RECORDER_LDFLAGS := -shared -pthread -Wl,-z,now -Wl,-z,relro -Wl,-z,noexecstack -Wl,--no-undefined

$(RECORDER): RECORDER_CC = $(HOST_CC)
$(RECORDER32): RECORDER_CC = $(HOST_CC32)
$(RECORDER) $(RECORDER32): tools/trace/record.c tools/mk/trace.mk
	$(if $(findstring 32,$@),$(libc32))
	@mkdir -p $(@D)
	@echo '  LD    $@'
	@$(RECORDER_CC) $(RECORDER_CFLAGS) $< $(RECORDER_LDFLAGS) -o $@

#: make recorder       build/host/mtrace-record.so: records what a program allocates (docs/traces.md)
#: make recorder32     the same for programs of 32 bits
#: make traces-self    tests/traces, recorded anew from programs of this machine
.PHONY: recorder recorder32 traces-self
recorder: $(RECORDER)
recorder32: $(RECORDER32)
traces-self: $(RECORDER)
	@PYTHON=$(PYTHON) RECORDER=$(RECORDER) sh tools/trace/own.sh tests/traces
