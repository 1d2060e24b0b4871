// tour.js - a tour under way in the page: which stop is next, where it is, and what was found there.
//
// The rules are those of tools/tour/walk.py: a stop is a function's first instruction, or `return`, the place to which
// the function of the stop before returns, with the stack as it is then. The stops and their claims come from the same
// files as the debuggers' tours, read by the same tool (web/map.py).
//
// One stop needs help. The scene `switch-inside` is interrupted after its first instruction by way of the trap flag,
// which v86 lacks; so the interrupt is raised from here, at the same place. What follows is the kernel's own doing.
import { World } from "./claims.js";

const JMP_REL32 = 0xe9, JMP_BYTES = 5, RAISED = "scene_interrupt";

export class Tour {
    // tour: {name, scene, stops: [{place, claims}]}; on: {stop(number, results), over(), lost(number)}
    constructor(tour, layout, on) {
        this.tour = tour;
        this.layout = layout;
        this.on = on;
        this.next = 0;      // the stop that the guest is on its way to
        this.found = [];    // of each stop that was reached: what World.check() said
        this.back = null;   // where the last function returns to, and the stack pointer after that
        this.over = false;
    }

    get stops() {
        return this.tour.stops;
    }

    get failed() {
        return this.found.flat().filter((result) => !result.holds).length;
    }

    // Is the guest held at the newest stop?
    get waits() {
        return this.processor?.held ?? false;
    }

    // The machine has its heap, and the scene is yet to run.
    begin(processor) {
        this.processor = processor;
        this.world = new World(processor, this.layout);
        this.arm();
    }

    // A stop where the guest is already is for the next time: it is looked for from that call's return on.
    arm() {
        const { place } = this.stops[this.next], { processor } = this;
        const address = place === "return" ? this.back?.address : this.layout.entries.get(place);
        if (!address) this.on.lost(this.next + 1);
        else if (address !== processor.get("eip")) processor.arm(address, () => this.hit());
        else processor.arm(this.back.address, () => false, () => this.arm());
    }

    hit() {
        const { place, claims } = this.stops[this.next], { processor } = this;
        if (place === "return" && processor.get("esp") !== this.back.esp) {
            this.on.lost(this.next + 1); // the same code, but another call's return
            return false;
        }
        this.found.push(this.world.check(claims));
        if (place !== "return") this.back = this.wayBack();
        this.next++;
        this.on.stop(this.next, this.found[this.next - 1]);
        return true;
    }

    // Where the function returns to, and esp then. A gate has an empty stack: it returns nowhere.
    wayBack() {
        const esp = this.processor.get("esp");
        try {
            return { address: this.processor.word(esp), esp: esp + 4 };
        } catch {
            return null;
        }
    }

    // To the next stop; from the last one to the scene's end.
    go() {
        if (!this.waits) return;
        this.processor.release(() => {
            if (this.next === this.stops.length) {
                this.over = true;
                this.on.over();
                return;
            }
            if (this.stops[this.next].place === RAISED) this.interruptLater(this.processor.get("eip"));
            else this.arm();
        });
    }

    // Raises the scene's interrupt one instruction after `at`, where the jump of kernel/measure/events.c stands.
    interruptLater(at) {
        const { processor } = this, { IRQ_BASE, SPARE_IRQ } = this.layout.constants;
        if (processor.byte(at) !== JMP_REL32) {
            this.on.lost(this.next + 1); // the events are off
            return;
        }
        const target = (at + JMP_BYTES + processor.word(at + 1)) >>> 0;
        processor.arm(target, () => false, () => {
            this.arm();
            processor.interrupt(IRQ_BASE + SPARE_IRQ);
        });
    }
}
