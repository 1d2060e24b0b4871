# The pictures of the documentation, from real runs. PICTURES="arena map", PICTURES_OUT=folder, PICTURES_TRACE=perl.

PICTURES ?=
PICTURES_OUT ?= docs/img
PICTURES_TRACE ?= python
SAMPLE := $(BUILD)/host/pictures/sample
SAMPLE_C := tools/pictures/sample.c kernel/memory.c kernel/measure/trace_format.c kernel/size_tables.c lib/list.c

$(SAMPLE): $(SAMPLE_C) $(wildcard kernel/*.h kernel/*/*.h lib/*.h) tools/pictures/sample_port.h tools/mk/pictures.mk | $(BUILD)/gen/boot_const.h
	@mkdir -p $(@D)
	@$(HOST_CC) -std=gnu11 -O2 -g -Wall -Wextra -Werror -I. -I$(BUILD)/gen \
	    -DGRANARY_PORT='"tools/pictures/sample_port.h"' $(SAMPLE_C) -o $@

#: make pictures       docs/img: memory, arenas, traces, page tables, drawn from real runs; PICTURES="arena map"
.PHONY: pictures
pictures: $(BUILD)/hd.img $(BUILD)/kernel.elf $(SAMPLE)
	@$(PYTHON) tools/pictures/pictures.py --build $(call quoted,$(BUILD)) --out $(call quoted,$(PICTURES_OUT)) \
	    --trace $(call quoted,$(PICTURES_TRACE)) $(PICTURES)
