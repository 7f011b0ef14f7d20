"""Take verdicts: whether a take can be used, by its sound and what a recogniser hears in it.

A take is judged by how long its text takes at the voice's own rate (`core.style.takes`).
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein

from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.style.takes import Gate, Voice, incomplete
from dailytalk_contiguous.core.words.fillers import without_fillers
from dailytalk_contiguous.core.words.word_times import normalise
from dailytalk_contiguous.models.failures import failing_softly
from dailytalk_contiguous.models.speech_cache import SpeechCache
from dailytalk_contiguous.models.whisper import RecogniserInput, recognise
from dailytalk_contiguous.stages.lines_to_say import TurnToSay, source_seconds
from dailytalk_contiguous.stages.take_parts import Take


class HeardTake(NamedTuple):
    """A recogniser's result for a take: its word error rate, and whether the last word of the text is missing."""

    word_error_rate: float
    misses_end: bool


def compared_words(words: Sequence[str], language: str) -> list[str]:
    """Words as `compare_words` takes them: in one spelling, without fillers."""
    spellings = [normalise(word) for word in without_fillers(words, language)]
    return [spelling for spelling in spellings if spelling]


def compare_words(expected: Sequence[str], heard: Sequence[str]) -> HeardTake:
    """The word error rate, and whether the last expected word is missing.

    The rate is insertions, deletions and substitutions over the number of expected words (Levenshtein, unit
    costs): 0 for nothing expected and nothing recognised, and the number of recognised words where none was
    expected. The last word is missing if leaving it out accounts for one of these errors, not if another word
    is in its place.

    Words are compared as they are: bring both to one spelling first.
    """
    errors = Levenshtein.distance(expected, heard)
    misses_end = Levenshtein.distance(expected[:-1], heard) < errors
    return HeardTake(errors / max(1, len(expected)), misses_end)


class TakeVerdict(NamedTuple):
    """The word error rate of a take, None if no recogniser listened, and why it can't be used, None if it can."""

    word_error_rate: float | None
    problem: str | None


@dataclass(frozen=True)
class TakeJudge:
    """Says whether takes can be used.

    Attributes:
        gate: the limits of `core.style.takes`.
        recogniser: checks every take; empty for none.
        compute_type: precision of the recogniser.
        device: the device that the recogniser runs on.
        worst: the highest word error rate that is still good.
        fades: whether the engine may break off (a service). Its takes then have to die away.
        cache: the cache in which verdicts are noted.
    """

    gate: Gate
    recogniser: str
    compute_type: str
    device: str
    worst: float
    fades: bool
    cache: SpeechCache

    def judge(self, turn: TurnToSay, take: Take, voice: Voice) -> TakeVerdict:
        """The verdict on a take.

        Only the recogniser's result is taken from the cache: the same take may be too short in one conversation
        and right in another. Raises ModelFailed if the recogniser fails. No verdict is kept then: the take may be
        verified another time.
        """
        problem = self.incomplete(turn, take, voice, self.fades)
        # A verdict of the cache counts if these settings would give it, too.
        is_noted = take.verdict is not None and take.verdict.get("by") == self._name
        heard = _noted_hearing(take.verdict) if is_noted else None
        if heard is None and problem is None:
            heard = self._listen(turn, take)
            if heard is not None:
                is_noted = False
        if problem is None and heard is not None:
            if heard.word_error_rate > self.worst:
                rate = f"word error rate {heard.word_error_rate:.0%}"
                problem = f"{self.recogniser} hears something else ({rate})"
            elif heard.misses_end:
                problem = f"{self.recogniser} does not hear its last word"
        if not is_noted:
            self.cache.set_verdict(take.key, {"by": self._name, "reason": problem, "heard": heard})
        return TakeVerdict(heard.word_error_rate if heard else None, problem)

    def incomplete(self, turn: TurnToSay, take: Take, voice: Voice, fades: bool) -> str | None:
        """Why the sound of a take can't be the whole of its text; None if it can."""
        if take.trimmed.reason:
            return take.trimmed.reason
        return incomplete(
            take.trimmed,
            turn.text.strip(),
            turn.source_seconds,
            take.spoken.words,
            self.gate,
            voice,
            fades,
        )

    def is_cut(self, turn: TurnToSay, take: Take, voice: Voice) -> bool:
        """Whether a take has a part for each utterance of its turn, none too short or too long for its text."""
        if len(turn.utterances) == 1:
            return True
        if len(take.parts) < len(turn.utterances):
            return False
        for part, utterance in zip(take.parts, turn.utterances, strict=True):
            text = utterance.text.strip()
            seconds = source_seconds(utterance)
            if incomplete(part.trimmed, text, seconds, None, self.gate, voice, fades=False):
                return False
        return True

    def _listen(self, turn: TurnToSay, take: Take) -> HeardTake | None:
        """Return the recogniser's result for a take; None if there is no recogniser, or no word to compare."""
        language = turn.language
        # A recogniser leaves most fillers out, however clearly they are said: they are not compared.
        expected = compared_words(turn.text.strip().split(), language)
        if not self.recogniser or not expected:
            return None
        # Other threads judge other takes meanwhile: a recogniser hears as many at once as it has threads.
        sound = RecogniserInput(take.trimmed.samples, take.trimmed.sample_rate, language)
        with failing_softly(f"the recogniser {self.recogniser}"):
            (words,) = recognise(self.recogniser, self.device, self.compute_type, [sound])
        recognised = compared_words([word.word for word in words], language)
        return compare_words(expected, recognised)

    @property
    def _name(self) -> str:
        """A name for the limits of a verdict: a verdict by other limits is made again."""
        listening = [self.worst, self.compute_type] if self.recogniser else None
        parts = [asdict(self.gate), self.recogniser, listening]
        text = json.dumps(parts, sort_keys=True)
        return format(zlib.crc32(text.encode()), "08x")


def _noted_hearing(verdict: Mapping[str, object] | None) -> HeardTake | None:
    """Return the recogniser's result for a take that the cache has noted; None if there is none."""
    noted = verdict.get("heard") if verdict else None
    if not isinstance(noted, list) or len(noted) != 2:
        return None
    word_error_rate, misses_end = noted
    if not is_number(word_error_rate) or not isinstance(misses_end, bool):
        return None
    return HeardTake(word_error_rate, misses_end)
