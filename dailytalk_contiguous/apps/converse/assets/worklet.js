// The audio thread: cuts the microphone into blocks of a talk, and plays the blocks of the voice, both at the rate of
// a talk. A block goes out for each that comes in, so both have one clock, that of the sound card.

const RATE = 24000;
const BLOCK = 768;

/** Blocks that wait before the voice goes on where none came in time, and from which silent ones are left out. */
const ENOUGH = 2;
const TOO_MANY = 3;

/** A signal at another rate, as it comes: a windowed sinc. Not every browser resamples a microphone itself. */
class Resampler {
  constructor(from, to) {
    this.step = from / to;
    this.cutoff = 0.94 * Math.min(1, to / from);
    this.half = Math.ceil(16 * Math.max(1, from / to));
    this.known = new Array(this.half).fill(0);
    this.at = this.half;
  }

  push(samples) {
    this.known.push(...samples);
    const made = [];
    for (; this.at + this.half < this.known.length; this.at += this.step) {
      let sum = 0;
      for (let index = Math.ceil(this.at - this.half); index < this.at + this.half; index += 1) {
        const angle = Math.PI * (index - this.at);
        const window = 0.5 + 0.5 * Math.cos(angle / this.half);
        sum += this.known[index] * window * (angle ? Math.sin(this.cutoff * angle) / angle : this.cutoff);
      }
      made.push(sum);
    }
    const done = Math.floor(this.at) - this.half;
    this.known.splice(0, done);
    this.at -= done;
    return made;
  }
}

class TalkProcessor extends AudioWorkletProcessor {
  constructor() {
    super();
    this.heard = new Resampler(sampleRate, RATE);
    this.block = [];
    this.forget();
    this.port.onmessage = ({ data }) => (typeof data === "string" ? this[data]() : this.queue.push(data));
  }

  /** Begin with a connection that has sent nothing yet. */
  forget() {
    [this.queue, this.ready] = [[], []];
    this.mute();
  }

  /** Fall silent within 10 ms. */
  mute() {
    this.queue = [];
    const fade = Math.min(this.ready.length, Math.round(0.01 * sampleRate));
    this.ready = this.ready.slice(0, fade).map((sample, at) => sample * (1 - at / fade));
    this.spoken = new Resampler(RATE, sampleRate);
    this.waits = true;
  }

  process([channels], [outputs]) {
    const count = outputs[0].length;
    const mono = new Array(count).fill(0); // of a microphone that was unplugged: silence
    for (const channel of channels) channel.forEach((sample, at) => { mono[at] += sample / channels.length; });
    this.block.push(...this.heard.push(mono));
    if (this.block.length >= BLOCK) {
      const block = this.block.splice(0, BLOCK).map((sample) => Math.max(-1, Math.min(1, sample)));
      const level = Math.max(...block.map(Math.abs));
      this.port.postMessage({ block: Int16Array.from(block, (sample) => Math.round(32767 * sample)), level });
    }
    while (this.queue.length > TOO_MANY && this.queue[0].every((sample) => sample === 0)) {
      this.queue.shift();
    }
    while (this.ready.length < count && this.queue.length >= (this.waits ? ENOUGH : 1)) {
      this.waits = false;
      this.ready.push(...this.spoken.push(Array.from(this.queue.shift(), (sample) => sample / 32768)));
    }
    if (this.ready.length < count) this.waits = true;
    const samples = this.ready.splice(0, count);
    for (const output of outputs) output.set(samples);
    return true;
  }
}

registerProcessor("talk", TalkProcessor);
