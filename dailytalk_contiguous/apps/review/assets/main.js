// The page of `dailytalk review`: it joins the list, the sound, the drawing and the editor, and has the one table of
// what can be done. Every button and every key goes through that table, and so does the help that `?` shows.

import { Refused, get, post } from "./api.js";
import { Editor } from "./editor.js";
import { List } from "./list.js";
import { $, announce, CHANNELS, clamp, clock, counted, kept, make, options, press, say, speakerOf, tidy } from "./page.js";
import * as panels from "./panels.js";
import { Saver } from "./saving.js";
import { Sound } from "./sound.js";
import { Wave } from "./wave.js";

const STEP = 0.01, STRIDE = 0.1; // seconds of an arrow key, and with Shift
const SETTLED = 350; // ms after the last step before an edge is saved
const AROUND = 0.4; // seconds heard before and after an edge
const PIXELS_A_SECOND = 130; // of an item that is opened
const POLL = 1000; // ms between two looks at what others did
const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 2];
const REBUILT_ONLY = "This is what dailytalk speak made, at its own times. Rebuilt (4) goes back to the recording: correct that, and speak again.";

let session = null;
let item = null;
let opening = null; // the id that is on its way
let edge = null; // "start" or "end", the one that was touched last
let heardOf = null; // "rebuilt" where that is wanted in place of recordings
let before = 0; // the head as it was last drawn

const notice = (text) => {
  $("notice").hidden = !text;
  say($("notice"), text.charAt(0).toUpperCase() + text.slice(1));
};
/** What is to be said of the item or the folder as long as there is nothing newer to say. */
const standing = () => notice(item?.why_silent || (item?.of && REBUILT_ONLY) || session.why_not || "");
const failed = (error) => {
  if (!(error instanceof Refused)) throw error;
  if (error.answer.changed) changedElsewhere(error.answer);
  else notice(error.message);
};

/** Another program has written the file: nothing is saved before a person has chosen one of the two states. */
const changedElsewhere = ({ id, changed }) => panels.changed(changed, async (mine) => {
  const { kept: name } = await post("api/decide", { name: id, mine });
  await saver.retry();
  await look();
  notice(`${mine ? "The other state" : "What was here"} is kept in ${name}.`);
});

const sound = new Sound($("sound"), { onMove: () => moved(), onState: () => showSound(), onTrouble: (text) => notice(text) });
const list = new List((id) => go(id, true));

const editor = new Editor({
  edit: (action, about) => edit(action, about),
  picked: (line, index) => {
    edge = null;
    wave.choose(line?.id ?? null, index);
    if (line) {
      const region = index >= 0 ? line.words[index] : line;
      wave.reveal(region.start, Math.min(region.end, region.start + 0.9 * wave.view.span));
      remember();
    }
  },
  play: (start, end) => play(start, end),
  typed: () => showSaving(editor.draft ? "unsaved" : saver.pending ? "saving" : "saved"),
});

const wave = new Wave({
  position: () => sound.time,
  seek: (time) => { sound.part = null; sound.seek(time); },
  pick: (line, index) => editor.pick(line.id, index, false),
  play: (region) => playPart(region),
  moved: (region, times) => place(region, times),
  selected: () => { $("play-selection").disabled = !wave.selection; },
});

const saver = new Saver({
  state: (name, sentence) => showSaving(name, sentence),
  item: (newer) => show(newer),
  settled: () => look(),
  rejected: (entry, error) => {
    notice(`${entry.id}: ${error.message}`);
    wave.preview = null;
    if (item?.id !== entry.id) return;
    editor.refused(entry.action);
    wave.draw();
  },
  changed: changedElsewhere,
  conflict: (entry, answer) => {
    show(answer.item);
    return panels.conflict(entry, answer);
  },
});

// Saving.

const STATES = { saved: "Saved", saving: "Saving…", unsaved: "Not saved yet", failed: "Not saved", refused: "Refused", lost: "No server" };
const showSaving = (name, sentence = "") => {
  if (name === "saved") name = saver.pending || undoing ? "saving" : editor.draft || stepping ? "unsaved" : "saved";
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
const edit = async (action, about) => {
  if (!item) return null;
  const refusal = session.why_not || (item.of && action.do !== "reviewed" ? REBUILT_ONLY : "");
  if (refusal) notice(refusal);
  return refusal ? null : saver.edit(item, action, about);
};

// A region that was dragged or stepped: it stays where it is shown until the server has answered.
const place = async (region, times) => {
  if (!times || (times.start === region.start && times.end === region.end)) {
    wave.preview = null;
    wave.draw();
    showSaving("saved");
    return;
  }
  wave.preview = times;
  const { start, end, line, index } = times;
  const saved = index === null
    ? await edit({ do: "times", line, start, end }, "the times of the line")
    : await edit({ do: "word", line, index, start, end }, `the times of “${region.word.word}”`);
  if (saved) return;
  wave.preview = null;
  wave.draw();
  editor.fill();
};

// Stepping an edge by keys: shown at once, saved when the keys rest.
let stepping = null;
const nudge = (kind, which, by) => {
  const region = wave.region(kind === "word" ? editor.index : null);
  if (!region || !editor.writable) return;
  if (stepping && (stepping.region.line.id !== region.line.id || stepping.region.index !== region.index)) settle();
  edge = which;
  wave.preview = wave.held = wave.moved(region, which, by, { ...wave.times(region) });
  editor.times(wave.preview.start, wave.preview.end, kind === "word");
  wave.draw();
  clearTimeout(stepping?.timer);
  stepping = { region, timer: setTimeout(settle, SETTLED) };
  showSaving("unsaved");
  announce(`${wave.preview[which].toFixed(2)}`);
};
const settle = () => {
  if (!stepping) return;
  const { region, timer } = stepping;
  const times = wave.held;
  clearTimeout(timer);
  stepping = wave.held = null;
  if (times) place(region, times);
};

/** What is typed or stepped and not sent yet goes first, whatever comes next. */
const flush = () => { settle(); editor.flush(); };

// Opening an item.

const go = async (id, playing = false, wanted = null) => {
  if (!id) return;
  flush();
  opening = id;
  list.choose(id);
  let fetched;
  try { fetched = await get("api/item", { id, of: heardOf }); } catch (error) { failed(error); return; }
  if (opening !== id) return; // another was wanted meanwhile
  opening = null;
  sound.load(fetched);
  document.body.classList.remove("listing"); // before anything is measured
  show(fetched);
  standing();
  const line = fetched.lines.find((one) => one.id === wanted)?.id ?? list.lineFound(fetched);
  if (line) editor.pick(line, -1, false);
  else if (editor.chosen) wave.reveal(editor.chosen.start, editor.chosen.start + 1);
  remember();
  announce(`${id}, ${counted(fetched.lines.length, "line")}`);
  if (playing && editor.chosen) play(editor.chosen.start, editor.chosen.end);
  look();
};

/** Show an item, or the newer state of the one that is open. */
const show = (newer) => {
  const { id, base, reviewed, reviewed_by, discarded } = newer;
  list.take([{ id, base, reviewed, reviewed_by, discarded }]);
  if (opening && opening !== newer.id) return;
  if (item && item.id !== newer.id && sound.id !== newer.id) return; // the answer to an edit of an item that was left
  // An edit is answered with the recording; what was made of it stays in view, at the state that it has now.
  item = sound.of && !newer.of ? { ...item, base, reviewed, reviewed_by, discarded } : newer;
  $("work").hidden = false;
  $("empty").hidden = true;
  wave.show(item, wave.canvas.clientWidth / PIXELS_A_SECOND);
  editor.writable = session.writable && !item.discarded && !item.of;
  editor.show(item);
  if (wave.held) editor.times(wave.held.start, wave.held.end, wave.held.index !== null);
  wave.choose(editor.line, editor.index);
  showItem();
};

const showItem = () => {
  say($("name"), item.id);
  document.title = `${item.id} · ${session.title}`;
  const names = [...new Set(item.lines.map(speakerOf))].filter((name) => name && !CHANNELS.includes(name));
  const facts = [clock(item.duration, 1), item.sample_rate && `${item.sample_rate / 1000} kHz`, names.slice(0, 4).join(", "), counted(item.lines.length, "line")];
  say($("facts"), facts.filter(Boolean).join(" · "));
  $("position").max = item.duration;
  press($("reviewed"), item.reviewed);
  press($("rebuilt"), Boolean(item.of));
  $("discard").hidden = item.discarded;
  $("restore").hidden = !item.discarded;
  $("swap").hidden = $("heard").hidden = item.channels < 2;
  $("rebuilt").hidden = !item.rebuilt;
  for (const id of ["reviewed", "done", "discard"]) $(id).disabled = !session.writable || item.discarded;
  for (const button of document.querySelectorAll("#editor .controls button")) button.disabled = !editor.writable;
  $("people").replaceChildren(...list.at(item.id).map((author) => make("span", "person", `${author} is here`)));
  $("play-selection").disabled = !wave.selection;
  showSound();
};

const remember = () => {
  kept.write("place", { id: item.id, line: editor.line });
  history.replaceState(null, "", `#${new URLSearchParams({ item: item.id })}`);
};

// Sound.

const play = (from, to) => sound.play(clamp(from, 0, item.duration), Math.min(to, item.duration));
const playPart = ({ start, end }) => play(start, end);
/** Hear the chosen line, or one of its words, as it is being dragged. */
const playRegion = (index) => {
  const region = wave.region(index);
  if (region) playPart(wave.times(region));
};

const moved = () => {
  if (!item) return;
  const now = sound.time;
  if (sound.playing) wave.follow(before, now);
  before = now;
  $("position").value = now;
  say($("clock"), `${clock(now, 2)} / ${clock(item.duration, 1)}`);
  wave.moveHead();
};

const showSound = () => {
  $("play").firstChild.textContent = sound.playing ? "Pause" : "Play";
  press($("loop"), sound.loop);
  for (const [name, alone] of [["left", 0], ["right", 1], ["both", null]]) press($(`hear-${name}`), sound.alone === alone);
};

const speed = (value) => {
  sound.speed = value;
  $("speed").value = String(value);
  kept.write("speed", value);
};
const faster = (by) => {
  const at = clamp(SPEEDS.indexOf(Number($("speed").value)) + by, 0, SPEEDS.length - 1);
  speed(SPEEDS[at]);
  announce(`Speed ${SPEEDS[at]}`);
};
const hear = (alone) => { sound.hear(sound.alone === alone ? null : alone); showSound(); };

/** Hear and see what was made of the recording, or the recording, at the same line. */
const switchSound = async () => {
  if (!item.rebuilt) { notice("Nothing was made of this yet: run dailytalk speak."); return; }
  heardOf = item.of ? null : "rebuilt";
  await go(item.id, sound.playing, editor.line);
  announce(heardOf ? "Rebuilt sound" : "Recorded sound");
};

/** Hear a little around the edge that was touched last; else around the nearer edge of the word or line to the head. */
const playEdge = () => {
  const region = chosenRegion();
  const { start, end } = region ? wave.times(region) : { start: sound.time, end: sound.time };
  const nearer = Math.abs(sound.time - start) <= Math.abs(sound.time - end) ? start : end;
  const at = { start, end }[edge] ?? nearer;
  play(at - AROUND, at + AROUND);
};

// Edits of the chosen line.

const line = () => editor.chosen;
const onWord = () => (editor.index >= 0 ? "word" : "line");
const chosenRegion = () => wave.region(editor.index >= 0 ? editor.index : null);

const split = () => {
  if (editor.index > 0) edit({ do: "split", line: editor.line, index: editor.index }, "a split");
  else splitHere();
};
const splitHere = () => { if (line()) edit({ do: "split", line: editor.line, at: tidy(sound.time) }, "a split"); };

const merge = () => {
  const next = line() && item.lines.slice(editor.place + 1).find((one) => one.channel === line().channel);
  if (next) edit({ do: "merge", line: editor.line, with: next.id }, "a merge");
  else notice("There is no later line of the same speaker.");
};

/** Where a new line goes: the selection, else from the head up to the next line of the speaker, one second at most. */
const gap = () => {
  if (wave.selection) return { ...wave.selection, channel: wave.lanes[wave.selection.channel] };
  const channel = line()?.channel ?? wave.lanes[0];
  const start = clamp(sound.time, 0, Math.max(0, item.duration - 0.1));
  const next = item.lines.find((one) => one.channel === channel && one.start > start);
  return { channel, start: tidy(start), end: tidy(Math.min(start + 1, Math.max(start + 0.1, next?.start ?? item.duration), item.duration)) };
};

const insert = async (text) => {
  const known = new Set(item.lines.map((one) => one.id));
  const made = await edit({ do: "insert", ...gap(), text }, "a new line");
  const fresh = made?.lines.find((one) => !known.has(one.id));
  wave.selection = null;
  if (!fresh || item.id !== made.id) return;
  editor.pick(fresh.id, -1, false);
  if (!text) $("text").focus();
};

const remove = () => {
  if (!line()) return;
  const rest = editor.index >= 0 ? editor.withoutWord() : null;
  if (rest !== null) edit({ do: "text", line: editor.line, text: rest }, "the text (a word less)");
  else edit({ do: "delete", line: editor.line }, "a deletion of the line");
};

/** The sigh or laugh: a line of its own in a selection where the speaker says nothing, else the end of the line. */
const soundText = () => {
  const [text, chosen, { selection }] = [session.sound_text, line(), wave];
  const said = selection && item.lines.some((one) => one.channel === wave.lanes[selection.channel] && one.start < selection.end && one.end > selection.start);
  if (!chosen || (selection && !said)) { insert(text); return; }
  // The end includes what is heard: up to the end of the selection, or to the head if that is shortly after the line.
  const next = item.lines.find((one) => one.channel === chosen.channel && one.start > chosen.start);
  const wanted = selection?.end ?? (sound.time < chosen.end + 3 ? sound.time : chosen.end);
  const end = tidy(Math.min(wanted, next?.start ?? item.duration));
  if (end > chosen.end) edit({ do: "times", line: chosen.id, start: chosen.start, end }, "the end of the line");
  edit({ do: "text", line: chosen.id, text: [chosen.text, text].filter(Boolean).join(" ") }, "the text");
};

const reviewed = (value = !item.reviewed) => edit({ do: "reviewed", value }, value ? "the mark that it is reviewed" : "the mark that it is not reviewed");

const done = async () => {
  flush();
  const next = list.nextUnreviewed();
  if (!item.reviewed) reviewed(true);
  if (next) await go(next, true);
  else announce("Every item in the list is reviewed.");
};

const turn = (step) => {
  const id = list.neighbour(step);
  if (id) go(id, true);
  else announce(step > 0 ? "The last item" : "The first item");
};

let undoing = false;
const takeBack = async (how) => {
  flush();
  undoing = true;
  showSaving("saving");
  let problem = "";
  try {
    show((await post(`api/${how}`, item ? { name: item.id } : {})).item);
    announce(how === "undo" ? "Undone" : "Done again");
  } catch (error) {
    failed(error);
    problem = error.message;
  }
  undoing = false;
  showSaving("saved", problem);
  look();
};

/** Discard or restore items; gives the ids of those that were not so. */
const move = async (path, body) => {
  flush();
  const { ids } = await post(`api/${path}`, body);
  if (path !== "restore") kept.write("discarded", ids);
  await look();
  return ids;
};
const discard = async () => {
  if (item.discarded) return;
  const next = list.neighbour(1) ?? list.neighbour(-1);
  const { id } = item;
  try {
    await move("discard", { names: [id] });
    if (next) await go(next, false);
    notice(`${id} is discarded. Press b to bring it back.`);
  } catch (error) { failed(error); }
};
const restore = async () => {
  const names = item?.discarded ? [item.id] : kept.read("discarded", []).filter((id) => list.byId.get(id)?.discarded);
  if (!names.length) { notice("Nothing was discarded here."); return; }
  try {
    const back = await move("restore", { names });
    if (item?.id !== back[0]) await go(back[0], false);
    notice(`${counted(back.length, "item")} restored.`);
  } catch (error) { failed(error); }
};

const writeWhole = () => {
  flush();
  panels.whole(item, async (text) => edit({ do: "whole", text }, "the whole text"));
};

const showAuthor = (name) => {
  session.author = name;
  say($("author").firstChild, `I am ${name}`);
};
const changeAuthor = (name) => {
  document.cookie = `author=${encodeURIComponent(name)}; path=/; max-age=31536000; samesite=strict`;
  showAuthor(name);
};

// All that can be done: names are those of buttons (data-action); keys as KeyboardEvent.key, with Ctrl+ before them
// where they work in a text, too.

const focusEdge = (kind, which) => {
  const handle = $(`${kind}-${which}`);
  if (handle.hidden) return;
  const region = wave.region(kind === "word" ? editor.index : null);
  wave.reveal(wave.times(region)[which], wave.times(region)[which]);
  edge = which;
  handle.focus();
};
/** A field of the list, in focus; in a narrow window the list is shown for that. */
const inSide = (id) => {
  document.body.classList.add("listing");
  $(id).focus();
  return $(id);
};

const ACTIONS = [
  { name: "next-line", keys: ["ArrowDown", "j"], group: "Go", label: "next line, and hear it", run: () => editor.step(1) },
  { name: "previous-line", keys: ["ArrowUp", "k"], group: "Go", label: "previous line, and hear it", run: () => editor.step(-1) },
  { name: "next-word", keys: ["ArrowRight"], group: "Go", label: "next word", run: () => editor.stepWord(1) },
  { name: "previous-word", keys: ["ArrowLeft"], group: "Go", label: "previous word", run: () => editor.stepWord(-1) },
  { name: "next-suspect", keys: ["!"], group: "Go", label: "the next suspect line, and hear it", run: () => editor.nextSuspect() },
  { name: "next-item", keys: ["n", "PageDown"], group: "Go", label: "next item", run: () => turn(1) },
  { name: "previous-item", keys: ["p", "PageUp"], group: "Go", label: "previous item", run: () => turn(-1) },
  { name: "done", keys: ["Ctrl+Enter"], group: "Go", label: "reviewed, and on to the next that is not", run: () => done() },
  { name: "list", keys: ["g"], group: "Go", label: "to the list", run: () => toList() },
  { name: "row", keys: ["Shift+G"], group: "Go", label: "go to a row of the list, or to a name", run: () => inSide("row").select() },
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
  { name: "play-selection", keys: ["s"], group: "Hear", label: "the selection", run: () => { if (wave.selection) playPart(wave.selection); } },
  { name: "play-edge", keys: ["a"], group: "Hear", label: "a little around the edge", run: playEdge },
  { name: "loop", keys: ["o"], group: "Hear", label: "again and again", run: () => { sound.loop = !sound.loop; showSound(); } },
  { name: "back", keys: ["Ctrl+,", ";"], group: "Hear", label: "two seconds back", run: () => sound.seek(Math.max(0, sound.time - 2)) },
  { name: "hear-left", keys: ["1"], group: "Hear", label: "the left side alone", run: () => hear(0) },
  { name: "hear-right", keys: ["2"], group: "Hear", label: "the right side alone", run: () => hear(1) },
  { name: "hear-both", keys: ["3"], group: "Hear", label: "both sides", run: () => { sound.hear(null); showSound(); } },
  { name: "rebuilt", keys: ["4"], group: "Hear", label: "what dailytalk speak made of it, or the recording", run: () => switchSound() },
  { name: "slower", keys: ["<"], group: "Hear", label: "slower", run: () => faster(-1) },
  { name: "faster", keys: [">"], group: "Hear", label: "faster", run: () => faster(1) },

  { name: "zoom-in", keys: ["+", "="], group: "See", label: "closer", run: () => wave.zoom(1.5, focusTime()) },
  { name: "zoom-out", keys: ["-"], group: "See", label: "from further away", run: () => wave.zoom(1 / 1.5, focusTime()) },
  { name: "zoom-line", keys: ["z"], group: "See", label: "the line fills the view", run: () => { const one = line(); if (one) wave.look(one.start - 0.05 * (one.end - one.start), 1.1 * (one.end - one.start)); } },
  { name: "zoom-all", keys: ["0"], group: "See", label: "the whole item", run: () => wave.look(0, item.duration) },

  { name: "edit-text", keys: ["Enter", "e"], group: "Edit", label: "write the text; Enter in it saves and leaves it, Shift+Enter goes on to the next", run: () => { $("text").focus(); } },
  { name: "tag", keys: ["t"], group: "Edit", label: "choose the tag", run: () => $("tag").focus() },
  { name: "punctuation", keys: ["."], group: "Edit", label: "the next sign after the word or line: . , ? ! …", run: () => editor.punctuate() },
  { name: "edge-start", keys: ["["], group: "Edit", label: "take the start: ← → 10 ms, with Shift 100 ms", run: () => focusEdge(onWord(), "start") },
  { name: "edge-end", keys: ["]"], group: "Edit", label: "take the end", run: () => focusEdge(onWord(), "end") },
  { name: "start-here", keys: ["{"], group: "Edit", label: "start at the playhead", run: () => hereAs("start") },
  { name: "end-here", keys: ["}"], group: "Edit", label: "end at the playhead", run: () => hereAs("end") },
  { name: "split", keys: ["x"], group: "Edit", label: "split before the word", run: split },
  { name: "split-here", keys: ["Shift+X"], group: "Edit", label: "split at the playhead", run: splitHere },
  { name: "merge", keys: ["m"], group: "Edit", label: "merge with the speaker's next line", run: merge },
  { name: "insert", keys: ["i"], group: "Edit", label: "a new line in the selection or at the playhead", run: () => insert("") },
  { name: "delete", keys: ["Delete"], group: "Edit", label: "delete the word or the line", run: remove },
  { name: "swap", keys: ["c"], group: "Edit", label: "the other speaker says it", run: () => { if (line()) edit({ do: "swap", line: editor.line }, "the speaker"); } },
  { name: "sound-text", keys: ["h"], group: "Edit", label: "a sigh or laugh, up to the selection's end or the playhead", run: soundText },
  { name: "whole", keys: ["Shift+W"], group: "Edit", label: "the whole text", run: writeWhole },
  { name: "undo", keys: ["u", "Ctrl+z"], group: "Edit", label: "undo", run: () => takeBack("undo") },
  { name: "redo", keys: ["Shift+R", "Ctrl+y", "Ctrl+Shift+Z"], group: "Edit", label: "redo", run: () => takeBack("redo") },

  { name: "reviewed", keys: ["r"], group: "Item", label: "reviewed, or not after all", run: () => reviewed() },
  { name: "discard", keys: ["d"], group: "Item", label: "discard", run: discard },
  { name: "restore", keys: ["b"], group: "Item", label: "bring back what was discarded last", run: restore },
  { name: "discard-many", keys: ["Shift+D"], group: "Item", label: "discard a range, or what the list shows", run: () => panels.discard(list.found.map((id) => list.byId.get(id)), move) },

  { name: "progress", keys: ["Shift+P"], group: "The whole", label: "progress", run: () => panels.progress() },
  { name: "author", keys: ["Shift+A"], group: "The whole", label: "your name", run: () => panels.author(session.author, changeAuthor) },
  { name: "retry", keys: ["Shift+T"], group: "The whole", label: "try again to save", run: () => saver.retry() },
  { name: "help", keys: ["?", "Ctrl+/"], group: "The whole", label: "these keys", run: () => panels.help(ACTIONS) },
];
const byName = new Map(ACTIONS.map((action) => [action.name, action]));
const byKey = new Map(ACTIONS.flatMap((action) => action.keys.map((key) => [key, action])));

const focusTime = () => (sound.time >= wave.view.start && sound.time <= wave.view.start + wave.view.span ? sound.time : wave.view.start + wave.view.span / 2);

const hereAs = (which) => {
  const region = chosenRegion();
  if (!region) return;
  edge = which;
  place(region, wave.moved(region, which, tidy(sound.time) - region[which], region));
};

const toList = () => {
  document.body.classList.toggle("listing", !(document.body.classList.contains("listing") && document.activeElement === $("items")));
  if (document.body.classList.contains("listing") || innerWidth > 760) $("items").focus();
  else editor.grow();
};

/** The groups of actions that need an item. */
const OF_ITEM = ["Hear", "See", "Edit", "Item"];

const act = (action) => {
  if (OF_ITEM.includes(action.group) && !item) return;
  if (["Edit", "Item"].includes(action.group)) {
    settle();
    if (action.name !== "punctuation") editor.flush();
  }
  action.run();
};

document.addEventListener("click", (event) => {
  const action = byName.get(event.target.closest("[data-action]")?.dataset.action);
  if (action) act(action);
});

/** Go to a row of the list by its number, or to the next item whose name has what was typed: 000123, or Anna. */
const toRow = (typed) => {
  const id = list.named(typed);
  if (!id) { notice(typed ? `The list has no row ${typed}, and no name with it.` : "Give the number of a row, or a part of a name."); return; }
  notice("");
  const rows = list.found.length, isMissing = /^[1-9]\d*$/.test(typed) && typed > rows;
  go(id).then(() => {
    if (isMissing) notice(`The list has no row ${typed}, only ${rows.toLocaleString("en")}: this is the next name with ${typed} in it.`);
    $("dialogue").focus();
  });
};

// Keys.

const isTyping = (target) => target.matches("textarea, select, input:not([type=checkbox])");

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]")) return;
  const { target } = event;
  const typing = isTyping(target);
  const command = event.ctrlKey || event.metaKey;
  if (event.key === "Escape") { escape(target, typing); return; }
  if (!command && !event.altKey && (inText(event) || onEdge(event))) return;
  if (target.id === "items" && LIST_KEYS.includes(event.key)) { inList(event); return; }
  const shifted = event.shiftKey && /^[a-zA-Z]$/.test(event.key);
  const name = (command ? "Ctrl+" : "") + (shifted ? "Shift+" : "") + (shifted ? event.key.toUpperCase() : event.key);
  const action = byKey.get(name);
  if (!action) return;
  // In a text its own undo comes first, and letters are letters.
  if (typing && (!command || (["undo", "redo"].includes(action.name) && (editor.draft || target.id !== "text")))) return;
  if (!command) {
    if (event.altKey !== kept.read("with-alt", false)) return;
    if ([" ", "Enter"].includes(event.key) && target.closest("button, a, summary, input")) return;
  }
  event.preventDefault();
  act(action);
});

/** What a key does in a field before it is a key of the page; says whether it did. */
const inText = (event) => {
  const { id } = event.target;
  if (event.key !== "Enter" || !isTyping(event.target)) return false;
  event.preventDefault();
  if (id === "row") toRow($("row").value.trim());
  else if (id === "text") {
    editor.flush();
    if (!event.shiftKey || !editor.step(1)) $("dialogue").focus();
  } else {
    event.target.blur(); // takes over a time that was typed, and goes back to the lines
    $(event.target.closest("#side") ? "items" : "dialogue").focus();
  }
  return true;
};

const onEdge = (event) => {
  const [, kind, which] = /^(line|word)-(start|end)$/.exec(event.target.id) ?? [];
  const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
  if (!kind || !by) return false;
  event.preventDefault();
  nudge(kind, which, by * (event.shiftKey ? STRIDE : STEP));
  return true;
};

/** In the list of items, arrows go from item to item, and Enter to its lines. */
const inList = async (event) => {
  const [last, { place }] = [list.found.length - 1, list];
  const page = Math.max(1, Math.floor($("items").clientHeight / 54) - 1);
  const to = { ArrowDown: place + 1, ArrowUp: place - 1, PageDown: place + page, PageUp: place - page, Home: 0, End: last }[event.key];
  event.preventDefault();
  if (event.key === "Enter") {
    closeList();
    $("dialogue").focus();
  } else {
    await go(list.found[clamp(to, 0, last)], true);
    document.body.classList.toggle("listing", innerWidth <= 760);
  }
};
const LIST_KEYS = ["ArrowDown", "ArrowUp", "PageDown", "PageUp", "Home", "End", "Enter"];

const closeList = () => {
  document.body.classList.remove("listing");
  editor.grow();
};

const escape = (target, typing) => {
  if (typing || /-(start|end)$/.test(target.id)) {
    flush();
    (target.closest("#side") ? $("items") : $("dialogue")).focus();
  } else if (wave.selection) {
    wave.selection = null;
    $("play-selection").disabled = true;
    wave.draw();
  } else if (editor.index >= 0) editor.pick(editor.line, -1, false);
  else closeList();
};

for (const handle of document.querySelectorAll(".edge")) handle.addEventListener("blur", settle);

// Controls that are no buttons.

$("position").addEventListener("input", () => {
  const time = $("position").valueAsNumber;
  sound.seek(time);
  wave.reveal(time, time);
});
options($("speed"), SPEEDS.map((value) => [String(value), `speed ×${value}`]));
$("speed").addEventListener("change", () => speed(Number($("speed").value)));
$("with-alt").addEventListener("change", () => kept.write("with-alt", $("with-alt").checked));
addEventListener("beforeunload", (event) => {
  flush();
  if (saver.pending) event.preventDefault();
});
addEventListener("hashchange", () => {
  const id = addressed();
  if (id && !list.byId.has(id)) missing(id);
  else if (id && id !== item?.id) go(id);
});
const addressed = () => new URLSearchParams(location.hash.slice(1)).get("item");
const missing = (id) => notice(`There is no item ${id} here.`);

// Keys are on the buttons that do the same.
for (const button of document.querySelectorAll("[data-action]")) {
  const action = byName.get(button.dataset.action);
  if (!button.childNodes.length) button.append("");
  const key = action.keys[0];
  button.title = `${action.label} (${panels.keyName(key)})`;
  button.setAttribute("aria-keyshortcuts", action.keys.map((one) => one.replace("Ctrl", "Control").replace(/ $/, "Space")).join(" "));
  if (button.closest("#work .controls, .heading") && !button.hasAttribute("aria-label")) button.append(" ", make("kbd", "", panels.keyName(key)));
  for (const hint of button.querySelectorAll("kbd")) hint.setAttribute("aria-hidden", "true");
}

// What others do, and what one has done: the list and the item are looked at again.

let listed = -1; // the last edit that the list knows
let timer = 0;
let lost = false;
const look = async () => {
  clearTimeout(timer);
  try {
    const answer = await get("api/items", { since: listed, at: document.hidden ? null : item?.id });
    take(answer);
    if (lost) saver.retry();
    if (lost) showSaving("saved");
    lost = false;
    await reload();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    lost = true;
    if (!saver.pending) showSaving("lost");
  } finally {
    clearTimeout(timer);
    timer = setTimeout(look, POLL);
  }
};

const take = ({ number, items, people }) => {
  listed = number;
  delete people[session.author];
  list.take(items, people);
};

/** The state that somebody else made, unless something of mine is under way: then a conflict will show both. */
const reload = async () => {
  if (!item) return;
  const isBusy = () => editor.draft || stepping || undoing || saver.waits(item.id);
  const { id, of, base } = item;
  if (list.byId.get(id).base > base && !isBusy()) {
    const newer = await get("api/item", { id, of });
    if (item.id === id && item.of === of && newer.base > item.base && !isBusy()) show(newer);
  } else showItem();
};

const start = async () => {
  try {
    const [opened, all] = await Promise.all([get("api/session"), get("api/items")]);
    session = opened;
    kept.load(session.title);
    say($("title"), session.title);
    document.title = session.title;
    say($("sound-text").firstChild, session.sound_text);
    showAuthor(session.author);
    editor.tags = session.tags;
    const filters = kept.read("filters", {}); // which the list writes as soon as it has items
    take(all);
    list.restore(filters);
    speed(kept.read("speed", 1));
    say($("saving-text"), session.writable ? "All saved" : "Read only");
    standing();
    const place = kept.read("place", {});
    const asked = addressed();
    const first = [asked, place.id, list.found[0]].find((id) => list.byId.has(id));
    if (first) await go(first, false, first === place.id ? place.line : null);
    else {
      $("empty").hidden = false;
      say($("empty"), all.items.length ? "No item passes the filters." : "There is nothing to review here.");
    }
    if (asked && asked !== first) missing(asked);
    if (innerWidth > 760) $("dialogue").focus();
    await look();
    saver.retry();
    document.documentElement.dataset.ready = "yes";
  } catch (error) {
    failed(error);
    say($("saving-text"), "");
  }
};
start();
