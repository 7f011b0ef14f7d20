// The list of all items: filtered and sorted here, for 20,000 rows are a matter of milliseconds and every key then
// answers at once. What is searched is looked for here in what the rows show, and then by the server in all that is
// said. Others' edits change single rows.

import { get } from "./api.js";
import { $, clock, counted, kept, make, options, percent, press, say } from "./page.js";
import { VirtualList } from "./virtual.js";

const ROW = 54; // pixels
const TYPED = 120; // ms without a key before the server searches

/** All filters as they are at first; those of controls are set by the ones with their name as `data-filter`. */
const CLEAR = {
  search: "", unreviewed: false, suspects: false, sort: "place", order: "up", tag: "", emotion: "", bucket: "", speaker: "",
  suspect: "", side: "", state: "kept", confidence: "", least: "", most: "",
};

const bucketsOf = (item) => Object.entries(item.buckets).map(([name, level]) => `${name}: ${level}`);

/** What there is to filter by of an item. */
const VALUES = {
  tag: (item) => item.tags, emotion: (item) => item.emotions, bucket: bucketsOf, speaker: (item) => item.speakers,
  suspect: (item) => item.suspects.map((suspect) => suspect.kind),
};

/** Whether an item passes a filter that is set. */
const PASSES = {
  unreviewed: (item) => !item.reviewed,
  suspects: (item) => item.suspects.length > 0,
  side: (item, side) => (item.side ?? "none") === side,
  state: (item, state) => state === "all" || Boolean(item.discarded) === (state === "discarded"),
  confidence: (item, most) => item.confidence !== null && item.confidence <= Number(most),
  least: (item, seconds) => item.duration >= Number(seconds),
  most: (item, seconds) => item.duration !== null && item.duration <= Number(seconds),
  ...Object.fromEntries(Object.entries(VALUES).map(([name, values]) => [name, (item, value) => values(item).includes(value)])),
};

const SORTS = {
  place: ["place", (item) => item.place],
  id: ["name", (item) => item.id],
  duration: ["length", (item) => item.duration],
  confidence: ["confidence", (item) => item.confidence],
  rate: ["words a second", (item) => item.rate],
  n_lines: ["lines", (item) => item.n_lines],
  tag: ["tag", (item) => item.tags[0] ?? null],
  speaker: ["speaker", (item) => item.speakers[0] ?? null],
  suspects: ["suspects", (item) => item.suspects.length],
  reviewed: ["reviewed", (item) => Number(item.reviewed)],
};

const plain = (text) => text.normalize("NFKC").toLowerCase();
const controls = () => document.querySelectorAll("[data-filter]");

export class List {
  /** @param {(id: string) => void} open an item was chosen. */
  constructor(open) {
    this.items = [];
    this.byId = new Map();
    this.found = [];
    this.current = null;
    this.people = new Map(); // author → id
    this.filters = { ...CLEAR };
    this.search = { query: "", ids: null, timer: 0 };
    this.rows = new VirtualList($("items"), (index) => this.row(this.found[index]), () => ROW);
    $("items").addEventListener("click", (event) => {
      const row = event.target.closest("[role=option]");
      if (row) open(this.found[Number(row.dataset.index)].id);
    });
    $("row").addEventListener("blur", () => this.mark(false));
    $("filters").addEventListener("toggle", () => this.choices());
    options($("sort"), Object.entries(SORTS).map(([value, [text]]) => [value, text]));
    for (const control of controls()) {
      control.addEventListener(control.tagName === "SELECT" ? "change" : "input", () => this.set(control.dataset.filter, control.value));
    }
  }

  /** Take all items, or those that changed. */
  take(items) {
    let fresh = false;
    for (const item of items) {
      const known = this.byId.get(item.id);
      if (known) Object.assign(known, item);
      else {
        fresh = true;
        this.byId.set(item.id, item);
        item.place = this.items.push(item);
      }
    }
    this.choices();
    // An item that was edited stays where it is in the list until filters are set again, or whoever marks clips as
    // reviewed would lose the place under the hand.
    if (fresh || !this.found.length) this.filter();
    else { this.rows.refresh(); this.count(); }
  }

  /** Count what there is to filter by, while it is looked at: of 20,000 items that takes a while. */
  choices(wanted = $("filters").open) {
    if (!wanted) return;
    for (const [name, values] of Object.entries(VALUES)) {
      const counts = new Map();
      for (const item of this.items) for (const value of new Set(values(item))) counts.set(value, (counts.get(value) ?? 0) + 1);
      const found = [...counts].sort((a, b) => (a[0] < b[0] ? -1 : 1)).map(([value, number]) => [value, `${value} (${number.toLocaleString("en")})`]);
      options($(`by-${name}`), [["", "any"], ...found]);
      $(`by-${name}`).closest("label").hidden = !found.length;
    }
  }

  /** Set filters that were remembered; a value that is no more is left out. */
  restore(filters) {
    this.filters = { ...CLEAR, ...filters };
    this.choices(true);
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
    if (filters.search.trim() !== this.search.query) this.look(filters.search.trim());
    const set = Object.entries(filters).filter(([name, value]) => PASSES[name] && value);
    this.found = this.items.filter((item) => set.every(([name, value]) => PASSES[name](item, value)) && this.isFound(item));
    const by = SORTS[filters.sort][1];
    const sign = filters.order === "down" ? -1 : 1;
    this.found.sort((a, b) => {
      const [x, y] = [by(a), by(b)];
      if (x === y) return a.place - b.place;
      if (x === null || y === null) return x === null ? 1 : -1; // what is unknown comes last, either way
      return x < y ? -sign : sign;
    });
    const active = Object.keys(CLEAR).filter((name) => !["search", "unreviewed", "suspects"].includes(name) && filters[name] !== CLEAR[name]);
    say($("active-filters"), active.length ? `· ${active.length} set` : "");
    this.rows.reset(this.found.length);
    this.mark(true);
    this.count();
  }

  words() { return plain(this.filters.search).split(/\s+/).filter(Boolean); }

  isFound(item) {
    if (this.search.ids) return this.search.ids.has(item.id);
    const shown = plain([item.id, item.text, ...item.speakers].join(" "));
    return this.words().every((word) => shown.includes(word));
  }

  /** Have the server search all texts. Until it answers, the list shows what is found in its rows. */
  look(query) {
    clearTimeout(this.search.timer);
    const search = this.search = { query, ids: null, timer: 0 };
    if (!query) return;
    search.timer = setTimeout(async () => {
      const answer = await get("api/search", { q: query }).catch(() => null); // what the rows show was searched
      if (!answer || search !== this.search) return; // another one is wanted by now
      search.ids = new Set(answer.ids);
      this.filter();
    }, TYPED);
  }

  /** The first line of an item in which most of what is searched is said; null without a search. */
  lineFound(item) {
    const words = this.words();
    const said = (line) => words.filter((word) => plain(line.text).includes(word)).length;
    const best = Math.max(0, ...item.lines.map(said));
    return best ? item.lines.find((line) => said(line) === best).id : null;
  }

  count() {
    const [all, shown] = [this.items.length, this.found.length];
    say($("count"), shown === all ? counted(all, "item") : `${shown.toLocaleString("en")} of ${counted(all, "item")}`);
  }

  get place() { return this.found.findIndex((item) => item.id === this.current); }

  mark(reveal) {
    const { place } = this;
    this.rows.choose(place, reveal);
    if (document.activeElement !== $("row")) $("row").value = place < 0 ? "" : place + 1;
  }

  /** The id in a row, counted from 1; else the next one from the current with a text in it. Null if there is none. */
  named(typed) {
    if (/^[1-9]\d*$/.test(typed) && typed <= this.found.length) return this.found[typed - 1].id;
    const next = this.place + 1;
    const turned = [...this.found.slice(next), ...this.found.slice(0, next)];
    return (typed && turned.find((item) => plain(item.id).includes(plain(typed)))?.id) || null;
  }

  choose(id) {
    this.current = id;
    this.mark(true);
  }

  /** The id that is `step` rows from the current one; null past an end. */
  neighbour(step) { return this.found[this.place < 0 ? 0 : this.place + step]?.id ?? null; }

  /** The next item below that nobody has reviewed, else the first above; null if all are. */
  nextUnreviewed() {
    const { place } = this;
    const turned = [...this.found.slice(place + 1), ...this.found.slice(0, Math.max(0, place))];
    return turned.find((item) => !item.reviewed && !item.discarded)?.id ?? null;
  }

  /** Somebody is at an item now. */
  here(author, id) {
    this.people.set(author, id);
    this.rows.refresh();
  }

  at(id) { return [...this.people].filter(([, place]) => place === id).map(([author]) => author); }

  row(item) {
    const row = make("div", `item${item.reviewed ? " reviewed" : ""}${item.discarded ? " discarded" : ""}`);
    const [head, text] = [make("div", "head"), make("div", "snippet")];
    const mark = make("span", "mark", item.discarded ? "✕" : item.reviewed ? "✓" : "");
    if (item.discarded || item.reviewed) mark.append(make("span", "hidden", item.discarded ? " discarded" : ` reviewed by ${item.reviewed_by}`));
    head.append(mark, make("span", "id", item.id));
    for (const author of this.at(item.id)) head.append(make("span", "person", author));
    if (item.suspects.length) {
      const suspect = make("span", "suspect", `⚠ ${item.suspects.length}`);
      suspect.title = item.suspects.map((one) => one.why).join("\n");
      suspect.append(make("span", "hidden", " suspects"));
      head.append(suspect);
    }
    head.append(make("span", "soft figures", item.duration === null ? "" : clock(item.duration, item.duration < 60 ? 1 : 0)));
    const facts = [
      item.side === "validation" && "validation", item.n_lines > 1 && `${item.n_lines} lines`, item.tags.length === 1 && `(${item.tags[0]})`,
      this.filters.sort === "confidence" && item.confidence !== null && percent(item.confidence),
      this.filters.sort === "rate" && item.rate !== null && `${item.rate.toFixed(1)} words/s`,
    ].filter(Boolean);
    if (facts.length) text.append(make("span", "soft", `${facts.join(" · ")} · `));
    text.append(item.text || (item.n_lines === null ? "not read yet" : "no words"));
    text.classList.toggle("soft", !item.text);
    row.append(head, text);
    return row;
  }
}
