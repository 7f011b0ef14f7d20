"""Turn lines: utterances of a speaker that are spoken in one take, and the cuts of that take.

A pause inside a turn must not sound finished, and it does if each side of it is spoken as a sentence of its own.
So all utterances of one speaker with nobody else between them are one line for the voice. Its take is cut between
the words where it is quietest, and the timeline puts the pause of the source into the cut.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.records.utterance import Utterance, or_none
from dailytalk_contiguous.core.sound.levels import frame_levels, loud_db
from dailytalk_contiguous.core.words.sentences import goes_on
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.core.words.word_times import has_words, join_words, normalise, split_words

#: Seconds of speech in a line: voices lose their way in long texts, and a refused take costs all of it.
MOST_SPEECH = 30.0


def group_turns(
    utterances: Sequence[Utterance], channel: str, sent_tag: Callable[[str | None], str | None]
) -> list[list[int]]:
    """Return the indices of a speaker's utterances of one conversation with text, those of one turn together.

    Those that keep their sound are in no turn.

    Two are of one turn if the second begins when the first has ended, nothing else of this speaker is between
    them, nobody else speaks in the pause, their tags and languages are the same, and the turn has no more than
    `MOST_SPEECH` seconds of speech.

    Args:
        utterances: utterances of both speakers.
        channel: `source_channel` of the speaker.
        sent_tag: function that returns the form of a tag that the voice gets; tags with one form are the same.

    >>> from dailytalk_contiguous import Utterance
    >>> first = Utterance(source_channel="left", start=0.0, end=2.0, text="I think.", tag="calm")
    >>> second = Utterance(source_channel="left", start=4.0, end=5.0, text="It broke.", tag="calm")
    >>> answer = Utterance(source_channel="right", start=2.5, end=3.0, text="Yes.", tag="calm")
    >>> group_turns([first, second], "left", str), group_turns([first, second, answer], "left", str)
    ([[0, 1]], [[0], [1]])
    """
    indices = [index for index, utterance in enumerate(utterances) if utterance.source_channel == channel]
    indices.sort(key=lambda index: utterances[index].span)
    others = [utterance for utterance in utterances if utterance.source_channel != channel]
    turns: list[list[int]] = []
    previous: Utterance | None = None
    for index in indices:
        utterance = utterances[index]
        if not utterance.text.strip() or or_none(utterance.keeps_sound):
            previous = None
            continue
        goes_with_previous = (
            previous is not None
            and sent_tag(previous.tag) == sent_tag(utterance.tag)
            and _is_one_turn(previous, utterance, others)
        )
        previous = utterance
        if goes_with_previous:
            joined = [utterances[member] for member in (*turns[-1], index)]
            seconds = sum(member.end - member.start for member in joined)
            if seconds <= MOST_SPEECH:
                turns[-1].append(index)
                continue
        turns.append([index])
    return turns


#: Seconds by which rounded times of one speaker may overlap.
ROUNDING_SECONDS = 0.05


def _is_one_turn(utterance: Utterance, following: Utterance, others: Sequence[Utterance]) -> bool:
    if or_none(utterance.language) != or_none(following.language):
        return False
    if not has_words(utterance.text) or not has_words(following.text):
        return False
    pause = following.start - utterance.end
    if pause < -ROUNDING_SECONDS:  # a transcript in which both are said at once
        return False
    if pause <= 0:  # a cut in running speech: nobody could speak between
        return True
    between = [other for other in others if other.start < following.start and other.end > utterance.end]
    return not between


def turn_text(utterances: Sequence[Utterance]) -> str:
    """Return the text of a turn for the voice.

    Where a sentence goes on after a pause, it has neither the mark nor the capital that punctuation gave to its
    parts, unless a person changed their words.

    >>> from dailytalk_contiguous import Utterance
    >>> wheel = Utterance(text="Wheel broke.", text_raw="wheel broke.", language="en")
    >>> turn_text([Utterance(text="And then the.", text_raw="And then the", language="en"), wheel])
    'And then the wheel broke.'
    >>> turn_text([Utterance(text="And then the door.", text_raw="And then the", language="en"), wheel])
    'And then the door. Wheel broke.'
    """
    texts = [utterance.text.strip() for utterance in utterances]
    for index, (utterance, following) in enumerate(pairwise(utterances)):
        if not _is_as_recognised(utterance) or not _is_as_recognised(following):
            continue
        raw = _raw_text(utterance)
        following_raw = _raw_text(following)
        if goes_on(raw, following_raw, or_none(utterance.language)):
            first_letter = following_raw.strip()[0]
            # The text ends as what was recognised: these are the same words, and may differ in their last marks.
            text = texts[index]
            raw = raw.strip()
            last = max(position for position, letter in enumerate(text) if letter.isalnum())
            last_raw = max(position for position, letter in enumerate(raw) if letter.isalnum())
            texts[index] = text[: last + 1] + raw[last_raw + 1 :]
            texts[index + 1] = first_letter + texts[index + 1][1:]
    return join_words(texts)


def _raw_text(utterance: Utterance) -> str:
    """Return the recogniser's text; empty if unknown."""
    return or_none(utterance.text_raw) or ""


def _is_as_recognised(utterance: Utterance) -> bool:
    written = [normalise(word) for word in split_words(utterance.text)]
    recognised = [normalise(word) for word in split_words(_raw_text(utterance))]
    return written == recognised


#: Seconds of a frame in which the level is measured.
FRAME_SECONDS = 0.005

#: Seconds of the sound around a frame that counts, too: shorter than a pause between words, longer than a period
#: of a deep voice.
AROUND_SECONDS = 0.02

#: Seconds by which the times of words may be off, so that the quietest point is looked for that far inside them.
OFF_SECONDS = 0.05

#: dB under the loud frames of a take (their 95th percentile) that a cut must have: vowels and nasals have less,
#: stops, fricatives and pauses more. Between two words of 30 longer lines of the bundled recordings,
#: joe has that in 83 % if there is no mark, and always at a full stop or comma; espeak in 90 %.
QUIET_DB = 15.0


def find_cuts(
    samples: NDArray[np.float32], sample_rate: int, words: Sequence[Word | None], counts: Sequence[int]
) -> list[int] | None:
    """Find the samples at which a take is cut between its pieces; None where a cut would be in sound.

    Args:
        samples: mono in [-1, 1], shape (n,).
        sample_rate: Hz.
        words: words of all pieces, in seconds of the samples; None for a word whose time is unknown.
        counts: number of words of each piece.
    """
    frame = max(1, round(FRAME_SECONDS * sample_rate))
    width = round(AROUND_SECONDS / FRAME_SECONDS)
    window = np.full(width, FRAME_SECONDS / AROUND_SECONDS)
    powers = np.convolve(frame_levels(samples, frame), window, "same")
    levels = 10 * np.log10(powers + 1e-12)
    quiet = loud_db(levels) - QUIET_DB
    points: list[int] = []
    first_words = [*accumulate(counts)][:-1]  # of each piece but the first
    for number in first_words:
        word = words[number - 1]
        following = words[number]
        if word is None or following is None:
            return None
        low = max(word.end - OFF_SECONDS, word.middle)
        high = min(following.start + OFF_SECONDS, following.middle)
        first = round(low * sample_rate / frame)
        last = max(first + 1, round(high * sample_rate / frame))
        between = levels[first:last]
        if not len(between) or between.min() > quiet:
            return None
        lowest = np.flatnonzero(between <= between.min() + 1.0)
        middle = int(lowest[len(lowest) // 2])
        points.append((first + middle) * frame)
    edges = [0, *points, len(samples)]
    is_in_order = all(before < after for before, after in pairwise(edges))
    return points if is_in_order else None


#: Seconds over which the sound on both sides of a cut comes and goes, so that nothing clicks.
FADE_SECONDS = 0.01


def cut_samples(
    samples: NDArray[np.float32], sample_rate: int, points: Sequence[int]
) -> list[NDArray[np.float32]]:
    """Cut a take into pieces at `points`, faded over `FADE_SECONDS` on both sides of a cut."""
    pieces = [piece.copy() for piece in np.split(samples, list(points))]
    for piece, following in pairwise(pieces):
        n_fade = round(FADE_SECONDS * sample_rate)
        n_faded = min(n_fade, len(piece), len(following))
        ramp = np.linspace(0.0, 1.0, n_faded, dtype=np.float32)
        piece[len(piece) - n_faded :] *= ramp[::-1]
        following[:n_faded] *= ramp
    return pieces


def shared_by_text(total: float, texts: Sequence[str]) -> list[float]:
    """Share a price in proportion to the UTF-8 bytes of texts, none of which is empty."""
    sizes = [len(text.strip().encode()) for text in texts]
    all_bytes = sum(sizes)
    return [total * size / all_bytes for size in sizes]
