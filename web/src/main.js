// main.js - the page: puts the machine, its history and the views together.
//
// One position of the history is on show. It follows the newest event ("live") until one goes elsewhere. Drawing is
// asked for by invalidate() and done some times a second, so the guest's speed does not depend on it. window.granary is
// the same object that the buttons use, for tests and for those who want to ask from the browser's console.
import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import "./style.css";
import { BUILDS, json, kernel } from "./assets.js";
import { Guide } from "./guide.js";
import { Owners } from "./history.js";
import { hex } from "./layout.js";
import { Machine } from "./machine.js";
import { build, fill, fillReading } from "./page.js";
import { parse, run } from "./script.js";
import { texts } from "./texts.js";
import { readTrace, traceName } from "./trace.js";
import { ArenasView, PoolsView } from "./views.js";

const EVENTS = "events=com2", COMMAND_LINE = `demo=no ${EVENTS}`, BY = ["state", "size", "thread", "age"];
const SLOWLY_MS = 250, EVENTS_SHOWN = 60, LOOK_BACK = 64, REDRAW_MS = 60, DRAW_SHARE = 5, PROMPT = "granary> ";

// Troubles after which another machine may be started.
const ENDED = ["panicked", "halted", "restarted", "hung", "crashed"];

// Pixels of the terminal's letters, which grow with the page's.
const letters = () => Math.round(0.8 * parseFloat(getComputedStyle(document.documentElement).fontSize));

class Page {
    constructor() {
        this.language = new URLSearchParams(location.search).get("lang") ??
            (navigator.language.startsWith("zh") ? "zh" : "en");
        this.build = "fast"; // or "checked"
        this.follow = true;
        this.playing = null;
        this.size = 0; // the block size whose arenas are on show; 0: the last event's
        this.by = "state";
        this.ready = new Promise((resolve) => { this.isReady = resolve; });
        this.trouble = null;
        this.goal = null;
        this.texts = []; // to read: web/reading.mjs
        this.guide = new Guide(this);
    }

    t(key, ...values) {
        return texts(this.language)(key, ...values);
    }

    // ---- start ------------------------------------------------------------------------------------

    async start() {
        this.show();
        if (typeof WebAssembly !== "object") {
            this.setTrouble("noWasm");
            return;
        }
        this.say("loading");
        const asked = new URLSearchParams(location.search);
        try {
            const build = Object.hasOwn(BUILDS, asked.get("build")) ? asked.get("build") : this.build;
            [this.texts] = await Promise.all([json("reading.json"), this.use(build)]);
            this.read();
        } catch (error) {
            this.setTrouble("noAssets", error.message);
            return;
        }
        const toTour = new URLSearchParams(location.hash.slice(1)).has("tour"); // it starts a machine of its own
        if (!toTour && !this.boot(asked.get("args") ?? COMMAND_LINE)) return;
        window.addEventListener("hashchange", () => {
            this.readLink();
            if (/read=|tour=/.test(location.hash)) this.e.reading.scrollIntoView({ block: "center" });
        });
        window.addEventListener("error", (event) => {
            if (!/wasm|v86/i.test(event.error?.stack ?? "")) return; // the page's own mistakes are not hidden
            event.preventDefault();
            if (this.machine.processor.doubleFault(event.error)) {
                this.machine.emulator.run();
                return;
            }
            this.machine.trouble("crashed", event.message);
        });
        this.readLink();
    }

    // From the next start on it is this build's kernel.
    async use(build) {
        this.assets = await kernel(build);
        this.build = build;
        this.e.checked.checked = build === "checked";
    }

    get layout() {
        return this.machine?.layout ?? this.assets?.layout;
    }

    // Another build's machine. The address says which, so that a link leads to the same.
    async restart(build) {
        try {
            await this.use(build);
        } catch (error) {
            this.e.checked.checked = this.build === "checked";
            this.tell(this.t("noAssets", error.message));
            return;
        }
        const address = new URL(location.href);
        address.searchParams.set("build", build);
        window.history.replaceState(null, "", address);
        this.boot(COMMAND_LINE);
    }

    // Starts a machine, in place of the one before; `tour`: a Tour to be walked in it. False if it cannot be.
    boot(args, disk, tour = null) {
        this.machine?.stop();
        this.startedWith = tour ? COMMAND_LINE : args;
        this.owners = null;
        this.trouble = null;
        this.follow = true;
        this.stopPlaying();
        this.e.trouble.textContent = "";
        this.e.again.hidden = true;
        this.terminal.reset();
        this.guide.begin(tour);
        this.say("booting");
        this.machine = new Machine(this.assets.layout, {
            text: (char) => this.terminal.write(char),
            begun: () => tour?.begin(this.machine.processor),
            picture: (event) => this.picture(event),
            trouble: (kind, detail) => this.setTrouble(kind, detail),
        });
        try {
            this.machine.start(this.assets, args.includes("events=") ? args : `${args} ${EVENTS}`, disk);
        } catch (error) {
            this.setTrouble("noStart", error.message);
            return false;
        }
        return true;
    }

    // A file that was dropped or chosen: replayed by a machine that starts anew.
    async openTrace(file) {
        const { fault, operations, disk } = readTrace(await file.arrayBuffer());
        if (!this.assets || fault) {
            this.tell(`${file.name}: ${this.t(...fault ?? ["loading"])}`);
            return;
        }
        this.boot(`demo=no replay=${traceName(file.name)}`, disk);
        this.tell(this.t("replaying", file.name, operations));
    }

    // #event=9000&size=512&by=thread, #tour=first-malloc&step=3: where a link leads. An event that is yet to come is
    // waited for.
    readLink() {
        const link = new URLSearchParams(location.hash.slice(1)), number = (name) => Number(link.get(name) ?? NaN);
        if (link.has("tour")) {
            const walks = this.guide.lead(link.get("tour"), Math.trunc(number("step")) || 1);
            if (!walks && !this.machine) this.boot(COMMAND_LINE);
            return;
        }
        if (link.has("read")) this.read(link.get("read"));
        if (number("size") > 0) this.size = number("size");
        if (BY.includes(link.get("by"))) this.e.by.value = this.by = link.get("by");
        this.goal = number("event") >= 0 ? Math.trunc(number("event")) : null;
        if (this.history) this.reachGoal();
    }

    // Goes to the event that the link names, if it has come.
    reachGoal() {
        if (this.goal === null || this.goal > this.history.length) return;
        const goal = this.goal;
        this.goal = null;
        this.seek(goal);
    }

    // The link to what is on show.
    link() {
        if (this.guide.here) return `#${new URLSearchParams(this.guide.link())}`;
        const read = this.open && this.open !== this.texts[0] ? { read: this.open.id } : {};
        return `#${new URLSearchParams({ event: this.history.position, size: this.size || this.lastSize || 16,
            by: this.by, ...read })}`;
    }

    // Builds the page's elements, in the chosen language.
    show() {
        document.documentElement.lang = this.language === "zh" ? "zh-Hans" : "en";
        document.title = this.t("title");
        const root = document.getElementById("page");
        const terminal = this.terminal?.element;
        this.e = build(root, (...words) => this.t(...words), this);
        if (terminal) this.e.terminal.append(terminal);
        else this.openTerminal();
        const on = { point: (view) => this.point(view), choose: (cell) => this.choose(cell) };
        this.pools = new PoolsView(this.e.pools, on);
        this.arenas = new ArenasView(this.e.arenas, on);
        fillReading(this);
        if (this.trouble) this.setTrouble(...this.trouble);
        if (this.drawn) this.say("point");
        this.invalidate();
    }

    openTerminal() {
        this.terminal = new Terminal({ cols: 80, rows: 24, fontSize: letters(), convertEol: false,
            screenReaderMode: false });
        const fit = new FitAddon();
        this.terminal.loadAddon(fit);
        this.terminal.open(this.e.terminal);
        this.terminal.attachCustomKeyEventHandler((event) => {
            if (event.key === "Tab" && event.shiftKey) return false; // the browser's: back
            if (event.key !== "Escape") return true;
            if (event.type === "keydown") this.e.tries.querySelector("button").focus();
            return false;
        });
        this.terminal.onData((text) => this.machine?.type(text));
        const resize = () => {
            this.terminal.options.fontSize = letters();
            try {
                fit.fit();
            } catch { /* not on the screen yet */ }
        };
        resize();
        window.addEventListener("resize", () => {
            resize();
            this.invalidate();
        });
        matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.invalidate());
        document.addEventListener("dragover", (event) => event.preventDefault());
        document.addEventListener("drop", (event) => {
            event.preventDefault();
            if (event.dataTransfer.files[0]) this.openTrace(event.dataTransfer.files[0]);
        });
        document.addEventListener("visibilitychange", () => this.visibility());
    }

    // ---- what happens -----------------------------------------------------------------------------

    picture(event) {
        if (!this.owners) this.owners = new Owners(this.machine.history, this.layout.eventKinds);
        this.reachGoal();
        if (this.follow && event && this.wanted(event)) {
            this.follow = false;
            this.machine.history.seek(this.machine.history.length);
            this.sayStopped(event);
        }
        this.invalidate();
    }

    // Does the condition of "stop when" hold for this call?
    wanted(event) {
        const what = this.e.when.value, value = Number(this.e.value.value);
        const desc = () => this.heap.descs().find((row) => row.size >= event.size)?.size;
        return what === "refused" ? event.refused : what === "size" ? event.size === value
            : what === "thread" ? event.tid === value : what === "desc" ? event.size > 0 && desc() === value
                : what === "address" ? event.pointer === value || event.result === value : false;
    }

    setTrouble(kind, detail = "") {
        this.trouble = [kind, detail];
        this.e.trouble.textContent = this.t(kind, detail);
        this.e.again.hidden = !ENDED.includes(kind);
        this.invalidate();
    }

    visibility() {
        if (!this.machine?.emulator || this.trouble) return;
        this.machine.pause(document.hidden);
        this.say(document.hidden ? "hidden" : "point");
    }

    get heap() {
        return this.machine?.heap;
    }

    get history() {
        return this.machine?.history;
    }

    // ---- where in time ----------------------------------------------------------------------------

    seek(position) {
        this.stopPlaying();
        this.follow = false;
        this.history.seek(position);
        this.draw();
        return this.history.position;
    }

    step(count) {
        if (this.history) this.seek(this.history.position + count);
    }

    live() {
        this.stopPlaying();
        this.follow = true;
        this.invalidate();
    }

    slowly() {
        if (this.playing) {
            this.stopPlaying();
            this.draw();
            return;
        }
        if (!this.history) return;
        this.follow = false;
        this.playing = setInterval(() => {
            this.history.seek(this.history.position + 1);
            const entry = this.history.entry(this.history.position - 1);
            if (entry?.kind !== null && entry && this.wanted(entry)) {
                this.stopPlaying();
                this.sayStopped(entry);
            }
            this.draw();
        }, SLOWLY_MS);
        this.draw();
    }

    stopPlaying() {
        clearInterval(this.playing);
        this.playing = null;
    }

    // Puts the link into the address bar, from where it can be copied.
    share() {
        if (!this.history) return;
        window.history.replaceState(null, "", this.link());
        this.say("linked");
    }

    // ---- pointing ---------------------------------------------------------------------------------

    // The sentence of `who`, as of the event on show.
    who(address) {
        return this.heap ? this.heap.who(Number(address), this.history.threads.at(this.history.position)) : "";
    }

    // What stands in the line at the bottom: a text, or a function of the picture on show.
    tell(said) {
        this.said = typeof said === "function" ? said : () => said;
        this.fillSaid();
    }

    say(key) {
        this.tell(this.t(key));
    }

    fillSaid() {
        const text = this.said();
        if (this.e.who.textContent !== text) this.e.who.textContent = text; // it is read aloud when it is written
    }

    sentence(address) {
        return `${hex(address)}: ${this.who(address)}`;
    }

    // At the cell that a view has the pointer on.
    point(view) {
        this.tell(() => view.pointed && this.heap ? this.cellText(view.pointed) : this.t("point"));
    }

    cellText(cell) {
        const { PG_SIZE } = this.layout.constants;
        const address = cell.address ?? this.heap.heapField("base") + cell.frame * PG_SIZE;
        if (cell.pool === 1) return this.heap.whoUser(cell.frame);
        const owner = cell.state === "live" && !this.layout.checked && // else the sentence has it
            this.owners.at(this.history.position).get(address);
        return this.sentence(address) +
            (owner ? `; ${this.t("size")} ${owner.size}, ${this.t("threadIs", owner.tid)}` : "");
    }

    // The block that a call was about, as it is in the picture on show.
    pointEvent(n) {
        const entry = this.history.entry(n), address = entry && (entry.result || entry.pointer);
        if (address) this.tell(() => this.sentence(address));
    }

    choose(cell) {
        if (cell.pool !== 0) return;
        const arena = this.heap.arenas().find((each) => each.frame === cell.frame);
        if (arena?.size) this.chooseSize(arena.size);
    }

    chooseSize(size) {
        this.size = size;
        this.invalidate();
    }

    // Why it stopped, as long as it stands there, and what the call's pointer is.
    sayStopped(event) {
        const address = event.result || event.pointer, { position } = this.history;
        this.tell(() => (this.history.position === position ? `${this.t("stopped")} ` : "") + this.sentence(address));
    }

    // ---- reading ----------------------------------------------------------------------------------

    // Opens a text; one that there is not leaves the open one, or the first.
    read(id) {
        this.open = this.texts.find((text) => text.id === id) ?? this.open ?? this.texts[0];
        fillReading(this);
    }

    // The exhibit that is open, at the prompt. The page stops at the refused call, if there is one.
    commitBug(fixed) {
        if (!this.open?.bug || !this.machine) return;
        this.live();
        this.e.when.value = fixed ? "" : "refused";
        this.type(`bugs ${this.open.bug}${fixed ? " fixed" : ""}\r`);
    }

    // ---- one's own ----------------------------------------------------------------------------------

    async runScript(text) {
        const { fault, calls } = parse(text);
        if (fault || !this.history || !this.atPrompt()) {
            this.tell(this.t(...fault ?? ["notAtPrompt"]));
            return;
        }
        const machine = this.machine;
        this.live();
        try {
            await run(calls, (line) => this.ask(line));
            this.tell(this.t("scriptDone", calls.length));
        } catch { // another machine was started, or this one has ended
            if (machine === this.machine) this.tell(this.t("notAtPrompt"));
        }
    }

    atPrompt() {
        return this.console().endsWith(PROMPT);
    }

    // Types a line; resolves to the result of the last call once the prompt is back.
    ask(line) {
        const machine = this.machine, before = machine.text.length;
        machine.type(`${line}\r`);
        return new Promise((resolve, reject) => {
            const look = setInterval(() => {
                const over = machine !== this.machine || this.trouble;
                if (!over && !(machine.text.length > before + line.length && machine.text.endsWith(PROMPT))) return;
                clearInterval(look);
                if (over) reject(new Error("the machine has ended"));
                else resolve(this.newestResult());
            }, 10);
        });
    }

    newestResult() {
        for (let n = this.history.length - 1; n >= 0; n--) {
            const entry = this.history.entry(n);
            if (entry.kind !== null) return entry.result;
        }
        return 0;
    }

    // ---- drawing ----------------------------------------------------------------------------------

    invalidate() {
        if (this.asked) return;
        this.asked = true;
        // Most of the time is the guest's, however slow drawing is.
        const pause = Math.max(REDRAW_MS, DRAW_SHARE * (this.drawTook ?? 0));
        const wait = Math.max(0, (this.drawnAt ?? 0) + pause - performance.now());
        setTimeout(() => requestAnimationFrame(() => {
            this.asked = false;
            this.drawnAt = performance.now();
            if (this.follow && this.history) this.history.seek(this.history.length);
            this.draw();
            this.drawTook = performance.now() - this.drawnAt;
        }), wait);
    }

    // What the last event changed: frames of each pool, descriptors.
    changes() {
        const pools = [new Set(), new Set()], descs = new Set(), { list } = this.machine.regions;
        const descs0 = this.layout.offset("heap", "block_descs");
        for (const word of this.history.changed(this.history.position - 1)) {
            const region = list.findLast((each) => each.word <= word), into = (word - region.word) * 4;
            if (region.name === "arenas") pools[0].add(Math.floor(into / this.layout.size("arena")));
            if (region.name === "kernel frames") pools[0].add(Math.floor(into / this.layout.size("frame")));
            if (region.name === "blocks") pools[0].add(Math.floor(into / this.layout.constants.PG_SIZE));
            if (region.name === "user frames") pools[1].add(Math.floor(into / this.layout.size("frame")));
            if (region.name === "heap" && into >= descs0) {
                descs.add(Math.floor((into - descs0) / this.layout.size("memory_block_desc")));
            }
        }
        return { pools, descs };
    }

    draw() {
        const history = this.history;
        if (!history) return;
        const position = history.position, last = this.lastCall(), changes = this.changes();
        const rows = this.heap.descs();
        const size = this.size || this.sizeOf(rows);
        this.lastSize = size;
        const lit = last ? this.heap.blockStart(last.result || last.pointer) : 0;
        this.pools.show(this.heap, changes.pools);
        this.arenas.show(this.heap, size, this.by, this.ownersOfBlocks(), position, lit, this.t("more"));
        fill(this, { rows, size, changes, last, position, count: EVENTS_SHOWN });
        this.fillSaid();
        if (!this.drawn) {
            this.drawn = true;
            this.say("point");
            this.isReady();
        }
    }

    // By where their blocks begin: in the checked build a call returns an address inside its block.
    ownersOfBlocks() {
        const owners = this.owners.at(this.history.position);
        if (!this.layout.checked) return owners;
        return new Map([...owners].map(([address, owner]) => [this.heap.blockStart(address), owner]));
    }

    // The last call on show, or null: what led to this picture may have been a change without one.
    lastCall() {
        const position = this.history.position;
        for (let n = position - 1; n >= 0 && n >= position - LOOK_BACK; n--) {
            const entry = this.history.entry(n);
            if (entry.kind !== null) return entry;
        }
        return null;
    }

    // The block size that is on show when none was chosen: that of the newest call whose arena is there. It follows
    // from the position alone, so that the same position gives the same picture.
    sizeOf(rows) {
        const arenas = this.heap.arenas().filter((arena) => arena.size);
        for (let n = this.history.position - 1; n >= 0 && n >= this.history.position - LOOK_BACK; n--) {
            const entry = this.history.entry(n), address = entry.result || entry.pointer;
            const found = arenas.find(({ base, size, blocks }) => address >= base && address < base + size * blocks);
            if (found) return found.size;
        }
        return rows[0]?.size ?? 16;
    }

    // ---- for tests --------------------------------------------------------------------------------

    state() {
        return { events: this.history?.position ?? 0, ...this.heap?.state() };
    }

    type(text) {
        this.machine.type(text);
    }

    console() {
        return this.machine?.text ?? "";
    }
}

const page = new Page();
window.granary = page;
page.start();
