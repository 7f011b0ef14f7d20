// The page of `dailytalk review`: it joins the list, the sound, the drawing and the editor, and has the one table of
// what can be done. Every button and every key goes through that table, and so does the help that `?` shows.

import { Refused, get, post } from "./api.js";
import { Editor } from "./editor.js";
import { List } from "./list.js";
import { $, announce, clamp, clock, counted, kept, make, options, press, say, sentence, tidy } from "./page.js";
import * as panels from "./panels.js";
import { Saver } from "./saving.js";
import { Sound } from "./sound.js";
import { Wave } from "./wave.js";

const STEP = 0.01, STRIDE = 0.1; // seconds of an arrow key, and with Shift
const PIXELS_A_SECOND = 130; // of an item that is opened
const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 2];

let session = null;
let item = null;
let opening = null; // the id that is on its way
let before = 0; // the head as it was last drawn

const notice = (text) => {
  $("notice").hidden = !text;
  say($("notice"), sentence(text));
};
/** What is to be said of the item or the folder as long as there is nothing newer to say. */
const standing = () => notice(item?.why_silent || session.why_not || "");
const failed = (error) => {
  if (!(error instanceof Refused)) throw error;
  if (error.answer.changed) changedElsewhere(error.answer);
  else notice(error.message);
};

/** Another program has written the file: nothing is saved before a person has chosen one of the two states. */
const changedElsewhere = ({ changed }) => panels.changed(changed, async (mine) => {
  const { kept: name } = await post("api/decide", { mine });
  if (!mine) {
    Object.assign(list, { byId: new Map(), found: [] }); // another program may have removed items
    list.take((await get("api/session")).items);
  }
  await saver.retry();
  if (list.byId.has(item.id)) show(await get("api/item", { id: item.id }));
  else await go(list.found[0] ?? [...list.byId.keys()][0]);
  notice(`${mine ? "The other state" : "What was here"} is kept in ${name}.`);
});

const sound = new Sound($("sound"), { onMove: () => moved(), onState: () => { $("play").firstChild.textContent = sound.playing ? "Pause" : "Play"; }, onTrouble: (text) => notice(text) });
const list = new List((id) => go(id, true));

const editor = new Editor({
  edit: (action) => edit(action),
  picked: (line, index) => {
    wave.settle();
    wave.choose(line?.id ?? null, index);
    if (!line) return;
    const region = index >= 0 ? line.words[index] : line;
    wave.reveal(region.start, Math.min(region.end, region.start + 0.9 * wave.view.span));
    remember();
  },
  play: (start, end) => play({ start, end }),
  typed: () => showSaving("saved"),
});

const wave = new Wave({
  position: () => sound.time,
  seek: (time) => { sound.part = null; sound.seek(time); },
  pick: (line, index) => editor.pick(line.id, index, false),
  moving: ({ start, end, word }, edge) => {
    editor.times(start, end, Boolean(word));
    showSaving("saved");
    announce((edge === "start" ? start : end).toFixed(2));
  },
  moved: ({ line, index, word, start, end }) => {
    const isMoved = start !== (word ?? line).start || end !== (word ?? line).end;
    if (isMoved) edit(word ? { do: "word", line: line.id, index, start, end } : { do: "times", line: line.id, start, end });
    else showSaving("saved");
  },
});

const saver = new Saver({
  state: (name, sentence) => showSaving(name, sentence),
  item: (newer) => show(newer),
  rejected: ({ id, action }) => {
    if (action.do === "text") notice(`${$("notice").textContent} Your text was: ${action.text}`);
    if (item?.id !== id) return;
    wave.show(item);
    editor.refused(action);
  },
  changed: changedElsewhere,
});

// Saving.

const STATES = { saved: "Saved", saving: "Saving…", unsaved: "Not saved yet", failed: "Not saved", refused: "Refused" };
const showSaving = (name, sentence = "") => {
  if (name === "saved") name = saver.pending ? "saving" : editor.draft || wave.moving ? "unsaved" : "saved";
  const isNew = $("saving").dataset.state !== name;
  $("saving").dataset.state = name;
  const time = name === "saved" ? ` ${new Date().toLocaleTimeString([], { hour12: false })}` : "";
  if (isNew) say($("saving-text"), `${STATES[name]}${time}`);
  $("retry").hidden = name !== "failed";
  if (name === "failed") notice(`${sentence} Nothing is lost: it is tried again until it is saved.`);
  else if (sentence) notice(sentence);
  else if (isNew && name === "saved") standing();
  if (isNew && ["saved", "failed", "refused"].includes(name)) announce(STATES[name]);
};

/** Save an action on the item; resolves to the item after it, or null if it was refused. */
const edit = async (action) => {
  if (session.why_not) notice(session.why_not);
  return session.why_not || !item ? null : saver.edit(item, action);
};

/** What is typed or stepped and not sent yet goes first, whatever comes next. */
const flush = () => { wave.settle(); editor.flush(); };

// Opening an item.

const go = async (id, playing = false, wanted = null) => {
  if (!id) return;
  flush();
  opening = id;
  list.choose(id);
  const fetched = await get("api/item", { id }).catch(failed);
  if (!fetched || opening !== id) return; // another was wanted meanwhile
  opening = null;
  sound.load(id);
  document.body.classList.remove("listing"); // before anything is measured
  show(fetched);
  standing();
  const line = fetched.lines.find((one) => one.id === wanted) ?? fetched.lines[0];
  if (line) editor.pick(line.id, -1, false);
  remember();
  announce(`${id}, ${counted(fetched.lines.length, "line")}`);
  if (playing && editor.chosen) play(editor.chosen);
};

/** Show an item, or the newer state of the one that is open. */
const show = (newer) => {
  list.take([newer.listed]);
  if (opening && opening !== newer.id) return;
  if (item && item.id !== newer.id && sound.id !== newer.id) return; // the answer to an edit of an item that was left
  item = newer;
  $("work").hidden = false;
  wave.show(item, wave.canvas.clientWidth / PIXELS_A_SECOND);
  editor.writable = wave.writable = session.writable && !item.discarded;
  editor.show(item);
  if (wave.moving) editor.times(wave.moving.start, wave.moving.end, Boolean(wave.moving.word));
  wave.choose(editor.line, editor.index);
  say($("name"), item.id);
  document.title = `${item.id} · ${session.title}`;
  say($("facts"), `${clock(item.duration, 1)} · ${counted(item.lines.length, "line")}`);
  $("position").max = item.duration;
  moved();
  press($("reviewed"), item.reviewed);
  $("discard").hidden = item.discarded;
  $("restore").hidden = !item.discarded;
  $("swap").hidden = item.channels < 2;
  for (const id of ["reviewed", "done", "discard"]) $(id).disabled = !session.writable || item.discarded;
  for (const button of document.querySelectorAll("#editor .controls button")) button.disabled = !editor.writable;
};

const remember = () => {
  kept.write("place", { id: item.id, line: editor.line });
  history.replaceState(null, "", `#${new URLSearchParams({ item: item.id })}`);
};

// Sound.

const play = ({ start, end }) => sound.play(clamp(start, 0, item.duration), Math.min(end, item.duration));
/** Hear the chosen line, or one of its words, as it is being moved. */
const playRegion = (index) => { if (wave.region(index)) play(wave.region(index)); };

const moved = () => {
  if (!item) return;
  const now = sound.time;
  if (sound.playing) wave.follow(before, now);
  before = now;
  $("position").value = now;
  say($("clock"), `${clock(now, 2)} / ${clock(item.duration, 1)}`);
  wave.moveHead();
};

const speed = (value) => {
  sound.speed = value;
  $("speed").value = String(value);
  kept.write("speed", value);
  announce(`Speed ${value}`);
};
const faster = (by) => speed(SPEEDS[clamp(SPEEDS.indexOf(Number($("speed").value)) + by, 0, SPEEDS.length - 1)]);
const zoom = (factor) => wave.zoom(factor, clamp(sound.time, wave.view.start, wave.view.start + wave.view.span));

// Edits.

const ofLine = (action) => { if (editor.chosen) edit({ line: editor.line, ...action }); };

/** A new line goes from the head up to the next line of the speaker, one second at most. */
const insert = async () => {
  const channel = editor.chosen?.channel ?? wave.lanes[0];
  const start = clamp(sound.time, 0, Math.max(0, item.duration - 0.1));
  const next = item.lines.find((one) => one.channel === channel && one.start > start);
  const end = Math.min(start + 1, Math.max(start + 0.1, next?.start ?? item.duration), item.duration);
  const { lines } = item;
  const made = await edit({ do: "insert", channel, start: tidy(start), end: tidy(end), text: "" });
  const fresh = made?.lines.find(({ id }) => !lines.some((one) => one.id === id));
  if (!fresh || item.id !== made.id) return;
  editor.pick(fresh.id, -1, false);
  $("text").focus();
};

const remove = () => {
  const words = $("text").value.split(/\s+/).filter(Boolean);
  if (editor.index < 0) ofLine({ do: "delete" });
  else if (words.length === editor.chosen.words.length) ofLine({ do: "text", text: words.toSpliced(editor.index, 1).join(" ") });
  else $("text").focus();
};

const done = async () => {
  flush();
  const next = list.nextUnreviewed();
  if (!item.reviewed) edit({ do: "reviewed", value: true });
  if (next) await go(next, true);
  else announce("Every item in the list is reviewed.");
};

/** Discard or restore items, and open one; resolves to how many were not so. */
const move = async (path, body, next = item.id) => {
  flush();
  await saver.retry();
  const rows = await post(`api/${path}`, body);
  if (path !== "restore") kept.write("discarded", rows.map(({ id }) => id));
  list.take(rows);
  list.filter();
  await go(next);
  return rows.length;
};
const discard = async () => {
  const { id } = item;
  await move("discard", { names: [id] }, list.neighbour(1) ?? list.neighbour(-1) ?? id);
  notice(`${id} is discarded. Press b to bring it back.`);
};
const restore = async () => {
  const names = item.discarded ? [item.id] : kept.read("discarded", []).filter((id) => list.byId.get(id)?.discarded);
  notice(names.length ? `${counted(await move("restore", { names }, names[0]), "item")} restored.` : "Nothing was discarded here.");
};

const writeWhole = () => {
  flush();
  panels.whole(item, (text) => edit({ do: "whole", text }));
};

// All that can be done: names are those of buttons (data-action); keys as KeyboardEvent.key, with Ctrl+ before them
// where they work in a text, too.

/** An element of the list, in focus; in a narrow window the list is shown for that. */
const inSide = (id) => {
  document.body.classList.add("listing");
  $(id).focus();
  return $(id);
};

/** The fields of times, and the edges that they are of. */
const EDGES = [["start", "start", true], ["end", "end", true], ["from", "start", false], ["to", "end", false]].map(([id, edge, ofLine]) => (
  { id, edge, region: () => wave.region(ofLine ? null : editor.index) }));

const ACTIONS = [
  { name: "next-line", keys: ["ArrowDown", "j"], group: "Go", label: "next line, and hear it", run: () => editor.step(1) },
  { name: "previous-line", keys: ["ArrowUp", "k"], group: "Go", label: "previous line, and hear it", run: () => editor.step(-1) },
  { name: "next-word", keys: ["ArrowRight"], group: "Go", label: "next word", run: () => editor.stepWord(1) },
  { name: "previous-word", keys: ["ArrowLeft"], group: "Go", label: "previous word", run: () => editor.stepWord(-1) },
  { name: "next-suspect", keys: ["!"], group: "Go", label: "the next suspect line, and hear it", run: () => editor.nextSuspect() },
  { name: "next-item", keys: ["n", "PageDown"], group: "Go", label: "next item", run: () => go(list.neighbour(1), true) },
  { name: "previous-item", keys: ["p", "PageUp"], group: "Go", label: "previous item", run: () => go(list.neighbour(-1), true) },
  { name: "done", keys: ["Ctrl+Enter"], group: "Go", label: "reviewed, and on to the next that is not", run: () => done() },
  { name: "list", keys: ["g"], group: "Go", label: "to the list", run: () => inSide("items") },
  { name: "row", keys: ["Shift+G"], group: "Go", label: "go to a row of the list", run: () => inSide("row").select() },
  { name: "page-on", keys: ["Shift+N"], group: "Go", label: "the next page of the list", run: () => list.turn(list.page + 1) },
  { name: "page-back", keys: ["Shift+B"], group: "Go", label: "the page of the list before", run: () => list.turn(list.page - 1) },
  { name: "search", keys: ["/"], group: "Go", label: "search", run: () => inSide("search").select() },
  { name: "filters", keys: ["f"], group: "Go", label: "filter and sort", run: () => { $("filters").open = true; inSide("sort"); } },
  { name: "only-unreviewed", keys: ["Shift+U"], group: "Go", label: "only what is not reviewed", run: () => list.toggle("unreviewed") },
  { name: "only-suspects", keys: ["Shift+S"], group: "Go", label: "only suspects", run: () => list.toggle("suspects") },
  { name: "clear-filters", keys: ["Shift+F"], group: "Go", label: "clear all filters", run: () => list.restore({}) },

  { name: "play", keys: [" ", "Ctrl+ "], group: "Hear", label: "play or pause", run: () => { if (sound.playing) sound.pause(); else sound.play(); } },
  { name: "play-line", keys: ["l", "Ctrl+l"], group: "Hear", label: "the line", run: () => playRegion(null) },
  { name: "play-word", keys: ["w"], group: "Hear", label: "the word", run: () => playRegion(editor.index) },
  { name: "slower", keys: ["<"], group: "Hear", label: "slower", run: () => faster(-1) },
  { name: "faster", keys: [">"], group: "Hear", label: "faster", run: () => faster(1) },

  { name: "zoom-in", keys: ["+", "="], group: "See", label: "closer", run: () => zoom(1.5) },
  { name: "zoom-out", keys: ["-"], group: "See", label: "from further away", run: () => zoom(1 / 1.5) },
  { name: "zoom-all", keys: ["0"], group: "See", label: "the whole item", run: () => wave.look(0, item.duration) },

  { name: "edit-text", keys: ["Enter", "e"], group: "Edit", label: "write the text; Enter in it saves and leaves it, Shift+Enter goes on to the next", run: () => $("text").focus() },
  { name: "tag", keys: ["t"], group: "Edit", label: "choose the tag", run: () => $("tag").focus() },
  { name: "edge-start", keys: ["["], group: "Edit", label: "take the start: ← → 10 ms, with Shift 100 ms", run: () => $(EDGES[editor.index >= 0 ? 2 : 0].id).focus() },
  { name: "edge-end", keys: ["]"], group: "Edit", label: "take the end", run: () => $(EDGES[editor.index >= 0 ? 3 : 1].id).focus() },
  { name: "split", keys: ["x"], group: "Edit", label: "split before the word", run: () => ofLine({ do: "split", index: editor.index }) },
  { name: "merge", keys: ["m"], group: "Edit", label: "merge with the speaker's next line", run: () => ofLine({ do: "merge" }) },
  { name: "insert", keys: ["i"], group: "Edit", label: "a new line at the playhead", run: insert },
  { name: "delete", keys: ["Delete"], group: "Edit", label: "delete the word or the line", run: remove },
  { name: "swap", keys: ["c"], group: "Edit", label: "the other speaker says it", run: () => ofLine({ do: "swap" }) },
  { name: "sound-text", keys: ["h"], group: "Edit", label: "a sigh or laugh, at the end of the line", run: () => ofLine({ do: "text", text: `${$("text").value} ${session.sound_text}` }) },
  { name: "whole", keys: ["Shift+W"], group: "Edit", label: "the whole text", run: writeWhole },
  { name: "undo", keys: ["u", "Ctrl+z"], group: "Edit", label: "undo", run: () => edit({ do: "undo" }) },
  { name: "redo", keys: ["Shift+R", "Ctrl+y", "Ctrl+Shift+Z"], group: "Edit", label: "redo", run: () => edit({ do: "redo" }) },

  { name: "reviewed", keys: ["r"], group: "Item", label: "reviewed, or not after all", run: () => edit({ do: "reviewed", value: !item.reviewed }) },
  { name: "discard", keys: ["d"], group: "Item", label: "discard", run: () => discard().catch(failed) },
  { name: "restore", keys: ["b"], group: "Item", label: "bring back what was discarded last", run: () => restore().catch(failed) },
  { name: "discard-many", keys: ["Shift+D"], group: "Item", label: "discard a range", run: () => panels.discard((range) => move("discard-range", range)) },

  { name: "retry", keys: ["Shift+T"], group: "The whole", label: "try again to save", run: () => saver.retry() },
  { name: "help", keys: ["?", "Ctrl+/"], group: "The whole", label: "these keys", run: () => panels.help(ACTIONS) },
];
const byName = new Map(ACTIONS.map((action) => [action.name, action]));
const byKey = new Map(ACTIONS.flatMap((action) => action.keys.map((key) => [key, action])));

const act = (action) => {
  if (["Hear", "See", "Edit", "Item"].includes(action.group) && !item) return;
  if (["Edit", "Item"].includes(action.group)) flush();
  action.run();
};

document.addEventListener("click", (event) => {
  const action = byName.get(event.target.closest("[data-action]")?.dataset.action);
  if (action) act(action);
});

// Keys.

const isTyping = (target) => target.matches("textarea, select, input:not([type=checkbox])");

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.isComposing || event.altKey || document.querySelector("dialog[open]")) return;
  const { target } = event;
  const typing = isTyping(target);
  const command = event.ctrlKey || event.metaKey;
  if (event.key === "Escape") { escape(target, typing); return; }
  if (!command && (inText(event) || onEdge(event) || inList(event))) {
    event.preventDefault();
    return;
  }
  const shifted = event.shiftKey && /^[a-zA-Z]$/.test(event.key);
  const name = (command ? "Ctrl+" : "") + (shifted ? "Shift+" : "") + (shifted ? event.key.toUpperCase() : event.key);
  const action = byKey.get(name);
  if (!action) return;
  // In a text its own undo comes first, and letters are letters.
  if (typing && (!command || (["undo", "redo"].includes(action.name) && (editor.draft || target.id !== "text")))) return;
  if (!command && [" ", "Enter"].includes(event.key) && target.closest("button, a, summary, input")) return;
  event.preventDefault();
  act(action);
});

/** Enter in a field takes over what was entered, and leaves it; says whether it did. */
const inText = ({ key, target, shiftKey }) => {
  if (key !== "Enter" || !isTyping(target)) return false;
  target.blur();
  $(target.closest("#side") ? "items" : "dialogue").focus();
  if (target.id === "text" && shiftKey && editor.step(1)) target.focus();
  return true;
};

/** Arrows in the field of a time step its edge. */
const onEdge = ({ key, target, shiftKey }) => {
  const field = EDGES.find(({ id }) => id === target.id);
  const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[key];
  if (field && by) wave.step(field.region(), field.edge, by * (shiftKey ? STRIDE : STEP));
  return Boolean(field && by);
};

/** In the list of items, arrows go from item to item, and Enter to its lines. */
const inList = ({ key, target }) => {
  const [last, { place }] = [list.found.length - 1, list];
  const to = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: last }[key];
  if (target.id !== "items" || (to === undefined && key !== "Enter")) return false;
  if (key === "Enter") {
    document.body.classList.remove("listing");
    $("dialogue").focus();
  } else go(list.found[clamp(to, 0, last)], true).then(() => inSide("items"));
  return true;
};

const escape = (target, typing) => {
  if (typing) {
    flush();
    (target.closest("#side") ? $("items") : $("dialogue")).focus();
  } else if (editor.index >= 0) editor.pick(editor.line, -1, false);
  else document.body.classList.remove("listing");
};

// Controls that are no buttons.

for (const { id, region, edge } of EDGES) {
  $(id).addEventListener("change", () => {
    if ($(id).valueAsNumber >= 0) wave.step(region(), edge, $(id).valueAsNumber - region()[edge]);
    else editor.fill();
    wave.settle();
  });
}
$("row").addEventListener("change", () => {
  const [typed, rows] = [$("row").value, list.found.length];
  if (list.found[typed - 1]) go(list.found[typed - 1]);
  else notice(`The list has no row ${typed}, only ${rows.toLocaleString("en")}.`);
});
$("position").addEventListener("input", () => {
  const time = $("position").valueAsNumber;
  sound.seek(time);
  wave.reveal(time, time);
});
options($("speed"), SPEEDS.map((value) => [String(value), `speed ×${value}`]));
$("speed").addEventListener("change", () => speed(Number($("speed").value)));
addEventListener("beforeunload", (event) => {
  flush();
  if (saver.pending) event.preventDefault();
});

// Keys are on the buttons that do the same.
for (const button of document.querySelectorAll("[data-action]")) {
  const action = byName.get(button.dataset.action);
  const key = panels.keyName(action.keys[0]);
  button.title = `${action.label} (${key})`;
  button.setAttribute("aria-keyshortcuts", action.keys.map((one) => one.replace("Ctrl", "Control").replace(/ $/, "Space")).join(" "));
  if (!button.closest("#work .controls, .heading") || button.hasAttribute("aria-label")) continue;
  button.append(" ", make("kbd", "", key, { "aria-hidden": true }));
}

const start = async () => {
  try {
    session = await get("api/session");
    kept.load(session.title);
    say($("title"), session.title);
    editor.tags = session.tags;
    const filters = kept.read("filters", {}); // which the list writes as soon as it has items
    list.take(session.items);
    list.restore(filters);
    speed(kept.read("speed", 1));
    say($("saving-text"), session.writable ? "All saved" : "Read only");
    standing();
    const place = kept.read("place", {});
    const asked = new URLSearchParams(location.hash.slice(1)).get("item");
    const first = [asked, place.id, list.found[0]].find((id) => list.byId.has(id));
    if (first) await go(first, false, first === place.id ? place.line : null);
    else notice("No item passes the filters.");
    if (asked && asked !== first) notice(`There is no item ${asked} here.`);
    if (innerWidth > 760) $("dialogue").focus();
    saver.retry();
    document.documentElement.dataset.ready = "yes";
  } catch (error) {
    failed(error);
    say($("saving-text"), "");
  }
};
start();
