"""The parts of one side of a conversation that end with the end of a turn, or with a pause inside an utterance."""

from bisect import bisect_left
from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple
from uuid import NAMESPACE_URL, uuid5

from msgspec.structs import replace

from dailytalk_contiguous.core.records.conversation import grouped_words
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.records.seen import SeenConversation, SeenUtterance
from dailytalk_contiguous.core.records.utterance import or_none
from dailytalk_contiguous.core.turns.turn_ends import HOLD, SHIFT, TurnEnd
from dailytalk_contiguous.core.turns.turn_taking import PAUSE
from dailytalk_contiguous.core.words.filler_removal import filler_flags, spoken_language
from dailytalk_contiguous.core.words.fillers import PATTERNS, language_code
from dailytalk_contiguous.core.words.language_codes import iso_639_3
from dailytalk_contiguous.core.words.word import Span, Word
from dailytalk_contiguous.core.words.word_times import join_words
from dailytalk_contiguous.models.turn_end import HEARD_SECONDS
from dailytalk_contiguous.publish.exports.speech_spans import Spans

#: Seconds that a clip lasts at most: a hundredth under the 16 s of the trainer's guide.
LONGEST_CLIP = 15.99

#: Seconds of quiet before the first word of a clip, where the gap before it has as much.
LEAD = 0.1

_MIDDLE = attrgetter("middle")


class TurnEndClip(NamedTuple):
    """A part of one side up to an end of a turn and the silence behind it, in seconds of its conversation.

    Attributes:
        utterance: its last one.
        number: the number of that utterance among the utterances of both sides.
        pause: the number of the pause (`core.turns.inner_pauses`) in that utterance; None for its end.
        is_complete: whether the other side has the next turn.
    """

    end: float
    utterance: SeenUtterance
    number: int
    pause: int | None
    is_complete: bool
    start: float = 0.0


class SideSpeech(NamedTuple):
    """The audible speech of one side.

    Attributes:
        utterances: the audible utterances, by start.
        words: all audible words, by their middle, each with whether it is a filler.
        written: the words that are written; `--fillers drop` leaves some out.
        uncut: spans in seconds in which no clip may begin, by start: words, sounds, utterances without words.
    """

    utterances: list[SeenUtterance]
    words: list[Word]
    written: list[Word]
    uncut: Spans


def speech_of_sides(talk: SeenConversation) -> dict[str, SideSpeech]:
    """Return the audible speech of each side of a conversation."""
    heard: dict[str, list[Word]] = {channel: [] for channel in CHANNELS}
    finished = [(utterance.channel, utterance.start, utterance.finished) for utterance in talk.utterances]
    for speaking, spoken in grouped_words(finished, talk.heard_words):
        flags = filler_flags(spoken, spoken_language(speaking, talk.finished))
        for word, flag in zip(spoken, flags, strict=True):
            heard[word.speaker].append(replace(word, filler=flag))
    sides: dict[str, SideSpeech] = {}
    for channel in CHANNELS:
        of_side = talk.side(channel)
        words = sorted(heard[channel], key=_MIDDLE)
        written = sorted((word for word in talk.alignments if word.speaker == channel), key=_MIDDLE)
        uncut = [(word.start, word.end) for word in words]
        uncut += [(sound.start, sound.end) for sound in talk.sounds if sound.channel == channel]
        for utterance in of_side:
            if not words_in(words, utterance.start, utterance.end):
                uncut.append((utterance.start, utterance.end))
        sides[channel] = SideSpeech(of_side, words, written, sorted(uncut))
    return sides


def words_in(words: Sequence[Word], start: float, end: float) -> Sequence[Word]:
    """Return the words whose middle is between two times in seconds; `words` are sorted by their middle."""
    first = bisect_left(words, start, key=_MIDDLE)
    last = bisect_left(words, end, key=_MIDDLE)
    return words[first:last]


def ends_in(talk: SeenConversation) -> list[TurnEnd]:
    """Return the ends of the turns of a conversation: of its utterances with a `transition`."""
    ends: list[TurnEnd] = []
    for number, utterance in enumerate(talk.utterances):
        transition = or_none(utterance.finished.transition)
        if transition in (HOLD, SHIFT):
            ends.append(TurnEnd(number, utterance.sounding.end, transition))
    return ends


def clip_start(uncut: Sequence[tuple[float, float]], end: float) -> float | None:
    """Return the second at which a clip up to `end` begins, between the words of its side; None if it can't.

    It is at least `HEARD_SECONDS` before the end, or the beginning of the recording, and at most `LONGEST_CLIP`.
    The latest pause (`PAUSE`) is taken; without one the widest gap between two words.

    Args:
        uncut: spans in seconds in which it can't begin, by start.
        end: seconds.

    >>> clip_start([(0.5, 2.0), (2.5, 9.0)], 11.0)
    2.4
    """
    latest = end - HEARD_SECONDS
    earliest = max(0.0, end - LONGEST_CLIP)
    if latest <= 0:
        return 0.0
    gaps: Spans = []
    reach = 0.0
    for busy_start, busy_end in [*uncut, (latest, latest)]:  # between spans that touch is a gap of no length
        first = max(reach, earliest)
        last = min(busy_start, latest)
        if first <= last:
            gaps.append((first, last))
        reach = max(reach, busy_end)
    pauses = [(start, stop) for start, stop in gaps if stop - start >= PAUSE]
    if pauses:
        start, stop = pauses[-1]
    elif gaps:
        start, stop = max(gaps, key=lambda gap: gap[1] - gap[0])
    else:
        return 0.0 if earliest == 0 else None
    return max((start + stop) / 2, stop - LEAD)


class ClipMetadata(NamedTuple):
    """A line of `metadata.jsonl`: the columns of Smart Turn's own datasets."""

    file_name: str
    id: str
    language: str
    endpoint_bool: bool
    midfiller: bool | None
    endfiller: bool | None
    synthetic: bool
    spoken_text: str | None
    dataset: str


def clip_metadata(
    talk: SeenConversation, side: SideSpeech, clip: TurnEndClip, dataset: str | None
) -> ClipMetadata:
    """Return the columns of a clip of a side; `dataset`: the name of the dataset that it is from.

    Fillers are unknown without words, or in a language without a table of them.
    """
    around = Span(clip.start, clip.end)
    in_clip = [utterance for utterance in side.utterances if utterance.span & around]
    language = spoken_language(clip.utterance.finished, talk.finished)
    midfiller: bool | None = None
    endfiller: bool | None = None
    text: str | None = None
    is_text_known = all(words_in(side.words, utterance.start, utterance.end) for utterance in in_clip)
    if is_text_known:
        flags = [word.filler for word in words_in(side.words, clip.start, clip.end)]
        if flags and language_code(language) in PATTERNS:
            endfiller = flags[-1]
            while flags and flags[-1]:  # fillers with which it ends are not before its last words
                flags.pop()
            midfiller = any(flags)
        written = words_in(side.written, clip.start, clip.end)
        text = join_words(word.word for word in written) or None
    names = [talk.conversation_id, clip.utterance.channel, str(clip.number)]
    if clip.pause is not None:
        names.append(f"pause {clip.pause}")
    clip_id = str(uuid5(NAMESPACE_URL, "\0".join(names)))
    return ClipMetadata(
        file_name=f"{clip_id}.flac",
        id=clip_id,
        language=iso_639_3(language),
        endpoint_bool=clip.is_complete,
        midfiller=midfiller,
        endfiller=endfiller,
        synthetic=any(utterance.finished.status == "spoken" for utterance in in_clip),
        spoken_text=text,
        dataset=dataset or "dailytalk",
    )
