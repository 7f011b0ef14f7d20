// The picture of an item: a lane for each channel with its waveform, its lines and its words. Edges of the chosen line
// and word can be dragged, or stepped by keys.
//
// The waveform is a canvas; lines and words are elements, made anew for what is in view whenever the view changes. It
// is not wavesurfer.js 8.0.1, which makes an element of every region of the item: with two channels of an hour and
// 10,000 words that took 2.4 s to open, and it wants the peaks of the whole file at once.

import { bytes } from "./api.js";
import { $, CHANNELS, clamp, clock, make, tidy } from "./page.js";

const AXIS = 18, TITLE = 18, WORD = 20, GAP = 8; // pixels
const LANE = 86, ALONE = 128; // height of a waveform, of two and of one
const SHORTEST = 0.01; // seconds of a word or a line
const MOST = 20000; // columns of a request
const CLOSEST = 0.25; // seconds in view at least
const SETTLED = 350; // ms after the last step before an edge is saved
const STEPS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800]; // seconds of the axis

export class Wave {
  /**
   * @param {object} hear
   *   position() → seconds; seek(seconds); pick(line, index): a line or one of its words was chosen;
   *   moving(region, edge): it is being dragged or stepped; moved(region): that is over.
   */
  constructor(hear) {
    Object.assign(this, {
      hear, item: null, view: { start: 0, span: 10 }, chosen: { line: null, index: -1 }, regions: [], drawn: [], asked: false, timer: 0,
      peaks: null, // of the view and as much on both sides
      moving: null, // the region that is dragged or stepped: what is shown anew meanwhile does not take it away
    });
    this.canvas = $("wave");
    for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) matchMedia(query).addEventListener("change", () => this.draw());
    new ResizeObserver(() => this.draw()).observe($("stage"));
    this.listen();
  }

  /** Show an item, from the start or, if it is the one that is shown, as it is now. */
  show(item, span) {
    const isOther = this.item?.id !== item.id;
    this.item = item;
    this.lanes = item.channels > 1 || item.lines.some((line) => line.channel === "right") ? CHANNELS : CHANNELS.slice(0, 1);
    this.regions = item.lines.flatMap((line) => {
      const lane = this.lanes.indexOf(line.channel);
      const words = line.words.map((word, index) => ({ line, lane, index, word, start: word.start, end: word.end }));
      return [{ line, lane, index: null, start: line.start, end: line.end }, ...words];
    });
    if (isOther) Object.assign(this, { moving: null, peaks: null, asking: null, gain: 0 });
    const { moving } = this;
    const same = moving && this.regions.find((one) => one.line.id === moving.line.id && one.index === moving.index);
    if (same) this.moving = Object.assign(same, { start: moving.start, end: moving.end });
    if (isOther) this.look(0, span);
    this.draw();
  }

  get waveHeight() { return this.lanes.length > 1 ? LANE : ALONE; }

  /** Pixels from the top to a lane: its title, its waveform, and two rows of words. */
  top(lane) { return AXIS + lane * (TITLE + this.waveHeight + 2 * WORD + GAP); }

  get width() { return this.canvas.clientWidth || 1; }

  /** The pixel of a time. */
  at(time) { return ((time - this.view.start) / this.view.span) * this.width; }

  // What is in view.

  look(start, span = this.view.span) {
    const most = Math.max(CLOSEST, this.item.duration);
    const width = clamp(span, CLOSEST, most);
    this.view = { start: clamp(start, 0, most - width), span: width };
    this.draw();
  }

  /** Zoom around a time in view. */
  zoom(factor, at) { this.look(at - (at - this.view.start) / factor, this.view.span / factor); }

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
  region(index) { return this.regions.find((one) => one.line.id === this.chosen.line && one.index === index) ?? null; }

  /** Ask for the peaks of the view, unless those that are known are fine enough. */
  async want() {
    const { view: { start, span }, item: { id, duration } } = this;
    const column = span / this.width / 2; // two a pixel, so that none is left out
    const fits = (part) => part && part.start <= start && part.end >= Math.min(duration, start + span) && part.column <= 1.8 * column;
    if (fits(this.peaks) || fits(this.asking)) return;
    const [from, end] = [Math.max(0, start - span), Math.min(duration, start + 2 * span)];
    const count = clamp(Math.ceil((end - from) / column), 1, MOST);
    const asked = this.asking = { start: from, end, count, column: (end - from) / count };
    const answer = await bytes("api/peaks", { id, start: from, end, count }).catch(() => null); // the page says why
    if (this.asking !== asked || !answer) return;
    this.peaks = { ...asked, ...answer };
    this.gain ||= [8, 4, 2].find((times) => answer.values.every((value) => Math.abs(value) * times <= 127)) ?? 1;
    this.draw();
  }

  // Drawing.

  draw() {
    if (this.asked || !this.item) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.want();
      this.paint();
      this.placeRegions();
      this.placeHandles();
      this.moveHead();
    });
  }

  paint() {
    const { canvas, width, view: { start, span } } = this;
    const [ratio, height] = [devicePixelRatio || 1, this.top(this.lanes.length)];
    canvas.style.height = `${height}px`;
    [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)]; // which clears it
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.font = "11px system-ui, sans-serif";
    const style = getComputedStyle(canvas);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const step = STEPS.find((one) => (one / span) * width >= 70) ?? STEPS.at(-1);
    for (let tick = Math.ceil(start / step) * step; tick <= start + span + 1e-9; tick += step) {
      const x = Math.round(this.at(tick));
      pen.fillStyle = colour("line");
      for (const lane of this.lanes.keys()) pen.fillRect(x, this.top(lane), 1, TITLE + this.waveHeight);
      pen.fillStyle = colour("soft");
      pen.fillText(clock(tick, step < 0.1 ? 2 : step < 1 ? 1 : 0), Math.min(x + 3, width - 40), 11);
    }
    this.lanes.forEach((channel, lane) => this.paintLane(pen, colour(channel), lane));
  }

  paintLane(pen, colour, lane) {
    const { view, width } = this;
    const half = this.waveHeight / 2 - 1;
    const middle = this.top(lane) + TITLE + this.waveHeight / 2;
    pen.fillStyle = colour;
    pen.fillRect(0, middle - 0.25, width, 0.5);
    if (!this.peaks) return;
    const { start, count, column, values, channels } = this.peaks;
    const first = Math.max(0, Math.floor((view.start - start) / column));
    const last = Math.min(count, Math.ceil((view.start + view.span - start) / column));
    const own = Math.min(lane, channels - 1) * count;
    const wide = Math.max(1, (column / view.span) * width);
    pen.beginPath();
    for (let index = first; index < last; index++) {
      const [low, high] = values.subarray(2 * (own + index), 2 * (own + index) + 2);
      const [up, down] = [high, -low].map((value) => Math.min(half, (half / 127) * (this.gain || 1) * value));
      if (up + down > 0.5) pen.rect(this.at(start + index * column), middle - up, wide, up + down);
    }
    pen.fill();
  }

  placeRegions() {
    const { start, span } = this.view;
    const scale = this.width / span;
    // Words of 3 pixels tell nothing; the lines do.
    this.drawn = this.regions.filter((one) => one.start <= start + span && one.end >= start && (one.index === null || scale >= 12));
    this.drawn.sort((a, b) => a.start - b.start);
    const free = this.lanes.map(() => [-Infinity, -Infinity]); // of the two rows of words in each lane
    $("regions").replaceChildren(...this.drawn.map((region, place) => {
      const { line, index, word, lane, start: from, end } = region;
      const [left, wide] = [this.at(from), Math.max(2, (end - from) * scale)];
      const element = make("div", `region ${word ? "word" : "line"} ${line.channel}`);
      element.dataset.place = place;
      element.classList.toggle("now", line.id === this.chosen.line);
      let [top, height] = [this.top(lane), TITLE + this.waveHeight];
      if (word) {
        // The other row takes a word whose letters or times have no room in the first.
        const row = free[lane][0] <= left + 0.5 ? 0 : free[lane][1] <= left + 0.5 ? 1 : Number(free[lane][1] < free[lane][0]);
        free[lane][row] = left + Math.max(wide, Math.min(7 + 7.2 * word.word.length, 160));
        [top, height] = [top + height + 2 + row * WORD, WORD - 2];
        element.classList.toggle("chosen", line.id === this.chosen.line && index === this.chosen.index);
        element.classList.toggle("unsure", word.probability !== null && word.probability < 0.5);
        if (scale >= 35) element.append(word.word);
      } else if (line.tag) {
        element.style.paddingLeft = `${Math.max(4, 4 - left)}px`;
        element.append(`(${line.tag})`);
      }
      Object.assign(element.style, { left: `${left}px`, width: `${wide}px`, top: `${top}px`, height: `${height}px` });
      return element;
    }));
  }

  placeHandles() {
    for (const [kind, index] of [["line", null], ["word", this.chosen.index]]) {
      const region = this.region(index);
      for (const edge of ["start", "end"]) {
        const handle = $(`${kind}-${edge}`);
        handle.hidden = !region;
        if (!region) continue;
        const below = TITLE + this.waveHeight;
        const [y, height] = kind === "line" ? [this.top(region.lane), below] : [this.top(region.lane) + below, 2 * WORD];
        handle.style.transform = `translate(${clamp(this.at(region[edge]), -6, this.width + 6)}px, ${y}px)`;
        handle.style.height = `${height}px`;
      }
    }
  }

  /** Show where the sound is; nothing else changes as it plays. */
  moveHead() {
    const x = this.at(this.hear.position());
    $("head").hidden = x < -1 || x > this.width;
    $("head").style.transform = `translateX(${clamp(x, 0, this.width - 1.5)}px)`;
  }

  // Edges that are dragged or stepped.

  /** Move an edge of a region away from a time; words of a line stay in their order. */
  move(region, edge, from, shift) {
    if (!this.writable) return;
    // Neighbours of a word give way, as the server has it, and keep something.
    const { line: { words }, index, word } = region;
    const [before, after] = word ? [words[index - 1], words[index + 1]] : [];
    const low = before ? Math.min(word.start, before.start + SHORTEST) : 0;
    const high = after ? Math.max(word.end, after.end - SHORTEST) : this.item.duration;
    if (edge === "start") region.start = tidy(clamp(from + shift, low, Math.max(low, region.end - SHORTEST)));
    else region.end = tidy(clamp(from + shift, Math.min(high, region.start + SHORTEST), high));
    this.moving = region;
    this.hear.moving(region, edge);
    this.draw();
  }

  /** Step an edge: it is shown at once, and saved when the keys rest. */
  step(region, edge, by) {
    clearTimeout(this.timer);
    this.move(region, edge, region[edge], by);
    this.timer = setTimeout(() => this.settle(), SETTLED);
  }

  /** What is being moved is where it is to be. */
  settle() {
    clearTimeout(this.timer);
    const region = this.moving;
    this.moving = null;
    if (region) this.hear.moved(region);
  }

  listen() {
    const stage = $("stage");
    const timeAt = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return clamp(this.view.start + ((event.clientX - box.left) / box.width) * this.view.span, 0, this.item.duration);
    };
    for (const handle of document.querySelectorAll(".edge")) {
      const [kind, edge] = handle.id.split("-");
      const chosen = () => this.region(kind === "word" ? this.chosen.index : null);
      let drag = null;
      handle.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        this.settle();
        drag = { x: event.clientX, from: chosen()[edge] };
        handle.setPointerCapture(event.pointerId);
      });
      handle.addEventListener("pointermove", (event) => {
        if (drag) this.move(chosen(), edge, drag.from, ((event.clientX - drag.x) / this.width) * this.view.span);
      });
      for (const end of ["pointerup", "pointercancel"]) {
        handle.addEventListener(end, () => {
          drag = null;
          this.settle();
        });
      }
    }
    stage.addEventListener("click", (event) => {
      if (!this.item || event.target.matches(".edge")) return;
      const region = this.drawn[document.elementFromPoint(event.clientX, event.clientY)?.closest(".region")?.dataset.place];
      if (region) this.hear.pick(region.line, region.index ?? -1);
      if (!region?.word) this.hear.seek(timeAt(event));
    });
    stage.addEventListener("wheel", (event) => {
      if (!this.item) return;
      event.preventDefault();
      const by = event.deltaMode === 1 ? 30 : 1;
      if (event.ctrlKey) this.zoom(Math.exp((-event.deltaY * by) / 200), timeAt(event));
      else this.look(this.view.start + (((event.deltaX || event.deltaY) * by) / this.width) * this.view.span);
    }, { passive: false });
  }
}
