// What every part of the page uses: elements, texts, times.

import { $, make } from "./elements.js";

export * from "./elements.js";

/** Tell whoever can't see the page. Each sentence is an element, so that one does not take the place of another. */
export const announce = (text) => {
  $("live").append(make("p", "", text));
  while ($("live").children.length > 4) $("live").firstChild.remove();
};

export const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

/** Seconds to the millisecond, as files have them. */
export const tidy = (seconds) => Math.round(seconds * 1000) / 1000;

export const clock = (exact, digits = 0) => {
  const seconds = Number(exact.toFixed(digits));
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
  const rest = (seconds % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
};

export const percent = (share) => `${Math.round(100 * share)} %`;

/** A message of the server as a sentence: its first letter is a capital. */
export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

export const counted = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

/** What this page keeps in the browser. A browser that keeps nothing is no obstacle. */
const stored = (storage, name) => ({
  read() {
    try { return JSON.parse(storage().getItem(`dailytalk-review/${name}`)); } catch { return null; }
  },
  write(value) {
    try { storage().setItem(`dailytalk-review/${name}`, JSON.stringify(value)); } catch { /* private or full */ }
  },
});

/** Edits on their way, of this window alone, over a reload. */
export const outbox = stored(() => sessionStorage, "outbox");

/** Place, filters, speed, for the next time. */
export const kept = {
  load(title) {
    this.store = stored(() => localStorage, title);
    this.values = this.store.read() ?? {};
  },
  read(name, otherwise) { return this.values[name] ?? otherwise; },
  write(name, value) { this.store.write(Object.assign(this.values, { [name]: structuredClone(value) })); },
};

/** Scroll a box, and nothing around it, so that a row of it is in view. */
export const reveal = (box, row) => {
  if (!row) return;
  const [top, bottom] = [row.offsetTop, row.offsetTop + row.offsetHeight];
  if (top < box.scrollTop) box.scrollTop = top - 4;
  else if (bottom > box.scrollTop + box.clientHeight) box.scrollTop = Math.min(top, bottom - box.clientHeight + 4);
};

export const CHANNELS = ["left", "right"];

/**
 * Who says a line: the name of the speaker if there is one, else the side; `call/left` names a side of a recording.
 * Of a clip, whose one channel says nothing of who speaks, nobody.
 */
export const speakerOf = (line) => (line.speaker && !CHANNELS.includes(line.speaker.split("/").at(-1)) ? line.speaker : line.side ?? "");
