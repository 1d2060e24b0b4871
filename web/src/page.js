// page.js - the page's elements: build() makes them, fill() writes what the picture of now says into them.
import { SCALE_COLOURS, threadColour } from "./views.js";
import { eventLine } from "./words.js";

// Lines for the prompt: a block, a double free, a bug that the fast build cannot see, threads at work, two answers.
const TRY = ["malloc 24", "bugs 1", "bugs 9", "watch 5 load", "descs", "map"];
const PROGRAMS = ["run spin sleeping &", "run heapdemo", "ps"];

function element(name, properties = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(properties)) {
        if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
        else made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
}

// The chapter of the book that says more on a view.
const CHAPTER = { console: "09-watching-it-live", pools: "04-frames-and-pools", arenas: "03-arena-and-block",
    descs: "02-from-size-to-descriptor", events: "07-freeing-and-refusing", threads: "08-threads-and-interrupts",
    own: "01-a-byte-is-asked-for", programs: "10-programs-and-their-heaps" };

function section(t, name, ...children) {
    const chapter = CHAPTER[name] ? [" ", element("a", { href: `#read=book/${CHAPTER[name]}` }, t("chapter"))] : [];
    return element("section", { "aria-labelledby": `${name}-head` }, element("h2", { id: `${name}-head` }, t(name)),
        element("p", {}, t(`${name}Lead`), ...chapter), ...children);
}

function options(t, pairs, chosen) {
    return pairs.map(([value, key]) => {
        const option = element("option", { value }, t(key));
        option.selected = value === chosen;
        return option;
    });
}

// Returns the elements that change.
export function build(root, t, page) {
    const e = {};
    e.trouble = element("p", { id: "trouble", role: "alert" });
    e.again = element("button", { type: "button", id: "again", hidden: "", onclick: () => page.boot(page.startedWith) },
        t("restart"));
    e.who = element("div", { id: "who", role: "status" });
    const canvas = (name) => element("canvas",
        { id: name, tabindex: "0", role: "img", "aria-label": t(`${name}Lead`) });
    e.terminal = element("div", { id: "terminal" });
    e.tries = element("div", { class: "row" }, t("try"), ...TRY.map((line) =>
        element("button", { type: "button", onclick: () => page.type(`${line}\r`) }, line)));
    e.pools = canvas("pools");
    e.arenas = canvas("arenas");
    e.report = element("p", { id: "report" });
    e.tables = element("tbody", { id: "tables" });
    e.tried = element("table", {}, element("caption", {}, t("tried")), element("thead", {}, element("tr", {},
        ...["table", "framesPeak", "footprint"].map((name) => element("th", {}, t(name))))), e.tables);
    e.key = element("p", { id: "key" });
    e.figures = element("p", { id: "figures" });
    e.noArena = element("p", {}, t("noArena"));
    e.descs = element("tbody", { id: "descs" });
    e.threads = element("tbody", { id: "threads" });
    e.events = element("ol", { id: "events" });
    e.programs = element("div", { id: "programs" });
    e.slider = element("input", { type: "range", min: "0", max: "0", value: "0", "aria-label": t("time"),
        oninput: () => page.seek(Number(e.slider.value)) });
    e.position = element("output", { id: "position" });
    const button = (key, does, id = key) => element("button", { type: "button", id, onclick: does }, t(key));
    e.slowly = button("slowly", () => page.slowly());
    e.live = button("followLive", () => page.live(), "live");
    e.by = element("select", { id: "by", onchange: () => { page.by = e.by.value; page.invalidate(); } },
        ...options(t, [["state", "byState"], ["size", "bySize"], ["thread", "byThread"], ["age", "byAge"]], page.by));
    e.when = element("select", { id: "when" }, ...options(t, [["", "never"], ["size", "whenSize"],
        ["thread", "whenThread"], ["desc", "whenDesc"], ["address", "whenAddress"], ["refused", "whenRefused"]], ""));
    e.value = element("input", { type: "text", id: "value", "aria-label": t("value"), placeholder: "24, 0x88000000" });
    e.reading = element("select", { id: "reading", "aria-label": t("reading"), onchange: () =>
        page.read(e.reading.value) });
    e.commit = button("commitBug", () => page.commitBug(false));
    e.twin = button("commitTwin", () => page.commitBug(true));
    e.walk = button("walkTour", () => page.guide.walk(page.guide.open));
    e.stopBack = button("stopBack", () => page.guide.reach(page.guide.shown - 1));
    e.stopNext = button("stopNext", () => page.guide.reach(page.guide.shown + 1));
    e.tourSaid = element("p", { id: "tourSaid", role: "status" });
    e.article = element("article", { lang: "en", tabindex: "0" });
    e.script = element("textarea", { id: "script", rows: "6", spellcheck: "false", "aria-label": t("own") });
    e.script.value = "a = malloc 24\nb = malloc 100\nfree a\nfree a        # refused\nfree b+8      # refused\nfree b";
    e.sizes = element("input", { type: "text", id: "sizes", value: "seed" });
    e.checked = element("input", { type: "checkbox", id: "checked", onchange: () =>
        page.restart(e.checked.checked ? "checked" : "fast") });
    e.checked.checked = page.build === "checked";
    e.file = element("input", { type: "file", id: "trace", accept: ".mtrace", onchange: () => {
        if (e.file.files[0]) page.openTrace(e.file.files[0]);
        e.file.value = "";
    } });
    const head = (...names) => element("thead", {}, element("tr", {}, ...names.map((name) => element("th",
        ["freeList", "name", "state"].includes(name) ? { class: "left" } : {}, t(name)))));
    root.replaceChildren(
        element("header", {}, element("h1", {}, t("title")), element("button", { type: "button", id: "language",
            onclick: () => { page.language = page.language === "zh" ? "en" : "zh"; page.show(); } }, t("language")),
        element("p", {}, t("lead"))),
        element("div", { id: "alarm", class: "row" }, e.trouble, e.again),
        section(t, "console", e.terminal, e.tries,
        element("label", { class: "row" }, t("trace"), e.file)),
        section(t, "pools", e.figures, element("div", { class: "tall" }, e.pools),
            element("p", {}, ...["hole", "unused", "small", "large", "other", "corrupt", "lit"].flatMap((kind) =>
                [element("span", { class: "pair" }, element("span", { class: `swatch ${kind}` }), t(kind)), " "]))),
        section(t, "arenas", element("label", { class: "row" }, t("colourBy"), e.by), e.key, e.noArena,
            element("div", { class: "tall" }, e.arenas)),
        section(t, "descs", element("div", { class: "tall" }, element("table", {},
            head("size", "perArena", "arenaCount", "free", "live", "freeList"), e.descs))),
        section(t, "events", element("div", { class: "tall", tabindex: "-1" }, e.events)),
        section(t, "own", e.script, element("div", { class: "row" }, button("runScript", () =>
            page.runScript(e.script.value))), element("label", { class: "row" }, t("sizesAre"), e.sizes,
        button("restart", () => page.boot(`demo=no sizes=${e.sizes.value.trim().replace(/\s+/g, ",")}`))),
        e.tried, element("label", {}, e.checked, " ", t("checkedBuild"))),
        section(t, "reading", element("div", { class: "row" }, e.reading, e.commit, e.twin, e.walk, e.stopBack,
            e.stopNext), e.tourSaid,
            element("div", { class: "tall" }, e.article)),
        section(t, "threads", element("table", {}, head("thread", "name", "state", "priority"), e.threads)),
        section(t, "programs", e.programs, element("div", { class: "row" }, t("try"), ...PROGRAMS.map((line) =>
            element("button", { type: "button", onclick: () => page.type(`${line}\r`) }, line)))),
        element("footer", {}, e.report, e.who, e.slider, element("div", { class: "row" }, e.position,
            button("first", () => page.seek(0)), button("back", () => page.step(-1)),
            button("forward", () => page.step(1)), e.slowly, e.live, button("link", () => page.share()),
            element("label", { class: "row" }, t("stopWhen"), e.when), e.value)));
    return e;
}

// What there is to read, and the text that is open.
export function fillReading(page) {
    const { e, texts, open } = page, t = (...words) => page.t(...words);
    e.reading.replaceChildren(...["book", "bugs", "tours"].map((group) => element("optgroup", { label: t(group) },
        ...texts.filter((text) => text.group === group).map((text) => {
            const option = element("option", { value: text.id }, text.title);
            option.selected = text === open;
            return option;
        }))));
    e.commit.hidden = e.twin.hidden = !open?.bug;
    e.article.innerHTML = open?.html ?? ""; // the project's own text, made by web/reading.mjs
    e.article.parentElement.scrollTop = 0;
    page.guide.fill();
}

const cell = (text, left) => element("td", left ? { class: left } : {}, String(text));

// What the colours of blocks say.
function fillKey({ e, by }, t) {
    const chip = (colour) => {
        const made = element("span", { class: "swatch" });
        made.style.background = colour;
        return made;
    };
    const scale = ["size", "age"].includes(by) ? SCALE_COLOURS.map(chip) : [];
    e.key.replaceChildren(...scale, scale.length ? " " : "", t({ state: "keyState", size: "keySize", age: "keyAge",
        thread: "keyThread" }[by]));
}

function threadCell(thread) {
    const chip = element("span", { class: "swatch" });
    chip.style.background = threadColour(thread.tid);
    return element("td", {}, chip, String(thread.tid));
}

export function fill(page, { rows, size, changes, last, position, count }) {
    const { e, history, heap } = page, t = (...words) => page.t(...words), state = heap.state();
    e.figures.textContent = t("figures", state.frames, state.small_frames, state.large_frames, state.live);
    fillKey(page, t);
    e.report.textContent = page.machine.reports.get(position - 1) ?? "";
    e.tried.hidden = page.machine.tables.size === 0;
    e.tables.replaceChildren(...[...page.machine.tables.values()].map(({ table, frames, footprint }) =>
        element("tr", {}, cell(table), cell(frames), cell(footprint))));
    e.noArena.hidden = page.arenas.count > 0;
    e.descs.replaceChildren(...rows.map((row) => {
        const list = row.list.join(" ") + (row.whole ? "" : " …?");
        const choose = () => page.chooseSize(row.size);
        const classes = `${row.size === size ? "chosen" : ""} ${changes.descs.has(row.index) ? "lit" : ""}`;
        return element("tr", { class: classes, onclick: choose },
            element("td", {}, element("button", { type: "button" }, String(row.size))),
            cell(row.perArena), cell(row.arenas), cell(row.free), cell(row.live), cell(list, "list"));
    }));
    e.threads.replaceChildren(...history.threads.at(position).map((thread) => element("tr",
        { class: last?.tid === thread.tid ? "lit" : "" }, threadCell(thread),
        cell(thread.name, "left"), cell(thread.state, "left"), cell(thread.priority))));
    e.slider.max = history.length;
    e.slider.value = position;
    e.position.textContent = t("timeOf", position, history.length) +
        (page.machine.reader.missing ? ` · ${t("missing", page.machine.reader.missing)}` : "");
    e.slowly.textContent = t(page.playing ? "pause" : "slowly");
    e.slowly.setAttribute("aria-pressed", String(page.playing !== null));
    e.live.setAttribute("aria-pressed", String(page.follow));
    fillPrograms(page, t, position);
    fillEvents(page, position, count);
}

function fillPrograms({ e, history }, t, position) {
    const list = history.programs.at(position);
    e.programs.replaceChildren(...list.map(({ pid, name, frames, live, descs }) => element("table", {},
        element("caption", {}, t("program", name, pid, frames, live)), element("thead", {}, element("tr", {},
            ...["size", "perArena", "arenaCount", "free", "live"].map((key) => element("th", {}, t(key))))),
        element("tbody", {}, ...descs.map((row) => element("tr", {}, ...row.map((value) => cell(value))))))),
    ...list.length ? [] : [element("p", {}, t("noProgram"))]);
}

function fillEvents(page, position, count) {
    const { history, layout, e } = page, items = [];
    const from = Math.min(history.length, Math.max(position + 10, Math.min(count, history.length)));
    for (let n = from - 1; n >= 0 && items.length < count; n--) {
        const item = element("button", { type: "button", onclick: () => page.seek(n + 1),
            onpointerenter: () => page.pointEvent(n), onfocus: () => page.pointEvent(n) },
            `${n + 1} ${eventLine(history.entry(n), layout, (...words) => page.t(...words))}`);
        if (n + 1 === position) item.setAttribute("aria-current", "true");
        items.push(element("li", {}, item));
    }
    e.events.replaceChildren(...items);
}

