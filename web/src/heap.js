// heap.js - what the heap's records say: frames, arenas, descriptors, the sentence of `who`, the text of `map`.
//
// Pure: reads a Regions, changes nothing, throws nothing, and ends on any bytes: every walk is bounded by a number that
// does not come from memory, and an unsound record is called that. The words and the rules are those of
// kernel/inspect (who.c, heapmap.c, heapwalk.c, heapcheck.c) and of pool_run_at() in kernel/pool.c; the end-to-end
// tests compare the two word for word.
//
// In the checked build a block that waits in quarantine is live to the heap and freed to all others, and the sentence
// ends with the block's history: checked.js reads that build's records.
//
// A program's heap is read likewise (programs.js); `who` and `map` are for the kernel's own, k_heap.
import { CheckedRecords } from "./checked.js";
import { pointer } from "./layout.js";

const NONE = 0xffffffff;
export const KINDS = ["hole", "free", "small", "large", "other", "corrupt"];
const [HOLE, FREE, SMALL, LARGE, OTHER, CORRUPT] = KINDS.keys();
export const PRESENT = 1, TABLE_COVERS = 4 << 20; // of a page table: the flag of an entry; bytes that it maps
const POOLS = ["kernel_pool", "user_pool"];

export class Heap {
    // regions: anything with u32(address) and wholeBytes; `at`: the heap, if it is not the kernel's own.
    constructor(layout, regions, userPool, at = layout.symbols.k_heap) {
        this.layout = layout;
        this.regions = regions;
        this.c = layout.constants;
        this.at = at;
        this.userPool = userPool;
        this.o = layout.offsets;
        this.cnt = layout.part("arena", "cnt", "head");
        this.large = layout.part("arena", "large", "head");
        this.carved = layout.part("arena", "carved", "carving");
        this.back = layout.part("arena", "back", "carving");
        this.arenaBytes = layout.size("arena");
        this.frameBytes = layout.size("frame");
        this.descBytes = layout.size("memory_block_desc");
        this.framesMost = Math.floor(regions.wholeBytes / this.frameBytes); // no more records than there are
        this.blocksMost = 32 * this.c.ARENA_WORDS; // of an arena
        this.checked = layout.checked ? new CheckedRecords(this) : null;
    }

    u32(address) {
        return this.regions.u32(address);
    }

    heapField(name) {
        return this.u32(this.at + this.o.heap[name]);
    }

    // ---- pools ------------------------------------------------------------------------------------

    pool(id) {
        const at = id === 0 ? this.at + this.o.heap.pool : this.userPool, o = this.o.pool;
        const frames = Math.min(this.u32(at + o.frames), this.framesMost);
        return { id, name: POOLS[id], frame: this.u32(at + o.frame), frames, usable: this.u32(at + o.usable),
            free: this.u32(at + o.free), anchor: this.u32(at + o.anchor), anchorWords: this.u32(at + o.anchor_words),
            phys: this.u32(at + o.phys) };
    }

    // The number of the frame that an address of the heap's window is in, or NONE.
    frameOf(pool, address) {
        const frame = Math.floor((address - this.heapField("base")) / this.c.PG_SIZE);
        return frame >= 0 && frame < pool.frames ? frame : NONE;
    }

    run(pool, frame) {
        return this.u32(pool.frame + frame * this.frameBytes + this.o.frame.run);
    }

    bin(pool, frame) {
        return this.u32(pool.frame + frame * this.frameBytes + this.o.frame.bin);
    }

    // Frames of a run, by what its first frame says. As FRAME_RUN().
    length(run) {
        return run & this.c.FRAME_LENGTH;
    }

    // As anchor_below() of pool.c.
    anchorBelow(pool, frame) {
        const bit = Math.floor(frame / this.c.ANCHOR_STEP);
        let word = bit >> 5;
        let bits = this.u32(pool.anchor + word * 4) & (NONE >>> (31 - (bit & 31)));
        if (bits === 0) {
            let at = word >> 5;
            let words = this.u32(pool.anchorWords + at * 4) & ((2 ** (word & 31)) - 1);
            while (words === 0 && at > 0) words = this.u32(pool.anchorWords + --at * 4);
            if (words === 0) return NONE;
            word = at * 32 + 31 - Math.clz32(words);
            bits = this.u32(pool.anchor + word * 4);
            if (bits === 0) return NONE;
        }
        return (word * 32 + 31 - Math.clz32(bits)) * this.c.ANCHOR_STEP;
    }

    // First frame of the run handed out that holds `frame`, or NONE.
    runAt(pool, frame) {
        const stop = frame < this.c.ANCHOR_STEP ? 0 : frame - (this.c.ANCHOR_STEP - 1);
        let at = frame;
        while (this.run(pool, at) === 0 && at > stop) at--;
        if (this.run(pool, at) === 0) {
            at = this.anchorBelow(pool, frame);
            if (at === NONE || at >= pool.frames || this.bin(pool, at) > at) return NONE;
            at -= this.bin(pool, at);
        }
        const run = this.run(pool, at);
        return (run & this.c.FRAME_USED) && frame - at < this.length(run) ? at : NONE;
    }

    // ---- arenas -----------------------------------------------------------------------------------

    arena(frame) {
        const at = this.heapField("arena") + frame * this.arenaBytes, o = this.o.arena;
        const head = this.u32(at + o.head), carving = this.u32(at + o.carving);
        const arena = { frame, at, desc: this.u32(at + o.desc), head, cnt: this.cnt(head), large: this.large(head),
            carving, carved: this.carved(carving), back: this.back(carving), seal: this.u32(at + o.seal),
            base: this.u32(at + o.base), map: at + o.map };
        const sum = (arena.desc + arena.base + head + carving + arena.seal) >>> 0;
        arena.sealed = sum === (arena.large ? this.c.LARGE_SEAL : this.c.SMALL_SEAL) &&
            (arena.desc === 0) === (arena.large !== 0);
        arena.blank = arena.desc === 0 && head === 0 && arena.seal === 0;
        return arena;
    }

    descAddress(index) {
        return this.at + this.o.heap.block_descs + index * this.descBytes;
    }

    // The number of the descriptor at an address, or -1: a wild one is never followed.
    descIndex(address) {
        const off = address - this.descAddress(0);
        return off >= 0 && off < this.c.DESC_MAX * this.descBytes && off % this.descBytes === 0
            ? off / this.descBytes : -1;
    }

    descField(index, name) {
        return this.u32(this.descAddress(index) + this.o.memory_block_desc[name]);
    }

    get descCount() {
        return Math.min(this.heapField("desc_count"), this.c.DESC_MAX);
    }

    // "live", "free", "never handed out" or, of the checked build, "in quarantine". record: recordOf() of the block.
    blockState(arena, block, record) {
        if (block >= arena.carved) return "never handed out";
        return (this.u32(arena.map + (block >> 5) * 4) >>> (block & 31)) & 1 ? "free" : liveText(record);
    }

    // The record of the arena or large area that holds a frame, or null. As arena_at() of heapwalk.c.
    arenaAt(pool, frame) {
        const back = Math.floor(this.arena(frame).back / this.arenaBytes);
        if (back > frame) return null;
        const arena = this.arena(frame - back);
        if (arena.sealed) return arena;
        const first = this.runAt(pool, frame), area = first === NONE ? null : this.arena(first);
        return area?.large && area.sealed ? area : null;
    }

    // Where a block or large area is that an address of the arena lies in, {block, start, bytes}; null if it lies in
    // none. As heap_block_in().
    blockIn(arena, address) {
        if (!arena?.sealed) return null;
        if (arena.large) return { block: 0, start: arena.base, bytes: arena.cnt * this.c.PG_SIZE };
        const desc = this.descIndex(arena.desc), bytes = desc < 0 ? 0 : this.descField(desc, "block_size");
        const block = bytes ? Math.floor(((address - arena.base) >>> 0) / bytes) : NONE;
        if (desc < 0 || block >= this.descField(desc, "blocks_per_arena")) return null;
        return { block, start: (arena.base + block * bytes) >>> 0, bytes };
    }

    // What the checked build knows of a block, {start, bytes}: its record, or null.
    recordOf(block, waiting) {
        return this.checked ? this.checked.of(block, waiting) : null;
    }

    // By the page tables that are there: a hole of the memory map is not, nor what the checked build has taken away.
    mapped(address) {
        const table = this.regions.list.find(({ covers }) => address >= covers && address - covers < TABLE_COVERS);
        const page = table ? Math.floor((address - table.covers) / this.c.PG_SIZE) : 0;
        return !table || (this.u32(table.start + page * 4) & PRESENT) !== 0;
    }

    // Where the block of an address begins; the address itself if it is in none. In the checked build that is not what
    // a call returned.
    blockStart(address) {
        const pool = this.pool(0), frame = this.frameOf(pool, address);
        return frame === NONE ? address : this.blockIn(this.arenaAt(pool, frame), address)?.start ?? address;
    }

    // What a run that starts at `frame` is used for: {kind, frames, live, blocks}. As use_of() of heapmap.c.
    use(pool, frame) {
        const run = this.run(pool, frame), length = this.length(run), most = pool.frames - frame;
        if (run === 0) return { kind: HOLE, frames: 1, live: 0, blocks: 0 };
        if (length === 0 || length > most) return { kind: CORRUPT, frames: 1, live: 0, blocks: 0 };
        if (!(run & this.c.FRAME_USED)) return { kind: FREE, frames: length, live: 0, blocks: 0 };
        const use = { kind: OTHER, frames: length, live: 0, blocks: 0 };
        if (pool.id !== 0) return use;
        const arena = this.arena(frame);
        if (arena.blank) return use;
        const desc = this.descIndex(arena.desc);
        if (!arena.sealed || (!arena.large && desc < 0)) use.kind = CORRUPT;
        else if (arena.large) use.kind = LARGE;
        else {
            use.kind = SMALL;
            use.blocks = this.descField(desc, "blocks_per_arena");
            use.live = (use.blocks - arena.cnt) >>> 0;
        }
        return use;
    }

    // Cells as heapmap_fill() makes them: [{kind, eighths, frame}].
    cells(id, first, frames, count) {
        const pool = this.pool(id);
        if (first >= pool.frames) return [];
        const end = Math.min(pool.frames, first + frames), each = Math.ceil((end - first) / count), cells = [];
        let tally = newTally();
        for (let run = 0; run < end;) {
            const use = this.use(pool, run);
            let frame = Math.max(run, first);
            run += use.frames;
            for (; frame < run && frame < end; frame++) {
                tally.frames[use.kind]++;
                tally.live = (tally.live + use.live) >>> 0;
                tally.blocks = (tally.blocks + use.blocks) >>> 0;
                if (use.kind === SMALL && use.live === 0) tally.empty++;
                if (++tally.count < each && frame + 1 < end) continue;
                cells.push({ ...cellOf(tally), frame: frame + 1 - tally.count });
                tally = newTally();
            }
        }
        return cells;
    }

    // All arenas and large areas that are sound, lowest first: as the prompt's `arenas`.
    arenas(size = 0) {
        const found = [], frames = this.pool(0).frames;
        for (let frame = 0; frame < frames; frame++) {
            const arena = this.arena(frame);
            if ((arena.desc === 0 && !arena.large) || !arena.sealed) continue;
            const desc = arena.large ? -1 : this.descIndex(arena.desc);
            if (!arena.large && desc < 0) continue;
            arena.index = desc;
            arena.size = arena.large ? 0 : this.descField(desc, "block_size");
            arena.blocks = arena.large ? 1 : Math.min(this.descField(desc, "blocks_per_arena"), this.blocksMost);
            if (size === 0 || arena.size === size) found.push(arena);
        }
        return found;
    }

    // The arenas in a descriptor's free list, the one that serves first; `whole` says whether its end was reached.
    freeList(index) {
        const head = this.descAddress(index) + this.o.memory_block_desc.free_list + this.o.list.head;
        const next = this.o.list_elem.next, records = this.heapField("arena"), most = this.pool(0).frames;
        const frames = [];
        let at = this.u32(head + next);
        while (at !== head) {
            const off = at - this.o.arena.elem - records;
            if (off < 0 || off % this.arenaBytes || off / this.arenaBytes >= most || frames.length > most) {
                return { frames, whole: false };
            }
            frames.push(off / this.arenaBytes);
            at = this.u32(at + next);
        }
        return { frames, whole: true };
    }

    descs() {
        const rows = [];
        for (let index = 0; index < this.descCount; index++) {
            const list = this.freeList(index), perArena = this.descField(index, "blocks_per_arena");
            const arenas = this.descField(index, "arenas");
            const free = list.frames.reduce((sum, frame) => sum + this.arena(frame).cnt, 0) >>> 0;
            rows.push({ index, size: this.descField(index, "block_size"), perArena, arenas, free,
                live: (Math.imul(arenas, perArena) - free) >>> 0, list: list.frames, whole: list.whole });
        }
        return rows;
    }

    // ---- in words ---------------------------------------------------------------------------------

    descsText() {
        const pad = (value, width) => String(value).padStart(width);
        return ["block size  blocks/arena  arenas  free blocks  live blocks", ...this.descs().map((row) =>
            `${pad(row.size, 10)}  ${pad(row.perArena, 12)}  ${pad(row.arenas, 6)}  ${pad(row.free, 11)}  ` +
            pad(row.live, 11))];
    }

    // As the prompt's `map`, without its colours.
    mapText() {
        const lines = [];
        for (const [id, rows] of [[0, 10], [1, 4]]) {
            const pool = this.pool(id), each = Math.ceil(pool.frames / (64 * rows));
            const cells = this.cells(id, 0, pool.frames, 64 * rows);
            lines.push(`${pool.name}: ${pool.usable} frames, ${pool.free} free; a cell is ${each} frame` +
                (each === 1 ? "" : "s"));
            for (let at = 0; at < cells.length; at += 64) {
                lines.push(`${String(at * each).padStart(8)} ${cells.slice(at, at + 64).map(character).join("")}`);
            }
        }
        return lines;
    }

    // The prompt's `who` of an address in the heap's window. threads: those of that moment, [{tid, name, stack}].
    who(address, threads = []) {
        const pool = this.pool(0), frame = this.frameOf(pool, address);
        if (frame === NONE) return "no frame of kernel_pool";
        const mapped = this.mapped(address);
        if (!mapped && !this.blockIn(this.arenaAt(pool, frame), address)) {
            return `${pool.name} frame ${frame}, no memory: a hole of the memory map, not mapped`;
        }
        const physical = pool.phys + frame * this.c.PG_SIZE;
        const owner = threads.findLast(({ stack }) => stack?.includes(physical));
        return this.whoIn(pool, frame, address, threads) + (owner ? `: the stack of thread ${owner.name}` : "") +
            (mapped ? "" : ", not mapped");
    }

    // As heap_who_in().
    whoIn(pool, frame, address, threads) {
        const first = this.runAt(pool, frame), held = first !== NONE;
        let arena = this.arena(frame);
        const back = Math.floor(arena.back / this.arenaBytes);
        if (back <= frame && back > 0) arena = this.arena(frame - back);
        if (arena.blank && held) arena = this.arena(first);
        const at = this.blockIn(arena, address);
        if (!at) return this.whoFrame(pool, frame, arena, held);
        const known = this.blockIn(this.arenaAt(pool, frame), address), record = known && this.recordOf(known);
        const once = arena.large || at.block < arena.carved;
        return this.whoBlock(pool, frame, arena, at, (address - at.start) >>> 0, record) +
            (once && record ? this.checked.text(record, threads) : "");
    }

    // Byte `into` of a block, or of a large area.
    whoBlock(pool, frame, arena, { block, bytes }, into, record) {
        if (arena.large) {
            return `byte ${into} of the large area ${pointer(arena.base)} of ${arena.cnt} frames, ` +
                `${pool.name} frame ${frame}, ${liveText(record)}`;
        }
        return `${into ? `byte ${into} of ` : ""}block ${block} of the ${bytes}-byte arena ${pointer(arena.base)}, ` +
            `${pool.name} frame ${arena.frame}, ${this.blockState(arena, block, record)}`;
    }

    // A frame in which no sound record has a block.
    whoFrame(pool, frame, arena, held) {
        const desc = this.descIndex(arena.desc);
        if (!arena.blank && (!arena.sealed || desc < 0)) {
            return `an arena whose record was overwritten, ${pool.name} frame ${frame}`;
        }
        if (!arena.blank) {
            return `after the last block of the ${this.descField(desc, "block_size")}-byte arena, ` +
                `${pool.name} frame ${arena.frame}`;
        }
        return `${pool.name} frame ${frame}, ${held ? "held outside the heap" : "not handed out"}`;
    }

    // As heap_user_frame_who().
    whoUser(frame) {
        const pool = this.pool(1), first = frame < pool.frames ? this.runAt(pool, frame) : NONE;
        if (first === NONE) return `${pool.name} frame ${frame}, not handed out`;
        return `${pool.name} frame ${frame}, of the run of ${this.length(this.run(pool, first))} from frame ${first}`;
    }

    // As drawn, in figures.
    state() {
        const kernel = this.pool(0), rows = this.descs();
        let live = rows.reduce((sum, row) => sum + row.live, 0);
        for (let frame = 0; frame < kernel.frames; frame++) {
            const head = this.u32(this.heapField("arena") + frame * this.arenaBytes + this.o.arena.head);
            if (this.large(head) && this.arena(frame).sealed) live++;
        }
        return { frames: kernel.usable - kernel.free, small_frames: this.heapField("small_frames"),
            large_frames: this.heapField("large_frames"), live };
    }
}

// Of a block that is live to the heap: its record says whether its owner has freed it.
const liveText = (record) => record?.freed ? "in quarantine" : "live";

function newTally() {
    return { frames: new Array(KINDS.length).fill(0), live: 0, blocks: 0, empty: 0, count: 0 };
}

function kindOf(tally) {
    if (tally.frames[CORRUPT]) return CORRUPT;
    let most = SMALL, frames = tally.frames[SMALL] - tally.empty;
    for (let kind = LARGE; kind < CORRUPT; kind++) {
        if (tally.frames[kind] > frames) [most, frames] = [kind, tally.frames[kind]];
    }
    if (frames > 0 || tally.empty > 0) return most;
    return tally.frames[FREE] ? FREE : HOLE;
}

function cellOf(tally) {
    const kind = kindOf(tally), unused = tally.frames[FREE] + tally.frames[HOLE];
    const [part, whole] = kind === SMALL ? [tally.live, tally.blocks] : [tally.count - unused, tally.count];
    return { kind, eighths: whole ? Math.min(8, Math.ceil(part * 8 / whole)) : 0 };
}

function character(cell) {
    return cell.kind === SMALL ? String(cell.eighths) : " .0#+!"[cell.kind];
}
