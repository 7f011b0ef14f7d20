// The lines of the shown item as a dialogue, and the chosen line with its text, times, tag and words. A text that is
// being typed is a draft; it is saved after a pause, on leaving the field and before anything else is edited.

import { $, announce, CHANNELS, clock, make, options, percent, reveal, say, speakerOf, tidy } from "./page.js";

const PAUSE = 1000; // ms of typing nothing

// What a classifier of emotion says of a line: a guess, and no diagnosis.
const heard = (emotion) => emotion && [`heard as ${emotion.class ?? "nothing in particular"}`,
  emotion.probability !== null && emotion.class ? percent(emotion.probability) : "", `(${emotion.model}, a guess)`].filter(Boolean).join(" ");

export class Editor {
  /**
   * @param {object} hear
   *   edit(action, about) → promise of the item or null; picked(line, index): another line or word is chosen;
   *   play(start, end); typed(): there is a draft.
   */
  constructor(hear) {
    this.hear = hear;
    this.item = null;
    this.line = null;
    this.index = -1;
    this.draft = null;
    this.tag = null;
    this.tags = [];
    $("dialogue").addEventListener("click", (event) => {
      const row = event.target.closest("[role=option]");
      if (row) this.pick(this.item.lines[Number(row.dataset.index)].id, -1, true);
    });
    $("words").addEventListener("click", (event) => {
      const word = event.target.closest("[data-word]");
      if (word) this.pick(this.line, Number(word.dataset.word), false);
    });
    $("words").addEventListener("dblclick", () => this.playWord());
    const text = $("text");
    text.addEventListener("input", () => { this.grow(); this.type(text.value); });
    text.addEventListener("blur", () => this.flush());
    for (const [id, edge, ofWord] of [["start", "start", false], ["end", "end", false], ["from", "start", true], ["to", "end", true]]) {
      $(id).addEventListener("change", () => this.typedTime($(id), edge, ofWord));
    }
    // Letters choose a tag, one after the other; the one that they come to is saved.
    $("tag").addEventListener("change", () => {
      clearTimeout(this.tag?.timer);
      this.tag = { line: this.line, value: $("tag").value, timer: setTimeout(() => this.flush(), PAUSE) };
      this.hear.typed();
    });
    $("tag").addEventListener("blur", () => this.flush());
  }

  get chosen() { return this.item?.lines.find((line) => line.id === this.line) ?? null; }

  get place() { return this.item ? this.item.lines.findIndex((line) => line.id === this.line) : -1; }

  get word() { return this.chosen?.words[this.index] ?? null; }

  /** Show an item, or the newer state of the one that is shown: then line, word, caret and draft stay. */
  show(item) {
    const other = this.item?.id !== item.id || this.item.of !== item.of;
    const [place, line] = [this.place, this.chosen];
    this.item = item;
    if (other) {
      this.draft = null;
      this.line = item.lines[0]?.id ?? null;
      this.index = -1;
      $("dialogue").scrollTop = 0;
    } else if (!this.chosen) {
      // The line is another by now, or gone: the one at its time, else the one at its place.
      const near = line && item.lines.find((one) => one.channel === line.channel && one.start <= line.start + 0.01 && one.end > line.start);
      this.line = (near ?? item.lines[Math.min(Math.max(0, place), item.lines.length - 1)])?.id ?? null;
      this.index = -1;
    }
    if (this.index >= (this.chosen?.words.length ?? 0)) this.index = -1;
    $("dialogue").replaceChildren(...item.lines.map((one, index) => this.row(one, index)));
    this.mark();
    this.fill();
  }

  /** Choose a line, and one of its words or -1. */
  pick(line, index, play) {
    if (line !== this.line) this.flush();
    const other = line !== this.line;
    this.line = line;
    this.index = index;
    this.mark();
    this.fill();
    this.hear.picked(this.chosen, index);
    const chosen = this.chosen;
    if (!chosen) return;
    if (other) announce(`Line ${this.place + 1} of ${this.item.lines.length}${speakerOf(chosen) && `, ${speakerOf(chosen)}`}: ${chosen.text || "no words"}`);
    else if (this.word) announce(`${this.word.word}, ${this.word.start.toFixed(2)} to ${this.word.end.toFixed(2)} seconds`);
    if (play) this.hear.play(chosen.start, chosen.end);
  }

  /** Mark the row of the chosen line, and bring it into view. */
  mark() {
    const box = $("dialogue");
    box.querySelector("[aria-selected=true]")?.setAttribute("aria-selected", "false");
    const row = box.children[this.place];
    if (!row) { box.removeAttribute("aria-activedescendant"); return; }
    row.setAttribute("aria-selected", "true");
    reveal(box, row);
    box.setAttribute("aria-activedescendant", row.id);
  }

  /** Go some lines on; says whether there was one. */
  step(by, play = true) {
    const next = this.item?.lines[this.place + by];
    if (next) this.pick(next.id, -1, play);
    return Boolean(next);
  }

  /** Go to the suspect line after this one, and from the last to the first. */
  nextSuspect() {
    const suspects = (this.item?.lines ?? []).filter((line) => line.suspects?.length);
    const next = suspects[(suspects.findIndex((line) => line.id === this.line) + 1) % suspects.length];
    if (next) this.pick(next.id, -1, true);
  }

  stepWord(by) {
    const count = this.chosen?.words.length ?? 0;
    const next = this.index < 0 && by < 0 ? -1 : this.index + by;
    if (next >= 0 && next < count) this.pick(this.line, next, false);
    else if (next < 0 && this.index >= 0) this.pick(this.line, -1, false);
  }

  playWord() { if (this.word) this.hear.play(this.word.start, this.word.end); }

  // The chosen line.

  fill() {
    const line = this.chosen;
    $("editor").classList.toggle("none", !line);
    for (const control of $("editor").querySelectorAll("input, select, textarea")) control.disabled = !line || !this.writable;
    say($("who"), line ? speakerOf(line) || "No speaker" : "No line");
    $("who").className = line?.channel ?? "";
    say($("which"), line ? `line ${this.place + 1} of ${this.item.lines.length}` : "");
    this.times(line?.start, line?.end, false);
    const text = $("text");
    // To set a value moves the caret, even if it is the same.
    if ((this.draft?.line !== this.line || !line) && text.value !== (line?.text ?? "")) text.value = line?.text ?? "";
    if (CHANNELS.includes(line?.channel)) text.dataset.channel = line.channel;
    this.grow();
    this.fillTags(line);
    const facts = line ? [line.rule && `rule ${line.rule}`, line.kind && line.kind !== "speech" ? line.kind : "", line.confidence !== null && line.confidence !== undefined ? `confidence ${percent(line.confidence)}` : "", heard(line.emotion),
      line.edited_by?.length ? `edited by ${[line.edited_by].flat().join(", ")}` : "", ...(line.suspects ?? []).map((suspect) => `⚠ ${suspect.why}`)].filter(Boolean) : [];
    say($("line-facts"), facts.join(" · "));
    this.fillWords(line);
  }

  fillTags(line) {
    if (this.tag && this.tag.line === line?.id) return;
    $("tag-label").hidden = !this.tags.length;
    const choices = [["", "–"], ...this.tags];
    if (line?.tag && !this.tags.includes(line.tag)) choices.push([line.tag, `${line.tag} (not legal)`]);
    if (choices.length !== $("tag").options.length || choices.length > this.tags.length + 1) options($("tag"), choices);
    $("tag").value = line?.tag ?? "";
  }

  fillWords(line) {
    const words = line?.words ?? [];
    const box = $("words");
    box.replaceChildren(...words.map((word, index) => {
      const option = make("span", word.probability !== null && word.probability < 0.5 ? "unsure" : "", word.word);
      option.id = `word-${index}`;
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", String(index === this.index));
      option.dataset.word = String(index);
      return option;
    }));
    if (!words.length) {
      const none = make("span", "soft", line ? "no word times" : "");
      none.setAttribute("role", "option");
      none.setAttribute("aria-disabled", "true");
      none.setAttribute("aria-selected", "false");
      box.append(none);
    }
    const word = this.word;
    if (word) {
      box.setAttribute("aria-activedescendant", `word-${this.index}`);
      reveal(box, box.children[this.index]);
    } else box.removeAttribute("aria-activedescendant");
    $("word-fields").classList.toggle("none", !word);
    for (const id of ["from", "to"]) $(id).disabled = !word || !this.writable;
    this.times(word?.start, word?.end, true);
    say($("sure"), word ? (word.probability === null || word.probability === undefined ? "" : `sure ${percent(word.probability)}`) : "no word chosen");
  }

  /** Show times of the line or the word, as they are or as they are being dragged. A field that is being typed in stays. */
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

  type(text) {
    const line = this.chosen;
    if (!line) return;
    clearTimeout(this.draft?.timer);
    if (text === line.text) { this.draft = null; this.hear.typed(); return; }
    this.draft = { line: line.id, text, timer: setTimeout(() => this.flush(), PAUSE) };
    this.hear.typed();
  }

  /** Whether there is something that is not on its way yet. */
  get unsaved() { return Boolean(this.draft || this.tag); }

  /** Save the draft and the chosen tag, if there are any. */
  flush() {
    const { tag } = this;
    if (tag) {
      clearTimeout(tag.timer);
      this.tag = null;
      this.hear.edit({ do: "tag", line: tag.line, tag: tag.value }, "the tag");
    }
    const { draft } = this;
    if (!draft) return;
    clearTimeout(draft.timer);
    this.draft = null;
    this.hear.edit({ do: "text", line: draft.line, text: draft.text.trim().replace(/\s*\n\s*/g, " ") }, "the text");
  }

  /** A text that was refused stays in its field, unsaved, to be mended. */
  refused({ do: kind, line, text }) {
    if (kind === "text" && line === this.line && !this.draft) this.draft = { line, text, timer: 0 };
    this.fill();
  }

  typedTime(field, edge, ofWord) {
    const region = ofWord ? this.word : this.chosen;
    const value = field.valueAsNumber;
    if (!region || Number.isNaN(value)) return;
    const times = { start: region.start, end: region.end, [edge]: tidy(value) };
    this.hear.edit(ofWord ? { do: "word", line: this.line, index: this.index, ...times } : { do: "times", line: this.line, ...times },
      `${edge === "start" ? "the start" : "the end"} of ${ofWord ? `“${region.word}”` : "the line"}`).then((item) => { if (!item) this.fill(); });
  }

  /** Put the next sign of punctuation after the chosen word, or after the line: none, full stop, comma, question, exclamation. */
  punctuate() {
    const line = this.chosen;
    if (!line) return;
    const signs = ["", ".", ",", "?", "!", "…"];
    const parts = (this.draft?.text ?? line.text ?? "").split(/(\s+)/);
    const spoken = parts.map((part, at) => at).filter((at) => parts[at].trim());
    const at = spoken[this.index >= 0 && spoken.length === line.words.length ? this.index : spoken.length - 1];
    if (at === undefined) return;
    const [, word, sign] = /^(.*?)([.,?!…]?)$/.exec(parts[at]);
    parts[at] = word + signs[(signs.indexOf(sign) + 1) % signs.length];
    $("text").value = parts.join("");
    announce(parts[at]);
    this.type($("text").value);
  }

  /** The text of the line without the chosen word. */
  withoutWord() {
    const line = this.chosen;
    const parts = (line.text ?? "").split(/\s+/).filter(Boolean);
    if (parts.length !== line.words.length) return null;
    parts.splice(this.index, 1);
    return parts.join(" ");
  }

  // The dialogue.

  row(line, index) {
    const row = make("div", `line ${line.channel === "right" ? "right" : "left"}`);
    row.id = `dialogue-${index}`;
    row.dataset.index = index;
    row.setAttribute("role", "option");
    row.setAttribute("aria-selected", "false");
    const [said, marks] = [make("span", line.text ? "said" : "said soft"), make("span", "marks")];
    if (line.tag) said.append(make("i", "", `(${line.tag}) `));
    said.append(line.text || "no words");
    const notes = [["suspect", "⚠", line.suspects.map((one) => one.why).join("\n")], ["soft", "✎", line.edited_by?.length && `edited by ${[line.edited_by].flat().join(", ")}`]];
    for (const [kind, sign, title] of notes) {
      if (!title) continue;
      const note = make("span", kind, sign);
      note.title = title;
      note.append(make("span", "hidden", ` ${title}`));
      marks.append(note);
    }
    row.append(make("span", "time figures", clock(line.start, 1)), make("span", "who", speakerOf(line)), said, marks);
    return row;
  }
}
