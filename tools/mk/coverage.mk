# What the host tests reach, by clang's own instrumentation. Not part of `make test`: it needs clang-19 (MC/DC).

COVERAGE_DIR := $(BUILD)/coverage
COVERAGE_CC ?= clang-19
COVERAGE_FLAGS := -Wno-format-security -fprofile-instr-generate -fcoverage-mapping -fcoverage-mcdc -fno-omit-frame-pointer

#: make coverage       lines, branches and MC/DC that the host tests reach in the heap (needs setup.sh --proof)
.PHONY: coverage
coverage:
	@command -v $(COVERAGE_CC) >/dev/null || \
	    { echo 'coverage: $(COVERAGE_CC) is missing: sh tools/setup.sh --proof installs it' >&2; exit 2; }
	@rm -rf $(COVERAGE_DIR)/profiles
	@LLVM_PROFILE_FILE=$(abspath $(COVERAGE_DIR))/profiles/%p.profraw $(MAKE) -s BUILD=$(COVERAGE_DIR) \
	    HOST_CC=$(COVERAGE_CC) SANITIZE='$(COVERAGE_FLAGS)' host-test | tail -1
	@$(PYTHON) tools/coverage.py --build $(COVERAGE_DIR)
