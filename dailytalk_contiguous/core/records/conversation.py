"""A conversation in flight, which stages take and return (`core.records.rows` is the codec between it and a row).

A row has a list column for each field of an utterance, since that is what Parquet and `datasets` hold. Here an
utterance is an object, and so is a word:

    Conversation "monday"           0 s        2 s        4 s        6 s
      left   Utterance …/left/0000  ├──────────┤
               Word "Hello" "there"  ──── ─────
      right  Utterance …/right/0000          ├──────────────┤
               Word "I" "am" "back"           ─ ── ────
      left   Utterance …/left/0001                            ├──────┤

Times are seconds of the conversation, as it was recorded: `start` and `end`; in the result: `new_start` and
`new_end`. A conversation is made step by step: values that no stage has made yet are `UNSET`, and columns that no
class here names (those of the user's own stages, or of a finished row) are in `extra`.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Annotated, Any, TypeVar

import msgspec

from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.records.fields import Column
from dailytalk_contiguous.core.records.record import (
    BuiltSide,
    Count,
    EncodedAudio,
    FinishedName,
    MovedSound,
    Seconds,
    Side,
    SideShift,
    Speakers,
    Text,
    TimelineMeasures,
    UncoveredSound,
)
from dailytalk_contiguous.core.records.utterance import UNSET, Sound, Utterance, or_none
from dailytalk_contiguous.core.words.word import ALIGNED, TIMED, Span, Word

#: The mode of a timeline whose times, and both voices, are those of the recording.
AS_RECORDED = "recorded"

#: The default of a field, whatever its type: a stage is only called with all that it needs.
_unset: Any = UNSET

_Utterance = TypeVar("_Utterance")

#: `Cue.mark_kind` of lines that can't be used.
UNUSABLE = "unusable"


class Cue(msgspec.Struct, frozen=True):
    """A stretch of a transcript that came with the recording, on a channel.

    Attributes:
        channel: a side, or `core.records.schema.OPEN` and a name where the transcript does not say the side.
        start: start in seconds.
        end: end in seconds.
        text: spoken text; None where the transcript says who speaks but not the words.
        words: words with times; empty where only the text has times.
        speaker: name of the person; None where the transcript does not name anybody.
        language: ISO 639 code of its language; None where the transcript does not say.
        mark: name of a sound or note that is no word (laughter), or why lines can't be used; the cue has no text.
        mark_kind: kind of the mark (`core.words.transcript_marks.KINDS`), or `UNUSABLE`.
        tag: style tag in a transcript of this program; None in any other.
    """

    channel: Text
    start: Seconds
    end: Seconds
    text: Text | None = None
    words: Annotated[list[Word], TIMED] = []
    speaker: Text | None = None
    language: Text | None = None
    mark: Text | None = None
    mark_kind: Text | None = None
    tag: Text | None = None

    @property
    def span(self) -> Span:
        return Span(self.start, self.end)


class Mark(msgspec.Struct, frozen=True):
    """A mark of a transcript for something that is no word, in seconds of the source.

    `name` is its name in the transcript; `kind` is `sound`, `inaudible` or `unheard`
    (`core.words.transcript_marks`).
    """

    channel: Text
    start: Seconds
    end: Seconds
    name: Text
    kind: Text

    @property
    def span(self) -> Span:
        return Span(self.start, self.end)


class Conversation(msgspec.Struct):
    """A conversation in flight, as this module describes it."""

    conversation_id: Text = _unset
    recording_id: Text = _unset
    audio: EncodedAudio = _unset
    audio_file: Text = _unset
    audio_identity: Text = _unset
    offset: Seconds = _unset
    duration: Annotated[Seconds, FinishedName("source_duration")] = _unset
    sample_rate: Count = _unset
    channels: Count = _unset
    cues: list[Cue] = _unset
    given_language: Text | None = _unset
    transcripts: list[Text] = _unset
    input_digest: Text = _unset
    published: Text = _unset
    # of its sound
    sides: list[Side] = _unset
    notes: list[Text] = _unset
    rejected: list[Reject] = _unset
    # of a transcript that came with it
    unmatched: list[Reject] = _unset
    # of the transcript that people may edit
    main_language: Annotated[Text, FinishedName("language")] = _unset
    silent_speakers: Speakers | None = _unset
    # of its new voice
    voice_wav: Sound = _unset
    voice_text: Text = _unset
    converted: Sound = _unset
    # of the result
    built_audio: Annotated[EncodedAudio, FinishedName("audio")] = _unset
    built_rate: Annotated[Count, FinishedName("sample_rate")] = _unset
    built_duration: Annotated[Seconds, FinishedName("duration")] = _unset
    built_sides: Annotated[list[BuiltSide], FinishedName("sides")] = _unset
    timeline: TimelineMeasures = _unset
    sounds: list[MovedSound] = _unset
    alignments: Annotated[list[Word], ALIGNED] = _unset
    unwritten_words: Annotated[list[Word], ALIGNED] = _unset
    speakers: Speakers | None = _unset
    # as a stage or the source gives it, also in finished rows and transcripts
    transcript_repair: Annotated[
        Text | None,
        Column(
            about="`not used` if the transcript that came with the recording does not match its sound; null if it "
            "was used, or there is none",
            tally="count",
        ),
    ] = _unset
    transcript_marks: Annotated[
        list[Mark],
        Column(
            about="marks of the transcript that are not words, in seconds of the source, with their names: a "
            "`sound` (`laughter`), an `inaudible` stretch (without words, so nothing is trained on it), or up to "
            "three words where there is no speech (`unheard`)"
        ),
    ] = _unset
    uncovered_sound: Annotated[
        list[UncoveredSound],
        Column(
            about="where the source sounds for at least a second without an utterance, in its seconds: noise, "
            "music, laughter, or a voice that speech activity did not find"
        ),
    ] = _unset
    sound_digest: Annotated[
        Text,
        Column(
            about="digest of the decoded sound of the source: the same for copies, also in another lossless "
            "format or with the sides exchanged"
        ),
    ] = _unset
    side_shift: Annotated[
        SideShift | None,
        Column(
            about="by how many `seconds` the right side of the recording is later than the left one (below 0: the "
            "left one is later), by how many ppm of the time it becomes later (`drift_ppm`), and sound that a "
            "side lacks (`lacking`: its start in seconds of that side, and its length), which a `leak` of one in "
            "the other or the `transcript` tells (`known_by`); `aligned`: `--align-sides` has laid both on one "
            "clock, and all times are those after that; null where nothing tells that the sides are out of step",
            unit="s",
        ),
    ] = _unset
    model_failures: Annotated[
        list[Reject] | None,
        Column(
            about="utterances that lack a model's results because it raised an error: the stage, the error (in "
            "published rows only its kind) and what to do about it; null if there are none"
        ),
    ] = _unset
    # why it can't be used
    problem: Text | None = _unset
    problem_stage: Text | None = _unset
    remedy: Text | None = _unset
    utterances: list[Utterance] = _unset
    extra: dict[str, Any] = msgspec.field(default_factory=dict)

    def side(self, channel: str) -> list[Utterance]:
        """Return the utterances on a channel of the recording."""
        return [utterance for utterance in self.utterances if utterance.side == channel]

    @property
    def audible_utterances(self) -> list[Utterance]:
        """The utterances that are in the result."""
        return [utterance for utterance in self.utterances if utterance.is_heard]

    @property
    def heard_words(self) -> list[Word]:
        """The words that are heard: `alignments`, and fillers that were left out (`core.words.filler_removal`)."""
        words = or_none(self.unwritten_words) or self.alignments
        return [word for word in words if word.word.strip()]

    @property
    def labels(self) -> Mapping[str, Any]:
        """The labels of a clip (`core.records.clip_records.Labels`); empty for any other conversation."""
        labels: Mapping[str, Any] = self.extra.get("labels") or {}
        return labels

    @property
    def is_turned(self) -> bool:
        """Whether the left side of the result is the right one of the recording."""
        return any(utterance.side not in (None, utterance.channel) for utterance in self.utterances)

    @property
    def is_recorded(self) -> bool:
        """Whether both voices of the result, and all its times, are those of the recording."""
        timeline = or_none(self.timeline)
        return timeline is not None and timeline.mode == AS_RECORDED

    @property
    def has_recorded_sides(self) -> bool:
        """Whether people are heard on both sides of the result: as recorded, or one of them converted."""
        return self.is_recorded or any(utterance.is_converted for utterance in self.utterances)

    @property
    def own_seconds(self) -> float:
        """Seconds of the result without the prompt before a clip."""
        conditioning = self.labels.get("conditioning") or {}
        clip_start: float = conditioning.get("clip_start") or 0.0
        return self.built_duration - clip_start

    def person(self, side: str) -> str | None:
        """Return the name of the person on a side of the result; None where nobody is named."""
        names = or_none(self.speakers)
        if not names:
            return None
        name = names.get("left") if side == "left" else names.get("right")
        return None if name in ("", "left", "right") else name

    @property
    def kept_speakers(self) -> tuple[str | None, ...]:
        """Names of the people who are heard in the result: on the right, of a clip on the left; None if unknown.

        A result that is as recorded, or was converted into another voice, has them on both sides.
        """
        if self.has_recorded_sides:
            return self.person("left"), self.person("right")
        return (self.person("left" if self.labels else "right"),)

    @property
    def voices(self) -> tuple[str, ...]:
        """Names of the voices with which utterances were resynthesised, or else of their engines, sorted.

        A converted voice is that of its speaker, so it has the name of its engine here.
        """
        names: set[str | None] = set()
        for utterance in self.utterances:
            synthesis = or_none(utterance.synthesis)
            if synthesis:
                voice = None if utterance.is_converted else synthesis.voice
                names.add(voice or synthesis.engine)
        return tuple(sorted(str(name) for name in names if name))

    def words_by_utterance(self) -> list[tuple[Utterance | None, list[Word]]]:
        """Return the utterances of each side of the result that have words, by start, with their words by start.

        A word belongs to the last utterance of its side that begins before its middle; words before the first have
        None.
        """
        utterances: list[tuple[str, float, Utterance]] = []
        for utterance in self.audible_utterances:
            utterances.append((utterance.channel, utterance.new_start or 0.0, utterance))
        return grouped_words(utterances, self.alignments)

    def has_take(self, utterance: Utterance) -> bool:
        """Whether a voice speaks the text of an utterance anew; sound from `Convert` is recorded sound."""
        return or_none(utterance.status) == "spoken" and not or_none(self.converted)


def grouped_words(
    utterances: Sequence[tuple[str, float, _Utterance]], words: Sequence[Word]
) -> list[tuple[_Utterance | None, list[Word]]]:
    """Group words as `Conversation.words_by_utterance` does, by the channel and the start of each utterance."""
    groups: list[tuple[_Utterance | None, list[Word]]] = []
    for side in ("left", "right"):
        of_side = sorted((entry for entry in utterances if entry[0] == side), key=itemgetter(1))
        starts = [start for _, start, _ in of_side]
        groups_of_side: list[tuple[_Utterance | None, list[Word]]] = [(None, [])]
        groups_of_side += [(utterance, []) for _, _, utterance in of_side]
        for word in words:
            if word.speaker == side:
                _, group = groups_of_side[bisect_right(starts, word.middle)]
                group.append(word)
        groups += groups_of_side
    for _, group in groups:
        group.sort(key=lambda word: word.start)
    return [(utterance, group) for utterance, group in groups if group]
