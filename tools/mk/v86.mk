# v86: an emulator in WebAssembly, the one that runs in a browser's page. npm puts it into the build folder.

V86_DIR := $(BUILD)/v86
V86_MODULES := $(V86_DIR)/node_modules

$(V86_MODULES)/v86/package.json: tools/v86/package.json tools/v86/package-lock.json
	@command -v npm >/dev/null || { echo 'v86: npm is missing: sh tools/setup.sh installs it' >&2; exit 1; }
	@mkdir -p $(V86_DIR)
	@cp tools/v86/package.json tools/v86/package-lock.json $(V86_DIR)/
	@npm ci --prefix $(V86_DIR) --no-audit --no-fund --silent
	@touch $@

#: make v86            the same image in v86 (Node, no browser): the demonstration
.PHONY: v86
v86: $(BUILD)/hd.img $(V86_MODULES)/v86/package.json
	@$(PYTHON) tools/mkimage.py --set-cmdline $(call quoted,$(strip $(ARGS) batch)) $(BUILD)/hd.img --out $(V86_DIR)/hd.img
	@node tools/v86/run.mjs --image $(V86_DIR)/hd.img --modules $(V86_MODULES) --mem $(call quoted,$(MEM))
