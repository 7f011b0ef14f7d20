"use strict";
const test = JSON.parse(document.getElementById("test").textContent);
const get = (id) => document.getElementById(id);
const groups = [
  { name: "emotion", title: "Which emotion?", values: test.emotions, keys: "1234567890" },
  { name: "style", title: "How is it said?", values: test.styles, keys: "qwer" },
  { name: "confidence", title: "How sure are you?", values: ["guessing", "fairly sure", "certain"], keys: "asd" },
];
let listener = "";
let answers = {};
let at = 0;

// One machine may serve several people: what is kept is one listener's, and nobody else is shown it.
const store = () => `listening test ${test.test} of ${listener}`;
// Some browsers keep nothing for pages on a disk; then only the saved file keeps the answers.
const remember = () => {
  try {
    localStorage.setItem(store(), JSON.stringify({ answers, at }));
  } catch {
    get("forgets").hidden = false;
  }
};
const recall = () => {
  try {
    return JSON.parse(localStorage.getItem(store()));
  } catch {
    get("forgets").hidden = false;
    return null;
  }
};

const form = get("choices");
for (const group of groups) {
  const set = form.appendChild(document.createElement("fieldset"));
  set.appendChild(document.createElement("legend")).textContent = group.title;
  group.values.forEach((value, index) => {
    const label = set.appendChild(document.createElement("label"));
    label.className = "choice";
    const input = label.appendChild(document.createElement("input"));
    Object.assign(input, { type: "radio", name: group.name, value });
    const said = label.appendChild(document.createElement("span"));
    said.appendChild(document.createElement("kbd")).textContent = (group.keys[index] || "").toUpperCase();
    said.append(value);
  });
}

const sound = get("sound");
const play = () => {
  sound.currentTime = 0;
  sound.play().catch(() => {});  // a browser that plays nothing by itself: a key does
};

const chosen = (name) => form.querySelector(`input[name="${name}"]:checked`)?.value || null;
const refresh = () => {
  const ready = groups.every((group) => chosen(group.name));
  get("next").disabled = !ready;
};
const show = () => {
  const clip = test.clips[at];
  const over = at >= test.clips.length;
  get("rate").hidden = over;
  get("end").hidden = !over;
  const count = Object.keys(answers).length;
  if (over) {
    sound.pause();
    get("sum").textContent = `Thank you: ${count} of ${test.clips.length} clips rated.`;
    get("download").focus();
    return;
  }
  get("where").textContent = `Clip ${at + 1} of ${test.clips.length}`;
  get("done").value = at / test.clips.length;
  get("back").disabled = at === 0;
  sound.pause();
  sound.src = `data:audio/mpeg;base64,${clip.sound}`;
  for (const input of form.querySelectorAll("input")) {
    input.checked = answers[clip.id]?.[input.name] === input.value;
  }
  refresh();
  play();
};
const go = (to) => { at = Math.min(Math.max(0, to), test.clips.length); remember(); show(); };
const keep = () => {
  answers[test.clips[at].id] = Object.fromEntries(groups.map((group) => [group.name, chosen(group.name)]));
};
const next = () => { if (!get("next").disabled) { keep(); go(at + 1); } };
const skip = () => { delete answers[test.clips[at].id]; go(at + 1); };
const save = () => {
  const told = { kind: test.kind, test: test.test, listener, saved: new Date().toISOString(), answers };
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(told, null, 1) + "\n"], { type: "application/json" }));
  link.download = `answers-${listener.replace(/[^\p{L}\p{N}_-]+/gu, "-") || "unnamed"}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};
const start = (from) => {
  ({ answers, at } = from);
  get("start").hidden = true;
  show();
};
const ask = (kept) => {
  get("begin").hidden = Boolean(kept);
  get("either").hidden = !kept;
  get("found").textContent = kept
    ? `Answers of ${listener} are kept here: ${Object.keys(kept.answers).length} of ${test.clips.length} clips.`
    : "";
};
const begin = () => {
  listener = get("name").value.trim();
  if (!listener) { get("name").focus(); return; }
  const kept = recall();
  if (!kept) { start({ answers: {}, at: 0 }); return; }
  ask(kept);
  get("resume").onclick = () => start(kept);
  get("resume").focus();
};

form.addEventListener("change", refresh);
get("begin").addEventListener("click", begin);
get("over").addEventListener("click", () => start({ answers: {}, at: 0 }));
get("name").addEventListener("input", () => ask(null));
get("back").addEventListener("click", () => go(at - 1));
get("skip").addEventListener("click", skip);
get("next").addEventListener("click", next);
get("save").addEventListener("click", save);
get("download").addEventListener("click", save);
get("again").addEventListener("click", () => go(test.clips.length - 1));
form.addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (!get("start").hidden) {
    if (event.key !== "Enter" || event.target !== get("name")) return;
    event.preventDefault();  // or the button that begin() may put the focus on would be pressed by the same key
    begin();
    return;
  }
  if (get("rate").hidden) return;
  const key = event.key.toLowerCase();
  const onButton = event.target instanceof HTMLButtonElement;
  if (key === " " && !onButton) {
    if (sound.paused) play();
    else sound.pause();
  } else if (key === "enter" && !onButton) next();
  else if (key === "backspace") go(at - 1);
  else {
    const group = groups.find((one) => key.length === 1 && one.keys.includes(key));
    const input = group && form.querySelectorAll(`input[name="${group.name}"]`)[group.keys.indexOf(key)];
    if (!input) return;
    input.checked = true;
    refresh();
  }
  event.preventDefault();
});
