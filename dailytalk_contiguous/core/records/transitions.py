"""Transitions of a conversation: where its turns end, and who speaks next, as recorded and as built."""

from collections.abc import Iterable
from typing import NamedTuple

from dailytalk_contiguous.core.records.schema import NOBODY
from dailytalk_contiguous.core.records.utterance import Utterance, or_none, sounding_between
from dailytalk_contiguous.core.turns.turn_ends import TurnEnd, turn_ends
from dailytalk_contiguous.core.turns.turn_taking import Timed, join_spans
from dailytalk_contiguous.core.words.word import Span


class EndsOfTalk(NamedTuple):
    """The ends of turns of a conversation (`core.turns.turn_ends`).

    Attributes:
        utterances: those that have a place in the result; an end names one of them by its index.
        recorded: the ends in the recording.
        built: the ends in the result, of the same stretches of speech.
    """

    utterances: list[Utterance]
    recorded: list[TurnEnd]
    built: list[TurnEnd]


def ends_of_talk(utterances: Iterable[Utterance], revoice: str) -> EndsOfTalk:
    """Return the ends of turns of utterances as recorded and as built; with `revoice` `none` both are the same."""
    heard: list[Utterance] = []
    source: list[Timed] = []
    built: list[Timed] = []
    for utterance in utterances:
        if utterance.new_span is not None:
            heard.append(utterance)
            source.append(_timed(utterance, utterance.span, utterance.start_trim, utterance.end_trim))
            trims = utterance.new_start_trim, utterance.new_end_trim
            built.append(_timed(utterance, utterance.new_span, *trims))
    if revoice == NOBODY:
        built = source
    groups = join_spans(source)
    return EndsOfTalk(heard, turn_ends(source, groups), turn_ends(built, groups))


def _timed(utterance: Utterance, span: Span, start_trim: float | None, end_trim: float | None) -> Timed:
    """Return when an utterance sounds, by its span and, if a stage has made them, its trims."""
    sounding = sounding_between(*span, or_none(start_trim), or_none(end_trim))
    return Timed(utterance.source_channel, *sounding)
