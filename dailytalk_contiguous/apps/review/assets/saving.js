// Edits on their way to the file. One goes at a time; the rest wait in order, also in the window's store, so that
// a reload or a server that was killed loses none. `saved` is said only when the server has answered, which it does
// after fsync. An edit that was made on an older state of an item comes back: if the line is still as the editor
// saw it, it is sent again; else the page shows the newer state, and a text stays in its field, unsaved.

import { post } from "./api.js";
import { outbox } from "./page.js";

const RETRY = 3000; // ms

/** What the editor sees of a line. */
const SEEN = ["channel", "start", "end", "text", "tag", "words"];

export class Saver {
  /**
   * @param {object} hear
   *   state(name, sentence): saved, saving, failed (will be tried again) or refused. item(item): its newer state.
   *   rejected(entry). changed(answer): another program has written the file; the edit waits for `retry`.
   */
  constructor(hear) {
    Object.assign(this, { hear, queue: outbox.read() ?? [], running: null, failed: false, timer: 0 });
  }

  get pending() { return this.queue.length; }

  /** Save an action of the server's contract. Resolves to the item, or null if it was refused. */
  edit(item, action) {
    const line = item.lines.find((one) => one.id === action.line) ?? null;
    const entry = { id: item.id, base: item.base, action, line: structuredClone(line) };
    return new Promise((done) => {
      this.queue.push(Object.defineProperty(entry, "done", { value: done }));
      this.retry();
    });
  }

  /** Send what waits; resolves once nothing does, or it failed. */
  retry() {
    clearTimeout(this.timer);
    this.failed = false;
    outbox.write(this.queue);
    this.running ??= this.sendAll().finally(() => { this.running = null; });
    return this.running;
  }

  async sendAll() {
    while (this.queue.length && !this.failed) {
      this.hear.state("saving");
      await this.send(this.queue[0]);
    }
  }

  async send(entry) {
    try {
      const item = await post("api/edit", { name: entry.id, base: entry.base, action: entry.action });
      // Edits that wait were made on what this one has just become.
      for (const later of this.queue.slice(1)) {
        if (later.id === entry.id && later.base === entry.base) later.base = item.base;
      }
      this.leave(entry, item);
    } catch (error) {
      if (!error.answer) throw error;
      const { item: newer, changed } = error.answer;
      if (error.passes || changed) {
        this.failed = true;
        this.hear.state(error.passes ? "failed" : "refused", error.message);
        if (changed) this.hear.changed(error.answer);
        else this.timer = setTimeout(() => this.retry(), RETRY);
      } else if (newer && this.goesOn(entry, newer)) outbox.write(this.queue);
      else {
        this.leave(entry, null);
        if (newer) this.hear.item(newer);
        this.hear.state("refused", error.message);
        this.hear.rejected(entry);
      }
    }
  }

  leave(entry, item) {
    this.queue.splice(this.queue.indexOf(entry), 1);
    outbox.write(this.queue);
    entry.done?.(item);
    if (item && !this.queue.some(({ id }) => id === entry.id)) this.hear.item(item);
    if (item) this.hear.state("saved");
  }

  /** Whether an edit of an older state is in the newer one already, or can be sent again. Those that wait go with it. */
  goesOn(entry, newer) {
    const line = newer.lines.find((one) => one.id === entry.action.line);
    const waiting = this.queue.filter(({ id }) => id === entry.id);
    if (isThere(entry.action, line, newer)) {
      for (const later of waiting) if (later.action.line === entry.action.line) later.line = structuredClone(line ?? null);
      this.leave(entry, newer);
      return true;
    }
    const same = waiting.filter((edit) => isSeen(edit.line, newer.lines.find((one) => one.id === edit.action.line)));
    for (const edit of same) edit.base = newer.base;
    return same.includes(entry);
  }
}

/** Whether a line is still as the editor saw it. */
const isSeen = (seen, line) => Boolean(seen && line) && SEEN.every((name) => JSON.stringify(seen[name]) === JSON.stringify(line[name]));

/** An edit whose answer was lost, because the server was killed after writing it, is in the state already. */
const isThere = ({ do: kind, ...action }, line, item) => {
  if (kind === "text" || kind === "tag") return line?.[kind] === action[kind];
  if (kind === "times") return ["start", "end"].every((edge) => Math.abs(line?.[edge] - action[edge]) < 0.002);
  if (kind === "delete") return !line;
  return kind === "reviewed" && item.reviewed === action.value;
};
