// The audio thread: cuts the microphone into blocks of a talk, and plays the blocks of the voice, both at the rate of
// a talk. A block goes out for each that comes in, so both have one clock, that of the sound card.

const RATE = 24000;
const BLOCK = 768;

/** Blocks that wait before the voice goes on where none came in time, and from which silent ones are left out. */
const ENOUGH = 2;
const TOO_MANY = 3;

const divisor = (a, b) => (b ? divisor(b, a % b) : a);

/** A signal at another rate, sample by sample as it comes: a windowed sinc at the exact ratio of both rates. */
class Resampler {
  constructor(from, to) {
    this.up = to / divisor(from, to);
    this.down = from / divisor(from, to);
    const cutoff = 0.94 * Math.min(1, to / from);
    this.half = Math.ceil(16 / Math.min(1, to / from));
    this.taps = Array.from({ length: this.up }, (_, phase) => Float32Array.from({ length: 2 * this.half }, (__, tap) => {
      const distance = tap - this.half + 1 - phase / this.up;
      const angle = Math.PI * cutoff * distance;
      const window = 0.5 + 0.5 * Math.cos(Math.PI * distance / this.half);
      return cutoff * window * (angle ? Math.sin(angle) / angle : 1);
    }));
    this.known = new Float32Array(2 * this.half - 1);
    this.at = this.half - 1;
    this.phase = 0;
  }

  push(samples) {
    const known = new Float32Array(this.known.length + samples.length);
    known.set(this.known);
    known.set(samples, this.known.length);
    const made = [];
    while (this.at + this.half < known.length) {
      const taps = this.taps[this.phase];
      const first = this.at - this.half + 1;
      let sum = 0;
      for (let tap = 0; tap < taps.length; tap += 1) sum += taps[tap] * known[first + tap];
      made.push(sum);
      this.phase += this.down;
      this.at += Math.floor(this.phase / this.up);
      this.phase %= this.up;
    }
    const done = Math.max(0, Math.min(this.at - this.half + 1, known.length));
    this.known = known.slice(done);
    this.at -= done;
    return made;
  }
}

class TalkProcessor extends AudioWorkletProcessor {
  constructor() {
    super();
    this.heard = new Resampler(sampleRate, RATE);
    this.block = new Int16Array(BLOCK);
    this.filled = 0;
    this.peak = 0;
    this.forget();
    this.port.onmessage = ({ data }) => {
      if (data === "hush") this.hush();
      else if (data === "forget") this.forget();
      else this.queue.push(data);
    };
  }

  /** Begin with a connection that has sent nothing yet. */
  forget() {
    this.spoken = new Resampler(RATE, sampleRate);
    this.queue = [];
    this.ready = [];
    this.taken = 0;
    this.waits = true;
  }

  /** Fall silent within 10 ms. */
  hush() {
    this.taken += this.queue.length * BLOCK;
    this.queue = [];
    const fade = Math.min(this.ready.length, Math.round(0.01 * sampleRate));
    this.ready = this.ready.slice(0, fade).map((sample, at) => sample * (1 - at / fade));
    this.spoken = new Resampler(RATE, sampleRate);
    this.waits = true;
  }

  process([channels], [outputs]) {
    this.hear(channels, outputs[0].length);
    this.speak(outputs);
    return true;
  }

  hear(channels, count) {
    const mono = new Float32Array(count); // of a microphone that was unplugged: silence
    for (const channel of channels) for (let at = 0; at < count; at += 1) mono[at] += channel[at] / channels.length;
    for (const sample of this.heard.push(mono)) {
      this.peak = Math.max(this.peak, Math.abs(sample));
      this.block[this.filled] = Math.round(32767 * Math.max(-1, Math.min(1, sample)));
      this.filled += 1;
      if (this.filled < BLOCK) continue;
      const done = Math.max(0, this.taken - Math.round(this.ready.length * RATE / sampleRate));
      this.port.postMessage({ block: this.block, level: this.peak, done }, [this.block.buffer]);
      this.block = new Int16Array(BLOCK);
      this.filled = 0;
      this.peak = 0;
    }
  }

  speak(outputs) {
    const count = outputs[0].length;
    while (this.queue.length > TOO_MANY && this.queue[0].every((sample) => sample === 0)) {
      this.queue.shift();
      this.taken += BLOCK;
    }
    while (this.ready.length < count) {
      if (this.waits && this.queue.length < ENOUGH) break;
      const block = this.queue.shift();
      this.waits = block === undefined;
      if (this.waits) break;
      this.ready.push(...this.spoken.push(Float32Array.from(block, (sample) => sample / 32768)));
      this.taken += BLOCK;
    }
    const samples = this.ready.splice(0, count);
    for (const output of outputs) output.set(samples);
  }
}

registerProcessor("talk", TalkProcessor);
