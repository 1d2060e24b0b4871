# Figures and pictures of the documentation.

.PHONY: screenshot stats
screenshot: $(BUILD)/hd.img
	@mkdir -p docs/img
	@$(PYTHON) tools/screenshot.py --image $(BUILD)/hd.img --out docs/img/demo.png

stats: all
	@$(PYTHON) tools/codestats.py

# ---- pictures ------------------------------------------------------------------------------------

# The pictures of the documentation, from real runs. PICTURES="arena map", PICTURES_OUT=folder, PICTURES_TRACE=perl.
# EVENTS=my.events: those of a run's own records, into build/pictures (docs/events.md).

PICTURES ?=
PICTURES_OUT ?= $(if $(EVENTS),$(BUILD)/pictures,docs/img)
PICTURES_TRACE ?= python
PICTURES_SAMPLE := $(BUILD)/host/pictures/sample
PICTURES_SAMPLE_C := tools/pictures/sample.c kernel/memory.c kernel/pool.c kernel/measure/trace_format.c kernel/size_tables.c lib/list.c

$(PICTURES_SAMPLE): $(PICTURES_SAMPLE_C) $(wildcard kernel/*.h kernel/*/*.h lib/*.h) tools/pictures/sample_port.h tools/mk/docs.mk $(HOST_STAMP) \
    | $(BUILD)/gen/boot_const.h $(TO_BUILD_FOR_HOST)
	@mkdir -p $(@D)
	@$(HOST_CC) -std=gnu11 -O2 -g -Wall -Wextra -Werror -I. -I$(BUILD)/gen \
	    -DGRANARY_PORT='"tools/pictures/sample_port.h"' $(PICTURES_SAMPLE_C) -o $@

.PHONY: pictures
pictures: $(BUILD)/hd.img $(BUILD)/kernel.elf $(PICTURES_SAMPLE)
	@$(PYTHON) tools/pictures/pictures.py --build $(call quoted,$(BUILD)) --out $(call quoted,$(PICTURES_OUT)) \
	    --trace $(call quoted,$(PICTURES_TRACE)) $(if $(EVENTS),--events $(call quoted,$(EVENTS))) $(PICTURES)
