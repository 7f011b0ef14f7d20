// The dialogs: keys, a conflict, a file that was changed, whole text, discarding, progress, one's name.

import { text as fetched } from "./api.js";
import { $, clock, counted, kept, make, say, speakerOf } from "./page.js";

const open = (id) => { if (!$(id).open) $(id).showModal(); };

const KEY_NAMES = { " ": "Space", ArrowDown: "↓", ArrowUp: "↑", ArrowLeft: "←", ArrowRight: "→", PageDown: "Page ↓", PageUp: "Page ↑", Delete: "Del" };
export const keyName = (key) => key.split(/\+(?=.)/).map((part) => KEY_NAMES[part] ?? part).join("+");

/** All keys, by their groups; made once. */
export const help = (actions) => {
  for (const { group, keys, label } of $("keys").children.length ? [] : actions) {
    let section = [...$("keys").children].find((part) => part.firstChild.textContent === group);
    if (!section) {
      section = make("section");
      section.append(make("h3", "", group), make("dl"));
      $("keys").append(section);
    }
    const [item, names] = [make("div"), make("dt")];
    for (const key of keys) names.append(make("kbd", "", keyName(key)), " ");
    item.append(names, make("dd", "", label));
    section.lastChild.append(item);
  }
  $("with-alt").checked = kept.read("with-alt", false);
  open("dialog-help");
};

/** Put off a choice between two buttons: resolves to whether it was the second. */
const choice = (first, second) => new Promise((done) => {
  for (const [id, isSecond] of [[first, false], [second, true]]) $(id).onclick = () => done(isSecond);
});

// A conflict: both states beside each other. Escape chooses nothing: what is mine is not thrown away by a key that
// means "not now".
$("dialog-conflict").addEventListener("cancel", (event) => event.preventDefault());

const state = (line) => {
  if (!line) return make("p", "soft", "The line is no longer there.");
  const part = make("div", `state ${line.channel}`);
  const facts = [speakerOf(line), `${line.start.toFixed(2)} to ${line.end.toFixed(2)} s`, line.tag && `(${line.tag})`];
  part.append(make("p", "", line.text || "no words"), make("p", "soft figures", facts.filter(Boolean).join(" · ")));
  return part;
};

/** Resolves to whether the editor's own edit is saved over the newer state of `answer`. */
export const conflict = async ({ id, about, action, line }, answer) => {
  const when = answer.time ? ` at ${new Date(answer.time).toLocaleTimeString()}` : "";
  say($("conflict-about"), `${answer.author} edited ${id}${when}, after the state that you saw. You changed ${about}.`);
  const { lines } = answer.item;
  const whole = make("p", "", lines.map((one) => one.text).join("\n"));
  $("newer").replaceChildren(action.line ? state(lines.find((one) => one.id === action.line)) : whole);
  const { do: kind, ...changed } = action;
  const isOfLine = ["text", "times", "tag"].includes(kind);
  $("mine").replaceChildren(isOfLine && line ? state({ ...line, ...changed }) : make("p", "", action.text ?? about));
  open("dialog-conflict");
  const isMine = await choice("keep-newer", "keep-mine");
  $("dialog-conflict").close();
  return isMine;
};

/** Another program has written a file: take over its state, or keep ours. Escape puts the choice off. */
export const changed = async (file, decide) => {
  say($("changed-about"), `${file} is no longer as it was read here. Both states are kept, the one that you don't choose beside the other.`);
  say($("changed-problem"), "");
  open("dialog-changed");
  while ($("dialog-changed").open) {
    const isMine = await choice("keep-theirs", "keep-ours");
    try {
      await decide(isMine);
      $("dialog-changed").close();
    } catch (error) { say($("changed-problem"), error.message); }
  }
};

/** The whole text, a line of text a line. */
export const whole = (item, save) => {
  const box = $("whole");
  box.value = item.lines.map((line) => line.text ?? "").join("\n");
  say($("whole-problem"), "");
  box.onkeyup = box.onclick = () => {
    const number = box.value.slice(0, box.selectionStart).split("\n").length;
    const line = item.lines[number - 1];
    const where = line && [speakerOf(line), clock(line.start, 1)].filter(Boolean).join(", ");
    say($("whole-where"), line ? `Line ${number} of ${item.lines.length}: ${where}` : `Line ${number}: new`);
  };
  $("whole-save").onclick = async () => {
    $("dialog-whole").close();
    if (await save(box.value)) return;
    open("dialog-whole"); // what was typed is still in the box
    say($("whole-problem"), "This was not saved.");
  };
  open("dialog-whole");
  box.focus();
  box.onclick();
};

/**
 * Discard what the list shows, or a range.
 * @param {(path: string, body: object) => Promise<string[]>} move discards or restores, and gives the ids.
 */
export const discard = (listed, move) => {
  const run = async (path, body) => {
    try {
      const ids = await move(path, body);
      say($("discard-result"), `${counted(ids.length, "item")} ${path === "restore" ? "restored" : "discarded"}.`);
    } catch (error) { say($("discard-result"), error.message); }
  };
  say($("discard-result"), "");
  for (const [path, verb, isGone] of [["discard", "Discard", false], ["restore", "Restore", true]]) {
    const [button, names] = [$(`${path}-listed`), listed.filter((item) => item.discarded === isGone).map((item) => item.id)];
    say(button, `${verb} ${counted(names.length, "item")}`);
    button.disabled = !names.length;
    button.onclick = () => {
      button.disabled = true;
      run(path, { names });
    };
  }
  $("range").onsubmit = (event) => {
    event.preventDefault();
    const first = $("first").valueAsNumber;
    run("discard-range", { first, last: $("last").value ? $("last").valueAsNumber : first });
  };
  open("dialog-discard");
};

export const progress = async () => {
  $("progress").innerHTML = await fetched("api/progress"); // every value in it is escaped by the server
  open("dialog-progress");
};

export const author = (name, change) => {
  $("author-name").value = name ?? "";
  $("author-form").onsubmit = () => change($("author-name").value.trim());
  open("dialog-author");
  $("author-name").select();
};
