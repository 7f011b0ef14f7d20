"""Script: what is to be said and kept of a tagged conversation, by its transcript.

Between tagging and speaking there is a transcript for people to read and edit. It has times in milliseconds of the
recording, measures of a few digits, and other names for some columns (`core.utterance`). Both directions are here:
`dailytalk tag` writes lines with `transcript_lines`, `dailytalk speak` reads them with `scripted`, and `Script`
does both at once where there is no file.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from datasets import Features, List

from dailytalk_contiguous.core.conversation import (
    Conversation,
    Utterance,
    assign_flat,
    conversation_features,
    from_row,
    has_column,
    known_columns,
    or_none,
    share_out,
    to_row,
)
from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.fields import Field, columns_among, columns_of_lines, in_digits
from dailytalk_contiguous.core.records import Speakers
from dailytalk_contiguous.core.schema import CHANNELS, COLUMNS, SIDE, SOURCE, per_utterance
from dailytalk_contiguous.core.settings import unlisted
from dailytalk_contiguous.core.utterance import (
    EDGES,
    FIELDS,
    OPTIONAL_FIELDS,
    features_of_fields,
    known_trims,
    line_of,
    utterance_of,
)
from dailytalk_contiguous.core.words import Word
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.stages.segment import Segment

#: Seconds by which a line's length, rounded to milliseconds, may differ from that of its edges.
_ROUNDING = 0.0025

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

#: Key of a line whose times are those of a recording that was laid on one clock: how (`core.records.SideShift`).
#: Other lines lack it.
SIDE_SHIFT = "side_shift"

#: The words of a line, which a script has as `Word`.
_WORDS = [field for field in FIELDS if field.name == "words"]

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
    uses: ClassVar[tuple[str, ...]] = ("given", *sorted(OPTIONAL_FIELDS))
    VERSION: ClassVar[int] = 2
    refuses: ClassVar[bool] = True
    batch_rows: ClassVar[int] = 1
    adds: ClassVar[Features] = script_features()

    def __post_init__(self) -> None:
        if self.fields:
            object.__setattr__(self, "adds", script_features((*FIELDS, *self.fields)))
            object.__setattr__(self, "uses", (*self.uses, *(field.name for field in self.fields)))

    def of_talk(self, talk: Conversation) -> Conversation:
        fields = (*FIELDS, *self.fields)
        lines: list[tuple[str, int, Mapping[str, Any]]] = []
        for number, line in enumerate(transcript_lines(talk, fields)):
            lines.append((line["utterance_id"], number, line))
        return scripted(talk, lines, fields)

    def drops(self, names: Iterable[str]) -> list[str]:
        published = {column.name for column in columns_among(self.fields)}
        kept = {*KEPT, *published, *self.adds}
        return [name for name in names if name not in kept]


def script_row(fields: Sequence[Field] = FIELDS) -> Features:
    """The columns that `Script` keeps and a transcript is read into: the input of `Speak` and what follows."""
    columns = {column.name: column.feature for column in (*COLUMNS, *columns_among(fields))}
    source = {name: SOURCE[name] for name in KEPT if name in SOURCE}
    return Features({**source, **columns, "sides": List(SIDE), **script_features(fields)})


def tagged_utterances(talk: Conversation, fields: Sequence[Field] = FIELDS) -> list[dict[str, Any]]:
    """The utterances of a tagged conversation as those of a finished one, in seconds of it, and their `words`."""
    names = [*features_of_fields(fields), "words"]
    share_out(talk, names)
    tagged: list[dict[str, Any]] = []
    for utterance in talk.utterances:
        item = known_columns(utterance, names)
        # The geometric mean of the words' probabilities.
        logprob = utterance.avg_logprob
        item["confidence"] = None if logprob is None else in_digits(math.exp(min(logprob, 0.0)), 4)
        item["models"] = {"recogniser": utterance.recogniser, "affect": utterance.affect_model}
        for name in ("channel", *EDGES):
            item[f"source_{name}"] = item[name]
        tagged.append(item)
    return tagged


def transcript_lines(talk: Conversation, fields: Sequence[Field] = FIELDS) -> Iterator[dict[str, Any]]:
    """The lines of transcript.jsonl for a tagged conversation, in seconds of its recording."""

    def moved(item: Mapping[str, Any]) -> dict[str, Any]:
        start = round(talk.offset + item["start"], 3)
        end = round(talk.offset + item["end"], 3)
        return {**item, "start": start, "end": end}

    side_shift = or_none(talk.side_shift)
    for utterance in tagged_utterances(talk, fields):
        line = moved(utterance)
        line["audio_file"] = talk.audio_file
        line["conversation_id"] = talk.id
        line["duration"] = round(line["end"] - line["start"], 3)
        line["words"] = [moved(word) for word in utterance["words"]]
        written = line_of(line, fields=fields) | columns_of_lines(talk.extra, fields)
        if side_shift and side_shift["aligned"]:
            written[SIDE_SHIFT] = side_shift
        yield written


def scripted(
    talk: Conversation, lines: Iterable[tuple[str, int, Mapping[str, Any]]], fields: Sequence[Field] = FIELDS
) -> Conversation:
    """A conversation with the columns of `Script`: with its lines in place of its utterances.

    Args:
        talk: its columns of the source and of `Segment`; cues and `silent_speakers` may be missing.
        lines: of a transcript, each after the id of its utterance and its number among the conversation's lines.
        fields: those of a line.

    Raises BadInput if there is no line, or no channel for each of two speakers.
    """
    tagged_channels = {utterance.channel for utterance in talk.utterances}
    if talk.channels != 2 or "mix" in tagged_channels:
        raise BadInput(
            "it has no channel for each of two speakers",
            "only recordings of two channels, tagged without --channel mix, can be re-voiced",
        )
    tagged = {utterance.id: utterance for utterance in talk.utterances}
    utterances: list[Utterance] = []
    for identity, number, line in lines:
        utterance = _utterance(line, talk, fields)
        utterance.id = identity
        # Nothing else has negative numbers: an added line is a separate run.
        utterance.run = -1 - number
        punctuated = None
        if identity in tagged:
            utterance.run = tagged[identity].run
            punctuated = or_none(tagged[identity].text)
        utterance.verbatim = _verbatim(line, punctuated)
        utterances.append(utterance)
    if not utterances:
        raise BadInput("it has no line that can be said", "fix its lines, or leave it out")
    silent_speakers = _silent_speakers(talk, utterances)
    # Not a side of which people deleted every line: a shard knows that it had some.
    present = {utterance.source_channel for utterance in utterances} | tagged_channels
    for channel in sorted(set(CHANNELS) - present):
        utterances += _silent_side(talk, channel, fields)
    utterances.sort(key=lambda utterance: (utterance.start, utterance.source_channel))
    named = [utterance.language for utterance in utterances if utterance.language]
    language = max(sorted(set(named)), key=named.count) if named else "und"  # what most utterances name
    for utterance in utterances:  # an added line need not name what all others do
        utterance.language = utterance.language or language
    talk.main_language = language
    talk.silent_speakers = silent_speakers
    talk.utterances = utterances
    for name in (*features_of_fields(_written_fields(fields)), *_IN_FLIGHT):
        talk.extra.pop(name, None)  # of the utterances before
    return talk


def _silent_speakers(talk: Conversation, utterances: Sequence[Utterance]) -> Speakers | None:
    """The names of who has no line, by channel, as `--speakers` or the recording's transcript has them."""
    of_cues: dict[str, str | None] = {}
    for cue in or_none(talk.cues) or ():
        of_cues.setdefault(cue.channel, cue.speaker)
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


def _verbatim(line: Mapping[str, Any], punctuated: str | None) -> str:
    """The words of a line without the marks that `Punctuate` set for a voice: it made `punctuated` of them.

    Those of a person who wrote another text are that text.
    """
    text: str = line["text"].strip()
    raw = (line.get("text_raw") or "").strip()
    is_as_punctuated = punctuated is not None and text == punctuated.strip()
    return raw if is_as_punctuated and raw else text


def seconds_within(seconds: float, talk: Conversation) -> float:
    """Seconds of the recording as seconds of the conversation, and inside it."""
    return float(min(max(seconds - talk.offset, 0.0), talk.duration))


def _utterance(line: Mapping[str, Any], talk: Conversation, fields: Sequence[Field]) -> Utterance:
    """The utterance of a line, without what other lines decide."""
    values = utterance_of(line, _written_fields(fields))
    values["start"] = seconds_within(line["start"], talk)
    values["end"] = seconds_within(line["end"], talk)
    utterance = Utterance()
    assign_flat(utterance, values)
    # A person who moves an edge leaves the length and the trims as they were: where it sounds is unknown then.
    length = line.get("duration")
    is_moved = is_number(length) and abs(line["end"] - line["start"] - length) > _ROUNDING
    if is_moved:
        utterance.start_trim = None
        utterance.end_trim = None
    else:
        utterance.start_trim, utterance.end_trim = known_trims(values)
    text = line["text"].strip()
    tag = line["tag"]
    utterance.source_channel = line["channel"]
    utterance.speaker = utterance.speaker or f"{talk.recording_id}/{line['channel']}"
    utterance.kind = utterance.kind or "speech"
    utterance.text_raw = utterance.text_raw or text
    utterance.text = text
    # Made again: a person edits the text and the tag, and forgets the line that holds both.
    utterance.tagged_text = f"({tag}) {text}" if text and tag else text or None
    utterance.tag = tag
    utterance.words = _words(line, talk)
    utterance.recogniser = utterance.models["recogniser"] or ""
    if text:
        utterance.text_reason = None
    return utterance


def _words(line: Mapping[str, Any], talk: Conversation) -> list[Word]:
    """The words of a line, in seconds of the conversation."""
    words: list[Word] = []
    for word in utterance_of(line, _WORDS)["words"]:
        start = seconds_within(word["start"], talk)
        end = seconds_within(word["end"], talk)
        words.append(Word(word["word"], start, end, word["probability"], word["fitted"], word["filler"]))
    return words


def _silent_side(talk: Conversation, channel: str, fields: Sequence[Field]) -> list[Utterance]:
    """The utterances of a channel that the transcript leaves out: their times, without text."""
    used = [name for name in Segment.uses if has_column(talk, name)]
    segments = from_row(Segment(channel=channel).row(to_row(talk, (*Segment.needs, *used))))
    silent = utterance_of({}, _written_fields(fields))
    silent |= dict.fromkeys(("text_raw", "text", "verbatim", "tag", "recogniser"), "")
    utterances: list[Utterance] = []
    for segment in segments.utterances:
        utterance = Utterance(source_channel=channel, words=[])
        assign_flat(utterance, silent)
        assign_flat(utterance, known_columns(segment, ("utterance_id", "speaker", *EDGES, "kind", "run")))
        utterances.append(utterance)
    return utterances
