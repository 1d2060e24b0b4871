# Guided tours (docs/tours): a text that a debugger follows.

TOUR ?=
WITH ?= gdb

#: make tour           TOUR=first-malloc: a guided tour in GDB; WITH=bochs in Bochs's debugger
#: make tours          every tour in both debuggers, each claim checked; transcripts in build/tours
.PHONY: tour tours
tour: $(BUILD)/hd.img $(BUILD)/kernel.elf $(BUILD)/kernel.sym
	@$(PYTHON) tools/tour/tour.py --build $(BUILD) --with $(call quoted,$(WITH)) $(call quoted,$(TOUR))

tours: $(BUILD)/hd.img $(BUILD)/kernel.elf $(BUILD)/kernel.sym
	@$(PYTHON) tools/tour/tour.py --build $(BUILD) --transcripts $(BUILD)/tours
