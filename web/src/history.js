// history.js - the records at every event so far, kept as the words that changed.
//
// Entry n leads from picture n to picture n + 1; picture 0 is the first that was taken. `words` is the picture at
// `position`; going to another one writes the changed words in between, forwards their new values, backwards their old
// ones. With some ten words an event, 10^5 events are some 10^6 writes at the most.
//
// `latest` is the newest picture, which new memory is compared with.

class Growing {
    constructor(kind, room = 1024) {
        this.array = new kind(room);
        this.length = 0;
    }

    push(value) {
        if (this.length === this.array.length) {
            const more = new this.array.constructor(this.length * 2);
            more.set(this.array);
            this.array = more;
        }
        this.array[this.length++] = value;
    }
}

// What changes seldom, by the position from which on it is so.
class Moments {
    constructor() {
        this.list = []; // [{from, value, text}], in rising order of `from`
    }

    get newest() {
        return this.list[this.list.length - 1];
    }

    // False if it is as it was.
    set(from, value) {
        const text = JSON.stringify(value);
        if (this.newest?.text === text) return false;
        this.list.push({ from, value, text });
        return true;
    }

    at(position) {
        let low = 0, high = this.list.length;
        while (low < high) {
            const middle = (low + high) >> 1;
            if (this.list[middle].from <= position) low = middle + 1;
            else high = middle;
        }
        return low ? this.list[low - 1].value : [];
    }
}

const COLUMNS = ["kind", "tid", "size", "pointer", "result", "caller"];
export const OTHER = 255; // the kind of an entry that no heap call made: memory had changed at a line of the console
const REFUSED = 128; // is added to the kind of a call that was refused

export class History {
    constructor(words) {
        this.words = words;
        this.latest = new Uint32Array(words.length);
        this.index = new Growing(Uint32Array);  // of each changed word
        this.before = new Growing(Uint32Array);
        this.after = new Growing(Uint32Array);
        this.ends = new Growing(Uint32Array);   // of each entry: where its changes end
        this.columns = Object.fromEntries(COLUMNS.map((name) => [name, new Growing(Uint32Array)]));
        this.position = 0;
        this.threads = new Moments();
        this.programs = new Moments();
    }

    get length() {
        return this.ends.length;
    }

    // The first picture: copy(words) writes it. Twice, since most words may be 0 and need no memory until written.
    begin(copy) {
        copy(this.latest);
        copy(this.words);
        this.position = 0;
    }

    // One part of the newest picture: now[from] to now[to - 1], the first of which belongs at `word`. Eight words at a
    // time: nearly all of them are as they were, and this is what a picture costs.
    compare(word, now, from = 0, to = now.length) {
        const latest = this.latest, eights = to - (to - from) % 8;
        let at = word;
        for (let i = from; i < eights; i += 8, at += 8) {
            if ((latest[at] ^ now[i]) | (latest[at + 1] ^ now[i + 1]) | (latest[at + 2] ^ now[i + 2]) |
                (latest[at + 3] ^ now[i + 3]) | (latest[at + 4] ^ now[i + 4]) | (latest[at + 5] ^ now[i + 5]) |
                (latest[at + 6] ^ now[i + 6]) | (latest[at + 7] ^ now[i + 7])) this.note(at, now, i, i + 8);
        }
        this.note(at, now, eights, to);
    }

    note(at, now, from, to) {
        const latest = this.latest;
        for (let i = from; i < to; i++, at++) {
            if (latest[at] === now[i]) continue;
            this.index.push(at);
            this.before.push(latest[at]);
            this.after.push(now[i]);
            latest[at] = now[i];
        }
    }

    get pending() {
        return this.index.length - this.start(this.length);
    }

    start(entry) {
        return entry === 0 ? 0 : this.ends.array[entry - 1];
    }

    // Ends an entry: an event, or null for a change that no call made.
    commit(event) {
        const kind = event ? event.kind | (event.refused ? REFUSED : 0) : OTHER;
        for (const name of COLUMNS) this.columns[name].push(name === "kind" ? kind : event ? event[name] : 0);
        this.ends.push(this.index.length);
    }

    // Entry n: what led from picture n to n + 1. null outside.
    entry(n) {
        if (!(n >= 0 && n < this.length)) return null;
        const kind = this.columns.kind.array[n], value = (name) => this.columns[name].array[n];
        return { kind: kind === OTHER ? null : kind & ~REFUSED, refused: kind !== OTHER && (kind & REFUSED) !== 0,
            tid: value("tid"), size: value("size"), pointer: value("pointer"), result: value("result"),
            caller: value("caller") };
    }

    seek(target) {
        const to = Math.max(0, Math.min(this.length, Math.trunc(target) || 0)), words = this.words;
        const index = this.index.array, before = this.before.array, after = this.after.array;
        if (to > this.position) {
            const end = this.start(to);
            for (let i = this.start(this.position); i < end; i++) words[index[i]] = after[i];
        } else {
            const end = this.start(to);
            for (let i = this.start(this.position) - 1; i >= end; i--) words[index[i]] = before[i];
        }
        this.position = to;
        return to;
    }

    // The words that entry n changed.
    changed(n) {
        return n >= 0 && n < this.length ? this.index.array.subarray(this.start(n), this.start(n + 1)) : [];
    }

    get bytes() {
        return 12 * this.index.length + 28 * this.length;
    }
}

// Who asked for what lives at an address, at a position of a history: for colours by thread, size and age.
export class Owners {
    // kinds: the names of the kinds of calls, in their order.
    constructor(history, kinds) {
        this.history = history;
        this.free = kinds.indexOf("free");
        this.realloc = kinds.indexOf("realloc");
        this.reset();
    }

    reset() {
        this.position = 0;
        this.live = new Map();
    }

    at(position) {
        if (position < this.position) this.reset();
        const { kind, tid, size, pointer, result } = this.history.columns;
        for (let n = this.position; n < position; n++) {
            const what = kind.array[n];
            if (what & REFUSED) continue; // refused, or no call
            const moved = what === this.realloc && (result.array[n] || !size.array[n]);
            if (what === this.free || moved) this.live.delete(pointer.array[n]);
            if (result.array[n]) this.live.set(result.array[n], { tid: tid.array[n], size: size.array[n], born: n });
        }
        this.position = position;
        return this.live;
    }
}
