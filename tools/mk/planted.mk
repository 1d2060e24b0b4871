#: make planted        a fault planted for each search, on a copy: each must be caught; PLANTED=name for one
.PHONY: planted
planted:
	@$(PYTHON) tools/planted.py --build $(BUILD)/planted $(PLANTED)
