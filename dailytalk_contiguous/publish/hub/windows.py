"""Windows of conversations for a trainer of PyTorch: both sides of sound, and the words in it."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias, TypedDict

import datasets
import numpy as np
import soxr
import torch
from msgspec.structs import replace
from torch.utils.data import IterableDataset, get_worker_info

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records import schema
from dailytalk_contiguous.core.records.finished import aligned_word
from dailytalk_contiguous.core.settings import one_of
from dailytalk_contiguous.core.sound.samples import Samples
from dailytalk_contiguous.core.words.word import Word, words_between
from dailytalk_contiguous.machine.sound_columns import stereo_sound
from dailytalk_contiguous.machine.stereo_audio import StereoAudio

#: Seconds of one frame of Mimi, Moshi's codec: 12.5 a second.
FRAME_SECONDS = Fraction(2, 25)


#: Rows of the config `conversations`: a split that `load` returned, or a list of rows.
ConversationRows: TypeAlias = Sequence[schema.Row] | datasets.Dataset | datasets.IterableDataset


class Window(TypedDict):
    """A part of a conversation.

    `start` is its second in the conversation, `audio` float32 of shape (2, n), the main speaker first, with zeros
    from sample `length` on, beyond the end of the conversation. `words` have times in seconds of the window, their
    probability, and as `side` that of the conversation, `left` or `right`; nothing else of a word is set.
    """

    conversation_id: str
    start: float
    audio: Samples
    length: int
    words: list[Word]


class WindowsState(TypedDict):
    """The position of the next window: JSON can hold it.

    `rows` is the `state_dict` of a stream before the conversation of the window, which names the version, or the
    number of that conversation in any other dataset; None before the first one. `window` counts the windows of the
    conversation before it.
    """

    rows: dict[str, Any] | int | None
    window: int


def moshi_windows(
    dataset: ConversationRows,
    seconds: float = 30.0,
    sample_rate: int = 24000,
    main: str = "left",
    min_seconds: float = 0.0,
) -> "MoshiWindows":
    """Return the windows of all conversations of a dataset, one after another, for a loop or a `DataLoader`.

    Windows are at fixed places of each conversation, so that a run can be repeated; a conversation is decoded as a
    whole, from its `audio` or from `left` and `right`. The workers of a DataLoader share the conversations: a
    stream its shards, other datasets their rows. `state_dict()` returns the position after a window; after
    `load_state_dict()` the next iteration goes on there, with the same windows. torchdata's StatefulDataLoader
    calls both.

    >>> from dailytalk_contiguous import load, moshi_windows
    >>> windows = moshi_windows(load("work", split="train"), seconds=2.4)
    >>> [(window["start"], window["audio"].shape, window["length"]) for window in windows]
    [(0.0, (2, 57600), 57600), (2.4, (2, 57600), 57600), (4.8, (2, 57600), 28800)]
    >>> [word.word for word in next(iter(windows))["words"]]
    ['Hello', 'there.', 'Hi,', 'hello.']

    Args:
        dataset: rows of the config `conversations`: a split that `load` returned, or a list of rows.
        seconds: length of a window, a multiple of 0.08 s (one frame of Mimi).
        sample_rate: Hz; other audio is resampled.
        main: the side that is Moshi's, `left` (the resynthesised speaker) or `right`.
        min_seconds: windows with less sound than this are left out, from 0 to `seconds`. The last window of a
            conversation has what is left of it, at worst a sample, and is filled up with zeros.

    Returns an iterable of `Window`s; iterating again starts over.

    Raises DailytalkError: `seconds`, `main` or `min_seconds` can't be.
    """
    nearest = float(max(1, round(seconds / FRAME_SECONDS)) * FRAME_SECONDS)
    if abs(seconds - nearest) > 1e-9:
        raise DailytalkError(
            f"the length of a window must be a multiple of {float(FRAME_SECONDS)} s, and {seconds} s is none",
            f"the nearest is {nearest:g} s",
        )
    if not 0.0 <= min_seconds <= nearest:
        raise DailytalkError(
            f"windows of {nearest:g} s can't have {min_seconds:g} s of sound",
            f"give min_seconds from 0 to {nearest:g}",
        )
    return MoshiWindows(dataset, nearest, sample_rate, one_of("main", main, schema.CHANNELS), min_seconds)


class WindowBatch(TypedDict):
    """Windows of one length as a batch of b: lists with an item a window, and tensors.

    `start` is (b,) seconds, `audio` (b, 2, n), and `lengths` (b,) int64 in samples.
    """

    conversation_id: list[str]
    words: list[list[Word]]
    start: torch.Tensor
    audio: torch.Tensor
    lengths: torch.Tensor


def collate_windows(batch: Sequence[Window]) -> WindowBatch:
    """Make windows of one length one batch: the `collate_fn` of a DataLoader over `moshi_windows`."""
    starts = [window["start"] for window in batch]
    lengths = [window["length"] for window in batch]
    audio = np.stack([window["audio"] for window in batch])
    return {
        "conversation_id": [window["conversation_id"] for window in batch],
        "words": [window["words"] for window in batch],
        "start": torch.tensor(starts, dtype=torch.float64),
        "audio": torch.from_numpy(audio),
        "lengths": torch.tensor(lengths, dtype=torch.int64),
    }


@dataclass(eq=False)
class MoshiWindows(IterableDataset[Window]):
    """The windows of a dataset, as `moshi_windows` returns them."""

    dataset: ConversationRows
    seconds: float
    sample_rate: int
    main: str
    min_seconds: float = 0.0

    def __post_init__(self) -> None:
        self._state: WindowsState = {"rows": None, "window": 0}
        self._is_resumed = False

    def state_dict(self) -> WindowsState:
        """Return the position after the last window that was yielded, for `load_state_dict`."""
        return copy.deepcopy(self._state)

    def load_state_dict(self, state: WindowsState) -> None:
        """Begin the next iteration at a position that `state_dict` returned; the one after it starts over."""
        self._state = copy.deepcopy(state)
        self._is_resumed = True

    def __iter__(self) -> Iterator[Window]:
        if not self._is_resumed:
            self._state = {"rows": None, "window": 0}
        self._is_resumed = False
        n_done = self._state["window"]
        for row in self._rows(self._state["rows"]):
            for number, window in enumerate(self.of_row(row)):
                if number >= n_done:
                    self._state["window"] = number + 1
                    yield window
            n_done = 0

    def _rows(self, position: dict[str, Any] | int | None) -> Iterator[schema.Row]:
        """Yield the conversations of this worker, from a position on; the state gets the position of each."""
        if isinstance(self.dataset, datasets.IterableDataset):
            yield from self._streamed_rows(self.dataset, position if isinstance(position, dict) else None)
            return
        worker = get_worker_info()
        first = worker.id if worker else 0
        step = worker.num_workers if worker else 1
        if isinstance(position, int):
            first = position
        for number in range(first, len(self.dataset), step):
            self._state = {"rows": number, "window": 0}
            yield self.dataset[number]

    def _streamed_rows(
        self, stream: datasets.IterableDataset, position: dict[str, Any] | None
    ) -> Iterator[schema.Row]:
        """Yield the same of a stream, which divides its shards among workers by itself."""
        is_resumed = position is not None
        if position is None:
            stream._prepare_ex_iterable_for_iteration()  # the position of an earlier iteration ends here
            position = stream.state_dict()
        else:
            stream.load_state_dict(position)
        for row in stream:
            if is_resumed:
                stream.load_state_dict({})  # it would hold for all later iterations, too
            self._state = {"rows": position, "window": 0}
            yield row
            position = stream.state_dict()
        if is_resumed:
            stream.load_state_dict({})

    def of_row(self, row: schema.Row) -> Iterator[Window]:
        audio = StereoAudio(stereo_sound(row))
        words = [replace(aligned_word(word), filler=None, source="") for word in row["alignments"] or ()]
        samples: Samples = audio.read()
        if self.main != "left":
            samples = samples[:, ::-1]
        if audio.sample_rate != self.sample_rate:
            samples = soxr.resample(samples, audio.sample_rate, self.sample_rate)
        size = round(self.seconds * self.sample_rate)
        least = round(self.min_seconds * self.sample_rate)
        for first in range(0, len(samples), size):
            part = samples[first : first + size]
            if len(part) < least:
                continue
            start = first / self.sample_rate
            padded = np.zeros((2, size), np.float32)
            padded[:, : len(part)] = part.T
            yield {
                "conversation_id": row["conversation_id"],
                "start": start,
                "audio": padded,
                "length": len(part),
                "words": words_between(words, start, start + self.seconds),
            }
