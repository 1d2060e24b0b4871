# Programs for ring 3: each user/NAME.c is one, with the library of user/lib. They and the files of user/files are the
# archive on the image.

USER_NAMES := $(patsubst user/%.c,%,$(sort $(wildcard user/*.c)))
USER_PROGRAMS := $(USER_NAMES:%=$(BUILD)/user/%)
USER_FILES := $(sort $(wildcard user/files/*))
USER_LIB_OBJ := $(addprefix $(BUILD)/obj/user/,user/lib/crt0.asm.o user/lib/user.o lib/format.o lib/string.o lib/divide.o)
# With SSE left to those who ask for it; a program's stack is aligned as the ABI has it.
USER_CFLAGS := $(filter-out -mpreferred-stack-boundary=2 -mstack-alignment=4 -mgeneral-regs-only,$(KERNEL_CFLAGS))
# Text, constants and data on pages of their own, and nothing but them.
USER_LINK := $(LD) -m elf_i386 -nostdlib -static -z noexecstack -z max-page-size=4096 -T user/lib/user.ld

$(BUILD)/obj/user/%.o: %.c $(FLAGS_STAMP) | $(BUILD)/gen/boot_const.h $(TO_BUILD)
	@mkdir -p $(@D)
	@echo '  CC    $< (ring 3)'
	@$(CC) $(USER_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/obj/user/%.asm.o: %.asm $(FLAGS_STAMP) | $(TO_BUILD)
	@mkdir -p $(@D)
	@echo '  NASM  $<'
	@$(NASM_ELF) $< -o $@

$(BUILD)/user/%.elf: $(BUILD)/obj/user/user/%.o $(USER_LIB_OBJ) user/lib/user.ld
	@mkdir -p $(@D)
	@echo '  LD    $@'
	@$(USER_LINK) $(USER_LIB_OBJ) $< -o $@

# Without symbols: that is what is on the image.
$(BUILD)/user/%: $(BUILD)/user/%.elf
	@$(OBJCOPY) --strip-all $< $@

.SECONDARY: $(USER_PROGRAMS:%=%.elf) $(USER_NAMES:%=$(BUILD)/obj/user/user/%.o) $(USER_LIB_OBJ)

-include $(patsubst %.o,%.d,$(filter-out %.asm.o,$(USER_LIB_OBJ)) $(USER_NAMES:%=$(BUILD)/obj/user/user/%.o))
