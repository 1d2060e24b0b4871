#: make formal         Frama-C: contracts of the bitmap and the heap's arithmetic, proved (setup.sh --proof)
#: make formal-planted the same on a copy with an off by one in it: must fail
.PHONY: formal formal-planted
formal: $(BUILD)/gen/boot_const.h
	@$(PYTHON) tools/formal.py --build $(BUILD)/formal --gen $(BUILD)/gen
formal-planted: $(BUILD)/gen/boot_const.h
	@$(PYTHON) tools/formal.py --build $(BUILD)/formal --gen $(BUILD)/gen --planted
