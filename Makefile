# Granary's build. `make help` prints the table of targets.
#
# Variables: CROSS=prefix- (compiler), CC=clang (another compiler), OPT=-O0, ARGS="kernel command line", MEM=32.

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
include tools/mk/run.mk
include tools/mk/host.mk
include tools/mk/libgranary.mk
include tools/mk/test.mk
include tools/mk/fuzz.mk
include tools/mk/proof.mk
include tools/mk/bench.mk
include tools/mk/docs.mk

.PHONY: all clean help
all: $(BUILD)/hd.img $(BUILD)/kernel.sym $(BUILD)/replica

clean:
	rm -rf $(BUILD)
