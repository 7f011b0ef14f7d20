// What every part of the page uses: elements, texts, times. Texts of the data come into the page by `make` and `say`
// alone, as text.

export const $ = (id) => document.getElementById(id);

export const make = (tag, name = "", text = undefined) => {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  return element;
};

export const say = (element, text) => { if (element.textContent !== text) element.textContent = text; };

/** Tell whoever can't see the page. Each sentence is an element, so that one does not take the place of another. */
export const announce = (text) => {
  $("live").append(make("p", "", text));
  while ($("live").children.length > 4) $("live").firstChild.remove();
};

export const press = (element, pressed) => element.setAttribute("aria-pressed", String(pressed));

export const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

/** Seconds to the millisecond, as files have them. */
export const tidy = (seconds) => Math.round(seconds * 1000) / 1000;

export const clock = (exact, digits = 0) => {
  const seconds = Number(exact.toFixed(digits));
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) - 60 * hours;
  const rest = (seconds - 3600 * hours - 60 * minutes).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
};

export const percent = (share) => `${Math.round(100 * share)} %`;

export const counted = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

/** Put options into a select; each is a text or [value, text]. The value that was chosen stays if it is there. */
export const options = (select, choices) => {
  const chosen = select.value;
  select.replaceChildren(...choices.map((choice) => {
    const [value, text] = Array.isArray(choice) ? choice : [choice, choice];
    const option = make("option", "", text);
    option.value = value;
    return option;
  }));
  if ([...select.options].some((option) => option.value === chosen)) select.value = chosen;
};

// What a browser keeps of this page. One that keeps nothing is no obstacle.
const keeper = (store) => ({
  read(name, otherwise) {
    try { return JSON.parse(store().getItem(`dailytalk-review/${name}`)) ?? otherwise; } catch { return otherwise; }
  },
  write(name, value) {
    try { store().setItem(`dailytalk-review/${name}`, JSON.stringify(value)); } catch { /* private or full */ }
  },
});

/** Place, filters, speed: for all windows, and the next time. */
export const kept = keeper(() => localStorage);

/** Edits on their way: of this window alone, or another one would send them, too. A reload keeps them. */
export const keptHere = keeper(() => sessionStorage);

export const CHANNELS = ["left", "right"];

/**
 * Who says a line: the name of the speaker if there is one, else the side; `call/left` names a side of a recording.
 * Of a clip, whose one channel says nothing of who speaks, nobody.
 */
export const speakerOf = (line) => (line.speaker && !CHANNELS.includes(line.speaker.split("/").at(-1)) ? line.speaker : line.side ?? "");
