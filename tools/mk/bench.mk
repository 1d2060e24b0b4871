# Granary beside other allocators. QUICK=1, TRACES="folder ...", DOCS=1, FROM=figures.json.

BENCH_DIR := $(BUILD)/host/bench
BENCH_PROGRAMS := $(addprefix $(BENCH_DIR)/,replay micro probe launch threads)
# -fno-builtin: the compiler must not see through malloc and free, or leave a pair of them out.
BENCH_CFLAGS := -std=gnu11 -O2 -g -D_GNU_SOURCE -fno-builtin -Wall -Wextra -Werror -I.

$(BENCH_PROGRAMS): $(BENCH_DIR)/%: bench/%.c bench/measure.c bench/measure.h tools/mk/bench.mk $(HOST_STAMP) | $(TO_BUILD_FOR_HOST)+valgrind
	@mkdir -p $(@D)
	@$(HOST_CC) $(BENCH_CFLAGS) $< bench/measure.c -lpthread -o $@

QUICK ?=
TRACES ?=
DOCS ?=
FROM ?=

.PHONY: bench bench-programs
bench-programs: $(BENCH_PROGRAMS)
bench: $(BENCH_PROGRAMS) $(BUILD)/host/libgranary.so $(BUILD)/hd.img
	@$(PYTHON) bench/bench.py --build $(call quoted,$(BUILD)) $(if $(QUICK),--quick) $(if $(DOCS),--docs) \
	    $(foreach folder,$(TRACES),--traces $(call quoted,$(folder))) $(if $(FROM),--from $(call quoted,$(FROM)))

.PHONY: bench-checked
bench-checked: $(BUILD)/hd.img
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/check CHECK=1 >/dev/null
	@$(PYTHON) bench/checks.py $(BUILD)/hd.img $(BUILD)/check/hd.img
