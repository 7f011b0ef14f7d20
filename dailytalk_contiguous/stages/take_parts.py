"""Take parts: a take of a turn, cut into its utterances."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple

import numpy as np
import soxr

from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.style.takes import Gate, Trimmed, trim
from dailytalk_contiguous.core.turns.turn_lines import cut_samples, find_cuts
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.core.words.word_times import split_words
from dailytalk_contiguous.models.alignment import align, aligner_of
from dailytalk_contiguous.models.contracts import Spoken
from dailytalk_contiguous.models.failures import ModelFailed, failing_softly
from dailytalk_contiguous.stages.lines_to_say import TurnToSay


class TakePart(NamedTuple):
    """The part of a take that is one utterance.

    Attributes:
        trimmed: its sound; `start` is in seconds of the whole take.
        words: as the voice timed them, in seconds of the whole take; empty if it did not time all of them.
    """

    trimmed: Trimmed
    words: Sequence[Word]


class Take(NamedTuple):
    """A take as it was bought.

    Attributes:
        key: its key in the cache.
        number: its number among the takes of its text.
        spoken: its sound, with edge silence.
        verdict: the cache's notes about it; None if it was not judged yet.
        is_new: whether this run has bought it.
        trimmed: its sound, without edge silence.
        parts: the parts of its turn's utterances, in order; empty if it can't be cut into them.
    """

    key: str
    number: int
    spoken: Spoken
    verdict: Mapping[str, object] | None
    is_new: bool
    trimmed: Trimmed
    parts: Sequence[TakePart]


def at_analysis_rate(samples: Samples, sample_rate: int) -> Samples:
    """Mono samples at 16 kHz."""
    if sample_rate == ANALYSIS_RATE:
        return samples
    return np.asarray(soxr.resample(samples, sample_rate, ANALYSIS_RATE), np.float32)


#: Takes are cut by many threads, and an aligner takes one sound at a time.
_ALIGNING = Lock()


@dataclass(frozen=True)
class TakeCutter:
    """Cuts takes of turns into the parts of their utterances.

    Attributes:
        gate: the limits of edge silence.
        aligner: the aligner that times the words if the voice does not.
        device: the device that the aligner runs on.
    """

    gate: Gate
    aligner: str
    device: str

    def parts(self, turn: TurnToSay, spoken: Spoken, trimmed: Trimmed) -> list[TakePart]:
        """The parts of a turn's take. Empty if it can't be cut between words, or nothing is heard in a part."""
        if len(turn.utterances) == 1:
            return [TakePart(trimmed, spoken.words or ())]
        if trimmed.reason is not None:
            return []
        texts = [split_words(utterance.text) for utterance in turn.utterances]
        cuts = self._find_cuts(turn, spoken, [len(words) for words in texts])
        if cuts is None:
            return []
        points, words = cuts
        sample_rate = spoken.sample_rate
        pieces = cut_samples(spoken.samples, sample_rate, points)
        parts: list[TakePart] = []
        first_word = 0
        for text, start, samples in zip(texts, [0, *points], pieces, strict=True):
            part = trim(samples, sample_rate, self.gate)
            if part.reason is not None or not part.spoken:
                return []
            part = part._replace(start=start / sample_rate + part.start)
            timed = words[first_word : first_word + len(text)]
            first_word += len(text)
            # As the utterance has them: in the turn, a mark may be with another word.
            written = [word.spelled(spelling) for word, spelling in zip(timed, text, strict=False)]
            parts.append(TakePart(part, written))
        return parts

    def _find_cuts(
        self, turn: TurnToSay, spoken: Spoken, counts: Sequence[int]
    ) -> tuple[list[int], Sequence[Word]] | None:
        """The samples at which a take is cut into parts of so many words, and its words as the voice timed them.

        There are no such words where the aligner's had to be taken. None where the take can't be cut.
        """
        n_words = sum(counts)
        timed = spoken.words or []
        if len(timed) == n_words:
            points = find_cuts(spoken.samples, spoken.sample_rate, timed, counts)
            if points is not None:
                return points, timed
        aligned = self._aligned(turn, spoken)
        if len(aligned) == n_words:
            points = find_cuts(spoken.samples, spoken.sample_rate, aligned, counts)
            if points is not None:
                return points, []
        return None

    def _aligned(self, turn: TurnToSay, spoken: Spoken) -> list[Word | None]:
        """The words of a take by the aligner of its language; empty if there is none, or it can't place them."""
        aligner = aligner_of(self.aligner, turn.language, self.device)
        if aligner is None:
            return []
        sound = at_analysis_rate(spoken.samples, spoken.sample_rate)
        digest = hashlib.sha256(sound.tobytes()).digest()  # the same take may come again in another batch
        words = split_words(turn.text)
        try:
            with _ALIGNING, failing_softly(f"the aligner {aligner.name}", digest):
                return align(aligner, sound, words, turn.language, self.device) or []
        except ModelFailed:
            return []  # `Align` says why, if it fails on the utterances themselves, too
