# Programs that are not ours, unmodified, on a C library that is not ours: newlib, Lua and tcc from Debian's source
# packages (tools/setup.sh --only libc), and what joins newlib to the kernel (user/newlib). `make` needs none of it.
#
#   build/ports/newlib/i686-elf   newlib's headers and libraries, as built
#   build/ports/root              what the image gets, in its folders; tcc runs there on the host as it does in Granary

PORTS := $(BUILD)/ports
ROOT := $(PORTS)/root
NEWLIB := $(PORTS)/newlib/i686-elf
SOURCES := $(or $(GRANARY_SOURCES),/usr/src/granary)
NEWLIB_SOURCES := $(wildcard /usr/src/newlib/newlib-*.tar.*)
LUA_SOURCES := $(wildcard $(SOURCES)/lua5.4_*.orig.tar.*)
TCC_SOURCES := $(wildcard $(SOURCES)/tcc_*.orig.tar.*)

# The compiler for Linux must not take Granary for it, nor find its headers.
PORT_CC := $(CROSS)gcc
PORT_CFLAGS = -m32 -march=i586 -mtune=i686 -O2 -ffreestanding -fno-pie -fno-pic -fno-stack-protector \
    -fno-asynchronous-unwind-tables -fno-strict-aliasing -fcommon -w -nostdinc \
    -isystem $(shell $(PORT_CC) -print-file-name=include) -U__linux__ -U__linux -Ulinux -U__gnu_linux__ -U__unix__ -U__unix -Uunix
PORT_INCLUDES = -isystem user/newlib/include -isystem $(NEWLIB)/include
PORT_LINK = $(LD) -m elf_i386 -static -z noexecstack -z norelro -z max-page-size=4096 --build-id=none -L$(ROOT)/lib

.PHONY: programs run-programs
programs: $(BUILD)/programs.img

# ---- the C library -------------------------------------------------------------------------------

# What comes from the table of setup.sh is asked for first: one line names what is missing.
HAVE_PORTS := have-newlib-source+lua_source+tcc_source+xz+bzip2

$(PORTS)/%/.unpacked: tools/ports/unpack.sh | $(HAVE_PORTS)
	@mkdir -p $(PORTS)
	@sh tools/ports/unpack.sh $($*_ARCHIVES) $(PORTS)/$*
	@touch $@

newlib-source_ARCHIVES = $(NEWLIB_SOURCES)
lua_ARCHIVES = $(LUA_SOURCES)
tcc_ARCHIVES = $(TCC_SOURCES)

$(PORTS)/newlib/.built: tools/ports/newlib.sh $(PORTS)/newlib-source/.unpacked | $(TO_BUILD)
	@echo '  NEWLIB (a minute)'
	@CC=$(PORT_CC) CFLAGS='$(PORT_CFLAGS)' TOOLS=$(CROSS) sh tools/ports/newlib.sh $(PORTS)/newlib-source $(PORTS)/newlib
	@touch $@

# Our part of it goes into libc.a. The divisions of 64 bits are weak there: tcc brings its own.
PORT_OWN := $(patsubst user/newlib/%.c,$(PORTS)/own/%.o,$(filter-out %/crt1.c,$(wildcard user/newlib/*.c)))
$(PORTS)/own/%.o: user/newlib/%.c $(wildcard user/newlib/*.h user/newlib/include/*.h user/newlib/include/*/*.h) \
                  process/syscall_table.h $(PORTS)/newlib/.built
	@mkdir -p $(@D)
	@echo '  CC    $< (newlib)'
	@$(PORT_CC) $(PORT_CFLAGS) -Wall -Wextra -Wno-unused-parameter -Werror $(PORT_INCLUDES) -I. -c $< -o $@

$(ROOT)/lib/libc.a: $(PORT_OWN) $(wildcard user/newlib/tcc/*.h user/newlib/tcc/*/*.h) $(PORTS)/own/crt1.o $(BUILD)/obj/user/lib/divide.o
	@mkdir -p $(@D)
	@rm -rf $(ROOT)/include && cp -r $(NEWLIB)/include $(ROOT)/ && cp -r user/newlib/include/. $(ROOT)/include/
	@cp -r user/newlib/tcc $(ROOT)/include/
	@cp $(NEWLIB)/lib/libm.a $(NEWLIB)/lib/libc.a $(PORTS)/own/crt1.o $(@D)/
	@$(OBJCOPY) --weaken --strip-debug $(BUILD)/obj/user/lib/divide.o $(PORTS)/own/weak_divide.o
	@$(CROSS)ar rD $@ $(PORT_OWN) $(PORTS)/own/weak_divide.o
	@for name in crti crtn; do \
	    echo | $(CROSS)as --32 -o $(@D)/$$name.o - || exit; done
	@echo '  AR    $@'

# ---- Lua -----------------------------------------------------------------------------------------

# Upstream's source has what Debian's header would add.
$(PORTS)/lua.elf: $(PORTS)/lua/.unpacked $(ROOT)/lib/libc.a
	@echo '  LUA   $@'
	@rm -rf $(PORTS)/lua-objects && mkdir -p $(PORTS)/lua-objects
	@for file in $(PORTS)/lua/src/*.c; do case $$file in */luac.c) continue ;; esac; \
	    $(PORT_CC) $(PORT_CFLAGS) $(PORT_INCLUDES) -DLUA_COMPAT_5_3 -c $$file \
	        -o $(PORTS)/lua-objects/$$(basename $$file .c).o || exit; done
	@$(PORT_LINK) $(ROOT)/lib/crt1.o $(PORTS)/lua-objects/*.o -lm -lc -o $@

$(ROOT)/%: $(PORTS)/%.elf
	@$(OBJCOPY) --strip-all $< $@

# ---- tcc -----------------------------------------------------------------------------------------

# The compiler's own settings, as its configure would write them: paths relative to the root, so that host and Granary
# have the same.
$(ROOT)/src/tcc/config.h: $(PORTS)/tcc/.unpacked tools/mk/ports.mk
	@rm -rf $(@D) && mkdir -p $(@D)
	@cp $(PORTS)/tcc/*.c $(PORTS)/tcc/*.h $(PORTS)/tcc/*.def $(@D)/
	@rm -f $(@D)/conftest.c $(@D)/arm* $(@D)/c67* $(@D)/il-* $(@D)/riscv* $(@D)/x86_64-* $(@D)/tccpe.c $(@D)/tccmacho.c \
	    $(@D)/tcccoff.c $(@D)/coff.h
	@{ echo '#undef __linux__ /* what it compiles for is not what it may run on */'; \
	   echo '#define TCC_VERSION "$(shell cat $(PORTS)/tcc/VERSION 2>/dev/null)"'; \
	   echo '#define TCC_TARGET_I386'; \
	   echo '#define CONFIG_TCC_STATIC'; \
	   echo '#define CONFIG_TCCBOOT'; \
	   echo '#define CONFIG_TCCDIR "lib/tcc"'; \
	   echo '#define CONFIG_TCC_SYSINCLUDEPATHS "include/tcc:{B}/include:include"'; \
	   echo '#define CONFIG_TCC_LIBPATHS "lib"'; \
	   echo '#define CONFIG_TCC_CRTPREFIX "lib"'; } > $@

# The same compiler for three machines: the host, Granary by the cross compiler, Granary by itself.
$(PORTS)/host-tcc: $(ROOT)/src/tcc/config.h | $(TO_BUILD_FOR_HOST)
	@echo '  TCC   $@'
	@gcc -O1 -w -o $@ $(ROOT)/src/tcc/tcc.c

$(PORTS)/tcc.elf: $(ROOT)/src/tcc/config.h $(ROOT)/lib/libc.a
	@echo '  TCC   $@'
	@$(PORT_CC) $(PORT_CFLAGS) $(PORT_INCLUDES) -c $(ROOT)/src/tcc/tcc.c -o $(PORTS)/tcc.o
	@$(PORT_LINK) $(ROOT)/lib/crt1.o $(PORTS)/tcc.o -lm -lc -o $@

$(ROOT)/lib/tcc/libtcc1.a: $(PORTS)/host-tcc
	@mkdir -p $(@D)/include
	@cp $(PORTS)/tcc/include/*.h $(@D)/include/
	@cd $(ROOT) && for file in libtcc1.c alloca86.S alloca86-bt.S; do \
	    ../host-tcc -c ../tcc/lib/$$file -o ../$${file%.*}.o || exit; done
	@$(PORTS)/host-tcc -ar rcs $@ $(PORTS)/libtcc1.o $(PORTS)/alloca86.o $(PORTS)/alloca86-bt.o

# What the compiler makes of its own source, on this machine: what Granary must come to as well.
$(ROOT)/tcc.host: $(PORTS)/host-tcc $(ROOT)/lib/tcc/libtcc1.a $(ROOT)/lib/libc.a
	@echo '  TCC   $@'
	@cd $(ROOT) && ../host-tcc -static -o tcc.host src/tcc/tcc.c -lm

# ---- the image -----------------------------------------------------------------------------------

PORT_FILES := $(sort $(wildcard user/lua/*.lua user/tcc/*.c))
$(BUILD)/programs.img: $(BUILD)/hd.img $(ROOT)/lua $(ROOT)/tcc $(ROOT)/tcc.host $(PORT_FILES)
	@cp $(PORT_FILES) $(ROOT)/
	@echo '  IMAGE $@'
	@$(PYTHON) tools/mkimage.py --mbr $(BUILD)/boot/mbr.bin --loader $(BUILD)/boot/loader.bin \
	    --kernel $(BUILD)/kernel.stripped.elf --cmdline-file $(BUILD)/gen/args --out $@ \
	    --files $(USER_PROGRAMS) $(USER_FILES) --tree $(ROOT)

# A compiler wants more than the 4 MiB that a program has by default, and a machine that has them: the user's MEM, or 128.
PROGRAMS_MEM = $(if $(filter-out file undefined default,$(origin MEM)),$(MEM),128)
run-programs: $(BUILD)/programs.img
	@$(PYTHON) tools/run.py --auto --image $(BUILD)/programs.img --accel $(call quoted,$(ACCEL)) $(WINDOW) \
	    --mem $(call quoted,$(PROGRAMS_MEM)) --args=$(call quoted,frames=16384 $(ARGS))

# ---- beside glibc --------------------------------------------------------------------------------

GLIBC_CC := i686-linux-gnu-gcc -O2 -march=i586 -mtune=i686 -w -static \
    -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free
$(PORTS)/glibc/lua: $(PORTS)/lua.elf tools/ports/footprint.c | have-i686-linux-gnu-gcc+libc6-dev-i386-cross
	@mkdir -p $(@D)
	@echo '  LUA   $@'
	@$(GLIBC_CC) -Wl,--no-warnings -DLUA_COMPAT_5_3 -o $@ $(filter-out %/luac.c,$(wildcard $(PORTS)/lua/src/*.c)) tools/ports/footprint.c -lm

$(PORTS)/glibc/tcc: $(PORTS)/tcc.elf tools/ports/footprint.c | have-i686-linux-gnu-gcc+libc6-dev-i386-cross
	@mkdir -p $(@D)
	@echo '  TCC   $@'
	@$(GLIBC_CC) -o $@ $(ROOT)/src/tcc/tcc.c tools/ports/footprint.c -lm

.PHONY: footprint selfhost
footprint: $(BUILD)/programs.img $(PORTS)/glibc/lua $(PORTS)/glibc/tcc | have-valgrind
	@$(PYTHON) tools/ports/footprint.py --image $(BUILD)/programs.img --root $(ROOT) --programs $(PORTS)/glibc

# The self-compilation, as docs/processes.md shows it.
selfhost: $(BUILD)/programs.img | have-python3-pexpect
	@$(PYTHON) tools/ports/session.py --image $(BUILD)/programs.img 'run lua queens.lua' 'run tcc -static -o hi hello.c' \
	    'run hi' 'run tcc -static -o tcc1 src/tcc/tcc.c -lm' 'run tcc1 -static -o tcc2 src/tcc/tcc.c -lm' \
	    'run cmp tcc1 tcc2' 'run cmp tcc1 tcc.host' 'run rm hi tcc1 tcc2'
