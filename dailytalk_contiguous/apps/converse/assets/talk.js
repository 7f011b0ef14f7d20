// The page of `dailytalk converse --web`: shows the talk, and passes sound between it and this machine's program.

import { $, make, options, say } from "./elements.js";
import { Sound, reasonOf } from "./microphone.js";

let socket = null;
let state = "connecting"; // then here, elsewhere, lost or ended

const problem = (text) => { say($("notice"), text); $("notice").hidden = !text; };

const sound = new Sound(({ block, level }) => {
  const decibels = 20 * Math.log10(Math.max(level, 1e-6)); // the meter begins 48 below full scale
  $("level").value = Math.max(sound.stream ? 1 + decibels / 48 : 0, 0.85 * $("level").value);
  if (state !== "here" || socket.readyState !== WebSocket.OPEN) return;
  socket.send(block);
}, () => {
  problem("The microphone was unplugged: plug it in again, or choose another one, then press Start.");
  show();
});

const listMicrophones = async () => {
  const devices = await navigator.mediaDevices.enumerateDevices();
  const found = devices.filter((device) => device.kind === "audioinput");
  options($("microphone"), found.map((device, at) => [device.deviceId, device.label || `Microphone ${at + 1}`]));
};

const start = async () => {
  try {
    await sound.open($("microphone").value);
    problem("");
    await listMicrophones();
  } catch (error) {
    problem(reasonOf(error));
  }
  show();
};

const WHO = { user: "You", reply: "Voice" };

const add = ({ kind, text, soft = "" }) => {
  const line = make("li", `line ${kind}`);
  if (kind in WHO) line.append(make("b", "who", WHO[kind]), make("span", "said", text), make("span", "soft", soft));
  else line.append(make("span", "soft aside", kind === "heard" ? "interrupted" : text));
  if (kind === "user") say($("partial"), "");
  $("lines").append(line);
  $("empty").hidden = true;
};

const empty = (text) => {
  $("lines").replaceChildren();
  say($("partial"), "");
  say($("empty"), text);
  $("empty").hidden = false;
};

/** Show the state of the talk, and the controls that it has. */
const show = (text = $("state").dataset.state) => {
  const here = state === "here";
  say($("state"), here && !sound.stream ? "microphone off" : text);
  $("state").dataset.state = text;
  $("elsewhere").hidden = state !== "elsewhere";
  $("sound").hidden = !here;
  $("start").hidden = Boolean(sound.stream);
  $("level").parentElement.hidden = !sound.stream;
  $("microphone").parentElement.hidden = !$("microphone").options.length;
  $("end").disabled = !here;
};

const leave = (where, text) => {
  state = where;
  sound.play("mute");
  if (where !== "lost") sound.close();
  show(where);
  problem(text);
};

const HEARD = {
  welcome(told) {
    state = "here";
    sound.play("forget");
    problem("");
    say($("privacy"), told.note);
    empty("Press Start, allow the microphone, and speak.");
    told.history.forEach(add);
    show(told.state || "listening");
  },
  elsewhere() { leave("elsewhere", ""); },
  ended({ text }) { leave("ended", text); },
  mute() { sound.play("mute"); },
  state({ text }) { show(text); if (text !== "hearing you") say($("partial"), ""); },
  partial({ text }) { say($("partial"), text); },
};

const connect = () => {
  const address = new URL("talk", location.href);
  address.protocol = "ws:";
  socket = new WebSocket(address);
  socket.binaryType = "arraybuffer";
  socket.addEventListener("message", ({ data }) => {
    if (data instanceof ArrayBuffer) return sound.play(new Int16Array(data));
    const told = JSON.parse(data);
    return (HEARD[told.kind] ?? add)(told);
  });
  socket.addEventListener("close", () => {
    if (state === "ended" || state === "elsewhere") return;
    leave("lost", "The connection is lost: see whether dailytalk converse still runs in its terminal.");
    setTimeout(connect, 1500);
  });
};

$("end").addEventListener("click", () => socket.send(JSON.stringify({ kind: "end" })));
$("start").addEventListener("click", start);
$("microphone").addEventListener("change", start);
$("take").addEventListener("click", connect);
navigator.mediaDevices?.addEventListener("devicechange", listMicrophones);

show();
connect();
