// One <audio> element plays all there is; a part of it is played by stopping at its end. Dragging and editing never
// touch the position: only `play` and `seek` do.

import { address } from "./api.js";

export class Sound {
  constructor(element, { onMove, onState, onTrouble }) {
    Object.assign(this, { element, onMove, onState, onTrouble, part: null, id: null });
    for (const kind of ["play", "pause", "ended"]) element.addEventListener(kind, () => { onState(); onMove(); });
    element.addEventListener("play", () => this.frame());
    element.addEventListener("timeupdate", () => this.check()); // a page in the background has no frames
    element.addEventListener("error", () => { if (this.id !== null) onTrouble("The sound of this item can't be played."); });
  }

  load(id) {
    this.element.pause();
    Object.assign(this, { part: null, id });
    this.element.src = address("api/sound", { id });
    this.onState(); // a new source takes the place of the event of the pause
  }

  get playing() { return !this.element.paused && !this.element.ended; }

  get time() { return this.element.currentTime; }

  seek(time) {
    this.element.currentTime = time;
    this.onMove();
  }

  /** Play from one time up to another; without any, from where it is to the end. */
  play(from = null, to = null) {
    this.part = to === null ? null : { to };
    if (from !== null) this.element.currentTime = from;
    this.element.play().catch((error) => {
      if (!["AbortError", "NotSupportedError"].includes(error.name)) this.onTrouble(`The sound can't be played (${error.name}).`);
    });
  }

  pause() { this.element.pause(); }

  frame() {
    if (!this.playing) return;
    this.check();
    this.onMove();
    requestAnimationFrame(() => this.frame());
  }

  check() {
    if (!this.part || !this.playing || this.element.seeking || this.time < this.part.to) return;
    this.element.pause();
    this.part = null;
  }

  set speed(value) {
    this.element.defaultPlaybackRate = value;
    this.element.playbackRate = value;
  }
}
