"""Uses the transcript that came with a recording instead of recognition: gives its words to the utterances.

Speech activity still decides where utterances begin and end, so that conversations with and without a transcript
are cut alike. A channel that the transcript doesn't mention at all was not transcribed and is left to the
recogniser (null); in one that it does mention, an utterance without words is one in which nothing was said.
Where it does not say on which side its words are, they are on the one whose speech they fall on.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, ClassVar

from datasets import Features, List

from dailytalk_contiguous.core.cues import match_words, shared_time
from dailytalk_contiguous.core.documents import quoted
from dailytalk_contiguous.core.records import Cue, UtteredWord, WordRow
from dailytalk_contiguous.core.schema import CHANNELS, CUE, MARK, MIX, OPEN, REJECTED, STRING, Row
from dailytalk_contiguous.core.utterance import UTTERED_WORD
from dailytalk_contiguous.core.word_times import TimeSpan, join_words
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.stages.segment import CHANNEL_CHOICES

#: So many words of a cue are named in the reason why they were rejected.
WORDS_SHOWN = 12

#: A transcript of at least so many cues is about something else if less than this share of its time (or of the
#: speech, where that is shorter) is common to both. Measured on the four examples and two telephone calls (120 and
#: 83 s): at least 0.99 with their own transcripts, at most 0.64 with those of the others. Where sides are found in
#: the sound: at least 0.96, and at most 0.82.
FOREIGN_CUES = 5
FOREIGN_COMMON = 0.7
FOREIGN_FOUND = 0.88

#: What `transcript_repair` calls a transcript that is about something else.
NOT_USED = "not used"

#: Seconds that the middle of a word may be from the utterance that gets it.
MAX_DISTANCE = 1.0


#: Seconds around a cue in which the utterances of a side are compared with it; the fit to a side without any; and
#: by how much the fit to the other side has to be better for a cue that is not on the side of its speaker.
AROUND = 1.0
NO_FIT = 0.3
CLEARLY = 0.5


def is_transcribed(cues: Iterable[Cue], channel: str) -> bool:
    """Whether people gave the words of all channels of a choice (`CHANNEL_CHOICES`): nothing is recognised."""
    given = {cue["channel"] for cue in cues if cue["text"] is not None}
    return given >= {*CHANNEL_CHOICES.get(channel, CHANNELS)} or _is_of_both(given)


def _is_of_both(channels: set[str]) -> bool:
    """Whether words whose sides are found in the sound are those of both speakers."""
    names = {channel for channel in channels if channel[0] == OPEN}
    return OPEN in names or len(names) > 1


@dataclass(frozen=True)
class MatchTranscript(Stage):
    """Adds the given text and words of every utterance.

    `given` holds cues (`schema.CUE`) in seconds of the conversation. `given_text` and `given_words` are null in
    a channel without the text of a cue. `unmatched` has one item for every cue that has words near no utterance of
    its channel.

    One that is about other sound, or has other times or sides, is not used: `transcript_repair` and the first item
    of `unmatched` say so. `transcript_marks` are the cues that are no words.
    """

    VERSION: ClassVar[int] = 4

    needs: ClassVar[tuple[str, ...]] = (
        "conversation_id",
        "recording_id",
        "given",
        "offset",
        "duration",
        "utterance_id",
        "channel",
        "speaker",
        "start",
        "end",
    )
    prepares: ClassVar[bool] = True
    adds: ClassVar[Features] = Features(
        {
            "given_text": List(STRING),
            "given_words": List(List(UTTERED_WORD)),
            "unmatched": List(REJECTED),
            "transcript_repair": STRING,
            "transcript_marks": List(MARK),
            "speaker": List(STRING),
            "given": List(CUE),
        }
    )

    def row(self, row: Row) -> Row:
        edges = zip(row["channel"], row["start"], row["end"], strict=True)
        indices: dict[str, list[int]] = {channel: [] for channel in (*CHANNELS, MIX)}
        spans: dict[str, list[TimeSpan]] = {channel: [] for channel in indices}
        for index, (channel, start, end) in enumerate(edges):
            indices[channel].append(index)
            spans[channel].append((start, end))
        beyond: list[Cue] = []
        within: list[Cue] = []
        for cue in row["given"]:
            is_beyond = cue["text"] and cue["start"] >= row["duration"]
            (beyond if is_beyond else within).append(cue)
        given = _sided(within, spans)
        of_both = _is_of_both({cue["channel"] for cue in within if cue["text"] is not None})
        cues = {channel: [cue for cue in given if cue["channel"] == channel] for channel in indices}
        cues = {channel: [cue for cue in own if cue["text"] is not None] for channel, own in cues.items()}
        cues = {channel: own for channel, own in cues.items() if own or (of_both and channel != MIX)}
        is_found = given != within
        n_said = sum(bool(cue["text"]) for own in cues.values() for cue in own)
        common = shared_time([(own, spans[channel]) for channel, own in cues.items()])
        unmatched = [self._beyond(row, beyond)] if beyond else []
        repair = None
        if n_said >= FOREIGN_CUES and common < (FOREIGN_FOUND if is_found else FOREIGN_COMMON):
            reason = (
                f"its transcript is not about this sound, and is not used: {common:.0%} of their time is common"
            )
            remedy = "give it the transcript of this recording, with its times and sides"
            unmatched.append(
                {"id": row["conversation_id"], "stage": self.name, "reason": reason, "remedy": remedy}
            )
            cues = {}
            repair = NOT_USED
        speakers = row["speaker"]
        marks = [
            {
                **{name: cue[name] for name in ("channel", "start", "end")},
                "name": cue["mark"],
                "kind": cue["mark_kind"],
            }
            for cue in given
            if cue.get("mark") and not repair
        ]
        if is_found:
            names = {cue["channel"]: cue.get("speaker") for cue in given}
            speakers = [names.get(channel) or f"{row['recording_id']}/{channel}" for channel in row["channel"]]
        texts: list[str | None] = [None] * len(row["utterance_id"])
        words: list[list[UtteredWord] | None] = [None] * len(row["utterance_id"])
        for channel, own in cues.items():
            matched = match_words(own, spans[channel], MAX_DISTANCE)
            for index, text, matched_words in zip(indices[channel], matched.texts, matched.words, strict=True):
                texts[index] = text
                words[index] = matched_words
            unmatched += [
                self._rejected(row["conversation_id"], own[number], row["offset"], left)
                for number, left in matched.left_over
            ]
        return {
            "given_text": texts,
            "given_words": words,
            "unmatched": unmatched,
            "transcript_repair": repair,
            "transcript_marks": marks,
            "speaker": speakers,
            "given": given,
        }

    def _beyond(self, row: Row, cues: Sequence[Cue]) -> dict[str, str]:
        """The reject of cues that begin after the recording has ended."""
        end = row["offset"] + row["duration"]
        latest = row["offset"] + max(cue["end"] for cue in cues)
        return {
            "id": row["conversation_id"],
            "stage": self.name,
            "reason": f"its transcript has times up to {latest:,.1f} s, and the recording is {end:,.1f} s long: "
            f"{counted(len(cues), 'line')} after its end",
            "remedy": "give it the whole recording, or the transcript of this part",
        }

    def _rejected(self, conversation_id: str, cue: Cue, offset: float, left: Sequence[WordRow]) -> dict[str, str]:
        shown = join_words(word["word"] for word in left[:WORDS_SHOWN])
        if len(left) > WORDS_SHOWN:
            shown += f" … ({len(left)} words)"
        first = left[0]["start"] + offset
        last = left[-1]["end"] + offset
        return {
            "id": f"{conversation_id}/{cue['channel']}/{cue['start']:.2f}s",
            "stage": self.name,
            "reason": f"the transcript has {quoted(shown)} at {first:.2f}-{last:.2f} s of the recording, but no "
            f"speech was found within {MAX_DISTANCE:g} s of it on the {cue['channel']} channel",
            "remedy": "correct the times or the channel of these words in the transcript, or make speech activity "
            "detection more sensitive",
        }


def _sided(cues: Sequence[Cue], spans: Mapping[str, Sequence[TimeSpan]]) -> list[Cue]:
    """The cues, those without a side on the one whose speech they fall on.

    A cue in which both speak is on the side of its speaker's others, or of its words.
    """
    without = [cue for cue in cues if cue["channel"][0] == OPEN and cue["text"] != ""]
    if not without:
        return [cue for cue in cues if cue["channel"][0] != OPEN]
    pieces: list[tuple[float, Cue]] = []
    leads: defaultdict[str, float] = defaultdict(float)
    for cue in without:
        lead = _lead(cue, spans)
        leads[cue["channel"]] += lead * (cue["end"] - cue["start"])
        if cue["channel"] != OPEN or len(cue["words"] or ()) < 2:
            pieces.append((lead, cue))
            continue
        by_word = [(_lead(word, spans, 0.0), word) for word in cue["words"]]
        for _, group in groupby(by_word, key=lambda item: (item[0] if abs(item[0]) > CLEARLY else lead) >= 0):
            pairs = [*group]
            words = [word for _, word in pairs]
            text = cue["text"] if len(words) == len(cue["words"]) else join_words(word["word"] for word in words)
            best = max((lead, *(each for each, _ in pairs)), key=abs)
            piece = cue.copy()
            piece["start"] = words[0]["start"]
            piece["end"] = max(word["end"] for word in words)
            piece["text"] = text
            piece["words"] = words
            pieces.append((best, piece))
    sided = [cue for cue in cues if cue["channel"][0] != OPEN]
    seconds: dict[str, defaultdict[str, float]] = {channel: defaultdict(float) for channel in CHANNELS}
    for lead, cue in pieces:
        of_speaker = cue["channel"] != OPEN and abs(lead) < CLEARLY
        channel = CHANNELS[(leads[cue["channel"]] if of_speaker else lead) < 0]
        sided.append(cue | {"channel": channel})
        person = cue.get("speaker")
        if person:
            seconds[channel][person] += cue["end"] - cue["start"]
    people = {channel: max(names, key=names.__getitem__) for channel, names in seconds.items() if names}
    return [cue | {"speaker": people.get(cue["channel"], cue.get("speaker"))} for cue in sided]


def _lead(item: Any, spans: Mapping[str, Sequence[TimeSpan]], around: float = AROUND) -> float:
    """By how much better a cue or a word fits the left side than the right one, from -1 to 1.

    The fit is what it shares with the utterances of a side that it touches, as a share of what either has within
    `around` seconds of it.
    """
    start = item["start"]
    end = item["end"]
    fits = []
    for channel in CHANNELS:
        touched = [(first, last) for first, last in spans[channel] if first < end and start < last]
        shared = sum(min(last, end) - max(first, start) for first, last in touched)
        beside = sum(min(last, end + around) - max(first, start - around) for first, last in touched)
        fits.append(shared / max(end - start + beside - shared, 1e-6) if spans[channel] else NO_FIT)
    return float(fits[0] - fits[1])
