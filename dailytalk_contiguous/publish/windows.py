"""Windows of conversations for a trainer of PyTorch: both sides of sound, and the words in it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import Any, TypedDict

import datasets
import numpy as np
import soxr
import torch
from torch.utils.data import IterableDataset, get_worker_info

from dailytalk_contiguous.core import schema
from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.stereo_audio import StereoAudio
from dailytalk_contiguous.publish.conversation import AlignedWord, words_between

#: Seconds of one frame of Mimi, Moshi's codec: 12.5 a second.
FRAME_SECONDS = Fraction(2, 25)

#: Columns that windows are made of.
COLUMNS = ("conversation_id", "audio", "alignments")

#: Seconds around a window that are resampled with it and cut off again: more than soxr's filter reaches.
_MARGIN_SECONDS = 0.1


class Window(TypedDict):
    """A part of a conversation.

    `start` is its second in the conversation, `audio` float32 of shape (2, n), the main speaker first, with zeros
    from sample `length` on, beyond the end of the conversation. `words` have times in seconds of the window.
    """

    conversation_id: str
    start: float
    audio: Samples
    length: int
    words: list[AlignedWord]


class WindowBatch(TypedDict):
    """A batch of `collate_windows`: `audio` (b, 2, n), `lengths` (b,) int64 in samples, a list item a window."""

    conversation_id: list[str]
    start: torch.Tensor
    audio: torch.Tensor
    lengths: torch.Tensor
    words: list[list[AlignedWord]]


@dataclass(eq=False)
class _Windows(IterableDataset[Window]):
    dataset: Any
    seconds: float
    hop: float
    sample_rate: int
    main: str

    def __iter__(self) -> Iterator[Window]:
        for row in _own_rows(self.dataset):
            yield from _of_row(row, self.seconds, self.hop, self.sample_rate, self.main)


def moshi_windows(
    dataset: Any, seconds: float = 30.0, hop: float | None = None, sample_rate: int = 24000, main: str = "left"
) -> "IterableDataset[Window]":
    """Return the windows of all conversations of a dataset, one after another, for a loop or a `DataLoader`.

    Windows are at fixed places of each conversation, so that a run can be repeated; only their own seconds are
    decoded. The workers of a DataLoader share the conversations: a stream its shards, other datasets their rows.

    >>> from dailytalk_contiguous import load, moshi_windows
    >>> windows = moshi_windows(load("work", split="train"), seconds=2.4)
    >>> [(window["start"], window["audio"].shape, window["length"]) for window in windows]
    [(0.0, (2, 57600), 57600), (2.4, (2, 57600), 57600), (4.8, (2, 57600), 28800)]
    >>> [word.text for word in next(iter(windows))["words"]]
    ['Hello', 'there.', 'Hi,', 'hello.']

    Args:
        dataset: rows of the config `conversations`: a split that `load` returned, or a list of rows.
        seconds: length of a window, a multiple of 0.08 s (one frame of Mimi).
        hop: seconds from one window to the next, in (0, seconds]; `seconds` if None. The last window of a
            conversation is the first that reaches its end.
        sample_rate: Hz; other audio is resampled.
        main: the side that is Moshi's, `left` (the resynthesised speaker) or `right`.

    Returns an iterable of `Window`s; iterating again starts over.

    Raises DailytalkError: `seconds` or `hop` can't be, a column is missing, or a conversation isn't stereo.
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
            "what is between windows would be left out; give a smaller one",
        )
    if main not in schema.CHANNELS:
        raise DailytalkError(f"main is {main!r}", f"choose one of {', '.join(schema.CHANNELS)}")
    names = getattr(dataset, "column_names", None)
    missing = [name for name in COLUMNS if names is not None and name not in names]
    if missing:
        raise DailytalkError(
            f"the dataset has no column {', '.join(missing)}", "load one split of the config conversations"
        )
    return _Windows(dataset, nearest, nearest if hop is None else hop, sample_rate, main)


def collate_windows(batch: Sequence[Window]) -> WindowBatch:
    """Make windows of one length one batch: the `collate_fn` of a DataLoader over `moshi_windows`."""
    return {
        "conversation_id": [window["conversation_id"] for window in batch],
        "start": torch.tensor([window["start"] for window in batch], dtype=torch.float64),
        "audio": torch.from_numpy(np.stack([window["audio"] for window in batch])),
        "lengths": torch.tensor([window["length"] for window in batch], dtype=torch.int64),
        "words": [window["words"] for window in batch],
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


def _of_row(row: Mapping[str, Any], seconds: float, hop: float, sample_rate: int, main: str) -> Iterator[Window]:
    name = row["conversation_id"]
    audio = row["audio"] if isinstance(row["audio"], StereoAudio) else StereoAudio(row["audio"])
    if audio.channels != 2:
        raise DailytalkError(
            f"the audio of {name} has {audio.channels} channel(s), not 2", "load the conversations"
        )
    words = [
        AlignedWord(word["word"], word["start"], word["end"], word["speaker"] == main)
        for word in row["alignments"] or ()
    ]
    total = audio.seconds
    number = 0
    while True:
        start = number * hop
        end = min(start + seconds, total)
        if audio.sample_rate == sample_rate:
            samples = audio.read(start, end)
        else:
            first, last = max(0.0, start - _MARGIN_SECONDS), min(total, end + _MARGIN_SECONDS)
            around: Samples = soxr.resample(audio.read(first, last), audio.sample_rate, sample_rate)
            before = round((start - first) * sample_rate)
            samples = around[before : before + round((end - start) * sample_rate)]
        padded = np.zeros((2, round(seconds * sample_rate)), np.float32)
        by_side = samples if main == "left" else samples[:, ::-1]
        padded[:, : len(samples)] = by_side[: padded.shape[1]].T
        yield {
            "conversation_id": name,
            "start": start,
            "audio": padded,
            "length": min(len(samples), padded.shape[1]),
            "words": words_between(words, start, end),
        }
        number += 1
        # Half a sample: the rest of a length that is a multiple of the hop is rounding.
        if start + seconds >= total - 0.5 / audio.sample_rate:
            return
