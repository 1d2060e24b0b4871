# The checkers of the source text. clang-tidy parses the code as clang does, with the kernel's own flags; the
# ones that only choose instructions are left out.
LINT_FLAGS := $(filter -std=% -D% -I% -W%,$(KERNEL_CFLAGS)) --target=i686-none-elf -ffreestanding
HOST_LINT_FLAGS := -std=gnu11 -D_GNU_SOURCE -I. -I$(BUILD)/gen

#: make lint           for those who change the source: format, analyzers, length of lines, includes
.PHONY: lint
lint: $(BUILD)/gen/boot_const.h
	@LINT_CFLAGS=$(call quoted,$(LINT_FLAGS)) HOST_CFLAGS=$(call quoted,$(HOST_LINT_FLAGS)) \
	    CPPCHECK_FLAGS=$(call quoted,$(filter -D% -I%,$(KERNEL_CFLAGS))) $(PYTHON) tools/lint.py
