// The dialogs: keys, a file that was changed, the whole text, discarding a range.

import { $, counted, make, say, sentence } from "./page.js";

const open = (id) => { if (!$(id).open) $(id).showModal(); };

const KEY_NAMES = { " ": "Space", ArrowDown: "↓", ArrowUp: "↑", ArrowLeft: "←", ArrowRight: "→", PageDown: "Page ↓", PageUp: "Page ↑", Delete: "Del" };
export const keyName = (key) => key.split(/\+(?=.)/).map((part) => KEY_NAMES[part] ?? part).join("+");

/** All keys, by their groups; made once. */
export const help = (actions) => {
  let last = null;
  for (const { group, keys, label } of $("keys").children.length ? [] : actions) {
    if (group !== last) $("keys").append(make("h3", "", group));
    last = group;
    const [item, names] = [make("p"), make("span")];
    for (const key of keys) names.append(make("kbd", "", keyName(key)), " ");
    item.append(names, make("span", "", label));
    $("keys").append(item);
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
  $("whole-save").onclick = async () => {
    if (await save(box.value)) $("dialog-whole").close();
    else say($("whole-problem"), $("notice").textContent);
  };
  open("dialog-whole");
  box.focus();
};

/** The number that was typed. Throws an Error with a sentence for anything else. */
const typedNumber = (text) => {
  const number = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(number)) return number;
  if (/^\d+$/.test(text)) throw new Error(`${text} has too many digits: write at most 15.`);
  throw new Error(text ? `“${text}” is no number: write digits alone, such as 12.` : "Write the first number of the range, and the last: the same one for one item.");
};

/** Discard a range, by the numbers in the names; `run` resolves to how many were. */
export const discard = (run) => {
  say($("discard-result"), "");
  $("range").onsubmit = async (event) => {
    event.preventDefault();
    try {
      const [first, last] = [$("first").value.trim(), $("last").value.trim()];
      const count = await run({ first: typedNumber(first), last: typedNumber(last) });
      say($("discard-result"), `${counted(count, "item")} discarded.`);
    } catch (error) { say($("discard-result"), sentence(error.message)); }
  };
  open("dialog-discard");
};
