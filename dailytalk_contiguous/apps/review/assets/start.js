// The start page of `dailytalk review`: the server makes it, and the parts of it that show what is done. What is
// typed into its fields stays while those parts are replaced.

import { get, post, Refused } from "./api.js";
import { $, say } from "./elements.js";

const POLL = 700; // ms, while a step runs

let timer = 0;
let wanted = false; // whether the next step's button is to be focused, once its state is known
let suggested = null;

const notice = (text) => { $("notice").hidden = !text; say($("notice"), text); };
const isCut = () => document.querySelector("[name=kind]:checked").value === "true";

/** Do what was asked for, and show what is done by now. */
const act = async (path, body) => {
  notice("");
  let answer = null;
  try { if (path) answer = await post(path, body); } catch (error) {
    if (!(error instanceof Refused)) throw error;
    notice(error.message);
  }
  if (answer?.address) location.assign(answer.address);
  else await look();
};

const look = async () => {
  clearTimeout(timer);
  const { running, html } = await get("api/state", { cut: isCut() });
  const made = document.createElement("template");
  made.innerHTML = html; // every value in it is escaped by the server
  for (const part of [...made.content.children]) {
    if (part.id === "suggested") suggest(part.value);
    else if ($(part.id).outerHTML !== part.outerHTML) $(part.id).replaceWith(part);
  }
  for (const text of document.querySelectorAll("pre[role]")) text.scrollTop = text.scrollHeight;
  document.body.classList.toggle("whole", !isCut());
  if (running) timer = setTimeout(look, POLL);
  else if (wanted) document.querySelector(".next .main").focus();
  wanted &&= running;
  document.documentElement.dataset.ready = "yes";
};

/** Take over the silence that was suggested, once; what a person has set since stays. */
const suggest = (silence) => {
  if (silence !== suggested) $("split-silence").value = silence;
  suggested = silence;
};

document.addEventListener("submit", (event) => {
  event.preventDefault();
  const { step } = event.target.dataset;
  const dry = event.submitter?.name === "dry";
  wanted = !dry;
  if (step === "review") act("api/review", { cut: isCut() });
  else act("api/run", { step, dry, cut: isCut(), values: Object.fromEntries(new FormData(event.target)) });
});
document.addEventListener("click", (event) => { if (event.target.id === "stop") act("api/stop", {}); });
$("kind").addEventListener("change", look);
addEventListener("focus", look);
addEventListener("pageshow", (event) => { if (event.persisted) look(); });
look();
