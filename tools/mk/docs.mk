# Figures and pictures of the documentation.

#: make screenshot     docs/img/demo.png: the VGA screen after the demonstration
#: make stats          lengths of functions, share of comments, sizes of the built parts
.PHONY: screenshot stats
screenshot: $(BUILD)/hd.img
	@mkdir -p docs/img
	@$(PYTHON) tools/screenshot.py --image $(BUILD)/hd.img --out docs/img/demo.png

stats: all
	@$(PYTHON) tools/codestats.py
