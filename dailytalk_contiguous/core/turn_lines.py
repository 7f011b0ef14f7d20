"""Turn lines: which utterances of a speaker are said in one take, and where that take is cut again.

A pause inside a turn must not sound finished, and it does if each side of it is said as a sentence of its own. So
what one speaker says while nobody else speaks between is one line for the voice. Its take is cut between the words
where it is quietest, and the timeline puts the pause of the source into the cut.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.levels import frame_levels
from dailytalk_contiguous.core.sentences import goes_on
from dailytalk_contiguous.core.word_times import join_words, normalise, split_words
from dailytalk_contiguous.core.words import Word

#: Seconds of speech in a line: voices lose their way in long texts, and a refused take costs all of it.
MOST_SPEECH = 30.0

#: Seconds by which rounded times of one speaker may overlap.
ROUNDING_SECONDS = 0.05

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

#: Seconds over which the sound on both sides of a cut comes and goes, so that nothing clicks.
FADE_SECONDS = 0.01


class TurnPiece(NamedTuple):
    """An utterance, as far as it decides with which others it is said.

    `start` and `end` are in seconds of the conversation. `text_raw` is the recogniser's text, empty if unknown.
    `tag` is what the voice is given of its tag.
    """

    channel: str
    start: float
    end: float
    text: str
    text_raw: str
    tag: str | None
    language: str | None


def group_turns(pieces: Sequence[TurnPiece], channel: str) -> list[list[int]]:
    """The indices of a speaker's utterances of one conversation that have text, those of one turn together.

    Two are of one turn if the second begins when the first has ended, nothing else of this speaker is between
    them, nobody else speaks in the pause, their tags and languages are the same, and the turn has no more than
    `MOST_SPEECH` seconds of speech.

    >>> first = TurnPiece("left", 0.0, 2.0, "I think.", "", "calm", "en")
    >>> second = first._replace(start=4.0, end=5.0, text="It broke.")
    >>> answer = first._replace(channel="right", start=2.5, end=3.0)
    >>> group_turns([first, second], "left"), group_turns([first, second, answer], "left")
    ([[0, 1]], [[0], [1]])
    """
    indices = [index for index, piece in enumerate(pieces) if piece.channel == channel]
    indices.sort(key=lambda index: (pieces[index].start, pieces[index].end))
    others = [piece for piece in pieces if piece.channel != channel]
    turns: list[list[int]] = []
    previous: int | None = None
    for index in indices:
        piece = pieces[index]
        if not piece.text.strip():
            previous = None
            continue
        goes_with_previous = previous is not None and _is_one_turn(pieces[previous], piece, others)
        previous = index
        if goes_with_previous:
            joined = [pieces[member] for member in (*turns[-1], index)]
            seconds = sum(member.end - member.start for member in joined)
            if seconds <= MOST_SPEECH:
                turns[-1].append(index)
                continue
        turns.append([index])
    return turns


def _is_one_turn(piece: TurnPiece, following: TurnPiece, others: Sequence[TurnPiece]) -> bool:
    if (piece.tag, piece.language) != (following.tag, following.language):
        return False
    if not _has_words(piece.text) or not _has_words(following.text):
        return False
    pause = following.start - piece.end
    if pause < -ROUNDING_SECONDS:  # a transcript in which both are said at once
        return False
    if pause <= 0:  # a cut in running speech: nobody could speak between
        return True
    between = [other for other in others if other.start < following.start and other.end > piece.end]
    return not between


def _has_words(text: str) -> bool:
    return any(map(str.isalnum, text))


def turn_text(pieces: Sequence[TurnPiece]) -> str:
    """The text of a turn, for the voice.

    Where a sentence goes on after a pause, it has neither the mark nor the capital that punctuation gave to its
    parts, unless a person changed their words.

    >>> first = TurnPiece("left", 0.0, 2.0, "And then the.", "And then the", "calm", "en")
    >>> turn_text([first, first._replace(text="Wheel broke.", text_raw="wheel broke.")])
    'And then the wheel broke.'
    >>> turn_text([first._replace(text="And then the door."), first._replace(text="Wheel.", text_raw="wheel.")])
    'And then the door. Wheel.'
    """
    texts = [piece.text.strip() for piece in pieces]
    for index, (piece, following) in enumerate(pairwise(pieces)):
        if not _is_as_recognised(piece) or not _is_as_recognised(following):
            continue
        if goes_on(piece.text_raw, following.text_raw, piece.language):
            first_letter = following.text_raw.strip()[0]
            # The text ends as what was recognised: these are the same words, and may differ in their last marks.
            text = texts[index]
            raw = piece.text_raw.strip()
            last = max(position for position, letter in enumerate(text) if letter.isalnum())
            last_raw = max(position for position, letter in enumerate(raw) if letter.isalnum())
            texts[index] = text[: last + 1] + raw[last_raw + 1 :]
            texts[index + 1] = first_letter + texts[index + 1][1:]
    return join_words(texts)


def _is_as_recognised(piece: TurnPiece) -> bool:
    written = [normalise(word) for word in split_words(piece.text)]
    recognised = [normalise(word) for word in split_words(piece.text_raw)]
    return written == recognised


def find_cuts(
    samples: NDArray[np.float32], sample_rate: int, words: Sequence[Word | None], counts: Sequence[int]
) -> list[int] | None:
    """The samples at which a take is cut between its pieces; None where it can't be cut without cutting sound.

    Args:
        samples: mono in [-1, 1], shape (n,).
        sample_rate: Hz.
        words: those of all pieces, in seconds of the samples; None for a word whose time is unknown.
        counts: how many words each piece has.
    """
    frame = max(1, round(FRAME_SECONDS * sample_rate))
    width = round(AROUND_SECONDS / FRAME_SECONDS)
    window = np.full(width, FRAME_SECONDS / AROUND_SECONDS)
    powers = np.convolve(frame_levels(samples, frame), window, "same")
    levels = 10 * np.log10(powers + 1e-12)
    near_loudest = levels[levels > levels.max() - 60]
    quiet = float(np.percentile(near_loudest, 95)) - QUIET_DB
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


def cut_samples(
    samples: NDArray[np.float32], sample_rate: int, points: Sequence[int]
) -> list[NDArray[np.float32]]:
    """The pieces of a take that is cut at `points`, faded over `FADE_SECONDS` on both sides of a cut."""
    pieces = [piece.copy() for piece in np.split(samples, list(points))]
    for piece, following in pairwise(pieces):
        n_fade = round(FADE_SECONDS * sample_rate)
        n_faded = min(n_fade, len(piece), len(following))
        ramp = np.linspace(0.0, 1.0, n_faded, dtype=np.float32)
        piece[len(piece) - n_faded :] *= ramp[::-1]
        following[:n_faded] *= ramp
    return pieces


def shared_by_text(total: float, texts: Sequence[str]) -> list[float]:
    """A price, shared in proportion to the UTF-8 bytes of texts, none of which is empty."""
    sizes = [len(text.strip().encode()) for text in texts]
    all_bytes = sum(sizes)
    return [total * size / all_bytes for size in sizes]
