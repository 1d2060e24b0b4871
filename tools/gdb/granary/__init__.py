"""The heap of a stopped kernel, read from outside. See tools/gdb/granary.py for the list of modules."""
