// The dialogs: keys, a conflict, whole text, discarding, proposals, progress, train and validation, one's name.

import { get } from "./api.js";
import { $, clock, counted, kept, make, options, percent, say, speakerOf } from "./page.js";

const open = (id) => { if (!$(id).open) $(id).showModal(); };

/** A table of rows, each a list of texts and numbers; the first row is the head. */
const table = (caption, [head, ...rows]) => {
  const made = make("table");
  made.append(make("caption", "", caption));
  const line = (cells, tag) => {
    const row = make("tr");
    cells.forEach((cell, place) => {
      const kind = tag === "th" || place === 0 ? "th" : "td";
      const element = make(kind, typeof cell === "number" ? "number" : "", typeof cell === "number" ? cell.toLocaleString("en", { maximumFractionDigits: 2 }) : String(cell ?? "–"));
      if (kind === "th") element.scope = tag === "th" ? "col" : "row";
      row.append(element);
    });
    return row;
  };
  made.append(line(head, "th"), ...rows.map((row) => line(row, "td")));
  return made;
};

export const shown = (value) => (value === null || value === undefined ? "–" : typeof value === "number" ? value
  : Array.isArray(value) ? value.map(shown).join(", ")
    : typeof value === "object" ? Object.entries(value).map(([key, item]) => `${key} ${shown(item)}`).join(" · ") : String(value));

// Keys.

const KEY_NAMES = { " ": "Space", ArrowDown: "↓", ArrowUp: "↑", ArrowLeft: "←", ArrowRight: "→", PageDown: "Page ↓", PageUp: "Page ↑", Delete: "Del" };
export const keyName = (key) => key.split("+").map((part) => KEY_NAMES[part] ?? part).join("+").replace(/\+$/, "+");

export const help = (actions) => {
  const groups = Map.groupBy ? Map.groupBy(actions, (action) => action.group) : actions.reduce((map, action) => map.set(action.group, [...(map.get(action.group) ?? []), action]), new Map());
  $("keys").replaceChildren(...[...groups].map(([name, list]) => {
    const section = make("section");
    const items = make("dl");
    for (const action of list) {
      const item = make("div");
      const keys = make("dt");
      for (const key of action.keys) keys.append(make("kbd", "", keyName(key)), " ");
      item.append(keys, make("dd", "", action.label));
      items.append(item);
    }
    section.append(make("h3", "", name), items);
    return section;
  }));
  $("with-alt").checked = kept.read("with-alt", false);
  open("dialog-help");
};

// A conflict: both states beside each other, and nothing is saved before the editor has chosen.

const state = (line, item) => {
  if (!line) return make("p", "soft", item ? "The line is no longer there." : "");
  const part = make("div", `state ${line.channel}`);
  part.append(make("p", "", line.text || "no words"));
  part.append(make("p", "soft figures", [speakerOf(line), `${line.start.toFixed(2)} to ${line.end.toFixed(2)} s`, line.tag && `(${line.tag})`].filter(Boolean).join(" · ")));
  return part;
};

const CHANGES = { text: "text", start: "start", end: "end", tag: "tag", value: "value", index: "word", at: "at", with: "with", channel: "channel" };

// A word's text and times are no line's.
const pick = (action, names, kind) => (["text", "times", "tag"].includes(kind)
  ? Object.fromEntries(names.filter((name) => name in action).map((name) => [name, action[name]])) : {});

// Escape chooses nothing: what is mine is not thrown away by a key that means "not now".
$("dialog-conflict").addEventListener("cancel", (event) => event.preventDefault());

/** Resolves to whether the editor's own edit is saved over the newer state of `answer`. */
export const conflict = (entry, answer) => {
  const { action } = entry;
  const when = answer.time ? ` at ${new Date(answer.time).toLocaleTimeString()}` : "";
  say($("conflict-about"), `${answer.author} edited ${entry.id}${when}, after the state that you saw. You changed ${entry.about}.`);
  const { lines } = answer.item;
  $("newer").replaceChildren(action.line ? state(lines.find((one) => one.id === action.line), answer.item) : make("p", "", lines.map((one) => one.text).join("\n")));
  const mine = action.line ? state(entry.line && { ...entry.line, ...pick(action, ["text", "start", "end", "tag"], action.do) }) : make("div");
  const changed = make("dl");
  for (const [name, title] of Object.entries(CHANGES)) {
    if (name in action) changed.append(make("dt", "", title), make("dd", "", shown(action[name])));
  }
  mine.append(changed);
  $("mine").replaceChildren(mine);
  open("dialog-conflict");
  return new Promise((done) => {
    for (const [id, isMine] of [["keep-newer", false], ["keep-mine", true]]) {
      $(id).onclick = () => { $("dialog-conflict").close(); done(isMine); };
    }
  });
};

/** Another program has written a file: take over its state, or keep ours. Escape puts the choice off. */
export const changed = (file, decide) => {
  say($("changed-about"), `${file} is no longer as it was read here. Both states are kept, the one that you don't choose beside the other.`);
  say($("changed-problem"), "");
  for (const [id, mine] of [["keep-theirs", false], ["keep-ours", true]]) {
    $(id).onclick = async () => {
      try {
        await decide(mine);
        $("dialog-changed").close();
      } catch (error) { say($("changed-problem"), error.message); }
    };
  }
  open("dialog-changed");
};

// The whole text, a line of text a line.

export const whole = (item, save) => {
  const box = $("whole");
  box.value = item.lines.map((line) => line.text ?? "").join("\n");
  say($("whole-problem"), "");
  const where = () => {
    const number = box.value.slice(0, box.selectionStart).split("\n").length;
    const line = item.lines[number - 1];
    say($("whole-where"), line ? `Line ${number} of ${item.lines.length}: ${[speakerOf(line), clock(line.start, 1)].filter(Boolean).join(", ")}` : `Line ${number}: new`);
  };
  box.onkeyup = box.onclick = where;
  where();
  $("whole-save").onclick = async () => {
    const text = box.value;
    $("dialog-whole").close();
    const edited = await save(text);
    if (edited) return;
    open("dialog-whole"); // what was typed is still in the box
    say($("whole-problem"), "This was not saved.");
  };
  box.onkeydown = (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); $("whole-save").click(); } };
  open("dialog-whole");
  box.focus();
};

// Discarding many.

/** @param {(path: string, body: object) => Promise<string[]>} move discards or restores, and gives the ids. */
export const discard = (listed, move) => {
  const [kept, gone] = [false, true].map((wanted) => listed.filter((item) => Boolean(item.discarded) === wanted).map((item) => item.id));
  const buttons = [["discard-listed", "Discard", "discard", kept], ["restore-listed", "Restore", "restore", gone]];
  const run = async (path, body) => {
    try {
      const ids = await move(path, body);
      say($("discard-result"), `${counted(ids.length, "item")} ${path === "restore" ? "restored" : "discarded"}.`);
      for (const [id] of buttons) $(id).disabled = true;
    } catch (error) { say($("discard-result"), error.message); }
  };
  say($("discard-result"), "");
  for (const [id, verb, path, names] of buttons) {
    say($(id), `${verb} ${counted(names.length, "item")}`);
    $(id).disabled = !names.length;
    $(id).onclick = () => run(path, { names });
  }
  $("discard-range").onclick = () => {
    const [first, last] = [$("first"), $("last")].map((field) => field.valueAsNumber);
    if (Number.isNaN(first)) say($("discard-result"), "Give the first number.");
    else run("discard-range", { first, last: Number.isNaN(last) ? first : last });
  };
  open("dialog-discard");
};

// Asking again.

export const ask = (choose) => {
  for (const button of document.querySelectorAll("[data-ask]")) {
    button.onclick = () => { $("dialog-ask").close(); choose(button.dataset.ask); };
  }
  $("dialog-ask").onkeydown = (event) => {
    const button = document.querySelectorAll("[data-ask]")[Number(event.key) - 1];
    if (!button) return;
    event.preventDefault(); // the same number is a key of the page
    button.click();
  };
  open("dialog-ask");
};

/** Show a proposal under the line: what is, what is proposed; or that it is on its way, or why there is none. */
export const proposal = (line, answer, { accept, reject }) => {
  const box = $("proposal");
  box.hidden = false;
  if (typeof answer === "string") { box.replaceChildren(make("p", "", answer)); return; }
  const list = make("dl");
  /** What is and what is proposed; what stays as it is, once. */
  const pair = (name, now, value) => {
    const row = make("span", "pair", name ? `${name.replaceAll("_", " ")} ` : "");
    const same = String(shown(now ?? "")) === String(shown(value ?? ""));
    if (now !== undefined && now !== null && now !== "" && !same) row.append(make("del", "", String(shown(now))), " ");
    row.append(make(same ? "span" : "ins", "", String(shown(value) || "none")));
    return row;
  };
  for (const [name, value] of Object.entries(answer.proposal)) {
    if (name === "words") continue; // they belong to the text
    const told = make("dd");
    const parts = value && typeof value === "object" && !Array.isArray(value) ? Object.entries(value).map(([key, part]) => pair(key, line[name]?.[key], part)) : [pair("", line[name], value)];
    told.append(...parts.flatMap((part, place) => (place ? [" · ", part] : [part])));
    list.append(make("dt", "", name.replaceAll("_", " ")), told);
  }
  const buttons = make("div", "controls");
  const button = (text, key, act, name) => {
    const made = make("button", name, `${text} `);
    made.type = "button";
    made.append(make("kbd", "", key));
    made.addEventListener("click", act);
    buttons.append(made);
    return made;
  };
  if (accept) button("Accept", "y", accept, "main").id = "accept";
  button("Reject", "Esc", reject, "").id = "reject";
  box.replaceChildren(make("h3", "", "Proposal"), list, ...(accept ? [] : [make("p", "soft", "Nothing of this can be written here.")]), buttons);
};

// Progress, sides, name.

export const progress = async () => {
  $("progress").replaceChildren(make("p", "soft", "Counting…"));
  open("dialog-progress");
  try {
    const answer = await get("api/progress");
    const bar = make("progress");
    bar.max = Math.max(1, answer.items);
    bar.value = answer.reviewed;
    bar.setAttribute("aria-label", "Reviewed");
    const sentence = `${answer.reviewed.toLocaleString("en")} of ${counted(answer.items, "item")} reviewed (${percent(answer.reviewed / Math.max(1, answer.items))})`;
    const people = answer.authors.map((one) => [one.author, one.reviewed, one.corrections, one.discarded]);
    $("progress").replaceChildren(make("p", "big", sentence), bar,
      make("p", "", `${answer.hours_reviewed} of ${answer.hours} hours reviewed; ${counted(answer.discarded, "item")} discarded.`),
      table("people", [["who", "reviewed", "corrections", "discarded"], ...people]));
  } catch (error) { $("progress").replaceChildren(make("p", "", error.message)); }
};

export const sides = (apply) => {
  $("apply-sides").hidden = $("undo-sides").hidden = true;
  say($("sides-done"), "");
  const show = (answer) => {
    const { warnings, seconds, share, undecided } = answer;
    const parts = [make("p", "big", share === null ? "Nothing is divided yet." : `${percent(share)} of the time is validation.`)];
    if (undecided) parts.push(make("p", "soft", `${counted(undecided, "item")} on neither side.`));
    if (warnings.length) {
      const list = make("ul", "warnings");
      list.append(...warnings.map((warning) => make("li", "", warning)));
      parts.push(make("h3", "", "Warnings"), list);
    } else if (share !== null) parts.push(make("p", "soft", "No speaker and no short sentence is on both sides."));
    const rows = ["train", "validation"].map((side) => [side, answer[side].length, seconds[side]]);
    $("sides").replaceChildren(...parts, table("sides", [["side", "items", "seconds"], ...rows]));
  };
  const load = async (work) => {
    $("sides").replaceChildren(make("p", "soft", "Counting…"));
    try {
      const answer = await work();
      show(answer);
      return answer;
    } catch (error) { $("sides").replaceChildren(make("p", "", error.message)); return null; }
  };
  /** Use a division, and offer to take it back: undo alone would be a key for each of thousands of items. */
  const use = async (division, since, back) => {
    $("apply-sides").hidden = $("undo-sides").hidden = true;
    let before = null;
    const now = await load(async () => { before = await apply(division, since); return get("api/sides"); });
    const count = Object.keys(before ?? {}).length;
    if (!now || !count) return;
    say($("sides-done"), `${counted(count, "item")} ${back ? "put back" : "moved"}.`);
    say($("undo-sides"), "Take that back");
    $("undo-sides").hidden = false;
    $("undo-sides").onclick = () => use(before, now.number, !back);
  };
  $("propose").onclick = async () => {
    say($("sides-done"), "");
    $("undo-sides").hidden = true;
    const answer = await load(() => get("api/sides", { by: $("divide-by").value, share: $("share").valueAsNumber, seed: $("seed").valueAsNumber }));
    $("apply-sides").hidden = !answer;
    $("apply-sides").onclick = () => use(Object.fromEntries(["train", "validation"].flatMap((side) => answer[side].map((id) => [id, side]))), answer.number, false);
  };
  open("dialog-sides");
  load(() => get("api/sides"));
};

export const author = (name, change) => {
  $("author-name").value = name ?? "";
  $("author-form").onsubmit = () => { change($("author-name").value.trim()); };
  open("dialog-author");
  $("author-name").select();
};
