# A recorded run that can be gone through backwards (docs/rewind.md). ARGS and MEM as for `make run`.

REWIND_TIMEOUT ?= 60

#: make rewind         records a run (ARGS="bugs=1"), then GDB at its end: back to who wrote, allocated, freed
.PHONY: rewind
rewind: $(BUILD)/hd.img $(BUILD)/kernel.elf
	@$(PYTHON) tools/rewind/rewind.py --build $(BUILD) --timeout $(call quoted,$(REWIND_TIMEOUT)) $(RUN_OPTIONS)
