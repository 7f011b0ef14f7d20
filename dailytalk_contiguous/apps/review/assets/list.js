// The list of all items: filtered and sorted here, for 20,000 rows are a matter of milliseconds and every key then
// answers at once. What is searched is looked for here in what the rows show, and then by the server in all that is
// said. Others' edits change single rows.

import { get } from "./api.js";
import { $, clock, counted, kept, make, options, percent, press, say } from "./page.js";
import { VirtualList } from "./virtual.js";

const ROW = 54; // pixels
const TYPED = 120; // ms without a key before the server searches

const CLEAR = {
  search: "", unreviewed: false, suspects: false, sort: "place", order: "up", tag: "", emotion: "", bucket: "", speaker: "",
  suspect: "", side: "", state: "kept", confidence: "", least: "", most: "",
};

/** By name of the control: the field of the filters that it sets. */
const FIELDS = {
  search: "search", sort: "sort", order: "order", "by-tag": "tag", "by-emotion": "emotion", "by-bucket": "bucket", "by-speaker": "speaker",
  "by-suspect": "suspect", "by-side": "side", "by-state": "state", "most-confidence": "confidence",
  "least-seconds": "least", "most-seconds": "most",
};

const SORTS = {
  place: ["place", (item) => item.place],
  id: ["name", (item) => item.id],
  duration: ["length", (item) => item.duration],
  confidence: ["confidence", (item) => item.confidence],
  rate: ["words a second", (item) => item.rate],
  n_lines: ["lines", (item) => item.n_lines],
  tag: ["tag", (item) => item.tags[0] ?? null],
  speaker: ["speaker", (item) => named(item)[0] ?? null],
  suspects: ["suspects", (item) => item.suspects.length],
  reviewed: ["reviewed", (item) => Number(Boolean(item.reviewed))],
};

const plain = (text) => text.normalize("NFKC").toLowerCase();

// `speakers` is a list of names, or names by channel.
const named = (item) => Object.values(item.speakers ?? {}).filter(Boolean);

export class List {
  /** @param {object} hear open(id): an item was chosen. */
  constructor(hear) {
    this.hear = hear;
    this.items = [];
    this.byId = new Map();
    this.found = [];
    this.current = null;
    this.people = new Map(); // author → id
    this.filters = { ...CLEAR };
    this.search = { query: "", ids: null, timer: 0 };
    this.rows = new VirtualList($("items"), { render: (index) => this.row(this.found[index]), estimate: () => ROW, fixed: true });
    $("items").addEventListener("click", (event) => {
      const row = event.target.closest("[role=option]");
      if (row) hear.open(this.found[Number(row.dataset.index)].id);
    });
    $("row").addEventListener("blur", () => this.mark(false));
    $("filters").addEventListener("toggle", () => { if ($("filters").open) this.choices(); });
    options($("sort"), Object.entries(SORTS).map(([value, [text]]) => [value, text]));
    for (const [id, field] of Object.entries(FIELDS)) {
      $(id).addEventListener($(id).tagName === "SELECT" ? "change" : "input", () => { this.filters[field] = $(id).value; this.filter(); });
    }
  }

  /** Take all items, or those that changed. */
  take(items) {
    const fresh = items.filter((item) => !this.byId.has(item.id));
    for (const item of items) {
      const known = this.byId.get(item.id);
      if (known) Object.assign(known, item, { hay: undefined });
      else {
        item.place = this.items.length;
        this.items.push(item);
        this.byId.set(item.id, item);
      }
    }
    this.counted = false;
    if ($("filters").open) this.choices();
    // An item that was edited stays where it is in the list until filters are set again, or whoever marks clips as
    // reviewed would lose the place under the hand.
    if (fresh.length || !this.found.length) this.filter();
    else { this.rows.refresh(); this.count(); }
  }

  /** What there is to filter by, counted when it is looked at: of 20,000 items that takes a while. */
  choices() {
    if (this.counted) return;
    this.counted = true;
    const count = (values) => {
      const counts = new Map();
      for (const item of this.items) for (const value of new Set(values(item))) counts.set(value, (counts.get(value) ?? 0) + 1);
      return [...counts].sort((a, b) => (a[0] < b[0] ? -1 : 1)).map(([value, number]) => [value, `${value} (${number.toLocaleString("en")})`]);
    };
    const any = [["", "any"]];
    const fill = (id, values) => {
      const found = count(values);
      options($(id), any.concat(found));
      $(id).closest("label").hidden = !found.length;
    };
    fill("by-tag", (item) => item.tags ?? []);
    fill("by-emotion", (item) => item.emotions ?? []);
    fill("by-bucket", (item) => bucketsOf(item));
    fill("by-speaker", named);
    fill("by-suspect", (item) => item.suspects.map((suspect) => suspect.kind));
  }

  /** Set filters that were remembered. */
  restore(filters) {
    Object.assign(this.filters, filters);
    if (["tag", "emotion", "bucket", "speaker", "suspect"].some((name) => this.filters[name])) this.choices();
    for (const [id, field] of Object.entries(FIELDS)) {
      $(id).value = this.filters[field];
      if ($(id).tagName === "SELECT" && $(id).value !== String(this.filters[field])) this.filters[field] = $(id).value = CLEAR[field];
    }
    this.filter();
  }

  clear() { this.restore(CLEAR); }

  toggle(field) {
    this.filters[field] = !this.filters[field];
    this.filter();
  }

  filter() {
    const f = this.filters;
    kept.write("filters", f);
    press($("unreviewed"), f.unreviewed);
    press($("suspects"), f.suspects);
    const words = this.words();
    if (f.search.trim() !== this.search.query) this.look(f.search.trim());
    const number = (text) => (text === "" ? null : Number(text));
    const [confidence, least, most] = [number(f.confidence), number(f.least), number(f.most)];
    const passes = (item) => {
      if (f.state === "kept" ? item.discarded : f.state === "discarded" && !item.discarded) return false;
      if (f.unreviewed && item.reviewed) return false;
      if (f.suspects && !item.suspects.length) return false;
      if (f.tag && !item.tags?.includes(f.tag)) return false;
      if (f.emotion && !item.emotions?.includes(f.emotion)) return false;
      if (f.bucket && !bucketsOf(item).includes(f.bucket)) return false;
      if (f.speaker && !named(item).includes(f.speaker)) return false;
      if (f.suspect && !item.suspects.some((suspect) => suspect.kind === f.suspect)) return false;
      if (f.side && (item.side ?? "none") !== f.side) return false;
      if (confidence !== null && !(item.confidence !== null && item.confidence <= confidence)) return false;
      if (least !== null && !(item.duration >= least)) return false;
      if (most !== null && !(item.duration !== null && item.duration <= most)) return false;
      if (this.search.ids) {
        if (!this.search.ids.has(item.id)) return false;
      } else if (words.length) {
        item.hay ??= plain(`${item.id} ${item.text} ${named(item).join(" ")}`);
        if (!words.every((word) => item.hay.includes(word))) return false;
      }
      return true;
    };
    this.found = this.items.filter(passes);
    const by = SORTS[f.sort]?.[1] ?? SORTS.place[1];
    const sign = f.order === "down" ? -1 : 1;
    if (f.sort !== "place" || sign < 0) {
      this.found.sort((a, b) => {
        const [x, y] = [by(a), by(b)];
        if (x === y) return a.place - b.place;
        if (x === null) return 1; // what is unknown comes last, either way
        if (y === null) return -1;
        return x < y ? -sign : sign;
      });
    }
    const active = Object.entries(CLEAR).filter(([name, value]) => !["search", "unreviewed", "suspects"].includes(name) && f[name] !== value);
    say($("active-filters"), active.length ? `· ${active.length} set` : "");
    this.rows.reset(this.found.length);
    this.mark(true);
    this.count();
  }

  words() { return plain(this.filters.search).split(/\s+/).filter(Boolean); }

  /** Have the server search all texts. Until it answers, the list shows what is found in its rows. */
  look(query) {
    clearTimeout(this.search.timer);
    this.search = { query, ids: null, timer: 0 };
    if (!query) return;
    const { search } = this;
    search.timer = setTimeout(async () => {
      try {
        const { ids } = await get("api/search", { q: query });
        if (search !== this.search) return; // another one is wanted by now
        search.ids = new Set(ids);
        this.filter();
      } catch { /* what the rows show was searched */ }
    }, TYPED);
  }

  /** The first line of an item in which what is searched is said; null without a search. */
  lineFound(item) {
    const words = this.words();
    const said = (line) => words.filter((word) => plain(line.text ?? "").includes(word)).length;
    const best = words.length ? Math.max(0, ...item.lines.map(said)) : 0;
    return best ? item.lines.find((line) => said(line) === best).id : null;
  }

  count() {
    const all = this.items.length;
    const shown = this.found.length;
    say($("count"), shown === all ? counted(all, "item") : `${shown.toLocaleString("en")} of ${counted(all, "item")}`);
  }

  mark(reveal) {
    const place = this.found.findIndex((item) => item.id === this.current);
    this.rows.choose(place, reveal);
    if (document.activeElement !== $("row")) $("row").value = place < 0 ? "" : place + 1;
  }

  /** The id in a row, counted from 1; else the next one from the current with a text in it. Null if there is none. */
  named(typed) {
    if (/^[1-9]\d*$/.test(typed) && typed <= this.found.length) return this.found[typed - 1].id;
    const text = plain(typed);
    const at = this.found.findIndex((item) => item.id === this.current) + 1;
    const has = (item) => plain(item.id).includes(text);
    return (text && (this.found.slice(at).find(has) ?? this.found.slice(0, at).find(has))?.id) || null;
  }

  choose(id) {
    this.current = id;
    this.mark(true);
  }

  /** The id that is `step` rows from the current one; null past an end. */
  neighbour(step) {
    const place = this.found.findIndex((item) => item.id === this.current);
    if (place < 0) return this.found[0]?.id ?? null;
    return this.found[place + step]?.id ?? null;
  }

  /** The next item below that nobody has reviewed, else the first above; null if all are. */
  nextUnreviewed() {
    const place = this.found.findIndex((item) => item.id === this.current);
    const open = (item) => !item.reviewed && !item.discarded && item.id !== this.current;
    return (this.found.slice(place + 1).find(open) ?? this.found.slice(0, Math.max(0, place)).find(open))?.id ?? null;
  }

  /** Somebody is at an item now. */
  here(author, id) {
    if (id) this.people.set(author, id); else this.people.delete(author);
    this.rows.refresh();
  }

  at(id) { return [...this.people].filter(([, place]) => place === id).map(([author]) => author); }

  row(item) {
    const row = make("div", `item${item.reviewed ? " reviewed" : ""}${item.discarded ? " discarded" : ""}`);
    const head = make("div", "head");
    const mark = make("span", "mark", item.discarded ? "✕" : item.reviewed ? "✓" : "");
    if (mark.textContent) mark.append(make("span", "hidden", item.discarded ? " discarded" : ` reviewed${item.reviewed_by ? ` by ${item.reviewed_by}` : ""}`));
    head.append(mark, make("span", "id", item.id));
    for (const author of this.at(item.id)) head.append(make("span", "person", author));
    if (item.suspects.length) {
      const suspect = make("span", "suspect", `⚠ ${item.suspects.length}`);
      suspect.title = item.suspects.map((one) => one.why).join("\n");
      suspect.append(make("span", "hidden", " suspects"));
      head.append(suspect);
    }
    head.append(make("span", "soft figures", item.duration === null ? "" : clock(item.duration, item.duration < 60 ? 1 : 0)));
    const facts = [item.side === "validation" ? "validation" : "", item.n_lines > 1 ? `${item.n_lines} lines` : "", item.tags?.length === 1 ? `(${item.tags[0]})` : "",
      item.confidence !== null && item.confidence !== undefined && this.filters.sort === "confidence" ? percent(item.confidence) : "",
      item.rate && this.filters.sort === "rate" ? `${item.rate.toFixed(1)} words/s` : ""].filter(Boolean).join(" · ");
    const text = make("div", "snippet");
    if (facts) text.append(make("span", "soft", `${facts} · `));
    text.append(item.text || (item.n_lines === null ? "not read yet" : "no words"));
    if (!item.text) text.classList.add("soft");
    row.append(head, text);
    return row;
  }
}

// `buckets` is a list of names, or names by measure.
const bucketsOf = (item) => (Array.isArray(item.buckets) ? item.buckets
  : Object.entries(item.buckets ?? {}).flatMap(([name, values]) => [values].flat().filter(Boolean).map((value) => `${name}: ${value}`)));
