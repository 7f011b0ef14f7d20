// The drawing of an item: a lane for each channel with its lines, waveform and words, all of which can be dragged.
//
// It is a canvas of our own and not wavesurfer.js 8.0.1, which makes every region an element: with two channels of an
// hour and 10,000 words that took 2.4 s to open and up to 574 ms for a frame while scrolling (0.05 s and 57 ms with
// 166 words), and it wants the peaks of the whole file at once. Here a frame draws what is in view.

import { bytes } from "./api.js";
import { CHANNELS, clamp, clock, tidy } from "./page.js";

const AXIS = 18, TITLE = 18, WORD = 20, GAP = 8, OVERVIEW = 26;
const EDGE = 5; // pixels beside an edge that take hold of it
const SHORTEST = 0.01; // seconds of a word or a line
const MOST = 20000; // columns of a request
const CLOSEST = 0.25; // seconds in view at least
const LANE = 86, ALONE = 128; // height of a waveform, of two and of one

/** Peaks of the part in view and of as much on both sides; asked for again when the view leaves them or comes closer. */
class Peaks {
  constructor(onArrival) { Object.assign(this, { onArrival, item: null, known: null, asked: null }); }

  open({ id, of, duration }) {
    this.asked?.stop.abort();
    Object.assign(this, { item: { id, of, duration }, known: null, asked: null });
  }

  want(start, span, width) {
    const { id, of, duration } = this.item;
    const seconds = span / width; // of a pixel
    const fits = (part) => part && part.start <= start && part.end >= Math.min(duration, start + span) && part.column <= 0.9 * seconds;
    if (fits(this.known) || fits(this.asked)) return;
    this.asked?.stop.abort();
    const [from, to] = [Math.max(0, start - span), Math.min(duration, start + 2 * span)];
    const count = clamp(Math.ceil((2 * (to - from)) / seconds), 1, MOST); // two a pixel, so that none is left out
    const asked = { start: from, end: to, count, column: (to - from) / count, stop: new AbortController() };
    this.asked = asked;
    bytes("api/peaks", { id, of, start: from, end: to, count }, asked.stop.signal).then(({ values, channels }) => {
      if (this.asked !== asked) return;
      this.known = { ...asked, values, channels };
      this.onArrival();
    }).catch(() => { if (this.asked === asked) this.asked = null; });
  }

  /** Columns of one channel between two times: [seconds, seconds a column, minimum, maximum], what is known of them. */
  *columns(channel, start, end) {
    if (!this.known) return;
    const { start: from, count, column, values, channels } = this.known;
    const own = Math.min(channel, channels - 1) * count;
    for (let index = Math.max(0, Math.floor((start - from) / column)); index < Math.min(count, (end - from) / column); index++) {
      yield [from + index * column, column, values[2 * (own + index)], values[2 * (own + index) + 1]];
    }
  }

  loudest(start, end) {
    let most = 0;
    for (const channel of [0, 1]) for (const [, , low, high] of this.columns(channel, start, end)) most = Math.max(most, -low, high);
    return most / 127;
  }
}

/** What an item has in each lane, by start, with the furthest end up to each: so that what is in view is found fast. */
const sorted = (list) => {
  list.sort((a, b) => a.start - b.start || a.end - b.end);
  let furthest = -Infinity;
  for (const one of list) one.reach = furthest = Math.max(furthest, one.end);
  return list;
};

const firstReaching = (list, time) => {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].reach >= time) high = middle; else low = middle + 1;
  }
  return low;
};

export class Wave {
  /**
   * @param {object} hear
   *   position() → seconds; seek(seconds); pick(line, index): a line or one of its words was chosen;
   *   moved(region, start, end): a drag ended; selected(selection or null); zoomed().
   */
  constructor(hear) {
    this.hear = hear;
    this.canvas = document.getElementById("wave");
    this.overview = document.getElementById("overview");
    this.handles = Object.fromEntries(["line-start", "line-end", "word-start", "word-end"].map((id) => [id, document.getElementById(id)]));
    this.peaks = new Peaks(() => { this.fitHeight(); this.draw(); });
    this.item = null;
    this.view = { start: 0, span: 10 };
    this.selection = null;
    this.preview = null; // { line, index or null, start, end } while it is dragged, stepped or saved
    this.held = null; // the same while it is dragged or stepped: what is shown anew meanwhile does not take it away
    this.chosen = { line: null, index: -1 };
    this.height = 0;
    this.hits = [];
    this.asked = false;
    this.readColours();
    for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) {
      matchMedia(query).addEventListener("change", () => { this.readColours(); this.draw(); });
    }
    new ResizeObserver(() => this.draw()).observe(document.getElementById("stage"));
    this.listen();
  }

  readColours() {
    const style = getComputedStyle(document.documentElement);
    const names = ["ink", "soft", "line", "left", "right", "grey", "both", "unsure", "now", "card"];
    this.colours = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    this.colours.faint = Number(style.getPropertyValue("--faint")) || 0.15;
  }

  /** Show an item, from the start or, if it is the one that is shown, as it is now. */
  show(item, span) {
    const other = this.item?.id !== item.id || this.item.of !== item.of;
    this.item = item;
    this.lanes = item.channels > 1 || item.lines.some((line) => line.channel === "right") ? CHANNELS : CHANNELS.slice(0, 1);
    this.lines = this.lanes.map((channel) => sorted(item.lines.filter((line) => line.channel === channel)
      .map((line) => ({ kind: "line", line, index: null, start: line.start, end: line.end }))));
    this.words = this.lanes.map((channel) => sorted(item.lines.filter((line) => line.channel === channel)
      .flatMap((line) => line.words.map((word, index) => ({ kind: "word", line, index, word, start: word.start, end: word.end })))));
    if (other) this.held = null;
    this.preview = this.held;
    if (other) {
      this.selection = null;
      this.height = 0;
      this.peaks.open(item);
      this.look(0, span);
    }
    this.draw();
  }

  get laneHeight() { return TITLE + this.waveHeight + 2 * WORD + GAP; }

  get waveHeight() { return this.lanes.length > 1 ? LANE : ALONE; }

  get total() { return AXIS + this.lanes.length * this.laneHeight; }

  get width() { return this.canvas.clientWidth || 1; }

  // What is in view.

  look(start, span = this.view.span) {
    const most = Math.max(CLOSEST, this.item.duration);
    const width = clamp(span, CLOSEST, most);
    this.view = { start: clamp(start, 0, Math.max(0, most - width)), span: width };
    this.draw();
    this.hear.zoomed();
  }

  zoom(factor, at = this.hear.position()) {
    const { start, span } = this.view;
    const width = clamp(span / factor, CLOSEST, Math.max(CLOSEST, this.item.duration));
    const seen = at >= start && at <= start + span;
    this.look(seen ? at - ((at - start) / span) * width : at - width / 2, width);
  }

  /** Bring a part into view, moving as little as can be. */
  reveal(start, end) {
    const { start: from, span } = this.view;
    if (start >= from && end <= from + span) return;
    this.look(end - start > span || start < from ? start - 0.08 * span : end - 0.92 * span, span);
  }

  /** The head runs out of view while it plays: turn on. Whoever looks elsewhere is not pulled back. */
  follow(before, now) {
    const { start, span } = this.view;
    const seen = before >= start && before <= start + span;
    if (seen && (now < start || now > start + 0.96 * span)) this.look(now - 0.06 * span, span);
  }

  choose(line, index) {
    this.chosen = { line, index };
    this.draw();
  }

  /** The times of a region as they are shown: where it is being dragged to, if it is. */
  times(region) {
    const preview = this.preview;
    return preview && preview.line === region.line.id && preview.index === region.index ? preview : region;
  }

  // Drawing.

  draw() {
    if (this.asked || !this.item) return;
    this.asked = true;
    requestAnimationFrame(() => { this.asked = false; this.paint(); });
  }

  prepared(canvas, height) {
    const ratio = devicePixelRatio || 1;
    const width = canvas.clientWidth;
    if (canvas.style.height !== `${height}px`) canvas.style.height = `${height}px`;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    return [pen, width];
  }

  *seen(list) {
    const { start, span } = this.view;
    for (let place = firstReaching(list, start - 0.5); place < list.length && list[place].start <= start + span; place++) yield list[place];
  }

  paint() {
    const [pen, width] = this.prepared(this.canvas, this.total);
    const { start, span } = this.view;
    const scale = width / span;
    const at = (time) => (time - start) * scale;
    this.hits = [];
    this.peaks.want(start, span, width);
    pen.textBaseline = "middle";
    this.paintAxis(pen, width, at, scale);
    this.lanes.forEach((channel, number) => {
      const top = AXIS + number * this.laneHeight;
      const colour = this.colours[channel];
      this.paintLines(pen, number, top, colour, at, scale, width);
      this.paintWave(pen, number, top + TITLE, colour, at, scale);
      this.paintWords(pen, number, top + TITLE + this.waveHeight + 2, colour, at, scale);
    });
    this.paintSelection(pen, at);
    pen.fillStyle = this.colours.ink;
    const head = at(this.hear.position());
    if (head >= -1 && head <= width) pen.fillRect(clamp(head - 0.75, 0, width - 1.5), 0, 1.5, this.total);
    this.placeHandles(at, width);
    this.paintOverview();
  }

  paintAxis(pen, width, at, scale) {
    const { start, span } = this.view;
    const step = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600].find((one) => one * scale >= 70) || 1800;
    pen.font = "11px system-ui, sans-serif";
    for (let tick = Math.ceil(start / step) * step; tick <= start + span + 1e-9; tick += step) {
      const x = Math.round(at(tick));
      pen.fillStyle = this.colours.line;
      pen.fillRect(x, 13, 1, this.total - 13);
      pen.fillStyle = this.colours.soft;
      pen.fillText(clock(tick, step < 0.1 ? 2 : step < 1 ? 1 : 0), Math.min(x + 3, width - 40), 8);
    }
  }

  paintLines(pen, number, top, colour, at, scale, width) {
    for (const region of this.seen(this.lines[number])) {
      const { start, end } = this.times(region);
      const [x, w] = [at(start), Math.max(2, (end - start) * scale)];
      const current = region.line.id === this.chosen.line;
      pen.globalAlpha = current ? 1 : this.colours.faint;
      pen.fillStyle = current ? this.colours.now : colour;
      pen.fillRect(x, top, w, TITLE + this.waveHeight);
      pen.globalAlpha = 1;
      pen.fillStyle = colour;
      pen.fillRect(x, top, w, 2);
      pen.fillRect(x, top, 1.5, TITLE + this.waveHeight);
      pen.fillRect(x + w - 1.5, top, 1.5, TITLE + this.waveHeight);
      const title = region.line.tag ? `(${region.line.tag})` : "";
      const left = Math.max(4, x + 5);
      const room = Math.min(width, x + w) - left - 4;
      if (title && room > 24) {
        pen.font = "italic 12px system-ui, sans-serif";
        pen.fillStyle = current ? this.colours.ink : colour;
        pen.save();
        pen.beginPath();
        pen.rect(left, top, room, TITLE);
        pen.clip();
        pen.fillText(title, left, top + 10);
        pen.restore();
      }
      this.hits.push({ region, number, x, w, y: top, h: TITLE, part: "title" }, { region, number, x, w, y: top + TITLE, h: this.waveHeight, part: "wave" });
    }
  }

  paintWave(pen, number, top, colour, at, scale) {
    const { start, span } = this.view;
    const middle = top + this.waveHeight / 2;
    const half = this.waveHeight / 2 - 1;
    const gain = (half / 127) * (this.height || 1);
    pen.fillStyle = colour;
    pen.globalAlpha = 0.5;
    pen.fillRect(at(0) > 0 ? at(0) : 0, middle - 0.5, this.width, 1);
    pen.globalAlpha = 1;
    // Columns that fall on one pixel are drawn as one.
    let [pixel, low, high, wide] = [-1, 0, 0, 1];
    pen.beginPath();
    const put = () => {
      if (pixel < 0) return;
      const [up, down] = [Math.min(half, high * gain), Math.min(half, -low * gain)];
      if (up + down > 0.5) pen.rect(pixel, middle - up, wide, up + down);
    };
    for (const [time, column, least, most] of this.peaks.columns(number, start, start + span)) {
      const x = Math.max(0, Math.floor(at(time)));
      if (x !== pixel) {
        put();
        [pixel, low, high, wide] = [x, least, most, Math.max(1, Math.ceil(column * scale))];
      } else {
        low = Math.min(low, least);
        high = Math.max(high, most);
      }
    }
    put();
    pen.fill();
  }

  paintWords(pen, number, top, colour, at, scale) {
    if (scale < 12) return; // words of 3 pixels tell nothing; the lines do
    const free = [-Infinity, -Infinity];
    pen.font = "12.5px system-ui, sans-serif";
    for (const region of this.seen(this.words[number])) {
      const { start, end } = this.times(region);
      const [x, w] = [at(start), Math.max(2, (end - start) * scale)];
      // The other row takes a word whose letters or times have no room in the first.
      const letters = pen.measureText(region.word.word).width + 7;
      const row = free[0] <= x + 0.5 ? 0 : free[1] <= x + 0.5 ? 1 : Number(free[1] < free[0]);
      free[row] = x + Math.max(w, Math.min(letters, 160));
      const y = top + row * WORD;
      const current = region.line.id === this.chosen.line && region.index === this.chosen.index;
      const own = region.line.id === this.chosen.line;
      const doubtful = region.word.probability !== null && region.word.probability < 0.5;
      pen.fillStyle = current ? this.colours.ink : own ? this.colours.now : colour;
      pen.globalAlpha = current || own ? 1 : 1.4 * this.colours.faint;
      pen.fillRect(x, y, w, WORD - 2);
      pen.globalAlpha = 1;
      pen.fillStyle = colour;
      pen.fillRect(x, y, 1.5, WORD - 2);
      pen.fillRect(x + w - 1, y, 1, WORD - 2);
      if (scale >= 35) {
        pen.fillStyle = doubtful ? this.colours.unsure : this.colours.ink;
        pen.fillText(region.word.word, x + 4, y + WORD / 2 - 0.5);
        if (current) { // on the dark ground of the chosen word, as far as it reaches
          pen.save();
          pen.beginPath();
          pen.rect(x, y, w, WORD - 2);
          pen.clip();
          pen.fillStyle = this.colours.card;
          pen.fillText(region.word.word, x + 4, y + WORD / 2 - 0.5);
          pen.restore();
        }
        if (doubtful) pen.fillRect(x + 4, y + WORD - 4, Math.max(4, letters - 8), 1.5);
      }
      this.hits.push({ region, number, x, w, y, h: WORD - 2, part: "word" });
    }
  }

  paintSelection(pen, at) {
    if (!this.selection) return;
    const { start, end, channel } = this.selection;
    const top = AXIS + channel * this.laneHeight + TITLE;
    pen.globalAlpha = 0.25;
    pen.fillStyle = this.colours.both;
    pen.fillRect(at(start), top, at(end) - at(start), this.waveHeight);
    pen.globalAlpha = 1;
    pen.setLineDash([4, 3]);
    pen.strokeStyle = this.colours.ink;
    pen.strokeRect(at(start) + 0.5, top + 0.5, at(end) - at(start) - 1, this.waveHeight - 1);
    pen.setLineDash([]);
  }

  paintOverview() {
    const [pen, width] = this.prepared(this.overview, OVERVIEW);
    const scale = width / Math.max(0.001, this.item.duration);
    const high = (OVERVIEW - 8) / this.lanes.length - 1;
    this.lanes.forEach((channel, number) => {
      pen.fillStyle = this.colours[channel];
      const top = 4 + number * (high + 1);
      let last = -1;
      for (const { start, end } of this.lines[number]) {
        const [x, right] = [Math.max(last, start * scale), Math.max(start * scale + 1, end * scale)];
        if (right - last < 0.5) continue; // within a pixel that is drawn
        pen.fillRect(x, top, right - x, high);
        last = right;
      }
    });
    const { start, span } = this.view;
    pen.strokeStyle = this.colours.ink;
    pen.lineWidth = 1.5;
    pen.strokeRect(clamp(start * scale, 1, width - 3), 1, Math.max(3, span * scale - 2), OVERVIEW - 2);
    pen.fillStyle = this.colours.ink;
    pen.fillRect(clamp(this.hear.position() * scale - 1, 0, width - 2), 0, 2, OVERVIEW);
  }

  /** The region of the chosen line or word. */
  region(index) {
    const { line } = this.chosen;
    const number = this.item ? this.lanes.indexOf(this.item.lines.find((one) => one.id === line)?.channel) : -1;
    if (number < 0) return null;
    const list = index === null ? this.lines[number] : this.words[number];
    return list.find((one) => one.line.id === line && one.index === index) ?? null;
  }

  placeHandles(at, width) {
    for (const [kind, index] of [["line", null], ["word", this.chosen.index]]) {
      const region = index === -1 ? null : this.region(index);
      for (const edge of ["start", "end"]) {
        const handle = this.handles[`${kind}-${edge}`];
        handle.hidden = !region;
        if (!region) continue;
        const times = this.times(region);
        const value = times[edge];
        const number = this.lanes.indexOf(region.line.channel);
        const top = AXIS + number * this.laneHeight;
        const x = at(value);
        handle.classList.toggle("away", x < -6 || x > width + 6);
        const [y, h] = kind === "line" ? [top, TITLE + this.waveHeight] : [top + TITLE + this.waveHeight, 2 * WORD];
        handle.style.transform = `translate(${clamp(x, -6, width + 6)}px, ${y}px)`;
        handle.style.height = `${h}px`;
        const what = kind === "line" ? "the line" : `the word ${region.word.word}`;
        const facts = { "aria-label": `${edge === "start" ? "Start" : "End"} of ${what}`, "aria-valuemin": "0", "aria-valuemax": String(this.item.duration), "aria-valuenow": value.toFixed(3), "aria-valuetext": `${value.toFixed(2)} seconds` };
        for (const [name, fact] of Object.entries(facts)) if (handle.getAttribute(name) !== fact) handle.setAttribute(name, fact);
      }
    }
    const position = this.hear.position();
    this.overview.setAttribute("aria-valuemax", this.item.duration.toFixed(2));
    this.overview.setAttribute("aria-valuenow", position.toFixed(2));
    this.overview.setAttribute("aria-valuetext", `${clock(position, 1)} of ${clock(this.item.duration)}`);
  }

  /** The height that fits what is loud in the first view; it stays until the item or the choice is another. */
  fitHeight() {
    if (this.height) return;
    const { start, span } = this.view;
    const most = this.peaks.loudest(start, start + span);
    if (most <= 0) return;
    this.height = [8, 4, 2].find((times) => most * times <= 1) || 1;
    this.hear.zoomed();
  }

  // Editing by hand.

  /** Times of a region when one edge, or all of it, is brought to a time; words of a line stay in their order. */
  moved(region, edge, shift, from) {
    const { duration } = this.item;
    let [low, high] = [0, duration];
    if (region.index !== null) {
      // Neighbours give way, as the server has it, and keep something.
      const { words } = region.line;
      if (words[region.index - 1]) low = Math.min(region.start, words[region.index - 1].start + SHORTEST);
      if (words[region.index + 1]) high = Math.max(region.end, words[region.index + 1].end - SHORTEST);
    }
    let { start, end } = from;
    if (edge === "start") start = clamp(start + shift, low, Math.max(low, end - SHORTEST));
    else if (edge === "end") end = clamp(end + shift, Math.min(high, start + SHORTEST), high);
    else {
      const by = clamp(shift, low - start, high - end);
      [start, end] = [start + by, end + by];
    }
    return { line: region.line.id, index: region.index, start: tidy(start), end: tidy(end) };
  }

  hit(event) {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const time = this.view.start + (x / box.width) * this.view.span;
    const number = clamp(Math.floor((y - AXIS) / this.laneHeight), 0, this.lanes.length - 1);
    let best = null;
    for (const one of this.hits) {
      if (y < one.y || y > one.y + one.h || x < one.x - EDGE || x > one.x + one.w + EDGE) continue;
      const [left, right] = [Math.abs(x - one.x), Math.abs(x - one.x - one.w)];
      const reach = Math.min(EDGE, one.part === "word" ? Math.max(2, one.w / 4) : EDGE);
      const edge = Math.min(left, right) <= reach ? (left < right ? "start" : "end") : null;
      if (!edge && (x < one.x || x > one.x + one.w)) continue;
      // The chosen region is in front; then edges, the nearest first; then the latest.
      const chosen = one.region.line.id === this.chosen.line && (one.part !== "word" || one.region.index === this.chosen.index);
      const rank = (edge ? 100 - Math.min(left, right) : 0) + (chosen ? 1000 : 0);
      if (!best || rank >= best.rank) best = { ...one, edge, rank };
    }
    return { time, number, y, hit: best };
  }

  listen() {
    const { canvas } = this;
    let drag = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !this.item) return;
      const { time, number, hit } = this.hit(event);
      const touch = event.pointerType === "touch";
      // A finger on the waveform turns it; a mouse selects there.
      const kind = hit && (hit.edge || hit.part === "word" || hit.part === "title") ? "region" : touch ? "turn" : "selection";
      drag = { kind, time, number, hit, x: event.clientX, view: this.view.start, moved: false, from: hit && { ...this.times(hit.region) } };
      if (kind === "region") this.hear.pick(hit.region.line, hit.region.index ?? -1);
      canvas.setPointerCapture(event.pointerId);
      event.preventDefault();
      document.activeElement?.blur?.();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.item) return;
      if (!drag) { this.point(event); return; }
      if (!drag.moved && Math.abs(event.clientX - drag.x) < 4) return;
      drag.moved = true;
      const shift = ((event.clientX - drag.x) / this.width) * this.view.span;
      if (drag.kind === "region") this.preview = this.held = this.moved(this.current(drag.hit.region), drag.hit.edge, shift, drag.from);
      else if (drag.kind === "turn") this.look(drag.view - shift);
      else {
        const end = clamp(drag.time + shift, 0, this.item.duration);
        this.selection = { start: tidy(Math.min(drag.time, end)), end: tidy(Math.max(drag.time, end)), channel: drag.number };
      }
      this.draw();
    });
    const drop = (event, done) => {
      if (!drag) return;
      const { kind, moved, hit, time } = drag;
      const times = this.held;
      drag = this.held = null;
      if (!done) { this.preview = null; this.draw(); return; }
      if (moved && kind === "region") this.hear.moved(this.current(hit.region), times);
      else if (moved && kind === "selection") this.hear.selected(this.selection);
      else if (!moved) {
        if (this.selection) { this.selection = null; this.hear.selected(null); }
        if (kind !== "region") {
          if (hit) this.hear.pick(hit.region.line, -1);
          this.hear.seek(clamp(time, 0, this.item.duration));
        }
        this.draw();
      }
    };
    canvas.addEventListener("pointerup", (event) => drop(event, true));
    canvas.addEventListener("pointercancel", (event) => drop(event, false));
    canvas.addEventListener("dblclick", (event) => {
      const { hit } = this.hit(event);
      if (hit) this.hear.play(hit.region);
    });
    canvas.addEventListener("wheel", (event) => {
      if (!this.item) return;
      event.preventDefault();
      const by = event.deltaMode === 1 ? 30 : 1;
      const box = canvas.getBoundingClientRect();
      const time = this.view.start + ((event.clientX - box.left) / box.width) * this.view.span;
      if (event.ctrlKey) this.zoom(Math.exp((-event.deltaY * by) / 200), time);
      else this.look(this.view.start + (((event.deltaX || event.deltaY) * by) / this.width) * this.view.span);
    }, { passive: false });
    const jump = (event) => {
      const box = this.overview.getBoundingClientRect();
      const time = clamp((event.clientX - box.left) / box.width, 0, 1) * this.item.duration;
      this.hear.seek(time);
      this.look(time - this.view.span / 2);
    };
    this.overview.addEventListener("pointerdown", (event) => { this.overview.setPointerCapture(event.pointerId); jump(event); });
    this.overview.addEventListener("pointermove", (event) => { if (event.buttons) jump(event); });
  }

  /** The region as it is by now: an edit that was saved during a drag makes others of all. */
  current(region) {
    const number = this.lanes.indexOf(region.line.channel);
    const list = (region.index === null ? this.lines : this.words)[number] ?? [];
    return list.find((one) => one.line.id === region.line.id && one.index === region.index) ?? region;
  }

  point(event) {
    const { hit } = this.hit(event);
    this.canvas.style.cursor = hit?.edge ? "ew-resize" : hit && hit.part !== "wave" ? "grab" : "text";
  }
}
