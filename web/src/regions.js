// regions.js - a copy of the parts of the guest's memory that hold the heap's records.
//
// The records lie in a few arrays; each is a region, and all regions are one array of words, so that "what changed" is
// a comparison and history is a list of words. Reading an address outside every region gives 0 and marks the copy as
// incomplete: what is decoded from it must not pass for the truth.

export class Regions {
    // list: [{name, start, bytes}], start a kernel address, both multiples of 4.
    constructor(list) {
        let words = 0;
        this.list = list.map(({ name, start, bytes }) => {
            const region = { name, start, bytes, word: words };
            words += bytes / 4;
            return region;
        });
        this.words = new Uint32Array(words);
        this.bytes = new Uint8Array(this.words.buffer);
        this.missed = 0;
        this.last = null;
    }

    // Where an address is in `words`, in bytes; -1 if it is in no region.
    place(address) {
        const last = this.last;
        if (last && address >= last.start && address < last.start + last.bytes) {
            return last.word * 4 + address - last.start;
        }
        for (const region of this.list) {
            if (address >= region.start && address < region.start + region.bytes) {
                this.last = region;
                return region.word * 4 + address - region.start;
            }
        }
        return -1;
    }

    has(address, bytes = 4) {
        return this.place(address) >= 0 && this.place(address + bytes - 1) >= 0;
    }

    u32(address) {
        const at = this.place(address);
        if (at < 0 || at % 4) {
            this.missed++;
            return 0;
        }
        return this.words[at >> 2];
    }
}
