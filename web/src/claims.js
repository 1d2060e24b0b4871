// claims.js - what a tour says of the machine, looked up in the machine: the rules of tools/tour/claims.py.
//
// A claim is an expression of Python over a few names (the list is at the head of claims.py). parse() reads as much of
// Python as claims use, with Python's order of operators; World gives the names their values, from the guest's memory
// and registers. A claim holds if its value is True: a number is not. One that cannot be evaluated does not hold, and
// its value says why; nothing here throws on any text or any memory.
const TOKEN = /\s*(?:(0x[0-9a-f]+|\d+)|([a-z_]\w*)|"([^"]*)"|(==|!=|<=|>=|<<|>>|\/\/|[-+*%&|~<>().,[\]]))/iy;
// Loosest first. A comparison is looser than & and |, unlike C's.
const LEVELS = [["or"], ["and"], ["not"], ["==", "!=", "<=", ">=", "<", ">"], ["|"], ["&"], ["<<", ">>"], ["+", "-"],
    ["*", "//", "%"]];
const COMPARE = 3, NOT = 2, DEPTH_MOST = 50;
const OPERATIONS = {
    "|": (a, b) => (a | b) >>> 0, "&": (a, b) => (a & b) >>> 0, "<<": (a, b) => a * 2 ** b,
    ">>": (a, b) => Math.floor(a / 2 ** b), "+": (a, b) => a + b, "-": (a, b) => a - b, "*": (a, b) => a * b,
    "//": (a, b) => Math.floor(a / b), "%": (a, b) => a - b * Math.floor(a / b),
    "==": (a, b) => same(a, b), "!=": (a, b) => !same(a, b), "<": (a, b) => a < b, ">": (a, b) => a > b,
    "<=": (a, b) => a <= b, ">=": (a, b) => a >= b,
};

function same(a, b) {
    return a instanceof Record && b instanceof Record ? a.address === b.address : a === b;
}

function tokens(text) {
    const found = [];
    TOKEN.lastIndex = 0;
    for (let at = 0; at < text.trimEnd().length; at = TOKEN.lastIndex) {
        const match = TOKEN.exec(text);
        if (!match) throw new SyntaxError(`not understood: ${text.slice(at).trim()}`);
        const [, number, name, string, sign] = match;
        found.push(number !== undefined ? { number: Number(number) } : string !== undefined ? { string }
            : { sign: sign ?? name, name });
    }
    return found;
}

// A tree: [kind, ...].
export function parse(text) {
    const list = tokens(text);
    let at = 0, deep = 0;
    const is = (...signs) => signs.includes(list[at]?.sign);
    const want = (sign) => {
        if (list[at++]?.sign !== sign) throw new SyntaxError(`a ${sign} is missing`);
    };
    function level(n) {
        if (n === LEVELS.length) return sign();
        if (n === NOT) return is("not") ? (at++, ["not", nested(() => level(n))]) : level(n + 1);
        let left = level(n + 1);
        if (n === COMPARE) return chain(left);
        while (is(...LEVELS[n])) left = [list[at++].sign, left, level(n + 1)];
        return left;
    }
    // a < b < c is a < b and b < c.
    function chain(first) {
        let tree = null, left = first;
        while (is(...LEVELS[COMPARE])) {
            const link = [list[at++].sign, left, level(COMPARE + 1)];
            tree = tree ? ["and", tree, link] : link;
            left = link[2];
        }
        return tree ?? first;
    }
    function nested(inner) {
        if (++deep > DEPTH_MOST) throw new SyntaxError("too deep");
        const tree = inner();
        deep--;
        return tree;
    }
    function sign() {
        if (is("~")) return (at++, ["-", ["-", ["number", 0], nested(sign)], ["number", 1]]);
        return is("-") ? (at++, ["-", ["number", 0], nested(sign)]) : postfix(atom());
    }
    function atom() {
        const token = list[at++];
        if (token?.sign === "(") {
            const tree = nested(() => level(0));
            want(")");
            return tree;
        }
        if (token?.number !== undefined) return ["number", token.number];
        if (token?.string !== undefined) return ["string", token.string];
        if (token?.name) return ["name", token.name];
        throw new SyntaxError("a value is missing");
    }
    function postfix(tree) {
        for (;;) {
            if (is("(")) {
                const given = [];
                at++;
                while (!is(")")) {
                    given.push(nested(() => level(0)));
                    if (!is(")")) want(",");
                }
                at++;
                tree = ["call", tree, given];
            } else if (is(".")) {
                at++;
                tree = ["field", tree, list[at]?.name];
                if (!list[at++]?.name) throw new SyntaxError("a field's name is missing");
            } else if (is("[")) {
                at++;
                tree = ["item", tree, nested(() => level(0))];
                want("]");
            } else return tree;
        }
    }
    const tree = level(0);
    if (at < list.length) throw new SyntaxError("not understood beyond its end");
    return tree;
}

// A structure in the machine's memory; a field is read when it is asked for.
class Record {
    constructor(world, kind, address) {
        Object.assign(this, { world, kind, address });
    }

    field(name) {
        const { layout, processor } = this.world, found = layout.structs[this.kind].fields[name];
        if (!found) throw new TypeError(`struct ${this.kind} has no field ${name}`);
        const [offset, bit, width, count, kind] = found, at = this.address + offset;
        if (kind === "struct") return at;
        if (kind === "text") {
            let text = "";
            for (let i = 0, byte; i < count && (byte = processor.byte(at + i)); i++) text += String.fromCharCode(byte);
            return text;
        }
        const values = Array.from({ length: count }, (_, i) => this.world.number(at + i * (width / 8), bit, width));
        return count === 1 ? values[0] : values;
    }
}

const truth = (value) => value !== false && value !== 0 && value !== "";

export class World {
    constructor(processor, layout) {
        this.processor = processor;
        this.layout = layout;
        this.remembered = new Map();
    }

    number(address, bit = 0, width = 32) {
        let value = 0;
        for (let i = ((bit + width + 7) >> 3) - 1; i >= 0; i--) {
            value = value * 256 + this.processor.byte(address + i);
        }
        return Math.floor(value / 2 ** bit) % 2 ** width;
    }

    record(kind, address) {
        return new Record(this, kind, address);
    }

    get page() {
        return this.layout.constants.PG_SIZE;
    }

    symbol(kind, name, index = 0) {
        return this.record(kind, this.layout.symbols[name] + index * this.layout.size(kind));
    }

    get heap() {
        return this.symbol("heap", "k_heap");
    }

    pool(name) {
        const index = ["kernel", "user"].indexOf(name);
        if (index < 0) throw new TypeError(`no pool is called ${name}`);
        return this.record("pool", this.number(this.layout.symbols.mem_pool + 4 * index));
    }

    desc(size) {
        const count = Math.min(this.heap.field("desc_count"), this.layout.constants.DESC_MAX);
        for (let i = 0; i < count; i++) {
            const found = this.record("memory_block_desc", this.heap.field("block_descs") +
                i * this.layout.size("memory_block_desc"));
            if (found.field("block_size") === size) return found;
        }
        throw new TypeError(`no descriptor has blocks of ${size} bytes`);
    }

    // The running program, in a kernel that has any.
    get program() {
        const at = this.layout.symbols.process_running;
        if (at === undefined) throw new TypeError("name program is not defined");
        return this.record("process", this.number(at));
    }

    arena(p) {
        const program = p < this.layout.constants.KERNEL_BASE && "process_running" in this.layout.symbols;
        const heap = program ? this.record("heap", this.program.field("heap")) : this.heap, at = heap.field("arena") +
            Math.floor((p - heap.field("base")) / this.page) * this.layout.size("arena");
        return this.record("arena", at - this.record("arena", at).field("back"));
    }

    block(p) {
        const arena = this.arena(p);
        return [arena, Math.floor((p - arena.field("base")) / this.number(arena.field("desc")))];
    }

    bit(p) {
        const [arena, number] = this.block(p);
        return (arena.field("map")[number >> 5] >>> (number & 31) & 1) === 1;
    }

    live(p) {
        const [arena, number] = this.block(p);
        return number < arena.field("carved") && !this.bit(p);
    }

    name(name) {
        if (this.remembered.has(name)) return this.remembered.get(name);
        const { processor, layout } = this, argument = /^arg([123])$/.exec(name);
        if (argument) return this.number(processor.get("esp") + 4 * Number(argument[1]));
        const report = () => this.symbol("heap_report", "heap_last_report");
        const values = {
            heap: () => this.heap, desc: () => (size) => this.desc(size), arena: () => (p) => this.arena(p),
            pool: () => (pool) => this.pool(pool), bit: () => (p) => this.bit(p), live: () => (p) => this.live(p),
            word: () => (p) => this.number(p), at: () => (record) => record.address,
            classic_desc: () => (size) => this.symbol("classic_block_desc", "classic_descs", 27 - Math.clz32(size)),
            classic_arena: () => (p) => this.record("classic_arena", Math.floor(p / this.page) * this.page),
            program: () => this.program, ...Object.fromEntries(["eax", "ebx", "ecx", "edx", "esp"].map((register) =>
                [register, () => processor.get(register)])), PAGE: () => this.page,
            HEAP_BASE: () => this.heap.field("base"),
            thread: () => this.record("thread", this.number(layout.symbols.current)),
            report: () => layout.faults[report().field("fault")], reported: () => report().field("pointer"),
            reports: () => this.number(layout.symbols.heap_report_count),
            entry: () => (p) => processor.entry(p), mapped: () => (p) => (processor.entry(p) & 1) === 1,
            mine: () => this.number(layout.symbols.scene_mine), others: () => this.number(layout.symbols.scene_others),
        };
        if (!Object.hasOwn(values, name)) throw new TypeError(`name ${name} is not defined`);
        return values[name]();
    }

    value([kind, ...rest]) {
        const value = (tree) => this.value(tree);
        if (kind === "number" || kind === "string") return rest[0];
        if (kind === "name") return this.name(rest[0]);
        if (kind === "not") return !truth(value(rest[0]));
        if (kind === "and" || kind === "or") {
            const left = value(rest[0]);
            return truth(left) === (kind === "or") ? left : value(rest[1]);
        }
        if (kind === "call") return value(rest[0])(...rest[1].map(value));
        if (kind === "item") return value(rest[0])[value(rest[1])];
        if (kind === "field") {
            const record = value(rest[0]);
            if (!(record instanceof Record)) throw new TypeError(`no record, so no field ${rest[1]}`);
            return record.field(rest[1]);
        }
        const [left, right] = rest.map(value);
        if (!["==", "!="].includes(kind) && (typeof left !== "number" || typeof right !== "number")) {
            throw new TypeError(`${kind} is for numbers`);
        }
        return OPERATIONS[kind](left, right);
    }

    // claims: [[name or null, expression]], in their order. Gives [{claim, value, holds}].
    check(claims) {
        return claims.map(([name, expression]) => {
            const claim = name ? `${name} = ${expression}` : expression;
            try {
                const value = this.value(parse(expression));
                if (value === undefined || Number.isNaN(value)) throw new TypeError("there is no such value");
                if (name) this.remembered.set(name, value);
                return { claim, value: show(value), holds: name !== null || value === true };
            } catch (error) {
                return { claim, value: error.message, holds: false };
            }
        });
    }
}

// As show() of claims.py.
function show(value) {
    if (typeof value === "boolean") return value ? "True" : "False";
    if (typeof value === "number") return value > 9999 ? `0x${value.toString(16)}` : String(value);
    return value instanceof Record ? `struct ${value.kind}` : String(value);
}
