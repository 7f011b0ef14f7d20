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

export const counted = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

const storing = (storage) => ({
  read(name, otherwise) {
    try { return JSON.parse(storage().getItem(`dailytalk-review/${name}`)) ?? otherwise; } catch { return otherwise; }
  },
  write(name, value) {
    try { storage().setItem(`dailytalk-review/${name}`, JSON.stringify(value)); } catch { /* private or full */ }
  },
});

/** Of this window alone, over a reload. A browser that keeps nothing is no obstacle. */
export const keptHere = storing(() => sessionStorage);
const always = storing(() => localStorage);

/** Place, filters, speed, for the next time; what a window has of its own comes first. */
export const kept = {
  values: {},
  load(title) {
    this.title = title;
    this.values = { ...always.read(title, {}), ...keptHere.read("kept", {}) };
  },
  read(name, otherwise) { return this.values[name] ?? otherwise; },
  write(name, value) {
    this.values[name] = structuredClone(value);
    keptHere.write("kept", this.values);
    always.write(this.title, this.values);
  },
};

export const CHANNELS = ["left", "right"];

/**
 * Who says a line: the name of the speaker if there is one, else the side; `call/left` names a side of a recording.
 * Of a clip, whose one channel says nothing of who speaks, nobody.
 */
export const speakerOf = (line) => (line.speaker && !CHANNELS.includes(line.speaker.split("/").at(-1)) ? line.speaker : line.side ?? "");
