// programs.js - the heaps of programs, read from the guest's memory as it is now.
//
// A program's heap has the same records as the kernel's, in blocks of the kernel's heap, so heap.js reads them. They
// come and go with their programs; so what is kept of them is not their words but what they say.
//
// Shortcoming: calls of these heaps give no event. They are looked at whenever the kernel's heap is called or prints a
// line, when none of them is being changed: a heap is changed with interrupts off, or by the very call that prints.
import { Heap } from "./heap.js";

const PROGRAMS_MAX = 64, FRAMES_MAX = 4096; // more are left out: a damaged list must end soon

// word(address): 32 bits at a kernel address, 0 outside; text(address, bytes).
// [{pid, name, frames, live, descs: [[size, blocks/arena, arenas, free, live]]}], of each program that has a heap.
export function programHeaps(layout, { word, text }) {
    const offset = (struct, field) => layout.offset(struct, field), found = [];
    const head = layout.symbols.processes + offset("list", "head"), next = offset("list_elem", "next");
    const memory = { u32: word, wholeBytes: FRAMES_MAX * layout.size("frame") };
    let at = word(head + next);
    for (let count = 0; at && at !== head && count < PROGRAMS_MAX; count++) {
        const process = at - offset("process", "elem"), user = word(process + offset("process", "heap"));
        if (user) {
            const heap = new Heap(layout, memory, 0, user + offset("user_heap", "heap"));
            const [from, , , length] = layout.structs.process.fields.name, rows = heap.descs();
            const small = heap.heapField("small_frames"), large = heap.heapField("large_frames");
            found.push({ pid: word(process + offset("process", "pid")), name: text(process + from, length),
                frames: small + large, live: rows.reduce((sum, row) => sum + row.live, 0),
                descs: rows.map((row) => [row.size, row.perArena, row.arenas, row.free, row.live]) });
        }
        at = word(at + next);
    }
    return found;
}
