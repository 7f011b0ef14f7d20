// Edits on their way to the file. One goes at a time; the rest wait in order, also in the window's store, so that
// a reload or a server that was killed loses none. `saved` is said only when the server has answered, which it does
// after fsync. An edit that was made on an older state of an item comes back: if what it changes is still as the
// editor saw it, it is sent again; else the page shows both and the editor chooses.

import { keptHere } from "./page.js";
import { post } from "./api.js";

const RETRY = 3000; // ms

export class Saver {
  /**
   * @param {object} hear
   *   state(name, sentence): saved, saving, failed (will be tried again) or refused.
   *   item(item): the state after an edit. conflict(entry, newer, answer), rejected(entry, error).
   *   changed(answer): another program has written the file; the edit waits for `retry`.
   */
  constructor(hear) {
    this.hear = hear;
    this.queue = keptHere.read("outbox", []);
    this.busy = false;
    this.failed = false;
    this.timer = 0;
  }

  get pending() { return this.queue.length; }

  waits(id) { return this.queue.some((entry) => entry.id === id); }

  /**
   * @param {object} item as the editor sees it.
   * @param {object} action of the server's contract.
   * @param {string} about a few words for a conflict.
   * @returns {Promise<object|null>} the item after the edit; null if it was refused.
   */
  edit(item, action, about) {
    const line = item.lines.find((one) => one.id === action.line) ?? null;
    const entry = { id: item.id, base: item.base, action, about, line: line && structuredClone(line) };
    return new Promise((done) => {
      this.queue.push(Object.defineProperty(entry, "done", { value: done }));
      this.keep();
      this.run();
    });
  }

  keep() { keptHere.write("outbox", this.queue); }

  retry() {
    clearTimeout(this.timer);
    this.failed = false;
    return this.run();
  }

  async run() {
    if (this.busy || this.failed) return;
    this.busy = true;
    try {
      while (this.queue.length && !this.failed) {
        this.hear.state("saving");
        await this.send(this.queue[0]);
      }
    } finally {
      this.busy = false; // also after an error of the page: later edits are sent all the same
    }
    if (!this.queue.length && !this.failed) this.hear.settled?.();
  }

  async send(entry) {
    try {
      const { item } = await post("api/edit", { name: entry.id, base: entry.base, action: entry.action });
      // Edits that wait were made on what this one has just become.
      for (const later of this.queue) if (later !== entry && later.id === entry.id && later.base === entry.base) later.base = item.base;
      this.leave(entry, item);
      if (!this.waits(entry.id)) this.hear.item(item);
      this.hear.state("saved");
    } catch (error) {
      if (error.answer?.changed) {
        this.failed = true;
        this.hear.state("refused", error.message);
        this.hear.changed(error.answer);
      } else if (error.status === 409) this.stale(entry, error.answer);
      else if (error.passes) this.wait(error);
      else if (error.status) {
        this.leave(entry, null);
        this.hear.state("refused", error.message);
        this.hear.rejected(entry, error);
      } else throw error;
    }
  }

  leave(entry, item) {
    this.queue.splice(this.queue.indexOf(entry), 1);
    this.keep();
    entry.done?.(item);
  }

  wait(error) {
    this.failed = true;
    this.hear.state("failed", error.message);
    this.timer = setTimeout(() => this.retry(), RETRY);
  }

  stale(entry, answer) {
    const newer = answer.item;
    const line = newer.lines.find((one) => one.id === entry.action.line);
    if (isThere(entry.action, line, newer)) {
      this.leave(entry, newer);
      this.hear.item(newer);
      this.hear.state("saved");
    } else if (entry.line && line && same(entry.line, line)) {
      entry.base = newer.base;
      this.keep();
    } else {
      this.leave(entry, null);
      this.hear.state("refused", "Someone changed this before you");
      this.hear.conflict(entry, newer, answer);
    }
  }
}

/** An edit whose answer was lost, because the server was killed after writing it, is in the state already. */
const isThere = (action, line, item) => {
  if (action.do === "text") return line?.text === action.text;
  if (action.do === "tag") return line?.tag === action.tag;
  if (action.do === "times") return Boolean(line) && near(line.start, action.start) && near(line.end, action.end);
  if (action.do === "delete") return !line;
  if (action.do === "side") return item.side === action.value;
  if (action.do === "reviewed") return Boolean(item.reviewed) === action.value;
  return false;
};

const near = (a, b) => Math.abs(a - b) < 0.002;

const SEEN = ["channel", "start", "end", "text", "tag", "words"];
const same = (a, b) => SEEN.every((name) => JSON.stringify(a[name]) === JSON.stringify(b[name]));
