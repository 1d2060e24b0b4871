# Granary's build. `make help` prints the targets and the variables; README.md has the same tables.

.DEFAULT_GOAL := all
MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:

# What a user's environment tells other people's compilers, assemblers, shells and interpreters is not meant for ours:
# headers of the host in a kernel, an assembler's options, a Python that stays after its program's end.
export LC_ALL := C.UTF-8
unexport CPATH C_INCLUDE_PATH CPLUS_INCLUDE_PATH LIBRARY_PATH COMPILER_PATH GCC_EXEC_PREFIX DEPENDENCIES_OUTPUT \
         SUNPRO_DEPENDENCIES LDEMULATION GNUTARGET LD_RUN_PATH NASMENV CDPATH BASH_ENV ENV POSIXLY_CORRECT GREP_OPTIONS \
         LANGUAGE $(filter-out PYTHON,$(filter PYTHON%,$(.VARIABLES)))

include tools/mk/toolchain.mk
include tools/mk/kernel.mk
include tools/mk/user.mk
include tools/mk/ports.mk
include tools/mk/run.mk
include tools/mk/web.mk
include tools/mk/host.mk
include tools/mk/libgranary.mk
include tools/mk/test.mk
include tools/mk/fuzz.mk
include tools/mk/proof.mk
include tools/mk/bench.mk
include tools/mk/docs.mk

.PHONY: all clean help compile_commands.json
all: $(BUILD)/hd.img $(BUILD)/kernel.sym $(BUILD)/replica

clean:
	rm -rf build $(BUILD)

help:
	@awk -f tools/mk/help.awk README.md

# The kernel's commands come first: its files are compiled for the host's tests, too.
compile_commands.json:
	@{ $(MAKE) --no-print-directory -Bn all && $(MAKE) --no-print-directory -Bn host-test libgranary bench-programs \
	    $(FUZZ_NAMES:%=$(FUZZ_DIR)/fuzz_%) $(RECORDER) $(PICTURES_SAMPLE) $(SOAK_HOST) $(BUILD)/host/attack; \
	    } > $(BUILD)/gen/commands && $(PYTHON) tools/compdb.py --out $@ < $(BUILD)/gen/commands
