// guide.js - the tours in the page: starts one, shows the stop one is at in its text, and marks what was found there.
//
// The guest is held at the newest stop (tour.js). Earlier ones can be gone back to: what was found there is kept, and
// the history has the picture. The text is the tour's own, made by web/reading.mjs: its second-level heads are the
// stops, and each list item that begins with code is a claim.
import { Tour } from "./tour.js";

export class Guide {
    constructor(page) {
        this.page = page;
        this.tour = null;
    }

    get names() {
        return Object.keys(this.page.assets?.layout.tours ?? {});
    }

    // The tour whose text is open, or null.
    get open() {
        const [group, name] = this.page.open?.id.split("/") ?? [];
        return group === "tours" && this.names.includes(name) ? name : null;
    }

    // Leads to a stop of a tour, as a link wants it. False if there is no such tour.
    lead(name, step) {
        if (!this.names.includes(name)) {
            this.page.tell(this.page.t("noTour", name, this.names.join(", ")));
            return false;
        }
        if (this.tour?.name === name && !this.lost) this.reach(step);
        else this.walk(name, step);
        return true;
    }

    // Walks a tour on a machine that starts anew, up to a stop.
    async walk(name, step = 1) {
        const { page } = this;
        try {
            await page.use("fast"); // a block is another thing in the checked build
        } catch (error) {
            page.tell(page.t("noAssets", error.message));
            return;
        }
        const tour = new Tour(page.assets.layout.tours[name], page.assets.layout, {
            stop: (number) => this.stopped(tour, number),
            over: () => this.fill(),
            lost: (number) => {
                this.lost = number;
                this.fill();
            },
        });
        tour.name = name;
        page.boot(`demo=no scene=${tour.tour.scene}`, undefined, tour);
        this.goal = step;
        page.read(`tours/${name}`);
    }

    // Another machine is started, with a tour or without.
    begin(tour) {
        this.tour = tour;
        this.shown = 0;     // the stop on show, from 1 on
        this.goal = 1;
        this.lost = 0;      // the stop that could not be reached
        this.places = [];   // of each stop: its position in the history
        this.fill();
    }

    // Called inside the guest's instruction.
    stopped(tour, number) {
        const { page } = this;
        if (tour !== this.tour) return;
        page.machine.picture(null);
        this.places.push(page.history.length);
        this.shown = number;
        page.follow = true;
        if (number < Math.min(this.goal, tour.stops.length)) setTimeout(() => tour.go());
        page.invalidate();
        this.fill();
    }

    // Goes to a stop: back to one, or on until it.
    reach(number) {
        if (!this.tour || this.lost) return;
        const known = this.places.length;
        if (number < known) {
            this.shown = Math.max(1, number);
            this.page.seek(this.places[this.shown - 1]);
        } else if (number === known && known) {
            this.shown = known;
            this.page.live();
        } else {
            this.goal = number;
            this.page.live();
            this.tour.go();
        }
        this.fill();
    }

    // What the link must say of it.
    link() {
        return this.tour && this.shown ? { tour: this.tour.name, step: this.shown } : {};
    }

    // ---- on the page ------------------------------------------------------------------------------

    get here() {
        return this.tour !== null && this.tour.name === this.open;
    }

    status() {
        const { tour, page } = this, t = (...words) => page.t(...words);
        if (!this.here) return this.open ? t("tourLead") : "";
        if (this.lost) return t("tourLost", this.lost);
        if (tour.over) return t("tourOver", tour.stops.length, tour.failed);
        if (!this.shown) return t("tourWay");
        const found = tour.found[this.shown - 1], failed = found.filter((result) => !result.holds).length;
        return t("tourStop", this.shown, tour.stops.length, found.length - failed, found.length);
    }

    fill() {
        const { e } = this.page;
        e.walk.hidden = !this.open;
        e.stopBack.hidden = e.stopNext.hidden = !this.here;
        e.stopBack.disabled = this.shown <= 1;
        e.stopNext.disabled = !this.here || this.lost > 0 || this.tour.over || !this.shown;
        e.tourSaid.textContent = this.status();
        this.mark(e.article);
    }

    mark(article) {
        article.querySelectorAll(".found").forEach((each) => each.remove());
        article.querySelectorAll("[aria-current]").forEach((each) => each.removeAttribute("aria-current"));
        if (!this.here) return;
        const heads = [...article.querySelectorAll("h2")];
        this.tour.found.slice(0, Math.max(this.shown, 0)).forEach((found, i) => this.markStop(heads[i], found));
        const head = heads[this.shown - 1];
        if (!head) return;
        head.setAttribute("aria-current", "step");
        const box = article.parentElement;
        box.scrollTop += head.getBoundingClientRect().top - box.getBoundingClientRect().top - 4;
    }

    // A claim's mark, and what was found there if it is more than a yes.
    markStop(head, found) {
        const claims = [];
        for (let at = head?.nextElementSibling; at && at.tagName !== "H2"; at = at.nextElementSibling) {
            claims.push(...[...at.querySelectorAll("li")].filter((each) => each.firstChild?.nodeName === "CODE"));
        }
        found.forEach(({ value, holds }, i) => {
            const mark = document.createElement("span");
            mark.className = `found ${holds ? "holds" : "fails"}`;
            mark.textContent = `${this.page.t(holds ? "holds" : "fails")}${value === "True" ? "" : ` [${value}]`}`;
            claims[i]?.append(" ", mark);
        });
    }
}
