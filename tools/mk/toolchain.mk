# Which compiler, how it is called, and into which folder it builds.

OPT ?= -O2
CHECK ?=
PYTHON ?= /usr/bin/python3

# A value as one word for the shell, whatever quotes it has.
quoted = '$(subst ','\'',$(1))'

# $(call stamp,FILE,TEXT): what depends on FILE is made anew when TEXT, a compiler and its flags, changes.
stamp = $(if $(subst x$(file <$(1)),,x$(strip $(2))),$(shell mkdir -p $(dir $(1)))$(file >$(1),$(strip $(2))))

# have-NAME+NAME, as an order-only prerequisite: what is missing is one line, with the command that brings it. A NAME is
# a list, a command or a package of the table in tools/setup.sh. Tools in Python say the same of what they call.
have-%:
	@CC=$(call quoted,$(CC)) PYTHON=$(call quoted,$(PYTHON)) sh tools/setup.sh --check $(subst +, ,$*)
.PRECIOUS: have-% # or make tells of taking them away
TO_BUILD := have-nasm+compiler_for_32_bits+python_3
TO_BUILD_FOR_HOST := have-gcc+libc6-dev

# CROSS: i686-elf- where there is one, Debian's i686-linux-gnu- else, the host's gcc -m32 as the last resort.
ifeq ($(origin CROSS),undefined)
  ifneq ($(shell command -v i686-elf-gcc 2>/dev/null),)
    CROSS := i686-elf-
  else ifneq ($(shell command -v i686-linux-gnu-gcc 2>/dev/null),)
    CROSS := i686-linux-gnu-
  else
    CROSS :=
  endif
endif

# Only a CC of the command line is meant for the kernel: that of the environment is the host's.
DEFAULT_CC := $(CROSS)gcc
ifneq ($(origin CC),command line)
  CC := $(DEFAULT_CC)
endif

# Each choice of CHECK, CC, CROSS and OPT has a folder of its own below build/, so changing back costs nothing.
# CHECK=1: build/check; CC=clang OPT=-O0: build/clang-O0. BUILD=folder is taken as it is.
ifneq ($(filter-out 0 1,$(CHECK)),)
  $(error CHECK=$(CHECK): 1 is the checked build, nothing or 0 the fast one)
endif
VARIANT := $(if $(filter 1,$(CHECK)),check) $(filter-out $(DEFAULT_CC),$(notdir $(CC))) \
           $(if $(filter command environment,$(firstword $(origin CROSS))),cross-$(or $(CROSS:%-=%),none)) \
           $(patsubst -%,%,$(filter-out -O2,$(OPT)))
EMPTY :=
BUILD := build$(addprefix /,$(subst $(EMPTY) $(EMPTY),-,$(strip $(VARIANT))))
LD := $(CROSS)ld
NM := $(CROSS)nm
OBJCOPY := $(CROSS)objcopy
NASM ?= nasm
# Every warning but one kind. NASM 2.16.03 knows the reloc-* warnings and its `all` has them on: they tell of each address
# that only the section's place makes known. That place is an org below 64 KiB in the boot code and the linker's choice in
# the kernel, so every use of a label would warn. An older NASM does not know their names, hence -w-unknown-warning first.
NASM_WARNINGS := -w+all -w-unknown-warning -w-reloc-abs-word -w-reloc-abs-dword -w-reloc-rel-word -w-reloc-rel-dword -Werror

COMPILER := $(if $(findstring clang,$(notdir $(CC))),clang,gcc)
# A Pentium is what is promised: no cmov. Tuned for its successors: with gcc's own tuning for i586 a pair takes two
# instructions more; like this it takes as many as with -march=i686.
TARGET_FLAGS := -m32 -march=i586 -mtune=i686
ifeq ($(COMPILER),clang)
  TARGET_FLAGS := --target=i686-none-elf -march=i586 -mtune=i686
endif

# i686-elf's uint32_t is unsigned long, every other target's unsigned int: one type for all, or "%u" is right for some only.
ifeq ($(COMPILER),gcc)
  TARGET_FLAGS += -U__UINT32_TYPE__ -D__UINT32_TYPE__=unsigned -U__INT32_TYPE__ -D__INT32_TYPE__=int
endif

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wpointer-arith \
            -Wcast-qual -Wwrite-strings -Wvla -Wformat=2 -Wswitch-enum -Wdouble-promotion -Wno-unused-parameter
KERNEL_CFLAGS := -std=gnu11 $(TARGET_FLAGS) $(OPT) -g -ffreestanding -fno-pie -fno-pic -fno-stack-protector \
            -fno-asynchronous-unwind-tables -fno-omit-frame-pointer -fno-optimize-sibling-calls -mgeneral-regs-only -fno-strict-aliasing -fno-common \
            -fno-tree-loop-distribute-patterns $(WARNINGS) -I. -I$(BUILD)/gen
ifeq ($(COMPILER),clang)
  KERNEL_CFLAGS := $(filter-out -fno-tree-loop-distribute-patterns,$(KERNEL_CFLAGS))
endif
# Stacks need 4-byte alignment only: nothing here uses SSE. memory.c, pool.c and local.c, which nearly every instruction
# count of the project is about, go without a frame pointer; ebp stays what it was, so that call traces pass through
# it.
ifeq ($(COMPILER),gcc)
  KERNEL_CFLAGS += -mpreferred-stack-boundary=2
  HEAP_CFLAGS := -fomit-frame-pointer -foptimize-sibling-calls -ffixed-ebp -mtune=core2
else
  KERNEL_CFLAGS += -mstack-alignment=4
  HEAP_CFLAGS := -fomit-frame-pointer -foptimize-sibling-calls
endif
