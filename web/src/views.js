// views.js - what is drawn on canvases: the pools frame by frame, a descriptor's arenas block by block.
//
// A view makes cells out of a Heap, {x, y, w, h, address, ...}, and draws them; pointing looks a cell up again, so that
// what one points at is what was drawn. Colours are those of M. Okabe and K. Ito (2008), which colour-blind people tell
// apart; and nothing is told by colour alone: fill height, strokes, dots and numbers say the same.
import { KINDS } from "./heap.js";

const GAP = 1;
const ARENAS_MAX = 48, AGE_STEP = 100; // events; a block as old as that is half way to the oldest colour
const COLOURS = { small: "#009e73", large: "#e69f00", other: "#56b4e9", corrupt: "#d55e00", lit: "#cc79a7" };
const SCALE = ["#0072b2", "#56b4e9", "#009e73", "#f0e442", "#e69f00", "#d55e00", "#cc79a7", "#999999"];

export const threadColour = (tid) => SCALE[tid % 7];

// Of the page's letters, which grow with the screen: 1 where they are 15 pixels high.
const scale = () => parseFloat(getComputedStyle(document.documentElement).fontSize) / 15;

function theme(canvas) {
    const style = getComputedStyle(canvas);
    return { ink: style.getPropertyValue("--ink").trim(), faint: style.getPropertyValue("--faint").trim(),
        ground: style.getPropertyValue("--ground").trim() };
}

// A canvas that one can point at, and walk with the arrow keys.
class CellView {
    // on: {point(view), choose(cell)}
    constructor(canvas, on) {
        this.canvas = canvas;
        this.on = on;
        this.cells = [];
        this.at = -1;
        canvas.addEventListener("pointermove", (event) => this.point(this.find(event.offsetX, event.offsetY)));
        canvas.addEventListener("pointerdown", (event) => {
            this.point(this.find(event.offsetX, event.offsetY));
            if (this.at >= 0) on.choose(this.cells[this.at]);
        });
        canvas.addEventListener("pointerleave", () => this.point(-1));
        canvas.addEventListener("keydown", (event) => this.key(event));
    }

    // The cell that is pointed at, or null: as it is now drawn.
    get pointed() {
        return this.cells[this.at] ?? null;
    }

    find(x, y) {
        return this.cells.findIndex((cell) => x >= cell.x && x < cell.x + cell.w + GAP && y >= cell.y &&
            y < cell.y + cell.h + GAP);
    }

    key(event) {
        const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns }[event.key];
        if (event.key === "Enter" && this.at >= 0) this.on.choose(this.cells[this.at]);
        if (!step || !this.cells.length) return;
        event.preventDefault();
        this.point(Math.max(0, Math.min(this.cells.length - 1, this.at < 0 ? 0 : this.at + step)));
    }

    point(at) {
        if (at === this.at) return;
        this.at = at;
        this.on.point(this);
        this.paint();
    }

    // Sets the canvas up for a height in CSS pixels; returns its context.
    prepare(height) {
        const ratio = window.devicePixelRatio || 1, width = this.canvas.clientWidth;
        this.canvas.style.height = `${height}px`;
        if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
            this.canvas.width = Math.round(width * ratio);
            this.canvas.height = Math.round(height * ratio);
        }
        const context = this.canvas.getContext("2d");
        context.setTransform(ratio, 0, 0, ratio, 0, 0);
        context.clearRect(0, 0, width, height);
        context.font = `${12 * scale()}px system-ui, sans-serif`;
        context.textBaseline = "top";
        return context;
    }

    outline(context, cell, colour, width) {
        context.strokeStyle = colour;
        context.lineWidth = width;
        context.strokeRect(cell.x - 0.5, cell.y - 0.5, cell.w + 1, cell.h + 1);
    }

    paint() {
        const context = this.prepare(this.height), colours = theme(this.canvas);
        this.draw(context, colours);
        for (const cell of this.cells) if (cell.lit) this.outline(context, cell, COLOURS.lit, 2);
        if (this.at >= 0 && this.cells[this.at]) this.outline(context, this.cells[this.at], colours.ink, 2);
    }
}

export class PoolsView extends CellView {
    // lit: for each pool the set of frames that the last event changed.
    show(heap, lit) {
        const width = this.canvas.clientWidth, pools = [0, 1].map((id) => heap.pool(id));
        const total = pools.reduce((sum, pool) => sum + pool.frames, 0) || 1;
        const size = scale(), room = width * 420 * size;
        const side = Math.max(4, Math.min(14 * size, Math.floor(Math.sqrt(room / total))));
        this.columns = Math.max(1, Math.floor(width / side));
        this.cells = [];
        this.titles = [];
        let y = 0;
        for (const pool of pools) {
            this.titles.push({ y, text: `${pool.name}: ${pool.usable} frames, ${pool.free} free` });
            y += 18 * size;
            const cells = heap.cells(pool.id, 0, pool.frames, pool.frames || 1);
            for (const [i, cell] of cells.entries()) {
                this.cells.push({ ...cell, pool: pool.id, x: (i % this.columns) * side,
                    y: y + Math.floor(i / this.columns) * side, w: side - GAP, h: side - GAP,
                    lit: lit[pool.id].has(cell.frame) });
            }
            y += Math.ceil(cells.length / this.columns) * side + 8;
        }
        this.height = y;
        this.paint();
    }

    draw(context, colours) {
        context.fillStyle = colours.ink;
        for (const title of this.titles ?? []) context.fillText(title.text, 0, title.y);
        for (const { x, y, w, h, kind, eighths } of this.cells) {
            const name = KINDS[kind];
            if (name === "hole") continue;
            context.fillStyle = colours.faint;
            context.fillRect(x, y, w, h);
            if (name === "free") continue;
            context.fillStyle = COLOURS[name];
            const part = name === "small" ? Math.max(1, Math.round(h * eighths / 8)) : h;
            context.fillRect(x, y + h - part, w, part);
            context.fillStyle = colours.ground;
            if (name === "large") context.fillRect(x, y + (h >> 1), w, 1);
            if (name === "other") context.fillRect(x + (w >> 1), y + (h >> 1), 1, 1);
            if (name === "corrupt") context.fillRect(x + (w >> 1), y, 1, h);
        }
    }
}

export class ArenasView extends CellView {
    // by: "state", "size", "thread" or "age"; owners: Map of address to {tid, size, born}.
    show(heap, size, by, owners, now, lit, more) {
        const width = this.canvas.clientWidth, arenas = heap.arenas(size);
        const blocks = arenas.length ? arenas[0].blocks : 1;
        const letters = scale(), side = Math.max(6, Math.min(28 * letters, Math.floor(width / Math.min(blocks, 64))));
        this.columns = Math.max(1, Math.min(blocks, Math.floor(width / side)));
        const waiting = heap.checked?.quarantine();
        this.cells = [];
        this.titles = [];
        let y = 0;
        for (const arena of arenas.slice(0, ARENAS_MAX)) {
            this.titles.push({ y, text: `frame ${arena.frame}: ${arena.blocks - arena.cnt} live` });
            y += 16 * letters;
            for (let block = 0; block < arena.blocks; block++) {
                const address = arena.base + block * arena.size;
                const record = heap.recordOf({ start: address, bytes: arena.size }, waiting);
                const state = heap.blockState(arena, block, record);
                this.cells.push({ address, state, pool: 0, frame: arena.frame, size: arena.size,
                    ...state === "live" ? paintOf(by, owners.get(address), arena.size, now) : {},
                    x: (block % this.columns) * side, y: y + Math.floor(block / this.columns) * side, w: side - GAP,
                    h: side - GAP, lit: lit === address });
            }
            y += Math.ceil(arena.blocks / this.columns) * side + 6;
        }
        if (arenas.length > ARENAS_MAX) this.titles.push({ y, text: `+ ${arenas.length - ARENAS_MAX} ${more}` });
        this.height = y + 18 * letters;
        this.count = arenas.length;
        this.paint();
    }

    draw(context, colours) {
        context.fillStyle = colours.ink;
        for (const title of this.titles ?? []) context.fillText(title.text, 0, title.y);
        const letters = scale();
        for (const { x, y, w, h, state, colour, part = 1, word } of this.cells) {
            context.fillStyle = colours.faint;
            context.fillRect(x, y, w, h);
            if (state === "live") {
                const high = Math.max(1, Math.round(h * part));
                context.fillStyle = colour;
                context.fillRect(x, y + h - high, w, high);
            }
            if (word && w >= 16 * letters) {
                context.fillStyle = "#000000";
                context.fillText(word, x + 3 * letters, y + (h - 12 * letters) / 2);
            }
            if (state === "free") { // it has come back: a stroke
                context.fillStyle = colours.ink;
                context.fillRect(x, y + h - 2, w, 1);
            }
            if (state === "in quarantine") { // freed, and kept back: a stroke in the middle
                context.fillStyle = colours.ink;
                context.fillRect(x, y + (h >> 1), w, 1);
            }
        }
    }
}

// How a live block is drawn: {colour, part of its height, word}. The same thread has the same colour each time.
function paintOf(by, owner, size, now) {
    if (by === "state") return { colour: COLOURS.small };
    if (!owner) return { colour: SCALE[7] };
    if (by === "thread") return { colour: threadColour(owner.tid), word: String(owner.tid) };
    const part = by === "size" ? owner.size / size : 1 - 1 / (1 + (now - owner.born) / AGE_STEP);
    return { colour: scaleColour(part), part: Math.max(part, 0.1) };
}

const scaleColour = (part) => SCALE[Math.min(5, Math.floor(part * 6))];
export const SCALE_COLOURS = SCALE.slice(0, 6);
