"""Uses the transcript that came with a recording instead of recognition: gives its words to the utterances.

Speech activity still decides where utterances begin and end, so that conversations with and without a transcript
are cut alike. A channel that the transcript doesn't mention at all was not transcribed and is left to the
recogniser (null); in one that it does mention, an utterance without words is one in which nothing was said.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from datasets import Features, List

from dailytalk_contiguous.core.documents import quoted
from dailytalk_contiguous.core.schema import CHANNELS, MIX, REJECTED, STRING, Row
from dailytalk_contiguous.core.utterance import UTTERED_WORD
from dailytalk_contiguous.core.word_times import Cue, WordRow, find_shift, join_words, match_words
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.stages.segment import CHANNEL_CHOICES

#: So many words of a cue are named in the reason why they were rejected.
WORDS_SHOWN = 12

#: A transcript is in the wrong place as a whole if in another one it agrees with detected speech at least so well,
#: and better by at least so much (Dice coefficients), over so many cues. Measured on the four examples and two
#: telephone calls (120 and 83 s) with their own transcripts: 0.90 to 0.98 in place, 0.55 to 0.74 if moved by 1 s,
#: 0.12 to 0.68 by 2 to 30 s, 0.05 to 0.10 with the sides exchanged; the best of wrong shifts 0.52 to 0.70.
MISPLACED_AGREEMENT, MISPLACED_GAIN, MISPLACED_CUES = 0.75, 0.15, 5

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
    its channel, after one for a transcript of which all words are early or late.
    """

    needs: ClassVar[tuple[str, ...]] = (
        *("conversation_id", "given", "offset", "utterance_id", "channel", "start", "end"),
    )
    prepares: ClassVar[bool] = True
    adds: ClassVar[Features] = Features(
        {"given_text": List(STRING), "given_words": List(List(UTTERED_WORD)), "unmatched": List(REJECTED)}
    )

    def row(self, row: Row) -> Row:
        conversation_id, transcript = row["conversation_id"], row["given"]
        texts: list[str | None] = [None] * len(row["utterance_id"])
        words: list[list[WordRow] | None] = [None] * len(row["utterance_id"])
        unmatched = []
        transcribed = []
        for channel in (*CHANNELS, MIX):
            cues = [cue for cue in transcript if cue["channel"] == channel and cue["text"] is not None]
            if not cues:
                continue
            indices = [index for index, name in enumerate(row["channel"]) if name == channel]
            spans = [(row["start"][index], row["end"][index]) for index in indices]
            transcribed.append((cues, spans))
            matched = match_words(cues, spans, MAX_DISTANCE)
            for index, text, matched_words in zip(indices, matched.texts, matched.words, strict=True):
                texts[index], words[index] = text, matched_words
            unmatched += [
                self._rejected(conversation_id, cues[number], row["offset"], left)
                for number, left in matched.left_over
            ]
        unmatched = [*self._misplaced(conversation_id, transcribed), *unmatched]
        return {"given_text": texts, "given_words": words, "unmatched": unmatched}

    def _misplaced(
        self, conversation_id: str, transcribed: list[tuple[list[Cue], list[tuple[float, float]]]]
    ) -> list[dict[str, str]]:
        """Notes on a transcript whose words are in the wrong place as a whole; none on any other."""
        if sum(bool(cue["text"]) for cues, _ in transcribed for cue in cues) < MISPLACED_CUES:
            return []
        shift = find_shift(transcribed)
        now, best = shift.agreement, shift.best
        seconds = f"{abs(shift.late):.1f} s"
        wrong = f"{seconds} too {'late' if shift.late > 0 else 'early'}"
        remedy = f"{'subtract' if shift.late > 0 else 'add'} {seconds} in all times of the transcript"
        if len(transcribed) == 2:
            (left, left_spans), (right, right_spans) = transcribed
            exchanged = find_shift([(left, right_spans), (right, left_spans)]).agreement
            if exchanged > best:
                best, wrong, remedy = exchanged, "on the other side", "exchange the speakers or the channels"
        if best < MISPLACED_AGREEMENT or best - now < MISPLACED_GAIN:
            return []
        reason = (
            f"all words of its transcript are {wrong}: they agree with {now:.0%} of the speech, not {best:.0%}"
        )
        return [{"id": conversation_id, "stage": self.name, "reason": reason, "remedy": remedy}]

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
