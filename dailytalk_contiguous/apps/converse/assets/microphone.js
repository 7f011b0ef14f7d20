// The microphone and the loudspeaker of the page: blocks in, blocks out.

/** What a browser calls the reasons for which there is no microphone, and what to do. */
const REASONS = {
  NotAllowedError: "The microphone was refused: allow it beside the address of this page, then press Start.",
  NotFoundError: "There is no microphone: plug one in, then press Start.",
  OverconstrainedError: "That microphone is gone: choose another one, then press Start.",
  NotReadableError: "The microphone can't be used: close other programs that record, then press Start.",
};

export const reasonOf = (error) => REASONS[error.name]
  ?? `The microphone can't be opened (${error.name}): try another browser, or talk without --web.`;

export class Sound {
  /** `heard` gets { block, level } every 32 ms: samples, and their peak. */
  constructor(heard, lost) { Object.assign(this, { heard, lost, stream: null }); }

  /** Open a microphone, by its id, or the one that the browser prefers. Throws what the browser throws. */
  async open(id) {
    const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: false, channelCount: 1 };
    if (id) audio.deviceId = { exact: id };
    this.context ??= new AudioContext({ latencyHint: "interactive" }); // later than the click it may have to be silent
    const stream = await navigator.mediaDevices.getUserMedia({ audio });
    if (!this.node) {
      await this.context.audioWorklet.addModule("assets/worklet.js");
      this.node = new AudioWorkletNode(this.context, "talk");
      this.node.port.onmessage = ({ data }) => this.heard(data);
      this.node.connect(this.context.destination);
    }
    await this.context.resume();
    this.close();
    this.stream = stream;
    this.source = this.context.createMediaStreamSource(stream);
    this.source.connect(this.node);
    stream.getTracks()[0].addEventListener("ended", () => {
      this.close();
      this.lost();
    });
  }

  /** Play a block of samples; "mute" drops sound that was not played, "forget" begins with another connection. */
  play(block) { this.node?.port.postMessage(block); }

  /** Close the microphone. */
  close() {
    this.source?.disconnect();
    this.stream?.getTracks().forEach((track) => track.stop());
    this.source = this.stream = null;
  }
}
