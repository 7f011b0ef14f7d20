"""The measures of a conversation, by which it is judged (`publish.checks.verdict`).

They follow from its turns, its sides and its utterances.
"""

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median
from typing import NamedTuple, TypedDict

from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.records.fields import finite
from dailytalk_contiguous.core.records.record import BuiltSide
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.records.utterance import Utterance
from dailytalk_contiguous.core.turns.turn_taking import TimedConversation
from dailytalk_contiguous.core.words.hallucination import EXTRA_WORDS
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.core.words.word_times import normalise
from dailytalk_contiguous.core.words.words_at_once import SAME_WORD_SECONDS, runs_at_once


class ConversationMeasure(NamedTuple):
    """A measure of a conversation.

    Attributes:
        title: head of its column.
        unit: unit of the shown value; empty for a plain number.
        digits: number of decimals that are shown.
        about: definition in a sentence.
        factor: factor from a value to the shown value.
        of_turns: whether it follows from the turns (`measure_turns`).
    """

    title: str
    unit: str
    digits: int
    about: str
    factor: float = 1.0
    of_turns: bool = False


#: Share of the energy of an utterance from which on it is mostly the other speaker's voice.
MOSTLY_LEAK = 0.5

#: Words of a side from which on it means something that both say the same.
FEWEST_WORDS = 10

#: The measures of a conversation by name, in the order of the table. Of two sides the worse one counts.
CONVERSATION_MEASURES = {
    "duration": ConversationMeasure("length", "s", 0, "Length of the conversation.", of_turns=True),
    "confidence": ConversationMeasure(
        "confidence",
        "",
        2,
        "How sure the recogniser is of its words, 0 to 1, over the time they take; empty where it says nothing.",
    ),
    "without_text": ConversationMeasure(
        "without text", "%", 0, "Share of the speech time whose words are unknown.", 100.0
    ),
    "words_per_second": ConversationMeasure(
        "fastest words",
        "words/s",
        1,
        f"Words a second in the fastest utterance of more than {EXTRA_WORDS} words.",
    ),
    "unheard_words": ConversationMeasure(
        "unheard words", "%", 1, "Share of the words that are timed where nothing is heard.", 100.0
    ),
    "bandwidth": ConversationMeasure(
        "bandwidth", "kHz", 1, "Highest frequency with energy; a telephone ends at 3.4 to 4 kHz.", 0.001
    ),
    "level_difference": ConversationMeasure(
        "level difference", "dB", 1, "How much louder one speaker is than the other."
    ),
    "snr": ConversationMeasure("signal to noise", "dB", 0, "Power of speech relative to the sound beside it."),
    "clipping": ConversationMeasure("clipped", "%", 2, "Share of the samples that are clipped.", 100.0),
    "leak": ConversationMeasure(
        "leak", "dB", 0, "Level of the other speaker's voice in a channel, relative to its source."
    ),
    "silent_end": ConversationMeasure(
        "silent end", "s", 0, "How long one side already carries no sound at all when the other one ends."
    ),
    "leaked_speech": ConversationMeasure(
        "doubtful speech",
        "%",
        1,
        "Share of the speech time of utterances that are mostly the other speaker's voice, by their energy.",
        100.0,
    ),
    "same_words": ConversationMeasure(
        "same words",
        "%",
        0,
        f"Share of the words of a side that the other one says within {SAME_WORD_SECONDS} s, too.",
        100.0,
    ),
    "length_ratio": ConversationMeasure(
        "new/recorded length",
        "",
        2,
        "New over recorded length of the resynthesised utterances, median: 0.5 is twice as fast.",
    ),
    "as_recorded": ConversationMeasure(
        "not resynthesised",
        "%",
        0,
        "Share of the utterances to resynthesise that still have the recorded voice.",
        100.0,
    ),
    "least_talk": ConversationMeasure(
        "quieter side",
        "%",
        0,
        "Share of the speech that belongs to the speaker who says less.",
        100.0,
        of_turns=True,
    ),
    "main_talk": ConversationMeasure(
        "main side speaks",
        "%",
        0,
        "Share of the time in which the left side, Moshi's, speaks.",
        100.0,
        of_turns=True,
    ),
    "overlap": ConversationMeasure(
        "overlap", "%", 1, "Share of the time in which both speak.", 100.0, of_turns=True
    ),
    "overlapping_turns": ConversationMeasure(
        "overlapping turns", "%", 0, "Share of the turns that touch speech of the other.", 100.0, of_turns=True
    ),
    "response": ConversationMeasure(
        "response", "s", 2, "From one speaker's end to the other's start, median; below 0: overlap.", of_turns=True
    ),
    "turns_per_window": ConversationMeasure(
        "turns", "per 100 s", 0, "How often the floor is taken in a window of the trainer.", of_turns=True
    ),
    "longest_turn": ConversationMeasure(
        "longest turn", "s", 1, "Longest stretch of one speaker without a pause.", of_turns=True
    ),
    "longest_monologue": ConversationMeasure(
        "longest monologue",
        "s",
        0,
        "Longest time in which one speaker holds the floor, with pauses.",
        of_turns=True,
    ),
    "first_turn": ConversationMeasure("silent start", "s", 1, "Seconds until somebody speaks.", of_turns=True),
    "longest_silence": ConversationMeasure(
        "longest silence", "s", 0, "Longest time in which nobody speaks.", of_turns=True
    ),
}

#: Values by the names of `CONVERSATION_MEASURES`; None where unknown.
MeasuredConversation = dict[str, float | None]


def measure_turns(conversation: TimedConversation, window: float = 100.0) -> MeasuredConversation:
    """Return the measures of a conversation that follow from its turns (`TimedConversation.fitness`)."""
    return {"duration": conversation.seconds, **finite(conversation.fitness(window))}


def measure_sides(sides: Sequence[BuiltSide], n_words: int) -> MeasuredConversation:
    """Return the measures of a conversation that follow from its sides."""
    unheard = _numbers(side.unheard_words for side in sides)
    return {
        "unheard_words": sum(unheard) / n_words if unheard and n_words else None,
        "bandwidth": min(_numbers(side.bandwidth_hz for side in sides), default=None),
        "level_difference": _difference(side.level_dbfs for side in sides),
        "snr": min(_numbers(side.snr_db for side in sides), default=None),
        "clipping": max(_numbers(side.clipping_ratio for side in sides), default=None),
        "leak": max(_numbers(side.leak_db for side in sides), default=None),
        "silent_end": _difference(side.silent_end for side in sides),
    }


def _numbers(values: Iterable[float | None]) -> list[float]:
    """Return the known values."""
    return [value for value in values if is_number(value)]


def _difference(values: Iterable[float | None]) -> float | None:
    """Return the difference between two values; None unless both are known."""
    numbers = _numbers(values)
    return max(numbers) - min(numbers) if len(numbers) == len(CHANNELS) else None


def softer_side(sides: Sequence[BuiltSide]) -> str | None:
    """Return the channel of the side that is softer; None unless both levels are known, or if they are equal."""
    levels = {side.level_dbfs: side.channel for side in sides if is_number(side.level_dbfs)}
    return levels[min(levels)] if len(levels) == len(CHANNELS) else None


def leak_sentence(sides: Sequence[BuiltSide]) -> str | None:
    """Describe in words the leak into each side of a conversation; None where nothing leaks."""
    speech = {side.channel: side.speech_seconds for side in sides}
    leaks = []
    for side in sides:
        if not is_number(side.leak_db):
            continue
        other = "left" if side.channel == "right" else "right"
        seconds = speech.get(other)
        amount = f"{seconds:.0f} s of the {other} side" if is_number(seconds) else f"the {other} side"
        levels = _numbers(span.leak_db for span in side.leaks or ())
        level = f"{side.leak_db:.0f} dB"
        if levels and max(levels) - min(levels) > 1:
            level = f"{min(levels):.0f} to {max(levels):.0f} dB"
        leak = f"{amount} into the {side.channel} one at {level}"
        if is_number(side.leak_seconds):
            leak += f", {1000 * side.leak_seconds:.0f} ms late"
        leaks.append(leak)
    return " and ".join(leaks) or None


def same_words(words: Sequence[Word]) -> float | None:
    """Return the share of a side's words that the other side also says within `SAME_WORD_SECONDS`.

    The larger share of both sides counts; it is None where both have fewer than `FEWEST_WORDS` words. Some are the
    same by chance.

    Args:
        words: words of a conversation, each with its `text`, `side` and `start`.
    """
    times: dict[str, dict[str, list[float]]] = {channel: {} for channel in CHANNELS}
    counts = dict.fromkeys(CHANNELS, 0)
    spellings = {word.word for word in words}
    texts = {spelling: normalise(spelling) for spelling in spellings}
    for word in words:
        if word.speaker in times:
            counts[word.speaker] += 1
            times[word.speaker].setdefault(texts[word.word], []).append(word.start)
    shares = []
    for side, other in (CHANNELS, CHANNELS[::-1]):
        n_same = 0
        for text in times[side].keys() & times[other].keys():
            other_starts = sorted(times[other][text])
            for start in times[side][text]:
                earliest = bisect_left(other_starts, start - SAME_WORD_SECONDS)
                if earliest < bisect_right(other_starts, start + SAME_WORD_SECONDS):
                    n_same += 1
        if counts[side] >= FEWEST_WORDS:
            shares.append(n_same / counts[side])
    return max(shares, default=None)


class WordsAtOnce(TypedDict):
    """Words in a row of a side that the other side has at the same time, and the second at which they begin."""

    channel: str
    start: float
    text: str


def longest_at_once(words: Iterable[Word]) -> WordsAtOnce | None:
    """Return the longest run of words that both sides say at once (`core.words.words_at_once`)."""
    runs = runs_at_once(words)
    if not runs:
        return None
    longest = max(runs, key=len)
    text = " ".join(word.word.strip() for word in longest)
    return {"channel": longest[0].speaker, "start": longest[0].start, "text": text}


def measure_utterances(utterances: Iterable[Utterance], rebuilt: bool) -> MeasuredConversation:
    """Return the measures of a conversation that follow from its utterances.

    Args:
        rebuilt: whether conversations were rebuilt; otherwise nothing was resynthesised.
    """
    seconds = []
    without_text = []
    leaked = []
    rated = []
    sure = []
    rates = []
    ratios = []
    leaks_known = False
    statuses = Counter[str | None]()
    for utterance in utterances:
        recorded = seconds_between(utterance.start, utterance.end)
        new = seconds_between(utterance.new_start, utterance.new_end)
        length = recorded or new
        seconds.append(length)
        n_words = len((utterance.text_raw or utterance.text or "").split())
        if not n_words:
            without_text.append(length)
        if n_words > EXTRA_WORDS and length:
            rates.append((n_words - EXTRA_WORDS) / length)
        if is_number(utterance.confidence):
            rated.append(length)
            sure.append(length * utterance.confidence)
        if is_number(utterance.leak_share):
            leaks_known = True
            if utterance.leak_share >= MOSTLY_LEAK:
                leaked.append(length)
        statuses[utterance.status] += 1
        if utterance.status == "spoken" and recorded and new:
            ratios.append(new / recorded)
    measured = {
        "confidence": _share(sure, rated),
        "without_text": _share(without_text, seconds),
        "words_per_second": max(rates, default=None),
        "leaked_speech": _share(leaked, seconds) if leaks_known else None,
    }
    if rebuilt:
        measured["length_ratio"] = median(ratios) if ratios else None
        n_kept = statuses["kept-original"]
        n_to_resynthesise = n_kept + statuses["spoken"]
        measured["as_recorded"] = n_kept / n_to_resynthesise if n_to_resynthesise else None
    return measured


def seconds_between(start: float | None, end: float | None) -> float:
    """Return the seconds from start to end; 0 where one is unknown."""
    return max(0.0, end - start) if is_number(start) and is_number(end) else 0.0


def _share(part: Sequence[float], whole: Sequence[float]) -> float | None:
    """Return the share of a whole that a part of it has; None of nothing."""
    total = math.fsum(whole)
    return math.fsum(part) / total if total else None
