# The page that boots the image and shows its heap: docs/web.md. npm's part is in run.mk, beside v86's.

WEB_DIR := $(BUILD)/web
WEB_ASSETS := $(BUILD)/web-assets
WEB_SOURCES := $(wildcard web/*.html web/*.mjs web/src/*)
ONE ?=

$(WEB_ASSETS)/map.json: $(BUILD)/kernel.elf $(BUILD)/hd.img web/map.py tools/tour/layout.py \
    tools/tour/tourfile.py tools/symtab.py $(wildcard docs/tours/*.md) $(NPM_STAMP) | have-seabios+gdb
	@mkdir -p $(@D)
	@$(PYTHON) web/map.py --elf $(BUILD)/kernel.elf --image $(BUILD)/hd.img --out $@ --short $(@D)/hd.img
	@cp $(NPM_DIR)/node_modules/v86/build/v86.wasm $(@D)/
	@node tools/v86/firmware.mjs $(@D)

# The checked build's, beside them: the page loads it when it is asked for.
$(WEB_ASSETS)/checked.json: $(BUILD)/check/kernel.elf $(BUILD)/check/hd.img $(WEB_ASSETS)/map.json
	@$(PYTHON) web/map.py --elf $(BUILD)/check/kernel.elf --image $(BUILD)/check/hd.img --out $@ \
	    --short $(@D)/checked.img

# A file that is never made: each time that build's own rules say what is out of date.
$(BUILD)/check/kernel.elf $(BUILD)/check/hd.img: $(BUILD)/check/always ;
$(BUILD)/check/always:
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/check CHECK=1 >/dev/null

WEB_TEXTS := $(wildcard docs/book/*.md docs/bugs/*.md docs/tours/*.md docs/img/*.svg)
$(WEB_ASSETS)/reading.json: web/reading.mjs $(WEB_TEXTS) $(NPM_STAMP)
	@mkdir -p $(@D)
	@node web/reading.mjs $(NPM_DIR)/node_modules docs $@

# The sources lie beside node_modules while vite and vitest run, which look for packages from there.
$(NPM_DIR)/index.html: $(WEB_SOURCES) $(wildcard web/test/*) $(NPM_STAMP)
	@rm -rf $(NPM_DIR)/src $(NPM_DIR)/test
	@cp -R web/src web/test web/index.html web/vite.config.mjs $(NPM_DIR)/
	@touch $@

.PHONY: web web-serve web-test web-screenshot web-shots web-figures
web: $(WEB_ASSETS)/map.json $(WEB_ASSETS)/checked.json $(WEB_ASSETS)/reading.json $(NPM_DIR)/index.html | have-node
	@cd $(NPM_DIR) && GRANARY_ASSETS=$(abspath $(WEB_ASSETS)) GRANARY_OUT=$(abspath $(WEB_DIR)) \
	    GRANARY_ONE=$(if $(filter-out 0,$(ONE)),1) npm run --silent build
	@echo "  WEB   $(WEB_DIR)/index.html"

web-serve: web
	@$(PYTHON) web/serve.py $(WEB_DIR)

web-test: $(WEB_ASSETS)/map.json $(WEB_ASSETS)/checked.json $(NPM_DIR)/index.html | have-node
	@cd $(NPM_DIR) && GRANARY_MAPS=$(abspath $(WEB_ASSETS)) npm test --silent

web-screenshot: web | have-chromium
	@$(PYTHON) web/screenshot.py --build $(BUILD) --out docs/img/web.png

# Each view, to be looked at.
web-shots: web | have-chromium
	@$(PYTHON) web/screenshot.py --build $(BUILD) --views $(BUILD)/web-shots

# Sizes and times of the page: what docs/web.md states.
web-figures: web | have-chromium
	@$(PYTHON) web/figures.py --build $(BUILD)
