// sample.js - a small heap in memory as the kernel would write it, for the tests: built by the map, offset for offset.
import fs from "node:fs";
import { Heap } from "../src/heap.js";
import { Layout } from "../src/layout.js";
import { Regions } from "../src/regions.js";

const read = (name) => new Layout(JSON.parse(fs.readFileSync(`${process.env.GRANARY_MAPS}/${name}.json`, "utf8")));
export const layout = read("map"), checkedLayout = read("checked");
export const BASE = 0x88000000, ARENAS = 0x80400000, FRAMES = 0x80500000, USER = 0x80600000, USER_FRAMES = 0x80610000;
const ANCHORS = 0x80620000, TABLE = 0x80630000;
export const COUNT = 64; // frames of each pool

function regions(layout) {
    const checked = layout.checked ? [
        { name: "quarantine", start: layout.symbols.checked_quarantine,
            bytes: layout.constants.CHECKED_QUARANTINE * layout.size("checked_freed") },
        { name: "guard", start: layout.symbols.guard - layout.symbols.guard % 4, bytes: 4 },
        { name: "page table", start: TABLE, bytes: 4096, covers: BASE },
        { name: "blocks", start: BASE, bytes: COUNT * 4096, part: true },
    ] : [];
    return new Regions([
        { name: "heap", start: layout.symbols.k_heap, bytes: layout.size("heap") },
        { name: "user pool", start: USER, bytes: layout.size("pool") },
        { name: "arenas", start: ARENAS, bytes: COUNT * layout.size("arena") },
        { name: "kernel frames", start: FRAMES, bytes: COUNT * layout.size("frame") },
        { name: "user frames", start: USER_FRAMES, bytes: COUNT * layout.size("frame") },
        { name: "anchors", start: ANCHORS, bytes: 64 },
        ...checked,
    ]);
}

export class Sample {
    constructor(kind = layout) {
        this.layout = kind;
        this.regions = regions(kind);
        this.heap = new Heap(kind, this.regions, USER);
        const k = this.layout.symbols.k_heap, at = (name) => k + this.layout.offset("heap", name);
        this.set(at("base"), BASE);
        this.set(at("arena"), ARENAS);
        this.set(at("frames"), COUNT);
        for (const [pool, frames, anchors] of [[at("pool"), FRAMES, ANCHORS], [USER, USER_FRAMES, ANCHORS + 16]]) {
            this.field(pool, "pool", "frame", frames);
            this.field(pool, "pool", "frames", COUNT);
            this.field(pool, "pool", "usable", COUNT);
            this.field(pool, "pool", "free", COUNT);
            this.field(pool, "pool", "anchor", anchors);
            this.field(pool, "pool", "anchor_words", anchors + 8);
        }
        this.run(FRAMES, 0, COUNT, this.layout.constants.FRAME_FREE);
        this.run(USER_FRAMES, 0, COUNT, this.layout.constants.FRAME_FREE);
        this.sizes([16, 32, 64]);
        for (let frame = 0; kind.checked && frame < COUNT; frame++) this.map(frame, true);
    }

    map(frame, there) {
        this.set(TABLE + frame * 4, there ? 1 : 0);
    }

    set(address, value) {
        const place = this.regions.place(address);
        if (place < 0) throw new Error(`the sample has nothing at ${address.toString(16)}`);
        this.regions.words[place / 4] = value;
    }

    field(at, struct, name, value) {
        this.set(at + this.layout.offset(struct, name), value);
    }

    run(frames, first, count, tag) {
        const size = this.layout.size("frame");
        this.field(frames + first * size, "frame", "run", (tag | count) >>> 0);
        if (tag === this.layout.constants.FRAME_FREE) {
            this.field(frames + (first + count - 1) * size, "frame", "run", (tag | count) >>> 0);
        }
    }

    sizes(list) {
        this.set(this.layout.symbols.k_heap + this.layout.offset("heap", "desc_count"), list.length);
        for (const [i, size] of list.entries()) {
            const at = this.heap.descAddress(i), head = at + this.layout.offset("memory_block_desc", "free_list");
            this.field(at, "memory_block_desc", "block_size", size);
            this.field(at, "memory_block_desc", "blocks_per_arena", 4096 / size);
            this.field(head, "list_elem", "next", head);
            this.field(head, "list_elem", "prev", head);
        }
    }

    // A sound arena of descriptor `index` in a frame; `free`: numbers of blocks that have come back. First in its list.
    arena(frame, index, carved, free) {
        const at = ARENAS + frame * this.layout.size("arena"), desc = this.heap.descAddress(index);
        const head = desc + this.layout.offset("memory_block_desc", "free_list"), blocks = this.regions.u32(desc +
            this.layout.offset("memory_block_desc", "blocks_per_arena"));
        const cnt = blocks - carved + free.length, base = BASE + frame * 4096;
        const put = (name, value) => this.field(at, "arena", name, value >>> 0);
        put("desc", desc);
        put("head", cnt);
        put("carving", carved);
        put("base", base);
        put("seal", this.layout.constants.SMALL_SEAL - desc - base - cnt - carved);
        for (const block of free) {
            const word = at + this.layout.offset("arena", "map") + (block >> 5) * 4;
            this.set(word, (this.regions.u32(word) | 1 << (block & 31)) >>> 0);
        }
        this.field(at, "list_elem", "next", this.regions.u32(head + this.layout.offset("list_elem", "next")));
        this.field(head, "list_elem", "next", at + this.layout.offset("arena", "elem"));
        this.field(desc, "memory_block_desc", "arenas",
            this.regions.u32(desc + this.layout.offset("memory_block_desc", "arenas")) + 1);
        this.run(FRAMES, frame, 1, this.layout.constants.FRAME_USED);
    }

    large(frame, count) {
        const at = ARENAS + frame * this.layout.size("arena"), base = BASE + frame * 4096;
        const head = (this.layout.constants.ARENA_LARGE | count) >>> 0;
        this.field(at, "arena", "head", head);
        this.field(at, "arena", "base", base);
        this.field(at, "arena", "seal", (this.layout.constants.LARGE_SEAL - base - head) >>> 0);
        this.run(FRAMES, frame, count, this.layout.constants.FRAME_USED);
    }

    // Of the checked build: a record at an address, of a block there, with the right sum.
    record(at, fields) {
        const { checked } = this.heap, list = ["p", "size", "allocated", "freed", "allocator", "freer"];
        for (const name of list) this.field(at, "checked_record", name, fields[name] ?? 0);
        this.field(at, "checked_record", "sum", checked.sum([fields.block ?? at, ...list.map((name) =>
            fields[name] ?? 0)]));
    }
}
