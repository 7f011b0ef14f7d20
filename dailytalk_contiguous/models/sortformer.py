"""Streaming Sortformer: who of up to four speakers is heard in each 80 ms, by a network of NVIDIA's in ONNX.

The network hears ten seconds at a time, beside them the frames that came before (a queue) and the clearest frames
of each speaker so far (a cache), which is how a speaker keeps his place for hours in constant memory. Keeping both
is not part of the file; it is done here as NeMo does it (`SortformerModules.streaming_update`), and so is the
spectrogram. Medennikov et al. 2025, "Streaming Sortformer: Speaker Cache-Based Online Speaker Diarization with
Arrival-Time Ordering".
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.librosa_import import import_librosa
from dailytalk_contiguous.core.spans import true_runs
from dailytalk_contiguous.models.contracts import SpeakerTurn
from dailytalk_contiguous.models.onnx_network import OnnxNetwork

#: The spectrogram: samples of a step, of a window and of its transform; bands; what keeps its logarithm finite.
HOP, WINDOW, TRANSFORM, BANDS, LEAST = 160, 400, 512, 128, 2.0**-24
PRE_EMPHASIS = 0.97

#: Steps of the spectrogram in a frame of the network, and the seconds of one.
STEPS = 8
FRAME_SECONDS = STEPS * HOP / ANALYSIS_RATE

#: Frames that are heard on each side of a chunk.
LEFT, RIGHT = 1, 1

#: Frames of a chunk, of the queue and of the cache where a file does not say with which it was exported, and the
#: range of what it may say.
SIZES = {"chunk_len": 124, "fifo_len": 124, "spkcache_len": 188}
SIZE_RANGE = range(24, 1025)

#: Above which probability a speaker is heard, and below which sum of all nobody is.
HEARD, SILENT = 0.5, 0.2

#: How the cache is filled: silent frames after those of each speaker; the least probability that counts; what the
#: latest frames gain; and shares of a speaker's place that he gets before (twice as much) and beside others.
SILENT_FRAMES, LEAST_PROBABILITY, LATEST = 3, 0.25, 0.05
CLEAR_SHARE, STRONG_SHARE, WEAK_SHARE = 0.5, 0.75, 1.5

_INPUTS = ("chunk", "chunk_lengths", "spkcache", "spkcache_lengths", "fifo", "fifo_lengths")
_OUTPUTS = ("spkcache_fifo_chunk_preds", "chunk_pre_encode_embs", "chunk_pre_encode_lengths")


class Sortformer:
    """A streaming Sortformer in a file of ONNX, as `export_diar_sortformer.py` of parakeet-rs writes it."""

    def __init__(self, name: str, path: Path, device: str, remedy: str) -> None:
        self._network = OnnxNetwork(name, path, device, _INPUTS, _OUTPUTS, remedy)
        sizes = {key: self._network.facts.get(key, str(size)) for key, size in SIZES.items()}
        self._width = self._network.width_of["spkcache"]
        fitting = all(size.isdecimal() and len(size) < 5 and int(size) in SIZE_RANGE for size in sizes.values())
        if not fitting or self._network.width_of["chunk"] != BANDS or not isinstance(self._width, int):
            raise self._network.unusable("its sizes are not those of a streaming Sortformer")
        self._chunk, self._queue, self._cache = (int(size) for size in sizes.values())
        # As NeMo has it: a window that is symmetric, and a transform that is longer than it.
        self._window = np.pad(np.hanning(WINDOW), (TRANSFORM - WINDOW) // 2).astype(np.float32)
        bands = import_librosa().filters.mel(sr=ANALYSIS_RATE, n_fft=TRANSFORM, n_mels=BANDS)
        self._filters = np.ascontiguousarray(bands.T, np.float32)

    def diarise(self, blocks: Iterable[Samples]) -> list[SpeakerTurn]:
        """The turns of a recording, sorted by start; its blocks (16 kHz, [-1, 1], any length) come in order."""
        parts = [*self.activity(blocks)]
        activity = np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)
        turns = [
            SpeakerTurn(
                speaker, first * FRAME_SECONDS, end * FRAME_SECONDS, float(activity[first:end, speaker].mean())
            )
            for speaker in range(activity.shape[1])
            for first, end in true_runs(activity[:, speaker] > HEARD).tolist()
        ]
        turns.sort(key=lambda turn: (turn.start, turn.speaker))
        numbers: dict[int, int] = {}
        return [turn._replace(speaker=numbers.setdefault(turn.speaker, len(numbers))) for turn in turns]

    def activity(self, blocks: Iterable[Samples]) -> Iterator[Samples]:
        """The probability that each speaker is heard in each frame (frames, speakers), a chunk at a time."""
        cache = queue = np.zeros((0, self._width), np.float32)
        cached: Samples | None = None  # the activity of the cache, once it was full
        silence, n_silent = np.zeros(self._width, np.float32), 0
        for steps, left, right in self._in_context(self._spectrogram(blocks)):
            interrupts.check_interrupt()
            activity, embeddings = self._hear(steps, cache, queue)
            own = slice(left, len(embeddings) - right)
            before, queued, chunk = np.split(activity, [len(cache), len(cache) + len(queue)])
            yield chunk[own]
            queue, queued = np.concatenate((queue, embeddings[own])), np.concatenate((queued, chunk[own]))
            if len(queue) <= self._queue:
                continue
            n_out = min(max(self._chunk, len(queue) - self._queue), len(queue))
            leaving, leaving_activity, queue = queue[:n_out], queued[:n_out], queue[n_out:]
            quiet = leaving[leaving_activity.sum(axis=1) < SILENT]
            if len(quiet):
                silence = (silence * n_silent + quiet.sum(axis=0)) / (n_silent + len(quiet))
                n_silent += len(quiet)
            cache = np.concatenate((cache, leaving))
            known = np.concatenate((before if cached is None else cached, leaving_activity))
            if len(cache) > self._cache:
                cache, cached = clearest(cache, known, silence, self._cache)

    def _hear(self, steps: Samples, cache: Samples, queue: Samples) -> tuple[Samples, Samples]:
        """Activity of the frames of cache, queue and chunk, and the embeddings of the chunk's frames."""
        n_frames = -(-len(steps) // STEPS)
        chunk = np.zeros((1, (LEFT + self._chunk + RIGHT) * STEPS, BANDS), np.float32)
        chunk[0, : len(steps)] = steps
        arrays = (chunk, cache[None], queue[None])
        lengths = (np.array([length], np.int64) for length in (len(steps), len(cache), len(queue)))
        activity, embeddings, _ = self._network.run(
            dict(zip(_INPUTS, chain.from_iterable(zip(arrays, lengths, strict=True)), strict=True))
        )
        total = len(cache) + len(queue) + n_frames
        if (
            activity.ndim != 3
            or embeddings.ndim != 3
            or activity.shape[1] < total
            or embeddings.shape[1] < n_frames
            or embeddings.shape[2] != self._width
        ):
            raise self._network.unusable(f"it hears {activity.shape} in {total} frames")
        return np.clip(activity[0, :total], 0, 1), embeddings[0, :n_frames]

    def _in_context(self, chunks: Iterable[Samples]) -> Iterator[tuple[Samples, int, int]]:
        """Each chunk with steps of those beside it, and the frames that these are on its left and right."""
        before = waiting = nothing = np.zeros((0, BANDS), np.float32)
        for following in chain(chunks, [nothing]):
            after = following[: RIGHT * STEPS]
            if len(waiting):
                yield np.concatenate((before, waiting, after)), len(before) // STEPS, -(-len(after) // STEPS)
            before, waiting = waiting[-LEFT * STEPS :], following

    def _spectrogram(self, blocks: Iterable[Samples]) -> Iterator[Samples]:
        """Log-mel steps (n, bands), a chunk at a time, whatever the lengths of the blocks."""
        size = self._chunk * STEPS * HOP
        waiting = np.zeros(TRANSFORM // 2, np.float32)
        last, n_samples, n_steps = np.zeros(1, np.float32), 0, 0
        for block in blocks:
            if not len(block):
                continue
            emphasised = block - np.float32(PRE_EMPHASIS) * np.concatenate((last, block[:-1]))
            waiting, last, n_samples = np.concatenate((waiting, emphasised)), block[-1:], n_samples + len(block)
            while len(waiting) >= size + TRANSFORM - HOP:
                yield self._steps(waiting[: size + TRANSFORM - HOP])
                waiting, n_steps = waiting[size:], n_steps + self._chunk * STEPS
        rest = n_samples // HOP - n_steps
        if rest:
            yield self._steps(np.pad(waiting, (0, TRANSFORM // 2)))[:rest]

    def _steps(self, samples: Samples) -> Samples:
        frames = np.lib.stride_tricks.sliding_window_view(samples, TRANSFORM)[::HOP]
        power = np.abs(np.fft.rfft(frames * self._window)) ** 2
        # Without a library of linear algebra, whose threads decide the last bits of a product.
        mel = np.einsum("tf,fb->tb", power.astype(np.float32), self._filters)
        steps: Samples = np.log(mel + np.float32(LEAST))
        return steps


def clearest(embeddings: Samples, activity: Samples, silence: Samples, size: int) -> tuple[Samples, Samples]:
    """The `size` frames that say most of their speakers, and their activity: sorted by speaker, then by time.

    A frame says most in which one speaker is surely heard, and nobody else. After those of each speaker, and where
    there are too few, are frames of silence.

    Args:
        embeddings: (n, width), n over `size`. activity: (n, speakers). silence: an embedding, (width,).
    """
    n_frames, n_speakers = activity.shape
    place = size // n_speakers - SILENT_FRAMES
    sure = np.log(np.maximum(activity, LEAST_PROBABILITY))
    unsure = np.log(np.maximum(1 - activity, LEAST_PROBABILITY))
    scores = sure - unsure + unsure.sum(axis=1, keepdims=True) + np.log(2)
    speaks = activity > HEARD
    clear = speaks & (scores > 0)
    enough = clear.sum(axis=0) >= int(place * CLEAR_SHARE)
    scores = np.where(speaks & (clear | ~enough), scores, -np.inf)
    scores[size:] += LATEST
    for share, gain in ((STRONG_SHARE, 2), (WEAK_SHARE, 1)):
        best = np.argsort(-scores, axis=0, kind="stable")[: int(place * share)]
        np.put_along_axis(scores, best, np.take_along_axis(scores, best, 0) + gain * np.log(2), 0)
    scores = np.concatenate((scores, np.full((SILENT_FRAMES, n_speakers), np.inf)))
    best = np.argsort(-scores.ravel(), kind="stable")[:size]
    frames, speakers = np.divmod(best[scores.ravel()[best] > -np.inf], n_speakers)
    chosen = np.full(size, n_frames)
    chosen[: len(frames)] = np.minimum(frames[np.lexsort((frames, speakers))], n_frames)
    with_silence = np.concatenate((activity, np.zeros((1, n_speakers), activity.dtype)))
    return np.concatenate((embeddings, silence[None]))[chosen], with_silence[chosen]
