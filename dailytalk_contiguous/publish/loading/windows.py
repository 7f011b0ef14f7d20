"""Windows of conversations for PyTorch: both channels as (2, n), the words in them, and a batch of both.

Windows lie at fixed places of each conversation, so that a run can be repeated; only their own seconds are
decoded. What a window holds beyond the end of its conversation is zeros, told apart by `length`. Mimi, Moshi's
codec, makes 12.5 frames a second, so that a window is a whole number of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import islice
from typing import Any, TypedDict

import datasets
import numpy as np
import soxr
import torch
from torch.utils.data import IterableDataset, get_worker_info

from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.loading.stereo import StereoAudio
from dailytalk_contiguous.publish.rows import Word

#: Seconds of one frame of Mimi: 12.5 a second.
FRAME_SECONDS = Fraction(2, 25)

#: Columns that windows are made of.
COLUMNS = ("conversation_id", "audio", "alignments")

#: Seconds around a window that are resampled with it and cut off again: more than soxr's filter reaches.
_MARGIN_SECONDS = 0.1


class Window(TypedDict):
    """A part of a conversation.

    `start` is its second in the conversation, `audio` float32 of shape (2, n), the re-voiced speaker first, with
    zeros from sample `length` on. `words` have times in seconds of the window; `main`: the re-voiced speaker's.
    """

    conversation_id: str
    start: float
    audio: Samples
    length: int
    words: list[Word]


class Batch(TypedDict):
    """What `collate_windows` makes: `audio` (b, 2, n), `lengths` (b,) int64 in samples, and a list a window."""

    conversation_id: list[str]
    start: torch.Tensor
    audio: torch.Tensor
    lengths: torch.Tensor
    words: list[list[Word]]


class _Windows(IterableDataset[Window]):
    def __init__(self, dataset: Any, seconds: float, hop: float, sample_rate: int) -> None:
        self.dataset, self.seconds, self.hop, self.sample_rate = dataset, seconds, hop, sample_rate

    def __iter__(self) -> Iterator[Window]:
        for row in _own_rows(self.dataset):
            yield from _of_row(row, self.seconds, self.hop, self.sample_rate)


def moshi_windows(
    dataset: Any, seconds: float = 30.0, hop: float | None = None, sample_rate: int = 24000
) -> "IterableDataset[Window]":
    """Windows of all conversations of a dataset, one after another, for a loop or a `DataLoader`.

    The workers of a DataLoader share the conversations among them: a stream its shards, anything else its rows.

    Args:
        dataset: rows of the config `conversations`: what `load` gives for a split, or a list of rows.
        seconds: length of a window, a multiple of 0.08 s (one frame of Mimi).
        hop: seconds from one window to the next, in (0, seconds]; `seconds` if None. The last window of a
            conversation is the first that reaches its end.
        sample_rate: Hz; other audio is resampled.

    Returns:
        An iterable of `Window`s; iterating again begins anew.

    Raises:
        DailytalkError: `seconds` or `hop` can't be, a column is missing, or a conversation isn't stereo.
    """
    frames = round(seconds / FRAME_SECONDS) if seconds > 0 else 0
    nearest = float(max(1, frames) * FRAME_SECONDS)
    if not frames or abs(seconds - nearest) > 1e-9:
        raise DailytalkError(
            f"windows of {seconds} s are no whole number of Moshi's frames of {float(FRAME_SECONDS)} s",
            f"the nearest is {nearest:g} s",
        )
    if hop is not None and not 0 < hop <= seconds:
        raise DailytalkError(
            f"a hop of {hop} s is not above 0 and at most the {seconds:g} s of a window",
            "what lies between windows would be left out; give a smaller one",
        )
    names = getattr(dataset, "column_names", None)
    missing = [name for name in COLUMNS if names is not None and name not in names]
    if missing:
        raise DailytalkError(
            f"the dataset has no column {', '.join(missing)}", "load one split of the config conversations"
        )
    return _Windows(dataset, nearest, nearest if hop is None else hop, sample_rate)


def collate_windows(batch: Sequence[Window]) -> Batch:
    """Windows of one length as one batch: the `collate_fn` of a DataLoader over `moshi_windows`."""
    return {
        "conversation_id": [one["conversation_id"] for one in batch],
        "start": torch.tensor([one["start"] for one in batch], dtype=torch.float64),
        "audio": torch.from_numpy(np.stack([one["audio"] for one in batch])),
        "lengths": torch.tensor([one["length"] for one in batch], dtype=torch.int64),
        "words": [one["words"] for one in batch],
    }


def _own_rows(dataset: Any) -> Iterator[Mapping[str, Any]]:
    """The rows of this worker; a stream of `datasets` knows by itself which are."""
    worker = get_worker_info()
    if worker is None or isinstance(dataset, datasets.IterableDataset):
        yield from dataset
    elif isinstance(dataset, datasets.Dataset):
        yield from dataset.select(range(worker.id, len(dataset), worker.num_workers))
    else:
        yield from islice(dataset, worker.id, None, worker.num_workers)


def _of_row(row: Mapping[str, Any], seconds: float, hop: float, sample_rate: int) -> Iterator[Window]:
    name = row["conversation_id"]
    audio = row["audio"] if isinstance(row["audio"], StereoAudio) else StereoAudio(row["audio"])
    if audio.channels != 2:
        raise DailytalkError(
            f"the audio of {name} has {audio.channels} channel(s), not 2", "load the conversations"
        )
    words = [
        Word(one["word"], one["start"], one["end"], one["speaker"] == "left") for one in row["alignments"] or ()
    ]
    total = audio.seconds
    number = 0
    while True:
        start = number * hop
        samples = _read(audio, start, min(start + seconds, total), sample_rate)
        padded = np.zeros((2, round(seconds * sample_rate)), np.float32)
        padded[:, : len(samples)] = samples[: padded.shape[1]].T
        yield {
            "conversation_id": name,
            "start": start,
            "audio": padded,
            "length": min(len(samples), padded.shape[1]),
            "words": _words(words, start, min(start + seconds, total)),
        }
        number += 1
        # Half a sample: what is left of a length that is a multiple of the hop is rounding.
        if start + seconds >= total - 0.5 / audio.sample_rate:
            return


def _read(audio: StereoAudio, start: float, end: float, sample_rate: int) -> Samples:
    """Samples of a part at `sample_rate`, shape (n, 2)."""
    if audio.sample_rate == sample_rate:
        return audio.read(start, end)
    first, last = max(0.0, start - _MARGIN_SECONDS), min(audio.seconds, end + _MARGIN_SECONDS)
    around: Samples = soxr.resample(audio.read(first, last), audio.sample_rate, sample_rate)
    before = round((start - first) * sample_rate)
    return around[before : before + round((end - start) * sample_rate)]


def _words(words: Sequence[Word], start: float, end: float) -> list[Word]:
    """Words whose middle lies in a window, in its time, cut to it."""
    return [
        Word(word.text, max(word.start, start) - start, min(word.end, end) - start, word.main)
        for word in words
        if start <= (word.start + word.end) / 2 < end
    ]
