"""Uses the transcript that came with a recording instead of recognition: gives its words to the utterances.

Speech activity still decides where utterances begin and end, so that conversations with and without a transcript
are cut alike. A channel that the transcript doesn't mention at all was not transcribed and is left to the
recogniser (null); in one that it does mention, an utterance without words is one in which nothing was said.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from datasets import Features, List

from dailytalk_contiguous.core.matching import Cue, Word, join_words, match_words
from dailytalk_contiguous.core.schema import CHANNELS, SET_ASIDE, STRING, WORD, Batch
from dailytalk_contiguous.stages.base import Stage

#: So many words of a cue are named in the reason why they were set aside.
WORDS_SHOWN = 12


@dataclass(frozen=True)
class MatchTranscript(Stage):
    """Adds the given text and words of every utterance.

    `given` holds cues (`schema.CUE`) in seconds of the conversation. `given_text` and `given_words` are null in
    a channel without a cue. `unmatched` has one item for every cue that has words near no utterance of its
    channel.

    Attributes:
        max_distance: how far, in seconds, the middle of a word may lie from the utterance that gets it.
    """

    max_distance: float = 1.0

    needs: ClassVar[tuple[str, ...]] = (
        "conversation_id",
        "given",
        "offset",
        "utterance_id",
        "channel",
        "start",
        "end",
    )
    prepares: ClassVar[bool] = True
    adds: ClassVar[Features] = Features(
        {"given_text": List(STRING), "given_words": List(List(WORD)), "unmatched": List(SET_ASIDE)}
    )

    def __post_init__(self) -> None:
        if not (math.isfinite(self.max_distance) and self.max_distance >= 0):
            raise ValueError(f"max_distance is {self.max_distance} s; give 0 or more")

    def __call__(self, batch: Batch) -> Batch:
        rows = [self._match(*values) for values in zip(*(batch[name] for name in self.needs), strict=True)]
        return {name: [row[name] for row in rows] for name in self.adds}

    def _match(
        self,
        conversation_id: str,
        given: list[Cue],
        offset: float,
        utterance_ids: list[str],
        channels: list[str],
        starts: list[float],
        ends: list[float],
    ) -> dict[str, list[Any]]:
        texts: list[str | None] = [None] * len(utterance_ids)
        words: list[list[Word] | None] = [None] * len(utterance_ids)
        unmatched = []
        strangers = sorted({str(cue["channel"]) for cue in given} - set(CHANNELS))
        if strangers:
            raise ValueError(f"cues of {conversation_id} name the channels {strangers}; they are {CHANNELS}")
        for channel in CHANNELS:
            cues = [cue for cue in given if cue["channel"] == channel]
            if not cues:
                continue
            places = [place for place, name in enumerate(channels) if name == channel]
            matched = match_words(cues, [(starts[place], ends[place]) for place in places], self.max_distance)
            for place, text, own in zip(places, matched.texts, matched.words, strict=True):
                texts[place], words[place] = text, own
            unmatched += [
                self._set_aside(conversation_id, cues[number], offset, left) for number, left in matched.left_over
            ]
        return {"given_text": texts, "given_words": words, "unmatched": unmatched}

    def _set_aside(self, conversation_id: str, cue: Cue, offset: float, left: list[Word]) -> dict[str, str]:
        shown = join_words(word["word"] for word in left[:WORDS_SHOWN])
        if len(left) > WORDS_SHOWN:
            shown += f" … ({len(left)} words)"
        first, last = left[0]["start"] + offset, left[-1]["end"] + offset
        return {
            "id": f"{conversation_id}/{cue['channel']}/{cue['start']:.2f}s",
            "stage": self.name,
            "reason": f"the transcript has '{shown}' at {first:.2f}-{last:.2f} s of the recording, but no speech "
            f"was found within {self.max_distance:g} s of it on the {cue['channel']} channel",
            "remedy": "correct the times or the channel of these words in the transcript, or make speech activity "
            "detection more sensitive",
        }
