"""The embedded diariser: who speaks when, by the speaker encoder whose weights the wheel of resemblyzer brings.

The encoder is that of Wan et al. 2018 (arXiv 1710.10467), as Corentin Jemine trained it: three layers of LSTM over
40 mels. A recording is read three times, block by block: to find speech, to find its voices in windows of
speech, and to find which voice each moment has. Of each hour, 40 MB are kept.
"""

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dailytalk_contiguous.apps.mono.diarisation import (
    ONE_SPEAKER,
    SecondVoice,
    VoiceWindows,
    all_voices,
    centres_of,
    fit_states,
    likeliest_states,
    nearest_voice,
    overlap_bias,
    scores_of,
    second_voice,
    turns_of,
    two_voices,
)
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.errors import BadInput, ModelMissing
from dailytalk_contiguous.core.spans import SpeakerTurn, speech_spans
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models.affect import threads_of_one
from dailytalk_contiguous.models.checkpoints import INSTALL_RESEMBLYZER, find_speaker_encoder
from dailytalk_contiguous.models.devices import device_of
from dailytalk_contiguous.models.speech_activity import FRAME_SECONDS, SpeechActivity

#: SHA-256 of the weights in resemblyzer 0.1.4. They are in PyTorch's format of before 1.6, which can't be checked
#: before it is read (`models.stored_weights`), so this one file is read and no other.
WEIGHTS_SHA256 = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"

#: Mel frames: 25 ms every 10 ms, 40 bands; and the mean power that a window is brought to, near that of speech at
#: -30 dBFS, at which the encoder was trained.
FFT, FRAME_HOP, N_MELS, LEVEL = 400, 160, 40, 0.05

#: Frames of windows by which voices are found: as long as those that the encoder was trained on, and half of that;
#: frames of one by which a moment is judged, and between two of each.
LONG_FRAMES, VOICE_FRAMES, STATE_FRAMES, VOICE_STEP, STATE_STEP = 160, 80, 40, 20, 5

#: Speech is what Silero gives this probability: in a sum the softer of two people begins and ends below its 0.5.
SPEECH = 0.35

#: Windows that are kept to learn from: of longer recordings every second, fourth … one is.
KEPT = 2000

#: Share of a window, and of a long one, that must be speech, of windows of a voice that are left out as unsure,
#: examples a state.
SPOKEN, LONG_SPOKEN, UNSURE, EXAMPLES = 0.9, 0.7, 0.2, 250

#: Mel frames in a second, and width of an embedding.
FRAME_RATE, WIDTH = ANALYSIS_RATE // FRAME_HOP, 256

#: dB by which one of two voices that are mixed may be louder or softer than it was recorded.
GAIN_DB = 6.0

#: Windows that the network takes at once.
BATCH = 256

MelFrames = NDArray[np.float32]

_NONE = np.zeros((0, WIDTH), np.float32)


class SpeakerEncoder(nn.Module):
    """Embeddings (n, 256) of unit length of mel frames (n, frames, 40)."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(N_MELS, 256, 3, batch_first=True)
        self.linear = nn.Linear(256, 256)

    def forward(self, mels: Tensor) -> Tensor:
        _, (hidden, _) = self.lstm(mels)
        return nn.functional.normalize(torch.relu(self.linear(hidden[-1])), dim=1)


@lru_cache(maxsize=1)
def load_speaker_encoder(device: str) -> SpeakerEncoder:
    """The encoder on `cpu` or `cuda`. Raises ModelMissing if it is not installed, or has other weights."""
    path = find_speaker_encoder()
    if hashlib.sha256(path.read_bytes()).hexdigest() != WEIGHTS_SHA256:
        raise ModelMissing(f"{path} is not that of resemblyzer 0.1.4", INSTALL_RESEMBLYZER)
    weights: dict[str, Tensor] = torch.load(path, "cpu", weights_only=True)["model_state"]
    encoder = SpeakerEncoder()
    encoder.load_state_dict({name: weights[name] for name in encoder.state_dict()})
    return encoder.eval().to(device)


def embed_voices(windows: MelFrames, device: str) -> MelFrames:
    """Embeddings (n, 256) of windows of mel power (n, frames, 40), each brought to one level."""
    encoder = load_speaker_encoder(device)

    def run(batch: MelFrames) -> MelFrames:
        interrupts.check_interrupt()
        levels = batch.mean(axis=(1, 2), keepdims=True)
        levelled = torch.from_numpy(np.ascontiguousarray(batch * (LEVEL / np.maximum(levels, 1e-12)), np.float32))
        with torch.inference_mode():
            return np.asarray(encoder(levelled.to(device)).cpu().numpy())

    batches = [windows[first : first + BATCH] for first in range(0, len(windows), BATCH)]
    results = threads_of_one().map(run, batches) if device == "cpu" else map(run, batches)
    return np.concatenate([_NONE, *results])


def known_voice(samples: Samples, device: str) -> MelFrames:
    """The embedding (256,) of a voice by 16 kHz samples of it alone, of any length."""
    mels = np.concatenate([*mel_blocks([samples])])
    if len(mels) < STATE_FRAMES:
        mels = np.resize(mels, (STATE_FRAMES, N_MELS))
    starts = range(0, len(mels) - STATE_FRAMES + 1, STATE_FRAMES // 2)
    heard = embed_voices(np.stack([mels[start : start + STATE_FRAMES] for start in starts]), device_of(device))
    voice = heard.sum(axis=0)
    return np.asarray(voice / max(float(np.linalg.norm(voice)), 1e-12), np.float32)


@lru_cache(maxsize=1)
def _filters() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    import librosa

    mels = librosa.filters.mel(sr=ANALYSIS_RATE, n_fft=FFT, n_mels=N_MELS)
    return np.asarray(mels.T, np.float32), np.hanning(FFT + 1)[:-1].astype(np.float32)


def mel_blocks(blocks: Iterable[Samples]) -> Iterator[MelFrames]:
    """Mel power (frames, 40) of 16 kHz blocks; frame k is centred on sample 160 k, with zeros beyond the ends."""
    from scipy import fft

    mels, window = _filters()
    held = np.zeros(FFT // 2, np.float32)

    def frames_of(signal: Samples) -> MelFrames:
        frames = np.lib.stride_tricks.sliding_window_view(signal, FFT)[::FRAME_HOP] * window
        return np.asarray(np.abs(fft.rfft(frames, axis=1)) ** 2 @ mels, np.float32)

    for block in blocks:
        held = np.concatenate((held, block))
        if (n_frames := (len(held) - FFT) // FRAME_HOP + 1) > 0:
            yield frames_of(held[: (n_frames - 1) * FRAME_HOP + FFT])
            held = held[n_frames * FRAME_HOP :]
    held = np.concatenate((held, np.zeros(FFT // 2, np.float32)))
    if len(held) >= FFT:
        yield frames_of(held)


def frames_around(mels: Iterable[MelFrames], n_frames: int, step: int) -> Iterator[tuple[int, MelFrames]]:
    """Windows (n, frames, 40) around every `step`-th frame, zeros beyond the ends, and the frame of the first."""
    held, first = np.zeros((n_frames // 2, N_MELS), np.float32), 0
    for block in itertools.chain(mels, [np.zeros((n_frames - n_frames // 2, N_MELS), np.float32)]):
        held = np.concatenate((held, block))
        if (count := (len(held) - n_frames) // step + 1) > 0:
            view = np.lib.stride_tricks.sliding_window_view(held, n_frames, axis=0)[::step]
            yield first, view.transpose(0, 2, 1)
            held, first = held[count * step :], first + count * step


class EmbeddedDiariser:
    """A `models.contracts.Diariser` with nothing to download; `device` is `auto`, `cpu` or `cuda`."""

    def __init__(self, device: str) -> None:
        self._device = device_of(device)

    def diarise(self, blocks: Iterable[Samples], speakers: int | None = None) -> list[SpeakerTurn]:
        """The turns of the voices in blocks, which are read three times. `speakers`: how many there are, if known.

        Raises BadInput if one voice is heard, or too little of any.
        """
        if iter(blocks) is blocks:
            raise TypeError("blocks are read three times, as an iterator can't be: pass a list of them")
        spoken, is_speech = _speech(blocks)
        if not spoken:
            return []
        windows, is_kept, mels = self._listen(blocks, is_speech)
        labels = two_voices(windows)
        if labels is None:
            seconds = is_speech.sum() / FRAME_RATE
            reason = f"it has {seconds:.1f} s of speech, too little in one piece to tell voices apart"
            raise BadInput(reason, "leave it out")
        if speakers is None:
            refuse_one_voice(second_voice(windows, labels))
            voices = all_voices(windows, labels)
        else:
            voices = centres_of(windows.short, labels)
        examples, states = _examples(self._of_one_voice(mels, windows.short[is_kept], voices))
        embeddings = embed_voices(examples, self._device)
        weights = fit_states(embeddings, states, len(voices) + 1)
        scores = self._scores(blocks, weights, is_speech)
        scores[:, -1] -= overlap_bias(scores_of(embeddings[: len(voices) * EXAMPLES], weights))
        hop = STATE_STEP / FRAME_RATE
        speaks = is_speech[np.minimum(np.arange(len(scores)) * STATE_STEP, len(is_speech) - 1)] > 0
        return turns_of(likeliest_states(scores, speaks, hop), scores, hop, spoken)

    def _listen(
        self, blocks: Iterable[Samples], is_speech: MelFrames
    ) -> tuple[VoiceWindows, NDArray[np.bool_], MelFrames]:
        """The windows of speech, which of them are kept, and the mel power (n, VOICE_FRAMES, 40) of these.

        At most `KEPT` are kept, spread over all of the recording.
        """
        share, long_share = (
            np.convolve(is_speech, np.full(n, 1 / n, np.float32), "same") for n in (VOICE_FRAMES, LONG_FRAMES)
        )
        margin, step = (LONG_FRAMES - VOICE_FRAMES) // 2, VOICE_STEP
        kept, frames = list[tuple[int, MelFrames]](), [np.zeros(0, np.intp)]
        shorts, longs = [_NONE], [_NONE]
        for first, windows in frames_around(mel_blocks(blocks), LONG_FRAMES, VOICE_STEP):
            at = np.minimum(first + np.arange(len(windows)) * VOICE_STEP, len(is_speech) - 1)
            spoken = share[at] >= SPOKEN
            at, windows = at[spoken], windows[spoken]
            middles, is_long = windows[:, margin : margin + VOICE_FRAMES], long_share[at] >= LONG_SPOKEN
            long = np.zeros((len(at), WIDTH), np.float32)
            long[is_long] = embed_voices(windows[is_long], self._device)
            frames.append(at)
            shorts.append(embed_voices(middles, self._device))
            longs.append(long)
            kept += [
                (frame, middle.copy()) for frame, middle in zip(at, middles, strict=True) if frame % step == 0
            ]
            while len(kept) > KEPT:
                step *= 2
                kept = [(frame, middle) for frame, middle in kept if frame % step == 0]
        at = np.concatenate(frames)
        heard = VoiceWindows(at / FRAME_RATE, np.concatenate(shorts), np.concatenate(longs))
        mels = np.reshape(np.array([middle for _, middle in kept], np.float32), (-1, VOICE_FRAMES, N_MELS))
        return heard, at % step == 0, mels

    def _of_one_voice(self, windows: MelFrames, embeddings: MelFrames, voices: MelFrames) -> list[MelFrames]:
        """The windows of each voice both halves of which are that voice's, too, without the least sure of them.

        Of a voice that has none among those that were kept, the one most like it.
        """
        halves = [embed_voices(half, self._device) for half in np.split(windows, [STATE_FRAMES], axis=1)]
        similar = embeddings @ voices.T
        whose = similar.argmax(axis=1)
        ranked = np.sort(similar, axis=1)
        sure = ranked[:, -1] - ranked[:, -2]
        agree = np.all([nearest_voice(half, voices) == whose for half in halves], axis=0)
        chosen = []
        for voice in range(len(voices)):
            own = np.flatnonzero(whose == voice)
            if not len(own):
                own = np.array([similar[:, voice].argmax()])
            best = own[agree[own] & (sure[own] >= np.quantile(sure[own], UNSURE))]
            chosen.append(windows[best if len(best) else own])
        return chosen

    def _scores(self, blocks: Iterable[Samples], weights: MelFrames, is_speech: NDArray[np.float32]) -> MelFrames:
        """Scores of each state around every `STATE_STEP`-th frame; 0 without speech near it."""
        near = np.convolve(is_speech, np.ones(STATE_FRAMES, np.float32), "same") > 0
        parts = [np.zeros((0, weights.shape[1]), np.float32)]
        for first, windows in frames_around(mel_blocks(blocks), STATE_FRAMES, STATE_STEP):
            frames = np.minimum(first + np.arange(len(windows)) * STATE_STEP, len(near) - 1)
            scores = np.zeros((len(windows), weights.shape[1]), np.float32)
            scores[near[frames]] = scores_of(embed_voices(windows[near[frames]], self._device), weights)
            parts.append(scores)
        return np.concatenate(parts)


def _speech(blocks: Iterable[Samples]) -> tuple[list[tuple[float, float]], MelFrames]:
    """The spans of speech in seconds, and 1 for each mel frame in one, 0 for others."""
    activity, n_samples = SpeechActivity(), 0
    probabilities = [np.zeros(0, np.float32)]
    for block in blocks:
        interrupts.check_interrupt()
        n_samples += len(block)
        probabilities.append(activity.push(block))
    probabilities.append(activity.flush())
    seconds = n_samples / ANALYSIS_RATE
    spoken = speech_spans(
        np.concatenate(probabilities), seconds, FRAME_SECONDS, SPEECH, min_speech=0.1, min_silence=0.1, pad=0.03
    )
    is_speech = np.zeros(int(seconds * FRAME_RATE) + 1, np.float32)
    for start, end in spoken:
        is_speech[round(start * FRAME_RATE) : round(end * FRAME_RATE)] = 1
    return spoken, is_speech


def refuse_one_voice(second: SecondVoice) -> None:
    """Raise BadInput if what would be a second voice is the first one."""
    if not second.is_there:
        alike = f"its two most different voices are alike to {second.likeness:.2f} of 1"
        times = f"and the second one speaks {counted(second.returns, 'time')}, {second.seconds:.1f} s"
        raise BadInput(f"one voice is heard in it, not two: {alike}, {times}", ONE_SPEAKER)


def _examples(voices: list[MelFrames]) -> tuple[MelFrames, NDArray[np.intp]]:
    """Windows (n, STATE_FRAMES, 40) and the state of each: one voice alone, or, as the last state, the first two.

    The first `EXAMPLES` for each voice are of it alone and all through. Powers of voices that are mixed add up.
    Of windows in which the voice changes, or the other begins or ends, the state is that of their middle.
    """
    random, both = np.random.default_rng(0), len(voices)
    margin = (VOICE_FRAMES - STATE_FRAMES) // 2
    centred = [windows[:, margin : margin + STATE_FRAMES] for windows in voices]
    frames, middle = np.arange(STATE_FRAMES), STATE_FRAMES // 2

    def drawn(voice: int) -> MelFrames:
        return centred[voice][random.integers(len(centred[voice]), size=EXAMPLES)]

    def gains() -> NDArray[np.float32]:
        return np.asarray(10 ** (random.uniform(-GAIN_DB, GAIN_DB, (EXAMPLES, 1, 1)) / 10), np.float32)

    def parts() -> NDArray[np.bool_]:
        """Of each example the frames before, or after, a random one."""
        later = frames >= random.integers(0, STATE_FRAMES, (EXAMPLES, 1))
        return later ^ (random.random((EXAMPLES, 1)) < 0.5)

    windows = [drawn(voice) for voice in range(both)]
    states = [np.full(EXAMPLES, voice) for voice in range(both)]
    windows.append(drawn(0) + gains() * drawn(1))
    states.append(np.full(EXAMPLES, both))
    part = parts()
    windows.append(np.where(part[:, :, None], drawn(0), drawn(1)))
    states.append(np.where(part[:, middle], 0, 1))
    for voice, other in ((0, 1), (1, 0)):
        part = parts()
        windows.append(drawn(voice) + gains() * drawn(other) * part[:, :, None])
        states.append(np.where(part[:, middle], both, voice))
    return np.concatenate(windows), np.concatenate(states)
