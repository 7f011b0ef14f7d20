"""MatchTag: the style tag that the transcript of a recording has for an utterance.

`MatchTranscript` gives utterances the words of a transcript. A tag belongs to a line, so an utterance has that of
the line with which it shares the most time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from datasets import Features, List

from dailytalk_contiguous.core.records import Cue
from dailytalk_contiguous.core.schema import STRING, Row
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.stages.columns import each_utterance
from dailytalk_contiguous.stages.match_transcript import NOT_USED


@dataclass(frozen=True)
class MatchTag(Stage):
    """Adds `tag`, null for an utterance that no line of the transcript with a tag is about.

    `given` holds cues (`schema.CUE`) in seconds of the conversation, whose channels are known (`MatchTranscript`).
    """

    needs: ClassVar[tuple[str, ...]] = ("given", "transcript_repair", "channel", "start", "end")
    prepares: ClassVar[bool] = True
    adds: ClassVar[Features] = Features({"tag": List(STRING)})

    def row(self, row: Row) -> Row:
        cues: list[Cue] = [] if row["transcript_repair"] == NOT_USED else row["given"]
        lines = [cue for cue in cues if cue["text"]]
        tags: list[str | None] = []
        for channel, start, end in each_utterance(row, "channel", "start", "end"):
            of_channel = [cue for cue in lines if cue["channel"] == channel]
            tags.append(_tag_between(start, end, of_channel))
        return {"tag": tags}


def _tag_between(start: float, end: float, lines: Sequence[Cue]) -> str | None:
    """The tag of the line that shares the most time with [start, end]; null if none shares any."""
    longest = 0.0
    tag = None
    for line in lines:
        shared = min(line["end"], end) - max(line["start"], start)
        if shared > longest:
            longest = shared
            tag = line["tag"]
    return tag
