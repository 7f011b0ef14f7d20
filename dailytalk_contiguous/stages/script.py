"""Script: the utterances of a tagged conversation to say and to keep, by its transcript.

Between tagging and speaking there is a transcript for people to read and edit. It has times in milliseconds of the
recording, measures of a few digits, and other names for some columns (`core.records.utterance`). Both directions
are here: `dailytalk tag` writes lines with `transcript_lines`, `dailytalk speak` reads them with `from_line` and
makes a conversation of them with `scripted`; `Script` does all at once where there is no file.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from datasets import Features, List
from msgspec.structs import replace

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.fields import Field, columns_among, columns_of_lines, finite
from dailytalk_contiguous.core.records.lines import from_line, to_line
from dailytalk_contiguous.core.records.record import Speakers
from dailytalk_contiguous.core.records.rows import conversation_features, share_out
from dailytalk_contiguous.core.records.schema import CHANNELS, COLUMNS, SIDE, SOURCE, per_utterance
from dailytalk_contiguous.core.records.utterance import (
    FIELDS,
    OPTIONAL_FIELDS,
    Utterance,
    features_of_fields,
    known_trims,
    or_none,
)
from dailytalk_contiguous.core.settings import unlisted
from dailytalk_contiguous.core.words.word import Span
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.stages.segment import Segment

#: Columns of the source that are needed to the end.
KEPT = (
    "conversation_id",
    "recording_id",
    "audio",
    "audio_file",
    "offset",
    "duration",
    "sample_rate",
    "channels",
    *(column.name for column in COLUMNS),
    "sides",
    "input_digest",
)

#: Columns of tagged utterances that no field has. `verbatim` is the text as it was recognised or given, unless a
#: person changed it: the text of a speaker who is kept.
_IN_FLIGHT = conversation_features("source_channel", "run", "words", "recogniser", "verbatim")

#: Column, and key of run.json, of the names of those who have no line in a conversation, by channel.
SILENT_SPEAKERS = "silent_speakers"

#: Key of a line whose times are those of a recording that was laid on one clock: how
#: (`core.records.record.SideShift`). Other lines lack it.
SIDE_SHIFT = "side_shift"

#: Fields of a line that are made of other columns of a tagged utterance.
_SAID_OTHERWISE = ("confidence", "models")


def script_features(fields: Sequence[Field] = FIELDS) -> Features:
    """The columns of `Script` for utterances with these fields: those of a line, and what is needed on the way."""
    of_lines = per_utterance(Features(features_of_fields(_written_fields(fields))))
    of_talk = conversation_features("main_language", SILENT_SPEAKERS)
    return Features({**of_talk, **of_lines, **_IN_FLIGHT})


def _written_fields(fields: Sequence[Field]) -> list[Field]:
    """The fields of an utterance that lines have; in a script, its channel is `source_channel`."""
    return [field for field in fields if not field.part and field.name != "channel"]


@dataclass(frozen=True)
class Script(Stage):
    """The first stage after `Punctuate`: the columns that `Speak` and the stages after it read.

    They are those that `dailytalk speak` reads from an unedited transcript.jsonl: `source_channel`,
    `main_language`, times in whole milliseconds of the recording, utterances in order of start, and those of a
    channel that was not tagged, without text. `map` drops what was only needed to tag. `fields` are those that
    stages before it publish (`published_by`).

    Raises BadInput for a conversation in which nobody speaks, or without a channel for each speaker.
    """

    fields: tuple[Field, ...] = unlisted(())

    needs: ClassVar[tuple[str, ...]] = (
        "conversation_id",
        "recording_id",
        "audio",
        "audio_file",
        "offset",
        "duration",
        "channels",
        "run",
        "words",
        "avg_logprob",
        "recogniser",
        "affect_model",
        *(
            field.name
            for field in FIELDS
            if not field.part and not field.optional and field.name not in _SAID_OTHERWISE
        ),
    )
    uses: ClassVar[tuple[str, ...]] = ("cues", *sorted(OPTIONAL_FIELDS))
    VERSION: ClassVar[int] = 2
    refuses: ClassVar[bool] = True
    batch_rows: ClassVar[int] = 1
    adds: ClassVar[Features] = script_features()
    keeps: ClassVar[tuple[str, ...] | None] = KEPT

    def __post_init__(self) -> None:
        if self.fields:
            object.__setattr__(self, "adds", script_features((*FIELDS, *self.fields)))
            object.__setattr__(self, "uses", (*self.uses, *(field.name for field in self.fields)))
            object.__setattr__(self, "keeps", (*KEPT, *(column.name for column in columns_among(self.fields))))

    def of_talk(self, talk: Conversation) -> Conversation:
        fields = (*FIELDS, *self.fields)
        utterances = [from_line(line, fields) for line in transcript_lines(talk, fields)]
        return scripted(talk, utterances, fields)


def script_row(fields: Sequence[Field] = FIELDS) -> Features:
    """The columns that `Script` keeps and a transcript is read into: the input of `Speak` and what follows."""
    columns = {column.name: column.feature for column in (*COLUMNS, *columns_among(fields))}
    source = {name: SOURCE[name] for name in KEPT if name in SOURCE}
    return Features({**source, **columns, "sides": List(SIDE), **script_features(fields)})


def tagged_utterances(talk: Conversation, fields: Sequence[Field] = FIELDS) -> list[Utterance]:
    """The utterances of a tagged conversation, with what lines say of them that no stage adds."""
    share_out(talk, features_of_fields(fields))
    for utterance in talk.utterances:
        # The geometric mean of the words' probabilities.
        logprob = utterance.avg_logprob
        utterance.confidence = None if logprob is None else finite(math.exp(min(logprob, 0.0)), 4)
        utterance.models = {"recogniser": utterance.recogniser, "affect": utterance.affect_model}
    return talk.utterances


def transcript_lines(talk: Conversation, fields: Sequence[Field] = FIELDS) -> Iterator[dict[str, Any]]:
    """The lines of transcript.jsonl for a tagged conversation, in seconds of its recording."""
    side_shift = or_none(talk.side_shift)
    for utterance in tagged_utterances(talk, fields):
        line = to_line(utterance, talk, fields) | columns_of_lines(talk.extra, fields)
        if side_shift and side_shift["aligned"]:
            line[SIDE_SHIFT] = side_shift
        yield line


def scripted(
    talk: Conversation, utterances: Iterable[Utterance], fields: Sequence[Field] = FIELDS
) -> Conversation:
    """A conversation with the columns of `Script`: with these utterances in place of its own.

    Args:
        talk: its columns of the source and of `Segment`; cues and `silent_speakers` may be missing.
        utterances: utterances of lines of a transcript, as `from_line` returns them, which are completed; one that
            was not tagged has a `run`.
        fields: the fields of a line.

    Raises BadInput if there is no utterance, or no channel for each of two speakers.
    """
    tagged_channels = {utterance.channel for utterance in talk.utterances}
    if talk.channels != 2 or "mix" in tagged_channels:
        raise BadInput(
            "it has no channel for each of two speakers",
            "only recordings of two channels, tagged without --channel mix, can be re-voiced",
        )
    tagged = {utterance.utterance_id: utterance for utterance in talk.utterances}
    completed: list[Utterance] = []
    for utterance in utterances:
        _complete(utterance, talk)
        before = tagged.get(utterance.utterance_id)
        if before is not None:
            utterance.run = before.run
            utterance.verbatim = _verbatim(utterance, or_none(before.text))
        completed.append(utterance)
    if not completed:
        raise BadInput("it has no line that can be said", "fix its lines, or leave it out")
    silent_speakers = _silent_speakers(talk, completed)
    # Not a side of which people deleted every line: a shard knows that it had some.
    present = {utterance.source_channel for utterance in completed} | tagged_channels
    for channel in sorted(set(CHANNELS) - present):
        completed += _silent_side(talk, channel, fields)
    completed.sort(key=lambda utterance: (utterance.start, utterance.source_channel))
    named = [utterance.language for utterance in completed if utterance.language]
    language = max(sorted(set(named)), key=named.count) if named else "und"  # what most utterances name
    for utterance in completed:  # an added line need not name what all others do
        utterance.language = utterance.language or language
    talk.main_language = language
    talk.silent_speakers = silent_speakers
    talk.utterances = completed
    for name in (*features_of_fields(_written_fields(fields)), *_IN_FLIGHT):
        talk.extra.pop(name, None)  # of the utterances before
    return talk


def _silent_speakers(talk: Conversation, utterances: Sequence[Utterance]) -> Speakers | None:
    """The names of who has no line, by channel, as `--speakers` or the recording's transcript has them."""
    cues = or_none(talk.cues) or []
    of_cues = {cue.channel: cue.speaker for cue in reversed(cues)}  # that of the first one
    listed: Speakers = or_none(talk.silent_speakers) or {"left": None, "right": None}
    names: Speakers = {
        "left": listed.get("left") or of_cues.get("left"),
        "right": listed.get("right") or of_cues.get("right"),
    }
    for utterance in utterances:
        if utterance.source_channel == "left":
            names["left"] = None
        else:
            names["right"] = None
    return names if any(names.values()) else None


def _complete(utterance: Utterance, talk: Conversation) -> None:
    """Complete an utterance of a line, except the fields that depend on other utterances."""
    text = utterance.text.strip()
    span = span_within(utterance.span, talk)
    utterance.start = span.start
    utterance.end = span.end
    start_trim, end_trim = known_trims(span.end - span.start, utterance.start_trim, utterance.end_trim)
    utterance.start_trim = start_trim
    utterance.end_trim = end_trim
    words = []
    for word in utterance.words:
        within = span_within(word.span, talk)
        words.append(word.moved_to(within.start, within.end))
    utterance.words = words
    utterance.speaker = utterance.speaker or f"{talk.recording_id}/{utterance.source_channel}"
    utterance.kind = utterance.kind or "speech"
    utterance.text_raw = utterance.text_raw or text
    utterance.text = text
    utterance.verbatim = text
    # Made again: a person edits the text and the tag, and forgets the line that holds both.
    utterance.tagged_text = f"({utterance.tag}) {text}" if text and utterance.tag else text or None
    utterance.recogniser = utterance.models["recogniser"] or ""
    if text:
        utterance.text_reason = None


def _verbatim(utterance: Utterance, punctuated: str | None) -> str:
    """Return the words of an utterance without the marks that `Punctuate` set for a voice.

    `Punctuate` made `punctuated` of them. If a person wrote another text, the result is that text.
    """
    raw = (utterance.text_raw or "").strip()
    is_as_punctuated = punctuated is not None and utterance.text == punctuated.strip()
    return raw if is_as_punctuated and raw else utterance.text


def span_within(span: Span, talk: Conversation) -> Span:
    """A stretch of the recording in seconds of the conversation, without what is beyond it."""
    start = min(max(span.start - talk.offset, 0.0), talk.duration)
    end = min(max(span.end - talk.offset, 0.0), talk.duration)
    return Span(float(start), float(end))


def _silent_side(talk: Conversation, channel: str, fields: Sequence[Field]) -> list[Utterance]:
    """The utterances of a channel that the transcript leaves out: their times, without text."""
    utterances: list[Utterance] = []
    for segment in Segment(channel=channel).of_talk(replace(talk)).utterances:
        utterance = from_line({}, fields)
        utterance.utterance_id = segment.utterance_id
        utterance.source_channel = channel
        utterance.speaker = segment.speaker
        utterance.start = segment.start
        utterance.end = segment.end
        utterance.start_trim = segment.start_trim
        utterance.end_trim = segment.end_trim
        utterance.kind = segment.kind
        utterance.run = segment.run
        utterance.text_raw = ""
        utterance.verbatim = ""
        utterance.tag = ""
        utterance.recogniser = ""
        utterances.append(utterance)
    return utterances
