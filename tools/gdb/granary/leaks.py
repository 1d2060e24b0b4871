"""leaks.py - what is not freed, counted by who allocated it: the lines of heap_leaks() (kernel/inspect/leaks.c)."""


def leaks(heap, checked, symbols):
    """`checked` and `symbols` are None in the fast build, which knows no call sites."""
    rows = {}
    for block in heap.live_blocks():
        key, size = (block.bytes if block.desc is not None else 0), block.bytes
        if checked is not None:
            record = checked.facts(block)
            if record is None or record.freed:  # being handed out, written over, or in quarantine
                continue
            key, size = record.allocated, record.size
        count, total = rows.get(key, (0, 0))
        rows[key] = count + 1, total + size
    for key, (count, total) in rows.items():
        where = f"from {symbols.text(key)}" if checked is not None else f"in blocks of {key}" if key else \
            "in large areas"
        yield f"leaks: {count} block{'' if count == 1 else 's'}, {total} bytes {where}"
    if not rows:
        yield "leaks: none"
    elif checked is None:
        yield "leaks: call sites: make run CHECK=1"
