"""Checks of synthesised speech by its sound, its text and its voice.

A service may answer with silence, half a sentence or a minute of babble and report success; none of that
may enter a dataset. A take is not compared with the length of the utterance that it replaces: people hesitate,
and "Okay the price." in 1.1 s is right where the speaker took 2.8 s. It is compared with the time that its text
takes at the rate of the voice, and its end with the usual end of that voice. The limits are wide: they reject
broken takes, not slow or hasty ones. No limit of length can show a sentence that ends early but calmly; word times
do, where the service has them, and so does a recogniser (`--verify`).
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.sound.clean_speech import voiced_spans
from dailytalk_contiguous.core.sound.quality import FULL_SCALE
from dailytalk_contiguous.core.spans import true_runs
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.core.words.word_times import sound_length, split_words

#: Seconds over which loudness is measured: shorter than any speech sound.
FRAME_SECONDS = 0.01

#: Where one sentence of a text ends and another begins.
_SENTENCES = re.compile(r"(?<=[.?!…]) +(?=\S)|(?<=[.?!…][\"'”’)]) +(?=\S)|(?<=[。！？])(?=\w)")


@dataclass(frozen=True)
class Gate:
    """The limits of a take.

    Attributes:
        silent_dbfs: RMS of the loudest 10 ms under which speech is silence.
        edge_db: level below the loudest 10 ms from which sound at either end is edge silence. Faint fricatives are
            some 30-40 dB below the vowels of the same speaker.
        edge_kept: seconds of edge silence to keep, so that no onset is cut.
        clipped_share: share of samples in clipped runs that is still good.
        shortest: multiple of the seconds that the voice needs for the text. Over four voices and 172 lines of
            calls and examples, tags from depressed to hurried, whole takes have 0.58 to 1.6 of it.
        longest: multiple of the same seconds.
        short_slack: seconds by which a take may be shorter than that in any case.
        long_slack: seconds by which a take may be longer than that in any case: a drawn-out "Oh!" takes several
            times as long as its letters.
        syllable: seconds that any text may take at least.
        hasty_source: share of the source's own speech seconds that is not too short for a text said hastily.
        fastest: letters a second that no voice exceeds, over nine syllables (readers of Japanese and Spanish, the
            fastest of seven languages, average 7.8; Pellegrino, Coupé and Marsico 2011, Language 87:539).
        shortest_end: seconds after the body of speech without which a take stops in the middle of a sound.
        usual_end: share of the voice's usual end that a take needs, up to `longest_end` seconds.
        untimed_share: share of the seconds that the voice needs for words without times from the engine, below
            which they are missing. Near all: the last word before a pause is lengthened.
        late_word: seconds by which the last word may end after the sound, where the engine times its own sounds:
            espeak is 5 ms early. A service may stretch the last word over its silence.
        sentence_pause: seconds of silence that separate sentences at least.
        hasty_sentences: share of the seconds that the voice needs for a text of several sentences, below which
            some may be missing whatever pauses it has. Set on the 43 such lines of the examples, said by Piper:
            0.86 to 1.36 of them, and a pause between any two sentences.
    """

    silent_dbfs: float = -50.0
    edge_db: float = 45.0
    edge_kept: float = 0.025
    clipped_share: float = 0.001
    shortest: float = 0.5
    longest: float = 2.5
    short_slack: float = 0.1
    long_slack: float = 1.0
    syllable: float = 0.35
    hasty_source: float = 0.8
    fastest: float = 28.0
    shortest_end: float = 0.01
    usual_end: float = 0.33
    longest_end: float = 0.04
    untimed_share: float = 0.9
    late_word: float = 0.02
    sentence_pause: float = 0.12
    hasty_sentences: float = 0.8


class Trimmed(NamedTuple):
    """A take without its edge silence, and its measures.

    Attributes:
        samples: mono in [-1, 1], shape (n,).
        sample_rate: Hz.
        start: seconds that were cut before it.
        spoken: seconds of speech in it, without its pauses.
        pauses: number of pauses of at least `Gate.sentence_pause`.
        end: seconds from the end of the body of speech to the end of the take, edge silence included.
        reason: reason why it can't be used with any text; None if it can.
    """

    samples: NDArray[np.float32]
    sample_rate: int
    start: float
    spoken: float
    pauses: int
    end: float
    reason: str | None

    @property
    def seconds(self) -> float:
        """The length of the take."""
        return len(self.samples) / self.sample_rate


class Voice(NamedTuple):
    """The habits of a voice: units of `sound_length` a second, and seconds of its usual end (`Trimmed.end`)."""

    rate: float
    end: float


#: The habits of a voice that has not said enough yet. Services let speech die away; engines of this machine say a
#: text whole or not at all, and espeak stops with the last sound.
DEFAULT_VOICE = Voice(15.0, 0.0)


#: This many samples in a row at full scale are a cut-off wave, not a peak.
CLIPPED_RUN = 3

#: dB below the loudest frame. What is above it is the body of speech; after the last of it a take dies away.
BODY_DB = 25.0


def trim(samples: NDArray[np.float32], sample_rate: int, gate: Gate) -> Trimmed:
    """Cut the edge silence of a take (mono in [-1, 1], shape (n,)), and measure it for any text."""

    def unusable(reason: str) -> Trimmed:
        return Trimmed(samples, sample_rate, 0.0, 0.0, 0, 0.0, reason)

    if not len(samples):
        return unusable("it is empty")
    if not np.isfinite(samples).all():
        return unusable("it holds samples that are not numbers")
    loudness = _frame_rms(samples, sample_rate)
    if loudness.max() < _linear(gate.silent_dbfs):
        return unusable(f"it is silent (nothing above {gate.silent_dbfs:.0f} dBFS)")
    first, last = edges(samples, sample_rate, gate)
    trimmed = samples[first:last]
    is_body = loudness >= loudness.max() * _linear(-BODY_DB)
    last_of_body = int(np.flatnonzero(is_body)[-1])
    after_body = len(samples) - (last_of_body + 1) * _frame_samples(sample_rate)
    spans = voiced_spans(trimmed, sample_rate)
    silences = [after[0] - before[1] for before, after in pairwise(spans)]
    runs = np.diff(true_runs(np.abs(trimmed) >= FULL_SCALE))
    clipped = runs[runs >= CLIPPED_RUN].sum() / len(trimmed)
    return Trimmed(
        samples=trimmed,
        sample_rate=sample_rate,
        start=first / sample_rate,
        spoken=sum(finish - start for start, finish in spans),
        pauses=sum(silence >= gate.sentence_pause for silence in silences),
        end=max(0, after_body) / sample_rate,
        reason=f"it is clipped ({clipped:.1%} of it)" if clipped > gate.clipped_share else None,
    )


#: Takes of a conversation from which the habits of its voice are known; with fewer, the defaults are taken.
MIN_TAKES = 5

#: Slowest rate of a voice, in units of `core.words.word_times.sound_length` a second. About four units are a
#: syllable of English, and conversation has 3.3 to 5.3 of these a second from slow to fast (Tauroza and Allison
#: 1990, Applied Linguistics 11:90); the slow end leaves room for voices that read.
SLOWEST_VOICE = 8.0

#: Fastest rate of a voice, in the same units and by the same measurements.
FASTEST_VOICE = 21.0


def voice_of(takes: Sequence[tuple[str, Trimmed]]) -> Voice:
    """Return the habits of a voice, as medians over texts and their takes, in any order.

    With fewer than `MIN_TAKES` usable takes, the default counts; with so many of one sentence, only these: a
    service may leave out the text after the first sentence. Where the median is a rate at which no one speaks (all
    takes are cut short, say), the nearest human rate counts.
    """
    usable: list[tuple[str, Trimmed]] = []
    single: list[tuple[str, Trimmed]] = []
    for text, take in takes:
        if take.reason is None and take.spoken and text.strip():
            usable.append((text, take))
            if len(_SENTENCES.split(text.strip())) == 1:
                single.append((text, take))
    if len(usable) < MIN_TAKES:
        return DEFAULT_VOICE
    if len(single) >= MIN_TAKES:
        usable = single
    rates = [_units(text) / take.spoken for text, take in usable]
    ends = [take.end for _, take in usable]
    rate = float(np.median(rates))
    human_rate = min(max(rate, SLOWEST_VOICE), FASTEST_VOICE)
    return Voice(human_rate, float(np.median(ends)))


def incomplete(
    take: Trimmed,
    text: str,
    source_seconds: float | None,
    words: Sequence[Word] | None,
    gate: Gate,
    voice: Voice,
    fades: bool,
) -> str | None:
    """Return why a take can't be exactly the whole of `text`; None if it can.

    Args:
        take: from `trim`.
        text: wanted text, without its tag.
        source_seconds: speech of the utterance that it replaces, without its pauses; None if that is not known.
            It only widens the limits.
        words: words of the text with the synthesiser's times, in seconds of the untrimmed take, up to the last
            spoken one; None where it gives no times.
        gate: limits.
        voice: habits of the voice.
        fades: whether the engine may break off (a service). Its takes then have to die away.
    """
    reason = _last_word(take, text, words, gate, voice, exact=not fades)
    if reason:
        return reason
    usual_end = min(gate.usual_end * voice.end, gate.longest_end)
    least = max(gate.shortest_end, usual_end)
    # To half a frame: the last one may be shorter.
    if fades and take.end < least - FRAME_SECONDS / 2:
        return "it stops in the middle of a sound"
    reason = _length(take, text, source_seconds, gate, voice)
    if not reason and fades:
        reason = _lacking_sentences(take, text, gate, voice)
    return reason


def edges(samples: NDArray[np.float32], sample_rate: int, gate: Gate) -> tuple[int, int]:
    """Return the first sample to keep and the one after the last: loud frames with `edge_kept` around them."""
    loudness = _frame_rms(samples, sample_rate)
    loud = np.flatnonzero(loudness >= loudness.max() * _linear(-gate.edge_db))
    frame = _frame_samples(sample_rate)
    kept = round(gate.edge_kept * sample_rate)
    first = int(loud[0]) * frame - kept
    last = (int(loud[-1]) + 1) * frame + kept
    return max(0, first), min(len(samples), last)


def _last_word(
    take: Trimmed, text: str, words: Sequence[Word] | None, gate: Gate, voice: Voice, exact: bool
) -> str | None:
    """Report engine times that end before the text does, or sound that ends before the last word."""
    if words is None:
        return None
    end = take.start + take.seconds
    last_word = words[-1] if words else None
    missing = split_words(text)[len(words) :]
    # Not where only the account is short: sound that goes on long enough may well be the rest of the text.
    room = end - (last_word.end if last_word else take.start)
    if missing and room < gate.untimed_share * _units(" ".join(missing)) / voice.rate:
        where = f"after {last_word.word!r}" if last_word else "before its first word"
        n_words = len(words) + len(missing)
        return f"it stops {where}: {len(missing)} of {n_words} words are missing"
    if exact and last_word and last_word.end > end + gate.late_word:
        word = f"{last_word.word!r} ({last_word.end:.2f} s)"
        return f"its sound ends at {end:.2f} s, before its last word {word}"
    return None


def _length(take: Trimmed, text: str, source_seconds: float | None, gate: Gate, voice: Voice) -> str | None:
    letters = sum(map(str.isalnum, text))
    if not letters:
        return None
    expected = _units(text) / voice.rate
    shortest = gate.shortest * expected
    longest = max(expected, gate.syllable)
    if source_seconds is not None:
        shortest = min(shortest, gate.hasty_source * source_seconds)
        longest = max(longest, source_seconds)
    measured = f"{letters} letters in {take.spoken:.2f} s of speech; this voice takes about {expected:.2f} s"
    whole_seconds = max(take.spoken, take.seconds)
    is_inhuman = letters / gate.fastest > whole_seconds
    if take.spoken < shortest - gate.short_slack or is_inhuman:
        return f"it is too short for its text ({measured})"
    if take.spoken > gate.longest * longest + gate.long_slack:
        return f"it is too long for its text ({measured})"
    return None


def _lacking_sentences(take: Trimmed, text: str, gate: Gate, voice: Voice) -> str | None:
    """Report a take that is only as long as the first sentences of its text, without pauses or haste."""
    ends = [match.start() for match in _SENTENCES.finditer(text.strip())]
    whole = _units(text)
    is_long_enough = take.spoken >= gate.hasty_sentences * whole / voice.rate
    if take.pauses >= len(ends) and is_long_enough:
        return None
    spoken = math.log(max(take.spoken, FRAME_SECONDS) * voice.rate)
    from_whole = abs(spoken - math.log(whole))
    for number, end in enumerate(ends, 1):
        from_part = abs(spoken - math.log(_units(text[:end])))
        if from_part < from_whole:
            part = f"the first {number} of its {len(ends) + 1} sentences"
            return f"it is as long as {part} ({take.spoken:.2f} s of speech)"
    return None


def _units(text: str) -> float:
    """Return how long a text takes to say, in the units of `sound_length`."""
    return sum(map(sound_length, split_words(text)))


def _frame_samples(sample_rate: int) -> int:
    return max(1, round(FRAME_SECONDS * sample_rate))


def _frame_rms(samples: NDArray[np.float32], sample_rate: int) -> NDArray[np.float64]:
    """Return the RMS of each frame; the last one may be shorter."""
    frame = _frame_samples(sample_rate)
    starts = np.arange(0, len(samples), frame)
    sums = np.add.reduceat(np.square(samples, dtype=np.float64), starts)
    lengths = np.diff(starts, append=len(samples))
    return np.asarray(np.sqrt(sums / lengths))


def _linear(decibels: float) -> float:
    return float(10.0 ** (decibels / 20.0))
