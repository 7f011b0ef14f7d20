"""Uses the transcript that came with a recording instead of recognition: gives its words to the utterances.

Speech activity still decides where utterances begin and end, so that conversations with and without a transcript
are cut alike. A channel that the transcript doesn't mention at all was not transcribed and is left to the
recogniser (null); in one that it does mention, an utterance without words is one in which nothing was said.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from datasets import Features, List

from dailytalk_contiguous.core.documents import quoted
from dailytalk_contiguous.core.schema import CHANNELS, MIX, REJECTED, STRING, Row
from dailytalk_contiguous.core.utterance import UTTERED_WORD
from dailytalk_contiguous.core.word_times import Cue, TimeSpan, WordRow, find_shift, join_words, match_words
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.stages.segment import CHANNEL_CHOICES

#: So many words of a cue are named in the reason why they were rejected.
WORDS_SHOWN = 12

#: A transcript is in the wrong place as a whole if in another one it agrees with detected speech at least so well,
#: and better by at least so much (Dice coefficients), over so many cues. Measured on the four examples and two
#: telephone calls (120 and 83 s) with their own transcripts: 0.90 to 0.98 in place, 0.55 to 0.74 if moved by 1 s,
#: 0.12 to 0.68 by 2 to 30 s, 0.05 to 0.10 with the sides exchanged; the best of wrong shifts 0.52 to 0.70.
MISPLACED_AGREEMENT, MISPLACED_GAIN, MISPLACED_CUES = 0.75, 0.15, 5

#: A transcript that can't be moved to agree so well is about something else if less than this share of its time
#: (or of the speech, where that is shorter) is common to both. Measured on the same six recordings: at least 0.99
#: with their own transcripts, at most 0.64 with those of the others.
FOREIGN_COMMON = 0.7

#: Corrections of a transcript beside those of its times.
EXCHANGED, NOT_USED = "sides exchanged", "not used"

#: The other channel.
OTHER = dict(zip(CHANNELS, reversed(CHANNELS), strict=True))

#: Seconds that the middle of a word may be from the utterance that gets it.
MAX_DISTANCE = 1.0


def is_transcribed(cues: Iterable[Cue], channel: str) -> bool:
    """Whether people gave the words of all channels of a choice (`CHANNEL_CHOICES`): nothing is recognised."""
    given = {cue["channel"] for cue in cues if cue["text"] is not None}
    return given >= {*CHANNEL_CHOICES.get(channel, CHANNELS)}


@dataclass(frozen=True)
class MatchTranscript(Stage):
    """Adds the given text and words of every utterance.

    `given` holds cues (`schema.CUE`) in seconds of the conversation. `given_text` and `given_words` are null in
    a channel without the text of a cue. `unmatched` has one item for every cue that has words near no utterance of
    its channel.

    A transcript of which all words are early, late or on the other side is corrected first, and one that is about
    other sound is not used: `transcript_repair` and the first item of `unmatched` say so.
    """

    needs: ClassVar[tuple[str, ...]] = (
        *("conversation_id", "recording_id", "given", "offset"),
        *("utterance_id", "channel", "speaker", "start", "end"),
    )
    prepares: ClassVar[bool] = True
    adds: ClassVar[Features] = Features(
        {
            "given_text": List(STRING),
            "given_words": List(List(UTTERED_WORD)),
            "unmatched": List(REJECTED),
            "transcript_repair": STRING,
            "speaker": List(STRING),
        }
    )

    def row(self, row: Row) -> Row:
        given = [cue for cue in row["given"] if cue["text"] is not None]
        cues = {channel: [cue for cue in given if cue["channel"] == channel] for channel in (*CHANNELS, MIX)}
        cues = {channel: own for channel, own in cues.items() if own}
        indices = {
            channel: [index for index, name in enumerate(row["channel"]) if name == channel] for channel in cues
        }
        spans = {
            channel: [(row["start"][index], row["end"][index]) for index in own]
            for channel, own in indices.items()
        }
        speakers = row["speaker"]
        cues, repair, unmatched = self._repaired(row["conversation_id"], cues, spans)
        if repair == EXCHANGED:
            names = {cue["channel"]: cue.get("speaker") for cue in row["given"]}
            speakers = [
                names.get(OTHER[channel]) or f"{row['recording_id']}/{channel}" for channel in row["channel"]
            ]
        texts: list[str | None] = [None] * len(row["utterance_id"])
        words: list[list[WordRow] | None] = [None] * len(row["utterance_id"])
        for channel, own in cues.items():
            matched = match_words(own, spans[channel], MAX_DISTANCE)
            for index, text, matched_words in zip(indices[channel], matched.texts, matched.words, strict=True):
                texts[index], words[index] = text, matched_words
            unmatched += [
                self._rejected(row["conversation_id"], own[number], row["offset"], left)
                for number, left in matched.left_over
            ]
        return {
            "given_text": texts,
            "given_words": words,
            "unmatched": unmatched,
            "transcript_repair": repair,
            "speaker": speakers,
        }

    def _repaired(
        self, conversation_id: str, cues: dict[str, list[Cue]], spans: Mapping[str, Sequence[TimeSpan]]
    ) -> tuple[dict[str, list[Cue]], str | None, list[dict[str, str]]]:
        """The cues where they belong, how they were corrected, and a note that says so; none for others."""
        if sum(bool(cue["text"]) for own in cues.values() for cue in own) < MISPLACED_CUES:
            return cues, None, []
        shift = find_shift([(own, spans[channel]) for channel, own in cues.items()])
        best, repair = shift.best, f"{abs(shift.late):.1f} s {'earlier' if shift.late > 0 else 'later'}"
        wrong = f"{abs(shift.late):.1f} s too {'late' if shift.late > 0 else 'early'}, and were moved"
        placed = {channel: [_moved(cue, shift.late) for cue in own] for channel, own in cues.items()}
        if len(cues) == 2:
            crossed = {channel: cues[OTHER[channel]] for channel in cues}
            exchanged = find_shift([(own, spans[channel]) for channel, own in crossed.items()]).agreement
            if exchanged > best:
                best, repair, placed = exchanged, EXCHANGED, crossed
                wrong = "on the other side, and were exchanged"
        remedy = "listen to it; if they were right, correct the transcript and tag again"
        if best < MISPLACED_AGREEMENT or best - shift.agreement < MISPLACED_GAIN:
            if shift.common >= FOREIGN_COMMON:
                return cues, None, []
            wrong, repair, placed = "not about this sound, and are recognised", NOT_USED, {}
            remedy = "give it the transcript of this recording, with its times"
        reason = f"all words of its transcript are {wrong}: they agree with {shift.agreement:.0%} of the speech"
        reason += f", not {best:.0%}" if placed else ""
        return placed, repair, [{"id": conversation_id, "stage": self.name, "reason": reason, "remedy": remedy}]

    def _rejected(self, conversation_id: str, cue: Cue, offset: float, left: list[WordRow]) -> dict[str, str]:
        shown = join_words(word["word"] for word in left[:WORDS_SHOWN])
        if len(left) > WORDS_SHOWN:
            shown += f" … ({len(left)} words)"
        first, last = left[0]["start"] + offset, left[-1]["end"] + offset
        return {
            "id": f"{conversation_id}/{cue['channel']}/{cue['start']:.2f}s",
            "stage": self.name,
            "reason": f"the transcript has {quoted(shown)} at {first:.2f}-{last:.2f} s of the recording, but no "
            f"speech was found within {MAX_DISTANCE:g} s of it on the {cue['channel']} channel",
            "remedy": "correct the times or the channel of these words in the transcript, or make speech activity "
            "detection more sensitive",
        }


def _moved(cue: Cue, late: float) -> Cue:
    """A cue so many seconds earlier, with its words."""

    def earlier(item: Any) -> Any:
        return {**item, "start": item["start"] - late, "end": item["end"] - late}

    moved: Cue = earlier(cue) | {"words": cue["words"] and [earlier(word) for word in cue["words"]]}
    return moved
