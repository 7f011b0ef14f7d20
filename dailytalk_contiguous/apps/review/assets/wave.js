// The picture of an item: a lane for each channel with its waveform, its lines and its words, which can be dragged.
//
// The waveform is a canvas; lines and words are elements, made anew for what is in view whenever the view changes. It
// is not wavesurfer.js 8.0.1, which makes an element of every region of the item: with two channels of an hour and
// 10,000 words that took 2.4 s to open, and it wants the peaks of the whole file at once.

import { bytes } from "./api.js";
import { $, CHANNELS, clamp, clock, make, tidy } from "./page.js";

const AXIS = 18, TITLE = 18, WORD = 20, GAP = 8; // pixels
const LANE = 86, ALONE = 128; // height of a waveform, of two and of one
const EDGE = 5; // pixels inside an edge that take hold of it
const SHORTEST = 0.01; // seconds of a word or a line
const MOST = 20000; // columns of a request
const CLOSEST = 0.25; // seconds in view at least
const STEPS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800]; // seconds of the axis

/** Peaks of the part in view and of as much on both sides; asked for again when the view leaves them or comes closer. */
class Peaks {
  constructor(onArrival) { Object.assign(this, { onArrival, known: null, asked: null }); }

  open({ id, of, duration }) {
    this.asked?.stop.abort();
    Object.assign(this, { id, of, duration, known: null, asked: null });
  }

  want(start, span, width) {
    const seconds = span / width; // of a pixel
    const fits = (part) => part && part.start <= start && part.end >= Math.min(this.duration, start + span) && part.column <= 0.9 * seconds;
    if (fits(this.known) || fits(this.asked)) return;
    this.asked?.stop.abort();
    const [from, to] = [Math.max(0, start - span), Math.min(this.duration, start + 2 * span)];
    const count = clamp(Math.ceil((2 * (to - from)) / seconds), 1, MOST); // two a pixel, so that none is left out
    const asked = { start: from, end: to, count, column: (to - from) / count, stop: new AbortController() };
    this.asked = asked;
    bytes("api/peaks", { id: this.id, of: this.of, start: from, end: to, count }, asked.stop.signal).then((peaks) => {
      if (this.asked !== asked) return;
      this.known = { ...asked, ...peaks };
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
}

/** Regions by start, each with the furthest end up to it, so that what is in view is found fast. */
const sorted = (regions) => {
  regions.sort((a, b) => a.start - b.start || a.end - b.end);
  let reach = -Infinity;
  for (const region of regions) region.reach = reach = Math.max(reach, region.end);
  return regions;
};

export class Wave {
  /**
   * @param {object} hear
   *   position() → seconds; seek(seconds); pick(line, index): a line or one of its words was chosen; play(region);
   *   moved(region, times): a drag ended; selected(): another selection, or none.
   */
  constructor(hear) {
    Object.assign(this, {
      hear, item: null, view: { start: 0, span: 10 }, selection: null, chosen: { line: null, index: -1 }, gain: 0, drawn: [], asked: false,
      preview: null, // { line, index or null, start, end } while it is dragged, stepped or saved
      held: null, // the same while it is dragged or stepped: what is shown anew meanwhile does not take it away
    });
    this.canvas = $("wave");
    this.handles = Object.fromEntries(["line-start", "line-end", "word-start", "word-end"].map((id) => [id, $(id)]));
    this.peaks = new Peaks(() => { this.fitGain(); this.draw(); });
    for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) matchMedia(query).addEventListener("change", () => this.draw());
    new ResizeObserver(() => this.draw()).observe($("stage"));
    this.listen();
  }

  /** Show an item, from the start or, if it is the one that is shown, as it is now. */
  show(item, span) {
    const other = this.item?.id !== item.id || this.item.of !== item.of;
    this.item = item;
    this.lanes = item.channels > 1 || item.lines.some((line) => line.channel === "right") ? CHANNELS : CHANNELS.slice(0, 1);
    const own = (channel) => item.lines.filter((line) => line.channel === channel);
    this.lines = this.lanes.map((channel) => sorted(own(channel).map((line) => ({ line, index: null, start: line.start, end: line.end }))));
    this.words = this.lanes.map((channel) => sorted(own(channel).flatMap((line) => line.words.map((word, index) => ({ line, index, word, start: word.start, end: word.end })))));
    if (other) Object.assign(this, { held: null, selection: null, gain: 0 });
    this.preview = this.held;
    if (other) {
      this.peaks.open(item);
      this.look(0, span);
    }
    this.draw();
  }

  get waveHeight() { return this.lanes.length > 1 ? LANE : ALONE; }

  get laneHeight() { return TITLE + this.waveHeight + 2 * WORD + GAP; }

  get width() { return this.canvas.clientWidth || 1; }

  /** The pixel of a time. */
  at(time) { return ((time - this.view.start) / this.view.span) * this.width; }

  // What is in view.

  look(start, span = this.view.span) {
    const most = Math.max(CLOSEST, this.item.duration);
    const width = clamp(span, CLOSEST, most);
    this.view = { start: clamp(start, 0, Math.max(0, most - width)), span: width };
    this.draw();
  }

  zoom(factor, at) {
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

  /** The region of the chosen line, or of one of its words. */
  region(index) {
    const { line } = this.chosen;
    return (index === null ? this.lines : this.words)?.flat().find((one) => one.line.id === line && one.index === index) ?? null;
  }

  /** The region as it is by now: an edit that was saved during a drag makes others of all. */
  current({ line, index, ...old }) {
    return (index === null ? this.lines : this.words).flat().find((one) => one.line.id === line.id && one.index === index) ?? { line, index, ...old };
  }

  /** The times of a region as they are shown: where it is being dragged to, if it is. */
  times(region) {
    const { preview } = this;
    return preview && preview.line === region.line.id && preview.index === region.index ? preview : region;
  }

  /** The gain that fits what is loud in the first view; it stays until the item is another. */
  fitGain() {
    if (this.gain) return;
    const { start, span } = this.view;
    let most = 0;
    for (const channel of this.lanes.keys()) for (const [, , low, high] of this.peaks.columns(channel, start, start + span)) most = Math.max(most, -low, high);
    if (most > 0) this.gain = [8, 4, 2].find((times) => most * times <= 127) ?? 1;
  }

  // Drawing.

  draw() {
    if (this.asked || !this.item) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.paintWave();
      this.placeRegions();
      this.placeHandles();
      this.paintOverview();
      this.moveHead();
    });
  }

  /** A canvas of this height, cleared: its pen, its width and the colours of the page. */
  prepared(canvas, height) {
    const [ratio, width] = [devicePixelRatio || 1, canvas.clientWidth];
    canvas.style.height = `${height}px`;
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const style = getComputedStyle(canvas);
    return [pen, width, (name) => style.getPropertyValue(`--${name}`).trim()];
  }

  paintWave() {
    const total = AXIS + this.lanes.length * this.laneHeight;
    const [pen, width, colour] = this.prepared(this.canvas, total);
    const { start, span } = this.view;
    this.peaks.want(start, span, width);
    const step = STEPS.find((one) => (one / span) * width >= 70) ?? STEPS.at(-1);
    pen.font = "11px system-ui, sans-serif";
    for (let tick = Math.ceil(start / step) * step; tick <= start + span + 1e-9; tick += step) {
      const x = Math.round(this.at(tick));
      pen.fillStyle = colour("line");
      for (const number of this.lanes.keys()) pen.fillRect(x, AXIS + number * this.laneHeight, 1, TITLE + this.waveHeight);
      pen.fillStyle = colour("soft");
      pen.fillText(clock(tick, step < 0.1 ? 2 : step < 1 ? 1 : 0), Math.min(x + 3, width - 40), 11);
    }
    const half = this.waveHeight / 2 - 1;
    const gain = (half / 127) * (this.gain || 1);
    this.lanes.forEach((channel, number) => {
      const middle = AXIS + number * this.laneHeight + TITLE + this.waveHeight / 2;
      pen.fillStyle = colour(channel);
      pen.fillRect(0, middle - 0.25, width, 0.5);
      // Columns that fall on one pixel are drawn as one.
      const pixels = new Map();
      for (const [time, column, low, high] of this.peaks.columns(number, start, start + span)) {
        const x = Math.max(0, Math.floor(this.at(time)));
        const before = pixels.get(x) ?? { low: 0, high: 0, wide: Math.max(1, Math.ceil((column / span) * width)) };
        pixels.set(x, { ...before, low: Math.min(before.low, low), high: Math.max(before.high, high) });
      }
      pen.beginPath();
      for (const [x, { low, high, wide }] of pixels) {
        const [up, down] = [Math.min(half, high * gain), Math.min(half, -low * gain)];
        if (up + down > 0.5) pen.rect(x, middle - up, wide, up + down);
      }
      pen.fill();
    });
  }

  *seen(regions) {
    const { start, span } = this.view;
    let [low, high] = [0, regions.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (regions[middle].reach >= start - 0.5) high = middle; else low = middle + 1;
    }
    for (; low < regions.length && regions[low].start <= start + span; low++) yield regions[low];
  }

  placeRegions() {
    this.drawn = [];
    const scale = this.width / this.view.span;
    const box = (region, number, kind, top, height) => {
      const { start, end } = this.times(region);
      const [left, wide] = [this.at(start), Math.max(2, (end - start) * scale)];
      const isNow = region.line.id === this.chosen.line;
      const element = make("div", `region ${kind} ${this.lanes[number]}${isNow ? " now" : ""}`);
      element.dataset.place = String(this.drawn.push({ region, number }) - 1);
      Object.assign(element.style, { left: `${left}px`, width: `${wide}px`, top: `${top}px`, height: `${height}px` });
      return [element, left, wide];
    };
    const elements = this.lanes.flatMap((_, number) => {
      const top = AXIS + number * this.laneHeight;
      const lines = [...this.seen(this.lines[number])].map((region) => {
        const [element, left] = box(region, number, "line", top, TITLE + this.waveHeight);
        element.style.paddingLeft = `${Math.max(4, 4 - left)}px`;
        if (region.line.tag) element.append(`(${region.line.tag})`);
        return element;
      });
      if (scale < 12) return lines; // words of 3 pixels tell nothing; the lines do
      const free = [-Infinity, -Infinity];
      const words = [...this.seen(this.words[number])].map((region) => {
        const [element, left, wide] = box(region, number, "word", 0, WORD - 2);
        // The other row takes a word whose letters or times have no room in the first.
        const row = free[0] <= left + 0.5 ? 0 : free[1] <= left + 0.5 ? 1 : Number(free[1] < free[0]);
        free[row] = left + Math.max(wide, Math.min(7 + 7.2 * region.word.word.length, 160));
        element.style.top = `${top + TITLE + this.waveHeight + 2 + row * WORD}px`;
        element.classList.toggle("chosen", region.line.id === this.chosen.line && region.index === this.chosen.index);
        element.classList.toggle("unsure", region.word.probability !== null && region.word.probability < 0.5);
        if (scale >= 35) element.append(region.word.word);
        return element;
      });
      return [...lines, ...words];
    });
    $("regions").replaceChildren(...elements);
    $("selection").hidden = !this.selection;
    if (!this.selection) return;
    const { start, end, channel } = this.selection;
    const place = { left: this.at(start), width: this.at(end) - this.at(start), top: AXIS + channel * this.laneHeight + TITLE, height: this.waveHeight };
    for (const [name, pixels] of Object.entries(place)) $("selection").style[name] = `${pixels}px`;
  }

  placeHandles() {
    for (const [kind, index] of [["line", null], ["word", this.chosen.index]]) {
      const region = this.region(index);
      for (const edge of ["start", "end"]) {
        const handle = this.handles[`${kind}-${edge}`];
        handle.hidden = !region;
        if (!region) continue;
        const value = this.times(region)[edge];
        const top = AXIS + this.lanes.indexOf(region.line.channel) * this.laneHeight;
        const [y, height] = kind === "line" ? [top, TITLE + this.waveHeight] : [top + TITLE + this.waveHeight, 2 * WORD];
        handle.style.transform = `translate(${clamp(this.at(value), -6, this.width + 6)}px, ${y}px)`;
        handle.style.height = `${height}px`;
        const what = kind === "line" ? "the line" : `the word ${region.word.word}`;
        const facts = { label: `${edge === "start" ? "Start" : "End"} of ${what}`, valuemin: 0, valuemax: this.item.duration, valuenow: value.toFixed(3), valuetext: `${value.toFixed(2)} seconds` };
        for (const [name, fact] of Object.entries(facts)) handle.setAttribute(`aria-${name}`, String(fact));
      }
    }
  }

  paintOverview() {
    const { duration } = this.item;
    const [pen, width, colour] = this.prepared($("overview").firstElementChild, 26);
    const [scale, high] = [width / Math.max(0.001, duration), 18 / this.lanes.length - 1];
    this.lanes.forEach((channel, number) => {
      pen.fillStyle = colour(channel);
      for (const { start, end } of this.lines[number]) pen.fillRect(start * scale, 4 + number * (high + 1), Math.max(1, (end - start) * scale), high);
    });
    $("in-view").style.left = `${this.view.start * scale}px`;
    $("in-view").style.width = `${Math.max(3, this.view.span * scale)}px`;
  }

  /** Show where the sound is; nothing else changes as it plays. */
  moveHead() {
    if (!this.item) return;
    const [position, { duration }] = [this.hear.position(), this.item];
    const x = this.at(position);
    $("head").hidden = x < -1 || x > this.width;
    $("head").style.transform = `translateX(${clamp(x, 0, this.width - 1.5)}px)`;
    $("overview").lastElementChild.style.left = `${(100 * position) / Math.max(0.001, duration)}%`;
    const facts = { valuemax: duration.toFixed(2), valuenow: position.toFixed(2), valuetext: `${clock(position, 1)} of ${clock(duration)}` };
    for (const [name, fact] of Object.entries(facts)) $("overview").setAttribute(`aria-${name}`, fact);
  }

  // Editing by hand.

  /** Times of a region when one edge, or all of it, is moved; words of a line stay in their order. */
  moved(region, edge, shift, from) {
    let [low, high] = [0, this.item.duration];
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

  /** What is under the pointer: the time, the lane, and a region with the edge that is near, or its title. */
  hit(event) {
    const box = this.canvas.getBoundingClientRect();
    const time = this.view.start + ((event.clientX - box.left) / box.width) * this.view.span;
    const number = clamp(Math.floor((event.clientY - box.top - AXIS) / this.laneHeight), 0, this.lanes.length - 1);
    const element = document.elementFromPoint(event.clientX, event.clientY);
    const [, kind, held] = /^(line|word)-(start|end)$/.exec(element.id) ?? [];
    if (kind) return { time, number, region: this.region(kind === "word" ? this.chosen.index : null), edge: held, isHandle: true };
    const part = this.drawn[element.closest(".region")?.dataset.place];
    if (!part) return { time, number, region: null };
    const { left, right, top, width } = element.closest(".region").getBoundingClientRect();
    const [before, after] = [event.clientX - left, right - event.clientX];
    const reach = Math.min(EDGE, Math.max(2, width / 4));
    const edge = Math.min(before, after) > reach ? null : before < after ? "start" : "end";
    return { time, number, region: part.region, edge, isHandle: part.region.index !== null || Boolean(edge) || event.clientY - top <= TITLE };
  }

  listen() {
    const stage = $("stage");
    let drag = null;
    stage.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !this.item) return;
      const { time, number, region, edge, isHandle } = this.hit(event);
      // A finger on the waveform turns it; a mouse selects there.
      const kind = isHandle ? "region" : event.pointerType === "touch" ? "turn" : "selection";
      drag = { kind, time, number, region, edge, x: event.clientX, view: this.view.start, moved: false, from: region && { ...this.times(region) } };
      if (kind === "region") this.hear.pick(region.line, region.index ?? -1);
      stage.setPointerCapture(event.pointerId);
      event.preventDefault();
      document.activeElement?.blur?.();
    });
    stage.addEventListener("pointermove", (event) => {
      if (!drag || (!drag.moved && Math.abs(event.clientX - drag.x) < 4)) return;
      drag.moved = true;
      const shift = ((event.clientX - drag.x) / this.width) * this.view.span;
      if (drag.kind === "region") this.preview = this.held = this.moved(this.current(drag.region), drag.edge, shift, drag.from);
      else if (drag.kind === "turn") this.look(drag.view - shift);
      else {
        const end = clamp(drag.time + shift, 0, this.item.duration);
        this.selection = { start: tidy(Math.min(drag.time, end)), end: tidy(Math.max(drag.time, end)), channel: drag.number };
      }
      this.draw();
    });
    stage.addEventListener("pointerup", () => {
      if (!drag) return;
      const [{ kind, moved, region, time }, times] = [drag, this.held];
      drag = this.held = null;
      if (moved && kind === "region") this.hear.moved(this.current(region), times);
      if (!moved) this.selection = null;
      this.hear.selected();
      if (!moved && kind !== "region") {
        if (region) this.hear.pick(region.line, -1);
        this.hear.seek(clamp(time, 0, this.item.duration));
      }
      this.draw();
    });
    stage.addEventListener("pointercancel", () => {
      drag = this.held = this.preview = null;
      this.draw();
    });
    stage.addEventListener("dblclick", (event) => {
      const { region } = this.hit(event);
      if (region) this.hear.play(region);
    });
    stage.addEventListener("wheel", (event) => {
      if (!this.item) return;
      event.preventDefault();
      const by = event.deltaMode === 1 ? 30 : 1;
      if (event.ctrlKey) this.zoom(Math.exp((-event.deltaY * by) / 200), this.hit(event).time);
      else this.look(this.view.start + (((event.deltaX || event.deltaY) * by) / this.width) * this.view.span);
    }, { passive: false });
    const jump = (event) => {
      const box = $("overview").getBoundingClientRect();
      const time = clamp((event.clientX - box.left) / box.width, 0, 1) * this.item.duration;
      this.hear.seek(time);
      this.look(time - this.view.span / 2);
    };
    $("overview").addEventListener("pointerdown", (event) => { $("overview").setPointerCapture(event.pointerId); jump(event); });
    $("overview").addEventListener("pointermove", (event) => { if (event.buttons) jump(event); });
  }
}
