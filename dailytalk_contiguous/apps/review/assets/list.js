// The list of all items, in pages: filtered and sorted here, for 20,000 rows are a matter of milliseconds and every
// key then answers at once.

import { $, clock, counted, kept, make, options, press, reveal, say } from "./page.js";

const PAGE = 100; // rows

/** All filters as they are at first; those of controls are set by the ones with their name as `data-filter`. */
const CLEAR = {
  search: "", unreviewed: false, suspects: false, sort: "place", tag: "", emotion: "", speakers: "", state: "kept",
};

/** What there is to filter by of an item. */
const VALUES = ["tag", "emotion", "speakers"];

/** Whether an item passes a filter that is set. */
const PASSES = {
  search: (item, query) => plain(query).split(/\s+/).every((word) => plain([item.id, item.text, ...item.speakers].join(" ")).includes(word)),
  unreviewed: (item) => !item.reviewed,
  suspects: (item) => item.suspects.length > 0,
  state: (item, state) => state === "all" || Boolean(item.discarded) === (state === "discarded"),
};
for (const name of VALUES) PASSES[name] = (item, value) => item[name].includes(value);

const SORTS = {
  place: ["place", (item) => item.place],
  id: ["name", (item) => item.id],
  duration: ["length", (item) => item.duration],
  confidence: ["confidence, doubtful first", (item) => item.confidence],
  suspects: ["suspects, most first", (item) => -item.suspects.length],
};

const plain = (text) => text.normalize("NFKC").toUpperCase().trim(); // in which ß is SS
const controls = () => document.querySelectorAll("[data-filter]");

export class List {
  /** @param {(id: string) => void} open an item was chosen. */
  constructor(open) {
    Object.assign(this, { byId: new Map(), found: [], current: null, page: 0, filters: { ...CLEAR } });
    $("items").addEventListener("click", (event) => {
      const row = event.target.closest("[role=option]");
      if (row) open(row.dataset.id);
    });
    $("row").addEventListener("blur", () => this.mark());
    $("filters").addEventListener("toggle", () => this.choices());
    options($("sort"), Object.entries(SORTS).map(([value, [text]]) => [value, text]));
    for (const control of controls()) control.addEventListener("input", () => this.set(control.dataset.filter, control.value));
  }

  /**
   * Take all items, or those that changed. An item that was edited stays where it is in the list until filters are
   * set again, or whoever marks clips as reviewed would lose the place under the hand.
   */
  take(items) {
    const before = this.byId.size;
    for (const item of items) this.byId.set(item.id, { place: this.byId.size, ...this.byId.get(item.id), ...item });
    if (this.byId.size > before) this.filter();
    else this.draw();
  }

  /** Count what there is to filter by, while it is looked at: of 20,000 items that takes a while. */
  choices() {
    for (const name of VALUES) {
      const counts = new Map();
      for (const item of this.byId.values()) {
        for (const value of new Set(item[name])) counts.set(value, (counts.get(value) ?? 0) + 1);
      }
      const found = [...counts].sort().map(([value, number]) => [value, `${value} (${number.toLocaleString("en")})`]);
      options($(`by-${name}`), [["", "any"], ...found]);
      $(`by-${name}`).closest("label").hidden = !found.length;
    }
  }

  /** Set filters that were remembered; a value that is no more is left out. */
  restore(filters) {
    this.filters = { ...CLEAR, ...filters };
    this.choices();
    for (const control of controls()) {
      const name = control.dataset.filter;
      control.value = this.filters[name];
      if (control.tagName === "SELECT" && !control.value) this.filters[name] = control.value = CLEAR[name];
    }
    this.filter();
  }

  set(name, value) {
    this.filters[name] = value;
    this.filter();
  }

  toggle(name) { this.set(name, !this.filters[name]); }

  filter() {
    const { filters } = this;
    kept.write("filters", filters);
    for (const name of ["unreviewed", "suspects"]) press($(name), filters[name]);
    const set = Object.entries(filters).filter(([name, value]) => PASSES[name] && value);
    const items = [...this.byId.values()].filter((item) => set.every(([name, value]) => PASSES[name](item, value)));
    const [, by] = SORTS[filters.sort];
    items.sort((a, b) => {
      const [x, y] = [by(a), by(b)];
      if (x === y) return a.place - b.place;
      if (x === null || y === null) return x === null ? 1 : -1; // what is unknown comes last
      return x < y ? -1 : 1;
    });
    this.found = items.map(({ id }) => id);
    const [all, shown] = [this.byId.size, this.found.length];
    say($("count"), shown === all ? counted(all, "item") : `${shown.toLocaleString("en")} of ${counted(all, "item")}`);
    this.choose(this.current);
  }

  get place() { return this.found.indexOf(this.current); }

  /** Make an item the current one, and show its page. */
  choose(id) {
    this.current = id;
    this.turn(Math.floor(Math.max(0, this.place) / PAGE));
    reveal($("items"), $("items").querySelector("[aria-selected=true]"));
  }

  turn(page) {
    this.page = Math.min(Math.max(0, page), this.pages - 1);
    this.draw();
  }

  get pages() { return Math.max(1, Math.ceil(this.found.length / PAGE)); }

  /** The id that is `step` rows from the current one; null past an end. */
  neighbour(step) { return this.found[this.place < 0 ? 0 : this.place + step] ?? null; }

  /** The next item below that nobody has reviewed, else the first above; null if all are. */
  nextUnreviewed() {
    const { place } = this;
    const turned = [...this.found.slice(place + 1), ...this.found.slice(0, Math.max(0, place))];
    return turned.find((id) => !this.byId.get(id).reviewed && !this.byId.get(id).discarded) ?? null;
  }

  draw() {
    const first = PAGE * this.page;
    $("items").replaceChildren(...this.found.slice(first, first + PAGE).map((id, index) => this.row(this.byId.get(id), first + index)));
    $("pages").hidden = this.pages === 1;
    say($("page"), `Page ${this.page + 1} of ${this.pages}`);
    $("page-back").disabled = this.page === 0;
    $("page-on").disabled = this.page === this.pages - 1;
    this.mark();
  }

  /** Say which row is the current one. */
  mark() {
    const { place } = this;
    const row = $(`row-${place}`);
    if (row) $("items").setAttribute("aria-activedescendant", row.id);
    else $("items").removeAttribute("aria-activedescendant");
    if (document.activeElement !== $("row")) $("row").value = place < 0 ? "" : place + 1;
    $("previous-item").disabled = this.neighbour(-1) === null;
    $("next-item").disabled = this.neighbour(1) === null;
  }

  row(item, place) {
    const counts = { "aria-setsize": this.found.length, "aria-posinset": place + 1, "aria-selected": item.id === this.current };
    const facts = { id: `row-${place}`, "data-id": item.id, role: "option", ...counts };
    const row = make("div", `item${item.reviewed ? " reviewed" : ""}${item.discarded ? " discarded" : ""}`, "", facts);
    const head = make("div", "head");
    const [mark, said] = item.discarded ? ["✕", "discarded"] : item.reviewed ? ["✓", `reviewed by ${item.reviewed_by}`] : ["", ""];
    head.append(make("span", "mark", mark), make("span", "hidden", said), make("span", "id", item.id));
    if (item.suspects.length) head.append(make("span", "suspect", `⚠ ${item.suspects.map(({ kind }) => kind).join(", ")}`));
    head.append(make("span", "soft figures", item.duration === null ? "" : clock(item.duration, item.duration < 60 ? 1 : 0)));
    row.append(head, make("div", "snippet", item.text.slice(0, 200) || "no words"));
    return row;
  }
}
