// One <audio> element plays all there is; a part of it is played by stopping at its end. One channel alone goes to
// both ears. Dragging and editing never touch the position: only `play` and `seek` do.

import { address } from "./api.js";

export class Sound {
  constructor(element, { onMove, onState, onTrouble }) {
    Object.assign(this, { element, onMove, onTrouble, part: null, loop: false, alone: null, id: null });
    element.preservesPitch = true;
    for (const kind of ["play", "pause", "ended"]) element.addEventListener(kind, () => { onState(); onMove(); });
    element.addEventListener("play", () => this.frame());
    element.addEventListener("timeupdate", () => this.check()); // a page in the background has no frames
    element.addEventListener("error", () => { if (this.id !== null) onTrouble("The sound of this item can't be played."); });
  }

  load({ id, duration, channels }) {
    this.element.pause();
    Object.assign(this, { part: null, id, mono: channels === 1 });
    this.element.preload = duration > 120 ? "metadata" : "auto";
    this.element.src = address("api/sound", { id });
  }

  get playing() { return !this.element.paused && !this.element.ended; }

  get time() { return this.element.currentTime; }

  seek(time) {
    this.element.currentTime = time;
    this.onMove();
  }

  /** Play from one time up to another; without any, from where it is to the end. */
  play(from = null, to = null) {
    this.part = to === null ? null : { from, to };
    if (from !== null) this.element.currentTime = from;
    this.route();
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
    if (this.loop) { this.element.currentTime = this.part.from; return; }
    this.element.pause();
    this.part = null;
  }

  set speed(value) {
    this.element.defaultPlaybackRate = value;
    this.element.playbackRate = value;
  }

  /** Hear one channel, 0 or 1, in both ears; null is both, each on its side. */
  hear(alone) {
    this.alone = alone;
    this.route();
  }

  route() {
    if (this.alone === null && !this.split) return;
    if (!this.split) {
      const context = this.context = new AudioContext();
      [this.split, this.merge] = [context.createChannelSplitter(2), context.createChannelMerger(2)];
      context.createMediaElementSource(this.element).connect(this.split);
      this.merge.connect(context.destination);
    }
    this.context.resume();
    this.split.disconnect();
    for (const ear of [0, 1]) this.split.connect(this.merge, this.mono ? 0 : this.alone ?? ear, ear);
  }
}
