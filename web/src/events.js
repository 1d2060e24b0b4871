// events.js - the records that the kernel writes to its second serial line (kernel/measure/events.h), byte by byte.
//
// Any bytes may come: what is no record is counted in `lost`, and the reader finds its place again at the next mark
// whose record is plausible. A gap in the numbers is counted, too, so that a picture can say that calls are missing.

export class EventReader {
    constructor(layout) {
        this.layout = layout;
        this.bytes = new Uint8Array(layout.constants.EVENT_BYTES);
        this.view = new DataView(this.bytes.buffer);
        this.used = 0;
        this.head = null;
        this.lost = 0;   // bytes that belong to no record
        this.missing = 0; // records that the numbers say there were
        this.number = null;
        this.magic = "HEVENTS1";
    }

    field(name) {
        const [at, , bits] = this.layout.structs.event.fields[name];
        return bits === 8 ? this.view.getUint8(at) : bits === 16 ? this.view.getUint16(at, true)
            : this.view.getUint32(at, true);
    }

    // The head or event that this byte completes, else null. A head is {head: true, ...}.
    feed(byte) {
        this.bytes[this.used++] = byte;
        while (this.used > 0 && !this.plausible()) this.drop(1);
        if (this.used < this.bytes.length) return null;
        const done = this.bytes[0] === this.layout.constants.EVENT_MARK ? this.event() : this.start();
        this.used = 0;
        return done;
    }

    drop(count) {
        this.bytes.copyWithin(0, count, this.used);
        this.used -= count;
        this.lost += count;
    }

    // Could what there is so far be the beginning of a head or a record?
    plausible() {
        const { EVENT_MARK, EVENT_REFUSED } = this.layout.constants;
        if (this.bytes[0] === EVENT_MARK) {
            return this.used < 2 || (this.bytes[1] & ~EVENT_REFUSED) < this.layout.eventKinds.length;
        }
        for (let i = 0; i < this.used && i < this.magic.length; i++) {
            if (this.bytes[i] !== this.magic.charCodeAt(i)) return false;
        }
        if (this.used < this.bytes.length) return true;
        const [at] = this.layout.structs.event_head.fields.bytes;
        return this.view.getUint32(at, true) === this.bytes.length;
    }

    start() {
        const word = (name) => this.view.getUint32(this.layout.structs.event_head.fields[name][0], true);
        this.head = { head: true, heapBase: word("heap_base"), heapBytes: word("heap_bytes") };
        this.number = 0;
        return this.head;
    }

    event() {
        const { EVENT_REFUSED } = this.layout.constants, kind = this.field("kind"), number = this.field("number");
        if (this.number !== null) this.missing += (number - this.number - 1) & 0xffff;
        this.number = number;
        return { kind: kind & ~EVENT_REFUSED, refused: (kind & EVENT_REFUSED) !== 0, number, tid: this.field("tid"),
            size: this.field("size"), pointer: this.field("pointer"), result: this.field("result"),
            caller: this.field("caller") };
    }
}
