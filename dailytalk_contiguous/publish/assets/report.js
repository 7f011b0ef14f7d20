"use strict";
// One sound plays at a time, on every page.
document.addEventListener("play", (event) => {
  for (const other of document.querySelectorAll("audio")) if (other !== event.target) other.pause();
}, true);

// What can be scrolled is reached by keys, too.
const scrolled = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
for (const card of document.querySelectorAll("article.card, .sideways")) scrolled.observe(card);

(() => {
  const $ = (id) => document.getElementById(id);
  const player = $("player");
  if (!player) return;
  document.documentElement.classList.add("live");
  const table = JSON.parse($("conversations").textContent);
  const CELLS = table.cells;
  const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const CODE = Object.fromEntries([...LETTERS].map((letter, number) => [letter, number]));
  const SIDES = ["left", "right"];
  const reduced = matchMedia("(prefers-reduced-motion: reduce)");

  // Every text of the data comes into the page by these two, as text.
  const make = (tag, name, text) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const say = (element, text) => { if (element.textContent !== text) element.textContent = text; };

  const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
  const clock = (exact, digits = 0) => {
    const seconds = Number(exact.toFixed(digits));
    const whole = Math.floor(seconds / 60);
    const rest = (seconds - 60 * whole).toFixed(digits);
    return `${whole}:${rest.padStart(digits ? digits + 3 : 2, "0")}`;
  };
  const formats = table.digits.map((digits) => new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  const figure = (measure, value) => (value === null ? "–" : formats[measure].format(value * table.factors[measure]));
  const withUnit = (measure, value) =>
    [figure(measure, value), value === null ? "" : table.units[measure]].filter(Boolean).join(" ");

  // Colours are those of the style sheet, which knows about dark pages and forced colours.
  let colours = {};
  const readColours = () => {
    const style = getComputedStyle(document.documentElement);
    const names = ["ink", "soft", "line", "left", "right", "grey", "both", "unsure", "now", "card"];
    colours = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    colours.faint = Number(style.getPropertyValue("--faint")) || 0.15;
  };

  const prepared = (canvas, height) => {
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.globalAlpha = 1;
    return [pen, width];
  };

  // Who speaks in each cell of a strip: 1 left, 2 right, 3 both at once. A letter is a state and a run of cells.
  const runs = (strip) => {
    const found = [];
    let cell = 0;
    for (const letter of strip) {
      const code = CODE[letter];
      const length = (code & 15) + 1;
      if (code >> 4) found.push([cell, length, code >> 4]);
      cell += length;
    }
    return found;
  };

  const drawStrip = (pen, strip, top, width, lane, faded) => {
    const scale = width / CELLS;
    const found = runs(strip);
    pen.fillStyle = colours.line;
    pen.fillRect(0, top + lane, width, 1);
    for (const [cell, length, state] of found) {
      const x = cell * scale;
      const w = Math.max(1, length * scale);
      for (const side of [0, 1]) {
        if (!(state & (side + 1))) continue;
        pen.globalAlpha = faded ? 0.55 : 1;
        pen.fillStyle = side ? colours.right : colours.left;
        pen.fillRect(x, top + side * (lane + 1), w, lane);
        pen.globalAlpha = 1;
      }
    }
    pen.fillStyle = colours.both;
    for (const [cell, length, state] of found) {
      if (state === 3) pen.fillRect(cell * scale, top + lane - 1.5, Math.max(1.5, length * scale), 4);
    }
  };

  const longest = (row) => Math.max(row.seconds, row.recorded || 0) || 1;
  const stripHeight = (row) => (row.strips[0] && row.strips[1] ? 38 : 17);
  // The head is where it is in each: `heads` are seconds of the recording and of what was rebuilt of it.
  const drawStrips = (canvas, row, heads) => {
    const [pen, width] = prepared(canvas, stripHeight(row));
    const shown = row.strips.filter(Boolean).length;
    let top = 0;
    row.strips.forEach((strip, number) => {
      if (!strip) return;
      drawStrip(pen, strip, top, width, 7, number === 0 && Boolean(row.strips[1]));
      if (heads) {
        const second = heads[shown === 2 ? number : 1];
        pen.fillStyle = colours.ink;
        pen.fillRect(clamp((second / longest(row)) * width - 1, 0, width - 2), top, 2, shown === 2 ? 16 : 17);
      }
      top += 22;
    });
  };

  const rows = table.rows.map((row, number) => ({
    number,
    name: row[0],
    seconds: row[1],
    recorded: row[2],
    place: row[3],
    values: row[4],
    breaches: row[5],
    strips: [row[6], row[7]],
    detailed: row[8] === 1,
  }));
  const byName = new Map(rows.map((row) => [row.name, row]));

  // The player: the conversation that it shows, its sound, the head, and the part that is in view.

  let row = null;
  let detail = null;
  let sound = null;
  let head = 0;
  let view = [0, 1];
  let picked = null;
  let line = -1;
  let loop = false;
  let recorded = false;
  let side = { solo: -1, muted: [false, false] };
  let gains = null;
  const sounds = new Map();

  const seconds = () => (detail ? detail.shown : 0) || 0;
  const isPlaying = () => Boolean(sound) && !sound.paused && !sound.ended;

  const detailOf = (number) => {
    const block = $(`detail-${number}`);
    return block ? JSON.parse(block.textContent) : null;
  };

  const trouble = (text) => {
    $("trouble").hidden = !text;
    say($("trouble"), text);
  };

  const soundAt = (source) => {
    const element = new Audio();
    element.preload = "metadata";
    element.src = source;
    player.append(element); // without controls it is not seen; in the page it is one of those of which one plays
    return element;
  };

  // A conversation is heard as it was rebuilt or as it was recorded; its head and all times of the page are of the
  // former, and only its sound is elsewhere. Each has an element in the page or an address, and one of each side.
  const take = () => (recorded ? detail.recorded : detail);
  const soundOf = (side = "") => {
    const name = `${recorded ? "recorded" : "sound"}-${row.number}${side === "" ? "" : `-${side}`}`;
    if (!sounds.has(name)) {
      const source = side === "" ? take().sound : take().sides[side];
      const element = $(name) || (source ? soundAt(source) : null);
      sounds.set(name, element);
      if (element) listen(element);
    }
    return sounds.get(name);
  };
  const hasRecording = () => Boolean(detail && detail.recorded && (detail.recorded.sound || $(`recorded-${row.number}`)));

  const listen = (element) => {
    if (element.dataset.heard) return;
    element.dataset.heard = "1";
    element.preservesPitch = true;
    for (const kind of ["play", "pause", "ended", "seeked", "timeupdate"]) {
      element.addEventListener(kind, () => { if (element === sound) update(kind); });
    }
    element.addEventListener("error", () => {
      if (element !== sound) return;
      const source = take().sound;
      const file = source && !source.startsWith("data:") ? ` ${source}` : "";
      trouble(`The sound${file} can't be played: is it still beside this page?`);
    });
  };

  // Solo and mute. A browser gives a script no samples of a file beside a page that was opened from a disk. Where
  // that is so, one side is a file of its own, or the buttons say why they do nothing.
  const readable = () => {
    if (!sound) return false;
    const place = new URL(sound.currentSrc || sound.src, location.href);
    return place.protocol === "data:" || (place.origin === location.origin && location.protocol.startsWith("http"));
  };
  const canMute = () => Boolean(sound) && (readable() || Boolean(take().sides && take().sides.length));
  const audible = (number) => (side.solo < 0 ? !side.muted[number] : side.solo === number);

  const route = () => {
    if (!sound) return;
    const both = audible(0) && audible(1);
    if (!readable()) {
      if (!take().sides || !take().sides.length) return;
      const source = both ? "" : audible(0) ? 0 : audible(1) ? 1 : -1;
      const next = soundOf(source === -1 ? "" : source);
      next.muted = source === -1;
      if (next !== sound) change(next);
      return;
    }
    if (both && !gains) return;
    gains ||= new Map();
    let graph = gains.get(sound);
    if (!graph) {
      gains.context ||= new AudioContext();
      const context = gains.context;
      const source = context.createMediaElementSource(sound);
      const split = context.createChannelSplitter(2);
      const merge = context.createChannelMerger(2);
      graph = [0, 1].map((channel) => {
        const gain = context.createGain();
        split.connect(gain, channel);
        gain.connect(merge, 0, channel);
        return gain;
      });
      source.connect(split);
      merge.connect(context.destination);
      gains.set(sound, graph);
    }
    gains.context.resume();
    graph.forEach((gain, channel) => { gain.gain.value = audible(channel) ? 1 : 0; });
  };

  // Another sound of the same conversation, at the same place.
  const change = (next) => {
    const goesOn = isPlaying();
    sound.pause();
    next.playbackRate = sound.playbackRate;
    next.currentTime = recorded ? recordedTime(head) : head;
    sound = next;
    if (goesOn) play();
  };

  const hear = (wanted) => {
    if (!sound || wanted === recorded || !hasRecording()) return;
    update("change");
    recorded = wanted;
    change(soundOf());
    route();
    say($("live"), recorded ? "as recorded" : "as rebuilt");
    showHeard();
    show("change");
  };

  const showHeard = () => {
    const can = Boolean(sound) && hasRecording();
    $("hear").hidden = $("hear-key").hidden = !can;
    $("hear").setAttribute("aria-pressed", String(recorded));
    const why = detail && detail.rebuilt && sound && !can ? (detail.recorded ? detail.recorded.why : "As recorded, the examples alone can be heard.") : "";
    $("hear-note").hidden = !why;
    say($("hear-note"), why);
    showSides();
  };

  const showSides = () => {
    SIDES.forEach((name, number) => {
      const solo = $(`solo-${name}`);
      const mute = $(`mute-${name}`);
      solo.setAttribute("aria-pressed", String(side.solo === number));
      mute.setAttribute("aria-pressed", String(side.muted[number]));
      solo.disabled = mute.disabled = !canMute();
      say($(`name-${name}`), recorded ? `${name}, as recorded` : detail ? detail.names[number] : name);
    });
    const why = sound && !canMute();
    $("sides-note").hidden = !why;
  };

  // What is at the head.

  // Of a recording, the line is the one that is said there: its own times say so better than the head.
  const placeOf = (one) => (recorded && one[7] !== null ? [one[7], one[8]] : [one[1], one[2]]);
  const lineNow = () => {
    const time = recorded && sound ? sound.currentTime : head;
    let found = -1;
    (detail ? detail.lines : []).forEach((one, number) => {
      const [start, end] = placeOf(one);
      if (start <= time && time < end) found = number;
    });
    return found;
  };
  const wordAt = (time) => {
    let found = -1;
    (detail ? detail.words : []).forEach((one, number) => { if (one[1] <= time && time < one[2]) found = number; });
    return found;
  };

  const aboutWord = (word) => {
    const sure = word[4] === null ? "confidence unknown" : `confidence ${Math.round(100 * word[4])} %`;
    const source = detail.sources[word[5]] ? `, times: ${detail.sources[word[5]]}` : "";
    return `“${word[3]}” · ${SIDES[word[0]]} · ${word[1].toFixed(2)} to ${word[2].toFixed(2)} s · ${sure}${source}`;
  };
  const aboutLine = (one) => [
    SIDES[one[0]], `${one[1].toFixed(2)} to ${one[2].toFixed(2)} s`, one[4] && `tag: ${one[4]}`, one[6], one[5], one[9],
  ].filter(Boolean).join(" · ");
  const aboutSound = (one) => `laugh, breath or cough · ${SIDES[one[0]]} · ${one[1].toFixed(2)} to ${one[2].toFixed(2)} s`;

  const showPicked = () => {
    if (!detail) return;
    let text = "";
    if (picked) text = { word: aboutWord, line: aboutLine, sound: aboutSound }[picked.kind](picked.item);
    else {
      const word = wordAt(head);
      const at = lineNow();
      text = [word >= 0 ? aboutWord(detail.words[word]) : "", at >= 0 ? aboutLine(detail.lines[at]) : ""].filter(Boolean).join("\n");
    }
    say($("about-here"), text || "Nobody speaks here.");
  };

  const update = (kind) => {
    if (!detail) return;
    if (sound) {
      if (kind === "play") requestAnimationFrame(frame);
      const before = head;
      head = clamp(recorded ? rebuiltTime(sound.currentTime) : sound.currentTime, 0, seconds());
      if (loop && line >= 0 && isPlaying()) {
        const [start, end] = placeOf(detail.lines[line]);
        if (sound.currentTime >= end || sound.currentTime < start - 0.05) return seek(detail.lines[line][1], false, start);
      }
      follow(before);
    }
    show(kind);
  };

  const show = (kind) => {
    const at = lineNow();
    if (!loop || line < 0) {
      if (at !== line && at >= 0) {
        line = at;
        markLine(true);
        if (isPlaying()) say($("live"), `${SIDES[detail.lines[at][0]]}: ${detail.lines[at][3]}`);
      }
    }
    markWord();
    const playing = isPlaying();
    say($("play"), playing ? "Pause" : "Play");
    say($("time"), recorded ? `recorded ${clock(sound.currentTime, 1)}` : `${clock(head, 1)} / ${clock(seconds())}`);
    $("seek").value = String(head);
    $("seek").setAttribute("aria-valuetext", recorded ? `${clock(sound.currentTime)} of the recording` : `${clock(head)} of ${clock(seconds())}`);
    if (kind !== "timeupdate" || !playing) showPicked();
    draw();
  };

  const frame = () => {
    if (!isPlaying()) return;
    picked = null;
    update("frame");
    requestAnimationFrame(frame);
  };

  // Whoever looks elsewhere while it plays is not pulled back.
  const follow = (before) => {
    const [start, span] = view;
    const seen = before >= start && before <= start + span;
    if (seen && (head < start || head > start + 0.95 * span)) look(head - 0.08 * span, span);
  };

  const look = (start, span) => {
    const width = clamp(span, Math.min(1, seconds() || 1), seconds() || 1);
    view = [clamp(start, 0, Math.max(0, seconds() - width)), width];
    const most = Math.log(Math.max(1.001, seconds()));
    $("zoom").value = String(Math.round(1000 * (1 - Math.log(Math.max(1, width)) / most)));
    $("zoom").setAttribute("aria-valuetext", `${width.toFixed(width < 10 ? 1 : 0)} seconds in view`);
  };

  const zoom = (span, at = head) => {
    const [start, old] = view;
    const share = clamp((at - start) / old, 0, 1);
    const width = clamp(span, Math.min(1, seconds() || 1), seconds() || 1);
    look(at >= start && at <= start + old ? at - share * width : at - width / 2, width);
    draw();
  };

  // To a time of the head. `second`: of the sound, where it is known better than by the head.
  const seek = (time, jump = true, second = null) => {
    if (!detail) return;
    const before = head;
    head = clamp(time, 0, Math.max(0, seconds() - 0.01));
    if (sound) sound.currentTime = second !== null ? second : recorded ? recordedTime(head) : head;
    const [start, span] = view;
    if (head < start || head > start + span) look(head - 0.3 * span, span);
    else if (!jump) follow(before);
    if (jump && loop) { loop = false; showLoop(); }
    picked = null;
    show("seek");
  };

  const play = () => {
    if (!sound) return;
    route();
    sound.playbackRate = Number($("speed").value);
    // What can't be loaded says so itself; a pause before it began is nothing to speak of.
    const known = ["AbortError", "NotSupportedError"];
    sound.play().catch((error) => { if (!known.includes(error.name)) trouble(`The sound can't be played (${error.name}).`); });
  };
  const toggle = () => { if (isPlaying()) sound.pause(); else play(); };

  const toLine = (number, start) => {
    if (!detail || !detail.lines.length) return;
    const at = clamp(number, 0, detail.lines.length - 1);
    const looped = loop;
    loop = false;
    line = at;
    seek(detail.lines[at][1] + 0.001, true, placeOf(detail.lines[at])[0] + 0.001);
    line = at;
    loop = looped;
    showLoop();
    markLine(true);
    picked = { kind: "line", item: detail.lines[at] };
    showPicked();
    draw();
    if (start) play();
  };
  const neighbour = (step) => {
    let at = line;
    if (step < 0 && at >= 0 && head - detail.lines[at][1] > 1) step = 0;
    toLine(at < 0 ? (step > 0 ? detail.lines.findIndex((one) => one[1] >= head) : 0) : at + step, false);
  };
  const toWord = (step) => {
    if (!detail || !detail.words.length) return;
    let at = wordAt(head + 0.001);
    if (at < 0) {
      const next = detail.words.findIndex((one) => one[1] > head);
      at = step > 0 ? (next < 0 ? detail.words.length : next) - 1 : next < 0 ? detail.words.length : next;
    }
    at = clamp(at + step, 0, detail.words.length - 1);
    seek(detail.words[at][1] + 0.001);
    picked = { kind: "word", item: detail.words[at] };
    showPicked();
    draw();
  };

  const showLoop = () => { $("loop").setAttribute("aria-pressed", String(loop)); };

  // The transcript, a button a line; the line that plays is marked and kept in view.

  let marks = [];
  let spans = new Map();
  const fillTranscript = () => {
    const list = $("lines");
    list.replaceChildren();
    marks = [];
    spans = new Map();
    let next = 0;
    const ofSide = [0, 1].map((number) => detail.words.map((word, at) => [word, at]).filter(([word]) => word[0] === number));
    const places = [0, 0];
    for (const one of detail.lines) {
      const item = make("li", SIDES[one[0]]);
      const button = make("button", "", clock(one[1], 1));
      button.type = "button";
      const number = next++;
      button.setAttribute("aria-label", `Play from ${clock(one[1], 1)}, ${SIDES[one[0]]}`);
      button.addEventListener("click", () => toLine(number, true));
      const said = make("span", "said");
      if (one[4]) said.append(make("i", "", `(${one[4]}) `));
      const own = ofSide[one[0]];
      while (places[one[0]] < own.length && own[places[one[0]]][0][1] < one[1] - 0.02) places[one[0]]++;
      const inside = [];
      while (places[one[0]] < own.length && own[places[one[0]]][0][1] < one[2] - 0.005) inside.push(own[places[one[0]]++]);
      const texts = (one[3] || "").split(/\s+/).filter(Boolean);
      if (texts.length === inside.length) {
        texts.forEach((text, at) => {
          const word = make("span", unsure(inside[at][0][4]) ? "unsure" : "", text);
          spans.set(inside[at][1], word);
          said.append(word, " ");
        });
      } else said.append(one[3] || "");
      item.append(button, make("span", `who ${SIDES[one[0]]}`, SIDES[one[0]]), said);
      if (one[9] && one[9] !== "spoken" && one[9] !== "kept") item.append(make("span", "soft status", one[9]));
      list.append(item);
      marks.push(item);
    }
    if (!detail.lines.length) list.append(make("li", "note", "Nobody speaks here."));
  };

  const unsure = (probability) => probability !== null && probability < table.unsure;
  let marked = -1;
  const markLine = (scroll) => {
    if (marks[marked]) marks[marked].removeAttribute("aria-current");
    marked = line;
    if (!marks[line]) return;
    marks[line].setAttribute("aria-current", "true");
    const list = $("lines");
    const item = marks[line];
    if (!scroll) return;
    const top = item.offsetTop - list.offsetTop;
    if (top < list.scrollTop || top + item.offsetHeight > list.scrollTop + list.clientHeight) {
      list.scrollTo({ top: top - list.clientHeight / 3, behavior: reduced.matches ? "auto" : "smooth" });
    }
  };
  let markedWord = null;
  const markWord = () => {
    const word = spans.get(wordAt(head)) || null;
    if (word === markedWord) return;
    if (markedWord) markedWord.classList.remove("now");
    if (word) word.classList.add("now");
    markedWord = word;
  };

  // The drawing: recorded turns above, then each side with its tags, waveform and words.

  const AXIS = 18, TURNS = 10, LINKS = 14, NAME = 16, TAG = 16, WAVE = 60, WORDS = 17, WORD_LINES = 3;
  const LANE = NAME + TAG + WAVE + WORDS * WORD_LINES + 6;
  let hits = [];
  const hasRecorded = () => Boolean(detail && detail.rebuilt && detail.lines.some((one) => one[7] !== null));
  const height = () => AXIS + (hasRecorded() ? 16 + 2 * TURNS + LINKS : 0) + 2 * LANE;

  // The second of the recording for a second of the result, and back: where lines begin and end are its knots, those
  // that are in one order in both, so that the recorded turns are beside the new ones wherever one looks.
  const knotsOf = (lines) => {
    const knots = [];
    lines.filter((one) => one[7] !== null).flatMap((one) => [[one[1], one[7]], [one[2], one[8]]])
      .sort((a, b) => a[0] - b[0] || a[1] - b[1])
      .forEach((knot) => { if (!knots.length || knot[1] >= knots[knots.length - 1][1]) knots.push(knot); });
    return knots;
  };
  const mapped = (time, from, to) => {
    const knots = detail.knots;
    if (!knots.length) return time;
    let at = knots.findIndex((knot) => knot[from] > time);
    if (at < 0) at = knots.length;
    const before = knots[Math.max(0, at - 1)];
    const after = knots[at];
    if (at === 0 || !after) return Math.max(0, time + before[to] - before[from]);
    return before[to] + ((time - before[from]) / (after[from] - before[from])) * (after[to] - before[to]);
  };
  const recordedTime = (time) => mapped(time, 0, 1);
  const rebuiltTime = (time) => mapped(time, 1, 0);

  const drawWave = () => {
    const canvas = $("wave");
    canvas.style.height = `${height()}px`;
    const [pen, width] = prepared(canvas, height());
    hits = [];
    if (!detail || !width) return;
    const [start, span] = view;
    const scale = width / span;
    const at = (time) => (time - start) * scale;
    const seen = (one) => one[2] > start && one[1] < start + span;
    const font = (style, size = 12) => { pen.font = `${style} ${size}px system-ui, sans-serif`; };

    const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120];
    const step = steps.find((one) => one * scale >= 64) || 300;
    font("", 11);
    pen.textBaseline = "top";
    for (let tick = Math.ceil(start / step) * step; tick <= start + span + 1e-9; tick += step) {
      const x = Math.round(at(tick)) + 0.5;
      pen.fillStyle = colours.line;
      pen.fillRect(x, 14, 1, height() - 14);
      pen.fillStyle = colours.soft;
      pen.fillText(clock(tick, step < 1 ? 1 : 0), Math.min(x + 3, width - 34), 2);
    }

    let top = AXIS;
    const shift = span > 0.98 * seconds() ? 0 : recordedTime(start + span / 2) - (start + span / 2);
    if (hasRecorded()) {
      const x = (time) => (time - shift - start) * scale;
      const edge = top + 16;
      font("", 11);
      pen.fillStyle = colours.soft;
      pen.fillText(`recorded, from ${clock(Math.max(0, start + shift), 1)}`, 4, top + 1);
      const bands = [[], []];
      detail.lines.forEach((one) => {
        if (one[7] === null) return;
        const [from, to] = [x(one[7]), x(one[8])];
        if (to < 0 || from > width) return;
        bands[one[0]].push([from, to]);
        pen.fillStyle = one[0] ? colours.right : colours.left;
        pen.globalAlpha = 0.6;
        pen.fillRect(from, edge + one[0] * (TURNS + 1), Math.max(1.5, to - from), TURNS);
        pen.globalAlpha = 0.5;
        pen.strokeStyle = one[0] ? colours.right : colours.left;
        pen.beginPath();
        pen.moveTo(from, edge + 2 * TURNS + 1);
        pen.lineTo(at(one[1]), edge + 2 * TURNS + LINKS);
        pen.stroke();
        pen.globalAlpha = 1;
      });
      pen.fillStyle = colours.both;
      for (const [a, b] of bands[0]) for (const [c, d] of bands[1]) {
        if (Math.min(b, d) > Math.max(a, c)) pen.fillRect(Math.max(a, c), edge + TURNS - 1, Math.min(b, d) - Math.max(a, c), 3);
      }
      top = edge + 2 * TURNS + LINKS;
    }

    for (const [from, to] of detail.both) {
      if (to < start || from > start + span) continue;
      pen.fillStyle = colours.both;
      pen.globalAlpha = 0.12;
      pen.fillRect(at(from), top, Math.max(1, (to - from) * scale), 2 * LANE);
      pen.globalAlpha = 1;
      pen.fillRect(at(from), top + LANE - 3, Math.max(1.5, (to - from) * scale), 3);
    }

    for (const number of [0, 1]) {
      const lane = top + NAME + number * LANE;
      const waveTop = lane + TAG;
      const middle = waveTop + WAVE / 2;
      const colour = number ? colours.right : colours.left;
      detail.lines.forEach((one, index) => {
        if (one[0] !== number || !seen(one)) return;
        const x = at(one[1]);
        const w = Math.max(1.5, (one[2] - one[1]) * scale);
        pen.fillStyle = index === line ? colours.now : colour;
        pen.globalAlpha = index === line ? 1 : colours.faint;
        pen.fillRect(x, waveTop, w, WAVE);
        pen.globalAlpha = 1;
        pen.fillStyle = colour;
        pen.fillRect(x, waveTop, 1.5, WAVE);
        if (index === line) {
          pen.strokeStyle = colours.ink;
          pen.strokeRect(x + 0.5, waveTop + 0.5, w - 1, WAVE - 1);
        }
        hits.push({ kind: "line", item: one, x, w, y: waveTop, h: WAVE });
        if (one[4]) {
          font("italic");
          pen.save();
          pen.beginPath();
          pen.rect(Math.max(0, x), lane, Math.max(w, 28), TAG);
          pen.clip();
          pen.fillText(one[4], Math.max(2, x), lane + 2);
          pen.restore();
        }
      });
      for (const one of detail.sounds) {
        if (one[0] !== number || !seen(one)) continue;
        pen.strokeStyle = colour;
        pen.setLineDash([2, 3]);
        pen.strokeRect(at(one[1]), waveTop + 0.5, Math.max(2, (one[2] - one[1]) * scale), WAVE - 1);
        pen.setLineDash([]);
        hits.push({ kind: "sound", item: one, x: at(one[1]), w: Math.max(2, (one[2] - one[1]) * scale), y: waveTop, h: WAVE });
      }
      pen.fillStyle = colour;
      pen.fillRect(0, middle, width, 1);
      const peaks = detail.peaks[number] || "";
      const rate = detail.peak_rate;
      const own = $("even").checked ? detail.loudest[number] : Math.max(...detail.loudest);
      const gain = own > 0 ? (WAVE / 2 - 3) / 63 / own * detail.loudest[number] : 0;
      for (let x = 0; x < width; x += 2) {
        const from = Math.floor((start + x / scale) * rate);
        const to = Math.max(from + 1, Math.floor((start + (x + 2) / scale) * rate));
        let most = 0;
        for (let index = from; index < to && index < peaks.length; index++) most = Math.max(most, CODE[peaks[index]]);
        const tall = most * gain;
        if (tall >= 0.4) pen.fillRect(x, middle - tall, 1.4, 2 * tall);
      }
      drawWords(pen, number, waveTop + WAVE + 2, width, scale, start, span);
    }

    font("600");
    [0, 1].forEach((number) => {
      pen.fillStyle = number ? colours.right : colours.left;
      pen.fillText(detail.names[number], 4, top + number * LANE + 3, width - 8);
    });

    pen.fillStyle = colours.ink;
    const turns = hasRecorded() ? AXIS + 16 + 2 * TURNS : 0;
    if (turns) pen.fillRect(clamp(at(heads()[0] - shift) - 1, -2, width), AXIS + 14, 2, 2 * TURNS + 4);
    pen.fillRect(clamp(at(head) - 1, -2, width), turns ? turns + LINKS : 0, 2, height());
  };
  const heads = () => [recorded && sound ? sound.currentTime : recordedTime(head), head];

  // Words are there where most of them have room; below that, the lines say enough.
  const drawWords = (pen, number, top, width, scale, start, span) => {
    if (scale < 22) return;
    const free = Array(WORD_LINES).fill(-Infinity);
    pen.font = "12px system-ui, sans-serif";
    detail.words.forEach((word, index) => {
      if (word[0] !== number || word[2] < start - 3 || word[1] > start + span) return;
      const x = (word[1] - start) * scale;
      const w = pen.measureText(word[3]).width;
      let level = free.findIndex((edge) => edge <= x);
      if (level < 0) level = free.indexOf(Math.min(...free));
      free[level] = x + w + 5;
      if (x + w < 0) return;
      const y = top + level * WORDS;
      if (word[1] <= head && head < word[2]) {
        pen.fillStyle = colours.now;
        pen.fillRect(x - 2, y, w + 4, WORDS - 1);
        pen.strokeStyle = colours.ink;
        pen.strokeRect(x - 2.5, y + 0.5, w + 5, WORDS - 2);
      }
      pen.fillStyle = unsure(word[4]) ? colours.unsure : colours.ink;
      pen.fillText(word[3], x, y + 2);
      if (unsure(word[4])) pen.fillRect(x, y + 14, w, 1.5);
      hits.unshift({ kind: "word", item: word, x: x - 2, w: w + 4, y, h: WORDS });
    });
  };

  const draw = () => {
    drawWave();
    if (!row) return;
    drawStrips($("overview"), row, detail ? heads() : null);
    const small = shownStrips.get(row.number);
    if (small) drawStrips(small, row, detail ? heads() : null);
  };

  const hit = (event) => {
    const box = $("wave").getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const found = hits.find((one) => x >= one.x && x <= one.x + one.w && y >= one.y && y <= one.y + one.h);
    return [found || null, view[0] + (x / box.width) * view[1]];
  };

  // Choosing a conversation.

  const choose = (number, from = null, start = false) => {
    if (sound) sound.pause();
    row = rows[number];
    detail = row.detailed ? detailOf(number) : null;
    sound = null;
    picked = null;
    line = marked = -1;
    loop = false;
    recorded = false;
    side = { solo: -1, muted: [false, false] };
    trouble("");
    player.hidden = false;
    say($("player-name"), row.name);
    const command = /^[\w.-]+$/.test(row.name) ? row.name : JSON.stringify(row.name);
    say($("player-about"), detail ? detail.about : `${clock(row.seconds)} · not in this page; make it again with --conversations ${command} to look at it and hear it`);
    const measures = table.names.map((name, index) => [index, row.values[index]]).filter(([, value]) => value !== null);
    $("player-measures").replaceChildren(...measures.map(([index, value]) => {
      const item = make("li", row.breaches.includes(index) ? "beyond" : "");
      item.append(make("span", "soft", `${table.titles[index]} `), make("b", "", withUnit(index, value)));
      if (row.breaches.includes(index)) item.append(make("span", "hidden", " (beyond the limit)"));
      return item;
    }));
    $("parts").hidden = !detail;
    $("overview").style.height = `${stripHeight(row)}px`;
    if (detail) {
      detail.knots = knotsOf(detail.lines);
      sound = soundOf();
      if (detail.problem) trouble(detail.problem);
      head = clamp(from === null ? 0 : from, 0, seconds());
      $("seek").max = String(seconds());
      $("seek").style.width = `${(100 * seconds()) / longest(row)}%`; // as far as the strips above it reach
      for (const name of ["play", "loop", "speed"]) $(name).disabled = !sound;
      look(head - 1, Math.min(seconds(), Math.max(4, $("wave").clientWidth / 90)));
      fillTranscript();
      if (sound) sound.currentTime = head;
      line = lineNow();
      markLine(true);
      $("key-recorded").hidden = !hasRecorded();
      const sure = detail.words.some((word) => word[4] !== null);
      $("key-unsure").hidden = !sure;
      $("key-unknown").hidden = sure || !detail.words.length;
    }
    showLoop();
    showHeard();
    markChosen();
    update("choose");
    if (start) play();
  };

  const markChosen = () => {
    for (const button of document.querySelectorAll("[data-number]")) {
      const chosen = row && Number(button.dataset.number) === row.number;
      if (chosen) button.setAttribute("aria-current", "true"); else button.removeAttribute("aria-current");
    }
  };

  const fromStrip = (canvas, chosen, event) => {
    const box = canvas.getBoundingClientRect();
    const time = clamp((event.clientX - box.left) / box.width, 0, 1) * longest(chosen);
    if (row === chosen && detail) { seek(time); if (canvas.id !== "overview") play(); } else choose(chosen.number, time, chosen.detailed);
  };

  // Controls.

  $("play").addEventListener("click", toggle);
  $("back").addEventListener("click", () => seek(head - 2));
  $("forward").addEventListener("click", () => seek(head + 2));
  $("hear").addEventListener("click", () => hear(!recorded));
  $("previous").addEventListener("click", () => detail && neighbour(-1));
  $("next").addEventListener("click", () => detail && neighbour(1));
  $("loop").addEventListener("click", () => {
    loop = !loop;
    if (loop && line < 0) toLine(Math.max(0, detail.lines.findIndex((one) => one[2] > head)), false);
    showLoop();
  });
  $("speed").addEventListener("change", () => { if (sound) sound.playbackRate = Number($("speed").value); });
  $("seek").addEventListener("input", () => seek(Number($("seek").value)));
  $("zoom").addEventListener("input", () => {
    zoom(Math.exp((1 - Number($("zoom").value) / 1000) * Math.log(Math.max(1.001, seconds()))));
  });
  $("whole").addEventListener("click", () => { look(0, seconds()); draw(); });
  $("even").addEventListener("change", draw);
  $("overview").addEventListener("click", (event) => { if (row) fromStrip($("overview"), row, event); });
  SIDES.forEach((name, number) => {
    $(`solo-${name}`).addEventListener("click", () => { side.solo = side.solo === number ? -1 : number; route(); showSides(); });
    $(`mute-${name}`).addEventListener("click", () => { side.muted[number] = !side.muted[number]; side.solo = -1; route(); showSides(); });
  });

  const wave = $("wave");
  let drag = null;
  wave.addEventListener("pointerdown", (event) => { drag = { x: event.clientX, start: view[0], moved: false }; });
  wave.addEventListener("pointermove", (event) => {
    if (drag && event.buttons) {
      if (Math.abs(event.clientX - drag.x) > 5) drag.moved = true;
      if (drag.moved) { look(drag.start - ((event.clientX - drag.x) / wave.clientWidth) * view[1], view[1]); draw(); }
      return;
    }
    if (isPlaying() || event.pointerType === "touch") return;
    const [found] = hit(event);
    picked = found;
    showPicked();
  });
  wave.addEventListener("pointerleave", () => { drag = null; if (!isPlaying()) { picked = null; showPicked(); } });
  wave.addEventListener("click", (event) => {
    const moved = drag && drag.moved;
    drag = null;
    if (moved || !detail) return;
    const [found, time] = hit(event);
    seek(found && found.kind === "word" ? found.item[1] + 0.001 : time);
    picked = found;
    showPicked();
  });
  wave.addEventListener("wheel", (event) => {
    if (!detail || !(event.ctrlKey || Math.abs(event.deltaX) > Math.abs(event.deltaY))) return;
    event.preventDefault();
    const time = view[0] + ((event.clientX - wave.getBoundingClientRect().left) / wave.clientWidth) * view[1];
    if (event.ctrlKey) zoom(view[1] * Math.exp(event.deltaY / 200), time);
    else { look(view[0] + (event.deltaX / wave.clientWidth) * view[1], view[1]); draw(); }
  }, { passive: false });

  document.addEventListener("keydown", (event) => {
    if (!detail || event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    const inside = player.contains(target) || target === document.body;
    if (!inside || target.matches("select, input[type=search], input[type=number]")) return;
    const onButton = target.matches("button, input, summary, a");
    const onZoom = target.id === "zoom";
    const act = {
      " ": onButton ? null : toggle,
      k: toggle,
      ArrowLeft: onZoom ? null : () => (event.shiftKey ? neighbour(-1) : seek(head - 2)),
      ArrowRight: onZoom ? null : () => (event.shiftKey ? neighbour(1) : seek(head + 2)),
      "[": () => toWord(-1),
      "]": () => toWord(1),
      "+": () => zoom(view[1] / 1.5),
      "=": () => zoom(view[1] / 1.5),
      "-": () => zoom(view[1] * 1.5),
      0: () => $("whole").click(),
      l: () => $("loop").click(),
      r: () => hear(!recorded),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });

  // The table: sorted, filtered, searched, fifty rows at a time.

  const PAGE = 50;
  const shownStrips = new Map();
  let order = { by: "worst", down: true };
  let page = 0;
  let found = rows;

  const key = {
    worst: (one) => one.place,
    name: (one) => one.name,
  };
  const valueOf = (one, by) => (key[by] ? key[by](one) : one.values[by]);
  const sorted = (list) => {
    const { by, down } = order;
    const sign = down ? -1 : 1;
    return list.slice().sort((a, b) => {
      const [x, y] = [valueOf(a, by), valueOf(b, by)];
      if (x === null || y === null) return x === y ? a.number - b.number : x === null ? 1 : -1;
      if (x === y) return a.number - b.number;
      return by === "worst" ? (down ? x - y : y - x) : x < y ? -sign : sign;
    });
  };

  const filter = () => {
    const search = $("search").value.trim().toLowerCase();
    const only = $("breaches").checked;
    const by = $("measure").value;
    const [least, most] = ["least", "most"].map((name) => ($(name).value === "" ? null : Number($(name).value)));
    const measure = by === "" ? -1 : Number(by);
    found = sorted(rows.filter((one) => {
      if (search && !one.name.toLowerCase().includes(search)) return false;
      if (only && !one.breaches.length) return false;
      if (measure >= 0 && (least !== null || most !== null)) {
        const value = one.values[measure];
        if (value === null) return false;
        const shown = value * table.factors[measure];
        if ((least !== null && shown < least) || (most !== null && shown > most)) return false;
      }
      return true;
    }));
    page = 0;
    showRows();
  };

  // Columns of what nobody knows are left out, and of the others the ones that matter here are shown first.
  const known = table.names.map((name, index) => index).filter((index) => rows.some((one) => one.values[index] !== null));
  const breachesOf = (index) => rows.reduce((sum, one) => sum + one.breaches.includes(index), 0);
  const FEW = 7;
  const varies = (index) => table.names[index] !== "duration" && rows.some((one) => one.values[index] !== rows[0].values[index]);
  const counts = new Map(known.map((index) => [index, breachesOf(index)]));
  const first = new Set(known.slice().sort((a, b) => counts.get(b) - counts.get(a) || varies(b) - varies(a) || a - b).slice(0, FEW));
  const columns = () => known.filter((index) => $("every").checked || first.has(index) || index === order.by);

  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      const one = rows[Number(entry.target.dataset.strip)];
      shownStrips.set(one.number, entry.target);
      drawStrips(entry.target, one, row === one && detail ? heads() : null);
    }
  }, { rootMargin: "200px" });

  const sortBy = (by) => {
    if (order.by === by) order.down = !order.down;
    else order = { by, down: by === "name" ? false : by === "worst" ? true : table.worse[by] !== "low" };
    $("order").value = String(by);
    filter();
  };

  const headOf = (by, title, about) => {
    const cell = make("th");
    cell.scope = "col";
    cell.setAttribute("role", "columnheader");
    if (by !== "name") cell.className = "number";
    if (order.by === by) cell.setAttribute("aria-sort", order.down ? "descending" : "ascending");
    const button = make("button", "", title);
    button.type = "button";
    if (about) button.title = about;
    if (order.by === by) button.append(make("span", "arrow", order.down ? " ▼" : " ▲"));
    button.querySelector(".arrow")?.setAttribute("aria-hidden", "true");
    button.addEventListener("click", () => { sortBy(by); $("table-head").querySelector("[aria-sort] button")?.focus(); });
    cell.append(button);
    return cell;
  };

  const cellOf = (className, label) => {
    const cell = make("td", className);
    cell.setAttribute("role", "cell");
    if (label) cell.dataset.label = label;
    return cell;
  };

  const showRows = () => {
    observer.disconnect();
    shownStrips.clear();
    const shown = columns();
    $("table").classList.toggle("every", $("every").checked);
    const top = make("tr");
    top.setAttribute("role", "row");
    const strips = make("th", "", table.rebuilt ? "recorded above rebuilt" : "who speaks");
    strips.scope = "col";
    strips.setAttribute("role", "columnheader");
    top.append(headOf("name", "conversation"), strips);
    for (const index of shown) {
      const unit = table.units[index];
      top.append(headOf(index, unit ? `${table.titles[index]} (${unit})` : table.titles[index], table.abouts[index]));
    }
    $("table-head").replaceChildren(top);
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    page = clamp(page, 0, pages - 1);
    const part = found.slice(page * PAGE, (page + 1) * PAGE);
    $("table-body").replaceChildren(...part.map((one) => {
      const item = make("tr");
      item.setAttribute("role", "row");
      const name = make("th", "name");
      name.scope = "row";
      name.setAttribute("role", "rowheader");
      const button = make("button", "", one.name);
      button.type = "button";
      button.dataset.number = String(one.number);
      button.addEventListener("click", () => { choose(one.number); showPlayer(); });
      name.append(button, make("span", "soft", ` ${clock(one.seconds)}${one.detailed ? "" : " · not in the player"}`));
      const strip = make("canvas", "strip");
      strip.dataset.strip = String(one.number);
      strip.setAttribute("aria-hidden", "true");
      strip.style.height = `${stripHeight(one)}px`;
      strip.addEventListener("click", (event) => fromStrip(strip, one, event));
      observer.observe(strip);
      const drawing = cellOf("strips");
      drawing.append(strip);
      item.append(name, drawing, ...shown.map((index) => {
        const beyond = one.breaches.includes(index);
        const wanted = beyond || index === order.by;
        const cell = cellOf(`number${beyond ? " beyond" : ""}${wanted ? " wanted" : ""}`, table.titles[index]);
        cell.append(make("span", "", figure(index, one.values[index])));
        if (one.values[index] !== null && table.units[index]) cell.append(make("span", "unit", ` ${table.units[index]}`));
        if (beyond) cell.append(make("span", "hidden", ", beyond the limit"));
        return cell;
      }));
      return item;
    }));
    const from = found.length ? page * PAGE + 1 : 0;
    say($("count"), `${from.toLocaleString("en")} to ${(page * PAGE + part.length).toLocaleString("en")} of ${found.length.toLocaleString("en")} conversation${found.length === 1 ? "" : "s"}`);
    $("page-back").disabled = page === 0;
    $("page-on").disabled = page >= pages - 1;
    $("pages").hidden = rows.length <= PAGE;
    markChosen();
  };

  const showPlayer = () => {
    player.scrollIntoView({ block: "start", behavior: reduced.matches ? "auto" : "smooth" });
    player.focus({ preventScroll: true });
  };

  const option = (select, value, text) => {
    const made = make("option", "", text);
    made.value = String(value);
    select.append(made);
  };
  option($("order"), "worst", "worst first");
  option($("order"), "name", "name");
  for (const index of known) {
    option($("order"), index, table.titles[index]);
    option($("measure"), index, table.units[index] ? `${table.titles[index]} (${table.units[index]})` : table.titles[index]);
  }
  $("order").addEventListener("change", () => {
    const by = $("order").value;
    order.by = null;
    sortBy(by === "worst" || by === "name" ? by : Number(by));
  });
  $("turn").addEventListener("click", () => { order.down = !order.down; filter(); });
  for (const name of ["search", "least", "most", "measure"]) $(name).addEventListener("input", filter);
  $("breaches").addEventListener("change", filter);
  $("every").addEventListener("change", showRows);
  $("page-back").addEventListener("click", () => { page--; showRows(); });
  $("page-on").addEventListener("click", () => { page++; showRows(); });
  $("every-label").hidden = known.length <= FEW;

  for (const button of document.querySelectorAll("#examples button[data-number]")) {
    button.addEventListener("click", () => { choose(Number(button.dataset.number)); showPlayer(); });
  }

  for (const finding of document.querySelectorAll("#verdict [data-conversation]")) {
    const one = byName.get(finding.dataset.conversation);
    if (!one) continue;
    const button = make("button", "", `Show ${one.name}`);
    button.type = "button";
    button.dataset.number = String(one.number);
    button.addEventListener("click", () => { choose(one.number); showPlayer(); });
    finding.append(" ", button);
  }

  // A link to `#conversation=ID`, such as a finding has, shows that one.
  const fromAddress = () => {
    const name = location.hash.startsWith("#conversation=") ? decodeURIComponent(location.hash.slice(14)) : null;
    if (name === null || !byName.has(name)) return false;
    choose(byName.get(name).number);
    showPlayer();
    return true;
  };
  addEventListener("hashchange", fromAddress);

  const redraw = () => { readColours(); for (const [number, canvas] of shownStrips) drawStrips(canvas, rows[number], null); draw(); };
  for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) matchMedia(query).addEventListener("change", redraw);
  let wide = 0;
  new ResizeObserver(() => { if (innerWidth !== wide) { wide = innerWidth; redraw(); } }).observe(document.body);

  readColours();
  $("all").hidden = false;
  filter();
  if (!fromAddress() && table.opens !== null) choose(table.opens);
})();
