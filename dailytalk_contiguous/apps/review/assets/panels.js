// The dialogs: keys, a file that was changed, the whole text, discarding a range.

import { $, clock, counted, make, say, speakerOf } from "./page.js";

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
  open("dialog-help");
};

/** Another program has written a file: take over its state, or keep ours. Escape puts the choice off. */
export const changed = (file, decide) => {
  say($("changed-about"), `${file} is no longer as it was read here. Both states are kept, the one that you don't choose beside the other.`);
  say($("changed-problem"), "");
  for (const [id, isMine] of [["keep-theirs", false], ["keep-ours", true]]) {
    $(id).onclick = async () => {
      try {
        await decide(isMine);
        $("dialog-changed").close();
      } catch (error) { say($("changed-problem"), error.message); }
    };
  }
  open("dialog-changed");
};

/** The whole text, a line of text a line. */
export const whole = (item, save) => {
  const box = $("whole");
  box.value = item.lines.map((line) => line.text ?? "").join("\n");
  say($("whole-problem"), "");
  box.onkeyup = box.onclick = () => {
    const number = box.value.slice(0, box.selectionStart).split("\n").length;
    const line = item.lines[number - 1];
    say($("whole-where"), line ? [`Line ${number}`, speakerOf(line), clock(line.start, 1)].filter(Boolean).join(", ") : `Line ${number} is one too many`);
  };
  $("whole-save").onclick = async () => {
    if (await save(box.value)) $("dialog-whole").close();
    else say($("whole-problem"), "This was not saved: it needs one line of text for each line that is spoken.");
  };
  open("dialog-whole");
  box.focus();
  box.onclick();
};

/** Discard a range, by the numbers in the names; `run` resolves to the ids. */
export const discard = (run) => {
  say($("discard-result"), "");
  $("range").onsubmit = async (event) => {
    event.preventDefault();
    const first = $("first").valueAsNumber;
    try {
      const ids = await run({ first, last: $("last").value ? $("last").valueAsNumber : first });
      say($("discard-result"), `${counted(ids.length, "item")} discarded.`);
    } catch (error) { say($("discard-result"), error.message); }
  };
  open("dialog-discard");
};
