// The page of `dailytalk converse --web`: shows the talk, and passes sound between it and this machine's program.

import { $, make, options, press, say } from "./elements.js";
import { Sound, microphones, reasonOf } from "./microphone.js";

const LOST = "The connection is lost: see whether dailytalk converse still runs in its terminal.";
const UNPLUGGED = "The microphone was unplugged: plug it in again, or choose another one.";

/** Decibels below full scale at the left end of the meter. */
const FLOOR = -48;

let socket = null;
let state = "connecting"; // then here, elsewhere, lost or ended
let pushing = false;
let held = false;
let missing = false;

const problem = (text) => { say($("notice"), text); $("notice").hidden = !text; };

const ask = (kind, isSo = true) => {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ kind, is_so: isSo }));
};

// Sound.

const heard = ({ block, level, done }) => {
  const decibels = 20 * Math.log10(Math.max(level, 1e-6));
  $("level").value = Math.max(sound.isOpen ? 1 - decibels / FLOOR : 0, 0.85 * $("level").value);
  if (state !== "here" || socket.readyState !== WebSocket.OPEN) return;
  const message = new ArrayBuffer(4 + 2 * block.length);
  const view = new DataView(message);
  view.setUint32(0, done % 2 ** 32, true);
  block.forEach((sample, at) => view.setInt16(4 + 2 * at, sample, true));
  socket.send(message);
};

const sound = new Sound(heard, () => {
  missing = true;
  problem(UNPLUGGED);
  showControls();
  listMicrophones();
});

const listMicrophones = async () => {
  const found = await microphones();
  options($("microphone"), found.map((device, at) => [device.deviceId, device.label || `Microphone ${at + 1}`]));
  return found.length;
};

let opening = false;

const start = async (id = "") => {
  if (opening) return;
  opening = true;
  try {
    const used = await sound.open(id);
    missing = false;
    problem("");
    await listMicrophones();
    if (used) $("microphone").value = used;
  } catch (error) {
    problem(reasonOf(error));
  }
  opening = false;
  showControls();
};

// The talk.

const percent = (share) => `${Math.round(100 * share)} %`;

const feeling = ({ emotion, confidence, valence, arousal }) => {
  if (emotion === undefined) return "";
  const named = emotion === "unsure" ? "emotion unsure" : `sounds ${emotion}, ${percent(confidence)} sure`;
  return `${named} · valence ${valence.toFixed(2)} · arousal ${arousal.toFixed(2)}`;
};

const LINES = {
  user: (told) => [make("b", "who right", "You"), make("span", "said", told.text), make("span", "soft", feeling(told))],
  reply: (told) => {
    const words = make("span");
    if (told.tag) words.append(make("span", "soft", `(${told.tag}) `));
    words.append(make("span", "said", told.text));
    return [make("b", "who left", "Voice"), words];
  },
  heard: () => [make("span", "soft aside", "interrupted")],
  latency: (told) => [make("span", "soft aside figures", told.text)],
  notice: (told) => [make("span", "note aside", told.text)],
};

/** Stay at the end of what was said, unless somebody reads what came before. */
let follows = true;
const follow = () => { if (follows) $("log").scrollTop = $("log").scrollHeight; };
$("log").addEventListener("scroll", () => {
  follows = $("log").scrollHeight - $("log").scrollTop - $("log").clientHeight < 60;
});
new ResizeObserver(follow).observe($("log"));

const add = (told) => {
  const line = make("li", `line ${told.kind}`);
  line.append(...LINES[told.kind](told));
  if (told.kind === "latency") line.setAttribute("aria-hidden", "true");
  $("lines").append(line);
  follow();
  if (told.medians) say($("medians"), `Medians: ${told.medians}`);
  $("empty").hidden = true;
};

const empty = (text) => {
  $("lines").replaceChildren();
  say($("partial"), "");
  say($("empty"), text);
  $("empty").hidden = false;
};

const STATES = { "press Enter to talk": "hold Space to talk" };

const showState = (text) => { say($("state"), STATES[text] ?? text); $("state").dataset.state = text; };

const showControls = () => {
  const here = state === "here";
  document.documentElement.dataset.talk = state;
  $("elsewhere").hidden = state !== "elsewhere";
  $("start").hidden = sound.isOpen || !here;
  $("sound").hidden = !here;
  $("level").parentElement.hidden = !sound.isOpen;
  $("microphone").parentElement.hidden = !$("microphone").options.length;
  $("hold").hidden = !here || !pushing || !sound.isOpen;
  for (const name of ["clear", "end"]) $(name).disabled = !here;
  press($("hands-free"), !pushing);
  press($("push"), pushing);
  press($("hold"), held);
  if (here && !sound.isOpen) showState("microphone off");
};

const HEARD = {
  welcome(told) {
    state = "here";
    pushing = told.push;
    held = false;
    sound.forget();
    problem("");
    say($("privacy"), told.note);
    empty("Press Start, allow the microphone, and speak.");
    told.history.forEach(add);
    if (sound.isOpen || missing) showState(told.state || "listening");
  },
  elsewhere() {
    state = "elsewhere";
    release();
    sound.close();
    showState("elsewhere");
    if (!$("lines").children.length) say($("empty"), "");
  },
  ended(told) {
    state = "ended";
    release();
    sound.close();
    showState("ended");
    problem(told.text);
  },
  hush() { sound.hush(); },
  state(told) { showState(told.text); if (told.text !== "hearing you") say($("partial"), ""); },
  partial(told) { say($("partial"), told.text); },
  cleared() { empty("The talk starts afresh."); },
};

const hear = ({ data }) => {
  if (data instanceof ArrayBuffer) { sound.play(new Int16Array(data)); return; }
  const told = JSON.parse(data);
  if (told.kind in HEARD) {
    HEARD[told.kind](told);
    showControls();
  } else if (told.kind in LINES) {
    if (told.kind === "user") say($("partial"), "");
    add(told);
  }
};

const connect = () => {
  const address = new URL("talk", location.href);
  address.protocol = "ws:";
  socket = new WebSocket(address);
  socket.binaryType = "arraybuffer";
  socket.addEventListener("message", hear);
  socket.addEventListener("close", () => {
    if (state === "ended") return;
    state = "lost";
    sound.hush();
    showState("not connected");
    problem(LOST);
    showControls();
    setTimeout(connect, 1500);
  });
};

// What people do.

const hold = (isHeld) => {
  if (held === isHeld || !pushing || state !== "here" || !sound.isOpen) return;
  held = isHeld;
  ask("press", held);
  press($("hold"), held);
};
const release = () => hold(false);

const choosePush = (isPush) => {
  release();
  pushing = isPush;
  ask("push", pushing);
  showControls();
};

const PLAIN = "input, select, textarea, a, summary, button:not(#hold)";

addEventListener("keydown", (event) => {
  if (event.code !== "Space" || !pushing || event.target.closest?.(PLAIN)) return;
  event.preventDefault();
  if (!event.repeat) hold(true);
});
addEventListener("keyup", (event) => {
  if (event.code !== "Space" || !held) return;
  event.preventDefault();
  release();
});
addEventListener("blur", release);
$("hold").addEventListener("pointerdown", (event) => {
  $("hold").setPointerCapture(event.pointerId);
  hold(true);
});
for (const end of ["pointerup", "pointercancel"]) $("hold").addEventListener(end, release);
// A screen reader clicks without a pointer: once to begin, once to end.
$("hold").addEventListener("click", (event) => { if (!event.detail && !event.pointerType) hold(!held); });

$("start").addEventListener("click", () => start($("microphone").value));
$("microphone").addEventListener("change", () => start($("microphone").value));
$("hands-free").addEventListener("click", () => choosePush(false));
$("push").addEventListener("click", () => choosePush(true));
$("clear").addEventListener("click", () => ask("clear"));
$("end").addEventListener("click", () => ask("end"));
$("take").addEventListener("click", () => ask("take"));
navigator.mediaDevices?.addEventListener("devicechange", async () => {
  if (await listMicrophones() && missing && state === "here") start();
});

showControls();
connect();
