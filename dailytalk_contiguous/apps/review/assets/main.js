// The page of `dailytalk review`: it joins the list, the sound, the drawing and the editor, and has the one table of
// what can be done. Every button and every key goes through that table, and so does the help that `?` shows.

import { Refused, events, get, post } from "./api.js";
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
const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 2];

let session = { tags: [], sound_text: "Hhhh", writable: true };
let item = null;
let opening = null; // the id that is on its way
let edge = null; // "start" or "end", the one that was touched last
let offer = null; // the proposal that waits
let heardOf = null; // "rebuilt" where that is wanted in place of recordings
let before = 0; // the head as it was last drawn

const notice = (text) => { $("notice").hidden = !text; say($("notice"), text); };
/** What is to be said of the item or the folder as long as there is nothing newer to say. */
const standing = () => notice(sentence(item?.why_silent ?? "") || (item?.of ? REBUILT_ONLY : "") || (session.writable ? "" : sentence(session.why_not)));
const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const REBUILT_ONLY = "This is what dailytalk speak made, at its own times. Rebuilt (4) goes back to the recording: correct that, and speak again.";
/** Whether what speak made is shown, and says then that it is not corrected. */
const isRebuilt = () => {
  if (item.of) notice(REBUILT_ONLY);
  return Boolean(item.of);
};
const failed = (error) => {
  if (!(error instanceof Refused)) throw error;
  if (error.answer.changed) changedElsewhere(error.answer);
  else notice(error.message);
};

/** Another program has written the file: nothing is saved before a person has chosen one of the two states. */
const changedElsewhere = ({ id, changed }) => panels.changed(changed, async (mine) => {
  const { kept: name } = await post("api/decide", { name: id, mine });
  await saver.retry();
  if (!mine) await reload();
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
  typed: () => showSaving(editor.unsaved ? "unsaved" : saver.pending ? "saving" : "saved"),
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
  settled: () => { if (item && newest.get(item.id) > item.base) reload(); },
  rejected: (entry, error) => {
    notice(`${entry.id}: ${error.message}`);
    wave.preview = null;
    if (item?.id === entry.id) {
      // A text that was refused stays in its field, unsaved, to be mended.
      if (entry.action.do === "text" && editor.line === entry.action.line && !editor.draft) {
        editor.draft = { line: entry.action.line, text: entry.action.text, timer: 0 };
        showSaving("refused", error.message);
      }
      editor.fill();
      wave.draw();
    }
  },
  changed: changedElsewhere,
  conflict: (entry, answer) => {
    show(answer.item);
    return panels.conflict(entry, answer);
  },
});
const newest = new Map(); // id → number of the last edit that somebody made of it

// Saving.

const STATES = { saved: "Saved", saving: "Saving…", unsaved: "Not saved yet", failed: "Not saved", refused: "Refused", lost: "No server" };
const showSaving = (name, sentence = "") => {
  if (name === "saved" && (editor.unsaved || stepping || saver.pending || undoing)) name = saver.pending || undoing ? "saving" : "unsaved";
  const changed = $("saving").dataset.state !== name;
  $("saving").dataset.state = name;
  const time = name === "saved" ? ` ${new Date().toLocaleTimeString([], { hour12: false })}` : "";
  say($("saving-text"), `${STATES[name]}${time}`);
  $("saving").title = sentence;
  $("retry").hidden = name !== "failed";
  if (name === "failed") notice(`${sentence} Nothing is lost: it is tried again until it is saved.`);
  if (name === "refused" && sentence) notice(sentence);
  if (name === "saved" && changed) standing();
  if (changed && ["saved", "failed", "refused"].includes(name)) announce(STATES[name]);
};

const edit = (action, about) => {
  if (!item) return Promise.resolve(null);
  if (!session.writable) { notice(sentence(session.why_not || "this can't be edited")); return Promise.resolve(null); }
  if (!["reviewed", "side"].includes(action.do) && isRebuilt()) return Promise.resolve(null);
  return saver.edit(item, action, about);
};

// A region that was dragged or stepped: it stays where it is shown until the server has answered.
const place = (region, times) => {
  if (!times || (times.start === region.start && times.end === region.end)) {
    wave.preview = null;
    wave.draw();
    showSaving("saved");
    return;
  }
  wave.preview = times;
  const span = { start: times.start, end: times.end };
  const about = region.index === null ? "the times of the line" : `the times of “${region.word.word}”`;
  edit(region.index === null ? { do: "times", line: times.line, ...span } : { do: "word", line: times.line, index: times.index, ...span }, about)
    .then((saved) => { if (!saved) { wave.preview = null; wave.draw(); editor.fill(); } });
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
  offer = null;
  $("proposal").hidden = true;
  document.body.classList.remove("listing"); // before anything is measured
  for (const author of fetched.here ?? []) if (author !== session.author) list.here(author, id);
  show(fetched);
  standing();
  const line = wanted && fetched.lines.some((one) => one.id === wanted) ? wanted : list.lineFound(fetched);
  if (line) editor.pick(line, -1, false);
  else if (editor.chosen) wave.reveal(editor.chosen.start, editor.chosen.start + 1);
  remember();
  announce(`${id}, ${counted(fetched.lines.length, "line")}`);
  if (playing && editor.chosen) play(editor.chosen.start, editor.chosen.end);
  isHere();
};

/** Show an item, or the newer state of the one that is open. */
const show = (newer) => {
  const { id, reviewed, reviewed_by, side, discarded } = newer;
  if (list.byId.has(id)) list.take([{ id, reviewed, reviewed_by, side, discarded }]);
  if (opening && opening !== newer.id) return;
  if (item && item.id !== newer.id && sound.id !== newer.id) return; // the answer to an edit of an item that was left
  // An edit is answered with the recording; what was made of it stays in view, at the state that it has now.
  if (item?.id === newer.id && sound.of && !newer.of) newer = { ...item, base: newer.base, reviewed, reviewed_by, side, discarded };
  item = newer;
  $("work").hidden = false;
  $("empty").hidden = true;
  wave.show(item, wave.canvas.clientWidth / PIXELS_A_SECOND);
  editor.show(item);
  if (wave.held) editor.times(wave.held.start, wave.held.end, wave.held.index !== null);
  wave.choose(editor.line, editor.index);
  showItem();
};

const showItem = () => {
  say($("name"), item.id);
  document.title = `${item.id} · ${session.title ?? "Review"}`;
  const names = [...new Set(item.lines.map(speakerOf))].filter((name) => name && !CHANNELS.includes(name));
  say($("facts"), [clock(item.duration, 1), `${item.sample_rate ? `${(item.sample_rate / 1000).toLocaleString("en")} kHz` : ""}`, names.slice(0, 4).join(", "), counted(item.lines.length, "line")].filter(Boolean).join(" · "));
  press($("reviewed"), Boolean(item.reviewed));
  $("which-side").value = item.side ?? "";
  $("discard").hidden = Boolean(item.discarded);
  $("restore").hidden = !item.discarded;
  $("swap").hidden = item.channels < 2;
  $("heard").hidden = item.channels < 2;
  const suspects = list.byId.get(item.id)?.suspects ?? [];
  $("why").replaceChildren(...suspects.map((suspect) => make("li", "", suspect.why)));
  $("why").hidden = !suspects.length;
  const writable = session.writable && !item.discarded;
  editor.writable = writable && !item.of;
  editor.fill();
  for (const button of document.querySelectorAll("#reviewed, #done, #discard")) button.disabled = !writable;
  for (const button of document.querySelectorAll("#editor .controls button")) button.disabled = !editor.writable;
  press($("rebuilt"), Boolean(item.of));
  $("rebuilt").hidden = !item.rebuilt;
  $("which-side").disabled = !writable;
  showPeople();
  showSound();
  $("play-selection").disabled = !wave.selection;
};

const showPeople = () => {
  const others = item ? list.at(item.id).filter((author) => author !== session.author) : [];
  $("people").replaceChildren(...others.map((author) => make("span", "person", `${author} is here`)));
};

/** The state that somebody else made, unless something of mine is under way: then a conflict will show both. */
const reload = async () => {
  if (!item || editor.unsaved || stepping || saver.waits(item.id)) return;
  const { id } = item;
  try {
    const newer = await get("api/item", { id, of: item.of });
    if (item?.id === id && (newer.of ?? null) === (item.of ?? null) && newer.base >= item.base && !editor.unsaved && !stepping && !saver.waits(id)) show(newer);
  } catch (error) { failed(error); }
};

const remember = () => {
  kept.write("place", { id: item?.id, line: editor.line });
  history.replaceState(null, "", `#${new URLSearchParams({ item: item?.id ?? "" })}`);
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
  if (!item?.rebuilt) { notice("Nothing was made of this yet: run dailytalk speak."); return; }
  heardOf = item.of ? null : "rebuilt";
  await go(item.id, sound.playing, editor.line);
  announce(heardOf ? "Rebuilt sound" : "Recorded sound");
};

/** The time of the edge that was touched last; else the nearer edge of the word or line to the head. */
const edgeTime = () => {
  const region = wave.region(editor.index >= 0 ? editor.index : null);
  if (!region) return sound.time;
  const { start, end } = wave.times(region);
  return edge === "start" ? start : edge === "end" ? end : Math.abs(sound.time - start) <= Math.abs(sound.time - end) ? start : end;
};

// Edits of the chosen line.

const line = () => editor.chosen;

const split = () => {
  if (!line()) return;
  if (editor.index > 0) edit({ do: "split", line: editor.line, index: editor.index }, "a split");
  else splitHere();
};
const splitHere = () => { if (line()) edit({ do: "split", line: editor.line, at: tidy(sound.time) }, "a split"); };

const merge = () => {
  const next = line() && item.lines.slice(editor.place + 1).find((one) => one.channel === line().channel);
  if (!next) { notice("There is no later line of the same speaker."); return; }
  edit({ do: "merge", line: editor.line, with: next.id }, "a merge");
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

/** The sigh or laugh: a line of its own in a selection, else the text of an empty line, else the end of the line. */
const soundText = async () => {
  const text = session.sound_text;
  if (wave.selection && !item.lines.some((one) => one.channel === wave.lanes[wave.selection.channel] && one.start < wave.selection.end && one.end > wave.selection.start)) { await insert(text); return; }
  const chosen = line();
  if (!chosen) { await insert(text); return; }
  // The end includes what is heard: up to the end of the selection, or to the head if that is shortly after the line.
  const next = item.lines.find((one) => one.channel === chosen.channel && one.start > chosen.start);
  const wanted = wave.selection?.end ?? (sound.time > chosen.end && sound.time < chosen.end + 3 ? sound.time : chosen.end);
  const end = tidy(Math.min(wanted, Math.max(chosen.end, next?.start ?? item.duration)));
  if (end > chosen.end) edit({ do: "times", line: chosen.id, start: chosen.start, end }, "the end of the line");
  edit({ do: "text", line: chosen.id, text: [chosen.text, text].filter(Boolean).join(" ") }, "the text");
};

const reviewed = (value = !item.reviewed) => edit({ do: "reviewed", value }, value ? "the mark that it is reviewed" : "the mark that it is not reviewed");

const done = async () => {
  if (!item) return;
  flush();
  const next = list.nextUnreviewed();
  if (!item.reviewed) reviewed(true);
  if (next) await go(next, true);
  else announce("Every item in the list is reviewed.");
};

const turn = (step) => { const id = list.neighbour(step); if (id) go(id, true); else announce(step > 0 ? "The last item" : "The first item"); };

let undoing = false;
const history_ = async (path) => {
  flush();
  undoing = true;
  showSaving("saving");
  try {
    const made = await post(path, item ? { name: item.id } : {});
    undoing = false;
    if (made.item) show(made.item);
    announce(path.endsWith("undo") ? "Undone" : "Done again");
    showSaving("saved");
  } catch (error) {
    undoing = false;
    showSaving("saved");
    failed(error);
  }
};

/** Discard or restore items; gives the ids of those that were not so. */
const move = async (path, body) => {
  flush();
  const { ids } = await post(`api/${path}`, body);
  if (path !== "restore") kept.write("discarded", ids);
  await changedItems();
  if (ids.includes(item?.id)) await reload();
  return ids;
};
const discard = async () => {
  if (!item || item.discarded) return;
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

/** What is accepted of each answer, for a conflict in words too: the edit that makes the line so. */
const ACCEPTED = {
  recognition: ["the text", ({ text }) => ({ do: "text", text })],
  affect: ["the measures of how it is said", ({ affect, features, buckets }) => ({ do: "measures", affect, features, buckets })],
  tag: ["the tag", ({ tag }) => ({ do: "tag", tag })],
};

const ask = () => {
  if (!line() || isRebuilt()) return;
  const asked = line();
  const close = () => { offer = null; $("proposal").hidden = true; };
  const answerOf = async (what) => {
    panels.proposal(asked, "Asking…", {});
    try {
      const answer = await post("api/ask", { name: item.id, line: asked.id, what });
      if (editor.line !== asked.id) { close(); return; }
      const [about, change] = ACCEPTED[what];
      const accept = async () => {
        close();
        if (await edit({ line: asked.id, ...change(answer.proposal) }, about)) announce("Accepted");
      };
      offer = { accept: editor.writable ? accept : null, reject: () => { close(); announce("Rejected"); } };
      panels.proposal(asked, answer, offer);
      announce(`Proposal: ${$("proposal").querySelector("dl").textContent}. ${offer.accept ? "y accepts, " : ""}Escape rejects.`);
    } catch (error) { panels.proposal(asked, error.message, {}); failed(error); }
  };
  panels.ask(answerOf);
};

const writeWhole = () => {
  if (!item || isRebuilt()) return;
  flush();
  panels.whole(item, async (text) => edit({ do: "whole", text }, "the whole text"));
};

/** Put items on sides, all at once; gives the sides that they had. */
const useSides = async (sides, since) => {
  flush();
  const { before } = await post("api/divide", { sides, since });
  await changedItems();
  await reload();
  return before;
};

const changeAuthor = async (name) => {
  try {
    session = { ...session, ...(await post("api/author", { name })) };
    showAuthor();
  } catch (error) { failed(error); }
};
const showAuthor = () => { say($("author").firstChild, session.author ? `I am ${session.author}` : "Who are you?"); };

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
const onWord = () => (editor.index >= 0 ? "word" : "line");

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
  { name: "search", keys: ["/"], group: "Go", label: "search", run: () => inSide("search").select() },
  { name: "filters", keys: ["f"], group: "Go", label: "filter and sort", run: () => { $("filters").open = true; inSide("sort"); } },
  { name: "only-unreviewed", keys: ["Shift+U"], group: "Go", label: "only what is not reviewed", run: () => list.toggle("unreviewed") },
  { name: "only-suspects", keys: ["Shift+S"], group: "Go", label: "only suspects", run: () => list.toggle("suspects") },
  { name: "clear-filters", keys: ["Shift+F"], group: "Go", label: "clear all filters", run: () => list.restore({}) },

  { name: "play", keys: [" ", "Ctrl+ "], group: "Hear", label: "play or pause", run: () => { if (sound.playing) sound.pause(); else sound.play(); } },
  { name: "play-line", keys: ["l", "Ctrl+l"], group: "Hear", label: "the line", run: () => playRegion(null) },
  { name: "play-word", keys: ["w"], group: "Hear", label: "the word", run: () => playRegion(editor.index) },
  { name: "play-selection", keys: ["s"], group: "Hear", label: "the selection", run: () => { if (wave.selection) playPart(wave.selection); } },
  { name: "play-edge", keys: ["a"], group: "Hear", label: "a little around the edge", run: () => { const at = edgeTime(); play(at - AROUND, at + AROUND); } },
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
  { name: "undo", keys: ["u", "Ctrl+z"], group: "Edit", label: "undo", run: () => history_("api/undo") },
  { name: "redo", keys: ["Shift+R", "Ctrl+y", "Ctrl+Shift+Z"], group: "Edit", label: "redo", run: () => history_("api/redo") },

  { name: "reviewed", keys: ["r"], group: "Item", label: "reviewed, or not after all", run: () => { if (item) { flush(); reviewed(); } } },
  { name: "side", keys: ["v"], group: "Item", label: "to train, validation or neither", run: () => { if (item) setSide({ train: "validation", validation: null }[item.side ?? ""] ?? (item.side ? null : "train")); } },
  { name: "discard", keys: ["d"], group: "Item", label: "discard", run: discard },
  { name: "restore", keys: ["b"], group: "Item", label: "bring back what was discarded last", run: restore },
  { name: "discard-many", keys: ["Shift+D"], group: "Item", label: "discard a range, or what the list shows", run: () => panels.discard(list.found, move) },
  { name: "ask", keys: ["q"], group: "Item", label: "ask the models again", run: ask },
  { name: "accept", keys: ["y"], group: "Item", label: "accept the proposal; Esc rejects it", run: () => offer?.accept?.() },

  { name: "progress", keys: ["Shift+P"], group: "The whole", label: "progress", run: () => panels.progress() },
  { name: "sides", keys: ["Shift+V"], group: "The whole", label: "train and validation", run: () => panels.sides(useSides) },
  { name: "author", keys: ["Shift+A"], group: "The whole", label: "your name", run: () => panels.author(session.author, changeAuthor) },
  { name: "retry", keys: ["Shift+T"], group: "The whole", label: "try again to save", run: () => saver.retry() },
  { name: "help", keys: ["?", "Ctrl+/"], group: "The whole", label: "these keys", run: () => panels.help(ACTIONS) },
];
const byName = new Map(ACTIONS.map((action) => [action.name, action]));
const byKey = new Map(ACTIONS.flatMap((action) => action.keys.map((key) => [key, action])));

const focusTime = () => (sound.time >= wave.view.start && sound.time <= wave.view.start + wave.view.span ? sound.time : wave.view.start + wave.view.span / 2);

const hereAs = (which) => {
  const region = wave.region(editor.index >= 0 ? editor.index : null);
  if (!region) return;
  edge = which;
  place(region, wave.moved(region, which, tidy(sound.time) - region[which], region));
};

const setSide = (value) => edit({ do: "side", value }, "the side");

const toList = () => {
  document.body.classList.toggle("listing", !(document.body.classList.contains("listing") && document.activeElement === $("items")));
  if (document.body.classList.contains("listing") || innerWidth > 760) $("items").focus();
  else editor.grow();
};

const act = (action) => {
  const needsItem = !["list", "row", "search", "filters", "only-unreviewed", "only-suspects", "clear-filters", "discard-many", "progress", "sides", "author", "retry", "help", "undo", "redo", "restore"].includes(action.name);
  if (needsItem && !item) return;
  if (["Edit", "Item"].includes(action.group) && action.name !== "accept") {
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
  if (!command && !event.altKey && (inText(event) || onEdge(event) || onPosition(event) || inList(event))) return;
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

/** What a key does in a field or a list before it is a key of the page; says whether it did. */
const inText = (event) => {
  const { id } = event.target;
  if (event.key !== "Enter" || !["row", "text", "start", "end", "from", "to", "tag", "search"].includes(id)) return false;
  event.preventDefault();
  if (id === "row") toRow($("row").value.trim());
  else if (id === "text") {
    editor.flush();
    if (!event.shiftKey || !editor.step(1)) $("dialogue").focus();
  } else { // takes over a time that was typed, and goes back to the lines
    event.target.blur();
    (id === "search" ? $("items") : $("dialogue")).focus();
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

/** The place that a key leads to in a row of them, by steps of 1 and of a page. */
const keyed = ({ key }, place, page, last) => (
  { ArrowDown: place + 1, ArrowUp: place - 1, PageDown: place + page, PageUp: place - page, Home: 0, End: last }[key]);

const onPosition = (event) => {
  if (event.target.id !== "overview") return false;
  const turned = { ArrowRight: "ArrowDown", ArrowLeft: "ArrowUp", ArrowUp: "ArrowDown", ArrowDown: "ArrowUp", PageUp: "PageDown", PageDown: "PageUp" };
  const to = keyed({ key: turned[event.key] ?? event.key }, sound.time, 10, item.duration);
  if (to === undefined) return false;
  event.preventDefault();
  const at = clamp(to, 0, item.duration);
  sound.seek(at);
  wave.reveal(at, at);
  return true;
};

// In the list of items, arrows go from item to item.
const inList = (event) => {
  if (event.target.id !== "items") return false;
  const last = list.found.length - 1;
  const to = keyed(event, list.place, Math.max(1, Math.floor($("items").clientHeight / 54) - 1), last);
  if (to === undefined && event.key !== "Enter") return false;
  event.preventDefault();
  if (to === undefined) {
    document.body.classList.remove("listing");
    editor.grow();
    $("dialogue").focus();
  } else if (last >= 0) go(list.found[clamp(to, 0, last)].id, true).then(() => { if (innerWidth <= 760) document.body.classList.add("listing"); });
  return true;
};

const escape = (target, typing) => {
  if (offer && !typing) { offer.reject(); return; }
  if (typing || /-(start|end)$/.test(target.id)) {
    flush();
    (target.closest("#side") ? $("items") : $("dialogue")).focus();
  } else if (wave.selection) {
    wave.selection = null;
    $("play-selection").disabled = true;
    wave.draw();
  } else if (editor.index >= 0) editor.pick(editor.line, -1, false);
  else { document.body.classList.remove("listing"); editor.grow(); }
};

for (const handle of Object.values(wave.handles)) handle.addEventListener("blur", settle);

// Controls that are no buttons.

options($("speed"), SPEEDS.map((value) => [String(value), `speed ×${value}`]));
$("speed").addEventListener("change", () => speed(Number($("speed").value)));
$("which-side").addEventListener("change", () => setSide($("which-side").value || null));
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

// What others do.

let asking = null;
let listed = 0; // the last edit that the list knows, one's own too
const changedItems = async () => {
  const answer = await get("api/items", { since: listed });
  listed = answer.number;
  list.take(answer.items);
  list.mark(false);
  if (item) showItem();
};
const soon = () => { asking ??= setTimeout(() => { asking = null; changedItems().catch(failed); }, 250); };

const arrived = new Map();
let collecting = null;

const listen = () => events({
  edit: ({ number: latest, ids, count, author }) => {
    for (const id of ids) newest.set(id, Math.max(latest, newest.get(id) ?? 0));
    soon();
    const isMine = author === session.author;
    if (count > 1 && !isMine) announce(`${author} edited ${counted(count, "item")}.`);
    if (!ids.length || (ids.includes(item?.id) && latest > item.base)) {
      if (!isMine) announce(`${author} edited this item.`);
      reload();
    }
  },
  here: ({ author, id }) => { if (author !== session.author) { list.here(author, id); showPeople(); } },
  item: ({ id, ...measured }) => {
    if (!list.byId.has(id)) return;
    // Measures of a large folder come by the thousand.
    arrived.set(id, { id, ...measured });
    collecting ??= setTimeout(() => {
      const items = [...arrived.values()];
      const mine = arrived.has(item?.id);
      arrived.clear();
      collecting = null;
      list.take(items);
      if (mine) reload().then(showItem);
    }, 700);
  },
  lost: () => { if (!saver.pending) showSaving("lost"); },
  back: () => {
    showSaving("saved");
    saver.retry();
    soon();
    reload();
    isHere();
  },
});

// Others see where one is; who is not heard of for long is taken for gone.
const isHere = () => { if (item) post("api/here", { name: item.id }).catch(() => {}); };
setInterval(() => { if (!document.hidden) isHere(); }, 40_000);

const start = async () => {
  try {
    const [opened, all] = await Promise.all([get("api/session"), get("api/items")]);
    session = opened;
    kept.load(session.title);
    listed = all.number;
    say($("title"), session.title);
    document.title = session.title;
    say($("sound-text").firstChild, session.sound_text);
    showAuthor();
    editor.tags = session.tags ?? [];
    editor.writable = session.writable;
    const filters = kept.read("filters", {}); // which the list writes as soon as it has items
    list.take(all.items);
    list.restore(filters);
    speed(kept.read("speed", 1));
    showSaving("saved");
    say($("saving-text"), session.writable ? "All saved" : "Read only");
    standing();
    const place_ = kept.read("place", {});
    const same = list.byId.has(place_.id) ? place_ : {};
    const asked = addressed();
    const first = list.byId.has(asked) ? asked : same.id ?? list.found[0]?.id;
    if (first) await go(first, false, first === same.id ? same.line : null);
    else { $("empty").hidden = false; say($("empty"), all.items.length ? "No item passes the filters." : "There is nothing to review here."); }
    if (asked && asked !== first) missing(asked);
    if (innerWidth > 760) $("dialogue").focus();
    listen();
    if (saver.pending) saver.run();
    document.documentElement.dataset.ready = "yes";
  } catch (error) { failed(error); say($("saving-text"), ""); }
};
start();
