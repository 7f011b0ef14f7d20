// The start page of `dailytalk review`: one card a step. What a card shows comes from the server, which looks at the
// disk; what is typed into its fields stays while the rest is drawn anew.

import { get, post, Refused } from "./api.js";
import { $, make, options, say } from "./elements.js";

const POLL = 700; // ms, while a step runs

const OPENS = { step: "review", title: "Review", about: "Listen to the clips and correct their texts, in a page of their own.", fields: [], output: null };

const cards = new Map(); // step → its elements
let state = null;
let wanted = false; // whether the next step's button is to be focused, once its state is known

const notice = (text) => { $("notice").hidden = !text; say($("notice"), text); };
const way = () => (state?.is_cut ? "cut" : document.querySelector("[name=kind]:checked").value);
const isCut = () => way() === "cut";
const took = (seconds) => (seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`);

/** A setting as a labelled control; it is sent if it is not as it was. */
const control = (step, field) => {
  const row = make("div", "setting");
  const input = make(field.kind === "choice" ? "select" : "input");
  input.id = `${step}-${field.name}`;
  if (field.kind === "choice") options(input, field.choices);
  else input.type = field.kind === "bool" ? "checkbox" : field.kind === "number" ? "number" : "text";
  if (field.kind === "number") input.step = "any";
  if (field.kind === "bool") input.checked = field.value;
  else { input.value = field.value ?? ""; if (field.value === null) input.placeholder = field.shown; }
  const label = make("label", "", field.about + (field.shown ? ` Empty: ${field.shown}.` : ""));
  label.htmlFor = input.id;
  label.prepend(make("span", "name", `${field.flag} ${field.unit}`.trim()), " ");
  row.append(input, label);
  const value = () => (field.kind === "bool" ? input.checked : field.kind === "number" ? (input.value === "" ? null : input.valueAsNumber) : input.value.trim());
  return { row, input, name: field.name, changed: () => (value() === field.value ? undefined : value()) };
};

const card = (step) => {
  const box = make("li");
  const head = make("h2", "", step.title);
  const is = make("span", "is");
  head.append(is);
  box.append(head, make("p", "soft", step.about));
  const fields = step.fields.map((field) => control(step.step, field));
  if (fields.length) {
    const all = make("div", "settings");
    all.append(...fields.map((field) => field.row));
    box.append(all);
  }
  const buttons = make("div", "controls");
  const dry = make("button", "", "Dry run");
  const go = make("button", "", step.step === "review" ? "Open the review" : step.title);
  const stop = make("button", "", "Stop");
  for (const button of [dry, go, stop]) button.type = "button";
  if (step.has_dry_run) { buttons.append(dry); dry.setAttribute("aria-label", `Dry run of ${step.title}`); }
  buttons.append(go, stop);
  stop.hidden = true;
  const [command, text] = [make("pre", "command"), make("pre")];
  text.tabIndex = 0; // scrolls by keys
  text.setAttribute("role", "region");
  text.setAttribute("aria-label", `Output of ${step.title}`);
  box.append(buttons, command, text);
  dry.addEventListener("click", () => run(step.step, true));
  go.addEventListener("click", () => (step.step === "review" ? review() : run(step.step, false)));
  stop.addEventListener("click", () => act("api/stop", {}));
  $("steps").append(box);
  return { box, is, fields, dry, go, stop, command, text };
};

const act = async (path, body) => {
  notice("");
  try { return await post(path, body); } catch (error) {
    if (!(error instanceof Refused)) throw error;
    notice(error.message);
    return null;
  }
};

const run = async (step, dry) => {
  const fields = cards.get(step).fields;
  const bad = fields.find((field) => !field.input.reportValidity());
  if (bad) return;
  const values = Object.fromEntries(fields.map((field) => [field.name, field.changed()]).filter(([, value]) => value !== undefined));
  wanted = !dry;
  await act("api/run", { step, dry, cut: isCut(), values });
  await look();
};

const review = async () => {
  say($("state"), "Opening the review…");
  for (const { go } of cards.values()) go.disabled = true;
  const answer = await act("api/review", { cut: isCut() });
  if (answer) location.assign(answer.address);
  else await look();
};

/** What is to be done next: the first step without a result; silences and reindex are no condition of what follows. */
const nextOf = (steps) => {
  const done = (name) => { const step = steps.find((one) => one.step === name); return !step || step.done[way()] !== null; };
  if (isCut() && !done("split")) return steps.find((one) => one.step === "silences")?.output?.code === 0 ? "split" : "silences";
  return done("transcribe") ? "review" : "transcribe";
};

const show = () => {
  const { steps, running } = state;
  $("kind").hidden = state.is_cut;
  say($("folder"), state.folder);
  const next = nextOf(steps);
  for (const step of [...steps, { ...OPENS, done: { cut: null, whole: null } }]) {
    if (!cards.has(step.step)) cards.set(step.step, card(step));
    const { box, is, fields, dry, go, stop, command, text } = cards.get(step.step);
    const works = running?.step === step.step;
    const { output } = step;
    const failed = output && output.code !== null && ![0, 3].includes(output.code);
    box.hidden = Boolean(step.cuts) && !isCut();
    const done = step.done[way()];
    box.className = works || step.step === next ? "next" : failed ? "failed" : done !== null || (output?.code === 0 && !step.has_dry_run && step.step !== "review") ? "done" : "";
    say(is, works ? `${running.dry ? "dry run" : "running"}, ${took(running.seconds)}`
      : failed ? (output.code === 1 ? "failed: see why below" : "stopped: begin it again, and it goes on") : done !== null ? `done: ${done}` : step.step === next ? "next" : "");
    if (works || step.step === next) box.setAttribute("aria-current", "step"); else box.removeAttribute("aria-current");
    for (const button of [dry, go]) button.disabled = Boolean(running);
    go.classList.toggle("main", step.step === next);
    stop.hidden = !works;
    command.hidden = text.hidden = !output;
    if (output) {
      say(command, `$ ${output.command}`);
      const said = output.text || (works ? "…" : "");
      if (text.textContent !== said) { text.textContent = said; text.scrollTop = text.scrollHeight; }
      text.hidden = !said;
    }
    for (const field of fields) field.input.disabled = works;
  }
  if (!running) suggest(steps.find((step) => step.step === "silences")?.suggested ?? null);
  say($("state"), running ? `${titleOf(running.step)} is running` : `Next: ${titleOf(next)}`);
  document.title = running ? `${titleOf(running.step)} … · ${state.folder}` : `From recordings to a review · ${state.folder}`;
  if (wanted && !running) { wanted = false; cards.get(next).go.focus(); }
};

const titleOf = (name) => state.steps.find((step) => step.step === name)?.title ?? OPENS.title;

/** Take over the silence that was suggested, once; what a person has set since stays. */
const suggest = (silence) => {
  const field = cards.get("split")?.fields.find((one) => one.name === "silence");
  if (!field || silence === null || field.suggested === silence) return;
  field.suggested = silence;
  field.input.value = silence;
};

let timer = 0;
const look = async () => {
  clearTimeout(timer);
  try {
    state = await get("api/state");
    show();
    document.documentElement.dataset.ready = "yes";
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    notice(error.message);
    timer = setTimeout(look, 2000);
    return;
  }
  if (state.running) timer = setTimeout(look, POLL);
};

$("kind").addEventListener("change", () => show());
addEventListener("focus", () => look());
addEventListener("pageshow", (event) => { if (event.persisted) look(); });
look();
