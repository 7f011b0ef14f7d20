"""Streaming Sortformer: who of up to four speakers is heard in each 80 ms, by a network of NVIDIA's in ONNX.

The network hears ten seconds at a time, beside them the frames before (a queue) and the clearest ones of each
speaker so far (a cache), which is how a speaker keeps his place for hours in constant memory. Both are kept here,
as NeMo does it (`SortformerModules.streaming_update`). Medennikov et al. 2025, "Streaming Sortformer: Speaker
Cache-Based Online Speaker Diarization with Arrival-Time Ordering".
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from dailytalk_contiguous.apps.mono.diarisation import by_first_heard
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.documents import quoted
from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.core.librosa_import import import_librosa
from dailytalk_contiguous.core.spans import SpeakerTurn, true_runs
from dailytalk_contiguous.models.devices import open_onnx

#: The spectrogram: samples of a step, a window and its transform; bands; what keeps its logarithm finite.
HOP, WINDOW, TRANSFORM, BANDS, LEAST = 160, 400, 512, 128, 2.0**-24
PRE_EMPHASIS = 0.97

#: Steps of the spectrogram in a frame of the network, and the seconds of one.
STEPS, FRAME_SECONDS = 8, 8 * HOP / ANALYSIS_RATE

#: Speakers. Frames of a chunk, of the queue and of the cache, and those that are heard on each side of a chunk.
SPEAKERS, CHUNK, QUEUE, CACHE, BESIDE = 4, 124, 124, 188, 1

#: Above which probability a speaker is heard, and below which sum of all nobody is.
HEARD, SILENT = 0.5, 0.2

#: How the cache is filled: silent frames after those of each speaker; the least probability that counts; what the
#: latest frames gain; and by shares of a speaker's place: clear frames that are enough, and those that gain.
SILENT_FRAMES, LEAST_PROBABILITY, LATEST = 3, 0.25, 0.05
ENOUGH, GAINS = 0.5, ((0.75, 2), (1.5, 1))

#: The inputs of a file, each with its length, and its outputs.
INPUTS, OUTPUTS = ("chunk", "spkcache", "fifo"), ("spkcache_fifo_chunk_preds", "chunk_pre_encode_embs")


class Sortformer:
    """The network in a file as parakeet-rs exports it. Raises ModelMissing for a file of anything else."""

    def __init__(self, name: str, path: Path, device: str, remedy: str) -> None:
        self._name, self._remedy = name, remedy
        try:
            self._session = open_onnx(path, device)
            outputs = {node.name for node in self._session.get_outputs() if node.type == "tensor(float)"}
            widths = {node.name: (node.shape or [0])[-1] for node in self._session.get_inputs()}
        except Exception as error:  # those of ONNX Runtime have no class in common
            raise self._unusable(str(error)) from None
        self._width: int = widths.get("spkcache") or 0
        expected = {*INPUTS, *(f"{name}_lengths" for name in INPUTS)}
        if {*widths} != expected or not {*OUTPUTS} <= outputs or self._width not in range(1, 4097):
            raise self._unusable(f"it takes {quoted([*widths])} and gives {quoted([*outputs])}")
        self._window = np.pad(np.hanning(WINDOW), (TRANSFORM - WINDOW) // 2).astype(np.float32)
        bands = import_librosa().filters.mel(sr=ANALYSIS_RATE, n_fft=TRANSFORM, n_mels=BANDS)
        self._filters = np.ascontiguousarray(bands.T, np.float32)

    def diarise(self, blocks: Iterable[Samples], speakers: int | None = None) -> list[SpeakerTurn]:
        """The turns of a recording; with `speakers`, those of as many who speak most.

        The last may end up to a frame after the recording.
        """
        activity = np.concatenate([np.zeros((0, SPEAKERS), np.float32), *self.activity(blocks)])
        activity = activity[:, np.argsort(-activity.sum(axis=0), kind="stable")[:speakers]]
        turns = [
            SpeakerTurn(speaker, first * FRAME_SECONDS, end * FRAME_SECONDS, float(heard[first:end].mean()))
            for speaker, heard in enumerate(activity.T)
            for first, end in true_runs(heard > HEARD).tolist()
        ]
        return by_first_heard(turns)

    def activity(self, blocks: Iterable[Samples]) -> Iterator[Samples]:
        """The probability that each speaker speaks in each frame (frames, speakers), a chunk at a time."""
        cache = queue = np.zeros((0, self._width), np.float32)
        cached: Samples | None = None  # the activity of the cache, once it was full
        silence, n_silent = np.zeros(self._width, np.float32), 0
        for steps, left, right in in_context(self._spectrogram(blocks)):
            interrupts.check_interrupt()
            activity, embeddings = self._hear(steps, cache, queue)
            own = slice(left, len(embeddings) - right)
            before, queued, chunk = np.split(activity, [len(cache), len(cache) + len(queue)])
            yield chunk[own]
            queue, queued = np.concatenate((queue, embeddings[own])), np.concatenate((queued, chunk[own]))
            if len(queue) <= QUEUE:
                continue
            leaving, leaving_activity, queue = queue[:CHUNK], queued[:CHUNK], queue[CHUNK:]
            quiet = leaving[leaving_activity.sum(axis=1) < SILENT]
            if len(quiet):
                silence = (silence * n_silent + quiet.sum(axis=0)) / (n_silent + len(quiet))
                n_silent += len(quiet)
            cache = np.concatenate((cache, leaving))
            known = np.concatenate((before if cached is None else cached, leaving_activity))
            if len(cache) > CACHE:
                cache, cached = clearest(cache, known, silence, CACHE)

    def _hear(self, steps: Samples, cache: Samples, queue: Samples) -> tuple[Samples, Samples]:
        """Activity of the frames of cache, queue and chunk, and the embeddings of the chunk's frames."""
        heard = dict(zip(INPUTS, (steps, cache, queue), strict=True))
        feeds = {f"{name}_lengths": np.array([len(array)], np.int64) for name, array in heard.items()}
        heard["chunk"] = np.pad(steps, ((0, (CHUNK + 2 * BESIDE) * STEPS - len(steps)), (0, 0)))
        n_frames = -(-len(steps) // STEPS)
        total = len(cache) + len(queue) + n_frames
        try:
            outputs = self._session.run(OUTPUTS, feeds | {name: array[None] for name, array in heard.items()})
            activity, embeddings = outputs[0][0, :total], outputs[1][0, :n_frames]
        except Exception as error:
            raise self._unusable(str(error)) from None
        fitting = activity.shape == (total, SPEAKERS) and embeddings.shape == (n_frames, self._width)
        if not (fitting and np.isfinite(activity).all() and np.isfinite(embeddings).all()):
            raise self._unusable(f"it computes {activity.shape} of {total} frames, or what is no number")
        return np.clip(activity, 0, 1), embeddings

    def _unusable(self, reason: str) -> ModelMissing:
        short = " ".join(reason.split())[:200]
        return ModelMissing(f"{self._name!r} is no streaming Sortformer ({short})", self._remedy)

    def _spectrogram(self, blocks: Iterable[Samples]) -> Iterator[Samples]:
        """Log-mel steps (n, bands), a chunk at a time, whatever the lengths of the blocks."""
        size = CHUNK * STEPS * HOP
        waiting, last = np.zeros(TRANSFORM // 2, np.float32), np.zeros(1, np.float32)
        n_samples = n_steps = 0
        for block in blocks:
            emphasised = block - np.float32(PRE_EMPHASIS) * np.concatenate((last, block))[:-1]
            waiting, last = np.concatenate((waiting, emphasised)), np.concatenate((last, block))[-1:]
            n_samples += len(block)
            while len(waiting) >= size + TRANSFORM - HOP:
                yield self._steps(waiting[: size + TRANSFORM - HOP])
                waiting, n_steps = waiting[size:], n_steps + CHUNK * STEPS
        if rest := n_samples // HOP - n_steps:
            yield self._steps(np.pad(waiting, (0, TRANSFORM // 2)))[:rest]

    def _steps(self, samples: Samples) -> Samples:
        frames = np.lib.stride_tricks.sliding_window_view(samples, TRANSFORM)[::HOP]
        power = np.abs(np.fft.rfft(frames * self._window)) ** 2
        # Not by a library of linear algebra, whose threads decide the last bits of a product.
        steps: Samples = np.log(np.einsum("tf,fb->tb", power, self._filters) + np.float32(LEAST))
        return steps


def in_context(chunks: Iterable[Samples]) -> Iterator[tuple[Samples, int, int]]:
    """Each chunk with steps of those beside it, and the frames that these are on its left and right."""
    before = waiting = nothing = np.zeros((0, BANDS), np.float32)
    for following in chain(chunks, [nothing]):
        after = following[: BESIDE * STEPS]
        if len(waiting):
            yield np.concatenate((before, waiting, after)), len(before) // STEPS, -(-len(after) // STEPS)
        before, waiting = waiting[-BESIDE * STEPS :], following


def clearest(embeddings: Samples, activity: Samples, silence: Samples, size: int) -> tuple[Samples, Samples]:
    """The `size` of n frames with the clearest speakers, and their activity: by speaker, then by time.

    A frame is clear if one speaker surely speaks, and no other. Silence, an embedding (width,), follows those of
    each speaker, and fills the rest.
    """
    n_frames, n_speakers = activity.shape
    place = size // n_speakers - SILENT_FRAMES
    sure = np.log(np.maximum(activity, LEAST_PROBABILITY))
    unsure = np.log(np.maximum(1 - activity, LEAST_PROBABILITY))
    scores = sure - unsure + unsure.sum(axis=1, keepdims=True) + np.log(2)
    speaks = activity > HEARD
    clear = speaks & (scores > 0)
    enough = clear.sum(axis=0) >= int(place * ENOUGH)
    scores = np.where(speaks & (clear | ~enough), scores, -np.inf)
    scores[size:] += LATEST
    for share, gain in GAINS:
        best = np.argsort(-scores, axis=0, kind="stable")[: int(place * share)]
        np.put_along_axis(scores, best, np.take_along_axis(scores, best, 0) + gain * np.log(2), 0)
    scores = np.pad(scores, ((0, SILENT_FRAMES), (0, 0)), constant_values=np.inf).ravel()
    best = np.argsort(-scores, kind="stable")[:size]
    frames, speakers = np.divmod(best[scores[best] > -np.inf], n_speakers)
    chosen = np.full(size, n_frames)
    chosen[: len(frames)] = np.minimum(frames[np.lexsort((frames, speakers))], n_frames)
    return np.vstack((embeddings, silence))[chosen], np.pad(activity, ((0, 1), (0, 0)))[chosen]
