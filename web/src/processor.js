// processor.js - the guest's processor from outside: its registers, memory by virtual address, and breakpoints.
//
// v86 has no debug registers and no trap flag; what it has is a port. A breakpoint is `out PORT, al` over the first two
// bytes at an address: an instruction that changes no register and no flag. v86 calls io_port_write8() for it in the
// middle of the instruction, and this file puts itself before that import. There the instruction pointer is set back
// to the address, so the processor runs the same `out` again until the page lets it go on; then the bytes are put back.
// While it is held interrupts are off, so that no other thread runs meanwhile.
//
// Invariants: one breakpoint at a time; memory at a stop is what the guest had there but for those two bytes of code.
//
// Shortcoming: the registers are read where v86 0.5.462 has them (src/rust/cpu/global_pointers.rs), so the version is
// pinned. A breakpoint whose address is not in `previous_ip` is not one of ours, and is let through.
const PORT = 0xee, OUT = 0xe6; // no device; out imm8, al
const AT = { eax: 64, ecx: 68, edx: 72, ebx: 76, esp: 80,
    flags: 120, eip: 556, previous: 560, idt: 568, gdt: 576, cr3: 592, selectors: 668 };
const REGISTERS = 8, CS = 1, TASK = 6; // eax .. edi in their order; numbers of selectors
const IF = 0x200, PRESENT = 1, LARGE_PAGE = 0x80, FRAME = 0xfffff000;
const GATE_BYTES = 8, DOUBLE_FAULT = 8, TASK_GATE = 0x85, NESTED_TASK = 0x4000;
// 32-bit task state segment (SDM volume 3, figure 7-2).
const TSS = { back: 0, cr3: 28, eip: 32, flags: 36, registers: 40, selectors: 72, selectorCount: 6 };

export class Processor {
    constructor(memoryBytes) {
        this.memoryBytes = memoryBytes;
        this.armed = null;    // {address, physical, before, hit, then}
        this.held = false;
        this.interrupts = 0;  // IF, as it was when the guest was stopped
        this.leave = null;    // what to do on the way out; null: stay
    }

    // For V86's wasm_fn: the machine's code, with the port watched.
    async load(wasm, imports) {
        const before = imports.env.io_port_write8;
        imports.env.io_port_write8 = (port, value) => {
            if (port !== PORT || !this.isHere()) before(port, value);
            else this.stopped();
        };
        this.exports = (await WebAssembly.instantiate(wasm, imports)).instance.exports;
        return this.exports;
    }

    // ---- registers --------------------------------------------------------------------------------

    get(name) {
        return new Uint32Array(this.exports.memory.buffer, AT[name], 1)[0];
    }

    set(name, value) {
        new Uint32Array(this.exports.memory.buffer, AT[name], 1)[0] = value;
    }

    selector(number) {
        return new Uint16Array(this.exports.memory.buffer, AT.selectors, REGISTERS)[number];
    }

    // ---- memory -----------------------------------------------------------------------------------

    physicalWord(at) {
        if (at + 4 > this.memoryBytes) throw new RangeError("outside the memory");
        const bytes = this.emulator.read_memory(at, 4);
        return (bytes[0] | bytes[1] << 8 | bytes[2] << 16 | bytes[3] << 24) >>> 0;
    }

    // The page table entry of an address, 0 if there is no table. Of a page of 4 MiB the directory's.
    entry(address) {
        const directory = this.physicalWord((this.get("cr3") & FRAME) + (address >>> 22) * 4 >>> 0);
        if (!(directory & PRESENT) || directory & LARGE_PAGE) return directory & PRESENT ? directory : 0;
        return this.physicalWord(((directory & FRAME) >>> 0) + (address >>> 12 & 0x3ff) * 4);
    }

    physical(address) {
        const directory = this.physicalWord(((this.get("cr3") & FRAME) >>> 0) + (address >>> 22) * 4);
        if (directory & PRESENT && directory & LARGE_PAGE) {
            return ((directory & 0xffc00000) >>> 0) + (address & 0x3fffff);
        }
        const entry = this.entry(address);
        if (!(entry & PRESENT)) throw new RangeError(`nothing is mapped at 0x${address.toString(16)}`);
        return ((entry & FRAME) >>> 0) + (address & 0xfff);
    }

    byte(address) {
        const at = this.physical(address >>> 0);
        if (at >= this.memoryBytes) throw new RangeError("outside the memory");
        return this.emulator.read_memory(at, 1)[0];
    }

    word(address) {
        let word = 0;
        for (let i = 3; i >= 0; i--) word = word * 256 + this.byte(address + i);
        return word;
    }

    setWord(address, value) {
        for (let i = 0; i < 4; i++) this.emulator.write_memory([value >>> 8 * i & 255], this.physical(address + i));
    }

    // ---- breakpoints ------------------------------------------------------------------------------

    // hit() is called when the guest comes there; it is held there if hit() says true. If not it goes on, and then() is
    // called on the way out, as release()'s is.
    arm(address, hit, then = () => {}) {
        this.disarm();
        const physical = this.physical(address), before = [...this.emulator.read_memory(physical, 2)];
        this.armed = { address, physical, before, hit, then };
        this.emulator.write_memory([OUT, PORT], physical);
    }

    disarm() {
        if (this.armed) this.emulator.write_memory(this.armed.before, this.armed.physical);
        this.armed = null;
    }

    isHere() {
        return this.armed !== null && this.get("previous") === this.armed.address;
    }

    stopped() {
        this.set("eip", this.armed.address);
        if (!this.held) {
            this.interrupts = this.get("flags") & IF;
            this.set("flags", this.get("flags") & ~IF);
            this.held = this.armed.hit();
            if (this.held) this.emulator.stop(); // within a slice of its time; it runs the `out` again until then
            else this.leave = this.armed.then;
        }
        if (!this.leave) return;
        const leave = this.leave;
        this.leave = null;
        this.held = false;
        this.set("flags", this.get("flags") | this.interrupts);
        this.disarm();
        leave();
    }

    // Lets a guest that is held go on. First then() is called, inside the guest's instruction; it may arm a place.
    release(then) {
        if (!this.held) return;
        this.leave = then;
        this.emulator.run();
    }

    // What `int` does in kernel mode: to be called where the guest is about to go on.
    interrupt(vector) {
        const esp = this.get("esp") - 12, gate = this.get("idt") + vector * GATE_BYTES;
        this.setWord(esp + 8, this.exports.get_eflags() >>> 0);
        this.setWord(esp + 4, this.selector(CS));
        this.setWord(esp, this.get("eip"));
        this.set("esp", esp);
        this.set("eip", (this.word(gate) & 0xffff | this.word(gate + 4) & 0xffff0000) >>> 0);
        this.set("flags", this.get("flags") & ~IF);
    }

    // ---- a double fault ---------------------------------------------------------------------------

    // v86 delivers a page fault by pushing onto the stack; if the stack is what is not mapped it does so again, until
    // the browser's own stack is full. The processor would deliver a double fault. This does it for v86, after that
    // error: the switch to the task that the kernel's gate names (SDM volume 3, 6.15 and 7.3). False if it was another
    // error. Then the emulator may run again.
    doubleFault(error) {
        try {
            const gate = this.get("idt") + DOUBLE_FAULT * GATE_BYTES, esp = this.get("esp");
            if (!(error instanceof RangeError) || this.entry(esp - 4 >>> 0) & PRESENT ||
                this.byte(gate + 5) !== TASK_GATE) return false;
            const from = this.selector(TASK), to = this.word(gate) >>> 16;
            this.saveTask(this.taskAt(from));
            this.loadTask(this.taskAt(to), from);
            return true;
        } catch {
            return false; // its tables are not there either: nothing can be done
        }
    }

    // Where the state of a task is: the base in its descriptor.
    taskAt(selector) {
        const at = this.get("gdt") + (selector & ~7), low = this.word(at), high = this.word(at + 4);
        return (low >>> 16 | (high & 0xff) << 16 | high & 0xff000000) >>> 0;
    }

    register(number) {
        return new Uint32Array(this.exports.memory.buffer, AT.eax, REGISTERS)[number];
    }

    saveTask(tss) {
        this.setWord(tss + TSS.eip, this.get("eip"));
        this.setWord(tss + TSS.flags, this.exports.get_eflags() >>> 0);
        for (let i = 0; i < REGISTERS; i++) this.setWord(tss + TSS.registers + 4 * i, this.register(i));
        for (let i = 0; i < TSS.selectorCount; i++) this.setWord(tss + TSS.selectors + 4 * i, this.selector(i));
    }

    // The segments of both are flat, so what v86 keeps of them stays true. A double fault's error code is 0.
    loadTask(tss, from) {
        const registers = new Uint32Array(this.exports.memory.buffer, AT.eax, REGISTERS);
        this.setWord(tss + TSS.back, from);
        for (let i = 0; i < REGISTERS; i++) registers[i] = this.word(tss + TSS.registers + 4 * i);
        this.exports.update_eflags(this.word(tss + TSS.flags) | NESTED_TASK);
        this.set("eip", this.word(tss + TSS.eip));
        this.set("esp", this.get("esp") - 4);
        this.setWord(this.get("esp"), 0);
    }
}
