# Altered images, odd memory maps, wrong command lines: what comes of each (tools/bootfuzz.py).

BOOTFUZZ_SEED ?= 1
BOOTFUZZ_SAMPLE ?=

#: make boot-fuzz      thousands of altered images in QEMU: a message or the demonstration; BOOTFUZZ_SAMPLE=60
.PHONY: boot-fuzz
boot-fuzz: $(BUILD)/hd.img
	@$(PYTHON) tools/bootfuzz.py --image $(BUILD)/hd.img --progress --seed $(call quoted,$(BOOTFUZZ_SEED)) \
	    $(if $(BOOTFUZZ_SAMPLE),--sample $(call quoted,$(BOOTFUZZ_SAMPLE)))
