"""MatchTag: the style tag that the transcript of a recording has for an utterance.

`MatchTranscript` gives utterances the words of a transcript. A tag belongs to a line, so an utterance has that of
the line with which it shares the most time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from datasets import Features

from dailytalk_contiguous.core.records.conversation import Conversation, Cue
from dailytalk_contiguous.core.records.rows import conversation_features
from dailytalk_contiguous.core.words.word import Span
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.stages.match_transcript import NOT_USED


@dataclass(frozen=True)
class MatchTag(Stage):
    """Adds `tag`, null for an utterance that no line of the transcript with a tag is about.

    `given` holds cues in seconds of the conversation, whose channels are known (`MatchTranscript`).
    """

    needs: ClassVar[tuple[str, ...]] = ("cues", "transcript_repair", "channel", "start", "end")
    prepares: ClassVar[bool] = True
    adds: ClassVar[Features] = conversation_features("tag")

    def of_talk(self, talk: Conversation) -> Conversation:
        cues = [] if talk.transcript_repair == NOT_USED else talk.cues
        lines = [cue for cue in cues if cue.text]
        for utterance in talk.utterances:
            of_channel = [cue for cue in lines if cue.channel == utterance.channel]
            utterance.tag = _tag_between(utterance.span, of_channel)
        return talk


def _tag_between(span: Span, lines: Sequence[Cue]) -> str | None:
    """The tag of the line that shares the most time with a span; None if none shares any."""
    longest = 0.0
    tag = None
    for line in lines:
        shared = span & line.span
        if shared.seconds > longest:
            longest = shared.seconds
            tag = line.tag
    return tag
