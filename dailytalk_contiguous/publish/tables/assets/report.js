"use strict";
// Without this script a page is read and its examples are heard; with it there is a player, and tables are sorted.

const $ = (id) => document.getElementById(id);
const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
const say = (element, text) => { if (element.textContent !== text) element.textContent = text; };

// Every text of the data comes into the page by this, as text.
const make = (tag, name, text = "") => {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.textContent = text;
  return element;
};
const clock = (seconds, digits = 1) => {
  const rounded = Number(seconds.toFixed(digits));
  const rest = (rounded % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  return `${Math.floor(rounded / 60)}:${rest}`;
};
// One sound plays at a time, on every page.
document.addEventListener("play", (event) => {
  for (const other of document.querySelectorAll("audio")) if (other !== event.target) other.pause();
}, true);

const startPlayer = (player) => {
  const SIDES = ["left", "right"];
  const sound = $("sound");
  const wave = $("wave");
  let detail = null; // the conversation in the player; its times are those of the result
  let number = -1;
  let view = [0, 1]; // the first second in view, and how many are
  let line = -1;
  let recorded = false; // the recording is heard, not the result
  let source = null; // of the sound, once one side is heard alone
  let items = []; // of the transcript, by line
  let spans = new Map(); // of the transcript, by word

  // Where lines begin and end both in the recording and in the result are knots of a map from one to the other.
  const mapped = (time, from, to) => {
    const { knots } = detail;
    if (!knots.length) return time;
    const next = knots.findIndex((knot) => knot[from] > time);
    if (next === 0) return Math.max(0, time + knots[0][to] - knots[0][from]);
    const before = knots[next < 0 ? knots.length - 1 : next - 1];
    if (next < 0) return time + before[to] - before[from];
    const share = (time - before[from]) / (knots[next][from] - before[from]);
    return before[to] + share * (knots[next][to] - before[to]);
  };
  const recordedTime = (time) => mapped(time, 0, 1);
  const now = () => clamp(recorded ? mapped(sound.currentTime, 1, 0) : sound.currentTime, 0, detail.shown);
  const exact = (item) => (recorded && item.source ? item.source : [item.start, item.end]);

  const seek = (time) => {
    const at = clamp(time, 0, Math.max(0, detail.shown - 0.01));
    sound.currentTime = recorded ? recordedTime(at) : at;
    if (at < view[0] || at > view[0] + view[1]) look(at - 0.3 * view[1]);
    update();
  };
  const play = () => sound.play().catch(() => {}); // what can't be loaded says so itself
  const toggle = () => (sound.paused ? play() : sound.pause());
  const trouble = (text) => { $("trouble").hidden = !text; say($("trouble"), text); };

  const load = (at) => {
    const goesOn = !sound.paused;
    const side = SIDES.indexOf($("side").value);
    const take = recorded ? detail.recorded : detail;
    const file = $(`${recorded ? "recorded" : "sound"}-${number}`)?.src;
    if (file) sound.src = file; else sound.removeAttribute("src");
    sound.hidden = !file;
    $("side").disabled = !file;
    if (file) sound.currentTime = recorded ? recordedTime(at) : at;
    if (file && (source || side >= 0)) {
      source ||= new AudioContext().createMediaElementSource(sound);
      source.disconnect();
      const splitter = source.context.createChannelSplitter(2);
      source.connect(side < 0 ? source.context.destination : splitter);
      if (side >= 0) splitter.connect(source.context.destination, side); // to both ears
      source.context.resume();
    }
    if (goesOn) play();
    update();
  };
  const choose = (chosen) => {
    sound.pause();
    number = chosen;
    detail = JSON.parse($(`detail-${number}`).textContent);
    detail.knots = [];
    detail.lines.filter((item) => item.source)
      .flatMap((item) => [[item.start, item.source[0]], [item.end, item.source[1]]])
      .sort((a, b) => a[0] - b[0] || a[1] - b[1])
      .forEach((knot) => { if (knot[1] >= (detail.knots.at(-1)?.[1] ?? 0)) detail.knots.push(knot); });
    recorded = false;
    line = -1;
    player.hidden = false;
    say($("player-name"), detail.name);
    say($("player-about"), detail.about);
    trouble(detail.problem);
    $("hear").hidden = !(detail.recorded.sound || $(`recorded-${number}`));
    $("hear").setAttribute("aria-pressed", "false");
    say($("hear-note"), detail.recorded.why);
    $("side").value = "both";
    fillTranscript();
    load(0);
    look(0, Math.max(4, wave.clientWidth / 90));
    for (const button of buttons) button.ariaCurrent = Number(button.dataset.number) === number ? "true" : null;
  };
  const fillTranscript = () => {
    spans = new Map();
    items = detail.lines.map((item, at) => {
      const entry = make("li", SIDES[item.side]);
      const button = make("button", "", clock(item.start));
      button.type = "button";
      button.setAttribute("aria-label", `Play from ${clock(item.start)}, ${SIDES[item.side]}`);
      button.addEventListener("click", () => {
        line = at;
        seek(item.start + 0.001);
        play();
      });
      const said = make("span", "said");
      if (item.tag) said.append(make("i", "", `(${item.tag}) `));
      const inside = detail.words.map((word, place) => [word, place])
        .filter(([word]) => word[0] === item.side && word[1] > item.start - 0.02 && word[1] < item.end - 0.005);
      const texts = item.text.split(/\s+/).filter(Boolean);
      if (texts.length === inside.length) {
        texts.forEach((text, index) => {
          const [word, place] = inside[index];
          spans.set(place, make("span", isUnsure(word) ? "unsure" : "", text));
          said.append(spans.get(place), " ");
        });
      } else said.append(item.text);
      const who = make("span", `who ${SIDES[item.side]}`, SIDES[item.side]);
      entry.append(button, who, said, make("span", "soft", item.status));
      return entry;
    });
    $("lines").replaceChildren(...(items.length ? items : [make("li", "note", "Nobody speaks here.")]));
  };
  const isUnsure = (word) => word[4] !== null && word[4] < detail.unsure;
  // To the start of the next line or word, or of the one before.
  const step = (starts, forward) => {
    const isNext = (start) => (forward ? start > now() + 0.01 : start < now() - 0.3);
    const at = forward ? starts.find(isNext) : starts.findLast(isNext);
    if (at !== undefined) seek(at + 0.001);
  };
  const toLine = (forward) => step(detail.lines.map((item) => item.start), forward);
  const toWord = (forward) => step(detail.words.map((word) => word[1]), forward);
  const hear = () => {
    if ($("hear").hidden) return;
    const at = now();
    recorded = !recorded;
    $("hear").setAttribute("aria-pressed", String(recorded));
    say($("live"), recorded ? "as recorded" : "as rebuilt");
    load(at);
  };
  const joined = (...texts) => texts.filter(Boolean).join(" · ");
  const spanned = (start, end) => `${start.toFixed(2)} to ${end.toFixed(2)} s`;
  const aboutWord = ([side, start, end, word, sure, source]) => {
    const known = `confidence ${sure === null ? "unknown" : `${Math.round(100 * sure)} %`}`;
    return joined(`“${word}”`, SIDES[side], spanned(start, end), known, source && `times: ${source}`);
  };
  const aboutLine = ({ side, start, end, facts }) => joined(SIDES[side], spanned(start, end), facts);

  // What follows the sound: the line and the word that are said, and the drawing.
  const update = () => {
    if (!detail) return;
    const time = now();
    const looped = $("loop").checked && detail.lines[line];
    if (looped && !sound.paused && sound.currentTime >= exact(looped)[1]) sound.currentTime = exact(looped)[0];
    const second = recorded ? sound.currentTime : time;
    const at = detail.lines.findLastIndex((item) => exact(item)[0] <= second && second < exact(item)[1]);
    if (at >= 0 && !looped) line = at;
    items.forEach((entry, index) => {
      const isNew = index === line && !entry.ariaCurrent;
      entry.ariaCurrent = index === line ? "true" : null;
      if (!isNew) return;
      $("lines").scrollTop = entry.offsetTop - $("lines").clientHeight / 3;
      if (!sound.paused) say($("live"), `${SIDES[detail.lines[line].side]}: ${detail.lines[line].text}`);
    });
    const word = detail.words.findLastIndex((item) => item[1] <= time && time < item[2]);
    for (const [place, span] of spans) span.classList.toggle("now", place === word);
    say($("about-here"), [word >= 0 && aboutWord(detail.words[word]), at >= 0 && aboutLine(detail.lines[at])]
      .filter(Boolean).join("\n") || "Nobody speaks here.");
    draw(time);
  };
  const follow = () => {
    if (sound.paused) return;
    update();
    if (now() > view[0] + 0.85 * view[1]) look(now() - 0.15 * view[1]);
    requestAnimationFrame(follow);
  };
  const look = (start, span = view[1]) => {
    const width = clamp(span, Math.min(1, detail.shown || 1), detail.shown || 1);
    view = [clamp(start, 0, Math.max(0, detail.shown - width)), width];
    $("zoom").value = String(Math.round(1000 * (1 - Math.log(width) / Math.log(Math.max(1.001, detail.shown)))));
    $("zoom").setAttribute("aria-valuetext", `${width.toFixed(width < 10 ? 1 : 0)} seconds in view`);
    draw(now());
  };
  const zoom = (span) => look(now() - clamp(span, 1, detail.shown) / 2, span);

  // The drawing: each side with its tags, waveform and words.
  const [AXIS, NAME, TAG, WAVE, WORD] = [18, 16, 16, 60, 17];
  const LANE = NAME + TAG + WAVE + 3 * WORD + 4;
  const draw = (time) => {
    const [width, height, ratio] = [wave.clientWidth, AXIS + 2 * LANE, devicePixelRatio || 1];
    wave.style.height = `${height}px`;
    [wave.width, wave.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    const pen = wave.getContext("2d");
    pen.scale(ratio, ratio);
    pen.font = "12px system-ui, sans-serif";
    pen.textBaseline = "top";
    // Colours are those of the style sheet, which knows about dark pages and forced colours.
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`);
    const fill = (name, alpha = 1) => { [pen.fillStyle, pen.globalAlpha] = [colour(name), alpha]; };
    const scale = width / view[1];
    const x = (second) => (second - view[0]) * scale;
    const step = [0.5, 1, 2, 5, 10, 20, 30, 60].find((size) => size * scale >= 64) || 120;
    for (let tick = Math.ceil(view[0] / step) * step; tick <= view[0] + view[1]; tick += step) {
      fill("line");
      pen.fillRect(x(tick), 14, 1, height);
      fill("soft");
      pen.fillText(clock(tick, step < 1 ? 1 : 0), Math.min(x(tick) + 3, width - 34), 2);
    }
    SIDES.forEach((name, side) => {
      const top = AXIS + side * LANE + NAME + TAG;
      detail.lines.forEach((item, index) => {
        if (item.side !== side || x(item.end) < 0 || x(item.start) > width) return;
        if (index === line) fill("now"); else fill(name, Number(colour("faint")));
        pen.fillRect(x(item.start), top, Math.max(1.5, x(item.end) - x(item.start)), WAVE);
        fill(name);
        pen.fillText(item.tag, Math.max(2, x(item.start)), top - 14, Math.max(30, x(item.end) - x(item.start)));
      });
      fill(name);
      pen.fillText(detail.names[side], 4, top - NAME - 14);
      pen.fillRect(0, top + WAVE / 2, width, 1);
      const peaks = detail.peaks[side];
      for (let left = 0; left < width && peaks.length; left += 2) {
        const from = Math.floor((view[0] + left / scale) * detail.peak_rate);
        const to = Math.max(from + 1, Math.floor((view[0] + (left + 2) / scale) * detail.peak_rate));
        const most = Math.max(0, ...[...peaks.slice(from, to)].map((level) => level.charCodeAt(0) - 63));
        const tall = (most / 63) * (WAVE / 2 - 2);
        pen.fillRect(left, top + WAVE / 2 - tall, 1.4, 2 * tall);
      }
      const free = [0, 0, 0];
      for (const word of scale < 22 ? [] : detail.words) { // where most of them have room
        const left = x(word[1]);
        if (word[0] !== side || left < -200 || left > width) continue;
        const wide = pen.measureText(word[3]).width;
        const level = Math.max(0, free.findIndex((edge) => edge <= left));
        free[level] = left + wide + 5;
        const y = top + WAVE + 2 + level * WORD;
        fill("now");
        if (word[1] <= time && time < word[2]) pen.fillRect(left - 2, y, wide + 4, WORD - 1);
        fill(isUnsure(word) ? "unsure" : "ink");
        pen.fillText(word[3], left, y + 2);
        if (isUnsure(word)) pen.fillRect(left, y + 14, wide, 1.5);
      }
    });
    fill("ink");
    pen.fillRect(x(time) - 1, 0, 2, height);
  };
  for (const kind of ["pause", "seeked", "timeupdate", "loadedmetadata"]) sound.addEventListener(kind, update);
  sound.addEventListener("play", () => requestAnimationFrame(follow));
  sound.addEventListener("error", () => {
    if (sound.hasAttribute("src")) trouble("The sound can't be played by this browser.");
  });
  $("hear").addEventListener("click", hear);
  $("side").addEventListener("change", () => load(now()));
  $("zoom").addEventListener("input", () => zoom(detail.shown ** (1 - Number($("zoom").value) / 1000)));
  wave.addEventListener("click", (event) => seek(view[0] + (event.offsetX / wave.clientWidth) * view[1]));
  document.addEventListener("keydown", (event) => {
    const inside = player.contains(event.target) || event.target === document.body;
    const own = event.target.matches(`audio, select, input${event.key === " " ? ", button, summary" : ""}`);
    if (!detail || !inside || own || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = {
      " ": toggle,
      k: toggle,
      ArrowLeft: () => (event.shiftKey ? toLine(false) : seek(now() - 2)),
      ArrowRight: () => (event.shiftKey ? toLine(true) : seek(now() + 2)),
      "[": () => toWord(false),
      "]": () => toWord(true),
      "+": () => zoom(view[1] / 1.5),
      "-": () => zoom(view[1] * 1.5),
      0: () => look(0, detail.shown),
      l: () => $("loop").click(),
      r: hear,
    }[event.key];
    if (act) { event.preventDefault(); act(); }
  });

  const buttons = [...document.querySelectorAll("button[data-number]")];
  for (const button of buttons) {
    button.addEventListener("click", () => {
      choose(Number(button.dataset.number));
      player.scrollIntoView();
      player.focus({ preventScroll: true });
    });
  }
  // A link to `#conversation=ID`, such as a finding has, shows that one.
  const fromAddress = () => {
    const name = location.hash.startsWith("#conversation=") && decodeURIComponent(location.hash.slice(14));
    buttons.find((button) => button.textContent === name)?.click();
  };
  addEventListener("hashchange", fromAddress);
  new ResizeObserver(update).observe(wave.parentElement);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", update);
  choose(Number(buttons[0].dataset.number));
  fromAddress();
};

// The table of conversations: its rows are in the page, the worst first; they are sorted and filtered here.
const startTable = (table) => {
  const rows = [...table.tBodies[0].rows];
  const value = (row, column) => row.cells[column].dataset.value ?? "";
  for (const button of table.querySelectorAll("thead button")) {
    button.addEventListener("click", () => {
      const head = button.closest("th");
      const sign = head.getAttribute("aria-sort") === "descending" ? 1 : -1;
      for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sign < 0 ? "descending" : "ascending");
      const order = (a, b) => (Number.isNaN(a - b) ? (a > b) - (a < b) : a - b);
      table.tBodies[0].append(...rows.slice().sort((a, b) => {
        const [x, y] = [value(a, head.cellIndex), value(b, head.cellIndex)];
        return x === "" || y === "" ? (x === "") - (y === "") : sign * order(x, y);
      }));
    });
  }
  const filter = () => {
    const [search, least, most, measure] = ["search", "least", "most", "measure"].map((name) => $(name).value.trim());
    for (const row of rows) {
      const figure = measure && value(row, Number(measure));
      const isOutside = figure === "" || (least && figure < Number(least)) || (most && figure > Number(most));
      row.hidden = !value(row, 0).toLowerCase().includes(search.toLowerCase())
        || ($("breaches").checked && !row.querySelector(".beyond"))
        || (measure && (least || most) && isOutside);
    }
    const shown = rows.filter((row) => !row.hidden).length;
    say($("count"), `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} conversations`);
  };
  for (const name of ["search", "least", "most", "measure", "breaches"]) $(name).addEventListener("input", filter);
  $("filters").hidden = false;
  filter();
};

document.documentElement.classList.add("live");
if ($("table")) startTable($("table"));
if (document.querySelector("button[data-number]")) startPlayer($("player"));
