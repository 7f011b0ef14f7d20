"""Script: what is to be said and kept of a tagged conversation, by its transcript.

Between tagging and speaking there is a transcript for people to read and edit. It has times in milliseconds of the
recording, measures of a few digits, and other names for some columns (`core.utterance`). Both directions are here:
`dailytalk tag` writes lines with `transcript_lines`, `dailytalk speak` reads them with `script_columns`, and
`Script` does both at once where there is no file.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from datasets import Features, List, Value

from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.fields import Field, columns_among, columns_of_lines, in_digits
from dailytalk_contiguous.core.schema import CHANNELS, COLUMNS, SIDE, SOURCE, STRING, Row, per_utterance
from dailytalk_contiguous.core.settings import unlisted
from dailytalk_contiguous.core.utterance import (
    EDGES,
    FIELDS,
    HAS_TEXT,
    OPTIONAL_FIELDS,
    UTTERED_WORD,
    features_of_fields,
    known_trims,
    line_of,
    pack_utterances,
    unpack_utterances,
    utterance_of,
)
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.stages.columns import each_utterance
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
_IN_FLIGHT = {"run": Value("int32"), "words": List(UTTERED_WORD), "recogniser": STRING, "verbatim": STRING}

#: Column, and key of run.json, of the names of those who have no line in a conversation, by channel.
SILENT_SPEAKERS = "silent_speakers"

#: Key of a line whose times are those of a recording that was laid on one clock: how (`core.records.SideShift`).
#: Other lines lack it.
SIDE_SHIFT = "side_shift"

#: Fields of a line that are made of other columns of a tagged utterance.
_SAID_OTHERWISE = ("confidence", "models")


def script_features(fields: Sequence[Field] = FIELDS) -> Features:
    """The columns of `Script` for utterances with these fields: those of a line, and what is needed on the way."""
    of_lines = [field for field in fields if not field.part and field.name != "channel"]
    utterance = {**features_of_fields(of_lines), "source_channel": STRING, **_IN_FLIGHT}
    names = dict.fromkeys(CHANNELS, STRING)
    return Features({"main_language": STRING, SILENT_SPEAKERS: names, **per_utterance(Features(utterance))})


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

    def row(self, row: Row) -> Row:
        fields = (*FIELDS, *self.fields)
        lines: list[tuple[str, int, Row]] = []
        for number, line in enumerate(transcript_lines(row, fields)):
            lines.append((line["utterance_id"], number, line))
        return script_columns(row, lines, fields)

    def drops(self, names: Iterable[str]) -> list[str]:
        published = {column.name for column in columns_among(self.fields)}
        kept = {*KEPT, *published, *self.adds}
        return [name for name in names if name not in kept]


def script_row(fields: Sequence[Field] = FIELDS) -> Features:
    """The columns that `Script` keeps and a transcript is read into: the input of `Speak` and what follows."""
    columns = {column.name: column.feature for column in (*COLUMNS, *columns_among(fields))}
    source = {name: SOURCE[name] for name in KEPT if name in SOURCE}
    return Features({**source, **columns, "sides": List(SIDE), **script_features(fields)})


def tagged_utterances(row: Mapping[str, Any], fields: Sequence[Field] = FIELDS) -> list[Row]:
    """The utterances of a tagged conversation, in seconds of it, each with its `words`."""
    columns = (row[name] for name in ("words", "avg_logprob", "recogniser", "affect_model"))
    tagged: list[Row] = []
    packed = zip(pack_utterances(row, fields), *columns, strict=True)
    for utterance, words, logprob, recogniser, affect in packed:
        item = dict(utterance)
        item["words"] = words
        # The geometric mean of the words' probabilities.
        item["confidence"] = None if logprob is None else in_digits(math.exp(min(logprob, 0.0)), 4)
        item["models"] = {"recogniser": recogniser, "affect": affect}
        for name in ("channel", *EDGES):
            item[f"source_{name}"] = utterance[name]
        tagged.append(item)
    return tagged


def transcript_lines(row: Mapping[str, Any], fields: Sequence[Field] = FIELDS) -> Iterator[dict[str, Any]]:
    """The lines of transcript.jsonl for a tagged conversation, in seconds of its recording."""

    def moved(item: Mapping[str, Any]) -> Row:
        start = round(row["offset"] + item["start"], 3)
        end = round(row["offset"] + item["end"], 3)
        return {**item, "start": start, "end": end}

    for utterance in tagged_utterances(row, fields):
        line = moved(utterance)
        line["audio_file"] = row["audio_file"]
        line["conversation_id"] = row["conversation_id"]
        line["duration"] = round(line["end"] - line["start"], 3)
        line["words"] = [moved(word) for word in utterance["words"]]
        written = line_of(line, fields=fields) | columns_of_lines(row, fields)
        side_shift = row.get("side_shift")
        if side_shift and side_shift["aligned"]:
            written[SIDE_SHIFT] = side_shift
        yield written


def script_columns(
    base: Row, lines: Iterable[tuple[str, int, Mapping[str, Any]]], fields: Sequence[Field] = FIELDS
) -> Row:
    """The columns of `Script` for one conversation.

    Args:
        base: its columns of the source and of `Segment`; `given` and `SILENT_SPEAKERS` may be missing.
        lines: of a transcript, each after the id of its utterance and its number among the conversation's lines.
        fields: those of a line.

    Raises BadInput if there is no line, or no channel for each of two speakers.
    """
    if base["channels"] != 2 or "mix" in base["channel"]:
        raise BadInput(
            "it has no channel for each of two speakers",
            "only recordings of two channels, tagged without --channel mix, can be re-voiced",
        )
    runs = dict(zip(base["utterance_id"], base["run"], strict=True))
    written = dict(zip(base["utterance_id"], base.get("text") or (), strict=False))
    utterances: list[Row] = []
    for identity, number, line in lines:
        utterance = _utterance(identity, number, line, base, runs, fields)
        utterance["verbatim"] = _verbatim(line, written.get(identity))
        utterances.append(utterance)
    if not utterances:
        raise BadInput("it has no line that can be said", "fix its lines, or leave it out")
    silent_speakers = _silent_speakers(base, utterances)
    # Not a side of which people deleted every line: a shard knows that it had some.
    present = {utterance["source_channel"] for utterance in utterances} | set(base["channel"])
    for channel in sorted(set(CHANNELS) - present):
        utterances += _silent_side(base, channel, fields)
    utterances.sort(key=lambda utterance: (utterance["start"], utterance["source_channel"]))
    named = [utterance["language"] for utterance in utterances if utterance.get("language")]
    language = max(sorted(set(named)), key=named.count) if named else "und"  # what most utterances name
    for utterance in utterances:  # an added line need not name what all others do
        utterance["language"] = utterance["language"] or language
    of_conversation = {"main_language": language, SILENT_SPEAKERS: silent_speakers}
    names = [name for name in script_features(fields) if name not in of_conversation]
    return {**of_conversation, **unpack_utterances(utterances, names)}


def _silent_speakers(base: Row, utterances: Sequence[Row]) -> dict[str, str | None] | None:
    """The names of who has no line, by channel, as `--speakers` or the recording's transcript has them."""
    names: dict[str, str | None] = {}
    for cue in base.get("given") or ():
        names.setdefault(cue["channel"], cue.get("speaker"))
    for channel, name in (base.get(SILENT_SPEAKERS) or {}).items():
        names[channel] = name or names.get(channel)
    heard = {utterance["source_channel"] for utterance in utterances}
    silent = {channel: None if channel in heard else names.get(channel) for channel in CHANNELS}
    return silent if any(silent.values()) else None


def _verbatim(line: Mapping[str, Any], punctuated: str | None) -> str:
    """The words of a line without the marks that `Punctuate` set for a voice: it made `punctuated` of them.

    Those of a person who wrote another text are that text.
    """
    text: str = line["text"].strip()
    raw = (line.get("text_raw") or "").strip()
    is_as_punctuated = punctuated is not None and text == punctuated.strip()
    return raw if is_as_punctuated and raw else text


def seconds_within(seconds: float, base: Row) -> float:
    """Seconds of the recording as seconds of the conversation, and inside it."""
    return float(min(max(seconds - base["offset"], 0.0), base["duration"]))


def _utterance(
    identity: str,
    number: int,
    line: Mapping[str, Any],
    base: Row,
    runs: Mapping[str, int],
    fields: Sequence[Field],
) -> Row:
    def within(item: Mapping[str, Any]) -> Row:
        start = seconds_within(item["start"], base)
        end = seconds_within(item["end"], base)
        return {**item, "start": start, "end": end}

    utterance = within(utterance_of(line, fields))
    text = line["text"].strip()
    tag = line["tag"]
    # A person who moves an edge leaves the length and the trims as they were: where it sounds is unknown then.
    length = line.get("duration")
    is_moved = is_number(length) and abs(line["end"] - line["start"] - length) > _ROUNDING
    start_trim, end_trim = (None, None) if is_moved else known_trims(utterance)
    utterance["start_trim"] = start_trim
    utterance["end_trim"] = end_trim
    utterance["utterance_id"] = identity
    utterance["source_channel"] = line["channel"]
    utterance["speaker"] = utterance["speaker"] or f"{base['recording_id']}/{line['channel']}"
    utterance["kind"] = utterance["kind"] or "speech"
    utterance["text_raw"] = utterance["text_raw"] or text
    utterance["text"] = text
    # Made again: a person edits the text and the tag, and forgets the line that holds both.
    utterance["tagged_text"] = f"({tag}) {text}" if text and tag else text or None
    utterance["tag"] = tag
    # Nothing else has negative numbers: an added line is a separate run.
    utterance["run"] = runs.get(identity, -1 - number)
    utterance["words"] = [within(word) for word in utterance["words"]]
    utterance["recogniser"] = utterance["models"]["recogniser"] or ""
    if text:
        utterance |= HAS_TEXT
    return utterance


def _silent_side(base: Row, channel: str, fields: Sequence[Field]) -> list[Row]:
    """The utterances of a channel that the transcript leaves out: their times, without text."""
    needed = {column: base[column] for column in Segment.needs}
    needed |= {column: base.get(column) for column in Segment.uses}
    segments = Segment(channel=channel).row(needed)
    silent = utterance_of({}, fields)
    for name in ("text_raw", "text", "verbatim", "tag", "recogniser"):
        silent[name] = ""
    silent["source_channel"] = channel
    names = ("utterance_id", "speaker", *EDGES, "kind", "run")
    utterances = []
    for values in each_utterance(segments, *names):
        utterances.append(silent | dict(zip(names, values, strict=True)))
    return utterances
