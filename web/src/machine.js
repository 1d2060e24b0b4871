// machine.js - the guest: boots the image in v86, and takes the pictures of its memory.
//
// A picture is taken inside the listener of a byte on a serial line, which v86 calls in the middle of the guest's
// instruction: nothing can change meanwhile. The last byte of an event's record is written with interrupts off right
// after the call (kernel/measure/events.c), so the picture is what that call left. A line of the console is the other
// moment: the kernel does not print while a record is being changed. What had changed by then (frame_alloc() gives no
// event, nor does a write to a record) becomes an entry without a call.
//
// Shortcoming: the guest runs on while the page shows an earlier event; what is shown is history, not the guest.
import { V86 } from "v86";
import { lastReport, tableOf } from "./console.js";
import { EventReader } from "./events.js";
import { Heap, PRESENT, TABLE_COVERS } from "./heap.js";
import { History } from "./history.js";
import { Processor } from "./processor.js";
import { programHeaps } from "./programs.js";
import { Regions } from "./regions.js";

const MEMORY_MIB = 32;
const HANG_MS = 4000;
const THREADS_MAX = 512, REPORT_MOST = 1000; // characters, of the newest lines
const READ_MOST = 256; // bytes that are read at an address: a thread's record, a name

// The image with another kernel command line, and whole again: it comes without the zeros at its end (web/map.py).
export function withCommandLine(image, layout, text) {
    const c = layout.constants, copy = new ArrayBuffer(Math.max(layout.imageBytes, image.byteLength));
    const view = new DataView(copy), header = c.HEADER_LBA * c.SECTOR_BYTES;
    new Uint8Array(copy).set(new Uint8Array(image));
    if (image.byteLength < header + c.SECTOR_BYTES ||
        view.getUint32(header + c.HEADER_MAGIC_OFF, true) !== c.HEADER_MAGIC) throw new Error("not an image");
    const bytes = new TextEncoder().encode(text);
    if (bytes.length >= c.CMDLINE_BYTES) throw new Error("the command line is too long");
    const at = view.getUint32(header + c.HEADER_CMDLINE_LBA, true) * c.SECTOR_BYTES;
    const sector = new Uint8Array(copy, at, c.CMDLINE_BYTES);
    sector.fill(0);
    sector.set(bytes);
    return copy;
}

export class Machine {
    // on: {text(string), begun(), picture(event or null), trouble(kind, detail)}; kind is a key of texts.js.
    constructor(layout, on) {
        this.layout = layout;
        this.on = on;
        this.line = "";
        this.text = "";
        this.history = null;
        this.heap = null;
        this.troubled = null;
        this.memory = { word: (address) => this.wordAt(address), text: (address, most) => this.textAt(address, most) };
        this.reports = new Map(); // of each refused call, by its entry in the history
        this.tables = new Map();  // what a replay said of each table of sizes that it tried
        this.ticks = { sum: -1, since: 0 };
    }

    // disk: the second one, or undefined.
    start(assets, commandLine, disk) {
        this.reader = new EventReader(this.layout);
        this.processor = new Processor(MEMORY_MIB << 20);
        this.emulator = new V86({
            wasm_fn: (imports) => this.processor.load(assets.wasm, imports),
            bios: { buffer: assets.bios },
            vga_bios: { buffer: assets.vgabios },
            memory_size: MEMORY_MIB << 20,
            hda: { buffer: withCommandLine(assets.image, this.layout, commandLine) },
            hdb: disk && { buffer: disk },
            uart1: true,
            fastboot: true, // no time for a boot menu
            autostart: true,
            disable_keyboard: true,
            disable_mouse: true,
            disable_speaker: true,
        });
        this.processor.emulator = this.emulator;
        this.emulator.add_listener("emulator-loaded", () => {
            this.loaded = true;
            if (this.ended) this.emulator.destroy();
        });
        this.emulator.add_listener("serial0-output-byte", (byte) => this.consoleByte(byte));
        this.emulator.add_listener("serial1-output-byte", (byte) => this.eventByte(byte));
        this.watch = setInterval(() => this.lookForHang(), 1000);
    }

    stop() {
        this.ended = true;
        clearInterval(this.watch);
        if (this.loaded) this.emulator.destroy();
    }

    // The guest waits, while the page is in the background. One that is held at a breakpoint waits on.
    pause(on) {
        if (on) this.emulator.stop();
        else if (!this.processor.held) this.emulator.run();
    }

    type(text) {
        for (const byte of new TextEncoder().encode(text)) this.emulator.bus.send("serial0-input", byte);
    }

    trouble(kind, detail = "") {
        if (this.troubled) return;
        this.troubled = kind;
        this.on.trouble(kind, detail);
    }

    // ---- what comes over the lines ----------------------------------------------------------------

    consoleByte(byte) {
        if (this.ended) return;
        const char = String.fromCharCode(byte);
        this.text += char;
        this.on.text(char);
        if (char !== "\n") {
            this.line += char;
            return;
        }
        const line = this.line.replace(/\r$/, "");
        this.line = "";
        const table = tableOf(line);
        if (table) this.tables.set(table.table, table);
        if (line.startsWith("panic:")) this.trouble("panicked", line);
        else if (line.startsWith("granary: halt")) this.trouble("halted", line);
        else if (line.startsWith("Granary") && this.history) this.trouble("restarted");
        if (this.history && !this.troubled) this.picture(null);
    }

    eventByte(byte) {
        if (this.ended) return;
        const event = this.reader.feed(byte);
        if (!event || this.troubled) return;
        if (event.head) this.begin(event);
        else if (this.history) this.picture(event);
    }

    // ---- memory -----------------------------------------------------------------------------------

    // A word at a kernel address of the low map; 0 outside the memory.
    word(address) {
        const physical = (address - this.layout.constants.KERNEL_BASE) >>> 0;
        if (physical % 4 || physical + 4 > MEMORY_MIB << 20) return 0;
        const bytes = this.emulator.read_memory(physical, 4);
        return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
    }

    // Words of a region, as they are now: a view of the guest's memory.
    view({ physical, bytes }) {
        const now = this.emulator.read_memory(physical, bytes);
        return new Uint32Array(now.buffer, now.byteOffset, bytes / 4);
    }

    // Calls visit(word, now, from, to) for each part of a picture, as History.compare() takes it. Which blocks have a
    // record is known once the arenas have been visited.
    eachPart(visit) {
        for (const region of this.regions.list) {
            if (!region.part) visit(region.word, this.view(region));
        }
        const blocks = this.regions.list.find(({ part }) => part);
        if (!blocks) return;
        const now = this.view(blocks), words = this.newest.checked.bytes / 4;
        this.newest.checked.each((address) => {
            const from = (address - blocks.start) / 4; // of a base that is not sound, anywhere
            if (from >= 0 && from + words <= now.length && Number.isInteger(from)) {
                visit(blocks.word + from, now, from, from + words);
            }
        });
    }

    begin(head) {
        const c = this.layout.constants, info = c.KERNEL_BASE + c.BOOT_INFO;
        const field = (struct, name) => this.layout.offset(struct, name);
        if (this.word(info + field("boot_info", "magic")) !== c.BOOT_INFO_MAGIC ||
            this.word(info + field("boot_info", "kernel_crc")) !== this.layout.crc) {
            this.trouble("wrongMap");
            return;
        }
        this.regions = this.findRegions(head);
        if (!this.regions) {
            this.trouble("noHeap");
            return;
        }
        this.history = new History(this.regions.words);
        this.heap = new Heap(this.layout, this.regions, this.userPool);
        this.newest = new Heap(this.layout, new Regions(this.regions.list, this.history.latest), this.userPool);
        this.history.begin((words) =>
            this.eachPart((word, now, from = 0, to = now.length) => words.set(now.subarray(from, to), word)));
        this.on.begun();
        this.on.picture(null);
    }

    // The arrays of records, and of the checked build the blocks; null if one does not lie where it can.
    findRegions(head) {
        const { symbols, constants: c } = this.layout, size = (name) => this.layout.size(name);
        const field = (struct, name) => this.layout.offset(struct, name);
        const heap = symbols.k_heap;
        this.userPool = this.word(symbols.mem_pool + 4);
        const frames = this.word(heap + field("heap", "frames"));
        const list = [{ name: "heap", start: heap, bytes: size("heap") },
            { name: "user pool", start: this.userPool, bytes: size("pool") },
            { name: "arenas", start: this.word(heap + field("heap", "arena")), bytes: frames * size("arena") },
            ...this.pageTables(head)];
        if (this.layout.checked) {
            list.push({ name: "quarantine", start: symbols.checked_quarantine,
                bytes: c.CHECKED_QUARANTINE * size("checked_freed") },
            { name: "guard", start: symbols.guard - symbols.guard % 4, bytes: 4 },
            { name: "blocks", start: head.heapBase, bytes: head.heapBytes, part: true,
                physical: this.word(heap + field("heap", "pool") + field("pool", "phys")) });
        }
        for (const [name, pool] of [["kernel", heap + field("heap", "pool")], ["user", this.userPool]]) {
            const count = this.word(pool + field("pool", "frames"));
            const words = (array) => this.word(pool + field("pool", array));
            const bits = Math.floor(count / c.ANCHOR_STEP / 32) + 1;
            list.push({ name: `${name} frames`, start: words("frame"), bytes: count * size("frame") },
                { name: `${name} anchors`, start: words("anchor"), bytes: bits * 4 },
                { name: `${name} anchor words`, start: words("anchor_words"), bytes: (Math.floor(bits / 32) + 1) * 4 });
        }
        for (const region of list) region.physical ??= region.start - c.KERNEL_BASE;
        const good = ({ physical, bytes }) => physical >= 0 && physical % 4 === 0 && bytes > 0 &&
            physical + bytes <= MEMORY_MIB << 20;
        const wanted = this.word(heap + field("heap", "base")) === head.heapBase &&
            frames * c.PG_SIZE === head.heapBytes;
        return wanted && list.every(good) ? new Regions(list) : null;
    }

    // Where the page table for a kernel address lies; -1 if there is none.
    tableOf(address) {
        const { symbols, constants: c } = this.layout, number = Math.floor(address / TABLE_COVERS);
        const entry = this.word(c.KERNEL_BASE + this.word(symbols.directory_pa) + number * 4);
        return entry & PRESENT ? entry - entry % c.PG_SIZE : -1;
    }

    // Those of the heap's window. They lack its holes, and what the checked build takes out of them.
    pageTables({ heapBase, heapBytes }) {
        const { constants: c } = this.layout, tables = [];
        for (let at = heapBase; at < heapBase + heapBytes; at += TABLE_COVERS) {
            const physical = this.tableOf(at);
            tables.push({ name: "page table", start: c.KERNEL_BASE + physical, bytes: c.PG_SIZE, covers: at });
        }
        return tables;
    }

    // An entry of the history: this event's, or, with null, that of a change without one.
    picture(event) {
        this.eachPart((word, now, from, to) => this.history.compare(word, now, from, to));
        const { threads, programs } = this.history, heaps = programHeaps(this.layout, this.memory);
        if (!event && this.history.pending === 0 && JSON.stringify(heaps) === (programs.newest?.text ?? "[]")) {
            threads.set(this.history.length, this.threads());
            return;
        }
        this.history.commit(event);
        programs.set(this.history.length, heaps);
        if (event?.refused) this.reports.set(this.history.length - 1, lastReport(this.text.slice(-REPORT_MOST)));
        threads.set(this.history.length, this.threads());
        this.on.picture(event);
    }

    // ---- threads ----------------------------------------------------------------------------------

    // Where a kernel address lies in the guest: the low map, or a block of the heap. -1 elsewhere.
    physical(address) {
        const c = this.layout.constants, pool = this.layout.symbols.k_heap + this.layout.offset("heap", "pool");
        const base = this.word(this.layout.symbols.k_heap + this.layout.offset("heap", "base"));
        const phys = address >= base ? address - base + this.word(pool + this.layout.offset("pool", "phys"))
            : address - c.KERNEL_BASE;
        return phys >= 0 && phys + READ_MOST <= MEMORY_MIB << 20 ? phys : -1;
    }

    wordAt(address) {
        const at = this.physical(address);
        if (at < 0 || at % 4) return 0;
        const bytes = this.emulator.read_memory(at, 4);
        return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
    }

    textAt(address, most) {
        const at = this.physical(address);
        return at < 0 ? "" : String.fromCharCode(...this.emulator.read_memory(at, most)).split("\0")[0];
    }

    eachThread(visit) {
        const { symbols, structs } = this.layout, elem = this.layout.offset("thread", "all");
        const next = this.layout.offset("list_elem", "next");
        const head = symbols.all_threads + this.layout.offset("list", "head");
        let at = this.word(head + next);
        for (let count = 0; at !== head && at && count < THREADS_MAX; count++) {
            const phys = this.physical(at - elem);
            if (phys < 0) return;
            const bytes = this.emulator.read_memory(phys, structs.thread.size);
            const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
            const field = (name) => view.getUint32(this.layout.offset("thread", name), true);
            if (field("magic") !== this.layout.constants.THREAD_MAGIC) return;
            const [from, , , length] = structs.thread.fields.name;
            const name = String.fromCharCode(...bytes.subarray(from, from + length)).split("\0")[0];
            visit({ tid: field("tid"), name, state: this.layout.threadStates[field("state")] ?? "?",
                priority: field("priority"), ticks: field("ticks"), slot: field("slot") | 0 });
            at = view.getUint32(elem + next, true);
        }
    }

    threads() {
        const list = [];
        this.eachThread(({ ticks: _, slot, ...thread }) => list.push({ ...thread, stack: this.stackFrames(slot) }));
        return list;
    }

    // The physical addresses of a stack's pages; none of the boot stack, which is in the image. As stack_has_frame().
    stackFrames(slot) {
        const c = this.layout.constants, frames = [];
        if (slot < 0) return frames;
        const base = c.KERNEL_BASE + c.LOW_MAP_BYTES + c.HEAP_WINDOW_BYTES + slot * c.STACK_SLOT_BYTES;
        const table = this.tableOf(base);
        for (let at = base; table >= 0 && at < base + c.STACK_SLOT_BYTES; at += c.PG_SIZE) {
            const entry = this.word(c.KERNEL_BASE + table + at % TABLE_COVERS / c.PG_SIZE * 4);
            if (entry & PRESENT) frames.push(entry - entry % c.PG_SIZE);
        }
        return frames;
    }

    // A guest that lives has a timer, which counts a tick for whatever thread runs. Before there are threads there is
    // no timer: a replay runs for long without.
    lookForHang() {
        let sum = 0, threads = 0;
        if (this.history && !this.troubled && this.emulator.is_running()) {
            this.eachThread((thread) => {
                sum += thread.ticks;
                threads++;
            });
        }
        if (!threads) {
            this.ticks = { sum: -1, since: Date.now() };
            return;
        }
        if (sum !== this.ticks.sum) this.ticks = { sum, since: Date.now() };
        else if (Date.now() - this.ticks.since > HANG_MS) this.trouble("hung");
    }
}
