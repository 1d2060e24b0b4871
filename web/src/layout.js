// layout.js - where the kernel's variables and fields are: the map that web/map.py makes, checked.
//
// Every offset in these sources comes through here. A field that the map lacks is an error at the start, so that a
// wrong map cannot become a wrong picture.

const FIELDS = {
    heap: ["base", "arena", "frames", "desc_count", "small_frames", "large_frames", "pool", "block_descs"],
    pool: ["name", "heap", "frame", "phys", "frames", "usable", "free", "anchor", "anchor_words"],
    frame: ["run", "bin"],
    arena: ["elem", "desc", "head", "cnt", "large", "carved", "back", "carving", "seal", "base", "map"],
    memory_block_desc: ["block_size", "blocks_per_arena", "arenas", "free_list"],
    list: ["head"],
    list_elem: ["next"],
    thread: ["name", "tid", "state", "priority", "ticks", "all", "magic", "slot"],
    process: ["elem", "pid", "name", "heap"],
    user_heap: ["heap"],
    boot_info: ["magic", "kernel_crc"],
    event: ["mark", "kind", "number", "tid", "size", "pointer", "result", "caller"],
    event_head: ["magic", "bytes", "heap_base", "heap_bytes"],
};
const CHECKED_FIELDS = { // the checked build alone has these
    checked_freed: ["p", "record"],
    checked_record: ["p", "size", "allocated", "freed", "allocator", "freer", "sum"],
};
const SYMBOLS = ["k_heap", "mem_pool", "current", "all_threads", "directory_pa", "processes",
    "heap_last_report", "heap_report_count", "scene_mine", "scene_others", "classic_descs"];
const CONSTANTS = ["FRAME_FREE", "FRAME_USED", "FRAME_LENGTH", "ANCHOR_STEP", "PG_SIZE", "KERNEL_BASE", "SMALL_SEAL",
    "LARGE_SEAL", "ARENA_LARGE", "ARENA_WORDS", "DESC_MAX", "CHECKED_QUARANTINE", "CHECKED_SUM_START",
    "CHECKED_SUM_PRIME", "EVENT_MARK", "EVENT_REFUSED", "EVENT_BYTES", "THREAD_MAGIC", "BOOT_INFO", "BOOT_INFO_MAGIC",
    "SECTOR_BYTES", "HEADER_LBA", "HEADER_MAGIC", "HEADER_MAGIC_OFF", "HEADER_CMDLINE_LBA", "CMDLINE_BYTES", "IRQ_BASE",
    "SPARE_IRQ", "LOW_MAP_BYTES", "HEAP_WINDOW_BYTES", "STACK_SLOT_BYTES"];

export class Layout {
    constructor(map) {
        const lacks = (what) => {
            throw new Error(`the map has no ${what}`);
        };
        if (!map?.structs || !map.symbols || !map.constants) lacks("structures");
        for (const table of ["entries", "names", "text_end"]) map[table] ?? lacks(table);
        this.checked = "checked_quarantine" in map.symbols;
        for (const [struct, names] of Object.entries({ ...FIELDS, ...this.checked ? CHECKED_FIELDS : {} })) {
            if (!map.structs[struct]) lacks(`struct ${struct}`);
            for (const name of names) map.structs[struct].fields[name] ?? lacks(`${struct}.${name}`);
        }
        for (const name of [...SYMBOLS, ...this.checked ? ["guard"] : []]) {
            map.symbols[name] ?? lacks(`address of ${name}`);
        }
        for (const name of CONSTANTS) map.constants[name] ?? lacks(`constant ${name}`);
        this.symbols = map.symbols;
        this.constants = map.constants;
        this.crc = map.kernel_crc;
        this.imageBytes = map.image_bytes;
        this.faults = map.faults;
        this.threadStates = map.thread_states;
        this.eventKinds = map.event_kinds;
        this.structs = map.structs;
        this.offsets = {}; // {struct: {field: offset}}, for walks that read many records
        for (const [struct, { fields }] of Object.entries(map.structs)) {
            this.offsets[struct] = Object.fromEntries(Object.entries(fields).map(([name, [at]]) => [name, at]));
        }
        this.tours = map.tours;
        this.entries = new Map(Object.entries(map.entries)); // of the functions at which tours stop
        this.names = map.names;      // [[address, name]], in rising order: the kernel's own table
        this.textEnd = map.text_end;
    }

    size(struct) {
        return this.structs[struct].size;
    }

    offset(struct, field) {
        return this.structs[struct].fields[field][0];
    }

    // A function that takes a field out of the word that a union has beside it.
    part(struct, field, word) {
        const [at, bit, width] = this.structs[struct].fields[field], shift = (at - this.offset(struct, word)) * 8 + bit;
        const mask = 2 ** width - 1;
        return (value) => value >>> shift & mask;
    }

    // "demo_run+0x12", or the bare address outside every function: as the kernel's symbol_text().
    place(address) {
        let low = 0, high = this.names.length;
        while (low < high) {
            const middle = (low + high) >> 1;
            if (this.names[middle][0] <= address) low = middle + 1;
            else high = middle;
        }
        if (low === 0 || address >= this.textEnd) return pointer(address);
        const [start, name] = this.names[low - 1];
        return `${name}+${hex(address - start)}`;
    }
}

export const hex = (number) => `0x${number.toString(16)}`;
export const pointer = (number) => `0x${number.toString(16).padStart(8, "0")}`;
