// reading.mjs - the book, the tours and the museum's pages as one file for the page: [{id, group, title, html, bug}].
//
//   node reading.mjs MODULES DOCS OUT
//
// The texts are those of docs/, turned into HTML here, so that the page needs no parser. A link to another of these
// texts leads there within the page, one to the web stays, and any other is its words alone. Pictures are put inside.
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";

const [modules, docs, out] = process.argv.slice(2);
const { Marked } = createRequire(path.join(path.resolve(modules), "x.js"))("marked");
const GROUPS = ["book", "bugs", "tours"];

const files = GROUPS.flatMap((group) => fs.readdirSync(path.join(docs, group)).sort()
    .filter((name) => name.endsWith(".md") && name !== "README.md").map((name) => `${group}/${name.slice(0, -3)}`));

function picture(file) {
    if (!fs.existsSync(file)) return null;
    const bytes = fs.readFileSync(file);
    if (file.endsWith(".png")) return `data:image/png;base64,${bytes.toString("base64")}`;
    if (!file.endsWith(".svg")) return null;
    // A text stays one, a quarter shorter than in base64.
    const text = bytes.toString().replace(/\s+/g, " ");
    return `data:image/svg+xml;charset=utf-8,${text.replace(/[%#"&]/g, encodeURIComponent)}`;
}

const escape = (text) => text.replace(/[&<>"]/g, (char) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;",
    "\"": "&quot;" })[char]);

// A text of the project's own. Raw HTML in it, of which there is none today, is shown as text.
function html(id, text) {
    const from = path.posix.dirname(id);
    const renderer = {
        html: ({ text: raw }) => escape(raw),
        link({ href, tokens }) {
            const words = this.parser.parseInline(tokens);
            if (/^https?:/.test(href)) return `<a href="${escape(href)}" rel="noreferrer">${words}</a>`;
            const to = path.posix.join(from, href.split("#")[0]).replace(/\.md$/, "");
            return files.includes(to) ? `<a href="#read=${to}">${words}</a>` : words;
        },
        image({ href, text: words }) {
            const data = picture(path.join(docs, from, href));
            return data ? `<img src="${data}" alt="${escape(words)}">` : escape(words);
        },
    };
    return new Marked({ renderer }).parse(text);
}

const texts = files.map((id) => {
    const [, title, rest] = /^# (.*)\n([^]*)$/.exec(fs.readFileSync(path.join(docs, `${id}.md`), "utf8"));
    const bug = id.startsWith("bugs/") ? Number(/^bugs\/(\d+)/.exec(id)[1]) : 0;
    return { id, group: id.split("/")[0], title: title.replace(/`/g, ""), html: html(id, rest), bug };
});
fs.writeFileSync(out, JSON.stringify(texts));
