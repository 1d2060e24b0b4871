#: make formal         Frama-C: contracts of the bitmap, the list, the memory map, the heap's arithmetic (setup.sh --only proof)
.PHONY: formal
formal: $(BUILD)/gen/boot_const.h
	@$(PYTHON) tools/formal.py --build $(BUILD)/formal --gen $(BUILD)/gen
