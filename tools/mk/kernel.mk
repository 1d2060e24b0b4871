# The kernel, the boot code, the image.

KERNEL_C := $(sort $(wildcard lib/*.c kernel/*.c kernel/*/*.c device/*.c thread/*.c processor/*.c process/*.c tests/kernel/*.c))
# CHECK=1: the checked build (kernel/checked/checked.c). Its files are in no other, and memory.c's calls get other names.
CHECKED_C := kernel/checked/checked.c kernel/checked/checked_port.c tests/kernel/test_checked.c
# These hold the fast build's layout against its numbers: which address comes next, how many frames a size takes.
FAST_TESTS_C := $(addprefix tests/kernel/test_,size_tables.c heap.c heap_limits.c heap_misuse.c preempt.c)
ifeq ($(CHECK),1)
  KERNEL_C := $(filter-out $(FAST_TESTS_C),$(KERNEL_C))
  KERNEL_CFLAGS += -DHEAP_CHECKED
  HEAP_CFLAGS += -include kernel/checked/checked_names.h
else
  KERNEL_C := $(filter-out $(CHECKED_C),$(KERNEL_C))
endif
KERNEL_ASM := $(sort $(wildcard kernel/*.asm thread/*.asm processor/*.asm process/*.asm))
KERNEL_OBJ := $(KERNEL_C:%.c=$(BUILD)/obj/%.o) $(KERNEL_ASM:%.asm=$(BUILD)/obj/%.asm.o)

NASM_ELF := $(NASM) -f elf32 -g -F dwarf -Iboot/ $(NASM_WARNINGS)
NASM_BIN := $(NASM) -f bin -Iboot/ $(NASM_WARNINGS)
LINK := $(LD) -m elf_i386 -nostdlib -z noexecstack -z max-page-size=4096 -T kernel/kernel.ld

FLAGS_STAMP := $(BUILD)/gen/flags
$(call stamp,$(FLAGS_STAMP),$(CC) $(KERNEL_CFLAGS) : $(HEAP_CFLAGS) : $(NASM_ELF) : $(NASM_BIN) : $(LINK))

$(BUILD)/gen/boot_const.h: boot/boot.inc
	@mkdir -p $(@D)
	@{ echo '// Made from boot/boot.inc; change that file.'; echo '#pragma once'; \
	   sed -n 's/^\([A-Z][A-Z0-9_]*\) *equ *\(0x[0-9a-f]*\|[0-9][0-9]*\).*/#define \1 \2u/p' boot/boot.inc; } > $@

$(BUILD)/obj/%.o: %.c $(FLAGS_STAMP) | $(BUILD)/gen/boot_const.h $(TO_BUILD)
	@mkdir -p $(@D)
	@echo '  CC    $<'
	@$(CC) $(KERNEL_CFLAGS) -MMD -MP -c $< -o $@

$(addprefix $(BUILD)/obj/kernel/,memory.o pool.o local.o): KERNEL_CFLAGS += $(HEAP_CFLAGS)

$(BUILD)/obj/%.asm.o: %.asm boot/boot.inc $(FLAGS_STAMP) | $(TO_BUILD)
	@mkdir -p $(@D)
	@echo '  NASM  $<'
	@$(NASM_ELF) -MD $(@:.o=.d) $< -o $@

# Three links, as the names of functions and data are part of the kernel (kernel/symbol.h): the first says which names
# there are, the second puts everything into its place, the third has the right addresses. tools/symtab.py --check sees
# that nothing has moved between the last two.
LINK_KERNEL = $(LINK) -Map $(BUILD)/kernel.map $(KERNEL_OBJ)
COMPILE_NAMES = $(CC) $(KERNEL_CFLAGS) -c $(BUILD)/gen/symtab.c -o $(BUILD)/gen/symtab.o
$(BUILD)/kernel.elf: $(KERNEL_OBJ) kernel/kernel.ld tools/symtab.py $(FLAGS_STAMP)
	@echo '  LD    $@'
	@$(PYTHON) tools/symtab.py </dev/null > $(BUILD)/gen/symtab.c
	@$(COMPILE_NAMES) && $(LINK_KERNEL) $(BUILD)/gen/symtab.o -o $(BUILD)/kernel.pass.elf
	@$(NM) -nS $(BUILD)/kernel.pass.elf | $(PYTHON) tools/symtab.py > $(BUILD)/gen/symtab.c
	@$(COMPILE_NAMES) && $(LINK_KERNEL) $(BUILD)/gen/symtab.o -o $(BUILD)/kernel.pass.elf
	@$(NM) -nS $(BUILD)/kernel.pass.elf | $(PYTHON) tools/symtab.py > $(BUILD)/gen/symtab.c
	@$(COMPILE_NAMES) && $(LINK_KERNEL) $(BUILD)/gen/symtab.o -o $@
	@$(NM) -nS $@ | $(PYTHON) tools/symtab.py --check $(BUILD)/gen/symtab.c

# Bochs's symbol file: the kernel's functions, and the lines of the heap.
$(BUILD)/kernel.sym: $(BUILD)/kernel.elf tools/linesym.py
	@$(NM) -n $< | $(PYTHON) tools/linesym.py --objdump $(OBJCOPY:%objcopy=%objdump) $< > $@

# A program of this machine, for GDB's heap commands: the kernel's code on a copy of a stopped machine's memory.
# It lies far from where the kernel does.
$(BUILD)/replica: tools/gdb/replica.c $(BUILD)/obj/lib/string.o $(FLAGS_STAMP) | $(TO_BUILD)
	@mkdir -p $(BUILD)/obj
	@echo '  CC    $<'
	@$(CC) $(KERNEL_CFLAGS) -c $< -o $(BUILD)/obj/replica.o
	@$(LD) -m elf_i386 -nostdlib -z noexecstack -Ttext-segment=0x10000000 -o $@ $(BUILD)/obj/replica.o $(BUILD)/obj/lib/string.o

$(BUILD)/kernel.stripped.elf: $(BUILD)/kernel.elf
	@$(OBJCOPY) --strip-all $< $@

$(BUILD)/boot/%.bin: boot/%.asm $(wildcard boot/*.inc) $(FLAGS_STAMP) | $(TO_BUILD)
	@mkdir -p $(@D)
	@echo '  NASM  $<'
	@$(NASM_BIN) $< -o $@

# ARGS is part of the image: a change of ARGS makes a new one.
ARGS ?=
ARGS_WORD := $(call quoted,$(ARGS))
$(shell mkdir -p $(BUILD)/gen; printf '%s' $(ARGS_WORD) | cmp -s - $(BUILD)/gen/args 2>/dev/null || \
        printf '%s' $(ARGS_WORD) > $(BUILD)/gen/args)
.SECONDEXPANSION:
$(BUILD)/hd.img: $(BUILD)/boot/mbr.bin $(BUILD)/boot/loader.bin $(BUILD)/kernel.stripped.elf $(BUILD)/gen/args tools/mkimage.py \
                 $$(USER_PROGRAMS) $$(USER_FILES)
	@echo '  IMAGE $@'
	@$(PYTHON) tools/mkimage.py --mbr $(BUILD)/boot/mbr.bin --loader $(BUILD)/boot/loader.bin \
	    --kernel $(BUILD)/kernel.stripped.elf --cmdline-file $(BUILD)/gen/args --out $@ \
	    --files $(USER_PROGRAMS) $(USER_FILES)

-include $(KERNEL_OBJ:.o=.d)
