"""Findings, and the checks of every file: of its sound, decoded to the end, and of its words.

A file with a thousand bad words has one finding of that kind, with their number and the first of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core import documents
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.quotas import MOST_ROW_SECONDS, Quota
from dailytalk_contiguous.core.records.finding import Finding, Level, error, finding_on_examples
from dailytalk_contiguous.core.records.schema import MAIN
from dailytalk_contiguous.core.sound.levels import frame_levels, pcm_levels
from dailytalk_contiguous.core.sound.quality import BELOW_LOUDEST, SILENCE_DBFS
from dailytalk_contiguous.core.sound.samples import Pcm
from dailytalk_contiguous.core.style.tags import tags_among
from dailytalk_contiguous.core.words.moshi_words import frame_of
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.machine.audio import AudioStruct, blocks, read_header, to_uri
from dailytalk_contiguous.store.files import inside

#: Seconds that a word may be outside its audio: the sample that is lost or won when the rate is changed.
TOLERANCE = 0.001

#: Seconds of a frame: about two periods of a low voice, short beside any word, and long enough that room tone does
#: not look like speech by chance.
FRAME_SECONDS = 0.02


@dataclass(frozen=True)
class Loudness:
    """The levels of a file.

    Attributes:
        seconds: length as decoded, not as its header promises.
        dbfs: RMS of each frame in dB of full scale, shape (frames, channels).
        frame: seconds of a frame.
    """

    sample_rate: int
    channels: int
    seconds: float
    dbfs: NDArray[np.float32]
    frame: float

    def loudest(self, channel: int) -> float:
        """The level of a channel's loudest frame in dB of full scale; minus infinity of an empty file."""
        if not len(self.dbfs):
            return -np.inf
        return float(self.dbfs[:, channel].max())

    def is_silent(self, channel: int) -> bool:
        return self.loudest(channel) < SILENCE_DBFS

    def has_energy(self, start: float, end: float, channel: int) -> bool:
        """Whether there is sound between `start` and `end` in seconds, give or take one frame."""
        first = max(0, int(start / self.frame) - 1)
        last = int(np.ceil(end / self.frame)) + 1
        levels = self.dbfs[first:last, channel]
        return len(levels) > 0 and float(levels.max()) >= self._least(channel)

    def _least(self, channel: int) -> float:
        """The level in dB of full scale under which a frame of a channel is silent."""
        return max(SILENCE_DBFS, self.loudest(channel) - BELOW_LOUDEST)


def measure_loudness(audio: AudioStruct) -> Loudness:
    """Measure encoded audio, a `{"bytes", "path"}` struct.

    It is read in blocks, so that an hour needs hardly more memory than a minute. Raises BadInput if it can't be
    read to its end, and if it lasts longer than `MOST_ROW_SECONDS`.
    """
    header = read_header(audio)
    Quota("its sound", MOST_ROW_SECONDS, "seconds", "cut it into conversations").take(header.seconds)
    rate = header.sample_rate
    frame = _frame_samples(rate)
    powers = [np.zeros((0, header.channels), np.float32)]
    n_samples = 0
    for block in blocks(audio, block_seconds=1000 * frame / rate):  # 1,000 frames at once
        n_samples += len(block)
        channels = [frame_levels(channel, frame) for channel in block.T]
        powers.append(np.stack(channels, axis=1))
    return _loudness(np.concatenate(powers), rate, n_samples)


def pcm_loudness(pcm: Pcm, sample_rate: int) -> Loudness:
    """Measure samples that are decoded already, shape (n, channels), as `measure_loudness` does."""
    frame = _frame_samples(sample_rate)
    power = np.stack([pcm_levels(channel, frame) for channel in pcm.T], axis=1)
    return _loudness(power, sample_rate, len(pcm))


def _frame_samples(sample_rate: int) -> int:
    return max(1, round(FRAME_SECONDS * sample_rate))


def _loudness(power: NDArray[np.float32], sample_rate: int, n_samples: int) -> Loudness:
    """The loudness of sound with this mean square in each frame and channel, shape (frames, channels)."""
    with np.errstate(divide="ignore"):
        dbfs = np.asarray(10 * np.log10(power), np.float32)
    seconds = n_samples / sample_rate
    frame = _frame_samples(sample_rate) / sample_rate
    return Loudness(sample_rate, power.shape[1], seconds=seconds, dbfs=dbfs, frame=frame)


def loudness_of(file: str, audio: Callable[[], AudioStruct]) -> tuple[Loudness | None, list[Finding]]:
    """Measure the sound that `audio` returns; None and a finding on `file` if it can't be read."""
    try:
        return measure_loudness(audio()), []
    except BadInput as problem:
        return None, [error("unreadable-audio", file, problem.reason, problem.remedy)]
    except FileNotFoundError:
        return None, [error("missing-audio", file, "it isn't there", "export or build it again")]


def loudness_of_wav(folder: Path, name: str) -> tuple[Loudness | None, list[Finding]]:
    """Call `loudness_of` for a file that a list of `folder` names."""
    return loudness_of(name, lambda: {"bytes": None, "path": to_uri(inside(folder, name))})


#: Share of the words without energy above which their times are wrong altogether. A single one is mostly a mumbled
#: word, or one that the recogniser made up.
SILENT_SHARE = 0.05

#: Share of the words that the trainer may lose to another in their frame: above it, their times are wrong as well.
SAME_FRAME_SHARE = 0.05

#: The remedy of words that are wrong in themselves.
AGAIN = "build it again; after edits by hand run `dailytalk speak` and export again"


def word_findings(file: str, words: Sequence[Word], loudness: Loudness | None, left: str = MAIN) -> list[Finding]:
    """Return the findings on the words of a file, in the order of the file.

    moshi-finetune finds the words of a window by binary search on their starts, drops those without length, and
    trains those past the end of the audio on padding, all without a message, so each of these is an error here. If
    two words begin in one frame of 80 ms, it loses the first.

    Without `loudness` (the audio can't be read) their times are not compared with the audio. `left` is the `side`
    of words on the left channel.
    """

    def errors_on(kind: str, examples: Sequence[str], clause: str, remedy: str = AGAIN) -> Finding | None:
        return finding_on_examples(kind, file, examples, clause, len(words), remedy)

    backwards = [_quoted(after) for before, after in pairwise(words) if after.start < before.start]
    empty = [_quoted(word) for word in words if not word.word.strip()]
    short = [_quoted(word) for word in words if word.end <= word.start]
    sort_them = "sort them by start: the trainer loses words that are not"
    overlap = "words begin before the same speaker's last one ends"
    candidates = [
        errors_on("unsorted-words", backwards, "words start before the one in front of them", sort_them),
        errors_on("empty-word", empty, "words have no text"),
        errors_on("zero-length-word", short, "words have no length"),
        errors_on("overlapping-words", _overlapping(words), overlap),
        _words_in_one_frame(file, [word for word in words if word.speaker == MAIN]),
    ]
    for speaker in sorted({word.speaker for word in words}):
        tags = tags_among([word.word for word in words if word.speaker == speaker])
        clause = "words are style tags, which the model would learn to say"
        candidates.append(errors_on("tag-among-words", tags, clause, "align the text without tags"))
    if loudness:
        latest = loudness.seconds + TOLERANCE
        outside = [_quoted(word) for word in words if word.start < 0 or word.end > latest]
        clause = f"words are outside the {loudness.seconds:.2f} s of audio"
        candidates.append(errors_on("word-outside-audio", outside, clause))
        candidates.append(_silent_words(file, words, loudness, left))
    return [*filter(None, candidates)]


def _overlapping(words: Sequence[Word]) -> list[str]:
    overlapping = []
    for speaker in sorted({word.speaker for word in words}):
        spoken = [word for word in words if word.speaker == speaker]
        spoken.sort(key=lambda word: (word.start, word.end))
        for before, after in pairwise(spoken):
            if after.start < before.end - TOLERANCE:
                overlapping.append(_quoted(after))
    return overlapping


def _words_in_one_frame(file: str, words: Sequence[Word]) -> Finding | None:
    """The finding on words that begin in the frame of the next one.

    `words`: Moshi's own, since the trainer reads no others.
    """
    timed = [word for word in words if 0 <= word.start < word.end < documents.LATEST]
    timed.sort(key=lambda word: word.start)
    lost = []
    for word, after in pairwise(timed):
        if frame_of(word.start) == frame_of(after.start):
            lost.append(_quoted(word))
    level: Level = "error" if len(lost) > SAME_FRAME_SHARE * len(words) else "advice"
    clause = "words begin in the same 80 ms frame as the next, and are lost"
    remedy = "export it again with `dailytalk export --format moshi`"
    return finding_on_examples("same-frame", file, lost, clause, len(words), remedy, level)


def _silent_words(file: str, words: Sequence[Word], loudness: Loudness, left: str) -> Finding | None:
    """The finding on words where nothing is heard."""
    silent = []
    for word in words:
        # A silent channel has a separate finding, and so has a word outside the audio.
        is_inside = 0 <= word.start < word.end <= loudness.seconds + TOLERANCE
        channel = 0 if word.speaker == left else 1
        has_channel = channel < loudness.channels and not loudness.is_silent(channel)
        if is_inside and has_channel and not loudness.has_energy(word.start, word.end, channel):
            silent.append(_quoted(word))
    total = len(words)
    level: Level = "error" if len(silent) > SILENT_SHARE * total else "advice"
    remedy = "build it again, with a recogniser or a transcript whose times are better"
    clause = "words are where nothing is heard"
    return finding_on_examples("silent-word", file, silent, clause, total, remedy, level)


def _quoted(word: Word) -> str:
    return f'"{word.word}" at {word.start:.2f} s'
