// regions.js - a copy of the parts of the guest's memory that hold the heap's records.
//
// The records lie in a few arrays; each is a region, and all regions are one array of words, so that "what changed" is
// a comparison and history is a list of words. Reading an address outside every region gives 0 and marks the copy as
// incomplete: what is decoded from it must not pass for the truth.
//
// One region may be copied in part: the heap's blocks, of which only the checked build's records are kept. Its other
// words are 0, and are not asked for.

export class Regions {
    // list: [{name, start, bytes, physical, part, covers}]: start a kernel address, both multiples of 4; physical: its
    // place in the guest's memory; part: it is copied in part; covers: of a page table, the first address that it maps.
    // words: a copy that there is already.
    constructor(list, words = null) {
        let next = 0;
        this.list = list.map((each) => {
            const region = { ...each, word: next };
            next += each.bytes / 4;
            return region;
        });
        this.wholeBytes = list.reduce((sum, { bytes, part }) => sum + (part ? 0 : bytes), 0);
        this.words = words ?? new Uint32Array(next);
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

    u32(address) {
        const at = this.place(address);
        if (at < 0 || at % 4) {
            this.missed++;
            return 0;
        }
        return this.words[at >> 2];
    }
}
