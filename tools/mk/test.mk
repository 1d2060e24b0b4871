# Everything that proves the kernel. Each kind says `N passed, N failed`; tools/testall.py adds them up.

.PHONY: test kernel-test e2e-test
test: all | have-run+bochs+debug+test
	@MAKE=$(call quoted,$(MAKE)) $(PYTHON) tools/testall.py all

kernel-test: $(BUILD)/hd.img
	@$(MAKE) --no-print-directory CHECK=1 BUILD=$(BUILD)/check >/dev/null
	@$(PYTHON) tools/testall.py kernel $(BUILD)/hd.img $(BUILD)/check/hd.img

# -n 2: two at a time where python3-pytest-xdist is there. Tests that call `make` form one group and follow each other.
XDIST = $(shell $(PYTHON) -c 'import xdist' 2>/dev/null && printf '%s' '-n 2 --dist loadgroup')
e2e-test: all | have-run+bochs+debug+test
	@cd tests/e2e && $(PYTHON) -m pytest -q $(XDIST) .

# ---- the source text -----------------------------------------------------------------------------

# The checkers of the source text. clang-tidy parses the code as clang does, with the kernel's own flags; the
# ones that only choose instructions are left out.
LINT_FLAGS := $(filter -std=% -D% -I% -W%,$(KERNEL_CFLAGS)) --target=i686-none-elf -ffreestanding
HOST_LINT_FLAGS := -std=gnu11 -D_GNU_SOURCE -I. -I$(BUILD)/gen

.PHONY: lint
lint: $(BUILD)/gen/boot_const.h
	@LINT_CFLAGS=$(call quoted,$(LINT_FLAGS)) HOST_CFLAGS=$(call quoted,$(HOST_LINT_FLAGS)) \
	    CPPCHECK_FLAGS=$(call quoted,$(filter -D% -I%,$(KERNEL_CFLAGS))) $(PYTHON) tools/lint.py
