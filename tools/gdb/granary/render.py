"""render.py - what the commands found out, as lines of text."""

from granary import model


def count_of(count, what):
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def kib(frames):
    return frames * (model.PG_SIZE // 1024)


def pools(heap):
    """As the kernel's `mem` has it."""
    for pool in heap.pools:
        yield (f"{pool.name:<12} {pool.usable:8} frames, {pool.free:8} free, {kib(pool.free):8} KiB free, "
               f"from 0x{pool.phys:08x}")


def heap_line(heap):
    return f"heap         {heap.small_frames:8} frames in arenas of blocks, {heap.large_frames} in large areas"


def desc_rows(heap):
    """Each descriptor with the free blocks of its arenas, counted in the records: lists may be broken."""
    free = dict.fromkeys(heap.desc_at, 0)
    arenas = dict.fromkeys(heap.desc_at, 0)
    for _, arena, desc in heap.arenas():
        if desc is not None:
            free[desc.address] += arena.cnt
            arenas[desc.address] += 1
    for desc in heap.descs:
        count = arenas[desc.address]
        yield desc, count, free[desc.address], count * desc.blocks_per_arena - free[desc.address]


def descs(heap):
    yield "block size  blocks/arena  arenas  free blocks  live blocks"
    for desc, arenas, free, live in desc_rows(heap):
        yield f"{desc.block_size:10}  {desc.blocks_per_arena:12}  {arenas:6}  {free:11}  {live:11}"


def arena_line(frame, arena, desc):
    if desc is None:
        return f"frame {frame:6}  0x{arena.base:08x}  large area of {count_of(arena.cnt, 'frame')}"
    live = desc.blocks_per_arena - arena.cnt
    notes = [f"{arena.carved} carved"]
    if arena.cnt == 0:
        notes.append("full")
    elif live == 0:
        notes.append("empty, kept ready" if desc.reserve == arena.address else "empty")
    elif desc.first == arena.address:
        notes.append("serves next")
    return (f"frame {frame:6}  0x{arena.base:08x}  {desc.block_size:5}-byte blocks: {live} of "
            f"{desc.blocks_per_arena} live, {', '.join(notes)}")


def arenas(heap, size=None):
    """All arenas and large areas, or those of one block size."""
    count = 0
    for frame, arena, desc in heap.arenas():
        if size is None or (desc is not None and desc.block_size == size):
            count += 1
            yield arena_line(frame, arena, desc)
    if count == 0:
        yield f"no arena of {size}-byte blocks is open" if size else "no arena is open"


def arena_count(heap):
    blocks = [desc for _, _, desc in heap.arenas()]
    large = blocks.count(None)
    return len(blocks) - large, large


def runs(pool):
    """The free runs of a pool, longest first: what a large area could still get."""
    lengths, at, tags = {}, 0, pool.tags()
    while at < len(tags):
        length = model.run_length(tags[at])
        if tags[at] & model.FRAME_FREE and 0 < length <= len(tags) - at:
            lengths[length] = lengths.get(length, 0) + 1
        at += length if 0 < length <= len(tags) - at else 1
    longest = sorted(lengths, reverse=True)
    if longest:
        words = [f"{lengths[n]} of {n}" for n in longest[:8]] + (["..."] if len(longest) > 8 else [])
        yield f"    {count_of(sum(lengths.values()), 'free run')}: {', '.join(words)} frames"
    else:
        yield "    no free run"
