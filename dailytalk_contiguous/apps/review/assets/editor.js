// The lines of the shown item as a dialogue, and the chosen line with its text, times, tag and words. A text or a tag
// that is being entered is a draft; it is saved after a pause, on leaving the field and before anything else is edited.

import { $, announce, clock, make, options, percent, reveal, say, speakerOf } from "./page.js";

const PAUSE = 1000; // ms of typing nothing

const editedBy = (line) => line.edited_by?.length && `edited by ${[line.edited_by].flat().join(", ")}`;

/** What is known of a line, in words. What a classifier of emotion says of it is a guess, not a diagnosis. */
const factsOf = ({ rule, kind, confidence, emotion, suspects, ...line }) => [
  rule && `rule ${rule}`,
  kind !== "speech" && kind,
  typeof confidence === "number" && `confidence ${percent(confidence)}`,
  emotion && [`heard as ${emotion.class ?? "nothing in particular"}`, emotion.class && emotion.probability !== null && percent(emotion.probability), `(${emotion.model}, a guess)`].filter(Boolean).join(" "),
  editedBy(line),
  ...suspects.map((suspect) => `⚠ ${suspect.why}`),
].filter(Boolean).join(" · ");

export class Editor {
  /**
   * @param {object} hear
   *   edit(action) → promise of the item or null; picked(line, index): another line or word is chosen;
   *   play(start, end); typed(): there is a draft.
   */
  constructor(hear) {
    Object.assign(this, { hear, item: null, line: null, index: -1, draft: null, tags: [] });
    $("dialogue").addEventListener("click", (event) => {
      const row = event.target.closest("[role=option]");
      if (row) this.pick(this.item.lines[row.dataset.index].id, -1, true);
    });
    for (const [id, kind] of [["text", "input"], ["tag", "change"]]) {
      $(id).addEventListener(kind, () => this.type(id, $(id).value)); // letters choose a tag, one after the other
      $(id).addEventListener("blur", () => this.flush());
    }
  }

  get chosen() { return this.item?.lines.find((line) => line.id === this.line) ?? null; }

  get place() { return this.item ? this.item.lines.findIndex((line) => line.id === this.line) : -1; }

  get word() { return this.chosen?.words[this.index] ?? null; }

  /** Show an item, or the newer state of the one that is shown: then line, word, caret and draft stay. */
  show(item) {
    const [place, isOther] = [this.place, this.item?.id !== item.id];
    this.item = item;
    if (isOther) Object.assign(this, { draft: null, line: item.lines[0]?.id ?? null, index: -1 });
    else if (!this.chosen) Object.assign(this, { draft: null, line: item.lines[Math.min(Math.max(0, place), item.lines.length - 1)]?.id ?? null });
    if (!this.word) this.index = -1;
    $("dialogue").replaceChildren(...item.lines.map((one, index) => this.row(one, index)));
    this.mark();
    this.fill();
  }

  /** Choose a line, and one of its words or -1. */
  pick(line, index, play) {
    const isOther = line !== this.line;
    if (isOther) this.flush();
    Object.assign(this, { line, index });
    this.mark();
    this.fill();
    const { chosen, word } = this;
    this.hear.picked(chosen, index);
    if (!chosen) return;
    if (isOther) announce([`Line ${this.place + 1} of ${this.item.lines.length}`, speakerOf(chosen), chosen.text || "no words"].filter(Boolean).join(", "));
    else if (word) announce(`${word.word}, ${word.start.toFixed(2)} to ${word.end.toFixed(2)} seconds`);
    if (play) this.hear.play(chosen.start, chosen.end);
  }

  /** Mark the row of the chosen line, and bring it into view. */
  mark() {
    const box = $("dialogue");
    box.querySelector("[aria-selected=true]")?.setAttribute("aria-selected", "false");
    box.setAttribute("aria-activedescendant", `dialogue-${this.place}`);
    box.children[this.place]?.setAttribute("aria-selected", "true");
    reveal(box, box.children[this.place]);
  }

  /** Go some lines on; says whether there was one. */
  step(by) {
    const next = this.item?.lines[this.place + by];
    if (next) this.pick(next.id, -1, true);
    return Boolean(next);
  }

  /** Go to the suspect line after this one, and from the last to the first. */
  nextSuspect() {
    const suspects = this.item.lines.filter((line) => line.suspects.length);
    const next = suspects.find((line) => this.item.lines.indexOf(line) > this.place) ?? suspects[0];
    if (next) this.pick(next.id, -1, true);
  }

  stepWord(by) {
    const next = Math.max(-1, this.index + by);
    if (next < (this.chosen?.words.length ?? 0)) this.pick(this.line, next, false);
  }

  // The chosen line.

  fill() {
    const { chosen: line, draft } = this;
    for (const control of $("editor").querySelectorAll("input, select, textarea")) control.disabled = !line || !this.writable;
    say($("who"), line ? speakerOf(line) || "No speaker" : "No line");
    $("who").className = $("text").dataset.channel = line?.channel ?? "";
    say($("which"), line ? `line ${this.place + 1} of ${this.item.lines.length}` : "");
    this.times(line?.start, line?.end, false);
    const text = draft?.text ?? line?.text ?? "";
    if ($("text").value !== text) $("text").value = text; // to set a value moves the caret, even if it is the same
    this.grow();
    options($("tag"), [["", "–"], ...new Set([...this.tags, ...(line?.tag ? [line.tag] : [])])]);
    $("tag").value = draft?.tag ?? line?.tag ?? "";
    say($("line-facts"), line ? factsOf(line) : "");
    const { word } = this;
    $("word-fields").classList.toggle("none", !word);
    for (const id of ["from", "to"]) $(id).disabled = !word || !this.writable;
    this.times(word?.start, word?.end, true);
    say($("sure"), word ? [`“${word.word}”`, typeof word.probability === "number" && `sure ${percent(word.probability)}`].filter(Boolean).join(" ") : "no word chosen");
  }

  /** Show times of the line or the word, as they are or as they are being moved. */
  times(start, end, ofWord) {
    for (const [id, value] of ofWord ? [["from", start], ["to", end]] : [["start", start], ["end", end]]) {
      const text = value === undefined ? "" : value.toFixed(3).replace(/0$/, "");
      if ($(id).value !== text) $(id).value = text;
    }
  }

  grow() {
    const text = $("text");
    text.style.height = "auto";
    text.style.height = `${Math.min(220, text.scrollHeight + 2)}px`;
  }

  // Edits.

  /** Note what is entered as the text or the tag of the chosen line. */
  type(field, value) {
    const { chosen, draft } = this;
    if (!chosen) return;
    clearTimeout(draft?.timer);
    const entered = { ...draft, [field]: value };
    if (value === (chosen[field] ?? "")) delete entered[field];
    this.draft = "text" in entered || "tag" in entered ? entered : null;
    if (this.draft) this.draft.timer = setTimeout(() => this.flush(), PAUSE);
    this.grow();
    this.hear.typed();
  }

  /** Save the draft, if there is one. */
  flush() {
    if (!this.draft) return;
    const { line, draft: { text, tag, timer } } = this;
    clearTimeout(timer);
    this.draft = null;
    if (tag !== undefined) this.hear.edit({ do: "tag", line, tag });
    if (text !== undefined) this.hear.edit({ do: "text", line, text: text.trim().replace(/\s*\n\s*/g, " ") });
  }

  /** A text that was refused stays in its field, unsaved, to be mended. */
  refused({ do: kind, line, text }) {
    if (kind === "text" && line === this.line && !this.draft) this.draft = { text };
    this.fill();
  }

  // The dialogue.

  row(line, index) {
    const facts = { id: `dialogue-${index}`, role: "option", "aria-selected": false, "data-index": index };
    const row = make("div", `line ${line.channel}`, "", facts);
    const [said, marks] = [make("span", line.text ? "said" : "said soft"), make("span", "marks")];
    if (line.tag) said.append(make("i", "", `(${line.tag}) `));
    said.append(line.text || "no words");
    for (const [kind, sign, title] of [["suspect", "⚠", line.suspects.map((one) => one.why).join("\n")], ["soft", "✎", editedBy(line)]]) {
      if (!title) continue;
      const note = make("span", kind, sign, { title });
      note.append(make("span", "hidden", ` ${title}`));
      marks.append(note);
    }
    row.append(make("span", "time figures", clock(line.start, 1)), make("span", "who", speakerOf(line)), said, marks);
    return row;
  }
}
